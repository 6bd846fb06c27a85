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

#[test]
fn idle_sessions_stay_and_orders_go_on_beside_them() {
    let idle = std::env::var("IDLE_CONNECTIONS").unwrap_or_else(|_| "500".to_owned());
    let count: u64 = idle.parse().expect("IDLE_CONNECTIONS is a number");
    let dir = dir();
    // So short that every idle session has to ping several times.
    let node = Served::start(dir.path(), &["--set", "gateway.idle_timeout_ms=1000"]);
    let load = ["load", "--connections", "1", "--window", "4", "--seconds", "4", "--idle", &idle];
    let result = good(dir.path(), &[&load[..], &["--from-addresses", "4"]].concat());
    println!("{result}");
    assert_eq!((&result["idle_connections"], &result["idle_lost"]), (&count.into(), &0.into()));
    assert!(number(&result, "acknowledged") > 0.0, "{result}");
    assert_eq!(result["acknowledged"], result["sent"]);
    let each = number(&result, "server_bytes_per_idle_connection");
    // Whatever else the node needs meanwhile is in it, which counts more where they are few.
    assert!(count < 5000 || each <= 4096.0, "{each} bytes for an idle session");
    node.stop();
    let rows = crate::support::json(dir.path(), &["audit"], 0);
    let logons = rows.iter().filter(|row| row["kind"] == "session-logon");
    let mut sessions: Vec<_> = logons.filter_map(|row| row["session"].as_u64()).collect();
    sessions.sort_unstable();
    sessions.dedup();
    assert_eq!(sessions.len() as u64, count + 1, "each has a session of its own");
}

#[test]
fn hostile_connections_are_closed_and_come_again_and_orders_go_on() {
    for kind in ["garbage", "trickle", "silent"] {
        let dir = dir();
        let node = Served::start(dir.path(), &["--set", "gateway.logon_timeout_ms=500"]);
        let sockets = || {
            let open = std::fs::read_dir(format!("/proc/{}/fd", node.pid())).expect("it runs");
            let what = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
            what.filter(|what| what.to_string_lossy().starts_with("socket:")).count()
        };
        let before = sockets();
        let load = ["load", "--connections", "2", "--window", "4", "--seconds", "3"];
        let hostile = ["--hostile", kind, "--hostile-connections", "20"];
        let result = good(dir.path(), &[&load[..], &hostile].concat());
        assert!(number(&result, "acknowledged") > 0.0, "{result}");
        assert_eq!((&result["acknowledged"], &result["unanswered"]), (&result["sent"], &0.into()));
        let told = &result["hostile"];
        assert_eq!((&told["kind"], &told["connections"]), (&kind.into(), &20.into()));
        // All of them were closed at least once, and came again.
        assert!(number(told, "closed") >= 20.0, "{result}");
        assert!(number(told, "opened") >= 40.0, "{result}");
        // 200 a second at most, with a second to spare.
        assert!(number(told, "opened") <= 200.0 * 5.0, "{result}");
        let deadline = std::time::Instant::now() + crate::support::PATIENCE;
        while sockets() > before {
            assert!(std::time::Instant::now() < deadline, "{kind}: connections stay open");
            std::thread::yield_now();
        }
        node.stop();
    }
}

#[test]
fn a_flood_and_a_priority_are_accounted_for() {
    let dir = dir();
    let node = Served::start(dir.path(), &[]);
    let load = ["load", "--connections", "1", "--window", "4", "--seconds", "1", "--flood", "2"];
    let result = good(dir.path(), &load);
    assert_eq!((&result["priority"], &result["acknowledged"]), (&"normal".into(), &result["sent"]));
    let flood = &result["flood"];
    let refused: u64 =
        flood["rejected"].as_object().expect("counts").values().filter_map(Value::as_u64).sum();
    assert_eq!(flood["connections"], 2);
    assert!(number(flood, "sent") > 0.0, "{result}");
    // A business reject is acknowledged too.
    let told = number(flood, "acknowledged") + refused as f64;
    assert!(told >= number(flood, "sent"), "every order of the flood was answered: {result}");
    let low = ["load", "--connections", "1", "--commands", "20", "--priority", "low"];
    let result = good(dir.path(), &low);
    assert_eq!((&result["priority"], &result["unanswered"]), (&"low".into(), &0.into()));
    assert_eq!(result["flood"], Value::Null);
    let wrong = outcry(dir.path(), &["load", "--priority", "urgent"]);
    assert_eq!(wrong.status.code(), Some(2));
    node.stop();
}
