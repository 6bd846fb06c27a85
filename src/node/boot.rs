//! From a data directory to running state, before any port opens.
//!
//! An empty journal gets its genesis as one atomic batch; otherwise the journal is recovered and
//! replayed behind the newest snapshot. Either way the event log is cut to the journal's end, compared
//! and completed.

use super::poison::Poison;
use super::rebuild::{Rebuilt, base, rebuild};
use super::state::{State, TooNew};
use crate::command::Command;
use crate::exchange::{Context, Exchange, Outbox};
use crate::fatal::StopReason;
use crate::genesis::{APPLICATION_VERSION, GenesisItem};
use crate::journal;
use crate::journal::batch::{BatchBuilder, BatchLimits, RecordFields};
use crate::journal::event_log::EventLogWriter;
use crate::journal::format::{JournalId, LogKind, RecordKind, Tip};
use crate::journal::info::{LogInfo, info};
use crate::journal::payload::EpochStart;
use crate::journal::reader::ReadError;
use crate::journal::recovery::{Begin, Recovered, RecoveryError, recover, recover_behind};
use crate::journal::reject_log::RejectLog;
use crate::journal::segment::{LogDir, Preparer};
use crate::journal::view::Flaw;
use crate::journal::writer::{Appended, Fault, Syncer, Writer};
use crate::lanes::apply::CannotApply;
use crate::publish::rest::Numbers;
use crate::snapshot::Snapshot;
use crate::snapshot::store::{Store, StoreError};
use crate::sys::storage::{Append, Storage};
use crate::types::{Epoch, Sequence, TimeNs};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;
use zerocopy::IntoBytes;

/// Files of the reject log that are kept.
const REJECT_SEGMENTS_MAX: usize = 4;
/// Bytes of a file of the reject log.
const REJECT_SEGMENT_BYTES: u64 = crate::limits::SEGMENT_MIN_BYTES;

/// Why a node cannot start from its data directory.
#[derive(Debug, Error)]
pub enum BootError {
    /// The journal or a log derived from it cannot be recovered.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// The journal cannot be read back.
    #[error("the journal cannot be replayed: {0}")]
    Read(#[from] ReadError),
    /// The directory of snapshots cannot be used as it must be.
    #[error(transparent)]
    Snapshots(#[from] StoreError),
    /// The disk failed.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// A directory or segment cannot be prepared.
    #[error("cannot prepare {}: {source}", path.display())]
    Prepare {
        /// The directory.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// There is no space for the first segments.
    #[error("no space below {} for the first segments: {needed} bytes each", path.display())]
    NoSpace {
        /// The directory.
        path: PathBuf,
        /// Bytes of a segment.
        needed: u64,
    },
    /// An item of genesis was refused.
    #[error("genesis item {number} ({item}) was refused: {reason}")]
    Genesis {
        /// Its place, from 1.
        number: usize,
        /// The item.
        item: String,
        /// Why.
        reason: String,
    },
    /// The event log does not begin with the journal.
    #[error(
        "the event log in {} begins at sequence {first}: move that directory away, it is rebuilt from the journal",
        dir.display()
    )]
    EventLogIncomplete {
        /// Its directory.
        dir: PathBuf,
        /// Where it begins.
        first: Sequence,
    },
    /// No snapshot goes on from what the event log holds, and the first record is retired.
    #[error(
        "no snapshot goes on from what the event log in {} holds: in segment {segment}, offset {offset}, \
         sequence {sequence}, {what}; it cannot be made again from the journal's first record, because \
         older segments of the journal were retired; the event log was not changed; put the directory \
         `events` of a copy of this data directory in its place, or put the retired segments of the \
         journal back, remove {} there and move {} away",
        dir.display(), crate::journal::retention::marker::NAME, dir.display()
    )]
    EventLogLost {
        /// Its directory.
        dir: PathBuf,
        /// The segment.
        segment: u64,
        /// Byte in its file.
        offset: u64,
        /// The first sequence that is not there as it was written.
        sequence: Sequence,
        /// What is there instead.
        what: String,
    },
    /// The journal is empty, and what was made from one is there.
    #[error(
        "the journal in {} is empty, and {} was made from one: put the journal back, or begin a new venue \
         with another --data-dir",
        dir.display(),
        remains.display()
    )]
    JournalLost {
        /// The journal's directory.
        dir: PathBuf,
        /// What is left of it.
        remains: PathBuf,
    },
    /// A newer release wrote the journal.
    #[error(transparent)]
    TooNew(#[from] TooNew),
    /// A record cannot be applied by this release.
    #[error(transparent)]
    CannotApply(#[from] CannotApply),
    /// Applying a record has ended the process too often.
    #[error(transparent)]
    Poison(#[from] Poison),
    /// Replay gave other events than the event log holds.
    #[error(
        "replaying the journal up to sequence {sequence} gave other events than the event log holds"
    )]
    Diverged {
        /// Up to where they were compared.
        sequence: Sequence,
    },
}

