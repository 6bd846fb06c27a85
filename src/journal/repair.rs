//! Repairs the journal from a copy: what is damaged is taken from another directory that holds the same
//! journal, after the hash chain across it is proven.
//!
//! Invariants: nothing is changed before the copy is proven, in full, for the segment at hand: it has the
//! journal's id, continues the hash of the last sound batch, every CRC and hash in it is right, and what
//! stands sound behind the damage continues it. The damaged bytes are in the archive, synced, before
//! they are replaced. A segment is replaced whole, by renaming a synced file over it: a repair that is
//! killed anywhere leaves the old segment or the new one, and can be repeated. What nothing says was
//! durable is left alone: a start of the node cuts it. But of an end that is lost nothing is left that
//! could say so: there all that the copy proves is taken, and the segment in which the journal ends is
//! replaced last, so that until then it ends before its snapshot, and no start takes it.

use super::archive;
use super::format::{
    BatchHeader, JournalId, LogKind, SEGMENT_HEADER_SIZE, SegmentHeader, Tip, is_zero, used_length,
};
use super::recovery::{RecoveryError, copy, failed};
use super::scan::{self, Found, Progress, Scan, ScanOptions, scan};
use super::segment::LogDir;
use super::verify::{ends_before, hex};
use super::view::{Batch, Flaw, Verify};
use crate::sys::storage::{Append, Mapping};
use crate::types::{Epoch, Sequence, TimeNs};
use std::io;
use std::path::{Path, PathBuf};

/// Why a repair is refused. Nothing was changed in the segment that it names, nor behind it.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] RecoveryError),
    /// A newer release wrote it.
    #[error(
        "segment {segment}, offset {offset}: {flaw}; that is no damage: use a release at least as new as the one that wrote it"
    )]
    TooNew {
        /// The segment.
        segment: u64,
        /// Byte in its file.
        offset: u64,
        /// What is not known here.
        flaw: Flaw,
    },
    /// Nothing in the journal tells which one it is.
    #[error(
        "no segment or batch header of the journal is sound, so that nothing tells which journal it is; put the copy in its place as a whole"
    )]
    Unknown,
    /// The copy is of another journal.
    #[error("the copy is of another journal: {copy}, not {journal}")]
    OtherJournal {
        /// The journal's id.
        journal: JournalId,
        /// The copy's.
        copy: JournalId,
    },
    /// The copy does not have the segment.
    #[error("the copy has no segment {segment}, in which sequence {sequence} stands")]
    NoSegment {
        /// The segment.
        segment: u64,
        /// The first sequence that is damaged.
        sequence: Sequence,
    },
    /// The copy is cut into segments at other places.
    #[error(
        "the copy's segment {segment} begins with sequence {copy}, not {journal}: it is cut into segments in another way"
    )]
    OtherSegments {
        /// The segment.
        segment: u64,
        /// First sequence that it must have.
        journal: Sequence,
        /// First sequence that it has.
        copy: Sequence,
    },
    /// The copy is not sound where it is needed.
    #[error(
        "the copy is damaged too, in segment {segment}, offset {offset}, sequence {sequence}: {flaw}"
    )]
    DamagedCopy {
        /// The segment.
        segment: u64,
        /// Byte in its file.
        offset: u64,
        /// The first sequence that is not there.
        sequence: Sequence,
        /// What is wrong.
        flaw: Flaw,
    },
    /// The copy ends too early.
    #[error(
        "the copy ends at sequence {last} in segment {segment}, and what was durable goes on to {needed}"
    )]
    ShortCopy {
        /// The segment.
        segment: u64,
        /// Last sequence of the copy there.
        last: Sequence,
        /// The last sequence that must be there.
        needed: Sequence,
    },
    /// The copy holds another history.
    #[error(
        "the copy holds another history: at sequence {sequence} (segment {segment}, offset {offset}) the hash chain would be broken {place} the damage"
    )]
    BrokenChain {
        /// The segment.
        segment: u64,
        /// Byte in its file.
        offset: u64,
        /// The sequence.
        sequence: Sequence,
        /// `before` or `behind`.
        place: &'static str,
    },
    /// The damage is not what a copy can mend.
    #[error(
        "segment {segment}, offset {offset}, sequence {sequence}: {flaw}, and the copy's bytes do not change that"
    )]
    NoHelp {
        /// The segment.
        segment: u64,
        /// Byte in its file.
        offset: u64,
        /// The sequence.
        sequence: Sequence,
        /// What is wrong.
        flaw: Flaw,
    },
}

