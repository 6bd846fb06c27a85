//! `outcry demo` as a script meets it: a node killed and restarted, and the proof as JSON.

use serde_json::Value;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A demonstration that takes longer has hung; on a loaded machine it takes a few seconds.
const DEADLINE: Duration = Duration::from_secs(120);

fn demo(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outcry"));
    command.current_dir(dir).env_clear().env("TMPDIR", dir).arg("demo").args(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Waits for a process; one that outlives the deadline is killed and fails the test.
fn wait(child: &mut Child) -> ExitStatus {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(status) = child.try_wait().expect("it is ours") {
            return status;
        }
        if Instant::now() > end {
            child.kill().expect("it is ours");
            panic!("the demonstration does not end");
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

fn run(dir: &Path, args: &[&str]) -> Output {
    let mut child = demo(dir, args).spawn().expect("the binary runs");
    wait(&mut child);
    child.wait_with_output().expect("its output is piped")
}

fn last_line(output: &Output) -> Value {
    let text = std::str::from_utf8(&output.stdout).expect("stdout is text");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().last().unwrap_or_else(|| panic!("no result; {stderr}"));
    serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"))
}

fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).expect("it is there").next().is_none()
}

/// Runs a short demonstration and checks every field of its result.
fn proved(seed: &str) -> Value {
    let dir = TempDir::new().expect("a temporary directory");
    let output = run(dir.path(), &["--json", "--commands", "20000", "--seed", seed]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let result = last_line(&output);
    assert_eq!(output.status.code(), Some(0), "{result}\n{stderr}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 1, "the result alone");
    assert_eq!(result["ok"], true, "{result}");
    for field in ["commands", "sent", "acknowledged", "journaled", "replayed"] {
        assert_eq!(result[field], 20_000, "{field}: {result}");
    }
    assert_eq!(result["conserved"], true);
    assert_eq!(result["failure"], Value::Null);
    assert_eq!(result["dir"], Value::Null);
    let number =
        |field: &str| result[field].as_u64().unwrap_or_else(|| panic!("{field}: {result}"));
    assert!(number("trades") > 1000, "{result}");
    assert!((100..5_000).contains(&number("rejected")), "{result}");
    // More than one where the machine is so busy that the first one met an idle node.
    assert!((1..=3).contains(&number("kills")), "{result}");
    assert!(number("in_flight_at_kill") > 0, "{result}");
    // Half is sent before the kill; no more than the windows hold of it can be missing.
    assert!(number("journaled_at_kill") >= 10_000 - 16 * 256, "{result}");
    assert!(number("duplicates") > 0, "{result}");
    assert_eq!(number("seed").to_string(), seed);
    assert_eq!(number("sessions"), 16);
    assert_eq!(number("rate_per_s"), 50_000);
    let hash = |field: &str| result[field].as_str().map(str::len);
    assert_eq!(hash("state_hash_live"), Some(64));
    assert_eq!(result["state_hash_live"], result["state_hash_replayed"]);
    assert_eq!(hash("commands_hash"), Some(64));
    let latency = |field: &str| result["latency_us"][field].as_f64().expect("a latency");
    assert!(latency("p50") > 0.0);
    for pair in ["p50", "p90", "p99", "p999", "max"].windows(2) {
        assert!(latency(pair[0]) <= latency(pair[1]), "{result}");
    }
    assert!(result["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0));
    assert!(result["restart_ms"].as_f64().is_some_and(|ms| ms > 0.0));
    assert!(result["measured"].as_str().is_some_and(|text| text.contains("monotonic clock")));
    assert_eq!(result["policy"], "disk");
    assert!(result["layout"].is_string());
    let by_reason = result["rejected_by_reason"].as_object().expect("counts by reason");
    let sum: u64 = by_reason.values().filter_map(Value::as_u64).sum();
    assert_eq!(sum, number("rejected"));
    for reason in ["InvalidPrice", "InvalidQuantity", "UnknownInstrument", "UnknownOrder"]
        .into_iter()
        .chain(["InsufficientFunds", "SameAccount", "InvalidAmount"])
    {
        assert!(by_reason.contains_key(reason), "{reason}: {result}");
    }
    let clauses = result["proof"].as_array().expect("clauses");
    assert!(clauses.len() >= 10 && clauses.iter().all(|clause| clause["holds"] == true));
    assert!(stderr.contains("killed the node"), "{stderr}");
    assert!(is_empty(dir.path()), "the temporary directory is removed");
    result
}

#[test]
fn a_node_killed_at_work_loses_nothing_and_the_demonstration_proves_it() {
    proved("1");
}

#[test]
fn another_seed_sends_other_commands_and_the_same_seed_the_same() {
    let dir = TempDir::new().expect("a temporary directory");
    let hash = |seed: &str| {
        let args =
            ["--json", "--commands", "1000", "--sessions", "3", "--rate", "0", "--seed", seed];
        let output = run(dir.path(), &args);
        let result = last_line(&output);
        assert_eq!(result["ok"], true, "{result}");
        assert_eq!(result["sessions"], 3);
        result["commands_hash"].as_str().expect("a hash").to_owned()
    };
    let first = hash("5");
    assert_eq!(first, hash("5"));
    assert_ne!(first, hash("6"));
    assert_ne!(proved("2")["state_hash_live"], proved("3")["state_hash_live"]);
}

#[test]
fn a_person_reads_the_proof_and_finds_the_directory_that_was_asked_for() {
    let dir = TempDir::new().expect("a temporary directory");
    let output = run(dir.path(), &["--commands", "1000", "--dir", "here"]);
    let stdout = String::from_utf8(output.stdout).expect("stdout is text");
    assert_eq!(output.status.code(), Some(0), "{stdout}");
    assert!(stdout.contains("✓ sent 1000, acknowledged 1000, journaled 1000, replayed 1000"));
    assert!(stdout.contains("Proved:") && !stdout.contains('✗') && !stdout.contains('\x1b'));
    assert!(stdout.contains("measured from"), "{stdout}");
    for name in ["config.toml", "journal", "node.log"] {
        assert!(dir.path().join("here").join(name).exists(), "{name}");
    }
    let again = run(dir.path(), &["--commands", "1000", "--dir", "here"]);
    assert_eq!(again.status.code(), Some(2), "it is not empty");
}

#[test]
fn a_run_that_breaks_says_so_keeps_its_directory_and_ends_with_1() {
    let dir = TempDir::new().expect("a temporary directory");
    let args = ["--json", "--commands", "1000", "--dir", "broken", "--set", "genesis.orders_max=0"];
    let output = run(dir.path(), &args);
    let result = last_line(&output);
    assert_eq!(output.status.code(), Some(1), "{result}");
    assert_eq!(result["ok"], false);
    assert!(result["failure"].as_str().is_some_and(|text| text.contains("orders_max")), "{result}");
    assert_eq!(result["dir"], "broken");
    assert!(String::from_utf8_lossy(&output.stderr).contains("kept: broken"));
}

#[test]
fn options_that_it_cannot_honour_are_refused() {
    let dir = TempDir::new().expect("a temporary directory");
    for args in [
        &["--data-dir", "x"][..],
        &["--config", "x.toml"],
        &["--commands", "0"],
        &["--sessions", "0"],
    ] {
        assert_eq!(run(dir.path(), args).status.code(), Some(2), "{args:?}");
    }
}

/// Processes whose command line names this directory.
#[cfg(target_os = "linux")]
fn processes_of(dir: &Path) -> Vec<String> {
    let name = dir.to_str().expect("a plain path");
    let entries = std::fs::read_dir("/proc").expect("a process table").flatten();
    let ids = entries.filter_map(|entry| entry.file_name().into_string().ok());
    ids.filter(|id| id.bytes().all(|byte| byte.is_ascii_digit()))
        .filter(|id| {
            let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(name)
        })
        .collect()
}

/// Starts a long demonstration, ends it by a signal once its node runs, and sees that nothing stays.
#[cfg(target_os = "linux")]
fn ended_by(signal: &str) -> (Output, bool) {
    let dir = TempDir::new().expect("a temporary directory");
    let mut child = demo(dir.path(), &["--json", "--rate", "1000"]).spawn().expect("it runs");
    let end = Instant::now() + DEADLINE;
    while processes_of(dir.path()).is_empty() {
        assert!(Instant::now() < end, "the node does not start");
        std::thread::park_timeout(Duration::from_millis(10));
    }
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(sent.expect("kill is everywhere").success());
    wait(&mut child);
    while !processes_of(dir.path()).is_empty() {
        assert!(Instant::now() < end, "a node was left behind");
        std::thread::park_timeout(Duration::from_millis(10));
    }
    let output = child.wait_with_output().expect("its output is piped");
    (output, is_empty(dir.path()))
}

#[cfg(target_os = "linux")]
#[test]
fn an_interrupted_demonstration_leaves_neither_process_nor_directory() {
    let (output, removed) = ended_by("-INT");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(last_line(&output)["failure"], "interrupted");
    assert!(removed);
}

#[cfg(target_os = "linux")]
#[test]
fn a_killed_demonstration_leaves_no_process() {
    ended_by("-KILL");
}
