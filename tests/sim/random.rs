//! Numbers that a seed repeats exactly (SplitMix64), and how long a simulation may go on.

use std::time::{Duration, Instant};

/// A seeded source of numbers.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// True in so many of 100 cases.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// Runs `simulate` with one seed after the other until `SIM_MS` (1,500) are over, or once with
/// `SEED`. The seed of a failure is printed.
pub(crate) fn seeds(name: &str, mut simulate: impl FnMut(u64)) {
    if let Ok(seed) = std::env::var("SEED") {
        simulate(seed.parse().expect("SEED is a number"));
        return;
    }
    let budget = std::env::var("SIM_MS").map_or(1500, |ms| ms.parse().expect("a number of ms"));
    let started = Instant::now();
    let mut seed = 0;
    while seed == 0 || started.elapsed() < Duration::from_millis(budget) {
        let guard = Guard { name, seed };
        simulate(seed);
        std::mem::forget(guard);
        seed += 1;
    }
    tell(&format!("{name}: {seed} seeds"));
}

#[allow(clippy::print_stdout, reason = "a failed test shows what it printed: the seed above all")]
fn tell(text: &str) {
    println!("{text}");
}

/// Prints the seed when a simulation panics.
struct Guard<'a> {
    name: &'a str,
    seed: u64,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        tell(&format!("{} failed; repeat with SEED={}", self.name, self.seed));
    }
}
