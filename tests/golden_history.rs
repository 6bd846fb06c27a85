//! A journal that can be replayed and its snapshot, as the released format has them: newer code opens
//! both, and finds the state that was written.
//!
//! `journal_format` has the golden journal with every kind of record, whose payloads mean nothing.

use crate::snapshot::History;
use crate::support::{dir, good, json};
use openoutcry::journal::format::{LogKind, SEGMENT_HEADER_SIZE, SegmentHeader, used_length};
use openoutcry::journal::segment::LogDir;
use openoutcry::snapshot::fold::fold_stopped;
use openoutcry::snapshot::store::Store;
use openoutcry::sys::disk::Disk;
use openoutcry::sys::storage::Append;
use openoutcry::types::Sequence;
use serde_json::{Value, json};
use std::fmt::Write;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Batches of the history, and the one after which its snapshot was taken.
const BATCHES: usize = 16;
const FOLDED: usize = 11;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/history-v1").join(name)
}

fn hex(bytes: &[u8]) -> String {
    bytes.chunks(32).fold(String::new(), |mut text, line| {
        line.iter().for_each(|byte| write!(text, "{byte:02x}").expect("a string takes it"));
        text + "\n"
    })
}

fn unhex(name: &str) -> Vec<u8> {
    let path = golden(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let digits: String = text.split_whitespace().collect();
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex");
    (0..digits.len()).step_by(2).map(byte).collect()
}

fn expected() -> Value {
    let text = fs::read_to_string(golden("expected.json")).expect("it is there");
    serde_json::from_str(&text).expect("JSON")
}

/// Writes the golden files of a format anew.
fn write() {
    let history = History::new(20, BATCHES);
    let (folded, hash, _) = &history.batches[FOLDED];
    let (last, last_hash, _) = history.batches.last().expect("batches");
    let files = history.disk.files();
    let used: Vec<_> = files.iter().filter(|(_, bytes)| used_length(bytes) > 0).collect();
    let [(_, segment)] = used[..] else { panic!("it fits into one segment") };
    let snapshot = history.snapshot(*folded).encode();
    fs::create_dir_all(golden("")).expect("the disk works");
    let files = [
        ("commands-0000000000.hex", hex(&segment[..used_length(segment)])),
        ("snapshot.hex", hex(&snapshot)),
        (
            "expected.json",
            format!(
                "{:#}\n",
                json!({
                    "sequence": last.0,
                    "state_hash": last_hash,
                    "snapshot_sequence": folded.0,
                    "snapshot_state_hash": hash,
                })
            ),
        ),
    ];
    for (name, text) in files {
        fs::write(golden(name), text).expect("the disk works");
    }
}

/// Lays the golden files out as a data directory; with the snapshot or without.
fn unpack(dir: &Path, with_snapshot: bool) {
    let mut bytes = unhex("commands-0000000000.hex");
    let padded = [bytes.clone(), vec![0; SEGMENT_HEADER_SIZE]].concat();
    let header = SegmentHeader::parse(&padded).expect("its header is sound");
    bytes.resize(header.segment_size.get() as usize, 0);
    fs::create_dir_all(dir.join("commands")).expect("the disk works");
    fs::write(dir.join("commands/0000000000.seg"), bytes).expect("the disk works");
    if with_snapshot {
        let sequence = Sequence(expected()["snapshot_sequence"].as_u64().expect("a number"));
        let path = Store::new(Disk::shared(), dir).path(sequence);
        fs::create_dir_all(path.parent().expect("a directory")).expect("the disk works");
        fs::write(path, unhex("snapshot.hex")).expect("the disk works");
    }
}

fn journal(dir: &Path) -> LogDir {
    LogDir::new(Disk::shared(), dir, LogKind::Commands, Append::Write, 64 * 1024)
}

/// To write the golden files of a new format: `GOLDEN_WRITE=1 cargo test golden`, and give them a
/// directory of their own.
#[test]
fn folding_the_golden_history_gives_the_golden_snapshot_byte_for_byte() {
    if std::env::var_os("GOLDEN_WRITE").is_some() {
        write();
    }
    let (dir, expected) = (dir(), expected());
    unpack(dir.path(), false);
    let store = Store::new(Disk::shared(), dir.path());
    let at = Sequence(expected["snapshot_sequence"].as_u64().expect("a number"));
    let go_on = &mut |_| ControlFlow::Continue(());
    let folded = fold_stopped(&journal(dir.path()), &store, Some(at), 1, go_on).expect("it folds");
    assert_eq!(folded.sequence, at);
    let written = fs::read(folded.path).expect("it was written");
    assert!(written == unhex("snapshot.hex"), "the format has changed without a new version");
}

#[test]
fn the_golden_snapshot_of_version_1_opens_and_the_journal_goes_on_from_it() {
    let (dir, expected) = (dir(), expected());
    unpack(dir.path(), true);
    let store = Store::new(Disk::shared(), dir.path());
    let (sequence, path) = store.list().expect("it lists").pop().expect("the golden one");
    assert_eq!(expected["snapshot_sequence"], sequence.0);
    let (snapshot, _) = store.read(sequence, &path).expect("it is sound");
    snapshot.audit();
    assert_eq!(expected["snapshot_state_hash"], snapshot.state.hash());
    let go_on = &mut |_| ControlFlow::Continue(());
    let folded = fold_stopped(&journal(dir.path()), &store, None, 2, go_on).expect("it folds");
    assert_eq!((folded.from, folded.skipped.len()), (sequence, 0));
    assert_eq!(expected["sequence"], folded.sequence.0);
    let (snapshot, _) = store.read(folded.sequence, &folded.path).expect("it is sound");
    assert_eq!(expected["state_hash"], snapshot.state.hash());
}

#[test]
fn the_golden_history_is_verified_and_replayed_by_the_tools() {
    let (dir, expected) = (dir(), expected());
    let data = dir.path().join("data");
    unpack(&data, true);
    let data = data.to_str().expect("a path of ours");
    let verified = good(dir.path(), &["journal", "verify", "--data-dir", data]);
    assert_eq!(verified["last_sequence"], expected["sequence"], "{verified}");
    let replayed = good(dir.path(), &["replay", "--data-dir", data]);
    assert_eq!(replayed["sequence"], expected["sequence"]);
    assert_eq!(replayed["state_hash"], expected["state_hash"]);
    let to = expected["snapshot_sequence"].to_string();
    let part = good(dir.path(), &["replay", "--data-dir", data, "--to", &to]);
    assert_eq!(part["state_hash"], expected["snapshot_state_hash"]);
    let rows = json(dir.path(), &["snapshot", "verify", "--replay", "--data-dir", data], 0);
    assert_eq!(rows.last().expect("a result")["ok"], true);
}
