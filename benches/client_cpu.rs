//! Client CPU a message: squall on direct sockets beside a bare loop of the same kind, and with links beside direct.
//!
//! The bare loop is one thread, a 1 ms tick, pre-encoded packets, one read for each ready socket; it judges nothing.
//! Everything runs against the same reference broker, one after the other; medians of three, as ratios.
//! `cargo bench --bench client_cpu -- qos1 memory` runs parts of it: qos0, qos1, qos2, links, memory.

use squall::run::{Settings, run};
use squall::target::{Target, Wish, resources};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const SENSORS: u32 = 1000;
const SECONDS: u64 = 10;
const PERIOD_MS: u64 = 200;

fn main() {
    // `cargo test` runs benches too: one short look that it still works is not worth its time there.
    if !std::env::args().any(|a| a == "--bench") {
        return;
    }
    let parts: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|p| p == part);
    let (_broker, addr) = broker();
    println!("{SENSORS} sensors at {} messages a second, microseconds of client CPU a message", 1000 / PERIOD_MS);
    for qos in (0..3).filter(|q| wanted(&format!("qos{q}"))) {
        let median = |f: &dyn Fn() -> f64| {
            let mut all: Vec<f64> = (0..3).map(|_| f()).collect();
            all.sort_by(f64::total_cmp);
            all[1]
        };
        let bare = median(&|| bare(addr, qos));
        let direct = median(&|| squall(addr, qos, "none"));
        println!("QoS {qos}: bare {bare:.1}, squall {direct:.1} ({:.2} times bare)", direct / bare);
        if wanted("links") {
            let linked = median(&|| squall(addr, qos, "lan"));
            println!("QoS {qos}: with links {linked:.1} ({:.2} times direct)", linked / direct);
        }
    }
    if !wanted("memory") {
        return;
    }
    for (name, link) in [("direct", "none"), ("with link", "lan")] {
        println!("memory a sensor, {name}: {:.1} KiB", memory(addr, link) / 1024.0);
    }
}

