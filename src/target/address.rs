//! A broker's address, `mqtt://[user[:password]@]host[:port]`.

use super::TargetError;
use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};

/// A broker's address. It never shows its password.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// Host name or IP address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User name.
    pub user: Option<String>,
    /// Password.
    pub password: Option<String>,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        write!(f, "mqtt://{host}:{}", self.port)
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
        match scheme {
            "mqtt" | "tcp" => {}
            "mqtts" | "ssl" | "ws" | "wss" => {
                let message = format!("{scheme}:// is not supported yet");
                return Err(TargetError::usage(message, "use mqtt://host:port"));
            }
            _ => {
                let message = format!("no URL scheme is called \"{scheme}\"");
                return Err(TargetError::usage(message, "known: mqtt://host:port"));
            }
        }
        let wrong = || TargetError::usage("this is no broker's address", "write mqtt://host:port");
        let rest = rest.trim_end_matches('/');
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
        let port = port.map_or(Ok(1883), str::parse).map_err(|_| wrong())?;
        if host.is_empty() || host.contains('/') {
            return Err(wrong());
        }
        let (user, password) = match credentials.map(|c| c.split_once(':').map_or((c, None), |(u, p)| (u, Some(p)))) {
            Some((user, password)) => (Some(user.to_owned()), password.map(str::to_owned)),
            None => (None, None),
        };
        Ok(Self { host: host.to_owned(), port, user, password })
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
        for bad in ["http://x", "mqtt://", "mqtt://x:y", "mqtt://u:secret@x:99999"] {
            let error = Address::parse(bad).expect_err(bad);
            assert!(!format!("{error:?}").contains("secret"));
        }
    }
}
