//! `outcry journal retire` and `outcry journal readers`: lets go of the oldest segments, and says who
//! still needs them.

use crate::cli::offline::Offline;
use crate::cli::output::{Align, Table};
use crate::cli::{Failure, Global, Outcome};
use crate::journal::format::LogKind;
use crate::journal::retention::readers::{self, Reader};
use crate::journal::retention::{Limit, Plan};
use crate::node::retention::{LogPlan, Plans, RetentionInputs, decide, retire};
use crate::sys::clock::{Clock, MachineClock};
use crate::sys::lock::{DirLock, LockError};
use crate::types::{Sequence, TimeNs};
use clap::Subcommand;
use serde::Serialize;
use std::path::Path;

/// Lets go of the oldest segments that retention.bytes and retention.age_s do not keep
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  outcry journal retire --dry-run\n  \
                   outcry journal retire --set retention.bytes=1073741824 --set retention.archive=/archive/outcry\n  \
                   outcry journal retire --set retention.age_s=604800 --json",
    after_help = "A running node does this by itself; this takes its lock, and --dry-run only looks. A \
                  segment stays, whatever the limits, while a replay from the oldest sound snapshot, a \
                  registered reader or an unfinished sync needs a record of it; one of the event log also \
                  while the journal goes back as far, or the duplicate window does. With \
                  retention.archive it is copied there first, listed in SHA256SUMS (`sha256sum -c` \
                  checks it), and read back. `retired.json` beside the segments says where a log begins. \
                  --dry-run beside a running node does not know how far its lanes have read, and uses \
                  the configuration given here."
)]
pub(super) struct Args {
    /// Only tells what would go, and what holds the rest back
    #[arg(long)]
    dry_run: bool,
}

/// Who reads the journal or the event log from outside, and how far they are
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  outcry journal readers list\n  outcry journal readers set drop-copy 4711 --log events\n  \
                   outcry journal readers remove drop-copy",
    after_help = "What stands behind a reader's sequence is never retired. A reader is the file \
                  readers/NAME.json in the data directory, {\"log\":\"commands\",\"sequence\":4711}; a \
                  program may write it itself, under another name that is then renamed. A file that \
                  cannot be understood holds everything back."
)]
pub(super) struct ReadersArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    List(ListArgs),
    Set(SetArgs),
    Remove(RemoveArgs),
}

/// The registered readers
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  outcry journal readers list\n  outcry journal readers list --json"
)]
struct ListArgs {}

/// Registers a reader, or says how far it has come
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  outcry journal readers set audit 4711\n  outcry journal readers set drop-copy 0 --log events"
)]
struct SetArgs {
    /// 1 to 64 letters, digits, '_' or '-'
    name: String,
    /// The last sequence that it does not need any more; 0 keeps all there is
    #[arg(value_name = "SEQ")]
    sequence: u64,
    /// What it reads: commands (the journal) or events
    #[arg(long, value_parser = parse_log, default_value = "commands")]
    log: LogKind,
}

/// Forgets a reader: nothing is kept for it any more
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  outcry journal readers remove audit\n  outcry journal readers remove drop-copy --json"
)]
struct RemoveArgs {
    /// Its name
    name: String,
}

fn parse_log(text: &str) -> Result<LogKind, String> {
    let found = [LogKind::Commands, LogKind::Events].into_iter().find(|kind| kind.as_str() == text);
    found.ok_or_else(|| "write commands or events".to_owned())
}

/// Why a segment beyond a limit stays, as a script reads it.
#[derive(Debug, Serialize)]
struct Held {
    /// The limit: `bytes` or `age`.
    limit: &'static str,
    keeper: &'static str,
    /// The last sequence that the keeper does not need.
    sequence: u64,
    why: String,
}

/// What goes of a log, as a script reads it.
#[derive(Debug, Serialize)]
struct LogRow {
    log: &'static str,
    segments: usize,
    bytes: u64,
    kept_segments: usize,
    kept_bytes: u64,
    /// First sequence that stays.
    first_sequence: u64,
    held: Option<Held>,
}

/// The result, as a script reads it.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    dry_run: bool,
    /// A node runs: how far its lanes are, which may keep more, is not known here.
    node_running: bool,
    /// Sequence of the oldest sound snapshot; null where no segment is beyond a limit.
    snapshot_sequence: Option<u64>,
    archive: Option<&'a Path>,
    logs: [LogRow; 2],
}

fn held(plan: &Plan) -> Option<Held> {
    let (limit, bound) = plan.held.as_ref()?;
    let limit = match limit {
        Limit::Bytes => "bytes",
        Limit::Age => "age",
    };
    let (keeper, sequence) = (bound.keeper.as_str(), bound.upto.0);
    Some(Held { limit, keeper, sequence, why: bound.keeper.to_string() })
}

fn row(of: &LogPlan) -> LogRow {
    LogRow {
        log: of.kind.as_str(),
        segments: of.plan.count,
        bytes: of.plan.bytes,
        kept_segments: of.segments.len() - of.plan.count,
        kept_bytes: of.plan.kept_bytes,
        first_sequence: of.first_kept().0,
        held: held(&of.plan),
    }
}

