//! The machine: disk, mappings, clock, cores, sockets. One of the two homes of `unsafe`.

pub mod clock;
pub mod disk;
pub mod fault;
pub mod lock;
pub mod memory;
pub mod prefetch;
pub mod process;
pub mod random;
pub mod sha256;
pub mod storage;
pub mod thread;
