//! Walks a whole log and says what is there: the sound prefix, and what stands behind it.
//!
//! Read-only, so that recovery and `verify` judge by the same rules. The decision table:
//!
//! ```text
//! what stands behind the last sound batch (next sequence n)               verdict
//! ----------------------------------------------------------------------  --------------
//! zeros to the end of all segments                                        clean
//! anything, and no sound batch header behind it says synced_to >= n       tail
//! anything, and a sound batch header behind it says synced_to >= n        damage
//! sound checksums and content that does not continue what stands before   damage
//! sound checksums and a kind or version that is not known here            damage
//! zeros are missing, and the next segment continues at n                  damage
//! the oldest segment is not the one the log begins with                   damage
//! ```
//!
//! A log begins with segment 0, or with what its marker names where older ones were retired
//! (`retention::marker`); the first batch must then chain from the marker's hash. The reject log drops
//! its oldest files without a marker.
//!
//! A header counts as sound where its CRC matches and it carries the journal's id, which clients
//! do not know: bytes that a client sent cannot pass for one. Derived logs (events, rejects) carry no
//! `synced_to`: for them any later sound header makes it damage, which only `verify` reports.
//!
//! With several threads, segments are checked ahead of the walk, each from where its own header says
//! that it begins. The walk takes over what was found only where it has come to exactly that place and
//! the segment is sound to its zeros; everything else it looks at itself, so that the verdict and its
//! place are the same with any number of threads.

use super::format::{
    ALIGN, BATCH_HEADER_SIZE, BatchHeader, JournalId, LogKind, SEGMENT_HEADER_SIZE, SegmentHeader,
    Tip, is_zero, used_length,
};
use super::retention::marker::Retired;
use super::segment::LogDir;
use super::view::{Batch, Flaw, Flawed, Verify};
use crate::types::{Epoch, Sequence, TimeNs};
use crossbeam::channel::{Receiver, bounded};
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How far a walk has come; shown by whoever waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Segments done.
    pub segments_done: usize,
    /// Segments in all, those prepared ahead included.
    pub segments: usize,
    /// Last sequence that is sound so far.
    pub sequence: Sequence,
}

/// What a walk is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScanOptions {
    /// The journal it must be of, where that is known.
    pub(crate) id: Option<JournalId>,
    /// Segments before this one are not looked at.
    pub(crate) from_segment: u64,
    /// Batches beyond this sequence are not taken: what stands there is cut.
    pub(crate) limit: Sequence,
    /// How much of each batch is checked.
    pub(crate) verify: Verify,
    /// Threads that check segments; at 1 the caller's does it alone.
    pub(crate) threads: usize,
}

/// A place in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Position in [`Scan::files`].
    pub(crate) file: usize,
    /// Byte.
    pub(crate) offset: u64,
}

/// A segment file.
#[derive(Clone, Debug)]
pub(crate) struct SegmentFile {
    pub(crate) index: u64,
    pub(crate) path: PathBuf,
    pub(crate) length: u64,
}

/// Why the walk ended before the zeros did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) sequence: Sequence,
    pub(crate) flaw: Flaw,
    /// True where a crash cannot have left this.
    pub(crate) damage: bool,
}

/// Bytes that are not zero behind the last sound batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) file: usize,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// What is there.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) files: Vec<SegmentFile>,
    pub(crate) id: Option<JournalId>,
    /// What the last sound batch reached.
    pub(crate) tip: Tip,
    /// First sequence that is there; 0 for none.
    pub(crate) first: Sequence,
    pub(crate) batches: u64,
    pub(crate) records: u64,
    /// Segments that hold a sound batch.
    pub(crate) segments: u64,
    /// The highest `synced_to` of a sound batch.
    pub(crate) synced_to: Sequence,
    /// Where the first batch begins that no later batch says is durable.
    pub(crate) unsynced: Option<Place>,
    /// End of the last sound batch; `None` where there is none.
    pub(crate) end: Option<Place>,
    /// Size of the segment that it is in.
    pub(crate) end_size: u64,
    pub(crate) found: Option<Found>,
    /// What is cut when the log is taken as it is.
    pub(crate) beyond: Vec<Extent>,
}

