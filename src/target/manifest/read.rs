//! Reads a manifest's tables key by key, and collects every mistake with its place.

use crate::scenario::diagnostics::{Problem, nearest};
use crate::scenario::units;
use crate::time::Duration;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The mistakes of one file.
pub(super) type Problems = RefCell<Vec<Problem>>;

/// One table.
pub(super) struct Table<'a> {
    table: Option<&'a DeTable<'a>>,
    /// Its place.
    pub span: Range<usize>,
    problems: &'a Problems,
}

impl<'a> Table<'a> {
    /// Begins to read a table with these keys; others are mistakes at once.
    pub fn new(table: Option<&'a DeTable<'a>>, span: Range<usize>, keys: &[&str], problems: &'a Problems) -> Self {
        let this = Self { table, span, problems };
        for (key, _) in this.table.into_iter().flatten() {
            let name: &str = key.get_ref();
            if !keys.contains(&name) {
                let near = nearest(name, keys.iter().copied()).map_or(String::new(), |n| format!("did you mean {n}? "));
                this.wrong(key.span(), "no key of this name here", format!("{near}known: {}", keys.join(", ")));
            }
        }
        this
    }

    pub fn wrong(&self, span: Range<usize>, message: impl Into<String>, mend: impl Into<String>) {
        self.problems.borrow_mut().push(Problem { span, message: message.into(), mend: mend.into() });
    }

    fn get(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table?.get(key)
    }

    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// The key's place, or the table's.
    pub fn place(&self, key: &str) -> Range<usize> {
        self.get(key).map_or_else(|| self.span.clone(), Spanned::span)
    }

    pub fn missing(&self, example: &str) {
        let key = example.split(' ').next().unwrap_or(example);
        self.wrong(self.span.clone(), format!("{key} is missing"), format!("add {example}, say"));
    }

    pub fn table(&self, key: &str, keys: &[&str]) -> Table<'a> {
        match self.get(key) {
            Some(value) if value.get_ref().is_table() => {
                Table::new(value.get_ref().as_table(), value.span(), keys, self.problems)
            }
            other => {
                if let Some(value) = other {
                    self.wrong(value.span(), "expected a table", format!("write [{key}]"));
                }
                Table::new(None, self.span.clone(), keys, self.problems)
            }
        }
    }

    /// A list of tables, [[key]].
    pub fn tables(&self, key: &str, keys: &[&str]) -> Vec<Table<'a>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let list = value.get_ref().as_array().filter(|list| list.iter().all(|t| t.get_ref().is_table()));
        let Some(list) = self.expect(value, list, "a list of tables") else { return Vec::new() };
        list.iter().map(|t| Table::new(t.get_ref().as_table(), t.span(), keys, self.problems)).collect()
    }

    fn expect<T>(&self, value: &Spanned<DeValue<'_>>, parsed: Option<T>, look: &str) -> Option<T> {
        if parsed.is_none() {
            self.wrong(value.span(), format!("expected {look}"), "");
        }
        parsed
    }

    pub fn text(&self, key: &str) -> Option<String> {
        let value = self.get(key)?;
        self.expect(value, value.get_ref().as_str().map(str::to_owned), "a text in quotes")
    }

    pub fn number(&self, key: &str, from: u64, to: u64) -> Option<u64> {
        let value = self.get(key)?;
        let number = value.get_ref().as_integer().and_then(|i| i.as_str().replace('_', "").parse().ok());
        self.expect(value, number.filter(|n| (from..=to).contains(n)), &format!("a whole number from {from} to {to}"))
    }

    pub fn duration(&self, key: &str, example: &str) -> Duration {
        let Some(value) = self.get(key) else {
            self.missing(example);
            return Duration::ZERO;
        };
        let parsed = value.get_ref().as_str().and_then(|t| units::duration(t).ok());
        self.expect(value, parsed, units::DURATION).unwrap_or_default()
    }

    pub fn texts(&self, key: &str) -> Vec<String> {
        let Some(value) = self.get(key) else { return Vec::new() };
        self.expect(value, texts(value.get_ref()), "a list of texts").unwrap_or_default()
    }

    /// A list of commands, each a list of words with at least one in it.
    pub fn commands(&self, key: &str) -> Vec<Vec<String>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let look = "a list of commands, like [[\"sh\", \"build.sh\"]]";
        let list = value.get_ref().as_array().and_then(|list| list.iter().map(|c| texts(c.get_ref())).collect());
        let list = list.filter(|list: &Vec<Vec<String>>| list.iter().all(|c| !c.is_empty()));
        self.expect(value, list, look).unwrap_or_default()
    }

    /// A table of texts.
    pub fn map(&self, key: &str) -> BTreeMap<String, String> {
        let Some(value) = self.get(key) else { return BTreeMap::new() };
        let pairs = value.get_ref().as_table().and_then(|t| {
            t.iter().map(|(k, v)| Some((k.get_ref().to_string(), v.get_ref().as_str()?.to_owned()))).collect()
        });
        self.expect(value, pairs, "a table of texts, like { name = \"value\" }").unwrap_or_default()
    }
}

fn texts(value: &DeValue<'_>) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|v| v.get_ref().as_str().map(str::to_owned)).collect()
}
