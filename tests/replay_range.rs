//! `replay` from anywhere: the state of a replay from the first record, and the event log's own bytes.

use crate::sim::random::Random;
use crate::support::{Served, dir, good, json, outcry, refused, stderr};
use serde_json::Value;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes of a segment's header page and of a batch's header, by the format's document.
const PAGE: usize = 4096;
const BATCH_HEADER: usize = 144;

/// A batch of a log, whole: partial ones stand together with the one that ends them.
pub(crate) struct Batch {
    pub(crate) first: u64,
    pub(crate) last: u64,
    bytes: Vec<u8>,
    /// Sequence and time of each record; in an event log, the sequence of each event and its block's
    /// time.
    rows: Vec<(u64, u64)>,
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> u64 {
    let mut all = [0; 8];
    all[..N].copy_from_slice(&bytes[at..at + N]);
    u64::from_le_bytes(all)
}

fn rows(mut records: &[u8], rows: &mut Vec<(u64, u64)>) {
    const EVENT_BLOCK: u8 = 16;
    while !records.is_empty() {
        let (length, kind) = (number::<4>(records, 0) as usize, records[4]);
        let (sequence, time) = (number::<8>(records, 8), number::<8>(records, 24));
        if kind == EVENT_BLOCK {
            let (at, size) = (number::<2>(records, 74) as usize, number::<2>(records, 76) as usize);
            let block = &records[at..at + size];
            rows.extend(block.chunks(80).map(|event| (number::<8>(event, 0), time)));
        } else {
            rows.push((sequence, time));
        }
        records = &records[length..];
    }
}

/// Every segment file of a log, in order.
fn segments(dir: &Path, log: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir.join("journal").join(log)).expect("a directory");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    paths.sort();
    paths
}

/// Cuts a log's segments into batches, by the format's document alone.
pub(crate) fn batches(dir: &Path, log: &str) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    let mut is_open = false;
    for path in segments(dir, log) {
        let bytes = std::fs::read(path).expect("a segment");
        let mut rest = &bytes[PAGE..];
        while rest.starts_with(b"OUTCRYBA") {
            let length = number::<4>(rest, 84) as usize;
            let (first, last) = (number::<8>(rest, 56), number::<8>(rest, 72));
            if !is_open {
                batches.push(Batch { first, last, bytes: Vec::new(), rows: Vec::new() });
            }
            let batch = batches.last_mut().expect("one was pushed");
            assert_eq!(batch.first, first, "a partial batch is followed by the rest of it");
            batch.last = last;
            batch.bytes.extend_from_slice(&rest[..length]);
            rows(&rest[BATCH_HEADER..length], &mut batch.rows);
            is_open = number::<4>(rest, 92) & 1 != 0;
            rest = &rest[length..];
        }
    }
    batches
}

/// The event log's bytes of a range: those of all batches that have a part in it.
fn cut(batches: &[Batch], from: u64, to: u64) -> Vec<u8> {
    let within = batches.iter().filter(|batch| batch.last >= from && batch.first <= to);
    within.flat_map(|batch| batch.bytes.iter().copied()).collect()
}

fn seed() -> u64 {
    let seed = std::env::var("SEED").map_or_else(
        |_| SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").subsec_nanos().into(),
        |seed| seed.parse().expect("SEED is a number"),
    );
    eprintln!("repeat with SEED={seed}");
    seed
}

fn flip(path: &Path, at: u64) {
    let file = std::fs::File::options().read(true).write(true).open(path).expect("a file");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("it is as long");
    file.write_all_at(&[byte[0] ^ 1], at).expect("a writable file");
}

/// A journal of several segments, of a node that was stopped, and its last sequence.
fn journal(dir: &Path, seed: u64) -> u64 {
    let node = Served::start(dir, &[]);
    let seed = seed.to_string();
    let load = ["load", "--connections", "8", "--window", "32", "--commands", "50000"];
    good(dir, &[&load[..], &["--seed", &seed]].concat());
    node.stop()["sequence"].as_u64().expect("a sequence")
}

/// Takes snapshots and keeps them all; their sequences, in order.
fn snapshots(dir: &Path, to: &[u64]) -> Vec<u64> {
    let mut taken: Vec<u64> = to
        .iter()
        .map(|to| {
            let to = to.to_string();
            let take = ["snapshot", "take", "--to", &to, "--set", "snapshots.keep=20"];
            good(dir, &take)["sequence"].as_u64().expect("a sequence")
        })
        .collect();
    taken.sort_unstable();
    taken.dedup();
    taken
}