impl Scan {
    /// What is damaged in a journal that ends before `known`, which was durable once.
    pub(crate) fn lost_end(&self, known: Sequence) -> Option<Found> {
        if self.tip.sequence >= known {
            return None;
        }
        let place = self.end.map(|end| (self.files[end.file].index, end.offset));
        let (segment, offset) =
            place.unwrap_or((self.files.first().map_or(0, |file| file.index), 0));
        let (sequence, flaw) =
            (self.tip.sequence.next(), self.found.map_or(Flaw::Zeros, |found| found.flaw));
        Some(Found { segment, offset, sequence, flaw, damage: true })
    }

    /// Bytes behind the last sound batch, up to the last that is not zero, segment by segment.
    pub(crate) fn beyond_bytes(&self) -> u64 {
        self.beyond.iter().map(|extent| extent.length).sum()
    }
}

/// Walks a log.
pub(crate) fn scan(
    log: &LogDir,
    options: ScanOptions,
    progress: &mut dyn FnMut(&Progress),
) -> io::Result<Scan> {
    let retired = log.retired()?;
    let files = log
        .segments()?
        .into_iter()
        .filter(|(index, _)| *index >= options.from_segment)
        .map(|(index, path)| {
            let length = log.open(&path)?.len()?;
            Ok(SegmentFile { index, path, length })
        })
        .collect::<io::Result<Vec<_>>>()?;
    let mut walk = Walk {
        log,
        options,
        retired,
        run: Run::default(),
        ahead: None,
        scan: Scan {
            files,
            id: options.id,
            tip: Tip::START,
            first: Sequence::NONE,
            batches: 0,
            records: 0,
            segments: 0,
            synced_to: Sequence::NONE,
            unsynced: None,
            end: None,
            end_size: 0,
            found: None,
            beyond: Vec::new(),
        },
    };
    let threads = options.threads.min(walk.scan.files.len());
    if threads <= 1 {
        walk.run(progress)?;
    } else {
        ahead(&mut walk, threads, progress)?;
    }
    Ok(walk.scan)
}

/// Runs the walk while `threads` others check segments ahead of it.
fn ahead(
    walk: &mut Walk<'_>,
    threads: usize,
    progress: &mut dyn FnMut(&Progress),
) -> io::Result<()> {
    let (log, options, files) = (walk.log, walk.options, walk.scan.files.clone());
    let mut senders = Vec::with_capacity(files.len());
    let mut receivers = Vec::with_capacity(files.len());
    for _ in &files {
        let (sender, receiver) = bounded(1);
        senders.push(sender);
        receivers.push(receiver);
    }
    walk.ahead = Some(receivers);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    // Relaxed: only the number counts, the channels order everything else.
                    let file = next.fetch_add(1, Ordering::Relaxed);
                    let (Some(segment), Some(sender)) = (files.get(file), senders.get(file)) else {
                        return;
                    };
                    // Nobody takes it where the walk has ended: then there is nothing more to do.
                    if sender.send(look(log, file, segment, options)).is_err() {
                        return;
                    }
                }
            });
        }
        let result = walk.run(progress);
        walk.ahead = None;
        result
    })
}

/// What a thread found in a segment: where it begins, and its batches.
type Looked = Option<(Tip, Run)>;

/// Checks a segment by itself; `None` where it is not sound to its zeros, or cannot be read: the walk
/// finds out what it is.
fn look(log: &LogDir, file: usize, segment: &SegmentFile, options: ScanOptions) -> Looked {
    let map = log.open(&segment.path).ok()?.map(segment.length).ok()?;
    let header = SegmentHeader::parse(map.bytes())?;
    let start = starts_at(&header)?;
    let mut run = Run { tip: start, ..Run::default() };
    let ended = run.batches(file, map.bytes(), &header, log.kind(), options);
    matches!(ended, BatchesEnded::Zeros).then_some((start, run))
}

/// What a segment says the log had reached before it; time and epoch are not in its header.
fn starts_at(header: &SegmentHeader) -> Option<Tip> {
    let sequence = Sequence(header.first_sequence.get().checked_sub(1)?);
    Some(Tip { sequence, time: TimeNs(0), epoch: Epoch(0), hash: header.previous_hash })
}

/// How the walk through one segment ended.
enum Ended {
    /// At its zeros: the next segment may go on.
    Segment,
    /// The segment, and with it the log, has not begun.
    Unused,
    /// At something that is not what belongs there.
    Flawed(Place, Flawed),
    /// At the limit.
    Limit,
}

