//! `outcry journal export`: every field of every record, as JSON lines or CSV, as quick as the disk.

use super::dump::Select;
use super::rows::{Csv, Json, Rows, Sink, each, ended, lost};
use crate::cli::offline::Offline;
use crate::cli::{Failure, Global, Outcome};
use crate::journal::reader::ReadError;
use serde::Serialize;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Instant;

/// Writes every field of records or events as JSON lines or CSV
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  outcry journal export --output journal.jsonl\n  \
                   outcry journal export --format csv --log events --account 2 > events.csv\n  \
                   outcry journal export --from 2026-03-01T12:00:00Z --to 2026-03-01T13:00:00Z",
    after_help = "A line of JSON has the fields that `journal dump --json` shows. CSV has a column for every \
                  field of a record and of a client's command; what else a record holds stands as JSON in \
                  the last column, `other`. Rows go to stdout, and to nothing else there, unless --output \
                  names a file; then the result tells how much was written and how quickly."
)]
pub(super) struct Args {
    #[command(flatten)]
    select: Select,
    /// jsonl or csv
    #[arg(long, value_name = "FORMAT", default_value = "jsonl", value_parser = ["jsonl", "csv"])]
    format: String,
    /// File to write; it must not exist [default: stdout]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// The result, as a script reads it.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    log: &'static str,
    format: &'a str,
    output: Option<&'a PathBuf>,
    records: u64,
    bytes: u64,
    seconds: f64,
    megabytes_per_s: f64,
}

/// What was written.
struct Written {
    records: u64,
    bytes: u64,
    error: Option<ReadError>,
}

pub(super) fn run(args: &Args, offline: &Offline, global: &Global) -> Outcome {
    let is_csv = args.format == "csv";
    if global.json && is_csv && args.output.is_none() {
        return Err(Failure::usage("--json with CSV needs --output: one stdout cannot hold both"));
    }
    let started = Instant::now();
    let written = match &args.output {
        None => {
            let out = io::stdout().lock();
            write(args, offline, is_csv, out, &|error| lost(error))?
        }
        Some(path) => {
            let file = File::create_new(path).map_err(|error| {
                Failure::usage(format_args!("cannot create {}: {error}", path.display()))
            })?;
            let failed = |error: &io::Error| -> Failure {
                Failure::bad(format_args!("cannot write {}: {error}", path.display()))
            };
            write(args, offline, is_csv, file, &failed)?
        }
    };
    let seconds = started.elapsed().as_secs_f64();
    let output = global.output();
    let megabytes_per_s = (written.bytes as f64 / 1e6 / seconds.max(1e-9)).round();
    if output.is_json() {
        output.object(&Shown {
            log: args.select.log.as_str(),
            format: &args.format,
            output: args.output.as_ref(),
            records: written.records,
            bytes: written.bytes,
            seconds,
            megabytes_per_s,
        });
    } else if let Some(path) = &args.output {
        output.line(format_args!(
            "{} rows, {} bytes in {}; {seconds:.3} s, {megabytes_per_s:.0} MB/s",
            written.records,
            written.bytes,
            path.display()
        ));
    }
    ended(written.error, offline)
}

fn write(
    args: &Args,
    offline: &Offline,
    is_csv: bool,
    out: impl Write,
    failed: &dyn Fn(&io::Error) -> Failure,
) -> Result<Written, Failure> {
    if is_csv {
        let sink = Csv::of(args.select.log);
        rows(args, offline, sink, out, failed)
    } else {
        rows(args, offline, Json::default(), out, failed)
    }
}

fn rows<S: Sink>(
    args: &Args,
    offline: &Offline,
    sink: S,
    out: impl Write,
    failed: &dyn Fn(&io::Error) -> Failure,
) -> Result<Written, Failure> {
    let mut selection = args.select.selection(offline)?;
    let mut rows = Rows::new(sink, out, u64::MAX);
    let error = each(&mut selection, offline, &mut rows).map_err(|error| failed(&error))?;
    let records = rows.count();
    let bytes = rows.finish().map_err(|error| failed(&error))?;
    Ok(Written { records, bytes, error })
}