fn snapshot(dir: &Path, sequence: u64) -> PathBuf {
    dir.join(format!("journal/snapshots/{sequence:020}.snap"))
}

/// A time as the tools write it.
fn time(dir: &Path, sequence: u64) -> String {
    let sequence = sequence.to_string();
    let row = json(dir, &["journal", "dump", "--from", &sequence, "--to", &sequence], 0);
    row[0]["time"].as_str().expect("a time").to_owned()
}

/// Names in a directory that are neither the node's nor the client's.
fn left(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).expect("a directory");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string());
    let mut names: Vec<String> = names.map(|name| name.expect("text")).collect();
    names.retain(|name| name.contains("range"));
    names.sort();
    names
}

#[test]
fn from_anywhere_to_anywhere_a_replay_gives_the_state_and_the_event_log_of_a_replay_of_everything()
{
    let seed = seed();
    let mut random = Random::new(seed);
    let dir = dir();
    let dir = dir.path();
    let last = journal(dir, seed);
    assert!(segments(dir, "commands").len() > 2 && segments(dir, "events").len() > 1);
    let genesis = batches(dir, "commands")[0].last;
    let places: Vec<u64> =
        (0..5).map(|_| genesis + random.below(last - genesis)).chain([last / 2]).collect();
    let taken = snapshots(dir, &places);
    let (commands, events) = (batches(dir, "commands"), batches(dir, "events"));
    assert_eq!(commands.len(), events.len());
    let count = |from: u64, to: u64| {
        let rows = events.iter().flat_map(|batch| &batch.rows);
        rows.filter(|(sequence, _)| (from..=to).contains(sequence)).count()
    };
    // Ends in the middle of genesis, of the last batch, at a snapshot, and anywhere.
    let mut ranges = vec![(1, 3), (2, genesis), (taken[0], taken[1]), (taken[0] + 1, last - 1)];
    for _ in 0..8 {
        let (a, b) = (1 + random.below(last), 1 + random.below(last));
        ranges.push((a.min(b), a.max(b)));
    }
    for (number, (from, to)) in ranges.into_iter().enumerate() {
        let file = format!("range-{number}");
        let (first, end) = (from.to_string(), to.to_string());
        let part = good(dir, &["replay", "--from", &first, "--to", &end, "--events", &file]);
        let whole = good(dir, &["replay", "--to", &end]);
        let range = format!("from {from} to {to}: {part}");
        assert_eq!(
            (&part["sequence"], &part["time"]),
            (&whole["sequence"], &whole["time"]),
            "{range}"
        );
        assert_eq!(part["state_hash"], whole["state_hash"], "{range}");
        assert_eq!((&part["sequence"], &part["first_sequence"]), (&to.into(), &from.into()));
        let begin = taken.iter().copied().rfind(|taken| *taken < from).unwrap_or(0);
        assert_eq!(part["snapshot_sequence"], begin, "{range}");
        assert_eq!(part["records"], to - begin, "{range}");
        assert_eq!((&whole["snapshot_sequence"], &whole["records"]), (&0.into(), &to.into()));
        assert_eq!(part["events"], count(from, to), "{range}");
        assert_eq!(part["events_compared"], part["events"], "{range}");
        assert_eq!(part["skipped"], Value::Array(Vec::new()));
        let written = std::fs::read(dir.join(&file)).expect("a file of events");
        assert!(written == cut(&events, from, to), "{range}: other bytes than the event log's");
        assert_eq!(part["events_file"]["bytes"], written.len());
        // By time: the first record of that time or later, the last one of that time or before.
        let rows = || commands.iter().flat_map(|batch| &batch.rows);
        let at = |sequence: u64| rows().nth(sequence as usize - 1).expect("a record").1;
        let since = rows().find(|row| row.1 >= at(from)).expect("a record").0;
        let until = rows().rfind(|row| row.1 <= at(to)).expect("a record").0;
        let (first, end) = (time(dir, from), time(dir, to));
        let timed = ["replay", "--from", &first, "--to", &end, "--events", &format!("{file}-t")];
        let timed = good(dir, &timed);
        assert_eq!((&timed["first_sequence"], &timed["sequence"]), (&since.into(), &until.into()));
        assert_eq!(timed["events"], count(since, until));
        let written = std::fs::read(dir.join(format!("{file}-t"))).expect("a file of events");
        assert!(written == cut(&events, since, until), "{range}, by time");
    }
    let all = good(dir, &["replay", "--events", "range-all"]);
    assert_eq!(all["records"], last);
    assert!(std::fs::read(dir.join("range-all")).expect("a file") == cut(&events, 1, last));
    // Without an event log it is made all the same, and nothing is compared.
    std::fs::remove_dir_all(dir.join("journal/events")).expect("it is ours");
    let from = (last / 2 + 1).to_string();
    let alone = good(dir, &["replay", "--from", &from, "--events", "range-alone"]);
    assert_eq!((&alone["events_compared"], &alone["state_hash"]), (&0.into(), &all["state_hash"]));
    let written = std::fs::read(dir.join("range-alone")).expect("a file");
    assert!(written == cut(&events, last / 2 + 1, last));
    assert!(left(dir).iter().all(|name| !name.contains("tmp")), "{:?}", left(dir));
}