/// How the batches of a segment ended.
enum BatchesEnded {
    /// At zeros to the segment's end.
    Zeros,
    /// At zeros with something behind them.
    SomeZeros(Place),
    /// At something that is no batch.
    NoBatch(Place, Flawed),
    /// At a batch that does not belong there, or is not sound.
    Flawed(Place, Flawed),
    /// At the limit.
    Limit,
}

/// Sound batches that follow each other.
struct Run {
    /// What the last one reached; `whole` stays behind it while that is a part.
    tip: Tip,
    whole: Tip,
    /// Epoch of the first batch, and time of the first record.
    first_epoch: Option<Epoch>,
    first_time: Option<TimeNs>,
    /// First sequence; 0 for none.
    first: Sequence,
    batches: u64,
    records: u64,
    /// Batches and records of parts that are not complete yet.
    parts: (u64, u64),
    /// Segments that hold one.
    segments: u64,
    synced_to: Sequence,
    /// Batches that no later one says are durable: last sequence and place.
    pending: VecDeque<(Sequence, Place)>,
    /// End of the last whole one, and size of the segment that it is in.
    end: Option<Place>,
    end_size: u64,
}

impl Default for Run {
    fn default() -> Run {
        Run {
            tip: Tip::START,
            whole: Tip::START,
            first_epoch: None,
            first_time: None,
            first: Sequence::NONE,
            batches: 0,
            records: 0,
            parts: (0, 0),
            segments: 0,
            synced_to: Sequence::NONE,
            pending: VecDeque::new(),
            end: None,
            end_size: 0,
        }
    }
}

impl Run {
    /// Takes the sound batches of a segment, and says what stands behind them.
    fn batches(
        &mut self,
        file: usize,
        bytes: &[u8],
        header: &SegmentHeader,
        kind: LogKind,
        options: ScanOptions,
    ) -> BatchesEnded {
        let mut at = SEGMENT_HEADER_SIZE;
        loop {
            let rest = &bytes[at..];
            let place = Place { file, offset: at as u64 };
            if rest.iter().take(ALIGN).all(|byte| *byte == 0) {
                let zeros = is_zero(rest);
                return if zeros { BatchesEnded::Zeros } else { BatchesEnded::SomeZeros(place) };
            }
            let batch = match Batch::parse(rest) {
                Ok(batch) => batch,
                Err(flawed) => return BatchesEnded::NoBatch(place, flawed),
            };
            let checked = batch
                .follows(&self.tip, header.id())
                .and_then(|()| batch.check(kind, options.verify, self.tip.time));
            let tip = match checked {
                Ok(_) if batch.last() > options.limit => return BatchesEnded::Limit,
                Ok(tip) => tip,
                Err(flawed) => return BatchesEnded::Flawed(place, flawed),
            };
            at += batch.length();
            self.take(&batch, tip, place);
            if !batch.header().is_partial() {
                self.end = Some(Place { file, offset: at as u64 });
                self.end_size = header.segment_size.get();
            }
        }
    }

    fn take(&mut self, batch: &Batch<'_>, tip: Tip, place: Place) {
        self.tip = tip;
        self.parts.0 += 1;
        self.parts.1 += u64::from(batch.header().count.get());
        self.first_epoch.get_or_insert(Epoch(batch.header().epoch.get()));
        if self.first_time.is_none() {
            self.first_time = batch.records().next().map(|record| record.time());
        }
        if self.first == Sequence::NONE {
            self.first = batch.first();
        }
        if place.offset == SEGMENT_HEADER_SIZE as u64 {
            self.segments += 1;
        }
        if batch.header().is_partial() {
            return;
        }
        let (batches, records) = std::mem::take(&mut self.parts);
        self.whole = tip;
        self.batches += batches;
        self.records += records;
        self.synced(Sequence(batch.header().synced_to.get()));
        self.pending.push_back((tip.sequence, place));
    }

    /// Everything up to `synced_to` is known to be durable.
    fn synced(&mut self, synced_to: Sequence) {
        self.synced_to = self.synced_to.max(synced_to);
        while self.pending.front().is_some_and(|(last, _)| *last <= self.synced_to) {
            self.pending.pop_front();
        }
    }

