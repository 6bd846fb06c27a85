//! A disk that fails under the real binary: each failure ends the process with its own status and a
//! line that names the file, and what was acknowledged is there at the next start.

use crate::support::{Served, dir, good, outcry, stderr};
use openoutcry::fatal::StopReason;
use openoutcry::sys::disk::Disk;
use openoutcry::sys::fault;
use openoutcry::sys::storage::{Append, Storage};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const ORDER: &[&str] = &[
    "order",
    "new",
    "--account",
    "2",
    "--symbol",
    "BTC-USDT",
    "--side",
    "buy",
    "--quantity",
    "0.01",
    "--price",
    "100",
];

/// Set for the child of the test below.
const CHILD: &str = "TEST_MEDIA_ERROR";

#[test]
fn a_page_that_cannot_be_read_ends_the_process_and_names_the_file() {
    if let Ok(path) = std::env::var(CHILD) {
        fault::end_with(StopReason::MediaRead.status()).expect("a handler");
        let file = Disk.create(Path::new(&path), Append::Write).expect("a new file");
        file.allocate(0, 16_384).expect("space");
        let map = file.map(16_384).expect("as long");
        assert_eq!(map.bytes()[12_288], 0);
        // What is behind a file's end cannot be delivered, as a page on a broken disk.
        std::fs::File::options()
            .write(true)
            .open(&path)
            .and_then(|file| file.set_len(4096))
            .expect("it is ours");
        std::process::exit(i32::from(map.bytes()[12_288]));
    }
    let dir = dir();
    let path = dir.path().join("0000000042.seg");
    let child = Command::new(std::env::current_exe().expect("this binary has a path"))
        .args([
            "--exact",
            "disk_failures::a_page_that_cannot_be_read_ends_the_process_and_names_the_file",
            "--nocapture",
        ])
        .env(CHILD, &path)
        .output()
        .expect("the child runs");
    assert_eq!(child.status.code(), Some(14), "{}", stderr(&child));
    let text = stderr(&child);
    assert!(text.contains("0000000042.seg, offset 12288; `outcry explain 14`"), "{text}");
}

#[test]
fn a_mapped_store_that_the_disk_refuses_ends_the_node_and_names_the_segment() {
    let dir = dir();
    let node = Served::start(dir.path(), &["--set", "journal.append=map"]);
    good(dir.path(), ORDER);
    let segment = dir.path().join("journal/commands/0000000000.seg");
    let file = std::fs::File::options().write(true).open(segment).expect("the node's segment");
    file.set_len(4096).expect("it is ours");
    let refused = outcry(dir.path(), ORDER);
    assert!(!refused.status.success(), "no answer leaves for what is not written");
    let (status, log) = node.ended();
    assert_eq!(status, 14, "{log}");
    assert!(log.contains("commands/0000000000.seg, offset "), "{log}");
}

/// A tracer that makes calls of a process fail; ended when it is dropped.
struct Tracer(Child);

impl Tracer {
    /// Attaches to a running process, and returns when it has: a call that has to do with `file` fails
    /// from then on. `None` where the system does not let.
    fn attach(pid: u32, call: &str, file: &Path) -> Option<Tracer> {
        let inject = format!("inject={call}:error=EIO");
        let mut child = Command::new("strace")
            .args(["-f", "-p", &pid.to_string(), "-e", &format!("trace={call}"), "-e", &inject])
            .arg("-P")
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .inspect_err(|error| eprintln!("SKIPPED: strace cannot be run: {error}"))
            .ok()?;
        let mut lines = BufReader::new(child.stderr.take().expect("piped"));
        let (mut line, mut said) = (String::new(), String::new());
        while lines.read_line(&mut line).is_ok_and(|count| count > 0) {
            if line.contains("attached") {
                // Nobody may have to wait for its lines to be read.
                std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
                return Some(Tracer(child));
            }
            said.push_str(&std::mem::take(&mut line));
        }
        eprintln!("SKIPPED: strace cannot attach to process {pid}: {said}");
        None
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // It has ended with the process that it traced, or it has to.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_failed_sync_and_a_failed_write_end_the_node_each_with_its_own_status() {
    for (call, status, word) in [("fdatasync", 11, "sync"), ("pwrite64", 10, "write to")] {
        let dir = dir();
        let node = Served::start(dir.path(), &[]);
        let first = good(dir.path(), ORDER);
        // Not those that are being prepared: to fail there is another status.
        let file = dir.path().join("journal/commands/0000000000.seg");
        let Some(tracer) = Tracer::attach(node.pid(), call, &file) else { return };
        let refused = outcry(dir.path(), ORDER);
        assert!(!refused.status.success(), "no answer leaves behind a failed {call}");
        let (ended, log) = node.ended();
        assert_eq!(ended, status, "{call}: {log}");
        assert!(log.contains(&format!("{word} ")) && log.contains("0000000000.seg"), "{log}");
        drop(tracer);
        let node = Served::start(dir.path(), &[]);
        let id = first["order_id"].as_u64().expect("an order").to_string();
        let cancel =
            ["order", "cancel", "--account", "2", "--symbol", "BTC-USDT", "--order-id", &id];
        good(dir.path(), &cancel);
        node.stop();
    }
}
