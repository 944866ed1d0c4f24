//! What a server needs to wrap its connections.

use super::certificates::{pem_certificates, pem_key};
use super::websocket::WebSocket;
use super::{Kind, Layer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use std::sync::Arc;

/// ALPN names that are taken: MQTT's own as registered with IANA, what a cloud's clients send, and what WebSocket
/// clients send.
const ALPN: [&[u8]; 3] = [b"mqtt", b"x-amzn-mqtt-ca", b"http/1.1"];

/// A server's certificate chain and private key, and the CAs of its clients; as the content of PEM files.
#[derive(Clone, Default)]
pub struct TlsFiles {
    /// Certificate chain.
    pub chain: Vec<u8>,
    /// Private key.
    pub key: Vec<u8>,
    /// Clients must present a certificate that one of these CAs signed.
    pub client_ca: Option<Vec<u8>>,
}

impl std::fmt::Debug for TlsFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsFiles").finish_non_exhaustive()
    }
}

/// How a server wraps its connections.
#[derive(Clone, Debug)]
pub struct Server {
    kind: Kind,
    tls: Option<Arc<ServerConfig>>,
}

impl Server {
    /// For listeners of that kind.
    ///
    /// # Errors
    /// In words: if TLS is asked for and certificate or key are missing or wrong.
    pub fn new(kind: Kind, files: Option<&TlsFiles>) -> Result<Self, String> {
        let tls = match (kind.is_tls(), files) {
            (false, _) => None,
            (true, None) => return Err(format!("{}:// needs a certificate and its key", kind.scheme())),
            (true, Some(files)) => Some(Arc::new(config(files)?)),
        };
        Ok(Self { kind, tls })
    }

    /// Layers for one connection; none if nothing lies between MQTT and TCP.
    ///
    /// # Panics
    /// Never: the configuration was checked.
    #[must_use]
    pub fn begin(&self) -> Option<Layer> {
        if self.kind == Kind::Tcp {
            return None;
        }
        let tls = self
            .tls
            .as_ref()
            .map(|config| ServerConnection::new(Arc::clone(config)).expect("the configuration was checked").into());
        Some(Layer::new(tls, self.kind.is_websocket().then(WebSocket::server), None))
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

fn config(files: &TlsFiles) -> Result<ServerConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?;
    let builder = match &files.client_ca {
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            for certificate in pem_certificates(ca)? {
                roots.add(certificate).map_err(|e| format!("the clients' CA: {e}"))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|e| format!("the clients' CA: {e}"))?)
        }
        None => builder.with_no_client_auth(),
    };
    let mut config = builder
        .with_single_cert(pem_certificates(&files.chain)?, pem_key(&files.key)?)
        .map_err(|e| format!("certificate and key do not fit: {e}"))?;
    config.alpn_protocols = ALPN.iter().map(|name| name.to_vec()).collect();
    Ok(config)
}
