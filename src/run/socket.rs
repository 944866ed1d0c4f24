//! A non-blocking kernel socket whose reads tell when the data arrived, by the kernel's own stamp.

use std::io;
use std::mem;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// A TCP socket to the broker.
#[derive(Debug)]
pub(super) struct Socket(OwnedFd);

/// What a socket is bound to whose packets go through a link of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    /// Its address.
    pub address: Ipv4Addr,
    /// The largest segment that it sends and takes, in bytes.
    pub segment: u16,
}

/// What a read gave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Read {
    /// Bytes, and when they arrived by the wall clock in nanoseconds, if the kernel tells.
    Bytes(usize, Option<u64>),
    /// Nothing now.
    Nothing,
    /// The other side has finished.
    Finished,
    /// The connection is broken.
    Reset,
}

impl Socket {
    /// Begins to connect.
    ///
    /// # Errors
    /// If there are no descriptors or local ports left.
    pub fn connect(addr: SocketAddr, from: Option<Origin>) -> io::Result<Self> {
        let socket = socket2::Socket::new(socket2::Domain::for_address(addr), socket2::Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if let Some(Origin { address, segment }) = from {
            socket.set_tcp_mss(u32::from(segment))?;
            socket.bind(&SocketAddr::from(SocketAddrV4::new(address, 0)).into())?;
        }
        ask_for_stamps(socket.as_raw_fd());
        match socket.connect(&addr.into()) {
            Ok(()) => {}
            Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => {}
            // Refused at once, as the loopback does: the owner learns it as from any other, by an event.
            Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(e) => return Err(e),
        }
        Ok(Self(socket.into()))
    }

    /// A connection that somebody made to this machine.
    ///
    /// # Errors
    /// If the system refuses the options.
    pub fn accepted(stream: std::net::TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self(stream.into()))
    }

    /// What became of connecting, once the socket is writable.
    pub fn connected(&self) -> bool {
        let socket = socket2::SockRef::from(&self.0);
        matches!(socket.take_error(), Ok(None)) && socket.peer_addr().is_ok()
    }

    /// Writes; how many bytes were taken. An error is told by the next read.
    pub fn write(&self, bytes: &[u8]) -> usize {
        let mut written = 0;
        while written < bytes.len() {
            match rustix::net::send(&self.0, &bytes[written..], rustix::net::SendFlags::NOSIGNAL) {
                Ok(n) => written += n,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => break,
            }
        }
        written
    }

    /// Reads once into `buffer`.
    pub fn read(&self, buffer: &mut [u8]) -> Read {
        let mut control = [0u64; 16];
        let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        // SAFETY: a zeroed msghdr is valid; the pointers below outlive the call.
        let mut message: libc::msghdr = unsafe { mem::zeroed() };
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = mem::size_of_val(&control) as _;
        // SAFETY: the descriptor is ours, and `message` describes buffers of the lengths it says.
        let n = unsafe { libc::recvmsg(self.0.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT) };
        match n {
            0 => Read::Finished,
            n if n > 0 => Read::Bytes(n.unsigned_abs(), stamp_of(&message)),
            _ => match io::Error::last_os_error().kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Read::Nothing,
                _ => Read::Reset,
            },
        }
    }

    /// Sends FIN after what was written.
    pub fn finish(&self) {
        let _ = rustix::net::shutdown(&self.0, rustix::net::Shutdown::Write);
    }

    /// Closes it so that the kernel forgets the connection without a word, as a machine does that loses power (TCP_REPAIR, which
    /// the owner of a network namespace may).
    pub fn forget(self) {
        let on: libc::c_int = 1;
        let length = u32::try_from(mem::size_of_val(&on)).expect("four");
        // SAFETY: the option takes an int, and gets its address and length.
        unsafe {
            libc::setsockopt(self.0.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_REPAIR, (&raw const on).cast(), length);
        }
    }

    /// Makes the close that follows a reset.
    pub fn reset_on_close(&self) {
        let _ = socket2::SockRef::from(&self.0).set_linger(Some(std::time::Duration::ZERO));
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Where the system does not stamp, reads tell no time, and the report says so.
fn ask_for_stamps(fd: i32) {
    #[cfg(target_os = "linux")]
    {
        let flags: libc::c_uint = libc::SOF_TIMESTAMPING_RX_SOFTWARE | libc::SOF_TIMESTAMPING_SOFTWARE;
        let length = u32::try_from(mem::size_of_val(&flags)).expect("four");
        // SAFETY: the option takes an int, and gets its address and length.
        unsafe {
            libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, (&raw const flags).cast(), length);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = fd;
}

fn stamp_of(message: &libc::msghdr) -> Option<u64> {
    // SAFETY: the kernel filled the control buffer; the macros walk it within its length.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(message);
        while !header.is_null() {
            if (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_TIMESTAMPING {
                let stamp: libc::timespec = libc::CMSG_DATA(header).cast::<libc::timespec>().read_unaligned();
                let nanos = stamp.tv_sec.unsigned_abs() * 1_000_000_000 + stamp.tv_nsec.unsigned_abs();
                return (nanos > 0).then_some(nanos);
            }
            header = libc::CMSG_NXTHDR(message, header);
        }
    }
    None
}
