//! The node: the only place that introduces stages to each other.

pub mod layout;
