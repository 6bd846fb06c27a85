//! A command that ends every recovery is named, and an operator can set it aside.

use crate::support::{Served, dir, good, json, outcry, refused, stderr};
use openoutcry::journal::quarantine::Quarantined;
use openoutcry::journal::reader::Reader;
use openoutcry::journal::recovery::recover;
use openoutcry::journal::view::Verify;
use openoutcry::node::boot::Logs;
use openoutcry::node::poison::quarantine;
use openoutcry::sys::disk::Disk;
use openoutcry::sys::storage::Append;
use openoutcry::types::{KeyId, Sequence, TimeNs};
use std::path::Path;

/// Enters an order with this number of the client's; its sequence.
fn order(dir: &Path, number: u64) -> u64 {
    let number = number.to_string();
    let words = ["order", "new", "--account", "2", "--symbol", "BTC-USDT", "--side", "buy"];
    let more = ["--price", "100", "--quantity", "1", "--client-order-id", &number];
    let answer = good(dir, &[&words[..], &more].concat());
    answer["sequence"].as_u64().expect("a sequence")
}

/// A journal of three orders that nobody has the events of, as where applying the second has ended the
/// process that took them; the second's sequence.
fn poisoned(dir: &Path) -> u64 {
    let node = Served::start(dir, &[]);
    let sequences = [1, 2, 3].map(|number| order(dir, number));
    node.kill();
    std::fs::remove_dir_all(dir.join("journal/events")).expect("it is ours");
    sequences[1]
}

#[test]
fn a_command_that_ends_recovery_twice_is_named_and_can_be_set_aside() {
    if !cfg!(debug_assertions) {
        eprintln!("SKIPPED: a release build panics for no test");
        return;
    }
    let dir = dir();
    let dir = dir.path();
    let poison = poisoned(dir);
    let marker = dir.join("journal/poison.json");
    let number = poison.to_string();
    let bad = [("TEST_PANIC_AT", number.as_str())];
    let quarantine = ["journal", "quarantine", &number];
    let before = json(dir, &["journal", "verify", "--log", "commands"], 0);
    refused(dir, &quarantine, 1, &["no recovery of this release has ended at record"]);

    // What ended recovery once elsewhere does not count.
    let other = (poison - 1).to_string();
    let (status, log) = Served::refused(dir, &[], &[("TEST_PANIC_AT", &other)]);
    assert!(status != 0 && status != 27, "{status}: {log}");
    for _ in 0..2 {
        let (status, log) = Served::refused(dir, &[], &bad);
        assert!(status != 0 && status != 27, "{status}: {log}");
        assert!(log.contains(&format!("applying record {poison} has ended recovery")), "{log}");
        assert!(marker.exists(), "{log}");
    }
    for env in [&bad[..], &[]] {
        let (status, log) = Served::refused(dir, &[], env);
        assert_eq!(status, 27, "{log}");
        assert!(log.contains(&format!("outcry journal quarantine {poison}")), "{log}");
    }
    assert_eq!(
        json(dir, &["journal", "verify", "--log", "commands"], 0),
        before,
        "nothing was changed so far"
    );

    let made = outcry(dir, &["keygen", "--role", "operator", "stranger.key"]);
    assert!(made.status.success(), "{}", stderr(&made));
    let stranger = [&quarantine[..], &["--key", "stranger.key"]].concat();
    refused(dir, &stranger, 3, &["was no operator's"]);
    refused(dir, &["journal", "quarantine", &other], 1, &["no recovery of this release"]);
    let done = good(dir, &quarantine);
    assert_eq!(done["quarantined"], poison);

    refused(dir, &quarantine, 1, &["is set aside already"]);
    let node = Served::start_with(dir, &[], &bad);
    assert!(!marker.exists(), "recovery has succeeded");
    let account = good(dir, &["account", "2"]);
    let orders = account["orders"].as_array().expect("orders");
    let ids: Vec<u64> =
        orders.iter().map(|order| order["client_order_id"].as_u64().expect("a number")).collect();
    assert_eq!(ids, [1, 3], "{account}");
    order(dir, 4);
    let stopped = node.stop();
    let replayed = good(dir, &["replay"]);
    assert_eq!(replayed["state_hash"], stopped["state_hash"], "{replayed}");
    // A snapshot before the command knows nothing of the record behind it that sets it aside.
    let before = (poison - 1).to_string();
    let taken = good(dir, &["snapshot", "take", "--to", &before]);
    let behind = good(dir, &["replay", "--from", &number]);
    assert_eq!(behind["snapshot_sequence"], taken["sequence"], "{behind}");
    assert_eq!(behind["state_hash"], stopped["state_hash"], "{behind}");
    let range = ["journal", "dump", "--log", "events", "--from", &number, "--to", &number];
    let events = json(dir, &range, 0);
    assert_eq!(events[0]["reject_reason"], "Quarantined", "{events:?}");
    Served::start(dir, &[]).stop();
}

#[test]
fn a_quarantine_that_no_operator_has_signed_is_refused() {
    let dir = dir();
    let dir = dir.path();
    let target = poisoned(dir);
    let data = dir.join("journal");
    let logs = Logs::new(&Disk::shared(), &data, Append::Write, 8 << 20, 1);
    let recovered = recover(&logs.commands, Sequence(1), &mut |_| ()).expect("it is sound");
    let mut reader = Reader::new(logs.commands.clone(), Sequence(target), Verify::Crc);
    let record = reader.next_record(recovered.tip.sequence).expect("sound").expect("there");
    assert_eq!(record.sequence(), Sequence(target));
    let payload = Quarantined::unsigned(&record);
    quarantine(&logs, &recovered, KeyId(1), &payload, TimeNs(0)).expect("the disk works");
    let (status, log) = Served::refused(dir, &[], &[]);
    assert_eq!(status, 12, "{log}");
    assert!(log.contains(&format!("sets command {target} aside without the signature")), "{log}");
}
