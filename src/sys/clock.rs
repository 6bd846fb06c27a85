//! The machine's clocks, behind a trait so that a test owns time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Two clocks: one that never goes back, one that tells the date.
pub trait Clock: Send {
    /// Nanoseconds since some fixed moment; never goes back.
    fn monotonic_ns(&self) -> u64;

    /// Nanoseconds since the Unix epoch, as the machine believes; may jump.
    fn wall_ns(&self) -> u64;
}

/// Processor time that this thread has used; zero where the system does not tell.
#[must_use]
#[allow(unsafe_code, reason = "std has no clock of a thread's processor time")]
pub fn thread_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one timespec, to a place that is one and lives until it returns.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) } != 0;
    if failed {
        return Duration::ZERO;
    }
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), nanoseconds)
}

/// The machine's own clocks.
#[derive(Clone, Copy, Debug)]
pub struct MachineClock {
    start: Instant,
}

impl MachineClock {
    /// A clock whose monotonic side starts now.
    #[must_use]
    pub fn new() -> MachineClock {
        MachineClock { start: Instant::now() }
    }
}

impl Default for MachineClock {
    fn default() -> MachineClock {
        MachineClock::new()
    }
}

impl Clock for MachineClock {
    fn monotonic_ns(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn wall_ns(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}
