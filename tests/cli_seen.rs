//! `outcry lanes` and `outcry top` against a running node.

use crate::support::{Served, dir, good, json, outcry, refused, stderr};

const HTTP: &[&str] = &["--set", "admin.http.listen=127.0.0.1:0"];

#[test]
fn lanes_has_a_row_for_every_lane_and_queue() {
    let dir = dir();
    let node = Served::start(dir.path(), HTTP);
    let order = ["order", "deposit", "--account", "2", "--asset", "BTC", "--amount", "1"];
    let sequence = good(dir.path(), &order)["sequence"].clone();
    let rows = json(dir.path(), &["lanes"], 0);
    assert_eq!(rows.len(), 9);
    let lanes: Vec<_> = rows.iter().filter_map(|row| row["lane"].as_str()).collect();
    assert_eq!(lanes, ["critical", "normal", "batch"]);
    let queues: Vec<_> = rows.iter().filter_map(|row| row["queue"].as_str()).collect();
    assert_eq!(queues, ["critical", "high", "normal", "low", "batch"]);
    assert!(rows[0]["applied"].as_u64() >= sequence.as_u64(), "{}", rows[0]);
    for field in ["depth", "in_flight", "rate_per_s", "batch_max", "lag", "load"] {
        assert!(rows[0][field].is_number(), "{field}: {}", rows[0]);
    }
    assert_eq!(rows[0]["batch_max"], 16);
    assert!(rows[5]["taken"].as_u64() >= Some(1), "{}", rows[5]);
    assert_eq!(rows[8]["count"], 8);

    let output = outcry(dir.path(), &["lanes"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.starts_with("LANE "), "{text}");
    assert!(text.contains("BATCH MAX"), "{text}");
    let address = node.ready["http"].as_str().expect("an address");
    let elsewhere = crate::support::dir();
    assert_eq!(json(elsewhere.path(), &["lanes", "--http", address], 0).len(), 9);
}

#[test]
fn top_without_a_terminal_is_one_look() {
    let dir = dir();
    let _node = Served::start(dir.path(), HTTP);
    let output = outcry(dir.path(), &["top"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for word in ["LANE", "QUEUE", "LATENCY", "gate wait", "sessions 0", "policy disk"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(!text.contains('\x1b'), "no codes of a terminal: {text:?}");
    let looks = json(dir.path(), &["top", "--count", "2"], 0);
    assert_eq!(looks.len(), 2);
    assert_eq!(looks[1]["state"], "ok");
    assert!(looks[1]["answer_us"].is_object(), "{}", looks[1]);
}

#[test]
fn a_node_without_figures_says_which_key_to_set() {
    let dir = dir();
    refused(dir.path(), &["lanes"], 3, &["no node is running here", "--http"]);
    let _node = Served::start(dir.path(), &[]);
    for command in ["lanes", "top"] {
        refused(dir.path(), &[command], 3, &["admin.http.listen is \"off\"", "--set"]);
    }
    refused(dir.path(), &["lanes", "--http", "127.0.0.1:1"], 3, &["http://127.0.0.1:1/lanes"]);
}
