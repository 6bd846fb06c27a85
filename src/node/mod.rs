//! The node: the only place that introduces stages to each other; it starts and stops them.

pub(crate) mod apart;
mod beside;
pub mod boot;
mod folding;
pub mod layout;
pub mod poison;
mod rebuild;
pub mod replay;
pub mod retention;
pub mod space;
pub mod stages;
pub mod state;

use crate::agent::{Agent, Crew, ExitProcess, Stop};
use crate::config::{self, Config, ConfigError};
use crate::exchange::Schemas;
use crate::fatal::StopReason;
use crate::gateway;
use crate::gateway::listener::{Entrance, Listener, dealt};
use crate::gateway::restraint::Rate;
use crate::gateway::verify::Worker;
use crate::genesis::GenesisItem;
use crate::ops::View;
use crate::publish::gate::AckPolicy;
use crate::ring::{Parker, Unparker};
use crate::sequencer::clock::{ClockRefused, SequencerClock};
use crate::sequencer::overload::Thresholds;
use crate::sequencer::queues::Capacity;
use crate::sequencer::turn::Rules;
use crate::stats::Stats;
use crate::sys::clock::{Clock, MachineClock};
use crate::sys::disk::Disk;
use crate::sys::lock::{DirLock, LockError};
use crate::sys::memory::Region;
use crate::sys::process;
use crate::sys::random::{Random, SystemRandom};
use crate::sys::storage::Storage;
use crate::sys::thread;
use crate::types::{Sequence, TimeNs};
use crate::wire::OpenLimits;
use beside::{AdminListener, Beside};
use boot::{BootError, Booted, Genesis, Logs, Progress, boot};
use layout::{Plan, Stage, ThreadPlan, plan};
use space::Marks;
use stages::{Agents, Cursors, Outside, Parts, Remains, Sizes, Stages};
use state::State;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use thiserror::Error;

/// Threads that were told to end get at least so long.
const THREADS_END: Duration = Duration::from_secs(10);

