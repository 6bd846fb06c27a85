//! Lets go of the oldest segments of a log: which may go, and how they go.
//!
//! Invariants: only a prefix goes, never the newest segment, and nothing that anybody in the list of
//! bounds still needs; where something is in doubt nothing goes. A crash at any step loses nothing:
//! copies in the archive are durable and read back before the marker names the segment that is then the
//! oldest, and the marker is durable before a file is removed.

pub mod marker;
pub mod readers;
mod shelf;

pub use shelf::Shelf;

use super::format::{Hash, JournalId, LogKind, SEGMENT_CONTINUES, SegmentHeader};
use super::scan::walk_segment;
use super::segment::{FirstPage, LogDir, is_no_space};
use crate::types::{Sequence, TimeNs};
use marker::Retired;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// How much of a log is kept; each 0 for no limit. Without any limit nothing is ever retired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of its segments.
    pub bytes: u64,
    /// Age of a segment's newest record.
    pub age_ns: u64,
    /// Segments that go at once, more or less.
    pub at_once: usize,
}

impl Limits {
    /// True where a segment may ever be retired.
    #[must_use]
    pub fn any(&self) -> bool {
        self.bytes > 0 || self.age_ns > 0
    }
}

/// A segment that holds records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// Its number.
    pub index: u64,
    /// Bytes of its file.
    pub bytes: u64,
    /// First sequence.
    pub first: Sequence,
    /// Last sequence; that of the newest segment is not known here.
    pub last: Sequence,
    /// No record in it is newer; `None` where that is not known.
    pub newest: Option<TimeNs>,
    /// Hash of the batch before its first.
    pub previous_hash: Hash,
    /// It begins between two batches: a log may begin with it.
    pub begins_whole: bool,
}

/// Who may need records of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// The newest segment is written to.
    Newest,
    /// A replay goes on behind the oldest sound snapshot.
    Snapshot(Sequence),
    /// There is no sound snapshot: a replay needs all records.
    NoSnapshot,
    /// What nothing says is durable.
    Sync,
    /// The event log has not come to the snapshot, and is made of these records.
    EventLog,
    /// The event log goes back as far as the journal.
    Journal(Sequence),
    /// Original answers of the messages that the duplicate window knows.
    Duplicates(Sequence),
    /// A registered reader has come so far.
    Reader(String, Sequence),
    /// A lane of the running node has come so far.
    Lane(&'static str, Sequence),
}

impl Keeper {
    /// The word for scripts.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Keeper::Newest => "newest",
            Keeper::Snapshot(_) | Keeper::NoSnapshot => "snapshot",
            Keeper::Sync => "sync",
            Keeper::EventLog => "event-log",
            Keeper::Journal(_) => "journal",
            Keeper::Duplicates(_) => "duplicates",
            Keeper::Reader(..) => "reader",
            Keeper::Lane(..) => "lane",
        }
    }
}

impl fmt::Display for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Keeper::Newest => f.write_str("it is the newest one"),
            Keeper::Snapshot(sequence) => {
                write!(f, "a replay goes on from the oldest sound snapshot, of sequence {sequence}")
            }
            Keeper::NoSnapshot => {
                f.write_str("there is no sound snapshot, and a replay needs every record")
            }
            Keeper::Sync => f.write_str("nothing says that all of it is durable"),
            Keeper::EventLog => f.write_str("the event log has not come to the oldest snapshot"),
            Keeper::Journal(sequence) => {
                write!(f, "the event log goes back as far as the journal, to sequence {sequence}")
            }
            Keeper::Duplicates(sequence) => write!(
                f,
                "the duplicate window goes back to sequence {sequence}, whose answer may be asked for \
                 again"
            ),
            Keeper::Reader(name, sequence) => {
                write!(f, "reader {name} has come to sequence {sequence}")
            }
            Keeper::Lane(name, sequence) => {
                write!(f, "lane {name} has come to sequence {sequence}")
            }
        }
    }
}

/// Somebody, and the last sequence that he does not need any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Who.
    pub keeper: Keeper,
    /// Records up to this one may go.
    pub upto: Sequence,
}

/// Which limit is passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// [`Limits::bytes`].
    Bytes,
    /// [`Limits::age_ns`].
    Age,
}

/// What may go, and what holds the rest back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// So many of the oldest segments.
    pub count: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of those that stay.
    pub kept_bytes: u64,
    /// The next one is beyond this limit as well, and this is why it stays.
    pub held: Option<(Limit, Bound)>,
}

