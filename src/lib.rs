//! OpenOutcry: a single-process, LMAX-style sequencer engine for exchanges and order-management
//! systems. `ARCHITECTURE.md` is the map; the modules stand here in the order data flows.

// Pure: no thread, no clock, no I/O.
pub mod command;
pub mod event;
pub mod genesis;
pub mod wire;

// Around it.
pub mod client;

// Ground.
pub mod keys;
pub mod limits;
pub mod sys;
pub mod types;
