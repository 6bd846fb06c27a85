//! Follows a log through its mapped segments, live and in replay alike.
//!
//! Invariants: nothing beyond the limit the caller gives (a published cursor) is looked at or handed
//! out; sequences come without a gap; what cannot be read as it must is an error with its place,
//! never an early end.

use super::format::{
    BATCH_HEADER_SIZE, LogKind, SEGMENT_CONTINUES, SEGMENT_HEADER_SIZE, SegmentHeader, Tip, is_zero,
};
use super::retention::marker::Retired;
use super::segment::{FirstPage, LogDir};
use super::view::{Batch, Flaw, Flawed, Record, Verify};
use crate::sys::storage::Mapping;
use crate::types::{Epoch, Sequence, TimeNs};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// What is published is not there as it was written.
    #[error("segment {segment}, offset {offset}, sequence {sequence}: {flaw}")]
    Damaged {
        /// The segment.
        segment: u64,
        /// Byte in its file.
        offset: u64,
        /// The sequence that should be there.
        sequence: Sequence,
        /// What is wrong.
        flaw: Flaw,
    },
    /// The log begins later: what is asked for was retired.
    #[error("sequence {asked} is gone: the log begins at {first}")]
    Retired {
        /// What was asked for.
        asked: Sequence,
        /// Where the log begins.
        first: Sequence,
    },
    /// A segment cannot be opened or mapped.
    #[error("segment {segment}: {source}")]
    Io {
        /// The segment.
        segment: u64,
        /// What the operating system says.
        source: io::Error,
    },
}

impl ReadError {
    /// True where no segment was ever begun.
    #[must_use]
    pub fn is_empty_log(&self) -> bool {
        matches!(self, ReadError::Damaged { flaw: Flaw::MissingSegment, .. })
    }
}

/// A mapped segment and the place in it.
struct Place {
    index: u64,
    header: SegmentHeader,
    map: Arc<dyn Mapping>,
    /// Of the next batch.
    offset: usize,
}

/// A batch whose records are handed out one by one.
struct Cursor {
    start: usize,
    length: usize,
    at: usize,
}

/// Bytes between two marks: stepping over them by their headers takes microseconds.
const MARK_BYTES: usize = 128 * 1024;
/// Marks kept; where they are too many they are forgotten and made again.
const MARKS_MAX: usize = 1 << 16;

/// A place between two batches.
#[derive(Clone, Copy)]
struct Mark {
    segment: u64,
    offset: usize,
    tip: Tip,
}

/// Places that readers of a log have passed, by the sequence that follows.
#[derive(Default)]
pub(super) struct Marks(BTreeMap<Sequence, Mark>);

impl Marks {
    /// The last place at or before a sequence, if it is in this segment.
    fn before(&self, sequence: Sequence, segment: u64) -> Option<Mark> {
        let (_, mark) = self.0.range(..=sequence).next_back()?;
        (mark.segment == segment).then_some(*mark)
    }

    fn add(&mut self, mark: Mark) {
        if self.0.len() >= MARKS_MAX {
            self.0.clear();
        }
        self.0.insert(mark.tip.sequence.next(), mark);
    }
}

/// Reads batches or records in order.
pub struct Reader {
    log: LogDir,
    verify: Verify,
    tip: Tip,
    /// Records before this one are skipped.
    from: Sequence,
    place: Option<Place>,
    cursor: Option<Cursor>,
    /// What the log has to have reached where reading begins, and where its last batch may stand.
    known: Option<(Tip, BatchPlace)>,
}

/// Where a batch begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchPlace {
    /// Its segment.
    pub segment: u64,
    /// Byte in the segment's file; 0 where the place is not known.
    pub offset: u64,
}

impl Reader {
    /// A reader whose first record is that of sequence `from`. Nothing is opened until there is
    /// something to read.
    #[must_use]
    pub fn new(log: LogDir, from: Sequence, verify: Verify) -> Reader {
        let from = Sequence(from.0.max(1));
        Reader { log, verify, tip: Tip::START, from, place: None, cursor: None, known: None }
    }

    /// A reader that goes on behind the batch that has reached `tip`, which began at `place`: only a
    /// hint, a wrong one costs a search. That the log holds this very batch, or goes on from it, is
    /// found out when reading begins.
    #[must_use]
    pub fn behind(log: LogDir, tip: Tip, place: BatchPlace, verify: Verify) -> Reader {
        let known = (tip.sequence != Sequence::NONE).then_some((tip, place));
        Reader { known, ..Reader::new(log, tip.sequence.next(), verify) }
    }

