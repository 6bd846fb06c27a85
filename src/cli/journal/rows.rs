//! Rows of `dump` and `export`: which are wanted, and how they are written.
//!
//! Invariants: a row of a client's command or an event allocates nothing once the buffers have grown; a
//! line of JSON has the fields, in the order, that `journal::dump` decodes, with names and decimal text
//! in place of numbers and steps (a test compares the two). A reader that closes the pipe ends the process
//! quietly.

use super::name_reason;
use crate::cli::offline::{Offline, Point};
use crate::cli::venue::Venue;
use crate::cli::{Failure, Outcome};
use crate::command::{Command, FieldLayout};
use crate::event::{Event, EventBody, OrderUpdate};
use crate::genesis::{Asset, Instrument};
use crate::journal::audit::refused_command;
use crate::journal::dump::{describe, first_since};
use crate::journal::event_log::EventFollower;
use crate::journal::format::{FLAGS, LogKind, RecordKind};
use crate::journal::info::LogInfo;
use crate::journal::payload::layout_of;
use crate::journal::reader::{ReadError, Reader};
use crate::journal::view::{Record, Verify};
use crate::timestamp::Rfc3339;
use crate::types::{AssetId, InstrumentId, OrderChange, OrderId, Sequence, TimeNs};
use serde_json::Value;
use std::io::{self, ErrorKind, Write};

mod csv;
mod json;

pub(super) use csv::Csv;
pub(super) use json::Json;

/// Bytes that are written at once.
const BUFFER_BYTES: usize = 1 << 20;

/// Nobody can read what is written.
pub(super) fn lost(error: &io::Error) -> ! {
    // A reader that closed the pipe has what it wanted.
    std::process::exit(i32::from(error.kind() != ErrorKind::BrokenPipe))
}

/// How reading ended.
pub(super) fn ended(error: Option<ReadError>, offline: &Offline) -> Outcome {
    // Beside a running node the end is in motion.
    match error.filter(|_| !offline.running) {
        None => Ok(()),
        Some(error) => Err(Failure::bad(format_args!(
            "{error}; `outcry journal verify` tells whether this is damage or an unfinished end"
        ))),
    }
}

/// Sequences from the first to the last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    from: Sequence,
    to: Sequence,
}

impl Range {
    /// The range between two places of a log. Events have the times of the commands they came from.
    pub(super) fn find(
        offline: &Offline,
        kind: LogKind,
        from: Option<Point>,
        to: Option<Point>,
        journal: &LogInfo,
    ) -> Result<Range, Failure> {
        let known = offline.info(kind)?;
        let timed = offline.log(if kind == LogKind::Rejects { kind } else { LogKind::Commands });
        let since = |time: TimeNs| {
            first_since(timed, time).map_err(|error| {
                Failure::bad(format_args!("cannot read {}: {error}", timed.dir().display()))
            })
        };
        let first = Sequence(known.first.0.max(1));
        let from = match from {
            None => first,
            Some(Point::Sequence(sequence)) => Sequence(sequence.0.max(1)),
            Some(Point::Time(time)) => since(time)?.unwrap_or(Sequence(u64::MAX)).max(first),
        };
        let mut last = match to {
            None => Sequence(u64::MAX),
            Some(Point::Sequence(sequence)) => sequence,
            Some(Point::Time(time)) => {
                let behind = since(TimeNs(time.0.saturating_add(1)))?;
                Sequence(behind.map_or(u64::MAX, |behind| behind.0 - 1))
            }
        };
        if let Some(Point::Sequence(to)) = to
            && from > to
        {
            return Err(Failure::usage(format_args!("--from {from} is behind --to {to}")));
        }
        if kind == LogKind::Events {
            last = last.min(known.last);
        }
        if offline.running && kind != LogKind::Rejects {
            // What is being written now is not looked at, nor the events that came of it.
            last = last.min(journal.synced_to);
        }
        Ok(Range { from, to: last })
    }
}

/// What rows must be about.
#[derive(Debug, Default)]
pub(super) struct Filter {
    session: Option<u32>,
    account: Option<u64>,
    instrument: Option<InstrumentId>,
    /// Orders that traded in the command at hand, whose fills follow without their account.
    traded: Vec<(OrderId, u64)>,
    traded_in: Sequence,
}

