//! The last word: losses are counted when nothing more can come, and every guarantee gets its sentence.

use super::evidence::Case;
use super::outcome::{Excused, Judgement, Outcome, Verdicts};
use super::rules::Breach;
use super::runs::Runs;
use super::strength;
use super::{Excuse, Judge, bit, effective_qos};
use crate::promise::{Guarantee, Phases};
use crate::time::Duration;
use crate::trace::ClientId;

/// Numbers for the sentences, by QoS published (1 and 2 count what was acknowledged, 0 what was sent).
#[derive(Clone, Copy, Debug, Default)]
struct Flow {
    publishers: u64,
    sent: u64,
    acked: u64,
    due: u64,
    missing: u64,
    unanswered: u64,
}

impl Judge {
    /// Judges. `complete` is false if the run was cut short: then what has not come proves nothing.
    #[must_use]
    pub fn finish(mut self, phases: Phases, complete: bool) -> Verdicts {
        self.book_kills(None);
        self.frozen = complete && self.is_frozen(phases);
        let flows = self.settle(phases, complete);
        if complete {
            self.judge_liveness(phases);
            self.finish_oracles(phases);
        }
        let mut guarantees: Vec<Judgement> = Guarantee::ALL.map(|g| self.judge(g, &flows, complete)).into();
        for judgement in &mut guarantees {
            if !self.promises.guarantees.contains(&judgement.guarantee) && judgement.outcome != Outcome::Broken {
                judgement.outcome = Outcome::NotAsked;
            }
        }
        let excuses = Excuse::ALL
            .map(|e| (e, self.tally.excuses.get(&e).copied().unwrap_or(0)))
            .map(|(e, count)| Excused { name: e.name(), reason: e.reason(), count });
        let mut unseen = Vec::new();
        if self.tally.foreign > 0 {
            unseen.push(format!("{} messages came that are not of this run; they were not judged", self.tally.foreign));
        }
        if self.tally.prevented > 0 {
            unseen.push(format!(
                "{} deliveries were not made because clients under test broke their half of the protocol: the broker is not blamed for them",
                n(self.tally.prevented)
            ));
        }
        if self.tally.retained > 0 {
            unseen
                .push(format!("{} retained messages came; they are counted apart and not judged", self.tally.retained));
        }
        Verdicts {
            guarantees,
            excuses: excuses.into(),
            evidence: std::mem::take(&mut self.archive.stories),
            unseen,
            lost_by_group: std::mem::take(&mut self.tally.lost_by_group),
            duplicated_by_group: std::mem::take(&mut self.tally.duplicated_by_group),
        }
    }

    /// Counts what is missing, and what came out of order for good.
    fn settle(&mut self, phases: Phases, complete: bool) -> [Flow; 3] {
        let mut flows = [Flow::default(); 3];
        for publisher in self.publishers.iter().filter(|p| p.next > 0) {
            let flow = &mut flows[usize::from(publisher.qos.min(2))];
            flow.publishers += 1;
            flow.sent += publisher.sent.len();
            flow.acked += publisher.acked.len();
            flow.unanswered += publisher.open.len();
        }
        for r in 0..self.receivers.len() {
            for p in self.receivers[r].pairs.keys().collect::<Vec<_>>() {
                self.settle_pair(r, p, phases, complete, &mut flows);
            }
        }
        flows
    }

