//! Which sessions a topic goes to: a tree of topic levels with the subscriptions in its nodes.

use crate::mqtt::QoS;
use crate::mqtt::packet::SubscribeOptions;
use std::collections::BTreeMap;

/// A subscription in the tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    pub session: u32,
    pub options: SubscribeOptions,
    /// 0: none.
    pub identifier: u32,
}

#[derive(Debug, Default)]
struct Share {
    /// By session.
    members: Vec<Entry>,
    /// Whose turn it is.
    next: usize,
}

#[derive(Debug, Default)]
struct Node {
    children: BTreeMap<Box<str>, Node>,
    /// By session.
    entries: Vec<Entry>,
    shares: BTreeMap<Box<str>, Share>,
}

impl Node {
    fn is_empty(&self) -> bool {
        self.children.is_empty() && self.entries.is_empty() && self.shares.is_empty()
    }
}

/// What one session gets of one message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Match {
    pub session: u32,
    /// The highest QoS of all matching subscriptions [MQTT-3.3.5-1].
    pub qos: QoS,
    pub retain_as_published: bool,
    pub identifiers: Vec<u32>,
}

impl Match {
    fn of(entry: &Entry) -> Self {
        Self {
            session: entry.session,
            qos: entry.options.qos,
            retain_as_published: entry.options.retain_as_published,
            identifiers: if entry.identifier == 0 { Vec::new() } else { vec![entry.identifier] },
        }
    }
}

/// All subscriptions of a broker.
#[derive(Debug, Default)]
pub(super) struct Router {
    root: Node,
}

impl Router {
    /// Adds or replaces a subscription; true if it is a new one.
    pub fn subscribe(&mut self, filter: &str, share: Option<&str>, entry: Entry) -> bool {
        let node = filter.split('/').fold(&mut self.root, |node, level| node.children.entry(level.into()).or_default());
        let entries = match share {
            Some(group) => &mut node.shares.entry(group.into()).or_default().members,
            None => &mut node.entries,
        };
        match entries.binary_search_by_key(&entry.session, |e| e.session) {
            Ok(at) => {
                entries[at] = entry; // [MQTT-3.8.4-3]
                false
            }
            Err(at) => {
                entries.insert(at, entry);
                true
            }
        }
    }

    /// Takes a subscription away.
    pub fn unsubscribe(&mut self, filter: &str, share: Option<&str>, session: u32) {
        let levels: Vec<&str> = filter.split('/').collect();
        Self::remove(&mut self.root, &levels, share, session);
    }

    fn remove(node: &mut Node, levels: &[&str], share: Option<&str>, session: u32) {
        if let Some((first, rest)) = levels.split_first() {
            if let Some(child) = node.children.get_mut(*first) {
                Self::remove(child, rest, share, session);
                if child.is_empty() {
                    node.children.remove(*first);
                }
            }
            return;
        }
        match share {
            None => node.entries.retain(|e| e.session != session),
            Some(group) => {
                if let Some(found) = node.shares.get_mut(group) {
                    found.members.retain(|e| e.session != session);
                    if found.members.is_empty() {
                        node.shares.remove(group);
                    }
                }
            }
        }
    }

    /// Who gets a message on `topic` that `from` published. `online` says who is connected: of a share group, a member
    /// that is connected goes before one that is not.
    pub fn matches(&mut self, topic: &str, from: u32, online: impl Fn(u32) -> bool, out: &mut Vec<Match>) {
        let dollar = topic.starts_with('$');
        let (mut nodes, mut shared) = (0, Vec::new());
        Self::walk(&mut self.root, Some(topic), dollar, &mut |node| {
            nodes += usize::from(!node.entries.is_empty());
            // [MQTT-3.8.3-3]
            let wanted = node.entries.iter().filter(|e| !(e.options.no_local && e.session == from));
            out.extend(wanted.map(Match::of));
            for share in node.shares.values_mut() {
                let n = share.members.len();
                let chosen = (0..n).map(|i| (share.next + i) % n).find(|i| online(share.members[*i].session));
                let chosen = chosen.unwrap_or(share.next % n);
                share.next = (chosen + 1) % n;
                shared.push(Match::of(&share.members[chosen]));
            }
        });
        if nodes > 1 {
            merge(out);
        }
        out.append(&mut shared);
    }

