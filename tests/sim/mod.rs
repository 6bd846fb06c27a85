//! What the simulations share: a disk that forgets, and numbers that a seed repeats.

pub(crate) mod disk;
pub(crate) mod random;