/// Why a node does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The venue cannot be built from the configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Another process holds the data directory.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The data directory does not lead to a running state.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// The clock is too far off.
    #[error(transparent)]
    Clock(#[from] ClockRefused),
    /// The listener cannot be opened.
    #[error("cannot listen on {address} ({key}): {source}")]
    Listen {
        /// The key that names the address.
        key: &'static str,
        /// The configured address.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// The operating system refused a thread or a descriptor.
    #[error("cannot start thread {thread}: {source}")]
    Thread {
        /// The thread.
        thread: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// There is no listener to serve.
    #[error("gateway.native.listen is \"off\": this release has no other listener to serve")]
    NoListener,
}

impl StartError {
    /// The exit status that a process ends with which cannot start.
    #[must_use]
    pub fn reason(&self) -> Option<StopReason> {
        match self {
            StartError::Config(_) | StartError::NoListener => None,
            StartError::Lock(LockError::Taken { .. }) => Some(StopReason::DataDirLocked),
            StartError::Lock(_) => Some(StopReason::DataDirUnusable),
            StartError::Boot(error) => Some(error.reason()),
            StartError::Clock(_) => Some(StopReason::ClockRefused),
            StartError::Listen { .. } => Some(StopReason::ListenFailed),
            StartError::Thread { .. } => Some(StopReason::ThreadFailed),
        }
    }
}

/// A running node.
pub struct Node {
    threads: Vec<(String, JoinHandle<()>)>,
    unparkers: Vec<Unparker>,
    stop: Arc<Stop>,
    cursors: Cursors,
    remains: Remains,
    stats: Arc<Stats>,
    /// Threads that end with the node, before another process may have the data directory.
    beside: Option<Beside>,
    _lock: DirLock,
    /// What the start found and chose.
    pub report: Report,
}

/// What a start found and chose.
#[derive(Clone, Debug)]
pub struct Report {
    /// Address of the native listener.
    pub native: SocketAddr,
    /// Address of the admin listener, where there is one.
    pub http: Option<SocketAddr>,
    /// The last sequence at the start.
    pub sequence: Sequence,
    /// Sequence of the snapshot that the state began with; 0 for none.
    pub snapshot: Sequence,
    /// Records replayed behind it.
    pub replayed: u64,
    /// Bytes of an unfinished end that were cut.
    pub cut_bytes: u64,
    /// How long recovery took.
    pub recovery: Duration,
    /// The layout.
    pub plan: Plan,
    /// Where the configured venue differs from the journal's.
    pub differences: Vec<String>,
    /// The schemas of messages that are registered.
    pub schemas: Arc<Schemas>,
}

/// How a node ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The last sequence.
    pub sequence: Sequence,
    /// Fingerprint of the state at that sequence.
    pub state_hash: String,
    /// Answers that could not be released before the time was over.
    pub unreleased: u64,
}

impl Node {
    /// Recovers the data directory, starts the threads, and opens the listener last.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub fn start(
        config: &Config,
        data_dir: &Path,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<Node, StartError> {
        let address = config.gateway.native.listen.address().ok_or(StartError::NoListener)?;
        let started = Instant::now();
        let lock = DirLock::acquire(data_dir)?;
        let storage: Arc<dyn Storage> = Arc::new(Disk);
        let logs = logs(config, &storage, data_dir);
        let clock = MachineClock::new();
        let (mut booted, differences) = booted(config, &logs, &clock, progress)?;
        let plan = plan(config, thread::cores());
        let mut parkers = parkers(&plan)?;
        let report = |native, http, booted: &Booted| Report {
            native,
            http,
            sequence: booted.state.order.last,
            snapshot: booted.snapshot,
            replayed: booted.replayed,
            cut_bytes: booted.cut_bytes,
            recovery: started.elapsed(),
            plan: plan.clone(),
            differences: differences.clone(),
            schemas: booted.state.exchange.registered_schemas(),
        };
        let accept = config.time.accept_clock;
        let time = SequencerClock::start(Box::new(clock), booted.state.order.time, accept)?;
        let threads = config.gateway.threads as u8;
        let (outsides, native) = outsides(address, threads, &plan, &parkers)?;
        let admin = AdminListener::bind(config)?;
        let http = admin.as_ref().map(|admin| admin.address);
        let report = report(native, http, &booted);
        let names: Vec<&str> = plan.threads.iter().map(|thread| thread.name).collect();
        let stats = Arc::new(Stats::new(usize::from(threads), &names));
        let parts = Parts {
            outsides,
            clock: Box::new(move || Box::new(clock)),
            time,
            sizes: sizes(config),
            rules: rules(config),
            thresholds: thresholds(config),
            space: marks(config),
            limits: limits(config),
            policy: policy(config),
            sync_interval_ns: config.journal.sync_interval_ms * 1_000_000,
            stop: Arc::new(ExitProcess),
            stats: stats.clone(),
        };
        warm(&mut booted.state, plan.verify_core);
        let (agents, cursors, remains) = Stages::connect(booted, &logs, parts).into_agents();
        let stop = Arc::new(Stop::default());
        let unparkers = parkers.values().map(Parker::unparker).collect();
        let threads = start_threads(&plan, agents, &mut parkers, &stats, &stop)?;
        let view = View {
            node: config.node.name.clone(),
            policy: config.ack.policy.to_string(),
            stats: stats.clone(),
            cursors: cursors.clone(),
            stop: stop.clone(),
            clock,
        };
        stats.snapshots.sequence.set(report.snapshot.0);
        let beside = Some(Beside::start(config, &logs, admin, view, plan.verify_core)?);
        let _lock = lock;
        Ok(Node { threads, unparkers, stop, cursors, remains, stats, beside, _lock, report })
    }

    /// Cursors that tell how far the node is.
    #[must_use]
    pub fn cursors(&self) -> &Cursors {
        &self.cursors
    }

    /// What its stages tell.
    #[must_use]
    pub fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    /// Stops: takes nothing new, finishes and releases what is sequenced, syncs, ends the threads.
    ///
    /// # Panics
    /// Where a thread does not end although it was told to: it is stuck, and its state is unknown.
    #[must_use]
    pub fn stop(mut self, timeout: Duration) -> Ended {
        self.stop.ask();
        let deadline = Instant::now() + timeout;
        while !self.is_finished() && Instant::now() < deadline {
            self.wake_all();
            std::thread::park_timeout(Duration::from_millis(1));
        }
        drop(self.beside.take());
        self.stop.end();
        let deadline = Instant::now() + timeout.max(THREADS_END);
        for (name, thread) in &self.threads {
            while !thread.is_finished() {
                assert!(Instant::now() < deadline, "thread {name} does not end");
                self.wake_all();
                std::thread::park_timeout(Duration::from_millis(1));
            }
        }
        let exchange = self.remains.exchange.recv().expect("the critical lane has ended");
        let order = self.remains.order.recv().expect("the sequencer has ended");
        let safe = self.cursors.applied.get().min(self.cursors.released.get());
        let state_hash = state::hash(&exchange, &order);
        Ended { sequence: order.last, state_hash, unreleased: order.last.0 - safe.0 }
    }

    /// True where nobody is owed an answer and everything is where it belongs.
    fn is_finished(&self) -> bool {
        let cursors = &self.cursors;
        cursors.are_drained()
            && cursors.durable.get() == cursors.written.get()
            && cursors.events_written.get() >= cursors.applied.get()
    }

    fn wake_all(&self) {
        self.unparkers.iter().for_each(Unparker::wake);
    }
}

/// The logs of a configured data directory.
#[must_use]
pub fn logs(config: &Config, storage: &Arc<dyn Storage>, data_dir: &Path) -> Logs {
    let journal = &config.journal;
    let ahead = journal.segments_ahead as usize;
    Logs::new(storage, data_dir, journal.append, journal.segment_size_bytes, ahead)
}

/// What the data directory holds, and how the configured venue differs from that.
fn booted(
    config: &Config,
    logs: &Logs,
    clock: &MachineClock,
    progress: &mut dyn FnMut(&Progress),
) -> Result<(Booted, Vec<String>), StartError> {
    let mut seed = [0; 16];
    SystemRandom.fill(&mut seed);
    let (items, commands) = config::genesis_items(config, seed)?;
    let configured = items.clone();
    let time = TimeNs(clock.wall_ns());
    let booted = boot(logs, || Genesis { items, commands, time }, progress)?;
    let in_force: Vec<GenesisItem> = booted.state.exchange.definitions().collect();
    Ok((booted, config::genesis_differences(&in_force, &configured)))
}

fn marks(config: &Config) -> Marks {
    let disk = &config.disk;
    Marks { low_bytes: disk.low_bytes, critical_bytes: disk.critical_bytes }
}

fn policy(config: &Config) -> AckPolicy {
    match config.ack.policy {
        config::AckPolicy::Memory => AckPolicy::Memory,
        config::AckPolicy::Disk => AckPolicy::Disk,
    }
}

fn sizes(config: &Config) -> Sizes {
    let sequencer = &config.sequencer;
    let queues = &sequencer.queues;
    Sizes {
        input: sequencer.input_ring_slots as usize,
        sequenced: sequencer.ring_slots as usize,
        events: sequencer.event_ring_slots as usize,
        answers: sequencer.answer_ring_slots as usize,
        rejects: 1024,
        queues: Capacity {
            messages: [queues.critical, queues.high, queues.normal, queues.low, queues.batch]
                .map(|slots| slots as usize),
            large: sequencer.queue_slots_large as usize,
        },
        batch: sequencer.batch_count_max as usize,
        lanes: [
            config.lanes.critical.max_batch,
            config.lanes.normal.max_batch,
            config.lanes.batch.max_batch,
        ],
    }
}

fn rules(config: &Config) -> Rules {
    let priorities = &config.priorities;
    Rules {
        aging_ns: priorities.aging_ms * 1_000_000,
        attempts_max: priorities.attempts_max,
        idle_load: u64::from(priorities.idle_load_percent) * 10,
    }
}

fn thresholds(config: &Config) -> Thresholds {
    let overload = &config.overload;
    Thresholds {
        total: overload.total as usize,
        critical: overload.critical as usize,
        high: overload.high as usize,
        lag: overload.lag,
        lasts_ns: overload.slow_ms * 1_000_000,
    }
}

/// Descriptors that a node needs beside those of its connections: logs, segments, polls, and the
/// connections that linger while they end.
const DESCRIPTORS_BESIDE: u64 = 512;

/// Connections that the node may have: as configured, or as many as its descriptors allow. Without
/// one for the next segment it would have to stop.
fn connections_max(configured: u32) -> usize {
    let wanted = u64::from(configured) + DESCRIPTORS_BESIDE;
    let allowed = process::allow_descriptors(wanted);
    if allowed >= wanted {
        return configured as usize;
    }
    let connections = allowed.saturating_sub(DESCRIPTORS_BESIDE).max(1);
    tracing::warn!(
        descriptors = allowed,
        connections,
        "limits.connections_max = {configured} takes {wanted} file descriptors and the process may \
         have {allowed}: at most {connections} connections are accepted; raise `ulimit -n`, or set a \
         lower limits.connections_max"
    );
    usize::try_from(connections).unwrap_or(usize::MAX)
}

fn limits(config: &Config) -> gateway::Limits {
    let limits = &config.limits;
    gateway::Limits {
        connections_max: connections_max(limits.connections_max),
        open: OpenLimits { frame_max: limits.frame_max_bytes as usize, strict_reserved: true },
        pending_output_max: usize::try_from(limits.pending_output_max_bytes).unwrap_or(usize::MAX),
        pending_output_total: usize::try_from(limits.pending_output_total_bytes)
            .unwrap_or(usize::MAX),
        read_budget: usize::try_from(config.gateway.read_budget_bytes).unwrap_or(usize::MAX),
        logon_timeout_ms: config.gateway.logon_timeout_ms,
        idle_timeout_ms: config.gateway.idle_timeout_ms,
        slow_reader_timeout_ms: limits.slow_reader_timeout_ms,
        pending_max: limits.pending_max,
        refuses_above: config.priorities.above_entitlement == config::AboveEntitlement::Refuse,
        slow_ms: config.overload.slow_ms,
        retry_after_ms: config.overload.retry_after_s * 1_000,
        rate: (limits.rate_max > 0)
            .then(|| Rate { max: limits.rate_max, window_ms: limits.rate_window_s * 1_000 }),
    }
}

/// The doors of all gateways and who checks their signatures, and the address that was bound.
fn outsides(
    address: SocketAddr,
    count: u8,
    plan: &Plan,
    parkers: &BTreeMap<&'static str, Parker>,
) -> Result<(Vec<Outside<Entrance>>, SocketAddr), StartError> {
    let key = "gateway.native.listen";
    let refused = |source| StartError::Listen { key, address, source };
    let home = |number| &parkers[plan.thread_of(Stage::Gateway(number))];
    let (mut deals, mut doors) = (Vec::new(), Vec::new());
    for number in 1..count {
        let (deal, door) =
            dealt(home(number).registry(), home(number).unparker()).map_err(refused)?;
        deals.push(deal);
        doors.push(Entrance::Dealt(door));
    }
    let listener = Listener::bind(address, home(0).registry(), deals).map_err(refused)?;
    let native = listener.address().map_err(refused)?;
    doors.insert(0, Entrance::Listener(listener));
    let mut outsides = Vec::new();
    for (number, door) in (0..).zip(doors) {
        let verifier = Worker::start(home(number).unparker(), plan.verify_core)
            .map_err(|source| StartError::Thread { thread: "verify".into(), source })?;
        let (verifier, random) = (Box::new(verifier), Box::new(SystemRandom));
        outsides.push(Outside { door, verifier, random });
    }
    Ok((outsides, native))
}

/// Memory that is made resident at start, at most.
const WARM_MAX_BYTES: usize = 256 * 1024 * 1024;

/// Makes the large tables resident, on a thread that ends with that: neither the start nor the first
/// orders wait for it. Tables beyond [`WARM_MAX_BYTES`] are left to fill as they are used, and where
/// there is no thread to be had all are.
fn warm(state: &mut State, core: Option<usize>) {
    state.order.dedupe.end_replay();
    let regions = [state.order.dedupe.memory(), state.exchange.memory()];
    let mut left = WARM_MAX_BYTES;
    let regions: Vec<Region> = regions
        .into_iter()
        .flatten()
        .filter(|region| {
            let fits = region.size_bytes() <= left;
            left -= if fits { region.size_bytes() } else { 0 };
            fits
        })
        .collect();
    let warming = std::thread::Builder::new().name("warm".into()).spawn(move || {
        if let Some(core) = core {
            thread::pin("warm", core);
        }
        regions.iter().for_each(Region::make_resident);
    });
    if let Err(error) = warming {
        tracing::warn!(%error, "no thread to make tables resident; they become so with use");
    }
}

/// A place to sleep for each thread of the plan, by its name.
fn parkers(plan: &Plan) -> Result<BTreeMap<&'static str, Parker>, StartError> {
    let parker = |thread: &ThreadPlan| match Parker::new() {
        Ok(parker) => Ok((thread.name, parker)),
        Err(source) => Err(StartError::Thread { thread: thread.name.into(), source }),
    };
    plan.threads.iter().map(parker).collect()
}