/// Decides which of the oldest segments may go.
#[must_use]
pub fn plan(segments: &[Used], limits: Limits, bounds: &[Bound], now: TimeNs) -> Plan {
    let mut kept_bytes: u64 = segments.iter().map(|segment| segment.bytes).sum();
    let all_bytes = kept_bytes;
    let (mut count, mut held) = (0, None);
    for (at, segment) in segments.iter().enumerate() {
        let Some(limit) = passed(segment, kept_bytes, limits, now) else { break };
        let newest = Bound { keeper: Keeper::Newest, upto: Sequence::NONE };
        let bound = match at + 1 == segments.len() {
            true => Some(&newest),
            false => {
                let needed = bounds.iter().filter(|bound| bound.upto < segment.last);
                needed.min_by_key(|bound| bound.upto)
            }
        };
        if let Some(bound) = bound {
            held = Some((limit, bound.clone()));
            break;
        }
        (count, kept_bytes) = (count + 1, kept_bytes - segment.bytes);
    }
    // A batch in several parts stays whole.
    while count > 0 && !segments[count].begins_whole {
        count -= 1;
        kept_bytes += segments[count].bytes;
    }
    if limits.at_once > 0 && count > limits.at_once {
        let whole = (limits.at_once..count).find(|at| segments[*at].begins_whole);
        count = whole.unwrap_or(count);
        kept_bytes = segments[count..].iter().map(|segment| segment.bytes).sum();
        // What is left goes next time.
        held = None;
    }
    Plan { count, bytes: all_bytes - kept_bytes, kept_bytes, held }
}

/// The limit that a log of so many bytes passes with its oldest segment.
fn passed(oldest: &Used, bytes: u64, limits: Limits, now: TimeNs) -> Option<Limit> {
    if limits.bytes > 0 && bytes > limits.bytes {
        return Some(Limit::Bytes);
    }
    let age = now.0.saturating_sub(oldest.newest?.0);
    (limits.age_ns > 0 && age > limits.age_ns).then_some(Limit::Age)
}

