//! rustls as a layer, and its errors in words.

use super::Failure;
use rustls::{AlertDescription, CertificateError, Connection, Error};
use std::io::{Read, Write};

/// One side of a TLS connection.
pub(super) struct Tls {
    connection: Connection,
    peer_closed: bool,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("peer_closed", &self.peer_closed).finish_non_exhaustive()
    }
}

impl Tls {
    pub fn new(mut connection: Connection) -> Self {
        // What is written is taken out at once: the owner bounds what waits.
        connection.set_buffer_limit(None);
        Self { connection, peer_closed: false }
    }

    pub fn is_established(&self) -> bool {
        !self.connection.is_handshaking()
    }

    pub fn is_peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// What rustls wants to send.
    pub fn flush(&mut self, wire: &mut Vec<u8>) {
        while self.connection.wants_write() {
            if self.connection.write_tls(wire).is_err() {
                return; // never: a Vec takes everything
            }
        }
    }

    pub fn read(&mut self, mut bytes: &[u8], app: &mut Vec<u8>, wire: &mut Vec<u8>) -> Result<(), Failure> {
        while !bytes.is_empty() && !self.peer_closed {
            let took = self.connection.read_tls(&mut bytes);
            let state = self.connection.process_new_packets().map_err(|error| {
                self.flush(wire); // the alert that tells the other side
                in_words(&error)
            })?;
            let at = app.len();
            app.resize(at + state.plaintext_bytes_to_read(), 0);
            // All of it is there, so that this neither blocks nor falls short.
            if let Err(error) = self.connection.reader().read_exact(&mut app[at..]) {
                return Err(Failure::new(format!("TLS: {error}")));
            }
            self.peer_closed |= state.peer_has_closed();
            if took.is_err() {
                return Err(Failure::new("TLS: more was received than a record may hold"));
            }
        }
        self.flush(wire);
        Ok(())
    }

    pub fn write(&mut self, app: &[u8], wire: &mut Vec<u8>) {
        // Without a limit this takes everything.
        let _ = self.connection.writer().write_all(app);
        self.flush(wire);
    }

    pub fn close(&mut self, wire: &mut Vec<u8>) {
        self.connection.send_close_notify();
        self.flush(wire);
    }
}

/// What happened, and what is likely behind it.
pub(super) fn in_words(error: &Error) -> Failure {
    let why = match error {
        Error::InvalidCertificate(certificate) => match certificate {
            // A CA made anew under the same name gives the second.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "the certificate is signed by no CA that is trusted here (give the CA that signed it)".to_owned()
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                format!("the certificate has expired ({certificate})")
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                format!("the certificate is not valid yet ({certificate})")
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!("the certificate is for another host name ({certificate})")
            }
            other => format!("the certificate is not accepted ({other})"),
        },
        Error::InvalidMessage(_) => {
            format!("what came is no TLS: does the other side speak plain MQTT there? ({error})")
        }
        Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired => "the other side wants a client certificate".to_owned(),
            AlertDescription::UnknownCA => {
                "the other side does not trust the CA that signed our certificate".to_owned()
            }
            AlertDescription::NoApplicationProtocol => "the other side knows none of the ALPN names".to_owned(),
            other => format!("the other side refuses with alert {other:?}"),
        },
        Error::NoCertificatesPresented => "the client presented no certificate".to_owned(),
        Error::NoApplicationProtocol => "none of the ALPN names is known here".to_owned(),
        other => other.to_string(),
    };
    Failure::new(format!("TLS: {why}"))
}
