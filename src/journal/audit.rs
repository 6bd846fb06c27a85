//! The audit trail: the journal, the outcomes in the event log and the reject log as one stream, by
//! time.
//!
//! Invariants: every record that somebody sent and every entry of the reject log is handed out once,
//! whatever ranges it is asked for in; at most one row of each log is held at a time. What the node
//! itself put into the journal (genesis with its deposits, ticks, the start of an epoch) is no message and
//! is left out.

use super::dump::text;
use super::event_log::EventFollower;
use super::format::RecordKind;
use super::info::{first_at, info};
use super::payload::{self, Reject};
use super::reader::{ReadError, Reader};
use super::segment::LogDir;
use super::view::{Record, Verify};
use crate::command::Command;
use crate::event::{EventBody, RejectReason};
use crate::limits::FRAME_MAX_BYTES;
use crate::types::{KeyId, OrderId, Sequence, SessionId, Status, TimeNs};
use crate::wire::payload::COMMAND_SIZE_MAX;
use crate::wire::{Frame, OpenLimits};
use std::io;

/// Where an audit begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// With this record, and what was refused since then.
    Sequence(Sequence),
    /// With what came at this time or later.
    Time(TimeNs),
    /// Where an earlier audit ended: with this record and this entry of the reject log.
    Place(Sequence, Sequence),
}

/// Where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// With this record, and what was refused before the next one.
    Sequence(Sequence),
    /// With what came at this time.
    Time(TimeNs),
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The event log does not tell yet.
    Unknown,
    /// The exchange's result.
    Result {
        /// How the command ended.
        status: Status,
        /// Why it was rejected.
        reason: Option<RejectReason>,
        /// The order, where there is one.
        order_id: OrderId,
    },
    /// The session is active now, or not any more.
    Session {
        /// Which of the two.
        active: bool,
    },
    /// Refused before it got a sequence; no reason where this release does not know its number.
    Refused(Option<RejectReason>),
    /// The message with this sequence came again.
    Duplicate(Option<Sequence>),
}

/// One message.
#[derive(Clone, Debug)]
pub struct Row {
    /// When it was sequenced or refused.
    pub time: TimeNs,
    /// Its place in the total order, if it got one.
    pub sequence: Option<Sequence>,
    /// Its number in the reject log, if it got none.
    pub reject: Option<Sequence>,
    /// What it is.
    pub kind: RecordKind,
    /// Schema of the payload; 0 where it has none or cannot be told.
    pub schema: u32,
    /// The command, where it is one that can be read.
    pub command: Option<Command>,
    /// Session, 0 before its logon.
    pub session: SessionId,
    /// Key, 0 before its logon.
    pub key: KeyId,
    /// When the sender says that it made it, in milliseconds since 1970; 0 where it does not say.
    pub sent_ms: i64,
    /// The client's own sequence number.
    pub client_sequence: u64,
    /// The message id.
    pub message_id: String,
    /// The source.
    pub source: String,
    /// The correlation id.
    pub correlation_id: String,
    /// Bytes that were received.
    pub received_bytes: u64,
    /// What became of it.
    pub outcome: Outcome,
}

/// The three logs.
#[derive(Clone, Copy)]
pub struct Trails<'a> {
    /// The journal.
    pub commands: &'a LogDir,
    /// `critical`'s event log.
    pub events: &'a LogDir,
    /// The reject log.
    pub rejects: &'a LogDir,
}

/// Hands out rows in order.
pub struct Audit {
    journal: Reader,
    events: EventFollower,
    /// What the event log is written up to.
    events_last: Sequence,
    rejects: Reader,
    from: From,
    to: Option<To>,
    /// Up to where the journal may be read.
    limit: Sequence,
    /// The journal's next row, and the reject log's.
    record: Option<Row>,
    reject: Option<Row>,
    journal_ended: bool,
    rejects_ended: bool,
    /// What was refused before this time belongs to an earlier range; none before the first record.
    since: Option<TimeNs>,
    /// What was refused from this time on belongs to a later one.
    until: Option<TimeNs>,
    /// The next rows' numbers.
    place: (Sequence, Sequence),
    error: Option<ReadError>,
}

