//! All integration tests in one binary.

mod allocation;
mod native_client;
mod native_document;
mod native_golden;