impl Filter {
    pub(super) fn new(
        session: Option<u32>,
        account: Option<u64>,
        instrument: Option<InstrumentId>,
    ) -> Filter {
        Filter { session, account, instrument, ..Filter::default() }
    }

    fn wants_record(&self, record: &Record<'_>) -> bool {
        if self.session.is_some_and(|session| record.session().0 != session) {
            return false;
        }
        if self.account.is_none() && self.instrument.is_none() {
            return true;
        }
        let command = match record.kind() {
            RecordKind::Command => {
                Command::decode(record.envelope().schema.get(), record.command()).ok()
            }
            RecordKind::Reject => refused_command(record),
            _ => None,
        };
        let Some(command) = command else { return false };
        let names = |account: u64| match command {
            Command::Transfer(transfer) => [transfer.from.0, transfer.to.0].contains(&account),
            _ => command.account().0 == account,
        };
        self.account.is_none_or(names)
            && self.instrument.is_none_or(|wanted| command.instrument() == Some(wanted))
    }

    /// `instrument` is that of the command that the event came from; `account_of` finds whose an order
    /// is, where no event of the command tells.
    fn wants_event(
        &mut self,
        event: &Event,
        instrument: Option<InstrumentId>,
        account_of: impl FnOnce(OrderId) -> Option<u64>,
    ) -> bool {
        if self.traded_in != event.sequence {
            self.traded.clear();
            self.traded_in = event.sequence;
        }
        let (session, accounts, own) = match &event.body {
            EventBody::Result(result) => {
                (Some(result.session.0), [Some(result.account.0), None], None)
            }
            EventBody::Trade(trade) => {
                self.traded.push((trade.maker_order, trade.maker_account.0));
                self.traded.push((trade.taker_order, trade.taker_account.0));
                let accounts = [Some(trade.maker_account.0), Some(trade.taker_account.0)];
                (None, accounts, Some(trade.instrument))
            }
            EventBody::MakerFill(fill) => {
                let order = self.traded.iter().find(|(order, _)| *order == fill.order_id);
                let account = order.map(|(_, account)| *account);
                (Some(fill.session.0), [account, None], Some(fill.instrument))
            }
            EventBody::Update(update) => {
                let instrument = (update.instrument.0 != 0).then_some(update.instrument);
                let account = self.account.and_then(|_| account_of(update.order_id));
                (Some(update.session.0), [account, None], instrument)
            }
            EventBody::Balance(balance) => (None, [Some(balance.account.0), None], None),
            EventBody::Session(change) => (Some(change.session.0), [None, None], None),
            EventBody::Sent(sent) => (Some(sent.session.0), [None, None], None),
        };
        self.session.is_none_or(|wanted| session == Some(wanted))
            && self.account.is_none_or(|wanted| accounts.contains(&Some(wanted)))
            && self.instrument.is_none_or(|wanted| own.or(instrument) == Some(wanted))
    }
}

/// What is to be shown.
pub(super) struct Selection {
    pub(super) log: LogKind,
    pub(super) range: Range,
    pub(super) filter: Filter,
    pub(super) venue: Venue,
}

