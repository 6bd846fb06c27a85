//! `outcry replay`: builds the state from the journal once more, from anywhere, and compares the events.

use super::meter::Meter;
use super::new_file::NewFile;
use super::offline::{Offline, Point, parse_point};
use super::output::{Style, time};
use super::snapshot::SkippedRow;
use super::{Failure, Global, Outcome};
use crate::journal::format::LogKind;
use crate::journal::info::LogInfo;
use crate::journal::view::Verify;
use crate::node::replay::{Asked, Out, ReplayError, Replayed, Since, Until, replay};
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Rebuilds the state from the journal, offline, and compares the events
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  outcry replay --to 2026-03-01T12:00:00Z --json\n  \
                   outcry replay --from 1000 --to 2000 --events range.events\n  outcry replay --verify crc",
    after_help = "Nothing is written to the data directory. Every CRC, every frame's SHA-256 and the hash \
                  chain of what is read are checked, and the events are compared byte by byte with the event log, where it \
                  has them. Without --from the whole journal is replayed, from its first record; where \
                  that was retired, from the oldest snapshot from which the journal goes on. With --from \
                  the replay begins with the newest sound snapshot before it; what lies between the two is \
                  applied and not counted. FILE gets the event log's batches of the range, whole, as they \
                  stand in its segments (journal/FORMAT.md); `outcry journal export --log events` writes \
                  them as JSON lines. Beside a running node the journal is read as far as it says itself \
                  that it is durable. The state hash is that of all machines which are at this sequence."
)]
pub(super) struct Args {
    /// First record that counts: a sequence, or the first one at this time or later [default: the first]
    #[arg(long, value_name = "SEQ|TIME", value_parser = parse_point)]
    from: Option<Point>,
    /// Last record that is applied: a sequence, or the last one at this time or before [default: the last]
    #[arg(long, value_name = "SEQ|TIME", value_parser = parse_point)]
    to: Option<Point>,
    /// What is checked of the journal: `crc` leaves out every SHA-256, for a journal whose chain was
    /// verified before
    #[arg(long, value_name = "WHAT", default_value = "chain")]
    verify: Checks,
    /// Writes the event log's bytes of the range to a new file
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
}

/// What is checked of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
enum Checks {
    /// CRC-64 of every record, SHA-256 of every frame, and the hash chain
    Chain,
    /// CRC-64 of every record
    Crc,
}

impl From<Checks> for Verify {
    fn from(checks: Checks) -> Verify {
        match checks {
            Checks::Chain => Verify::Chain,
            Checks::Crc => Verify::Crc,
        }
    }
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
    /// The first record that counts.
    first_sequence: u64,
    /// Sequence of the snapshot that the replay began with; 0 for none.
    snapshot_sequence: u64,
    /// Snapshots that it was to begin with and that cannot be used.
    skipped: Vec<SkippedRow>,
    /// Records of all kinds that were applied.
    records: u64,
    events_compared: u64,
    /// What `--events` wrote.
    events_file: Option<EventsFile>,
    torn_tail_bytes: u64,
    /// What was checked of the journal.
    verified: Checks,
    /// A node was writing the journal meanwhile.
    node_running: bool,
}

/// A part of an event log in a file, as a script reads it.
#[derive(Debug, Serialize)]
struct EventsFile {
    file: String,
    bytes: u64,
    batches: u64,
    /// First sequence of its first batch.
    first_sequence: u64,
    /// Last sequence of its last batch.
    last_sequence: u64,
}