#[test]
fn a_snapshot_that_is_of_no_use_is_passed_over_and_named() {
    let dir = dir();
    let dir = dir.path();
    let last = journal(dir, 1);
    let taken = snapshots(dir, &[last / 4, last / 2, last * 3 / 4]);
    let whole = good(dir, &["replay"]);
    let from = last.to_string();
    let replay = ["replay", "--from", &from];
    let begins = |snapshot: u64, skipped: &[u64]| {
        let output = outcry(dir, &[&replay[..], &["--json"]].concat());
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(0), "{text}");
        let shown: Value = serde_json::from_slice(&output.stdout).expect("one object");
        assert_eq!(shown["snapshot_sequence"], snapshot, "{shown}");
        assert_eq!(shown["state_hash"], whole["state_hash"], "{shown}");
        let named = shown["skipped"].as_array().expect("a list");
        assert_eq!(
            named.iter().map(|row| row["sequence"].as_u64()).collect::<Vec<_>>(),
            skipped.iter().map(|sequence| Some(*sequence)).collect::<Vec<_>>()
        );
        for sequence in skipped {
            let words = format!("{sequence:020}.snap cannot be used: the SHA-256 of its body");
            assert!(text.contains(&words), "{text}");
        }
        assert_eq!(text.is_empty(), skipped.is_empty(), "{text}");
    };
    begins(taken[2], &[]);
    flip(&snapshot(dir, taken[2]), 5000);
    begins(taken[1], &taken[2..]);
    flip(&snapshot(dir, taken[1]), 5000);
    begins(taken[0], &[taken[2], taken[1]]);
    flip(&snapshot(dir, taken[0]), 5000);
    begins(0, &[taken[2], taken[1], taken[0]]);
    // Newer ones than what is asked for are not looked at.
    let before = taken[0].to_string();
    let shown = good(dir, &["replay", "--from", &before, "--to", &before]);
    assert_eq!(
        (&shown["snapshot_sequence"], &shown["skipped"]),
        (&0.into(), &Value::Array(vec![]))
    );
}

