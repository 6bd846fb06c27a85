//! `outcry replay`: builds the state from the journal once more and compares the events.

use super::meter::Meter;
use super::offline::{Offline, Point, parse_point};
use super::output::{Style, time};
use super::venue::Venue;
use super::{Failure, Global, Outcome};
use crate::event::Event;
use crate::journal::format::{LogKind, RecordKind};
use crate::journal::view::Record;
use crate::node::replay::{ReplayError, Replayed, Until, replay};
use crate::types::{Sequence, TimeNs};
use serde::Serialize;
use serde_json::{Map, Value};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Bytes of events that are written at once.
const EVENTS_BUFFER_BYTES: usize = 1 << 20;

/// Rebuilds the state from the journal, offline, and compares the events
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  outcry replay\n  outcry replay --to 2026-03-01T12:00:00Z --json\n  \
                   outcry replay --from 1000 --to 2000 --events events.jsonl",
    after_help = "Nothing is written to the data directory. Every CRC and the hash chain are checked, \
                  the state is built from the first record on (--from only says which commands and \
                  events are counted and shown), and the events are compared byte by byte with the \
                  event log. Beside a running node the journal is read as far as it says itself that \
                  it is durable. The state hash is that of all machines which are at this sequence."
)]
pub(super) struct Args {
    /// First command that is counted and shown [default: the first]
    #[arg(long, value_name = "SEQ|TIME", value_parser = parse_point)]
    from: Option<Point>,
    /// Last command that is applied [default: the last]
    #[arg(long, value_name = "SEQ|TIME", value_parser = parse_point)]
    to: Option<Point>,
    /// Writes every event as a line of JSON
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
}

/// The result, as a script reads it.
#[derive(Debug, Serialize)]
struct Shown {
    commands: u64,
    events: u64,
    commands_per_s: f64,
    seconds: f64,
    sequence: u64,
    time: String,
    state_hash: String,
    /// Records of all kinds that were applied.
    records: u64,
    events_compared: u64,
    torn_tail_bytes: u64,
    /// A node was writing the journal meanwhile.
    node_running: bool,
}

pub(super) fn run(args: &Args, global: &Global) -> Outcome {
    let offline = Offline::open(global)?;
    if let (Some(Point::Sequence(from)), Some(Point::Sequence(to))) = (args.from, args.to)
        && from > to
    {
        return Err(Failure::usage(format_args!("--from {from} is behind --to {to}")));
    }
    let until = match args.to {
        Some(Point::Sequence(to)) => Until::Sequence(to),
        Some(Point::Time(to)) => Until::Time(to),
        None if offline.running => Until::Synced,
        None => Until::End,
    };
    let segments = offline.info(LogKind::Commands)?.segments as u64;
    let mut range = Range::new(args, offline.venue())?;
    let mut meter = Meter::new("replay");
    let replayed = replay(
        &offline.logs.commands,
        &offline.logs.events,
        until,
        &mut |record, events| range.take(record, events),
        &mut |at| meter.show(at.segment, segments, at.sequence),
    );
    meter.finish();
    let replayed = replayed.map_err(|error| match error {
        ReplayError::Empty => offline.empty(),
        other => Failure::bad(other),
    })?;
    range.finish()?;
    let last = replayed.state.order.last;
    if let Some(Point::Sequence(to)) = args.to.filter(|_| last < asked(args)) {
        return Err(Failure::bad(format_args!("the journal ends at sequence {last}, before {to}")));
    }
    show(&replayed, &range, offline.running, global);
    Ok(())
}

/// The sequence that was asked for as the last one, if one was.
fn asked(args: &Args) -> Sequence {
    match args.to {
        Some(Point::Sequence(to)) => to,
        _ => Sequence::NONE,
    }
}

