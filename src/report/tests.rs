//! The exporters, on one run.

use super::fixture::{Fixture, broken, held};
use super::*;
use crate::promise::Guarantee;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

/// Writes the fixtures' reports for a look: `cargo test --lib report::tests::look -- --ignored`.
#[test]
#[ignore = "writes files to look at"]
fn look() {
    let parent = std::env::temp_dir().join("squall-look");
    for (name, fixture) in [("broken", broken()), ("held", held()), ("blind", Fixture::blind())] {
        let folder: PathBuf = parent.join(name);
        fs::create_dir_all(&folder).expect("a folder for temporary files");
        let report = fixture.report();
        write_all(&report, &fixture.summary, &folder).expect("every file");
        let page = folder.join("report.html");
        println!("{}", terminal::render(&report, terminal::Options { page: Some(&page), ..Default::default() }));
    }
}

/// A folder of its own for one test, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("squall-report-{}-{test}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder for temporary files");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_report_survives_its_own_file() {
    let report = broken().report();
    assert!(json::parse(&json::render(&report)) == Ok(report), "what was read differs from what was written");
}

#[test]
fn the_same_run_gives_the_same_files() {
    let files = |folder: &Folder| {
        let fixture = broken();
        let paths = write_all(&fixture.report(), &fixture.summary, &folder.0).expect("every file");
        paths.iter().map(|p| fs::read(p).expect("a file just written")).collect::<Vec<_>>()
    };
    assert!(files(&Folder::new("same-a")) == files(&Folder::new("same-b")));
}

#[test]
fn the_worst_that_can_be_said_is_the_exit_code() {
    let code = |fixture: &Fixture| fixture.report().exit.code;
    let mut run = held();
    assert_eq!(code(&run), 5, "liveness was asked for and has not enough evidence");
    run.promises.guarantees.retain(|g| *g != Guarantee::Liveness);
    assert_eq!(code(&run), 0);
    run.promises.thresholds = broken().promises.thresholds;
    assert_eq!(code(&run), 2);
    run.summary.resources.clear();
    assert_eq!(code(&run), 5, "the memory could not be measured");
    run.target_died = Some("signal 11".to_owned());
    assert_eq!(code(&run), 4);
    run.verdicts = broken().verdicts;
    assert_eq!(code(&run), 1);
    let mut run = held();
    run.promises.guarantees.retain(|g| *g != Guarantee::Liveness);
    run.summary.harness.tainted.push("loop lag p99 of 200 ms".to_owned());
    assert_eq!(code(&run), 5);
    run.summary.harness.tainted.clear();
    run.partial = Some("stopped by Ctrl-C".to_owned());
    assert_eq!(code(&run), 5);
}

#[test]
fn the_terminal_answers_three_questions() {
    let report = broken().report();
    let text = terminal::render(&report, terminal::Options::default());
    let expected = "\
Guarantees
  QoS 0     held     1,880 sent, 1,702 delivered, none twice
  QoS 1     held     2,391 acknowledged, all delivered; 17 twice (allowed)
  QoS 2     BROKEN   1 of 78 completed messages delivered twice [MQTT-4.3.3-2]
                     evidence 1: QoS 2, message leak-alarm-07 #3 delivered twice to head-end-00
  Order     held     300 streams, all in order
  Payload   held     4,189 payloads, all as sent
  Routing   held     no message came that nobody sent or asked for
  Session   held     63 resumed as expected; untested under: a retained message at a restart, a
                     session that expires
  Liveness  unclear  not enough evidence: the drain ended before 2 messages came
  not asked: Protocol
  excused   4 because the broker was killed and declares no durability
  excuses not needed: session ended

evidence 1   QoS 2, message leak-alarm-07 #3 delivered twice to head-end-00
";
    assert!(text.contains(expected), "{text}");
    for line in [
        "Latency from the intended time          p50      p90      p99      max\n",
        "  leak-alarm   publish to PUBCOMP    9.50 s   26.0 s   40.9 s   42.4 s\n",
        "  QoS 2                   84.0         940        15.4        1.80      292 ms\n",
        "Broker     CPU 900 ms (216 µs a message), memory 6.0 MiB at most (5.8 KiB a client), 310 descriptors\n",
        "           at most (1.00 a client), 1 thread at most (0 a client); bytes written not measured\n",
        "exit 1: a guarantee was broken: QoS 2\n",
        "again, under the same conditions: squall run scenarios/smart-meters.toml --target mosquitto --seed 7\n",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "colours only when told");
    let coloured = terminal::render(&report, terminal::Options { colour: true, ..Default::default() });
    assert!(coloured.contains("\u{1b}[1;31mBROKEN"));
}

