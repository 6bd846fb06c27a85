//! All integration tests in one binary.

mod allocation;
mod cli;
mod config;
mod journal_crash;
mod journal_damage;
mod native_client;
mod native_document;
mod native_golden;
mod sim;
mod stop;
mod tidy;
mod exchange;
mod model;
mod journal;
mod journal_format;
