//! What a run found: the clauses of the proof, the figures, and how both are told.

use super::proof::{self, Clause, Live, Reading};
use super::show::{self, thousands};
use super::traffic::{Tally, Traffic};
use crate::cli::output::{Output, Style};
use crate::journal::verify::hex;
use crate::wire::message::ReasonCode;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a kill left behind.
pub(super) struct Killed {
    /// Commands that were sent and not answered.
    pub(super) unanswered: u64,
    /// Commands that the journal held and nobody had been told of.
    pub(super) unheard: u64,
    /// Commands that were sent again although they had been answered.
    pub(super) repeated: u64,
    /// The dead node's journal.
    pub(super) reading: Reading,
    /// What was acknowledged is in that journal, or is not.
    pub(super) clause: Clause,
    pub(super) restart_ms: f64,
}

/// A run that came to its end.
pub(super) struct Run<'a> {
    pub(super) seed: u64,
    pub(super) commands: u64,
    pub(super) sessions: u64,
    pub(super) rate: u64,
    pub(super) traffic: &'a Traffic,
    pub(super) kills: &'a [Killed],
    pub(super) live: &'a Live,
    pub(super) end: &'a Reading,
    pub(super) policy: String,
    pub(super) layout: String,
    pub(super) seconds: f64,
}

/// The last line with `--json`.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) ok: bool,
    pub(super) commands: u64,
    pub(super) sent: u64,
    pub(super) acknowledged: u64,
    pub(super) rejected: u64,
    pub(super) journaled: u64,
    pub(super) replayed: u64,
    pub(super) trades: u64,
    pub(super) kills: u64,
    pub(super) state_hash_live: String,
    pub(super) state_hash_replayed: String,
    pub(super) conserved: bool,
    pub(super) duplicates: u64,
    pub(super) busy: u64,
    pub(super) in_flight_at_kill: u64,
    pub(super) journaled_at_kill: u64,
    /// From starting the node again until every session had sent what was not answered.
    pub(super) restart_ms: f64,
    pub(super) rejected_by_reason: BTreeMap<String, u64>,
    pub(super) seed: u64,
    pub(super) sessions: u64,
    pub(super) rate_per_s: u64,
    pub(super) commands_hash: String,
    pub(super) seconds: f64,
    pub(super) latency_us: Latency,
    pub(super) measured: String,
    pub(super) policy: String,
    pub(super) layout: String,
    pub(super) proof: Vec<Clause>,
    /// What differs; null where all holds.
    pub(super) failure: Option<String>,
    /// Where the journal is kept; null where it was removed.
    pub(super) dir: Option<PathBuf>,
}

/// The last line with `--json` where the run did not come as far as the proof.
#[derive(Serialize)]
pub(super) struct Broken<'a> {
    pub(super) ok: bool,
    pub(super) commands: u64,
    pub(super) seed: u64,
    pub(super) failure: &'a str,
    pub(super) dir: Option<&'a Path>,
}

impl Report {
    /// Draws the conclusions.
    pub(super) fn of(run: Run<'_>) -> Report {
        let Run { traffic, kills, live, end, .. } = run;
        let (ledger, tally) = (traffic.ledger(), traffic.tally());
        let killed = kills.last().expect("the node was killed");
        let clauses = clauses(&run);
        let failure = clauses.iter().find(|clause| !clause.holds).map(|clause| clause.text.clone());
        let mut hash = Sha256::new();
        traffic.digests().for_each(|digest| hash.update(digest));
        Report {
            ok: failure.is_none(),
            commands: run.commands,
            sent: ledger.sent,
            acknowledged: ledger.acknowledged(),
            rejected: tally.rejected.values().sum(),
            journaled: end.journaled(),
            replayed: end.replayed(),
            trades: end.trades,
            kills: kills.len() as u64,
            state_hash_live: live.state_hash.clone(),
            state_hash_replayed: end.state_hash.clone(),
            conserved: end.conserved(),
            duplicates: tally.duplicates,
            busy: tally.busy,
            in_flight_at_kill: killed.unanswered,
            journaled_at_kill: killed.reading.journaled(),
            restart_ms: killed.restart_ms,
            rejected_by_reason: reasons(tally),
            seed: run.seed,
            sessions: run.sessions,
            rate_per_s: run.rate,
            commands_hash: hex(&hash.finalize()),
            seconds: run.seconds,
            latency_us: Latency::of(tally),
            measured: measured(run.rate),
            policy: run.policy,
            layout: run.layout,
            proof: clauses,
            failure,
            dir: None,
        }
    }
}

