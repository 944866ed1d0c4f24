//! The life of sessions and wills: how they begin, are left, and end.

use super::connection::Will;
use super::core::{Broker, ConnId, Timer};
use super::defects::Defect;
use super::sabotage;
use super::session::Session;
use crate::mqtt::packet::Reason;
use crate::mqtt::properties::Property;
use crate::time::{Duration, Instant};

impl Broker {
    pub(super) fn new_session(&mut self, client_id: &str) -> u32 {
        let index = self.free_sessions.pop().unwrap_or_else(|| {
            self.sessions.push(None);
            u32::try_from(self.sessions.len() - 1).expect("fewer than 2^32 sessions")
        });
        let session = Session::new(client_id);
        self.by_client.insert(session.client_id.clone(), index);
        self.sessions[index as usize] = Some(session);
        index
    }

    /// Takes a session away with all that belongs to it; its delayed will is due now [MQTT-3.1.2-8].
    pub(super) fn end_session(&mut self, index: u32, now: Instant) {
        self.fire_delayed_will(index, now);
        let Some(session) = self.sessions.get_mut(index as usize).and_then(Option::take) else { return };
        for filter in session.subscriptions.keys() {
            let (share, proper) = super::subscribe::parts(filter);
            self.router.unsubscribe(proper, share, index);
        }
        if let Some(journal) = &mut self.journal {
            journal.session_gone(&session);
        }
        self.sabotage.forget_session(index);
        self.by_client.remove(&session.client_id);
        self.free_sessions.push(index);
    }

    /// The connection leaves its session: the will, the expiry, what the defects forget.
    pub(super) fn leave_session(&mut self, conn: ConnId, with_will: bool, now: Instant) {
        let Some(connection) = self.connections.get_mut(conn.0) else { return };
        let Some(index) = connection.session.take() else { return };
        let will = connection.will.take();
        let (forget_ids, forget_flight) =
            (self.config.defects.strikes(Defect::ForgetQos2Ids), self.config.defects.strikes(Defect::ForgetInFlight));
        let Some(Some(session)) = self.sessions.get_mut(index as usize) else { return };
        session.connection = None;
        if forget_ids {
            sabotage::forget_received(session, self.journal.as_mut());
        }
        if forget_flight {
            sabotage::forget_in_flight(session, self.journal.as_mut());
        }
        let expiry = session.expiry;
        if let Some(will) = &will
            && !with_will
        {
            self.forget_will(&will.message.from.clone());
        }
        let never = self.config.defects.strikes(Defect::WillNever);
        if let Some(will) = will.filter(|_| with_will && !never) {
            let at_once = self.config.defects.strikes(Defect::IgnoreWillDelay);
            let delay = if at_once { 0 } else { will.delay.min(expiry) };
            let due = now + Duration::from_secs(delay.into());
            if let Some(journal) = &mut self.journal {
                journal.will(&will.message.from, Some(&will), Some(due));
            }
            self.delayed_wills.insert(index, (due, will));
            if delay == 0 {
                self.fire_delayed_will(index, now);
            } else {
                self.arm(Some(due), Timer::Will(index));
            }
        }
        match expiry {
            0 => return self.end_session(index, now),
            u32::MAX => {}
            seconds => {
                let end = now + Duration::from_secs(seconds.into());
                if let Some(session) = self.session_mut(index) {
                    session.ends_at = Some(end);
                }
                self.arm(Some(end), Timer::SessionEnd(index));
            }
        }
        self.store_session(index);
    }

    /// What must survive of a session itself has changed.
    pub(super) fn store_session(&mut self, index: u32) {
        if let (Some(journal), Some(Some(session))) = (&mut self.journal, self.sessions.get_mut(index as usize)) {
            journal.session(session);
        }
    }

    pub(super) fn forget_will(&mut self, client_id: &str) {
        if let Some(journal) = &mut self.journal {
            journal.will(client_id, None, None);
        }
    }

    pub(super) fn fire_delayed_will(&mut self, session: u32, now: Instant) {
        if let Some((_, will)) = self.delayed_wills.remove(&session) {
            self.publish_will(will, session, now);
        }
    }

    /// Publishes a will; its expiry counts from now (section 3.1.3.2.4).
    pub(super) fn publish_will(&mut self, mut will: Will, session: u32, now: Instant) {
        self.forget_will(&will.message.from.clone());
        will.message.expires = will.expiry.map(|s| now + Duration::from_secs(s.into()));
        if self.config.defects.strikes(Defect::WillTwice) {
            self.publish_message(will.message.clone(), session, now);
        }
        self.publish_message(will.message, session, now);
    }

    /// [MQTT-3.14.4-3] the will is discarded (5.0: with reason 0x00 alone); 5.0 may set a new expiry, not from zero.
    pub(super) fn disconnect(&mut self, conn: ConnId, session: u32, reason: &Reason<'_>, now: Instant) {
        let expiry =
            reason.properties.find(|p| if let Property::SessionExpiryInterval(s) = p { Some(s) } else { None });
        let most = self.config.session_expiry_maximum;
        if let (Some(expiry), Some(state)) = (expiry, self.session_mut(session)) {
            if state.expiry == 0 && expiry != 0 {
                return self.end(conn, 0x82, "a session expiry in DISCONNECT after none in CONNECT", now);
            }
            state.expiry = expiry.min(most);
        }
        self.note(conn, 1, || format!("its client left with {:#04x}", reason.reason));
        let lie = self.config.defects.strikes(Defect::WillOnDisconnect);
        self.close(conn, reason.reason != 0 || lie, now);
    }
}
