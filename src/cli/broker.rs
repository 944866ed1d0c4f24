//! `squall broker`.

use super::exit;
use crate::broker::Config;
use crate::broker::defects::{Defect, Defects, Strike};
use crate::broker::server::Server;
use std::io::Write;
use std::net::SocketAddr;

/// Arguments of `squall broker`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:1883", value_name = "ADDR")]
    listen: SocketAddr,
    /// A deliberate bug, striking at every EVERY-th opportunity (20); "list" shows them
    #[arg(long, value_name = "NAME[:EVERY]")]
    defect: Vec<String>,
    /// Highest QoS
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=2))]
    max_qos: u8,
    /// Messages kept for a session beyond its window
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    offline_queue: usize,
    /// A line for each connection
    #[arg(short, long)]
    verbose: bool,
}

pub(super) fn run(args: &Args) -> u8 {
    if args.defect.iter().any(|d| d == "list") {
        for defect in Defect::ALL {
            println!("{:<24} {}", defect.name(), defect.about());
        }
        return exit::OK;
    }
    let strikes: Result<Vec<Strike>, String> = args.defect.iter().map(|d| d.parse()).collect();
    let strikes = match strikes {
        Ok(strikes) => strikes,
        Err(message) => {
            eprintln!("squall broker: {message}");
            return exit::USAGE;
        }
    };
    let config = Config {
        max_qos: args.max_qos,
        queue_limit: args.offline_queue,
        defects: Defects::new(&strikes),
        ..Config::default()
    };
    let served = Server::bind(args.listen, config, args.verbose).and_then(|mut server| {
        println!("listening on {}", server.address()?);
        std::io::stdout().flush()?;
        server.run()
    });
    match served {
        Ok(()) => exit::OK,
        Err(error) => {
            eprintln!("squall broker: {}: {error}", args.listen);
            exit::TARGET
        }
    }
}
