//! The flags that say how to speak to a broker; commands that reach one share them.

use crate::target::way::Way;
use crate::transport::Kind;
use std::path::PathBuf;

/// Transport and TLS.
#[derive(clap::Args)]
pub(super) struct WayArgs {
    /// tcp, tls, ws or wss: with a broker that squall starts, over a certificate made for it; a URL says it by its scheme
    #[arg(long, value_name = "KIND", help_heading = "Transport")]
    transport: Option<Kind>,
    /// TLS: trust the CAs in FILE (PEM) instead of the system's
    #[arg(long, value_name = "FILE", help_heading = "Transport")]
    ca: Option<PathBuf>,
    /// TLS: the clients' own certificate chain (PEM)
    #[arg(long, value_name = "FILE", requires = "client_key", help_heading = "Transport")]
    client_cert: Option<PathBuf>,
    /// TLS: its private key (PEM)
    #[arg(long, value_name = "FILE", requires = "client_cert", help_heading = "Transport")]
    client_key: Option<PathBuf>,
    /// TLS: the host name to ask for (SNI) and to find in the certificate
    #[arg(long, value_name = "NAME", help_heading = "Transport")]
    server_name: Option<String>,
    /// TLS: an ALPN name to offer, several if need be
    #[arg(long, value_name = "NAME", help_heading = "Transport")]
    alpn: Vec<String>,
    /// TLS: take ANY certificate; whoever sits between may read and change everything
    #[arg(long, help_heading = "Transport")]
    insecure: bool,
}

impl WayArgs {
    /// As a target takes it; `others` are the transports that single fleets name.
    pub(super) fn way(&self, others: Vec<Kind>) -> Way {
        if self.insecure {
            eprintln!("WARNING: --insecure: any certificate is taken; nobody knows who answers");
        }
        Way {
            transport: self.transport,
            others,
            ca: self.ca.clone(),
            identity: self.client_cert.clone().zip(self.client_key.clone()),
            server_name: self.server_name.clone(),
            alpn: self.alpn.clone(),
            insecure: self.insecure,
        }
    }

    /// What the report must say of it.
    pub(super) fn notes(&self) -> Option<String> {
        self.insecure.then(|| "--insecure: any certificate was taken; nobody knows who answered".to_owned())
    }

    /// The same flags again, each with a space before it.
    pub(super) fn again(&self) -> String {
        let mut all = String::new();
        let mut add = |flag: &str, value: Option<String>| {
            if let Some(value) = value {
                all.push_str(&format!(" {flag} {value}"));
            }
        };
        let path = |p: &Option<PathBuf>| p.as_ref().map(|p| p.display().to_string());
        add("--transport", self.transport.map(|k| k.to_string()));
        add("--ca", path(&self.ca));
        add("--client-cert", path(&self.client_cert));
        add("--client-key", path(&self.client_key));
        add("--server-name", self.server_name.clone());
        for name in &self.alpn {
            add("--alpn", Some(name.clone()));
        }
        if self.insecure {
            all.push_str(" --insecure");
        }
        all
    }
}
