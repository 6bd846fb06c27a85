//! `outcry audit`: who sent what, when, and what became of it.

use super::offline::{Offline, Point, parse_point};
use super::output::{Style, time};
use super::venue::Venue;
use super::{Failure, Global, Outcome as Ended};
use crate::command::Command;
use crate::journal::audit::{Audit, From, Outcome, Row, To, Trails};
use crate::journal::format::LogKind;
use crate::types::{Sequence, Status, TimeNs};
use serde_json::{Map, Value, json};

/// Prints every message that came in, once: who, what, when and the outcome
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  outcry audit\n  \
                   outcry audit --session 3 --rejects-only --json\n  \
                   outcry audit --from 2026-03-01T12:00:00Z --to 2026-03-01T12:05:00Z --account 2",
    after_help = "The journal, with the results of the event log, and the reject log, merged by time. \
                  Nothing is written to the data directory; beside a running node the journal is read \
                  as far as it says itself that it is durable. The reject log is bounded: its oldest \
                  files are dropped, and a crash may take what it had not synced. Questions (book, \
                  account, ping) change nothing and leave no trail, unless they are refused. A message \
                  that was refused may be damaged: what is shown of it is what could be read. With \
                  --limit the result names in `next` where to go on: give it to --from. A range of \
                  sequences holds what was refused between its records. `time` is when the sequencer \
                  took a message, or when it was refused, by the node's clock; `sent` is when its \
                  sender says that it was made. The journal keeps no further time."
)]
pub(super) struct Args {
    /// Only messages of this session's number
    #[arg(long, value_name = "NUMBER")]
    session: Option<u32>,
    /// Only commands that name this account
    #[arg(long, value_name = "NUMBER")]
    account: Option<u64>,
    /// Only messages that this key's number authenticated
    #[arg(long, value_name = "NUMBER")]
    key: Option<u32>,
    /// Only the message with this id, and its duplicates
    #[arg(long, value_name = "ID")]
    message_id: Option<String>,
    /// First message [default: the first there is]
    #[arg(long, value_name = "SEQ|TIME|NEXT", value_parser = parse_from)]
    from: Option<From>,
    /// Last message [default: the last there is]
    #[arg(long, value_name = "SEQ|TIME", value_parser = parse_point)]
    to: Option<Point>,
    /// Only what was refused: before a sequence, as a duplicate, or by the exchange
    #[arg(long)]
    rejects_only: bool,
    /// Rows at most [default: all]
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

/// Reads a sequence, a time, or the `next` of an earlier result: `SEQ/REJECT`.
fn parse_from(text: &str) -> Result<From, String> {
    if let Some((sequence, reject)) = text.split_once('/') {
        let number = |text: &str| text.parse().map(Sequence).ok();
        let place = number(sequence).zip(number(reject));
        return place
            .map(|(sequence, reject)| From::Place(sequence, reject))
            .ok_or_else(|| "write the `next` of a result as it stands, such as 120/7".to_owned());
    }
    Ok(match parse_point(text)? {
        Point::Sequence(sequence) => From::Sequence(sequence),
        Point::Time(time) => From::Time(time),
    })
}

pub(super) fn run(args: &Args, global: &Global) -> Ended {
    let offline = Offline::open(global)?;
    let journal = offline.info(LogKind::Commands)?;
    if journal.is_empty() {
        return Err(offline.empty());
    }
    let from = args.from.unwrap_or(From::Sequence(journal.first));
    let to = args.to.map(|point| match point {
        Point::Sequence(sequence) => To::Sequence(sequence),
        Point::Time(time) => To::Time(time),
    });
    let turned = match (from, to) {
        (From::Sequence(from) | From::Place(from, _), Some(To::Sequence(to))) => from > to,
        (From::Time(from), Some(To::Time(to))) => from > to,
        _ => false,
    };
    if turned {
        return Err(Failure::usage("--from is behind --to"));
    }
    // What is being written now is not looked at.
    let limit = if offline.running { journal.synced_to } else { Sequence(u64::MAX) };
    let logs = Trails {
        commands: offline.log(LogKind::Commands),
        events: offline.log(LogKind::Events),
        rejects: offline.log(LogKind::Rejects),
    };
    let mut audit = Audit::new(logs, from, to, limit).map_err(|error| {
        Failure::bad(format_args!("cannot read {}: {error}", offline.data_dir.display()))
    })?;
    let shown = Shown { global, venue: offline.venue() };
    let (count, next) = shown.all(&mut audit, args);
    if global.json {
        global.output().end_list(count, next);
    } else if let Some(next) = next {
        global.output().line(format_args!("there is more: --from {next}"));
    }
    // Beside a running node the ends are in motion.
    match audit.error().filter(|_| !offline.running) {
        None => Ok(()),
        Some(error) => Err(Failure::bad(format_args!(
            "{error}; `outcry journal verify` tells whether this is damage or an unfinished end"
        ))),
    }
}

/// How rows are shown.
struct Shown<'a> {
    global: &'a Global,
    venue: Venue,
}

