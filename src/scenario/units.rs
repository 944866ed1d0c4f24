//! Values with written units: `"250 ms"`, `"62 kbit/s"`, `"5 %"`, `"24 B"`, `"2/min"`.

use crate::time::Duration;

/// Why a text is no such value: what was expected.
pub type Expected = &'static str;

/// Number and unit of a text like `12.5 ms`.
fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok()?;
    number.is_finite().then(|| (number, text[end..].trim()))
}

/// The longest time that can be written: 150 years, in seconds. The longest session expiry of MQTT is 136 years.
const LONGEST: f64 = 150.0 * 365.25 * 86_400.0;

/// What a duration looks like.
pub const DURATION: Expected = "a time like \"250 ms\", \"10 s\", \"2 min\", \"1 h\" or \"1 day\"";

/// Reads a duration. Units: ns, us, ms, s, min, h, day.
///
/// # Errors
/// If it is none, or longer than 150 years.
pub fn duration(text: &str) -> Result<Duration, Expected> {
    let (number, unit) = split(text).ok_or(DURATION)?;
    let seconds = match unit {
        "ns" => 1e-9,
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "min" => 60.0,
        "h" => 3600.0,
        "day" | "days" | "d" => 86_400.0,
        _ => return Err(DURATION),
    };
    let total = number * seconds;
    if total > LONGEST {
        return Err("a time of 150 years at most");
    }
    Ok(Duration::from_nanos(round(total * 1e9)))
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "callers check the range")]
fn round(x: f64) -> u64 {
    (x + 0.5) as u64
}

/// What a rate looks like.
pub const RATE: Expected = "a rate like \"62 kbit/s\" or \"1 Mbit/s\"";

/// Reads a data rate in bits a second.
///
/// # Errors
/// If it is none, or 0.
pub fn rate(text: &str) -> Result<u64, Expected> {
    let (number, unit) = split(text).ok_or(RATE)?;
    let factor = match unit {
        "bit/s" => 1.0,
        "kbit/s" => 1e3,
        "Mbit/s" => 1e6,
        "Gbit/s" => 1e9,
        _ => return Err(RATE),
    };
    match round(number * factor) {
        0 => Err("a rate above 0"),
        bits => Ok(bits),
    }
}

/// What a size looks like.
pub const SIZE: Expected = "a size like \"24 B\", \"2 KiB\" or \"1 MiB\"";

/// Reads a size in bytes.
///
/// # Errors
/// If it is none, or over 4 GiB.
pub fn size(text: &str) -> Result<u32, Expected> {
    let (number, unit) = split(text).ok_or(SIZE)?;
    let factor = match unit {
        "B" => 1.0,
        "kB" => 1e3,
        "MB" => 1e6,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        _ => return Err(SIZE),
    };
    u32::try_from(round(number * factor)).map_err(|_| "a size below 4 GiB")
}

/// What a share looks like.
pub const PERCENT: Expected = "a share like \"5 %\", from 0 to 100 %";

/// Reads a percentage as a number from 0 to 1.
///
/// # Errors
/// If it is none, or over 100 %.
pub fn percent(text: &str) -> Result<f64, Expected> {
    match split(text) {
        Some((number, "%")) if number <= 100.0 => Ok(number / 100.0),
        _ => Err(PERCENT),
    }
}

/// What a clock's drift looks like.
pub const DRIFT: Expected = "a clock's drift like \"40 ppm\", up to 100,000 ppm";

/// Reads a drift as parts per billion.
///
/// # Errors
/// If it is none, or over 100,000 ppm (a tenth).
pub fn drift(text: &str) -> Result<u32, Expected> {
    match split(text) {
        Some((number, "ppm")) if number <= 1e5 => u32::try_from(round(number * 1e3)).map_err(|_| DRIFT),
        _ => Err(DRIFT),
    }
}

/// What a frequency looks like.
pub const FREQUENCY: Expected = "how often, like \"2/s\", \"6/min\" or \"1/h\"";

