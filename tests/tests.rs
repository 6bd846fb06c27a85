//! All integration tests in one binary.

mod cli;
mod config;
mod journal;
mod journal_crash;
mod journal_damage;
mod journal_format;
mod sim;
mod stop;
mod tidy;
