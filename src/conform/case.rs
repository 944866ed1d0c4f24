//! A case, and how it can end.

use super::bench::Bench;
use crate::mqtt::Version;
use crate::peer::{Got, Surprise};

/// Why a case ended before its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Stop {
    /// The broker broke the rule.
    Broken(String),
    /// The broker has not what the rule is about, or refuses it, as it may.
    NotApplicable(String),
    /// The broker could not be reached.
    Unreachable(String),
}

impl From<Surprise> for Stop {
    fn from(surprise: Surprise) -> Self {
        if matches!(surprise.got, Got::Broken(_)) && surprise.wanted == "a connection" {
            return Self::Unreachable(surprise.to_string());
        }
        Self::Broken(surprise.to_string())
    }
}

/// How a case's function ends.
pub type Done = Result<(), Stop>;

/// The broker broke the rule, in words.
pub(super) fn broken<T>(why: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Broken(why.into()))
}

/// The rule does not apply to this broker, in words.
pub(super) fn not_applicable<T>(why: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::NotApplicable(why.into()))
}

/// Ends the case as broken unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($why:tt)+) => {
        if !$condition {
            return $crate::conform::case::broken(format!($($why)+));
        }
    };
}
pub(super) use ensure;

type Run = Box<dyn Fn(&Bench) -> Done + Send + Sync>;

/// One case.
pub struct Case {
    /// Its name: words with hyphens.
    pub name: String,
    /// The rule, in a sentence.
    pub says: String,
    v311: Vec<&'static str>,
    v5: Vec<&'static str>,
    /// It disturbs other cases, or they it: it runs when no other does.
    pub alone: bool,
    run: Run,
}

impl Case {
    /// A case that tests nothing yet; say what with [`Self::both`], [`Self::v311`] and [`Self::v5`].
    pub(super) fn new(
        name: impl Into<String>,
        says: impl Into<String>,
        run: impl Fn(&Bench) -> Done + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            says: says.into(),
            v311: Vec::new(),
            v5: Vec::new(),
            alone: false,
            run: Box::new(run),
        }
    }

    /// The statements of 3.1.1 that it tests, with spaces between their numbers.
    pub(super) fn v311(mut self, statements: &'static str) -> Self {
        self.v311 = statements.split_whitespace().collect();
        self
    }

    /// The statements of 5.0 that it tests.
    pub(super) fn v5(mut self, statements: &'static str) -> Self {
        self.v5 = statements.split_whitespace().collect();
        self
    }

    /// Statements that have the same numbers in both versions.
    pub(super) fn both(self, statements: &'static str) -> Self {
        self.v311(statements).v5(statements)
    }

    /// It wants the broker for itself.
    pub(super) fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    /// The statements of that version that it tests; none: it does not exist in that version.
    #[must_use]
    pub fn statements(&self, version: Version) -> &[&'static str] {
        if version == Version::V5 { &self.v5 } else { &self.v311 }
    }

    /// Runs it.
    pub(super) fn run(&self, bench: &Bench) -> Done {
        (self.run)(bench)
    }
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Case").field("name", &self.name).field("v311", &self.v311).field("v5", &self.v5).finish()
    }
}