#[test]
fn what_cannot_be_replayed_is_said_and_leaves_no_file() {
    let dir = dir();
    let dir = dir.path();
    let last = journal(dir, 2);
    snapshots(dir, &[last / 2]);
    let (beyond, end) = ((last + 1).to_string(), last.to_string());
    let to_file = |args: &[&'static str]| [&["replay"], args, &["--events", "range"]].concat();
    let usage: &[(&[&str], &str)] = &[
        (&["--from", "9", "--to", "8"], "--from 9 is behind --to 8"),
        (
            &["--from", "2026-01-02T00:00:00Z", "--to", "2026-01-01T00:00:00Z"],
            "is behind --to 2026",
        ),
        (&["--from", "100", "--to", "2020-01-01T00:00:00Z"], "--from 100 is behind --to 2020"),
        (&["--from", "2020-01-01T00:00:00Z", "--to", "0"], "is behind --to 0"),
        (&["--from", "tomorrow"], "write a sequence"),
    ];
    for (args, words) in usage {
        refused(dir, &to_file(args), 2, &[words]);
    }
    let ends = format!("the journal ends at sequence {last}, before ");
    let file = ["--events", "range"];
    for from in [&beyond, "18446744073709551615", "2500-01-01T00:00:00Z"] {
        let words = [ends.as_str(), from.split('Z').next().expect("a part")];
        refused(dir, &[&["replay", "--from", from], &file[..]].concat(), 1, &words);
    }
    let to = ["replay", "--from", &end, "--to", &beyond];
    refused(dir, &[&to[..], &file].concat(), 1, &[&ends, &beyond]);
    assert!(left(dir).is_empty(), "{:?}", left(dir));

    std::fs::write(dir.join("range"), "mine").expect("a writable directory");
    refused(dir, &to_file(&["--from", "9"]), 2, &["range exists already"]);
    assert_eq!(std::fs::read(dir.join("range")).expect("it is there"), b"mine");
    for path in ["missing/range-2", "range/range-2", ".."] {
        refused(dir, &["replay", "--events", path], 2, &[path]);
    }
    refused(dir, &["replay", "--events", "journal"], 2, &["journal exists already"]);
    assert_eq!(left(dir), ["range"]);
    refused(dir, &["replay", "--events", "/dev/full"], 2, &["/dev/full exists already"]);

    // A file that may not grow, as on a full disk: what was written of it is removed.
    let script = "trap '' XFSZ; ulimit -f 64; exec \"$0\" replay --events range-3";
    let mut command = std::process::Command::new("sh");
    let output =
        command.current_dir(dir).args(["-c", script, env!("CARGO_BIN_EXE_outcry")]).output();
    let output = output.expect("a shell");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("cannot write range-3"), "{}", stderr(&output));
    assert_eq!(left(dir), ["range"]);
}

#[test]
fn a_flipped_byte_of_either_log_is_found_wherever_the_replay_begins() {
    let seed = seed();
    let mut random = Random::new(seed);
    let dir = dir();
    let dir = dir.path();
    let last = journal(dir, seed);
    let taken = snapshots(dir, &[last / 2])[0];
    let from = (taken + 100).to_string();
    let replay = ["replay", "--from", &from, "--events", "range"];
    // Bytes of the last segment that both have in use, from the batch behind the snapshot on.
    let place = |log: &str| {
        let path = segments(dir, log)
            .into_iter()
            .rfind(|path| std::fs::read(path).expect("a segment")[PAGE..].starts_with(b"OUTCRYBA"));
        let path = path.expect("one is in use");
        let bytes = std::fs::read(&path).expect("a segment");
        let used = bytes.iter().rposition(|byte| *byte != 0).expect("it is in use");
        let mut at = PAGE;
        while number::<8>(&bytes, at + 72) <= taken {
            at += number::<4>(&bytes, at + 84) as usize;
        }
        // Up to the last batch, which may be torn; of the journal as far as that says that it is durable.
        let length = |at: usize| number::<4>(&bytes, at + 84) as usize;
        let mut final_batch = at;
        while final_batch + length(final_batch) < used {
            final_batch += length(final_batch);
        }
        let durable = match log {
            "commands" => number::<8>(&bytes, final_batch + 96),
            _ => u64::MAX,
        };
        let mut end = at;
        while end < final_batch && number::<8>(&bytes, end + 72) <= durable {
            end += length(end);
        }
        assert!(end > at, "there is more than one batch");
        (path, at as u64, end as u64)
    };
    for (log, words) in
        [("events", "the event log is damaged"), ("commands", "the journal is damaged")]
    {
        let (path, start, end) = place(log);
        // The first header behind the snapshot, and anything behind that.
        for number in 0..6 {
            let at = start + if number == 0 { 60 } else { random.below(end - start) };
            flip(&path, at);
            let output = outcry(dir, &replay);
            let text = stderr(&output);
            assert_eq!(output.status.code(), Some(1), "{log}, byte {at}: {text}");
            assert!(text.contains(words), "{log}, byte {at}: {text}");
            assert!(left(dir).is_empty(), "{:?}", left(dir));
            flip(&path, at);
        }
    }
    // The chain of headers leads to the batch behind the snapshot.
    let first = segments(dir, "events").into_iter().next().expect("a segment");
    flip(&first, PAGE as u64 + 60);
    let only = place("events").0 == first;
    if only {
        refused(dir, &replay, 1, &["the event log is damaged, or is not the one of the snapshot"]);
    }
    flip(&first, PAGE as u64 + 60);
    good(dir, &replay);
}

