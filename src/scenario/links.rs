//! Links of a scenario file: presets, and links of one's own.

use super::check::{in_order, legal_name, moment};
use super::model::NamedLink;
use super::reader::{At, Table, list};
use crate::link::profile;
use crate::link::spec::{Direction, Jitter, LinkSpec, Loss, Outage, Sleep};
use crate::link::trace::{Form, Mistake, Trace};
use crate::time::Duration;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

const SECOND: Duration = Duration::from_secs(1);
/// The shortest mean sojourn and the shortest outage.
const SHORTEST: Duration = Duration::from_millis(1);

/// The links that a file defines.
pub(super) struct Links {
    own: BTreeMap<String, Arc<LinkSpec>>,
}

impl Links {
    /// The links of a file whose load lasts so long, and which stands in `folder`.
    pub fn read(root: &Table<'_>, load: Duration, folder: &Path) -> Self {
        let mut own = BTreeMap::new();
        for (name, table) in root.named("link", "link") {
            legal_name(root, &name);
            if name.value == "none" || profile::preset(name.value).is_some() {
                table.problem(
                    name.span.clone(),
                    "this name is a preset's",
                    "choose another name; `like` takes a preset over",
                );
            }
            own.insert(name.value.to_owned(), Arc::new(read_link(&table, load, folder)));
        }
        Self { own }
    }

    /// The link of that name; none for a direct socket, or if there is no such link.
    pub fn find(&self, name: &At<&str>, problems: &Table<'_>) -> Option<NamedLink> {
        if name.value == "none" {
            return None;
        }
        let spec = self.own.get(name.value).cloned().or_else(|| profile::preset(name.value).map(Arc::new));
        if spec.is_none() {
            let own = self.own.keys().map(String::as_str);
            let known = own.chain(profile::all().iter().map(|p| p.name)).chain(["none"]);
            let mend = format!("{}; or define [link.{}]", list(name.value, known), name.value);
            problems.problem(name.span.clone(), "no link of this name", mend);
        }
        spec.map(|spec| NamedLink { name: name.value.to_owned(), spec })
    }
}

fn read_link(t: &Table<'_>, load: Duration, folder: &Path) -> LinkSpec {
    let mut spec = LinkSpec::PERFECT;
    if let Some(like) = t.text("like") {
        match profile::preset(like.value) {
            Some(preset) => spec = preset,
            None => {
                let mend = list(like.value, profile::all().iter().map(|p| p.name));
                t.problem(like.span, "no preset of this name", mend);
            }
        }
    }
    let both = read_both(t);
    for direction in [&mut spec.up, &mut spec.down] {
        both.apply(direction);
    }
    if let Some(up) = t.table("up", "direction") {
        read_direction(&up, &mut spec.up, folder);
    }
    if let Some(down) = t.table("down", "direction") {
        read_direction(&down, &mut spec.down, folder);
    }
    if let Some(sleep) = t.table("sleep", "sleep") {
        spec.sleep = Some(read_sleep(&sleep));
    }
    spec.half_duplex = t.flag("half_duplex", spec.half_duplex);
    if let Some(mtu) = t.size("mtu") {
        match u16::try_from(mtu.value) {
            Ok(value @ 128..=1600) => spec.mtu = value,
            _ => t.problem(mtu.span, "expected a size from 128 B to 1600 B", ""),
        }
    }
    for (key, direction) in [("up", &spec.up), ("down", &spec.down)] {
        if let Some(queue) = direction.queue.filter(|q| *q < u32::from(spec.mtu)) {
            let place = if t.has(key) { key } else { "queue" };
            let message = format!("a queue of {queue} B holds no full packet of {} B", spec.mtu);
            t.problem(t.place_of(place), message, "a longer queue, or a smaller mtu");
        }
    }
    let outages = t.tables("outage", "outage");
    let outages = outages.iter().filter_map(|o| {
        let (at, lasts) = (moment(o, load), o.duration_above_zero("for", SHORTEST));
        Some(At { value: Outage { at: at?, lasts }, span: o.span.clone() })
    });
    spec.outages = in_order(outages.collect(), |o| (o.at, o.at + o.lasts), t);
    spec
}

