//! Retention of a data directory: what the journal and the event log may let go of, and doing it.
//!
//! Never on the way of an order: a thread of its own, and a command while no node runs. The journal
//! keeps all that a replay from the oldest sound snapshot needs, the event log goes back as far as the
//! journal and the duplicate window; registered readers and lanes hold both. Before a part of the
//! journal goes, the event log is durable up to the snapshot, because nothing else could make it again.

use super::boot::Logs;
use super::stages::Cursors;
use crate::agent::FailStop;
use crate::config;
use crate::fatal::StopReason;
use crate::journal::format::LogKind;
use crate::journal::info::{LogInfo, info};
use crate::journal::reader::Reader;
use crate::journal::retention::marker::Retired;
use crate::journal::retention::readers::{self, ReaderError};
use crate::journal::retention::{
    Bound, Keeper, Limits, Plan, RetireError, Shelf, Used, plan, retire as retire_log,
    sync_between, used,
};
use crate::journal::view::Verify;
use crate::snapshot::store::{Oldest, Store, StoreError};
use crate::stats::Stats;
use crate::sys::clock::Clock;
use crate::types::{Sequence, TimeNs};
use crossbeam::channel::{RecvTimeoutError, Sender, bounded};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use thiserror::Error;

/// Time between two looks of a running node.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Segments of a log that a running node retires at a look, so that it can stop soon.
const AT_ONCE: usize = 4;
/// Looks that are left out after one that failed, at most: each more than before.
const PAUSE_MAX: u64 = 11;
/// Time between two warnings that nothing can be retired.
const WARN_EVERY_LOOKS: u64 = 60;

/// What retention is decided by.
#[derive(Clone)]
pub struct RetentionInputs {
    /// The logs.
    pub logs: Logs,
    /// How much of the journal, and of the event log, is kept.
    pub limits: Limits,
    /// Where retired segments go; nowhere where there is none.
    pub archive: Option<PathBuf>,
    /// The time.
    pub now: TimeNs,
    /// How far the lanes of the node are that runs on the logs.
    pub live: Option<Cursors>,
}

impl RetentionInputs {
    /// As configured.
    #[must_use]
    pub fn new(config: &config::Retention, logs: &Logs, now: TimeNs) -> RetentionInputs {
        let age_ns = config.age_s * 1_000_000_000;
        let limits = Limits { bytes: config.bytes, age_ns, at_once: 0 };
        let archive = (config.archive != "off").then(|| PathBuf::from(&config.archive));
        RetentionInputs { logs: logs.clone(), limits, archive, now, live: None }
    }
}