fn show(replayed: &Replayed, range: &Range, node_running: bool, global: &Global) {
    let output = global.output();
    let seconds = replayed.elapsed.as_secs_f64();
    let shown = Shown {
        commands: range.commands,
        events: range.events,
        commands_per_s: (replayed.commands as f64 / seconds.max(1e-9)).round(),
        seconds,
        sequence: replayed.state.order.last.0,
        time: time(replayed.state.order.time),
        state_hash: replayed.state.hash(),
        records: replayed.records,
        events_compared: replayed.events_compared,
        torn_tail_bytes: replayed.torn_tail_bytes,
        node_running,
    };
    if output.is_json() {
        output.object(&shown);
        return;
    }
    output.line(format_args!(
        "{} sequence {}, state {}",
        output.styled(Style::Green, "replayed to"),
        shown.sequence,
        shown.state_hash
    ));
    output.line(format_args!(
        "{} commands, {} events; {} events found again in the event log, byte by byte",
        shown.commands, shown.events, shown.events_compared
    ));
    output.line(format_args!(
        "{} commands in {:.3} s: {:.0} a second",
        replayed.commands, shown.seconds, shown.commands_per_s
    ));
    if shown.torn_tail_bytes > 0 {
        output.line(format_args!(
            "{} bytes behind it are an unfinished end; a start of the node cuts and archives them",
            shown.torn_tail_bytes
        ));
    }
    if node_running {
        output.line("a node is running: commands that are not known to be durable were left out");
    }
}

/// The part of the journal that is counted and shown.
struct Range {
    from_sequence: Sequence,
    from_time: TimeNs,
    venue: Venue,
    file: Option<EventFile>,
    commands: u64,
    events: u64,
}

struct EventFile {
    path: PathBuf,
    writer: BufWriter<File>,
    /// The first error; nothing is written after it.
    error: Option<io::Error>,
}

impl EventFile {
    fn create(path: &Path) -> Result<EventFile, Failure> {
        let file = File::create(path).map_err(|error| {
            Failure::usage(format_args!("cannot create {}: {error}", path.display()))
        })?;
        let writer = BufWriter::with_capacity(EVENTS_BUFFER_BYTES, file);
        Ok(EventFile { path: path.to_owned(), writer, error: None })
    }

    fn write(&mut self, event: &Map<String, Value>) {
        if self.error.is_none() {
            let written = serde_json::to_writer(&mut self.writer, event).map_err(io::Error::from);
            self.error = written.and_then(|()| writeln!(self.writer)).err();
        }
    }
}

impl Range {
    fn new(args: &Args, venue: Venue) -> Result<Range, Failure> {
        let (from_sequence, from_time) = match args.from {
            None => (Sequence::NONE, TimeNs(0)),
            Some(Point::Sequence(from)) => (from, TimeNs(0)),
            Some(Point::Time(from)) => (Sequence::NONE, from),
        };
        let file = args.events.as_deref().map(EventFile::create).transpose()?;
        Ok(Range { from_sequence, from_time, venue, file, commands: 0, events: 0 })
    }

    #[inline]
    fn take(&mut self, record: &Record<'_>, events: &[Event]) {
        if record.sequence() < self.from_sequence || record.time() < self.from_time {
            return;
        }
        self.commands += u64::from(record.kind() == RecordKind::Command);
        self.events += events.len() as u64;
        if self.file.is_some() {
            self.write(record, events);
        }
    }

    fn write(&mut self, record: &Record<'_>, events: &[Event]) {
        let Some(file) = &mut self.file else { return };
        let instrument = self.venue.instrument_of_record(record);
        for event in events {
            file.write(&self.venue.event(event, instrument));
        }
    }

    fn finish(&mut self) -> Outcome {
        let Some(file) = &mut self.file else { return Ok(()) };
        let error = file.error.take().or_else(|| file.writer.flush().err());
        error.map_or(Ok(()), |error| {
            Err(Failure::bad(format_args!("cannot write {}: {error}", file.path.display())))
        })
    }
}
