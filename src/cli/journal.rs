//! `outcry journal`: looks at the journal's files without a node, or beside one.

use super::offline::{Meter, Offline};
use super::output::{Align, Style, Table, time};
use super::venue::Venue;
use super::{Failure, Global, Outcome};
use crate::event::{Event, RejectReason};
use crate::journal::dump::{DumpRecord, describe, dump};
use crate::journal::event_log::EventFollower;
use crate::journal::format::LogKind;
use crate::journal::info::LogInfo;
use crate::journal::reader::{ReadError, Reader};
use crate::journal::segment::LogDir;
use crate::journal::verify::{Damage, Report, verify};
use crate::journal::view::{Record, Verify};
use crate::types::{InstrumentId, Sequence};
use clap::Subcommand;
use serde::Serialize;
use serde_json::{Map, Value};

/// Looks at the journal's files, without a node or beside one
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  outcry journal info\n  outcry journal verify --data-dir /var/lib/outcry\n  \
                   outcry journal dump --from 100 --to 120"
)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Info(InfoArgs),
    Verify(VerifyArgs),
    Dump(DumpArgs),
    Quarantine(super::quarantine::Args),
}

/// What the logs hold, by their headers
#[derive(Debug, clap::Args)]
#[command(before_help = "Examples:\n  outcry journal info\n  outcry journal info --json")]
struct InfoArgs {}

/// Checks every CRC, every frame hash and the hash chain
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  outcry journal verify\n  outcry journal verify --log commands --json",
    after_help = "Bytes behind the last whole batch that nothing says was durable are a torn tail, \
                  which a start of the node cuts and archives; all else that is wrong is damage, and \
                  the status is then 1. The event log is made again from the journal when a node \
                  starts; the journal is repaired from a copy."
)]
struct VerifyArgs {
    /// commands (the journal), events or rejects [default: all three]
    #[arg(long, value_parser = parse_log)]
    log: Option<LogKind>,
}

/// Prints records, decoded
#[derive(Debug, clap::Args)]
#[command(before_help = "Examples:\n  outcry journal dump --from 100 --to 120\n  \
                   outcry journal dump --json --limit 10\n  \
                   outcry journal dump --log events --from 100")]
struct DumpArgs {
    /// First sequence
    #[arg(long, value_name = "SEQ", default_value_t = 1)]
    from: u64,
    /// Last sequence [default: the last there is]
    #[arg(long, value_name = "SEQ")]
    to: Option<u64>,
    /// Rows at most [default: all]
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// commands (the journal), events or rejects
    #[arg(long, default_value = "commands", value_parser = parse_log)]
    log: LogKind,
}

fn parse_log(text: &str) -> Result<LogKind, String> {
    let found = LogKind::ALL.iter().copied().find(|kind| kind.as_str() == text);
    found.ok_or_else(|| "write commands, events or rejects".to_owned())
}

pub(super) fn run(args: &Args, global: &Global) -> Outcome {
    let offline = Offline::open(global)?;
    match &args.verb {
        Verb::Info(_) => show_info(&offline, global),
        Verb::Verify(args) => run_verify(args, &offline, global),
        Verb::Dump(args) => run_dump(args, &offline, global),
        Verb::Quarantine(args) => super::quarantine::run(args, &offline, global),
    }
}

/// What a log holds, as a script reads it.
#[derive(Debug, Serialize)]
struct LogRow {
    log: &'static str,
    segments: usize,
    prepared: usize,
    bytes: u64,
    first_sequence: u64,
    last_sequence: u64,
    synced_to: u64,
    first_time: Option<String>,
    last_time: Option<String>,
    epoch: u64,
    format_version: u16,
    application_version: u32,
}

/// The result of `info`, as a script reads it.
#[derive(Debug, Serialize)]
struct InfoResult {
    data_dir: String,
    journal_id: String,
    node_running: bool,
    logs: Vec<LogRow>,
}

