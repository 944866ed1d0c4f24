//! Random scenarios: from a seed, a file as a person might write it. A small one, with something unpleasant in it.

use crate::seed::Stream;
use std::fmt::Write;

/// The scenario of that seed, as a file's text: one to three fleets, one to three subscribers, and up to three faults.
#[must_use]
pub fn generate(seed: u64) -> String {
    let mut g = Grammar { s: Stream::named(seed, &["grammar"]), out: String::new() };
    let duration = g.between(10, 60);
    let _ = write!(
        g.out,
        "# A random scenario, number {seed}. It must show that nothing breaks.\nname = \"random-{seed}\"\nseed = {seed}\n\
         ramp = \"{} s\"\nduration = \"{duration} s\"\ndrain = \"120 s\"\n",
        1 + seed % 4
    );
    let fleets = g.between(1, 3);
    for i in 0..fleets {
        g.fleet(i, duration);
    }
    for i in 0..g.between(1, 3) {
        g.subscriber(i, fleets, duration);
    }
    g.links(duration);
    // Each in its own half, so that they do not overlap.
    for half in 0..g.between(0, 2) {
        g.fault(half * duration / 2, duration / 2 - 2);
    }
    g.out
}

struct Grammar {
    s: Stream,
    out: String,
}

impl Grammar {
    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.s.below(high - low + 1)
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        let place = usize::try_from(self.s.below(of.len() as u64)).expect("a place in a slice");
        of[place]
    }

    fn maybe(&mut self, p: f64, line: &str) {
        if self.s.chance(p) {
            self.out.push_str(line);
        }
    }

    fn fleet(&mut self, i: u64, duration: u64) {
        let sensors = self.between(1, 12);
        let _ = write!(self.out, "\n[fleet.f{i}]\nsensors = {sensors}\n");
        self.device(duration);
        let (qos, every) = (self.between(0, 2), self.one_of(&["200 ms", "500 ms", "1 s", "3 s"]));
        let rhythm =
            if self.s.chance(0.5) { format!("every = \"{every}\"") } else { "poisson = \"40/min\"".to_owned() };
        let burst = if self.s.chance(0.2) { ", burst = 4" } else { "" };
        let _ = writeln!(self.out, "publish = {{ topic = \"f{i}/{{sensor}}\", qos = {qos}, {rhythm}{burst} }}");
        let keeps = self.one_of(&["flash", "nothing"]);
        self.maybe(0.3, &format!("power = {{ cut_every = \"20 s\", off = \"2 s\", keeps = \"{keeps}\" }}\n"));
        self.maybe(0.2, &format!("subscribe = [{{ filter = \"f{i}/{{sensor}}\", qos = 1 }}]\n"));
    }

    fn subscriber(&mut self, i: u64, fleets: u64, duration: u64) {
        let _ = write!(self.out, "\n[subscriber.s{i}]\n");
        self.device(duration);
        let (fleet, qos) = (self.s.below(fleets), self.between(0, 2));
        let filter = if self.s.chance(0.5) { "#".to_owned() } else { format!("f{fleet}/+") };
        let overlap = self.between(0, 2);
        let mut filters = format!("{{ filter = \"{filter}\", qos = {qos} }}");
        if self.s.chance(0.2) {
            let _ = write!(filters, ", {{ filter = \"+/0\", qos = {overlap} }}");
        }
        let _ = writeln!(self.out, "filters = [{filters}]");
    }

    fn device(&mut self, duration: u64) {
        let link = self.one_of(&["none", "lte-m", "bad", "bursty"]);
        let _ = writeln!(self.out, "link = \"{link}\"");
        let v5 = self.s.chance(0.4);
        let lasting = self.s.chance(0.6);
        if v5 {
            self.out.push_str("mqtt = \"5.0\"\n");
            self.maybe(0.3, "receive_maximum = 3\n");
        }
        if lasting {
            self.out.push_str("session = \"persistent\"\n");
            // Shorter than some absences, so that sessions expire.
            self.maybe(if v5 { 0.4 } else { 0.0 }, "session_expiry = \"3 s\"\n");
        }
        self.maybe(0.5, "keep_alive = \"5 s\"\n");
        self.maybe(0.5, "reconnect = { first = \"200 ms\", longest = \"3 s\" }\n");
        self.maybe(0.2, "window = 1\n");
        let (at, lasts) = (self.s.below(duration), self.between(1, 5));
        let clean = self.s.chance(0.5);
        self.maybe(0.3, &format!("offline = [{{ at = \"{at} s\", for = \"{lasts} s\", clean = {clean} }}]\n"));
    }

    fn links(&mut self, duration: u64) {
        let (loss, delay) = (self.between(0, 20), self.one_of(&["5 ms", "80 ms", "400 ms"]));
        let _ = write!(self.out, "\n[link.bad]\nloss = \"{loss} %\"\ndelay = \"{delay}\"\nrate = \"50 kbit/s\"\n");
        let at = self.s.below(duration);
        self.maybe(0.5, &format!("outage = [{{ at = \"{at} s\", for = \"3 s\" }}]\n"));
    }

    /// Two seconds long at most, begun within `span` seconds from `from` on.
    fn fault(&mut self, from: u64, span: u64) {
        let at = from + self.s.below(span);
        let what = self.one_of(&[
            "broker = \"pause\"\nfor = \"2 s\"",
            "broker = \"kill\"\nback_after = \"1 s\"",
            "broker = \"restart\"\nback_after = \"1 s\"",
            "broker = \"slow-cpu\"\nfor = \"2 s\"\nruns = \"10 ms\"",
            "broker = \"drop-connections\"\nshare = \"60 %\"",
        ]);
        let _ = write!(self.out, "\n[[fault]]\nat = \"{at} s\"\n{what}\n");
    }
}

#[cfg(test)]
mod tests {
    /// Whatever it writes is a fine scenario, and it knows every fault that real and virtual time have in common.
    #[test]
    fn everything_it_says_is_grammatical() {
        let mut faults = ["kill", "restart", "pause", "slow-cpu", "drop-connections"].map(|word| (word, 0));
        for seed in 0..500 {
            let text = super::generate(seed);
            for (word, times) in &mut faults {
                *times += text.matches(&format!("broker = \"{word}\"")).count();
            }
            if let Err(errors) = crate::scenario::parse("random.toml", &text) {
                panic!("{}", errors.render(false));
            }
        }
        assert!(faults.iter().all(|(_, times)| *times > 0), "{faults:?}");
    }
}
