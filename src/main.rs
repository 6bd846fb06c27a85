//! The `outcry` binary.
fn main() {}
