//! Templates: text with places for a client's own values.

use super::model::{Part, Template};

impl Template {
    /// Parses `water/{district:8}/{sensor}`; `{id}` only where `with_id`.
    ///
    /// # Errors
    /// What is wrong, and how to mend it.
    pub fn parse(text: &str, with_id: bool) -> Result<Self, (String, String)> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            // JSON braces are text: only a brace before a name is a place.
            let after = &rest[open + 1..];
            let name_end =
                after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':').unwrap_or(after.len());
            let is_place = name_end > 0 && after[name_end..].starts_with('}');
            plain.push_str(&rest[..open]);
            if !is_place {
                if !with_id {
                    return Err(("this { begins no place".into(), places(with_id)));
                }
                plain.push('{');
                rest = after;
                continue;
            }
            let part = Self::place(&after[..name_end], with_id)?;
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(part);
            rest = &after[name_end + 1..];
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    fn place(name: &str, with_id: bool) -> Result<Part, (String, String)> {
        match name {
            "sensor" => Ok(Part::Sensor),
            "fleet" => Ok(Part::Fleet),
            "id" if with_id => Ok(Part::Id),
            "id" => Err(("{id} is for payload templates".into(), places(with_id))),
            _ => match name.split_once(':').map(|(_, n)| n.parse::<u32>()) {
                Some(Ok(n)) if n > 0 => Ok(Part::Modulo(n)),
                Some(_) => Err((
                    format!("{{{name}}} needs a whole number above 0 after the colon"),
                    "like {district:8}: the client's index modulo 8".into(),
                )),
                None => Err((format!("no place is called {{{name}}}"), places(with_id))),
            },
        }
    }

    /// How many times `{id}` is in it.
    #[must_use]
    pub fn ids(&self) -> usize {
        self.parts.iter().filter(|p| **p == Part::Id).count()
    }

    /// The text for the client of that index in that group. `{id}` becomes 32 zeros.
    #[must_use]
    pub fn fill(&self, group: &str, index: u32) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Sensor => out.push_str(&index.to_string()),
                Part::Fleet => out.push_str(group),
                Part::Modulo(n) => out.push_str(&(index % n).to_string()),
                Part::Id => out.push_str(&"0".repeat(32)),
            }
        }
        out
    }

    /// Where `{id}` begins in [`Self::fill`]; none if there is not exactly one.
    #[must_use]
    pub fn id_offset(&self, group: &str, index: u32) -> Option<usize> {
        let at = self.parts.iter().position(|p| *p == Part::Id)?;
        if self.parts[at + 1..].contains(&Part::Id) {
            return None;
        }
        let before = Self { text: String::new(), parts: self.parts[..at].to_vec() };
        Some(before.fill(group, index).len())
    }
}

/// The places that there are.
fn places(with_id: bool) -> String {
    let id = if with_id { ", {id}" } else { "" };
    format!("there are {{sensor}}, {{fleet}}, {{name:N}} (the index modulo N){id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled() {
        let t = Template::parse("water/{district:8}/{fleet}-{sensor}", false).expect("legal");
        assert_eq!(t.fill("meter", 17), "water/1/meter-17");
        let json = Template::parse("{\"s\": {sensor}, \"id\": \"{id}\"}", true).expect("legal");
        assert_eq!(json.id_offset("m", 3), Some(16));
        assert_eq!(&json.fill("m", 3)[16..48], "0".repeat(32));
    }

    #[test]
    fn mistakes_are_named() {
        for bad in ["{nobody}", "{district:0}", "{district:x}", "{id}", "a{"] {
            assert!(Template::parse(bad, false).is_err(), "{bad}");
        }
    }
}
