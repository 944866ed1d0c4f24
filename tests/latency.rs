//! Latency without loss, against the formulas, by virtual time.
use squall::time::Instant;
/// Times from the first byte sent: to the subscriber, and to the end of the exchange, in nanoseconds, of each message.
fn exchange_times(qos: u8) -> Vec<(u64, u64)> {
    use squall::simulate::{Settings, simulate_tapped};
    use squall::trace::{Ack, What};
    // The sensor's link: 64 kbit/s up with 10 B of overhead, 40 ms each way; the subscriber's: 25 ms each way.
    let scenario = format!(
        "duration = \"20 s\"\n[fleet.s]\nsensors = 1\nlink = \"own\"\npublish = {{ topic = \"t\", qos = {qos}, payload = \"64 B\", every = \"3 s\" }}\n\
         [subscriber.all]\nlink = \"near\"\nfilters = [{{ filter = \"t\", qos = {qos} }}]\n\
         [link.own]\ndelay = \"40 ms\"\nup = {{ rate = \"64 kbit/s\", overhead = \"10 B\" }}\n[link.near]\ndelay = \"25 ms\"\n"
    );
    let scenario = squall::scenario::parse("t.toml", &scenario).unwrap_or_else(|e| panic!("{}", e.render(false)));
    let (mut sent, mut delivered, mut acked) = (Vec::new(), Vec::new(), Vec::new());
    let mut tap = |e: &squall::trace::Event| match e.what {
        What::Sent(_) => sent.push(e.at),
        What::Delivered(_) => delivered.push(e.at),
        What::Acked { ack: Ack::PubAck | Ack::PubComp, .. } => acked.push(e.at),
        _ => {}
    };
    let _ = simulate_tapped(&scenario, &Settings::default(), &mut |_| true, &mut tap);
    assert!(sent.len() >= 6 && delivered.len() == sent.len() && (qos == 0 || acked.len() == sent.len()));
    let since = |at: Option<&Instant>, from: Instant| at.map_or(0, |at| at.since(from).as_nanos() as u64);
    sent.iter().enumerate().map(|(i, from)| (since(delivered.get(i), *from), since(acked.get(i), *from))).collect()
}

/// Without loss: QoS 0 and 1 take d1 + d2 and serialisation; QoS 1 is acknowledged after a round trip, QoS 2 after two. A PUBLISH
/// has 4 + T + P bytes at QoS 0 and 2 more at 1 and 2, a PUBREL 4, TCP and IP 40. TCP's clock ticks in microseconds.
#[test]
fn latency_without_loss_is_exact() {
    let serialised = |mqtt: u64| (mqtt + 40 + 10) * 8 * 1_000_000_000 / 64_000;
    let ms = |n: u64| n * 1_000_000;
    let publish = |qos: u64| serialised(4 + 2 * qos.min(1) + 1 + 64);
    for (qos, delivered, acked) in [
        (0, ms(40) + publish(0) + ms(25), 0),
        (1, ms(40) + publish(1) + ms(25), ms(80) + publish(1)),
        (2, ms(40) + publish(2) + ms(25), ms(160) + publish(2) + serialised(4)),
    ] {
        for (d, a) in exchange_times(qos) {
            assert!(d.abs_diff(delivered) <= 2_000, "QoS {qos}: delivered after {d} ns, expected {delivered}");
            assert!(a.abs_diff(acked) <= 4_000, "QoS {qos}: acknowledged after {a} ns, expected {acked}");
        }
    }
}