pub(super) fn run(args: &Args, global: &Global) -> Outcome {
    let offline = Offline::open(global)?;
    let (since, until) = (since(args.from), until(args.to, offline.running));
    check(args)?;
    let known = offline.info(LogKind::Commands)?;
    let mut file = args.events.as_deref().map(NewFile::create).transpose()?;
    let events = file.as_mut().map(|file| file as Out<'_>);
    let part = offline.part()?;
    let mut meter = Meter::new("replay");
    let replayed = replay(
        &offline.logs.commands,
        &offline.logs.events,
        Asked { since, until, verify: args.verify.into(), events },
        &mut |at| {
            let (done, of) = part(at.segment);
            meter.show(done, of, at.sequence);
        },
    );
    meter.finish();
    let replayed = replayed.map_err(|error| failure(error, args, &offline, until))?;
    if let Some(file) = file {
        let path = file.path().to_owned();
        file.finish().map_err(|error| unwritten(&path, error))?;
    }
    warn(&replayed, &known);
    show(&replayed, args, offline.running, global);
    Ok(())
}

fn since(from: Option<Point>) -> Since {
    match from {
        None => Since::First,
        Some(Point::Sequence(from)) => Since::Sequence(from),
        Some(Point::Time(from)) => Since::Time(from),
    }
}

fn until(to: Option<Point>, running: bool) -> Until {
    match to {
        Some(Point::Sequence(to)) => Until::Sequence(to),
        Some(Point::Time(to)) => Until::Time(to),
        None if running => Until::Synced,
        None => Until::End,
    }
}

/// Refuses a range of which its two ends alone tell that it is none.
fn check(args: &Args) -> Outcome {
    let is_backwards = match (args.from, args.to) {
        (Some(Point::Sequence(from)), Some(Point::Sequence(to))) => from > to,
        (Some(Point::Time(from)), Some(Point::Time(to))) => from > to,
        _ => false,
    };
    if is_backwards {
        let (from, to) = (since(args.from), until(args.to, false));
        return Err(Failure::usage(ReplayError::Backwards { from, to }));
    }
    Ok(())
}

fn failure(error: ReplayError, args: &Args, offline: &Offline, until: Until) -> Failure {
    match error {
        ReplayError::Empty => offline.empty(),
        ReplayError::Backwards { .. } => Failure::usage(error),
        ReplayError::Beyond { .. } if until == Until::Synced => Failure::bad(format_args!(
            "{error}; a node is running: commands that are not known to be durable were left out"
        )),
        ReplayError::Write(error) => {
            unwritten(args.events.as_deref().unwrap_or(Path::new("the file")), error)
        }
        other => Failure::bad(other),
    }
}

fn unwritten(path: &Path, error: std::io::Error) -> Failure {
    Failure::bad(format_args!("cannot write {}: {error}", path.display()))
}

/// Says on stderr what is not as one would think.
fn warn(replayed: &Replayed, known: &LogInfo) {
    let mut stderr = std::io::stderr();
    for skipped in &replayed.skipped {
        // A warning that nobody can read changes nothing about the result.
        let _ = writeln!(stderr, "outcry: warning: {skipped}");
    }
    if known.first.0 > 1 {
        let _ = writeln!(
            stderr,
            "outcry: warning: the journal begins at sequence {}: what is before is taken from the \
             snapshot of sequence {}, and was not proved anew",
            known.first, replayed.snapshot
        );
    }
}

fn show(replayed: &Replayed, args: &Args, node_running: bool, global: &Global) {
    let output = global.output();
    let seconds = replayed.elapsed.as_secs_f64();
    let written = &replayed.written;
    let skipped = replayed.skipped.iter().map(SkippedRow::new).collect();
    let shown = Shown {
        commands: replayed.commands,
        events: replayed.events,
        commands_per_s: (replayed.applied as f64 / seconds.max(1e-9)).round(),
        seconds,
        sequence: replayed.state.order.last.0,
        time: time(replayed.state.order.time),
        state_hash: replayed.state.hash(),
        first_sequence: replayed.first.0,
        snapshot_sequence: replayed.snapshot.0,
        skipped,
        records: replayed.records,
        events_compared: replayed.events_compared,
        events_file: args.events.as_deref().map(|path| EventsFile {
            file: path.display().to_string(),
            bytes: written.bytes,
            batches: written.batches,
            first_sequence: written.first.0,
            last_sequence: written.last.0,
        }),
        torn_tail_bytes: replayed.torn_tail_bytes,
        verified: args.verify,
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
    let begin = match shown.snapshot_sequence {
        0 => "the journal's first record".to_owned(),
        snapshot => format!("the snapshot of sequence {snapshot}"),
    };
    output.line(format_args!("{} records applied from {begin}", shown.records));
    output.line(format_args!(
        "{} commands, {} events from sequence {} on; {} events found again in the event log, byte by byte",
        shown.commands, shown.events, shown.first_sequence, shown.events_compared
    ));
    output.line(format_args!(
        "{} commands in {:.3} s: {:.0} a second",
        replayed.applied, shown.seconds, shown.commands_per_s
    ));
    if let Some(file) = &shown.events_file {
        output.line(format_args!(
            "{}: {} bytes, {} batches of the event log, sequences {} to {}",
            file.file, file.bytes, file.batches, file.first_sequence, file.last_sequence
        ));
    }
    if shown.torn_tail_bytes > 0 {
        output.line(format_args!(
            "{} bytes behind it are an unfinished end; a start of the node cuts and archives them",
            shown.torn_tail_bytes
        ));
    }
    if args.verify == Checks::Crc {
        output.line("CRCs were checked, and no SHA-256: not the frames' and not the hash chain");
    }
    if node_running {
        output.line("a node is running: commands that are not known to be durable were left out");
    }
}