    fn settle_pair(&mut self, r: usize, p: u32, phases: Phases, complete: bool, flows: &mut [Flow; 3]) {
        let receiver = &self.receivers[r];
        let publisher = &self.publishers[p as usize];
        let pair = &receiver.pairs[p];
        let effective = effective_qos(publisher.qos, pair, &receiver.granted);
        let due = pair.all_due(publisher.next);
        let promised = if publisher.qos == 0 { publisher.sent.and(&due) } else { publisher.acked.and(&due) };
        let missing = promised.without(&pair.delivered()).without(&pair.declined);
        let owed_at_1 = effective == 1 && publisher.qos == 2;
        // Published 1 or 2 and granted 0: no promise of QoS 0, 1 or 2 speaks of it.
        if effective > 0 || publisher.qos == 0 {
            let flow = &mut flows[usize::from(effective.min(2))];
            flow.due += promised.len();
            flow.missing += missing.len();
            flow.acked += if owed_at_1 { promised.len() } else { 0 };
        }
        let downgraded = self.downgraded(r, p, effective, &promised);
        let lowered = pair.lowered(&promised);
        // Without the final copies of what was cut short, order proves nothing either.
        let prevented = missing.and(&publisher.blamed).len();
        let missing = missing.without(&publisher.blamed);
        let out_of_order =
            if complete && !receiver.shared { pair.order.broken(phases.ended).clone() } else { Runs::new() };
        let (publisher_id, subscriber) = (ClientId(p), self.client_of(r));
        let case = |number| Case { publisher: Some(publisher_id), number: Some(number), subscriber };
        for number in out_of_order.iter().collect::<Vec<_>>() {
            self.breach(Breach::OutOfOrder, case(number));
        }
        for number in lowered.iter().collect::<Vec<_>>() {
            self.breach(Breach::Lowered, case(number));
        }
        if downgraded > 0 && self.takes(Excuse::Downgraded) {
            self.excused(Excuse::Downgraded, downgraded);
        } else if downgraded > 0 {
            self.breach(Breach::Downgraded, Case { publisher: Some(publisher_id), number: None, subscriber });
        }
        if complete {
            self.tally.prevented += prevented;
        }
        if missing.is_empty() || !complete {
            return;
        }
        let group = usize::from(self.promises.clients[p as usize].group);
        if let Some(lost) = self.tally.lost_by_group.get_mut(group) {
            *lost += missing.len();
        }
        if effective == 0 {
            return; // QoS 0 may be lost
        }
        if self.receivers[r].to_blame {
            self.tally.prevented += missing.len();
            return;
        }
        if let Some(excuse) = self.excuse_at_the_end(r, p) {
            return self.excused(excuse, missing.len());
        }
        let missing = self.without_expired(r, p, missing, phases);
        if missing.is_empty() {
            return;
        }
        if self.is_late(r, p, &missing, phases) {
            self.tally.late[usize::from(effective.min(2))] += missing.len();
            return;
        }
        let reachable = self.receivers[r].connected || self.receivers[r].shared;
        let breach = match (reachable, effective) {
            (false, _) => {
                if self.frozen {
                    Breach::Frozen
                } else {
                    Breach::Stuck
                }
            }
            (true, 2) => Breach::Qos2Lost,
            (true, _) => Breach::Qos1Lost,
        };
        // As many as came corrupt have come, and are counted there.
        let came_corrupt = usize::try_from(self.receivers[r].pairs[p].corrupt).unwrap_or(usize::MAX);
        let at_kill = self.receivers[r].pairs[p].at_kill.clone();
        for number in missing.iter().skip(came_corrupt).collect::<Vec<_>>() {
            let breach = match breach {
                Breach::Qos1Lost if at_kill.contains(number) => Breach::Qos1NotStored,
                Breach::Qos2Lost if at_kill.contains(number) => Breach::Qos2NotStored,
                other => other,
            };
            self.breach(breach, case(number));
        }
    }

    /// Deliveries that were asked for at a higher QoS than the broker granted [MQTT-3.8.4-6]. They are judged at the QoS granted.
    fn downgraded(&self, r: usize, p: u32, effective: u8, promised: &Runs) -> u64 {
        let asked = match self.client_of(r).map(|c| &self.promises.clients[c.index()]) {
            Some(client) if !self.receivers[r].shared => {
                let filters = client.subscriptions.iter().enumerate();
                filters.filter(|(f, _)| self.receivers[r].pairs[p].filters & bit(*f) != 0).map(|(_, s)| s.qos).max()
            }
            _ => None,
        };
        let wanted = asked.unwrap_or(effective).min(self.publishers[p as usize].qos);
        if effective < wanted { promised.len() } else { 0 }
    }

    /// Takes out what had to wait, and whose time was over before the run was.
    fn without_expired(&mut self, r: usize, p: u32, missing: Runs, phases: Phases) -> Runs {
        let pair = &self.receivers[r].pairs[p];
        let mut expired = Runs::new();
        for (number, _) in pair.expires.iter().filter(|(n, at)| *at <= phases.ended && missing.contains(*n)) {
            expired.insert(*number);
        }
        self.excused(Excuse::MessageExpired, expired.len());
        missing.without(&expired)
    }

    /// True if only the newest messages are missing and others still came in the drain's last moments: a link that needs
    /// longer than the drain lasts is no loss, and no proof of the contrary.
    fn is_late(&self, r: usize, p: u32, missing: &Runs, phases: Phases) -> bool {
        let receiver = &self.receivers[r];
        let drain = phases.ended.since(phases.drain_from);
        let lately = (drain / 4).min(Duration::from_secs(2));
        let newest = receiver.pairs[p].delivered().max();
        let is_tail = missing.iter().next().is_some_and(|first| newest.is_none_or(|n| first > n));
        receiver.connected && is_tail && phases.ended.since(receiver.last_delivery) < lately
    }