#[test]
fn a_table_row_never_wraps_and_a_sentence_does() {
    let text = terminal::render(&broken().report(), terminal::Options { width: 80, ..Default::default() });
    let in_a_story = |l: &str| l.trim_start().starts_with(|c: char| c.is_ascii_digit());
    for line in text.lines().filter(|l| !l.starts_with("again,") && !in_a_story(l)) {
        assert!(line.chars().count() <= 86, "{line}");
    }
}

#[test]
fn markdown_says_it_in_tables() {
    let md = markdown::render(&broken().report());
    for line in [
        "## ❌ smart-meters on mosquitto 2.0.11\n",
        "| QoS 2 | **BROKEN** | 1 of 78 completed messages delivered twice |\n",
        "| `p99(end_to_end, fleet = leak-alarm) < 20 s` | 29.5 s | **MISSED** |\n",
        "| leak-alarm | publish to acknowledgement | 9.50 s | 26.0 s | 40.9 s | 42.4 s |\n",
        "<details><summary>evidence 1: QoS 2, message leak-alarm-07 #3 delivered twice to head-end-00</summary>\n",
    ] {
        assert!(md.contains(line), "{line} is not in\n{md}");
    }
}

#[test]
fn junit_has_a_case_for_each_guarantee_and_threshold() {
    let xml = junit::render(&broken().report());
    well_formed(&xml);
    assert_eq!(xml.matches("<testcase ").count(), 9 + 3 + 3);
    for part in [
        "<testsuites name=\"squall\" tests=\"15\" failures=\"2\" errors=\"1\" skipped=\"1\"",
        "<failure type=\"broken\" message=\"1 of 78 completed messages delivered twice\">evidence 1 ",
        "     46.345  head-end-00    &lt;- PUBLISH id 10              second copy: the broker had forgotten id 4\n",
        "name=\"p99(end_to_end, fleet = leak-alarm) &lt; 20 s\"",
        "<error type=\"not-enough-evidence\" message=\"not enough evidence: the drain ended before 2 messages came\"/>",
        "<skipped message=\"not asked for\"/>",
    ] {
        assert!(xml.contains(part), "{part} is not in\n{xml}");
    }
}

#[test]
fn csv_leaves_out_what_was_not_measured() {
    let report = broken().report();
    let latency = csv::latency(&report);
    let mut lines = latency.lines();
    assert_eq!(
        lines.next(),
        Some("group,latency,from,count,min,mean,p50,p75,p90,p95,p99,p99.9,p99.99,max"),
        "names that a script relies on"
    );
    let first = lines.next().expect("a row");
    assert!(first.starts_with("thermometer,tcp_connect,intended,60,0.280231936,"), "{first}");
    assert!(first.contains(",,,"), "60 values have no 99.9th percentile: {first}");
    let timeline = csv::timeline(&report);
    assert_eq!(timeline.lines().count(), 93);
    let killed = timeline.lines().nth(46).expect("90 s to 92 s");
    assert!(killed.starts_with("90.000,92.000,") && killed.contains(",broker killed,"), "{killed}");
    let widths: BTreeSet<usize> = timeline.lines().map(|l| l.split(',').count()).collect();
    assert_eq!(widths.len(), 1, "rows are as wide as the header");
    let broker = csv::broker(&report);
    let mut lines = broker.lines();
    assert_eq!(lines.next(), Some("at,cores,rss,descriptors,threads,written_per_second"));
    assert_eq!(lines.next(), Some("0.000,,4500000,310,1,"), "what it wrote could not be seen, and is no 0");
    assert_eq!(lines.count(), 183);
}