/// A range that was taken from the copy.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Repaired {
    /// The segment.
    pub segment: u64,
    /// Byte in its file.
    pub offset: u64,
    /// Bytes.
    pub bytes: u64,
    /// First sequence in the range; 0 where it holds none.
    pub first_sequence: Sequence,
    /// Last sequence in the range; 0 where it holds none.
    pub last_sequence: Sequence,
    /// What was wrong.
    pub what: String,
    /// The chain hash before the range.
    pub hash_before: String,
    /// The chain hash at its end.
    pub hash_after: String,
    /// Where the damaged bytes are now; none where there was no file.
    pub archived: Option<PathBuf>,
}

/// What a repair did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What was taken from the copy, in order.
    pub repaired: Vec<Repaired>,
    /// Last sequence that is sound now: all of the journal was checked.
    pub last: Sequence,
    /// The chain hash there.
    pub hash: String,
    /// The journal.
    pub id: Option<JournalId>,
    /// Where the copy is not sound behind what was taken of it for a lost end; none where it just ends.
    pub copy_ends: Option<CopyEnd>,
}

/// Where a copy is not sound any more.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct CopyEnd {
    /// The segment.
    pub segment: u64,
    /// Byte in its file.
    pub offset: u64,
    /// The first sequence that was not taken.
    pub sequence: Sequence,
    /// What is there.
    pub what: String,
}

/// What of a segment is to be taken from the copy.
struct Plan {
    ranges: Vec<Range>,
    /// What the copy reaches, where its next byte is, and what is wrong there.
    tip: Tip,
    at: u64,
    flawed: Option<Found>,
}

/// A range of a segment to take from the copy.
struct Range {
    offset: u64,
    end: u64,
    first: Sequence,
    last: Sequence,
    before: Tip,
    after: Tip,
}

