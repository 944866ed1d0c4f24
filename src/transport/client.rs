//! What a client needs to wrap its connections.

use super::certificates::{pem_certificates, pem_key};
use super::websocket::WebSocket;
use super::{Kind, Layer};
use crate::seed::Stream;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::sync::Arc;

/// What a client wants of TLS; everything as the content of PEM files.
#[derive(Clone, Default)]
pub struct TlsWish {
    /// The certificates of the CAs that are trusted.
    pub ca: Vec<u8>,
    /// The client's own certificate chain and private key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    /// The host name that is asked for (SNI) and that the certificate must carry, instead of the address's.
    pub server_name: Option<String>,
    /// ALPN names that are offered.
    pub alpn: Vec<String>,
    /// Any certificate is good: the connection is encrypted to nobody in particular.
    pub insecure: bool,
}

impl std::fmt::Debug for TlsWish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsWish").field("server_name", &self.server_name).field("insecure", &self.insecure).finish()
    }
}

/// How a client wraps its connections.
#[derive(Clone, Debug)]
pub struct Client {
    kind: Kind,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    host: Box<str>,
    path: Box<str>,
}

impl Client {
    /// For connections to `host` (a name or an address); WebSocket asks for `path`, which begins with a slash.
    ///
    /// # Errors
    /// In words: if certificates or keys cannot be read, or the name cannot be one.
    pub fn new(kind: Kind, host: &str, port: u16, path: &str, wish: &TlsWish) -> Result<Self, String> {
        let tls = if kind.is_tls() {
            let name = wish.server_name.as_deref().unwrap_or(host);
            let server = ServerName::try_from(name.to_owned()).map_err(|_| format!("\"{name}\" is no host name"))?;
            Some((Arc::new(config(kind, wish)?), server))
        } else {
            None
        };
        let shown = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        Ok(Self { kind, tls, host: format!("{shown}:{port}").into(), path: path.into() })
    }

    /// Layers for one connection; none if nothing lies between MQTT and TCP. `random` gives WebSocket's masks.
    ///
    /// # Panics
    /// Never: the configuration was checked.
    #[must_use]
    pub fn begin(&self, random: impl FnOnce() -> Stream) -> Option<Layer> {
        if self.kind == Kind::Tcp {
            return None;
        }
        let tls = self.tls.as_ref().map(|(config, name)| {
            let connection = ClientConnection::new(Arc::clone(config), name.clone());
            connection.expect("the configuration was checked, and ALPN names are short").into()
        });
        let ws = self.kind.is_websocket().then(|| WebSocket::client(random()));
        Some(Layer::new(tls, ws, Some((&self.host, &self.path))))
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What WebSocket asks for: host and port, and the path.
    #[must_use]
    pub fn resource(&self) -> (&str, &str) {
        (&self.host, &self.path)
    }
}

fn config(kind: Kind, wish: &TlsWish) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?;
    let builder = if wish.insecure {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)))
    } else {
        let mut roots = RootCertStore::empty();
        // A system's bundle may hold some that no longer parse: the good ones count.
        let (added, _) = roots.add_parsable_certificates(pem_certificates(&wish.ca)?);
        if added == 0 {
            return Err("there is no certificate of a CA to trust".into());
        }
        builder.with_root_certificates(roots)
    };
    let mut config = match &wish.identity {
        Some((chain, key)) => builder
            .with_client_auth_cert(pem_certificates(chain)?, pem_key(key)?)
            .map_err(|e| format!("the client's certificate and key do not fit: {e}"))?,
        None => builder.with_no_client_auth(),
    };
    // Each connect is a full handshake: most sensors lose their tickets with their power.
    config.resumption = Resumption::disabled();
    config.alpn_protocols = wish.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    if let Some(name) = wish.alpn.iter().find(|n| n.is_empty() || n.len() > 255) {
        return Err(format!("\"{name}\" is no ALPN name"));
    }
    if wish.alpn.is_empty() && kind == Kind::Wss {
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
    }
    Ok(config)
}

/// Takes any certificate; checks only that the other side holds its key.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
