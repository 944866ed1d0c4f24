//! A blocking connection to a broker over whatever transport: to see whether it is there, and to tidy up behind a run.

use crate::seed::Stream as Random;
use crate::time::Duration;
use crate::transport::{self, Layer};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

/// Where a broker is, and how it is spoken to.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its address.
    pub addr: SocketAddr,
    /// What lies between MQTT and TCP; none: nothing.
    pub transport: Option<Arc<transport::Client>>,
}

impl Endpoint {
    /// Plain MQTT at that address.
    #[must_use]
    pub fn plain(addr: SocketAddr) -> Self {
        Self { addr, transport: None }
    }
}

/// A connection whose handshakes are over.
#[derive(Debug)]
pub struct Stream {
    tcp: TcpStream,
    layer: Option<Layer>,
    unread: Vec<u8>,
}

impl Stream {
    /// Connects, and waits for each answer at most `limit`.
    ///
    /// # Errors
    /// If there is nobody, or a handshake fails.
    pub fn connect(endpoint: &Endpoint, limit: Duration) -> io::Result<Self> {
        let tcp = TcpStream::connect_timeout(&endpoint.addr, limit)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(limit))?;
        tcp.set_write_timeout(Some(limit))?;
        let layer = endpoint.transport.as_ref().and_then(|t| t.begin(|| Random::named(0, &["stream"])));
        let mut this = Self { tcp, layer, unread: Vec::new() };
        let mut wire = Vec::new();
        if let Some(layer) = &mut this.layer {
            layer.start(&mut wire);
        }
        this.tcp.write_all(&wire)?;
        while this.layer.as_ref().is_some_and(|l| !l.is_established()) {
            this.fill()?;
        }
        Ok(this)
    }

    /// Reads once from the wire.
    fn fill(&mut self) -> io::Result<()> {
        let Some(layer) = &mut self.layer else { return Ok(()) };
        let mut buffer = [0; 4096];
        let n = match self.tcp.read(&mut buffer) {
            Ok(n) => n,
            Err(error) => {
                return Err(match layer.ended_early() {
                    Some(_) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                        io::Error::other("no answer to the handshake: is that the port of this transport?")
                    }
                    Some(why) => io::Error::other(why),
                    None => error,
                });
            }
        };
        if n == 0 {
            return Err(layer.ended_early().map_or(io::ErrorKind::UnexpectedEof.into(), io::Error::other));
        }
        let mut wire = Vec::new();
        let result = layer.wire_in(&buffer[..n], &mut self.unread, &mut wire);
        let sent = self.tcp.write_all(&wire);
        result.map_err(io::Error::other)?;
        sent
    }

    /// How long a read may take from now on; zero counts as a nanosecond.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn set_read_timeout(&mut self, within: Duration) -> io::Result<()> {
        self.tcp.set_read_timeout(Some(within.max(Duration::from_nanos(1))))
    }

    /// Says that nothing more will be sent.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn finish(&mut self) -> io::Result<()> {
        let mut wire = Vec::new();
        if let Some(layer) = &mut self.layer {
            layer.close(&mut wire);
        }
        self.tcp.write_all(&wire)?;
        self.tcp.shutdown(std::net::Shutdown::Write)
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.layer.is_none() {
            return self.tcp.read(buffer);
        }
        while self.unread.is_empty() {
            if self.layer.as_ref().is_some_and(Layer::is_peer_closed) {
                return Ok(0);
            }
            self.fill()?;
        }
        let n = buffer.len().min(self.unread.len());
        buffer[..n].copy_from_slice(&self.unread[..n]);
        self.unread.drain(..n);
        Ok(n)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(layer) = &mut self.layer else { return self.tcp.write(bytes) };
        let mut wire = Vec::new();
        layer.app_out(bytes, &mut wire);
        self.tcp.write_all(&wire)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tcp.flush()
    }
}
