//! All integration tests in one binary.

mod allocation;
mod cli;
mod config;
mod exchange;
mod gateway;
mod journal;
mod journal_crash;
mod journal_damage;
mod journal_format;
mod model;
mod native_client;
mod native_document;
mod native_golden;
mod sim;
mod stop;
mod tidy;
