//! The judges' thread: it merges the loops' events in the order they were seen, and shows them to verdict and measure.

use crate::measure::Recorder;
use crate::promise::{Count, Promises};
use crate::time::{Duration, Instant};
use crate::trace::{Event, FaultMark};
use crate::verdict::Judge;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex};

/// Events of one loop's turn.
pub(super) struct Batch {
    pub source: usize,
    pub events: Vec<Event>,
    /// Nothing that was seen before this will come any more from this loop.
    pub until: Instant,
    /// What the loop's clients still have to do, where it was counted.
    pub pending: Option<u64>,
    pub last: bool,
}

/// What the judges are told.
pub(super) enum Message {
    Batch(Batch),
    Fault(FaultMark),
    Drained,
}

/// Figures for a live display and for the end of the drain.
#[derive(Debug, Default)]
pub(super) struct Live {
    pub sent: AtomicU64,
    pub acked: AtomicU64,
    pub delivered: AtomicU64,
    pub connected: AtomicU64,
    pub owed: AtomicU64,
    pub breaches: AtomicU64,
    /// Nanoseconds of run time of the last event that was about a message.
    pub last_activity: AtomicU64,
    /// By loop.
    pub pending: Mutex<Vec<Option<u64>>>,
}

/// Runs until every loop has sent its last batch.
pub(super) fn run(
    promises: &Arc<Promises>,
    width: Duration,
    messages: &Receiver<Message>,
    empties: &[Sender<Vec<Event>>],
    live: &Live,
) -> (Judge, Recorder) {
    let mut judge = Judge::new(Arc::clone(promises));
    let mut recorder = Recorder::new(promises, width);
    let mut queues: Vec<VecDeque<Vec<Event>>> = empties.iter().map(|_| VecDeque::new()).collect();
    let mut places = vec![0; empties.len()];
    let mut until = vec![Instant::ZERO; empties.len()];
    let mut turns = 0u32;
    while let Ok(message) = messages.recv() {
        match message {
            Message::Fault(fault) => judge.fault(&fault),
            Message::Drained => {
                judge.drained();
                recorder.drained();
            }
            Message::Batch(batch) => {
                let source = batch.source;
                until[source] = if batch.last { Instant::FAR } else { batch.until };
                if let Some(pending) = batch.pending {
                    live.pending.lock().expect("nobody panics while holding it")[source] = Some(pending);
                }
                if !batch.events.is_empty() {
                    queues[source].push_back(batch.events);
                }
                let safe = until.iter().copied().min().unwrap_or(Instant::FAR);
                while let Some(event) = next(&mut queues, &mut places, safe, empties) {
                    judge.observe(&event);
                    recorder.observe(&event);
                    if is_about_a_message(&event) {
                        live.last_activity.store(event.seen.as_nanos(), Ordering::Relaxed);
                    }
                }
                turns += 1;
                if turns.is_multiple_of(2) || batch.last {
                    publish(&judge, &recorder, live);
                }
                if until.iter().all(|u| *u == Instant::FAR) {
                    break;
                }
            }
        }
    }
    (judge, recorder)
}

fn is_about_a_message(event: &Event) -> bool {
    use crate::trace::What;
    matches!(event.what, What::Sent(_) | What::Acked { .. } | What::Delivered(_) | What::Connected { .. })
}

/// The event that was seen first, if no loop can still send an earlier one.
fn next(
    queues: &mut [VecDeque<Vec<Event>>],
    places: &mut [usize],
    safe: Instant,
    empties: &[Sender<Vec<Event>>],
) -> Option<Event> {
    let heads = queues.iter().zip(places.iter()).enumerate();
    let (_, source) = heads
        .filter_map(|(source, (q, place))| q.front().and_then(|b| b.get(*place)).map(|e| (e.seen, source)))
        .min()?;
    let batch = queues[source].front()?;
    let event = *batch.get(places[source])?;
    if event.seen > safe {
        return None;
    }
    places[source] += 1;
    if places[source] == batch.len() {
        places[source] = 0;
        if let Some(mut empty) = queues[source].pop_front() {
            empty.clear();
            let _ = empties[source].send(empty); // the loop fills it again
        }
    }
    Some(event)
}

fn publish(judge: &Judge, recorder: &Recorder, live: &Live) {
    live.sent.store(recorder.total(Count::Sent), Ordering::Relaxed);
    live.acked.store(recorder.total(Count::Acked), Ordering::Relaxed);
    live.delivered.store(recorder.total(Count::Delivered), Ordering::Relaxed);
    live.connected.store(recorder.connected(), Ordering::Relaxed);
    live.owed.store(judge.owed(), Ordering::Relaxed);
    live.breaches.store(judge.breaches(), Ordering::Relaxed);
}
