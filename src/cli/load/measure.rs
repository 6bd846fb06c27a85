//! What a load run counts and measures.
//!
//! Invariants: rate and latency are those of the same commands; a rate is what was acknowledged over
//! the time from the first of these commands to the last answer, so it is one for a single command too.

use super::crowd::Hostile;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

/// An open loop kept its rate if it reached this share of it.
const RATE_KEPT: f64 = 0.99;

/// How a run was made.
pub(super) struct How<'a> {
    pub(super) connections: u32,
    pub(super) window: u32,
    pub(super) policy: &'a str,
    /// Commands per second of an open loop.
    pub(super) rate: Option<u64>,
    /// Commands that were to be sent, where that was settled beforehand.
    pub(super) due: Option<u64>,
    /// How long an open loop takes that keeps its rate.
    pub(super) nominal: Duration,
    /// Share of the run that is left out.
    pub(super) warm_up: f64,
    /// What else was going on.
    pub(super) beside: &'a Beside,
}

/// What was going on beside the measured connections.
#[derive(Serialize)]
pub(super) struct Beside {
    /// Of the measured orders.
    pub(super) priority: &'static str,
    pub(super) idle_connections: u32,
    /// Idle sessions that ended before the run did.
    pub(super) idle_lost: u64,
    /// Null without idle sessions, and where the node's process is not known.
    pub(super) server_bytes_per_idle_connection: Option<u64>,
    /// Null without it, like the one below.
    pub(super) flood: Option<Flooded>,
    pub(super) hostile: Option<Harmed>,
}

/// What a flood came to.
#[derive(Serialize)]
pub(super) struct Flooded {
    connections: u32,
    sent: u64,
    acknowledged: u64,
    rejected: BTreeMap<String, u64>,
}

/// What hostile connections came to.
#[derive(Serialize)]
pub(super) struct Harmed {
    pub(super) kind: Hostile,
    pub(super) connections: u32,
    /// How often one was opened, and closed by the node.
    pub(super) opened: u64,
    pub(super) closed: u64,
}

impl Beside {
    /// In lines; none where nothing was going on.
    fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        if self.idle_connections > 0 {
            let _ = write!(text, "beside {} idle sessions", self.idle_connections);
            if self.idle_lost > 0 {
                let _ = write!(text, ", of which {} were lost", self.idle_lost);
            }
            if let Some(bytes) = self.server_bytes_per_idle_connection {
                let _ = write!(text, ", {bytes} bytes of the node's memory each");
            }
            text.push('\n');
        }
        if let Some(flood) = &self.flood {
            let Flooded { connections, sent, acknowledged, .. } = flood;
            let _ = writeln!(
                text,
                "beside a flood of {connections} connections: sent {sent}, acknowledged {acknowledged}"
            );
        }
        if let Some(Harmed { kind, connections, opened, closed }) = &self.hostile {
            let _ = writeln!(
                text,
                "beside {connections} hostile connections ({kind:?}): opened {opened} times, closed \
                 {closed} times"
            );
        }
        text
    }
}

impl How<'_> {
    /// In one line, so that a stranger can trust the figures.
    fn measured(&self) -> String {
        let from = match self.rate {
            None => "closed loop, from handing a command to the client".to_owned(),
            Some(rate) => format!(
                "open loop at {rate} commands a second, from the moment a command was to be sent"
            ),
        };
        format!(
            "{from} until its answer was read, by this machine's monotonic clock; the first {:.0} % \
             left out; rate: acknowledged from the first command to the last answer of the rest",
            self.warm_up * 100.0
        )
    }
}

/// Counts and latencies of a run.
pub(super) struct Measure {
    started: Instant,
    sent: u64,
    acknowledged: u64,
    refused: u64,
    rejected: BTreeMap<String, u64>,
    latency_ns: Histogram<u64>,
    measured_from: Option<Instant>,
    measured_to: Option<Instant>,
    last_sent: Instant,
    last_reply: Instant,
}

