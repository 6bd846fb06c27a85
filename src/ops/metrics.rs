//! `GET /metrics`: the figures in the text format that Prometheus scrapes.
//!
//! Two dialects: OpenMetrics where a scraper asks for it, the classic format for everybody else. They
//! differ in the name that a counter's family has and in the end mark.

use super::View;
use crate::event::RejectReason;
use crate::stats::{BOUNDS_NS, Count, Gateway, LANES, PRIORITIES, RULES, Retired, Tally};
use crate::types::Priority;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeCounterValue, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::fmt;

/// Which text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// `text/plain; version=0.0.4`.
    Classic,
    /// `application/openmetrics-text; version=1.0.0`.
    OpenMetrics,
}

impl Format {
    /// The format that an `Accept` header asks for.
    pub(super) fn of_accept(accept: &str) -> Format {
        let open = accept.contains("application/openmetrics-text");
        if open { Format::OpenMetrics } else { Format::Classic }
    }

    /// Its media type.
    pub(super) const fn media_type(self) -> &'static str {
        match self {
            Format::Classic => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The page.
pub(super) fn render(view: &View, format: Format) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Page(view.clone())));
    let mut text = String::new();
    encode(&mut text, &registry).expect("writing to a string does not fail");
    match format {
        Format::OpenMetrics => text,
        Format::Classic => classic(&text),
    }
}

/// OpenMetrics as the classic format: there a counter's family has the name of its samples.
fn classic(text: &str) -> String {
    let mut counters: Vec<&str> = Vec::new();
    for line in text.lines() {
        let family = line.strip_prefix("# TYPE ").and_then(|rest| rest.strip_suffix(" counter"));
        counters.extend(family);
    }
    let mut out = String::with_capacity(text.len() + 1024);
    for line in text.lines().filter(|line| *line != "# EOF") {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(what), Some(name), Some(rest)) if counters.contains(&name) => {
                out.push_str(&format!("# {what} {name}_total {rest}"));
            }
            _ => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

/// A sample's labels.
type Labels<const N: usize> = [(&'static str, String); N];

struct Page(View);

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Page").field(&self.0.node).finish()
    }
}

impl Collector for Page {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Writer { encoder };
        self.node(&mut page)?;
        self.queues(&mut page)?;
        self.lanes(&mut page)?;
        self.journal(&mut page)?;
        self.gateways(&mut page)?;
        self.threads(&mut page)
    }
}

struct Writer<'a> {
    encoder: DescriptorEncoder<'a>,
}

impl Writer<'_> {
    fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let mut metric = self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        metric.encode_gauge(&value)
    }

    fn gauges<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Labels<N>, f64)>,
    ) -> fmt::Result {
        let mut metric = self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in rows {
            metric.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    /// `name` without `_total`.
    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let mut metric = self.encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, u64, f64>(&value, None)
    }

    fn counters<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Labels<N>, impl EncodeCounterValue)>,
    ) -> fmt::Result {
        let mut metric = self.encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in rows {
            let mut sample = metric.encode_family(&labels)?;
            sample.encode_counter::<NoLabelSet, _, f64>(&value, None)?;
        }
        Ok(())
    }

    fn histogram(&mut self, name: &str, help: &str, tally: &Tally) -> fmt::Result {
        let mut metric = self.encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        let (sum, buckets) = parts(tally);
        metric.encode_histogram::<NoLabelSet>(sum, tally.count(), &buckets, None)
    }

    fn histograms<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Labels<N>, Tally)>,
    ) -> fmt::Result {
        let mut metric = self.encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, tally) in rows {
            let (sum, buckets) = parts(&tally);
            let mut sample = metric.encode_family(&labels)?;
            sample.encode_histogram::<NoLabelSet>(sum, tally.count(), &buckets, None)?;
        }
        Ok(())
    }
}

