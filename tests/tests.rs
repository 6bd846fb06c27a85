//! All integration tests in one binary.

mod allocation;
mod native_golden;
