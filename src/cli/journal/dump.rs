//! `outcry journal dump`: records and events, decoded, for a person or a script.

use super::rows::{Filter, Json, Range, Rows, Selection, each};
use super::{name_reason, parse_log, word};
use crate::cli::offline::{Offline, Point, parse_point};
use crate::cli::{Failure, Global, Outcome};
use crate::journal::dump::{DumpRecord, describe};
use crate::journal::format::LogKind;
use crate::types::Sequence;
use serde_json::{Map, Value};
use std::io::Write;

/// Prints records, decoded
#[derive(Debug, clap::Args)]
#[command(before_help = "Examples:\n  outcry journal dump --from 100 --to 120\n  \
                   outcry journal dump --json --instrument BTC-USDT --limit 10\n  \
                   outcry journal dump --log events --from 2026-03-01T12:00:00Z --account 2")]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) select: Select,
    /// Rows at most [default: all]
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

/// Which rows; the same for `dump` and `export`.
#[derive(Debug, clap::Args)]
pub(super) struct Select {
    /// First sequence, or the first record at this time or later [default: the first there is]
    #[arg(long, value_name = "SEQ|TIME", value_parser = parse_point)]
    pub(super) from: Option<Point>,
    /// Last sequence, or the last record at this time or before [default: the last there is]
    #[arg(long, value_name = "SEQ|TIME", value_parser = parse_point)]
    pub(super) to: Option<Point>,
    /// Only what is of this session's number
    #[arg(long, value_name = "NUMBER")]
    pub(super) session: Option<u32>,
    /// Only what names this account
    #[arg(long, value_name = "NUMBER")]
    pub(super) account: Option<u64>,
    /// Only what is about this instrument
    #[arg(long, value_name = "SYMBOL|NUMBER")]
    pub(super) instrument: Option<String>,
    /// commands (the journal), events or rejects
    #[arg(long, default_value = "commands", value_parser = parse_log)]
    pub(super) log: LogKind,
}

impl Select {
    /// Finds the range and checks the filters.
    pub(super) fn selection(&self, offline: &Offline) -> Result<Selection, Failure> {
        let journal = offline.info(LogKind::Commands)?;
        if journal.is_empty() {
            return Err(offline.empty());
        }
        let venue = offline.venue();
        let instrument = match &self.instrument {
            None => None,
            Some(text) => Some(match text.parse() {
                Ok(number) => crate::types::InstrumentId(number),
                Err(_) => venue.instrument(text).map_err(Failure::usage)?.id,
            }),
        };
        let filter = Filter::new(self.session, self.account, instrument);
        let range = Range::find(offline, self.log, self.from, self.to, &journal)?;
        Ok(Selection { log: self.log, range, filter, venue })
    }
}

pub(super) fn run(args: &Args, offline: &Offline, global: &Global) -> Outcome {
    let mut selection = args.select.selection(offline)?;
    let limit = args.limit.unwrap_or(u64::MAX);
    if global.json {
        let out = std::io::stdout().lock();
        let mut rows = Rows::new(Json::default(), out, limit);
        let error = each(&mut selection, offline, &mut rows).map_err(Failure::bad)?;
        let (count, next) = (rows.count(), rows.next());
        rows.finish().unwrap_or_else(|error| super::rows::lost(&error));
        global.output().end_list(count, next);
        return super::rows::ended(error, offline);
    }
    let mut rows = Readable { out: Vec::new(), count: 0, limit };
    let error = each(&mut selection, offline, &mut rows).map_err(Failure::bad)?;
    rows.write();
    super::rows::ended(error, offline)
}

/// Bytes of lines that are written at once.
const BUFFER_BYTES: usize = 64 * 1024;

/// Lines for a person.
struct Readable {
    out: Vec<u8>,
    count: u64,
    limit: u64,
}

impl Readable {
    fn line(&mut self, line: &str) {
        self.out.extend_from_slice(line.as_bytes());
        self.out.push(b'\n');
        if self.out.len() >= BUFFER_BYTES {
            self.write();
        }
    }

    fn write(&mut self) {
        let mut stdout = std::io::stdout().lock();
        if let Err(error) = stdout.write_all(&self.out).and_then(|()| stdout.flush()) {
            super::rows::lost(&error);
        }
        self.out.clear();
    }
}

impl super::rows::Take for Readable {
    fn has_room(&mut self, _: Sequence) -> bool {
        self.count += 1;
        self.count <= self.limit
    }

    fn record(
        &mut self,
        record: &crate::journal::view::Record<'_>,
        venue: &crate::cli::venue::Venue,
    ) -> std::io::Result<()> {
        let mut row = describe(record);
        if let Value::Object(map) = &mut row.body {
            venue.name(map, None);
            name_reason(row.kind, map);
        }
        self.line(&readable(&row));
        Ok(())
    }

    fn event(
        &mut self,
        event: &crate::event::Event,
        instrument: Option<&crate::genesis::Instrument>,
        venue: &crate::cli::venue::Venue,
    ) -> std::io::Result<()> {
        let mut map = venue.event(event, instrument);
        let take = |map: &mut Map<String, Value>, name: &str| {
            map.shift_remove(name).map_or(String::new(), |value| word(&value))
        };
        let (sequence, index) = (take(&mut map, "sequence"), take(&mut map, "index"));
        let kind = take(&mut map, "event");
        self.line(&format!("{sequence:>10}.{index:<3} {kind:<10} {}", pairs(&map)));
        Ok(())
    }
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
