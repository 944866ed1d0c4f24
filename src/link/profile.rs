//! Named presets of links, each number with its source or the word *assumed*.

use super::spec::{Direction, Jitter, LinkSpec, Loss, Sleep};
use crate::time::Duration;

/// A named preset.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// Its name in scenario files.
    pub name: &'static str,
    /// What it is, in one line.
    pub summary: &'static str,
    /// Where its numbers come from: (what, value, source). Each number that is not a perfect link's has a row that names
    /// it, with its source or the word *assumed*.
    pub sources: &'static [(&'static str, &'static str, &'static str)],
    make: fn() -> LinkSpec,
}

impl Preset {
    /// The link.
    #[must_use]
    pub fn spec(&self) -> LinkSpec {
        (self.make)()
    }
}

/// All presets.
#[must_use]
pub const fn all() -> &'static [Preset] {
    PRESETS
}

/// The preset of that name.
#[must_use]
pub fn preset(name: &str) -> Option<LinkSpec> {
    PRESETS.iter().find(|p| p.name == name).map(Preset::spec)
}

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A direction: bits a second, overhead bytes, delay, jitter, Bernoulli loss, queue bytes.
fn direction(rate: u64, overhead: u16, delay: Duration, jitter: Jitter, loss: f64, queue: u32) -> Direction {
    let loss = if loss > 0.0 { Loss::Bernoulli(loss) } else { Loss::None };
    Direction { rate: Some(rate), overhead, delay, jitter, loss, queue: Some(queue), ..Direction::PERFECT }
}

fn link(up: Direction, down: Direction, half_duplex: bool, mtu: u16) -> LinkSpec {
    LinkSpec { up, down, half_duplex, mtu, ..LinkSpec::PERFECT }
}

fn nb_iot(up: u64, down: u64, delay: u64, loss: f64) -> LinkSpec {
    let jitter = Jitter::Uniform(ms(delay / 2));
    link(direction(up, 8, ms(delay), jitter, loss, 4096), direction(down, 8, ms(delay), jitter, loss, 4096), true, 1358)
}

fn asleep(every: Option<Duration>, window: Duration) -> LinkSpec {
    LinkSpec { sleep: Some(Sleep { awake: ms(10_000), every, window }), ..nb_iot(62_000, 26_000, 418, 0.01) }
}

fn ethernet_like(rate_up: u64, rate_down: u64, delay: u64, jitter: Jitter, loss: f64) -> LinkSpec {
    link(
        direction(rate_up, 0, ms(delay), jitter, loss, 65_536),
        direction(rate_down, 0, ms(delay), jitter, loss, 65_536),
        false,
        1500,
    )
}

const NB_IOT_SOURCES: &[(&str, &str, &str)] = &[
    ("rate at best", "62 kbit/s up, 26 kbit/s down, half duplex", "RFC 8376 (peak)"),
    ("delay", "CE0: 418 ms each way, half of 837 ms round trip", "Ugwuanyi 2021, field study"),
    ("delay", "CE1 and CE2: 800 ms and 2 s each way", "within the 1.6-10 s of RFC 8376; the split is assumed"),
    ("rate", "CE1 a quarter, CE2 a thirtieth of the peak", "assumed (repetitions)"),
    ("loss", "1 %, 2 %, 5 %", "assumed"),
    ("jitter", "uniform, up to half of the delay", "assumed"),
    ("MTU", "1358", "allowed up to 1600 (RFC 8376); 1358 is the usual network setting, assumed"),
    ("queue", "4096 bytes", "assumed"),
    ("overhead", "8 bytes a packet for the layers below", "assumed"),
];

/// The source of what is the same as in the preset nb-iot.
const AS_NB_IOT: &str = "see nb-iot";