fn log_row(kind: LogKind, info: &LogInfo) -> LogRow {
    let shown = |at| (!info.is_empty()).then(|| time(at));
    LogRow {
        log: kind.as_str(),
        segments: info.segments,
        prepared: info.prepared,
        bytes: info.bytes,
        first_sequence: info.first.0,
        last_sequence: info.last.0,
        synced_to: info.synced_to.0,
        first_time: shown(info.first_time),
        last_time: shown(info.last_time),
        epoch: info.epoch.0,
        format_version: info.format_version,
        application_version: info.application_version,
    }
}

fn show_info(offline: &Offline, global: &Global) -> Outcome {
    let journal = offline.info(LogKind::Commands)?;
    if journal.is_empty() {
        return Err(offline.empty());
    }
    let mut logs = Vec::new();
    for kind in LogKind::ALL {
        logs.push(log_row(*kind, &offline.info(*kind)?));
    }
    let data_dir = offline.data_dir.display().to_string();
    let output = global.output();
    let node_running = offline.running;
    if output.is_json() {
        let journal_id = journal.journal_id;
        output.object(&InfoResult { data_dir, journal_id, node_running, logs });
        return Ok(());
    }
    let state = if node_running { "a node is running" } else { "no node is running" };
    output.line(format_args!("journal {} in {data_dir}; {state}", journal.journal_id));
    let mut table = Table::new(&[
        ("LOG", Align::Left),
        ("SEGMENTS", Align::Right),
        ("PREPARED", Align::Right),
        ("BYTES", Align::Right),
        ("FIRST", Align::Right),
        ("LAST", Align::Right),
        ("SYNCED", Align::Right),
        ("LAST TIME", Align::Left),
    ]);
    for row in logs {
        table.row([
            row.log.to_owned(),
            row.segments.to_string(),
            row.prepared.to_string(),
            row.bytes.to_string(),
            row.first_sequence.to_string(),
            row.last_sequence.to_string(),
            row.synced_to.to_string(),
            row.last_time.unwrap_or_default(),
        ]);
    }
    output.table(&table);
    Ok(())
}

/// Damage and the log that has it.
#[derive(Debug, Serialize)]
struct DamageRow {
    log: &'static str,
    #[serde(flatten)]
    damage: Damage,
}

/// The result of `verify`, as a script reads it: the figures of the journal (or of the one log that
/// was asked for), and what was found in the others.
#[derive(Debug, Serialize)]
struct VerifyResult {
    ok: bool,
    log: &'static str,
    segments: u64,
    batches: u64,
    records: u64,
    first_sequence: u64,
    last_sequence: u64,
    synced_to: u64,
    torn_tail_bytes: u64,
    chain_hash: String,
    journal_id: String,
    damage: Option<DamageRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<Report>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejects: Option<Report>,
}

fn run_verify(args: &VerifyArgs, offline: &Offline, global: &Global) -> Outcome {
    let kinds = args.log.map_or(LogKind::ALL.to_vec(), |kind| vec![kind]);
    let mut reports = Vec::new();
    for kind in kinds {
        let mut meter = Meter::new("verify");
        let report = verify(offline.log(kind), &mut |progress| {
            let (done, all) = (progress.segments_done as u64, progress.segments as u64);
            meter.show(done, all, progress.sequence);
        });
        meter.finish();
        let report = report.map_err(|error| {
            Failure::bad(format_args!("cannot read {}: {error}", offline.log(kind).dir().display()))
        })?;
        if kind == LogKind::Commands && report.records == 0 && report.ok {
            return Err(offline.empty());
        }
        reports.push((kind, report));
    }
    show_reports(&reports, global);
    let damaged = reports.iter().find_map(|(kind, report)| Some((kind, report.damage.as_ref()?)));
    damaged.map_or(Ok(()), |(kind, damage)| {
        Err(Failure::bad(format_args!(
            "damage in {}: segment {}, offset {}, sequence {}: {}",
            kind.as_str(),
            damage.segment,
            damage.offset,
            damage.sequence,
            damage.what
        )))
    })
}