/// Repairs the journal `log`, which no other process may write, from the one in `source`, which is only
/// read.
///
/// # Errors
/// [`RepairError`].
pub fn repair(
    log: &LogDir,
    source: &LogDir,
    threads: usize,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Report, RepairError> {
    repair_reaching(log, source, Sequence::NONE, threads, progress)
}

/// The same for a journal of which there is a snapshot of sequence `snapshot`, which was durable when
/// that was made: where the journal ends before it, all that the copy proves behind that end is taken.
///
/// # Errors
/// [`RepairError`].
pub fn repair_reaching(
    log: &LogDir,
    source: &LogDir,
    snapshot: Sequence,
    threads: usize,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Report, RepairError> {
    assert!(log.kind() == LogKind::Commands, "all other logs are derived or bounded");
    let limit = Sequence(u64::MAX);
    let options = ScanOptions { id: None, from_segment: 0, limit, verify: Verify::Chain, threads };
    let mut repaired: Vec<Repaired> = Vec::new();
    let (mut reached, mut copy_ends, mut is_whole) = (None, None, false);
    loop {
        let found = scan(log, options, progress).map_err(failed("read", log.dir()))?;
        let inner = found.found.filter(|found| found.damage);
        // An empty journal does not say which one it is.
        let mut end = found.lost_end(snapshot).filter(|_| found.id.is_some());
        if let Some(inner) = &inner
            && !is_lost(log, &found, inner)?
        {
            end = None;
        }
        let Some(damage) = end.or(inner) else {
            let (last, hash) = (found.tip.sequence, hex(&found.tip.hash));
            return Ok(Report { repaired, last, hash, id: found.id, copy_ends });
        };
        let (segment, offset, flaw) = (damage.segment, damage.offset, damage.flaw);
        if matches!(flaw, Flaw::Version | Flaw::Kind) {
            return Err(RepairError::TooNew { segment, offset, flaw });
        }
        let work = Work::new(log, source, &found, damage, end.map(|_| snapshot))?;
        if end.is_some() {
            if is_whole {
                return Err(work.no_help());
            }
            is_whole = true;
            let (taken, ends) = take_end(work)?;
            repaired.extend(taken);
            copy_ends = ends;
            continue;
        }
        // Each pass mends all of one segment, so that the next damage stands in a later one.
        if reached.is_some_and(|reached| work.segment <= reached) {
            return Err(work.no_help());
        }
        reached = Some(work.segment);
        repaired.extend(work.run()?);
    }
}

/// Whether nothing is left in the segment behind the last sound batch: later segments may be there.
fn is_lost(log: &LogDir, scan: &Scan, damage: &Found) -> Result<bool, RepairError> {
    let (segment, start) = place(scan, damage);
    let map = map(log, segment)?;
    let bytes = map.as_ref().map_or(&[][..], |map| map.bytes());
    Ok(is_zero(bytes.get(start as usize..).unwrap_or_default()))
}

/// Takes all that the copy proves behind the journal's end, which is before what was durable; and where
/// the copy is not sound behind that. Nothing is replaced before all of it is proven.
fn take_end(mut work: Work<'_>) -> Result<(Vec<Repaired>, Option<CopyEnd>), RepairError> {
    let (needed, mut planned) = (work.durable, Vec::new());
    let flawed = loop {
        let header = work.header()?;
        let Plan { ranges, tip, at, flawed } = work.plan(&header)?;
        let segment = work.segment;
        work.check_next(&ranges)?;
        let next = if flawed.is_some() { Ok(None) } else { work.behind(tip)? };
        let own_goes_on = work.own_follows(&tip, at);
        let (next, flawed) = match next {
            Ok(Some(next)) => (Some(next), None),
            Ok(None) => (None, flawed),
            Err(found) => (None, Some(found)),
        };
        planned.push((work, header, ranges));
        match (next, flawed) {
            (Some(next), _) => work = next,
            (None, flawed) if tip.sequence >= needed || own_goes_on => break flawed,
            (None, Some(Found { segment, offset, sequence, flaw, .. })) => {
                return Err(RepairError::DamagedCopy { segment, offset, sequence, flaw });
            }
            (None, None) => {
                return Err(RepairError::ShortCopy { segment, last: tip.sequence, needed });
            }
        }
    };
    // A segment is begun with its first batch.
    planned.retain(|(.., ranges)| ranges.iter().any(|range| range.first != Sequence::NONE));
    let mut repaired = Vec::new();
    // The journal's end last.
    let (count, ends) = (planned.len(), 1);
    planned.rotate_left(ends.min(count));
    for (work, header, ranges) in &planned {
        repaired.extend(work.replace(header, ranges)?);
    }
    repaired.sort_by_key(|range| (range.segment, range.offset));
    let ends = |Found { segment, offset, sequence, flaw, .. }: Found| CopyEnd {
        segment,
        offset,
        sequence,
        what: flaw.to_string(),
    };
    Ok((repaired, flawed.map(ends)))
}

/// The repair of one segment.
struct Work<'a> {
    log: &'a LogDir,
    source: &'a LogDir,
    /// Sequence of a snapshot, where the damage is that the journal ends before it.
    snapshot: Option<Sequence>,
    scan: &'a Scan,
    damage: Found,
    id: JournalId,
    /// The segment in which the damage is.
    segment: u64,
    /// What stands sound before it, and where the next batch begins; nothing does before the journal's
    /// first segment.
    tip: Tip,
    start: u64,
    is_first: bool,
    /// The last sequence that the journal itself says was durable.
    durable: Sequence,
    target: Option<Box<dyn Mapping>>,
    copy: Box<dyn Mapping>,
}

impl<'a> Work<'a> {
    fn new(
        log: &'a LogDir,
        source: &'a LogDir,
        scan: &'a Scan,
        damage: Found,
        snapshot: Option<Sequence>,
    ) -> Result<Work<'a>, RepairError> {
        let (known, durable) = claims(log, scan)?;
        let durable = durable.max(snapshot.unwrap_or_default());
        let id = known.ok_or(RepairError::Unknown)?;
        let (mut segment, mut start) = place(scan, &damage);
        let tip = scan.tip;
        let sequence = tip.sequence.next();
        let of_copy =
            |segment| map(source, segment)?.ok_or(RepairError::NoSegment { segment, sequence });
        let mut copy = of_copy(segment)?;
        // Where the copy's segment has ended there too, what is lost stands in the next one.
        let has_ended = is_zero(copy.bytes().get(start as usize..).unwrap_or_default());
        if snapshot.is_some()
            && has_ended
            && begins_behind(source, segment + 1, tip.sequence)?.is_some()
        {
            (segment, start) = (segment + 1, 0);
            copy = of_copy(segment)?;
        }
        let target = map(log, segment)?;
        Ok(Work {
            log,
            source,
            snapshot,
            scan,
            damage,
            id,
            segment,
            tip,
            start,
            is_first: scan.end.is_none(),
            durable,
            target,
            copy,
        })
    }

    fn run(mut self) -> Result<Vec<Repaired>, RepairError> {
        let header = self.header()?;
        let ranges = self.plan(&header)?.ranges;
        if ranges.is_empty() {
            return Err(self.no_help());
        }
        self.check_next(&ranges)?;
        self.replace(&header, &ranges)
    }

    /// The work at the copy's next segment, where that goes on from `tip`; none where there is none, and
    /// else what is wrong with it.
    fn behind(&self, tip: Tip) -> Result<Result<Option<Work<'a>>, Found>, RepairError> {
        let (segment, sequence) = (self.segment + 1, tip.sequence.next());
        let Some(copy) = map(self.source, segment)?.filter(|copy| !is_zero(copy.bytes())) else {
            return Ok(Ok(None));
        };
        let flaw = match SegmentHeader::parse(copy.bytes()) {
            None => Flaw::SegmentHeader,
            Some(header) if header.id() != self.id => Flaw::ForeignSegment,
            Some(header) if header.first_sequence.get() != sequence.0 => {
                Flaw::Gap { expected: sequence.0, found: header.first_sequence.get() }
            }
            Some(header) if header.previous_hash != tip.hash => Flaw::Chain,
            Some(_) => {
                let target = map(self.log, segment)?;
                let next = Work { segment, tip, start: 0, is_first: false, target, copy, ..*self };
                return Ok(Ok(Some(next)));
            }
        };
        Ok(Err(Found { segment, offset: 0, sequence, flaw, damage: true }))
    }

    /// Whether the journal itself goes on from `tip`, at this place or with its next segment.
    fn own_follows(&self, tip: &Tip, at: u64) -> bool {
        let batch = Batch::parse(self.own(at)).ok();
        let next = || self.next_header().map(|next| (next.first_sequence, next.previous_hash));
        batch.is_some_and(|batch| batch.follows(tip, self.id).is_ok())
            || next().is_some_and(|(first, previous)| {
                first.get() == tip.sequence.next().0 && previous == tip.hash
            })
    }

    fn no_help(&self) -> RepairError {
        let Found { segment, offset, sequence, flaw, .. } = self.damage;
        RepairError::NoHelp { segment, offset, sequence, flaw }
    }

    /// The copy's header of the segment, which must fit to what stands before.
    fn header(&mut self) -> Result<SegmentHeader, RepairError> {
        let (segment, sequence) = (self.segment, self.tip.sequence.next());
        let Some(header) = SegmentHeader::parse(self.copy.bytes()) else {
            let flaw = Flaw::SegmentHeader;
            return Err(RepairError::DamagedCopy { segment, offset: 0, sequence, flaw });
        };
        if header.id() != self.id {
            return Err(RepairError::OtherJournal { journal: self.id, copy: header.id() });
        }
        if header.kind.get() != LogKind::Commands as u16 || header.index.get() != segment {
            let flaw = Flaw::ForeignSegment;
            return Err(RepairError::DamagedCopy { segment, offset: 0, sequence, flaw });
        }
        let first = Sequence(header.first_sequence.get());
        let own = self.own_header();
        if self.start > 0 {
            // The journal's own header stands: it says where the segment begins.
            let own = own.ok_or(self.no_help())?;
            let journal = Sequence(own.first_sequence.get());
            if first != journal {
                return Err(RepairError::OtherSegments { segment, journal, copy: first });
            }
            if own.previous_hash != header.previous_hash {
                return Err(self.broken(0, first, "before"));
            }
            return Ok(header);
        }
        if self.is_first {
            // Nothing stands before: the journal's first segment that there is.
            let begins = self.begins().unwrap_or(first);
            if first != begins || first == Sequence::NONE {
                let journal = begins;
                return Err(RepairError::OtherSegments { segment, journal, copy: first });
            }
            self.tip = Tip {
                sequence: Sequence(first.0 - 1),
                time: TimeNs(0),
                epoch: Epoch(0),
                hash: header.previous_hash,
            };
        } else if first != sequence {
            return Err(RepairError::OtherSegments { segment, journal: sequence, copy: first });
        } else if header.previous_hash != self.tip.hash {
            return Err(self.broken(0, sequence, "before"));
        }
        Ok(header)
    }

    /// First sequence of a journal's first segment, where that is known: it has not been retired, or its
    /// own header is sound.
    fn begins(&self) -> Option<Sequence> {
        if self.segment == 0 {
            return Some(Sequence(1));
        }
        if let Ok(Some(retired)) = self.log.retired()
            && retired.segment == self.segment
        {
            return Some(retired.sequence);
        }
        self.own_header().map(|header| Sequence(header.first_sequence.get()))
    }

    /// The journal's own header of the segment, where it is sound and belongs there.
    fn own_header(&self) -> Option<SegmentHeader> {
        let header = SegmentHeader::parse(self.target.as_ref()?.bytes())?;
        let belongs = header.id() == self.id
            && header.index.get() == self.segment
            && header.kind.get() == LogKind::Commands as u16;
        belongs.then_some(header)
    }

    fn broken(&self, offset: u64, sequence: Sequence, place: &'static str) -> RepairError {
        RepairError::BrokenChain { segment: self.segment, offset, sequence, place }
    }

    /// The journal's bytes of the segment from a place on.
    fn own(&self, from: u64) -> &[u8] {
        let bytes = self.target.as_ref().map_or(&[][..], |map| map.bytes());
        bytes.get(from as usize..).unwrap_or_default()
    }

    /// Walks the copy's batches beside the journal's, and notes where the copy's are needed.
    fn plan(&self, header: &SegmentHeader) -> Result<Plan, RepairError> {
        let mut ranges: Vec<Range> = Vec::new();
        let (mut tip, mut at) = (self.tip, self.start);
        if at == 0 {
            at = SEGMENT_HEADER_SIZE as u64;
            if self.own_header() != Some(*header) {
                let (first, last) = (Sequence::NONE, Sequence::NONE);
                ranges.push(Range { offset: 0, end: at, first, last, before: tip, after: tip });
            }
        }
        loop {
            let rest = self.copy.bytes().get(at as usize..).unwrap_or_default();
            let next = tip.sequence.next();
            // What nothing says was durable is not for a repair; the damage itself is, and all of a
            // lost end.
            let needed = self.snapshot.is_some()
                || next <= self.durable
                || (ranges.is_empty() && at <= self.damage.offset);
            if is_zero(rest) {
                let ranges = self.end_of_copy(ranges, tip, at, header)?;
                return Ok(Plan { ranges, tip, at, flawed: None });
            }
            if !needed {
                return Ok(Plan { ranges, tip, at, flawed: None });
            }
            let (segment, offset) = (self.segment, at);
            let checked = Batch::parse(rest).and_then(|batch| {
                batch.follows(&tip, self.id)?;
                Ok((batch, batch.check(LogKind::Commands, Verify::Chain, tip.time)?))
            });
            let (batch, after) = match checked {
                Ok(checked) => checked,
                Err(flawed) if flawed.flaw == Flaw::Chain && at == self.start => {
                    return Err(self.broken(offset, next, "before"));
                }
                Err(flawed) => {
                    let offset = offset + flawed.at as u64;
                    let (sequence, flaw) = (flawed.sequence.unwrap_or(next), flawed.flaw);
                    if self.snapshot.is_some() {
                        // Who takes the end says whether it is needed.
                        let flawed = Some(Found { segment, offset, sequence, flaw, damage: true });
                        return Ok(Plan { ranges, tip, at, flawed });
                    }
                    return Err(RepairError::DamagedCopy { segment, offset, sequence, flaw });
                }
            };
            let end = at + batch.length() as u64;
            if !self.is_same(&batch, at)? {
                add(&mut ranges, &batch, at, tip, after);
            }
            (tip, at) = (after, end);
        }
    }

    /// True where the journal holds this batch of the copy, sound.
    fn is_same(&self, batch: &Batch<'_>, at: u64) -> Result<bool, RepairError> {
        let Some(header) =
            BatchHeader::parse(self.own(at)).filter(|own| own.journal_id == self.id.0)
        else {
            return Ok(false);
        };
        let same_place = header.first_sequence == batch.header().first_sequence;
        if same_place && header.hash != batch.header().hash {
            // A sound header of this very batch with another hash: two histories.
            return Err(self.broken(at, batch.first(), "behind"));
        }
        if !same_place {
            return Ok(false);
        }
        let Ok(own) = Batch::parse(self.own(at)) else { return Ok(false) };
        Ok(own.check(LogKind::Commands, Verify::Chain, TimeNs(0)).is_ok())
    }

    /// The copy's batches of the segment have ended: so must the journal's.
    fn end_of_copy(
        &self,
        mut ranges: Vec<Range>,
        tip: Tip,
        at: u64,
        header: &SegmentHeader,
    ) -> Result<Vec<Range>, RepairError> {
        let next = self.next_header().map(|next| Sequence(next.first_sequence.get()));
        let mut goes_on = next == Some(tip.sequence.next());
        let (segment, last, needed) = (self.segment, tip.sequence, self.durable);
        if let Some(next) = next.filter(|next| *next <= last) {
            let (segment, copy) = (segment + 1, last.next());
            return Err(RepairError::OtherSegments { segment, journal: next, copy });
        }
        let is_end = next.is_some() || segment >= self.last_used();
        if self.snapshot.is_some() {
            // What the journal has lost at its end may be more than a segment.
            goes_on |= begins_behind(self.source, segment + 1, last)?
                .is_some_and(|next| next.id() == self.id && next.previous_hash == tip.hash);
        } else if last < needed && !goes_on && is_end {
            return Err(RepairError::ShortCopy { segment, last, needed });
        }
        let used = used_length(self.own(at)) as u64;
        if used > 0 && (goes_on || self.damage.flaw == Flaw::NotZero) {
            let (first, last) = (Sequence::NONE, Sequence::NONE);
            let end = (at + used).min(header.segment_size.get());
            ranges.push(Range { offset: at, end, first, last, before: tip, after: tip });
        }
        Ok(ranges)
    }

    /// The header of the segment behind, where there is a sound one of this journal.
    fn next_header(&self) -> Option<SegmentHeader> {
        let file = self.scan.files.iter().find(|file| file.index == self.segment + 1)?;
        let map = self.log.open(&file.path).ok()?.map(file.length).ok()?;
        SegmentHeader::parse(map.bytes()).filter(|header| header.id() == self.id)
    }

    /// The last segment with anything in it.
    fn last_used(&self) -> u64 {
        let file = match (self.scan.beyond.last(), self.scan.end) {
            (Some(extent), _) => self.scan.files.get(extent.file),
            // Of a log that does not begin where it must nothing was walked.
            (None, None) => self.scan.files.last(),
            (None, Some(_)) => None,
        };
        file.map_or(self.segment, |file| file.index)
    }

    /// What stands sound behind the ranges must continue them.
    fn check_next(&self, ranges: &[Range]) -> Result<(), RepairError> {
        let Some(last) = ranges.last() else { return Ok(()) };
        let behind = BatchHeader::parse(self.own(last.end))
            .filter(|header| header.journal_id == self.id.0)
            .map(|header| (header.first_sequence.get(), header.previous_hash, last.end));
        let is_end = is_zero(self.copy.bytes().get(last.end as usize..).unwrap_or_default());
        let next = || {
            let header = self.next_header().filter(|_| is_end)?;
            Some((header.first_sequence.get(), header.previous_hash, last.end))
        };
        let Some((first, previous, offset)) = behind.or_else(next) else { return Ok(()) };
        if first == last.after.sequence.0 + 1 && previous != last.after.hash {
            return Err(self.broken(offset, Sequence(first), "behind"));
        }
        Ok(())
    }

    /// Archives what is damaged, writes the mended segment beside the old one, and puts it in its place.
    fn replace(
        &self,
        header: &SegmentHeader,
        ranges: &[Range],
    ) -> Result<Vec<Repaired>, RepairError> {
        let mut archived = Vec::new();
        for range in ranges {
            archived.push(self.archive(range)?);
        }
        let (path, storage) = (self.log.segment_path(self.segment), self.log.storage());
        let scratch = path.with_extension("repair");
        match storage.remove(&scratch) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove", &scratch)(error).into());
            }
            _ => {}
        }
        let size = header.segment_size.get().max(self.own(0).len() as u64);
        self.write(&scratch, size, ranges)?;
        self.prove(&scratch, size, ranges)?;
        storage.rename(&scratch, &path).map_err(failed("rename", &scratch))?;
        storage.sync_dir(self.log.dir()).map_err(failed("sync", self.log.dir()))?;
        let what = match self.snapshot {
            Some(snapshot) => ends_before(self.scan.tip.sequence, snapshot),
            None => self.damage.flaw.to_string(),
        };
        let repaired = ranges.iter().zip(archived).map(|(range, archived)| Repaired {
            segment: self.segment,
            offset: range.offset,
            bytes: range.end - range.offset,
            first_sequence: range.first,
            last_sequence: range.last,
            what: what.clone(),
            hash_before: hex(&range.before.hash),
            hash_after: hex(&range.after.hash),
            archived,
        });
        Ok(repaired.collect())
    }

    fn archive(&self, range: &Range) -> Result<Option<PathBuf>, RepairError> {
        let end = range.end.min(self.own(0).len() as u64);
        let is_lost = |own: &[u8]| self.snapshot.is_some() && is_zero(own);
        if end <= range.offset || is_lost(&self.own(0)[range.offset as usize..end as usize]) {
            return Ok(None);
        }
        let path = archive::keep_damaged(self.log, self.segment, range.offset, end - range.offset)?;
        Ok(Some(path))
    }

    /// Writes the mended segment: the journal's bytes, and in the ranges those of the copy.
    fn write(&self, scratch: &Path, size: u64, ranges: &[Range]) -> Result<(), RepairError> {
        let storage = self.log.storage();
        let file = storage.create(scratch, Append::Write).map_err(failed("create", scratch))?;
        file.allocate(0, size).map_err(failed("allocate", scratch))?;
        if self.target.is_some() {
            let path = self.log.segment_path(self.segment);
            let own = self.log.open(&path).map_err(failed("open", &path))?;
            let used = used_length(self.own(0)) as u64;
            copy(&*own, 0, &*file, 0, used).map_err(failed("write", scratch))?;
        }
        for range in ranges {
            let bytes = self.copy.bytes().get(range.offset as usize..).unwrap_or_default();
            let mut bytes = bytes[..bytes.len().min((range.end - range.offset) as usize)].to_vec();
            bytes.resize((range.end - range.offset) as usize, 0);
            self.keep_claims(&mut bytes, range.first != Sequence::NONE);
            file.write_at(&bytes, range.offset).map_err(failed("write", scratch))?;
        }
        file.sync_data().map_err(failed("sync", scratch))?;
        Ok(())
    }

    /// A batch of the copy may say of more than this journal knows that it was durable, where another
    /// node wrote it: it says here no more than the journal does itself. Behind a lost end it may: all
    /// of the journal before that was durable, and what is taken is synced.
    fn keep_claims(&self, bytes: &mut [u8], has_batches: bool) {
        if self.snapshot.is_some() {
            return;
        }
        let mut at =
            if bytes.starts_with(&super::format::SEGMENT_MAGIC) { SEGMENT_HEADER_SIZE } else { 0 };
        let known = self.durable.max(self.scan.synced_to).0;
        while has_batches && let Some(rest) = bytes.get_mut(at..).filter(|rest| !rest.is_empty()) {
            let Ok((header, _)) = zerocopy::Ref::<_, BatchHeader>::from_prefix(rest) else {
                return;
            };
            let header = zerocopy::Ref::into_mut(header);
            if header.synced_to.get() > known {
                header.synced_to = known.into();
                header.seal();
            }
            at += header.length.get() as usize;
        }
    }

    /// Reads the mended segment back: the chain must lead across the ranges.
    fn prove(&self, scratch: &Path, size: u64, ranges: &[Range]) -> Result<(), RepairError> {
        let storage = self.log.storage();
        let file = storage.open(scratch, Append::Write).map_err(failed("open", scratch))?;
        let map = file.map(size).map_err(failed("read", scratch))?;
        let header = SegmentHeader::parse(map.bytes()).ok_or(self.no_help())?;
        let last = ranges.last().expect("a plan has ranges");
        let reached = scan::walk_segment(map.bytes(), &header, LogKind::Commands);
        let proven = reached.sequence >= last.after.sequence
            && (reached.sequence > last.after.sequence || reached.hash == last.after.hash);
        if proven { Ok(()) } else { Err(self.no_help()) }
    }
}

