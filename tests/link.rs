//! A link against theory, in virtual time: every delay, loss and reset as the formulas say.

use squall::link::spec::{Direction, Jitter, LinkSpec, Loss, Outage};
use squall::link::{GatewayEvent, Path, SensorSide, SensorState};
use squall::seed::Stream;
use squall::time::{Duration, Instant};
use std::sync::Arc;

const MS: Duration = Duration::from_millis(1);

fn direction(delay: u32, loss: f64) -> Direction {
    let loss = if loss > 0.0 { Loss::Bernoulli(loss) } else { Loss::None };
    Direction { delay: MS * delay, loss, ..Direction::PERFECT }
}

fn spec(delay: u32, loss: f64) -> LinkSpec {
    LinkSpec { up: direction(delay, loss), down: direction(delay, loss), ..LinkSpec::PERFECT }
}

/// A link whose gateway accepts every connection at once.
struct Bench {
    path: Path,
    now: Instant,
    conn: Option<u32>,
    finished: Vec<u32>,
    reset: Vec<u32>,
}

impl Bench {
    fn new(spec: LinkSpec, seed: u64) -> Self {
        let stream = |name| Stream::named(seed, &[name]);
        let path = Path::new(Arc::new(spec), stream("up"), stream("down"), stream("ports"));
        Self { path, now: Instant::ZERO, conn: None, finished: vec![], reset: vec![] }
    }

    fn events(&mut self) {
        while let Some(event) = self.path.poll_gateway() {
            match event {
                GatewayEvent::Open(conn) => {
                    self.conn = Some(conn);
                    self.path.accept(conn, self.now);
                }
                GatewayEvent::Finished(conn) => self.finished.push(conn),
                GatewayEvent::Reset(conn) => self.reset.push(conn),
            }
        }
    }

    /// Runs until `done` or until `limit`; returns when it was done.
    fn until(&mut self, limit: Instant, mut done: impl FnMut(&mut Self) -> bool) -> Option<Instant> {
        self.events();
        if done(self) {
            return Some(self.now);
        }
        while let Some(next) = self.path.next_deadline().filter(|t| *t <= limit) {
            self.now = self.now.max(next);
            self.path.poll(self.now);
            self.events();
            if done(self) {
                return Some(self.now);
            }
        }
        self.now = limit;
        self.path.poll(limit);
        None
    }

    fn connect(&mut self) {
        self.path.connect(self.now);
        let limit = self.now + Duration::from_secs(200);
        self.until(limit, |b| b.path.sensor_state() == SensorState::Open).expect("connected");
    }

    /// Sends a message up, returns how long it took.
    fn send_up(&mut self, length: usize) -> Duration {
        let (start, mut got) = (self.now, Vec::new());
        assert_eq!(self.path.write(&vec![7; length], start), length);
        let arrived = self.until(start + Duration::from_secs(1000), |b| {
            let (conn, now) = (b.conn.expect("open"), b.now);
            b.path.gateway_read(conn, &mut got, usize::MAX, now);
            got.len() == length
        });
        arrived.expect("delivered").since(start)
    }
}

#[test]
fn lossless_latency_is_exact() {
    let mut s = spec(40, 0.0);
    s.up.rate = Some(64_000);
    s.up.overhead = 10;
    let mut b = Bench::new(s, 1);
    b.connect();
    b.until(Instant::from_millis(5000), |_| false);
    // 64 bytes + 40 of headers + 10 of overhead at 64 kbit/s are 14.25 ms.
    assert_eq!(b.send_up(64), Duration::from_micros(40_000 + 14_250));
    assert_eq!(b.path.wire().up.retransmissions, 0);
}

#[test]
fn throughput_is_the_rate_less_overhead() {
    let mut s = spec(1, 0.0);
    s.up.rate = Some(1_000_000);
    let mut b = Bench::new(s, 1);
    b.connect();
    let (start, total) = (b.now, 200_000);
    let (mut sent, mut got) = (0, Vec::new());
    let end = b.until(Instant::from_millis(60_000), |b| {
        let (conn, now) = (b.conn.expect("open"), b.now);
        sent += b.path.write(&vec![1; (total - sent).min(4096)], now);
        b.path.gateway_read(conn, &mut got, usize::MAX, now);
        got.len() == total
    });
    let wire = b.path.wire().up;
    let on_air = Duration::from_nanos(wire.airtime).as_secs_f64();
    let took = end.expect("all of it").since(start).as_secs_f64();
    assert!((on_air - wire.bytes as f64 * 8.0 / 1e6).abs() < 1e-3);
    // 2 KiB of buffers over a round trip of 2 ms and the time of a segment: the window nearly fills the link.
    assert!(on_air / took > 0.8, "the link was busy {on_air} s of {took} s");
}

