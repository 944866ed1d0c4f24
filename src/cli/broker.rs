//! `squall broker`.

use super::exit;
use crate::broker::access::{self, Access};
use crate::broker::defects::{Defect, Defects, Strike};
use crate::broker::server::Server;
use crate::broker::{Config, Sync};
use crate::mqtt::Version;
use crate::target::tls;
use crate::time::Duration;
use crate::transport::{self, Kind, TlsFiles};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Arguments of `squall broker`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Where to listen, several times if need be: ADDR, or mqtt://, mqtts://, ws://, wss:// and ADDR; port 0 takes a
    /// free one
    #[arg(long, default_value = "127.0.0.1:1883", value_name = "[SCHEME://]ADDR", value_parser = listener)]
    listen: Vec<(Kind, SocketAddr)>,
    /// TLS: the certificate chain, PEM
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// TLS: the certificate's private key, PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// TLS: clients must present a certificate that one of these CAs signed, PEM
    #[arg(long, value_name = "FILE")]
    client_ca: Option<PathBuf>,
    /// TLS: makes a CA and certificates for localhost in DIR (ca.pem, server.pem, client.pem and their keys), and uses
    /// them; a CA that is there already is kept
    #[arg(long, value_name = "DIR", conflicts_with = "cert")]
    self_signed: Option<PathBuf>,
    /// A deliberate bug, striking at every EVERY-th opportunity (20); "list" shows them
    #[arg(long, value_name = "NAME[:EVERY]")]
    defect: Vec<String>,
    /// Highest QoS
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=2))]
    max_qos: u8,
    /// Keeps no retained messages, and tells 5.0 clients so
    #[arg(long)]
    no_retain: bool,
    /// Refuses clients that name no identifier, instead of giving them one
    #[arg(long)]
    no_assigned_ids: bool,
    /// MQTT versions to serve; others are refused
    #[arg(long, value_delimiter = ',', default_value = "3.1,3.1.1,5.0", value_name = "VERSIONS", value_parser = version)]
    mqtt: Vec<Version>,
    /// Messages kept for a session beyond its window
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    offline_queue: usize,
    /// Only users in FILE may connect, with their passwords; lines as mosquitto_passwd or --hash-password writes them
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,
    /// What each may publish and subscribe to, in the syntax of mosquitto's acl_file
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Prints NAME's line for the file of users, and ends; the password is the first line of standard input
    #[arg(long, value_name = "NAME")]
    hash_password: Option<String>,
    /// Publishes the $SYS tree every so many seconds; 0 never
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    sys: u64,
    /// Keeps sessions, what is owed to them, and retained messages in DIR over the broker's end; without it, nothing
    /// survives
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// When that is on the disk: "always" before it is acknowledged, or every so many milliseconds ("100 ms")
    #[arg(long, default_value = "always", value_name = "always|EVERY", requires = "store")]
    sync: Sync,
    #[command(flatten)]
    limits: Limits,
    /// A line for each connection's beginning and end; twice: for each packet too
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
}

/// Where its patience ends.
#[derive(clap::Args)]
#[command(next_help_heading = "Limits")]
struct Limits {
    /// Largest packet accepted, bytes
    #[arg(long, default_value_t = 16 << 20, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..))]
    max_packet: u32,
    /// Bytes that may wait for a slow reader
    #[arg(long, default_value_t = 1 << 20, value_name = "BYTES")]
    backlog: usize,
    /// Bytes of all messages, unfinished packets and unsent output together
    #[arg(long, default_value_t = 1 << 30, value_name = "BYTES")]
    memory: usize,
    /// Connections at a time
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    max_connections: usize,
    /// Sessions at a time, connected or away
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    max_sessions: usize,
    /// Subscriptions of one session
    #[arg(long, default_value_t = 1000, value_name = "N")]
    max_subscriptions: usize,
    /// QoS 1 and 2 messages in flight to one client
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    window: u16,
    /// 5.0: Receive Maximum told to clients
    #[arg(long, default_value_t = 1024, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    receive_maximum: u16,
    /// 5.0: topic aliases in each direction
    #[arg(long, default_value_t = 32, value_name = "N")]
    topic_aliases: u16,
    /// 5.0: longest keep alive, seconds; 0 leaves it to the clients
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    keep_alive: u16,
    /// Longest life of a session without its client, seconds; as long as its client says, if not given
    #[arg(long, default_value_t = u32::MAX, value_name = "SECONDS", hide_default_value = true)]
    session_expiry: u32,
}

impl Limits {
    fn config(&self) -> Config {
        Config {
            max_packet: self.max_packet,
            backlog: self.backlog,
            memory: self.memory,
            max_connections: self.max_connections,
            max_sessions: self.max_sessions,
            max_subscriptions: self.max_subscriptions,
            window: self.window,
            receive_maximum: self.receive_maximum,
            topic_alias_maximum: self.topic_aliases,
            topic_aliases_used: self.topic_aliases,
            keep_alive_maximum: self.keep_alive,
            session_expiry_maximum: self.session_expiry,
            ..Config::default()
        }
    }
}

