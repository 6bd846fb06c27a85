//! What waits for clients that do not read, over all gateways: bounded, and those who hold most go first.
//!
//! Each gateway counts what its own connections hold and adds it to the node's sum. While that is too
//! much, the gateway whose slowest reader holds most closes it; the others wait for that, at most until
//! it looks at its connections anyway.

use super::Gateway;
use super::connection::Door;
use super::restraint::Allowances;
use crate::limits::GATEWAYS_MAX;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What all gateways of a node hold together, each adding its own.
#[derive(Debug, Default)]
pub struct Shared {
    /// Open connections that are not finished.
    pub(super) connections: AtomicUsize,
    /// Bytes that sockets have not taken.
    pending: AtomicUsize,
    /// What the slowest reader of each gateway holds, as it saw last while the sum was too large.
    largest: [AtomicUsize; GATEWAYS_MAX],
    /// What sessions and keys may still send, at whichever gateway.
    pub(super) allowances: Allowances,
}

impl<D: Door> Gateway<D> {
    /// Counts what a connection holds now.
    pub(super) fn count_pending(&mut self, slot: u32) {
        let Some(Some(connection)) = self.connections.get_mut(slot as usize) else { return };
        let (before, now) = (connection.counted, connection.pending());
        // Most have nothing pending before and after: then there is nothing to tell the others.
        if before != now {
            connection.counted = now;
            let pending = &self.wiring.shared.pending;
            pending.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
        }
    }

    /// Forgets what a connection that is gone held.
    pub(super) fn uncount_pending(&self, counted: usize) {
        if counted > 0 {
            self.wiring.shared.pending.fetch_sub(counted, Ordering::Relaxed);
        }
    }

    /// Closes whoever holds most without reading, while all hold too much.
    pub(super) fn bound_pending(&mut self) {
        let number = usize::from(self.number);
        let is_too_much = |gateway: &Self| {
            let pending = gateway.wiring.shared.pending.load(Ordering::Relaxed);
            pending > gateway.limits.pending_output_total
        };
        while is_too_much(self) {
            let blocked = self.connections.iter().flatten();
            let blocked = blocked.filter(|connection| connection.blocked_since_ms.is_some());
            let most = blocked.max_by_key(|connection| connection.counted);
            let most = most.map(|most| (most.counted, most.origin.connection));
            let held = most.map_or(0, |(held, _)| held);
            let largest = &self.wiring.shared.largest;
            largest[number].store(held, Ordering::Relaxed);
            let Some((_, slot)) = most else { return };
            if largest.iter().any(|other| other.load(Ordering::Relaxed) > held) {
                return;
            }
            self.wiring.shared.largest[number].store(0, Ordering::Relaxed);
            self.close(slot);
        }
        self.wiring.shared.largest[number].store(0, Ordering::Relaxed);
    }
}
