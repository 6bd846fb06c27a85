//! OpenOutcry: a single-process, LMAX-style sequencer engine for exchanges and order-management
//! systems. `ARCHITECTURE.md` is the map; the modules stand here in the order data flows.

#![warn(clippy::too_many_lines)]

// Introduces the stages to each other.
pub mod node;

// What the journal has built, kept so that a start need not build it all again.
pub mod snapshot;

// The way of a command.
pub mod gateway;
pub mod journal;
pub mod lanes;
pub mod publish;
pub mod sequencer;

// Pure: no thread, no clock, no I/O.
pub mod admin;
pub mod command;
pub mod decimal;
pub mod event;
pub mod exchange;
pub mod fix;
pub mod genesis;
pub mod schema;
pub mod timestamp;
pub mod wire;

// Around it.
pub mod cli;
pub mod client;
pub mod keys;
pub mod ops;

// Ground.
pub mod agent;
pub mod checksum;
pub mod config;
pub mod endpoint;
pub mod fatal;
pub mod limits;
pub mod logging;
pub mod message;
pub mod packing;
pub mod ring;
pub mod stats;
pub mod sys;
pub mod types;
