//! A data directory as offline tools see it: read-only, without its lock, beside a running node or on
//! a copy.

use super::venue::Venue;
use super::{Failure, Global};
use crate::config::Config;
use crate::genesis::GenesisItem;
use crate::journal::format::{LogKind, RecordKind};
use crate::journal::info::{LogInfo, info};
use crate::journal::reader::Reader;
use crate::journal::segment::LogDir;
use crate::journal::view::Verify;
use crate::node::boot::{BootError, Logs, remains};
use crate::snapshot::store::Store;
use crate::sys::disk::Disk;
use crate::sys::lock::is_held;
use crate::timestamp;
use crate::types::{Sequence, TimeNs};
use std::io;
use std::path::{Path, PathBuf};

/// The logs of a data directory.
pub(super) struct Offline {
    pub(super) data_dir: PathBuf,
    pub(super) logs: Logs,
    /// A node is writing them now.
    pub(super) running: bool,
}

impl Offline {
    /// Finds the journal of the configured data directory.
    pub(super) fn open(global: &Global) -> Result<Offline, Failure> {
        let config = global.load()?.config;
        let data_dir = PathBuf::from(&config.node.data_dir);
        Offline::of(&config, data_dir)
    }

    /// Finds the journal of some data directory.
    pub(super) fn at(data_dir: &Path, global: &Global) -> Result<Offline, Failure> {
        Offline::of(&global.load()?.config, data_dir.to_owned())
    }

    fn of(config: &Config, data_dir: PathBuf) -> Result<Offline, Failure> {
        let logs = crate::node::logs(config, &Disk::shared(), &data_dir);
        let commands = logs.commands.dir();
        if !commands.is_dir() {
            return Err(Failure::usage(format_args!(
                "there is no journal in {}: {} does not exist; name the directory with --data-dir",
                data_dir.display(),
                commands.display()
            )));
        }
        let running = is_held(&data_dir)
            .map_err(|error| Failure::usage(format_args!("cannot look at the lock: {error}")))?;
        Ok(Offline { data_dir, logs, running })
    }

    /// The log of a kind.
    pub(super) fn log(&self, kind: LogKind) -> &LogDir {
        match kind {
            LogKind::Commands => &self.logs.commands,
            LogKind::Events => &self.logs.events,
            LogKind::Rejects => &self.logs.rejects,
        }
    }

    /// What a log's headers tell.
    pub(super) fn info(&self, kind: LogKind) -> Result<LogInfo, Failure> {
        info(self.log(kind)).map_err(|error| {
            Failure::bad(format_args!("cannot read {}: {error}", self.log(kind).dir().display()))
        })
    }

    /// The last record of this journal that a snapshot holds, by their headers; 0 where there is none.
    /// It was durable when that was made.
    pub(super) fn reached(&self) -> Result<Sequence, Failure> {
        let Some(id) = self.info(LogKind::Commands)?.id else { return Ok(Sequence::NONE) };
        self.logs.snapshots.reached(id).map_err(Failure::bad)
    }

    /// Sequence of the snapshot that a start would begin with; 0 where it would with the first record.
    pub(super) fn base(&self) -> io::Result<Sequence> {
        let Logs { commands, events, snapshots, .. } = &self.logs;
        let Some(id) = info(commands)?.id else { return Ok(Sequence::NONE) };
        let found = snapshots.load(commands, id, info(events)?.last).map_err(io::Error::other)?;
        Ok(found.snapshot.map_or(Sequence::NONE, |(snapshot, ..)| snapshot.sequence()))
    }

    /// How far through the journal a segment is, for a progress: how many are before it, and of how many.
    pub(super) fn part(&self) -> Result<impl Fn(u64) -> (u64, u64) + use<>, Failure> {
        let count = self.info(LogKind::Commands)?.segments as u64;
        let log = self.log(LogKind::Commands);
        let segments = log.segments().map_err(|error| {
            Failure::bad(format_args!("cannot read {}: {error}", log.dir().display()))
        })?;
        let first = segments.first().map_or(0, |(index, _)| *index);
        Ok(move |segment: u64| (segment.saturating_sub(first), count))
    }

    /// A journal that holds nothing: none was ever written, or it is lost.
    pub(super) fn empty(&self) -> Failure {
        if let Ok(Some(remains)) = remains(&self.logs) {
            return Failure::bad(BootError::JournalLost {
                dir: self.logs.commands.dir().to_owned(),
                remains,
            });
        }
        Failure::bad(format_args!(
            "the journal in {} is empty: no node has written to it yet",
            self.data_dir.display()
        ))
    }

    /// The venue as genesis defines it; as much of it as can be read.
    pub(super) fn venue(&self) -> Venue {
        let mut venue = Venue::default();
        genesis(&self.logs.commands).unwrap_or_default().into_iter().for_each(|i| venue.define(i));
        venue
    }
}

/// The items of genesis in a journal's first batch or, where that was retired, in the newest snapshot;
/// none where they cannot be read, as in an empty journal.
pub(super) fn genesis(journal: &LogDir) -> Option<Vec<GenesisItem>> {
    if journal.retired().ok()?.is_some() {
        let store = Store::new(journal.storage().clone(), journal.data_dir());
        return store.genesis().ok()?;
    }
    let mut reader = Reader::new(journal.clone(), Sequence(1), Verify::Crc);
    let batch = reader.next_batch(Sequence(u64::MAX)).ok()??;
    let items = batch.records().filter(|record| record.kind() == RecordKind::Genesis);
    Some(items.filter_map(|record| GenesisItem::decode(record.command()).ok()).collect())
}

/// A place in the order: a sequence or a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Point {
    Sequence(Sequence),
    Time(TimeNs),
}

/// Reads `4711` or `2026-03-01T12:00:00Z`.
pub(super) fn parse_point(text: &str) -> Result<Point, String> {
    if let Ok(sequence) = text.parse() {
        return Ok(Point::Sequence(Sequence(sequence)));
    }
    timestamp::parse(text)
        .map(Point::Time)
        .ok_or_else(|| "write a sequence, or a UTC time such as 2026-03-01T12:00:00Z".to_owned())
}
