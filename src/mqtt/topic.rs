//! Topic names and filters: what is legal, and what matches.

/// True for a legal topic name: not empty [MQTT-4.7.3-1], no wildcards [MQTT-3.3.2-2], no U+0000 [MQTT-4.7.3-2], at
/// most 65,535 bytes [MQTT-4.7.3-3].
#[must_use]
pub fn is_name(topic: &str) -> bool {
    // Without a way out of the loop, it is done for many bytes at a time.
    let illegal = topic.bytes().fold(false, |bad, b| bad | (b == b'+') | (b == b'#') | (b == 0));
    !topic.is_empty() && topic.len() <= 65_535 && !illegal
}

/// True for a legal topic filter: `#` alone in the last level [MQTT-4.7.1-1], `+` alone in its level [MQTT-4.7.1-2]
/// (3.1.1 counts them -2 and -3).
#[must_use]
pub fn is_filter(filter: &str) -> bool {
    if filter.is_empty() || filter.len() > 65_535 || filter.as_bytes().contains(&0) {
        return false;
    }
    let bytes = filter.as_bytes();
    bytes.iter().enumerate().all(|(at, byte)| {
        let begins = at == 0 || bytes[at - 1] == b'/';
        match byte {
            b'#' => begins && at + 1 == bytes.len(),
            b'+' => begins && bytes.get(at + 1).is_none_or(|next| *next == b'/'),
            _ => true,
        }
    })
}

/// A filter that begins with `$share/` and is no legal shared subscription.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IllegalShare;

/// The share group and the filter proper of `$share/group/filter`; none if it is not a shared subscription.
///
/// # Errors
/// If it begins with `$share/` and is not of that form [MQTT-4.8.2-1] [MQTT-4.8.2-2].
pub fn split_share(filter: &str) -> Result<Option<(&str, &str)>, IllegalShare> {
    let Some(rest) = filter.strip_prefix("$share/") else { return Ok(None) };
    match rest.split_once('/') {
        Some((group, proper)) if !group.is_empty() && !group.contains(['+', '#']) && is_filter(proper) => {
            Ok(Some((group, proper)))
        }
        _ => Err(IllegalShare),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_filters() {
        assert!(is_name("a/b") && is_name("/") && is_name("$SYS/x"));
        assert!(!is_name("") && !is_name("a/+") && !is_name("a#") && !is_name("a\0"));
        for good in ["#", "+", "a/#", "+/b/#", "/+", "a//b", "$SYS/#"] {
            assert!(is_filter(good), "{good}");
        }
        for bad in ["", "a#", "#/a", "a+", "a/+b", "a/#/b", "##"] {
            assert!(!is_filter(bad), "{bad}");
        }
    }

    #[test]
    fn shares() {
        assert_eq!(split_share("a/b"), Ok(None));
        assert_eq!(split_share("$share/g/a/#"), Ok(Some(("g", "a/#"))));
        for bad in ["$share/g", "$share//a", "$share/+/a", "$share/g/", "$share/g/a#"] {
            assert_eq!(split_share(bad), Err(IllegalShare), "{bad}");
        }
    }
}
