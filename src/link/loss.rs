//! Random loss, packet by packet.

use super::spec::Loss;
use crate::seed::Stream;
use crate::time::{Duration, Instant};

/// A loss model with its state.
#[derive(Debug)]
pub(super) struct Losses {
    model: Loss,
    state: State,
    /// Gilbert-Elliott in time: when the present sojourn ends.
    sojourn_until: Instant,
}

/// The states of the Markov models; two-state ones use the first and the last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Good; delivered in a gap.
    Good,
    /// Lost alone, in a gap.
    Alone,
    /// Delivered within a burst.
    Spared,
    /// Bad; lost in a burst.
    Bad,
}

impl Losses {
    /// A model in a state drawn from its long run.
    pub fn new(model: Loss, stream: &mut Stream) -> Self {
        let bad = |is_bad| if is_bad { State::Bad } else { State::Good };
        let (state, sojourn_until) = match model {
            Loss::GilbertElliottTime { good, bad: lasts, .. } => {
                let is_bad = stream.chance(lasts.as_secs_f64() / (good + lasts).as_secs_f64());
                let length = stream.exponential(if is_bad { lasts } else { good });
                (bad(is_bad), Instant::ZERO + length)
            }
            Loss::GilbertElliott { into_bad, out_of_bad, .. } => {
                (bad(stream.chance(into_bad / (into_bad + out_of_bad).max(f64::MIN_POSITIVE))), Instant::FAR)
            }
            Loss::FourState { .. } => (four_states_start(&model, stream), Instant::FAR),
            Loss::None | Loss::Bernoulli(_) => (State::Good, Instant::FAR),
        };
        Self { model, state, sojourn_until }
    }

    /// Whether the packet that goes on the air at `at` is lost.
    pub fn draw(&mut self, at: Instant, stream: &mut Stream) -> bool {
        match self.model {
            Loss::None => false,
            Loss::Bernoulli(p) => stream.chance(p),
            Loss::GilbertElliott { into_bad, out_of_bad, loss_in_good, loss_in_bad } => {
                // The loss is drawn from the state before the transition, as netem does.
                let is_bad = self.state == State::Bad;
                let lost = stream.chance(if is_bad { loss_in_bad } else { loss_in_good });
                if stream.chance(if is_bad { out_of_bad } else { into_bad }) {
                    self.turn();
                }
                lost
            }
            Loss::GilbertElliottTime { good, bad, loss_in_good, loss_in_bad } => {
                while self.sojourn_until <= at {
                    self.turn();
                    let length = stream.exponential(if self.state == State::Bad { bad } else { good });
                    self.sojourn_until += length.max(Duration::from_nanos(1));
                }
                stream.chance(if self.state == State::Bad { loss_in_bad } else { loss_in_good })
            }
            Loss::FourState { p13, p31, p32, p23, p14 } => {
                let u = stream.unit();
                self.state = match self.state {
                    State::Good if u < p14 => State::Alone,
                    State::Good if u < p14 + p13 => State::Bad,
                    State::Good | State::Alone => State::Good,
                    State::Spared if u < p23 => State::Bad,
                    State::Spared => State::Spared,
                    State::Bad if u < p32 => State::Spared,
                    State::Bad if u < p32 + p31 => State::Good,
                    State::Bad => State::Bad,
                };
                matches!(self.state, State::Bad | State::Alone)
            }
        }
    }

    fn turn(&mut self) {
        self.state = if self.state == State::Bad { State::Good } else { State::Bad };
    }
}

fn four_states_start(model: &Loss, stream: &mut Stream) -> State {
    let weights = model.four_states();
    let mut u = stream.unit() * weights.iter().sum::<f64>();
    for (weight, state) in weights.into_iter().zip([State::Good, State::Spared, State::Bad]) {
        if u < weight {
            return state;
        }
        u -= weight;
    }
    State::Alone
}
