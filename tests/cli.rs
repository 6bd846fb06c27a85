//! The binary as a script meets it: statuses, streams, JSON lines.

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

/// Runs `outcry` in a directory, with no configuration of the machine around it.
fn outcry(dir: &Path, args: &[&str]) -> Output {
    command(dir, args).output().expect("the binary runs")
}

fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outcry"));
    command.current_dir(dir).args(args).env_clear();
    command
}

fn dir() -> TempDir {
    TempDir::new().expect("a temporary directory")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("stdout is text")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("stderr is text")
}

fn objects(output: &Output) -> Vec<Value> {
    let parse =
        |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
    stdout(output).lines().map(parse).collect()
}

#[test]
fn config_show_gives_a_row_a_key() {
    let dir = dir();
    std::fs::write(dir.path().join("config.toml"), "[log]\nlevel = \"warn\"\n").expect("written");
    let output = outcry(dir.path(), &["config", "show", "--json", "--set", "ack.policy=memory"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let rows = objects(&output);
    let row =
        |key: &str| rows.iter().find(|row| row["key"] == key).expect("every key has a row").clone();
    assert_eq!(row("ack.policy")["value"], "memory");
    assert_eq!(row("ack.policy")["origin"], "--set");
    assert_eq!(row("log.level")["origin"], "config.toml");
    assert_eq!(row("journal.segments_ahead")["value"], 3);
    assert_eq!(row("journal.segments_ahead")["origin"], "default");
    assert!(rows.iter().all(|row| row.get("value").is_some()));

    let table = outcry(dir.path(), &["config", "show", "gateway.native"]);
    let expected = "KEY                    VALUE             ORIGIN\n\
                    gateway.native.listen  \"127.0.0.1:4711\"  default\n";
    assert_eq!(stdout(&table), expected);
}

#[test]
fn the_environment_names_of_the_source_document_show() {
    let dir = dir();
    let output = command(dir.path(), &["config", "show", "--json"])
        .env("CONSUMER_GROUP", "order-processor-critical")
        .env("PARTITIONS", "0,1")
        .env("MAX_THREADS", "16")
        .env("PRIORITY_LEVEL", "critical")
        .output()
        .expect("the binary runs");
    let rows = objects(&output);
    for (name, value) in [
        ("CONSUMER_GROUP", "order-processor-critical"),
        ("PARTITIONS", "0,1"),
        ("MAX_THREADS", "16"),
        ("PRIORITY_LEVEL", "critical"),
    ] {
        let row = rows.iter().find(|row| row["key"] == name).expect("the alias has a row");
        assert_eq!(row["value"], value);
        assert_eq!(row["origin"], format!("env {name}"));
        assert!(row["note"].is_string());
    }
}

#[test]
fn wrong_use_and_wrong_configuration_are_status_2_on_stderr() {
    let dir = dir();
    for args in [
        &["config", "show", "--set", "ack.polcy=disk"][..],
        &["config", "show", "--set", "journal.segments_ahead=0", "--json"],
        &["config", "show", "--config", "missing.toml"],
        &["config", "show", "no.such.prefix"],
        &["--set", "ack.policy=disk", "config", "show", "--set", "log.level=warn"],
        &["config", "show", "--no-such-option"],
        &["no-such-command"],
        &["keygen", "--role", "king", "x.key"],
        &["keygen", "--account", "1", "x.key"],
        &["explain", "99"],
        &["man", "--dir", "missing"],
        &[],
    ] {
        let output = outcry(dir.path(), args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert_eq!(stdout(&output), "", "{args:?}");
        assert!(!stderr(&output).is_empty(), "{args:?}");
    }
}

#[test]
fn a_key_is_made_once_and_its_lines_are_a_configuration() {
    let dir = dir();
    let args = ["keygen", "--role", "trade", "--account", "2", "--account", "3", "trader.key"];
    let made = outcry(dir.path(), &args);
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    std::fs::write(dir.path().join("config.toml"), &made.stdout).expect("written");
    let shown = outcry(dir.path(), &["config", "show", "genesis.keys", "--json"]);
    let rows = objects(&shown);
    assert_eq!(rows[0]["key"], "genesis.keys.0.public_key");
    assert_eq!(rows[1]["value"], "trade");
    assert_eq!(rows[2]["value"], serde_json::json!([2, 3]));

    let again = outcry(dir.path(), &args);
    assert_eq!(again.status.code(), Some(2));
    assert!(stderr(&again).contains("trader.key"), "{}", stderr(&again));

    let json = outcry(dir.path(), &["keygen", "--json", "other.key"]);
    let result = &objects(&json)[0];
    assert_eq!(result["public_key"].as_str().map(str::len), Some(64));
    assert_eq!(result["role"], "trade");
    assert_eq!(result["accounts"], serde_json::json!([]));
}

#[test]
fn every_stop_status_is_explained() {
    let dir = dir();
    let all = objects(&outcry(dir.path(), &["explain", "--json"]));
    assert!(all.iter().any(|one| one["status"] == 0));
    for one in all.iter().filter(|one| one["name"].is_string()) {
        let status = one["status"].to_string();
        let output = outcry(dir.path(), &["explain", &status]);
        assert_eq!(output.status.code(), Some(0));
        let text = stdout(&output);
        assert!(text.starts_with(&format!("{status} {}\n", one["name"].as_str().expect("a name"))));
        assert!(text.contains(one["remedy"].as_str().expect("a remedy")));
    }
}

#[test]
fn completions_and_manual_are_printed() {
    let dir = dir();
    for shell in ["bash", "zsh", "fish"] {
        let output = outcry(dir.path(), &["completions", shell]);
        assert_eq!(output.status.code(), Some(0));
        assert!(stdout(&output).contains("keygen"), "{shell}");
    }
    assert!(stdout(&outcry(dir.path(), &["man"])).starts_with(".ie"), "roff");
    assert_eq!(outcry(dir.path(), &["man", "--dir", "."]).status.code(), Some(0));
    assert!(dir.path().join("outcry.1").is_file());
    assert!(dir.path().join("outcry-config-show.1").is_file());
}

#[test]
fn no_colour_stands_in_a_pipe() {
    let dir = dir();
    for args in [&["config", "show"][..], &["explain"], &["explain", "11"], &["--help"]] {
        assert!(!stdout(&outcry(dir.path(), args)).contains('\x1b'), "{args:?}");
    }
}
