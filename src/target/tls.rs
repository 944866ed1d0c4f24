//! Certificates in files: what the command line names, the system's own CAs, and self-signed ones.

use crate::transport::certificates::self_signed as make;
use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Where systems keep the CAs that they trust (Debian, Fedora, Alpine and macOS).
const BUNDLES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// A file's content.
///
/// # Errors
/// In words, with the file's name.
pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|e| format!("{} cannot be read: {e}", path.display()))
}

/// The CAs that this system trusts, as PEM: those of `SSL_CERT_FILE`, or of the system's bundle.
///
/// # Errors
/// If there is none.
pub fn system_cas() -> Result<Vec<u8>, String> {
    if let Some(path) = std::env::var_os("SSL_CERT_FILE") {
        return read(Path::new(&path));
    }
    BUNDLES.iter().find_map(|path| fs::read(path).ok()).ok_or_else(|| "this system has no list of CAs".into())
}

/// Makes a CA and certificates for this machine in `folder`: `ca.pem`, `server.pem`, `client.pem`, and the keys
/// `server-key.pem` and `client-key.pem`, which only the owner may read. Keeps those that are there.
///
/// # Errors
/// In words, if the folder cannot be written.
pub fn self_signed(folder: &Path) -> Result<(), String> {
    if folder.join("ca.pem").is_file() && folder.join("server-key.pem").is_file() {
        return Ok(());
    }
    fs::create_dir_all(folder).map_err(|e| format!("{} cannot be made: {e}", folder.display()))?;
    let made = make(&["localhost", "127.0.0.1", "::1"], 2099)?;
    let write = |name: &str, text: &str, mode: u32| {
        let path = folder.join(name);
        let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&path);
        file.and_then(|mut f| std::io::Write::write_all(&mut f, text.as_bytes()))
            .map_err(|e| format!("{} cannot be written: {e}", path.display()))
    };
    write("server.pem", &made.server.0, 0o644)?;
    write("server-key.pem", &made.server.1, 0o600)?;
    write("client.pem", &made.client.0, 0o644)?;
    write("client-key.pem", &made.client.1, 0o600)?;
    write("ca.pem", &made.ca, 0o644)
}
