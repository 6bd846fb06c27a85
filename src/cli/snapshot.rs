//! `outcry snapshot`: the state in files, looked at, made and proved without a node, or beside one.

use super::meter::Meter;
use super::offline::Offline;
use super::output::{Align, Output, Style, Table, time};
use super::{Failure, Global, Outcome};
use crate::journal::format::LogKind;
use crate::node::apart::fold_for;
use crate::snapshot::fold::{At, FoldError, Folded, Folder, first, fold, fold_stopped};
use crate::snapshot::store::{Fault, Skipped, Store, StoreError};
use crate::snapshot::{Head, Snapshot};
use crate::sys::disk::Disk;
use crate::sys::lock::{DirLock, LockError};
use crate::types::Sequence;
use clap::Subcommand;
use serde::Serialize;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

/// Looks at snapshots of the state, makes one, and proves them
#[derive(Debug, clap::Args)]
#[command(before_help = "Examples:\n  outcry snapshot list\n  outcry snapshot take\n  \
                   outcry snapshot verify --replay")]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    List(ListArgs),
    Take(TakeArgs),
    Verify(VerifyArgs),
    Fold(FoldArgs),
}

/// The snapshots there are, by their headers
#[derive(Debug, clap::Args)]
#[command(before_help = "Examples:\n  outcry snapshot list\n  outcry snapshot list --json")]
struct ListArgs {}

/// Folds the journal into a snapshot
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  outcry snapshot take\n  outcry snapshot take --to 1000000\n  \
                   outcry snapshot take --data-dir /var/lib/outcry --json",
    after_help = "A second instance of the state is built from the newest sound snapshot and the \
                  journal behind it; a running node is not disturbed, but the memory must be there. Then \
                  the snapshot ends with the last batch that the journal says itself is durable; \
                  without a node, with the last whole one, after the journal was recovered as a start \
                  does it; the data directory is locked meanwhile, and no node can start. The newest snapshots.keep are kept, and older ones while the event log has not \
                  come to the oldest of those."
)]
struct TakeArgs {
    /// Last sequence; the snapshot is of the last batch that ends there or before
    #[arg(long, value_name = "SEQ")]
    to: Option<u64>,
}

/// Checks snapshots: every checksum, every value, and the state that is made of them
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  outcry snapshot verify\n  outcry snapshot verify 4711 --replay",
    after_help = "With --replay the journal is replayed from its first record, and each snapshot must \
                  be, byte by byte, what the replay gives there. Where older segments were retired, the \
                  replay begins with the oldest sound snapshot that the journal goes on from: that one, \
                  and any before it, cannot be compared, and are said so. The status is 1 where one is \
                  not sound; such a snapshot is passed over, and the one before serves."
)]
struct VerifyArgs {
    /// The one of this sequence [default: all of them]
    #[arg(value_name = "SEQ")]
    sequence: Option<u64>,
    /// Compares them with a replay of the journal
    #[arg(long)]
    replay: bool,
}

/// Folds for a running node, which starts this by itself
#[derive(Debug, clap::Args)]
#[command(
    hide = true,
    before_help = "Examples:\n  outcry snapshot fold --keep 3 --parent 4711\n  \
                   outcry snapshot fold --data-dir /var/lib/outcry --keep 3 --parent 4711"
)]
struct FoldArgs {
    /// How many are kept
    #[arg(long)]
    keep: usize,
    /// The node's process; it must be the one that has started this
    #[arg(long, value_name = "PID")]
    parent: u32,
}

pub(super) fn run(args: &Args, global: &Global) -> Outcome {
    if let Verb::Fold(args) = &args.verb {
        return fold_apart(args, global);
    }
    let offline = Offline::open(global)?;
    let store = Store::new(Disk::shared(), &offline.data_dir);
    match &args.verb {
        Verb::List(_) => list(&store, global),
        Verb::Take(args) => take(args, &offline, &store, global),
        Verb::Verify(args) => verify(args, &offline, &store, global),
        Verb::Fold(args) => fold_apart(args, global),
    }
}

