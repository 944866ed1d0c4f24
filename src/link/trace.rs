//! Recorded links: how fast, how late and how lossy one direction was over time. A trace begins again when it is over.

use crate::time::{Duration, Instant};

/// Bytes that one opportunity of mahimahi's carries (its `PACKET_SIZE`).
const OPPORTUNITY: u64 = 1504;

/// A recorded direction of a link.
#[derive(Clone, PartialEq, Debug)]
pub struct Trace {
    /// The file that it was read from.
    pub file: String,
    /// What was recorded.
    pub form: Form,
}

/// What a recording says.
#[derive(Clone, PartialEq, Debug)]
pub enum Form {
    /// Steps by time, the first at zero.
    Steps {
        /// In order of time.
        steps: Vec<Step>,
        /// Nanoseconds after which it begins again.
        period: u64,
    },
    /// mahimahi's: the times, in milliseconds, at which 1,504 bytes may pass; not descending, the last above 0 is the period.
    Opportunities(Vec<u64>),
}

/// What holds from `at` until the next step. None: what the link's own settings say.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Step {
    /// Nanoseconds from the trace's beginning.
    pub at: u64,
    /// Bits a second; 0: nothing moves.
    pub rate: Option<u64>,
    /// Propagation delay.
    pub delay: Option<Duration>,
    /// Probability that a packet is lost.
    pub loss: Option<f64>,
}

/// Where a transmitter is among the opportunities of a trace: the next one it may use, and how many bytes that still carries.
#[derive(Clone, Copy, Default, Debug)]
pub struct Cursor {
    opportunity: u64,
    left: u64,
}

/// A mistake in a recording: its line, counted from 1, and what is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mistake {
    /// Line, from 1; 0: the file as a whole.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

fn mistake<T>(line: usize, what: impl Into<String>) -> Result<T, Mistake> {
    Err(Mistake { line, what: what.into() })
}

impl Form {
    /// Reads a CSV file with a header line: `time` (seconds from the beginning, ascending), and at least one of `rate` (bits a
    /// second), `delay` (milliseconds) and `loss` (0 to 1). An empty cell leaves the link's own setting. The last line holds as
    /// long as the one before it.
    ///
    /// # Errors
    /// The first mistake, with its line.
    pub fn csv(text: &str) -> Result<Self, Mistake> {
        let mut lines = text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty() && !l.starts_with('#'));
        let header: Vec<&str> = lines.next().map_or("", |(_, l)| l).split(',').map(str::trim).collect();
        if let Some(other) = header.iter().find(|h| !["time", "rate", "delay", "loss"].contains(h)) {
            return mistake(1, format!("the columns are time, rate, delay and loss, not \"{other}\""));
        }
        if !header.contains(&"time") || header.len() < 2 {
            return mistake(1, "the first line names the columns: time, and some of rate, delay, loss");
        }
        let mut steps: Vec<Step> = Vec::new();
        for (number, line) in lines {
            let step = Step::read(&header, line, number + 1)?;
            match steps.last() {
                None if step.at != 0 => return mistake(number + 1, "the first time must be 0"),
                Some(last) if step.at <= last.at => return mistake(number + 1, "times must ascend"),
                _ => steps.push(step),
            }
        }
        let period = match steps.as_slice() {
            [] => return mistake(0, "there is no line below the header"),
            [_] => 1_000_000_000,
            [.., before, last] => 2 * last.at - before.at,
        };
        if steps.iter().all(|s| s.rate == Some(0)) {
            return mistake(0, "its rate is always 0: nothing would ever pass");
        }
        Ok(Self::Steps { steps, period })
    }

    /// Reads mahimahi's format: one time in milliseconds a line, each an opportunity for 1,504 bytes.
    ///
    /// # Errors
    /// The first mistake, with its line.
    pub fn mahimahi(text: &str) -> Result<Self, Mistake> {
        let mut times = Vec::new();
        for (number, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
            match line.trim().parse::<u64>() {
                Ok(t) if t > MOST_MILLIS => return mistake(number + 1, "a time of a year at most"),
                Ok(t) if times.last().is_none_or(|last| *last <= t) => times.push(t),
                Ok(_) => return mistake(number + 1, "times must not descend"),
                Err(_) => return mistake(number + 1, "expected a time in whole milliseconds"),
            }
        }
        match times.last() {
            None => mistake(0, "it holds no time"),
            Some(0) => mistake(0, "the last time must be above 0: it is when the trace begins again"),
            Some(_) => Ok(Self::Opportunities(times)),
        }
    }
}

const MOST_MILLIS: u64 = 366 * 86_400_000;

impl Step {
    fn read(header: &[&str], line: &str, number: usize) -> Result<Self, Mistake> {
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        if cells.len() != header.len() {
            return mistake(number, format!("expected {} cells", header.len()));
        }
        let cell = |name: &str, most: f64| -> Result<Option<f64>, Mistake> {
            let text = header.iter().position(|h| *h == name).map_or("", |at| cells[at]);
            match text.parse::<f64>() {
                _ if text.is_empty() => Ok(None),
                Ok(x) if (0.0..=most).contains(&x) => Ok(Some(x)),
                _ => mistake(number, format!("{name} must be a number from 0 to {most}")),
            }
        };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the limits just checked")]
        let whole = |x: f64| (x + 0.5) as u64;
        let Some(time) = cell("time", MOST_MILLIS as f64 / 1e3)? else { return mistake(number, "time is missing") };
        Ok(Self {
            at: whole(time * 1e9),
            rate: cell("rate", 1e12)?.map(whole),
            delay: cell("delay", 1e8)?.map(|ms| Duration::from_nanos(whole(ms * 1e6))),
            loss: cell("loss", 1.0)?,
        })
    }
}