/// Sum in seconds, and what each bucket holds up to its bound in seconds; the encoder sums up.
fn parts(tally: &Tally) -> (f64, Vec<(f64, u64)>) {
    let bounds = BOUNDS_NS.iter().map(|ns| seconds(*ns)).chain([f64::INFINITY]);
    (seconds(tally.sum_ns), bounds.zip(tally.counts).collect())
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// Counts are far below what a double holds exactly.
fn number(count: u64) -> f64 {
    count as f64
}

impl Page {
    fn node(&self, page: &mut Writer<'_>) -> fmt::Result {
        let health = self.0.health();
        let version = [("node", health.node.clone()), ("version", health.version.clone())];
        page.gauges("outcry_build_info", "Name and version of the node.", [(version, 1.0)])?;
        let takes = if health.state.takes_orders() { 1.0 } else { 0.0 };
        page.gauge("outcry_takes_orders", "1 where the node takes orders.", takes)?;
        let pressure = number(self.0.stats.sequencing.pressure.get().min(1));
        page.gauge("outcry_overloaded", "1 while the node slows or refuses orders.", pressure)?;
        let no_space = [&self.0.cursors.no_space, &self.0.cursors.no_event_space];
        let rows = ["journal", "events"].into_iter().zip(no_space);
        page.gauges(
            "outcry_no_space",
            "1 while a log has no space and all commands are refused.",
            rows.map(|(log, cursor)| ([("log", log.to_owned())], number(cursor.get().0.min(1)))),
        )?;
        page.gauge(
            "outcry_disk_available_bytes",
            "Bytes free for the logs.",
            number(self.0.stats.space.available.get()),
        )?;
        page.gauge(
            "outcry_disk_level",
            "0 enough space, 1 below disk.low_bytes, 2 orders are refused.",
            number(self.0.cursors.space.get().0),
        )?;
        self.snapshots(page)?;
        self.retention(page)?;
        page.gauge("outcry_sequence", "Last sequence given.", number(health.sequence))?;
        let written = number(health.written);
        page.gauge("outcry_written_sequence", "Last sequence the journal's file has.", written)?;
        page.gauge("outcry_durable_sequence", "Last sequence synced.", number(health.durable))?;
        let released = number(health.released);
        page.gauge("outcry_released_sequence", "Last sequence shown to the world.", released)?;
        page.counter(
            "outcry_batches",
            "Batches that the sequencer has ended.",
            self.0.stats.sequencing.batches.get(),
        )
    }

    fn snapshots(&self, page: &mut Writer<'_>) -> fmt::Result {
        let told = &self.0.stats.snapshots;
        let sequence = number(told.sequence.get());
        page.gauge("outcry_snapshot_sequence", "Of the newest one; 0 for none.", sequence)?;
        let bytes = number(told.bytes.get());
        page.gauge("outcry_snapshot_bytes", "Of the newest one of this process.", bytes)?;
        let lasted = seconds(told.duration_ns.get());
        page.gauge("outcry_snapshot_duration_seconds", "How long that one took.", lasted)?;
        page.counter(
            "outcry_snapshot_failures",
            "Snapshots that could not be made.",
            told.failures.get(),
        )
    }

    fn retention(&self, page: &mut Writer<'_>) -> fmt::Result {
        let told = &self.0.stats.retention;
        let rows = |figure: fn(&Retired) -> &Count| {
            [("commands", &told.commands), ("events", &told.events)]
                .map(|(log, of)| ([("log", log.to_owned())], figure(of).get()))
        };
        page.counters(
            "outcry_retention_segments",
            "Segments that were retired.",
            rows(|of| &of.segments),
        )?;
        page.counters(
            "outcry_retention_retired_bytes",
            "Bytes of the segments that were retired.",
            rows(|of| &of.bytes),
        )?;
        page.gauges(
            "outcry_retention_first_sequence",
            "First sequence that is kept; 0 before the first look.",
            rows(|of| &of.first).map(|(labels, first)| (labels, number(first))),
        )?;
        page.counter(
            "outcry_retention_failures",
            "Looks at which not all could be retired that may go.",
            told.failures.get(),
        )
    }

    fn queues(&self, page: &mut Writer<'_>) -> fmt::Result {
        let lanes = self.0.lanes_and_queues();
        let rows = |figure: fn(&super::Queue) -> u64| {
            let row =
                move |queue: &super::Queue| ([("priority", queue.priority.clone())], figure(queue));
            lanes.queues.iter().map(row).collect::<Vec<_>>()
        };
        let gauges = |figure| rows(figure).into_iter().map(|(labels, it)| (labels, number(it)));
        page.gauges(
            "outcry_queue_depth",
            "Messages that wait to be sequenced.",
            gauges(|queue| queue.depth),
        )?;
        page.gauges(
            "outcry_queue_oldest_age_seconds",
            "Age of the message that has waited longest, of those with the turn or a slot of it.",
            rows(|queue| queue.oldest_age_us)
                .into_iter()
                .map(|(labels, us)| (labels, number(us) / 1e6)),
        )?;
        page.counters(
            "outcry_queue_taken",
            "Messages that have left the queue.",
            rows(|queue| queue.taken),
        )?;
        page.counters(
            "outcry_queue_refused",
            "Messages that found their queue full or were refused because of load.",
            rows(|queue| queue.refused),
        )?;
        page.counters(
            "outcry_priority_adjusted",
            "Messages whose priority a rule has adjusted.",
            self.adjusted(),
        )
    }

    /// Adjustments that there were.
    fn adjusted(&self) -> Vec<(Labels<3>, u64)> {
        let mut rows = Vec::new();
        let name = |index: usize| Priority::ALL[index].as_str().to_owned();
        for from in 0..PRIORITIES {
            for to in 0..PRIORITIES {
                for (rule, rule_name) in RULES.iter().enumerate() {
                    let count = self.0.stats.sequencing.adjusted[from][to][rule].get();
                    let labels =
                        [("from", name(from)), ("to", name(to)), ("rule", (*rule_name).to_owned())];
                    rows.extend((count > 0).then_some((labels, count)));
                }
            }
        }
        rows
    }

    fn lanes(&self, page: &mut Writer<'_>) -> fmt::Result {
        let lanes = self.0.lanes();
        let label = |lane: &super::Lane| [("lane", lane.lane.clone())];
        let gauges = |figure: fn(&super::Lane) -> f64| {
            lanes.iter().map(move |lane| (label(lane), figure(lane))).collect::<Vec<_>>()
        };
        page.gauges(
            "outcry_lane_applied_sequence",
            "Last sequence that the lane has handled.",
            gauges(|lane| number(lane.applied)),
        )?;
        page.gauges(
            "outcry_lane_depth",
            "Records that the lane could take now.",
            gauges(|lane| number(lane.depth)),
        )?;
        page.gauges(
            "outcry_lane_lag",
            "Sequences that the lane is behind the sequencer.",
            gauges(|lane| number(lane.lag)),
        )?;
        page.gauges(
            "outcry_lane_in_flight",
            "Records that the lane has taken and not finished.",
            gauges(|lane| number(lane.in_flight)),
        )?;
        page.gauges(
            "outcry_lane_oldest_age_seconds",
            "Age of the oldest record that waits for the lane.",
            gauges(|lane| number(lane.oldest_age_us.unwrap_or(0)) / 1e6),
        )?;
        page.gauges(
            "outcry_lane_batch_max",
            "Records that a turn of the lane takes at most now.",
            gauges(|lane| number(lane.batch_max)),
        )?;
        page.gauges(
            "outcry_lane_load_ratio",
            "Part of the last second in which the lane's thread had something to do.",
            gauges(|lane| lane.load),
        )?;
        page.counters(
            "outcry_lane_handled",
            "Records that the lane has handled.",
            lanes.iter().map(|lane| (label(lane), lane.handled)),
        )?;
        page.histograms(
            "outcry_lane_turn_seconds",
            "How long a turn of the lane took that had something to do.",
            lanes.iter().map(|lane| (label(lane), lane.turn.clone())),
        )
    }

    fn journal(&self, page: &mut Writer<'_>) -> fmt::Result {
        let (stats, journal) = (&self.0.stats, &self.0.stats.journal);
        page.counter("outcry_journal_records", "Records written.", journal.records.get())?;
        page.counter("outcry_journal_bytes", "Bytes of batches written.", journal.bytes.get())?;
        page.counter("outcry_journal_batches", "Batches encoded.", journal.batches.get())?;
        page.counter(
            "outcry_journal_writes",
            "Writes, each of one batch or more.",
            journal.writes.get(),
        )?;
        let segment = number(journal.segment.get());
        page.gauge("outcry_journal_segment", "Number of the segment written to.", segment)?;
        let sync = stats.sync.latency.tally();
        page.histogram("outcry_journal_sync_seconds", "How long a sync took.", &sync)?;
        page.histogram(
            "outcry_gate_wait_seconds",
            "From a record's sequence to its release.",
            &stats.gate.wait.tally(),
        )?;
        page.counter(
            "outcry_reject_log_entries",
            "Entries of the reject log written.",
            stats.reject_log.written.get(),
        )?;
        page.counter(
            "outcry_reject_log_lost",
            "Entries of the reject log lost because its ring was full.",
            stats.lanes[crate::stats::CRITICAL].rejects_lost.get(),
        )
    }

    /// A figure of each gateway.
    fn rows(&self, figure: fn(&Gateway) -> u64) -> Vec<(Labels<1>, u64)> {
        let row = |(number, gateway): (usize, &crossbeam::utils::CachePadded<Gateway>)| {
            ([("gateway", number.to_string())], figure(gateway))
        };
        self.0.stats.gateways.iter().enumerate().map(row).collect()
    }

    fn gateways(&self, page: &mut Writer<'_>) -> fmt::Result {
        type Figure = (&'static str, &'static str, fn(&Gateway) -> u64);
        const GAUGES: &[Figure] = &[
            ("outcry_connections", "Open connections.", |it| it.connections.get()),
            ("outcry_sessions", "Sessions that are logged on.", |it| it.sessions.get()),
            ("outcry_pending_output_bytes", "Bytes that wait for clients to take them.", |it| {
                it.pending_output.get()
            }),
            (
                "outcry_pending_input_bytes",
                "Bytes received that wait to be handed on, held ones included.",
                |it| it.pending_input.get(),
            ),
        ];
        const COUNTERS: &[Figure] = &[
            ("outcry_connections_accepted", "Connections accepted.", |it| {
                it.connections_accepted.get()
            }),
            ("outcry_received_bytes", "Bytes received.", |it| it.bytes_in.get()),
            ("outcry_sent_bytes", "Bytes sent.", |it| it.bytes_out.get()),
            ("outcry_frames", "Whole frames received.", |it| it.frames.get()),
            ("outcry_bulk_frames", "LOW and BATCH commands among the frames.", |it| {
                it.bulk_frames.get()
            }),
            ("outcry_answers", "Messages answered.", |it| it.answered.get()),
            (
                "outcry_commands_accepted",
                "Commands answered that were sequenced and not refused.",
                |it| it.accepted_commands.get(),
            ),
            ("outcry_duplicates", "Commands that repeat one that was sequenced.", |it| {
                it.duplicates.get()
            }),
            (
                "outcry_slow_reader_closes",
                "Connections closed because they took their bytes too slowly.",
                |it| it.slow_closes.get(),
            ),
        ];
        for (name, help, figure) in GAUGES {
            let rows = self.rows(*figure).into_iter();
            page.gauges(name, help, rows.map(|(labels, value)| (labels, number(value))))?;
        }
        for (name, help, figure) in COUNTERS {
            page.counters(name, help, self.rows(*figure))?;
        }
        let count = |reason: RejectReason| {
            let of = |gateway: &Gateway| gateway.rejects[reason as usize].get();
            self.0.stats.gateways.iter().map(|gateway| of(gateway)).sum::<u64>()
        };
        // Every reason from the start: a counter that appears with its first refusal has no rate then.
        page.counters(
            "outcry_rejects",
            "Refusals.",
            RejectReason::ALL
                .iter()
                .map(|reason| ([("reason", reason.name().to_owned())], count(*reason))),
        )?;
        page.histogram(
            "outcry_order_latency_seconds",
            "From the receipt of a message to the sending of its answer.",
            &self.0.flow().latency,
        )?;
        self.requests(page)
    }

    /// The two families that row S4.15 names, for boards made for them: their method is the protocol.
    fn requests(&self, page: &mut Writer<'_>) -> fmt::Result {
        let gateways = &self.0.stats.gateways;
        let answered: u64 = gateways.iter().map(|gateway| gateway.answered.get()).sum();
        // A connection that was one too many asked for nothing.
        let errors = RejectReason::ALL.iter().filter(|it| **it != RejectReason::TooManyConnections);
        let errors: u64 = errors
            .map(|it| {
                gateways.iter().map(|gateway| gateway.rejects[*it as usize].get()).sum::<u64>()
            })
            .sum();
        let method = || ("method", "native".to_owned());
        // The counts are read one after the other, while requests go on.
        let rows = [("false", answered.saturating_sub(errors)), ("true", errors)];
        page.counters(
            "request_count",
            "Messages answered, by whether they were refused.",
            rows.map(|(error, count)| ([method(), ("error", error.to_owned())], count)),
        )?;
        let latency = self.0.flow().latency;
        let micros = |ns: u64| ns as f64 / 1e3;
        let bounds = BOUNDS_NS.iter().map(|ns| micros(*ns)).chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds.zip(latency.counts).collect();
        let help = "From the receipt of a message to the sending of its answer, refused or not.";
        let kind = MetricType::Histogram;
        let mut metric =
            page.encoder.encode_descriptor("request_latency_microseconds", help, None, kind)?;
        let labels = [method()];
        let mut sample = metric.encode_family(&labels)?;
        let sum = micros(latency.sum_ns);
        sample.encode_histogram::<NoLabelSet>(sum, latency.count(), &buckets, None)
    }

    fn threads(&self, page: &mut Writer<'_>) -> fmt::Result {
        let threads = &self.0.stats.threads;
        page.gauges(
            "outcry_thread_load_ratio",
            "Part of the last second in which the thread had something to do.",
            threads.iter().map(|(name, load)| {
                ([("thread", name.clone())], number(load.per_mille()) / 1000.0)
            }),
        )?;
        page.counters(
            "outcry_thread_busy_seconds",
            "Time in which the thread had something to do.",
            threads
                .iter()
                .map(|(name, load)| ([("thread", name.clone())], seconds(load.busy_ns()))),
        )
    }
}

const _: () = assert!(LANES.len() == 3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_s_family_has_the_name_of_its_samples_in_the_classic_format() {
        let open = "# HELP a Count of a.\n# TYPE a counter\na_total 1\n# HELP b Level.\n# TYPE b gauge\n\
                    b 2\n# EOF\n";
        let expected = "# HELP a_total Count of a.\n# TYPE a_total counter\na_total 1\n\
                        # HELP b Level.\n# TYPE b gauge\nb 2\n";
        assert_eq!(classic(open), expected);
    }
}
