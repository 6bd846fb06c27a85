//! The gateway as a stranger meets it: the real binary over TCP, spoken to by an encoder and decoder
//! of these tests' own, written from `docs/NATIVE.md` alone.

mod asking;
mod entitlement;
mod flow;
mod frame;
mod framing;
mod hostile;
mod logon;
mod node;
mod orders;
mod peer;
mod restart;
mod resume;
mod start;
mod twice;
