//! Installs a broker: Debian packages for the programs that are missing, then what the manifest builds, in a cache.

use super::TargetError;
use super::container::Runtime;
use super::manifest::{Manifest, What};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// Where system programs are that an ordinary user's PATH may lack.
const SYSTEM: [&str; 4] = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/opt/homebrew/sbin"];
/// In the folder of a build, from its beginning until its last command has done its work.
const UNFINISHED: &str = ".squall-unfinished";
/// Debian's own switch against services that are started by an installation: squall starts what it tests.
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// Installs packages, as root, with that switch in place, and takes it away however this ends, unless it was there before. One shell
/// does all of it, for it outlives squall where a Ctrl-C ends both. The list of packages may be old: it is fetched anew only then, and
/// once more if the network fails.
const PACKAGES: &str = r#"
policy=$1
shift
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' > "$policy" && chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
get() { apt-get -q install -y --no-install-recommends "$@"; }
get "$@" || { apt-get -q update && { get "$@" || get "$@"; }; }
exit $?
"#;

/// A program by name or path; none if it is not there.
#[must_use]
pub fn program(name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(|p| p.is_file());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(SYSTEM.iter().map(PathBuf::from));
    folders.map(|f| f.join(name)).find(|p| p.is_file())
}

/// Where what is built is kept: `SQUALL_CACHE`, or `squall` in the user's cache.
fn cache_root() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|v: &OsString| !v.is_empty()).map(PathBuf::from);
    set("SQUALL_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|p| p.join("squall")))
        .or_else(|| set("HOME").map(|p| p.join(".cache/squall")))
        .unwrap_or_else(|| std::env::temp_dir().join("squall-cache"))
}

/// The folder that a manifest's commands run in; its name changes with the manifest's files.
#[must_use]
pub fn cache(manifest: &Manifest) -> PathBuf {
    let mut hash = crc32fast::Hasher::new();
    for (path, content) in manifest.folder.files().unwrap_or_default() {
        // What is declared or said changes nothing that is built.
        if manifest.install.build.is_empty() || path == Path::new("broker.toml") {
            continue;
        }
        hash.update(path.as_os_str().as_encoded_bytes());
        hash.update(&content);
    }
    hash.update(format!("{:?}", manifest.install).as_bytes());
    cache_root().join("brokers").join(format!("{}-{:08x}", manifest.name, hash.finalize()))
}

/// Whether a build was begun and came to no end. What was built before squall took note of that, or an image that came from elsewhere,
/// has nothing that says so.
#[must_use]
pub fn is_half_built(manifest: &Manifest) -> bool {
    !manifest.install.build.is_empty() && cache(manifest).join(UNFINISHED).exists()
}

/// Installs what is missing.
///
/// # Errors
/// If something cannot be installed; the installer's own words have been shown.
pub fn install(manifest: &Manifest) -> Result<(), TargetError> {
    if manifest.missing().is_none() {
        return Ok(());
    }
    let nothing = manifest.install.debian.is_empty() && manifest.install.build.is_empty();
    if matches!(manifest.launch.what, What::AddressOnly) || (nothing && manifest.install.by_hand.is_some()) {
        let mend = manifest.how_to_install();
        return Err(TargetError::unavailable(format!("{} cannot be installed by squall", manifest.name), mend));
    }
    let _lock = lock()?;
    let missing: Vec<&str> = manifest
        .install
        .debian
        .iter()
        .filter(|(p, _)| program(p).is_none())
        .map(|(_, package)| package.as_str())
        .collect();
    if !missing.is_empty() {
        packages(&missing)?;
    }
    if manifest.missing().is_some() && !manifest.install.build.is_empty() {
        build(manifest)?;
    }
    match manifest.missing() {
        None => Ok(()),
        Some(what) => Err(TargetError::unavailable(format!("{} still lacks {what}", manifest.name), "see above")),
    }
}

/// One installation at a time, of all processes of this user.
fn lock() -> Result<File, TargetError> {
    let trouble = |e: io::Error| TargetError::unavailable(format!("the cache cannot be used: {e}"), "set SQUALL_CACHE");
    fs::create_dir_all(cache_root()).map_err(trouble)?;
    let file = File::create(cache_root().join("lock")).map_err(trouble)?;
    file.lock().map_err(trouble)?;
    Ok(file)
}

/// A command that is run as root.
fn as_root(program: &str) -> Command {
    if rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.arg(program);
    command
}

fn packages(names: &[&str]) -> Result<(), TargetError> {
    if program("apt-get").is_none() {
        let message = format!("this is no Debian: {} must be installed by hand", names.join(", "));
        return Err(TargetError::unavailable(message, "the manifest names Debian's packages"));
    }
    let mut shell = as_root("sh");
    shell.args(["-c", PACKAGES, "sh", POLICY]).args(names).stdin(Stdio::null());
    if shell.status().is_ok_and(|s| s.success()) {
        return Ok(());
    }
    Err(TargetError::unavailable(format!("apt-get could not install {}", names.join(" ")), "see its messages above"))
}