impl BootError {
    /// Why a process ends that meets this.
    #[must_use]
    pub fn reason(&self) -> StopReason {
        match self {
            BootError::Recovery(RecoveryError::Damage {
                flaw: Flaw::Version | Flaw::Kind, ..
            })
            | BootError::TooNew(_)
            | BootError::CannotApply(
                CannotApply::Kind { .. } | CannotApply::Payload { .. } | CannotApply::Rules { .. },
            ) => StopReason::JournalTooNew,
            BootError::Recovery(RecoveryError::Damage { .. } | RecoveryError::Retired { .. }) => {
                StopReason::JournalDamaged
            }
            BootError::Recovery(RecoveryError::Io { action, .. }) => of_action(action),
            BootError::Read(_) => StopReason::LogRead,
            BootError::Fault(fault) => of_action(fault.action),
            BootError::Snapshots(error) => of_action(error.action),
            BootError::Prepare { .. } => StopReason::SegmentPreparation,
            // Its advice names free space; that of a failed preparation rules it out.
            BootError::NoSpace { .. } => StopReason::DataDirUnusable,
            BootError::Genesis { .. } => StopReason::GenesisRefused,
            BootError::EventLogIncomplete { .. } | BootError::EventLogLost { .. } => {
                StopReason::DataDirUnusable
            }
            BootError::CannotApply(CannotApply::Quarantine { .. })
            | BootError::JournalLost { .. } => StopReason::JournalDamaged,
            BootError::Poison(_) => StopReason::PoisonRecord,
            BootError::Diverged { .. } => StopReason::ReplayDiverged,
        }
    }
}

/// What a failed call of the disk is to whoever looks at the status.
pub(super) fn of_action(action: &str) -> StopReason {
    match action {
        "sync" => StopReason::JournalSync,
        "write" | "write to" | "write again" | "append to" | "zero" | "rename" => {
            StopReason::JournalWrite
        }
        _ => StopReason::DataDirUnusable,
    }
}

/// Where the logs lie and how they are written.
#[derive(Clone)]
pub struct Logs {
    /// The journal.
    pub commands: LogDir,
    /// `critical`'s event log.
    pub events: LogDir,
    /// What got no sequence.
    pub rejects: LogDir,
    /// Snapshots of the state.
    pub snapshots: Store,
    /// Segments kept ahead.
    pub segments_ahead: usize,
}

impl Logs {
    /// The logs below a data directory.
    #[must_use]
    pub fn new(
        storage: &Arc<dyn Storage>,
        data_dir: &Path,
        append: Append,
        segment_size: u64,
        segments_ahead: usize,
    ) -> Logs {
        let log = |kind, size| LogDir::new(storage.clone(), data_dir, kind, append, size);
        Logs {
            commands: log(LogKind::Commands, segment_size),
            events: log(LogKind::Events, segment_size),
            rejects: log(LogKind::Rejects, REJECT_SEGMENT_BYTES),
            snapshots: Store::new(storage.clone(), data_dir),
            segments_ahead,
        }
    }
}

/// What an empty journal begins with.
pub struct Genesis {
    /// The items, settings first.
    pub items: Vec<GenesisItem>,
    /// Commands that follow in the same batch: the initial deposits.
    pub commands: Vec<Command>,
    /// Their time.
    pub time: TimeNs,
}

