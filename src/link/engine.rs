//! Who speaks TCP at each end of a link.

use super::SensorState;
use crate::measure::summary::WireCost;
use crate::time::Instant;
use crate::trace::What;

/// Who speaks TCP at each end of the links of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Engine {
    /// smoltcp on both ends; a gateway ends TCP and speaks to the broker over a socket. Needs no rights, and is the only one in
    /// virtual time.
    #[default]
    Smoltcp,
    /// smoltcp at the sensor; the broker's own kernel answers it, in a network namespace.
    SmoltcpKernel,
    /// The kernel on both ends, in two network namespaces.
    Kernel,
}

impl Engine {
    /// Every engine, with its name in scenarios and on the command line.
    pub const NAMES: &'static [&'static str] = &["smoltcp", "smoltcp-kernel", "kernel"];

    /// The engine of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Smoltcp, Self::SmoltcpKernel, Self::Kernel].into_iter().find(|e| e.name() == name)
    }

    /// Its name in scenarios.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Smoltcp => "smoltcp",
            Self::SmoltcpKernel => "smoltcp-kernel",
            Self::Kernel => "kernel",
        }
    }

    /// True if it lives in network namespaces.
    #[must_use]
    pub const fn needs_namespaces(self) -> bool {
        !matches!(self, Self::Smoltcp)
    }
}

/// The sensor's side of a link whose sensor speaks TCP by smoltcp, whoever answers at the far end.
pub trait SensorSide {
    /// When [`Self::poll`] must be called next.
    fn next_deadline(&self) -> Option<Instant>;

    /// Does what is due up to `now`, each thing at its own time.
    fn poll(&mut self, now: Instant);

    /// From here on nothing is lost and there is no outage; rate and delay stay.
    fn heal(&mut self);

    /// What the link has carried so far.
    fn wire(&self) -> WireCost;

    /// The packets it lost since this was called last, as events: those that carried more than an acknowledgement of TCP's.
    fn take_losses(&mut self, tell: &mut dyn FnMut(Instant, What));

    /// True if bytes are on their way, or were sent and not acknowledged, on a side that can be seen.
    fn is_busy(&mut self) -> bool;

    /// Opens a new connection, from a random port.
    fn connect(&mut self, now: Instant);

    /// What the sensor sees of its connection.
    fn sensor_state(&mut self) -> SensorState;

    /// How many bytes the send buffer takes.
    fn room(&mut self) -> usize;

    /// Hands bytes to the link; returns how many it took.
    fn write(&mut self, bytes: &[u8], now: Instant) -> usize;

    /// Appends what came to `into`; returns how many bytes.
    fn read(&mut self, into: &mut Vec<u8>, now: Instant) -> usize;

    /// Closes the connection in order, after what was written and `rest`, which may exceed the room there is.
    fn finish(&mut self, rest: Vec<u8>, now: Instant);

    /// Resets the connection.
    fn abort(&mut self, now: Instant);

    /// The sensor is gone without a word; what comes for it is lost until it connects again.
    fn power_cut(&mut self);
}