    /// Visits every node whose filter matches. A wildcard at the first level matches no `$` topic [MQTT-4.7.2-1].
    fn walk(node: &mut Node, rest: Option<&str>, dollar: bool, visit: &mut impl FnMut(&mut Node)) {
        if !dollar && let Some(all) = node.children.get_mut("#") {
            visit(all); // the parent level too [MQTT-4.7.1-2]
        }
        let Some(rest) = rest else { return visit(node) };
        let (level, rest) = rest.split_once('/').map_or((rest, None), |(level, rest)| (level, Some(rest)));
        if !dollar && let Some(any) = node.children.get_mut("+") {
            Self::walk(any, rest, false, visit);
        }
        if let Some(child) = node.children.get_mut(level) {
            Self::walk(child, rest, false, visit);
        }
    }
}

/// Several matching subscriptions of one session give one copy, at the highest QoS, with all identifiers.
fn merge(matches: &mut Vec<Match>) {
    matches.sort_by_key(|m| m.session);
    matches.dedup_by(|later, first| {
        let same = later.session == first.session;
        if same {
            first.qos = first.qos.max(later.qos);
            first.retain_as_published |= later.retain_as_published;
            first.identifiers.append(&mut later.identifiers);
        }
        same
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(session: u32, qos: QoS) -> Entry {
        Entry { session, options: SubscribeOptions { qos, ..SubscribeOptions::default() }, identifier: session }
    }

    fn who(router: &mut Router, topic: &str) -> Vec<u32> {
        let mut out = Vec::new();
        router.matches(topic, 0, |_| true, &mut out);
        let mut sessions: Vec<u32> = out.iter().map(|m| m.session).collect();
        sessions.sort_unstable();
        sessions
    }

    #[test]
    fn the_tree_matches_as_the_judges_do() {
        let filters = ["#", "a/#", "a/+", "+/b", "a/b", "+", "a/+/c", "/+", "$SYS/#", "+/+"];
        let mut router = Router::default();
        for (i, filter) in (1..).zip(filters) {
            assert!(router.subscribe(filter, None, entry(i, QoS::AtLeastOnce)));
        }
        for topic in ["a", "a/b", "a/b/c", "b", "/a", "$SYS/x", "a/", "x/b"] {
            let expected: Vec<u32> =
                (1..).zip(filters).filter(|(_, f)| crate::promise::filter_matches(f, topic)).map(|(i, _)| i).collect();
            assert_eq!(who(&mut router, topic), expected, "{topic}");
        }
        for (i, filter) in (1..).zip(filters) {
            router.unsubscribe(filter, None, i);
        }
        assert!(router.root.is_empty());
    }

    #[test]
    fn overlap_gives_one_copy_at_the_highest_qos_and_shares_take_turns() {
        let mut router = Router::default();
        router.subscribe("a/#", None, entry(1, QoS::AtMostOnce));
        router.subscribe("a/b", None, entry(1, QoS::ExactlyOnce));
        let mut out = Vec::new();
        router.matches("a/b", 0, |_| true, &mut out);
        assert_eq!(out.len(), 1);
        assert_eq!((out[0].qos, out[0].identifiers.len()), (QoS::ExactlyOnce, 2));
        let mut router = Router::default();
        for session in [1, 2] {
            router.subscribe("a", Some("g"), entry(session, QoS::AtMostOnce));
        }
        let turns: Vec<u32> = (0..4).flat_map(|_| who(&mut router, "a")).collect();
        assert_eq!(turns, [1, 2, 1, 2]);
    }
}