/// What may be said of a direction, and of both at once.
struct Settings {
    rate: Option<u64>,
    delay: Option<Duration>,
    jitter: Option<Jitter>,
    loss: Option<Loss>,
    queue: Option<u32>,
    queue_packets: Option<u32>,
    duplicate: Option<f64>,
    corrupt: Option<f64>,
}

fn read_both(t: &Table<'_>) -> Settings {
    Settings {
        rate: t.rate("rate"),
        delay: t.duration("delay").map(|d| d.value),
        jitter: read_jitter(t),
        loss: read_loss(t),
        queue: t.size("queue").map(|q| q.value),
        queue_packets: t.count("queue_packets"),
        duplicate: t.percent("duplicate"),
        corrupt: t.percent("corrupt"),
    }
}

impl Settings {
    fn apply(&self, d: &mut Direction) {
        d.rate = self.rate.or(d.rate);
        d.delay = self.delay.unwrap_or(d.delay);
        d.jitter = self.jitter.unwrap_or(d.jitter);
        d.loss = self.loss.unwrap_or(d.loss);
        d.queue = self.queue.or(d.queue);
        d.queue_packets = self.queue_packets.or(d.queue_packets);
        d.duplicate = self.duplicate.unwrap_or(d.duplicate);
        d.corrupt = self.corrupt.unwrap_or(d.corrupt);
    }
}

fn read_direction(t: &Table<'_>, d: &mut Direction, folder: &Path) {
    read_both(t).apply(d);
    if let Some(overhead) = t.size("overhead") {
        match u16::try_from(overhead.value) {
            Ok(value @ 0..=1000) => d.overhead = value,
            _ => t.problem(overhead.span, "expected a size of 1000 B at most", ""),
        }
    }
    d.reorder = t.flag("reorder", d.reorder);
    match t.percent_at("duty_cycle") {
        Some(at) if at.value < 0.0001 => {
            t.problem(at.span, "must be 0.01 % or more", "the share of time for which it may be on the air");
        }
        Some(at) => d.duty_cycle = at.value,
        None => {}
    }
    if let Some(trace) = t.table("trace", "trace") {
        d.trace = read_trace(&trace, folder).map(Arc::new).or(d.trace.take());
    }
}

/// `trace = { csv = "site.csv" }` or `trace = { mahimahi = "cell.up" }`.
fn read_trace(t: &Table<'_>, folder: &Path) -> Option<Trace> {
    let (file, is_csv) = match (t.text("csv"), t.text("mahimahi")) {
        (Some(csv), None) => (csv, true),
        (None, Some(mahimahi)) => (mahimahi, false),
        _ => {
            t.problem(t.span.clone(), "expected one of csv, mahimahi", "trace = { csv = \"site.csv\" }, say");
            return None;
        }
    };
    let path = folder.join(file.value);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => {
            t.problem(file.span, format!("{} cannot be read: {error}", path.display()), "a file beside the scenario's");
            return None;
        }
    };
    match if is_csv { Form::csv(&text) } else { Form::mahimahi(&text) } {
        // The whole path, since a scenario that is written out again may stand elsewhere.
        Ok(form) => Some(Trace { file: path.canonicalize().unwrap_or(path).display().to_string(), form }),
        Err(Mistake { line, what }) => {
            let place = if line > 0 { format!("line {line} of {}", file.value) } else { file.value.to_owned() };
            t.problem(file.span, format!("{place}: {what}"), "`squall links traces` tells the formats");
            None
        }
    }
}

fn read_sleep(t: &Table<'_>) -> Sleep {
    let awake = t.duration_from("awake", SHORTEST, SECOND);
    let every = t.has("every").then(|| t.duration_from("every", SHORTEST, SECOND));
    let window = t.has("window").then(|| t.duration_from("window", SHORTEST, SECOND));
    match (every, window) {
        (Some(every), Some(window)) if window >= every => {
            t.problem(t.place_of("window"), "must be shorter than every", "the radio would never sleep");
        }
        (None, Some(_)) => t.problem(t.place_of("window"), "a window needs every", "every = \"20.48 s\", say"),
        _ => {}
    }
    // 2.56 s, a usual paging time window of NB-IoT, where the file says nothing (assumed).
    let usual = every.map_or(Duration::ZERO, |e| (e / 8).min(Duration::from_millis(2_560)));
    Sleep { awake, every, window: window.unwrap_or(usual) }
}

