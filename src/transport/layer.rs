//! A connection's layers, as one.

use super::tls::Tls;
use super::websocket::WebSocket;
use std::fmt;

/// Why a layer gave up, in words for people.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Failure(Box<str>);

impl Failure {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self(why.into().into_boxed_str())
    }

    /// The client's patience ended during a handshake.
    #[must_use]
    pub fn timed_out() -> Self {
        Self::new("no end of the TLS or WebSocket handshake within the client's connect timeout")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

/// What lies between MQTT and TCP on one connection: TLS, WebSocket, or the second in the first.
///
/// Calling order: [`Layer::start`] once TCP is open; then [`Layer::wire_in`] with whatever comes, and, once
/// [`Layer::is_established`], [`Layer::app_out`] with whatever is to be sent. Whatever any of them puts into `wire` is
/// to be sent, also after an error: it tells the other side why. [`Layer::close`] before TCP is closed in order.
#[derive(Debug)]
pub struct Layer {
    tls: Option<Tls>,
    ws: Option<Request>,
    /// Reused: what TLS carries.
    clear: Vec<u8>,
    inner: Vec<u8>,
}

/// A WebSocket, and what its client still has to ask.
#[derive(Debug)]
struct Request {
    socket: WebSocket,
    /// Host and path.
    ask: Option<(Box<str>, Box<str>)>,
}

impl Layer {
    pub(super) fn new(tls: Option<rustls::Connection>, ws: Option<WebSocket>, ask: Option<(&str, &str)>) -> Self {
        let ask = ask.map(|(host, path)| (host.into(), path.into()));
        Self {
            tls: tls.map(Tls::new),
            ws: ws.map(|socket| Request { socket, ask }),
            clear: Vec::new(),
            inner: Vec::new(),
        }
    }

    /// TCP is open: writes what a client says first.
    pub fn start(&mut self, wire: &mut Vec<u8>) {
        if let Some(tls) = &mut self.tls {
            tls.flush(wire);
        } else {
            self.ask(wire);
        }
    }

    fn ask(&mut self, out: &mut Vec<u8>) {
        if let Some(Request { socket, ask }) = &mut self.ws
            && let Some((host, path)) = ask.take()
        {
            socket.write_request(&host, &path, out);
        }
    }

    /// All handshakes are over: application bytes may be sent.
    #[must_use]
    pub fn is_established(&self) -> bool {
        self.tls.as_ref().is_none_or(Tls::is_established) && self.ws.as_ref().is_none_or(|w| w.socket.is_open())
    }

    /// The other side has closed in order, by TLS or WebSocket: nothing more will come.
    #[must_use]
    pub fn is_peer_closed(&self) -> bool {
        self.tls.as_ref().is_some_and(Tls::is_peer_closed)
            || self.ws.as_ref().is_some_and(|w| w.socket.is_peer_closed())
    }

    /// Takes bytes from the wire: the application's go to `app`, answers to `wire`.
    ///
    /// # Errors
    /// If the connection cannot go on; what came before is in `app`, and `wire` tells the other side.
    pub fn wire_in(&mut self, bytes: &[u8], app: &mut Vec<u8>, wire: &mut Vec<u8>) -> Result<(), Failure> {
        let Some(tls) = &mut self.tls else {
            let Some(ws) = &mut self.ws else {
                app.extend_from_slice(bytes);
                return Ok(());
            };
            return ws.socket.read(bytes, app, wire).map_err(|v| Failure::new(format!("WebSocket: {}", v.what)));
        };
        if self.ws.is_none() {
            return tls.read(bytes, app, wire);
        }
        let (mut clear, mut inner) = (std::mem::take(&mut self.clear), std::mem::take(&mut self.inner));
        let mut result = tls.read(bytes, &mut clear, wire);
        if result.is_ok() && tls.is_established() {
            self.ask(&mut inner);
        }
        if let (Some(ws), false) = (&mut self.ws, clear.is_empty()) {
            let read = ws.socket.read(&clear, app, &mut inner);
            result = result.and(read.map_err(|v| Failure::new(format!("WebSocket: {}", v.what))));
        }
        if let (Some(tls), false) = (&mut self.tls, inner.is_empty()) {
            tls.write(&inner, wire);
        }
        clear.clear();
        inner.clear();
        (self.clear, self.inner) = (clear, inner);
        result
    }

    /// Wraps what the application sends.
    pub fn app_out(&mut self, app: &[u8], wire: &mut Vec<u8>) {
        match (&mut self.tls, &mut self.ws) {
            (None, None) => wire.extend_from_slice(app),
            (None, Some(ws)) => ws.socket.write(app, wire),
            (Some(tls), None) => tls.write(app, wire),
            (Some(tls), Some(ws)) => {
                ws.socket.write(app, &mut self.inner);
                tls.write(&self.inner, wire);
                self.inner.clear();
            }
        }
    }

    /// Says to the other side that nothing more will come.
    pub fn close(&mut self, wire: &mut Vec<u8>) {
        let mut inner = std::mem::take(&mut self.inner);
        if let Some(ws) = &mut self.ws {
            ws.socket.close(1000, &mut inner);
        }
        match &mut self.tls {
            Some(tls) => {
                if !inner.is_empty() {
                    tls.write(&inner, wire);
                }
                tls.close(wire);
            }
            None => wire.append(&mut inner),
        }
        inner.clear();
        self.inner = inner;
    }

    /// What it means that TCP ended now.
    #[must_use]
    pub fn ended_early(&self) -> Option<Failure> {
        if self.is_established() {
            return None;
        }
        let tls = self.tls.as_ref().is_some_and(|t| !t.is_established());
        let (name, other) = if tls { ("TLS", "plain MQTT") } else { ("WebSocket", "another protocol") };
        Some(Failure::new(format!(
            "{name}: the connection was ended during the handshake (does the other side speak {other} there?)"
        )))
    }
}
