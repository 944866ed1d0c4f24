//! A broker's address, `mqtt://[user[:password]@]host[:port]`, or `mqtts://`, `ws://`, `wss://`; the last two with a path.

use super::TargetError;
use crate::transport::Kind;
use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};

/// A broker's address. It never shows its password.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// What its scheme says.
    pub kind: Kind,
    /// Host name or IP address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User name.
    pub user: Option<String>,
    /// Password.
    pub password: Option<String>,
    /// WebSocket's path, which begins with a slash; "/mqtt" if none is given, as most brokers have it.
    pub path: String,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        write!(f, "{}://{host}:{}", self.kind.scheme(), self.port)?;
        if self.kind.is_websocket() { f.write_str(&self.path) } else { Ok(()) }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Address {
    /// Parses a URL.
    ///
    /// # Errors
    /// If its scheme is not known, or it is no URL; the message never repeats a password.
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let kind = Kind::from_scheme(scheme).ok_or_else(|| {
            let message = format!("no URL scheme is called \"{scheme}\"");
            TargetError::usage(message, "known: mqtt://, mqtts://, ws:// and wss:// host:port")
        })?;
        let wrong = || TargetError::usage("this is no broker's address", "write mqtt://host:port");
        let (rest, path) = match rest.split_once('/') {
            Some((rest, path)) if kind.is_websocket() => (rest, format!("/{path}")),
            _ => (rest.trim_end_matches('/'), "/mqtt".to_owned()),
        };
        if path.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(wrong());
        }
        let (credentials, place) = match rest.rsplit_once('@') {
            Some((credentials, place)) => (Some(credentials), place),
            None => (None, rest),
        };
        let (host, port) = match place.strip_prefix('[').and_then(|p| p.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => match place.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (place, None),
            },
        };
        let port = port.map_or(Ok(kind.port()), str::parse).map_err(|_| wrong())?;
        if host.is_empty() || host.contains('/') {
            return Err(wrong());
        }
        let (user, password) = match credentials.map(|c| c.split_once(':').map_or((c, None), |(u, p)| (u, Some(p)))) {
            Some((user, password)) => (Some(user.to_owned()), password.map(str::to_owned)),
            None => (None, None),
        };
        Ok(Self { kind, host: host.to_owned(), port, user, password, path })
    }

    /// The address in numbers; IPv4 first.
    ///
    /// # Errors
    /// If the name is not known.
    pub fn resolve(&self) -> Result<SocketAddr, TargetError> {
        let found = (self.host.as_str(), self.port).to_socket_addrs();
        let mut all: Vec<SocketAddr> = found.map(Iterator::collect).unwrap_or_default();
        all.sort_by_key(SocketAddr::is_ipv6);
        all.first().copied().ok_or_else(|| {
            TargetError::unavailable(format!("no address is known for \"{}\"", self.host), "check the name")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_passwords_never_shown() {
        let a = Address::parse("mqtt://me:secret@[::1]:1884/").expect("legal");
        assert_eq!((a.host.as_str(), a.port, a.user.as_deref()), ("::1", 1884, Some("me")));
        assert_eq!(a.to_string(), "mqtt://[::1]:1884");
        assert!(!format!("{a:?}").contains("secret"));
        assert_eq!(Address::parse("mqtt://localhost").expect("legal").port, 1883);
        let a = Address::parse("wss://me@broker.example/a/b").expect("legal");
        assert_eq!((a.kind, a.port, a.path.as_str()), (Kind::Wss, 443, "/a/b"));
        assert_eq!(a.to_string(), "wss://broker.example:443/a/b");
        assert_eq!(Address::parse("ws://h:8083").expect("legal").path, "/mqtt");
        assert_eq!(Address::parse("mqtts://h/").expect("legal").port, 8883);
        for bad in ["http://x", "ws://h/a b", "mqtts://h/path", "mqtt://", "mqtt://x:y", "mqtt://u:secret@x:99999"] {
            let error = Address::parse(bad).expect_err(bad);
            assert!(!format!("{error:?}").contains("secret"));
        }
    }
}
