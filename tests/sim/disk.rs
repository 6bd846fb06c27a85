//! A disk under the test's control: it keeps what was synced, and of the rest what a seed says.
//!
//! The model: a file is sectors of 512 bytes. What was synced survives a power cut; of the sectors
//! written since, any subset does, some torn in the middle. Names (creations, renames, removals)
//! survive once their directory is synced; of the later ones, the first few. A killed process loses
//! nothing. A failed sync leaves its pages looking clean: the next sync says done, the disk never gets
//! them (fsyncgate). After a crash or kill every open file of the life before refuses to work.
//! A power cut may also be ordered at the nth call and its outcomes gone through one by one.

use super::random::Random;
use openoutcry::sys::storage::{Append, File, Mapping, Storage};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

const SECTOR: usize = 512;

#[derive(Clone, Default)]
struct Inode {
    /// What a reader sees.
    current: Vec<u8>,
    /// What a power cut leaves for sure.
    durable: Vec<u8>,
    /// Sectors written since the last sync.
    dirty: BTreeSet<usize>,
    /// Every range written, for mappings to catch up with.
    writes: Vec<(usize, usize)>,
}

impl Inode {
    fn write(&mut self, bytes: &[u8], offset: usize) {
        self.current[offset..offset + bytes.len()].copy_from_slice(bytes);
        self.touch(offset, bytes.len());
    }

    fn touch(&mut self, offset: usize, length: usize) {
        if length > 0 {
            self.dirty.extend(offset / SECTOR..=(offset + length - 1) / SECTOR);
            self.writes.push((offset, length));
        }
    }

    fn sync(&mut self) {
        self.durable.resize(self.current.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            let start = sector * SECTOR;
            let end = (start + SECTOR).min(self.current.len());
            if start < end {
                self.durable[start..end].copy_from_slice(&self.current[start..end]);
            }
        }
    }

    /// Keeps of what was not synced what `random` says.
    fn lose_power(&mut self, random: &mut Random) {
        let keep = [0, 10, 50, 90, 100][random.below(5) as usize];
        if self.durable.len() != self.current.len() && random.percent(50) {
            self.durable.resize(self.current.len(), 0);
        }
        for sector in std::mem::take(&mut self.dirty) {
            let start = sector * SECTOR;
            let end = (start + SECTOR).min(self.current.len()).min(self.durable.len());
            if start >= end || !random.percent(keep) {
                continue;
            }
            // A torn sector: only its beginning, or only its end, is new.
            let middle = start + random.below((end - start) as u64 + 1) as usize;
            let (from, to) = match random.below(10) {
                0 => (start, middle),
                1 => (middle, end),
                _ => (start, end),
            };
            self.durable[from..to].copy_from_slice(&self.current[from..to]);
        }
        self.current = self.durable.clone();
        self.writes.clear();
    }

    /// Bytes of a sector as they are, and as they are on the disk for sure.
    fn sector(&self, sector: usize) -> (&[u8], &[u8]) {
        let part = |bytes: &'_ [u8]| {
            let start = (sector * SECTOR).min(bytes.len());
            start..(start + SECTOR).min(bytes.len())
        };
        (&self.current[part(&self.current)], &self.durable[part(&self.durable)])
    }

    /// Sectors whose loss would be noticed.
    fn unsynced(&self) -> impl Iterator<Item = usize> {
        self.dirty.iter().copied().filter(|sector| {
            let (current, durable) = self.sector(*sector);
            let zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
            current != durable && !(durable.is_empty() && zero(current))
        })
    }
}

/// What a power cut may take: sectors that were not synced, in the order of their files, and changes
/// of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unsynced {
    pub(crate) sectors: Vec<(u64, usize)>,
    pub(crate) names: usize,
}

/// What it leaves of that.
#[derive(Clone, Debug)]
pub(crate) struct Left {
    /// The sectors that reached the disk, by their place in [`Unsynced::sectors`].
    pub(crate) sectors: Vec<usize>,
    /// One of which only the first half did.
    pub(crate) torn: Option<usize>,
    /// The first changes of names.
    pub(crate) names: usize,
    /// Files are as long as they were made.
    pub(crate) lengths: bool,
}

#[derive(Clone)]
enum NameOp {
    Set(PathBuf, u64),
    Remove(PathBuf),
}

