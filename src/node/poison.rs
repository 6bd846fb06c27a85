//! A command that ends every recovery: it is named instead of tried for ever, and an operator can set
//! it aside.
//!
//! While recovery applies records, a panic's hook writes the sequence in hand to a small file of the
//! data directory, crash-atomically. Where that has happened twice for one sequence and one release,
//! the next start refuses and names it. A recovery that succeeds removes the file.

use super::boot::{BootError, Logs, look, prepare};
use crate::journal::batch::{BatchBuilder, RecordFields};
use crate::journal::format::{LogKind, RecordKind};
use crate::journal::payload::Quarantine;
use crate::journal::quarantine::SetAside;
use crate::journal::recovery::{Recovered, RecoveryError};
use crate::journal::segment::{LogDir, Preparer};
use crate::journal::writer::{Appended, Syncer, Writer};
use crate::sys::storage::{Append, Storage};
use crate::types::{KeyId, Sequence, TimeNs};
use serde::{Deserialize, Serialize};
use std::cell::{Cell, RefCell};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};
use thiserror::Error;
use zerocopy::IntoBytes;

const NAME: &str = "poison.json";
const SCRATCH: &str = "poison.tmp";
/// The file is no longer than this.
const MARKER_MAX_BYTES: usize = 1024;
/// So many panics at one sequence make its record poison.
const ATTEMPTS_MAX: u32 = 2;

/// Applying a record has ended the process too often.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "record {sequence} is poison: applying it has ended {attempts} recoveries of this release; \
     `outcry journal quarantine {sequence}` makes it a reject, another release may be able to apply \
     it, and without {} it is tried again",
    marker.display()
)]
pub struct Poison {
    /// The record.
    pub sequence: Sequence,
    /// How often it was tried.
    pub attempts: u32,
    /// The file that says so.
    pub marker: PathBuf,
}

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// The record in hand when the process ended.
    pub sequence: u64,
    /// How often that was it.
    pub attempts: u32,
    /// The release that was running.
    pub version: String,
}

impl Marker {
    /// Reads the file; `None` where there is none, or what is there is none of ours: then the worst is
    /// one more attempt.
    ///
    /// # Errors
    /// As the storage tells.
    pub fn read(journal: &LogDir) -> io::Result<Option<Marker>> {
        read(&**journal.storage(), journal.data_dir())
    }
}

fn read(storage: &dyn Storage, data_dir: &Path) -> io::Result<Option<Marker>> {
    let file = match storage.open(&data_dir.join(NAME), Append::Write) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut bytes = [0; MARKER_MAX_BYTES];
    let length = file.read_at(&mut bytes, 0)?;
    let marker = serde_json::from_slice::<Marker>(&bytes[..length]).ok();
    Ok(marker.filter(|marker| marker.version == env!("CARGO_PKG_VERSION")))
}

/// Writes the file, whole or not at all, durable when it returns.
fn write(storage: &dyn Storage, data_dir: &Path, marker: &Marker) -> io::Result<()> {
    let (scratch, bytes) = (data_dir.join(SCRATCH), serde_json::to_vec(marker)?);
    remove(storage, &scratch)?;
    let file = storage.create(&scratch, Append::Write)?;
    file.allocate(0, bytes.len() as u64)?;
    file.write_at(&bytes, 0)?;
    file.sync_data()?;
    storage.rename(&scratch, &data_dir.join(NAME))?;
    storage.sync_dir(data_dir)
}

/// Removes a file; false where it was not there.
fn remove(storage: &dyn Storage, path: &Path) -> io::Result<bool> {
    match storage.remove(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Refuses a journal with a record behind `from` that has ended recovery too often and is not set
/// aside.
///
/// # Errors
/// [`BootError::Poison`], or what the storage tells.
pub(super) fn check(
    journal: &LogDir,
    from: Sequence,
    end: Sequence,
    set_aside: &SetAside,
) -> Result<(), BootError> {
    let marker = journal.data_dir().join(NAME);
    let failed = |source| RecoveryError::Io { action: "read", path: marker.clone(), source };
    let Some(Marker { sequence, attempts, .. }) = Marker::read(journal).map_err(failed)? else {
        return Ok(());
    };
    let sequence = Sequence(sequence);
    let is_there = sequence > from && sequence <= end && set_aside.of(sequence).is_none();
    if is_there && attempts >= ATTEMPTS_MAX {
        return Err(Poison { sequence, attempts, marker }.into());
    }
    Ok(())
}

/// Where a panic of this thread is noted.
#[derive(Clone)]
struct Place {
    storage: Arc<dyn Storage>,
    data_dir: PathBuf,
}

thread_local! {
    static PLACE: RefCell<Option<Place>> = const { RefCell::new(None) };
    /// The record in hand; 0 for none.
    static IN_HAND: Cell<u64> = const { Cell::new(0) };
}

/// The first note of a panic comes before whatever else the process says of it: where panics abort,
/// nothing runs behind the hooks.
fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            note();
            before(panic);
        }));
    });
}

