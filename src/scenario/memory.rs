//! The memory that a scenario's payloads need.

use super::load::payload_bytes;
use super::model::Scenario;

/// Bytes that the payloads of all sensors need: each keeps one, and one more while it is written.
#[must_use]
pub fn payloads(scenario: &Scenario) -> u64 {
    let of = |fleet: &super::model::Fleet| {
        let publish = fleet.publish.as_ref()?;
        Some(2 * u64::from(fleet.sensors) * u64::from(payload_bytes(fleet, publish, fleet.sensors - 1)))
    };
    scenario.fleets.iter().filter_map(of).sum()
}
