//! FIX: what a client and this venue say to each other in tag=value, without thread, clock or I/O.

pub mod session;
