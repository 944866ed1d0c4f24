//! Takes passwords out of URLs: none ever gets into a report.

/// The text with the password of each `scheme://user:password@host` replaced by three stars.
#[must_use]
pub fn passwords(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        clean.push_str(before);
        let end = after.find(|c: char| c == '/' || c == '"' || c == '\'' || c.is_whitespace()).unwrap_or(after.len());
        // A password may hold an unescaped `/`: then the last `@` before the next blank ends it.
        let blank = after.find(|c: char| c == '"' || c == '\'' || c.is_whitespace()).unwrap_or(after.len());
        let authority = if after[..end].contains('@') { &after[..end] } else { &after[..blank] };
        let mut taken = 0;
        if let (Some(colon), Some(sign)) = (authority.find(':'), authority.rfind('@'))
            && colon < sign
        {
            clean.push_str(&authority[..=colon]);
            clean.push_str("***");
            taken = sign;
        }
        rest = &after[taken..];
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::passwords;

    #[test]
    fn passwords_go_and_everything_else_stays() {
        for (given, expected) in [
            ("mqtt://127.0.0.1:1883", "mqtt://127.0.0.1:1883"),
            ("mqtt://me:secret@broker:1883/x", "mqtt://me:***@broker:1883/x"),
            ("mqtt://me:s@cret@broker", "mqtt://me:***@broker"),
            ("mqtt://me:sec/ret@broker", "mqtt://me:***@broker"),
            ("mqtt://me@broker", "mqtt://me@broker"),
            ("run --target mqtt://a:b@c --seed 7 http://x:y@z", "run --target mqtt://a:***@c --seed 7 http://x:***@z"),
            ("nothing to hide", "nothing to hide"),
        ] {
            assert_eq!(passwords(given), expected);
        }
    }
}