struct Broker(Child);

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn broker() -> (Broker, SocketAddr) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_squall"))
        .args(["broker", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the broker starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    let addr = line.trim().strip_prefix("listening on ").expect("it says where").parse().expect("an address");
    (Broker(child), addr)
}

fn cpu() -> f64 {
    resources::own_cpu().as_secs_f64()
}

/// Microseconds of CPU a message of a whole run of squall, judges included.
fn squall(addr: SocketAddr, qos: u8, link: &str) -> f64 {
    let outcome = squall_run(addr, SENSORS, qos, link, SECONDS);
    let sent: u64 = outcome.0;
    outcome.1 * 1e6 / sent as f64
}

fn squall_run(addr: SocketAddr, sensors: u32, qos: u8, link: &str, seconds: u64) -> (u64, f64) {
    let text = format!(
        "ramp = \"1 s\"\nduration = \"{seconds} s\"\ndrain = \"10 s\"\n\
         [fleet.s]\nsensors = {sensors}\nlink = \"{link}\"\n\
         publish = {{ topic = \"b/{{sensor}}\", qos = {qos}, payload = \"64 B\", every = \"{PERIOD_MS} ms\" }}\n\
         [link.lan]\ndelay = \"5 ms\"\n[expect]\nguarantees = \"none\"\n"
    );
    let scenario = squall::scenario::parse("bench.toml", &text).unwrap_or_else(|e| panic!("{}", e.render(false)));
    let url = format!("mqtt://{addr}");
    let folder = std::env::temp_dir();
    let (way, stop) = (squall::target::way::Way::default(), squall::target::stop::Stop::default());
    let wish = Wish { target: &url, remote: false, load: "", defects: &[], folder: &folder, way: &way, stop: &stop };
    let mut target = Target::prepare(&wish).expect("the broker answers");
    let settings = Settings { seed: 1, loops: 1, ..Settings::default() };
    let outcome = run(&scenario, &mut target, settings, |_| {}, || 0).expect("it runs");
    let sent = outcome.summary.groups.iter().flat_map(|g| &g.counts);
    let sent = sent.filter(|(c, _)| *c == squall::promise::Count::Sent).filter_map(|(_, n)| *n).sum();
    (sent, outcome.summary.harness.cpu.expect("known").as_secs_f64())
}

/// Bytes of resident memory a sensor: a process of its own with many, against one with few.
fn memory(addr: SocketAddr, link: &str) -> f64 {
    let rss = |sensors: u32| {
        let text = format!(
            "ramp = \"3 s\"\nduration = \"3 s\"\ndrain = \"1 s\"\n[fleet.s]\nsensors = {sensors}\nlink = \"{link}\"\n\
             publish = {{ topic = \"b/{{sensor}}\", qos = 1, every = \"2 s\" }}\n[link.lan]\ndelay = \"5 ms\"\n\
             [expect]\nguarantees = \"none\"\n"
        );
        let folder = std::env::temp_dir().join(format!("squall-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("writable");
        let file = folder.join("s.toml");
        std::fs::write(&file, text).expect("writable");
        let mut child = Command::new(env!("CARGO_BIN_EXE_squall"))
            .args(["run", "--target", &format!("mqtt://{addr}")])
            .arg(&file)
            .arg("--out")
            .arg(&folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let mut most = 0;
        while child.try_wait().expect("ours").is_none() {
            let now = squall::time::Instant::ZERO;
            most = most.max(resources::sample(&resources::tree(child.id()), now).map_or(0, |s| s.rss));
            squall::target::ready::pause(Duration::from_millis(50));
        }
        let _ = std::fs::remove_dir_all(&folder);
        most as f64
    };
    (rss(4100) - rss(100)) / 4000.0
}

/// Microseconds of CPU a message of the bare loop.
fn bare(addr: SocketAddr, qos: u8) -> f64 {
    let mut sockets: Vec<TcpStream> = (0..SENSORS).map(|i| open(addr, qos, i)).collect();
    let epoll = rustix::event::epoll::create(rustix::event::epoll::CreateFlags::CLOEXEC).expect("epoll");
    for (i, socket) in sockets.iter().enumerate() {
        let data = rustix::event::epoll::EventData::new_u64(i as u64);
        rustix::event::epoll::add(&epoll, socket, data, rustix::event::epoll::EventFlags::IN).expect("added");
        ask_for_stamps(socket);
    }
    let packets: Vec<Vec<u8>> = (0..SENSORS).map(|i| packet(qos, i)).collect();
    let before = cpu();
    let clock = squall::clock::Clock::start();
    let (mut sent, mut buffer) = (0u64, vec![0; 65_536]);
    let mut events = Vec::with_capacity(2048);
    let (mut tick, end) = (0u64, SECONDS * 1000);
    while tick < end + 200 {
        tick += 1;
        let next = squall::time::Instant::from_millis(tick);
        let wait = next.since(clock.now());
        squall::target::ready::pause(wait);
        if tick <= end {
            let phase = tick % PERIOD_MS;
            for i in (0..SENSORS as usize).filter(|i| *i as u64 % PERIOD_MS == phase) {
                sockets[i].write_all(&packets[i]).expect("written");
                sent += 1;
            }
        }
        events.clear();
        let none = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
        let spare = rustix::buffer::spare_capacity(&mut events);
        rustix::event::epoll::wait(&epoll, spare, Some(&none)).expect("waited");
        for event in &events {
            let i = usize::try_from(event.data.u64()).expect("small");
            let n = receive(&sockets[i], &mut buffer);
            if qos == 2 && n >= 4 && buffer[0] == 0x50 {
                sockets[i].write_all(&[0x62, 2, buffer[2], buffer[3]]).expect("written");
            }
        }
    }
    (cpu() - before) * 1e6 / sent as f64
}

fn open(addr: SocketAddr, qos: u8, i: u32) -> TcpStream {
    let mut socket = TcpStream::connect(addr).expect("connected");
    let id = format!("bare{qos}-{i}");
    let mut connect =
        vec![0x10, u8::try_from(12 + id.len()).expect("short"), 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60];
    connect.extend_from_slice(&[0, u8::try_from(id.len()).expect("short")]);
    connect.extend_from_slice(id.as_bytes());
    socket.write_all(&connect).expect("written");
    socket.read_exact(&mut [0; 4]).expect("CONNACK");
    socket.set_nodelay(true).expect("set");
    socket.set_nonblocking(true).expect("set");
    socket
}

fn packet(qos: u8, i: u32) -> Vec<u8> {
    let topic = format!("b/{i}");
    let id = if qos > 0 { 2 } else { 0 };
    let mut p = vec![0x30 | (qos << 1), u8::try_from(2 + topic.len() + id + 64).expect("short"), 0];
    p.push(u8::try_from(topic.len()).expect("short"));
    p.extend_from_slice(topic.as_bytes());
    if qos > 0 {
        p.extend_from_slice(&[0, 1]);
    }
    p.extend_from_slice(&[b'.'; 64]);
    p
}

fn ask_for_stamps(socket: &TcpStream) {
    let flags: libc::c_uint = libc::SOF_TIMESTAMPING_RX_SOFTWARE | libc::SOF_TIMESTAMPING_SOFTWARE;
    // SAFETY: the option takes an int, and gets its address and length.
    unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_TIMESTAMPING, (&raw const flags).cast(), 4);
    }
}

/// One recvmsg, its stamp read.
fn receive(socket: &TcpStream, buffer: &mut [u8]) -> usize {
    let mut control = [0u64; 16];
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: the message describes buffers that outlive the call.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = std::mem::size_of_val(&control) as _;
        usize::try_from(libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT)).unwrap_or(0)
    }
}
