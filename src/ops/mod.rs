//! What a node shows of itself to those who run it: figures over HTTP, far from the way of an order.
//!
//! Invariants: nothing here is written by a stage and nothing here writes to one; a reader costs a
//! stage no more than a cache line; without `admin.http.listen` there is no listener and no thread.

pub mod http;
mod metrics;
pub mod report;

use crate::agent::Stop;
use crate::node::space::Level;
use crate::node::stages::Cursors;
use crate::ring::Cursor;
use crate::stats::{BATCH, CRITICAL, LANES, NORMAL, Stats};
use crate::sys::clock::{Clock, MachineClock};
use crate::types::Sequence;
use report::{Flow, Health, Lane, Lanes, Queue, State};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What can be seen of a running node.
#[derive(Clone)]
pub struct View {
    /// Name of the node.
    pub node: String,
    /// Its ack policy.
    pub policy: String,
    /// What its stages tell.
    pub stats: Arc<Stats>,
    /// How far they are.
    pub cursors: Cursors,
    /// Whether the node was asked to stop.
    pub stop: Arc<Stop>,
    /// Tells when a report was made.
    pub clock: MachineClock,
}

impl View {
    /// The last sequence given.
    fn sequence(&self) -> u64 {
        // What is applied has a sequence, though the sequencer may tell so a little later.
        self.stats.sequencing.sequence.get().max(self.applied(CRITICAL))
    }

    /// The last sequence that a lane has handled.
    fn applied(&self, lane: usize) -> u64 {
        let cursor = match lane {
            NORMAL => &self.cursors.normal,
            BATCH => &self.cursors.batch,
            _ => &self.cursors.applied,
        };
        cursor.get().0
    }

    /// What the node is like.
    #[must_use]
    pub fn state(&self) -> State {
        let set = |cursor: &Cursor| cursor.get() != Sequence::NONE;
        let space = Level::of(&self.cursors.space);
        let none = set(&self.cursors.no_space) || set(&self.cursors.no_event_space);
        if self.stop.asked() {
            State::Stopping
        } else if none || space == Level::Critical {
            State::NoSpace
        } else if self.stats.sequencing.pressure.get() != 0 {
            State::Overloaded
        } else if space == Level::Low {
            State::LowSpace
        } else {
            State::Ok
        }
    }

    /// The lanes.
    #[must_use]
    pub fn lanes(&self) -> Vec<Lane> {
        (0..LANES.len()).map(|lane| self.lane(lane)).collect()
    }

    fn lane(&self, lane: usize) -> Lane {
        // What is behind is read first, so that nothing seems to be ahead of what it follows.
        let applied = self.applied(lane);
        let released = self.cursors.released.get().0;
        let ready = match lane {
            CRITICAL => self.sequence(),
            _ => self.cursors.written.get().0.min(self.cursors.applied.get().0),
        };
        let told = &self.stats.lanes[lane];
        let in_flight = match lane {
            CRITICAL => self.applied(CRITICAL).saturating_sub(released),
            _ => told.in_flight.get(),
        };
        let behind_ns = told.behind_ns.get();
        let waits = ready > applied && behind_ns != 0;
        Lane {
            lane: LANES[lane].to_owned(),
            applied,
            depth: ready.saturating_sub(applied),
            lag: self.sequence().saturating_sub(applied),
            in_flight,
            oldest_age_us: waits.then(|| self.clock.wall_ns().saturating_sub(behind_ns) / 1_000),
            handled: told.handled.get(),
            batch_max: told.batch_max.get(),
            load: self.stats.thread_load(LANES[lane]) as f64 / 1000.0,
            turn: told.turn.tally(),
        }
    }

    /// Lanes and queues.
    #[must_use]
    pub fn lanes_and_queues(&self) -> Lanes {
        let told = &self.stats.sequencing;
        let queue = |priority: crate::types::Priority| {
            let index = priority as usize;
            Queue {
                priority: priority.as_str().to_owned(),
                depth: told.depth[index].get(),
                oldest_age_us: told.oldest_ns[index].get() / 1_000,
                taken: told.taken[index].get(),
                refused: told.refused[index].get(),
            }
        };
        Lanes {
            node: self.node.clone(),
            time_ns: self.clock.monotonic_ns(),
            sequence: self.sequence(),
            batch_count: told.batches.get(),
            lanes: self.lanes(),
            queues: crate::types::Priority::ALL.iter().copied().map(queue).collect(),
        }
    }

    /// Whether the node takes orders, and how far it is.
    #[must_use]
    pub fn health(&self) -> Health {
        let lanes = self.lanes();
        Health {
            state: self.state(),
            role: "primary".to_owned(),
            node: self.node.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            released: self.cursors.released.get().0,
            durable: self.cursors.durable.get().0,
            written: self.cursors.written.get().0,
            available_bytes: self.stats.space.available.get(),
            sequence: self.sequence(),
            lanes: lanes.into_iter().map(Into::into).collect(),
        }
    }

    /// Everything that the live view shows.
    #[must_use]
    pub fn flow(&self) -> Flow {
        let stats = &self.stats;
        let sum = |figure: fn(&crate::stats::Gateway) -> u64| {
            stats.gateways.iter().map(|gateway| figure(gateway)).sum()
        };
        let mut latency = crate::stats::Tally::default();
        stats.gateways.iter().for_each(|gateway| latency.add(&gateway.latency));
        Flow {
            state: self.state(),
            policy: self.policy.clone(),
            released: self.cursors.released.get().0,
            durable: self.cursors.durable.get().0,
            written: self.cursors.written.get().0,
            connections: sum(|gateway| gateway.connections.get()),
            sessions: sum(|gateway| gateway.sessions.get()),
            frames: sum(|gateway| gateway.frames.get()),
            answered: sum(|gateway| gateway.answered.get()),
            accepted: sum(|gateway| gateway.accepted_commands.get()),
            duplicates: sum(|gateway| gateway.duplicates.get()),
            received_bytes: sum(|gateway| gateway.bytes_in.get()),
            sent_bytes: sum(|gateway| gateway.bytes_out.get()),
            pending_output_bytes: sum(|gateway| gateway.pending_output.get()),
            slow_closes: sum(|gateway| gateway.slow_closes.get()),
            rejects: self.rejects(),
            latency,
            sync: stats.sync.latency.tally(),
            gate_wait: stats.gate.wait.tally(),
            threads: stats
                .threads
                .iter()
                .map(|(name, load)| (name.clone(), load.per_mille() as f64 / 1000.0))
                .collect(),
            lanes: self.lanes_and_queues(),
        }
    }

    /// Refusals by reason, of those that there were.
    fn rejects(&self) -> BTreeMap<String, u64> {
        let count = |reason: crate::event::RejectReason| {
            let of = |gateway: &crate::stats::Gateway| gateway.rejects[reason as usize].get();
            self.stats.gateways.iter().map(|gateway| of(gateway)).sum::<u64>()
        };
        crate::event::RejectReason::ALL
            .iter()
            .map(|reason| (reason.name().to_owned(), count(*reason)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}
