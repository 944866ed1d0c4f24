//! Packet captures of simulated links: the same bytes for a seed, and checksums that hold.

mod support;

use smoltcp::wire::{IpAddress, Ipv4Packet, TcpPacket};
use std::path::Path;
use support::{Scratch, squall};

const SCENARIO: &str = r#"
duration = "20 s"
drain = "60 s"
[fleet.s]
sensors = 3
link = "l"
publish = { topic = "t/{sensor}", qos = 1, every = "1 s" }
[fleet.other]
sensors = 1
publish = { topic = "o", every = "1 s" }
[subscriber.all]
filters = [{ filter = "t/#", qos = 1 }]
[link.l]
loss = "10 %"
delay = "30 ms"
rate = "50 kbit/s"
"#;

/// Simulates with `--pcap`; the capture and the report.
fn simulate(scratch: &Scratch, name: &str, who: &str) -> (Vec<u8>, serde_json::Value) {
    let (file, out) = (scratch.file("test.toml", SCENARIO), scratch.0.join(name));
    let output =
        squall().arg("simulate").arg(file).args(["--pcap", who, "--out"]).arg(&out).output().expect("it starts");
    let folder = std::fs::read_dir(&out).ok().and_then(|mut f| f.next()).and_then(Result::ok);
    let folder = folder.unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr))).path();
    let read = |name: &str| std::fs::read(Path::new(&folder).join(name)).expect("written");
    (read("packets.pcapng"), serde_json::from_slice(&read("report.json")).expect("JSON"))
}

/// The blocks of a pcapng file: type and body.
fn blocks(mut file: &[u8]) -> Vec<(u32, &[u8])> {
    let word = |bytes: &[u8]| u32::from_le_bytes(bytes[..4].try_into().expect("four"));
    let mut all = Vec::new();
    while !file.is_empty() {
        let length = word(&file[4..]) as usize;
        assert_eq!(word(&file[length - 4..]) as usize, length, "each block says its length twice");
        all.push((word(file), &file[8..length - 4]));
        file = &file[length..];
    }
    all
}

/// Time, interface and IP bytes of each packet.
fn packets<'f>(blocks: &[(u32, &'f [u8])]) -> Vec<(u64, u32, &'f [u8])> {
    let word = |body: &[u8], i: usize| u32::from_le_bytes(body[i * 4..][..4].try_into().expect("four"));
    let packets = blocks.iter().filter(|(kind, _)| *kind == 6);
    packets
        .map(|(_, b)| {
            let at = (u64::from(word(b, 1)) << 32) | u64::from(word(b, 2));
            (at, word(b, 0), &b[20..20 + word(b, 3) as usize])
        })
        .collect()
}

#[test]
fn a_fleets_capture_is_the_same_for_a_seed_and_its_checksums_hold() {
    let scratch = Scratch::new();
    let (first, report) = simulate(&scratch, "first", "s");
    assert!(first == simulate(&scratch, "second", "s").0, "same seed, same bytes");
    let blocks = blocks(&first);
    assert_eq!(blocks.iter().filter(|(kind, _)| *kind == 1).count(), 3, "an interface for each sensor");
    let packets = packets(&blocks);
    assert!(packets.windows(2).all(|w| w[0].0 <= w[1].0), "by time");
    let mut sent = [0; 3];
    for (_, interface, bytes) in &packets {
        let ip = Ipv4Packet::new_checked(bytes).expect("whole");
        let (from, to) = (IpAddress::Ipv4(ip.src_addr()), IpAddress::Ipv4(ip.dst_addr()));
        let tcp = TcpPacket::new_checked(ip.payload()).expect("whole");
        assert!(ip.verify_checksum() && tcp.verify_checksum(&from, &to), "{from} to {to}");
        if tcp.dst_port() == 1883 {
            // Subscribers have the first numbers: this one is client 1 and on.
            assert_eq!(ip.src_addr().octets(), [10, 1, 0, 1 + u8::try_from(*interface).expect("small")]);
            sent[*interface as usize] += 1;
        }
    }
    let groups = report["groups"].as_array().expect("a list");
    let fleet = groups.iter().find(|g| g["name"] == "s").expect("it is there");
    assert_eq!(
        fleet["wire"]["up"]["packets"].as_u64().expect("counted"),
        sent.iter().sum::<u64>(),
        "all that were sent"
    );
    assert!(sent.iter().all(|n| *n > 20));
}

#[test]
fn one_sensor_alone_is_captured_as_it_was_in_the_fleet() {
    let scratch = Scratch::new();
    let (all, _) = simulate(&scratch, "all", "s");
    let (one, _) = simulate(&scratch, "one", "s-1");
    let (all, one) = (blocks(&all), blocks(&one));
    let of_fleet: Vec<_> = packets(&all).into_iter().filter(|p| p.1 == 1).map(|p| (p.0, p.2)).collect();
    let alone: Vec<_> = packets(&one).into_iter().map(|p| (p.0, p.2)).collect();
    assert!(alone.len() > 40 && of_fleet == alone);
}

#[test]
fn who_has_no_link_cannot_be_captured() {
    let scratch = Scratch::new();
    let file = scratch.file("test.toml", SCENARIO);
    for (who, word) in [("other", "no link"), ("s-3", "nobody"), ("x", "nobody")] {
        let output = squall().arg("simulate").arg(&file).args(["--pcap", who]).output().expect("it starts");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(3) && text.contains(word), "{text}");
    }
}
