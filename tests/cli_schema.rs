//! `schema` against a real node: what is registered, shown, refused, and kept.

use crate::support::{Served, dir, good, json, outcry, refused, stderr};
use serde_json::{Value, json};
use std::path::Path;

const REPORT: &str = r#"
id = 1000
name = "trade-report"
version = 1

[[fields]]
id = 1
name = "account"
type = "uint64"
required = true
"#;

const VENUE: &str = r#"
[[fields]]
id = 2
name = "venue"
type = "string"
max_bytes = 8
"#;

const RETYPED: &str = "field 1 account of schema 1000 trade-report was uint64 in version 2 and is int \
                       in version 3: a reader of version 2 would misread it";

fn version(number: u16) -> String {
    REPORT.replace("version = 1", &format!("version = {number}"))
}

fn write(dir: &Path, name: &str, text: &str) {
    std::fs::write(dir.join(name), text).expect("a writable directory");
}

/// What `schema register` of this text prints.
fn register(dir: &Path, text: &str, status: i32) -> Value {
    write(dir, "new.toml", text);
    json(dir, &["schema", "register", "new.toml"], status).pop().unwrap_or_default()
}

/// Rows of schemas that are not built in.
fn listed(dir: &Path, args: &[&str]) -> Vec<Value> {
    let mut rows = json(dir, &[&["schema", "list"], args].concat(), 0);
    let last = rows.pop().expect("a last line");
    assert_eq!(last, json!({ "count": rows.len(), "next": null }));
    assert!(rows.iter().any(|row| row["name"] == "new-order" && row["origin"] == "built-in"));
    rows.retain(|row| row["origin"] != "built-in");
    rows
}

#[test]
fn a_schema_is_registered_listed_followed_and_kept() {
    let dir = dir();
    let here = dir.path();
    let node = Served::start(here, &[]);
    assert_eq!(listed(here, &["--node"]), [] as [Value; 0]);

    let first = register(here, REPORT, 0);
    assert_eq!((&first["status"], &first["reject_reason"]), (&json!("done"), &Value::Null));
    let row = |version, fields, sequence: &Value| {
        json!({
            "id": 1000, "name": "trade-report", "version": version, "fields": fields,
            "origin": "registered", "sequence": sequence, "about": ""
        })
    };
    assert_eq!(listed(here, &["--node"]), [row(1, 1, &first["sequence"])]);
    assert_eq!(listed(here, &[]), [] as [Value; 0], "no file is there");
    // The same again is good, and stands where it stood.
    assert_eq!(register(here, REPORT, 0)["status"], "done");
    let second = register(here, &(version(2) + VENUE), 0);
    assert_eq!(listed(here, &["--node"]), [row(2, 2, &second["sequence"])]);

    // Before it is registered, and when it is: the same sentence.
    write(here, "broken.toml", &(version(3).replace("uint64", "int") + VENUE));
    refused(here, &["schema", "check", "broken.toml", "--node"], 1, &[RETYPED]);
    refused(here, &["schema", "register", "broken.toml"], 1, &["IncompatibleSchema", RETYPED]);
    let told = json(here, &["schema", "register", "broken.toml"], 1).pop().expect("a result");
    assert_eq!(told["reject_reason"], "IncompatibleSchema");
    assert_eq!((&told["status"], &told["error"]), (&json!("rejected"), &json!(RETYPED)));
    let told = register(here, &REPORT.replace("1000", "1001"), 1);
    assert_eq!(told["reject_reason"], "SchemaConflict");
    assert_eq!(told["error"], "schema 1000 is called trade-report already");
    node.kill();

    // A node that was killed and one that was stopped know what was answered.
    let node = Served::start(here, &[]);
    assert_eq!(listed(here, &["--node"]), [row(2, 2, &second["sequence"])]);
    let stopped = node.stop();
    assert_eq!(good(here, &["replay"])["state_hash"], stopped["state_hash"]);
    let node = Served::start(here, &[]);
    let shown = |name: &str| good(here, &["schema", "show", name, "--node"]);
    assert_eq!(shown("trade-report")["fields"].as_array().map(Vec::len), Some(2));
    assert_eq!(shown("1000@1")["fields"].as_array().map(Vec::len), Some(1));
    refused(here, &["schema", "show", "1000@3", "--node"], 1, &["Schema not found: 1000@3"]);
    refused(here, &["schema", "show", "1000"], 1, &["Schema not found: 1000"]);
    let text = outcry(here, &["schema", "list", "--node"]);
    let place = format!("registered, sequence {}", second["sequence"]);
    assert!(String::from_utf8_lossy(&text.stdout).contains(&place), "{place}");
    node.stop();
    refused(here, &["schema", "list", "--node"], 3, &["no node is running here"]);
}

