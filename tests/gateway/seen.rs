//! A node seen from outside: health, metrics and lanes over HTTP, and its log.

use super::frame::{BUY, CANCEL_ORDER, Draft, Metadata, NEW_ORDER, Order, cancel};
use super::node::{DEADLINE, Home, Node, Who};
use super::peer::{answer, reason};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const HTTP: &str = "admin.http.listen=127.0.0.1:0";

fn address(node: &Node) -> &str {
    node.ready["http"].as_str().expect("an address")
}

/// A request over a connection of its own: status, head and body.
fn request(node: &Node, method: &str, path: &str, fields: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address(node)).expect("a listener");
    stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
    let text =
        format!("{method} {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n{fields}\r\n");
    stream.write_all(text.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer and its end");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status");
    (status, head.to_ascii_lowercase(), body.to_owned())
}

fn json(node: &Node, path: &str) -> Value {
    let (status, head, body) = request(node, "GET", path, "");
    assert_eq!(status, 200, "{body}");
    assert!(head.contains("content-type: application/json"), "{head}");
    serde_json::from_str(&body).expect("JSON")
}

/// Every sample by its name and labels, of an exposition that keeps every rule of the format.
fn exposition(text: &str) -> BTreeMap<String, f64> {
    assert!(text.ends_with('\n'), "the last line ends");
    let mut samples = BTreeMap::new();
    let mut families = BTreeSet::new();
    let (mut family, mut kind) = ("", "");
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a name and a sentence");
            assert!(families.insert(name), "{name} has one place");
            assert!(help.ends_with('.'), "{name}: {help}");
            (family, kind) = (name, "");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, of) = rest.split_once(' ').expect("a name and a type");
            assert_eq!(name, family, "a type follows its help");
            assert!(["counter", "gauge", "histogram"].contains(&of), "{line}");
            kind = of;
        } else {
            let (key, value) = line.rsplit_once(' ').expect("a sample");
            let name = key.split('{').next().expect("a name");
            let plain = |c: char| c.is_ascii_lowercase() || c == '_';
            let ours = name.starts_with("outcry_") || name.starts_with("request_");
            assert!(ours && name.chars().all(plain), "{name}");
            let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{name} in {family}"));
            let allowed: &[&str] =
                if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(allowed.contains(&suffix), "{line} in a {kind}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
            if let Some(labels) = key.strip_prefix(name).filter(|labels| !labels.is_empty()) {
                let inside = labels.strip_prefix('{').and_then(|it| it.strip_suffix('}'));
                for pair in inside.expect("labels in braces").split(',') {
                    let (label, value) = pair.split_once('=').expect("a label and its value");
                    assert!(label.chars().all(plain), "{line}");
                    assert!(value.len() >= 2 && value.starts_with('"') && value.ends_with('"'));
                }
            }
            let value: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
            assert!(value.is_finite() && value >= 0.0, "{line}");
            assert!(samples.insert(key.to_owned(), value).is_none(), "{key} stands once");
        }
    }
    check_histograms(text, &samples);
    samples
}

/// Buckets rise, and the last one holds all.
fn check_histograms(text: &str, samples: &BTreeMap<String, f64>) {
    let mut last: Option<(String, f64)> = None;
    let mut histograms = 0;
    for line in text.lines().filter(|line| line.contains("_bucket{")) {
        let (key, value) = line.rsplit_once(' ').expect("a sample");
        let value: f64 = value.parse().expect("a number");
        let (name, labels) = key.split_once("_bucket{").expect("a name");
        let labels = labels.trim_end_matches('}').split(',');
        let (bound, others): (Vec<&str>, Vec<&str>) =
            labels.partition(|label| label.starts_with("le="));
        let others = others.join(",");
        let labels = if others.is_empty() { others } else { format!("{{{others}}}") };
        let count = format!("{name}_count{labels}");
        if let Some((same, before)) = &last
            && *same == count
        {
            assert!(value >= *before, "{line}");
        }
        if bound == ["le=\"+Inf\""] {
            assert_eq!(samples.get(&count), Some(&value), "{count}");
            histograms += 1;
        }
        last = Some((count, value));
    }
    assert_eq!(histograms, 7, "three lanes' turns, sync, gate, orders, requests");
}

fn metrics(node: &Node) -> BTreeMap<String, f64> {
    let (status, head, body) = request(node, "GET", "/metrics", "");
    assert_eq!(status, 200, "{body}");
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    exposition(&body)
}