/// A link counts what it corrupts and what comes twice; the page has both beside what it loses.
#[test]
fn what_a_link_did_to_packets_stands_on_the_page() {
    let report = broken().report();
    let up = report.groups[1].wire.expect("it has links").up;
    assert_eq!((up.corrupted, up.duplicated), (Some(15), Some(0)));
    let page = html::render(&report);
    assert!(page.contains("Corrupted</th><th scope=\"col\" class=\"n\">Twice</th>"));
    assert!(page.contains("<td class=\"n\">120</td><td class=\"n\">15</td><td class=\"n\">0</td>"), "{page}");
}

/// The page shows what was read as nothing, and has no chart of what could not be seen.
#[test]
fn bytes_written_are_shown_where_they_were_read() {
    let mut fixture = broken();
    let page = |fixture: &Fixture| html::render(&fixture.report());
    let missing = "<tr><th scope=\"row\">Written to storage</th><td class=\"n missing\">";
    assert!(page(&fixture).contains(missing) && !page(&fixture).contains("chart-broker-written"));
    fixture.summary.resources.iter_mut().for_each(|s| s.written = Some(4_096));
    let read = page(&fixture);
    assert!(read.contains("<tr><th scope=\"row\">Written to storage</th><td class=\"n\">0 B</td>"));
    assert!(read.contains("chart-broker-written"));
    (0_u64..).zip(&mut fixture.summary.resources).for_each(|(n, s)| s.written = Some(n * 4_171));
    let broker = fixture.report().broker;
    assert_eq!((broker.written, broker.written_per_message), (Some(183 * 4_171), Some(183.0)), "4,171 were delivered");
    assert_eq!(broker.samples[7].written_per_second, Some(4_171.0));
}

/// What a program wrote before it told the broker's shares, and two of a link's counts, is read as not measured.
#[test]
fn a_report_of_before_is_read() {
    let mut value: serde_json::Value = serde_json::from_str(&json::render(&broken().report())).expect("JSON");
    let take = |from: &mut serde_json::Value, keys: &[&str]| {
        let from = from.as_object_mut().expect("an object");
        keys.iter().for_each(|key| drop(from.remove(*key).unwrap_or_else(|| panic!("no {key}"))));
    };
    take(&mut value["broker"], &["written_per_message", "per_client"]);
    take(&mut value["broker"]["samples"][0], &["descriptors", "threads", "written_per_second"]);
    take(&mut value["groups"][0]["wire"]["up"], &["duplicated", "corrupted"]);
    let read = json::parse(&value.to_string()).expect("a report of the same version");
    assert_eq!((read.broker.written_per_message, read.broker.per_client), (None, None));
    assert_eq!(read.broker.samples[0].threads, None);
    assert_eq!(read.groups[0].wire.expect("it has links").up.corrupted, None);
}

#[test]
fn the_interval_log_holds_every_value() {
    use hdrhistogram::Histogram;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
    let fixture = broken();
    let bytes = hdr::log(&fixture.report(), &fixture.summary);
    let mut starts = Vec::new();
    let mut sum = Histogram::<u64>::new(3).expect("3 digits are in range");
    for entry in IntervalLogIterator::new(&bytes) {
        let LogEntry::Interval(interval) = entry.expect("a log that parses") else { continue };
        starts.push(interval.start_timestamp());
        if interval.tag().is_some_and(|t| t.as_str() == "meter:end_to_end") {
            let packed = base64_decode(interval.encoded_histogram());
            let part: Histogram<u64> = Deserializer::new().deserialize(&mut packed.as_slice()).expect("a histogram");
            sum.add(part).expect("a histogram that resizes");
        }
    }
    assert!(starts.is_sorted());
    let whole = &fixture.summary.groups[1].latencies[2].intended;
    assert_eq!((sum.len(), sum.max()), (whole.len(), whole.max()));
}