#[test]
fn what_only_the_hashes_tell_is_found_unless_they_are_left_out() {
    let dir = dir();
    let dir = dir.path();
    journal(dir, 1);
    let whole = good(dir, &["replay"]);
    assert_eq!(whole["verified"], "chain");
    // A byte of the last batch's first frame, before its own hash, with a CRC that fits.
    let mut changed = None;
    for path in segments(dir, "commands") {
        let bytes = std::fs::read(&path).expect("a segment");
        let mut at = PAGE;
        while bytes[at..].starts_with(b"OUTCRYBA") {
            let record = at + BATCH_HEADER;
            let hash = number::<2>(&bytes, record + 86) as usize;
            if hash > 0 {
                changed = Some((path.clone(), record, hash));
            }
            at += number::<4>(&bytes, at + 84) as usize;
        }
    }
    let (path, record, hash) = changed.expect("a frame");
    flip(&path, (record + hash - 1) as u64);
    let bytes = std::fs::read(&path).expect("a segment");
    let crc_at = record + number::<4>(&bytes, record) as usize - 8;
    let crc = openoutcry::checksum::crc64(&bytes[record..crc_at]).to_le_bytes();
    let file = std::fs::File::options().write(true).open(&path).expect("a file");
    file.write_all_at(&crc, crc_at as u64).expect("a writable file");

    refused(dir, &["replay"], 1, &["the journal is damaged", "the frame's SHA-256 does not match"]);
    let unproved = good(dir, &["replay", "--verify", "crc"]);
    assert_eq!(unproved["verified"], "crc");
    for field in ["state_hash", "sequence", "commands", "events_compared"] {
        assert_eq!(unproved[field], whole[field], "{field}");
    }
    flip(&path, crc_at as u64);
    refused(dir, &["replay", "--verify", "crc"], 1, &["the record's CRC-64 does not match"]);
}

#[test]
fn a_journal_whose_first_segments_are_gone_is_replayed_from_its_oldest_snapshot() {
    let dir = dir();
    let dir = dir.path();
    let last = journal(dir, 3);
    let (commands, events) = (batches(dir, "commands"), batches(dir, "events"));
    let whole = good(dir, &["replay"]);
    let gone = segments(dir, "commands").remove(0);
    let next = std::fs::read(&segments(dir, "commands")[1]).expect("a segment");
    let first = number::<8>(&next, 40);
    assert!(commands.iter().any(|batch| batch.first == first));
    let taken = snapshots(dir, &[first - 300, first + 300, last - 10]);
    std::fs::rename(&gone, dir.join("gone.seg")).expect("it is ours");
    let said = format!("the journal begins at sequence {first}");

    // The first snapshot is older than what is left of the journal.
    let begin = taken[1];
    let output = outcry(dir, &["replay", "--json"]);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains(&said) && text.contains(&begin.to_string()), "{text}");
    let shown: Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert_eq!(
        (&shown["snapshot_sequence"], &shown["first_sequence"]),
        (&begin.into(), &(begin + 1).into())
    );
    assert_eq!(
        (&shown["state_hash"], &shown["records"]),
        (&whole["state_hash"], &(last - begin).into())
    );

    let from = (last - 5).to_string();
    let newest = good(dir, &["replay", "--from", &from, "--events", "range"]);
    assert_eq!(
        (&newest["snapshot_sequence"], &newest["state_hash"]),
        (&taken[2].into(), &whole["state_hash"])
    );
    assert!(std::fs::read(dir.join("range")).expect("a file") == cut(&events, last - 5, last));
    let early = (first + 1).to_string();
    refused(dir, &["replay", "--from", "5"], 1, &["sequence 5 is gone", &first.to_string()]);
    refused(dir, &["replay", "--from", &early], 1, &[&said, "no sound snapshot before", &early]);
    refused(dir, &["replay", "--to", &early], 1, &[&said, &begin.to_string(), &early]);

    // The event log may begin later still: it is compared from there on.
    let events_gone = segments(dir, "events").remove(0);
    let next = std::fs::read(&segments(dir, "events")[1]).expect("a segment");
    let begins = number::<8>(&next, 40);
    std::fs::rename(&events_gone, dir.join("events-gone.seg")).expect("it is ours");
    let shown = good(dir, &["replay", "--events", "range-2"]);
    assert_eq!(shown["state_hash"], whole["state_hash"]);
    let compared = events.iter().filter(|batch| batch.first >= begins.max(begin + 1));
    assert_eq!(shown["events_compared"], compared.map(|batch| batch.rows.len()).sum::<usize>());
    assert!(std::fs::read(dir.join("range-2")).expect("a file") == cut(&events, begin + 1, last));

    for sequence in &taken {
        flip(&snapshot(dir, *sequence), 5000);
    }
    let named = format!("{:020}.snap cannot be used", taken[2]);
    refused(dir, &["replay"], 1, &[&said, "no sound snapshot", &named]);
    refused(dir, &["replay", "--from", &from], 1, &[&said, "no sound snapshot", &named]);
}

