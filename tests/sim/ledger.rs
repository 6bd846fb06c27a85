//! The outside ledger: what clients sent and every answer they got, held against the journal.
//!
//! Each invariant is an assertion whose first words are its name.

use super::course::Course;
use super::venue;
use openoutcry::command::Command;
use openoutcry::event::{Event, EventBody, RejectReason};
use openoutcry::journal::event_log::EventFollower;
use openoutcry::journal::format::{RecordKind, crc64};
use openoutcry::journal::payload::{self, LOGON_CANCEL_ON_DISCONNECT, SessionLogon};
use openoutcry::journal::reader::Reader;
use openoutcry::journal::view::Verify;
use openoutcry::lanes::follower::{Activity, Kinds};
use openoutcry::message::Subject;
use openoutcry::node::boot::Logs;
use openoutcry::types::{AccountId, KeyId, Priority, Sequence, SessionId, TimeNs};
use openoutcry::wire::answer::{Answer, AnswerFill, Fill, OrderUpdate, ROLE_MAKER};
use std::collections::{BTreeMap, BTreeSet};

/// An answer as a client saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) answer: Answer,
    pub(crate) fills: Vec<AnswerFill>,
}

/// A command that a client sent, once or often.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) key: KeyId,
    pub(crate) command: Command,
    pub(crate) timestamp_ms: i64,
    pub(crate) ttl_ms: u32,
    pub(crate) priority: Priority,
    pub(crate) answer: Option<Seen>,
    /// Sendings whose outcome nobody knows.
    pub(crate) unresolved: u32,
}

/// A record of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rec {
    crc: u64,
    pub(crate) kind: RecordKind,
    pub(crate) session: SessionId,
    pub(crate) time: TimeNs,
    /// The client's command.
    index: Option<usize>,
    pub(crate) command: Option<Command>,
    /// A logon that asks for the session's orders to be cancelled when it is away.
    pub(crate) cancels_when_away: bool,
    client_sequence: u64,
    sent: u8,
    priority: u8,
}

/// What the journal and its event log hold.
#[derive(Default)]
pub(crate) struct Truth {
    pub(crate) records: Vec<Rec>,
    pub(crate) events: Vec<Event>,
}

/// How much of the journal a crash may take.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Floor {
    /// Everything up to here must be there after a power cut.
    pub(crate) durable: Sequence,
    /// Everything up to here must be there after the end of the process.
    pub(crate) written: Sequence,
    /// A power cut happened since.
    pub(crate) power_lost: bool,
    /// The policy promised durability for every answer.
    pub(crate) disk: bool,
}

#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) commands: Vec<Sent>,
    fills: Vec<(SessionId, Fill)>,
    updates: Vec<(SessionId, OrderUpdate)>,
    /// The first number that each session's client used on each of its connections.
    connections: BTreeMap<SessionId, BTreeSet<u64>>,
    /// Every record that was once written, by sequence - 1.
    mirror: Vec<Rec>,
    /// Where starts went on, and whether sessions were to be lost there.
    starts: BTreeMap<Sequence, bool>,
    /// The rules are of the first version: what later ones brought is refused.
    pub(crate) refuses_new: bool,
    /// Answers that were counted, for the report.
    pub(crate) answers: u64,
}

impl Ledger {
    pub(crate) fn add(&mut self, sent: Sent) -> usize {
        self.commands.push(sent);
        self.commands.len() - 1
    }

    /// A command was answered; `again` where the answer says it was given before.
    pub(crate) fn answered(&mut self, index: usize, seen: Seen, again: bool) {
        let sent = &mut self.commands[index];
        sent.unresolved -= 1;
        self.answers += 1;
        if let Some(before) = &sent.answer {
            assert!(again, "applied once: {before:?} and {seen:?} for command {index}");
            assert_eq!(*before, seen, "a duplicate gets the original answer");
        }
        sent.answer = Some(seen);
    }

    /// A sending was refused.
    pub(crate) fn refused(&mut self, index: usize, reason: RejectReason) {
        let sent = &mut self.commands[index];
        sent.unresolved -= 1;
        let is_new = self.refuses_new && sent.command.since() > 1;
        let without =
            (is_new && reason == RejectReason::UnsupportedOrder) || reason.is_before_sequence();
        assert!(without, "refused with {reason} without a sequence");
    }

