//! OpenOutcry: a single-process, LMAX-style sequencer engine for exchanges and order-management
//! systems. `ARCHITECTURE.md` is the map; the modules stand here in the order data flows.

// The way of a command.
pub mod agent;
pub mod message;
pub mod sequencer;

// Pure: no thread, no clock, no I/O.
pub mod command;
pub mod event;
pub mod exchange;
pub mod genesis;
pub mod wire;

// Ground.
pub mod limits;
pub mod ring;
pub mod sys;
pub mod types;
