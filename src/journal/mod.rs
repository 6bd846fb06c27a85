//! The journal: the total order, made durable; event logs and the reject log in the same format.
//!
//! `format` and `payload` are the bytes, `batch` writes them, `view` reads them in place. `segment`
//! prepares files, `writer` fills them, `reader` follows them; `scan` and `recovery` decide at start
//! what is there; `repair` takes what is damaged from a copy; `retention` lets go of what is oldest. No clock, no thread, no randomness: storage comes in through
//! [`crate::sys::storage`].

pub mod agent;
mod archive;
pub mod audit;
pub mod batch;
pub mod diff;
pub mod dump;
pub mod event_log;
pub mod format;
pub mod info;
pub mod payload;
pub mod quarantine;
pub mod reader;
pub mod recovery;
pub mod reject_log;
pub mod repair;
pub mod retention;
mod scan;
pub mod segment;
pub mod verify;
pub mod view;
pub mod writer;

pub use scan::Progress;
