//! The further oracles: each rule once kept and once broken, and what must not be taken for a breach.
//!
//! Histories are written by hand, in the words of the trace; nothing of squall but the judge and its vocabulary is here.

#![allow(dead_code, missing_docs, unused_imports)]
#![allow(clippy::enum_variant_names, reason = "a library's public names look like private ones here")]

#[path = "../src/promise.rs"]
mod promise;
#[path = "../src/table.rs"]
mod table;
#[path = "../src/time.rs"]
mod time;
#[path = "../src/trace.rs"]
mod trace;
#[path = "../src/verdict/mod.rs"]
mod verdict;

use promise::{Client, Deeds, Group, Guarantee, Phases, Promises, Publishes, SessionPromise, Subscription, Will};
use std::sync::Arc;
use time::{Duration, Instant};
use trace::{Ack, Altered, ClientId, Delivered, EndedBy, Event, FaultKind, FaultMark, Sent, What, WillArrived};
use verdict::Judge;

const LASTING: SessionPromise = SessionPromise::Persistent(None);

fn publisher(retain: bool) -> Client {
    let publishes = Publishes { topic: "t".into(), qos: 1, retain, length: 16, ..Publishes::default() };
    Client { publishes: Some(publishes), ..client() }
}

fn client() -> Client {
    Client { mqtt_level: 5, session: LASTING, window: 16, keep_alive: Duration::from_secs(4), ..Client::default() }
}

fn subscriber(filter: &str) -> Client {
    let subscription = Subscription { filter: filter.into(), qos: 1, ..Subscription::default() };
    Client { subscriptions: vec![subscription], ..client() }
}

fn mortal(delay: u64) -> Client {
    let will = Will { topic: "w".into(), qos: 2, retain: false, delay: Duration::from_secs(delay) };
    Client { will: Some(will), ..client() }
}

/// A run being written down; times are seconds.
struct Story {
    judge: Judge,
    now: Instant,
}

impl Story {
    fn new(clients: Vec<Client>) -> Self {
        Self::over("none", clients)
    }

    /// All clients are behind links of this name.
    fn over(link: &str, clients: Vec<Client>) -> Self {
        let group = Group { name: "all".into(), link: link.into(), clients: 1, publishes: Some(1), subscribes: true };
        let guarantees = Guarantee::ALL.into();
        let promises = Promises { groups: vec![group], clients, guarantees, ..Promises::default() };
        Self { judge: Judge::new(Arc::new(promises)), now: Instant::ZERO }
    }

    fn at(&mut self, seconds: u64) -> &mut Self {
        self.now = Instant::from_millis(seconds * 1000);
        self
    }

    fn does(&mut self, client: u32, what: What) -> &mut Self {
        self.now += Duration::from_millis(1);
        self.judge.observe(&Event { seen: self.now, at: self.now, client: ClientId(client), what });
        self
    }

    fn up(&mut self, client: u32, session_present: bool) -> &mut Self {
        let connected = What::Connected { reason: 0, session_present, expected_session: session_present };
        self.does(client, What::TransportOpen).does(client, connected)
    }

    fn down(&mut self, client: u32, by: EndedBy) -> &mut Self {
        self.does(client, What::Disconnected { by, was_connected: true, in_flight: 0 })
    }

    fn subscribe(&mut self, client: u32) -> &mut Self {
        self.does(client, What::SubscribeSent { filter: 0 }).does(client, What::Subscribed { filter: 0, granted: 1 })
    }

    fn send(&mut self, number: u32) -> &mut Self {
        let sent = Sent { number, intended: self.now, attempt: 1, packet_id: 1, resend: false, bytes: 20 };
        self.does(0, What::Sent(sent))
    }

    fn publish(&mut self, number: u32) -> &mut Self {
        self.send(number).does(0, What::Acked { number, ack: Ack::PubAck, reason: 0 })
    }

    fn get(&mut self, client: u32, number: u32, retain: bool) -> &mut Self {
        let publisher = ClientId(0);
        let topic_of = Some(publisher);
        let delivered = Delivered { publisher, number, topic_of, qos: 1, dup: false, retain, packet_id: 1, bytes: 20 };
        self.does(client, What::Delivered(delivered))
    }

    fn will(&mut self, connection: u32) -> &mut Self {
        self.will_at(connection, 1)
    }

    fn will_at(&mut self, connection: u32, qos: u8) -> &mut Self {
        self.does(1, What::Will(WillArrived { of: ClientId(0), connection, qos, retain: false }))
    }

