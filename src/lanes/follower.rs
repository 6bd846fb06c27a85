//! The lanes behind `critical`: `normal` and `batch` follow the journal and `critical`'s event log.
//!
//! Both take sequence N only when `critical` has applied N and it is in the mapped files, so that a
//! lane that lags, or stands still, holds up nobody. In this release their work is to count: commands
//! a session and an instrument (`normal`, with the trades of each), records a kind (`batch`).

use crate::agent::{Agent, FailStop, Failure};
use crate::command::Command;
use crate::event::EventBody;
use crate::journal::event_log::EventLogReader;
use crate::journal::format::RecordKind;
use crate::journal::reader::{ReadError, Reader};
use crate::ring::Cursor;
use crate::types::{InstrumentId, Sequence, SessionId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Records taken in one round.
const ROUND_MAX: usize = 1024;

/// What a following lane has counted; every number is a function of the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The last sequence counted.
    pub sequence: Sequence,
    /// Records of each kind, by the kind's number.
    pub kinds: BTreeMap<u8, u64>,
    /// Commands of each session.
    pub sessions: BTreeMap<SessionId, u64>,
    /// Commands that name each instrument.
    pub instruments: BTreeMap<InstrumentId, u64>,
    /// Trades of each instrument.
    pub trades: BTreeMap<InstrumentId, u64>,
}

/// Up to where a following lane may go.
#[derive(Clone)]
pub struct Bounds {
    /// In the journal's files.
    pub written: Cursor,
    /// Applied by `critical`.
    pub applied: Cursor,
    /// In the event log's files.
    pub events_written: Cursor,
}

/// The lane `batch`: counts records.
pub struct Batch {
    journal: Reader,
    bounds: Bounds,
    counts: Arc<Mutex<Counts>>,
    done: Cursor,
    stop: Arc<dyn FailStop>,
    failed: bool,
}

/// The lane `normal`: counts commands, and trades from the event log.
pub struct Normal {
    journal: Reader,
    events: EventLogReader,
    bounds: Bounds,
    counts: Arc<Mutex<Counts>>,
    done: Cursor,
    stop: Arc<dyn FailStop>,
    failed: bool,
}
