//! Cores: how many there are, and pinning a thread to one.

/// How far a thread that gives way goes down, of 19 steps.
const NICE: libc::c_int = 10;

/// Lets the calling thread give way to others wherever a core is wanted by more than one.
#[allow(unsafe_code, reason = "setpriority is not in std")]
pub fn give_way() {
    // SAFETY: the call takes no pointers; 0 means the calling thread on Linux.
    let set = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
    if set != 0 {
        tracing::debug!("a thread keeps its priority: the system does not let it give way");
    }
}

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