/// A node's state and logs, ready for the stages.
pub struct Booted {
    /// What the journal has built.
    pub state: State,
    /// Encodes the journal's next batch.
    pub batches: BatchBuilder,
    /// Writes it.
    pub writer: Writer,
    /// Prepares the journal's segments.
    pub preparer: Preparer,
    /// Writes the event log.
    pub event_log: EventLogWriter,
    /// Where each session's outbound numbers stand in it.
    pub numbers: Numbers,
    /// Prepares the event log's segments.
    pub event_preparer: Preparer,
    /// Writes the reject log.
    pub reject_log: RejectLog,
    /// Sequence of the snapshot that the state began with; 0 for none.
    pub snapshot: Sequence,
    /// Records replayed behind it.
    pub replayed: u64,
    /// Bytes of an unfinished end that were cut.
    pub cut_bytes: u64,
}

/// How far a start has come; shown by whoever waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The journal is being checked.
    Checking(journal::Progress),
    /// Its records are being applied.
    Replaying {
        /// Records applied.
        done: u64,
        /// Records to apply.
        of: u64,
    },
}

/// Recovers a data directory, or gives an empty one its genesis.
///
/// # Errors
/// [`BootError`].
pub fn boot(
    logs: &Logs,
    genesis: impl FnOnce() -> Genesis,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Booted, BootError> {
    create(&logs.commands)?;
    create(&logs.events)?;
    logs.snapshots.clean()?;
    // Before recovery, which cuts and rewrites: a journal that is not ours to read stays as it is.
    let known = look(&logs.commands)?;
    TooNew::check(&known)?;
    let base = base(logs, known.id, look(&logs.events)?.last)?;
    let segment = base.as_ref().map_or(Ok(0), |base| logs.commands.segment_of(base.sequence()));
    let start = Begin {
        segment: segment.map_err(|source| unseen(&logs.commands, source))?,
        needed: base.as_ref().map_or(Sequence::NONE, Snapshot::sequence).next(),
        durable: known.id.map_or(Ok(Sequence::NONE), |id| logs.snapshots.reached(id))?,
    };
    let checking = &mut |at: &_| progress(&Progress::Checking(*at));
    let mut recovered = recover_behind(&logs.commands, start, checking)?;
    if recovered.is_empty() {
        refuse_remains(logs)?;
        begin(logs, &recovered, &genesis())?;
        recovered = recover(&logs.commands, Sequence(1), checking)?;
    }
    let id = recovered.id.expect("a journal with a batch has an id");
    let (mut preparer, prepared) =
        Preparer::new(logs.commands.clone(), &recovered, logs.segments_ahead);
    if prepared.count() == 0 {
        prepare(&logs.commands, &mut preparer)?;
    }
    let batches = BatchBuilder::new(LogKind::Commands, id, recovered.tip)
        .with_capacity(crate::limits::WRITE_MAX_BYTES);
    let Rebuilt { event_log, event_preparer, state, numbers, snapshot, replayed } =
        rebuild(logs, id, recovered.tip.sequence, base, progress)?;
    // A release that does not know these rules is to see it before it reads a record.
    let version = state.exchange.version();
    let writer = Writer::new(logs.commands.clone(), id, version, &recovered, prepared)?;
    let reject_log = RejectLog::open(logs.rejects.clone(), id, version, REJECT_SEGMENTS_MAX)?;
    let cut_bytes = recovered.cut.iter().map(|cut| cut.bytes).sum();
    Ok(Booted {
        state,
        batches,
        writer,
        preparer,
        event_log,
        numbers,
        event_preparer,
        reject_log,
        snapshot,
        replayed,
        cut_bytes,
    })
}

/// What a log's headers tell.
pub(super) fn look(log: &LogDir) -> Result<LogInfo, BootError> {
    Ok(info(log).map_err(|source| unseen(log, source))?)
}

fn unseen(log: &LogDir, source: io::Error) -> RecoveryError {
    RecoveryError::Io { action: "look at", path: log.dir().to_owned(), source }
}

/// Refuses an empty journal beside what only a journal can have left: it is lost, and a new venue in its
/// place would hide that.
fn refuse_remains(logs: &Logs) -> Result<(), BootError> {
    match remains(logs)? {
        Some(remains) => {
            Err(BootError::JournalLost { dir: logs.commands.dir().to_owned(), remains })
        }
        None => Ok(()),
    }
}

/// A snapshot, or an event log, that only a journal can have left.
///
/// # Errors
/// [`BootError`] where nobody can say.
pub fn remains(logs: &Logs) -> Result<Option<PathBuf>, BootError> {
    let snapshots = logs.snapshots.list()?;
    let mut heads = snapshots.iter().filter(|(at, path)| logs.snapshots.head(*at, path).is_ok());
    if let Some((_, path)) = heads.next() {
        return Ok(Some(path.clone()));
    }
    Ok((!look(&logs.events)?.is_empty()).then(|| logs.events.dir().to_owned()))
}

fn create(log: &LogDir) -> Result<(), BootError> {
    log.create().map_err(|source| BootError::Prepare { path: log.dir().to_owned(), source })
}

/// Prepares one segment now; further ones come from the helper thread.
pub(super) fn prepare(log: &LogDir, preparer: &mut Preparer) -> Result<(), BootError> {
    let path = || log.dir().to_owned();
    while preparer.ready_count() == 0 {
        match preparer.do_work() {
            Ok(0) => return Err(BootError::NoSpace { path: path(), needed: log.segment_size() }),
            Ok(_) => {}
            Err(source) => return Err(BootError::Prepare { path: path(), source }),
        }
    }
    Ok(())
}

/// Writes and syncs the first batch: the reign's start, genesis, the initial deposits. It is one
/// batch, so that a first start that fails half-way leaves an empty journal.
fn begin(logs: &Logs, recovered: &Recovered, genesis: &Genesis) -> Result<(), BootError> {
    check(genesis)?;
    let Some(GenesisItem::Settings(settings)) = genesis.items.first() else {
        unreachable!("the exchange has just accepted the settings as the first item");
    };
    let id = JournalId::from_seed(&settings.seed);
    let mut batches = BatchBuilder::new(LogKind::Commands, id, Tip::START);
    batches.set_limits(BatchLimits::genesis(logs.commands.segment_size()));
    batches.begin(Epoch(1), Sequence::NONE);
    let too_large = |_| BootError::Genesis {
        number: 0,
        item: "all".to_owned(),
        reason: "together they do not fit into one segment of the journal".to_owned(),
    };
    let mut sequence = Sequence::NONE;
    let mut next = |kind| {
        sequence = sequence.next();
        RecordFields::new(kind, sequence, genesis.time)
    };
    let start = EpochStart::new(1, 0, 0);
    let fields = next(RecordKind::EpochStart);
    batches.push(&fields, &[], Some(start.as_bytes())).map_err(too_large)?;
    for item in &genesis.items {
        let fields = next(RecordKind::Genesis);
        batches.push(&fields, &[], Some(&item.encode())).map_err(too_large)?;
    }
    for command in &genesis.commands {
        let mut payload = Vec::new();
        command.encode(&mut payload);
        let fields = RecordFields { schema: command.schema(), ..next(RecordKind::Command) };
        batches.push(&fields, &[], Some(&payload)).map_err(too_large)?;
    }
    batches.seal();
    let (mut preparer, prepared) = Preparer::new(logs.commands.clone(), recovered, 1);
    prepare(&logs.commands, &mut preparer)?;
    let log = logs.commands.clone();
    let version = genesis.items.iter().find_map(|item| match item {
        GenesisItem::Settings(settings) => Some(settings.application_version),
        _ => None,
    });
    let version = version.unwrap_or(APPLICATION_VERSION);
    let mut writer = Writer::new(log, id, version, recovered, prepared)?;
    let appended = writer.append(batches.sealed())?;
    assert_eq!(appended, Appended::Written, "a segment was prepared for it");
    let mut syncer = Syncer::new(Sequence::NONE);
    while let Some(job) = writer.take_sync() {
        syncer.sync(&job)?;
    }
    Ok(())
}

/// Applies genesis to an exchange of its own, so that what is refused is never written.
fn check(genesis: &Genesis) -> Result<(), BootError> {
    let mut exchange = Exchange::new();
    for (number, item) in (1..).zip(&genesis.items) {
        exchange.define(item).map_err(|reason| BootError::Genesis {
            number,
            item: String::from_utf8_lossy(&item.encode()).into_owned(),
            reason: reason.to_string(),
        })?;
    }
    let mut outbox = Outbox::default();
    for (number, command) in (1..).zip(&genesis.commands) {
        let context = Context { sequence: Sequence(number), ..Context::default() };
        exchange.apply(&context, command, &mut outbox);
        if let Some(reason) = outbox.result().and_then(|result| result.reason) {
            return Err(BootError::Genesis {
                number: genesis.items.len() + number as usize,
                item: format!("{command:?}"),
                reason: reason.text().to_owned(),
            });
        }
    }
    Ok(())
}
