//! TUN devices: a kernel's IP packets, to be read and written here. Everything by ioctl, without an outside program.

use super::namespace::check;
use std::fs;
use std::io::{self, Read, Write};
use std::mem;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

/// Packets that may wait to be read; a burst beyond it is lost by the kernel without a word, so it is large (and watched).
const QUEUE: i32 = 5_000;

/// An open TUN device. Closing it takes it away.
#[derive(Debug)]
pub struct Tun(fs::File);

/// A network: address and length of its prefix.
pub(super) type Net = (Ipv4Addr, u32);

impl Tun {
    /// Makes the device in the calling thread's namespace, of that MTU, and routes `nets` into it.
    ///
    /// # Errors
    /// Without the right to (CAP_NET_ADMIN), or without `/dev/net/tun`.
    pub(super) fn open(name: &str, own: Ipv4Addr, mtu: u16, nets: &[Net]) -> io::Result<Self> {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/net/tun")
            .map_err(|e| io::Error::new(e.kind(), format!("/dev/net/tun: {e}")))?;
        let mut request = named(name);
        // Without the header of virtual networks: with it, segments of 64 KiB would come.
        request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_TUN | libc::IFF_NO_PI).expect("both are below 2^15");
        // SAFETY: the ioctl reads a request of its own type.
        check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw const request) })?;
        let settings = Settings::new()?;
        let mut request = named(name);
        request.ifr_ifru.ifru_mtu = i32::from(mtu);
        settings.set(libc::SIOCSIFMTU, &mut request)?;
        let mut request = named(name);
        request.ifr_ifru.ifru_mtu = QUEUE; // the field of that ioctl has the same place
        settings.set(libc::SIOCSIFTXQLEN, &mut request)?;
        settings.address(name, (own, 32))?;
        settings.up(name)?;
        for net in nets {
            settings.route(name, *net)?;
        }
        Ok(Self(file))
    }

    /// What a test has in a device's place.
    #[cfg(test)]
    pub(super) fn of(file: fs::File) -> Self {
        Self(file)
    }

    /// The next packet of the kernel's, if there is one: how many bytes of `buffer` it takes.
    pub fn read(&self, buffer: &mut [u8]) -> Option<usize> {
        (&self.0).read(buffer).ok().filter(|n| *n > 0)
    }

    /// Gives the kernel a packet; false if it does not take it. One whose version a link has corrupted ends here, as it would
    /// at any receiver: the device refuses it, but it was lost by the link, and not outside.
    pub fn write(&self, packet: &[u8]) -> bool {
        !is_version_4(packet) || (&self.0).write(packet).is_ok()
    }
}

