//! Snapshots while the node runs: every so often a process of the same program folds the journal into
//! one, and gives way to all others.
//!
//! Invariants: nothing that runs is asked for anything: the process reads the journal's files as any
//! other reader does, and its end, whatever it is, is not the node's. A snapshot that cannot be made
//! for want of memory or space is tried again when the next one is due; a disk that fails stops the
//! node; where processes break off one after another, the time to the next one grows.

use super::apart::Told;
use crate::agent::{ExitProcess, FailStop};
use crate::config::Config;
use crate::fatal::StopReason;
use crate::stats::Stats;
use crate::sys::{process, thread};
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::ffi::OsStr;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// How often a wait looks whether the process has ended.
const GLANCE: Duration = Duration::from_millis(20);
/// What the process says is no longer than this.
const TOLD_MAX_BYTES: u64 = 64 << 10;
/// Each process that breaks off in a row doubles the time to the next one, so many times at most.
const DOUBLINGS_MAX: u32 = 5;

/// What the thread needs that watches over the processes.
pub(super) struct Plan {
    /// Starts one.
    program: Box<dyn Fn() -> io::Result<Command> + Send>,
    /// Time between two snapshots; zero for none.
    interval: Duration,
    /// Where they run.
    core: Option<usize>,
    stats: Arc<Stats>,
    /// Processes in a row that broke off.
    broken: u32,
}

impl Plan {
    pub(super) fn new(
        config: &Config,
        data_dir: &Path,
        core: Option<usize>,
        stats: Arc<Stats>,
    ) -> Plan {
        let interval = Duration::from_secs(config.snapshots.interval_s);
        let (dir, keep) = (data_dir.to_owned(), config.snapshots.keep);
        let program = Box::new(move || folder(&dir, keep));
        Plan { program, interval, core, stats, broken: 0 }
    }
}

/// The process that folds.
fn folder(data_dir: &Path, keep: u32) -> io::Result<Command> {
    // The very file that runs, even where another release was put in its place.
    let program = if cfg!(target_os = "linux") {
        PathBuf::from("/proc/self/exe")
    } else {
        std::env::current_exe()?
    };
    let mut command = Command::new(program);
    command.arg0("outcry").args(["snapshot", "fold", "--data-dir"]).arg(data_dir);
    let (keep, parent) = (keep.to_string(), std::process::id().to_string());
    command.args(["--keep", &keep, "--parent", &parent].map(OsStr::new));
    Ok(command)
}

/// The thread; it ends with this.
pub(super) struct Folding {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Folding {
    /// Starts it; `None` where no snapshots are asked for.
    pub(super) fn start(mut plan: Plan) -> io::Result<Option<Folding>> {
        if plan.interval.is_zero() {
            return Ok(None);
        }
        process::wait_for_children()?;
        let (end, ended) = bounded(0);
        let run = move || {
            // A process that this thread starts has its core and its priority.
            if let Some(core) = plan.core {
                thread::pin("snapshots", core);
            }
            thread::give_way();
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(plan.pause()) {
                if plan.fold(&ended).is_break() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("snapshots".into()).spawn(run)?;
        Ok(Some(Folding { end: Some(end), thread: Some(thread) }))
    }
}

impl Drop for Folding {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // Where a panic does not end the process, it was told on stderr.
            let _ = thread.join();
        }
    }
}

/// How a process ended.
enum Came {
    Told(Told),
    /// Without a word.
    Broke(String),
    /// The node stops.
    Over,
}

impl Plan {
    /// Time to the next process.
    fn pause(&self) -> Duration {
        self.interval.saturating_mul(1 << self.broken.saturating_sub(1).min(DOUBLINGS_MAX))
    }

    /// Lets a process fold; breaks where the node stops.
    fn fold(&mut self, ended: &Receiver<()>) -> ControlFlow<()> {
        let came = (self.program)().and_then(|command| run(command, ended));
        match came {
            Ok(Came::Told(told)) => {
                self.broken = 0;
                self.told(told);
            }
            Ok(Came::Broke(how)) => {
                self.broken = self.broken.saturating_add(1);
                self.failed(&how);
            }
            Ok(Came::Over) => return ControlFlow::Break(()),
            Err(error) => self.failed(&format!("a process for it cannot run: {error}")),
        }
        ControlFlow::Continue(())
    }