impl Audit {
    /// An audit that reads the journal up to `limit` at most.
    ///
    /// # Errors
    /// As the storage tells.
    pub fn new(logs: Trails<'_>, from: From, to: Option<To>, limit: Sequence) -> io::Result<Audit> {
        let first_reject = info(logs.rejects)?.first;
        let (first, first_reject, since) = match from {
            From::Sequence(sequence) => (sequence, first_reject, None),
            From::Time(time) => (first_at(logs.commands, time)?, first_reject, Some(time)),
            // The log may have dropped what comes first there.
            From::Place(sequence, reject) => (sequence, reject.max(first_reject), Some(TimeNs(0))),
        };
        let first = Sequence(first.0.max(1));
        let limit = match to {
            // The record behind the last one tells what was refused before it.
            Some(To::Sequence(last)) => limit.min(last.next()),
            _ => limit,
        };
        Ok(Audit {
            journal: Reader::new(logs.commands.clone(), first, Verify::Crc),
            events: EventFollower::new(logs.events.clone(), first, Verify::Crc),
            events_last: info(logs.events)?.last,
            rejects: Reader::new(logs.rejects.clone(), first_reject, Verify::Crc),
            from,
            to,
            limit,
            record: None,
            reject: None,
            journal_ended: false,
            rejects_ended: false,
            since,
            until: None,
            place: (first, Sequence(first_reject.0.max(1))),
            error: None,
        })
    }

    /// The next row; none at the end, and where the journal cannot be read any further.
    pub fn next_row(&mut self) -> Option<Row> {
        if self.record.is_none() && !self.journal_ended {
            self.record = self.next_record();
            self.journal_ended = self.record.is_none();
        }
        if self.reject.is_none() && !self.rejects_ended {
            self.reject = self.next_reject();
            self.rejects_ended = self.reject.is_none();
        }
        let until = self.until;
        if self.reject.as_ref().is_some_and(|row| until.is_some_and(|until| row.time >= until)) {
            self.reject = None;
            self.rejects_ended = true;
        }
        let record_first = match (&self.record, &self.reject) {
            (Some(record), Some(reject)) => record.time <= reject.time,
            (record, _) => record.is_some(),
        };
        let row = if record_first { self.record.take() } else { self.reject.take() }?;
        match (row.sequence, row.reject) {
            (Some(sequence), _) => self.place.0 = sequence.next(),
            (_, Some(reject)) => self.place.1 = reject.next(),
            _ => {}
        }
        Some(row)
    }

    /// Where an audit would go on that ended with the last row.
    #[must_use]
    pub fn place(&self) -> (Sequence, Sequence) {
        self.place
    }

    /// What of a log could not be read, if anything.
    #[must_use]
    pub fn error(&self) -> Option<&ReadError> {
        self.error.as_ref()
    }

    /// The journal's next message in the range.
    fn next_record(&mut self) -> Option<Row> {
        loop {
            let record = match self.journal.next_record(self.limit) {
                Ok(record) => record?,
                Err(error) => {
                    note(&mut self.error, &self.journal, error);
                    return None;
                }
            };
            let (sequence, time) = (record.sequence(), record.time());
            let is_before = matches!(self.from, From::Time(from) if time < from);
            if is_before {
                self.place.0 = sequence.next();
                continue;
            }
            self.since.get_or_insert(time);
            match self.to {
                Some(To::Sequence(last)) if sequence > last => {
                    self.until = Some(time);
                    return None;
                }
                Some(To::Time(last)) if time > last => return None,
                _ => {}
            }
            let is_own = record.session().0 == 0 && record.key().0 == 0;
            if is_own && record.kind() != RecordKind::Admin {
                continue;
            }
            let mut row = of_record(&record);
            self.outcome(&mut row, sequence);
            return Some(row);
        }
    }

    /// Finds in the event log what became of the record.
    fn outcome(&mut self, row: &mut Row, sequence: Sequence) {
        if sequence > self.events_last {
            return;
        }
        loop {
            match self.events.next_event(sequence) {
                Ok(Some(event)) if event.sequence == sequence => match event.body {
                    EventBody::Result(result) => {
                        let (status, reason) = (result.status, result.reason);
                        row.outcome = Outcome::Result { status, reason, order_id: result.order_id };
                    }
                    EventBody::Session(change) => {
                        row.outcome = Outcome::Session { active: change.active };
                        row.session = change.session;
                    }
                    EventBody::Trade(_)
                    | EventBody::MakerFill(_)
                    | EventBody::Update(_)
                    | EventBody::Balance(_)
                    | EventBody::Sent(_) => {}
                },
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(error) => {
                    // Outcomes are told no more; who asked for what still is.
                    self.events_last = Sequence::NONE;
                    self.error.get_or_insert(error);
                    return;
                }
            }
        }
    }

