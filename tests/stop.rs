//! A node that stops itself: its own status, and one structured line that says why.

use openoutcry::config::{LogFormat, LogLevel};
use openoutcry::fatal::{StopReason, fatal};
use openoutcry::logging;
use serde_json::Value;
use std::process::Command;

/// Set for the child of the test below.
const CHILD: &str = "TEST_STOP_FORMAT";

#[test]
fn stopping_is_one_line_and_its_own_status() {
    if let Ok(format) = std::env::var(CHILD) {
        if format == "json" {
            logging::init(LogLevel::Error, LogFormat::Json);
        }
        fatal(StopReason::JournalSync, "segment 7: disk said no");
    }
    for format in ["json", "none"] {
        let child = Command::new(std::env::current_exe().expect("this binary has a path"))
            .args(["--exact", "stop::stopping_is_one_line_and_its_own_status", "--nocapture"])
            .env(CHILD, format)
            .output()
            .expect("the child runs");
        assert_eq!(child.status.code(), Some(11));
        let stderr = String::from_utf8(child.stderr).expect("stderr is text");
        let line = stderr.trim_end();
        assert_eq!(line.lines().count(), 1, "{stderr}");
        let text = "stopping: segment 7: disk said no; `outcry explain 11` tells more";
        if format == "none" {
            assert_eq!(line, format!("outcry: {text}"));
            continue;
        }
        let line: Value = serde_json::from_str(line).expect("a JSON line");
        assert_eq!(line["level"], "ERROR");
        assert_eq!(line["status"], 11);
        assert_eq!(line["reason"], "JournalSync");
        assert_eq!(line["message"], text);
        let time = line["timestamp"].as_str().expect("a time");
        assert!(openoutcry::timestamp::parse(time).is_some(), "{time}");
        assert_eq!(time.len(), "2026-03-01T12:00:00.123456789Z".len());
    }
}