/// Why nothing, or not all that may go, was retired.
#[derive(Debug, Error)]
pub enum RetireError {
    /// The log's own files cannot be changed as they must be. Like any failed write or sync it is
    /// final.
    #[error("cannot {action} {}: {source}", path.display())]
    Log {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// There is no space for the marker: nothing was removed.
    #[error("no space to write {}: nothing was retired", path.display())]
    NoSpace {
        /// The marker.
        path: PathBuf,
    },
    /// The archive cannot be used: nothing was removed.
    #[error("the archive cannot be used, nothing was retired: cannot {action} {}: {source}", path.display())]
    Archive {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The archive holds other bytes under the same name: nothing was removed.
    #[error("{} holds other bytes than the segment of its name: nothing was retired", path.display())]
    OtherBytes {
        /// The file in the archive.
        path: PathBuf,
    },
    /// Something is not as it must be, so nothing is removed.
    #[error("nothing was retired: {0}")]
    Doubt(String),
}

impl RetireError {
    /// True where the node may not go on: a file of the log could not be written, synced, renamed or
    /// removed.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, RetireError::Log { .. })
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RetireError {
    let path = path.to_owned();
    move |source| RetireError::Log { action, path, source }
}

/// The segments that hold records, oldest first, told by their headers.
///
/// # Errors
/// [`RetireError::Doubt`] where they are not what a log's segments are.
pub fn used(log: &LogDir) -> Result<Vec<Used>, RetireError> {
    let dir = log.dir().display();
    let unread = |source| RetireError::Doubt(format!("cannot look at {dir}: {source}"));
    let mut used: Vec<Used> = Vec::new();
    let mut headers: Vec<SegmentHeader> = Vec::new();
    for (index, path) in log.segments().map_err(unread)? {
        let file = log.open(&path).map_err(unread)?;
        let page = FirstPage::read(&*file).map_err(unread)?;
        let Some(header) = page.header() else {
            if page.is_unused() {
                // Prepared: no record stands there or behind.
                break;
            }
            return Err(RetireError::Doubt(format!("segment {index} of {dir} has no header")));
        };
        if used.last().is_some_and(|before| before.index + 1 != index) {
            return Err(RetireError::Doubt(format!(
                "a segment before {index} is missing in {dir}"
            )));
        }
        used.push(Used {
            index,
            bytes: file.len().map_err(unread)?,
            first: Sequence(header.first_sequence.get()),
            last: Sequence(u64::MAX),
            newest: None,
            previous_hash: header.previous_hash,
            begins_whole: header.flags.get() & SEGMENT_CONTINUES == 0,
        });
        headers.push(header);
    }
    // Times do not step back, so that of a later record is a bound; a segment of an event log may not
    // tell one.
    let mut later = None;
    for at in (1..used.len()).rev() {
        let header = &headers[at];
        later = Some(header.first_time_ns.get()).filter(|time| *time > 0).or(later);
        used[at - 1].newest = later.map(TimeNs);
        used[at - 1].last = Sequence(header.first_sequence.get().saturating_sub(1));
    }
    Ok(used)
}

/// Retires the oldest segments of a log as a plan says; copies go to `shelf` first, where there is one.
/// What an earlier try has left over is removed as well. Gives where the log begins now.
///
/// # Errors
/// [`RetireError`]; at most segments that the plan names are gone.
pub fn retire(
    log: &LogDir,
    segments: &[Used],
    plan: &Plan,
    shelf: Option<&Shelf>,
) -> Result<Option<Retired>, RetireError> {
    remove_left_over(log)?;
    if let Some(shelf) = shelf {
        shelf.is_elsewhere(log)?;
    }
    let (going, staying) = segments.split_at(plan.count);
    let Some(oldest) = staying.first().filter(|_| !going.is_empty()) else {
        return log.retired().map_err(|source| RetireError::Doubt(source.to_string()));
    };
    let mut id = None;
    let mut kept = Vec::with_capacity(going.len());
    for (at, segment) in going.iter().enumerate() {
        let path = log.segment_path(segment.index);
        let unread =
            |source| RetireError::Doubt(format!("cannot read {}: {source}", path.display()));
        let file = log.open(&path).map_err(unread)?;
        let map = file.map(segment.bytes).map_err(unread)?;
        id = Some(proved(log, segment, &segments[at + 1], map.bytes())?);
        if let Some(shelf) = shelf {
            kept.push(shelf.keep(log.kind(), segment.index, map.bytes())?);
        }
    }
    if let Some(shelf) = shelf {
        shelf.list(&kept)?;
    }
    let retired = Retired {
        id: id.expect("a segment goes"),
        segment: oldest.index,
        sequence: oldest.first,
        hash: oldest.previous_hash,
    };
    let path = log.dir().join(marker::NAME);
    marker::write(&**log.storage(), log.dir(), log.kind(), &retired).map_err(|source| {
        match is_no_space(&source) {
            true => RetireError::NoSpace { path: path.clone() },
            false => failed("write", &path)(source),
        }
    })?;
    for segment in going {
        let path = log.segment_path(segment.index);
        marker::remove(&**log.storage(), &path).map_err(failed("remove", &path))?;
    }
    log.storage().sync_dir(log.dir()).map_err(failed("sync", log.dir()))?;
    Ok(Some(retired))
}

/// Removes segments that the marker says are retired.
fn remove_left_over(log: &LogDir) -> Result<(), RetireError> {
    let doubt = |source: io::Error| RetireError::Doubt(source.to_string());
    let Some(retired) = log.retired().map_err(doubt)? else { return Ok(()) };
    let mut removed = false;
    for (_, path) in log.files().map_err(doubt)?.iter().filter(|(at, _)| *at < retired.segment) {
        removed |= marker::remove(&**log.storage(), path).map_err(failed("remove", path))?;
    }
    if removed {
        log.storage().sync_dir(log.dir()).map_err(failed("sync", log.dir()))?;
    }
    Ok(())
}

/// Checks that a segment is sound and that the next one goes on from it; the journal's id.
fn proved(
    log: &LogDir,
    segment: &Used,
    next: &Used,
    bytes: &[u8],
) -> Result<JournalId, RetireError> {
    let header = SegmentHeader::parse(bytes).filter(|header| {
        header.kind.get() == log.kind() as u16
            && header.index.get() == segment.index
            && header.first_sequence.get() == segment.first.0
    });
    let id = header.as_ref().and_then(|header| {
        let reached = walk_segment(bytes, header, log.kind());
        let goes_on = reached.hash == next.previous_hash && reached.sequence == segment.last;
        goes_on.then_some(header.id())
    });
    id.ok_or_else(|| {
        let (index, kind) = (segment.index, log.kind().as_str());
        RetireError::Doubt(format!(
            "segment {index} of {kind} is not sound up to the next one; `outcry journal verify` tells \
             more"
        ))
    })
}

/// Makes the event log's files durable from one sequence to another.
///
/// # Errors
/// [`RetireError`]; a failed sync is final.
pub fn sync_between(
    log: &LogDir,
    segments: &[Used],
    from: Sequence,
    to: Sequence,
) -> Result<(), RetireError> {
    assert!(log.kind() == LogKind::Events, "the journal's own syncs are told in it");
    for segment in segments.iter().filter(|segment| segment.last >= from && segment.first <= to) {
        let path = log.segment_path(segment.index);
        let file = log.open(&path).map_err(failed("open", &path))?;
        file.sync_data().map_err(failed("sync", &path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