    fn fault(&mut self, kind: FaultKind) -> &mut Self {
        self.judge.fault(&FaultMark { at: self.now, lasted: None, what: "a fault".into(), kind });
        self
    }

    /// What is broken of these guarantees, by name, when the run ends.
    fn breaks(&mut self, of: &[Guarantee]) -> Vec<&'static str> {
        let empty = Judge::new(Arc::new(Promises::default()));
        let phases = Phases { steady_from: Instant::ZERO, drain_from: self.now, ended: self.now };
        let verdicts = std::mem::replace(&mut self.judge, empty).finish(phases, true);
        let judged = verdicts.guarantees.into_iter().filter(|j| of.contains(&j.guarantee));
        judged.flat_map(|j| j.breaches).map(|(name, _)| name).collect()
    }
}

const NOTHING: &[&str] = &[];

#[test]
fn wills() {
    let wills = |delay: u64, tell: &dyn Fn(&mut Story)| {
        let mut s = Story::new(vec![mortal(delay), subscriber("w")]);
        s.up(1, false).subscribe(1).at(1).up(0, false);
        tell(&mut s);
        s.breaks(&[Guarantee::Wills])
    };
    let gone = EndedBy::Vanished;
    // [MQTT-3.1.2-8]: noticed by one and a half times the keep alive; and [MQTT-3.1.2-10], once.
    assert_eq!(
        wills(0, &|s| {
            s.at(10).down(0, gone).at(15).will(1).at(40);
        }),
        NOTHING
    );
    assert_eq!(
        wills(0, &|s| {
            s.at(10).down(0, gone).at(40);
        }),
        ["missing"]
    );
    // Before the broker must have noticed, its silence proves nothing.
    assert_eq!(
        wills(0, &|s| {
            s.at(10).down(0, gone).at(17);
        }),
        NOTHING
    );
    // [MQTT-3.14.4-3], and a will that is not of this connection.
    assert_eq!(
        wills(0, &|s| {
            s.at(10).down(0, EndedBy::Client).at(40);
        }),
        NOTHING
    );
    assert_eq!(
        wills(0, &|s| {
            s.at(10).down(0, EndedBy::Client).will(1).at(40);
        }),
        ["after DISCONNECT"]
    );
    // [MQTT-3.1.3-9]: back in the session within the delay, or too late to say, or not at all.
    assert_eq!(
        wills(20, &|s| {
            s.at(10).down(0, gone).at(12).up(0, true).at(60);
        }),
        NOTHING
    );
    assert_eq!(
        wills(20, &|s| {
            s.at(10).down(0, gone).at(12).up(0, true).at(31).will(1).at(60);
        }),
        ["despite return"]
    );
    for came in [true, false] {
        let either = wills(5, &|s| {
            s.at(10).down(0, gone).at(18).up(0, true);
            if came {
                s.will(1);
            }
            s.at(60);
        });
        assert_eq!(either, NOTHING, "the broker may or may not have noticed in time; came: {came}");
    }
    assert_eq!(
        wills(20, &|s| {
            s.at(10).down(0, gone).at(16).will(1).at(60);
        }),
        ["too early"]
    );
    // A take-over ends the old connection: a will without a delay is due.
    assert_eq!(
        wills(0, &|s| {
            s.at(10).down(0, gone).up(0, true).at(60);
        }),
        ["missing"]
    );
    // A broker that was killed may send it later, or never.
    assert_eq!(
        wills(0, &|s| {
            s.at(10).fault(FaultKind::BrokerKill).down(0, EndedBy::Reset).at(60);
        }),
        NOTHING
    );
    // At QoS 1 a further copy may be the same one sent again.
    assert_eq!(
        wills(0, &|s| {
            s.at(10).down(0, gone).at(15).will(1).will(1).at(40);
        }),
        NOTHING
    );
}

