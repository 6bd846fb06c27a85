//! The FIX session machine as a client meets it: scripts of `in:` and `out:` lines under a clock of the
//! test's, and an initiator of these tests' own that loses its connection.

mod chaos;
mod desk;
mod ending;
mod initiator;
mod life;
mod logons;
mod numbers;
mod refusals;
mod resends;
