//! `squall end`: what a command becomes that is stopped in the middle; not for people.

use super::exit;
use crate::target::ending::{self, Left};
use std::path::PathBuf;

/// Arguments of `squall end`.
#[derive(clap::Args)]
pub(super) struct Args {
    #[arg(long)]
    folder: Vec<PathBuf>,
    #[arg(long)]
    container: Vec<String>,
}

pub(super) fn run(args: &Args) -> u8 {
    let (folders, containers) = (args.folder.iter().cloned().collect(), args.container.iter().cloned().collect());
    ending::end(&Left { folders, containers });
    exit::INCONCLUSIVE
}