    /// Finds the place where reading begins, if it was not found yet.
    ///
    /// # Errors
    /// [`ReadError`], and [`Flaw::Chain`] where the log has another history than the reader was told.
    pub fn start(&mut self) -> Result<(), ReadError> {
        if self.place.is_some() {
            return Ok(());
        }
        let Some((known, place)) = self.known else {
            self.begin()?;
            self.skip(self.from, None);
            return Ok(());
        };
        if !self.begin_at(&known, place) {
            self.begin()?;
            self.skip(self.from, None);
        }
        if self.tip.sequence != known.sequence || self.tip.hash != known.hash {
            let (at, sequence) = (0, Some(known.sequence));
            let error = self.damaged(&Flawed { at, sequence, flaw: Flaw::Chain });
            self.place = None;
            return Err(error);
        }
        self.tip = known;
        Ok(())
    }

    /// Begins behind the batch at `at`, if it is the one that has reached `tip`.
    fn begin_at(&mut self, tip: &Tip, at: BatchPlace) -> bool {
        let path = self.log.segment_path(at.segment);
        let Ok(Some(mut place)) = open_segment(&self.log, &path, at.segment) else { return false };
        let offset = usize::try_from(at.offset).unwrap_or(usize::MAX);
        let bytes = place.map.bytes().get(offset..).unwrap_or_default();
        let Ok(batch) = Batch::parse(bytes) else { return false };
        if at.offset == 0 || batch.id() != place.header.id() || batch.header().hash != tip.hash {
            return false;
        }
        self.tip = batch.header().reached(tip.time);
        place.offset = offset + batch.length();
        self.place = Some(place);
        true
    }

    /// The sequence that the next batch begins with, or would.
    #[must_use]
    pub fn next_sequence(&self) -> Sequence {
        if self.place.is_some() { self.tip.sequence.next() } else { self.from }
    }

    /// What the last batch that was read reached.
    #[must_use]
    pub fn tip(&self) -> &Tip {
        &self.tip
    }

    /// Segment and offset of the next batch, once one was read.
    #[must_use]
    pub fn position(&self) -> Option<(u64, u64)> {
        self.place.as_ref().map(|place| (place.index, place.offset as u64))
    }

    /// The mapped segment that [`Reader::position`] is in. While somebody else has it too, a simulated
    /// disk does not show what is written to it later.
    pub(crate) fn segment(&self) -> Option<Arc<dyn Mapping>> {
        self.place.as_ref().map(|place| place.map.clone())
    }

