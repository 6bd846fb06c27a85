//! How much of a connection is not sequenced yet: the sequencer counts what left its queues, the
//! gateway what it handed on.
//!
//! A connection may have `pending_max` messages between the two; beyond that its socket is not read.
//! So no session fills the queues, and none can make lifting or searching its messages long.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

/// Counters of one piece; pieces are made as connections come.
const PIECE: usize = 1024;
/// Connections that can be counted: more than descriptors any machine gives a process.
const CONNECTIONS_MAX: usize = 1 << 22;

type Piece = Box<[AtomicU32]>;

/// For each connection of one gateway, how many of its messages have left the queues; it wraps.
#[derive(Clone, Debug)]
pub struct Taken(Arc<[OnceLock<Piece>]>);

impl Default for Taken {
    fn default() -> Taken {
        Taken((0..CONNECTIONS_MAX / PIECE).map(|_| OnceLock::new()).collect())
    }
}

impl Taken {
    fn counter(&self, connection: u32) -> &AtomicU32 {
        let at = connection as usize % CONNECTIONS_MAX;
        let piece =
            self.0[at / PIECE].get_or_init(|| (0..PIECE).map(|_| AtomicU32::new(0)).collect());
        &piece[at % PIECE]
    }

    /// One more message of this connection has left the queues; only the sequencer says so.
    #[inline]
    pub fn count(&self, connection: u32) {
        let counter = self.counter(connection);
        // There is one writer, so a load and a store do what an exchange would. What the reader may
        // do with the number needs nothing else that the writer did.
        counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// How many have.
    #[inline]
    #[must_use]
    pub fn get(&self, connection: u32) -> u32 {
        self.counter(connection).load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_connection_is_counted_apart() {
        let taken = Taken::default();
        let gateway = taken.clone();
        for connection in [0, 1023, 1024, 1_000_000] {
            taken.count(connection);
            taken.count(connection);
            assert_eq!(gateway.get(connection), 2);
        }
        assert_eq!(gateway.get(1), 0);
    }
}
