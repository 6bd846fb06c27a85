//! `replay` and `journal` on the files of a real node, stopped, running, copied and damaged.

use openoutcry::genesis::APPLICATION_VERSION;
use openoutcry::journal::batch::{BatchBuilder, RecordFields};
use openoutcry::journal::format::{LogKind, RecordKind, SEGMENT_HEADER_SIZE, SegmentHeader};
use openoutcry::journal::recovery::recover;
use openoutcry::journal::segment::LogDir;
use openoutcry::sys::disk::Disk;
use openoutcry::sys::storage::Append;
use openoutcry::types::{Epoch, Sequence};
use std::sync::Arc;

use crate::support::{Served, dir, good, json, outcry, refused};
use serde_json::Value;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Orders that trade, cancel and are refused, and a message id to find in the file.
pub(crate) fn trade(dir: &Path) -> Value {
    let mut text =
        "action,account,symbol,side,price,quantity,orig_client_order_id,client_order_id\n"
            .to_owned();
    for number in 1..=150 {
        let (side, account) = if number % 2 == 0 { ("buy", 2) } else { ("sell", 3) };
        let price = 100 + number % 7;
        text.push_str(&format!("new,{account},BTC-USDT,{side},{price},0.{number},,{number}\n"));
        if number % 10 == 0 {
            text.push_str(&format!("cancel,{account},BTC-USDT,,,,{number},\n"));
        }
    }
    std::fs::write(dir.join("trade.csv"), text).expect("a writable directory");
    // Some cancels meet orders that are filled: business rejects are part of the history.
    let sent = outcry(dir, &["order", "file", "trade.csv"]);
    assert!(matches!(sent.status.code(), Some(0 | 1)));
    let deposit =
        "order deposit --account 2 --asset BTC --amount 1 --message-id find-me-in-the-file";
    let found = good(dir, &deposit.split(' ').collect::<Vec<_>>());
    good(dir, &["book", "BTC-USDT"]);
    found
}

pub(crate) fn segment(dir: &Path, log: &str) -> PathBuf {
    dir.join("journal").join(log).join("0000000000.seg")
}

/// Flips a bit of the byte that `at` chooses in a file.
pub(crate) fn flip(path: &Path, at: impl FnOnce(&[u8]) -> usize) -> usize {
    let bytes = std::fs::read(path).expect("a segment");
    let at = at(&bytes);
    let file = std::fs::File::options().write(true).open(path).expect("a segment");
    file.write_all_at(&[bytes[at] ^ 1], at as u64).expect("a writable file");
    at
}

pub(crate) fn find(bytes: &[u8], text: &[u8]) -> usize {
    bytes.windows(text.len()).position(|window| window == text).expect("it is in the file")
}