#[test]
fn wills_at_qos_2_over_links_and_with_a_short_session() {
    // The will's client, behind this link; it is gone after 10 s, and the subscription to its will is granted QoS 2.
    let gone = |link: &str, client: Client, by: EndedBy, tell: &dyn Fn(&mut Story)| {
        let mut all = subscriber("w");
        all.subscriptions[0].qos = 2;
        let mut s = Story::over(link, vec![client, all]);
        s.up(1, false).does(1, What::SubscribeSent { filter: 0 });
        s.does(1, What::Subscribed { filter: 0, granted: 2 }).at(1).up(0, false).at(10).down(0, by).at(15);
        tell(&mut s);
        s.at(60).breaks(&[Guarantee::Wills])
    };
    let at = |qos: u8, copies: u32| {
        gone("none", mortal(0), EndedBy::Vanished, &|s| {
            (0..copies).for_each(|_| {
                s.will_at(1, qos);
            });
        })
    };
    assert_eq!((at(2, 1), at(2, 2)), (vec![], vec!["twice"]));
    assert_eq!(at(1, 1), ["wrong QoS"], "lower than its own and than the grant");
    let mut modest = mortal(0);
    modest.will.as_mut().expect("it has one").qos = 1;
    let higher = gone("none", modest, EndedBy::Vanished, &|s| {
        s.will_at(1, 2);
    });
    assert_eq!(higher, ["wrong QoS"]);
    // Over a link, DISCONNECT may not have come.
    let after_disconnect = |link: &str| {
        gone(link, mortal(0), EndedBy::Client, &|s| {
            s.will_at(1, 2);
        })
    };
    assert_eq!((after_disconnect("none"), after_disconnect("rough")), (vec!["after DISCONNECT"], vec![]));
    // The session ends before the delay does [MQTT-3.1.2-8].
    let session = SessionPromise::Persistent(Some(Duration::from_secs(5)));
    let short = Client { session, ..mortal(20) };
    assert_eq!(
        gone("none", short, EndedBy::Vanished, &|s| {
            s.will_at(1, 2);
        }),
        NOTHING
    );
    // A return with a new session ends the old one: the will may be published then, or be given up.
    for came in [true, false] {
        let anew = gone("none", mortal(20), EndedBy::Vanished, &|s| {
            s.up(0, false);
            if came {
                s.will_at(1, 2);
            }
        });
        assert_eq!(anew, NOTHING, "came: {came}");
    }
    // Who subscribed when the will may already have been published may have missed it.
    let mut s = Story::new(vec![mortal(0), subscriber("w")]);
    s.up(1, false).up(0, false).at(5).subscribe(1).at(10).down(0, EndedBy::Vanished);
    assert_eq!(s.at(60).breaks(&[Guarantee::Wills]), NOTHING);
}

#[test]
fn retained_as_published_and_by_handling() {
    let options = |change: &dyn Fn(&mut Subscription), tell: &dyn Fn(&mut Story)| {
        let mut s = subscriber("t");
        change(&mut s.subscriptions[0]);
        let mut s = Story::new(vec![publisher(true), s]);
        s.up(0, false).up(1, false);
        tell(&mut s);
        s.at(60).breaks(&[Guarantee::Retained])
    };
    // [MQTT-3.3.1-13]
    let live = |flag: bool| {
        options(&|s| s.retain_as_published = true, &|s| {
            s.subscribe(1).publish(0).get(1, 0, flag);
        })
    };
    assert_eq!((live(true), live(false)), (vec![], vec!["RETAIN lost"]));
    // [MQTT-3.3.1-10]: at a new subscription, and not when it is made again.
    let again = |replayed: bool| {
        options(&|s| s.retain_handling = 1, &|s| {
            s.publish(0).subscribe(1).get(1, 0, true).publish(1).get(1, 1, false).subscribe(1);
            if replayed {
                s.get(1, 1, true);
            }
        })
    };
    assert_eq!((again(false), again(true)), (vec![], vec!["RETAIN set or not asked for"]));
    // [MQTT-3.3.1-11]: never.
    assert_eq!(
        options(&|s| s.retain_handling = 2, &|s| {
            s.publish(0).subscribe(1);
        }),
        NOTHING
    );
}

