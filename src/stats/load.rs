//! How busy a thread is: the part of a second in which it had something to do.

use super::Count;
use crossbeam::utils::CachePadded;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Over how long a thread's load is measured.
const WINDOW: Duration = Duration::from_secs(1);
/// A load that was told longer ago than this is that of a thread that sleeps since.
const STALE_MS: u64 = 2_000;

/// How busy a thread is; it writes, anybody reads.
#[derive(Debug, Default)]
pub struct Load {
    busy_ns: Count,
    per_mille: Count,
    told_ms: Count,
}

impl Load {
    /// Time with something to do since the start, nanoseconds.
    #[must_use]
    pub fn busy_ns(&self) -> u64 {
        self.busy_ns.get()
    }

    /// Thousandths of the last second in which the thread had something to do.
    #[must_use]
    pub fn per_mille(&self) -> u64 {
        let age_ms = since_origin_ms(Instant::now()).saturating_sub(self.told_ms.get());
        if age_ms > STALE_MS { 0 } else { self.per_mille.get() }
    }
}

/// Milliseconds since a moment that all threads of the process agree on.
fn since_origin_ms(now: Instant) -> u64 {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    let since = now.saturating_duration_since(*ORIGIN.get_or_init(Instant::now));
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Measures the thread that owns it.
#[derive(Debug)]
pub struct Meter {
    load: Arc<CachePadded<Load>>,
    /// Up to here time is accounted for.
    mark: Instant,
    window_start: Instant,
    window_busy: Duration,
}

impl Meter {
    /// A meter that tells `load`.
    #[must_use]
    pub fn new(load: Arc<CachePadded<Load>>) -> Meter {
        let now = Instant::now();
        since_origin_ms(now);
        Meter { load, mark: now, window_start: now, window_busy: Duration::ZERO }
    }

    /// The time up to `now` went into work.
    pub fn worked(&mut self, now: Instant) {
        let busy = now.saturating_duration_since(self.mark);
        self.mark = now;
        self.window_busy += busy;
        self.load.busy_ns.add(u64::try_from(busy.as_nanos()).unwrap_or(u64::MAX));
        self.tell(now);
    }

    /// The time up to `now` went into waiting.
    pub fn rested(&mut self, now: Instant) {
        self.mark = now;
        self.tell(now);
    }

    /// Tells the load at the end of every window.
    fn tell(&mut self, now: Instant) {
        let window = now.saturating_duration_since(self.window_start);
        if window < WINDOW {
            return;
        }
        let per_mille = self.window_busy.as_nanos() * 1000 / window.as_nanos();
        self.load.per_mille.set(u64::try_from(per_mille).unwrap_or(1000));
        self.load.told_ms.set(since_origin_ms(now));
        self.window_start = now;
        self.window_busy = Duration::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_tells_the_part_of_it_that_was_work() {
        let load = Arc::new(CachePadded::new(Load::default()));
        let mut meter = Meter::new(load.clone());
        let start = meter.mark;
        let at = |ms| start + Duration::from_millis(ms);
        meter.worked(at(200));
        meter.rested(at(900));
        assert_eq!(load.per_mille(), 0, "the window has not ended");
        meter.worked(at(1000));
        assert_eq!(load.per_mille(), 300);
        assert_eq!(load.busy_ns(), 300_000_000);
        meter.rested(at(2000));
        assert_eq!(load.per_mille(), 0, "the next window was all rest");
    }
}
