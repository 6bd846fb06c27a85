//! A node under test: the real binary as a child process, killed when it is dropped.

use super::peer::Peer;
use ed25519_dalek::SigningKey;
use serde_json::Value;
use std::fmt::Write as _;
use std::io::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::ops::Deref;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything may take on a busy machine before a test gives up.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Instruments and accounts of the tests' venue. Each test takes its own.
const INSTRUMENTS: u32 = 40;
const ACCOUNTS: u64 = 200;
/// Units of each asset that each account begins with.
pub(crate) const FUNDS: i64 = 1_000_000_000;
/// Bounds of every instrument, in lots and ticks. Their product does not fit 64 bits.
pub(crate) const QUANTITY_MAX: i64 = 4_000_000_000;
pub(crate) const PRICE_MAX: i64 = 4_000_000_000;
/// The assets' numbers.
pub(crate) const BASE: u32 = 1;
pub(crate) const QUOTE: u32 = 2;

/// Who is known at the tests' venue; the discriminant is the key's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Operator = 1,
    /// Trades for account 2.
    TraderOfTwo,
    /// Trades for account 3.
    TraderOfThree,
    /// Cancels for account 2.
    Canceller,
    /// Reads account 2.
    Reader,
    /// Not in the configuration.
    Stranger,
}

impl Who {
    pub(crate) fn key(self) -> SigningKey {
        SigningKey::from_bytes(&[self as u8; 32])
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all");
        text
    })
}

/// The tests' venue: one tick of one lot is one unit of each asset.
pub(crate) fn venue() -> String {
    let mut text = String::from("[genesis]\n");
    for symbol in ["LOT", "USD"] {
        writeln!(text, "[[genesis.assets]]\nsymbol = \"{symbol}\"\nscale = 0").expect("a string");
    }
    for number in 1..=INSTRUMENTS {
        writeln!(
            text,
            "[[genesis.instruments]]\nsymbol = \"LOT{number}-USD\"\nbase = \"LOT\"\n\
             quote = \"USD\"\ntick = \"1\"\nlot = \"1\"\nquantity_min = \"1\"\n\
             quantity_max = \"{QUANTITY_MAX}\"\nprice_max = \"{PRICE_MAX}\""
        )
        .expect("a string takes all");
    }
    writeln!(
        text,
        "[[genesis.accounts]]\nfirst = 2\ncount = {ACCOUNTS}\ndeposits = [\n\
         {{ asset = \"LOT\", amount = \"{FUNDS}\" }}, {{ asset = \"USD\", amount = \"{FUNDS}\" }} ]"
    )
    .expect("a string takes all");
    let keys = [
        (Who::Operator, "operator", ""),
        (Who::TraderOfTwo, "trade", "2"),
        (Who::TraderOfThree, "trade", "3"),
        (Who::Canceller, "cancel-only", "2"),
        (Who::Reader, "read-only", "2"),
    ];
    for (who, role, accounts) in keys {
        let public = hex(&who.key().verifying_key().to_bytes());
        writeln!(
            text,
            "[[genesis.keys]]\npublic_key = \"{public}\"\nrole = \"{role}\"\n\
             accounts = [{accounts}]\ncritical_per_s = 1000000"
        )
        .expect("a string takes all");
    }
    text
}

/// A data directory with a configuration beside it, gone when dropped.
pub(crate) struct Home(TempDir);

impl Home {
    /// With the tests' venue.
    pub(crate) fn new() -> Home {
        let home = Home::bare();
        std::fs::write(home.0.path().join("config.toml"), venue()).expect("written");
        home
    }

