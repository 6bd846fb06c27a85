//! The node as a child process: started, killed, started again, stopped.
//!
//! Invariant: no child outlives this process. Dropping kills it; where nothing is dropped (a panic
//! that aborts, this process being killed) the operating system does.

use crate::sys::process::{die_with_parent, terminate};
use serde::Deserialize;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How long a node may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(25);
/// How often a wait looks whether it was interrupted.
const GLANCE: Duration = Duration::from_millis(50);

/// How to start the node.
pub(super) struct Setup {
    /// The configuration file, the data directory, and settings beside them.
    pub(super) args: Vec<String>,
    /// Where its diagnostics go.
    pub(super) log: PathBuf,
}

/// The node's first line.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Ready {
    pub(super) native: String,
    pub(super) layout: String,
    pub(super) policy: String,
    pub(super) recovery: Recovery,
}

/// What the node's start found.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Recovery {
    pub(super) replayed: u64,
    pub(super) seconds: f64,
}

/// The node's last line.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Stopped {
    pub(super) sequence: u64,
    pub(super) state_hash: String,
}

/// A running node.
pub(super) struct Node {
    process: Child,
    lines: Receiver<String>,
    log: PathBuf,
    pub(super) ready: Ready,
}

impl Node {
    /// Starts a node and waits until it accepts orders.
    pub(super) fn start(setup: &Setup, interrupted: &AtomicBool) -> Result<Node, String> {
        let program = std::env::current_exe()
            .map_err(|error| format!("cannot find this program's own file: {error}"))?;
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&setup.log)
            .map_err(|error| format!("{}: {error}", setup.log.display()))?;
        let mut command = Command::new(program);
        command.args(&setup.args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        // A Ctrl-C is ours to handle: the node must not stop by itself in the middle.
        command.process_group(0);
        die_with_parent(&mut command);
        let mut process =
            command.spawn().map_err(|error| format!("cannot start a node: {error}"))?;
        let lines = lines(process.stdout.take().expect("its output is piped"));
        let ready = Ready {
            native: String::new(),
            layout: String::new(),
            policy: String::new(),
            recovery: Recovery { replayed: 0, seconds: 0.0 },
        };
        let mut node = Node { process, lines, log: setup.log.clone(), ready };
        let line = node.line("to start", interrupted)?;
        node.ready = serde_json::from_str(&line)
            .map_err(|error| format!("the node's first line is {line:?}: {error}"))?;
        Ok(node)
    }

    /// Kills the process at once: it gets no word in.
    pub(super) fn kill(mut self) -> Result<(), String> {
        let killed = self.process.kill().and_then(|()| self.process.wait());
        killed.map(|_| ()).map_err(|error| format!("cannot kill the node: {error}"))
    }

    /// Asks the node to stop and waits until it has.
    pub(super) fn stop(mut self, interrupted: &AtomicBool) -> Result<Stopped, String> {
        terminate(&self.process).map_err(|error| format!("cannot stop the node: {error}"))?;
        let line = self.line("to stop", interrupted)?;
        let stopped = serde_json::from_str(&line)
            .map_err(|error| format!("the node's last line is {line:?}: {error}"))?;
        let status = self.wait()?;
        if !status.success() {
            return Err(self.ended(status));
        }
        Ok(stopped)
    }

    /// True while the process runs.
    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    /// The last line of the node's diagnostics, as the end of a sentence.
    pub(super) fn last_words(&self) -> String {
        last_line(&self.log).map_or(String::new(), |line| format!("; it said: {line}"))
    }

    fn ended(&self, status: ExitStatus) -> String {
        let explain = match status.code() {
            Some(code @ 10..) => format!(" (`outcry explain {code}` tells more)"),
            _ => String::new(),
        };
        format!("the node ended with {status}{explain}{}", self.last_words())
    }

    /// The next line of the node's output.
    fn line(&mut self, what: &str, interrupted: &AtomicBool) -> Result<String, String> {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(GLANCE) {
                Ok(line) => return Ok(line),
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.wait()?;
                    return Err(self.ended(status));
                }
                Err(RecvTimeoutError::Timeout) if interrupted.load(Ordering::Relaxed) => {
                    return Err("interrupted".to_owned());
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() > end => {
                    return Err(format!(
                        "the node took more than {} s {what}{}",
                        PATIENCE.as_secs(),
                        self.last_words()
                    ));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Waits for a process that has closed its output.
    fn wait(&mut self) -> Result<ExitStatus, String> {
        let failed = |error| format!("cannot wait for the node: {error}");
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.process.try_wait().map_err(failed)? {
                return Ok(status);
            }
            if Instant::now() > end {
                return Err("the node does not end".to_owned());
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Both fail only where the process has ended and was waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The lines that a process writes, read on a thread so that waiting for them can end.
fn lines(output: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn last_line(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().rev().find(|line| !line.is_empty()).map(str::to_owned)
}
