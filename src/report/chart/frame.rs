//! A chart's frame: axes, grid, lines, blocks and words; drawn by plotters' SVG backend without fonts, then made to
//! follow the page's colours.
//!
//! Every ink is drawn as a colour that nobody would choose, and each such attribute becomes a class afterwards: the
//! style sheet gives it its colour, in light and in dark.

use super::axis::Axis;
use plotters::backend::{DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontDesc, FontFamily, FontStyle, RGBColor, ShapeStyle, TextStyle};

/// Drawing units a pixel: plotters draws on whole units, and lines on whole pixels look frayed.
const FINE: i32 = 4;
/// The first bytes of an ink's colour.
const MARK: (u8, u8) = (0x01, 0xAB);
/// Pixels kept free for labels.
const TOP: i32 = 24;
const BOTTOM: i32 = 26;
const RIGHT: i32 = 14;
/// Width of a character of 12 px in a proportional font, rounded up (*assumed*: no font is at hand to measure).
const CHARACTER: i32 = 7;

/// What something is drawn with; the style sheet has the colours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ink {
    /// Axis labels.
    Text,
    /// Grid lines.
    Grid,
    /// Grid lines between the labelled ones.
    FineGrid,
    /// The time of a fault.
    Fault,
    /// The drain.
    Drain,
    /// A fault's label.
    FaultText,
    /// A series, 0 to 5.
    Series(u8),
    /// A series, dotted.
    Dotted(u8),
}

impl Ink {
    const fn code(self) -> u8 {
        match self {
            Self::Text => 0x01,
            Self::Grid => 0x02,
            Self::FineGrid => 0x03,
            Self::Fault => 0x04,
            Self::Drain => 0x05,
            Self::FaultText => 0x06,
            Self::Series(n) => 0x10 + n % 6,
            Self::Dotted(n) => 0x20 + n % 6,
        }
    }

    const fn colour(self) -> RGBColor {
        RGBColor(MARK.0, MARK.1, self.code())
    }

    /// The class of strokes in this ink.
    #[must_use]
    pub fn stroke_class(self) -> String {
        format!("s{:02X}", self.code())
    }
}

/// A chart's size in pixels of the page.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Width.
    pub width: i32,
    /// Height.
    pub height: i32,
}

impl Size {
    /// True on a phone: fewer labels.
    #[must_use]
    pub const fn narrow(self) -> bool {
        self.width < 500
    }
}

/// What is drawn on. Points are given in the axes' own units; what lies outside is drawn on the edge.
pub struct Frame<'a> {
    backend: SVGBackend<'a>,
    size: Size,
    left: i32,
    x: (f64, f64),
    y: (f64, f64),
}

