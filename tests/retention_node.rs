//! Retention of a real node's files: by command while it is stopped, by itself while it runs.

use crate::cli_replay::trade;
use crate::support::{PATIENCE, Served, dir, good, json, outcry, refused, stderr};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// A journal and an event log of several segments, which the duplicate window does not hold.
const WINDOW: [&str; 2] = ["--set", "genesis.dedupe_count_max=5000"];
const SMALL: [&str; 2] = ["--set", "retention.bytes=12000000"];
const HTTP: [&str; 2] = ["--set", "admin.http.listen=127.0.0.1:0"];
const SHELF: [&str; 2] = ["--set", "retention.archive=shelf"];

fn load(dir: &Path, seed: &str) {
    let args =
        ["load", "--connections", "4", "--window", "256", "--commands", "60000", "--seed", seed];
    let done = good(dir, &args);
    // A window so small makes some of them too old to check.
    assert!(done["acknowledged"].as_u64() >= Some(50_000), "{done}");
}

/// The row of a log in `journal info` or `journal retire`.
fn of<'a>(result: &'a Value, log: &str) -> &'a Value {
    let rows = result["logs"].as_array().expect("a list");
    rows.iter().find(|row| row["log"] == log).expect("every log has a row")
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// What a system's own tool says of the archive.
fn check_sums(dir: &Path) {
    let checked = Command::new("sha256sum").args(["-c", "SHA256SUMS"]).current_dir(dir).output();
    let checked = checked.expect("sha256sum runs");
    assert!(checked.status.success(), "{}", stderr(&checked));
}

/// A figure of `GET /metrics`.
fn figure(node: &Served, name: &str) -> u64 {
    let url = format!("http://{}/metrics", node.ready["http"].as_str().expect("an address"));
    let mut answer = ureq::get(&url).call().expect("it listens");
    let text = answer.body_mut().read_to_string().expect("text");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value: f64 = line.unwrap_or_else(|| panic!("{name}: {text}")).parse().expect("a number");
    value as u64
}

fn first(dir: &Path, log: &str) -> u64 {
    number(&of(&good(dir, &["journal", "info"]), log)["first_sequence"])
}

