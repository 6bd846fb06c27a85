//! All integration tests in one binary.

mod journal;
mod journal_crash;
mod journal_damage;
mod journal_format;
mod sim;