/// Draws a chart: the grid, then what `draw` adds. Returns an `<svg>` element without a size of its own, labelled
/// `label`.
#[must_use]
pub fn svg(size: Size, x: &Axis, y: &Axis, label: &str, draw: impl FnOnce(&mut Frame<'_>)) -> String {
    let mut text = String::new();
    let longest = y.ticks.iter().map(|t| t.label.chars().count()).max().unwrap_or(0);
    let left = i32::try_from(longest).unwrap_or(0) * CHARACTER + 12;
    {
        let units = ((size.width * FINE).unsigned_abs(), (size.height * FINE).unsigned_abs());
        let backend = SVGBackend::with_string(&mut text, units);
        let mut frame = Frame { backend, size, left, x: x.range, y: y.range };
        frame.grid(x, y);
        draw(&mut frame);
        frame.backend.present().expect("a string takes every write");
    }
    dress(&text, label)
}

impl Frame<'_> {
    fn grid(&mut self, x: &Axis, y: &Axis) {
        for tick in &y.ticks {
            let ink = if tick.label.is_empty() { Ink::FineGrid } else { Ink::Grid };
            self.line(&[(self.x.0, tick.at), (self.x.1, tick.at)], ink, 10);
            self.words(&tick.label, (self.x.0, tick.at), (-8, 0), HPos::Right, Ink::Text);
        }
        for tick in &x.ticks {
            self.line(&[(tick.at, self.y.0), (tick.at, self.y.1)], Ink::FineGrid, 10);
            self.words(&tick.label, (tick.at, self.y.0), (0, 15), HPos::Center, Ink::Text);
        }
    }

    /// The size of the chart.
    #[must_use]
    pub const fn size(&self) -> Size {
        self.size
    }

    /// The largest y that is shown.
    #[must_use]
    pub const fn top(&self) -> f64 {
        self.y.1
    }

    /// The least y that is shown.
    #[must_use]
    pub const fn bottom(&self) -> f64 {
        self.y.0
    }

    /// How many pixels lie between two values of x.
    #[must_use]
    pub fn pixels(&self, from: f64, to: f64) -> i32 {
        (self.place((to, self.y.0)).0 - self.place((from, self.y.0)).0) / FINE
    }

    /// True if a label fits in so many pixels.
    #[must_use]
    pub fn fits(text: &str, pixels: i32) -> bool {
        i32::try_from(text.chars().count()).is_ok_and(|n| n * CHARACTER <= pixels)
    }

    fn place(&self, (x, y): (f64, f64)) -> (i32, i32) {
        (between(x, self.x, self.left, self.size.width - RIGHT), between(y, self.y, self.size.height - BOTTOM, TOP))
    }

    /// A line through points; `tenths` of a pixel wide. One point alone is a dot.
    pub fn line(&mut self, points: &[(f64, f64)], ink: Ink, tenths: u32) {
        let placed: Vec<(i32, i32)> = points.iter().map(|p| self.place(*p)).collect();
        let width = tenths * FINE.unsigned_abs() / 10;
        let style = ShapeStyle { color: ink.colour().to_rgba(), filled: false, stroke_width: width };
        let drawn = match placed[..] {
            [] => Ok(()),
            [dot] => self.backend.draw_circle(dot, 2 * FINE.unsigned_abs(), &style.filled(), true),
            _ => self.backend.draw_path(placed, &style),
        };
        drawn.expect("a string takes every write");
    }

    /// A filled rectangle between two corners.
    pub fn block(&mut self, from: (f64, f64), to: (f64, f64), ink: Ink) {
        let ((x0, y0), (x1, y1)) = (self.place(from), self.place(to));
        let style = ink.colour().filled();
        // An instant has no width of its own.
        let (left, right) = (x0.min(x1), x0.max(x1).max(x0 + FINE));
        let drawn = self.backend.draw_rect((left, y0.min(y1)), (right, y0.max(y1)), &style, true);
        drawn.expect("a string takes every write");
    }

    /// Text at a point, moved by so many pixels.
    pub fn words(&mut self, text: &str, at: (f64, f64), by: (i32, i32), side: HPos, ink: Ink) {
        if text.is_empty() {
            return;
        }
        let (x, y) = self.place(at);
        // plotters divides a font's size by 1.24 to come near to its height in SVG.
        let font = FontDesc::new(FontFamily::SansSerif, f64::from(12 * FINE) * 1.24, FontStyle::Normal);
        let colour = ink.colour();
        let style = TextStyle::from(font).color(&colour).pos(Pos::new(side, VPos::Center));
        let drawn = self.backend.draw_text(text, &style, (x + by.0 * FINE, y + by.1 * FINE));
        drawn.expect("a string takes every write");
    }
}

/// Where a value of `range` lies between two pixels, in drawing units.
#[allow(clippy::cast_possible_truncation)]
fn between(value: f64, range: (f64, f64), from: i32, to: i32) -> i32 {
    let share = ((value - range.0) / (range.1 - range.0)).clamp(0.0, 1.0);
    libm::round(f64::from(from * FINE) + share * f64::from((to - from) * FINE)) as i32
}

/// Inks become classes, the fixed size becomes a view box, and the page's font is used.
fn dress(text: &str, label: &str) -> String {
    let mut svg = text.to_owned();
    for (attribute, class) in [("fill", 'f'), ("stroke", 's')] {
        let mark = format!("{attribute}=\"#{:02X}{:02X}", MARK.0, MARK.1);
        while let Some(at) = svg.find(&mark) {
            let code = svg[at + mark.len()..at + mark.len() + 2].to_owned();
            let end = at + mark.len() + 3;
            svg.replace_range(at..end, &format!("class=\"{class}{code}\""));
        }
    }
    for noise in [" opacity=\"1\"", " stroke=\"none\"", " font-family=\"sans-serif\"", " fill=\"none\""] {
        svg = svg.replace(noise, "");
    }
    svg = svg.replace(" \"/>", "\"/>");
    let from = svg.find("viewBox").expect("the backend writes one");
    format!("<svg role=\"img\" aria-label=\"{}\" {}", crate::report::html::escape(label), &svg[from..])
}
