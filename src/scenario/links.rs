//! Links of a scenario file: presets, and links of one's own.

use super::check::{in_order, legal_name, moment};
use super::model::NamedLink;
use super::reader::{At, Table, list};
use crate::link::profile;
use crate::link::spec::{Direction, Jitter, LinkSpec, Loss, Outage};
use crate::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

const SECOND: Duration = Duration::from_secs(1);
/// The shortest mean sojourn and the shortest outage.
const SHORTEST: Duration = Duration::from_millis(1);

/// The links that a file defines.
pub(super) struct Links {
    own: BTreeMap<String, Arc<LinkSpec>>,
}

impl Links {
    /// The links of a file whose load lasts so long.
    pub fn read(root: &Table<'_>, load: Duration) -> Self {
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
            own.insert(name.value.to_owned(), Arc::new(read_link(&table, load)));
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

/// A link that loses and delays nothing.
fn perfect() -> LinkSpec {
    let direction = Direction {
        rate: None,
        overhead: 0,
        delay: Duration::ZERO,
        jitter: Jitter::None,
        reorder: false,
        loss: Loss::None,
        queue: None,
    };
    LinkSpec { up: direction.clone(), down: direction, half_duplex: false, mtu: 1500, outages: Vec::new() }
}

fn read_link(t: &Table<'_>, load: Duration) -> LinkSpec {
    let mut spec = perfect();
    if let Some(like) = t.text("like") {
        match profile::preset(like.value) {
            Some(preset) => spec = preset,
            None => {
                let mend = list(like.value, profile::all().iter().map(|p| p.name));
                t.problem(like.span, "no preset of this name", mend);
            }
        }
    }
    let (loss, delay, rate) = (read_loss(t), t.duration("delay").map(|d| d.value), t.rate("rate"));
    let (jitter, queue) = (read_jitter(t), t.size("queue").map(|q| q.value));
    for direction in [&mut spec.up, &mut spec.down] {
        direction.loss = loss.unwrap_or(direction.loss);
        direction.delay = delay.unwrap_or(direction.delay);
        direction.rate = rate.or(direction.rate);
        direction.jitter = jitter.unwrap_or(direction.jitter);
        direction.queue = queue.or(direction.queue);
    }
    if let Some(up) = t.table("up", "direction") {
        read_direction(&up, &mut spec.up);
    }
    if let Some(down) = t.table("down", "direction") {
        read_direction(&down, &mut spec.down);
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

fn read_direction(t: &Table<'_>, d: &mut Direction) {
    d.rate = t.rate("rate").or(d.rate);
    if let Some(overhead) = t.size("overhead") {
        match u16::try_from(overhead.value) {
            Ok(value @ 0..=1000) => d.overhead = value,
            _ => t.problem(overhead.span, "expected a size of 1000 B at most", ""),
        }
    }
    d.delay = t.duration("delay").map_or(d.delay, |x| x.value);
    d.jitter = read_jitter(t).unwrap_or(d.jitter);
    d.reorder = t.flag("reorder", d.reorder);
    d.loss = read_loss(t).unwrap_or(d.loss);
    d.queue = t.size("queue").map(|q| q.value).or(d.queue);
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
    match (loss.has("gilbert_elliott"), loss.has("gilbert_elliott_time")) {
        (true, true) => {
            let mend = "leave one of them out: the first steps at each packet, the second in time";
            loss.problem(loss.span.clone(), "gilbert_elliott and gilbert_elliott_time exclude each other", mend);
        }
        (false, false) => {
            let mend = "or a share, loss = \"5 %\"";
            loss.problem(loss.span.clone(), "expected gilbert_elliott or gilbert_elliott_time", mend);
        }
        _ => {}
    }
    by_packet.or(in_time)
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
