//! `journal repair`, `diff` and `export` on the files of real nodes.

use crate::cli_replay::{find, flip, segment, trade};
use crate::support::{Served, command, copy, dir, good, json, outcry, refused, stderr, wait};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

/// A stopped node's directory with a copy of its data beside it; what it said last.
fn with_copy(dir: &Path) -> Value {
    let node = Served::start(dir, &[]);
    trade(dir);
    let stopped = node.stop();
    copy(&dir.join("journal"), &dir.join("copy"));
    stopped
}

#[test]
fn a_damaged_journal_is_repaired_from_a_copy_and_starts_again() {
    let dir = dir();
    let stopped = with_copy(dir.path());
    let path = segment(dir.path(), "commands");
    let sound = std::fs::read(&path).expect("a segment");
    let at = flip(&path, |bytes| find(bytes, b"find-me-in-the-file") - 2000);
    let damaged = std::fs::read(&path).expect("a segment");
    let serve = ["serve", "--set", "gateway.native.listen=127.0.0.1:0"];
    refused(dir.path(), &serve, 12, &["segment 0", "outcry journal repair --from"]);

    copy(&dir.path().join("journal"), &dir.path().join("same"));
    let from = |name: &'static str| ["journal", "repair", "--from", name];
    refused(dir.path(), &from("same"), 1, &["the copy is damaged too", "segment 0", "offset"]);
    refused(dir.path(), &from("journal"), 2, &["--from is the directory"]);
    refused(dir.path(), &from("none"), 2, &["no journal in none"]);
    let other = crate::support::dir();
    Served::start(other.path(), &[]).stop();
    let other = other.path().join("journal").display().to_string();
    refused(dir.path(), &["journal", "repair", "--from", &other], 1, &["another journal"]);
    assert!(std::fs::read(&path).expect("a segment") == damaged, "a refusal changes nothing");

    let result = good(dir.path(), &from("copy"));
    assert_eq!(result["ok"], true);
    assert_eq!(result["last_sequence"], stopped["sequence"]);
    let repaired = &result["repaired"][0];
    assert_eq!(repaired["segment"], 0);
    let offset = repaired["offset"].as_u64().expect("an offset") as usize;
    let bytes = repaired["bytes"].as_u64().expect("bytes") as usize;
    assert!((offset..offset + bytes).contains(&at), "{repaired}");
    let archived = dir.path().join(repaired["archived"].as_str().expect("a file"));
    let kept = std::fs::read(archived).expect("the damaged bytes");
    assert!(kept == damaged[offset..offset + bytes]);
    assert!(std::fs::read(&path).expect("a segment") == sound, "byte by byte what it was");
    assert_eq!(good(dir.path(), &["journal", "verify"])["ok"], true);
    let again = good(dir.path(), &from("copy"));
    assert_eq!(again["repaired"], Value::Array(vec![]));

    let node = Served::start(dir.path(), &[]);
    refused(dir.path(), &from("copy"), 3, &["in use by another process", "stop it first"]);
    assert_eq!(node.stop()["state_hash"], stopped["state_hash"]);
}