fn start_threads(
    plan: &Plan,
    agents: Agents,
    parkers: &mut BTreeMap<&'static str, Parker>,
    stats: &Stats,
    stop: &Arc<Stop>,
) -> Result<Vec<(String, JoinHandle<()>)>, StartError> {
    let mut agents: BTreeMap<Stage, Box<dyn Agent>> = agents.into_iter().collect();
    let wakers: BTreeMap<&str, Unparker> =
        parkers.iter().map(|(name, parker)| (*name, parker.unparker())).collect();
    let mut threads = Vec::new();
    for thread in &plan.threads {
        let take = |stage| agents.remove(stage).expect("a plan places every stage once");
        let crew = Crew {
            name: thread.name.to_owned(),
            agents: thread.stages.iter().map(take).collect(),
            core: thread.core,
            idle: thread.idle,
            follows: thread.follows,
            parker: parkers.remove(thread.name).expect("every thread has a place to sleep"),
            wakes: thread.wakes.iter().map(|name| wakers[name].clone()).collect(),
            meter: stats.meter(thread.name),
        };
        let handle = crew
            .start(stop.clone())
            .map_err(|source| StartError::Thread { thread: thread.name.into(), source })?;
        threads.push((thread.name.to_owned(), handle));
    }
    Ok(threads)
}