    /// The next batch, if all of it is at or below `limit`. The first one is that which holds `from`.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn next_batch(&mut self, limit: Sequence) -> Result<Option<Batch<'_>>, ReadError> {
        self.cursor = None;
        let Some((start, length)) = self.advance(limit, true)? else { return Ok(None) };
        let place = self.place.as_ref().expect("advance found the batch in it");
        Ok(Some(Batch::trusted(&place.map.bytes()[start..start + length])))
    }

    /// The next record, if it is at or below `limit`; the batch that holds it must be written whole,
    /// which a cursor of written or durable sequences tells.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn next_record(&mut self, limit: Sequence) -> Result<Option<Record<'_>>, ReadError> {
        let at = loop {
            if let Some(cursor) = self.cursor.as_mut() {
                let place = self.place.as_ref().expect("a cursor points into a mapped segment");
                let batch = &place.map.bytes()[cursor.start..cursor.start + cursor.length];
                if let Some(record) = Record::parse(&batch[cursor.at..]) {
                    if record.sequence() > limit {
                        return Ok(None);
                    }
                    let at = cursor.start + cursor.at;
                    cursor.at += record.bytes().len();
                    // An event log's block may begin before what is asked for and reach it.
                    if self.log.kind() != LogKind::Events && record.sequence() < self.from {
                        continue;
                    }
                    break at;
                }
                self.cursor = None;
            }
            let Some((start, length)) = self.advance(limit, false)? else { return Ok(None) };
            self.cursor = Some(Cursor { start, length, at: BATCH_HEADER_SIZE });
        };
        let place = self.place.as_ref().expect("the record was found in it");
        Ok(Record::parse(&place.map.bytes()[at..]))
    }

    /// Steps over batches that end before `sequence`, by their headers alone, in the segment that the
    /// reader is in; leaves marks on the way, and makes use of those that are there.
    pub(super) fn skip_to(
        &mut self,
        sequence: Sequence,
        marks: &mut Marks,
    ) -> Result<(), ReadError> {
        self.cursor = None;
        if self.place.is_none() {
            self.from = self.from.max(sequence);
            self.begin()?;
        }
        let place = self.place.as_mut().expect("there is one, or begin failed");
        if let Some(mark) = marks.before(sequence, place.index)
            && mark.offset > place.offset
        {
            place.offset = mark.offset;
            self.tip = mark.tip;
        }
        self.skip(sequence, Some(marks));
        Ok(())
    }

    /// True where a batch stands next in the segment that the reader is in.
    pub(crate) fn has_batch(&self) -> bool {
        self.place
            .as_ref()
            .is_some_and(|place| Batch::parse(&place.map.bytes()[place.offset..]).is_ok())
    }

    /// True where nothing but zeros stands next in the segment: the log is not written further.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.place.as_ref().is_some_and(|place| is_zero(&place.map.bytes()[place.offset..]))
    }

    fn skip(&mut self, sequence: Sequence, mut marks: Option<&mut Marks>) {
        let Some(place) = self.place.as_mut() else { return };
        let mut marked = place.offset;
        while let Ok(batch) = Batch::parse(&place.map.bytes()[place.offset..]) {
            let follows = batch.follows(&self.tip, place.header.id()).is_ok();
            if !follows || batch.last() >= sequence {
                return;
            }
            self.tip = batch.header().reached(TimeNs(0));
            place.offset += batch.length();
            if let Some(marks) = marks.as_mut()
                && place.offset - marked >= MARK_BYTES
                && !batch.header().is_partial()
            {
                let (segment, offset, tip) = (place.index, place.offset, self.tip);
                marks.add(Mark { segment, offset, tip });
                marked = place.offset;
            }
        }
    }

    /// Finds and checks the next batch; its place in the mapped segment.
    fn advance(
        &mut self,
        limit: Sequence,
        whole: bool,
    ) -> Result<Option<(usize, usize)>, ReadError> {
        if self.next_sequence() > limit {
            return Ok(None);
        }
        self.start()?;
        let mut refreshed = false;
        loop {
            let place = self.place.as_mut().expect("begin found a segment");
            match read_batch(place, &self.tip, self.log.kind(), self.verify) {
                Ok((tip, length)) => {
                    if whole && tip.sequence > limit {
                        return Ok(None);
                    }
                    let start = place.offset;
                    place.offset += length;
                    self.tip = tip;
                    return Ok(Some((start, length)));
                }
                // On a simulated disk a mapping shows later writes only once it is told to.
                Err(_) if !refreshed => {
                    let segment = place.index;
                    let refresh = Arc::get_mut(&mut place.map).map_or(Ok(()), Mapping::refresh);
                    refresh.map_err(|source| ReadError::Io { segment, source })?;
                    refreshed = true;
                }
                Err(flawed) => {
                    if !self.roll(&flawed)? {
                        return Err(self.damaged(&flawed));
                    }
                }
            }
        }
    }

    /// Goes on to the next segment, if the current one has ended and the next one continues it.
    fn roll(&mut self, flawed: &Flawed) -> Result<bool, ReadError> {
        let place = self.place.as_ref().expect("there was something to read");
        let rest = &place.map.bytes()[place.offset..];
        let ended = flawed.flaw == Flaw::Header && rest.iter().take(8).all(|byte| *byte == 0);
        if !ended {
            return Ok(false);
        }
        let index = place.index + 1;
        match open_segment(&self.log, &self.log.segment_path(index), index) {
            Ok(Some(next)) if next.header.first_sequence.get() == self.tip.sequence.0 + 1 => {
                self.place = Some(next);
                Ok(true)
            }
            Ok(_) => Ok(false),
            Err(ReadError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                self.not_retired(index)?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Fails where a segment that is not there was retired while its forerunner was read.
    fn not_retired(&self, segment: u64) -> Result<(), ReadError> {
        let retired = self.log.retired().map_err(|source| ReadError::Io { segment, source })?;
        match retired.filter(|retired| retired.segment > segment) {
            Some(Retired { sequence: first, .. }) => {
                Err(ReadError::Retired { asked: self.tip.sequence.next(), first })
            }
            None => Ok(()),
        }
    }

    fn damaged(&self, flawed: &Flawed) -> ReadError {
        let place = self.place.as_ref().expect("there was something to read");
        ReadError::Damaged {
            segment: place.index,
            offset: (place.offset + flawed.at) as u64,
            sequence: flawed.sequence.unwrap_or(self.tip.sequence.next()),
            flaw: flawed.flaw,
        }
    }

    /// Maps the segment that holds `from`, at its first batch.
    fn begin(&mut self) -> Result<(), ReadError> {
        let place = match locate(&self.log, self.from) {
            // It was retired between the look at the directory and that at the file.
            Err(ReadError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                locate(&self.log, self.from)?
            }
            other => other?,
        };
        let header = place.header;
        self.tip = Tip {
            sequence: Sequence(header.first_sequence.get() - 1),
            hash: header.previous_hash,
            time: TimeNs(0),
            epoch: Epoch(header.epoch.get()),
        };
        self.place = Some(place);
        Ok(())
    }
}

fn read_batch(
    place: &Place,
    tip: &Tip,
    kind: LogKind,
    verify: Verify,
) -> Result<(Tip, usize), Flawed> {
    let batch = Batch::parse(&place.map.bytes()[place.offset..])?;
    batch.follows(tip, place.header.id())?;
    Ok((batch.check(kind, verify, tip.time)?, batch.length()))
}

/// Maps a segment; `None` where it is prepared and not used.
fn open_segment(log: &LogDir, path: &Path, index: u64) -> Result<Option<Place>, ReadError> {
    let failed = |source| ReadError::Io { segment: index, source };
    let file = log.open(path).map_err(failed)?;
    let map = file.map(file.len().map_err(failed)?).map_err(failed)?;
    let map: Arc<dyn Mapping> = map.into();
    let Some(header) = SegmentHeader::parse(map.bytes()) else { return Ok(None) };
    if header.kind.get() != log.kind() as u16 || header.index.get() != index {
        let (offset, sequence) = (0, Sequence(header.first_sequence.get()));
        let flaw = Flaw::ForeignSegment;
        return Err(ReadError::Damaged { segment: index, offset, sequence, flaw });
    }
    Ok(Some(Place { index, header, map, offset: SEGMENT_HEADER_SIZE }))
}

/// The last segment that begins at or before `sequence`.
fn locate(log: &LogDir, sequence: Sequence) -> Result<Place, ReadError> {
    let segments = log.segments().map_err(|source| ReadError::Io { segment: 0, source })?;
    let missing = |segment, flaw| ReadError::Damaged { segment, offset: 0, sequence, flaw };
    let (mut low, mut high) = (0, segments.len());
    let mut best = None;
    // Segments that are not used yet come last, so the order of first sequences holds throughout.
    while low < high {
        let middle = usize::midpoint(low, high);
        let (index, path) = &segments[middle];
        match open_segment(log, path, *index)? {
            Some(place) if place.header.first_sequence.get() <= sequence.0 => {
                best = Some(place);
                low = middle + 1;
            }
            _ => high = middle,
        }
    }
    if let Some(mut place) = best {
        // The batch that holds it may have begun in the segment before.
        while place.header.flags.get() & SEGMENT_CONTINUES != 0 && place.index > segments[0].0 {
            let index = place.index - 1;
            place = open_segment(log, &log.segment_path(index), index)?
                .ok_or(missing(index, Flaw::SegmentHeader))?;
        }
        return Ok(place);
    }
    let Some((index, path)) = segments.first() else {
        return Err(missing(0, Flaw::MissingSegment));
    };
    match open_segment(log, path, *index)? {
        Some(place) => {
            let first = Sequence(place.header.first_sequence.get());
            Err(ReadError::Retired { asked: sequence, first })
        }
        None => {
            let failed = |source| ReadError::Io { segment: *index, source };
            let file = log.open(path).map_err(failed)?;
            let unused = FirstPage::read(&*file).map_err(failed)?.is_unused();
            let flaw = if unused { Flaw::MissingSegment } else { Flaw::SegmentHeader };
            Err(missing(*index, flaw))
        }
    }
}
