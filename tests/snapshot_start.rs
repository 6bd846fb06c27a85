//! A node starts with its newest snapshot and the journal behind it, and makes snapshots by itself.

use crate::cli_replay::{flip, segment, trade};
use crate::replay_range::batches;
use crate::support::{Served, copy, dir, good, json, refused, wait_for};
use serde_json::Value;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A venue with three snapshots and orders behind each, stopped; the snapshots and the last line of
/// the node.
fn history(dir: &Path) -> (Vec<(u64, PathBuf)>, Value) {
    let node = Served::start(dir, &[]);
    assert_eq!(node.ready["recovery"]["snapshot_sequence"], Value::Null);
    let mut taken = Vec::new();
    for _ in 0..3 {
        trade(dir);
        let row = good(dir, &["snapshot", "take"]);
        let sequence = row["sequence"].as_u64().expect("a number");
        taken.push((sequence, dir.join(row["file"].as_str().expect("a path"))));
    }
    trade(dir);
    (taken, node.stop())
}

fn damage(path: &Path) {
    let file = std::fs::File::options().read(true).write(true).open(path).expect("a snapshot");
    let mut byte = [0];
    file.read_exact_at(&mut byte, 300).expect("it is as long");
    file.write_all_at(&[byte[0] ^ 1], 300).expect("a writable file");
}

/// Starts a node on what is there, which begins with the snapshot `with`, and ends in the state that
/// the node before ended in; what it said.
fn starts(dir: &Path, with: Option<u64>, before: &Value) -> String {
    let node = Served::start(dir, &[]);
    let recovery = node.ready["recovery"].clone();
    assert_eq!(recovery["snapshot_sequence"], with.map_or(Value::Null, Value::from));
    let last = before["sequence"].as_u64().expect("a number");
    assert_eq!(recovery["replayed"], last - with.unwrap_or(0), "{recovery}");
    let ended = node.stop();
    // A reign of its own is all that it adds.
    let hash = good(dir, &["replay", "--to", &last.to_string()])["state_hash"].clone();
    assert_eq!(hash, before["state_hash"]);
    assert_eq!(good(dir, &["replay"])["state_hash"], ended["state_hash"]);
    std::fs::read_to_string(dir.join("serve.log")).expect("it was written")
}

#[test]
fn a_start_begins_with_the_newest_snapshot_that_is_sound_and_says_which_are_not() {
    let dir = dir();
    let (taken, before) = history(dir.path());
    let kept = dir.path().join("kept");
    copy(&dir.path().join("journal"), &kept);
    let again = || {
        std::fs::remove_dir_all(dir.path().join("journal")).expect("ours");
        copy(&kept, &dir.path().join("journal"));
    };
    let said = starts(dir.path(), Some(taken[2].0), &before);
    assert!(!said.contains("cannot be used"), "{said}");
    again();
    damage(&taken[2].1);
    let said = starts(dir.path(), Some(taken[1].0), &before);
    let name = taken[2].1.file_name().and_then(|name| name.to_str()).expect("a name");
    assert!(said.contains(name), "{said}");
    let taken_instead = format!("the one of sequence {} is taken", taken[1].0);
    assert!(said.contains("cannot be used") && said.contains(&taken_instead), "{said}");
    again();
    taken.iter().for_each(|(_, path)| damage(path));
    let said = starts(dir.path(), None, &before);
    assert!(said.contains("all of the journal is replayed"), "{said}");
}

#[test]
fn a_lost_event_log_is_made_again_from_the_first_record() {
    let dir = dir();
    let (_, before) = history(dir.path());
    let events = dir.path().join("journal/events");
    let first = segment(dir.path(), "events");
    let known = std::fs::read(&first).expect("the event log's first segment");
    std::fs::remove_dir_all(&events).expect("ours");
    starts(dir.path(), None, &before);
    let made = std::fs::read(&first).expect("it is there again");
    let used = known.iter().rposition(|byte| *byte != 0).expect("it was written") + 1;
    assert!(known[..used] == made[..used], "the event log is made again byte by byte");
}

