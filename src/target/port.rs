//! Ports of the loopback: one that is free, and whether somebody has one.

use super::{TargetError, resources};
use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// The lowest port that is chosen (assumed: well-known services listen below).
const LOWEST: u32 = 10_000;

/// A port of the loopback that nobody has now, and that the kernel gives to nobody by itself: else a client's own socket could take it
/// while a killed broker is away.
pub(super) fn free() -> Result<u16, TargetError> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let given = range.split_whitespace().next().and_then(|low| low.parse::<u32>().ok());
    let count = given.unwrap_or(0).saturating_sub(LOWEST);
    for _ in 0..count.min(1_000) {
        // Each process starts elsewhere, so that two squalls seldom meet.
        let turn = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = LOWEST + std::process::id().wrapping_mul(7_919).wrapping_add(turn) % count;
        let port = u16::try_from(port).expect("below a port number");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr());
    bound.map(|a| a.port()).map_err(|e| TargetError::unavailable(format!("no free port: {e}"), ""))
}

/// Who has a port, in words; none: nobody. For a broker that did not come up, once nothing is left of it.
pub(super) fn taken(host: Ipv4Addr, port: u16) -> Option<String> {
    let taken = TcpListener::bind((host, port)).is_err_and(|e| e.kind() == ErrorKind::AddrInUse);
    taken.then(|| match resources::listeners(port) {
        Some(_) => format!("port {port} is {}", resources::holder(port)),
        None => format!("port {port} is held by a process that does not listen there"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Domain, Socket, Type};
    use std::net::SocketAddr;

    #[test]
    fn ports_are_free_differ_and_are_none_that_the_kernel_gives_away() {
        let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").expect("Linux");
        let low: u16 = range.split_whitespace().next().and_then(|n| n.parse().ok()).expect("two numbers");
        let (one, two) = (free().expect("there are some"), free().expect("there are some"));
        assert!(one != two && one < low && two < low, "{one}, {two}, given away from {low} on");
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, one)).is_ok());
    }

    #[test]
    fn a_port_is_taken_by_who_listens_and_by_who_does_not_yet() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there are some");
        let port = listener.local_addr().expect("bound").port();
        let words = taken(Ipv4Addr::LOCALHOST, port).expect("it is");
        assert!(words.contains(&format!("(process {})", std::process::id())), "{words}");
        drop(listener);
        assert_eq!(taken(Ipv4Addr::LOCALHOST, port), None);
        let bound = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        bound.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).expect("it is free");
        let words = taken(Ipv4Addr::LOCALHOST, port).expect("it is");
        assert!(words.contains("does not listen there"), "{words}");
    }
}