    /// A start goes on behind this record; `loses` where sessions are lost first.
    pub(crate) fn starts(&mut self, tip: Sequence, loses: bool) {
        self.starts.retain(|before, _| *before < tip);
        self.starts.insert(tip, loses);
    }

    /// A connection of the session begins with this number of its client.
    pub(crate) fn connected(&mut self, session: SessionId, first_number: u64) {
        self.connections.entry(session).or_default().insert(first_number);
    }

    pub(crate) fn filled(&mut self, session: SessionId, fill: Fill) {
        self.fills.push((session, fill));
    }

    pub(crate) fn updated(&mut self, session: SessionId, update: OrderUpdate) {
        self.updates.push((session, update));
    }

    /// Notes what is written up to now, before a crash takes some of it.
    pub(crate) fn mirror(&mut self, logs: &Logs, written: Sequence) {
        let from = Sequence(self.mirror.len() as u64 + 1);
        let more = read_records(logs, from, written);
        self.mirror.extend(more);
    }

    /// Holds everything against what a start has found.
    pub(crate) fn settle(&mut self, logs: &Logs, tip: Sequence, floor: Floor) -> Truth {
        let truth = Truth::read(logs, tip);
        let least = if floor.power_lost { floor.durable } else { floor.written };
        assert!(tip >= least, "nothing safe is lost: {tip} is left, {least} was safe, {floor:?}");
        let known = self.mirror.len().min(truth.records.len());
        assert_eq!(truth.records[..known], self.mirror[..known], "the rest is a prefix");
        self.mirror.clone_from(&truth.records);
        if tip < floor.written {
            let may_forget = floor.power_lost && !floor.disk;
            self.forget(tip, may_forget);
        }
        self.check(&truth);
        truth
    }

    /// Takes back what a power cut took under policy `memory`.
    fn forget(&mut self, tip: Sequence, may_forget: bool) {
        for (index, sent) in self.commands.iter_mut().enumerate() {
            if sent.answer.as_ref().is_some_and(|seen| seen.answer.sequence > tip) {
                assert!(may_forget, "an answer means safe: the answer to {index} is lost");
                sent.answer = None;
            }
        }
        let lost = self.fills.iter().any(|(_, fill)| fill.sequence > tip);
        assert!(may_forget || !lost, "a fill means safe");
        self.fills.retain(|(_, fill)| fill.sequence <= tip);
        let lost = self.updates.iter().any(|(_, update)| update.sequence > tip);
        assert!(may_forget || !lost, "an update means safe");
        self.updates.retain(|(_, update)| update.sequence <= tip);
    }

    /// Holds answers and fills against the truth.
    pub(crate) fn check(&self, truth: &Truth) {
        truth.check_order();
        self.check_subjects(truth);
        self.check_starts(truth);
        let mut journaled = BTreeSet::new();
        for (number, record) in (1..).zip(&truth.records) {
            let Some(index) = record.index else { continue };
            assert!(journaled.insert(index), "applied once: command {index} at {number} again");
            let sent = &self.commands[index];
            assert_eq!(record.command, Some(sent.command), "what is applied was sent: {index}");
            assert_eq!(record.sent, sent.priority as u8, "the priority that was sent: {index}");
            let entitled = venue::entitlement(sent.key).min(Priority::High) as u8;
            assert!(record.priority >= entitled, "nobody gains by what it writes: {index}");
            assert!(
                sent.unresolved > 0 || sent.answer.is_some(),
                "what was refused is not in the journal: command {index} at {number}"
            );
        }
        for (index, sent) in self.commands.iter().enumerate() {
            let Some(seen) = &sent.answer else { continue };
            let at = seen.answer.sequence.0 as usize;
            let record = truth.records.get(at - 1);
            assert_eq!(
                record.and_then(|record| record.index),
                Some(index),
                "an answer means safe: {index} was answered with sequence {at}"
            );
            assert_eq!(truth.answer(seen.answer.sequence), Some(seen.clone()), "same result");
        }
        for (session, fill) in &self.fills {
            truth.check_fill(*session, fill);
        }
        for (session, update) in &self.updates {
            truth.check_update(*session, update);
        }
    }