impl Trace {
    /// What holds at `at`; none for opportunities.
    #[must_use]
    pub fn step(&self, at: Instant) -> Option<Step> {
        let Form::Steps { steps, period } = &self.form else { return None };
        Some(steps[place(steps, at.as_nanos() % period)])
    }

    /// When `bytes` that begin to be sent at `start` are wholly sent. `rate` counts where the trace names none (none: no
    /// time at all), and `cursor` is the transmitter's place among the opportunities.
    #[must_use]
    pub fn sent(&self, bytes: u64, start: Instant, rate: Option<u64>, cursor: &mut Cursor) -> Instant {
        match &self.form {
            Form::Steps { steps, period } => by_steps(steps, *period, bytes, start, rate),
            Form::Opportunities(times) => by_opportunities(times, bytes, start, cursor),
        }
    }
}

/// The step that holds at `within` the period.
fn place(steps: &[Step], within: u64) -> usize {
    steps.partition_point(|s| s.at <= within).saturating_sub(1)
}

fn by_steps(steps: &[Step], period: u64, bytes: u64, start: Instant, rate: Option<u64>) -> Instant {
    // In bits times a second's nanoseconds, so that nothing is rounded before the end.
    let mut todo = u128::from(bytes) * 8 * 1_000_000_000;
    let mut now = start.as_nanos();
    loop {
        let within = now % period;
        let i = place(steps, within);
        let until = steps.get(i + 1).map_or(period, |s| s.at) - within;
        let Some(rate) = steps[i].rate.or(rate) else { return Instant::from_nanos(now) };
        let moved = u128::from(rate) * u128::from(until);
        if moved >= todo {
            let rest = todo.div_ceil(u128::from(rate.max(1)));
            return Instant::from_nanos(now.saturating_add(u64::try_from(rest).unwrap_or(u64::MAX)));
        }
        todo -= moved;
        now = now.saturating_add(until);
        if now == u64::MAX {
            return Instant::FAR;
        }
    }
}

fn by_opportunities(times: &[u64], bytes: u64, start: Instant, cursor: &mut Cursor) -> Instant {
    let (period, count) = (*times.last().expect("a trace has a time"), times.len() as u64);
    let millis = start.as_nanos().div_ceil(1_000_000);
    let (mut round, mut within) = (millis / period, millis % period);
    if within == 0 && round > 0 {
        (round, within) = (round - 1, period); // the last of a round is at the time at which the next one begins
    }
    let first = round * count + times.partition_point(|t| *t < within) as u64;
    if first > cursor.opportunity || cursor.left == 0 {
        *cursor = Cursor { opportunity: first.max(cursor.opportunity), left: OPPORTUNITY };
    }
    let mut todo = bytes.max(1);
    loop {
        let used = todo.min(cursor.left);
        todo -= used;
        cursor.left -= used;
        let index = usize::try_from(cursor.opportunity % count).expect("below the list's length");
        let at = Instant::from_millis(cursor.opportunity / count * period + times[index]);
        if cursor.left == 0 {
            *cursor = Cursor { opportunity: cursor.opportunity + 1, left: OPPORTUNITY };
        }
        if todo == 0 {
            return at.max(start);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(form: Result<Form, Mistake>) -> Trace {
        Trace { file: "test".into(), form: form.expect("a good trace") }
    }

    #[test]
    fn steps_are_followed_and_begin_again() {
        let t = trace(Form::csv("time,rate,delay,loss\n0,8000,10,0\n1,0,,0.5\n2,16000,20,\n"));
        let sent = |bytes, millis| {
            let at = t.sent(bytes, Instant::from_millis(millis), None, &mut Cursor::default());
            at.as_nanos() / 1_000_000
        };
        // 500 B: half a second at 8 kbit/s; from 0.75 s on a quarter is sent, then a second of nothing, then twice as fast.
        assert_eq!((sent(500, 0), sent(500, 750), sent(500, 1_500)), (500, 2_125, 2_250));
        // The last line holds for a second, and the trace begins again after three.
        assert_eq!(sent(500, 3_000), 3_500);
        let at = |millis| t.step(Instant::from_millis(millis)).expect("steps");
        assert_eq!((at(999).delay, at(1_000).delay), (Some(Duration::from_millis(10)), None));
        assert_eq!((at(4_100).loss, at(5_000).loss), (Some(0.5), None));
    }

    #[test]
    fn opportunities_carry_1504_bytes_each() {
        let t = trace(Form::mahimahi("2\n2\n5\n10\n"));
        let mut cursor = Cursor::default();
        let mut sent =
            |bytes, millis| t.sent(bytes, Instant::from_millis(millis), None, &mut cursor).as_nanos() / 1_000_000;
        // Two small ones share the first, a large one needs the second at 2 ms and the one at 5 ms.
        assert_eq!((sent(752, 0), sent(752, 0), sent(2_000, 0)), (2, 2, 5));
        // The rest of the opportunity at 5 ms is gone at 6 ms; 10 ms is the last, and the first of the next round is at 12.
        assert_eq!((sent(1_504, 6), sent(1, 10), sent(1_504, 13)), (10, 12, 15));
    }

    #[test]
    fn mistakes_have_their_line() {
        let line = |r: Result<Form, Mistake>| r.expect_err("a mistake").line;
        assert_eq!(line(Form::csv("time,speed\n0,1\n")), 1);
        assert_eq!(line(Form::csv("time,rate\n0,1\n0,2\n")), 3);
        assert_eq!(line(Form::csv("time,loss\n0,1.5\n")), 2);
        assert_eq!(line(Form::csv("time,rate\n0,0\n")), 0);
        assert_eq!(line(Form::mahimahi("1\n5\n4\n")), 3);
        assert_eq!(line(Form::mahimahi("0\n")), 0);
    }
}