pub(crate) fn used(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

#[test]
fn replay_gives_the_state_that_the_node_stopped_with() {
    let dir = dir();
    let node = Served::start(dir.path(), &[]);
    trade(dir.path());
    let stopped = node.stop();
    let replayed = good(dir.path(), &["replay"]);
    assert_eq!(replayed["state_hash"], stopped["state_hash"]);
    assert_eq!(replayed["sequence"], stopped["sequence"]);
    assert_eq!(replayed["records"], stopped["sequence"]);
    assert_eq!(replayed["events"], replayed["events_compared"]);
    assert_eq!(replayed["torn_tail_bytes"], 0);
    assert_eq!(replayed["node_running"], false);
    for field in ["commands", "commands_per_s", "seconds"] {
        assert!(replayed[field].as_f64() > Some(0.0), "{field}");
    }
    let again = good(dir.path(), &["replay"]);
    assert_eq!(again["state_hash"], replayed["state_hash"]);

    let copy = dir.path().join("copy");
    for log in ["commands", "events"] {
        std::fs::create_dir_all(copy.join(log)).expect("a writable directory");
        std::fs::copy(segment(dir.path(), log), copy.join(log).join("0000000000.seg"))
            .expect("a copy");
    }
    let copied = good(dir.path(), &["replay", "--data-dir", "copy"]);
    assert_eq!(copied["state_hash"], stopped["state_hash"]);
    assert_eq!(good(dir.path(), &["journal", "verify", "--data-dir", "copy"])["ok"], true);
    std::fs::remove_dir_all(copy.join("events")).expect("a copy");
    let alone = good(dir.path(), &["replay", "--data-dir", "copy"]);
    assert_eq!(alone["state_hash"], stopped["state_hash"]);
    assert_eq!(alone["events_compared"], 0);
}

#[test]
fn a_range_of_a_replay_is_counted_and_written() {
    let dir = dir();
    let node = Served::start(dir.path(), &[]);
    let found = trade(dir.path());
    let last = node.stop()["sequence"].as_u64().expect("a sequence");
    let sequence = found["sequence"].as_u64().expect("a sequence");
    let (from, to) = ((sequence - 100).to_string(), sequence.to_string());
    let range = ["replay", "--from", &from, "--to", &to, "--events", "range.events"];
    let part = good(dir.path(), &range);
    assert_eq!(
        (&part["sequence"], &part["first_sequence"]),
        (&sequence.into(), &(sequence - 100).into())
    );
    assert_eq!((&part["snapshot_sequence"], &part["skipped"]), (&0.into(), &Value::Array(vec![])));
    assert_eq!(part["events"], part["events_compared"]);
    let written = std::fs::metadata(dir.path().join("range.events")).expect("events");
    assert_eq!(part["events_file"]["bytes"], written.len());
    let dump = ["journal", "dump", "--log", "events", "--from", &from, "--to", &to];
    let mut events = json(dir.path(), &dump, 0);
    assert_eq!(events.pop().expect("a count")["count"], part["events"]);
    assert!(events.iter().all(|event| event["sequence"].as_u64() >= Some(sequence - 100)));
    let trade = events.iter().find(|event| event["event"] == "trade").expect("orders trade");
    assert_eq!(trade["symbol"], "BTC-USDT");
    assert!(trade["price"].as_str().expect("decimal text").starts_with("10"));
    let result = events.last().expect("an event");
    assert_eq!((&result["event"], &result["asset"]), (&"balance".into(), &"BTC".into()));
    let results: Vec<_> = events.iter().filter(|event| event["event"] == "result").collect();
    assert!(results.iter().all(|result| result["filled"].is_string()), "{results:?}");
    assert!(results.iter().any(|result| result["filled"] != "0"), "orders are filled");
    // The same place by its time, and the whole journal is more.
    let time = good(dir.path(), &["replay", "--to", found["time"].as_str().expect("a time")]);
    assert_eq!(time["state_hash"], part["state_hash"]);
    let whole = good(dir.path(), &["replay"]);
    assert!(whole["commands"].as_u64() > part["commands"].as_u64());
    assert_ne!(whole["state_hash"], part["state_hash"]);
    let beyond = (last + 1).to_string();
    refused(dir.path(), &["replay", "--to", &beyond], 1, &[&last.to_string(), &beyond]);
    refused(dir.path(), &["replay", "--to", "yesterday"], 2, &["2026-03-01T12:00:00Z"]);
    refused(dir.path(), &["replay", "--from", "9", "--to", "8"], 2, &["--from 9"]);
}

#[test]
fn offline_tools_work_beside_a_running_node() {
    let dir = dir();
    let node = Served::start(dir.path(), &[]);
    let found = trade(dir.path());
    let replayed = good(dir.path(), &["replay"]);
    assert_eq!(replayed["node_running"], true);
    assert!(replayed["sequence"].as_u64() >= found["sequence"].as_u64());
    assert!(replayed["events_compared"].as_u64() > Some(0));
    let report = good(dir.path(), &["journal", "verify"]);
    assert_eq!((&report["ok"], &report["damage"]), (&true.into(), &Value::Null));
    for field in ["segments", "records", "first_sequence", "last_sequence"] {
        assert!(report[field].as_u64() > Some(0), "{field}");
    }
    let info = good(dir.path(), &["journal", "info"]);
    assert_eq!(info["node_running"], true);
    assert_eq!(info["journal_id"], report["journal_id"]);
    assert_eq!(info["logs"][0]["log"], "commands");
    assert!(info["logs"][0]["last_sequence"].as_u64() >= report["last_sequence"].as_u64());

    let sequence = found["sequence"].to_string();
    let one = ["journal", "dump", "--from", &sequence, "--to", &sequence];
    let rows = json(dir.path(), &one, 0);
    assert_eq!(rows[0]["sequence"], found["sequence"]);
    assert_eq!(rows[0]["message_id"], "find-me-in-the-file");
    assert_eq!(rows[0]["body"]["command"], "deposit");
    assert_eq!(
        (&rows[0]["body"]["asset"], &rows[0]["body"]["amount"]),
        (&"BTC".into(), &"1".into())
    );
    assert_eq!(rows[1]["count"], 1);
    let line = String::from_utf8(outcry(dir.path(), &one).stdout).expect("text");
    assert!(line.contains("command=deposit account=2 asset=BTC amount=1"), "{line}");
    let events = json(dir.path(), &[&one[..], &["--log", "events"]].concat(), 0);
    assert_eq!(events[0]["event"], "result");
    assert_eq!(events[0]["sequence"], found["sequence"]);
    let page = json(dir.path(), &["journal", "dump", "--limit", "3"], 0);
    assert_eq!(page.len(), 4);
    assert_eq!((&page[3]["count"], &page[3]["next"]), (&3.into(), &4.into()));
    node.stop();
}

#[test]
fn one_flipped_byte_is_named_by_segment_offset_and_sequence() {
    let dir = dir();
    let node = Served::start(dir.path(), &[]);
    let found = trade(dir.path());
    node.stop();
    let at = flip(&segment(dir.path(), "commands"), |bytes| find(bytes, b"find-me-in-the-file"));
    let report = json(dir.path(), &["journal", "verify"], 1).pop().expect("a report");
    assert_eq!(report["ok"], false);
    let damage = &report["damage"];
    assert_eq!(damage["log"], "commands");
    assert_eq!(damage["segment"], 0);
    assert_eq!(damage["sequence"], found["sequence"]);
    let offset = damage["offset"].as_u64().expect("an offset");
    assert!((at as u64 - 400..at as u64).contains(&offset), "{offset} is the record around {at}");
    assert_eq!(damage["what"], "the record's CRC-64 does not match");
    let sequence = format!("sequence {}", found["sequence"]);
    let words = ["segment 0", &format!("offset {offset}"), &sequence];
    let help = [&words[..], &["outcry journal repair --from"]].concat();
    refused(dir.path(), &["journal", "verify", "--threads", "1"], 1, &help);
    refused(dir.path(), &["journal", "verify", "--threads", "8"], 1, &help);
    refused(dir.path(), &["journal", "verify", "--threads", "0"], 2, &["--threads"]);
    refused(dir.path(), &["replay"], 1, &words);
    refused(dir.path(), &["journal", "dump"], 1, &[&sequence, "journal verify"]);
    let before = (found["sequence"].as_u64().expect("a sequence") - 8).to_string();
    good(dir.path(), &["replay", "--to", &before]);
}

#[test]
fn a_flipped_byte_of_the_event_log_is_told_from_another_history() {
    let dir = dir();
    let node = Served::start(dir.path(), &[]);
    trade(dir.path());
    node.stop();
    flip(&segment(dir.path(), "events"), |bytes| used(bytes) / 2);
    let report = json(dir.path(), &["journal", "verify"], 1).pop().expect("a report");
    assert_eq!(report["damage"]["log"], "events");
    assert_eq!(report["events"]["ok"], false);
    assert_eq!(good(dir.path(), &["journal", "verify", "--log", "commands"])["ok"], true);
    refused(dir.path(), &["replay"], 1, &["event log is damaged"]);
    // A start makes it again.
    Served::start(dir.path(), &[]).stop();
    assert_eq!(good(dir.path(), &["journal", "verify"])["ok"], true);
    good(dir.path(), &["replay"]);
}

#[test]
fn an_unfinished_end_is_no_damage() {
    let dir = dir();
    let node = Served::start(dir.path(), &[]);
    trade(dir.path());
    let stopped = node.stop();
    let path = segment(dir.path(), "commands");
    let end = used(&std::fs::read(&path).expect("a segment")).next_multiple_of(8);
    let file = std::fs::File::options().write(true).open(&path).expect("a segment");
    file.write_all_at(&[0xEE; 100], end as u64).expect("a writable file");
    let report = good(dir.path(), &["journal", "verify"]);
    assert_eq!((&report["ok"], &report["torn_tail_bytes"]), (&true.into(), &100.into()));
    let replayed = good(dir.path(), &["replay"]);
    assert_eq!(replayed["torn_tail_bytes"], 100);
    assert_eq!(replayed["state_hash"], stopped["state_hash"]);
}

#[test]
fn where_there_is_no_journal_it_is_said_so() {
    let dir = dir();
    let commands = [
        &["replay"][..],
        &["journal", "info"],
        &["journal", "verify"],
        &["journal", "dump"],
        &["journal", "export"],
    ];
    for args in commands {
        refused(dir.path(), args, 2, &["no journal in journal", "--data-dir"]);
    }
    std::fs::create_dir_all(dir.path().join("journal/commands")).expect("a writable directory");
    for args in commands {
        refused(dir.path(), args, 1, &["in journal is empty", "no node has written"]);
    }
}

#[test]
fn a_journal_with_the_rules_of_a_newer_release_is_refused_and_left_as_it_is() {
    let dir = dir();
    let node = Served::start(dir.path(), &[]);
    trade(dir.path());
    node.stop();
    let path = segment(dir.path(), "commands");
    let mut bytes = std::fs::read(&path).expect("a segment");
    let mut header =
        SegmentHeader::parse(&bytes[..SEGMENT_HEADER_SIZE]).expect("its header is sound");
    header.application_version = (APPLICATION_VERSION + 1).into();
    header.seal();
    bytes[..SEGMENT_HEADER_SIZE].copy_from_slice(&header.page());
    std::fs::write(&path, &bytes).expect("a writable file");

    let words = ["rules of version 3", "up to 2"];
    refused(dir.path(), &["replay"], 1, &words);
    refused(dir.path(), &["serve", "--set", "gateway.native.listen=127.0.0.1:0"], 18, &words);
    assert!(std::fs::read(&path).expect("a segment") == bytes, "it was changed");
    refused(dir.path(), &["explain", "18"], 0, &[]);
}

#[test]
fn a_record_that_this_release_does_not_apply_is_named_and_nothing_is_served_behind_it() {
    let dir = dir();
    let node = Served::start(dir.path(), &[]);
    trade(dir.path());
    node.stop();
    let data = dir.path().join("journal");
    let log = LogDir::new(Arc::new(Disk), &data, LogKind::Commands, Append::Write, 8 << 20);
    let recovered = recover(&log, Sequence(1), &mut |_| ()).expect("it is sound");
    let (id, end) = (recovered.id.expect("an id"), recovered.end.expect("an end"));
    let (last, time) = (recovered.tip.sequence, recovered.tip.time);
    let mut batches = BatchBuilder::new(LogKind::Commands, id, recovered.tip);
    batches.begin(Epoch(recovered.tip.epoch.0), last);
    let fields = RecordFields::new(RecordKind::Activation, last.next(), time);
    batches.push(&fields, &[], Some(&[0; 16])).expect("there is room");
    batches.seal();
    let file = std::fs::File::options().write(true).open(segment(dir.path(), "commands"));
    let file = file.expect("a segment");
    file.write_all_at(batches.sealed(), end.offset).expect("a writable file");

    let sequence = last.next().to_string();
    let words = [sequence.as_str(), "activation", "does not apply"];
    refused(dir.path(), &["replay"], 1, &words);
    refused(dir.path(), &["serve", "--set", "gateway.native.listen=127.0.0.1:0"], 18, &words);
    // Up to there it is a journal like any other.
    let before = last.0.to_string();
    assert_eq!(good(dir.path(), &["replay", "--to", &before])["sequence"], last.0);
}

#[test]
fn a_node_does_not_start_on_a_damaged_journal() {
    let dir = dir();
    let node = Served::start(dir.path(), &[]);
    trade(dir.path());
    node.stop();
    let path = segment(dir.path(), "commands");
    flip(&path, |bytes| find(bytes, b"find-me-in-the-file") - 2000);
    let damaged = std::fs::read(&path).expect("a segment");
    let serve = ["serve", "--set", "gateway.native.listen=127.0.0.1:0"];
    refused(
        dir.path(),
        &serve,
        12,
        &["damage in segment 0", "offset", "sequence", "outcry journal repair --from"],
    );
    assert!(std::fs::read(&path).expect("a segment") == damaged, "nothing was changed");
}
