//! Checks a log from end to end without writing: offline, or beside the node that writes it.
//!
//! Beside a running node the end is in motion: what looks like damage is looked at again before it is
//! reported, because a batch half written may stand before one that is whole by the time it is
//! read. Behind the last `synced_to` nothing counts as damage, exactly as in recovery. Nobody syncs the
//! event log: where a power cut has kept later batches of it and not earlier ones, or more of it than
//! of the journal, that is its unfinished end too, which the next start makes again. A start looks at it
//! from the segment of the snapshot that it begins with: in an earlier one it makes nothing again, and
//! what is wrong there is damage.

use super::format::{BATCH_HEADER_SIZE, BatchHeader, LogKind, SEGMENT_HEADER_SIZE, is_zero};
use super::info::info;
use super::recovery;
use super::scan::{Found, Progress, Scan, ScanOptions, scan};
use super::segment::LogDir;
use super::view::{Flaw, Verify};
use crate::types::Sequence;
use serde::Serialize;
use std::io;

/// How often damage is looked at before it is reported.
const LOOKS: usize = 3;
/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// Where durable records are not as they were written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// The segment.
    pub segment: u64,
    /// Byte in its file.
    pub offset: u64,
    /// The first sequence that is not there.
    pub sequence: Sequence,
    /// What is wrong.
    pub what: String,
    /// What helps.
    pub help: &'static str,
}

/// What a check found; the fields are those of `journal verify --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// No damage.
    pub ok: bool,
    /// Segments used.
    pub segments: u64,
    /// Batches.
    pub batches: u64,
    /// Records.
    pub records: u64,
    /// First sequence, 0 where the log is empty.
    pub first_sequence: Sequence,
    /// Last sequence that is sound.
    pub last_sequence: Sequence,
    /// The highest sequence that a batch says was durable.
    pub synced_to: Sequence,
    /// Bytes behind the last sound batch, which a recovery would cut.
    pub torn_tail_bytes: u64,
    /// The chain hash at `last_sequence`.
    pub chain_hash: String,
    /// The journal's id; empty where the log is.
    pub journal_id: String,
    /// Damage, if there is any; the counts are those of what stands before it.
    pub damage: Option<Damage>,
}

/// What helps where a log of this kind has this flaw.
fn help(log: &LogDir, found: &Found) -> &'static str {
    match log.kind() {
        LogKind::Commands => recovery::help(found.flaw),
        // A marker that cannot be read is told by who reads the journal.
        LogKind::Events if matches!(log.beside(LogKind::Commands).retired(), Ok(Some(_))) => {
            "put the directory `events` of a copy of this data directory in its place: it cannot be made \
             again from the journal's first record, because older segments of the journal were retired"
        }
        LogKind::Events => {
            "move the directory `events` away and start the node, which makes it again from the \
             journal's first record"
        }
        LogKind::Rejects => {
            "the reject log is cut there when the node starts, the cut bytes are archived"
        }
    }
}

/// What helps where the event log is not as the journal's records make it, and whether the journal has
/// all of them is not known.
pub const EVENTS_HELP: &str = "move the directory `events` away and start the node, which makes it again from the journal's first \
     record; where older segments of the journal were retired, put the directory `events` of a copy of \
     this data directory in its place";

/// Checks a log: every CRC, every frame hash, the hash chain, the order.
///
/// # Errors
/// A file cannot be read.
pub fn verify(log: &LogDir, progress: &mut dyn FnMut(&Progress)) -> io::Result<Report> {
    verify_with(log, 1, progress)
}

/// The same with so many threads, each at a segment of its own; the report does not depend on them.
///
/// # Errors
/// A file cannot be read.
pub fn verify_with(
    log: &LogDir,
    threads: usize,
    progress: &mut dyn FnMut(&Progress),
) -> io::Result<Report> {
    verify_reaching(log, Sequence::NONE, threads, progress)
}

/// Checks an event log. Where a power cut may have left what is wrong with it, `base` is asked for the
/// sequence of the snapshot that a start would begin with; 0 for none.
///
/// # Errors
/// A file cannot be read, or `base` fails.
pub fn verify_events(
    log: &LogDir,
    base: &mut dyn FnMut() -> io::Result<Sequence>,
    threads: usize,
    progress: &mut dyn FnMut(&Progress),
) -> io::Result<Report> {
    assert!(log.kind() == LogKind::Events, "no other log is made again behind a snapshot");
    check(log, Sequence::NONE, base, threads, progress)
}

/// What is wrong with a journal that ends at `last`, where a snapshot was made of it.
pub(super) fn ends_before(last: Sequence, snapshot: Sequence) -> String {
    format!(
        "the journal ends at sequence {last}, and a snapshot of sequence {snapshot} was made of it"
    )
}