/// True for what the device takes for IPv4: all that ever comes here, unless it was corrupted.
fn is_version_4(packet: &[u8]) -> bool {
    packet.first().is_some_and(|first| first >> 4 == 4)
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Prepares the calling thread's namespace; every address of `local` is this machine's own. Says which congestion control TCP
/// has there.
pub(super) fn prepare(local: Net) -> io::Result<String> {
    for family in ["all", "default"] {
        // Where there is no IPv6, there is nothing to switch off.
        let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{family}/disable_ipv6"), "1");
    }
    let control = "/proc/sys/net/ipv4/tcp_congestion_control";
    // A machine's default may be bbr; cubic is Linux's own, and reno is always there.
    if fs::write(control, "cubic").is_err() {
        let _ = fs::write(control, "reno");
    }
    // A connection must not inherit what an earlier one learnt.
    fs::write("/proc/sys/net/ipv4/tcp_no_metrics_save", "1")?;
    let settings = Settings::new()?;
    settings.up("lo")?;
    settings.address("lo:1", local)?;
    Ok(fs::read_to_string(control).map_or_else(|_| "unknown".into(), |t| t.trim().to_owned()))
}

/// The socket over which interfaces are set.
struct Settings(OwnedFd);

impl Settings {
    fn new() -> io::Result<Self> {
        // SAFETY: socket takes numbers, and the descriptor that it gives is ours.
        let fd = check(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })?;
        // SAFETY: as above.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    fn set(&self, what: libc::c_ulong, request: &mut libc::ifreq) -> io::Result<()> {
        // SAFETY: every `what` here takes an ifreq.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), code(what), &raw mut *request) }).map(|_| ())
    }

    fn address(&self, name: &str, (address, prefix): Net) -> io::Result<()> {
        let mut request = named(name);
        request.ifr_ifru.ifru_addr = socket_address(address);
        self.set(libc::SIOCSIFADDR, &mut request)?;
        let mut request = named(name);
        request.ifr_ifru.ifru_netmask = socket_address(mask(prefix));
        self.set(libc::SIOCSIFNETMASK, &mut request)
    }

    fn up(&self, name: &str) -> io::Result<()> {
        let mut request = named(name);
        self.set(libc::SIOCGIFFLAGS, &mut request)?;
        // SAFETY: the kernel has just filled this member.
        unsafe {
            request.ifr_ifru.ifru_flags |=
                i16::try_from(libc::IFF_UP | libc::IFF_RUNNING).expect("both are below 2^15");
        }
        self.set(libc::SIOCSIFFLAGS, &mut request)
    }

    fn route(&self, name: &str, (net, prefix): Net) -> io::Result<()> {
        let device = std::ffi::CString::new(name).expect("names of ours have no zero byte");
        // SAFETY: a zeroed rtentry is valid.
        let mut route: libc::rtentry = unsafe { mem::zeroed() };
        route.rt_dst = socket_address(net);
        route.rt_genmask = socket_address(mask(prefix));
        route.rt_gateway = socket_address(Ipv4Addr::UNSPECIFIED);
        route.rt_flags = libc::RTF_UP;
        route.rt_dev = device.as_ptr().cast_mut();
        // SAFETY: the ioctl takes an rtentry; the name outlives the call.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), code(libc::SIOCADDRT), &raw const route) }).map(|_| ())
    }
}

/// An ioctl's number as the C library takes it: musl as an int.
#[allow(
    clippy::unnecessary_cast,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "they have 16 bits"
)]
const fn code(what: libc::c_ulong) -> libc::Ioctl {
    what as libc::Ioctl
}

fn named(name: &str) -> libc::ifreq {
    // SAFETY: a zeroed ifreq is valid.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *place = libc::c_char::from_ne_bytes([byte]);
    }
    request
}

fn mask(prefix: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::MAX.checked_shl(32 - prefix).unwrap_or(0))
}

fn socket_address(address: Ipv4Addr) -> libc::sockaddr {
    let address = libc::sockaddr_in {
        sin_family: libc::sa_family_t::try_from(libc::AF_INET).expect("2"),
        sin_port: 0,
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) },
        sin_zero: [0; 8],
    };
    // SAFETY: both are 16 bytes, and the kernel reads the one as the other by its family.
    unsafe { mem::transmute(address) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plain file stands for the device: it takes whatever is written.
    #[test]
    fn a_packet_whose_version_was_corrupted_is_not_handed_on_and_is_no_refusal() {
        let path = std::env::temp_dir().join(format!("squall-tun-{}", std::process::id()));
        let tun = Tun(fs::File::create(&path).expect("writable"));
        for bit in 4..8 {
            assert!(tun.write(&[0x45 ^ (1 << bit), 0, 0, 20]), "lost by the link, not refused by the kernel");
        }
        assert_eq!(fs::read(&path).expect("readable"), b"");
        assert!(tun.write(&[0x45 ^ 1, 0, 0, 20]));
        assert_eq!(fs::read(&path).expect("readable"), [0x44, 0, 0, 20]);
        fs::remove_file(&path).expect("it is there");
        // Open to be read alone: this is what a refusal looks like.
        let tun = Tun(fs::File::open("/dev/null").expect("readable"));
        assert!(!tun.write(&[0x45, 0, 0, 20]) && tun.write(&[0x05, 0, 0, 20]));
    }
}