/// The Karn model of sparse serial messages: the mean excess delay, loss both ways (fresh connections, so that
/// samples are independent: one message each, RTO at its start 1 s or what the hand-shake left).
#[test]
fn losses_cost_retransmission_timeouts() {
    for (loss, low, high) in [(0.05, 0.02, 0.12), (0.2, 0.2, 2.6)] {
        let n = 2000;
        let mut excess = 0.0;
        for seed in 0..n {
            let mut b = Bench::new(spec(20, 0.0), seed);
            b.connect();
            b.until(Instant::from_millis(5000), |_| false);
            let mut lossy = Bench::new(spec(20, loss), seed);
            lossy.connect();
            let later = lossy.now + Duration::from_secs(1);
            lossy.until(later, |_| false);
            excess += (lossy.send_up(20).as_secs_f64() - b.send_up(20).as_secs_f64()).max(0.0);
        }
        let mean = excess / n as f64;
        assert!((low..high).contains(&mean), "mean excess at {loss}: {mean}");
    }
}

#[test]
fn an_outage_ends_at_the_first_timeout_after_it() {
    for (outage, expected) in [(20, 31), (30, 31), (2, 3)] {
        let mut s = spec(20, 0.0);
        s.outages = vec![Outage { at: Instant::from_millis(10_000), lasts: Duration::from_secs(outage) }];
        let mut b = Bench::new(s, 3);
        b.connect();
        b.until(Instant::from_millis(10_000), |_| false);
        let took = b.send_up(20).as_secs_f64();
        assert!((took - f64::from(expected) - 0.02).abs() < 0.05, "outage of {outage} s: {took} s");
        assert!(b.path.wire().up.outage_drops > 0 && b.path.wire().up.retransmissions > 0);
    }
}

#[test]
fn gilbert_elliott_keeps_its_stationary_loss() {
    // NTIA vector, netem's form: error 0.6, p .1667, r .0714, k .05, h .55.
    let loss = Loss::GilbertElliott { into_bad: 0.1667, out_of_bad: 0.0714, loss_in_good: 0.95, loss_in_bad: 0.45 };
    assert!((loss.stationary() - 0.6).abs() < 0.005);
    let in_time = Loss::GilbertElliottTime {
        good: Duration::from_secs(8),
        bad: Duration::from_secs(2),
        loss_in_good: 0.0,
        loss_in_bad: 0.5,
    };
    for (loss, expected) in [(in_time, 0.1), (Loss::Bernoulli(0.3), 0.3)] {
        let mut s = spec(5, 0.0);
        s.up.loss = loss;
        let (mut lost, mut sent) = (0, 0);
        for seed in 0..40 {
            let mut b = Bench::new(s.clone(), seed);
            // A SYN each second from a fresh boot: nobody answers, so that nothing depends on what was lost.
            for second in 0..500 {
                let at = Instant::from_millis(second * 1000);
                b.path.poll(at);
                b.path.power_cut();
                b.path.connect(at);
            }
            lost += b.path.wire().up.lost;
            sent += b.path.wire().up.packets;
        }
        let share = lost as f64 / sent as f64;
        assert!((share - expected).abs() < 0.02, "{loss:?}: {share}");
    }
}

#[test]
fn what_waits_for_room_at_a_close_still_comes_before_the_fin() {
    let mut slow = spec(10, 0.2);
    slow.up.rate = Some(20_000);
    let mut b = Bench::new(slow, 1);
    b.connect();
    let all: Vec<u8> = (0..20_000u16).flat_map(u16::to_be_bytes).collect();
    let taken = b.path.write(&all, b.now);
    assert!(taken < all.len() / 2, "the buffer takes {taken} bytes at once, so that most of them wait");
    b.path.finish(all[taken..].to_vec(), b.now);
    assert_eq!(b.path.sensor_state(), SensorState::Closed);
    let mut got = Vec::new();
    let limit = b.now + Duration::from_secs(1000);
    let finished = b.until(limit, |b| {
        let (conn, now) = (b.conn.expect("open"), b.now);
        b.path.gateway_read(conn, &mut got, usize::MAX, now);
        b.finished == [0]
    });
    assert!(finished.is_some());
    assert!(got == all, "{} of {} bytes", got.len(), all.len());
}

