//! The gateway as a stranger meets it: the real binary over TCP, spoken to by an encoder and decoder
//! of these tests' own, written from `docs/NATIVE.md` alone.

mod admin;
mod asking;
mod audit;
mod entitlement;
mod flow;
mod frame;
mod framing;
mod hostile;
mod logon;
mod node;
mod orders;
mod passing;
mod peer;
mod restart;
mod restraint;
mod resume;
mod seen;
mod start;
mod told;
mod twice;
