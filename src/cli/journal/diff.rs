//! `outcry journal diff`: where two journals part, in words.

use super::{name_reason, parse_log, word};
use crate::cli::offline::Offline;
use crate::cli::output::Style;
use crate::cli::{Failure, Global, Outcome};
use crate::journal::diff::{
    Comparison, Difference, Divergence, Relation, Side, diff, is_comparable,
};
use crate::journal::dump::DumpRecord;
use crate::journal::format::LogKind;
use crate::types::Sequence;
use serde::Serialize;
use serde_json::Value;
use std::path::PathBuf;

/// Tells where two journals part, and what differs there
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  outcry journal diff journal /backup/journal\n  \
                   outcry journal diff node-1/journal node-2/journal --json\n  \
                   outcry journal diff node-1/journal node-2/journal --log events",
    after_help = "Status 0: both hold the same. Status 1: they do not, or one of them is damaged; \
                  `relation` tells which: a-is-prefix, b-is-prefix, diverged, other-journal, apart or \
                  damaged. What a log no longer holds is left out; beside a running node what is not \
                  known to be durable is left out too. `synced_to` may differ: each node writes its own."
)]
pub(super) struct Args {
    /// A data directory
    a: PathBuf,
    /// Another data directory
    b: PathBuf,
    /// commands (the journal) or events
    #[arg(long, default_value = "commands", value_parser = parse_log)]
    log: LogKind,
    /// First sequence that is compared
    #[arg(long, value_name = "SEQ", default_value_t = 1)]
    from: u64,
}

/// The result, as a script reads it.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    equal: bool,
    relation: &'static str,
    log: &'static str,
    journal_id_a: Option<String>,
    journal_id_b: Option<String>,
    compared_from: u64,
    same_to: u64,
    last_a: u64,
    last_b: u64,
    sequence: Option<u64>,
    kind_a: Option<&'static str>,
    kind_b: Option<&'static str>,
    fields: &'a [Difference],
    explanation: String,
}

pub(super) fn run(args: &Args, global: &Global) -> Outcome {
    if !is_comparable(args.log) {
        return Err(Failure::usage(
            "each node keeps a reject log of its own: compare commands or events",
        ));
    }
    let open = |dir: &PathBuf| -> Result<(Offline, Sequence), Failure> {
        let offline = Offline::at(dir, global)?;
        let synced = offline.info(LogKind::Commands)?.synced_to;
        let limit = if offline.running { synced } else { Sequence(u64::MAX) };
        Ok((offline, limit))
    };
    let ((a, limit_a), (b, limit_b)) = (open(&args.a)?, open(&args.b)?);
    let venue = a.venue();
    let name = |row: &mut DumpRecord| {
        if let Value::Object(map) = &mut row.body {
            venue.name(map, None);
            name_reason(row.kind, map);
        }
    };
    let left = Side { log: a.log(args.log), limit: limit_a };
    let right = Side { log: b.log(args.log), limit: limit_b };
    let found = diff(&left, &right, Sequence(args.from.max(1)), &name)
        .map_err(|error| Failure::bad(format_args!("cannot compare: {error}")))?;
    if found.ids.0.is_none() && found.ids.1.is_none() {
        return Err(a.empty());
    }
    show(&found, args, global);
    let is_equal = found.relation == Relation::Equal;
    // What differs stands on stdout.
    if is_equal { Ok(()) } else { Err(Failure { status: 1, message: String::new() }) }
}

