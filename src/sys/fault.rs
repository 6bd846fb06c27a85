//! Media errors under a mapping: the kernel tells them by SIGBUS, and the process ends with a status
//! and a line that names the file.
//!
//! Invariants: what runs in the signal's handler reads a table of atomics, writes to stderr and ends
//! the process, nothing else: no lock, no allocation. A range is in the table for as long as it is
//! mapped. A SIGBUS outside all of them is none of ours and ends the process as it always does.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Mappings that are known at a time; of further ones the line tells the address alone.
const SLOTS: usize = 1024;
/// Words of a file's name that are kept: its last bytes.
const NAME_WORDS: usize = 24;
const NAME_MAX: usize = NAME_WORDS * 8;

/// `start` of a slot that nobody has, and of one that is being filled in.
const FREE: usize = 0;
const TAKEN: usize = 1;

struct Slot {
    /// First address.
    start: AtomicUsize,
    /// Behind the last address.
    end: AtomicUsize,
    /// Bytes of the name.
    length: AtomicUsize,
    name: [AtomicU64; NAME_WORDS],
}

impl Slot {
    const fn new() -> Slot {
        Slot {
            start: AtomicUsize::new(FREE),
            end: AtomicUsize::new(0),
            length: AtomicUsize::new(0),
            name: [const { AtomicU64::new(0) }; NAME_WORDS],
        }
    }
}

static TABLE: [Slot; SLOTS] = [const { Slot::new() }; SLOTS];

/// A mapped range in the table; dropped before it is unmapped.
pub(super) struct Registered(Option<usize>);

impl Registered {
    /// Enters the range of a file's mapping. Where the table is full it is left out.
    pub(super) fn new(start: usize, length: usize, path: &Path) -> Registered {
        use std::os::unix::ffi::OsStrExt;
        let taken = TABLE.iter().position(|slot| {
            let (free, order) = (slot.start.load(Ordering::Relaxed) == FREE, Ordering::Acquire);
            free && slot.start.compare_exchange(FREE, TAKEN, order, Ordering::Relaxed).is_ok()
        });
        if let Some(slot) = taken.map(|index| &TABLE[index]) {
            let path = path.as_os_str().as_bytes();
            let name = &path[path.len().saturating_sub(NAME_MAX)..];
            for (word, bytes) in slot.name.iter().zip(name.chunks(8)) {
                let mut padded = [0; 8];
                padded[..bytes.len()].copy_from_slice(bytes);
                word.store(u64::from_ne_bytes(padded), Ordering::Relaxed);
            }
            slot.length.store(name.len(), Ordering::Relaxed);
            slot.end.store(start + length, Ordering::Relaxed);
            // Release here pairs with the Acquire in `find`: who sees the range sees its name.
            slot.start.store(start, Ordering::Release);
        }
        Registered(taken)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        if let Some(index) = self.0 {
            // Release pairs with the Acquire of who takes the slot next.
            TABLE[index].start.store(FREE, Ordering::Release);
        }
    }
}

/// The slot of the range that an address lies in.
fn find(address: usize) -> Option<&'static Slot> {
    TABLE.iter().find(|slot| {
        let start = slot.start.load(Ordering::Acquire);
        start > TAKEN && (start..slot.end.load(Ordering::Relaxed)).contains(&address)
    })
}

/// A line of text on the stack.
struct Line {
    bytes: [u8; 512],
    length: usize,
}

impl Line {
    fn push(&mut self, bytes: &[u8]) {
        let count = bytes.len().min(self.bytes.len() - self.length);
        self.bytes[self.length..self.length + count].copy_from_slice(&bytes[..count]);
        self.length += count;
    }

    fn number(&mut self, mut value: usize) {
        let (mut digits, mut at) = ([0; 20], 20);
        loop {
            at -= 1;
            digits[at] = b'0' + (value % 10) as u8;
            value /= 10;
            if value == 0 {
                break;
            }
        }
        self.push(&digits[at..]);
    }
}

/// What the line says of an address in a mapped range.
fn line(slot: &Slot, address: usize, status: u8) -> Line {
    let mut line = Line { bytes: [0; 512], length: 0 };
    line.push(b"outcry: stopping: the disk could not deliver a page of ");
    let length = slot.length.load(Ordering::Relaxed);
    for (index, word) in slot.name.iter().enumerate() {
        let bytes = word.load(Ordering::Relaxed).to_ne_bytes();
        line.push(&bytes[..length.saturating_sub(index * 8).min(8)]);
    }
    line.push(b", offset ");
    line.number(address.saturating_sub(slot.start.load(Ordering::Relaxed)));
    line.push(b"; `outcry explain ");
    line.number(usize::from(status));
    line.push(b"` tells more\n");
    line
}

/// From here on a media error under a mapping of [`super::disk`] ends the process with `status`.
///
/// # Errors
/// As the operating system tells.
#[allow(unsafe_code, reason = "a signal's handler")]
pub fn end_with(status: u8) -> io::Result<()> {
    let action = move |info: &libc::siginfo_t| {
        // SAFETY: the kernel fills in the address of a SIGBUS.
        let address = unsafe { info.si_addr() }.addr();
        let Some(slot) = find(address) else { return };
        let line = line(slot, address, status);
        // SAFETY: both calls may be made in a handler; the bytes live for the whole call. What a
        // closed stderr does not take changes nothing: the status tells the same.
        unsafe {
            libc::write(libc::STDERR_FILENO, line.bytes.as_ptr().cast(), line.length);
            libc::_exit(i32::from(status));
        }
    };
    // SAFETY: the action calls nothing that may not be called in a handler: it reads atomics, fills an
    // array on the stack, writes and ends. It returns where the address is none of ours, and the
    // handler from before, which the registry calls first, has then restored the default: the access
    // faults again and ends the process.
    unsafe { signal_hook_registry::register_sigaction(libc::SIGBUS, action) }.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_found_with_its_name_while_it_is_mapped() {
        // Addresses that no mapping has.
        let start = usize::MAX - (1 << 20);
        let long = "x".repeat(300);
        let path = format!("/data/{long}/commands/0000000007.seg");
        let range = Registered::new(start, 4096, Path::new(&path));
        assert!(find(start - 1).is_none());
        assert!(find(start + 4096).is_none());
        let line = line(find(start + 4095).expect("within"), start + 4095, 14);
        let text = std::str::from_utf8(&line.bytes[..line.length]).expect("text");
        assert!(text.contains("/commands/0000000007.seg, offset 4095;"), "{text}");
        assert!(text.ends_with("`outcry explain 14` tells more\n"), "{text}");
        drop(range);
        assert!(find(start).is_none());
    }

    #[test]
    fn a_full_table_leaves_ranges_out_and_takes_them_again() {
        let start = usize::MAX - (1 << 30);
        // Other tests map files meanwhile.
        let many: Vec<Registered> = (0..2 * SLOTS)
            .map(|index| Registered::new(start + index * 16, 16, Path::new("a")))
            .collect();
        assert!(many.iter().any(|range| range.0.is_none()));
        drop(many);
        let again = Registered::new(start, 16, Path::new("b"));
        assert!(again.0.is_some());
        assert!(find(start).is_some());
    }
}