    /// Takes what was found in a segment that was checked from `start` on; false, and nothing taken,
    /// where this run has not come to exactly that place.
    fn join(&mut self, start: &Tip, other: Run) -> bool {
        let follows = self.tip.sequence == start.sequence
            && self.tip.hash == start.hash
            && other.first_epoch.is_none_or(|epoch| self.tip.epoch <= epoch)
            && other.first_time.is_none_or(|time| self.tip.time <= time);
        if !follows || other.first == Sequence::NONE {
            return follows;
        }
        // A batch of an event log may hold no record: its time is that of what stands before it.
        let time = self.tip.time;
        let after = |tip: Tip| Tip { time: tip.time.max(time), ..tip };
        self.tip = after(other.tip);
        if other.end.is_some() {
            self.whole = after(other.whole);
            self.batches += self.parts.0 + other.batches;
            self.records += self.parts.1 + other.records;
            self.parts = other.parts;
            (self.end, self.end_size) = (other.end, other.end_size);
        } else {
            self.parts.0 += other.parts.0;
            self.parts.1 += other.parts.1;
        }
        if self.first == Sequence::NONE {
            self.first = other.first;
        }
        self.segments += other.segments;
        self.synced(other.synced_to);
        let synced_to = self.synced_to;
        self.pending.extend(other.pending.into_iter().filter(|(last, _)| *last > synced_to));
        true
    }
}

struct Walk<'a> {
    log: &'a LogDir,
    options: ScanOptions,
    retired: Option<Retired>,
    /// What was taken so far.
    run: Run,
    /// What other threads find in each segment.
    ahead: Option<Vec<Receiver<Looked>>>,
    scan: Scan,
}