#[test]
fn retained() {
    let retained = |tell: &dyn Fn(&mut Story)| {
        let mut s = Story::new(vec![publisher(true), subscriber("t")]);
        s.up(0, false).up(1, false);
        tell(&mut s);
        s.at(60).breaks(&[Guarantee::Retained])
    };
    assert_eq!(
        retained(&|s| {
            s.publish(0).publish(1).subscribe(1).get(1, 1, true);
        }),
        NOTHING
    );
    assert_eq!(
        retained(&|s| {
            s.publish(0).publish(1).subscribe(1).get(1, 0, true);
        }),
        ["older value"]
    );
    assert_eq!(
        retained(&|s| {
            s.publish(0).subscribe(1);
        }),
        ["missing"]
    );
    // Not acknowledged yet: the broker may hold either.
    assert_eq!(
        retained(&|s| {
            s.publish(0).send(1).subscribe(1).get(1, 0, true);
        }),
        NOTHING
    );
    // Sent again after a later one: whichever came last.
    assert_eq!(
        retained(&|s| {
            s.publish(0).publish(1).send(0).subscribe(1).get(1, 0, true);
        }),
        NOTHING
    );
    // [MQTT-3.3.1-6]: cleared, and none is due; one that came after is.
    let cleared = |tell: &dyn Fn(&mut Story)| {
        retained(&|s| {
            s.publish(0).does(0, What::ClearSent).does(0, What::ClearAcked);
            tell(s);
        })
    };
    assert_eq!(
        cleared(&|s| {
            s.subscribe(1);
        }),
        NOTHING
    );
    assert_eq!(
        cleared(&|s| {
            s.subscribe(1).get(1, 0, true);
        }),
        ["not cleared"]
    );
    assert_eq!(
        cleared(&|s| {
            s.publish(1).subscribe(1);
        }),
        ["missing"]
    );
    // A live copy has no RETAIN [MQTT-3.3.1-12].
    let live = |flag: bool| {
        retained(&|s| {
            s.subscribe(1).publish(0).get(1, 0, flag).publish(1).get(1, 1, flag);
        })
    };
    assert_eq!((live(false), live(true)), (vec![], vec!["RETAIN set or not asked for"]));
}

#[test]
fn keep_alive() {
    let silent = |until: u64, by: EndedBy| {
        let deeds = Deeds { goes_silent: true, ..Deeds::default() };
        let mut s = Story::new(vec![Client { deeds, ..client() }]);
        s.up(0, false).at(10);
        let since = s.now;
        s.does(0, What::Silent { since, keep_alive: 4 }).at(until).down(0, by).at(until + 1);
        s.breaks(&[Guarantee::KeepAlive])
    };
    assert_eq!(silent(16, EndedBy::Broker(None)), NOTHING);
    assert_eq!(silent(23, EndedBy::Broker(None)), NOTHING, "it looks every six seconds, and counts whole ones");
    assert_eq!(silent(30, EndedBy::Broker(None)), ["never closed"]);
    let pinged_over = |link: &str, level: u8, after: u64, by: EndedBy, paused: bool| {
        let deeds = Deeds { goes_silent: true, ..Deeds::default() };
        let mut s = Story::over(link, vec![Client { deeds, mqtt_level: level, ..client() }]);
        s.up(0, false).at(10).does(0, What::Pinged);
        if paused {
            s.fault(FaultKind::BrokerPause);
        }
        s.at(10 + after).down(0, by).at(40);
        s.breaks(&[Guarantee::KeepAlive])
    };
    let pinged = |level: u8, after: u64, by: EndedBy, paused: bool| pinged_over("none", level, after, by, paused);
    assert_eq!(pinged(4, 2, EndedBy::Broker(None), false), ["closed early"]);
    let held_back = pinged_over("rough", 4, 2, EndedBy::Broker(None), false);
    assert_eq!(held_back, NOTHING, "a link may have held the PINGREQ back");
    assert_eq!(pinged(4, 2, EndedBy::Broker(None), true), NOTHING, "a paused broker sees nothing");
    assert_eq!(pinged(4, 5, EndedBy::Broker(None), false), NOTHING, "not pinged within its keep alive");
    assert_eq!(pinged(5, 2, EndedBy::Broker(Some(0x8D)), false), ["closed early"]);
    assert_eq!(pinged(5, 2, EndedBy::Broker(Some(0x8B)), false), NOTHING, "5.0 says why: it shuts down");
}

#[test]
fn take_over_and_unsubscribe() {
    let deeds = Deeds { takes_over: true, ..Deeds::default() };
    for (closed_at, broken) in
        [(Some(6), vec![]), (Some(20), vec!["old connection kept"]), (None, vec!["old connection kept"])]
    {
        let mut s = Story::new(vec![Client { deeds, ..client() }]);
        s.up(0, false).at(5).does(0, What::TakesOver).down(0, EndedBy::Vanished).up(0, true);
        if let Some(at) = closed_at {
            s.at(at).does(0, What::OldConnectionClosed { reason: None });
        }
        assert_eq!(s.at(30).breaks(&[Guarantee::TakeOver]), broken, "{closed_at:?}");
    }
    let deeds = Deeds { unsubscribes: true, ..Deeds::default() };
    for (number, broken) in [(0, vec![]), (1, vec!["after UNSUBSCRIBE"])] {
        let mut s = Story::new(vec![publisher(false), Client { deeds, ..subscriber("t") }]);
        s.up(0, false).up(1, false).subscribe(1).send(0).does(1, What::UnsubscribeSent { filter: 0 });
        // What had begun may be finished; what came after UNSUBACK may not begin.
        s.does(1, What::Unsubscribed { filter: 0 }).send(1).get(1, number, false);
        assert_eq!(s.breaks(&[Guarantee::Subscriptions]), broken, "{number}");
    }
    // Once it has asked for it again, it may come.
    let mut s = Story::new(vec![publisher(false), Client { deeds, ..subscriber("t") }]);
    s.up(0, false).up(1, false).subscribe(1).does(1, What::UnsubscribeSent { filter: 0 });
    s.does(1, What::Unsubscribed { filter: 0 }).subscribe(1).send(0).get(1, 0, false);
    assert_eq!(s.breaks(&[Guarantee::Subscriptions]), NOTHING);
}