/// Adds a batch to the ranges, to the last one where it stands right behind it.
fn add(ranges: &mut Vec<Range>, batch: &Batch<'_>, at: u64, before: Tip, after: Tip) {
    let end = at + batch.length() as u64;
    if let Some(range) = ranges.last_mut().filter(|range| range.end == at) {
        (range.end, range.last, range.after) = (end, batch.last(), after);
        if range.first == Sequence::NONE {
            range.first = batch.first();
        }
        return;
    }
    let (first, last) = (batch.first(), batch.last());
    ranges.push(Range { offset: at, end, first, last, before, after });
}

/// The segment in which the damage is, and where its first batch that is not sound begins; 0 with the
/// segment's header.
fn place(scan: &Scan, damage: &Found) -> (u64, u64) {
    let Some(end) = scan.end else {
        let first = scan.files.first().map_or(0, |file| file.index);
        // The oldest segment of a journal that was never cut is 0, whether its file is there or not.
        let retired = damage.flaw == Flaw::MissingSegment && damage.segment == first;
        return (if retired { first } else { damage.segment.min(first) }, 0);
    };
    let last = scan.files[end.file].index;
    let in_last = damage.segment == last && damage.offset >= end.offset;
    if in_last { (last, end.offset) } else { (last + 1, 0) }
}