#[test]
fn a_journal_that_ends_before_a_snapshot_has_lost_durable_records_and_is_refused() {
    let dir = dir();
    let node = Served::start(dir.path(), &[]);
    trade(dir.path());
    node.stop();
    let commands = dir.path().join("journal/commands");
    let (old, whole) = (dir.path().join("old/commands"), dir.path().join("whole/commands"));
    for copied in [&old, &whole] {
        std::fs::create_dir_all(copied.parent().expect("it has one")).expect("ours");
    }
    copy(&commands, &old);
    let node = Served::start(dir.path(), &[]);
    trade(dir.path());
    node.stop();
    let taken = good(dir.path(), &["snapshot", "take"]);
    // What was acknowledged behind the snapshot is in the copy too.
    let node = Served::start(dir.path(), &[]);
    trade(dir.path());
    let before = node.stop();
    copy(&commands, &whole);
    let lose = || {
        std::fs::remove_dir_all(&commands).expect("ours");
        copy(&old, &commands);
    };
    lose();
    let (status, said) = Served::refused(dir.path(), &[], &[]);
    assert_eq!(status, 12, "{said}");
    assert!(said.contains("damage in segment") && said.contains("journal repair"), "{said}");
    // The tools say the same, and a copy that has it mends it.
    let of_snapshot = format!("and a snapshot of sequence {} was made of it", taken["sequence"]);
    let words = ["the journal ends at sequence", &of_snapshot, "journal repair --from"];
    refused(dir.path(), &["journal", "verify"], 1, &words);
    refused(dir.path(), &["snapshot", "take"], 1, &["damage in segment"]);
    let repair = |from: &'static str| ["journal", "repair", "--from", from];
    refused(dir.path(), &repair("old"), 1, &["the copy ends at sequence"]);
    let repaired = good(dir.path(), &repair("whole"));
    assert_eq!(repaired["last_sequence"], before["sequence"], "{repaired}");
    assert!(before["sequence"].as_u64() > taken["sequence"].as_u64());
    assert_eq!(repaired["copy_ends"], Value::Null);
    assert_eq!(good(dir.path(), &["journal", "verify"])["ok"], true);
    starts(dir.path(), taken["sequence"].as_u64(), &before);
    lose();
    // Whoever wants to begin with what is left takes the snapshot away.
    std::fs::remove_file(dir.path().join(taken["file"].as_str().expect("a path"))).expect("ours");
    Served::start(dir.path(), &[]).stop();
}

#[test]
fn a_running_node_makes_snapshots_and_keeps_the_newest() {
    let dir = dir();
    let args = ["--set", "snapshots.interval_s=1", "--set", "snapshots.keep=2"];
    let node = Served::start(dir.path(), &args);
    let listed = || {
        let rows = json(dir.path(), &["snapshot", "list"], 0);
        rows.iter().filter_map(|row| row["sequence"].as_u64()).collect::<Vec<_>>()
    };
    let mut newest = 0;
    for _ in 0..3 {
        trade(dir.path());
        wait_for("a newer snapshot", || listed().last().is_some_and(|last| *last > newest));
        newest = *listed().last().expect("there is one");
    }
    wait_for("the oldest to go", || listed().len() == 2);
    let before = node.stop();
    let rows = json(dir.path(), &["snapshot", "verify", "--replay"], 0);
    assert_eq!(rows.last().expect("the result")["ok"], true);
    let newest = *listed().last().expect("there is one");
    starts(dir.path(), Some(newest), &before);
}

