//! All integration tests in one binary.

mod cli;
mod config;
mod stop;
mod tidy;
mod journal_crash;
mod journal_damage;
mod sim;
mod allocation;
mod native_client;
mod native_document;
mod native_golden;
mod regressions;
