//! `keys` and `lanes` against a real node.

use crate::support::{Served, dir, good, json, refused};
use serde_json::{Value, json};
use std::path::Path;

fn run(dir: &Path, line: &str, status: i32) -> Value {
    json(dir, &line.split(' ').collect::<Vec<_>>(), status).pop().unwrap_or_default()
}

fn keys(dir: &Path) -> Vec<Value> {
    let mut rows = json(dir, &["keys", "list"], 0);
    let last = rows.pop().expect("a last line");
    assert_eq!(last, json!({ "count": rows.len(), "next": null }));
    rows
}

#[test]
fn an_operator_adds_entitles_binds_disables_and_enables_a_key() {
    let dir = dir();
    let node = Served::start(dir.path(), &[]);
    let here = dir.path();
    let made = good(here, &["keygen", "--role", "trade", "trader.key"]);
    let public = made["public_key"].as_str().expect("text");
    let added = run(here, &format!("keys add {public} --account 2"), 0);
    assert_eq!((&added["status"], &added["reject_reason"]), (&json!("done"), &Value::Null));
    assert!(added["sequence"].as_u64() > Some(0), "{added}");
    let again = run(here, &format!("keys add {public}"), 1);
    assert_eq!(again["reject_reason"], "DuplicateKey");

    let deposit = "order deposit --account 2 --asset BTC --amount 1 --key trader.key";
    assert_eq!(run(here, deposit, 3)["reject_reason"], "NotEntitled");
    let order = "order new --symbol BTC-USDT --side buy --price 1 --quantity 1 --key trader.key";
    assert_eq!(run(here, &format!("{order} --account 2"), 0)["status"], "pending");
    run(here, &format!("keys accounts {public} 3 4"), 0);
    assert_eq!(run(here, &format!("{order} --account 2"), 3)["reject_reason"], "NotEntitled");
    run(here, "keys entitle 2 --priority critical", 0);
    run(here, "keys entitle 2 --critical-per-s 5", 0);
    run(here, "keys disable 2", 0);
    let row = json!({
        "key": 2, "public_key": public, "role": "trade", "accounts": [3, 4], "account_count": 2,
        "priority": "critical", "critical_per_s": 5, "active": false
    });
    assert_eq!(keys(here)[1], row);
    refused(
        here,
        &format!("{order} --account 3").split(' ').collect::<Vec<_>>(),
        3,
        &["LogonRefused"],
    );
    run(here, "keys enable 2", 0);
    assert_eq!(run(here, &format!("{order} --account 3"), 0)["status"], "pending");
    refused(here, &["keys", "list", "--key", "trader.key"], 3, &["NotEntitled"]);
    refused(here, &["keys", "disable", "1"], 1, &["LastOperator"]);
    refused(here, &["keys", "enable", &"ef".repeat(32)], 1, &["is no key of the venue"]);
    node.stop();

    // What differs from the file names the command.
    let node = Served::start(dir.path(), &[]);
    let log = std::fs::read_to_string(here.join("serve.log")).expect("its stderr");
    assert!(log.contains("until `outcry keys disable 2` ends its rights"), "{log}");
    assert_eq!(keys(here).len(), 2);
    node.stop();
}

#[test]
fn lanes_and_shares_are_set_within_their_bounds() {
    let dir = dir();
    let node = Served::start(dir.path(), &[]);
    let here = dir.path();
    assert_eq!(run(here, "lanes set normal --max-batch 64", 0)["status"], "done");
    let share = "lanes share --one-in 16 --message-id once --timestamp-ms";
    let share = format!("{share} {}", node.ready["sequence"].as_u64().expect("a number") + 1);
    let first = run(here, &share, 0);
    let again = run(here, &share, 0);
    assert_eq!((&first["duplicate"], &again["duplicate"]), (&json!(false), &json!(true)));
    assert_eq!(first["sequence"], again["sequence"]);
    refused(here, &["lanes", "set", "normal", "--max-batch", "0"], 2, &["1 to 1024, not 0"]);
    refused(here, &["lanes", "share", "--one-in", "257"], 2, &["1 to 256, not 257"]);
    refused(here, &["lanes", "set", "fast", "--max-batch", "1"], 2, &["critical, normal or batch"]);
    let stopped = node.stop();
    assert_eq!(good(here, &["replay"])["state_hash"], stopped["state_hash"]);
}
