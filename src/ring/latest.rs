//! The newest version of a value that one stage publishes and others read.
//!
//! Invariant: a reader never waits. Where nothing was published since it last looked, looking costs
//! one atomic load.

use arc_swap::{ArcSwap, Cache};
use std::sync::Arc;

/// Where versions are published; clones are the same place.
pub struct Latest<T>(Arc<ArcSwap<T>>);

/// A reader of the newest version.
pub struct LatestReader<T>(Cache<Arc<ArcSwap<T>>, Arc<T>>);

impl<T> Latest<T> {
    /// A place with its first version.
    #[must_use]
    pub fn new(first: T) -> Latest<T> {
        Latest(Arc::new(ArcSwap::from_pointee(first)))
    }

    /// Replaces the version that readers see.
    pub fn publish(&self, next: T) {
        self.0.store(Arc::new(next));
    }

    /// A further reader.
    #[must_use]
    pub fn reader(&self) -> LatestReader<T> {
        LatestReader(Cache::new(self.0.clone()))
    }
}

impl<T> Clone for Latest<T> {
    fn clone(&self) -> Self {
        Latest(self.0.clone())
    }
}

impl<T> LatestReader<T> {
    /// The newest version.
    #[inline]
    pub fn get(&mut self) -> &Arc<T> {
        self.0.load()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_see_the_newest_version_and_keep_the_one_they_hold() {
        let latest = Latest::new(1);
        let (mut first, mut second) = (latest.reader(), latest.reader());
        let held = first.get().clone();
        latest.clone().publish(2);
        assert_eq!((*held, **first.get(), **second.get()), (1, 2, 2));
        latest.publish(3);
        assert_eq!((**first.get(), **latest.reader().get()), (3, 3));
    }
}
