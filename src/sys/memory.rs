//! Memory that is to be there before it is needed.
//!
//! A page that is touched for the first time costs a fault: a quarter of a microsecond on a machine
//! of one's own, ten and more on a virtual one whose host takes free pages back. A table of a
//! million entries has some ten thousand pages, and without this the first million orders pay for
//! them.

use std::path::Path;

/// The memory of a table, used or not.
///
/// Only an address and a size: it keeps nothing alive, and is of use only as a hint.
#[derive(Clone, Copy, Debug)]
pub struct Region {
    start: usize,
    size: usize,
}

/// What is made resident at a time: others wait for the process's memory map no longer than that.
const STEP_BYTES: usize = 4 << 20;

impl Region {
    /// All that a vector has reserved.
    #[must_use]
    pub fn of<T>(table: &Vec<T>) -> Region {
        Region { start: table.as_ptr().addr(), size: table.capacity() * size_of::<T>() }
    }

    /// Its size in bytes.
    #[must_use]
    pub const fn size_bytes(&self) -> usize {
        self.size
    }

    /// Asks for large pages, fewer of which have to be looked up or to fault: for a table that is
    /// touched at random.
    pub fn prefer_large_pages(&self) {
        advise(self.start, self.size, libc::MADV_HUGEPAGE);
    }

    /// Asks for large pages, and makes every page resident. What the pages hold does not change. A
    /// system that can do neither leaves it at that.
    pub fn make_resident(&self) {
        self.prefer_large_pages();
        for at in (0..self.size).step_by(STEP_BYTES) {
            let size = STEP_BYTES.min(self.size - at);
            advise(self.start + at, size, libc::MADV_POPULATE_WRITE);
        }
    }
}

/// Gives the kernel an advice on the whole pages within a range of addresses.
#[allow(unsafe_code, reason = "madvise is not in std")]
fn advise(start: usize, size: usize, advice: libc::c_int) {
    const PAGE: usize = 4096;
    let first = start.next_multiple_of(PAGE);
    let end = (start + size) / PAGE * PAGE;
    if end <= first {
        return;
    }
    // SAFETY: both kinds of advice given here change neither what the pages hold nor whether they
    // are mapped, whoever they belong to: populating faults pages in as a write of their own
    // content would, and refuses with an error what is not mapped or not writable.
    let _ = unsafe { libc::madvise(std::ptr::without_provenance_mut(first), end - first, advice) };
}

/// Memory that can be had without swapping, in bytes: the system's, or what is left of the limit of a
/// group that the process is in, if that is less. `None` where the system does not tell.
#[must_use]
pub fn available_bytes() -> Option<u64> {
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    let of_system = read(Path::new("/proc/meminfo")).and_then(|text| available_in(&text));
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    [of_system, left_in_groups(&groups, &read)].into_iter().flatten().min()
}

/// Makes this process the first that is ended where the machine has no memory left. A system that
/// cannot do this leaves it at that.
pub fn go_first() {
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
}

fn available_in(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kib.checked_mul(1024)
}

/// The files of a version of control groups.
struct GroupFiles {
    root: &'static str,
    limit: &'static str,
    usage: &'static str,
    /// What of the usage is cached files that nobody has used for long, in `memory.stat`.
    cached: &'static str,
}

const GROUPS_2: GroupFiles = GroupFiles {
    root: "/sys/fs/cgroup",
    limit: "memory.max",
    usage: "memory.current",
    cached: "inactive_file",
};
const GROUPS_1: GroupFiles = GroupFiles {
    root: "/sys/fs/cgroup/memory",
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    cached: "total_inactive_file",
};

/// What is left of the tightest limit of the groups in `text`, which is `/proc/self/cgroup`, and of those
/// above them; `None` where none has a limit.
fn left_in_groups(text: &str, read: &dyn Fn(&Path) -> Option<String>) -> Option<u64> {
    let of_line = |line: &str| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let files = match controllers {
            "" => GROUPS_2,
            some if some.split(',').any(|controller| controller == "memory") => GROUPS_1,
            _ => return None,
        };
        // In a container the path may be one of the system outside: then its root is what is seen.
        let group = Path::new(files.root).join(path.trim_start_matches('/'));
        let above = group.ancestors().take_while(|path| path.starts_with(files.root));
        above.filter_map(|group| left_in(group, &files, read)).min()
    };
    text.lines().filter_map(of_line).min()
}

/// What is left of a group's limit: cached files of it make room.
fn left_in(
    group: &Path,
    files: &GroupFiles,
    read: &dyn Fn(&Path) -> Option<String>,
) -> Option<u64> {
    let number = |name: &str| read(&group.join(name))?.trim().parse::<u64>().ok();
    // The word `max` is no limit.
    let (limit, usage) = (number(files.limit)?, number(files.usage)?);
    let stat = read(&group.join("memory.stat")).unwrap_or_default();
    let mut lines = stat.lines().filter_map(|line| line.split_once(' '));
    let cached = lines.find(|(name, _)| *name == files.cached);
    let cached = cached.and_then(|(_, bytes)| bytes.trim().parse().ok()).unwrap_or(0);
    Some(limit.saturating_sub(usage.saturating_sub(cached)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_available_is_read_from_the_systems_own_words() {
        let text = "MemTotal:  8 kB\nMemFree:   1 kB\nMemAvailable:    3 kB\nCached: 9 kB\n";
        assert_eq!(available_in(text), Some(3 * 1024));
        assert_eq!(available_in("MemTotal: 8 kB"), None);
        assert_eq!(available_in("MemAvailable: many kB"), None);
    }

    #[test]
    fn the_tightest_limit_of_a_group_counts_and_cached_files_make_room() {
        let files = [
            ("/sys/fs/cgroup/a/memory.max", "1000\n"),
            ("/sys/fs/cgroup/a/memory.current", "700\n"),
            ("/sys/fs/cgroup/a/memory.stat", "anon 300\ninactive_file 150\n"),
            ("/sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("/sys/fs/cgroup/a/b/memory.current", "5\n"),
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "90\n"),
            ("/sys/fs/cgroup/memory/memory.usage_in_bytes", "100\n"),
            ("/sys/fs/cgroup/memory/memory.stat", "inactive_file 1\ntotal_inactive_file 40\n"),
        ];
        let read = |path: &Path| {
            let found = files.iter().find(|(name, _)| Path::new(name) == path);
            found.map(|(_, text)| (*text).to_owned())
        };
        let left = |text: &str| left_in_groups(text, &read);
        assert_eq!(left("0::/a/b\n"), Some(450), "that of the group above");
        assert_eq!(left("0::/c\n"), None, "no limit");
        assert_eq!(left("4:cpu:/a\n3:hugetlb,memory:/outside/x\n"), Some(30));
        assert_eq!(left("3:memory:/\n0::/a\n"), Some(30));
        for text in ["", "0", "0:", "0::", "x:memory", "\n\n"] {
            left(text);
        }
    }

    #[test]
    fn what_a_table_holds_stays_and_an_address_that_is_gone_does_no_harm() {
        let mut table: Vec<u64> = Vec::with_capacity(3 << 20);
        table.extend(0..100_000);
        let region = Region::of(&table);
        assert_eq!(region.size_bytes(), (3 << 20) * 8);
        region.make_resident();
        assert!(table.iter().copied().eq(0..100_000));
        drop(table);
        region.make_resident();
        Region::of(&Vec::<u64>::new()).make_resident();
    }
}
