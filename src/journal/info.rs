//! What a log holds, told by its headers alone: quick at any size, offline or beside the node that
//! writes it.
//!
//! Nothing is verified here beyond the headers' own CRCs: that is the work of `verify`.

use super::format::{BatchHeader, JournalId, SEGMENT_HEADER_SIZE, VERSION};
use super::segment::{FirstPage, LogDir};
use super::view::Batch;
use crate::types::{Epoch, Sequence, TimeNs};
use std::io;

/// What a log holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogInfo {
    /// Segments that were begun.
    pub segments: usize,
    /// Segments that are prepared and not used yet.
    pub prepared: usize,
    /// Bytes of all segment files.
    pub bytes: u64,
    /// First sequence; 0 where the log is empty.
    pub first: Sequence,
    /// Last sequence that a batch's header covers.
    pub last: Sequence,
    /// The highest sequence that a batch says was durable.
    pub synced_to: Sequence,
    /// Time of the first record of the oldest segment.
    pub first_time: TimeNs,
    /// Time of the last record.
    pub last_time: TimeNs,
    /// Epoch of the last batch.
    pub epoch: Epoch,
    /// The journal's id; `None` where the log is empty.
    pub id: Option<JournalId>,
    /// Version of the format.
    pub format_version: u16,
    /// Version of the application's rules at the newest segment.
    pub application_version: u32,
}

impl LogInfo {
    /// True where no batch was ever written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.last == Sequence::NONE
    }
}

/// Looks at a log. A log whose directory is missing holds nothing.
///
/// # Errors
/// As the storage tells.
pub fn info(log: &LogDir) -> io::Result<LogInfo> {
    let segments = match log.segments() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        other => other?,
    };
    let mut info = LogInfo { format_version: VERSION, ..LogInfo::default() };
    let mut newest = None;
    for (_, path) in segments {
        let file = log.open(&path)?;
        let length = file.len()?;
        info.bytes += length;
        let Some(header) = FirstPage::read(&*file)?.header() else {
            info.prepared += 1;
            continue;
        };
        info.segments += 1;
        if info.segments == 1 {
            info.first = Sequence(header.first_sequence.get());
            info.first_time = TimeNs(header.first_time_ns.get());
            info.id = Some(header.id());
        }
        info.application_version = info.application_version.max(header.application_version.get());
        newest = Some((file, length, header));
    }
    if let Some((file, length, header)) = newest {
        info.last = Sequence(header.first_sequence.get() - 1);
        let map = file.map(length)?;
        walk(&map.bytes()[SEGMENT_HEADER_SIZE..], &mut info);
    }
    if info.is_empty() {
        info.first = Sequence::NONE;
    }
    Ok(info)
}

/// The first sequence of the last segment that began at or before `time`, or of the log where none did;
/// 1 where the log is empty. Records of that time or later stand there or behind.
///
/// # Errors
/// As the storage tells.
pub fn first_at(log: &LogDir, time: TimeNs) -> io::Result<Sequence> {
    let mut first = Sequence(log.retired()?.map_or(1, |retired| retired.sequence.0));
    for (_, path) in log.segments()? {
        let Some(header) = log.header(&path)? else { break };
        // Records before the segment's first may have the same time.
        if header.first_time_ns.get() >= time.0 {
            break;
        }
        first = Sequence(header.first_sequence.get());
    }
    Ok(first)
}

/// Steps through a segment's batches.
fn walk(mut rest: &[u8], info: &mut LogInfo) {
    while let Some(header) = BatchHeader::parse(rest) {
        let Ok(batch) = Batch::parse(rest) else { return };
        if !header.is_partial() {
            info.last = batch.last();
        }
        info.synced_to = info.synced_to.max(Sequence(header.synced_to.get()));
        info.epoch = Epoch(header.epoch.get());
        if let Some(record) = batch.records().last() {
            info.last_time = record.time();
        }
        rest = &rest[batch.length()..];
    }
}