    fn told(&self, told: Told) {
        match told {
            Told::Nothing => {}
            Told::Done { sequence, bytes, records, elapsed_ns, skipped, waits } => {
                for skipped in skipped {
                    tracing::warn!("{skipped}");
                }
                if waits {
                    tracing::warn!(
                        "older snapshots stay: the event log does not hold what the oldest one to keep \
                         needs"
                    );
                }
                self.stats.snapshots.sequence.set(sequence);
                self.stats.snapshots.bytes.set(bytes);
                self.stats.snapshots.duration_ns.set(elapsed_ns);
                let seconds = Duration::from_nanos(elapsed_ns).as_secs_f64();
                tracing::info!(sequence, bytes, records, seconds, "a snapshot was written");
            }
            Told::Failed { message, stops } => {
                if let Some(reason) = stops.and_then(StopReason::from_status) {
                    ExitProcess.fail(reason, &message);
                }
                self.failed(&message);
            }
        }
    }

    fn failed(&self, why: &str) {
        self.stats.snapshots.failures.add(1);
        tracing::error!("no snapshot: {why}; the next one is tried when it is due");
    }
}

/// Runs a process to its end, or until the node stops.
fn run(mut command: Command, ended: &Receiver<()>) -> io::Result<Came> {
    // A Ctrl-C is the node's to handle.
    command.process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    loop {
        let waited = child.try_wait().inspect_err(|_| {
            // It is not to work on unseen.
            let _ = child.kill();
        })?;
        if let Some(status) = waited {
            return Ok(match said(&mut child)? {
                Some(told) if status.success() => Came::Told(told),
                _ => Came::Broke(format!("the process that makes it broke off: {status}")),
            });
        }
        if ended.recv_timeout(GLANCE) != Err(RecvTimeoutError::Timeout) {
            // It has nothing that is needed: what it leaves over, the next start removes.
            child.kill()?;
            child.wait()?;
            return Ok(Came::Over);
        }
    }
}

/// What an ended process has said.
fn said(child: &mut Child) -> io::Result<Option<Told>> {
    let Some(stdout) = child.stdout.take() else { return Ok(None) };
    let mut text = Vec::new();
    stdout.take(TOLD_MAX_BYTES).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Instant;

    /// A plan whose processes run these lines of a shell, one after another, and how many were started.
    fn plan(scripts: &'static [&'static str]) -> (Plan, Arc<AtomicUsize>) {
        let started = Arc::new(AtomicUsize::new(0));
        let count = started.clone();
        let program = Box::new(move || {
            let script = scripts[count.fetch_add(1, Ordering::Relaxed)];
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            Ok(command)
        });
        let stats = Arc::new(Stats::new(1, &[]));
        let interval = Duration::from_millis(1);
        (Plan { program, interval, core: None, stats, broken: 0 }, started)
    }

    const BREAKS: &str = "kill -ABRT $$";
    const DONE: &str = r#"echo '{"Done":{"sequence":7,"bytes":8,"records":9,"elapsed_ns":10,"skipped":[],"waits":false}}'"#;

    #[test]
    fn the_time_to_the_next_process_grows_while_they_break_off() {
        let (mut plan, started) = plan(&[BREAKS, "exit 0", "exit 3", DONE, BREAKS]);
        let (_end, ended) = bounded(0);
        let mut pauses = Vec::new();
        for _ in 0..5 {
            assert!(plan.fold(&ended).is_continue());
            pauses.push(plan.pause().as_millis());
        }
        assert_eq!(pauses, [1, 2, 4, 1, 1], "one that is done makes up for it");
        let told = &plan.stats.snapshots;
        assert_eq!((told.sequence.get(), told.bytes.get(), told.duration_ns.get()), (7, 8, 10));
        assert_eq!((told.failures.get(), started.load(Ordering::Relaxed)), (4, 5));
        plan.broken = u32::MAX;
        assert_eq!(plan.pause().as_millis(), 32, "and is bounded");
    }

    #[test]
    fn what_a_process_says_is_nothing_where_its_status_is_bad() {
        let (mut plan, _) = plan(&[r#"echo '"Nothing"'; exit 1"#, r#"echo '"Nothing"'"#]);
        let (_end, ended) = bounded(0);
        assert!(plan.fold(&ended).is_continue());
        assert_eq!(plan.broken, 1);
        assert!(plan.fold(&ended).is_continue());
        assert_eq!((plan.broken, plan.stats.snapshots.failures.get()), (0, 1));
    }

    #[test]
    fn a_stop_waits_for_no_process() {
        let (plan, started) = plan(&["exec sleep 600"]);
        let folding = Folding::start(plan).expect("a thread").expect("an interval");
        let begun = Instant::now();
        while started.load(Ordering::Relaxed) == 0 {
            assert!(begun.elapsed() < Duration::from_secs(60), "one is started");
            std::thread::yield_now();
        }
        drop(folding);
        assert!(begun.elapsed() < Duration::from_secs(300));
    }
}