/// `jitter = { uniform = "20 ms" }`, or one of the others.
fn read_jitter(t: &Table<'_>) -> Option<Jitter> {
    let jitter = t.table("jitter", "jitter")?;
    let one = |key, kind: fn(Duration) -> Jitter| jitter.duration(key).map(|x| kind(x.value));
    let all = [one("uniform", Jitter::Uniform), one("normal", Jitter::Normal), one("pareto", Jitter::Pareto)];
    let given: Vec<Jitter> = all.into_iter().flatten().collect();
    let written = ["uniform", "normal", "pareto"].into_iter().filter(|key| jitter.has(key)).count();
    if written != 1 {
        jitter.problem(
            jitter.span.clone(),
            "expected one of uniform, normal, pareto",
            "jitter = { uniform = \"20 ms\" }, say",
        );
    }
    given.first().copied()
}

/// `loss = "5 %"`, or one of the burst models.
fn read_loss(t: &Table<'_>) -> Option<Loss> {
    if !t.has("loss") {
        return None;
    }
    if !t.is_table("loss") {
        return t.percent("loss").map(|p| if p > 0.0 { Loss::Bernoulli(p) } else { Loss::None });
    }
    let loss = t.table("loss", "loss")?;
    let in_good = |t: &Table<'_>| t.percent("loss_in_good").unwrap_or(0.0);
    let in_bad = |t: &Table<'_>| t.percent("loss_in_bad").unwrap_or(1.0);
    let by_packet = loss.table("gilbert_elliott", "gilbert_elliott").map(|ge| Loss::GilbertElliott {
        into_bad: above_zero(&ge, "into_bad"),
        out_of_bad: above_zero(&ge, "out_of_bad"),
        loss_in_good: in_good(&ge),
        loss_in_bad: in_bad(&ge),
    });
    let in_time = loss.table("gilbert_elliott_time", "gilbert_elliott_time").map(|ge| Loss::GilbertElliottTime {
        good: ge.duration_from("good", SHORTEST, SECOND),
        bad: ge.duration_from("bad", SHORTEST, SECOND),
        loss_in_good: in_good(&ge),
        loss_in_bad: in_bad(&ge),
    });
    let four = loss.table("four_state", "four_state").map(|t| read_four_state(&t));
    let written = ["gilbert_elliott", "gilbert_elliott_time", "four_state"].into_iter().filter(|k| loss.has(k)).count();
    if written > 1 {
        let mend =
            "leave one of them: gilbert_elliott and four_state step at each packet, gilbert_elliott_time in time";
        loss.problem(
            loss.span.clone(),
            "gilbert_elliott, gilbert_elliott_time and four_state exclude each other",
            mend,
        );
    } else if written == 0 {
        let mend = "or a share, loss = \"5 %\"";
        loss.problem(loss.span.clone(), "expected gilbert_elliott, gilbert_elliott_time or four_state", mend);
    }
    by_packet.or(in_time).or(four)
}

/// netem's `loss state`, with its defaults.
fn read_four_state(t: &Table<'_>) -> Loss {
    let (p13, p31) = (above_zero(t, "p13"), t.has("p31").then(|| above_zero(t, "p31")));
    let p23 = t.has("p23").then(|| above_zero(t, "p23"));
    let (p32, p14) = (t.percent("p32").unwrap_or(0.0), t.percent("p14").unwrap_or(0.0));
    let p31 = p31.unwrap_or(1.0 - p13);
    if p31 <= 0.0 {
        t.problem(t.place_of("p13"), "a burst would never end", "give p31");
    }
    for (key, sum) in [("p14", p13 + p14), ("p32", p31 + p32)] {
        if sum > 1.0 + 1e-9 {
            let mend = "p13 + p14, and p31 + p32, are at most 100 % (without p31 it is 100 % - p13)";
            t.problem(t.place_of(key), "what leaves one state is more than 100 %", mend);
        }
    }
    Loss::FourState { p13, p31, p32, p23: p23.unwrap_or(1.0), p14 }
}

/// A transition that never happens would be no burst model.
fn above_zero(t: &Table<'_>, key: &'static str) -> f64 {
    match t.percent_at(key) {
        Some(at) if at.value <= 0.0 => {
            t.problem(at.span, format!("{key} must be above 0 %"), "the link would never leave its state");
            1.0
        }
        Some(at) => at.value,
        None => 1.0,
    }
}
