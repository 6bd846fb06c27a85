//! Release: what leaves the process, and when it may.

pub mod event_log;
pub mod gate;
pub mod outbound;
pub mod priority_log;
pub mod reject_log;
pub mod replay;
pub mod rest;
