//! Reports as they stand on the wire: what the admin listener writes as JSON, and commands read.

use crate::stats::Tally;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a node is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It takes orders.
    Ok,
    /// It takes orders, and slows or refuses the less urgent ones.
    Overloaded,
    /// It takes orders, and its disk fills.
    LowSpace,
    /// Its disk is nearly full: orders are refused; where it is full, all commands.
    NoSpace,
    /// It was asked to stop.
    Stopping,
}

impl State {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Overloaded => "overloaded",
            State::LowSpace => "low-space",
            State::NoSpace => "no-space",
            State::Stopping => "stopping",
        }
    }

    /// True where the node takes orders.
    #[must_use]
    pub const fn takes_orders(self) -> bool {
        matches!(self, State::Ok | State::Overloaded | State::LowSpace)
    }
}

/// Answer to `GET /health`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Health {
    /// What the node is like.
    pub state: State,
    /// Its role.
    pub role: String,
    /// Its name.
    pub node: String,
    /// Version of the program.
    pub version: String,
    /// The last sequence given.
    pub sequence: u64,
    /// The last one received by the journal's file.
    pub written: u64,
    /// The last one synced.
    pub durable: u64,
    /// The last one shown to the world.
    pub released: u64,
    /// Bytes free on the disk, as of the last look.
    pub available_bytes: u64,
    /// How far the lanes are.
    pub lanes: Vec<Position>,
}

/// How far a lane is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Position {
    /// The lane.
    pub lane: String,
    /// The last sequence it has handled.
    pub applied: u64,
    /// Sequences that it is behind the sequencer.
    pub lag: u64,
}

impl From<Lane> for Position {
    fn from(lane: Lane) -> Position {
        Position { lane: lane.lane, applied: lane.applied, lag: lane.lag }
    }
}

/// Answer to `GET /lanes`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Lanes {
    /// Name of the node.
    pub node: String,
    /// When it was made, by the node's monotonic clock: rates are differences of two reports.
    pub time_ns: u64,
    /// The last sequence given.
    pub sequence: u64,
    /// Batches that have ended.
    pub batch_count: u64,
    /// The lanes.
    pub lanes: Vec<Lane>,
    /// The queues before the sequencer, most urgent first.
    pub queues: Vec<Queue>,
}

/// A lane.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Lane {
    /// Its name.
    pub lane: String,
    /// The last sequence it has handled.
    pub applied: u64,
    /// Records that it could take now.
    pub depth: u64,
    /// Sequences that it is behind the sequencer.
    pub lag: u64,
    /// Records taken and not finished: of `critical`, those whose answers are not released; of the
    /// others, those of the turn in hand.
    pub in_flight: u64,
    /// Age of the oldest record that waits, as far as the lane knows of one.
    pub oldest_age_us: Option<u64>,
    /// Records handled since the start, and of `critical` what passes without a sequence.
    pub handled: u64,
    /// Records that a turn takes at most now.
    pub batch_max: u64,
    /// Part of the last second in which its thread had something to do.
    pub load: f64,
    /// How long its turns took.
    pub turn: Tally,
}

/// A queue before the sequencer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Queue {
    /// Its priority.
    pub priority: String,
    /// Messages that wait.
    pub depth: u64,
    /// Age of the one that has waited longest.
    pub oldest_age_us: u64,
    /// Messages that have left it.
    pub taken: u64,
    /// Messages that were refused.
    pub refused: u64,
}

/// Answer to `GET /stats`: what the live view shows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Flow {
    /// What the node is like.
    pub state: State,
    /// Its ack policy.
    pub policy: String,
    /// The last sequence received by the journal's file.
    pub written: u64,
    /// The last one synced.
    pub durable: u64,
    /// The last one shown to the world.
    pub released: u64,
    /// Open connections.
    pub connections: u64,
    /// Sessions that are logged on.
    pub sessions: u64,
    /// Frames received.
    pub frames: u64,
    /// Messages answered.
    pub answered: u64,
    /// Commands among them that were sequenced and not refused.
    pub accepted: u64,
    /// Commands that repeat one that was sequenced.
    pub duplicates: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Bytes that wait for clients to take them.
    pub pending_output_bytes: u64,
    /// Connections closed because they took their bytes too slowly.
    pub slow_closes: u64,
    /// Refusals by reason.
    pub rejects: BTreeMap<String, u64>,
    /// From the receipt of a message to the sending of its answer.
    pub latency: Tally,
    /// How long syncs took.
    pub sync: Tally,
    /// From a record's sequence to its release.
    pub gate_wait: Tally,
    /// Part of the last second in which each thread had something to do.
    pub threads: BTreeMap<String, f64>,
    /// Lanes and queues.
    #[serde(flatten)]
    pub lanes: Lanes,
}