/// The proof.
fn clauses(run: &Run<'_>) -> Vec<Clause> {
    let Run { commands, traffic, kills, live, end, .. } = *run;
    let (ledger, tally) = (traffic.ledger(), traffic.tally());
    let killed = kills.last().expect("the node was killed");
    let told = proof::answered_is_journaled(ledger, end)
        .map(|what| format!("at the end, the journal holds all {what} with their results"));
    let sum = |of: fn(&Killed) -> u64| kills.iter().map(of).sum::<u64>();
    let (unheard, repeated) = (sum(|kill| kill.unheard), sum(|kill| kill.repeated));
    let mut clauses: Vec<Clause> = vec![proof::killed_at_work(killed.unanswered).into()];
    for kill in kills {
        clauses.push(kill.clause.clone());
        clauses.push(proof::nothing_lost(&kill.reading, end).into());
    }
    clauses.extend([
        proof::recognised(unheard, repeated, tally.duplicates).into(),
        proof::all_everywhere(commands, ledger, end).into(),
        told.into(),
        proof::same_trades(ledger, end).into(),
        proof::chain_checked(end).into(),
        proof::same_state(live, end).into(),
        proof::same_events(end).into(),
        proof::conserved(end).into(),
    ]);
    clauses
}

/// Latencies in microseconds.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Latency {
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    pub(super) max: f64,
}

impl Latency {
    pub(super) fn of(tally: &Tally) -> Latency {
        let at = |quantile| tally.latency_ns.value_at_quantile(quantile) as f64 / 1000.0;
        let max = tally.latency_ns.max() as f64 / 1000.0;
        Latency { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max }
    }
}

fn reasons(tally: &Tally) -> BTreeMap<String, u64> {
    tally.rejected.iter().map(|(code, count)| (ReasonCode(*code).to_string(), *count)).collect()
}

/// How latency was measured, in one line.
fn measured(rate: u64) -> String {
    let from = match rate {
        0 => "from handing a command to the client".to_owned(),
        _ => format!(
            "from the moment a command was to be sent ({} a second, those of one millisecond together)",
            thousands(rate)
        ),
    };
    format!(
        "{from} until its answer was read, by this machine's monotonic clock; left out: the first \
         5 % of the commands after each start, and those around the kill"
    )
}

/// The result, for a person.
pub(super) fn conclude(output: Output, report: &Report) {
    let Latency { p50, p90, p99, p999, max } = report.latency_us;
    output.line(format_args!(
        "\n{} commands from {} sessions (seed {}), {} trades, {} rejected, in {:.1} s; policy {}, layout {}",
        thousands(report.commands),
        report.sessions,
        report.seed,
        thousands(report.trades),
        thousands(report.rejected),
        report.seconds,
        report.policy,
        report.layout,
    ));
    output.line(format_args!(
        "latency  p50 {p50:.0} µs   p90 {p90:.0} µs   p99 {p99:.0} µs   p99.9 {p999:.0} µs   max {max:.0} µs"
    ));
    output.line(output.styled(Style::Dim, format_args!("measured {}", report.measured)));
    output.line(format_args!(
        "restart  {:.0} ms from starting the node again until every session had sent what was not answered",
        report.restart_ms,
    ));
    output.line("");
    show::proof(output, &report.proof);
    output.line("");
    output.line(match report.ok {
        true => output.styled(
            Style::Green,
            "Proved: nothing acknowledged was lost, nothing was applied twice.",
        ),
        false => output.styled(Style::Red, "The proof failed."),
    });
    if let Some(dir) = &report.dir {
        output.line(format_args!("journal, configuration and log: {}", dir.display()));
    }
}
