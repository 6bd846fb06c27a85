//! `serve` as an operator meets it: what is written when, signals, keys, directories.

use crate::support::{PATIENCE, Served, command, dir, good, refused, signal, wait};
use serde_json::Value;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// What every node here is started with.
const SERVE: &[&str] = &[
    "serve",
    "--set",
    "gateway.native.listen=127.0.0.1:0",
    "--set",
    "journal.segment_size_bytes=8388608",
];

/// Killed when it is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Either it is gone already, or it has to go.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A stdout that takes not one byte more, and the end that keeps it open.
fn full() -> (Stdio, UnixStream) {
    let (mut near, far) = UnixStream::pair().expect("sockets");
    near.set_nonblocking(true).expect("a socket");
    loop {
        match near.write(b"x") {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    near.set_nonblocking(false).expect("a socket");
    (OwnedFd::from(near).into(), far)
}

/// A node that has started and whose first line nobody takes: it can go no further.
fn stuck(dir: &Path) -> (Killed, UnixStream) {
    let (stdout, far) = full();
    let mut node = command(dir, SERVE);
    node.stdout(stdout).stderr(File::create(dir.join("serve.log")).expect("a writable directory"));
    let node = Killed(node.spawn().expect("the binary runs"));
    let deadline = Instant::now() + PATIENCE;
    while !dir.join("journal/endpoint.json").exists() {
        assert!(Instant::now() < deadline, "no endpoint.json before the first line");
        std::thread::park_timeout(std::time::Duration::from_millis(2));
    }
    (node, far)
}

#[test]
fn who_reads_the_ready_line_finds_the_endpoint_written() {
    let dir = dir();
    let (mut node, _far) = stuck(dir.path());
    assert!(node.0.try_wait().expect("a child of ours").is_none(), "it waits for its first line");
}

#[test]
fn a_second_signal_ends_a_node_at_once() {
    let dir = dir();
    let (mut node, _far) = stuck(dir.path());
    signal(&node.0, "INT");
    signal(&node.0, "TERM");
    assert_eq!(wait(&mut node.0), 143);
}

#[test]
fn the_first_signal_ends_a_node_that_is_not_ready() {
    let dir = dir();
    let keys = dir.path().join("journal/keys");
    std::fs::create_dir_all(&keys).expect("a writable directory");
    let key = keys.join("demo.key");
    // A start that goes on as soon as somebody writes the key, and nobody will.
    let made = Command::new("mkfifo").args(["-m", "600"]).arg(&key).status().expect("mkfifo runs");
    assert!(made.success());
    for (name, status) in [("INT", 130), ("TERM", 143)] {
        let mut node = command(dir.path(), SERVE);
        node.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut node = Killed(node.spawn().expect("the binary runs"));
        // Returns when the node has opened the file for reading, behind the start of its handler.
        let held = File::options().write(true).open(&key).expect("the node reads");
        signal(&node.0, name);
        assert_eq!(wait(&mut node.0), status);
        drop(held);
        let (mut stdout, mut stderr) = (String::new(), String::new());
        node.0.stdout.take().expect("piped").read_to_string(&mut stdout).expect("text");
        node.0.stderr.take().expect("piped").read_to_string(&mut stderr).expect("text");
        assert_eq!(stdout, "");
        assert!(stderr.contains("before the node was ready"), "{stderr}");
    }
}

fn log(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("serve.log")).expect("stderr of the node")
}

#[test]
fn a_key_that_the_venue_does_not_know_is_not_offered() {
    let dir = dir();
    let key = dir.path().join("journal/keys/demo.key");
    let node = Served::start(dir.path(), &[]);
    assert_eq!(node.ready["key"], key.display().to_string());
    node.stop();
    let kept = dir.path().join("kept.key");
    std::fs::rename(&key, &kept).expect("a writable directory");

    let missing = Served::start(dir.path(), &[]);
    assert_eq!(missing.ready["key"], Value::Null);
    assert!(!key.exists(), "a key that cannot log on is not made");
    let warned = log(dir.path());
    for words in ["demo.key is missing", "Restore the file", "another --data-dir"] {
        assert!(warned.contains(words), "{words}: {warned}");
    }
    refused(dir.path(), &["book", "BTC-USDT"], 2, &["--key FILE is needed"]);
    refused(dir.path(), &["load", "--commands", "1"], 2, &["--key FILE is needed"]);
    // Whoever has the venue's key goes on as before.
    good(dir.path(), &["book", "BTC-USDT", "--key", "kept.key"]);
    missing.stop();

    good(dir.path(), &["keygen", "journal/keys/demo.key"]);
    let other = Served::start(dir.path(), &[]);
    assert_eq!(other.ready["key"], Value::Null);
    assert!(log(dir.path()).contains("demo.key holds another key"), "{}", log(dir.path()));
    other.stop();

    std::fs::rename(&kept, &key).expect("a writable directory");
    let restored = Served::start(dir.path(), &[]);
    assert_eq!(restored.ready["key"], key.display().to_string());
    assert!(!log(dir.path()).contains("differs"), "{}", log(dir.path()));
    restored.stop();
}

#[test]
fn keys_are_asked_for_only_where_the_journal_has_none() {
    let dir = dir();
    let open = ["--set", "gateway.native.listen=0.0.0.0:0"];
    refused(dir.path(), &[&["serve"], &open[..]].concat(), 2, &["genesis.keys is empty"]);
    Served::start(dir.path(), &[]).stop();
    Served::start(dir.path(), &open).stop();
}

#[test]
fn an_edit_of_the_venue_is_told_with_what_can_be_done() {
    let dir = dir();
    Served::start(dir.path(), &[]).stop();
    Served::start(dir.path(), &["--set", "genesis.orders_max=7"]).stop();
    let warned = log(dir.path());
    for words in ["orders_max is 1048576 in the journal, 7 in the file", "has no command"] {
        assert!(warned.contains(words), "{words}: {warned}");
    }
}

#[test]
fn a_data_directory_that_cannot_be_used_has_its_own_status() {
    let dir = dir();
    std::fs::write(dir.path().join("file"), "").expect("a writable directory");
    for data in ["file", "file/below", "/proc/outcry"] {
        let args = [SERVE, &["--data-dir", data]].concat();
        refused(dir.path(), &args, 24, &[data, "outcry explain 24"]);
    }
}

#[test]
fn the_layout_is_told_to_a_person_beside_a_script() {
    let dir = dir();
    let node = Served::start(dir.path(), &[]);
    let layout = node.ready["layout"].as_str().expect("a layout").to_owned();
    assert!(log(dir.path()).contains(&format!("layout {layout}")), "{}", log(dir.path()));
    node.stop();
}