#[test]
fn a_copy_names_the_subscription_that_it_came_by() {
    let altered = |what: Altered| {
        let identified = Client { subscription_identifier: Some(7), ..subscriber("t") };
        let mut s = Story::new(vec![publisher(false), identified]);
        s.up(0, false).up(1, false).subscribe(1).send(0);
        s.does(1, What::Altered { publisher: ClientId(0), what }).get(1, 0, false);
        s.breaks(&[Guarantee::Subscriptions])
    };
    assert_eq!(altered(Altered::SubscriptionIdentifier), ["wrong subscription identifier"]);
    assert_eq!(altered(Altered::Order), NOTHING);
}

#[test]
fn expiry_and_properties() {
    let copy = |link: &str, dup: bool, seconds: u64, left: Option<u32>| {
        let mut p = publisher(false);
        p.publishes.as_mut().expect("it publishes").expiry = Some(Duration::from_secs(10));
        let mut s = Story::over(link, vec![p, subscriber("t")]);
        s.up(0, false).up(1, false).subscribe(1).at(5).down(1, EndedBy::Client).publish(0).at(5 + seconds).up(1, true);
        let publisher = ClientId(0);
        let topic_of = Some(publisher);
        let delivered =
            Delivered { publisher, number: 0, topic_of, qos: 1, dup, retain: false, packet_id: 1, bytes: 20 };
        s.does(1, What::ExpiryLeft { left }).does(1, What::Delivered(delivered));
        s.breaks(&[Guarantee::Expiry])
    };
    let waited = |seconds: u64, left: Option<u32>| copy("none", false, seconds, left);
    assert_eq!(waited(4, Some(6)), NOTHING);
    assert_eq!((waited(4, Some(5)), waited(4, Some(7))), (vec![], vec![]), "rounded either way");
    assert_eq!((waited(4, Some(10)), waited(4, Some(2))), (vec!["not counted down"], vec!["not counted down"]));
    assert_eq!((waited(4, None), waited(15, Some(0))), (vec!["expiry gone"], vec!["sent after its expiry"]));
    assert_eq!(copy("rough", false, 15, Some(0)), NOTHING, "over a link nobody knows how long the broker had it");
    assert_eq!(copy("none", true, 15, Some(0)), NOTHING, "what has begun may be finished");
    let mut p = publisher(false);
    p.publishes.as_mut().expect("it publishes").properties = 20;
    let mut s = Story::new(vec![p, subscriber("t")]);
    s.up(0, false).up(1, false).subscribe(1).send(0);
    s.does(1, What::Altered { publisher: ClientId(0), what: Altered::Order }).get(1, 0, false);
    assert_eq!(s.breaks(&[Guarantee::Properties]), ["reordered"]);
}

#[test]
fn dup_is_the_brokers_own_word() {
    let copy = |s: &mut Story, number: u32, dup: bool| {
        let topic_of = Some(ClientId(0));
        let d =
            Delivered { publisher: ClientId(0), number, topic_of, qos: 1, dup, retain: false, packet_id: 1, bytes: 20 };
        s.does(1, What::Delivered(d)).breaks(&[Guarantee::Protocol])
    };
    let begun = || {
        let mut s = Story::new(vec![publisher(false), subscriber("t")]);
        s.up(0, false).up(1, false).subscribe(1).publish(0);
        s
    };
    // [MQTT-3.3.1-3]: published when the connection was there, and never sent on it before.
    assert_eq!(copy(&mut begun(), 0, true), ["DUP carried over"]);
    assert_eq!(copy(&mut begun(), 0, false), [""; 0]);
    // It may have been sent on the connection before, and lost with it.
    assert_eq!(copy(begun().down(1, EndedBy::Reset).up(1, true), 0, true), [""; 0]);
    assert_eq!(copy(begun().down(1, EndedBy::Reset).up(1, true).publish(1), 1, true), ["DUP carried over"]);
    // A server before 5.0 may send it again on the same connection.
    assert_eq!(copy(begun().get(1, 0, false), 0, true), [""; 0]);
}