fn show_reports(reports: &[(LogKind, Report)], global: &Global) {
    let output = global.output();
    if output.is_json() {
        output.object(&verify_result(reports));
        return;
    }
    for (kind, report) in reports {
        let (style, verdict) =
            if report.ok { (Style::Green, "sound") } else { (Style::Red, "damaged") };
        output.line(format_args!(
            "{:<8}  {}  {} records in {} batches and {} segments, sequences {} to {}",
            kind.as_str(),
            output.styled(style, verdict),
            report.records,
            report.batches,
            report.segments,
            report.first_sequence,
            report.last_sequence
        ));
        if report.torn_tail_bytes > 0 {
            output.line(format_args!(
                "          {} bytes behind them are an unfinished end",
                report.torn_tail_bytes
            ));
        }
    }
}

fn verify_result(reports: &[(LogKind, Report)]) -> VerifyResult {
    let (kind, main) = reports.first().expect("at least one log was asked for");
    let damage = reports.iter().find_map(|(kind, report)| {
        Some(DamageRow { log: kind.as_str(), damage: report.damage.clone()? })
    });
    let other = |wanted: LogKind| {
        let found = reports[1..].iter().find(|(kind, _)| *kind == wanted);
        found.map(|(_, report)| report.clone())
    };
    VerifyResult {
        ok: damage.is_none(),
        log: kind.as_str(),
        segments: main.segments,
        batches: main.batches,
        records: main.records,
        first_sequence: main.first_sequence.0,
        last_sequence: main.last_sequence.0,
        synced_to: main.synced_to.0,
        torn_tail_bytes: main.torn_tail_bytes,
        chain_hash: main.chain_hash.clone(),
        journal_id: main.journal_id.clone(),
        damage,
        events: other(LogKind::Events),
        rejects: other(LogKind::Rejects),
    }
}

/// Rows on their way out.
struct Rows<'a> {
    global: &'a Global,
    venue: Venue,
    count: u64,
    limit: u64,
    /// Where the rest begins, if there was no room for it.
    next: Option<u64>,
}

impl Rows<'_> {
    /// True where one more row may be shown; else notes where to go on.
    fn has_room(&mut self, sequence: Sequence) -> bool {
        if self.count < self.limit {
            self.count += 1;
            return true;
        }
        self.next = Some(sequence.0);
        false
    }

    fn record(&mut self, record: &Record<'_>) -> bool {
        if !self.has_room(record.sequence()) {
            return false;
        }
        let mut row = describe(record);
        if let Value::Object(map) = &mut row.body {
            self.venue.name(map, None);
            name_reason(row.kind, map);
        }
        let output = self.global.output();
        if output.is_json() {
            output.object(&row);
        } else {
            output.line(readable(&row));
        }
        true
    }

    fn event(&mut self, event: &Event, instrument: Option<InstrumentId>) -> bool {
        if !self.has_room(event.sequence) {
            return false;
        }
        let instrument = instrument.and_then(|id| self.venue.instrument_of(id));
        let mut map = self.venue.event(event, instrument);
        let output = self.global.output();
        if output.is_json() {
            output.object(&map);
            return true;
        }
        let take = |map: &mut Map<String, Value>, name: &str| {
            map.shift_remove(name).map_or(String::new(), |value| word(&value))
        };
        let (sequence, index) = (take(&mut map, "sequence"), take(&mut map, "index"));
        let kind = take(&mut map, "event");
        output.line(format_args!("{sequence:>10}.{index:<3} {kind:<10} {}", pairs(&map)));
        true
    }
}

