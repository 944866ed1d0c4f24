//! `squall scenario check|schema|explain`.

use super::{colour, exit};
use crate::scenario;
use std::path::PathBuf;

/// Arguments of `squall scenario`.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Check scenario files; nothing is started
    Check {
        /// Scenario files
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Print the JSON Schema, for editors
    Schema,
    /// Say what a scenario will do, in words and numbers
    Explain {
        /// Scenario file
        file: PathBuf,
    },
}

pub(super) fn run(args: &Args) -> u8 {
    match &args.command {
        Command::Check { files } => {
            let mut code = exit::OK;
            for file in files {
                match scenario::load(file) {
                    Ok(_) => match scenario::load_for_real_time(file) {
                        Ok(_) => println!("{}: fine", file.display()),
                        Err(errors) => println!(
                            "{}: fine for squall simulate and explore alone: {}",
                            file.display(),
                            errors.brief()
                        ),
                    },
                    Err(errors) => {
                        eprint!("{}", errors.render(colour(&std::io::stderr())));
                        code = exit::USAGE;
                    }
                }
            }
            code
        }
        Command::Schema => {
            let text = serde_json::to_string_pretty(&scenario::schema::schema()).expect("a JSON value has a text");
            println!("{text}");
            exit::OK
        }
        Command::Explain { file } => match scenario::load(file) {
            Ok(scenario) => {
                print!("{}", scenario::explain::explain(&scenario));
                exit::OK
            }
            Err(errors) => {
                eprint!("{}", errors.render(colour(&std::io::stderr())));
                exit::USAGE
            }
        },
    }
}
