//! `outcry journal`: looks at the journal's files without a node, or beside one.

mod diff;
mod dump;
mod export;
mod repair;
mod retire;
mod rows;

use super::meter::Meter;
use super::offline::Offline;
use super::output::{Align, Style, Table, time};
use super::{Failure, Global, Outcome};
use crate::event::RejectReason;
use crate::journal::Progress;
use crate::journal::format::LogKind;
use crate::journal::info::LogInfo;

use crate::journal::verify::{Damage, Report, verify_events, verify_reaching, verify_with};
use crate::types::Sequence;
use clap::Subcommand;
use serde::Serialize;
use serde_json::{Map, Value};

/// Threads of a check at most.
const THREADS_MAX: i64 = 256;

/// Looks at the journal's files, without a node or beside one
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  outcry journal info\n  outcry journal verify --data-dir /var/lib/outcry\n  \
                   outcry journal repair --from /backup/journal"
)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Info(InfoArgs),
    Verify(VerifyArgs),
    Dump(dump::Args),
    Export(export::Args),
    Diff(diff::Args),
    Repair(repair::Args),
    Retire(retire::Args),
    Readers(retire::ReadersArgs),
    Quarantine(super::quarantine::Args),
}

/// What the logs hold, by their headers
#[derive(Debug, clap::Args)]
#[command(before_help = "Examples:\n  outcry journal info\n  outcry journal info --json")]
struct InfoArgs {}

/// Checks every CRC, every frame hash and the hash chain
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  outcry journal verify\n  outcry journal verify --log commands --threads 4 --json",
    after_help = "Bytes behind the last whole batch that nothing says was durable are a torn tail, \
                  which a start of the node cuts and archives; all else that is wrong is damage, and \
                  the status is then 1; so is the end of a journal that ends before a snapshot of it. \
                  Where a power cut kept later bytes of the event log and not earlier ones, that is its \
                  unfinished end, which a start makes again; in a segment before that of the snapshot with \
                  which a start begins, where it makes nothing again, it is damage. The \
                  journal is repaired from a copy, see `outcry journal repair --help`. The \
                  first damage is told with its segment, offset and sequence, and what helps."
)]
struct VerifyArgs {
    /// commands (the journal), events or rejects [default: all three]
    #[arg(long, value_parser = parse_log)]
    log: Option<LogKind>,
    /// Threads, each at a segment of its own [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=THREADS_MAX))]
    threads: Option<u16>,
}

fn parse_log(text: &str) -> Result<LogKind, String> {
    let found = LogKind::ALL.iter().copied().find(|kind| kind.as_str() == text);
    found.ok_or_else(|| "write commands, events or rejects".to_owned())
}

pub(super) fn run(args: &Args, global: &Global) -> Outcome {
    match &args.verb {
        Verb::Info(_) => show_info(&Offline::open(global)?, global),
        Verb::Verify(args) => run_verify(args, &Offline::open(global)?, global),
        Verb::Dump(args) => dump::run(args, &Offline::open(global)?, global),
        Verb::Export(args) => export::run(args, &Offline::open(global)?, global),
        Verb::Diff(args) => diff::run(args, global),
        Verb::Repair(args) => repair::run(args, &Offline::open(global)?, global),
        Verb::Retire(args) => retire::run(args, &Offline::open(global)?, global),
        Verb::Readers(args) => retire::run_readers(args, &Offline::open(global)?, global),
        Verb::Quarantine(args) => super::quarantine::run(args, &Offline::open(global)?, global),
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
    let id = journal.id.map(|id| id.to_string()).unwrap_or_default();
    let mut logs = Vec::new();
    for kind in LogKind::ALL {
        logs.push(log_row(*kind, &offline.info(*kind)?));
    }
    let data_dir = offline.data_dir.display().to_string();
    let output = global.output();
    let node_running = offline.running;
    if output.is_json() {
        let journal_id = id;
        output.object(&InfoResult { data_dir, journal_id, node_running, logs });
        return Ok(());
    }
    let state = if node_running { "a node is running" } else { "no node is running" };
    output.line(format_args!("journal {} in {data_dir}; {state}", id));
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

/// Threads that check segments where nothing else is asked for.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn run_verify(args: &VerifyArgs, offline: &Offline, global: &Global) -> Outcome {
    let kinds = args.log.map_or(LogKind::ALL.to_vec(), |kind| vec![kind]);
    let threads = args.threads.map_or_else(cores, usize::from);
    let mut reports = Vec::new();
    // First: a running node makes further ones.
    let journal = kinds.contains(&LogKind::Commands);
    let snapshot = if journal { offline.reached()? } else { Sequence::NONE };
    for kind in kinds {
        let mut meter = Meter::new("verify");
        let progress = &mut |progress: &Progress| {
            let (done, all) = (progress.segments_done as u64, progress.segments as u64);
            meter.show(done, all, progress.sequence);
        };
        let log = offline.log(kind);
        let report = match kind {
            LogKind::Commands => verify_reaching(log, snapshot, threads, progress),
            LogKind::Events => verify_events(log, &mut || offline.base(), threads, progress),
            LogKind::Rejects => verify_with(log, threads, progress),
        };
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
            "damage in {}: segment {}, offset {}, sequence {}: {}; {}",
            kind.as_str(),
            damage.segment,
            damage.offset,
            damage.sequence,
            damage.what,
            damage.help
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
            let next = match kind {
                LogKind::Events => {
                    ", which the next start makes again from the journal or a snapshot"
                }
                LogKind::Commands | LogKind::Rejects => "",
            };
            output.line(format_args!(
                "          {} bytes behind them are an unfinished end{next}",
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