/// The header of a segment of the copy, where it begins with the sequence behind `last`.
fn begins_behind(
    source: &LogDir,
    segment: u64,
    last: Sequence,
) -> Result<Option<SegmentHeader>, RepairError> {
    let Some(map) = map(source, segment)? else { return Ok(None) };
    let header = SegmentHeader::parse(map.bytes());
    Ok(header.filter(|header| header.first_sequence.get() == last.next().0))
}

/// The journal's id and the last sequence that it says was durable, by every sound header in it.
fn claims(log: &LogDir, scan: &Scan) -> Result<(Option<JournalId>, Sequence), RepairError> {
    let (mut id, mut durable) = (scan.id, scan.synced_to);
    let first = scan.end.map_or(0, |end| end.file);
    for file in &scan.files[first..] {
        let map = log.open(&file.path).and_then(|open| open.map(file.length));
        let map = map.map_err(failed("read", &file.path))?;
        if let Some(header) = SegmentHeader::parse(map.bytes()) {
            id.get_or_insert(header.id());
        }
        for header in scan::headers(map.bytes()) {
            let own = JournalId(header.journal_id);
            let says = header.synced_to.get();
            if *id.get_or_insert(own) == own && header.first_sequence.get() > says {
                durable = durable.max(Sequence(says));
            }
        }
    }
    Ok((id, durable))
}

/// A segment's bytes; none where the file is not there.
fn map(log: &LogDir, segment: u64) -> Result<Option<Box<dyn Mapping>>, RepairError> {
    let path = log.segment_path(segment);
    let file = match log.open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(failed("open", &path))?,
    };
    let map = file.len().and_then(|length| file.map(length));
    Ok(Some(map.map_err(failed("read", &path))?))
}
