//! How a broker is to be spoken to: the transport, and what TLS needs.

use super::stream::Endpoint;
use super::{TargetError, tls};
use crate::transport::{Client, Kind, TlsWish};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// What the user said about the way to a broker.
#[derive(Clone, Debug, Default)]
pub struct Way {
    /// For clients that name none of their own; none: plain TCP, or what a URL says.
    pub transport: Option<Kind>,
    /// Transports that single fleets name.
    pub others: Vec<Kind>,
    /// The CAs that are trusted, PEM; none: the system's.
    pub ca: Option<PathBuf>,
    /// The clients' certificate chain and key, PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The host name to ask for and to find in the certificate, instead of the address's.
    pub server_name: Option<String>,
    /// ALPN names to offer.
    pub alpn: Vec<String>,
    /// Take any certificate.
    pub insecure: bool,
}

impl Way {
    /// What is read from files; `ca` is trusted where the user named none.
    fn wish(&self, ca: Option<PathBuf>) -> Result<TlsWish, String> {
        let ca = match self.ca.as_ref().or(ca.as_ref()) {
            _ if self.insecure => Vec::new(),
            Some(path) => tls::read(path)?,
            None => tls::system_cas()?,
        };
        let identity = match &self.identity {
            Some((chain, key)) => Some((tls::read(chain)?, tls::read(key)?)),
            None => None,
        };
        let (server_name, alpn) = (self.server_name.clone(), self.alpn.clone());
        Ok(TlsWish { ca, identity, server_name, alpn, insecure: self.insecure })
    }

    /// The endpoint of that kind at `addr`, which the user calls `host` and `path`.
    ///
    /// # Errors
    /// If what TLS needs cannot be read.
    pub(super) fn endpoint(
        &self,
        kind: Kind,
        addr: SocketAddr,
        (host, path): (&str, &str),
        ca: Option<PathBuf>,
    ) -> Result<Endpoint, TargetError> {
        if kind == Kind::Tcp {
            return Ok(Endpoint::plain(addr));
        }
        let client = if kind.is_tls() { self.wish(ca) } else { Ok(TlsWish::default()) }
            .and_then(|wish| Client::new(kind, host, addr.port(), path, &wish))
            .map_err(|message| TargetError::usage(message, "--ca FILE, --client-cert FILE --client-key FILE (PEM)"))?;
        Ok(Endpoint { addr, transport: Some(Arc::new(client)) })
    }
}

/// Where a broker is, for each transport that a run uses.
#[derive(Clone, Debug)]
pub struct Endpoints {
    usual: Arc<Endpoint>,
    others: BTreeMap<Kind, Arc<Endpoint>>,
}

impl Endpoints {
    /// One for all.
    #[must_use]
    pub fn one(endpoint: Endpoint) -> Self {
        Self { usual: Arc::new(endpoint), others: BTreeMap::new() }
    }

    pub(super) fn new(usual: Endpoint, others: BTreeMap<Kind, Arc<Endpoint>>) -> Self {
        Self { usual: Arc::new(usual), others }
    }

    /// For clients that name no transport of their own.
    #[must_use]
    pub fn usual(&self) -> &Arc<Endpoint> {
        &self.usual
    }

    /// For clients that name this transport; the usual one if there is no other.
    #[must_use]
    pub fn of(&self, kind: Option<Kind>) -> Arc<Endpoint> {
        Arc::clone(kind.and_then(|k| self.others.get(&k)).unwrap_or(&self.usual))
    }
}
