//! Links of a scenario file: presets, and links of one's own.

use super::diagnostics::nearest;
use super::model::NamedLink;
use super::reader::{At, Table};
use crate::link::profile;
use crate::link::spec::{Direction, Jitter, LinkSpec, Loss, Outage};
use crate::time::{Duration, Instant};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The links that a file defines.
pub(super) struct Links {
    own: BTreeMap<String, Arc<LinkSpec>>,
}

impl Links {
    pub fn read(root: &Table<'_>) -> Self {
        let mut own = BTreeMap::new();
        for (name, table) in root.named("link", "link") {
            if name.value == "none" || profile::preset(name.value).is_some() {
                table.problem(
                    name.span.clone(),
                    "this name is a preset's",
                    "choose another name; `like` takes a preset over",
                );
            }
            own.insert(name.value.to_owned(), Arc::new(read_link(&table)));
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
            let presets: Vec<&str> = profile::all().iter().map(|p| p.name).collect();
            let known = presets.iter().copied().chain(self.own.keys().map(String::as_str)).chain(["none"]);
            let near = nearest(name.value, known).map_or(String::new(), |n| format!("did you mean \"{n}\"? "));
            let list =
                presets.iter().copied().chain(self.own.keys().map(String::as_str)).collect::<Vec<_>>().join(", ");
            problems.problem(
                name.span.clone(),
                "no link of this name",
                format!("{near}there are: {list}, none; or define [link.{}]", name.value),
            );
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

fn read_link(t: &Table<'_>) -> LinkSpec {
    let mut spec = perfect();
    if let Some(like) = t.text("like") {
        match profile::preset(like.value) {
            Some(preset) => spec = preset,
            None => {
                let presets: Vec<&str> = profile::all().iter().map(|p| p.name).collect();
                let near = nearest(like.value, presets.iter().copied());
                let near = near.map_or(String::new(), |n| format!("did you mean \"{n}\"? "));
                t.problem(like.span, "no preset of this name", format!("{near}presets: {}", presets.join(", ")));
            }
        }
    }
    let both = Overrides::read(t);
    both.apply(&mut spec.up);
    both.apply(&mut spec.down);
    if let Some(up) = t.table("up", "direction") {
        Overrides::read(&up).apply(&mut spec.up);
    }
    if let Some(down) = t.table("down", "direction") {
        Overrides::read(&down).apply(&mut spec.down);
    }
    spec.half_duplex = t.flag("half_duplex", spec.half_duplex);
    if let Some(mtu) = t.size("mtu") {
        match u16::try_from(mtu.value) {
            Ok(value @ 128..=1600) => spec.mtu = value,
            _ => t.problem(mtu.span, "expected a size from 128 B to 1600 B", ""),
        }
    }
    for outage in t.tables("outage", "outage") {
        let at = outage.needed_time("at");
        spec.outages.push(Outage { at: Instant::ZERO + at, lasts: outage.needed_duration("for") });
    }
    spec.outages.sort_by_key(|o| o.at);
    if spec.outages.windows(2).any(|w| w[0].at + w[0].lasts > w[1].at) {
        t.problem(t.place_of("outage"), "these times overlap", "");
    }
    spec
}

/// What a file says of one direction, or of both; none where it says nothing.
struct Overrides {
    rate: Option<u64>,
    overhead: Option<u16>,
    delay: Option<Duration>,
    jitter: Option<Jitter>,
    reorder: Option<bool>,
    loss: Option<Loss>,
    queue: Option<u32>,
}

impl Overrides {
    fn read(t: &Table<'_>) -> Self {
        let overhead = t.size("overhead").and_then(|o| match u16::try_from(o.value) {
            Ok(value @ 0..=1000) => Some(value),
            _ => {
                t.problem(o.span, "expected a size of 1000 B at most", "");
                None
            }
        });
        Self {
            rate: t.rate("rate"),
            overhead,
            delay: t.duration("delay").map(|d| d.value),
            jitter: t.table("jitter", "jitter").and_then(|j| read_jitter(&j)),
            reorder: t.has("reorder").then(|| t.flag("reorder", false)),
            loss: read_loss(t),
            queue: t.size("queue").map(|q| q.value),
        }
    }

    fn apply(&self, d: &mut Direction) {
        d.rate = self.rate.or(d.rate);
        d.overhead = self.overhead.unwrap_or(d.overhead);
        d.delay = self.delay.unwrap_or(d.delay);
        d.jitter = self.jitter.unwrap_or(d.jitter);
        d.reorder = self.reorder.unwrap_or(d.reorder);
        d.loss = self.loss.unwrap_or(d.loss);
        d.queue = self.queue.or(d.queue);
    }
}

fn read_jitter(t: &Table<'_>) -> Option<Jitter> {
    let one = |key, kind: fn(Duration) -> Jitter| t.duration(key).map(|x| kind(x.value));
    let all = [one("uniform", Jitter::Uniform), one("normal", Jitter::Normal), one("pareto", Jitter::Pareto)];
    let given: Vec<Jitter> = all.into_iter().flatten().collect();
    if let [one] = given[..] {
        return Some(one);
    }
    t.problem(t.span.clone(), "expected one of uniform, normal, pareto", "jitter = { uniform = \"20 ms\" }, say");
    None
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
    if loss.has("gilbert_elliott") && loss.has("gilbert_elliott_time") {
        loss.problem(loss.span.clone(), "two models of loss exclude each other", "leave one of them out");
    }
    let in_good = |t: &Table<'_>| t.percent("loss_in_good").unwrap_or(0.0);
    let in_bad = |t: &Table<'_>| t.percent("loss_in_bad").unwrap_or(1.0);
    if let Some(ge) = loss.table("gilbert_elliott", "gilbert_elliott") {
        let into_bad = ge.percent("into_bad").unwrap_or(0.0);
        let out_of_bad = ge.percent("out_of_bad").unwrap_or(0.0);
        if into_bad <= 0.0 || out_of_bad <= 0.0 {
            ge.problem(ge.span.clone(), "into_bad and out_of_bad must both be above 0 %", "");
        }
        return Some(Loss::GilbertElliott {
            into_bad,
            out_of_bad,
            loss_in_good: in_good(&ge),
            loss_in_bad: in_bad(&ge),
        });
    }
    if let Some(ge) = loss.table("gilbert_elliott_time", "gilbert_elliott_time") {
        return Some(Loss::GilbertElliottTime {
            good: ge.needed_duration("good"),
            bad: ge.needed_duration("bad"),
            loss_in_good: in_good(&ge),
            loss_in_bad: in_bad(&ge),
        });
    }
    loss.problem(loss.span.clone(), "expected gilbert_elliott or gilbert_elliott_time", "or a share like \"5 %\"");
    None
}