/// Notes the record in hand of this thread, if it has one.
fn note() {
    let sequence = IN_HAND.try_with(Cell::take).unwrap_or(0);
    let place = PLACE.try_with(|place| place.try_borrow_mut().ok()?.take()).ok().flatten();
    let (Some(Place { storage, data_dir }), true) = (place, sequence != 0) else { return };
    let before = read(&*storage, &data_dir).ok().flatten();
    let attempts = 1 + before.filter(|it| it.sequence == sequence).map_or(0, |it| it.attempts);
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let noted = write(&*storage, &data_dir, &Marker { sequence, attempts, version });
    if let Err(error) = &noted {
        tracing::error!(%error, "cannot write {}", data_dir.join(NAME).display());
    }
    if attempts >= ATTEMPTS_MAX {
        tracing::error!(
            sequence,
            attempts,
            "applying record {sequence} has ended recovery again: the next start refuses it; \
             `outcry journal quarantine {sequence}` makes it a reject"
        );
    } else {
        tracing::error!(sequence, "applying record {sequence} has ended recovery");
    }
}

/// A recovery in which every record is tried. A panic of this thread meanwhile is noted.
pub(super) struct Trial {
    place: Place,
    /// For tests: the record that is to panic. Never set in a release build.
    panics_at: Option<u64>,
}

impl Trial {
    pub(super) fn begin(journal: &LogDir) -> Trial {
        install_hook();
        let (storage, data_dir) = (journal.storage().clone(), journal.data_dir().to_owned());
        let place = Place { storage, data_dir };
        PLACE.set(Some(place.clone()));
        let wanted = || std::env::var("TEST_PANIC_AT").ok()?.parse().ok();
        let panics_at = if cfg!(debug_assertions) { wanted() } else { None };
        Trial { place, panics_at }
    }

    /// The record with this sequence is applied next.
    #[inline]
    pub(super) fn of(&self, sequence: Sequence, set_aside: &SetAside) {
        IN_HAND.set(sequence.0);
        if self.panics_at == Some(sequence.0) && set_aside.of(sequence).is_none() {
            panic!("a test asked for it at record {sequence}");
        }
    }

    /// No record is in hand.
    pub(super) fn rest(&self) {
        IN_HAND.set(0);
    }

    /// Every record is applied: what was noted before is over.
    pub(super) fn passed(self) -> Result<(), BootError> {
        let Place { storage, data_dir } = &self.place;
        let marker = data_dir.join(NAME);
        let failed = |source| RecoveryError::Io { action: "remove", path: marker.clone(), source };
        if remove(&**storage, &marker).map_err(failed)? {
            storage.sync_dir(data_dir).map_err(failed)?;
        }
        Ok(())
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        IN_HAND.set(0);
        PLACE.set(None);
    }
}

/// Appends a quarantine record to a journal that was recovered and that no node runs on; its sequence.
/// It is durable when this returns.
///
/// # Errors
/// [`BootError`]: the disk failed, or is full.
///
/// # Panics
/// If the journal is empty.
pub fn quarantine(
    logs: &Logs,
    recovered: &Recovered,
    key: KeyId,
    payload: &Quarantine,
    now: TimeNs,
) -> Result<Sequence, BootError> {
    let id = recovered.id.expect("a journal with a command has an id");
    let tip = recovered.tip;
    let mut batches = BatchBuilder::new(LogKind::Commands, id, tip);
    batches.begin(tip.epoch, tip.sequence);
    let sequence = tip.sequence.next();
    let fields = RecordFields {
        key,
        ..RecordFields::new(RecordKind::Quarantine, sequence, now.max(tip.time))
    };
    batches.push(&fields, &[], Some(payload.as_bytes())).expect("it fits into any batch");
    batches.seal();
    let (mut preparer, prepared) = Preparer::new(logs.commands.clone(), recovered, 1);
    let log = logs.commands.clone();
    let version = look(&logs.commands)?.application_version;
    let mut writer = Writer::new(log, id, version, recovered, prepared)?;
    while writer.append(batches.sealed())? == Appended::NotReady {
        prepare(&logs.commands, &mut preparer)?;
    }
    let mut syncer = Syncer::new(tip.sequence);
    while let Some(job) = writer.take_sync() {
        syncer.sync(&job)?;
    }
    assert_eq!(syncer.durable(), sequence, "the record is durable");
    Ok(sequence)
}
