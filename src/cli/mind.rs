//! `squall mind`: what squall starts brokers under; not for people.

use crate::target::minder::{self, Charge};
use std::path::PathBuf;

/// Arguments of `squall mind`.
#[derive(clap::Args)]
pub(super) struct Args {
    #[arg(long)]
    remove: Option<PathBuf>,
    #[arg(long)]
    finally: Vec<String>,
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

pub(super) fn run(args: &Args) -> u8 {
    let Args { remove, finally, command } = args;
    minder::mind(&Charge { remove: remove.clone(), finally: finally.clone(), command: command.clone() })
}
