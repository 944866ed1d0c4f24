//! `squall links`: the presets, their sources, and the formats of recordings.

mod support;

/// Runs `squall links` with these arguments: its exit code, what it printed, and its complaints.
fn links(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = support::squall().arg("links").args(arguments).output().expect("it starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn all_presets_are_listed_with_their_figures() {
    let (code, out, complaints) = links(&[]);
    assert_eq!((code, complaints.as_str()), (Some(0), ""));
    assert!(out.starts_with("preset ") && out.contains("kbit/s up") && out.contains("what it is"), "{out}");
    for preset in squall::link::profile::all() {
        let line = out.lines().find(|l| l.split_whitespace().next() == Some(preset.name));
        let line = line.unwrap_or_else(|| panic!("no {} in\n{out}", preset.name));
        assert!(line.ends_with(preset.summary) && line.contains(" ms ") && line.contains(" % "), "{line}");
    }
}

#[test]
fn each_preset_tells_its_sources() {
    for preset in squall::link::profile::all() {
        let (code, out, _) = links(&[preset.name]);
        assert_eq!(code, Some(0), "{}", preset.name);
        assert!(out.starts_with(&format!("{}: {}\n", preset.name, preset.summary)), "{out}");
        assert_eq!(out.matches("source: ").count(), preset.sources.len(), "{out}");
    }
    let (_, out, _) = links(&["nb-iot"]);
    assert!(out.contains("62 kbit/s up") && out.contains("RFC 8376") && out.contains("assumed"), "{out}");
}

#[test]
fn the_formats_of_recordings_are_told() {
    let (code, out, _) = links(&["traces"]);
    assert_eq!(code, Some(0));
    for word in ["time,rate,delay,loss", "mahimahi", "1,504 bytes"] {
        assert!(out.contains(word), "no {word} in\n{out}");
    }
}

#[test]
fn an_unknown_preset_is_refused_with_the_nearest() {
    let (code, out, complaints) = links(&["nb-iott"]);
    assert_eq!((code, out.as_str()), (Some(3), ""));
    assert!(complaints.contains("did you mean \"nb-iot\"?") && complaints.contains("wifi-congested"), "{complaints}");
}
