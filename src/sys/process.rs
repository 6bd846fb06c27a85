//! Child processes that never outlive us, and asking one to end.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::{Child, Command};
use std::sync::Arc;

/// Makes the child that `command` starts die with the thread that starts it, however that ends:
/// by a panic that aborts, or killed. On systems that cannot do this the child lives on.
pub fn die_with_parent(command: &mut Command) {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::process::CommandExt;
        let parent = std::process::id();
        // SAFETY: between fork and exec the closure calls nothing but prctl and getppid, which are
        // async-signal-safe, and allocates nothing: both errors are plain numbers.
        #[allow(unsafe_code, reason = "std has no other way to set this of a child")]
        unsafe {
            command.pre_exec(move || die_with(parent));
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = command;
}

/// Makes this process end with the thread of `parent` that has started it, as [`die_with_parent`] does,
/// but asked for by the child: the parent is then not copied to start it.
///
/// # Errors
/// Where that process is not our parent, or the system refuses.
pub fn end_with(parent: u32) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    die_with(parent)?;
    #[cfg(not(target_os = "linux"))]
    let _ = parent;
    Ok(())
}

/// In the child.
#[cfg(target_os = "linux")]
fn die_with(parent: u32) -> io::Result<()> {
    // SAFETY: both calls take and return plain numbers.
    #[allow(unsafe_code, reason = "the system calls have no wrapper in std")]
    let (set, now) =
        unsafe { (libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL), libc::getppid()) };
    if set == -1 {
        return Err(io::Error::last_os_error());
    }
    // A parent that died before the call above will not be noticed by it.
    if now.cast_unsigned() != parent {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    Ok(())
}

/// Lets this process wait for its children, where whoever started it had it ignore their ends: the
/// system forgets how a child ended then.
///
/// # Errors
/// Where the system refuses.
pub fn wait_for_children() -> io::Result<()> {
    signal_hook::flag::register(signal_hook::consts::SIGCHLD, Arc::default()).map(|_| ())
}

/// Lets this process have `wanted` open descriptors where the system allows as many, and makes its
/// table of them that large; how many it may have now.
#[must_use]
pub fn allow_descriptors(wanted: u64) -> u64 {
    let allowed = raise_limit(wanted);
    // Without a larger table all goes on, with the pauses that it is to avoid.
    let _ = grow_table(wanted.min(allowed));
    allowed
}

/// Makes the kernel's table of our descriptors large enough for `count`, for good: it never shrinks.
///
/// Linux doubles the table when it is full, and in a process of several threads waits a whole grace
/// period of its other cores for that, tens of milliseconds on a busy machine: a thread that accepts
/// connections would stop for so long again and again on its way to many of them.
fn grow_table(count: u64) -> io::Result<()> {
    let last = i32::try_from(count.saturating_sub(1)).unwrap_or(i32::MAX);
    let any = std::fs::File::open("/dev/null")?;
    // SAFETY: the call takes plain numbers, and the descriptor is open while `any` is.
    #[allow(unsafe_code, reason = "std cannot choose a descriptor's number")]
    let copy = unsafe { libc::fcntl(any.as_raw_fd(), libc::F_DUPFD_CLOEXEC, last) };
    if copy == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call above made this descriptor, and nobody else knows it.
    #[allow(unsafe_code, reason = "to close a descriptor from a plain number")]
    drop(unsafe { OwnedFd::from_raw_fd(copy) });
    Ok(())
}

fn raise_limit(wanted: u64) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call writes the structure that it is given, and nothing else.
    #[allow(unsafe_code, reason = "limits are not in std")]
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return wanted;
    }
    if limit.rlim_cur >= wanted {
        return limit.rlim_cur;
    }
    let raised = libc::rlimit { rlim_cur: wanted.min(limit.rlim_max), ..limit };
    // SAFETY: the call reads the structure that it is given.
    #[allow(unsafe_code, reason = "limits are not in std")]
    let done = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } == 0;
    if done { raised.rlim_cur } else { limit.rlim_cur }
}

/// Asks a child to end (SIGTERM).
///
/// # Errors
/// As the operating system tells.
pub fn terminate(child: &Child) -> io::Result<()> {
    let id = child.id().cast_signed();
    // SAFETY: the call takes plain numbers. The number is the child's: it is not given to another
    // process before the child is waited for, which takes the child mutably.
    #[allow(unsafe_code, reason = "std can only kill")]
    let sent = unsafe { libc::kill(id, libc::SIGTERM) };
    if sent == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_allowed_as_far_as_the_system_goes() {
        let now = allow_descriptors(0);
        assert!(now > 0, "a process has some");
        assert_eq!(allow_descriptors(now), now);
        let most = allow_descriptors(u64::MAX);
        assert!(most >= now);
        assert_eq!(allow_descriptors(0), most, "it stays");
    }

    /// Entries of the kernel's table of our descriptors.
    #[cfg(target_os = "linux")]
    fn table_size() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").expect("every process has one");
        let line = status.lines().find_map(|line| line.strip_prefix("FDSize:"));
        line.expect("it tells the size").trim().parse().expect("a number")
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_table_has_its_size_before_descriptors_are_opened() {
        let wanted = (2 * table_size()).max(2_000).min(raise_limit(u64::MAX));
        let allowed = allow_descriptors(wanted);
        assert!(table_size() >= wanted.min(allowed), "{} of {wanted}", table_size());
    }

    use std::os::unix::process::ExitStatusExt;
    use std::process::Stdio;

    #[test]
    fn a_child_is_asked_to_end() {
        let mut command = Command::new("cat");
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        die_with_parent(&mut command);
        let mut child = command.spawn().expect("cat is everywhere");
        let held = child.stdin.take();
        terminate(&child).expect("it is ours");
        assert_eq!(child.wait().expect("it ends").signal(), Some(libc::SIGTERM));
        drop(held);
    }
}