/// The node says which directory; its configuration is not read a second time.
fn fold_apart(args: &FoldArgs, global: &Global) -> Outcome {
    let data_dir = global.data_dir.as_ref().ok_or_else(|| Failure::usage("name --data-dir"))?;
    let told = fold_for(args.parent, Path::new(data_dir), args.keep).map_err(|error| {
        Failure::bad(format_args!("process {} is no parent to fold for: {error}", args.parent))
    })?;
    Output::new(true).object(&told);
    Ok(())
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::bad(error)
    }
}

/// A snapshot, as a script reads it.
#[derive(Debug, Serialize)]
struct Row {
    sequence: u64,
    file: String,
    bytes: u64,
    ok: bool,
    time: Option<String>,
    epoch: Option<u64>,
    state_hash: Option<String>,
    journal_id: Option<String>,
    format_version: Option<u16>,
    application_version: Option<u32>,
    /// What is wrong with it.
    fault: Option<String>,
    /// It was compared with a replay.
    replayed: bool,
}

impl Row {
    fn new(sequence: Sequence, path: &Path, head: Result<Head, String>) -> Row {
        let (head, fault) = match head {
            Ok(head) => (Some(head), None),
            Err(fault) => (None, Some(fault)),
        };
        Row {
            sequence: sequence.0,
            file: path.display().to_string(),
            bytes: std::fs::metadata(path).map_or(0, |file| file.len()),
            ok: fault.is_none(),
            time: head.map(|head| time(head.time)),
            epoch: head.map(|head| head.epoch.0),
            state_hash: head.map(|head| hex(&head.state_hash)),
            journal_id: head.map(|head| head.id.to_string()),
            format_version: head.map(|head| head.format_version),
            application_version: head.map(|head| head.application_version),
            fault,
            replayed: false,
        }
    }

