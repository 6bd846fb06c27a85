//! The real binary on loopback, for tests: a node that is stopped with its value, commands and their
//! output.

pub(crate) mod mute;

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything may take; generous, for machines under load.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What every node of a test is started with: any free port, and small segments, which are prepared
/// quickly.
const SETTINGS: &[&str] = &[
    "--json",
    "--set",
    "gateway.native.listen=127.0.0.1:0",
    "--set",
    "journal.segment_size_bytes=8388608",
];

/// The smallest of everything between a socket and the disk: whatever can be full is full all the
/// time.
pub(crate) const SMALLEST: &[&str] = &[
    "sequencer.input_ring_slots=2",
    "sequencer.ring_slots=2",
    "sequencer.answer_ring_slots=2",
    "sequencer.event_ring_slots=2",
    "sequencer.batch_count_max=1",
    "sequencer.queues.normal=4096",
    "gateway.read_budget_bytes=4096",
];

/// A temporary directory to run in.
pub(crate) fn dir() -> TempDir {
    TempDir::new().expect("a temporary directory")
}

/// `outcry` with these arguments in a directory, and no configuration of the machine around it.
pub(crate) fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outcry"));
    command.current_dir(dir).args(args).env_clear();
    command
}

/// Runs `outcry` to its end.
pub(crate) fn outcry(dir: &Path, args: &[&str]) -> Output {
    command(dir, args).output().expect("the binary runs")
}

/// Runs `outcry ... --json`, expects a status and gives the objects on stdout.
pub(crate) fn json(dir: &Path, args: &[&str], status: i32) -> Vec<Value> {
    let output = outcry(dir, &[args, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(status), "{args:?}: {}", stderr(&output));
    objects(&output)
}

/// Runs `outcry ... --json`, expects status 0 and gives the last object on stdout.
pub(crate) fn good(dir: &Path, args: &[&str]) -> Value {
    json(dir, args, 0).pop().unwrap_or_else(|| panic!("{args:?} printed nothing"))
}

/// Runs `outcry` and expects a status and these words on stderr.
pub(crate) fn refused(dir: &Path, args: &[&str], status: i32, words: &[&str]) {
    let output = outcry(dir, args);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(status), "{args:?}: {text}");
    for word in words {
        assert!(text.contains(word), "{args:?} does not say {word:?}: {text}");
    }
}

/// The objects on stdout; nothing else may stand there.
pub(crate) fn objects(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).expect("stdout is text");
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
    text.lines().map(parse).collect()
}

/// What stands on stderr.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Lines of a child's stdout, as they come.
pub(crate) struct Lines {
    receiver: Receiver<String>,
}

impl Lines {
    /// Reads a child's stdout, which was piped.
    pub(crate) fn of(child: &mut Child) -> Lines {
        let stdout = child.stdout.take().expect("stdout was piped");
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Lines { receiver }
    }

    /// The next line; `None` at the end of the stream.
    pub(crate) fn next(&self) -> Option<Value> {
        match self.receiver.recv_timeout(PATIENCE) {
            Ok(line) => {
                Some(serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}")))
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no line within {PATIENCE:?}"),
        }
    }
}

/// Waits for a child's end.
pub(crate) fn wait(child: &mut Child) -> i32 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            return status.code().unwrap_or(-1);
        }
        if Instant::now() > deadline {
            child.kill().expect("a child of ours");
            panic!("no end within {PATIENCE:?}");
        }
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// Sends a child a signal by its name, such as TERM.
pub(crate) fn signal(child: &Child, name: &str) {
    let args = [format!("-{name}"), child.id().to_string()];
    assert!(Command::new("kill").args(args).status().expect("kill runs").success());
}

/// A running node; killed when it is dropped.
pub(crate) struct Served {
    child: Child,
    lines: Lines,
    /// The directory it runs in; its data lies in `journal` below it.
    pub(crate) dir: PathBuf,
    /// Its first line.
    pub(crate) ready: Value,
}

impl Served {
    /// Starts a node in a directory and waits until it accepts orders.
    pub(crate) fn start(dir: &Path, args: &[&str]) -> Served {
        Served::start_with(dir, args, &[])
    }

    /// The same with variables of the environment.
    pub(crate) fn start_with(dir: &Path, args: &[&str], env: &[(&str, &str)]) -> Served {
        let args = [&["serve"], SETTINGS, args].concat();
        let mut command = command(dir, &args);
        command.envs(env.iter().copied());
        let log = std::fs::File::create(dir.join("serve.log")).expect("a writable directory");
        let mut child =
            command.stdout(Stdio::piped()).stderr(log).spawn().expect("the binary runs");
        let lines = Lines::of(&mut child);
        let Some(ready) = lines.next() else {
            let status = wait(&mut child);
            let log = std::fs::read_to_string(dir.join("serve.log")).unwrap_or_default();
            panic!("the node ended with status {status}: {log}");
        };
        assert_eq!(ready["ready"], true, "{ready}");
        Served { child, lines, dir: dir.to_owned(), ready }
    }

    /// Starts a node that cannot start; its status and what it wrote on stderr.
    pub(crate) fn refused(dir: &Path, args: &[&str], env: &[(&str, &str)]) -> (i32, String) {
        let args = [&["serve"], SETTINGS, args].concat();
        let mut child = command(dir, &args);
        let mut child = child
            .envs(env.iter().copied())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(dir.join("serve.log")).expect("a writable directory"))
            .spawn()
            .expect("the binary runs");
        let status = wait(&mut child);
        (status, std::fs::read_to_string(dir.join("serve.log")).unwrap_or_default())
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its native address.
    pub(crate) fn address(&self) -> &str {
        self.ready["native"].as_str().expect("an address")
    }

    /// Stops it as SIGTERM does, and gives its last line.
    pub(crate) fn stop(mut self) -> Value {
        signal(&self.child, "TERM");
        let mut last = Value::Null;
        while let Some(line) = self.lines.next() {
            last = line;
        }
        assert_eq!(wait(&mut self.child), 0, "{last}");
        assert_eq!(last["stopped"], true, "{last}");
        last
    }

    /// Waits until it ends by itself, and gives its status and what it wrote on stderr.
    pub(crate) fn ended(mut self) -> (i32, String) {
        while self.lines.next().is_some() {}
        let status = wait(&mut self.child);
        (status, std::fs::read_to_string(self.dir.join("serve.log")).unwrap_or_default())
    }

    /// Ends it as SIGKILL does: at once.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("a child of ours");
        wait(&mut self.child);
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Either it is gone already, or it has to go.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Copies a directory with all below it; files that are there are replaced.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a writable directory");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

/// Waits until something is so.
pub(crate) fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A venue with these accounts, each of which begins with a million BTC and USDT.
pub(crate) fn venue(dir: &Path, accounts: &[u64]) {
    let mut text = String::new();
    for id in accounts {
        text.push_str(&format!(
            "[[genesis.accounts]]\nid = {id}\ndeposits = [{{ asset = \"BTC\", amount = \"1000000\" }}, \
             {{ asset = \"USDT\", amount = \"1000000\" }}]\n"
        ));
    }
    std::fs::write(dir.join("config.toml"), text).expect("a writable directory");
}
