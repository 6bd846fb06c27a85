//! Child processes that never outlive us, and asking one to end.

use std::io;
use std::process::{Child, Command};

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

/// In the child, before it becomes another program.
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

/// Lets this process have `wanted` open descriptors where the system allows as many; how many it may
/// have now.
#[must_use]
pub fn allow_descriptors(wanted: u64) -> u64 {
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
