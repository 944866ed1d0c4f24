//! Errors of a scenario file: all of them at once, each with its place and its mend.

use std::fmt::Write as _;
use std::ops::Range;

/// The place of what is missing from the file as a whole.
pub const WHOLE_FILE: Range<usize> = usize::MAX..usize::MAX;

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// Bytes of the file; [`WHOLE_FILE`] for what has no place in it.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// How to mend it; may be empty.
    pub mend: String,
}

/// Everything that is wrong with one file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostics {
    /// The file's name, as the user wrote it.
    pub file: String,
    /// Its text; empty if it could not be read.
    pub text: String,
    /// The problems, by place.
    pub problems: Vec<Problem>,
}

impl Diagnostics {
    /// A problem of the file as a whole.
    #[must_use]
    pub fn of_file(file: &str, message: String, mend: String) -> Self {
        Self { file: file.into(), text: String::new(), problems: vec![Problem { span: 0..0, message, mend }] }
    }

    /// As a person reads it; `colour` for terminals.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let (red, bold, reset) = if colour { ("\x1b[31m", "\x1b[1m", "\x1b[0m") } else { ("", "", "") };
        let n = self.problems.len();
        let errors = if n == 1 { "1 error".to_owned() } else { format!("{n} errors") };
        let mut out = format!("{bold}{}: {errors}, nothing was started{reset}\n", self.file);
        for problem in &self.problems {
            out.push('\n');
            if self.text.is_empty() || problem.span == WHOLE_FILE {
                let _ = writeln!(out, "  {red}{}{reset}", problem.message);
                if !problem.mend.is_empty() {
                    let _ = writeln!(out, "  {}", problem.mend);
                }
                continue;
            }
            let (number, line, column, width) = self.place(&problem.span);
            let number = number.to_string();
            let gutter = " ".repeat(number.len());
            let _ = writeln!(out, "  {number} | {line}");
            // A tab stays one, so that the mark stands under what it marks.
            let before: String = line.chars().take(column).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            let mark = format!("{before}{}", "^".repeat(width));
            let _ = writeln!(out, "  {gutter} | {red}{mark} {}{reset}", problem.message);
            if !problem.mend.is_empty() {
                let _ = writeln!(out, "  {gutter} | {}", problem.mend);
            }
        }
        out
    }

    /// Line number, the line, and column and width of the mark in characters.
    fn place(&self, span: &Range<usize>) -> (usize, &str, usize, usize) {
        let mut start = span.start.min(self.text.len());
        while !self.text.is_char_boundary(start) {
            start -= 1;
        }
        let line_start = self.text[..start].rfind('\n').map_or(0, |p| p + 1);
        let line_end = self.text[start..].find('\n').map_or(self.text.len(), |p| start + p);
        let number = self.text[..start].matches('\n').count() + 1;
        let end = span.end.clamp(start, line_end);
        let marked = self.text.get(start..end).map_or(1, |t| t.chars().count());
        let column = self.text[line_start..start].chars().count();
        (number, self.text[line_start..line_end].trim_end_matches('\r'), column, marked.max(1))
    }
}

/// The name in `known` that is nearest to `name`, if it is near.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = known.into_iter().map(|k| (strsim::damerau_levenshtein(name, k), k)).min()?;
    (near.0 <= 1 + name.len() / 3).then_some(near.1)
}