impl Measure {
    pub(super) fn new(started: Instant) -> Measure {
        // One nanosecond to ten minutes, three digits.
        let latency_ns =
            Histogram::new_with_bounds(1, 600_000_000_000, 3).expect("constant bounds are valid");
        Measure {
            started,
            sent: 0,
            acknowledged: 0,
            refused: 0,
            rejected: BTreeMap::new(),
            latency_ns,
            measured_from: None,
            measured_to: None,
            last_sent: started,
            last_reply: started,
        }
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// Since when nothing was sent or answered.
    pub(super) fn silent_since(&self) -> Instant {
        self.last_sent.max(self.last_reply)
    }

    /// A command that was to be sent at `since` is sent now.
    pub(super) fn count_sent(&mut self, since: Instant, now: Instant, measured: bool) {
        self.sent += 1;
        self.last_sent = now;
        if measured {
            self.measured_from.get_or_insert(since);
        }
    }

    /// A business reject: acknowledged, with a reason.
    pub(super) fn count_reject(&mut self, reason: &str) {
        match self.rejected.get_mut(reason) {
            Some(count) => *count += 1,
            None => {
                self.rejected.insert(reason.to_owned(), 1);
            }
        }
    }

    /// Refused before a sequence: not acknowledged.
    pub(super) fn count_refused(&mut self, reason: &str, now: Instant) {
        self.refused += 1;
        self.last_reply = now;
        self.count_reject(reason);
    }

    /// A command that was to be sent at `since` was answered.
    pub(super) fn answered(&mut self, since: Instant, now: Instant, measured: bool) {
        self.acknowledged += 1;
        self.last_reply = now;
        if !measured {
            return;
        }
        self.measured_to = Some(now);
        let latency = now.saturating_duration_since(since);
        self.latency_ns.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// What the flood of so many connections came to.
    pub(super) fn flooded(self, connections: u32) -> Flooded {
        let Measure { sent, acknowledged, rejected, .. } = self;
        Flooded { connections, sent, acknowledged, rejected }
    }

    pub(super) fn report(self, how: &How<'_>) -> Report {
        let us = |quantile: f64| self.latency_ns.value_at_quantile(quantile) as f64 / 1000.0;
        let seconds = match (self.measured_from, self.measured_to) {
            (Some(from), Some(to)) => to.saturating_duration_since(from).as_secs_f64(),
            _ => 0.0,
        };
        let measured = self.latency_ns.len() as f64;
        Report {
            seconds,
            sent: self.sent,
            acknowledged: self.acknowledged,
            unanswered: self.sent - self.acknowledged - self.refused,
            unsent: how.due.map_or(0, |due| due - self.sent),
            rate_reached: how.rate.map(|_| self.rate_reached(how)),
            orders_per_s: if seconds > 0.0 { measured / seconds } else { 0.0 },
            latency_us: Latency {
                p50: us(0.5),
                p90: us(0.9),
                p99: us(0.99),
                p999: us(0.999),
                max: self.latency_ns.max() as f64 / 1000.0,
            },
            rejected: self.rejected,
        }
    }

    /// Commands per second that an open loop has really sent.
    fn rate_reached(&self, how: &How<'_>) -> f64 {
        let sending = self.last_sent.saturating_duration_since(self.started);
        // The last of N commands is due one interval before N intervals have passed.
        let is_whole = how.due == Some(self.sent);
        let seconds = if is_whole { sending.max(how.nominal) } else { sending }.as_secs_f64();
        if seconds > 0.0 { self.sent as f64 / seconds } else { 0.0 }
    }
}

/// What a run came to.
pub(super) struct Report {
    seconds: f64,
    sent: u64,
    acknowledged: u64,
    unanswered: u64,
    unsent: u64,
    rate_reached: Option<f64>,
    rejected: BTreeMap<String, u64>,
    orders_per_s: f64,
    latency_us: Latency,
}

#[derive(Clone, Copy, Serialize)]
struct Latency {
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

/// The result, as a script reads it.
#[derive(Serialize)]
pub(super) struct Json<'a> {
    protocol: &'a str,
    connections: u32,
    window: u32,
    policy: &'a str,
    seconds: f64,
    sent: u64,
    acknowledged: u64,
    rejected: &'a BTreeMap<String, u64>,
    /// Commands that were sent and neither acknowledged nor refused.
    unanswered: u64,
    /// Commands that were to be sent and were not.
    unsent: u64,
    /// Null in a closed loop, like the two below.
    rate_asked_per_s: Option<u64>,
    rate_reached_per_s: Option<f64>,
    rate_missed: Option<bool>,
    orders_per_s: f64,
    latency_us: Latency,
    #[serde(flatten)]
    beside: &'a Beside,
    measured: String,
}

impl Report {
    pub(super) fn json<'a>(&'a self, how: &How<'a>) -> Json<'a> {
        Json {
            protocol: "native",
            connections: how.connections,
            window: how.window,
            policy: how.policy,
            seconds: self.seconds,
            sent: self.sent,
            acknowledged: self.acknowledged,
            rejected: &self.rejected,
            unanswered: self.unanswered,
            unsent: self.unsent,
            rate_asked_per_s: how.rate,
            rate_reached_per_s: self.rate_reached,
            rate_missed: how.rate.map(|_| self.has_missed_rate(how)),
            orders_per_s: self.orders_per_s,
            latency_us: self.latency_us,
            beside: how.beside,
            measured: how.measured(),
        }
    }

    fn has_missed_rate(&self, how: &How<'_>) -> bool {
        let kept = how.rate.zip(self.rate_reached);
        kept.is_some_and(|(asked, reached)| self.unsent > 0 || reached < asked as f64 * RATE_KEPT)
    }

    pub(super) fn text(&self, how: &How<'_>) -> String {
        let mut text = String::new();
        let Latency { p50, p90, p99, p999, max } = self.latency_us;
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{:.0} acknowledged/s over {:.3} s; sent {}, acknowledged {}",
            self.orders_per_s, self.seconds, self.sent, self.acknowledged
        );
        if let (Some(asked), Some(reached)) = (how.rate, self.rate_reached)
            && self.has_missed_rate(how)
        {
            let _ = writeln!(
                text,
                "the rate was missed: {asked}/s asked, {reached:.0}/s sent; {} commands were due and \
                 not sent",
                self.unsent
            );
        }
        if self.unanswered > 0 {
            let _ = writeln!(text, "{} commands have no answer", self.unanswered);
        }
        let _ = writeln!(
            text,
            "latency us: p50 {p50:.1}  p90 {p90:.1}  p99 {p99:.1}  p99.9 {p999:.1}  max {max:.1}"
        );
        for (reason, count) in &self.rejected {
            let _ = writeln!(text, "rejected {count} x {reason}");
        }
        text.push_str(&how.beside.text());
        let _ = writeln!(text, "measured {}", how.measured());
        text
    }
}
