//! The table of normative statements: every one of MQTT 3.1.1 (141) and 5.0 (251), each with the cases that test it, or
//! with the reason why nobody outside the broker can.

use super::case::Case;
use crate::mqtt::Version;
use std::collections::BTreeMap;

const V311: &str = include_str!("../../docs/statements/mqtt-3.1.1.csv");
const V5: &str = include_str!("../../docs/statements/mqtt-5.0.csv");

/// One normative statement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Statement {
    /// Its number, without "MQTT-".
    pub number: String,
    /// Whom it binds: "server", "client" or "both".
    pub binds: String,
    /// What it asks for, in own words.
    pub says: String,
    /// The cases that test it, by name, in order.
    pub cases: Vec<String>,
    /// Why no case tests it; empty if one does.
    pub why_not: String,
}

/// The statements of a version (3.1.1 or 5.0), in the standard's order.
#[must_use]
pub fn table(version: Version) -> Vec<Statement> {
    read(if version == Version::V5 { V5 } else { V311 })
}

fn read(text: &str) -> Vec<Statement> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let row = |record: csv::StringRecord| {
        let field = |i| record.get(i).unwrap_or_default().to_owned();
        Statement {
            number: field(0),
            binds: field(1),
            says: field(2),
            cases: field(3).split_whitespace().map(str::to_owned).collect(),
            why_not: field(4),
        }
    };
    reader.records().map(|r| row(r.expect("the table is part of this program, and a test reads it"))).collect()
}

/// The table's text, its column of cases as the cases themselves say it.
#[must_use]
pub fn rewritten(version: Version, cases: &[Case]) -> String {
    let mut by_statement: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for case in cases {
        for statement in case.statements(version) {
            by_statement.entry(statement).or_default().push(&case.name);
        }
    }
    let mut out = csv::Writer::from_writer(Vec::new());
    let mut write = |fields: [&str; 5]| out.write_record(fields).expect("memory takes it");
    write(["statement", "binds", "says", "cases", "why_not"]);
    for s in table(version) {
        let cases = by_statement.remove(s.number.as_str()).unwrap_or_default().join(" ");
        write([&s.number, &s.binds, &s.says, &cases, &s.why_not]);
    }
    String::from_utf8(out.into_inner().expect("memory takes it")).expect("it was made of text")
}

/// How much of a version is tested.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Share {
    /// All statements.
    pub all: usize,
    /// Those that some case tests.
    pub tested: usize,
    /// Those that bind the client alone, and that no case tests.
    pub client: usize,
    /// Those that bind a server, and that no case tests; the table says why.
    pub untested: usize,
}

impl Share {
    /// The share of a version.
    #[must_use]
    pub fn of(version: Version) -> Self {
        let table = table(version);
        let tested = table.iter().filter(|s| !s.cases.is_empty()).count();
        let client = table.iter().filter(|s| s.cases.is_empty() && s.binds == "client").count();
        Self { all: table.len(), tested, client, untested: table.len() - tested - client }
    }
}