fn base64_decode(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut out, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    for c in text.bytes().filter(|c| *c != b'=') {
        let value = ALPHABET.iter().position(|a| *a == c).expect("base64");
        bits = bits << 6 | u32::try_from(value).expect("six bits");
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push(u8::try_from(bits >> held & 0xFF).expect("eight bits"));
        }
    }
    out
}

#[test]
fn the_page_stands_alone_and_is_well_formed() {
    for fixture in [broken(), held(), Fixture::blind()] {
        let page = html::render(&fixture.report());
        well_formed(&page);
        for forbidden in ["<script", "src=", "url(", "@import", "#01AB"] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        let outside = page.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "");
        assert!(!outside.contains("http"), "nothing comes from elsewhere");
        let ids: BTreeSet<&str> = attributes(&page, "id").collect();
        assert_eq!(ids.len(), attributes(&page, "id").count(), "an id stands for one place");
        for target in attributes(&page, "href").filter_map(|h| h.strip_prefix('#')) {
            assert!(ids.contains(target), "#{target} leads nowhere");
        }
    }
}

#[test]
fn every_chart_is_there_for_both_widths() {
    let page = html::render(&broken().report());
    for id in [
        "percentiles-end_to_end",
        "percentiles-publish_ack",
        "time-thermometer",
        "time-meter",
        "time-leak-alarm",
        "messages",
        "connections",
        "wire",
        "broker-cpu",
        "broker-memory",
        "broker-descriptors",
        "broker-threads",
    ] {
        let figure = page.split(&format!("<figure id=\"chart-{id}\">")).nth(1).expect(id);
        let figure = figure.split("</figure>").next().expect("a whole figure");
        assert!(figure.contains("<svg class=\"wide\"") && figure.contains("<svg class=\"narrow\""), "{id}");
        assert!(figure.contains("role=\"img\" aria-label=\"Chart: "), "{id}");
    }
}

#[test]
fn hostile_names_stay_text() {
    let mut fixture = broken();
    let name = "a<script>alert(1)</script>&\"',]]>|`\u{7}";
    fixture.promises.groups[1].name = name.to_owned();
    fixture.faults[0].what = name.to_owned();
    fixture.verdicts.evidence[0].time_line[0].note = name.to_owned();
    fixture.partial = Some("mqtt://me:secret@host went away".to_owned());
    let report = fixture.report();
    let page = html::render(&report);
    well_formed(&page);
    well_formed(&junit::render(&report));
    assert!(!page.contains("<script"));
    assert!(!json::render(&report).contains("secret") && !page.contains("secret"));
    let folder = Folder::new("hostile");
    write_all(&report, &fixture.summary, &folder.0).expect("names of files are made safe");
}

#[test]
fn what_was_not_measured_is_never_a_zero() {
    let fixture = Fixture::blind();
    let report = fixture.report();
    assert_eq!(report.exit.code, 5);
    assert_eq!(report.total.counts, model::Counts::default());
    for text in [terminal::render(&report, terminal::Options::default()), markdown::render(&report)] {
        let body = text.replace("QoS 0", "").replace("seed 7", "");
        let words: Vec<&str> = body.split(|c: char| !(c.is_alphanumeric() || c == '.')).collect();
        for zero in ["0", "0.0", "0.00", "NaN", "inf"] {
            assert!(!words.contains(&zero), "{zero} in\n{text}");
        }
    }
    assert_eq!(csv::latency(&report).lines().count(), 1);
    let page = html::render(&report);
    for cell in page.split("<td class=\"n").skip(1) {
        let text = cell.split('>').nth(1).expect("a cell's begin");
        let text = text.split('<').next().expect("a cell's text");
        assert!(text != "0" && !text.starts_with("0."), "a zero in {cell:.60}");
    }
    assert!(page.contains("not measured"));
}

