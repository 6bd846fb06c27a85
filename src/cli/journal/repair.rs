//! `outcry journal repair`: takes what is damaged from a copy of the same journal.

use crate::cli::meter::Meter;
use crate::cli::offline::Offline;
use crate::cli::output::Style;
use crate::cli::{Failure, Global, Outcome};
use crate::journal::format::LogKind;
use crate::journal::repair::{CopyEnd, RepairError, Repaired, Report, repair_reaching};
use crate::journal::segment::LogDir;
use crate::sys::disk::Disk;
use crate::sys::lock::{DirLock, LockError};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Takes what is damaged from a copy of the same journal, and proves the hash chain across it
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  outcry journal repair --from /backup/journal\n  \
                   outcry journal repair --data-dir /var/lib/outcry --from /mnt/standby/journal --json",
    after_help = "DIR is a data directory: a backup or another node's. It is only read. The node of the \
                  directory that is repaired must be stopped: the repair takes its lock. Nothing is \
                  replaced unless the copy has the same journal_id, continues the hash of the last sound \
                  batch, is sound itself and leads to what stands behind the damage. A journal that ends \
                  before a snapshot of it gets all that the copy proves behind its end. The damaged bytes are \
                  kept in `archive` first. A segment is replaced whole by a rename; a repair that is \
                  killed can be given again. Status 1 tells that the copy cannot help, and why. An event \
                  log is not repaired: where it is damaged, move the directory `events` away and start the \
                  node, which makes it again from the journal's first record; where older segments were \
                  retired, put the directory `events` of the copy in its place."
)]
pub(super) struct Args {
    /// Data directory with a copy of the journal
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
}

/// The result, as a script reads it.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    ok: bool,
    journal_id: String,
    from: &'a Path,
    repaired: &'a [Repaired],
    repaired_bytes: u64,
    last_sequence: u64,
    chain_hash: &'a str,
    copy_ends: Option<&'a CopyEnd>,
}

pub(super) fn run(args: &Args, offline: &Offline, global: &Global) -> Outcome {
    let source = source(args, offline)?;
    let _lock = DirLock::acquire(&offline.data_dir).map_err(|error| match error {
        LockError::Taken { .. } => Failure::node(format_args!("{error}: stop it first")),
        LockError::Io { .. } => Failure::bad(error),
    })?;
    let mut meter = Meter::new("repair");
    let log = offline.log(LogKind::Commands);
    let snapshot = offline.reached()?;
    let report = repair_reaching(log, &source, snapshot, super::cores(), &mut |progress| {
        let (done, all) = (progress.segments_done as u64, progress.segments as u64);
        meter.show(done, all, progress.sequence);
    });
    meter.finish();
    let report = report.map_err(|error| refused(&error, &args.from))?;
    if report.id.is_none() {
        return Err(offline.empty());
    }
    show(&report, args, global);
    Ok(())
}

fn refused(error: &RepairError, from: &Path) -> Failure {
    Failure::bad(format_args!("cannot repair from {}: {error}", from.display()))
}

/// The journal in the copy's directory.
fn source(args: &Args, offline: &Offline) -> Result<LogDir, Failure> {
    let own = offline.log(LogKind::Commands);
    let (append, size) = (crate::sys::storage::Append::Write, own.segment_size());
    let source = LogDir::new(Disk::shared(), &args.from, LogKind::Commands, append, size);
    if !source.dir().is_dir() {
        return Err(Failure::usage(format_args!(
            "there is no journal in {}: {} does not exist",
            args.from.display(),
            source.dir().display()
        )));
    }
    let real = |path: &Path| path.canonicalize().ok();
    if real(source.dir()) == real(own.dir()) {
        return Err(Failure::usage("--from is the directory that is to be repaired"));
    }
    Ok(source)
}

fn show(report: &Report, args: &Args, global: &Global) {
    let output = global.output();
    if output.is_json() {
        output.object(&Shown {
            ok: true,
            journal_id: report.id.map(|id| id.to_string()).unwrap_or_default(),
            from: &args.from,
            repaired: &report.repaired,
            repaired_bytes: report.repaired.iter().map(|range| range.bytes).sum(),
            last_sequence: report.last.0,
            chain_hash: &report.hash,
            copy_ends: report.copy_ends.as_ref(),
        });
        return;
    }
    for range in &report.repaired {
        output.line(format_args!(
            "segment {}, offset {}: {}",
            range.segment, range.offset, range.what
        ));
        output.line(format_args!(
            "  {} bytes taken from the copy, sequences {} to {}; chain {} to {}",
            range.bytes,
            range.first_sequence,
            range.last_sequence,
            short(&range.hash_before),
            short(&range.hash_after)
        ));
        if let Some(archived) = &range.archived {
            output.line(format_args!("  the damaged bytes are in {}", archived.display()));
        }
    }
    if let Some(CopyEnd { segment, offset, sequence, what }) = &report.copy_ends {
        output.line(format_args!(
            "the copy is not sound from sequence {sequence} on, in segment {segment}, offset {offset}: \
             {what}; nothing of that was taken"
        ));
    }
    let verdict = if report.repaired.is_empty() { "no damage" } else { "repaired" };
    output.line(format_args!(
        "{}: sound up to sequence {}, chain {}",
        output.styled(Style::Green, verdict),
        report.last,
        report.hash
    ));
}

/// The beginning of a hash, enough to tell it from others.
fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}