    /// The reject log's next entry in the range.
    fn next_reject(&mut self) -> Option<Row> {
        loop {
            let record = match self.rejects.next_record(Sequence(u64::MAX)) {
                Ok(record) => record?,
                Err(error) => {
                    note(&mut self.error, &self.rejects, error);
                    return None;
                }
            };
            // Where the range begins with a record that is not there, nothing was refused after it.
            let since = self.since?;
            if record.time() < since {
                self.place.1 = record.sequence().next();
                continue;
            }
            if matches!(self.to, Some(To::Time(last)) if record.time() > last) {
                return None;
            }
            return Some(of_reject(&record));
        }
    }
}

/// Keeps an error that is not just the end of what is written.
fn note(kept: &mut Option<ReadError>, reader: &Reader, error: ReadError) {
    if !reader.is_at_end() && !error.is_empty_log() {
        kept.get_or_insert(error);
    }
}

/// What a record's envelope tells.
fn of_envelope(record: &Record<'_>) -> Row {
    let envelope = record.envelope();
    Row {
        time: record.time(),
        sequence: None,
        reject: None,
        kind: record.kind(),
        schema: envelope.schema.get(),
        command: None,
        session: record.session(),
        key: record.key(),
        sent_ms: envelope.client_timestamp_ms.get(),
        client_sequence: envelope.client_sequence.get(),
        message_id: text(record.message_id()),
        source: text(record.source()),
        correlation_id: String::new(),
        received_bytes: record.received().len() as u64,
        outcome: Outcome::Unknown,
    }
}

fn of_record(record: &Record<'_>) -> Row {
    let mut row = Row { sequence: Some(record.sequence()), ..of_envelope(record) };
    if record.kind() == RecordKind::Command {
        row.command = Command::decode(row.schema, record.command()).ok();
        if let Some(frame) = frame(record.received())
            && let Ok(Some(metadata)) = frame.metadata()
        {
            metadata.correlation_id.clone_into(&mut row.correlation_id);
        }
    }
    row
}

fn of_reject(record: &Record<'_>) -> Row {
    let mut row = Row { reject: Some(record.sequence()), ..of_envelope(record) };
    row.outcome = Outcome::Refused(None);
    if let Some(head) = payload::head::<Reject>(record.command()) {
        row.received_bytes = head.received_length.get();
        row.outcome = match RejectReason::from_u16(head.reason.get()) {
            Some(RejectReason::Duplicate) => Outcome::Duplicate(payload::repeats(record.command())),
            reason => Outcome::Refused(reason),
        };
    }
    // What was refused may be damaged: what can be read of it is what the sender seems to have meant.
    if let Some(frame) = frame(record.received()) {
        row.schema = frame.schema();
        row.client_sequence = frame.client_sequence();
        let mut scratch = [0; COMMAND_SIZE_MAX];
        row.command = frame.command(&mut scratch).ok().map(|canonical| canonical.command);
        if let Ok(Some(metadata)) = frame.metadata() {
            row.message_id = text(metadata.message_id.as_bytes());
            row.source = text(metadata.source.as_bytes());
            row.sent_ms = metadata.timestamp_ms;
            metadata.correlation_id.clone_into(&mut row.correlation_id);
        }
    }
    row
}

/// The command that stands in a record of the reject log, where one can be read.
#[must_use]
pub fn refused_command(record: &Record<'_>) -> Option<Command> {
    let mut scratch = [0; COMMAND_SIZE_MAX];
    let canonical = frame(record.received())?.command(&mut scratch).ok()?;
    Some(canonical.command)
}

/// The native frame that was received, if it was one.
fn frame(received: &[u8]) -> Option<Frame<'_>> {
    let limits = OpenLimits { frame_max: FRAME_MAX_BYTES, strict_reserved: false };
    Frame::reopen(received, &limits).ok()
}