#[test]
fn what_a_power_cut_leaves_of_the_event_log_is_its_end_and_a_flipped_bit_is_damage() {
    let dir = dir();
    let dir = dir.path();
    let node = Served::start(dir, &[]);
    trade(dir);
    node.stop();
    let path = segment(dir, "events");
    let known = std::fs::read(&path).expect("a segment");
    let used = known.iter().rposition(|byte| *byte != 0).expect("it was written") + 1;
    assert!(used > 4096 + 3 * 1024, "{used}");
    // A page, of which a sector was not written, and others behind it.
    let lost = (4096 + used).div_ceil(2) / 512 * 512;
    let mut torn = known.clone();
    torn[lost..lost + 512].fill(0);
    std::fs::write(&path, &torn).expect("a writable file");
    let report = good(dir, &["journal", "verify"]);
    assert_eq!((&report["ok"], &report["events"]["ok"]), (&true.into(), &true.into()));
    assert!(report["events"]["torn_tail_bytes"].as_u64() > Some(512), "{report}");
    let text = outcry(dir, &["journal", "verify"]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(
        text.contains("which the next start makes again from the journal or a snapshot"),
        "{text}"
    );
    std::fs::write(&path, &known).expect("a writable file");
    flip(&path, |_| lost);
    let words = ["damage in events", "move the directory `events` away"];
    refused(dir, &["journal", "verify"], 1, &words);
    refused(dir, &["replay"], 1, &["the event log is damaged", "`events` away", "of a copy"]);
    std::fs::write(&path, &torn).expect("a writable file");
    Served::start(dir, &[]).stop();
    let report = good(dir, &["journal", "verify"]);
    assert_eq!(report["events"]["torn_tail_bytes"], 0, "{report}");
    assert!(std::fs::read(&path).expect("a segment")[..used] == known[..used]);
}

#[test]
fn a_hole_in_the_event_log_where_no_start_looks_is_damage_and_is_made_again_from_the_first_record()
{
    let dir = dir();
    let dir = dir.path();
    let node = Served::start(dir, &[]);
    let load = ["load", "--connections", "4", "--window", "256", "--commands", "60000"];
    good(dir, &load);
    node.stop();
    let events = dir.join("journal/events");
    let path = segment(dir, "events");
    let known = std::fs::read(&path).expect("a segment");
    let lost = known.len() / 2 / 512 * 512;
    let mut torn = known.clone();
    torn[lost..lost + 512].fill(0);
    std::fs::write(&path, &torn).expect("a writable file");
    // A start would begin with the first record.
    let verify = ["journal", "verify"];
    assert_eq!(good(dir, &verify)["ok"], true);
    std::fs::write(&path, &known).expect("a writable file");
    let taken = good(dir, &["snapshot", "take"])["sequence"].as_u64().expect("a number");
    let logs = good(dir, &["journal", "info"])["logs"].clone();
    assert!(logs[1]["segments"].as_u64() > Some(1), "{logs}");

    std::fs::write(&path, &torn).expect("a writable file");
    let words = ["damage in events: segment 0", "move the directory `events` away"];
    refused(dir, &verify, 1, &words);
    let node = Served::start(dir, &[]);
    assert_eq!(node.ready["recovery"]["snapshot_sequence"], taken);
    node.stop();
    // A start leaves it, and what helps is what is said.
    refused(dir, &verify, 1, &words);
    refused(dir, &["replay"], 1, &["the event log is damaged", "`events` away"]);
    std::fs::rename(&events, dir.join("away")).expect("ours");
    let node = Served::start(dir, &[]);
    assert_eq!(node.ready["recovery"]["snapshot_sequence"], Value::Null);
    node.stop();
    assert_eq!(good(dir, &verify)["ok"], true);
    assert!(std::fs::read(&path).expect("a segment") == known, "byte by byte what it was");
}

#[test]
fn diff_tells_in_words_how_two_journals_relate() {
    let dir = dir();
    let stopped = with_copy(dir.path());
    let last = stopped["sequence"].as_u64().expect("a sequence");
    let diff = ["journal", "diff", "journal", "copy"];
    let equal = good(dir.path(), &diff);
    assert_eq!((&equal["equal"], &equal["relation"]), (&true.into(), &"equal".into()));
    assert_eq!(equal["same_to"], last);
    assert_eq!(good(dir.path(), &[&diff[..], &["--log", "events"]].concat())["equal"], true);

    // The journal goes on, the copy does not.
    let deposit = |amount: &str| {
        let node = Served::start(dir.path(), &[]);
        let args = ["order", "deposit", "--account", "2", "--asset", "BTC", "--amount", amount];
        good(dir.path(), &args);
        node.stop()["sequence"].as_u64().expect("a sequence")
    };
    let longer = deposit("1.5");
    let prefix = json(dir.path(), &diff, 1).pop().expect("a result");
    assert_eq!((&prefix["equal"], &prefix["relation"]), (&false.into(), &"b-is-prefix".into()));
    assert_eq!((&prefix["same_to"], &prefix["last_a"]), (&last.into(), &longer.into()));
    let words = format!(
        "B is a prefix of A: both are the same up to sequence {last}, then A has {} more",
        longer - last
    );
    assert_eq!(prefix["explanation"], words.as_str());
    let turned = json(dir.path(), &["journal", "diff", "copy", "journal"], 1);
    assert_eq!(turned[0]["relation"], "a-is-prefix");

    // Two histories after the same beginning.
    std::fs::rename(dir.path().join("journal"), dir.path().join("first")).expect("a directory");
    copy(&dir.path().join("copy"), &dir.path().join("journal"));
    deposit("2.5");
    let parted = json(dir.path(), &["journal", "diff", "first", "journal"], 1).pop().expect("one");
    assert_eq!(parted["relation"], "diverged");
    assert_eq!(parted["same_to"], last);
    assert_eq!(parted["sequence"], last + 1);
    assert_eq!(parted["kind_a"], parted["kind_b"]);
    let fields: Vec<&str> = parted["fields"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|f| f["field"].as_str())
        .collect();
    assert!(fields.contains(&"time"), "{fields:?}");
    let text =
        String::from_utf8(outcry(dir.path(), &["journal", "diff", "first", "journal"]).stdout)
            .expect("text");
    assert!(text.contains(&format!("at sequence {} (", last + 1)), "{text}");
    // What the commands led to is told of the events.
    let events = ["journal", "diff", "first", "journal", "--log", "events"];
    assert_eq!(json(dir.path(), &events, 1)[0]["relation"], "diverged");

    // Another journal, a damaged one, none.
    let other = crate::support::dir();
    Served::start(other.path(), &[]).stop();
    let other = other.path().join("journal").display().to_string();
    let found = json(dir.path(), &["journal", "diff", "first", &other], 1);
    assert_eq!(found[0]["relation"], "other-journal");
    assert_ne!(found[0]["journal_id_a"], found[0]["journal_id_b"]);
    let path = dir.path().join("copy/commands/0000000000.seg");
    flip(&path, |bytes| find(bytes, b"find-me-in-the-file"));
    let found = json(dir.path(), &["journal", "diff", "first", "copy"], 1);
    assert_eq!(found[0]["relation"], "damaged");
    let words = found[0]["explanation"].as_str().expect("text");
    assert!(
        words.starts_with("B is damaged in segment 0, offset ") && words.contains("repair"),
        "{words}"
    );
    refused(dir.path(), &["journal", "diff", "first", "none"], 2, &["no journal in none"]);
    refused(dir.path(), &[&diff[..], &["--log", "rejects"]].concat(), 2, &["of its own"]);
}

#[test]
fn export_writes_every_field_and_what_is_asked_for() {
    let dir = dir();
    let node = Served::start(dir.path(), &[]);
    let found = trade(dir.path());
    node.stop();
    let lines = |args: &[&str]| -> Vec<Value> {
        let output = outcry(dir.path(), &[&["journal", "export"], args].concat());
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", stderr(&output));
        let text = String::from_utf8(output.stdout).expect("text");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let all = lines(&[]);
    let mut dumped = json(dir.path(), &["journal", "dump"], 0);
    assert_eq!(dumped.pop().expect("an end")["count"], all.len());
    assert_eq!(all, dumped);
    for field in ["sequence", "epoch", "time", "kind", "session", "key", "message_id", "frame_hash"]
    {
        assert!(all.iter().all(|row| row.get(field).is_some()), "{field}");
    }

    let of = |keep: &dyn Fn(&Value) -> bool| -> Vec<Value> {
        let kept: Vec<Value> = all.iter().filter(|row| keep(row)).cloned().collect();
        assert!(!kept.is_empty() && kept.len() < all.len());
        kept
    };
    assert_eq!(lines(&["--account", "3"]), of(&|row| row["body"]["account"] == 3));
    let btc = of(&|row| row["kind"] == "command" && row["body"]["symbol"] == "BTC-USDT");
    assert_eq!(lines(&["--instrument", "BTC-USDT"]), btc);
    assert_eq!(lines(&["--instrument", "1"]), btc);
    let session = found["sequence"].as_u64().and_then(|sequence| {
        all.iter().find(|row| row["sequence"] == sequence)?["session"].as_u64()
    });
    let session = session.expect("the deposit's session");
    assert_eq!(lines(&["--session", &session.to_string()]), of(&|row| row["session"] == session));
    let time = found["time"].as_str().expect("a time");
    assert_eq!(lines(&["--from", time]), of(&|row| row["time"].as_str() >= Some(time)));
    assert_eq!(lines(&["--to", time]), of(&|row| row["time"].as_str() <= Some(time)));
    assert_eq!(lines(&["--from", "2500-01-01T00:00:00Z"]), [Value::Null; 0]);
    refused(dir.path(), &["journal", "export", "--from", "9", "--to", "8"], 2, &["--from 9"]);
    refused(dir.path(), &["journal", "export", "--instrument", "X"], 2, &["no such instrument"]);

    // Events of an account: a maker's fills count, which do not name it.
    let events = lines(&["--log", "events"]);
    let own = lines(&["--log", "events", "--account", "3"]);
    let names = |row: &Value| {
        ["account", "maker_account", "taker_account"].iter().any(|name| row[name] == 3)
    };
    let kind = |rows: &[Value], kind: &str| rows.iter().filter(|row| row["event"] == kind).count();
    assert!(own.iter().all(|row| names(row) || row["event"] == "maker-fill"), "{own:?}");
    let named = events.iter().filter(|row| names(row)).count();
    assert_eq!(own.len() - kind(&own, "maker-fill"), named);
    let made = events.iter().filter(|row| row["maker_account"] == 3).count();
    assert!(kind(&own, "maker-fill") <= made && kind(&own, "maker-fill") > 0, "{made}");
    assert_eq!(lines(&["--log", "events", "--from", time])[0]["sequence"], found["sequence"]);
    files(dir.path(), all.len());
}

/// Files and pipes that rows go to.
fn files(dir: &Path, rows: usize) {
    let file = ["journal", "export", "--output", "all.jsonl"];
    let result = good(dir, &file);
    let length = std::fs::metadata(dir.join("all.jsonl")).expect("a file").len();
    assert_eq!((&result["records"], &result["bytes"]), (&rows.into(), &length.into()));
    refused(dir, &file, 2, &["all.jsonl"]);
    let csv = ["journal", "export", "--format", "csv", "--output", "all.csv"];
    assert_eq!(good(dir, &csv)["records"], rows);
    let text = std::fs::read_to_string(dir.join("all.csv")).expect("a file");
    assert!(text.starts_with("sequence,epoch,time,kind,"), "{}", &text[..80]);
    assert_eq!(text.lines().count(), rows + 1);
    assert!(text.contains("find-me-in-the-file"));
    refused(dir, &["journal", "export", "--format", "csv", "--json"], 2, &["--output"]);
    // Whoever reads a line and goes away is no failure.
    for verb in [&["journal", "export"][..], &["journal", "dump"], &["journal", "dump", "--json"]] {
        let mut child = command(dir, verb)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut line = String::new();
        let mut stdout = BufReader::with_capacity(64, child.stdout.take().expect("it was piped"));
        stdout.read_line(&mut line).expect("a line");
        drop(stdout);
        assert_eq!(wait(&mut child), 0, "{verb:?}");
        let mut said = String::new();
        std::io::Read::read_to_string(&mut child.stderr.take().expect("it was piped"), &mut said)
            .expect("text");
        assert_eq!(said, "", "{verb:?}");
    }
}
