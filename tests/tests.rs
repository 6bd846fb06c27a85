//! All integration tests in one binary.

mod journal_crash;
mod journal_damage;
mod sim;