impl Walk<'_> {
    fn run(&mut self, progress: &mut dyn FnMut(&Progress)) -> io::Result<()> {
        let wrong_start = self.wrong_start()?;
        if self.log.kind() == LogKind::Commands && wrong_start.is_some() {
            // Nothing stands before the damage.
            self.scan.found = wrong_start;
            return Ok(());
        }
        let segments = self.scan.files.len();
        let mut ended = Ended::Segment;
        for file in 0..segments {
            ended = self.segment(file)?;
            let sequence = self.run.whole.sequence;
            progress(&Progress { segments_done: file + 1, segments, sequence });
            if !matches!(ended, Ended::Segment) {
                break;
            }
        }
        self.tell();
        self.scan.beyond = self.beyond()?;
        let found = match ended {
            Ended::Flawed(place, flawed) => Some((place, flawed)),
            // All is zero where a segment that has not begun ends the log. Otherwise bytes are there
            // that no segment header leads to.
            Ended::Segment | Ended::Unused if !self.scan.beyond.is_empty() => {
                let extent = self.scan.beyond[0];
                let place = Place { file: extent.file, offset: extent.offset };
                let flaw = if extent.offset == 0 { Flaw::SegmentHeader } else { Flaw::Zeros };
                Some((place, Flawed { at: 0, sequence: None, flaw }))
            }
            Ended::Segment | Ended::Unused | Ended::Limit => None,
        };
        if self.scan.end.is_none() && self.scan.files.first().is_some_and(|file| file.index > 0) {
            // Older segments were retired, and what they led to is gone: sequences must not start
            // again at 1.
            let (segment, offset) = (self.scan.files[0].index, 0);
            let (sequence, flaw) = (self.run.tip.sequence.next(), Flaw::MissingSegment);
            self.scan.found = Some(Found { segment, offset, sequence, flaw, damage: true });
        } else if let Some((place, flawed)) = found {
            let next = self.scan.tip.sequence.next();
            let damage = flawed.flaw.is_disorder()
                || flawed.flaw == Flaw::NotZero
                || self.is_covered(place, next)?;
            self.scan.found = Some(Found {
                segment: self.scan.files[place.file].index,
                offset: place.offset + flawed.at as u64,
                sequence: flawed.sequence.unwrap_or(next),
                flaw: flawed.flaw,
                damage,
            });
        }
        // A derived log is judged by whoever builds it again; here it is only told.
        self.scan.found = wrong_start.or(self.scan.found);
        Ok(())
    }

    /// What is wrong with where the log begins: a segment 0 that is not there, or another one than that
    /// which was the oldest one kept when others were retired.
    fn wrong_start(&self) -> io::Result<Option<Found>> {
        if self.log.kind() == LogKind::Rejects {
            return Ok(None);
        }
        let (segment, sequence) =
            self.retired.map_or((0, Sequence(1)), |retired| (retired.segment, retired.sequence));
        let found = |flaw| Found { segment, offset: 0, sequence, flaw, damage: true };
        let all = self.log.segments()?;
        if all.first().map(|(index, _)| *index) != self.scan.files.first().map(|file| file.index) {
            // It is not asked for.
            return Ok(None);
        }
        let (Some(first), retired) = (self.scan.files.first(), self.retired) else {
            return Ok(self.retired.map(|_| found(Flaw::MissingSegment)));
        };
        if first.index != segment {
            return Ok(Some(found(Flaw::MissingSegment)));
        }
        let Some(retired) = retired else { return Ok(None) };
        let map = self.map(0)?;
        // Where there is no sound header, the walk says so.
        let Some(header) = SegmentHeader::parse(map.bytes()) else { return Ok(None) };
        let (expected, begins) = (retired.sequence.0, header.first_sequence.get());
        Ok(if header.id() != retired.id {
            Some(found(Flaw::ForeignSegment))
        } else if begins != expected {
            Some(found(Flaw::Gap { expected, found: begins }))
        } else if header.previous_hash != retired.hash {
            Some(found(Flaw::Chain))
        } else {
            None
        })
    }

    /// Puts what was taken into the result.
    fn tell(&mut self) {
        let (run, scan) = (&self.run, &mut self.scan);
        scan.tip = run.whole;
        scan.first = run.first;
        (scan.batches, scan.records) = (run.batches, run.records);
        scan.segments = run.segments;
        scan.synced_to = run.synced_to;
        scan.unsynced = run.pending.front().map(|(_, place)| *place);
        (scan.end, scan.end_size) = (run.end, run.end_size);
    }

    fn map(&self, file: usize) -> io::Result<Box<dyn crate::sys::storage::Mapping>> {
        let file = &self.scan.files[file];
        self.log.open(&file.path)?.map(file.length)
    }

    fn segment(&mut self, file: usize) -> io::Result<Ended> {
        let map = self.map(file)?;
        let bytes = map.bytes();
        let here = |flaw| Flawed { at: 0, sequence: None, flaw };
        let start = Place { file, offset: 0 };
        if file > 0 && self.scan.files[file].index != self.scan.files[file - 1].index + 1 {
            return Ok(if is_zero(bytes) {
                Ended::Unused
            } else {
                Ended::Flawed(start, here(Flaw::MissingSegment))
            });
        }
        let Some(header) = SegmentHeader::parse(bytes) else {
            return Ok(if is_zero(bytes) {
                Ended::Unused
            } else {
                let newer = SegmentHeader::is_other_version(bytes);
                let flaw = if newer { Flaw::Version } else { Flaw::SegmentHeader };
                Ended::Flawed(start, here(flaw))
            });
        };
        if let Some(flaw) = self.segment_flaw(file, &header) {
            return Ok(Ended::Flawed(start, here(flaw)));
        }
        if file == 0 {
            self.run.tip = starts_at(&header).expect("a sequence of 0 is a flaw");
        } else if header.first_sequence.get() > self.run.tip.sequence.0 + 1 {
            // The batches before it are lost: a power cut may keep the later of two writes.
            let before = Place { file: file - 1, offset: SEGMENT_HEADER_SIZE as u64 };
            let end = self.run.end.filter(|end| end.file == before.file).unwrap_or(before);
            return Ok(Ended::Flawed(end, here(Flaw::Zeros)));
        }
        self.scan.id = Some(header.id());
        let found = self.ahead.as_ref().and_then(|ahead| ahead[file].recv().ok()).flatten();
        if let Some((start, run)) = found
            && self.run.join(&start, run)
        {
            return Ok(Ended::Segment);
        }
        self.batches(file, bytes, &header)
    }

    /// What is wrong with a segment header whose checksum is right.
    fn segment_flaw(&self, file: usize, header: &SegmentHeader) -> Option<Flaw> {
        let foreign = header.kind.get() != self.log.kind() as u16
            || header.index.get() != self.scan.files[file].index
            || self.scan.id.is_some_and(|id| id != header.id())
            || header.first_sequence.get() == 0
            || (header.index.get() == 0 && header.first_sequence.get() != 1);
        if foreign {
            return Some(Flaw::ForeignSegment);
        }
        if file == 0 {
            return None;
        }
        let (expected, found) = (self.run.tip.sequence.0 + 1, header.first_sequence.get());
        if found < expected {
            return Some(Flaw::Gap { expected, found });
        }
        (found == expected && header.previous_hash != self.run.tip.hash).then_some(Flaw::Chain)
    }

    fn batches(&mut self, file: usize, bytes: &[u8], header: &SegmentHeader) -> io::Result<Ended> {
        let ended = self.run.batches(file, bytes, header, self.log.kind(), self.options);
        let flawed = |flaw| Flawed { at: 0, sequence: None, flaw };
        Ok(match ended {
            BatchesEnded::Zeros => Ended::Segment,
            BatchesEnded::Limit => Ended::Limit,
            BatchesEnded::Flawed(place, found) => Ended::Flawed(place, found),
            BatchesEnded::SomeZeros(place) | BatchesEnded::NoBatch(place, _)
                if self.continues(file + 1)? =>
            {
                Ended::Flawed(place, flawed(Flaw::NotZero))
            }
            BatchesEnded::SomeZeros(place) => Ended::Flawed(place, flawed(Flaw::Zeros)),
            BatchesEnded::NoBatch(place, found) => Ended::Flawed(place, found),
        })
    }

    /// Whether a segment continues the sound prefix exactly.
    fn continues(&self, file: usize) -> io::Result<bool> {
        if file >= self.scan.files.len() {
            return Ok(false);
        }
        let map = self.map(file)?;
        Ok(SegmentHeader::parse(map.bytes()).is_some_and(|header| {
            header.first_sequence.get() == self.run.tip.sequence.0 + 1
                && header.previous_hash == self.run.tip.hash
                && self.scan.id == Some(header.id())
        }))
    }

    /// Whether a sound batch header behind `place` says that `next` was durable when it was written.
    fn is_covered(&self, place: Place, next: Sequence) -> io::Result<bool> {
        for file in place.file..self.scan.files.len() {
            let map = self.map(file)?;
            let from = if file == place.file { place.offset as usize } else { 0 };
            let bytes = map.bytes().get(from..).unwrap_or_default();
            let covers = |header: &BatchHeader| {
                let ours = self.scan.id.is_none_or(|id| id.0 == header.journal_id);
                let later = match self.log.kind() {
                    LogKind::Commands => {
                        header.synced_to.get() >= next.0
                            && header.first_sequence.get() > header.synced_to.get()
                    }
                    // Derived logs do not say what was durable; they are made again either way.
                    LogKind::Events | LogKind::Rejects => header.first_sequence.get() > next.0,
                };
                ours && later
            };
            if headers(bytes).any(covers) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Everything that is not zero behind the sound prefix. A segment whose header stands without a
    /// sound batch goes back to unused, header and all.
    fn beyond(&self) -> io::Result<Vec<Extent>> {
        let (first_file, first_offset) = self.scan.end.map_or((0, 0), |end| (end.file, end.offset));
        let mut beyond = Vec::new();
        for file in first_file..self.scan.files.len() {
            let map = self.map(file)?;
            let offset = if file == first_file { first_offset } else { 0 };
            let bytes = map.bytes().get(offset as usize..).unwrap_or_default();
            let length = used_length(bytes) as u64;
            if length > 0 {
                beyond.push(Extent { file, offset, length });
            }
        }
        Ok(beyond)
    }
}

/// What a segment's sound batches reach, from where its header says that it begins.
pub(crate) fn walk_segment(bytes: &[u8], header: &SegmentHeader, kind: LogKind) -> Tip {
    let Some(tip) = starts_at(header) else { return Tip::START };
    let mut run = Run { tip, ..Run::default() };
    let limit = Sequence(u64::MAX);
    let options =
        ScanOptions { id: None, from_segment: 0, limit, verify: Verify::Chain, threads: 1 };
    run.batches(0, bytes, header, kind, options);
    run.tip
}

/// Every sound batch header in `bytes`, which start at a multiple of [`ALIGN`] in their segment.
pub(crate) fn headers(bytes: &[u8]) -> impl Iterator<Item = &BatchHeader> {
    const PAGE: usize = 4096;
    bytes.chunks(PAGE).enumerate().filter(|(_, page)| !is_zero(page)).flat_map(
        move |(index, page)| {
            (0..page.len()).step_by(ALIGN).filter_map(move |at| {
                let rest = &bytes[index * PAGE + at..];
                (rest.len() >= BATCH_HEADER_SIZE).then(|| BatchHeader::parse(rest))?
            })
        },
    )
}