impl Shown<'_> {
    /// Shows the rows that are asked for: how many, and where the rest begins.
    fn all(&self, audit: &mut Audit, args: &Args) -> (u64, Option<String>) {
        let output = self.global.output();
        let mut count = 0;
        if !output.is_json() {
            output.line(output.styled(Style::Bold, HEADING));
        }
        loop {
            let (sequence, reject) = audit.place();
            let Some(row) = audit.next_row() else { return (count, None) };
            if !wanted(&row, args) {
                continue;
            }
            if args.limit.is_some_and(|limit| count >= limit) {
                return (count, Some(format!("{sequence}/{reject}")));
            }
            count += 1;
            if output.is_json() {
                output.object(&self.object(&row));
            } else {
                output.line(self.line(&row));
            }
        }
    }

    fn object(&self, row: &Row) -> Value {
        let told = told(row);
        json!({
            "time": time(row.time),
            "sent": sent(row.sent_ms),
            "sequence": row.sequence,
            "reject": row.reject,
            "kind": row.kind.as_str(),
            "schema": row.schema,
            "command": row.command.map(|command| command.name()),
            "session": row.session,
            "key": row.key,
            "client_sequence": row.client_sequence,
            "message_id": row.message_id,
            "source": row.source,
            "correlation_id": row.correlation_id,
            "account": row.command.map(|command| command.account()),
            "symbol": self.symbol(row),
            "received_bytes": row.received_bytes,
            "outcome": told.outcome,
            "reason": told.reason,
            "repeats": told.repeats,
            "order_id": told.order_id,
        })
    }

    fn symbol(&self, row: &Row) -> Option<&str> {
        let instrument = self.venue.instrument_of(row.command?.instrument()?)?;
        Some(instrument.symbol.as_str())
    }

    /// A line as wide as it takes, its columns where those of the heading are in the usual case.
    fn line(&self, row: &Row) -> String {
        let told = told(row);
        let number = |number: Option<u64>| number.map_or("-".to_owned(), |n| n.to_string());
        let mut outcome = told.outcome.to_owned();
        if let Some(reason) = told.reason {
            outcome.push_str(&format!(" {reason}"));
        }
        if let Some(repeats) = told.repeats {
            outcome.push_str(&format!(" of {repeats}"));
        }
        let mut details = Map::new();
        if let Some(command) = row.command {
            details.insert("account".into(), command.account().0.into());
        }
        if let Some(symbol) = self.symbol(row) {
            details.insert("symbol".into(), symbol.into());
        }
        if let Some(order) = told.order_id {
            details.insert("order".into(), order.into());
        }
        for (name, text) in [("source", &row.source), ("correlation", &row.correlation_id)] {
            if !text.is_empty() {
                details.insert(name.into(), text.as_str().into());
            }
        }
        let details: Vec<String> = details
            .iter()
            .map(|(name, value)| {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                format!("{name}={text}")
            })
            .collect();
        let id = if row.message_id.is_empty() { "-" } else { &row.message_id };
        let line = format!(
            "{}  {:>10}  {:>7}  {:>5}  {:<14}  {:<36}  {:<28}  {}",
            time(row.time),
            number(row.sequence.map(|sequence| sequence.0)),
            row.session,
            row.key,
            what(row),
            id,
            outcome,
            details.join(" ")
        );
        line.trim_end().to_owned()
    }
}