    /// A client for a receiver: itself, or a share group's first member.
    fn client_of(&self, r: usize) -> Option<ClientId> {
        if r < self.promises.clients.len() {
            return u32::try_from(r).ok().map(ClientId);
        }
        self.groups.iter().find(|(_, g)| **g as usize == r).map(|((c, _), _)| ClientId(*c))
    }

    fn judge(&mut self, guarantee: Guarantee, flows: &[Flow; 3], complete: bool) -> Judgement {
        let breaches: Vec<(Breach, u64)> = self
            .tally
            .breaches
            .iter()
            .filter(|(b, _)| b.rule().guarantee == guarantee)
            .map(|(b, count)| (*b, *count))
            .collect();
        let failures = breaches.iter().map(|(_, count)| count).sum::<u64>();
        let (cases, sentence) = self.sentence(guarantee, flows);
        let hard_paths = self.hard_paths(guarantee);
        let untested: Vec<&'static str> = hard_paths.iter().filter(|(_, n)| *n == 0).map(|(name, _)| *name).collect();
        let outcome = if failures > 0 {
            Outcome::Broken
        } else if cases == 0 {
            if self.is_used(guarantee) {
                Outcome::NotEnoughEvidence("nothing happened that it could be judged by".into())
            } else {
                Outcome::NotAsked
            }
        } else if !complete && guarantee != Guarantee::Payload && guarantee != Guarantee::Routing {
            Outcome::NotEnoughEvidence("the run was cut short".into())
        } else if self.late(guarantee) > 0 {
            let late = n(self.late(guarantee));
            let what = if guarantee == Guarantee::Liveness { "hand-shakes" } else { "deliveries" };
            Outcome::NotEnoughEvidence(format!("{late} {what} were still on their way when the drain ended"))
        } else if let Some(path) = self.unwalked(guarantee) {
            Outcome::NotEnoughEvidence(format!("the scenario names {}, and there were none", path.name()))
        } else if untested.is_empty() {
            Outcome::Held
        } else {
            Outcome::HeldUntested(untested)
        };
        let mut statements: Vec<&'static str> = Vec::new();
        for statement in breaches.iter().flat_map(|(b, _)| b.rule().statements) {
            if !statements.contains(statement) {
                statements.push(statement);
            }
        }
        Judgement {
            guarantee,
            outcome,
            sentence,
            statements,
            cases,
            failures,
            bound: strength::bound(failures, cases),
            breaches: breaches.iter().map(|(b, count)| (b.rule().name, *count)).collect(),
            hard_paths,
        }
    }

    fn late(&self, guarantee: Guarantee) -> u64 {
        match guarantee {
            Guarantee::Liveness => self.tally.under_way,
            Guarantee::Qos1 => self.tally.late[1],
            Guarantee::Qos2 => self.tally.late[2],
            _ => 0,
        }
    }

    /// True if something is owed, nobody at all has heard of the broker since the links were healed, and somebody's CONNECT was in vain.
    fn is_frozen(&self, phases: Phases) -> bool {
        let in_vain = self.sessions.iter().any(|s| s.greeted > s.heard);
        in_vain && self.owed() > 0 && self.sessions.iter().all(|s| s.heard < phases.drain_from)
    }

    /// Whether any client uses what the guarantee is about.
    fn is_used(&self, guarantee: Guarantee) -> bool {
        let publishes = |qos: u8| self.promises.groups.iter().any(|g| g.publishes == Some(qos));
        match guarantee {
            Guarantee::Qos0 => publishes(0),
            Guarantee::Qos1 => publishes(1),
            Guarantee::Qos2 => publishes(2),
            Guarantee::Session => (0..self.promises.clients.len()).any(|c| self.is_persistent(c)),
            Guarantee::Protocol | Guarantee::Liveness => true,
            // What programs under test publish of their own cannot be told apart, and is not judged by these.
            Guarantee::Order | Guarantee::Payload | Guarantee::Routing => {
                let marked = self.promises.groups.iter().any(|g| g.publishes.is_some());
                marked || !self.promises.clients.iter().any(|c| c.under_test)
            }
            _ => self.oracles.iter().any(|o| o.guarantee() == guarantee),
        }
    }

