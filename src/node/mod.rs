//! The node: the only place that introduces stages to each other.

pub mod boot;
pub mod layout;
pub mod stages;
pub mod state;