#[test]
fn the_sentence_is_that_of_the_registry_at_the_answers_place() {
    let dir = dir();
    let here = dir.path();
    let node = Served::start(here, &[]);
    register(here, REPORT, 0);
    write(here, "lost.toml", &(version(2).replace("uint64", "int") + VENUE));
    let now = format!("{}", node.ready["sequence"].as_u64().expect("a number") + 1);
    let lost = ["schema", "register", "lost.toml", "--message-id", "lost", "--timestamp-ms", &now];
    let first = json(here, &lost, 1).pop().expect("a result");
    assert!(first["error"].as_str().expect("a sentence").contains("in version 1 and is int"));
    // Somebody else's version 2 changes what the file would break, but not what it broke.
    register(here, &(version(2) + VENUE), 0);
    let again = json(here, &lost, 1).pop().expect("a result");
    assert_eq!((&again["duplicate"], &again["error"]), (&json!(true), &first["error"]));
    let told = register(here, &(version(2).replace("uint64", "int") + VENUE), 1);
    assert_eq!(told["reject_reason"], "SchemaConflict");
    node.stop();
}

#[test]
fn only_an_operator_registers_and_everybody_may_look() {
    let dir = dir();
    let here = dir.path();
    let node = Served::start(here, &[]);
    let made = good(here, &["keygen", "--role", "trade", "trader.key"]);
    let public = made["public_key"].as_str().expect("text");
    good(here, &["keys", "add", public, "--account", "2"]);
    write(here, "report.toml", REPORT);
    let trader = ["schema", "register", "report.toml", "--key", "trader.key"];
    refused(here, &trader, 3, &["NotEntitled"]);
    assert_eq!(listed(here, &["--key", "trader.key"]), [] as [Value; 0]);
    good(here, &["schema", "register", "report.toml"]);
    assert_eq!(listed(here, &["--key", "trader.key"]).len(), 1, "--key asks the node");
    good(here, &["keys", "disable", public]);
    refused(here, &["schema", "list", "--key", "trader.key"], 3, &["LogonRefused"]);

    // What is no schema, or none to register, is not sent; what is too long is told with its bound.
    for (text, words) in [
        ("id = 1000", "this is no schema"),
        (&REPORT.replace("1000", "999"), "ids below 1000 are those of built-in schemas"),
        (&REPORT.replace("uint64", "number"), "new.toml"),
        (&format!("about = \"{}\"\n{REPORT}", "-".repeat(4096)), "limits.frame_max_bytes"),
        (&format!("about = \"{}\"\n{REPORT}", "-".repeat(15_360)), "at most 15360"),
    ] {
        write(here, "new.toml", text);
        refused(here, &["schema", "register", "new.toml"], 2, &[words]);
    }
    refused(here, &["schema", "register", "none.toml"], 2, &["none.toml"]);
    node.stop();
}

#[test]
fn a_start_checks_the_files_and_names_what_is_not_registered() {
    let dir = dir();
    let here = dir.path();
    std::fs::create_dir(here.join("schemas")).expect("a writable directory");
    write(here, "schemas/report.toml", REPORT);
    let log = || std::fs::read_to_string(here.join("serve.log")).expect("its stderr");
    let node = Served::start(here, &[]);
    assert_eq!(listed(here, &["--node"]), [] as [Value; 0], "a file registers nothing");
    assert_eq!(listed(here, &[])[0]["origin"], "file");
    let words = "schemas/report.toml: schema 1000 trade-report version 1 is not registered, until \
                 `outcry schema register schemas/report.toml` does it";
    assert!(log().contains(words), "{}", log());
    good(here, &["schema", "register", "schemas/report.toml"]);
    node.stop();

    let node = Served::start(here, &[]);
    assert!(!log().contains("schema file"), "{}", log());
    node.stop();
    write(here, "schemas/report.toml", &REPORT.replace("uint64", "int"));
    let node = Served::start(here, &[]);
    let words = "schema 1000 version 1 is registered with other content";
    assert!(log().contains(words), "{}", log());
    node.stop();

    write(here, "schemas/report.toml", "id = 1000");
    let output = outcry(here, &["serve", "--set", "gateway.native.listen=127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("schemas/report.toml: this is no schema"));
}

#[test]
fn more_schemas_than_an_answer_holds_are_all_listed_in_order() {
    let dir = dir();
    let here = dir.path();
    let node = Served::start(here, &[]);
    // Seven of some 3 KB: an answer holds no more than 16 KB.
    let about = "-".repeat(3_000);
    for id in 1000..1007 {
        let text = REPORT.replace("1000", &id.to_string());
        let text = text.replace("trade-report", &format!("report-{id}"));
        let text = text.replacen("version = 1", &format!("version = 1\nabout = \"{about}\""), 1);
        assert_eq!(register(here, &text, 0)["status"], "done");
    }
    let ids: Vec<Value> = listed(here, &["--node"]).iter().map(|row| row["id"].clone()).collect();
    assert_eq!(ids, (1000..1007).map(|id| json!(id)).collect::<Vec<_>>());
    node.kill();
}