pub(super) fn run(args: &Args) -> u8 {
    if args.defect.iter().any(|d| d == "list") {
        for defect in Defect::ALL {
            println!("{:<24} {}", defect.name(), defect.about());
        }
        return exit::OK;
    }
    if let Some(name) = &args.hash_password {
        return hash_password(name);
    }
    let strikes: Result<Vec<Strike>, String> = args.defect.iter().map(|d| d.parse()).collect();
    let strikes = match strikes {
        Ok(strikes) => strikes,
        Err(message) => {
            eprintln!("squall broker: {message}");
            return exit::USAGE;
        }
    };
    let access = match access(args) {
        Ok(access) => access,
        Err(wrong) => {
            wrong.iter().for_each(|line| eprintln!("squall broker: {line}"));
            return exit::USAGE;
        }
    };
    let config = Config {
        access,
        max_qos: args.max_qos,
        retain: !args.no_retain,
        assigned_ids: !args.no_assigned_ids,
        queue_limit: args.offline_queue,
        versions: args.mqtt.clone(),
        defects: Defects::new(&strikes),
        ..args.limits.config()
    };
    match serve(args, config) {
        Ok(()) => exit::OK,
        Err((message, code)) => {
            eprintln!("squall broker: {message}");
            code
        }
    }
}

/// Users and rules; all that is wrong with their files.
fn access(args: &Args) -> Result<Access, Vec<String>> {
    let mut wrong = Vec::new();
    let mut read = |path: &Option<PathBuf>| {
        let path = path.as_ref()?;
        std::fs::read_to_string(path).map_err(|e| wrong.push(format!("{}: {e}", path.display()))).ok()
    };
    let (users, rules) = (read(&args.users), read(&args.rules));
    if wrong.is_empty() { Access::parse(users.as_deref(), rules.as_deref()) } else { Err(wrong) }
}

fn hash_password(name: &str) -> u8 {
    let mut password = String::new();
    let salt: Result<[u8; 16], _> = ring::rand::generate(&ring::rand::SystemRandom::new()).map(|r| r.expose());
    let read = std::io::stdin().read_line(&mut password);
    let line = read.map_err(|e| e.to_string()).and_then(|_| {
        let salt = salt.map_err(|_| "the system gives no random numbers".to_owned())?;
        access::password_line(name, password.trim_end_matches(['\r', '\n']).as_bytes(), &salt[..12]) // mosquitto takes 12
    });
    match line {
        Ok(line) => {
            println!("{line}");
            exit::OK
        }
        Err(why) => {
            eprintln!("squall broker: {why}");
            exit::USAGE
        }
    }
}

/// Listens everywhere, says where, and serves.
fn serve(args: &Args, config: Config) -> Result<(), (String, u8)> {
    let files = tls_files(args).map_err(|message| (message, exit::USAGE))?;
    let fail = |e: std::io::Error| (e.to_string(), exit::TARGET);
    let mut server = Server::new(config.clone()).map_err(fail)?;
    if let Some(folder) = &args.store {
        server.keep(folder, args.sync, config).map_err(fail)?;
    }
    server.tell(args.verbose);
    if args.sys > 0 {
        server.report_every(Duration::from_secs(args.sys));
    }
    for (kind, address) in &args.listen {
        let transport = transport::Server::new(*kind, files.as_ref())
            .map_err(|message| (format!("{message}: --cert FILE --key FILE, or --self-signed DIR"), exit::USAGE))?;
        let at = server.listen(*address, transport).map_err(|e| (format!("{address}: {e}"), exit::TARGET))?;
        // Plain MQTT is what one expects; the others are named.
        let scheme = if *kind == Kind::Tcp { String::new() } else { format!("{}://", kind.scheme()) };
        println!("listening on {scheme}{at}");
    }
    std::io::stdout().flush().and_then(|()| server.run()).map_err(fail)
}

fn tls_files(args: &Args) -> Result<Option<TlsFiles>, String> {
    let client_ca = args.client_ca.as_deref().map(tls::read).transpose()?;
    let (cert, key) = match (&args.self_signed, &args.cert, &args.key) {
        (Some(folder), ..) => {
            tls::self_signed(folder)?;
            (folder.join("server.pem"), folder.join("server-key.pem"))
        }
        (None, Some(cert), Some(key)) => (cert.clone(), key.clone()),
        _ => return Ok(None),
    };
    let read = |path: &Path| tls::read(path);
    Ok(Some(TlsFiles { chain: read(&cert)?, key: read(&key)?, client_ca }))
}

/// A version by its name.
fn version(text: &str) -> Result<Version, String> {
    match text {
        "3.1" => Ok(Version::V31),
        "3.1.1" => Ok(Version::V311),
        "5.0" => Ok(Version::V5),
        _ => Err("known: 3.1, 3.1.1, 5.0".into()),
    }
}

/// `ADDR`, or a scheme and `ADDR`.
fn listener(text: &str) -> Result<(Kind, SocketAddr), String> {
    let (kind, address) = match text.split_once("://") {
        Some((scheme, address)) => {
            let kind = Kind::from_scheme(scheme);
            (kind.ok_or_else(|| format!("no scheme is called \"{scheme}\"; known: mqtt, mqtts, ws, wss"))?, address)
        }
        None => (Kind::Tcp, text),
    };
    let address = address.trim_end_matches('/').parse().map_err(|e| format!("{e}: write 127.0.0.1:1883"))?;
    Ok((kind, address))
}