    /// Without a configuration.
    pub(crate) fn bare() -> Home {
        Home(TempDir::new().expect("a temporary directory"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// The command that runs a node here.
    pub(crate) fn serve(&self, settings: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_outcry"));
        command.current_dir(self.path()).env_clear().args(["serve", "--json"]);
        command.args(["--data-dir", "data"]);
        if self.path().join("config.toml").exists() {
            command.args(["--config", "config.toml"]);
        }
        let usual = ["gateway.native.listen=127.0.0.1:0", "journal.segment_size_bytes=8388608"];
        for setting in usual.iter().chain(settings) {
            command.args(["--set", setting]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a node that is expected to refuse: its status, and what it said on stderr.
    pub(crate) fn refused(&self, settings: &[&str]) -> (Option<i32>, String) {
        let mut running = Running::new(self.serve(settings));
        let status = running.wait();
        (status.code(), running.stderr.join())
    }

    pub(crate) fn start(&self, settings: &[&str]) -> Node {
        Node::new(Running::new(self.serve(settings)))
    }
}

/// The tail of a stream that a thread reads, so that the child never blocks on it.
struct Collected(Option<thread::JoinHandle<String>>);

impl Collected {
    fn join(&mut self) -> String {
        self.0.take().map_or_else(String::new, |thread| thread.join().expect("reads to the end"))
    }
}

/// A child process, and what it says.
struct Running {
    child: Child,
    /// Only a lock lets a node be shared; nobody waits for it.
    stdout: Mutex<Receiver<String>>,
    stderr: Collected,
}

impl Running {
    fn new(mut command: Command) -> Running {
        let mut child = command.spawn().expect("the binary runs");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut stderr = child.stderr.take().expect("piped");
        let (sender, receiver) = channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let stderr = thread::spawn(move || {
            let mut bytes = Vec::new();
            stderr.read_to_end(&mut bytes).ok();
            String::from_utf8_lossy(&bytes).into_owned()
        });
        Running { child, stdout: Mutex::new(receiver), stderr: Collected(Some(stderr)) }
    }

    /// The next line of stdout; `None` at its end.
    fn line(&mut self) -> Option<Value> {
        match self.stdout.get_mut().unwrap_or_else(PoisonError::into_inner).recv_timeout(DEADLINE) {
            Ok(line) => Some(serde_json::from_str(&line).expect("a JSON object a line")),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("the node said nothing for {DEADLINE:?}"),
        }
    }

    /// Waits for its end; the end of its stdout tells that it is near.
    fn wait(&mut self) -> ExitStatus {
        while self.line().is_some() {}
        self.child.wait().expect("our child")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if thread::panicking() {
            let said = self.stderr.join();
            writeln!(std::io::stderr(), "--- stderr of the node ---\n{said}").ok();
        }
    }
}

/// A node that accepts orders.
pub(crate) struct Node {
    running: Running,
    pub(crate) ready: Value,
    pub(crate) address: String,
    grounds: AtomicU32,
}

/// What one test has for itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ground {
    pub(crate) instrument: u32,
    pub(crate) buyer: u64,
    pub(crate) seller: u64,
}

impl Node {
    fn new(mut running: Running) -> Node {
        let Some(ready) = running.line() else {
            let status = running.wait();
            panic!("the node did not start: {status}\n{}", running.stderr.join());
        };
        assert_eq!(ready["ready"], true, "{ready}");
        let address = ready["native"].as_str().expect("an address").to_owned();
        Node { running, ready, address, grounds: AtomicU32::new(1) }
    }

    /// An instrument and two accounts that no other test uses.
    pub(crate) fn ground(&self) -> Ground {
        let instrument = self.grounds.fetch_add(1, Ordering::Relaxed);
        assert!(instrument <= INSTRUMENTS, "the venue is too small for so many tests");
        let buyer = 8 + 2 * u64::from(instrument);
        assert!(buyer < ACCOUNTS);
        Ground { instrument, buyer, seller: buyer + 1 }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.child.id()
    }

    /// A connection that got its challenge.
    pub(crate) fn connect(&self) -> Peer {
        Peer::connect(&self.address)
    }

    /// A connection that is logged on.
    pub(crate) fn log_on(&self, who: Who, name: &str) -> Peer {
        let mut peer = self.connect();
        peer.log_on(&who.key(), name);
        peer
    }

    /// Proves that the node serves others still.
    pub(crate) fn assert_well(&self) {
        let mut peer = self.log_on(Who::Operator, "well");
        peer.ping(7);
    }

    /// Ends it as a power cut of the process would: nothing is finished.
    pub(crate) fn kill(mut self) {
        self.running.child.kill().expect("our child");
        self.running.child.wait().expect("our child");
    }

    pub(crate) fn terminate(&self) {
        let pid = self.pid().to_string();
        let status = Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
        assert!(status.success());
    }

    /// SIGTERM, exit status 0, and the last line.
    pub(crate) fn stop(self) -> Value {
        self.terminate();
        self.stopped()
    }

    /// SIGTERM, exit status 0, and all that it wrote on stderr.
    pub(crate) fn log(mut self) -> String {
        self.terminate();
        assert_eq!(self.running.wait().code(), Some(0));
        self.running.stderr.join()
    }

    /// Its end after a SIGTERM.
    pub(crate) fn stopped(mut self) -> Value {
        let last = self.running.line().expect("a last line");
        let status = self.running.wait();
        assert_eq!(status.code(), Some(0), "{}", self.running.stderr.join());
        last
    }

    /// How often its threads have gone to sleep so far.
    pub(crate) fn sleeps(&self) -> u64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).expect("it runs");
        let status = |task: std::io::Result<std::fs::DirEntry>| {
            std::fs::read_to_string(task.expect("a task").path().join("status")).unwrap_or_default()
        };
        let count = |status: String| {
            let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches"));
            line.and_then(|line| line.split_whitespace().last()?.parse::<u64>().ok()).unwrap_or(0)
        };
        tasks.map(status).map(count).sum()
    }

    /// Processor time used so far, in hundredths of a second.
    pub(crate) fn cpu_ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("it runs");
        let (_, fields) = stat.rsplit_once(") ").expect("the name ends so");
        let fields: Vec<&str> = fields.split(' ').collect();
        let ticks = |at: usize| fields[at].parse::<u64>().expect("a number");
        ticks(11) + ticks(12)
    }

    /// Resident memory in KiB.
    pub(crate) fn memory_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(path).expect("it runs");
        let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let words = anonymous.expect("Linux says it").split_whitespace().next();
        words.expect("a number").parse().expect("a number")
    }
}

/// A node and its home, which outlives it.
pub(crate) struct Shared {
    node: Node,
    _home: Home,
}

impl Deref for Shared {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

/// One node for all tests that do it no harm. It lives as long as one of them runs.
pub(crate) fn shared() -> Arc<Shared> {
    static SHARED: Mutex<Weak<Shared>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(running) = shared.upgrade() {
        return running;
    }
    let home = Home::new();
    let running = Arc::new(Shared { node: home.start(&[]), _home: home });
    *shared = Arc::downgrade(&running);
    running
}

/// Tries until it holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < DEADLINE, "never: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
