//! Reads TOML tables setting by setting, and collects every mistake with its place.

use super::diagnostics::{Problem, nearest};
use super::settings;
use super::units::{self, Expected};
use crate::time::Duration;
use std::cell::RefCell;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The mistakes of one file.
#[derive(Default)]
pub(super) struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    pub fn add(&self, span: Range<usize>, message: impl Into<String>, mend: impl Into<String>) {
        self.0.borrow_mut().push(Problem { span, message: message.into(), mend: mend.into() });
    }

    pub fn into_sorted(self) -> Vec<Problem> {
        let mut all = self.0.into_inner();
        all.sort_by_key(|p| (p.span.start, p.span.end));
        all.dedup();
        all
    }
}

/// A value with its place.
#[derive(Clone)]
pub(super) struct At<T> {
    pub value: T,
    pub span: Range<usize>,
}

/// One table of a known kind.
pub(super) struct Table<'a> {
    kind: &'static str,
    table: &'a DeTable<'a>,
    pub span: Range<usize>,
    problems: &'a Problems,
}

impl<'a> Table<'a> {
    /// Begins to read a table; unknown keys are mistakes at once.
    pub fn new(kind: &'static str, table: &'a DeTable<'a>, span: Range<usize>, problems: &'a Problems) -> Self {
        for (key, _) in table {
            let name: &str = key.get_ref();
            if !settings::of(kind).any(|s| s.key == name) {
                let known: Vec<&str> = settings::of(kind).map(|s| s.key).collect();
                let mend = match nearest(name, known.iter().copied()) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("known: {}", known.join(", ")),
                };
                problems.add(key.span(), format!("no setting of this name in a {kind}"), mend);
            }
        }
        Self { kind, table, span, problems }
    }

    pub fn problem(&self, span: Range<usize>, message: impl Into<String>, mend: impl Into<String>) {
        self.problems.add(span, message, mend);
    }

    fn get(&self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        debug_assert!(settings::of(self.kind).any(|s| s.key == key), "{}.{key} is not in settings.rs", self.kind);
        self.table.get(key)
    }

    pub fn has(&self, key: &'static str) -> bool {
        self.get(key).is_some()
    }

    pub fn is_table(&self, key: &'static str) -> bool {
        self.get(key).is_some_and(|v| v.get_ref().is_table())
    }

    pub fn is_empty_list(&self, key: &'static str) -> bool {
        self.get(key).and_then(|v| v.get_ref().as_array()).is_some_and(|list| list.is_empty())
    }

    pub fn place_of(&self, key: &'static str) -> Range<usize> {
        self.get(key).map_or_else(|| self.span.clone(), Spanned::span)
    }

    fn expected<T>(&self, key: &'static str, value: &Spanned<DeValue<'_>>, expected: &str) -> Option<T> {
        let about = settings::of(self.kind).find(|s| s.key == key).map_or("", |s| s.about);
        self.problem(value.span(), format!("expected {expected}"), format!("{key}: {about}"));
        None
    }

    pub fn text(&self, key: &'static str) -> Option<At<&'a str>> {
        let value = self.get(key)?;
        match value.get_ref().as_str() {
            Some(text) => Some(At { value: text, span: value.span() }),
            None => self.expected(key, value, "a text in quotes"),
        }
    }

    fn unit<T>(&self, key: &'static str, look: Expected, parse: impl Fn(&str) -> Result<T, Expected>) -> Option<At<T>> {
        let value = self.get(key)?;
        let Some(text) = value.get_ref().as_str() else { return self.expected(key, value, look) };
        match parse(text) {
            Ok(parsed) => Some(At { value: parsed, span: value.span() }),
            Err(expected) => self.expected(key, value, expected),
        }
    }

    pub fn duration(&self, key: &'static str) -> Option<At<Duration>> {
        self.unit(key, units::DURATION, units::duration)
    }

    /// A duration above zero; `or` where it is absent or wrong.
    pub fn duration_above_zero(&self, key: &'static str, or: Duration) -> Duration {
        match self.duration(key) {
            Some(At { value, span }) if value.is_zero() => {
                self.problem(span, "must be above 0", String::new());
                or
            }
            Some(at) => at.value,
            None => or,
        }
    }

    /// A duration that must be there.
    pub fn needed_duration(&self, key: &'static str) -> Duration {
        if !self.has(key) {
            self.problem(self.span.clone(), format!("{key} is missing"), format!("add {key} = \"10 s\", say"));
        }
        self.duration_above_zero(key, Duration::from_secs(1))
    }

    /// A point of run time that must be there; 0 is one.
    pub fn needed_time(&self, key: &'static str) -> Duration {
        if !self.has(key) {
            self.problem(self.span.clone(), format!("{key} is missing"), format!("add {key} = \"10 s\", say"));
        }
        self.duration(key).map_or(Duration::ZERO, |d| d.value)
    }

    pub fn rate(&self, key: &'static str) -> Option<u64> {
        self.unit(key, units::RATE, units::rate).map(|a| a.value)
    }

    pub fn size(&self, key: &'static str) -> Option<At<u32>> {
        self.unit(key, units::SIZE, units::size)
    }

    pub fn percent(&self, key: &'static str) -> Option<f64> {
        self.unit(key, units::PERCENT, units::percent).map(|a| a.value)
    }

    pub fn frequency(&self, key: &'static str) -> Option<At<Duration>> {
        self.unit(key, units::FREQUENCY, units::frequency)
    }

    pub fn flag(&self, key: &'static str, or: bool) -> bool {
        let Some(value) = self.get(key) else { return or };
        value.get_ref().as_bool().or_else(|| self.expected(key, value, "true or false")).unwrap_or(or)
    }

    /// A whole number within a range.
    pub fn count(&self, key: &'static str, range: Range<u64>) -> Option<u64> {
        let value = self.get(key)?;
        let number = value
            .get_ref()
            .as_integer()
            .and_then(|i| i64::from_str_radix(&i.as_str().replace('_', ""), i.radix()).ok());
        match number {
            Some(n) if u64::try_from(n).is_ok_and(|n| range.contains(&n)) => u64::try_from(n).ok(),
            _ => {
                let last = range.end - 1;
                let look = if last >= u64::from(u32::MAX) {
                    format!("a whole number from {}", range.start)
                } else {
                    format!("a whole number from {} to {last}", range.start)
                };
                self.expected(key, value, &look)
            }
        }
    }

    pub fn qos(&self) -> u8 {
        self.count("qos", 0..3).and_then(|q| u8::try_from(q).ok()).unwrap_or(0)
    }

    /// One of the words that the settings table lists.
    pub fn word(&self, key: &'static str, or: &'static str) -> &'static str {
        let settings::Shape::Word(words) =
            settings::of(self.kind).find(|s| s.key == key).expect("asked keys are in the table").shape
        else {
            unreachable!("{key} is a word")
        };
        let Some(text) = self.text(key) else { return or };
        if let Some(word) = words.iter().find(|w| **w == text.value) {
            return word;
        }
        self.problem(text.span, "no such choice", format!("one of: {}", words.join(", ")));
        or
    }

    /// A text or a list of texts.
    pub fn texts(&self, key: &'static str) -> Option<Vec<At<&'a str>>> {
        let value = self.get(key)?;
        if let Some(text) = value.get_ref().as_str() {
            return Some(vec![At { value: text, span: value.span() }]);
        }
        let Some(list) = value.get_ref().as_array() else {
            return self.expected(key, value, "a text or a list of texts");
        };
        let texts = list.iter().filter_map(|item| match item.get_ref().as_str() {
            Some(text) => Some(At { value: text, span: item.span() }),
            None => self.expected(key, item, "a text in quotes"),
        });
        Some(texts.collect())
    }

    /// A table of another kind.
    pub fn table(&self, key: &'static str, kind: &'static str) -> Option<Table<'a>> {
        let value = self.get(key)?;
        match value.get_ref().as_table() {
            Some(table) => Some(Table::new(kind, table, value.span(), self.problems)),
            None => self.expected(key, value, "a table, { ... }"),
        }
    }

    /// A list of tables of another kind; one table alone will do.
    pub fn tables(&self, key: &'static str, kind: &'static str) -> Vec<Table<'a>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        if let Some(table) = value.get_ref().as_table() {
            return vec![Table::new(kind, table, value.span(), self.problems)];
        }
        let Some(list) = value.get_ref().as_array() else {
            return self.expected::<Vec<_>>(key, value, "a list of tables, [{ ... }]").unwrap_or_default();
        };
        let tables = list.iter().filter_map(|item| match item.get_ref().as_table() {
            Some(table) => Some(Table::new(kind, table, item.span(), self.problems)),
            None => self.expected(key, item, "a table, { ... }"),
        });
        tables.collect()
    }

    /// Named tables of another kind, in the file's order.
    pub fn named(&self, key: &'static str, kind: &'static str) -> Vec<(At<&'a str>, Table<'a>)> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let Some(table) = value.get_ref().as_table() else {
            return self.expected::<Vec<_>>(key, value, "named tables, [kind.name]").unwrap_or_default();
        };
        let mut all = Vec::new();
        for (name, value) in table {
            let at = At { value: &**name.get_ref(), span: name.span() };
            let legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if at.value.is_empty() || at.value.len() > 64 || !at.value.chars().all(legal) {
                let mend = "letters, digits, -, _ and . (64 at most): it goes into topics and file names";
                self.problem(at.span.clone(), "no name for this", mend);
            }
            match value.get_ref().as_table() {
                Some(inner) => all.push((at.clone(), Table::new(kind, inner, at.span, self.problems))),
                None => self.problem(value.span(), "expected a table", format!("write [{kind}.{}]", at.value)),
            }
        }
        all.sort_by_key(|(name, _)| name.span.start);
        all
    }
}