/// Takes rows one by one.
pub(super) trait Take {
    /// True where one more row may be taken; this one has this sequence.
    fn has_room(&mut self, sequence: Sequence) -> bool;
    fn record(&mut self, record: &Record<'_>, venue: &Venue) -> io::Result<()>;
    fn event(
        &mut self,
        event: &Event,
        instrument: Option<&Instrument>,
        venue: &Venue,
    ) -> io::Result<()>;
}

/// Hands out everything that is selected; what of the log could not be read, if anything.
pub(super) fn each(
    selection: &mut Selection,
    offline: &Offline,
    take: &mut impl Take,
) -> io::Result<Option<ReadError>> {
    let Range { from, to } = selection.range;
    if from > to {
        return Ok(None);
    }
    match selection.log {
        LogKind::Events => events(selection, offline, take),
        LogKind::Commands | LogKind::Rejects => {
            let mut reader = Reader::new(offline.log(selection.log).clone(), from, Verify::Crc);
            loop {
                let record = match reader.next_record(to) {
                    Ok(Some(record)) => record,
                    Ok(None) => return Ok(None),
                    Err(error) => {
                        let is_end = reader.is_at_end() || error.is_empty_log();
                        return Ok((!is_end).then_some(error));
                    }
                };
                if !selection.filter.wants_record(&record) {
                    continue;
                }
                if !take.has_room(record.sequence()) {
                    return Ok(None);
                }
                take.record(&record, &selection.venue)?;
            }
        }
    }
}

fn events(
    selection: &mut Selection,
    offline: &Offline,
    take: &mut impl Take,
) -> io::Result<Option<ReadError>> {
    let Range { from, to } = selection.range;
    let reader = Reader::new(offline.log(LogKind::Commands).clone(), from, Verify::Crc);
    let mut commands = Commands { reader, at: Sequence::NONE, instrument: None };
    let log = offline.log(LogKind::Events).clone();
    let mut follower = EventFollower::new(log, from, Verify::Crc);
    loop {
        let event = match follower.next_event(to) {
            Ok(Some(event)) => event,
            Ok(None) => return Ok(None),
            Err(error) => return Ok(Some(error)),
        };
        let instrument = commands.instrument(event.sequence);
        let account_of = |order| account_of(order, offline, to);
        if !selection.filter.wants_event(&event, instrument, account_of) {
            continue;
        }
        if !take.has_room(event.sequence) {
            return Ok(None);
        }
        let instrument = instrument.and_then(|id| selection.venue.instrument_of(id));
        take.event(&event, instrument, &selection.venue)?;
    }
}

/// Whose an order is: its number is the sequence of the command that entered it. None where that is not
/// kept any more.
fn account_of(order: OrderId, offline: &Offline, limit: Sequence) -> Option<u64> {
    let sequence = Sequence(order.0);
    let log = offline.log(LogKind::Commands).clone();
    let mut reader = Reader::new(log, sequence, Verify::Crc);
    let record = reader.next_record(limit).ok()??;
    let is_command = record.kind() == RecordKind::Command && record.sequence() == sequence;
    let command = Command::decode(record.envelope().schema.get(), record.command()).ok();
    Some(command.filter(|_| is_command)?.account().0)
}

/// The commands that events came from, found beside them: only the journal tells of which instrument
/// an order was.
struct Commands {
    reader: Reader,
    at: Sequence,
    instrument: Option<InstrumentId>,
}

impl Commands {
    /// The instrument of the command with this sequence; sequences are asked for in order. None where
    /// it has none, and where the journal cannot be read: its events are shown all the same.
    fn instrument(&mut self, sequence: Sequence) -> Option<InstrumentId> {
        while self.at < sequence {
            match self.reader.next_record(sequence) {
                Ok(Some(record)) => {
                    self.at = record.sequence();
                    let is_command = record.kind() == RecordKind::Command;
                    let schema = record.envelope().schema.get();
                    let command =
                        is_command.then(|| Command::decode(schema, record.command()).ok());
                    self.instrument = command.flatten().and_then(|command| command.instrument());
                }
                Ok(None) => break,
                // It will not be readable further on either.
                Err(_) => self.at = Sequence(u64::MAX),
            }
        }
        self.instrument.filter(|_| self.at == sequence)
    }
}

/// Where the fields of a row go.
pub(super) trait Sink {
    fn begin(&mut self);
    /// Ends the row.
    fn end(&mut self);
    /// The fields that follow are of an object of this name.
    fn open(&mut self, name: &'static str);
    fn close(&mut self);
    fn number(&mut self, name: &'static str, number: u64);
    fn signed(&mut self, name: &'static str, number: i64);
    fn flag(&mut self, name: &'static str, is_set: bool);
    fn null(&mut self, name: &'static str);
    /// Text in which nothing needs to be escaped.
    fn plain(&mut self, name: &'static str, write: impl FnOnce(&mut Vec<u8>));
    /// Any text.
    fn text(&mut self, name: &'static str, text: &[u8]);
    fn words(&mut self, name: &'static str, words: impl Iterator<Item = &'static str>);
    /// A decoded value, for what is rare.
    fn value(&mut self, name: &'static str, value: &Value);
    /// What is written so far, to be taken away.
    fn out(&mut self) -> &mut Vec<u8>;
}

/// How a field of a command is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Number,
    Words(&'static [(u8, &'static str)]),
    Instrument,
    Asset,
    Ticks,
    Lots,
    Units,
    /// Units of the instrument's quote asset.
    Quote,
    Steps,
    Time,
}

/// A command's fields, ready to be written.
struct CommandShape {
    schema: u32,
    name: &'static str,
    fields: Vec<(FieldLayout, Shape)>,
    instrument: Option<FieldLayout>,
    asset: Option<FieldLayout>,
}

impl CommandShape {
    fn all() -> Vec<CommandShape> {
        let of = |(schema, name, fields): &(u32, &'static str, fn() -> Vec<FieldLayout>)| {
            let fields = fields();
            let find = |name: &str| fields.iter().find(|field| field.name == name).copied();
            CommandShape {
                schema: *schema,
                name,
                instrument: find("instrument"),
                asset: find("asset"),
                fields: fields.iter().map(|field| (*field, shape(field))).collect(),
            }
        };
        Command::LAYOUTS.iter().map(of).collect()
    }
}

fn shape(field: &FieldLayout) -> Shape {
    match (field.kind, field.name) {
        (_, "instrument") => Shape::Instrument,
        (_, "asset") => Shape::Asset,
        ("decimal", "price" | "stop_price") => Shape::Ticks,
        ("decimal", "quantity" | "display_quantity" | "min_quantity") => Shape::Lots,
        ("decimal", "amount") => Shape::Units,
        ("decimal", "budget") => Shape::Quote,
        ("decimal", _) => Shape::Steps,
        (_, "expires") => Shape::Time,
        _ if !field.words.is_empty() => Shape::Words(field.words),
        _ => Shape::Number,
    }
}

/// The number that stands in a field, big-endian.
fn number(field: &FieldLayout, bytes: &[u8]) -> u64 {
    let raw = &bytes[field.offset..field.offset + field.size];
    raw.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// A second as text: most records are of the same one as the record before.
#[derive(Default)]
struct TimeText {
    second: u64,
    text: Vec<u8>,
}

impl TimeText {
    fn write(&mut self, time: TimeNs, out: &mut Vec<u8>) {
        const SECOND_NS: u64 = 1_000_000_000;
        const TO_SECOND: usize = "2026-03-01T12:00:00".len();
        let second = time.0 / SECOND_NS;
        if self.text.is_empty() || self.second != second {
            self.text.clear();
            self.second = second;
            // Writing to memory cannot fail.
            let _ = write!(self.text, "{}", Rfc3339(time));
            self.text.truncate(TO_SECOND);
        }
        out.extend_from_slice(&self.text);
        out.push(b'.');
        digits(time.0 % SECOND_NS, 9, out);
        out.push(b'Z');
    }
}

/// A number in exactly so many digits.
fn digits(mut number: u64, count: usize, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + count, b'0');
    for digit in out[start..].iter_mut().rev() {
        *digit += (number % 10) as u8;
        number /= 10;
    }
}

fn decimal_number(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Whole units of 10^-scale as decimal text, as [`crate::decimal::Decimal`] shows them.
fn decimal(units: i128, scale: u8, out: &mut Vec<u8>) {
    let (Ok(mut left), true) = (u64::try_from(units.unsigned_abs()), scale < 19) else {
        // Writing to memory cannot fail.
        let _ = write!(out, "{}", crate::decimal::Decimal { units, scale });
        return;
    };
    let mut places = u32::from(scale);
    while places > 0 && left.is_multiple_of(10) {
        left /= 10;
        places -= 1;
    }
    if units < 0 {
        out.push(b'-');
    }
    let power = 10_u64.pow(places);
    decimal_number(left / power, out);
    if places > 0 {
        out.push(b'.');
        digits(left % power, places as usize, out);
    }
}

fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = |byte: &u8| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
    bytes.iter().for_each(|byte| out.extend_from_slice(&digits(byte)));
}

/// Writes rows into a sink, and from there away.
pub(super) struct Rows<S, W> {
    sink: S,
    out: W,
    commands: Vec<CommandShape>,
    time: TimeText,
    expires: TimeText,
    count: u64,
    limit: u64,
    /// Where the rest begins, if there was no room for it.
    next: Option<u64>,
    written: u64,
}

impl<S: Sink, W: Write> Rows<S, W> {
    pub(super) fn new(sink: S, out: W, limit: u64) -> Rows<S, W> {
        Rows {
            sink,
            out,
            commands: CommandShape::all(),
            time: TimeText::default(),
            expires: TimeText::default(),
            count: 0,
            limit,
            next: None,
            written: 0,
        }
    }

    /// Rows so far.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Where the rest begins, if there was no room for it.
    pub(super) fn next(&self) -> Option<u64> {
        self.next
    }

    /// Writes what is left; bytes in all.
    pub(super) fn finish(mut self) -> io::Result<u64> {
        self.write()?;
        self.out.flush()?;
        Ok(self.written)
    }

    fn write(&mut self) -> io::Result<()> {
        let bytes = self.sink.out();
        self.written += bytes.len() as u64;
        self.out.write_all(bytes)?;
        bytes.clear();
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        self.sink.end();
        if self.sink.out().len() >= BUFFER_BYTES { self.write() } else { Ok(()) }
    }

    fn envelope(&mut self, record: &Record<'_>) {
        let (envelope, sink) = (record.envelope(), &mut self.sink);
        sink.number("sequence", record.sequence().0);
        sink.number("epoch", record.epoch().0);
        let time = &mut self.time;
        sink.plain("time", |out| time.write(record.time(), out));
        sink.plain("kind", |out| out.extend_from_slice(record.kind().as_str().as_bytes()));
        let flags = FLAGS.iter().filter(|(bit, _)| envelope.flags & bit != 0);
        sink.words("flags", flags.map(|(_, name)| *name));
        sink.number("session", record.session().0.into());
        sink.number("key", record.key().0.into());
        sink.number("client_sequence", envelope.client_sequence.get());
        sink.signed("client_timestamp_ms", envelope.client_timestamp_ms.get());
        if record.expires().0 != 0 {
            let time = &mut self.expires;
            sink.plain("expires", |out| time.write(record.expires(), out));
        }
        sink.number("priority", envelope.priority.into());
        sink.number("priority_sent", envelope.priority_sent.into());
        sink.number("attempt", envelope.attempt.get().into());
        sink.text("message_id", record.message_id());
        sink.text("source", record.source());
        sink.number("received_bytes", record.received().len() as u64);
        sink.plain("frame_hash", |out| hex(record.frame_hash().unwrap_or_default(), out));
    }

    fn body(&mut self, record: &Record<'_>, venue: &Venue) {
        let bytes = record.command();
        match record.kind() {
            RecordKind::Command => {
                let schema = record.envelope().schema.get();
                let sink = &mut self.sink;
                sink.open("body");
                let shape = self.commands.iter().find(|shape| shape.schema == schema);
                match shape.filter(|_| Command::decode(schema, bytes).is_ok()) {
                    Some(shape) => command(sink, &mut self.expires, shape, bytes, venue),
                    None => {
                        sink.number("schema", schema.into());
                        sink.plain("bytes", |out| hex(bytes, out));
                    }
                }
                sink.close();
            }
            RecordKind::Genesis
            | RecordKind::Admin
            | RecordKind::EventBlock
            | RecordKind::Reject => {
                let mut row = describe(record);
                if let Value::Object(map) = &mut row.body {
                    venue.name(map, None);
                    name_reason(row.kind, map);
                }
                self.sink.value("body", &row.body);
            }
            kind => {
                self.sink.open("body");
                fixed(&mut self.sink, kind, bytes);
                self.sink.close();
            }
        }
    }
}

impl<S: Sink, W: Write> Take for Rows<S, W> {
    fn has_room(&mut self, sequence: Sequence) -> bool {
        if self.count < self.limit {
            self.count += 1;
            return true;
        }
        self.next = Some(sequence.0);
        false
    }

    fn record(&mut self, record: &Record<'_>, venue: &Venue) -> io::Result<()> {
        self.sink.begin();
        self.envelope(record);
        self.body(record, venue);
        self.end()
    }

    fn event(
        &mut self,
        event: &Event,
        instrument: Option<&Instrument>,
        venue: &Venue,
    ) -> io::Result<()> {
        let sink = &mut self.sink;
        sink.begin();
        sink.number("sequence", event.sequence.0);
        sink.number("index", event.index.into());
        event_body(sink, &mut self.time, event, instrument, venue);
        sink.flag("last", event.last);
        self.end()
    }
}

fn word(sink: &mut impl Sink, name: &'static str, word: &'static str) {
    sink.plain(name, |out| out.extend_from_slice(word.as_bytes()));
}

fn command(
    sink: &mut impl Sink,
    time: &mut TimeText,
    shape: &CommandShape,
    bytes: &[u8],
    venue: &Venue,
) {
    word(sink, "command", shape.name);
    let id = |field: &Option<FieldLayout>| u32::try_from(number(field.as_ref()?, bytes)).ok();
    let instrument = id(&shape.instrument).and_then(|id| venue.instrument_of(InstrumentId(id)));
    let asset = id(&shape.asset).and_then(|id| venue.asset_of(AssetId(id)));
    for (field, shape) in &shape.fields {
        let (name, number) = (field.name, number(field, bytes));
        match shape {
            Shape::Number => sink.number(name, number),
            Shape::Words(words) => {
                match words.iter().find(|(value, _)| u64::from(*value) == number) {
                    Some((_, found)) => word(sink, name, found),
                    None => sink.number(name, number),
                }
            }
            Shape::Instrument => symbol(sink, InstrumentId(number as u32), instrument),
            Shape::Asset => match asset {
                Some(asset) => sink.text(name, asset.symbol.as_bytes()),
                None => sink.number(name, number),
            },
            Shape::Ticks => price(sink, name, number.cast_signed(), instrument),
            Shape::Lots => lots(sink, name, number.cast_signed(), instrument),
            Shape::Units => units(sink, name, number.cast_signed(), asset),
            Shape::Quote => {
                let quote = instrument.and_then(|found| venue.asset_of(found.quote));
                units(sink, name, number.cast_signed(), quote);
            }
            Shape::Time if number == 0 => sink.null(name),
            Shape::Time => sink.plain(name, |out| time.write(TimeNs(number), out)),
            Shape::Steps => {
                sink.plain(name, |out| decimal(number.cast_signed().into(), 0, out));
            }
        }
    }
}

fn symbol(sink: &mut impl Sink, id: InstrumentId, instrument: Option<&Instrument>) {
    match instrument {
        Some(instrument) => sink.text("symbol", instrument.symbol.as_bytes()),
        None => sink.number("instrument", id.0.into()),
    }
}

fn price(sink: &mut impl Sink, name: &'static str, ticks: i64, instrument: Option<&Instrument>) {
    let (step, scale) = instrument.map_or((1, 0), |found| (found.tick_units, found.price_scale));
    sink.plain(name, |out| decimal(i128::from(ticks) * i128::from(step), scale, out));
}

/// A count of lots; where the instrument is not known, one other than 0 says in its name what it is.
fn lots(sink: &mut impl Sink, name: &'static str, lots: i64, instrument: Option<&Instrument>) {
    let name_lots = match name {
        "quantity" => "quantity_lots",
        "filled" => "filled_lots",
        "leaves" => "leaves_lots",
        "display_quantity" => "display_quantity_lots",
        "min_quantity" => "min_quantity_lots",
        _ => "maker_leaves_lots",
    };
    match instrument {
        None if lots != 0 => sink.signed(name_lots, lots),
        found => {
            let (step, scale) =
                found.map_or((1, 0), |found| (found.lot_units, found.quantity_scale));
            sink.plain(name, |out| decimal(i128::from(lots) * i128::from(step), scale, out));
        }
    }
}

fn units(sink: &mut impl Sink, name: &'static str, units: i64, asset: Option<&Asset>) {
    let scale = asset.map_or(0, |asset| asset.scale);
    sink.plain(name, |out| decimal(units.into(), scale, out));
}

/// A payload of fixed layout, and what follows it.
fn fixed(sink: &mut impl Sink, kind: RecordKind, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    let Some(layout) = layout_of(kind).filter(|layout| layout.size <= bytes.len()) else {
        sink.plain("bytes", |out| hex(bytes, out));
        return;
    };
    for field in layout.fields.iter().filter(|field| !field.name.starts_with("reserved")) {
        let raw = &bytes[field.offset..field.offset + field.size];
        match field.name {
            "name" => sink.text("name", raw.split(|byte| *byte == 0).next().unwrap_or_default()),
            name if field.size > 8 => sink.plain(name, |out| hex(raw, out)),
            name => {
                let number =
                    raw.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
                sink.number(name, number);
            }
        }
    }
    if bytes.len() > layout.size {
        sink.plain("rest", |out| hex(&bytes[layout.size..], out));
    }
}

fn event_body(
    sink: &mut impl Sink,
    time: &mut TimeText,
    event: &Event,
    instrument: Option<&Instrument>,
    venue: &Venue,
) {
    match &event.body {
        EventBody::Result(result) => {
            word(sink, "event", "result");
            word(sink, "status", result.status.as_str());
            match result.reason {
                Some(reason) => word(sink, "reject_reason", reason.name()),
                None => sink.null("reject_reason"),
            }
            sink.number("session", result.session.0.into());
            sink.number("outbound", result.outbound);
            sink.number("client_sequence", result.client_sequence);
            sink.number("account", result.account.0);
            sink.number("order_id", result.order_id.0);
            sink.number("fill_count", result.fill_count.into());
            lots(sink, "filled", result.filled.0, instrument);
            lots(sink, "leaves", result.leaves.0, instrument);
            sink.plain("time", |out| time.write(result.time, out));
        }
        EventBody::Trade(trade) => {
            let own = venue.instrument_of(trade.instrument);
            let found = own.or(instrument);
            word(sink, "event", "trade");
            symbol(sink, trade.instrument, found);
            word(sink, "taker_side", trade.taker_side.as_str());
            price(sink, "price", trade.price.0, found);
            lots(sink, "quantity", trade.quantity.0, found);
            sink.number("maker_order", trade.maker_order.0);
            sink.number("taker_order", trade.taker_order.0);
            sink.number("maker_account", trade.maker_account.0);
            sink.number("taker_account", trade.taker_account.0);
            lots(sink, "maker_leaves", trade.maker_leaves.0, found);
        }
        EventBody::MakerFill(fill) => {
            let found = venue.instrument_of(fill.instrument).or(instrument);
            word(sink, "event", "maker-fill");
            sink.number("session", fill.session.0.into());
            sink.number("outbound", fill.outbound);
            symbol(sink, fill.instrument, found);
            sink.number("order_id", fill.order_id.0);
            sink.number("client_order_id", fill.client_order_id.0);
            price(sink, "price", fill.price.0, found);
            lots(sink, "quantity", fill.quantity.0, found);
            lots(sink, "filled", fill.filled.0, found);
            lots(sink, "leaves", fill.leaves.0, found);
        }
        EventBody::Update(update) => order_update(sink, update, venue),
        EventBody::Balance(balance) => {
            let asset = venue.asset_of(balance.asset);
            word(sink, "event", "balance");
            sink.number("account", balance.account.0);
            match asset {
                Some(asset) => sink.text("asset", asset.symbol.as_bytes()),
                None => sink.number("asset", balance.asset.0.into()),
            }
            units(sink, "available", balance.available.0, asset);
            units(sink, "frozen", balance.frozen.0, asset);
        }
        EventBody::Session(change) => {
            word(sink, "event", "session");
            sink.number("session", change.session.0.into());
            sink.flag("active", change.active);
            sink.number("outbound", change.outbound);
        }
        EventBody::Sent(sent) => {
            word(sink, "event", "session-sent");
            sink.number("session", sent.session.0.into());
            sink.number("kind", sent.kind.into());
            sink.number("outbound", sent.outbound);
            sink.number("expected_inbound", sent.expected_inbound);
        }
    }
}

fn order_update(sink: &mut impl Sink, update: &OrderUpdate, venue: &Venue) {
    let found = venue.instrument_of(update.instrument);
    word(sink, "event", "order-update");
    word(sink, "change", update.change.as_str());
    sink.number("session", update.session.0.into());
    sink.number("outbound", update.outbound);
    if update.change == OrderChange::MassCancelDone {
        sink.number("order_id", update.order_id.0);
        sink.signed("orders", update.quantity.0);
        return;
    }
    symbol(sink, update.instrument, found);
    sink.number("order_id", update.order_id.0);
    sink.number("client_order_id", update.client_order_id.0);
    price(sink, "price", update.price.0, found);
    lots(sink, "quantity", update.quantity.0, found);
    lots(sink, "filled", update.filled.0, found);
    lots(sink, "leaves", update.leaves.0, found);
}

/// Text as it may stand between quotes without an escape.
fn is_plain(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'))
}

#[cfg(test)]
mod tests;
