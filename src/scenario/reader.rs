//! Reads TOML tables setting by setting, and collects every mistake with its place.

use super::diagnostics::{Problem, nearest};
use super::settings::{self, Setting, Shape};
use super::suggest;
use super::units::{self, Expected};
use crate::time::Duration;
use std::cell::RefCell;
use std::ops::{Range, RangeInclusive};
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
        super::diagnostics::sort(&mut all);
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
    /// Begins to read a table; unknown and missing keys are mistakes at once.
    pub fn new(kind: &'static str, table: &'a DeTable<'a>, span: Range<usize>, problems: &'a Problems) -> Self {
        for (key, _) in table {
            let name: &str = key.get_ref();
            if !settings::of(kind).any(|s| s.key == name) {
                let message = format!("no setting of this name in {}", article(kind));
                problems.add(key.span(), message, suggest::suggest(kind, name));
            }
        }
        for Setting { key, needed, .. } in settings::of(kind) {
            if let Some(example) = needed.filter(|_| !table.contains_key(*key)) {
                problems.add(span.clone(), format!("{key} is missing"), format!("add {example}, say"));
            }
        }
        Self { kind, table, span, problems }
    }

    pub fn problem(&self, span: Range<usize>, message: impl Into<String>, mend: impl Into<String>) {
        self.problems.add(span, message, mend);
    }

    fn setting(&self, key: &'static str) -> &'static Setting {
        settings::of(self.kind).find(|s| s.key == key).expect("asked keys are in the table")
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
        let about = self.setting(key).about;
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

    /// True if there is a duration above zero; reports nothing.
    pub fn duration_is_good(&self, key: &'static str) -> bool {
        let text = self.get(key).and_then(|v| v.get_ref().as_str());
        text.and_then(|t| units::duration(t).ok()).is_some_and(|d| !d.is_zero())
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

    /// A duration that is at least `shortest`; `or` where it is absent or wrong.
    pub fn duration_from(&self, key: &'static str, shortest: Duration, or: Duration) -> Duration {
        match self.duration(key) {
            Some(At { value, span }) if value < shortest => {
                let least = units::show(shortest);
                self.problem(span, "this is too short", format!("make it \"{least}\" or more"));
                or
            }
            Some(at) => at.value,
            None => or,
        }
    }

    /// Whole seconds, up to `most`.
    pub fn whole_seconds(&self, key: &'static str, range: RangeInclusive<u32>) -> Option<At<Duration>> {
        let at = self.duration(key)?;
        if at.value.subsec_nanos() == 0 && u32::try_from(at.value.as_secs()).is_ok_and(|s| range.contains(&s)) {
            return Some(at);
        }
        let message = format!("expected whole seconds from {} s to {} s", range.start(), range.end());
        self.problem(at.span, message, format!("{key} travels as a whole number of seconds"));
        None
    }

    pub fn rate(&self, key: &'static str) -> Option<u64> {
        self.unit(key, units::RATE, units::rate).map(|a| a.value)
    }

    pub fn size(&self, key: &'static str) -> Option<At<u32>> {
        self.unit(key, units::SIZE, units::size)
    }

    pub fn percent(&self, key: &'static str) -> Option<f64> {
        self.percent_at(key).map(|a| a.value)
    }

    pub fn percent_at(&self, key: &'static str) -> Option<At<f64>> {
        self.unit(key, units::PERCENT, units::percent)
    }

    pub fn drift(&self, key: &'static str) -> Option<u32> {
        self.unit(key, units::DRIFT, units::drift).map(|a| a.value)
    }

    pub fn frequency(&self, key: &'static str) -> Option<At<Duration>> {
        self.unit(key, units::FREQUENCY, units::frequency)
    }

    pub fn flag(&self, key: &'static str, or: bool) -> bool {
        let Some(value) = self.get(key) else { return or };
        value.get_ref().as_bool().or_else(|| self.expected(key, value, "true or false")).unwrap_or(or)
    }

    /// A whole number within the range that the settings table gives.
    pub fn count(&self, key: &'static str) -> Option<u32> {
        self.long_count(key).map(|n| u32::try_from(n).unwrap_or(u32::MAX))
    }

    /// The same, for numbers that may have 64 bits.
    pub fn long_count(&self, key: &'static str) -> Option<u64> {
        let (from, to) = match self.setting(key).shape {
            Shape::Count(from, to) => (from, to),
            Shape::Qos => (0, 2),
            _ => unreachable!("{key} is a count"),
        };
        let value = self.get(key)?;
        let number = value
            .get_ref()
            .as_integer()
            .and_then(|i| u64::from_str_radix(&i.as_str().replace('_', ""), i.radix()).ok())
            .filter(|n| (from..=to).contains(n));
        if number.is_none() {
            let look = match (self.setting(key).shape, to > u64::from(u32::MAX)) {
                (Shape::Qos, _) => "0, 1 or 2".to_owned(),
                (_, true) => format!("a whole number from {from}"),
                _ => format!("a whole number from {from} to {to}"),
            };
            return self.expected(key, value, &look);
        }
        number
    }

    pub fn qos(&self) -> u8 {
        self.count("qos").and_then(|q| u8::try_from(q).ok()).unwrap_or(0)
    }

    /// One of the words that the settings table lists.
    pub fn word(&self, key: &'static str, or: &'static str) -> &'static str {
        let Shape::Word(words) = self.setting(key).shape else { unreachable!("{key} is a word") };
        self.word_of(key, words, or)
    }

    /// One of these words, for a setting that may also be a table.
    pub fn word_of(&self, key: &'static str, words: &[&'static str], or: &'static str) -> &'static str {
        let Some(text) = self.text(key) else { return or };
        if let Some(word) = words.iter().find(|w| **w == text.value) {
            return word;
        }
        self.problem(text.span, format!("{key} cannot be this"), list(text.value, words.iter().copied()));
        or
    }

    /// True if this kind of table has such a setting at all, and it is there.
    pub fn has_setting(&self, key: &str) -> bool {
        settings::of(self.kind).any(|s| s.key == key) && self.table.contains_key(key)
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
            let look = format!("{kind}s with names of their own, [{kind}.NAME]");
            return self.expected::<Vec<_>>(key, value, &look).unwrap_or_default();
        };
        let mut all = Vec::new();
        for (name, value) in table {
            let at = At { value: &**name.get_ref(), span: name.span() };
            match value.get_ref().as_table() {
                Some(inner) => all.push((at.clone(), Table::new(kind, inner, at.span, self.problems))),
                None => {
                    let mend = format!("write [{kind}.NAME] above the settings of each {kind}");
                    self.problem(at.span, format!("expected {kind}s with names of their own"), mend);
                }
            }
        }
        all.sort_by_key(|(name, _)| name.span.start);
        all
    }
}

/// `no setting of this name in ...`
fn article(kind: &str) -> String {
    match kind {
        "offline" | "outage" | "outbox" | "expect" => format!("an {kind} table"),
        "scenario" => "a scenario".into(),
        "fleet" | "subscriber" | "link" | "fault" => format!("a {kind}"),
        _ => format!("a {kind} table"),
    }
}

/// What there is to choose from, the nearest to `name` first.
pub(super) fn list<'n>(name: &str, known: impl Iterator<Item = &'n str> + Clone) -> String {
    let near = nearest(name, known.clone()).map_or(String::new(), |n| format!("did you mean \"{n}\"? "));
    let mut seen: Vec<&str> = Vec::new();
    for name in known {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    format!("{near}there are: {}", seen.join(", "))
}
