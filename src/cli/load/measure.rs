//! What a load run counts and measures.

use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

/// Counts and latencies of a run.
pub(super) struct Measure {
    sent: u64,
    acknowledged: u64,
    rejected: BTreeMap<String, u64>,
    latency_ns: Histogram<u64>,
    measured_from: Option<Instant>,
    measured_to: Option<Instant>,
}

impl Measure {
    pub(super) fn new() -> Measure {
        // One nanosecond to ten minutes, three digits.
        let latency_ns =
            Histogram::new_with_bounds(1, 600_000_000_000, 3).expect("constant bounds are valid");
        let rejected = BTreeMap::new();
        Measure {
            sent: 0,
            acknowledged: 0,
            rejected,
            latency_ns,
            measured_from: None,
            measured_to: None,
        }
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    pub(super) fn count_sent(&mut self) {
        self.sent += 1;
    }

    /// A business reject: acknowledged, with a reason.
    pub(super) fn count_reject(&mut self, reason: &str) {
        self.count_reason(reason);
    }

    /// Refused before a sequence: not acknowledged.
    pub(super) fn count_refused(&mut self, reason: &str) {
        self.count_reason(reason);
    }

    fn count_reason(&mut self, reason: &str) {
        match self.rejected.get_mut(reason) {
            Some(count) => *count += 1,
            None => {
                self.rejected.insert(reason.to_owned(), 1);
            }
        }
    }

    /// A command was answered after `latency`.
    pub(super) fn answered(&mut self, latency: Duration, now: Instant, warm: bool) {
        self.acknowledged += 1;
        if !warm {
            return;
        }
        self.measured_from.get_or_insert(now);
        self.measured_to = Some(now);
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.latency_ns.saturating_record(ns);
    }

    pub(super) fn report(self) -> Report {
        let us = |quantile: f64| self.latency_ns.value_at_quantile(quantile) as f64 / 1000.0;
        let seconds = match (self.measured_from, self.measured_to) {
            (Some(from), Some(to)) => to.duration_since(from).as_secs_f64(),
            _ => 0.0,
        };
        let measured = self.latency_ns.len();
        Report {
            seconds,
            sent: self.sent,
            acknowledged: self.acknowledged,
            orders_per_s: if seconds > 0.0 { measured as f64 / seconds } else { 0.0 },
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
}

/// What a run came to.
pub(super) struct Report {
    seconds: f64,
    sent: u64,
    acknowledged: u64,
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
    orders_per_s: f64,
    latency_us: Latency,
}

impl Report {
    pub(super) fn json<'a>(&'a self, connections: u32, window: u32, policy: &'a str) -> Json<'a> {
        Json {
            protocol: "native",
            connections,
            window,
            policy,
            seconds: self.seconds,
            sent: self.sent,
            acknowledged: self.acknowledged,
            rejected: &self.rejected,
            orders_per_s: self.orders_per_s,
            latency_us: self.latency_us,
        }
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let Latency { p50, p90, p99, p999, max } = self.latency_us;
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{:.0} acknowledged/s over {:.2} s; sent {}, acknowledged {}",
            self.orders_per_s, self.seconds, self.sent, self.acknowledged
        );
        let _ = writeln!(
            text,
            "latency us: p50 {p50:.1}  p90 {p90:.1}  p99 {p99:.1}  p99.9 {p999:.1}  max {max:.1}"
        );
        for (reason, count) in &self.rejected {
            let _ = writeln!(text, "rejected {count} x {reason}");
        }
        text
    }
}