/// The columns of [`Shown::line`].
const HEADING: &str = "TIME                              SEQUENCE  SESSION    KEY  WHAT            \
                       MESSAGE ID                            OUTCOME                       DETAILS";

/// The command's name, or what else the message was.
fn what(row: &Row) -> &'static str {
    row.command.map_or(row.kind.as_str(), |command| command.name())
}

/// An outcome in words.
struct Told {
    outcome: &'static str,
    reason: Option<&'static str>,
    repeats: Option<u64>,
    order_id: Option<u64>,
}

/// When the sender says that it made the message; none where it does not, or its clock cannot be right.
fn sent(sent_ms: i64) -> Option<String> {
    let ns = u64::try_from(sent_ms).ok().filter(|ms| *ms > 0)?.checked_mul(1_000_000)?;
    Some(time(TimeNs(ns)))
}

fn told(row: &Row) -> Told {
    let nothing = Told { outcome: "unknown", reason: None, repeats: None, order_id: None };
    match row.outcome {
        Outcome::Unknown => nothing,
        Outcome::Result { status, reason, order_id } => Told {
            outcome: status.as_str(),
            reason: reason.map(|reason| reason.name()),
            order_id: (order_id.0 != 0).then_some(order_id.0),
            ..nothing
        },
        Outcome::Session { active: true } => Told { outcome: "active", ..nothing },
        Outcome::Session { active: false } => Told { outcome: "ended", ..nothing },
        Outcome::Refused(reason) => {
            let reason = Some(reason.map_or("Unknown", |reason| reason.name()));
            Told { outcome: "refused", reason, ..nothing }
        }
        Outcome::Duplicate(repeats) => {
            let repeats = repeats.map(|sequence| sequence.0);
            Told { outcome: "duplicate", repeats, ..nothing }
        }
    }
}

/// True where every filter lets the row through.
fn wanted(row: &Row, args: &Args) -> bool {
    let names = |account: u64| match row.command {
        Some(Command::Transfer(transfer)) => [transfer.from.0, transfer.to.0].contains(&account),
        Some(command) => command.account().0 == account,
        None => false,
    };
    let refused = match row.outcome {
        Outcome::Refused(_) | Outcome::Duplicate(_) => true,
        Outcome::Result { status, .. } => status == Status::Rejected,
        Outcome::Unknown | Outcome::Session { .. } => false,
    };
    args.session.is_none_or(|session| row.session.0 == session)
        && args.key.is_none_or(|key| row.key.0 == key)
        && args.account.is_none_or(names)
        && args.message_id.as_ref().is_none_or(|id| row.message_id == *id)
        && (!args.rejects_only || refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_sender_says_of_its_clock_is_a_time_or_nothing() {
        assert_eq!(sent(1_500), Some("1970-01-01T00:00:01.500000000Z".to_owned()));
        assert_eq!([sent(0), sent(-1), sent(i64::MAX)], [None, None, None]);
    }

    #[test]
    fn a_beginning_is_a_sequence_a_time_or_where_a_result_ended() {
        assert_eq!(parse_from("7"), Ok(From::Sequence(Sequence(7))));
        assert_eq!(parse_from("7/3"), Ok(From::Place(Sequence(7), Sequence(3))));
        let time = From::Time(TimeNs(1_000_000_000));
        assert_eq!(parse_from("1970-01-01T00:00:01Z"), Ok(time));
        for text in ["7/", "/3", "7/3/1", "a/b"] {
            assert!(parse_from(text).expect_err(text).contains("next"), "{text}");
        }
        assert!(parse_from("x").expect_err("no place").contains("UTC"));
    }
}