#[derive(Clone, Default)]
struct State {
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    /// Changes of names since their directory was synced.
    pending: Vec<NameOp>,
    generation: u64,
    capacity: Option<u64>,
    /// Writes, syncs, allocations, renames and removals until one fails.
    fail_in: Option<(u64, io::ErrorKind)>,
    syncs: u64,
    /// Calls so far of those that can fail.
    steps: u64,
    /// The call at which the power goes: it is on its way to the disk, and none behind it is.
    cut_at: Option<u64>,
}

impl State {
    fn inode(&mut self, inode: u64) -> &mut Inode {
        self.inodes.get_mut(&inode).expect("an open file has an inode")
    }

    /// Counts down to the failure that was asked for.
    fn step(&mut self) -> io::Result<()> {
        self.steps += 1;
        if self.is_cut() {
            return Err(io::Error::other("the power is gone"));
        }
        match self.fail_in.as_mut() {
            Some((0, kind)) => {
                let kind = *kind;
                self.fail_in = None;
                Err(kind.into())
            }
            Some((count, _)) => {
                *count -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn is_cut(&self) -> bool {
        self.cut_at.is_some_and(|cut_at| self.steps >= cut_at)
    }

    /// Counts a call that may reach the disk although the power goes meanwhile: the second is what it
    /// returns. Nothing may happen where the first says so.
    fn step_on_its_way(&mut self) -> (bool, io::Result<()>) {
        let result = self.step();
        (result.is_ok() || self.cut_at == Some(self.steps), result)
    }

    fn rename_op(&mut self, op: NameOp) {
        apply(&mut self.names, &op);
        self.pending.push(op);
    }

    fn begin_life(&mut self) {
        self.generation += 1;
        (self.fail_in, self.cut_at) = (None, None);
        let used: BTreeSet<u64> =
            self.names.values().chain(self.durable_names.values()).copied().collect();
        self.inodes.retain(|inode, _| used.contains(inode));
    }
}

fn apply(names: &mut BTreeMap<PathBuf, u64>, op: &NameOp) {
    match op {
        NameOp::Set(path, inode) => names.insert(path.clone(), *inode),
        NameOp::Remove(path) => names.remove(path),
    };
}

/// The disk. Clones are the same disk.
#[derive(Clone, Default)]
pub(crate) struct SimDisk {
    state: Arc<Mutex<State>>,
}

impl SimDisk {
    pub(crate) fn new() -> SimDisk {
        SimDisk::default()
    }

    /// A disk that durably holds these files.
    pub(crate) fn with_files(files: impl IntoIterator<Item = (PathBuf, Vec<u8>)>) -> SimDisk {
        let disk = SimDisk::new();
        for (path, bytes) in files {
            let mut state = disk.lock();
            let inode = state.next_inode;
            state.next_inode += 1;
            let current = bytes.clone();
            state.inodes.insert(inode, Inode { current, durable: bytes, ..Inode::default() });
            state.names.insert(path.clone(), inode);
            state.durable_names.insert(path, inode);
        }
        disk
    }

    pub(crate) fn shared(&self) -> Arc<dyn Storage> {
        Arc::new(self.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("a test that panics is over")
    }

    /// Every file as a reader sees it.
    pub(crate) fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let state = self.lock();
        let read =
            |(path, inode): (&PathBuf, &u64)| (path.clone(), state.inodes[inode].current.clone());
        state.names.iter().map(read).collect()
    }

    /// The process is gone; the machine goes on.
    pub(crate) fn kill(&self) {
        self.lock().begin_life();
    }

    /// The machine stops and starts again.
    pub(crate) fn lose_power(&self, random: &mut Random) {
        let mut state = self.lock();
        for inode in state.inodes.values_mut() {
            inode.lose_power(random);
        }
        let pending = std::mem::take(&mut state.pending);
        let kept = random.below(pending.len() as u64 + 1) as usize;
        for op in &pending[..kept] {
            apply(&mut state.durable_names, op);
        }
        state.names = state.durable_names.clone();
        state.begin_life();
    }

    /// The power goes at the `count`th call of those that can fail, from now on.
    pub(crate) fn cut_in(&self, count: u64) {
        let mut state = self.lock();
        state.cut_at = Some(state.steps + count);
    }

    /// True where the power went.
    pub(crate) fn is_cut(&self) -> bool {
        self.lock().is_cut()
    }

    /// Calls so far of those that can fail.
    pub(crate) fn steps(&self) -> u64 {
        self.lock().steps
    }

    /// Another disk with the same content.
    pub(crate) fn fork(&self) -> SimDisk {
        SimDisk { state: Arc::new(Mutex::new(self.lock().clone())) }
    }

    /// What a power cut may take now.
    pub(crate) fn unsynced(&self) -> Unsynced {
        let state = self.lock();
        let sectors = state.inodes.iter().flat_map(|(inode, content)| {
            content.unsynced().map(|sector| (*inode, sector)).collect::<Vec<_>>()
        });
        Unsynced { sectors: sectors.collect(), names: state.pending.len() }
    }

    /// The machine stops and starts again with exactly this left of what was not synced.
    pub(crate) fn lose_power_to(&self, unsynced: &Unsynced, left: &Left) {
        let mut state = self.lock();
        if left.lengths {
            for inode in state.inodes.values_mut() {
                inode.durable.resize(inode.current.len(), 0);
            }
        }
        for place in &left.sectors {
            let (inode, sector) = unsynced.sectors[*place];
            let inode = state.inode(inode);
            let start = sector * SECTOR;
            let end = if left.torn == Some(*place) { start + SECTOR / 2 } else { start + SECTOR };
            let end = end.min(inode.current.len()).min(inode.durable.len());
            if start < end {
                inode.durable[start..end].copy_from_slice(&inode.current[start..end]);
            }
        }
        for inode in state.inodes.values_mut() {
            inode.dirty.clear();
            inode.writes.clear();
            inode.current = inode.durable.clone();
        }
        let pending = std::mem::take(&mut state.pending);
        for op in &pending[..left.names] {
            apply(&mut state.durable_names, op);
        }
        state.names = state.durable_names.clone();
        state.begin_life();
    }

    /// The write, allocation, sync, rename or removal after `count` more of them fails; a write then has happened in
    /// part, a sync not at all.
    pub(crate) fn fail_in(&self, count: u64, kind: io::ErrorKind) {
        self.lock().fail_in = Some((count, kind));
    }

    /// Bytes that all files together may have.
    pub(crate) fn set_capacity(&self, bytes: Option<u64>) {
        self.lock().capacity = bytes;
    }

    /// Nothing fails any more by itself.
    pub(crate) fn heal(&self) {
        self.lock().fail_in = None;
    }

    /// No file can grow any more.
    pub(crate) fn fill_up(&self) {
        let mut state = self.lock();
        state.capacity = Some(used(&state));
    }

    /// Syncs of files so far.
    pub(crate) fn syncs(&self) -> u64 {
        self.lock().syncs
    }
}

impl Storage for SimDisk {
    fn open(&self, path: &Path, _append: Append) -> io::Result<Arc<dyn File>> {
        let state = self.lock();
        let inode = *state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        let generation = state.generation;
        Ok(Arc::new(SimFile { state: self.state.clone(), inode, generation }))
    }

    fn create(&self, path: &Path, _append: Append) -> io::Result<Arc<dyn File>> {
        let mut state = self.lock();
        if state.is_cut() {
            return Err(io::Error::other("the power is gone"));
        }
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = state.next_inode;
        state.next_inode += 1;
        state.inodes.insert(inode, Inode::default());
        state.rename_op(NameOp::Set(path.to_owned(), inode));
        let generation = state.generation;
        Ok(Arc::new(SimFile { state: self.state.clone(), inode, generation }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let state = self.lock();
        Ok(state.names.keys().filter(|path| path.parent() == Some(dir)).cloned().collect())
    }

    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let (happens, result) = state.step_on_its_way();
        if happens {
            let inode = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
            state.rename_op(NameOp::Set(to.to_owned(), inode));
            state.rename_op(NameOp::Remove(from.to_owned()));
        }
        result
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let (happens, result) = state.step_on_its_way();
        if happens {
            if !state.names.contains_key(path) {
                return Err(io::ErrorKind::NotFound.into());
            }
            state.rename_op(NameOp::Remove(path.to_owned()));
        }
        result
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.step()?;
        let (mine, rest) = std::mem::take(&mut state.pending).into_iter().partition(|op| {
            let (NameOp::Set(path, _) | NameOp::Remove(path)) = op;
            path.parent() == Some(dir)
        });
        state.pending = rest;
        let mine: Vec<NameOp> = mine;
        for op in &mine {
            apply(&mut state.durable_names, op);
        }
        Ok(())
    }

    fn available_bytes(&self, _dir: &Path) -> io::Result<u64> {
        let state = self.lock();
        Ok(state.capacity.map_or(1 << 40, |capacity| capacity.saturating_sub(used(&state))))
    }
}

fn used(state: &State) -> u64 {
    state.names.values().map(|inode| state.inodes[inode].current.len() as u64).sum()
}

struct SimFile {
    state: Arc<Mutex<State>>,
    inode: u64,
    generation: u64,
}

impl SimFile {
    fn lock(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.state.lock().expect("a test that panics is over");
        if state.generation == self.generation {
            Ok(state)
        } else {
            Err(io::Error::other("the process that opened this file is gone"))
        }
    }
}

impl File for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock()?.inode(self.inode).current.len() as u64)
    }

    fn allocate(&self, offset: u64, size: u64) -> io::Result<()> {
        let mut state = self.lock()?;
        let (happens, result) = state.step_on_its_way();
        if !happens {
            return result;
        }
        let (start, end) = (offset as usize, (offset + size) as usize);
        let grown = end.saturating_sub(state.inode(self.inode).current.len()) as u64;
        if state.capacity.is_some_and(|capacity| used(&state) + grown > capacity) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let inode = state.inode(self.inode);
        let end_before = inode.current.len();
        inode.current.resize(end.max(end_before), 0);
        inode.current[start..end].fill(0);
        inode.touch(start, end - start);
        result
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.lock()?;
        let (happens, failed) = state.step_on_its_way();
        let cut = state.is_cut();
        let inode = state.inode(self.inode);
        let offset = offset as usize;
        assert!(offset + bytes.len() <= inode.current.len(), "a write within what is allocated");
        match happens {
            true => inode.write(bytes, offset),
            false if cut => {}
            false => inode.write(&bytes[..bytes.len() / 2], offset),
        }
        failed
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.lock()?;
        let rest = state.inode(self.inode).current.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(bytes.len());
        bytes[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.lock()?;
        state.syncs += 1;
        let failed = state.step();
        let cut = state.is_cut();
        let inode = state.inode(self.inode);
        match failed {
            Ok(()) => inode.sync(),
            Err(error) if cut => return Err(error),
            Err(error) => {
                // The pages look clean from now on, and the disk does not have them.
                inode.dirty.clear();
                return Err(error);
            }
        }
        Ok(())
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        let mut state = self.lock()?;
        if state.is_cut() {
            return Err(io::Error::other("the power is gone"));
        }
        state.inode(self.inode).current.truncate(size as usize);
        Ok(())
    }

    fn map(&self, len: u64) -> io::Result<Box<dyn Mapping>> {
        let mut state = self.lock()?;
        let inode = state.inode(self.inode);
        let bytes = inode.current.get(..len as usize).ok_or(io::ErrorKind::InvalidInput)?.to_vec();
        let seen = inode.writes.len();
        let (inode, generation) = (self.inode, self.generation);
        Ok(Box::new(SimMapping { state: self.state.clone(), inode, generation, bytes, seen }))
    }
}

struct SimMapping {
    state: Arc<Mutex<State>>,
    inode: u64,
    generation: u64,
    bytes: Vec<u8>,
    seen: usize,
}

impl Mapping for SimMapping {
    fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn refresh(&mut self) -> io::Result<()> {
        let mut state = self.state.lock().expect("a test that panics is over");
        if state.generation != self.generation {
            return Err(io::Error::other("the process that mapped this file is gone"));
        }
        let inode = state.inode(self.inode);
        for (offset, length) in &inode.writes[self.seen..] {
            let end = (offset + length).min(self.bytes.len()).min(inode.current.len());
            if *offset < end {
                self.bytes[*offset..end].copy_from_slice(&inode.current[*offset..end]);
            }
        }
        self.seen = inode.writes.len();
        Ok(())
    }
}