const PRESETS: &[Preset] = &[
    Preset {
        name: "nb-iot",
        summary: "NB-IoT in good coverage (the same as nb-iot-ce0)",
        sources: NB_IOT_SOURCES,
        make: || nb_iot(62_000, 26_000, 418, 0.01),
    },
    Preset {
        name: "nb-iot-ce0",
        summary: "NB-IoT, coverage class 0 (about 144 dB)",
        sources: NB_IOT_SOURCES,
        make: || nb_iot(62_000, 26_000, 418, 0.01),
    },
    Preset {
        name: "nb-iot-ce1",
        summary: "NB-IoT, coverage class 1 (about 154 dB)",
        sources: NB_IOT_SOURCES,
        make: || nb_iot(15_500, 6_500, 800, 0.02),
    },
    Preset {
        name: "nb-iot-ce2",
        summary: "NB-IoT, coverage class 2 (about 164 dB)",
        sources: NB_IOT_SOURCES,
        make: || nb_iot(2_000, 850, 2_000, 0.05),
    },
    Preset {
        name: "nb-iot-edrx",
        summary: "nb-iot whose radio sleeps, and listens for 2.56 s every 20.48 s (eDRX)",
        sources: &[
            ("all but sleep", "as nb-iot", AS_NB_IOT),
            (
                "eDRX cycle",
                "20.48 s, window 2.56 s",
                "both are values of 3GPP TS 24.008, 10.5.5.32; the choice is assumed",
            ),
            ("awake", "10 s after each packet", "assumed (the network's inactivity timer)"),
        ],
        make: || asleep(Some(ms(20_480)), ms(2_560)),
    },
    Preset {
        name: "nb-iot-psm",
        summary: "nb-iot whose radio sleeps until the sensor speaks (PSM)",
        sources: &[
            ("all but sleep", "as nb-iot", AS_NB_IOT),
            ("awake", "10 s after each packet", "assumed (inactivity and active timer T3324)"),
        ],
        make: || asleep(None, Duration::ZERO),
    },
    Preset {
        name: "lte-m",
        summary: "LTE-M in the field",
        sources: &[
            ("rate", "100 kbit/s each way", "in the field, against 1 Mbit/s peak (vendors' pages)"),
            ("delay", "50 ms each way", "assumed; the 10-15 ms of vendors' pages are optimistic"),
            ("jitter, loss", "normal 10 ms; 0.5 %", "assumed"),
            ("overhead", "8 bytes a packet for the layers below", "assumed"),
            ("queue, MTU", "16,384 bytes; 1500", "assumed"),
        ],
        make: || {
            let jitter = Jitter::Normal(ms(10));
            link(
                direction(100_000, 8, ms(50), jitter, 0.005, 16_384),
                direction(100_000, 8, ms(50), jitter, 0.005, 16_384),
                false,
                1500,
            )
        },
    },
    Preset {
        name: "gprs",
        summary: "GPRS, one slot up and four down, a deep queue",
        sources: &[
            ("rate", "10.5 kbit/s a slot; 42 kbit/s down at four slots", "Chakravorty, Cartwright, Pratt 2002"),
            ("delay", "500 ms each way: a round trip over 1 s", "Chakravorty, Cartwright, Pratt 2002"),
            (
                "queue",
                "32,768 bytes: tens of seconds",
                "Chakravorty, Cartwright, Pratt 2002 (deep queues); the size is assumed",
            ),
            ("loss", "0.5 %", "assumed (\"losses rare\")"),
            ("jitter", "uniform up to 200 ms", "assumed"),
            ("overhead", "10 bytes a packet for the layers below", "assumed"),
            ("MTU", "1500", "assumed"),
        ],
        make: || {
            let jitter = Jitter::Uniform(ms(200));
            link(
                direction(10_500, 10, ms(500), jitter, 0.005, 32_768),
                direction(42_000, 10, ms(500), jitter, 0.005, 32_768),
                false,
                1500,
            )
        },
    },
    Preset {
        name: "802.15.4",
        summary: "802.15.4 behind a border router (6LoWPAN)",
        sources: &[
            ("rate", "250 kbit/s, half duplex", "IEEE 802.15.4, RFC 4944"),
            ("MTU", "1280", "RFC 4944 (IPv6 minimum)"),
            (
                "overhead",
                "48 bytes a packet for frame headers",
                "assumed: 127-byte frames with 81-102 of payload (RFC 4944)",
            ),
            ("delay, jitter, loss", "5 ms, uniform 10 ms, 2 %", "assumed"),
            ("queue", "2,560 bytes: two packets", "assumed"),
        ],
        make: || {
            let d = || direction(250_000, 48, ms(5), Jitter::Uniform(ms(10)), 0.02, 2_560);
            link(d(), d(), true, 1280)
        },
    },
    Preset {
        name: "ble",
        summary: "Bluetooth LE, IP support profile, connection interval 50 ms",
        sources: &[
            ("MTU", "1280", "RFC 7668"),
            (
                "delay, jitter",
                "25 ms, plus up to one connection interval of 50 ms",
                "RFC 7668 (the interval); its length is assumed",
            ),
            ("rate, loss", "100 kbit/s, half duplex; 1 %", "assumed"),
            ("overhead", "12 bytes a packet for the layers below", "assumed"),
            ("queue", "2,560 bytes: two packets", "assumed"),
        ],
        make: || {
            let d = || direction(100_000, 12, ms(25), Jitter::Uniform(ms(50)), 0.01, 2_560);
            link(d(), d(), true, 1280)
        },
    },
    Preset {
        name: "lorawan-backhaul",
        summary: "The cellular backhaul of a LoRaWAN gateway (its end nodes cannot carry TCP)",
        sources: &[
            ("why", "59-250 byte frames and a 1 % duty cycle leave no room for TCP", "LPWAN overview (RFC 8376)"),
            ("rate, delay, jitter, loss", "1 Mbit/s, 60 ms, normal 15 ms, 1 %", "assumed"),
            ("queue, MTU", "65,536 bytes; 1500", "assumed"),
        ],
        make: || ethernet_like(1_000_000, 1_000_000, 60, Jitter::Normal(ms(15)), 0.01),
    },
    Preset {
        name: "geo",
        summary: "Geostationary satellite",
        sources: &[
            ("delay", "279 ms a hop, a round trip of 558 ms", "RFC 2488"),
            ("rate, loss", "256 kbit/s up, 1 Mbit/s down; 0.5 %", "assumed"),
            ("jitter", "uniform up to 5 ms", "assumed"),
            ("queue, MTU", "65,536 bytes; 1500", "assumed"),
        ],
        make: || ethernet_like(256_000, 1_000_000, 279, Jitter::Uniform(ms(5)), 0.005),
    },
    Preset {
        name: "leo",
        summary: "Low-orbit satellite",
        sources: &[
            ("delay", "a round trip of 25-50 ms: 15 ms each way and jitter", "arXiv 2601.08439"),
            ("jitter", "uniform up to 10 ms each way", "assumed, within the round trip above"),
            (
                "rate, loss",
                "10 / 50 Mbit/s; bursts: 1 s bad in 15 s, half lost in them; 0.1 % outside",
                "15 s cycle: arXiv 2601.08439; the rest is assumed",
            ),
            ("queue, MTU", "65,536 bytes; 1500", "assumed"),
        ],
        make: || {
            let mut spec = ethernet_like(10_000_000, 50_000_000, 15, Jitter::Uniform(ms(10)), 0.0);
            let loss =
                Loss::GilbertElliottTime { good: ms(14_000), bad: ms(1_000), loss_in_good: 0.001, loss_in_bad: 0.5 };
            (spec.up.loss, spec.down.loss) = (loss, loss);
            spec
        },
    },
    Preset {
        name: "wifi-congested",
        summary: "Congested Wi-Fi",
        sources: &[
            ("rate, loss", "5 Mbit/s, half duplex; 3 %", "assumed"),
            ("delay, jitter", "5 ms, Pareto of mean 20 ms", "assumed"),
            ("queue, MTU", "65,536 bytes; 1500", "assumed"),
        ],
        make: || {
            let mut spec = ethernet_like(5_000_000, 5_000_000, 5, Jitter::Pareto(ms(20)), 0.03);
            spec.half_duplex = true;
            spec
        },
    },
    Preset {
        name: "bursty",
        summary: "A link that is good for 8 s and bad for 2 s, on average",
        sources: &[
            ("rate, loss", "100 kbit/s; 0.5 % lost when good, 50 % when bad", "assumed"),
            ("delay, jitter", "80 ms, normal 20 ms", "assumed"),
            ("queue, MTU", "65,536 bytes; 1500", "assumed"),
        ],
        make: || {
            let mut spec = ethernet_like(100_000, 100_000, 80, Jitter::Normal(ms(20)), 0.0);
            let loss =
                Loss::GilbertElliottTime { good: ms(8_000), bad: ms(2_000), loss_in_good: 0.005, loss_in_bad: 0.5 };
            (spec.up.loss, spec.down.loss) = (loss, loss);
            spec
        },
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    type Row = (&'static str, &'static str, &'static str);

    /// Whatever counts as a source, beside the word *assumed*.
    const SOURCES: &[&str] = &["RFC ", "IEEE ", "3GPP ", "arXiv ", "Ugwuanyi 2021", "Chakravorty, ", "vendors' pages"];

    /// The rows of a preset, with those that it refers to.
    fn rows(preset: &Preset) -> Vec<Row> {
        let refers = preset.sources.iter().any(|(_, _, source)| *source == AS_NB_IOT);
        preset.sources.iter().chain(NB_IOT_SOURCES.iter().filter(|_| refers)).copied().collect()
    }

    /// What is not as on a perfect link, in the rows' words; with its number, where a row's value has it as it is.
    fn settings(spec: &LinkSpec) -> Vec<(&'static str, Option<u32>)> {
        let mut all = vec![("MTU", Some(u32::from(spec.mtu)))];
        for d in [&spec.up, &spec.down] {
            let differs = [
                ("rate", d.rate.is_some(), None),
                ("overhead", d.overhead > 0, Some(u32::from(d.overhead))),
                ("delay", d.delay > Duration::ZERO, None),
                ("jitter", d.jitter != Jitter::None, None),
                ("loss", d.loss != Loss::None, None),
                ("queue", d.queue.is_some(), d.queue),
            ];
            all.extend(differs.into_iter().filter(|(_, differs, _)| *differs).map(|(what, _, number)| (what, number)));
            // Nothing else, or it needs a row, and a line here.
            let Direction { rate, overhead, delay, jitter, loss, queue, .. } = d.clone();
            assert_eq!(*d, Direction { rate, overhead, delay, jitter, loss, queue, ..Direction::PERFECT });
        }
        all.extend(spec.sleep.map(|_| ("awake", None)));
        all.extend(spec.sleep.and_then(|s| s.every).map(|_| ("eDRX cycle", None)));
        assert!(spec.outages.is_empty());
        all
    }

    #[test]
    fn every_number_has_a_row() {
        for preset in all() {
            let (rows, spec) = (rows(preset), preset.spec());
            for (setting, number) in settings(&spec) {
                let row = rows.iter().find(|(what, _, _)| what.split(", ").any(|w| w == setting));
                let (_, value, _) = row.unwrap_or_else(|| panic!("{}: no row for {setting}", preset.name));
                let value = value.replace(',', "");
                let mut words = value.split(' ').map(|w| w.trim_end_matches([';', ':']));
                let is_told = number.is_none_or(|n| words.any(|w| w == n.to_string()));
                assert!(is_told, "{}: {setting} is {number:?}, and its row says {value}", preset.name);
            }
            let half = rows.iter().any(|(_, value, _)| value.contains("half duplex"));
            assert_eq!(half, spec.half_duplex, "{}: half duplex", preset.name);
        }
    }

    #[test]
    fn every_row_names_its_source_or_is_assumed() {
        for preset in all() {
            for (what, value, source) in preset.sources {
                let known = source.contains("assumed") || SOURCES.iter().any(|s| source.contains(s));
                assert!(known || *source == AS_NB_IOT, "{}: {what} ({value}): {source}", preset.name);
            }
        }
    }
}
