//! Ctrl-C (SIGINT) and SIGTERM: commands that have something to write are asked to come to an end, the others end at once.

use super::exit;
use crate::target::ending;
use crate::target::stop::Stop;
use tokio::signal::unix::{SignalKind, signal};

/// Counts them for a run: once asks for an early end, twice leaves what is owed.
pub(super) fn watch() -> Stop {
    count("stopping: the drain begins, and what is there is written (again: leave at once)")
}

/// The same; `words` are said at the first. Whatever is in the way, the third ends it.
pub(super) fn count(words: &'static str) -> Stop {
    let stop = Stop::default();
    let counter = stop.clone();
    each(move || match counter.ask() {
        0 => eprintln!("\n{words}"),
        1 => {}
        _ => leave(),
    });
    stop
}

/// For commands that have nothing to write: the first ends them, and whatever they started and made. The second leaves that to the minders.
pub(super) fn end_at_once() {
    each(|| {
        eprintln!("\nstopping: what was started is ended (again: leave at once)");
        leave();
    });
}

fn leave() {
    let error = ending::become_end();
    eprintln!("squall: what is left could not be taken away: {error}");
    std::process::exit(exit::INCONCLUSIVE.into());
}

/// Does something at each of them, on a thread of its own. From when this returns, none is missed.
fn each(mut act: impl FnMut() + Send + 'static) {
    let (ready, is_ready) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async {
            let (Ok(mut interrupt), Ok(mut terminate)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return;
            };
            let _ = ready.send(());
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                act();
            }
        });
    });
    // Without a sender left, there is nothing to wait for either.
    let _ = is_ready.recv();
}
