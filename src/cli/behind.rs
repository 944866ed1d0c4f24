//! `squall link --target NAME ... -- COMMAND`: somebody's own client, in a network namespace behind a lossy link to a broker that
//! squall starts in another. Real kernels speak TCP on both sides.

use super::{exit, link, signals};
use crate::clock::Clock;
use crate::link::capture::Tap;
use crate::link::spec::LinkSpec;
use crate::link::{Channels, Engine};
use crate::measure::summary::{Wire, WireCost};
use crate::netns::{self, Carried, Counts, Forwarder, Networks};
use crate::seed::Stream;
use crate::target::ending::Scratch;
use crate::target::ready::pause;
use crate::target::stop::Stop;
use crate::target::way::Way;
use crate::target::{Target, TargetError, Wish};
use crate::time::Duration;
use std::net::SocketAddr;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;

/// What is to be run behind which link.
pub(super) struct Behind<'a> {
    pub target: &'a str,
    pub spec: Arc<LinkSpec>,
    pub seed: u64,
    pub command: &'a [String],
    /// Where the packets at the client's end are written to.
    pub pcap: Option<&'a Path>,
}

/// Runs it; the command's own exit code, or squall's if it could not be started.
pub(super) fn run(behind: &Behind<'_>) -> u8 {
    let stop = signals::count("stopping the command (again: kill it)");
    let scratch = Scratch::new("link");
    let result = scratch.and_then(|scratch| conduct(behind, scratch.path(), &stop));
    match result {
        Ok(code) => code,
        Err(_) if stop.asked() > 0 => exit::INCONCLUSIVE,
        Err(error) => super::target_error(&error),
    }
}

fn conduct(behind: &Behind<'_>, folder: &Path, stop: &Stop) -> Result<u8, TargetError> {
    let networks = Networks::make(Engine::Kernel, 1, behind.spec.mtu)
        .map_err(|denied| TargetError::usage(denied.message, denied.mend))?;
    let way = Way::default();
    let wish = Wish { target: behind.target, remote: false, load: "", defects: &[], folder, way: &way, stop };
    let mut target = Target::prepare_in(&wish, Some(networks))?;
    let mut networks = target.networks.take().expect("it was prepared in these networks");
    let mut tuns = networks.take_tuns().into_iter();
    let (Some(at_sensors), Some(at_broker)) = (tuns.next(), tuns.next()) else {
        unreachable!("this engine's networks have a TUN device on each side")
    };
    let stream = |way| Stream::named(behind.seed, &["link", "0", way]);
    let mut channels = Channels::new(Arc::clone(&behind.spec), stream("up"), stream("down"));
    let capture = behind.pcap.map(|file| (file, Tap::new("client", 0, link::CAPTURE)));
    if let Some((_, tap)) = &capture {
        channels.capture(tap.clone());
    }
    let clock = Clock::start();
    let forwarder = Forwarder::start(at_sensors, at_broker, vec![Some(channels)], clock)
        .map_err(|e| TargetError::unavailable(format!("the forwarder cannot be started: {e}"), ""))?;
    let mut child = spawn(behind.command, target.addr, &networks)?;
    eprintln!("{} at {}, behind the link", target.name, target.addr);
    let code = wait(&mut child, stop);
    let (carried, counts) = forwarder.stop(|| networks.counts());
    for note in target.end() {
        eprintln!("note: {note}");
    }
    tell(&carried, &counts);
    let saved = capture.map_or(exit::OK, |(file, tap)| link::save(file, &[tap], clock.wall_origin()));
    Ok(if code == exit::OK { saved } else { code })
}

/// Starts the command on the sensors' side; `{host}` and `{port}` in its arguments are the broker's, as are `MQTT_HOST` and
/// `MQTT_PORT`.
fn spawn(command: &[String], broker: SocketAddr, networks: &Networks) -> Result<Child, TargetError> {
    let (host, port) = (broker.ip().to_string(), broker.port().to_string());
    let fill = |text: &String| text.replace("{host}", &host).replace("{port}", &port);
    let Some((program, arguments)) = command.split_first() else {
        return Err(TargetError::usage("there is no command", "squall link ... -- COMMAND"));
    };
    let mut starting = Command::new(program);
    starting.args(arguments.iter().map(fill)).env("MQTT_HOST", &host).env("MQTT_PORT", &port);
    if let Some(sensors) = &networks.sensors {
        sensors.confine(&mut starting);
    }
    // SAFETY: prctl is async-signal-safe and touches nothing of ours.
    unsafe {
        starting.pre_exec(|| {
            // If squall dies, however it does, the command goes too.
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
    starting.spawn().map_err(|e| TargetError::usage(format!("{program} cannot be started: {e}"), ""))
}

/// Until it ends: the first signal is handed on, the second kills it.
fn wait(child: &mut Child, stop: &Stop) -> u8 {
    let mut told = 0;
    loop {
        match child.try_wait() {
            Ok(None) => {}
            Ok(Some(status)) => {
                let signal = status.signal().map(|s| 128 + s);
                return status.code().or(signal).and_then(|c| u8::try_from(c).ok()).unwrap_or(exit::INTERNAL);
            }
            Err(error) => {
                eprintln!("squall link: {error}");
                return exit::INTERNAL;
            }
        }
        let asked = stop.asked().min(2);
        if asked > told {
            told = asked;
            let signal = if asked == 1 { libc::SIGTERM } else { libc::SIGKILL };
            // SAFETY: our child is not reaped yet, so that the number is its own.
            unsafe {
                libc::kill(i32::try_from(child.id()).unwrap_or(i32::MAX), signal);
            }
        }
        pause(Duration::from_millis(20));
    }
}

/// The wire cost and the link's statistics.
fn tell(carried: &Carried, counts: &Counts) {
    let WireCost { up, down } = carried.wire.first().copied().flatten().unwrap_or_default();
    let number = |n: Option<u64>| n.map_or_else(|| "not told".to_owned(), |n| n.to_string());
    let line = |name: &str, up: String, down: String| eprintln!("{name:<30}{up:>14}{down:>14}");
    line("", "to the broker".into(), "to the client".into());
    let figures = [
        ("IP bytes", up.bytes, down.bytes),
        ("packets", up.packets, down.packets),
        ("sent again", up.retransmissions, down.retransmissions),
        ("lost", up.lost, down.lost),
        ("dropped by the queue", up.queue_drops, down.queue_drops),
        ("lost in outages", up.outage_drops, down.outage_drops),
        ("duplicated", up.duplicated, down.duplicated),
        ("corrupted", up.corrupted, down.corrupted),
    ];
    for (name, up, down) in figures {
        line(name, up.to_string(), down.to_string());
    }
    let seconds = |w: &Wire| format!("{:.3}", w.airtime as f64 / 1e9);
    line("seconds on the air", seconds(&up), seconds(&down));
    let (theirs, ours) = (counts.retransmitted_by_sensors, counts.retransmitted_by_broker);
    line("sent again, the kernels say", number(theirs), number(ours));
    let astray = carried.refused + counts.dropped.unwrap_or(0);
    if astray > 0 {
        eprintln!("note: {astray} packets were lost outside the link ({} is the client's address)", netns::address(0));
    }
}
