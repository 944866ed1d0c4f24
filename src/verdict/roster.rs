//! Where each client stands, for the further oracles: its connection, and what it is subscribed to since when.

use crate::promise::Promises;
use crate::time::Instant;
use crate::trace::{ClientId, Event, What};

/// A subscription that the broker holds, or may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    /// When SUBSCRIBE went out.
    pub asked: Instant,
    /// SUBACK: when it came and what it granted.
    pub granted: Option<(Instant, u8)>,
}

/// One client.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// It has a link: what it writes may take long to come, or never.
    pub linked: bool,
    /// CONNECTs that went out.
    pub connects: u32,
    /// When the last of them did.
    pub opened: Instant,
    /// When CONNACK came, while it is connected.
    pub up: Option<Instant>,
    /// When the last connection ended.
    pub down: Instant,
    /// By filter; lasts as long as the session does.
    pub held: Vec<Option<Held>>,
}

/// All clients.
#[derive(Debug, Default)]
pub(super) struct Roster(Vec<Entry>);

impl Roster {
    pub fn new(promises: &Promises) -> Self {
        let linked = |group: u16| promises.groups.get(usize::from(group)).is_some_and(|g| g.link != "none");
        let entry = |c: &crate::promise::Client| Entry {
            linked: linked(c.group),
            connects: 0,
            opened: Instant::ZERO,
            up: None,
            down: Instant::ZERO,
            held: vec![None; c.subscriptions.len()],
        };
        Self(promises.clients.iter().map(entry).collect())
    }

    pub fn of(&self, client: ClientId) -> &Entry {
        &self.0[client.index()]
    }

    pub fn observe(&mut self, event: &Event) {
        let at = event.at;
        let Some(entry) = self.0.get_mut(event.client.index()) else { return };
        match event.what {
            What::TransportOpen => {
                entry.connects += 1;
                entry.opened = at;
            }
            What::Connected { reason: 0, session_present, .. } => {
                entry.up = Some(at);
                if !session_present {
                    entry.held.fill(None);
                }
            }
            What::Disconnected { .. } => {
                entry.up = None;
                entry.down = at;
            }
            What::SessionEnded => entry.held.fill(None),
            What::SubscribeSent { filter } => {
                if let Some(held) = entry.held.get_mut(usize::from(filter)) {
                    held.get_or_insert(Held { asked: at, granted: None });
                }
            }
            What::Subscribed { filter, granted } if granted < 0x80 => {
                if let Some(Some(held)) = entry.held.get_mut(usize::from(filter)) {
                    held.granted.get_or_insert((at, granted));
                }
            }
            What::UnsubscribeSent { filter } => {
                if let Some(held) = entry.held.get_mut(usize::from(filter)) {
                    *held = None;
                }
            }
            _ => {}
        }
    }

    /// Since when a client has a subscription, shared ones left out, that matches `topic`, and the highest QoS granted.
    pub fn subscribed(&self, client: ClientId, topic: &str, promises: &Promises) -> Option<(Instant, u8)> {
        let held = self.of(client).held.iter().zip(&promises.clients[client.index()].subscriptions);
        let granted = held
            .filter(|(_, s)| s.share.is_none() && s.matches(topic))
            .filter_map(|(held, _)| held.as_ref().and_then(|h| h.granted));
        granted.max_by_key(|(_, qos)| *qos)
    }
}