/// Why nothing, or not all that may go, was retired.
#[derive(Debug, Error)]
pub enum RetentionError {
    /// As a log or the archive tells.
    #[error(transparent)]
    Retire(#[from] RetireError),
    /// Nobody can say what registered readers need.
    #[error("nothing was retired: {0}")]
    Readers(#[from] ReaderError),
    /// Nobody can say which snapshots there are.
    #[error("nothing was retired: {0}")]
    Store(#[from] StoreError),
    /// A log cannot be looked at.
    #[error("nothing was retired: cannot look at {}: {source}", path.display())]
    Look {
        /// Its directory.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

impl RetentionError {
    /// Why a node has to stop that meets this; `None` where it goes on, and tries again later.
    #[must_use]
    pub fn stops(&self) -> Option<StopReason> {
        match self {
            RetentionError::Retire(RetireError::Log { action: "sync", .. }) => {
                Some(StopReason::JournalSync)
            }
            RetentionError::Retire(error) if error.is_final() => Some(StopReason::JournalWrite),
            _ => None,
        }
    }
}

/// What may go of one log.
#[derive(Clone, Debug)]
pub struct LogPlan {
    /// The log.
    pub kind: LogKind,
    /// Its segments with records.
    pub segments: Vec<Used>,
    /// How many of them may go, and what holds the next one.
    pub plan: Plan,
}

impl LogPlan {
    /// The first sequence that stays; 0 where the log is empty.
    #[must_use]
    pub fn first_kept(&self) -> Sequence {
        self.segments.get(self.plan.count).map_or(Sequence::NONE, |segment| segment.first)
    }
}

/// What may go.
#[derive(Clone, Debug)]
pub struct Plans {
    /// Of the journal.
    pub commands: LogPlan,
    /// Of the event log.
    pub events: LogPlan,
    /// What was found out of snapshots; nothing where no limit is passed.
    pub snapshots: Option<Checked>,
}

impl Plans {
    /// The oldest sound snapshot; not looked for where no limit is passed.
    #[must_use]
    pub fn snapshot(&self) -> Option<Sequence> {
        let oldest = self.snapshots.as_ref()?.oldest?;
        Some(oldest.head.sequence)
    }
}

/// The oldest sound one of some snapshots.
#[derive(Clone, Debug)]
pub struct Checked {
    /// All of them.
    listed: Vec<Sequence>,
    oldest: Option<Oldest>,
}

/// What was retired.
#[derive(Clone, Debug)]
pub struct Done {
    /// What was decided, and done.
    pub plans: Plans,
    /// Where the journal begins now, if something of it was ever retired.
    pub commands: Option<Retired>,
    /// The same of the event log.
    pub events: Option<Retired>,
}

/// Decides what may go; changes nothing.
///
/// # Errors
/// [`RetentionError`].
pub fn decide(inputs: &RetentionInputs) -> Result<Plans, RetentionError> {
    decide_knowing(inputs, None)
}

/// The same, where these snapshots were checked already: if they are still the same ones.
fn decide_knowing(
    inputs: &RetentionInputs,
    known: Option<&Checked>,
) -> Result<Plans, RetentionError> {
    let RetentionInputs { logs, now, .. } = inputs;
    let at_once = if inputs.live.is_some() { AT_ONCE } else { 0 };
    let limits = Limits { at_once, ..inputs.limits };
    let segments = [used(&logs.commands)?, used(&logs.events)?];
    let is_wished = segments.iter().any(|segments| {
        let unbound = plan(segments, limits, &[], *now);
        unbound.count > 0 || unbound.held.is_some()
    });
    // Snapshots are read whole to be checked: not where nothing is to go.
    let bounds = if is_wished { Some(Bounds::look(inputs, known)?) } else { None };
    let log_plan = |kind, segments: Vec<Used>, bounds: &[Bound]| {
        let plan = plan(&segments, limits, bounds, *now);
        LogPlan { kind, segments, plan }
    };
    let [commands, events] = segments;
    let of_commands = bounds.as_ref().map_or(Vec::new(), Bounds::of_commands);
    let commands = log_plan(LogKind::Commands, commands, &of_commands);
    let begin = commands.first_kept();
    let of_events = bounds.as_ref().map_or(Vec::new(), |bounds| bounds.of_events(begin));
    let events = log_plan(LogKind::Events, events, &of_events);
    let snapshots = bounds.map(|bounds| bounds.snapshots);
    Ok(Plans { commands, events, snapshots })
}

/// Decides what may go, and retires it.
///
/// # Errors
/// [`RetentionError`]; whoever runs a node stops it where [`RetentionError::stops`] says so.
pub fn retire(inputs: &RetentionInputs) -> Result<Done, RetentionError> {
    retire_telling(inputs, &mut |_| ())
}

/// The same; `tell` is called for each log of which all is done.
fn retire_telling(
    inputs: &RetentionInputs,
    tell: &mut dyn FnMut(&LogPlan),
) -> Result<Done, RetentionError> {
    let RetentionInputs { logs, archive, .. } = inputs;
    let plans = decide(inputs)?;
    let storage = logs.commands.storage();
    let shelf = archive.as_ref().map(|dir| Shelf::new(storage.clone(), dir));
    if let (Some(snapshot), 1..) = (plans.snapshot(), plans.commands.plan.count) {
        let from = plans.commands.segments[0].first;
        sync_between(&logs.events, &plans.events.segments, from, snapshot)?;
    }
    let shelf = shelf.as_ref();
    // The journal first: the event log goes back as far as it does.
    let of = &plans.commands;
    let commands = retire_log(&logs.commands, &of.segments, &of.plan, shelf)?;
    tell(of);
    let of = &plans.events;
    let events = retire_log(&logs.events, &of.segments, &of.plan, shelf)?;
    tell(of);
    Ok(Done { plans, commands, events })
}

/// Everything that holds a part of a log.
struct Bounds<'a> {
    inputs: &'a RetentionInputs,
    snapshots: Checked,
    readers: Vec<readers::Reader>,
    journal: LogInfo,
    events: LogInfo,
}

/// The last sequence before this one.
fn before(sequence: Sequence) -> Sequence {
    Sequence(sequence.0.saturating_sub(1))
}

impl<'a> Bounds<'a> {
    fn look(
        inputs: &'a RetentionInputs,
        known: Option<&Checked>,
    ) -> Result<Bounds<'a>, RetentionError> {
        let logs = &inputs.logs;
        let log = &logs.commands;
        let storage = log.storage();
        let readers = readers::list(&**storage, log.data_dir())?;
        let unseen = |path: &Path| {
            let path = path.to_owned();
            |source| RetentionError::Look { path, source }
        };
        let journal = info(log).map_err(unseen(log.dir()))?;
        let events = info(&logs.events).map_err(unseen(logs.events.dir()))?;
        let store = Store::new(storage.clone(), log.data_dir());
        let listed: Vec<Sequence> = store.list()?.iter().map(|(sequence, _)| *sequence).collect();
        let oldest = match known.filter(|known| known.listed == listed) {
            Some(known) => known.oldest,
            None => {
                let mut reader = Reader::new(log.clone(), journal.first, Verify::Structure);
                // A journal that cannot be read has no snapshot that it goes on from.
                let batch = reader.next_batch(Sequence(u64::MAX)).ok().flatten();
                let id = batch.map(|batch| batch.id());
                id.map(|id| store.oldest(log, id)).transpose()?.flatten()
            }
        };
        let snapshots = Checked { listed, oldest };
        Ok(Bounds { inputs, snapshots, readers, journal, events })
    }

    fn of_commands(&self) -> Vec<Bound> {
        let mut bounds = self.of_readers(LogKind::Commands);
        bounds.push(Bound { keeper: Keeper::Sync, upto: self.journal.synced_to });
        match &self.snapshots.oldest {
            // A reader goes on behind the snapshot's own batch, which is therefore kept as well.
            Some(Oldest { head, .. }) => {
                let (keeper, upto) = (Keeper::Snapshot(head.sequence), before(head.sequence));
                bounds.push(Bound { keeper, upto });
                if self.events.last < head.sequence {
                    bounds.push(Bound { keeper: Keeper::EventLog, upto: Sequence::NONE });
                }
            }
            None => bounds.push(Bound { keeper: Keeper::NoSnapshot, upto: Sequence::NONE }),
        }
        if let Some(Cursors { normal, batch, .. }) = &self.inputs.live {
            for (name, cursor) in [("normal", normal), ("batch", batch)] {
                let at = cursor.get();
                bounds.push(Bound { keeper: Keeper::Lane(name, at), upto: at });
            }
        }
        bounds
    }

    /// The same for the event log, where the journal begins with `begin`.
    fn of_events(&self, begin: Sequence) -> Vec<Bound> {
        let mut bounds = self.of_readers(LogKind::Events);
        bounds.push(Bound { keeper: Keeper::Journal(begin), upto: before(begin) });
        let known = self.snapshots.oldest.and_then(|oldest| oldest.oldest_known);
        bounds.extend(known.map(|known| {
            let keeper = Keeper::Duplicates(known);
            Bound { keeper, upto: before(known) }
        }));
        if let Some(Cursors { normal_events, .. }) = &self.inputs.live {
            let at = normal_events.get();
            bounds.push(Bound { keeper: Keeper::Lane("normal", at), upto: at });
        }
        bounds
    }

    fn of_readers(&self, kind: LogKind) -> Vec<Bound> {
        let readers = self.readers.iter().filter(|reader| reader.log == kind);
        readers
            .map(|reader| {
                let keeper = Keeper::Reader(reader.name.clone(), reader.sequence);
                Bound { keeper, upto: reader.sequence }
            })
            .collect()
    }
}

/// Retires now and then while a node runs; ends when it is dropped.
pub struct Retiring {
    ends: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Retiring {
    /// Starts the thread; `None` where no limit is set.
    ///
    /// # Errors
    /// The operating system has no thread.
    pub fn start(
        inputs: RetentionInputs,
        clock: Box<dyn Clock>,
        stop: Arc<dyn FailStop>,
        core: Option<usize>,
        stats: Arc<Stats>,
    ) -> io::Result<Option<Retiring>> {
        if !inputs.limits.any() {
            return Ok(None);
        }
        let (ends, ended) = bounded(1);
        let thread = std::thread::Builder::new().name("retention".into()).spawn(move || {
            if let Some(core) = core {
                crate::sys::thread::pin("retention", core);
            }
            let mut looks =
                Looks { inputs, stats, looks: 0, pause: 0, next: 0, known: None, warned: None };
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(LOOK_EVERY) {
                looks.inputs.now = TimeNs(clock.wall_ns());
                if let Err(error) = looks.look()
                    && let Some(reason) = error.stops()
                {
                    stop.fail(reason, &error.to_string());
                    return;
                }
            }
        })?;
        Ok(Some(Retiring { ends: Some(ends), thread: Some(thread) }))
    }
}

impl Drop for Retiring {
    fn drop(&mut self) {
        self.ends = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was told by its hook.
            let _ = thread.join();
        }
    }
}

/// What a thread that retires remembers from look to look.
struct Looks {
    inputs: RetentionInputs,
    stats: Arc<Stats>,
    looks: u64,
    /// Looks that are left out after the last one that failed.
    pause: u64,
    /// The look that does something again.
    next: u64,
    /// Snapshots that were checked: not again at every look, but before anything goes.
    known: Option<Checked>,
    /// What was warned of, and at which look.
    warned: Option<(String, u64)>,
}

impl Looks {
    fn look(&mut self) -> Result<(), RetentionError> {
        self.looks += 1;
        if self.looks < self.next {
            return Ok(());
        }
        match self.retire() {
            Ok(()) => {
                (self.pause, self.warned) = (0, None);
                Ok(())
            }
            Err(error) => {
                self.stats.retention.failures.add(1);
                self.pause = (2 * self.pause + 1).min(PAUSE_MAX);
                self.next = self.looks + 1 + self.pause;
                self.warn(&error);
                Err(error)
            }
        }
    }

    fn retire(&mut self) -> Result<(), RetentionError> {
        if let Some(known) = &self.known {
            let plans = decide_knowing(&self.inputs, Some(known))?;
            if plans.commands.plan.count == 0 && plans.events.plan.count == 0 {
                tell(&self.stats, &plans.commands);
                tell(&self.stats, &plans.events);
                self.known = plans.snapshots.or(self.known.take());
                return Ok(());
            }
        }
        let stats = &self.stats;
        let done = retire_telling(&self.inputs, &mut |of| tell(stats, of))?;
        self.known = done.plans.snapshots;
        Ok(())
    }

    fn warn(&mut self, error: &RetentionError) {
        let text = error.to_string();
        let told = self
            .warned
            .as_ref()
            .is_some_and(|(before, at)| *before == text && self.looks - at < WARN_EVERY_LOOKS);
        if !told {
            tracing::warn!("{text}; it is tried again");
            self.warned = Some((text, self.looks));
        }
    }
}

/// Tells what is done with a log.
fn tell(stats: &Stats, of: &LogPlan) {
    let told = match of.kind {
        LogKind::Commands => &stats.retention.commands,
        _ => &stats.retention.events,
    };
    told.first.set(of.first_kept().0);
    if of.plan.count > 0 {
        told.segments.add(of.plan.count as u64);
        told.bytes.add(of.plan.bytes);
        tracing::info!(
            log = of.kind.as_str(),
            segments = of.plan.count,
            bytes = of.plan.bytes,
            kept_bytes = of.plan.kept_bytes,
            first_sequence = of.first_kept().0,
            "segments were retired"
        );
    }
}
