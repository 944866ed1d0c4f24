//! Errors of a scenario file: all of them at once, each with its place and its mend.

use std::fmt::Write as _;
use std::ops::Range;

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// Bytes of the file; `0..0`: the file as a whole.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// How to mend it; may be empty.
    pub mend: String,
}

impl Problem {
    /// True if it is about the file as a whole, and no place in it.
    #[must_use]
    pub fn is_of_file(&self) -> bool {
        self.span == (0..0)
    }
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

    /// The lines and what is wrong there, in a line: `line 9: ...; line 14: ...`.
    #[must_use]
    pub fn brief(&self) -> String {
        let one = |p: &Problem| format!("line {}: {}", self.place(&p.span).number, p.message);
        self.problems.iter().map(one).collect::<Vec<_>>().join("; ")
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
            if self.text.is_empty() || problem.is_of_file() {
                let _ = writeln!(out, "  {red}{}{reset}", problem.message);
                if !problem.mend.is_empty() {
                    let _ = writeln!(out, "  {}", problem.mend);
                }
                continue;
            }
            let Place { number, line, column, width } = self.place(&problem.span);
            let number = number.to_string();
            let gutter = " ".repeat(number.len());
            let _ = writeln!(out, "  {number} | {line}");
            let mark = format!("{}{}", " ".repeat(column), "^".repeat(width));
            let _ = writeln!(out, "  {gutter} | {red}{mark} {}{reset}", problem.message);
            if !problem.mend.is_empty() {
                let _ = writeln!(out, "  {gutter} | {}", problem.mend);
            }
        }
        out
    }

    /// Where a problem stands, and how its line is shown: tabs as spaces, control characters as dots, and of a long
    /// line the part around the mark.
    fn place(&self, span: &Range<usize>) -> Place {
        let mut start = span.start.min(self.text.len());
        // The end of the file is the end of its last line with something in it.
        if self.text[..start].trim_end().len() < start && self.text[start..].trim().is_empty() {
            start = self.text.trim_end().len();
        }
        while !self.text.is_char_boundary(start) {
            start -= 1;
        }
        let line_start = self.text[..start].rfind('\n').map_or(0, |p| p + 1);
        let line_end = self.text[start..].find('\n').map_or(self.text.len(), |p| start + p);
        let mut end = span.end.clamp(start, line_end);
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let before = shown(&self.text[line_start..start]);
        let marked = shown(self.text[start..end].trim_end());
        let after = shown(self.text[end..line_end].trim_end());
        let (column, width) = (before.len(), marked.len().max(1));
        let line: Vec<char> = before.into_iter().chain(marked).chain(after).collect();
        let number = self.text[..start].matches('\n').count() + 1;
        let (line, column, width) = cropped(&line, column, width);
        Place { number, line, column, width }
    }
}

/// Where a problem stands, in characters as they are shown.
struct Place {
    number: usize,
    line: String,
    column: usize,
    width: usize,
}

/// A piece of a line as it is shown.
fn shown(text: &str) -> Vec<char> {
    let one = |c: char| match c {
        '\t' => vec![' '; TAB],
        c if c.is_control() => vec!['\u{b7}'],
        c => vec![c],
    };
    text.chars().flat_map(one).collect()
}

/// How many spaces a tab is shown as.
const TAB: usize = 4;
/// The longest line that is shown whole, in characters.
const LONGEST: usize = 120;

/// The part of a long line around the mark, with the mark's new place.
fn cropped(line: &[char], column: usize, width: usize) -> (String, usize, usize) {
    if line.len() <= LONGEST {
        return (line.iter().collect(), column, width);
    }
    let width = width.min(LONGEST / 2);
    let from = if column + width <= LONGEST { 0 } else { column.saturating_sub(LONGEST / 3) };
    let to = line.len().min(from + LONGEST);
    let (head, tail) = (if from > 0 { "... " } else { "" }, if to < line.len() { " ..." } else { "" });
    let text: String = line[from..to].iter().collect();
    (format!("{head}{text}{tail}"), column - from + head.len(), width)
}

/// By place, each once.
pub(super) fn sort(problems: &mut Vec<Problem>) {
    problems.sort_by(|a, b| {
        (a.span.start, a.span.end, &a.message, &a.mend).cmp(&(b.span.start, b.span.end, &b.message, &b.mend))
    });
    problems.dedup();
}

/// The name in `known` that is nearest to `name`, if it is near: upper and lower case are the same distance.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |k: &str| strsim::damerau_levenshtein(&name.to_lowercase(), &k.to_lowercase());
    let near = known.into_iter().map(|k| (distance(k), k)).min()?;
    (near.0 <= 1 + name.len() / 3 && near.0 < name.chars().count().max(2)).then_some(near.1)
}
