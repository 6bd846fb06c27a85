//! All integration tests in one binary.

#![allow(clippy::print_stderr, reason = "a randomised test that fails tells its seed and history")]

mod allocation;
mod cli;
mod cli_journal;
mod cli_keys;
mod cli_load;
mod cli_order;
mod cli_replay;
mod cli_schema;
mod cli_seen;
mod cli_serve;
mod cli_snapshot;
mod config;
mod demo;
mod disk_failures;
mod exchange;
mod frozen;
mod full_disk;
mod fuzz;
mod gateway;
mod journal;
mod journal_crash;
mod journal_damage;
mod journal_format;
mod journal_repair;
mod layouts;
mod model;
mod native_client;
mod native_document;
mod native_golden;
mod poison;
mod regressions;
mod restraint;
mod resuming;
mod retention;
mod retention_node;
mod rings;
mod schema;
mod schema_frames;
mod sim;
mod snapshot;
mod stop;
mod support;
mod tidy;
mod wire_sizes;