    /// Of two messages of one connection whose subjects meet, the earlier one is sequenced first; only
    /// a cancel may pass orders that are held.
    fn check_subjects(&self, truth: &Truth) {
        type Before = Vec<(u64, Subject, bool)>;
        let mut seen: BTreeMap<(SessionId, u64), Before> = BTreeMap::new();
        for record in &truth.records {
            let Some(command) = &record.command else { continue };
            let Some(connections) = self.connections.get(&record.session) else { continue };
            let number = record.client_sequence;
            let Some(connection) = connections.range(..=number).next_back() else { continue };
            let subject = subject(command);
            let before = seen.entry((record.session, *connection)).or_default();
            for (later, its, cancels) in before.iter() {
                let overtook = *later > number && its.meets(subject) && !cancels;
                assert!(!overtook, "{later} {its:?} overtook {number} {subject:?}");
            }
            before.push((number, subject, Command::cancels(command.schema())));
        }
    }

    /// Sessions are lost where a node starts again that has any to be lost, and nowhere else.
    fn check_starts(&self, truth: &Truth) {
        if self.starts.is_empty() {
            return;
        }
        let found = (1..).zip(&truth.records).filter(|(_, r)| r.kind == RecordKind::EpochStart);
        let found: BTreeSet<u64> = found.map(|(sequence, _)| sequence).collect();
        let tip = truth.records.len() as u64;
        let firsts = self.starts.iter().filter(|(_, loses)| **loses).map(|(at, _)| at.0 + 1);
        // The first record of a journal is one too.
        let expected: BTreeSet<u64> = firsts.filter(|first| *first <= tip).chain([1]).collect();
        assert_eq!(found, expected, "sessions are lost where a node starts again");
    }
}

fn subject(command: &Command) -> Subject {
    let (account, other) = match command {
        Command::MassCancel(cancel) if cancel.account.0 == 0 => return Subject::Session,
        Command::CancelOnDisconnect(_) => return Subject::Session,
        Command::Transfer(transfer) => (transfer.from, transfer.to),
        other => (other.account(), AccountId(0)),
    };
    match command.instrument() {
        Some(instrument) => Subject::Book { account, instrument },
        None => Subject::Account { account, other },
    }
}

fn read_records(logs: &Logs, from: Sequence, to: Sequence) -> Vec<Rec> {
    let mut reader = Reader::new(logs.commands.clone(), from, Verify::Chain);
    let mut records = Vec::new();
    let mut next = from;
    while next <= to {
        let record = reader.next_record(to).expect("it is sound").expect("it is written");
        assert_eq!(record.sequence(), next, "sequences rise by one");
        next = next.next();
        let id = std::str::from_utf8(record.message_id()).expect("ids are text");
        let index = id.strip_prefix('m').map(|number| number.parse().expect("an id of ours"));
        assert!(index.is_some() || id.is_empty(), "what is refused is not sequenced: {id}");
        let is_command = record.kind() == RecordKind::Command;
        let is_logon = record.kind() == RecordKind::SessionLogon;
        let logon: Option<SessionLogon> =
            if is_logon { payload::head(record.command()) } else { None };
        let schema = record.envelope().schema.get();
        let command = is_command.then(|| {
            Command::decode(schema, record.command()).expect("only sound commands are sequenced")
        });
        records.push(Rec {
            crc: crc64(record.bytes()),
            kind: record.kind(),
            session: record.session(),
            time: record.time(),
            index,
            command,
            cancels_when_away: logon
                .is_some_and(|logon| logon.flags & LOGON_CANCEL_ON_DISCONNECT != 0),
            client_sequence: record.envelope().client_sequence.get(),
            sent: record.envelope().priority_sent,
            priority: record.envelope().priority,
        });
    }
    records
}

impl Truth {
    /// Reads journal and event log.
    pub(crate) fn read(logs: &Logs, tip: Sequence) -> Truth {
        let mut events = Vec::new();
        let mut follower = EventFollower::new(logs.events.clone(), Sequence(1), Verify::Chain);
        while let Some(event) = follower.next_event(tip).expect("the event log is sound") {
            events.push(event);
        }
        Truth { records: read_records(logs, Sequence(1), tip), events }
    }

