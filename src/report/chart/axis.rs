//! Axes: ranges and where their labels stand. Logarithmic axes work on values that are already logarithms.

use crate::report::format;

/// A range with its ticks.
#[derive(Clone, PartialEq, Debug)]
pub struct Axis {
    /// Least and largest value shown.
    pub range: (f64, f64),
    /// Grid lines.
    pub ticks: Vec<Tick>,
}

/// A grid line.
#[derive(Clone, PartialEq, Debug)]
pub struct Tick {
    /// Where.
    pub at: f64,
    /// What stands beside it; may be empty.
    pub label: String,
}

/// Run time from 0 to `end` seconds, with at most `most` labels.
#[must_use]
pub fn time(end: f64, most: u32) -> Axis {
    const STEPS: [f64; 20] = [
        0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0,
        14_400.0, 21_600.0, 43_200.0,
    ];
    let end = end.max(0.1);
    let fits = |step: &&f64| end / **step <= f64::from(most);
    let step =
        STEPS.iter().find(fits).copied().unwrap_or_else(|| 86_400.0 * libm::ceil(end / 86_400.0 / f64::from(most)));
    let label = |at: f64| match step {
        s if s >= 3600.0 => format!("{} h", plain(at / 3600.0)),
        s if s >= 60.0 => format!("{} min", plain(at / 60.0)),
        _ => format!("{} s", plain(at)),
    };
    Axis { range: (0.0, end), ticks: steps(0.0, end, step).map(|at| Tick { at, label: label(at) }).collect() }
}

/// Numbers from 0 to at least `largest`, labelled by `label`.
#[must_use]
pub fn linear(largest: f64, most: u32, label: impl Fn(f64) -> String) -> Axis {
    let step = nice(largest.max(1e-9) / f64::from(most));
    let end = step * libm::ceil(largest.max(1e-9) / step - 1e-9);
    Axis { range: (0.0, end), ticks: steps(0.0, end, step).map(|at| Tick { at, label: label(at) }).collect() }
}

/// A step for memory sizes: powers of two of 1, 2, 4, 8 ... bytes.
#[must_use]
pub fn memory(largest: f64, most: u32) -> Axis {
    let mut step = 1024.0;
    while largest / step > f64::from(most) {
        step *= 2.0;
    }
    let end = step * libm::ceil(largest / step);
    let label = |at: f64| if at == 0.0 { "0".to_owned() } else { format::bytes(at).replace(".0 ", " ") };
    Axis { range: (0.0, end), ticks: steps(0.0, end, step).map(|at| Tick { at, label: label(at) }).collect() }
}

/// Latencies, in `log10` of seconds, from `least` to `largest` seconds; both above 0.
#[must_use]
pub fn log_seconds(least: f64, largest: f64) -> Axis {
    let (low, high) = (libm::log10(least) - 0.02, libm::log10(largest) + 0.05);
    let range = if high - low < 0.6 { (low - 0.3, high + 0.3) } else { (low, high) };
    let dense = range.1 - range.0 < 2.8;
    let mut ticks = Vec::new();
    #[allow(clippy::cast_possible_truncation)]
    for decade in libm::floor(range.0) as i32..=libm::ceil(range.1) as i32 {
        for factor in [1.0, 2.0, 5.0] {
            let at = f64::from(decade) + libm::log10(factor);
            if at >= range.0 && at <= range.1 {
                let shown = dense || factor == 1.0;
                ticks.push(Tick { at, label: if shown { short(decade, factor) } else { String::new() } });
            }
        }
    }
    Axis { range, ticks }
}

/// Percentiles, in `log10(1 / (1 - p))`, up to `last` of these units.
#[must_use]
pub fn percentiles(last: f64, narrow: bool) -> Axis {
    const ALL: [(f64, &str); 9] = [
        (0.0, "0"),
        (0.5, "50 %"),
        (0.9, "90 %"),
        (0.95, "95 %"),
        (0.99, "99 %"),
        (0.999, "99.9 %"),
        (0.9999, "99.99 %"),
        (0.999_99, "99.999 %"),
        (0.999_999, "99.9999 %"),
    ];
    let ticks = ALL.iter().filter(|(p, _)| !(narrow && (*p == 0.95 || *p == 0.0))).filter_map(|(p, label)| {
        let at = -libm::log10(1.0 - p);
        (at <= last + 1e-9).then(|| Tick { at, label: (*label).to_owned() })
    });
    Axis { range: (0.0, last.max(0.5)), ticks: ticks.collect() }
}

/// Ratios, in `log10`, from `low` to `high`; both above 0.
#[must_use]
pub fn factors(low: f64, high: f64) -> Axis {
    let range = (libm::log10(low) - 0.03, libm::log10(high) + 0.03);
    let dense = range.1 - range.0 < 1.5;
    let mut ticks = Vec::new();
    #[allow(clippy::cast_possible_truncation)]
    for decade in libm::floor(range.0) as i32..=libm::ceil(range.1) as i32 {
        for factor in [1.0, 2.0, 5.0] {
            let at = f64::from(decade) + libm::log10(factor);
            if at >= range.0 && at <= range.1 && (dense || factor == 1.0) {
                ticks.push(Tick { at, label: format!("x {}", plain(factor * libm::pow(10.0, f64::from(decade)))) });
            }
        }
    }
    Axis { range, ticks }
}

fn steps(from: f64, to: f64, step: f64) -> impl Iterator<Item = f64> {
    (0_u32..).map(move |n| from + f64::from(n) * step).take_while(move |at| *at <= to + step * 1e-6)
}

/// The next of 1, 2, 5 times a power of ten.
fn nice(x: f64) -> f64 {
    let power = libm::pow(10.0, libm::floor(libm::log10(x)));
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|f| f * power).find(|step| *step >= x * (1.0 - 1e-9)).unwrap_or(10.0 * power)
}

/// A number as short as it can be: `0.5`, `30`, `1,200`.
#[must_use]
pub fn plain(x: f64) -> String {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    if x >= 1000.0 {
        return format::count(libm::round(x) as u64);
    }
    let text = format!("{x:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `factor` times ten to the `decade` seconds: `200 ms`.
fn short(decade: i32, factor: f64) -> String {
    let (unit, below) = match decade {
        0.. => ("s", 0),
        -3..=-1 => ("ms", -3),
        -6..=-4 => ("µs", -6),
        _ => ("ns", -9),
    };
    let value = factor * libm::pow(10.0, f64::from(decade - below));
    format!("{} {unit}", plain(value))
}