/// The same for a journal of which there is a snapshot of sequence `snapshot`, which was durable when
/// that was made: one that ends before it is damaged. Beside a running node that snapshot must have
/// been looked for before.
///
/// # Errors
/// A file cannot be read.
pub fn verify_reaching(
    log: &LogDir,
    snapshot: Sequence,
    threads: usize,
    progress: &mut dyn FnMut(&Progress),
) -> io::Result<Report> {
    check(log, snapshot, &mut || Ok(Sequence::NONE), threads, progress)
}

fn check(
    log: &LogDir,
    snapshot: Sequence,
    base: &mut dyn FnMut() -> io::Result<Sequence>,
    threads: usize,
    progress: &mut dyn FnMut(&Progress),
) -> io::Result<Report> {
    let limit = Sequence(u64::MAX);
    let options = ScanOptions { id: None, from_segment: 0, limit, verify: Verify::Chain, threads };
    let mut looked = scan(log, options, progress);
    for _ in 1..LOOKS {
        let again = match &looked {
            Ok(scan) => scan.found.is_some_and(|found| found.damage),
            // A segment may be retired meanwhile.
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        if !again {
            break;
        }
        looked = scan(log, options, progress);
    }
    let found = looked?;
    let damaged = match found.found.filter(|found| found.damage) {
        Some(flaw) if is_unfinished(log, &found, &flaw, base)? => None,
        other => other,
    };
    let damage = damaged.map(|found| Damage {
        segment: found.segment,
        offset: found.offset,
        sequence: found.sequence,
        what: found.flaw.to_string(),
        help: help(log, &found),
    });
    let damage = damage.or_else(|| {
        let lost = found.lost_end(snapshot)?;
        Some(Damage {
            segment: lost.segment,
            offset: lost.offset,
            sequence: lost.sequence,
            what: ends_before(found.tip.sequence, snapshot),
            help: help(log, &lost),
        })
    });
    let torn_tail_bytes = if damage.is_none() { found.beyond_bytes() } else { 0 };
    Ok(Report {
        ok: damage.is_none(),
        segments: found.segments,
        batches: found.batches,
        records: found.records,
        first_sequence: found.first,
        last_sequence: found.tip.sequence,
        synced_to: found.synced_to,
        torn_tail_bytes,
        chain_hash: hex(&found.tip.hash),
        journal_id: found.id.map(|id| id.to_string()).unwrap_or_default(),
        damage,
    })
}

/// Whether a flaw is where an event log ends that a power cut left, whatever stands behind it.
fn is_unfinished(
    log: &LogDir,
    scan: &Scan,
    found: &Found,
    base: &mut dyn FnMut() -> io::Result<Sequence>,
) -> io::Result<bool> {
    let disorder = found.flaw.is_disorder();
    if log.kind() != LogKind::Events || disorder || found.flaw == Flaw::MissingSegment {
        return Ok(false);
    }
    let journal = info(&log.beside(LogKind::Commands))?;
    // What the journal does not hold, a start does not make.
    if found.sequence < journal.first {
        return Ok(false);
    }
    if found.sequence <= journal.last && !is_unwritten(log, scan, found)? {
        return Ok(false);
    }
    // A start looks at no segment before that of its snapshot.
    Ok(found.segment >= log.segment_of(base()?)?)
}

/// Whether the batch in which a flaw lies was not written whole: a sector of it holds the zeros that
/// were there before.
fn is_unwritten(log: &LogDir, scan: &Scan, found: &Found) -> io::Result<bool> {
    let Some(file) = scan.files.iter().find(|file| file.index == found.segment) else {
        return Ok(false);
    };
    let map = log.open(&file.path)?.map(file.length)?;
    let (mut start, offset) = (0, found.offset as usize);
    if offset >= SEGMENT_HEADER_SIZE {
        // Behind the last sound batch sound parts may stand of one that is not there whole.
        let end = scan.end.filter(|end| scan.files[end.file].index == found.segment);
        start = end.map_or(SEGMENT_HEADER_SIZE, |end| end.offset as usize);
        while let Some(length) = batch_length(map.bytes(), start)
            && start + length <= offset
        {
            start += length;
        }
    }
    let rest = map.bytes().get(start..).unwrap_or_default();
    // Of a header that is not sound, its own bytes.
    let length = batch_length(map.bytes(), start).unwrap_or(BATCH_HEADER_SIZE);
    let mut at = 0;
    while at < length.min(rest.len()) {
        let next = at + SECTOR - (start + at) % SECTOR;
        if is_zero(&rest[at..next.min(rest.len())]) {
            return Ok(true);
        }
        at = next;
    }
    Ok(false)
}

/// Length of the batch at a place, by its header; none where that is not sound.
fn batch_length(bytes: &[u8], at: usize) -> Option<usize> {
    let header = BatchHeader::parse(bytes.get(at..)?)?;
    Some(header.length.get() as usize).filter(|length| *length >= BATCH_HEADER_SIZE)
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