#[test]
fn an_unknown_fleet_cannot_be_measured() {
    let fixture = broken();
    let metric = |group: &str| crate::promise::Metric::Count {
        count: crate::promise::Count::Offered,
        group: Some(group.to_owned()),
    };
    let value = |m| evaluate(&m, &fixture.promises, &fixture.verdicts, &fixture.summary);
    assert_eq!(value(metric("meter")), Some(2_400.0));
    assert_eq!(value(metric("nobody")), None);
    assert_eq!(value(metric("head-end")), None, "it publishes nothing: not known, rather than 0");
}

#[test]
fn one_file_that_fails_takes_no_other_with_it() {
    let folder = Folder::new("one-fails");
    let fixture = broken();
    fs::create_dir_all(folder.0.join("report.json").join("in-the-way")).expect("a folder in the file's place");
    let errors = write_all(&fixture.report(), &fixture.summary, &folder.0).expect_err("report.json cannot be written");
    assert_eq!(errors.failed.len(), 1);
    let text = errors.to_string();
    assert!(text.contains("report.json could not be written") && text.contains("--out"), "{text}");
    assert!(folder.0.join("report.html").is_file() && folder.0.join("junit.xml").is_file());
    let parts = fs::read_dir(&folder.0).expect("the folder").filter_map(Result::ok);
    assert_eq!(parts.filter(|e| e.file_name().to_string_lossy().ends_with(".part")).count(), 0, "nothing half is left");
}

#[test]
fn report_folders_are_numbered() {
    let folder = Folder::new("numbered");
    let parent = folder.0.join("reports");
    let names: Vec<_> = (0..3).map(|_| create_folder(&parent, "bad/day").expect("a folder")).collect();
    assert_eq!(names, ["bad-day-1", "bad-day-2", "bad-day-3"].map(|n| parent.join(n)));
    fs::write(folder.0.join("file"), "").expect("a file");
    let error = create_folder(&folder.0.join("file"), "x").expect_err("a file is no folder");
    assert!(error.to_string().contains("choose another with --out"), "{error}");
}

/// Values of one attribute, in order.
fn attributes<'a>(page: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let pieces: Vec<&str> = page.split(&format!(" {name}=\"")).skip(1).collect();
    pieces.into_iter().filter_map(|rest| rest.split('"').next())
}

/// Every tag closes, attributes are quoted and not repeated, and no `<` or `&` stands for itself.
pub(super) fn well_formed(text: &str) {
    const VOID: [&str; 2] = ["meta", "link"];
    let mut open: Vec<&str> = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['<', '&']) {
        let here = &rest[at..];
        if let Some(entity) = here.strip_prefix('&') {
            let name = entity.split(';').next().expect("split gives a part");
            assert!(name.len() < 8 && !name.contains(char::is_whitespace), "a bare & in {:.40}", here);
            rest = entity;
            continue;
        }
        let end = here.find('>').unwrap_or_else(|| panic!("a tag without an end: {here:.40}"));
        let tag = &here[1..end];
        rest = &here[end + 1..];
        if tag.starts_with(['!', '?']) {
            continue;
        }
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "closed in wrong order near {here:.60}");
            continue;
        }
        let name = tag.split([' ', '/']).next().expect("split gives a part");
        assert!(name.chars().all(|c| c.is_alphanumeric() || c == '-') && !name.is_empty(), "no tag: {here:.60}");
        assert_eq!(tag.matches('"').count() % 2, 0, "an open quote in {tag}");
        let names: Vec<&str> = tag.split('"').step_by(2).filter_map(|p| p.trim().strip_suffix('=')).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "an attribute twice in {tag}");
        if name == "style" {
            rest = &rest[rest.find("</style>").expect("a style sheet ends")..];
        }
        if !tag.ends_with('/') && !VOID.contains(&name) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
}
