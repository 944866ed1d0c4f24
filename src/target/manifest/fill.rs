//! What stands for what in a manifest's texts and configuration templates.
//!
//! | text | stands for |
//! |---|---|
//! | `{host}` | the address it listens on: the loopback, or its own in a network namespace |
//! | `{port}`, `{port:NAME}` | the broker's port, and the further ones that `ports` and `listen` name |
//! | `{data}` | its data folder, the same over restarts |
//! | `{config}` | the folder of its filled configuration files, and of certificates in its `tls` if it listens on TLS |
//! | `{cache}` | the folder that its `build` ran in |
//! | `{user}` | the user's name |
//! | `{squall}` | this program; in `version.is`, its version |
//! | `{sudo}` | as the first word of a `build` command: run it as root |
//! | `{container}` | as a word of a `build` command: docker or podman, with its options |

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// The names that may stand in braces in a manifest.
pub(super) const NAMES: [&str; 9] = ["host", "port", "data", "config", "cache", "user", "squall", "sudo", "container"];

/// What texts are filled with.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Values {
    /// Where it listens; none: the loopback.
    pub host: Option<Ipv4Addr>,
    /// The broker's port.
    pub port: u16,
    /// Further ports by name.
    pub ports: BTreeMap<String, u16>,
    /// Data folder.
    pub data: PathBuf,
    /// Folder of the filled configuration files.
    pub config: PathBuf,
    /// Folder of the installation.
    pub cache: PathBuf,
}

impl Values {
    /// The text with everything filled in; other braces stay as they are.
    #[must_use]
    pub fn fill(&self, text: &str) -> String {
        let mut text = text
            .replace("{host}", &self.host.unwrap_or(Ipv4Addr::LOCALHOST).to_string())
            .replace("{port}", &self.port.to_string())
            .replace("{data}", &self.data.display().to_string())
            .replace("{config}", &self.config.display().to_string())
            .replace("{cache}", &self.cache.display().to_string())
            .replace("{user}", &user())
            .replace("{squall}", &std::env::current_exe().unwrap_or_default().display().to_string());
        for (name, port) in &self.ports {
            text = text.replace(&format!("{{port:{name}}}"), &port.to_string());
        }
        text
    }
}

/// The names in braces in a text.
pub(super) fn names(text: &str) -> impl Iterator<Item = &str> {
    let pieces = text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0));
    pieces.filter(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == ':'))
}

/// The user's name, for configurations that want one.
fn user() -> String {
    if rustix::process::geteuid().is_root() { "root".into() } else { std::env::var("USER").unwrap_or_default() }
}