#[test]
fn a_node_whose_starter_ignores_ends_of_children_knows_what_came_of_a_snapshot() {
    let dir = dir();
    let dir = dir.path();
    let log = std::fs::File::create(dir.join("serve.log")).expect("a writable directory");
    let binary = env!("CARGO_BIN_EXE_outcry");
    let mut child = Command::new("bash")
        .current_dir(dir)
        .args(["-c", r#"trap '' CHLD; exec "$0" "$@""#, binary, "serve"])
        .args(["--set", "gateway.native.listen=127.0.0.1:0", "--set", "snapshots.interval_s=1"])
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("bash, which hands down an ignored signal");
    wait_for("the node", || dir.join("journal/endpoint.json").exists());
    trade(dir);
    let said = || std::fs::read_to_string(dir.join("serve.log")).expect("it was made");
    wait_for("a snapshot", || said().contains("snapshot was written"));
    assert!(!said().contains("no snapshot"), "{}", said());
    child.kill().expect("it is ours");
    child.wait().expect("it ends");
}

#[test]
fn a_lost_journal_is_not_replaced_by_a_new_venue() {
    let dir = dir();
    history(dir.path());
    let data = dir.path().join("journal");
    for (lost, left) in [("commands", ".snap"), ("snapshots", "events")] {
        std::fs::remove_dir_all(data.join(lost)).expect("ours");
        let (status, said) = Served::refused(dir.path(), &[], &[]);
        assert_eq!(status, 12, "{said}");
        assert!(said.contains("put the journal back") && said.contains(left), "{said}");
        refused(dir.path(), &["journal", "verify"], 1, &["put the journal back", left]);
    }
    std::fs::remove_dir_all(data.join("events")).expect("ours");
    Served::start(dir.path(), &[]).stop();
}

#[test]
fn an_event_log_that_is_flawed_before_the_newest_snapshot_goes_on_from_the_one_before() {
    let dir = dir();
    let dir = dir.path();
    let taken = || good(dir, &["snapshot", "take"])["sequence"].as_u64().expect("a number");
    let used = || {
        let bytes = std::fs::read(segment(dir, "events")).expect("a segment");
        bytes.iter().rposition(|byte| *byte != 0).expect("it was written") + 1
    };
    let node = Served::start(dir, &[]);
    trade(dir);
    node.stop();
    let (first, end) = (taken(), used());
    let node = Served::start(dir, &[]);
    trade(dir);
    let before = node.stop();
    let newest = taken();
    // Where headers alone do not tell that something is wrong.
    let all = |events: &Value| events["last_sequence"] == newest;
    let place = (end + (used() - end) / 2..used()).find(|at| {
        flip(&segment(dir, "events"), |_| *at);
        let logs = good(dir, &["journal", "info"])["logs"].clone();
        let is_silent = logs.as_array().is_some_and(|logs| all(&logs[1]));
        if !is_silent {
            flip(&segment(dir, "events"), |_| *at);
        }
        is_silent
    });
    assert!(place.is_some());
    let said = starts(dir, Some(first), &before);
    let words = format!("does not go on from the snapshot of sequence {newest}");
    assert!(said.contains(&words), "{said}");
}

/// A line for each of so many orders that rest.
fn orders(dir: &Path, count: u64) -> String {
    let path = dir.join(format!("orders-{count}.csv"));
    let lines = "\nnew,2,BTC-USDT,buy,1,1".repeat(count as usize);
    std::fs::write(&path, format!("action,account,symbol,side,price,quantity{lines}"))
        .expect("a writable directory");
    path.display().to_string()
}

#[test]
fn an_event_log_that_ends_inside_a_batch_of_the_journal_is_refused() {
    let dir = dir();
    let dir = dir.path();
    let data = dir.join("journal");
    Served::start(dir, &[]).stop();
    copy(&data, &dir.join("before"));
    let run = |count: u64, window: &str| {
        std::fs::remove_dir_all(&data).expect("ours");
        copy(&dir.join("before"), &data);
        let node = Served::start(dir, &[]);
        good(dir, &["order", "file", &orders(dir, count), "--window", window]);
        node.stop()["sequence"].as_u64().expect("a sequence")
    };
    // One by one, and many at once: some of these share a batch.
    let single = run(1, "1");
    run(500, "500");
    copy(&data, &dir.join("many"));
    let shared = batches(dir, "commands").into_iter().filter(|batch| batch.first > single);
    let shared = shared.max_by_key(|batch| batch.last - batch.first).expect("there are batches");
    let inside = shared.first.midpoint(shared.last);
    assert!(inside < shared.last, "hundreds at once share no batch");
    assert_eq!(run(1 + inside - single, "1"), inside);
    copy(&data.join("events"), &dir.join("events"));
    std::fs::remove_dir_all(&data).expect("ours");
    copy(&dir.join("many"), &data);
    std::fs::remove_dir_all(data.join("events")).expect("ours");
    copy(&dir.join("events"), &data.join("events"));
    let (status, said) = Served::refused(dir, &[], &[]);
    assert_eq!(status, 17, "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn an_event_log_of_another_history_is_refused() {
    let dir = dir();
    let dir = dir.path();
    let data = dir.join("journal");
    Served::start(dir, &[]).stop();
    copy(&data, &dir.join("before"));
    let mut last = Vec::new();
    // The same but for the times, which the events have.
    for history in ["one", "two"] {
        std::fs::remove_dir_all(&data).expect("ours");
        copy(&dir.join("before"), &data);
        let node = Served::start(dir, &[]);
        let words = ["order", "new", "--account", "2", "--symbol", "BTC-USDT", "--side", "buy"];
        good(dir, &[&words[..], &["--price", "100", "--quantity", "1"]].concat());
        last.push(node.stop()["sequence"].clone());
        copy(&data, &dir.join(history));
    }
    assert_eq!(last[0], last[1]);
    std::fs::remove_dir_all(data.join("events")).expect("ours");
    copy(&dir.join("one/events"), &data.join("events"));
    let (status, said) = Served::refused(dir, &[], &[]);
    assert_eq!(status, 17, "{said}");
}