#[test]
fn a_stopped_nodes_oldest_segments_go_when_nobody_needs_them() {
    let home = dir();
    let node = Served::start(home.path(), &WINDOW);
    let dir = home.path();
    load(dir, "1");
    let retire = |more: &[&'static str]| [&["journal", "retire"], &SMALL[..], more].concat();
    refused(dir, &retire(&[]), 3, &["a running node retires segments by itself"]);
    assert_eq!(good(dir, &retire(&["--dry-run"]))["node_running"], true);
    let plain = outcry(dir, &retire(&["--dry-run"]));
    let text = String::from_utf8_lossy(&plain.stdout);
    assert!(text.contains("how far its lanes have read is not known here"), "{text}");
    node.stop();

    // Nothing is asked for; then, a replay needs everything.
    let plain = outcry(dir, &["journal", "retire"]);
    let text = String::from_utf8_lossy(&plain.stdout);
    assert!(text.contains("no limit is set, so nothing is retired"), "{text}");
    let held = good(dir, &retire(&[]));
    for log in ["commands", "events"] {
        assert_eq!(of(&held, log)["segments"], 0, "{held}");
    }
    assert_eq!(of(&held, "commands")["held"]["keeper"], "snapshot");
    assert_eq!(of(&held, "events")["held"]["keeper"], "journal");
    let plain = outcry(dir, &retire(&["--dry-run"]));
    let text = String::from_utf8_lossy(&plain.stdout);
    assert!(text.contains("there is no sound snapshot, and a replay needs every record"), "{text}");

    let snapshot = number(&good(dir, &["snapshot", "take"])["sequence"]);
    let dry = good(dir, &retire(&["--dry-run"]));
    assert_eq!((&dry["dry_run"], &dry["snapshot_sequence"]), (&true.into(), &snapshot.into()));
    assert_eq!(dry["node_running"], false);
    assert!(number(&of(&dry, "commands")["segments"]) > 1, "{dry}");
    assert_eq!(first(dir, "commands"), 1, "it was only looked at");

    // A registered reader, and one that nobody understands.
    let set = good(dir, &["journal", "readers", "set", "slow", "5"]);
    assert_eq!(set["sequence"], 5);
    good(dir, &["journal", "readers", "set", "copy", "7", "--log", "events"]);
    let listed = json(dir, &["journal", "readers", "list"], 0);
    let names: Vec<&Value> = listed[..2].iter().map(|row| &row["name"]).collect();
    assert_eq!((names, &listed[2]["count"]), (vec![&"copy".into(), &"slow".into()], &2.into()));
    let held = good(dir, &retire(&[]));
    for (log, reader) in [("commands", "slow"), ("events", "copy")] {
        assert_eq!(of(&held, log)["segments"], 0, "{held}");
        let why = of(&held, log)["held"]["why"].to_string();
        assert!(log == "events" || why.contains(&format!("reader {reader}")), "{why}");
    }
    std::fs::write(dir.join("journal/readers/broken.json"), "5").expect("a writable directory");
    refused(dir, &retire(&[]), 1, &["nothing was retired", "broken.json"]);
    refused(dir, &["journal", "readers", "list"], 1, &["broken.json"]);
    std::fs::remove_file(dir.join("journal/readers/broken.json")).expect("it is there");
    good(dir, &["journal", "readers", "remove", "slow"]);
    refused(dir, &["journal", "readers", "remove", "slow"], 1, &["there is no reader slow"]);
    refused(dir, &["journal", "readers", "set", "a/b", "5"], 2, &["is no name of a reader"]);

    // The journal's go; the event log's wait for their reader.
    let last = good(dir, &["journal", "info"]);
    let hash = good(dir, &["journal", "verify"])["chain_hash"].clone();
    let done = good(dir, &retire(&SHELF));
    assert!(number(&of(&done, "commands")["segments"]) > 1, "{done}");
    assert_eq!(of(&done, "events")["held"]["keeper"], "reader");
    good(dir, &["journal", "readers", "remove", "copy"]);
    let done = good(dir, &retire(&SHELF));
    assert!(number(&of(&done, "events")["segments"]) > 0, "{done}");
    let (commands, events) = (first(dir, "commands"), first(dir, "events"));
    assert!(1 < events && events <= commands && commands <= snapshot, "{events} {commands}");
    assert!(number(&of(&done, "events")["kept_bytes"]) <= 12_000_000 + 8_388_608, "{done}");
    check_sums(&dir.join("shelf"));
    for path in ["shelf/commands/0000000000.seg", "shelf/events/0000000000.seg"] {
        assert!(dir.join(path).exists(), "{path}");
        assert!(!dir.join(path.replace("shelf", "journal")).exists(), "{path}");
    }
    let archived = good(dir, &["journal", "verify", "--log", "commands", "--data-dir", "shelf"]);
    assert_eq!(
        (&archived["first_sequence"], number(&archived["last_sequence"])),
        (&1.into(), commands - 1)
    );

    // What is left is whole, and every tool reads it.
    let sound = good(dir, &["journal", "verify"]);
    assert_eq!((&sound["ok"], &sound["chain_hash"]), (&true.into(), &hash));
    assert_eq!(number(&sound["first_sequence"]), commands);
    assert_eq!(number(&sound["last_sequence"]), number(&of(&last, "commands")["last_sequence"]));
    let rows = json(dir, &["journal", "dump", "--limit", "50"], 0);
    assert_eq!(number(&rows[0]["sequence"]), commands);
    assert!(rows.iter().any(|row| row.to_string().contains("BTC-USDT")), "genesis is known");
    let rows = json(dir, &["journal", "dump", "--log", "events", "--limit", "3"], 0);
    assert!(number(&rows[0]["sequence"]) >= events);
    let rows = json(dir, &["audit", "--limit", "3"], 0);
    assert_eq!(number(&rows[0]["sequence"]), commands);
    refused(dir, &["journal", "dump", "--from", "5"], 1, &["sequence 5 is gone"]);
    let again = good(dir, &["snapshot", "take"]);
    assert_eq!((&again["sequence"], &again["known"]), (&snapshot.into(), &true.into()));

    // A start needs nothing that is gone.
    let node = Served::start(dir, &WINDOW);
    assert_eq!(number(&node.ready["recovery"]["snapshot_sequence"]), snapshot);
    node.stop();
    assert_eq!(first(dir, "commands"), commands);

    // A replay begins with the oldest snapshot, which it cannot prove, and proves the next one.
    let rows = json(dir, &["snapshot", "verify", "--replay"], 0);
    assert_eq!((&rows[0]["ok"], &rows[0]["replayed"]), (&true.into(), &false.into()));
    let node = Served::start(dir, &WINDOW);
    trade(dir);
    let ended = node.stop();
    let next = number(&good(dir, &["snapshot", "take"])["sequence"]);
    assert!(next > snapshot);
    let rows = json(dir, &["snapshot", "verify", "--replay"], 0);
    assert_eq!((&rows[0]["sequence"], &rows[0]["replayed"]), (&snapshot.into(), &false.into()));
    assert_eq!((&rows[1]["sequence"], &rows[1]["replayed"]), (&next.into(), &true.into()));
    let plain = outcry(dir, &["snapshot", "verify", "--replay"]);
    let text = String::from_utf8_lossy(&plain.stdout);
    assert!(text.contains("not compared: older segments") && text.contains("the same as a replay"));

    // Without what says that they were retired, segments are missing.
    let marker = dir.join("journal/commands/retired.json");
    std::fs::remove_file(&marker).expect("it is there");
    let words = ["damage in commands: segment 0, offset 0, sequence 1"];
    refused(dir, &["journal", "verify"], 1, &words);
    // The archive is the copy that has them.
    let repaired = good(dir, &["journal", "repair", "--from", "shelf"]);
    let segments = repaired["repaired"].as_array().expect("a list").len() as u64;
    assert_eq!(repaired["repaired"][0]["segment"], 0, "{repaired}");
    assert!(segments > 1, "{repaired}");
    let sound = good(dir, &["journal", "verify"]);
    assert_eq!((&sound["ok"], &sound["first_sequence"]), (&true.into(), &1.into()));
    assert_eq!(good(dir, &["replay"])["state_hash"], ended["state_hash"]);
}

#[test]
fn a_running_node_retires_by_itself_and_goes_on() {
    let home = dir();
    let dir = home.path();
    // The archive cannot be used at first: that is a warning, and trading goes on.
    std::fs::write(dir.join("shelf"), "in the way").expect("a writable directory");
    let node = Served::start(dir, &[&WINDOW[..], &SMALL, &SHELF, &HTTP].concat());
    load(dir, "1");
    good(dir, &["snapshot", "take"]);
    let eventually = |what: &str, holds: &dyn Fn() -> bool| {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < deadline, "{what}");
            std::thread::park_timeout(Duration::from_millis(100));
        }
    };
    let log = || std::fs::read_to_string(dir.join("serve.log")).unwrap_or_default();
    eventually("it warns", &|| log().contains("the archive cannot be used, nothing was retired"));
    assert_eq!(first(dir, "commands"), 1);
    assert!(figure(&node, "outcry_retention_failures_total") > 0);
    assert_eq!(figure(&node, "outcry_retention_segments_total{log=\"commands\"}"), 0);
    std::fs::remove_file(dir.join("shelf")).expect("it is there");
    eventually("the journal begins later", &|| first(dir, "commands") > 1);
    eventually("the event log begins later", &|| first(dir, "events") > 1);
    for log in ["commands", "events"] {
        let told = |of| figure(&node, &format!("outcry_retention_{of}{{log=\"{log}\"}}"));
        let kept = || {
            let files = std::fs::read_dir(dir.join("shelf").join(log)).expect("a directory");
            let paths = files.map(|file| file.expect("an entry").path());
            let segments = paths.filter(|path| path.extension().is_some_and(|ext| ext == "seg"));
            let sizes = segments.map(|path| path.metadata().expect("a size").len());
            sizes.fold((0, 0), |(count, bytes), size| (count + 1, bytes + size))
        };
        eventually("it is told", &|| {
            let gone = (told("segments_total"), told("retired_bytes_total"));
            gone.0 > 0 && gone == kept() && told("first_sequence") == first(dir, log)
        });
    }
    load(dir, "2");
    check_sums(&dir.join("shelf"));
    let sound = good(dir, &["journal", "verify"]);
    assert_eq!((&sound["ok"], &sound["events"]["ok"]), (&true.into(), &true.into()));
    node.stop();
    good(dir, &["journal", "verify"]);
}
