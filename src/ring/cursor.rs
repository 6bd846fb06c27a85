//! A cursor: the highest sequence of which something is true, told by one thread to others.

use crate::types::Sequence;
use crossbeam::utils::CachePadded;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that one stage raises and others read, alone on its cache line.
///
/// It is named by what is true up to it: `written`, `durable`, `applied`, `released`.
#[derive(Clone, Debug, Default)]
pub struct Cursor {
    value: Arc<CachePadded<AtomicU64>>,
}

impl Cursor {
    /// A cursor that starts at `sequence`.
    #[must_use]
    pub fn new(sequence: Sequence) -> Cursor {
        Cursor { value: Arc::new(CachePadded::new(AtomicU64::new(sequence.0))) }
    }

    /// The value now; everything done before the store that set it is visible.
    #[inline]
    #[must_use]
    pub fn get(&self) -> Sequence {
        // Acquire here pairs with the Release in `set`.
        Sequence(self.value.load(Ordering::Acquire))
    }

    /// Raises the cursor. Only its one writer calls this.
    #[inline]
    pub fn set(&self, sequence: Sequence) {
        // Release here pairs with the Acquire in `get`: what the stage did for `sequence` comes first.
        self.value.store(sequence.0, Ordering::Release);
    }
}
