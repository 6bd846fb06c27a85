//! `outcry snapshot` on the files of a real node, running and stopped.

use crate::support::{Served, dir, good, json, outcry, refused};
use serde_json::Value;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Orders that rest, trade and are cancelled, and the same again.
fn trade(dir: &Path) {
    let mut text =
        "action,account,symbol,side,price,quantity,orig_client_order_id,client_order_id\n"
            .to_owned();
    for number in 1..=60 {
        let (side, account) = if number % 2 == 0 { ("buy", 2) } else { ("sell", 3) };
        let price = 100 + number % 7;
        text.push_str(&format!("new,{account},BTC-USDT,{side},{price},0.{number},,\n"));
    }
    std::fs::write(dir.join("trade.csv"), text).expect("a writable directory");
    let sent = outcry(dir, &["order", "file", "trade.csv"]);
    assert!(matches!(sent.status.code(), Some(0 | 1)));
}

/// The file that a row names, relative to where the command ran.
fn path(dir: &Path, row: &Value) -> PathBuf {
    dir.join(row["file"].as_str().expect("a path"))
}

fn damage(path: &Path, at: u64) {
    let file = std::fs::File::options().read(true).write(true).open(path).expect("a snapshot");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("it is as long");
    file.write_all_at(&[byte[0] ^ 1], at).expect("a writable file");
}

/// Rows of `snapshot list`, without the count that ends them.
fn listed(dir: &Path) -> Vec<Value> {
    let mut rows = json(dir, &["snapshot", "list"], 0);
    let end = rows.pop().expect("the list ends");
    assert_eq!(end["count"], rows.len());
    rows
}

#[test]
fn a_snapshot_is_taken_beside_a_running_node_and_is_what_a_replay_gives() {
    let dir = dir();
    let node = Served::start(dir.path(), &[]);
    let dir = dir.path();
    refused(dir, &["snapshot", "verify"], 1, &["there is no snapshot in journal/snapshots"]);
    assert!(listed(dir).is_empty());
    trade(dir);
    let first = good(dir, &["snapshot", "take"]);
    assert_eq!(
        (&first["node_running"], &first["known"]),
        (&Value::Bool(true), &Value::Bool(false))
    );
    assert_eq!((&first["from"], &first["records"]), (&0.into(), &first["sequence"]));
    trade(dir);
    let second = good(dir, &["snapshot", "take"]);
    assert_eq!(second["from"], first["sequence"]);
    let sequence = second["sequence"].to_string();
    assert!(second["sequence"].as_u64() > first["sequence"].as_u64());
    node.stop();
    let replayed = good(dir, &["replay", "--to", &sequence]);
    assert_eq!(replayed["state_hash"], second["state_hash"]);
    let rows = listed(dir);
    let files: Vec<&Value> = rows.iter().map(|row| &row["file"]).collect();
    assert_eq!(files, [&first["file"], &second["file"]]);
    assert_eq!(rows[1]["state_hash"], second["state_hash"]);
    assert_eq!(rows[1]["fault"], Value::Null);

    let verified = json(dir, &["snapshot", "verify", "--replay"], 0);
    let result = verified.last().expect("the result comes last");
    assert_eq!((&result["ok"], &result["snapshots"]), (&Value::Bool(true), &2.into()));
    assert_eq!(result["replayed"], true);
    let one = json(dir, &["snapshot", "verify", &sequence], 0);
    assert_eq!((one.len(), &one[0]["sequence"]), (2, &second["sequence"]));
    refused(dir, &["snapshot", "verify", "1"], 1, &["of sequence 1"]);
}

#[test]
fn a_fold_for_a_node_that_is_not_its_parent_is_refused() {
    let dir = dir();
    Served::start(dir.path(), &[]).stop();
    let args = ["snapshot", "fold", "--data-dir", "journal", "--keep", "3", "--parent"];
    let own = std::process::id();
    let told = |parent: u32, status| {
        json(dir.path(), &[&args[..], &[&parent.to_string()]].concat(), status)
    };
    assert!(told(own + 1, 1).is_empty());
    // Genesis says nothing of its own sync; the next records say so of it.
    let node = Served::start(dir.path(), &[]);
    trade(dir.path());
    node.stop();
    assert!(listed(dir.path()).is_empty());
    let done = told(own, 0);
    assert!(done[0]["Done"]["sequence"].as_u64() > Some(0), "{done:?}");
    assert_eq!(listed(dir.path()).len(), 1);
    assert_eq!(told(own, 0), ["Nothing"]);
}

#[test]
fn a_damaged_snapshot_is_told_passed_over_and_does_not_count() {
    let dir = dir();
    let node = Served::start(dir.path(), &[]);
    trade(dir.path());
    node.stop();
    let dir = dir.path();
    let keep = ["--set", "snapshots.keep=1"];
    let at = |to: &'static str| [&["snapshot", "take", "--to", to], &keep[..]].concat();
    refused(dir, &at("3"), 1, &["no batch of the journal ends at or before sequence 3"]);
    let first = good(dir, &at("100"));
    let second = good(dir, &[&at("100")[..2], &keep].concat());
    assert_eq!(second["removed"], 1, "only one is kept: {second}");
    assert!(path(dir, &second).exists());
    assert!(!path(dir, &first).exists());
    damage(&path(dir, &second), 300);
    let [row, result] = &json(dir, &["snapshot", "verify"], 1)[..] else { panic!("two lines") };
    assert_eq!((&row["ok"], &result["ok"]), (&Value::Bool(false), &Value::Bool(false)));
    let fault = "the SHA-256 of its body does not match; section genesis is damaged";
    assert_eq!(row["fault"], fault);
    refused(dir, &["snapshot", "verify"], 1, &["1 snapshot is not sound"]);
    let again = good(dir, &[&["snapshot", "take"][..], &keep].concat());
    assert_eq!((&again["from"], &again["sequence"]), (&0.into(), &second["sequence"]));
    assert_eq!(again["skipped"][0]["fault"], fault);
    assert_eq!(again["state_hash"], second["state_hash"]);
    json(dir, &["snapshot", "verify", "--replay"], 0);
    let last = good(dir, &["journal", "info"])["logs"][0]["last_sequence"].as_u64().expect("one");
    let behind = (last + 1).to_string();
    refused(dir, &["snapshot", "take", "--to", &behind], 1, &["the journal ends at sequence"]);
}