/// Reads a frequency as the mean time between two events.
///
/// # Errors
/// If it is none, or 0.
pub fn frequency(text: &str) -> Result<Duration, Expected> {
    let (number, unit) = split(text).ok_or(FREQUENCY)?;
    let span = match unit.strip_prefix('/').map(str::trim) {
        Some("s") => 1.0,
        Some("min") => 60.0,
        Some("h") => 3600.0,
        Some("day") => 86_400.0,
        _ => return Err(FREQUENCY),
    };
    let mean = span / number;
    if number <= 0.0 || mean > LONGEST {
        return Err("a frequency of once in 150 years at least");
    }
    Ok(Duration::from_nanos(round(mean * 1e9)))
}

/// A duration as a person would write it, exact: `250 ms`, `1.5 s`, `2 min 10 s`, `1 day 2 h`.
#[must_use]
pub fn show(d: Duration) -> String {
    if d < Duration::from_secs(120) {
        let nanos = d.as_nanos();
        let (unit, name) = match nanos {
            0 => return "0 s".into(),
            1..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "us"),
            1_000_000..1_000_000_000 => (1_000_000, "ms"),
            _ => (1_000_000_000, "s"),
        };
        let (whole, rest) = (nanos / unit, nanos % unit);
        let digits = format!("{rest:0width$}", width = unit.ilog10() as usize);
        let point = if rest == 0 { "" } else { "." };
        let digits = if rest == 0 { "" } else { digits.trim_end_matches('0') };
        return format!("{whole}{point}{digits} {name}");
    }
    let mut out = Vec::new();
    let mut seconds = d.as_secs();
    for (length, name) in [(86_400, "day"), (3600, "h"), (60, "min")] {
        if seconds >= length {
            let s = if name == "day" && seconds >= 2 * length { "s" } else { "" };
            out.push(format!("{} {name}{s}", seconds / length));
            seconds %= length;
        }
    }
    let rest = Duration::new(seconds, d.subsec_nanos());
    if !rest.is_zero() {
        out.push(show(rest));
    }
    out.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_ones() {
        assert_eq!(duration("250 ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1.5 s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2min"), Ok(Duration::from_secs(120)));
        assert_eq!(rate("62 kbit/s"), Ok(62_000));
        assert_eq!(size("2 KiB"), Ok(2048));
        assert_eq!(percent("0.5 %"), Ok(0.005));
        assert_eq!((drift("40 ppm"), drift("0.5 ppm"), drift("100000 ppm")), (Ok(40_000), Ok(500), Ok(100_000_000)));
        assert_eq!(frequency("2/min"), Ok(Duration::from_secs(30)));
    }

    #[test]
    fn durations_are_shown_as_they_are_written() {
        for text in
            ["0 s", "250 ms", "1.5 s", "119.25 s", "2 min", "2 min 10 s", "1 h", "1 day 2 h", "3 days", "1.05 us"]
        {
            let total: Duration = text
                .split_inclusive(char::is_alphabetic)
                .collect::<String>()
                .replace("days", "day")
                .split(' ')
                .collect::<Vec<_>>()
                .chunks(2)
                .map(|pair| duration(&pair.join(" ")).expect("legal"))
                .sum();
            assert_eq!(show(total), text);
        }
    }

    #[test]
    fn bad_ones() {
        for bad in ["", "10", "ten s", "10 lightyears", "-1 s", "1e5 s", "9999999999999 day"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert!(rate("0 bit/s").is_err() && rate("62 kb").is_err());
        assert!(size("8 bytes").is_err() && size("5000 MiB").is_err());
        assert!(percent("101 %").is_err() && percent("5").is_err());
        assert!(frequency("0.0001/day").is_ok() && frequency("0.00001/day").is_err());
        assert!(drift("100001 ppm").is_err() && drift("40").is_err() && drift("-1 ppm").is_err());
        assert!(frequency("0/s").is_err() && frequency("2").is_err());
    }
}