#[test]
fn fin_rst_and_silence_cross_the_link_both_ways() {
    let later = |b: &Bench| b.now + Duration::from_secs(10);
    // The sensor finishes.
    let mut b = Bench::new(spec(10, 0.0), 1);
    b.connect();
    b.path.finish(Vec::new(), b.now);
    assert!(b.until(later(&b), |b| b.finished == [0]).is_some());
    // The sensor resets.
    let mut b = Bench::new(spec(10, 0.0), 1);
    b.connect();
    b.path.abort(b.now);
    assert!(b.until(later(&b), |b| b.reset == [0]).is_some());
    // The broker finishes.
    let mut b = Bench::new(spec(10, 0.0), 1);
    b.connect();
    b.path.gateway_finish(0, b.now);
    assert!(b.until(later(&b), |b| b.path.sensor_state() == SensorState::PeerFinished).is_some());
    // The broker resets.
    let mut b = Bench::new(spec(10, 0.0), 1);
    b.connect();
    b.path.gateway_reset(0, b.now);
    assert!(b.until(later(&b), |b| b.path.sensor_state() == SensorState::Reset).is_some());
    // The sensor vanishes: the gateway sees nothing, and the next boot gets a connection of its own.
    let mut b = Bench::new(spec(10, 0.0), 1);
    b.connect();
    b.path.power_cut();
    assert!(b.until(later(&b), |b| !b.reset.is_empty() || !b.finished.is_empty()).is_none());
    b.connect();
    assert_eq!(b.conn, Some(1));
    // What the gateway still sends on the old connection is answered by a reset.
    b.path.gateway_write(0, b"late", b.now);
    assert!(b.until(later(&b), |b| b.reset == [0]).is_some());
}

#[test]
fn a_refused_connection_is_reset_and_an_unanswered_one_stays_open() {
    let mut b = Bench::new(spec(10, 0.0), 1);
    b.path.connect(Instant::ZERO);
    let mut refused = false;
    while let Some(next) = b.path.next_deadline().filter(|t| *t < Instant::from_millis(900)) {
        b.now = next;
        b.path.poll(next);
        assert_ne!(b.path.sensor_state(), SensorState::Open, "the gateway must not finish the hand-shake by itself");
        if !refused && b.path.poll_gateway() == Some(GatewayEvent::Open(0)) {
            b.path.refuse(0, next);
            refused = true;
        }
    }
    assert!(refused);
    assert_eq!(b.path.sensor_state(), SensorState::Reset);
}

#[test]
fn a_full_queue_drops_and_tcp_recovers() {
    let mut s = spec(50, 0.0);
    s.up.rate = Some(20_000);
    s.up.queue = Some(1000);
    s.mtu = 400;
    let mut b = Bench::new(s, 5);
    b.connect();
    assert!(b.send_up(1500) > Duration::from_millis(800));
    assert!(b.path.wire().up.queue_drops > 0);
}

#[test]
fn a_coarse_tick_does_not_change_what_happens() {
    let run = |tick: Option<Duration>| {
        let mut s = spec(37, 0.1);
        s.up.rate = Some(50_000);
        s.half_duplex = true;
        s.up.jitter = Jitter::Normal(MS * 9);
        let mut b = Bench::new(s, 9);
        b.connect();
        b.until(Instant::from_millis(20_000), |_| false);
        b.path.write(&[1; 1500], b.now);
        let end = b.now + Duration::from_secs(100);
        while b.now < end {
            b.now = tick.map_or_else(|| b.path.next_deadline().unwrap_or(end).max(b.now), |t| b.now + t).min(end);
            b.path.poll(b.now);
        }
        b.path.wire()
    };
    assert_eq!(run(None), run(Some(MS)));
    assert_eq!(run(None), run(Some(MS * 77)));
}

/// The broker finishes first, the sensor answers with its last bytes and its FIN: nothing of it may get lost.
#[test]
fn last_words_after_the_brokers_fin_arrive() {
    let mut b = Bench::new(spec(10, 0.0), 1);
    b.connect();
    let later = b.now + Duration::from_secs(5);
    b.until(later, |_| false);
    b.path.gateway_finish(0, b.now);
    b.path.write(b"last words", b.now);
    b.path.finish(Vec::new(), b.now);
    // Nobody reads for a while: the gateway holds the bytes back until there is room.
    let later = b.now + Duration::from_secs(1);
    b.until(later, |_| false);
    assert!(b.finished.is_empty(), "finished means that all of it was read");
    let mut got = Vec::new();
    b.path.gateway_read(0, &mut got, usize::MAX, b.now);
    b.events();
    assert_eq!(got, b"last words");
    assert_eq!((b.finished, b.reset), (vec![0], vec![]));
}

#[test]
fn normal_jitter_is_even_about_the_delay() {
    let mut s = spec(100, 0.0);
    s.up.jitter = Jitter::Normal(MS * 10);
    let mut b = Bench::new(s, 4);
    b.connect();
    let delays: Vec<f64> = (0..2000)
        .map(|_| {
            let later = b.now + Duration::from_secs(1);
            b.until(later, |_| false);
            b.send_up(20).as_secs_f64() * 1e3
        })
        .collect();
    let mean = delays.iter().sum::<f64>() / delays.len() as f64;
    let below = delays.iter().filter(|d| **d < 100.0).count();
    assert!((mean - 100.0).abs() < 1.0, "mean {mean} ms"); // 4.5 standard errors
    assert!((900..1100).contains(&below), "{below} of 2000 below the delay");
}