fn build(manifest: &Manifest) -> Result<(), TargetError> {
    let folder = cache(manifest);
    let trouble = |e: io::Error| {
        TargetError::unavailable(format!("{} cannot be written: {e}", folder.display()), "set SQUALL_CACHE")
    };
    for left in forget_older(manifest, &folder) {
        println!("{}: a squall that runs uses {}, which is left for now", manifest.name, left.display());
    }
    fs::create_dir_all(&folder).map_err(trouble)?;
    fs::write(folder.join(UNFINISHED), "").map_err(trouble)?;
    for (path, content) in manifest.folder.files().map_err(trouble)? {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap_or(&folder)).map_err(trouble)?;
        fs::write(path, content).map_err(trouble)?;
    }
    for words in &manifest.install.build {
        println!("{}: {}", manifest.name, words.join(" "));
        let run = || step(manifest, words, &folder);
        // A registry may fail once.
        if let Err(first) = run() {
            println!("{}: {first}; once more", manifest.name);
            run().map_err(|why| TargetError::unavailable(format!("{}: {why}", manifest.name), "see above"))?;
        }
    }
    fs::remove_file(folder.join(UNFINISHED)).map_err(trouble)
}

/// One command of a build.
fn step(manifest: &Manifest, words: &[String], folder: &Path) -> Result<(), String> {
    let values = manifest.values();
    let mut filled = Vec::new();
    for word in words {
        if word == "{container}" {
            filled.extend(Runtime::find().map_err(|e| e.message)?.words().to_vec());
        } else {
            filled.push(values.fill(word));
        }
    }
    let root = filled.first().is_some_and(|w| w == "{sudo}");
    if root {
        filled.remove(0);
    }
    let (first, rest) = filled.split_first().ok_or("an empty command")?;
    let mut command = if root { as_root(first) } else { Command::new(first) };
    command.args(rest).current_dir(folder).stdin(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{first} failed ({status})")),
        Err(error) => Err(format!("{first} cannot be run: {error}")),
    }
}

/// Takes away what earlier manifests of that name built; returns what is left, since it is in use.
fn forget_older(manifest: &Manifest, folder: &Path) -> Vec<PathBuf> {
    let stem = format!("{}-", manifest.name);
    let entries = folder.parent().and_then(|p| fs::read_dir(p).ok()).into_iter().flatten().filter_map(Result::ok);
    let mut left = Vec::new();
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_hash =
            name.strip_prefix(&stem).is_some_and(|h| h.len() == 8 && h.chars().all(|c| c.is_ascii_hexdigit()));
        if !is_hash || entry.path() == folder {
            continue;
        }
        // Held until it is gone, so that nobody begins to use what is going.
        let held = File::open(entry.path());
        if held.as_ref().is_ok_and(|f| f.try_lock().is_err()) {
            left.push(entry.path());
        } else {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    left
}

/// Keeps what a manifest's commands built until this process ends, however it does: no installation takes it away meanwhile.
pub fn hold(manifest: &Manifest) {
    static HELD: Mutex<Vec<(PathBuf, File)>> = Mutex::new(Vec::new());
    let folder = cache(manifest);
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    if manifest.install.build.is_empty() || held.iter().any(|(known, _)| *known == folder) {
        return;
    }
    // What is not there yet, or a file system without locks, has nothing to hold.
    if let Ok(file) = File::open(&folder)
        && file.lock_shared().is_ok()
    {
        held.push((folder, file));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// Runs the script with an apt-get that shows what the switch says, and then signals the shell above it.
    fn interrupted(folder: &Path) -> Option<i32> {
        fs::create_dir_all(folder).expect("writable");
        let apt = folder.join("apt-get");
        fs::write(&apt, "#!/bin/sh\ncat policy > seen\nkill -TERM $PPID\nexit 1\n").expect("writable");
        fs::set_permissions(&apt, fs::Permissions::from_mode(0o755)).expect("ours");
        let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
        let mut shell = Command::new("sh");
        shell.args(["-c", PACKAGES, "sh", "policy", "a-package"]).current_dir(folder).env("PATH", path);
        shell.status().expect("it starts").code()
    }

    #[test]
    fn an_interrupted_installation_leaves_no_switch_and_keeps_one_that_was_there() {
        let folder = std::env::temp_dir().join(format!("squall-packages-{}", std::process::id()));
        let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
        assert_eq!(interrupted(&folder), Some(130));
        assert_eq!(read("seen").as_deref(), Some("#!/bin/sh\nexit 101\n"));
        assert_eq!(read("policy"), None);
        fs::write(folder.join("policy"), "mine").expect("writable");
        interrupted(&folder);
        assert_eq!((read("seen").as_deref(), read("policy").as_deref()), (Some("mine"), Some("mine")));
        fs::remove_dir_all(&folder).expect("ours");
    }
}
