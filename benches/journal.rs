//! What an append costs on this machine: encoding a batch, and making it durable in different ways.
//!
//! `cargo bench --bench journal -- [DIR] [SECONDS]`: DIR is where the disk is measured (default: the
//! temporary directory), SECONDS how long each cell takes (default 1). The clock is the monotonic one;
//! a disk figure is from before the write to after the sync, one batch at a time, into a file that was
//! allocated, zeroed and synced before. Percentiles, never means.
//!
//! On a busy machine all cells show the scheduler's tick instead of the disk: run it on an idle one, or
//! with a real-time priority (`chrt -f 10`). The 1 MiB column has at most 245 samples (the file is full then).

use hdrhistogram::Histogram;
use memmap2::MmapRaw;
use openoutcry::journal::batch::{BatchBuilder, Part, RecordFields};
use openoutcry::journal::format::{JournalId, LogKind, RecordKind, Tip};
use openoutcry::limits::BATCH_COUNT_MAX;
use openoutcry::sys::disk::{Disk, start_write_back};
use openoutcry::sys::storage::{Append, File, Storage};
use openoutcry::types::{Epoch, Sequence, TimeNs};
use std::fs::OpenOptions;
use std::hint::black_box;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

const SIZES: [usize; 4] = [280, 4 * 1024, 64 * 1024, 1024 * 1024];
const FILE_BYTES: u64 = 256 * 1024 * 1024;
/// What `O_DIRECT` wants buffers and offsets to be multiples of.
const DIRECT_ALIGN: usize = 4096;
/// Bytes of a native frame with a new order.
const FRAME_BYTES: usize = 190;

fn main() -> io::Result<()> {
    // Cargo passes `--bench`; what is left are our own arguments.
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let dir = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let seconds = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(1.0);
    encoding();
    durability(&dir, Duration::from_secs_f64(seconds))
}

/// Nanoseconds up to a minute; what takes longer counts as one.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("the bounds and digits are allowed")
}

/// Times whole batches, because one record is shorter than reading the clock twice.
fn encoding() {
    let mut builder = BatchBuilder::new(LogKind::Commands, JournalId([1; 16]), Tip::START)
        .with_capacity(256 * 1024);
    let frame = [7; FRAME_BYTES];
    let mut times = histogram();
    let mut sequence = Sequence::NONE;
    for round in 0..20_000 {
        let started = Instant::now();
        builder.begin(Epoch(1), Sequence::NONE);
        for _ in 0..BATCH_COUNT_MAX {
            sequence = sequence.next();
            let fields = RecordFields {
                schema: 1,
                command: Part { offset: 80, length: 45 },
                message_id: Part { offset: 40, length: 16 },
                source: Part { offset: 60, length: 8 },
                frame_hash: Some(150),
                ..RecordFields::new(RecordKind::Command, sequence, TimeNs(sequence.0))
            };
            builder.push(black_box(&fields), black_box(&frame), None).expect("it fits");
        }
        builder.seal();
        let elapsed = started.elapsed();
        black_box(builder.sealed());
        builder.clear();
        // The first rounds touch the buffer's pages for the first time.
        if round > 100 {
            times.saturating_record(elapsed.as_nanos() as u64 / BATCH_COUNT_MAX as u64);
        }
    }
    print(&format!(
        "encode: {BATCH_COUNT_MAX} records of {FRAME_BYTES}-byte frames a batch, CRC-64 and hash chain \
         included: p50 {} ns, p99 {} ns a record\n",
        times.value_at_quantile(0.5),
        times.value_at_quantile(0.99)
    ));
}

/// A way to make bytes durable.
trait Way {
    fn write(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;
}

/// `pwrite` or a store through a mapping, then `fdatasync`: what the journal does.
struct Journal(Arc<dyn File>);

impl Way for Journal {
    fn write(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_at(bytes, offset)?;
        self.0.sync_data()
    }
}

/// A store through a mapping, then `msync` of the pages.
struct Msync {
    file: Arc<dyn File>,
    map: MmapRaw,
}

impl Way for Msync {
    fn write(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_at(bytes, offset)?;
        self.map.flush_range(offset as usize, bytes.len())
    }
}

/// `pwrite`, a hint to begin writing back, then `fdatasync`.
struct Hint(std::fs::File);

impl Way for Hint {
    fn write(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)?;
        start_write_back(&self.0, offset, bytes.len() as u64)?;
        self.0.sync_data()
    }
}