#[test]
fn an_identifier_in_use_is_named_unless_a_kill_made_the_broker_forget() {
    let taken = |s: &mut Story| s.does(0, What::Protocol(trace::Breach::IdInUse)).breaks(&[Guarantee::Protocol]);
    let mut s = Story::new(vec![subscriber("t")]);
    assert_eq!(taken(s.up(0, false)), ["packet identifier in use"]);
    let mut s = Story::new(vec![subscriber("t")]);
    assert_eq!(taken(s.up(0, false).fault(FaultKind::BrokerKill).down(0, EndedBy::Reset).up(0, true)), [""; 0]);
}

#[test]
fn a_pubrel_is_known_where_its_pubrec_came() {
    let acked = |ack, reason| What::Acked { number: 0, ack, reason };
    let sender = || {
        let mut sender = publisher(false);
        sender.publishes.as_mut().expect("it publishes").qos = 2;
        let mut s = Story::new(vec![sender]);
        s.up(0, false).send(0).does(0, acked(Ack::PubRec, 0));
        s
    };
    let all = [Guarantee::Protocol];
    assert_eq!(sender().does(0, acked(Ack::PubComp, 0x92)).breaks(&all), ["PUBREL taken for unknown"]);
    assert_eq!(sender().does(0, acked(Ack::PubComp, 0)).breaks(&all), [""; 0]);
    // PUBREL may have come over the old connection, and its PUBCOMP not: 0x92 is no error on recovery.
    let mut s = sender();
    s.down(0, EndedBy::Reset).up(0, true).does(0, What::ReleasedAgain { packet_id: 1 });
    assert_eq!(s.does(0, acked(Ack::PubComp, 0x92)).breaks(&all), [""; 0]);
}

#[test]
fn a_shared_message_goes_to_one_member() {
    let member = || {
        let mut member = subscriber("t");
        member.subscriptions[0].share = Some("g".into());
        member
    };
    let group = |level: u8| {
        let mut clients = vec![publisher(false), member(), member()];
        clients[2].mqtt_level = level;
        let mut s = Story::new(clients);
        s.up(0, false).up(1, false).up(2, false).subscribe(1).subscribe(2).publish(0).get(1, 0, false);
        s
    };
    let all = [Guarantee::Subscriptions];
    assert_eq!(group(5).get(2, 0, false).breaks(&all), ["to two members"]);
    assert_eq!(group(5).get(1, 0, false).breaks(&all), [""; 0]); // twice to one is for others to judge
    assert_eq!(group(4).get(2, 0, false).breaks(&all), [""; 0]); // 3.1.1 knows no shared subscriptions
    // At QoS 1 it may move when its member's connection breaks, and two may get it.
    assert_eq!(group(5).down(1, EndedBy::Reset).get(2, 0, false).breaks(&all), [""; 0]);
    // The broker knew it before we did.
    assert_eq!(group(5).get(2, 0, false).down(1, EndedBy::Reset).breaks(&all), [""; 0]);
    assert_eq!(group(5).get(2, 0, false).down(1, EndedBy::Client).breaks(&all), ["to two members"]);
    // Sent again, a QoS 1 message is another one to the broker.
    let again = Sent { number: 0, intended: Instant::ZERO, attempt: 1, packet_id: 1, resend: true, bytes: 20 };
    assert_eq!(group(5).does(0, What::Sent(again)).get(2, 0, false).breaks(&all), [""; 0]);
    // Who has a subscription of its own that matches gets a copy by that one too.
    let mut own = member();
    own.subscriptions.push(Subscription { filter: "#".into(), qos: 1, ..Subscription::default() });
    let mut s = Story::new(vec![publisher(false), member(), own]);
    s.up(0, false).up(1, false).up(2, false).subscribe(1).subscribe(2);
    s.does(2, What::SubscribeSent { filter: 1 }).does(2, What::Subscribed { filter: 1, granted: 1 });
    assert_eq!(s.publish(0).get(1, 0, false).get(2, 0, false).breaks(&all), [""; 0]);
}