    fn check_order(&self) {
        for pair in self.records.windows(2) {
            assert!(pair[0].time <= pair[1].time, "time never goes back");
        }
        for pair in self.events.windows(2) {
            let same = pair[0].sequence == pair[1].sequence;
            assert!(pair[0].sequence <= pair[1].sequence, "events are in order");
            assert_eq!(pair[1].index, if same { pair[0].index + 1 } else { 0 }, "event index");
            assert_eq!(pair[0].last, !same, "the last event of a command is marked");
        }
        let mut active = BTreeSet::new();
        let mut before = 0;
        for event in &self.events {
            let passed = &self.records[before..event.sequence.0 as usize];
            before = event.sequence.0 as usize;
            if passed.iter().any(|record| record.kind == RecordKind::EpochStart) {
                active.clear();
            }
            let EventBody::Session(change) = &event.body else { continue };
            if change.active {
                active.insert(change.session);
            } else {
                let was = active.remove(&change.session);
                assert!(was, "a session ends once: {} at {}", change.session, event.sequence);
            }
        }
    }

    /// Where orders and sessions stand at the end.
    pub(crate) fn course(&self) -> Course {
        Course::of(self)
    }

    fn events_of(&self, sequence: Sequence) -> &[Event] {
        let start = self.events.partition_point(|event| event.sequence < sequence);
        let end = self.events.partition_point(|event| event.sequence <= sequence);
        &self.events[start..end]
    }

    /// The answer that the event log gives for a command.
    fn answer(&self, sequence: Sequence) -> Option<Seen> {
        let events = self.events_of(sequence);
        let EventBody::Result(result) = &events.first()?.body else { return None };
        // Its own trades stand right behind it, those of stops that it triggered behind them.
        let trades = events[1..].iter().map_while(|event| match &event.body {
            EventBody::Trade(trade) => Some(trade),
            _ => None,
        });
        let own = trades.take(result.fill_count as usize).inspect(|trade| {
            assert_eq!(trade.taker_order, result.order_id, "an answer has its own trades");
        });
        let fills: Vec<AnswerFill> =
            own.map(|trade| AnswerFill { price: trade.price, quantity: trade.quantity }).collect();
        assert_eq!(fills.len(), result.fill_count as usize, "a result counts its trades");
        let fills = fills.into_iter().take(16).collect();
        Some(Seen { answer: Answer::of(sequence, result), fills })
    }

    fn check_fill(&self, session: SessionId, fill: &Fill) {
        let events = self.events_of(fill.sequence);
        let event = events.iter().find(|event| event.index == fill.index);
        let event = event.unwrap_or_else(|| panic!("a fill means safe: {fill:?} is not there"));
        match &event.body {
            EventBody::MakerFill(maker) => {
                assert_eq!(*fill, Fill::of_maker(event.sequence, event.index, maker));
                assert_eq!(session, maker.session, "fills go to the session of the order");
            }
            EventBody::Trade(trade) => {
                assert_ne!(fill.role, ROLE_MAKER);
                let EventBody::Result(result) = &events[0].body else {
                    panic!("{fill:?} is of no command")
                };
                assert!(event.index <= result.fill_count, "{fill:?} is of a stop");
                assert_eq!(fill.order_id, trade.taker_order);
                assert_eq!((fill.price, fill.quantity), (trade.price, trade.quantity));
            }
            other => panic!("{fill:?} is {other:?}"),
        }
    }

    fn check_update(&self, session: SessionId, update: &OrderUpdate) {
        let events = self.events_of(update.sequence);
        let event = events.iter().find(|event| event.index == update.index);
        let event = event.unwrap_or_else(|| panic!("an update means safe: {update:?}"));
        let EventBody::Update(told) = &event.body else { panic!("{update:?} is {event:?}") };
        assert_eq!(*update, OrderUpdate::of(event.sequence, event.index, told));
        assert_eq!(session, told.session, "updates go to the session of the order");
    }

    /// Where the journal has each command of the ledger.
    pub(crate) fn places(&self) -> BTreeMap<usize, u64> {
        let records = (1..).zip(&self.records);
        records.filter_map(|(sequence, record)| Some((record.index?, sequence))).collect()
    }

    /// What the followers must have counted.
    pub(crate) fn counts(&self) -> (Activity, Kinds) {
        let (mut activity, mut kinds) = (Activity::default(), Kinds::new());
        for record in &self.records {
            *kinds.entry(record.kind as u8).or_default() += 1;
            if let Some(command) = &record.command {
                *activity.sessions.entry(record.session).or_default() += 1;
                if let Some(instrument) = command.instrument() {
                    *activity.instruments.entry(instrument).or_default() += 1;
                }
            }
        }
        for event in &self.events {
            if let EventBody::Trade(trade) = &event.body {
                *activity.trades.entry(trade.instrument).or_default() += 1;
            }
        }
        (activity, kinds)
    }
}