/// A reject's reason by its name.
fn name_reason(kind: &str, map: &mut Map<String, Value>) {
    if kind != "reject" {
        return;
    }
    let number = map.get("reason").and_then(Value::as_u64);
    let reason = number.and_then(|number| RejectReason::from_u16(u16::try_from(number).ok()?));
    if let Some(reason) = reason {
        map.insert("reason".to_owned(), reason.name().into());
    }
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// `name=value` with blanks between.
fn pairs(map: &Map<String, Value>) -> String {
    let pairs: Vec<String> =
        map.iter().map(|(name, value)| format!("{name}={}", word(value))).collect();
    pairs.join(" ")
}

fn readable(row: &DumpRecord) -> String {
    let mut line = format!("{:>10}  {}  {:<14}", row.sequence, row.time, row.kind);
    if row.session != 0 || row.key != 0 {
        line.push_str(&format!("  session {} key {}", row.session, row.key));
    }
    if !row.message_id.is_empty() {
        line.push_str(&format!("  id {}", row.message_id));
    }
    if !row.flags.is_empty() {
        line.push_str(&format!("  [{}]", row.flags.join(", ")));
    }
    line.push_str("  ");
    line.push_str(&row.body.as_object().map_or_else(|| row.body.to_string(), pairs));
    line.truncate(line.trim_end().len());
    line
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
    fn instrument(&mut self, sequence: Sequence, venue: &Venue) -> Option<InstrumentId> {
        while self.at < sequence {
            match self.reader.next_record(sequence) {
                Ok(Some(record)) => {
                    self.at = record.sequence();
                    self.instrument = venue.instrument_of_record(&record).map(|found| found.id);
                }
                Ok(None) => break,
                // It will not be readable further on either.
                Err(_) => self.at = Sequence(u64::MAX),
            }
        }
        self.instrument.filter(|_| self.at == sequence)
    }
}

fn dump_events(
    log: &LogDir,
    journal: &LogDir,
    from: Sequence,
    to: Sequence,
    rows: &mut Rows<'_>,
) -> Option<ReadError> {
    let reader = Reader::new(journal.clone(), from, Verify::Crc);
    let mut commands = Commands { reader, at: Sequence::NONE, instrument: None };
    let mut follower = EventFollower::new(log.clone(), from, Verify::Crc);
    loop {
        match follower.next_event(to) {
            Ok(Some(event)) => {
                let instrument = commands.instrument(event.sequence, &rows.venue);
                if !rows.event(&event, instrument) {
                    return None;
                }
            }
            Ok(None) => return None,
            Err(error) => return Some(error),
        }
    }
}

fn run_dump(args: &DumpArgs, offline: &Offline, global: &Global) -> Outcome {
    let journal = offline.info(LogKind::Commands)?;
    if journal.is_empty() {
        return Err(offline.empty());
    }
    let known = offline.info(args.log)?;
    let from = Sequence(args.from.max(1));
    let mut to = Sequence(args.to.unwrap_or(u64::MAX));
    if from > to {
        return Err(Failure::usage(format_args!("--from {from} is behind --to {to}")));
    }
    if offline.running && args.log != LogKind::Rejects {
        // What is being written now is not looked at, nor the events that came of it.
        to = to.min(journal.synced_to);
    }
    let limit = args.limit.unwrap_or(u64::MAX);
    let mut rows = Rows { global, venue: offline.venue(), count: 0, limit, next: None };
    let log = offline.log(args.log);
    let error = match args.log {
        LogKind::Events => {
            let journal = offline.log(LogKind::Commands);
            dump_events(log, journal, from, to.min(known.last), &mut rows)
        }
        LogKind::Commands | LogKind::Rejects => {
            dump(log, from, to, &mut |record| rows.record(record)).error
        }
    };
    let output = global.output();
    if output.is_json() {
        output.end_list(rows.count, rows.next);
    }
    // Beside a running node the end is in motion.
    match error.filter(|_| !offline.running) {
        None => Ok(()),
        Some(error) => Err(Failure::bad(format_args!(
            "{error}; `outcry journal verify` tells whether this is damage or an unfinished end"
        ))),
    }
}
