//! The simulation: a whole node in one seeded world, and what it shares with the journal's own
//! tests: a disk that forgets, and numbers that a seed repeats.
//!
//! `SEED=n` repeats one seed, `SIM_MS` is the time for as many as fit. A seed that fails is run once
//! more with its history, which ends with the failure.

pub(crate) mod bench;
mod clients;
mod course;
pub(crate) mod disk;
mod kinds;
pub(crate) mod ledger;
mod net;
pub(crate) mod node;
pub(crate) mod random;
mod sending;
pub(crate) mod venue;
mod views;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};
use world::{Tally, World};

/// Runs one seed; a failure is repeated with its history.
#[allow(clippy::print_stderr, reason = "whoever sees a test fail needs its seed and history")]
fn simulate(seed: u64) -> Tally {
    let first = catch_unwind(AssertUnwindSafe(|| World::new(seed, false).run()));
    first.unwrap_or_else(|failure| {
        eprintln!("the simulation failed; SEED={seed} repeats it. Its last events:");
        World::new(seed, true).run();
        eprintln!("SEED={seed} did not fail the second time: a run is not a function of its seed");
        resume_unwind(failure)
    })
}

#[test]
fn a_node_keeps_its_promises_through_crashes_full_disks_and_bad_company() {
    if let Ok(seed) = std::env::var("SEED") {
        println!("{:?}", simulate(seed.parse().expect("SEED is a number")));
        return;
    }
    let budget = std::env::var("SIM_MS").map_or(4000, |ms| ms.parse().expect("a number of ms"));
    let (started, mut seeds, mut sum) = (Instant::now(), 0, Tally::default());
    while seeds == 0 || started.elapsed() < Duration::from_millis(budget) {
        sum.add(&simulate(seeds));
        seeds += 1;
    }
    println!("{seeds} seeds in {:.1} s: {sum:?}", started.elapsed().as_secs_f64());
}