    fn fail(&mut self, fault: impl std::fmt::Display) {
        self.ok = false;
        self.fault = Some(fault.to_string());
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn none(store: &Store) -> String {
    format!("there is no snapshot in {}", store.dir().display())
}

fn list(store: &Store, global: &Global) -> Outcome {
    let output = global.output();
    let rows: Vec<Row> = store
        .list()?
        .iter()
        .map(|(sequence, path)| {
            let head = store.head(*sequence, path).map_err(|fault| fault.to_string());
            Row::new(*sequence, path, head)
        })
        .collect();
    if output.is_json() {
        rows.iter().for_each(|row| output.object(row));
        output.end_whole_list(rows.len());
        return Ok(());
    }
    if rows.is_empty() {
        output.line(format_args!("{}; `outcry snapshot take` makes one", none(store)));
        return Ok(());
    }
    let mut table = Table::new(&[
        ("SEQUENCE", Align::Right),
        ("TIME", Align::Left),
        ("EPOCH", Align::Right),
        ("BYTES", Align::Right),
        ("STATE HASH", Align::Left),
    ]);
    for row in rows {
        let epoch = row.epoch.map(|epoch| epoch.to_string());
        table.row([
            row.sequence.to_string(),
            row.time.unwrap_or_default(),
            epoch.unwrap_or_default(),
            row.bytes.to_string(),
            row.state_hash.or(row.fault).unwrap_or_default(),
        ]);
    }
    output.table(&table);
    Ok(())
}

/// A snapshot that was passed over, as a script reads it.
#[derive(Debug, Serialize)]
pub(super) struct SkippedRow {
    sequence: u64,
    file: String,
    fault: String,
}

impl SkippedRow {
    pub(super) fn new(skipped: &Skipped) -> SkippedRow {
        SkippedRow {
            sequence: skipped.sequence.0,
            file: skipped.path.display().to_string(),
            fault: skipped.fault.to_string(),
        }
    }
}

/// The result of `take`, as a script reads it.
#[derive(Debug, Serialize)]
struct Taken {
    sequence: u64,
    file: String,
    bytes: u64,
    /// It was there already.
    known: bool,
    /// Sequence of the snapshot that it was folded from.
    from: u64,
    /// Records replayed.
    records: u64,
    /// Older snapshots removed; beside a node none are.
    removed: usize,
    /// Older ones than `snapshots.keep` stay, because of the event log.
    waits: bool,
    seconds: f64,
    state_hash: String,
    skipped: Vec<SkippedRow>,
    /// A node, or another command, had the directory: only what is durable was folded.
    node_running: bool,
}

fn take(args: &TakeArgs, offline: &Offline, store: &Store, global: &Global) -> Outcome {
    let keep = global.load()?.config.snapshots.keep as usize;
    let part = offline.part()?;
    let mut meter = Meter::new("fold");
    let mut progress = |at: At| {
        let (done, of) = part(at.segment);
        meter.show(done, of, at.sequence);
        ControlFlow::Continue(())
    };
    let upto = args.to.map(Sequence);
    // Without a node the journal is recovered first, which only the lock's holder may do.
    let lock = match DirLock::acquire(&offline.data_dir) {
        Ok(lock) => Some(lock),
        Err(LockError::Taken { .. }) => None,
        Err(error) => return Err(Failure::bad(error)),
    };
    let journal = &offline.logs.commands;
    let folded = match lock {
        Some(_) => fold_stopped(journal, store, upto, keep, &mut progress),
        // What goes waits for the event log's syncs, and those are the node's: it removes with its own.
        None => fold(journal, store, upto, usize::MAX, &mut progress),
    };
    meter.finish();
    let folded = folded.map_err(|error| match error {
        FoldError::Read(error) if error.is_empty_log() => offline.empty(),
        other => Failure::bad(other),
    })?;
    let head = store.head(folded.sequence, &folded.path).map_err(Failure::bad)?;
    show_taken(&folded, &head, lock.is_none(), global);
    Ok(())
}

fn show_taken(folded: &Folded, head: &Head, node_running: bool, global: &Global) {
    let output = global.output();
    let taken = Taken {
        sequence: folded.sequence.0,
        file: folded.path.display().to_string(),
        bytes: folded.bytes,
        known: folded.known,
        from: folded.from.0,
        records: folded.records,
        removed: folded.removed,
        waits: folded.waits,
        seconds: folded.elapsed.as_secs_f64(),
        state_hash: hex(&head.state_hash),
        skipped: folded.skipped.iter().map(SkippedRow::new).collect(),
        node_running,
    };
    if output.is_json() {
        output.object(&taken);
        return;
    }
    for skipped in &folded.skipped {
        output.line(format_args!("{} {skipped}", output.styled(Style::Red, "passed over:")));
    }
    let word = if taken.known { "there already:" } else { "taken:" };
    output.line(format_args!(
        "{} sequence {}, state {}",
        output.styled(Style::Green, word),
        taken.sequence,
        taken.state_hash
    ));
    output.line(format_args!("{}, {} bytes", taken.file, taken.bytes));
    let from = match taken.from {
        0 => "the journal's first record".to_owned(),
        from => format!("the snapshot of sequence {from}"),
    };
    output.line(format_args!(
        "{} records replayed from {from}, {:.3} s; {} older snapshots removed",
        taken.records, taken.seconds, taken.removed
    ));
    if taken.waits {
        output.line(
            "older snapshots stay: the event log does not hold what the oldest one to keep needs; a \
             start of the node completes it",
        );
    }
}

/// The result of `verify`, as a script reads it.
#[derive(Debug, Serialize)]
struct Verified {
    ok: bool,
    snapshots: usize,
    unsound: usize,
    /// They were compared with a replay.
    replayed: bool,
    seconds: f64,
}

fn verify(args: &VerifyArgs, offline: &Offline, store: &Store, global: &Global) -> Outcome {
    let started = Instant::now();
    let mut all = store.list()?;
    if let Some(asked) = args.sequence {
        all.retain(|(sequence, _)| sequence.0 == asked);
        if all.is_empty() {
            return Err(Failure::bad(format_args!("{} of sequence {asked}", none(store))));
        }
    }
    if all.is_empty() {
        return Err(Failure::bad(none(store)));
    }
    let mut rows: Vec<Row> = all.iter().map(|(at, path)| check(store, *at, path)).collect();
    if args.replay {
        compare(offline, store, &mut rows)?;
    }
    let unsound = rows.iter().filter(|row| !row.ok).count();
    show_verified(&rows, args.replay, started, global);
    match unsound {
        0 => Ok(()),
        1 => Err(Failure::bad("1 snapshot is not sound")),
        more => Err(Failure::bad(format_args!("{more} snapshots are not sound"))),
    }
}

/// Checks a snapshot by itself.
fn check(store: &Store, sequence: Sequence, path: &Path) -> Row {
    let head = store.read(sequence, path).and_then(|(snapshot, _)| {
        snapshot.audit();
        store.head(sequence, path)
    });
    Row::new(sequence, path, head.map_err(|fault| fault.to_string()))
}

/// Replays the journal and compares each sound snapshot with what the replay gives at its sequence.
fn compare(offline: &Offline, store: &Store, rows: &mut [Row]) -> Outcome {
    let part = offline.part()?;
    let failed = |error: FoldError| match error {
        FoldError::Read(error) if error.is_empty_log() => offline.empty(),
        other => Failure::bad(other),
    };
    let start = replay_start(offline, store)?;
    // What it begins with is not proved by it.
    let begin = start.sequence();
    let mut folder = Folder::new(start, &offline.logs.commands);
    let mut meter = Meter::new("replay");
    for row in rows.iter_mut().filter(|row| row.ok && row.sequence > begin.0) {
        let mut progress = |at: At| {
            let (done, of) = part(at.segment);
            meter.show(done, of, at.sequence);
            ControlFlow::Continue(())
        };
        let sequence = Sequence(row.sequence);
        folder.run(sequence, &mut progress).map_err(failed)?;
        let replayed = Head::read(&folder.snapshot().encode()).expect("it was just encoded");
        match store.head(sequence, &store.path(sequence)) {
            Ok(head) => {
                row.replayed = true;
                if let Some(what) = head.difference(&replayed) {
                    row.fail(format_args!("a replay of the journal gives another {what}"));
                }
            }
            Err(Fault::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(fault) => row.fail(fault),
        }
    }
    meter.finish();
    Ok(())
}

/// What a replay of the whole journal begins with: nothing or, where older segments were retired, the
/// oldest sound snapshot from which it goes on.
fn replay_start(offline: &Offline, store: &Store) -> Result<Snapshot, Failure> {
    let journal = &offline.logs.commands;
    let id = offline.info(LogKind::Commands)?.id.ok_or_else(|| offline.empty())?;
    let retired = journal.retired().map_err(Failure::bad)?;
    if retired.is_none() {
        return first(journal, id).map_err(Failure::bad);
    }
    for (sequence, _) in store.list()? {
        let found = store.load(journal, id, sequence)?.snapshot;
        if let Some((snapshot, ..)) = found {
            return Ok(snapshot);
        }
    }
    Err(Failure::bad(
        "the journal's older segments were retired, and it goes on from no sound snapshot: there is \
         nothing that a replay could begin with",
    ))
}

fn show_verified(rows: &[Row], replayed: bool, started: Instant, global: &Global) {
    let output = global.output();
    if output.is_json() {
        rows.iter().for_each(|row| output.object(row));
        let unsound = rows.iter().filter(|row| !row.ok).count();
        let seconds = started.elapsed().as_secs_f64();
        let snapshots = rows.len();
        output.object(&Verified { ok: unsound == 0, snapshots, unsound, replayed, seconds });
        return;
    }
    for row in rows {
        let (style, verdict) =
            if row.ok { (Style::Green, "sound") } else { (Style::Red, "not sound") };
        let same = match (row.ok && replayed, row.replayed) {
            (true, true) => ", the same as a replay gives",
            (true, false) => {
                ", not compared: older segments of the journal were retired, and a replay begins with \
                 this snapshot or a later one"
            }
            (false, _) => "",
        };
        let more = row.fault.as_ref().or(row.state_hash.as_ref());
        output.line(format_args!(
            "sequence {}  {}  {}{same}",
            row.sequence,
            output.styled(style, verdict),
            more.map_or("", String::as_str)
        ));
    }
}