pub(super) fn run(args: &Args, offline: &Offline, global: &Global) -> Outcome {
    let config = global.load()?.config;
    let now = TimeNs(MachineClock::new().wall_ns());
    let inputs = RetentionInputs::new(&config.retention, &offline.logs, now);
    if offline.info(LogKind::Commands)?.is_empty() {
        return Err(offline.empty());
    }
    let plans = if args.dry_run {
        decide(&inputs).map_err(Failure::bad)?
    } else {
        let _lock = DirLock::acquire(&offline.data_dir).map_err(|error| match error {
            LockError::Taken { .. } => Failure::node(format_args!(
                "{error}: a running node retires segments by itself; --dry-run tells which"
            )),
            LockError::Io { .. } => Failure::bad(error),
        })?;
        retire(&inputs).map_err(Failure::bad)?.plans
    };
    let running = args.dry_run && offline.running;
    show(&plans, args, &inputs, running, global);
    Ok(())
}

fn show(plans: &Plans, args: &Args, inputs: &RetentionInputs, node_running: bool, global: &Global) {
    let output = global.output();
    let logs = [row(&plans.commands), row(&plans.events)];
    let archive = inputs.archive.as_deref();
    if output.is_json() {
        let snapshot_sequence = plans.snapshot().map(|sequence| sequence.0);
        output.object(&Shown {
            dry_run: args.dry_run,
            node_running,
            snapshot_sequence,
            archive,
            logs,
        });
        return;
    }
    if !inputs.limits.any() {
        output
            .line("no limit is set, so nothing is retired: set retention.bytes or retention.age_s");
        return;
    }
    for row in &logs {
        let went = match (args.dry_run, row.segments) {
            (_, 0) => "nothing goes".to_owned(),
            (true, count) => format!("{count} segments of {} bytes would go", row.bytes),
            (false, count) => format!("{count} segments of {} bytes were retired", row.bytes),
        };
        output.line(format_args!(
            "{:<8}  {went}; {} segments of {} bytes stay, from sequence {} on",
            row.log, row.kept_segments, row.kept_bytes, row.first_sequence
        ));
        if let Some(held) = &row.held {
            let limit = match held.limit {
                "bytes" => "retention.bytes",
                _ => "retention.age_s",
            };
            output.line(format_args!(
                "          the oldest of them is beyond {limit} and stays because {}",
                held.why
            ));
        }
    }
    if node_running {
        output.line(
            "a node is running: how far its lanes have read is not known here, and they may keep more; \
             its own configuration decides what it retires",
        );
    }
    if let Some(archive) = archive.filter(|_| logs.iter().any(|row| row.segments > 0)) {
        let verb = if args.dry_run { "would be" } else { "are" };
        output.line(format_args!("copies {verb} in {}", archive.display()));
    }
}

/// A reader, as a script reads it.
#[derive(Debug, Serialize)]
struct ReaderRow {
    name: String,
    log: &'static str,
    sequence: u64,
}

impl ReaderRow {
    fn of(reader: &Reader) -> ReaderRow {
        let Reader { name, log, sequence } = reader;
        ReaderRow { name: name.clone(), log: log.as_str(), sequence: sequence.0 }
    }
}

/// A reader that was removed, as a script reads it.
#[derive(Debug, Serialize)]
struct Removed<'a> {
    removed: bool,
    name: &'a str,
}

pub(super) fn run_readers(args: &ReadersArgs, offline: &Offline, global: &Global) -> Outcome {
    let storage = offline.logs.commands.storage();
    let output = global.output();
    match &args.verb {
        Verb::List(_) => {
            let all = readers::list(&**storage, &offline.data_dir).map_err(Failure::bad)?;
            let rows: Vec<ReaderRow> = all.iter().map(ReaderRow::of).collect();
            if output.is_json() {
                rows.iter().for_each(|row| output.object(row));
                output.end_whole_list(rows.len());
                return Ok(());
            }
            if rows.is_empty() {
                output.line("there is no registered reader");
                return Ok(());
            }
            let columns = [("NAME", Align::Left), ("LOG", Align::Left), ("SEQUENCE", Align::Right)];
            let mut table = Table::new(&columns);
            for row in rows {
                table.row([row.name, row.log.to_owned(), row.sequence.to_string()]);
            }
            output.table(&table);
        }
        Verb::Set(SetArgs { name, sequence, log }) => {
            let (name, sequence) = (name.clone(), Sequence(*sequence));
            let reader = Reader { name, log: *log, sequence };
            readers::set(&**storage, &offline.data_dir, &reader).map_err(|error| match error {
                readers::ReaderError::Name(_) => Failure::usage(error),
                other => Failure::bad(other),
            })?;
            if output.is_json() {
                output.object(&ReaderRow::of(&reader));
            } else {
                let Reader { name, log, sequence } = &reader;
                output.line(format_args!(
                    "reader {name}: what stands behind sequence {sequence} of {} is kept",
                    log.as_str()
                ));
            }
        }
        Verb::Remove(RemoveArgs { name }) => {
            let removed = readers::forget(&**storage, &offline.data_dir, name);
            if !removed.map_err(Failure::bad)? {
                return Err(Failure::bad(format_args!("there is no reader {name}")));
            }
            if output.is_json() {
                output.object(&Removed { removed: true, name });
            } else {
                output.line(format_args!("reader {name} is removed: nothing is kept for it"));
            }
        }
    }
    Ok(())
}