/// Waits until a condition of the metrics holds.
fn until(node: &Node, what: &str, holds: impl Fn(&BTreeMap<String, f64>) -> bool) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let samples = metrics(node);
        if holds(&samples) {
            return;
        }
        assert!(Instant::now() < deadline, "never: {what}\n{samples:#?}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

#[test]
fn figures_move_by_exactly_what_was_sent() {
    let home = Home::new();
    let node = home.start(&[HTTP]);
    let ground = node.ground();
    let mut peer = node.log_on(Who::Operator, "counted");
    until(&node, "all of the logon is counted", |samples| {
        let sequence = samples["outcry_sequence"];
        samples["outcry_sessions{gateway=\"0\"}"] == 1.0
            && samples["outcry_order_latency_seconds_count"] == 1.0
            && samples["outcry_gate_wait_seconds_count"] == samples["outcry_journal_records_total"]
            && samples["outcry_lane_applied_sequence{lane=\"normal\"}"] == sequence
            && samples["outcry_lane_applied_sequence{lane=\"batch\"}"] == sequence
    });
    let before = metrics(&node);
    let order = Order::new(ground.buyer, ground.instrument, BUY, 10, 5);
    for _ in 0..7 {
        assert_eq!(peer.order(order).reason, 0);
    }
    let draft = peer.draft_order(order);
    assert!(!peer.ask(&draft).again);
    for _ in 0..2 {
        assert!(peer.ask(&draft).again, "a duplicate");
    }
    for _ in 0..3 {
        let unknown = cancel(ground.buyer, ground.instrument, 999_999, 0);
        assert_eq!(peer.command(CANCEL_ORDER, unknown).reason, 103);
    }
    let mut metadata = peer.metadata();
    metadata.timestamp += 3_600_000;
    let ahead = Draft::command(NEW_ORDER, peer.sequence(), &metadata, order.payload());
    assert_eq!(reason(&peer.ask(&ahead)), 23);
    // Of the session's own, for what it asks is counted too.
    peer.ping(1);

    let moved = |samples: &BTreeMap<String, f64>, name: &str| samples[name] - before[name];
    let expected: &[(&str, f64)] = &[
        ("outcry_commands_accepted_total{gateway=\"0\"}", 8.0),
        ("outcry_duplicates_total{gateway=\"0\"}", 2.0),
        ("outcry_rejects_total{reason=\"UnknownOrder\"}", 3.0),
        ("outcry_rejects_total{reason=\"TimestampAhead\"}", 1.0),
        ("outcry_rejects_total{reason=\"BadChecksum\"}", 0.0),
        ("outcry_answers_total{gateway=\"0\"}", 12.0),
        ("outcry_order_latency_seconds_count", 12.0),
        ("request_count_total{method=\"native\",error=\"false\"}", 8.0),
        ("request_count_total{method=\"native\",error=\"true\"}", 4.0),
        ("request_latency_microseconds_count{method=\"native\"}", 12.0),
        ("outcry_frames_total{gateway=\"0\"}", 15.0),
        ("outcry_sequence", 11.0),
        ("outcry_released_sequence", 11.0),
        ("outcry_journal_records_total", 11.0),
        ("outcry_gate_wait_seconds_count", 11.0),
        ("outcry_queue_taken_total{priority=\"normal\"}", 14.0),
        ("outcry_queue_taken_total{priority=\"critical\"}", 0.0),
        ("outcry_lane_applied_sequence{lane=\"critical\"}", 11.0),
        ("outcry_lane_applied_sequence{lane=\"normal\"}", 11.0),
        ("outcry_lane_handled_total{lane=\"batch\"}", 11.0),
        ("outcry_reject_log_entries_total", 3.0),
        ("outcry_sessions{gateway=\"0\"}", 0.0),
    ];
    for (name, by) in expected {
        until(&node, &format!("{name} moves by {by}"), |samples| moved(samples, name) == *by);
    }
    let after = metrics(&node);
    for (name, _) in expected {
        let by = expected.iter().find(|row| row.0 == *name).expect("it is there").1;
        assert_eq!(moved(&after, name), by, "{name} stays");
    }
    assert_eq!(after["outcry_sessions{gateway=\"0\"}"], 1.0);
    assert!(moved(&after, "outcry_received_bytes_total{gateway=\"0\"}") > 1000.0);
    assert!(moved(&after, "outcry_sent_bytes_total{gateway=\"0\"}") > 1000.0);
    assert!(moved(&after, "outcry_journal_sync_seconds_count") >= 1.0);
    assert_eq!(after["outcry_lane_lag{lane=\"normal\"}"], 0.0);
    let latency = moved(&after, "outcry_order_latency_seconds_sum");
    assert!(latency > 0.0 && latency < DEADLINE.as_secs_f64(), "{latency} s");

    drop(peer);
    until(&node, "the session is gone", |samples| {
        samples["outcry_sessions{gateway=\"0\"}"] == 0.0
            && samples["outcry_connections{gateway=\"0\"}"] == 0.0
    });
}

#[test]
fn health_tells_how_far_the_node_is() {
    let home = Home::new();
    let node = home.start(&[HTTP]);
    let ground = node.ground();
    let mut peer = node.log_on(Who::Operator, "healthy");
    let last = peer.order(Order::new(ground.buyer, ground.instrument, BUY, 10, 5)).sequence;
    let health = json(&node, "/health");
    assert_eq!(health["state"], "ok");
    assert_eq!(health["role"], "primary");
    assert_eq!(health["node"], node.ready["node"]);
    assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
    for cursor in ["sequence", "written", "durable", "released"] {
        assert_eq!(health[cursor], last, "{cursor}: {health}");
    }
    let lanes = health["lanes"].as_array().expect("lanes");
    let names: Vec<_> = lanes.iter().map(|lane| lane["lane"].as_str().expect("a name")).collect();
    assert_eq!(names, ["critical", "normal", "batch"]);
    assert_eq!((&lanes[0]["applied"], &lanes[0]["lag"]), (&last.into(), &0.into()));

    let lanes = json(&node, "/lanes");
    assert_eq!(lanes["lanes"].as_array().expect("lanes").len(), 3);
    assert_eq!(lanes["queues"].as_array().expect("queues").len(), 5);
    // Sessions are counted every quarter of a second.
    let deadline = Instant::now() + Duration::from_secs(20);
    while json(&node, "/stats")["sessions"] != 1 {
        assert!(Instant::now() < deadline, "one session is logged on");
    }

    for path in ["/", "/healthz", "/metrics/", "/../health"] {
        assert_eq!(request(&node, "GET", path, "").0, 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE"] {
        let (status, head, _) = request(&node, method, "/metrics", "Content-Length: 0\r\n");
        assert_eq!(status, 405, "{method}");
        assert!(head.contains("allow: get, head"), "{head}");
    }
    let (status, head, body) = request(&node, "HEAD", "/health", "");
    assert_eq!((status, body.as_str()), (200, ""), "{head}");
    let accept = "Accept: application/openmetrics-text;version=1.0.0\r\n";
    let (_, head, body) = request(&node, "GET", "/metrics", accept);
    assert!(head.contains("application/openmetrics-text"), "{head}");
    assert!(body.ends_with("# EOF\n"));
    assert!(body.contains("# TYPE outcry_frames counter\noutcry_frames_total{"));
}

#[test]
fn clients_that_send_slowly_keep_nobody_out() {
    let home = Home::new();
    let node = home.start(&[HTTP]);
    let ground = node.ground();
    let mut peer = node.log_on(Who::Operator, "beside slow ones");
    let slow: Vec<TcpStream> = (0..200)
        .map(|_| {
            let mut stream = TcpStream::connect(address(&node)).expect("a listener");
            stream.write_all(b"GET /health HTTP/1.1\r\nHost: ").expect("sent");
            stream
        })
        .collect();
    assert_eq!(json(&node, "/health")["state"], "ok");
    // A head without an end, and one of too many fields.
    let mut stream = TcpStream::connect(address(&node)).expect("a listener");
    stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
    let flood = vec![b'x'; 64 * 1024];
    // The node may have had enough before all is sent.
    let _ = stream.write_all(b"GET /").and_then(|()| stream.write_all(&flood));
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "it was refused or closed");
    let fields = "X: y\r\n".repeat(100);
    assert_eq!(request(&node, "GET", "/health", &fields).0, 431);
    assert_eq!(peer.order(Order::new(ground.buyer, ground.instrument, BUY, 10, 5)).reason, 0);
    assert_eq!(json(&node, "/health")["state"], "ok");
    drop(slow);
}

/// Names of the node's threads, once each has its own: a thread begins with the name of the process.
fn threads(node: &Node) -> Vec<String> {
    let names = || -> Vec<String> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", node.pid())).expect("it runs");
        let name = |task: std::io::Result<std::fs::DirEntry>| {
            std::fs::read_to_string(task.expect("a task").path().join("comm")).unwrap_or_default()
        };
        tasks.map(name).map(|name| name.trim().to_owned()).collect()
    };
    let deadline = Instant::now() + DEADLINE;
    loop {
        let names = names();
        if names.iter().filter(|name| *name == "outcry").count() == 1 {
            return names;
        }
        assert!(Instant::now() < deadline, "threads without a name: {names:?}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

#[test]
fn the_listener_has_a_thread_only_where_it_listens() {
    let home = Home::new();
    let node = home.start(&[]);
    assert_eq!(node.ready["http"], "off");
    assert!(!threads(&node).contains(&"http".to_owned()));
    node.stop();
    let node = home.start(&[HTTP]);
    assert!(threads(&node).contains(&"http".to_owned()), "{:?}", threads(&node));
    node.stop();
}

#[test]
fn a_listener_that_nobody_asks_costs_no_processor_time() {
    let home = Home::new();
    let node = home.start(&[HTTP]);
    json(&node, "/stats");
    // What the start has left to do is done when segments are prepared and tables are resident.
    let deadline = Instant::now() + DEADLINE;
    loop {
        let (ticks, sleeps) = (node.cpu_ticks(), node.sleeps());
        std::thread::park_timeout(Duration::from_millis(1000));
        if node.cpu_ticks() - ticks <= 1 && node.sleeps() - sleeps <= 20 {
            return;
        }
        assert!(Instant::now() < deadline, "an idle node works");
    }
}

#[test]
fn a_taken_address_is_named_with_its_key() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let listen = format!("admin.http.listen={}", taken.local_addr().expect("an address"));
    let (status, text) = Home::new().refused(&[&listen]);
    assert_ne!(status, Some(0));
    assert!(text.contains("(admin.http.listen)"), "{text}");
}

#[test]
fn promtool_finds_nothing_to_say_about_the_metrics() {
    let present = Command::new("promtool").arg("--version").output().is_ok();
    if !present {
        let must = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!must, "promtool is not installed here (Debian: apt-get install prometheus)");
        eprintln!("SKIPPED: promtool is not installed here (Debian: apt-get install prometheus)");
        return;
    }
    let home = Home::new();
    let node = home.start(&[HTTP]);
    let ground = node.ground();
    let mut peer = node.log_on(Who::Operator, "scraped");
    peer.order(Order::new(ground.buyer, ground.instrument, BUY, 10, 5));
    let (_, _, body) = request(&node, "GET", "/metrics", "");
    // Its name, with its unit, is given: promtool would have it in seconds.
    let given = |line: &&str| !line.contains("request_latency_microseconds");
    let body: String = body.lines().filter(given).flat_map(|line| [line, "\n"]).collect();
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped());
    promtool.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = promtool.spawn().expect("promtool runs");
    let mut stdin = promtool.stdin.take().expect("piped");
    stdin.write_all(body.as_bytes()).expect("promtool reads");
    drop(stdin);
    let output = promtool.wait_with_output().expect("promtool ends");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    assert!(said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

/// Lines of a log that hold this text, as objects.
fn lines(log: &str, text: &str) -> Vec<Value> {
    let json =
        |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
    log.lines().filter(|line| line.contains(text)).map(json).collect()
}

#[test]
fn a_log_line_about_a_message_tells_its_ids() {
    let home = Home::new();
    let node = home.start(&["log.format=json", "log.level=debug"]);
    let ground = node.ground();
    let mut peer = node.log_on(Who::Operator, "logged");
    let order = Order::new(ground.buyer, ground.instrument, BUY, 10, 5);
    let metadata = Metadata { correlation_id: "basket-7".into(), ..peer.metadata() };
    let draft = Draft::command(NEW_ORDER, peer.sequence(), &metadata, order.payload());
    let first = answer(peer.ask(&draft));
    for _ in 0..60 {
        assert!(peer.ask(&draft).again);
    }
    let mut ahead = Metadata { correlation_id: "basket-8".into(), ..peer.metadata() };
    ahead.timestamp += 3_600_000;
    let id = ahead.message_id.clone();
    // What is told in a second is bounded: asked until the next one has begun.
    std::thread::park_timeout(Duration::from_millis(1100));
    let ahead = Draft::command(NEW_ORDER, peer.sequence(), &ahead, order.payload());
    peer.ask(&ahead);
    drop(peer);
    let log = node.log();

    let duplicates = lines(&log, "a duplicate was answered");
    assert!((1..60).contains(&duplicates.len()), "{} lines, bounded", duplicates.len());
    let line = &duplicates[0];
    assert_eq!(line["sequence"], first.sequence);
    assert_eq!(line["message_id"], metadata.message_id);
    assert_eq!(line["correlation_id"], "basket-7");
    assert_eq!(line["lane"], "critical");
    assert_eq!(line["level"], "INFO");
    let left_out = lines(&log, "left_out");
    let left_out: u64 = left_out.iter().filter_map(|line| line["left_out"].as_u64()).sum();
    assert_eq!(duplicates.len() as u64 + left_out, 60, "told or counted");

    let refused = lines(&log, "a message was refused");
    let line = refused.iter().find(|line| line["message_id"] == id.as_str()).expect("a line");
    assert_eq!(
        (&line["correlation_id"], &line["reason"]),
        (&"basket-8".into(), &"TimestampAhead".into())
    );
    assert_eq!(line["level"], "DEBUG");
}