/// `pwrite` of whole pages past the page cache.
struct Direct {
    file: std::fs::File,
    buffer: Vec<u8>,
}

impl Way for Direct {
    fn write(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let start = self.buffer.as_ptr().align_offset(DIRECT_ALIGN);
        let length = bytes.len().next_multiple_of(DIRECT_ALIGN);
        let pages = &mut self.buffer[start..start + length];
        pages[..bytes.len()].copy_from_slice(bytes);
        self.file.write_all_at(pages, offset / DIRECT_ALIGN as u64 * DIRECT_ALIGN as u64)
    }
}

type Open = fn(&Path) -> io::Result<Box<dyn Way>>;

const WAYS: [(&str, Open); 5] = [
    ("pwrite + fdatasync", |path| Ok(Box::new(Journal(Disk.open(path, Append::Write)?)))),
    ("map + fdatasync", |path| Ok(Box::new(Journal(Disk.open(path, Append::Map)?)))),
    ("map + msync", |path| {
        let map = MmapRaw::map_raw(&OpenOptions::new().read(true).write(true).open(path)?)?;
        Ok(Box::new(Msync { file: Disk.open(path, Append::Map)?, map }))
    }),
    ("pwrite + sync_file_range + fdatasync", |path| {
        Ok(Box::new(Hint(OpenOptions::new().write(true).open(path)?)))
    }),
    ("O_DIRECT|O_DSYNC", |path| {
        let mut options = OpenOptions::new();
        let file = options.write(true).custom_flags(libc::O_DIRECT | libc::O_DSYNC).open(path)?;
        let buffer = vec![0; SIZES[SIZES.len() - 1] + 2 * DIRECT_ALIGN];
        Ok(Box::new(Direct { file, buffer }))
    }),
];

fn durability(dir: &Path, each: Duration) -> io::Result<()> {
    let path = dir.join(format!("openoutcry-bench-{}.seg", std::process::id()));
    print(&format!("durable: {}, p50 / p99 in µs\n", path.display()));
    let heads = SIZES.map(|size| format!(" {:>18} |", format!("{size} B"))).concat();
    print(&format!("| {:<36} |{heads}\n", "way"));
    for (name, open) in WAYS {
        let mut cells = String::new();
        for size in SIZES {
            let cell = match measure(&path, open, size, each) {
                Ok(times) => format!(
                    "{} / {}",
                    times.value_at_quantile(0.5) / 1000,
                    times.value_at_quantile(0.99) / 1000
                ),
                Err(error) => error.kind().to_string(),
            };
            cells.push_str(&format!(" {cell:>18} |"));
        }
        print(&format!("| {name:<36} |{cells}\n"));
    }
    Ok(())
}

fn measure(path: &Path, open: Open, size: usize, each: Duration) -> io::Result<Histogram<u64>> {
    prepare(path)?;
    let result = time(&mut *open(path)?, size, each);
    std::fs::remove_file(path)?;
    result
}

/// Allocates the file as a segment is, and syncs it.
fn prepare(path: &Path) -> io::Result<()> {
    let file = Disk.create(path, Append::Write)?;
    file.allocate(0, FILE_BYTES)?;
    file.sync_data()
}

fn time(way: &mut dyn Way, size: usize, each: Duration) -> io::Result<Histogram<u64>> {
    let mut times = histogram();
    let bytes = vec![0xA5; size];
    let (started, mut offset, mut count) = (Instant::now(), 0, 0);
    while started.elapsed() < each && offset + size as u64 + DIRECT_ALIGN as u64 <= FILE_BYTES {
        let before = Instant::now();
        way.write(&bytes, offset)?;
        let elapsed = before.elapsed();
        offset += size as u64;
        count += 1;
        if count > 10 {
            times.saturating_record(elapsed.as_nanos() as u64);
        }
    }
    Ok(times)
}

#[allow(clippy::print_stdout, reason = "a bench's result is what it prints")]
fn print(text: &str) {
    print!("{text}");
}
