//! The three lanes: which thread executes what, and whose state it alone writes.
//!
//! `critical` runs the exchange. `normal` and `batch` follow behind cursors: they take sequence N only
//! when `critical` has applied N, from the mapped journal and from `critical`'s event log, live and in
//! replay alike. A lane never calls another lane.

pub mod apply;
pub mod batch_size;
pub mod critical;
pub mod follower;
