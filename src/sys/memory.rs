//! Memory that is to be there before it is needed.
//!
//! A page that is touched for the first time costs a fault: a quarter of a microsecond on a machine
//! of one's own, ten and more on a virtual one whose host takes free pages back. A table of a
//! million entries has some ten thousand pages, and without this the first million orders pay for
//! them.

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

/// Memory that can be had without swapping, in bytes; `None` where the system does not tell.
#[must_use]
pub fn available_bytes() -> Option<u64> {
    available_in(&std::fs::read_to_string("/proc/meminfo").ok()?)
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
