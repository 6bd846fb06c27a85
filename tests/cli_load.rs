//! `load` against a real node, and against one that stops.

use crate::support::mute::{self, Then};
use crate::support::{Served, dir, good, outcry};
use serde_json::{Value, json};

fn number(result: &Value, name: &str) -> f64 {
    result[name].as_f64().unwrap_or_else(|| panic!("{name} is no number: {result}"))
}

#[test]
fn a_rate_is_what_was_acknowledged_over_the_time_it_took() {
    let dir = dir();
    let node = Served::start(dir.path(), &[]);
    // All commands of a short run may be answered at once: there are no two answers to measure between.
    for (commands, connections, measured) in
        [("1", "1", 1.0), ("20", "1", 18.0), ("200", "8", 180.0)]
    {
        let load = ["load", "--commands", commands, "--connections", connections];
        let result = good(dir.path(), &load);
        assert_eq!(result["sent"].to_string(), commands);
        let (rate, seconds) = (number(&result, "orders_per_s"), number(&result, "seconds"));
        assert!((rate * seconds - measured).abs() < 1e-6, "{result}");
        // No command can take longer than all of them (the histogram keeps three digits).
        let slowest = number(&result["latency_us"], "max");
        assert!(slowest > 0.0 && seconds * 1e6 > slowest * 0.99, "{result}");
        assert_eq!(result["rate_missed"], Value::Null);
        assert!(result["measured"].as_str().expect("text").contains("closed loop"), "{result}");
    }
    node.stop();
}

#[test]
fn a_rate_that_is_missed_is_told_and_what_was_due_is_counted() {
    let dir = dir();
    let node = Served::start(dir.path(), &["--set", "ack.policy=memory"]);
    let one = ["load", "--connections", "1", "--window", "1", "--rate", "10000000"];
    // Five microseconds are over long before, and yet everything is sent.
    let late = good(dir.path(), &[&one[..], &["--commands", "50"]].concat());
    assert_eq!((&late["acknowledged"], &late["unsent"]), (&50.into(), &0.into()));
    assert_eq!(
        (&late["rate_asked_per_s"], &late["rate_missed"]),
        (&10_000_000.into(), &true.into())
    );
    assert!(number(&late, "rate_reached_per_s") < 9e6, "{late}");
    assert!(late["measured"].as_str().expect("text").contains("open loop"), "{late}");

    // One at a time cannot reach it: the rest is told when the time for being late is over.
    let never = good(dir.path(), &[&one[..], &["--seconds", "1"]].concat());
    assert_eq!(number(&never, "sent") + number(&never, "unsent"), 1e7, "{never}");
    assert!(number(&never, "unsent") > 0.0, "{never}");
    assert_eq!(never["acknowledged"], never["sent"]);
    assert_eq!(never["rate_missed"], true);

    let slow = ["load", "--connections", "1", "--rate", "50", "--commands", "5"];
    let text = outcry(dir.path(), &slow).stdout;
    assert!(!String::from_utf8_lossy(&text).contains("missed"));
    let missed = outcry(dir.path(), &[&one[..], &["--commands", "50"]].concat()).stdout;
    let missed = String::from_utf8_lossy(&missed).into_owned();
    assert!(missed.contains("the rate was missed: 10000000/s asked"), "{missed}");
    node.stop();
}

#[test]
fn a_node_that_stops_leaves_the_result_so_far_and_status_3() {
    let dir = dir();
    good(dir.path(), &["keygen", "any.key"]);
    let address = mute::server(Then::Gone);
    let load = ["load", "--connections", "1", "--window", "4", "--key", "any.key"];
    let output = outcry(dir.path(), &[&load[..], &["--connect", &address, "--json"]].concat());
    assert_eq!(output.status.code(), Some(3));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("the connection was lost"), "{told}");
    let result: Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert_eq!(result["acknowledged"], 0);
    assert!(number(&result, "unanswered") > 0.0, "{result}");
    assert_eq!(result["unanswered"], result["sent"]);
    assert_eq!(result["rejected"], json!({}));
    let help = outcry(dir.path(), &["load", "--help"]).stdout;
    assert!(String::from_utf8_lossy(&help).contains("default: 5, unless --commands"));
}
