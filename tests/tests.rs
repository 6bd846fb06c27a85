//! All integration tests in one binary.

mod allocation;
mod native_document;
mod native_golden;
