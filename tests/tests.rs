//! All integration tests in one binary.

mod allocations;
mod exchange;
mod model;
