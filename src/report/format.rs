//! Numbers for people: three digits that matter, units written, thousands set apart. Same input, same text.

use super::model::{Report, Unit};

/// What stands where nothing could be measured.
pub const MISSING: &str = "-";

/// `2,391`.
#[must_use]
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count, or [`MISSING`].
#[must_use]
pub fn count_or(n: Option<u64>) -> String {
    n.map_or_else(|| MISSING.to_owned(), count)
}

/// Three digits: `1.23`, `12.3`, `123`, `1,234`.
#[must_use]
pub fn three_digits(x: f64) -> String {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    match x.abs() {
        a if a >= 999.5 => format!("{}{}", if x < 0.0 { "-" } else { "" }, count(libm::round(a) as u64)),
        a if a >= 99.95 => format!("{x:.0}"),
        a if a >= 9.995 => format!("{x:.1}"),
        _ => format!("{x:.2}"),
    }
}

/// A latency: `340 µs`, `12.3 ms`, `1.90 s`, `3 min 04 s`.
#[must_use]
pub fn seconds(s: f64) -> String {
    if s < 0.0 {
        return format!("-{}", seconds(-s));
    }
    if s == 0.0 {
        "0 s".to_owned()
    } else if s < 0.000_999_5 {
        format!("{} µs", three_digits(s * 1e6))
    } else if s < 0.999_5 {
        format!("{} ms", three_digits(s * 1e3))
    } else if s < 119.95 {
        format!("{} s", three_digits(s))
    } else {
        span(s)
    }
}

/// A latency, or [`MISSING`].
#[must_use]
pub fn seconds_or(s: Option<f64>) -> String {
    s.map_or_else(|| MISSING.to_owned(), seconds)
}

/// A length of time in whole seconds: `34 s`, `3 min 04 s`, `2 h 05 min`.
#[must_use]
pub fn span(s: f64) -> String {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let whole = libm::round(s.max(0.0)) as u64;
    match whole {
        0 if s > 0.0 => seconds(s),
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

/// A point of run time: `42.003 s`.
#[must_use]
pub fn moment(s: f64) -> String {
    format!("{s:.3}")
}

/// `6.1 MiB`.
#[must_use]
pub fn bytes(b: f64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    // A quotient of a few bytes: what is not 0 does not look like it.
    if b.abs() < 9.995 && b != libm::round(b) {
        return format!("{} B", three_digits(b));
    }
    if b.abs() < 1024.0 {
        return format!("{b:.0} B");
    }
    let (mut value, mut unit) = (b / 1024.0, UNITS[0]);
    for next in &UNITS[1..] {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, next);
    }
    if value < 99.95 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

/// A share of 1 as per cent: `11 %`, `0.13 %`.
#[must_use]
pub fn per_cent(share: f64) -> String {
    let p = share * 100.0;
    match p {
        p if p == 0.0 || p >= 9.95 => format!("{p:.0} %"),
        p if p >= 0.995 => format!("{p:.1} %"),
        p if p >= 0.001 => format!("{p:.2} %"),
        _ => "under 0.001 %".to_owned(),
    }
}

/// A value in its unit.
#[must_use]
pub fn in_unit(value: f64, unit: Unit) -> String {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    match unit {
        Unit::Seconds => seconds(value),
        Unit::Bytes => bytes(value),
        Unit::Count => count(libm::round(value) as u64),
    }
}

/// Seconds since 1970 as `2026-11-24 09:17 UTC`.
#[must_use]
pub fn date(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Civil date from days, by Howard Hinnant's "chrono-compatible low-level date algorithms" (years from March).
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02} {:02}:{:02} UTC", rest / 3600, rest % 3600 / 60)
}

/// `seed 7, 3 min 04 s, TCP by smoltcp on both ends of 220 links`.
#[must_use]
pub fn circumstances(report: &Report) -> String {
    format!("seed {}, {}, {}", report.scenario.seed, span(report.phases.ended), report.engine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!(count(0), "0");
        assert_eq!(count(1_234_567), "1,234,567");
        for (given, expected) in [
            (0.0, "0 s"),
            (0.000_063, "63.0 µs"),
            (0.000_999_9, "1.00 ms"),
            (0.9999, "1.00 s"),
            (1.9, "1.90 s"),
            (17.84, "17.8 s"),
            (184.0, "3 min 04 s"),
            (7_512.0, "2 h 05 min"),
        ] {
            assert_eq!(seconds(given), expected);
        }
        assert_eq!(bytes(6.1 * 1024.0 * 1024.0), "6.1 MiB");
        assert_eq!(bytes(512.0), "512 B");
        assert_eq!((bytes(0.0), bytes(0.25), bytes(3.0)), ("0 B".to_owned(), "0.25 B".to_owned(), "3 B".to_owned()));
        assert_eq!(per_cent(0.0013), "0.13 %");
        assert_eq!(date(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(date(1_795_511_856), "2026-11-24 09:17 UTC");
        assert_eq!(count_or(None), MISSING);
    }
}