#[test]
fn a_replay_beside_a_running_node_begins_with_a_snapshot_too() {
    let dir = dir();
    let node = Served::start(dir.path(), &[]);
    let dir = dir.path();
    let load = ["load", "--connections", "4", "--window", "16", "--commands", "3000"];
    good(dir, &load);
    let taken = good(dir, &["snapshot", "take"])["sequence"].as_u64().expect("a sequence");
    good(dir, &load);
    let from = (taken + 1).to_string();
    let shown = good(dir, &["replay", "--from", &from, "--events", "range"]);
    assert_eq!(
        (&shown["node_running"], &shown["snapshot_sequence"]),
        (&true.into(), &taken.into())
    );
    let to = shown["sequence"].as_u64().expect("a sequence");
    assert!(to > taken);
    let far = (to + 1_000_000).to_string();
    refused(dir, &["replay", "--from", &far], 1, &["not known to be durable"]);
    node.stop();
    let whole = good(dir, &["replay", "--to", &to.to_string()]);
    assert_eq!(whole["state_hash"], shown["state_hash"]);
    let written = std::fs::read(dir.join("range")).expect("a file");
    assert!(written == cut(&batches(dir, "events"), taken + 1, to));
}

/// Sells `count` times a thousandth, and then buys `buy` thousandths at once.
fn sell(dir: &Path, count: u64, buy: u64) {
    let mut text = "action,account,symbol,side,price,quantity\n".to_owned();
    for _ in 0..count {
        text.push_str("new,3,BTC-USDT,sell,100,0.001\n");
    }
    if buy > 0 {
        text.push_str(&format!("new,2,BTC-USDT,buy,100,{}.{:03}\n", buy / 1000, buy % 1000));
    }
    std::fs::write(dir.join("sell.csv"), text).expect("a writable directory");
    let node = Served::start(dir, &[]);
    good(dir, &["order", "file", "sell.csv"]);
    node.stop();
}

#[test]
fn a_batch_of_events_in_parts_is_written_whole_and_one_whose_begin_is_gone_is_not_compared() {
    const PART: u64 = 2 << 20;
    const SEGMENT: u64 = 8 << 20;
    const FILLS: u64 = 15_000;
    let dir = dir();
    let dir = dir.path();
    // So many orders that the first part of the last one's events just fits into the first segment.
    sell(dir, FILLS, 0);
    let used = |dir: &Path| cut(&batches(dir, "events"), 1, u64::MAX).len() as u64;
    let each = used(dir) / FILLS;
    let target = SEGMENT - PART - PART / 20;
    sell(dir, (target - used(dir)) / each - 500, 0);
    sell(dir, (target - used(dir)) / each, FILLS);
    let [_, second] = &segments(dir, "events")[..2] else { panic!("two segments") };
    let second = std::fs::read(second).expect("a segment");
    assert_eq!(number::<2>(&second, 14), 1, "the second segment goes on with a batch");

    let events = batches(dir, "events");
    let last = events.last().expect("there are some").last;
    let whole = good(dir, &["replay", "--events", "range"]);
    assert_eq!(whole["events_compared"], whole["events"]);
    let file = std::fs::read(dir.join("range")).expect("a file");
    assert!(file == cut(&events, 1, last));
    let parts = events.iter().position(|batch| batch.bytes.len() as u64 > PART).expect("one");
    assert_eq!(whole["events_file"]["batches"], events.len() + 1);

    std::fs::remove_file(&segments(dir, "events")[0]).expect("it is ours");
    let shown = good(dir, &["replay", "--events", "range-2"]);
    let behind = events[parts + 1..].iter().map(|batch| batch.rows.len()).sum::<usize>();
    assert_eq!(shown["events_compared"], behind);
    assert!(std::fs::read(dir.join("range-2")).expect("a file") == file);
}