    /// A sensor that was answered in the drain's last moments has more to say than the drain lasts: its broker is alive, and the
    /// message that was in flight then proves nothing.
    fn judge_liveness(&mut self, phases: Phases) {
        let lately = (phases.ended.since(phases.drain_from) / 4).min(Duration::from_secs(10));
        let stuck: Vec<ClientId> = (0..self.promises.clients.len())
            .filter(|c| !self.publishers[*c].open.is_empty())
            .filter_map(|c| u32::try_from(c).ok().map(ClientId))
            .collect();
        for publisher in stuck {
            let state = &self.publishers[publisher.index()];
            if phases.ended.since(state.last_answer) < lately {
                self.tally.under_way += state.open.len();
                continue;
            }
            let number = state.open.iter().next();
            let unheard = self.sessions[publisher.index()].heard <= state.waits_since;
            let breach = match (self.frozen, unheard && self.receivers[publisher.index()].connected) {
                (true, _) => Breach::Frozen,
                (false, true) => Breach::Silent,
                (false, false) => Breach::Stuck,
            };
            self.breach(breach, Case { publisher: Some(publisher), number, subscriber: None });
        }
    }

    /// How many cases were judged, and the sentence for people.
    fn sentence(&self, guarantee: Guarantee, flows: &[Flow; 3]) -> (u64, String) {
        let t = &self.tally;
        let received = t.deliveries;
        match guarantee {
            Guarantee::Qos0 => {
                let f = flows[0];
                let arrived = f.due - f.missing;
                (f.due, format!("{} of {} deliveries arrived, none twice (loss is allowed)", n(arrived), n(f.due)))
                    .or_if(t.breaches.contains_key(&Breach::Qos0Duplicated), || {
                        format!(
                            "{} of {} deliveries arrived, {} copies too many",
                            n(arrived),
                            n(f.due),
                            n(t.duplicates[0])
                        )
                    })
            }
            Guarantee::Qos1 => delivery(flows[1], t.duplicates[1], "twice (allowed)"),
            Guarantee::Qos2 => delivery(flows[2], t.duplicates[2], "copies too many"),
            Guarantee::Order => {
                let broken = t.breaches.get(&Breach::OutOfOrder).copied().unwrap_or(0);
                (t.order_checked, format!("{} arrivals, {} out of order", n(t.order_checked), n(broken)))
            }
            Guarantee::Payload => {
                let corrupt = t.breaches.get(&Breach::Corrupt).copied().unwrap_or(0);
                (received + corrupt, format!("{} payloads checked, {} corrupt", n(received + corrupt), n(corrupt)))
            }
            Guarantee::Routing => (received, format!("{} messages, each where it belongs", n(received)))
                .or_if(self.count_of(Guarantee::Routing) > 0, || {
                    format!("{} messages where they do not belong", n(self.count_of(Guarantee::Routing)))
                }),
            Guarantee::Session => (
                t.sessions_checked,
                format!("{} returns to a session, {} found it", n(t.sessions_checked), n(t.sessions_resumed)),
            ),
            Guarantee::Protocol => (t.connections, format!("{} connections, all packets legal", n(t.connections)))
                .or_if(self.count_of(Guarantee::Protocol) > 0, || {
                    format!("{} breaches of the protocol", n(self.count_of(Guarantee::Protocol)))
                }),
            Guarantee::Liveness => {
                let answered: u64 = flows[1].sent + flows[2].sent;
                let open = flows[1].unanswered + flows[2].unanswered;
                let cases = answered + t.connections;
                (cases, format!("{} of {} hand-shakes finished", n(answered - open.min(answered)), n(answered)))
            }
            _ => self.strength(guarantee).map_or_else(Default::default, |s| (s.cases, s.sentence)),
        }
    }

    fn count_of(&self, guarantee: Guarantee) -> u64 {
        let all = self.tally.breaches.iter();
        all.filter(|(b, _)| b.rule().guarantee == guarantee).map(|(_, count)| count).sum()
    }
}

fn delivery(f: Flow, extra: u64, words: &str) -> (u64, String) {
    let outcome = match f.missing {
        0 => "all delivered".to_owned(),
        m => format!("{} not delivered", n(m)),
    };
    (f.due, format!("{} acknowledged, {} deliveries due, {outcome}; {} {words}", n(f.acked), n(f.due), n(extra)))
}

trait OrIf {
    fn or_if(self, condition: bool, other: impl FnOnce() -> String) -> Self;
}

impl OrIf for (u64, String) {
    fn or_if(self, condition: bool, other: impl FnOnce() -> String) -> Self {
        if condition { (self.0, other()) } else { self }
    }
}

/// A number with thousands apart.
fn n(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