fn show(found: &Comparison, args: &Args, global: &Global) {
    let output = global.output();
    let explanation = explain(found);
    if !output.is_json() {
        let is_equal = found.relation == Relation::Equal;
        let (style, verdict) =
            if is_equal { (Style::Green, "equal") } else { (Style::Red, "different") };
        output.line(format_args!("A is {}, B is {}", args.a.display(), args.b.display()));
        output.line(format_args!("{}: {explanation}", output.styled(style, verdict)));
        if let Relation::Diverged(divergence) = &found.relation {
            for field in &divergence.fields {
                let (a, b) = (word(&field.a), word(&field.b));
                output.line(format_args!("  {:<24} A {a}\n  {:<24} B {b}", field.field, ""));
            }
        }
        return;
    }
    let divergence = match &found.relation {
        Relation::Diverged(divergence) => Some(divergence),
        _ => None,
    };
    output.object(&Shown {
        equal: found.relation == Relation::Equal,
        relation: relation(&found.relation),
        log: args.log.as_str(),
        journal_id_a: found.ids.0.map(|id| id.to_string()),
        journal_id_b: found.ids.1.map(|id| id.to_string()),
        compared_from: found.from.0,
        same_to: found.same_to.0,
        last_a: found.last.0.0,
        last_b: found.last.1.0,
        sequence: divergence.map(|divergence| divergence.sequence.0),
        kind_a: divergence.map(|divergence| divergence.kind_a),
        kind_b: divergence.map(|divergence| divergence.kind_b),
        fields: divergence.map_or(&[], |divergence| &divergence.fields),
        explanation,
    });
}

fn relation(relation: &Relation) -> &'static str {
    match relation {
        Relation::Equal => "equal",
        Relation::FirstIsPrefix(_) => "a-is-prefix",
        Relation::SecondIsPrefix(_) => "b-is-prefix",
        Relation::Diverged(_) => "diverged",
        Relation::OtherJournal => "other-journal",
        Relation::Apart => "apart",
        Relation::Damaged(..) => "damaged",
    }
}

/// What was found, as a sentence.
fn explain(found: &Comparison) -> String {
    let (from, same_to) = (found.from, found.same_to);
    match &found.relation {
        Relation::Equal => format!("sequences {from} to {same_to} are the same in both"),
        Relation::FirstIsPrefix(count) => format!(
            "A is a prefix of B: both are the same up to sequence {same_to}, then B has {count} more"
        ),
        Relation::SecondIsPrefix(count) => format!(
            "B is a prefix of A: both are the same up to sequence {same_to}, then A has {count} more"
        ),
        Relation::OtherJournal => {
            let shown = |id: Option<_>| {
                id.map_or("none".to_owned(), |id: crate::journal::format::JournalId| id.to_string())
            };
            format!(
                "these are two journals: A has the id {}, B has {}",
                shown(found.ids.0),
                shown(found.ids.1)
            )
        }
        Relation::Apart => format!(
            "nothing is in both: A ends at sequence {}, B ends at {}, and the later one begins at {from}",
            found.last.0, found.last.1
        ),
        Relation::Damaged(is_first, damage) => format!(
            "{} is damaged in segment {}, offset {}, sequence {}: {}; {}; up to sequence {same_to} both are the same",
            if *is_first { "A" } else { "B" },
            damage.segment,
            damage.offset,
            damage.sequence,
            damage.what,
            damage.help
        ),
        Relation::Diverged(divergence) => explain_divergence(divergence, from),
    }
}

fn explain_divergence(found: &Divergence, from: Sequence) -> String {
    let sequence = found.sequence;
    let first = found.fields.first();
    let more = match found.fields.len() {
        0 | 1 => String::new(),
        2 => "; one more field differs".to_owned(),
        count => format!("; {} more fields differ", count - 1),
    };
    if found.kind_a == "batch" {
        if sequence == from && first.is_some_and(|first| first.field == "batch.previous_hash") {
            return format!(
                "the histories part before sequence {from}, the first that is in both: the hash of what stands before is not the same"
            );
        }
        let field = first.map_or("batch.hash", |first| first.field.as_str());
        return format!(
            "the records are the same and stand in other batches from sequence {sequence} on: {field} differs"
        );
    }
    if found.kind_a != found.kind_b {
        return format!(
            "at sequence {sequence} A has a record of kind {}, B of kind {}",
            found.kind_a, found.kind_b
        );
    }
    let Some(first) = first else { return format!("sequence {sequence} differs") };
    format!(
        "at sequence {sequence} ({}) {} is {} in A and {} in B{more}",
        found.kind_a,
        first.field,
        word(&first.a),
        word(&first.b)
    )
}
