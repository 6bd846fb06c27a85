//! Release: what leaves the process, and when it may.

pub mod gate;
pub mod outbound;
