//! Byte layers between an MQTT session and what carries it: none, TLS, WebSocket, and WebSocket in TLS.
//!
//! Sans-IO: a [`Layer`] is given what came from the wire and what the application wants to send, and says what goes to
//! the wire. Both sides of a connection use it. TLS draws its randomness from the system, so that its bytes differ from
//! run to run: nothing that must repeat byte for byte may use it.

pub mod certificates;
mod client;
mod layer;
mod server;
mod tls;
pub mod websocket;

pub use client::{Client, TlsWish};
pub use layer::{Failure, Layer};
pub use server::{Server, TlsFiles};

use std::fmt;
use std::str::FromStr;

/// What lies between MQTT and TCP.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Kind {
    /// Nothing: `mqtt://`.
    #[default]
    Tcp,
    /// TLS: `mqtts://`.
    Tls,
    /// WebSocket: `ws://`.
    Ws,
    /// WebSocket in TLS: `wss://`.
    Wss,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Tcp, Self::Tls, Self::Ws, Self::Wss];

    /// Its name, as settings write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    /// Its URL scheme.
    #[must_use]
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Tcp => "mqtt",
            Self::Tls => "mqtts",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    /// The kind that a URL scheme stands for.
    #[must_use]
    pub fn from_scheme(scheme: &str) -> Option<Self> {
        match scheme {
            "mqtt" | "tcp" => Some(Self::Tcp),
            "mqtts" | "ssl" | "tls" => Some(Self::Tls),
            "ws" => Some(Self::Ws),
            "wss" => Some(Self::Wss),
            _ => None,
        }
    }

    /// The usual port: 1883 and 8883 as registered with IANA; 80 and 443 for WebSocket (RFC 6455, section 3).
    #[must_use]
    pub fn port(self) -> u16 {
        match self {
            Self::Tcp => 1883,
            Self::Tls => 8883,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }

    /// Whether TLS is in it.
    #[must_use]
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    /// Whether WebSocket is in it.
    #[must_use]
    pub fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|k| k.name() == text);
        found.ok_or_else(|| format!("no transport is called \"{text}\"; known: tcp, tls, ws, wss"))
    }
}

#[cfg(test)]
mod tests;
