//! `squall link`.

use super::behind::{self, Behind};
use super::exit;
use crate::link::profile;
use crate::scenario;
use std::sync::Arc;

/// Arguments of `squall link`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The link: a preset (`squall links`)
    #[arg(long, value_name = "NAME")]
    profile: String,
    /// The broker that is started at the other end of the link (`squall targets`)
    #[arg(long, default_value = "reference", value_name = "NAME")]
    target: String,
    /// Same seed: same losses, packet by packet
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The client to run behind the link, in a network namespace (root): `{host}` and `{port}` in its arguments, and
    /// `MQTT_HOST` and `MQTT_PORT` in its environment, are the broker's
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

pub(super) fn run(args: &Args) -> u8 {
    let Some(spec) = profile::preset(&args.profile) else {
        let names: Vec<&str> = profile::all().iter().map(|p| p.name).collect();
        let near = scenario::diagnostics::nearest(&args.profile, names.iter().copied());
        let near = near.map_or(String::new(), |near| format!("did you mean \"{near}\"? "));
        eprintln!("squall: no link is called \"{}\"\n  {near}there are: {}", args.profile, names.join(", "));
        return exit::USAGE;
    };
    behind::run(&Behind { target: &args.target, spec: Arc::new(spec), seed: args.seed, command: &args.command })
}
