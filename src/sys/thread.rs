//! Cores: how many there are, and pinning a thread to one.

/// Cores that this process may use, at least 1.
#[must_use]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Pins the calling thread to `core`. Failing is a warning that names the core: the node works
/// unpinned, only less evenly.
pub fn pin(thread: &str, core: usize) {
    if !core_affinity::set_for_current(core_affinity::CoreId { id: core }) {
        tracing::warn!(thread, core, "cannot pin the thread to this core; it runs unpinned");
    }
}
