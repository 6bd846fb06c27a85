//! Keeps what recovery cuts, and remembers a cut until it is done.
//!
//! Cut bytes are first copied to `NAME.cutting`, synced; then zeros are written over them and synced;
//! then the file becomes `NAME.cut`. As long as a `.cutting` file is there, its range is zeroed again,
//! whether it looks like zeros or not: after a failed sync the page cache shows zeros that the disk
//! does not hold, and the old bytes would come back behind records written later.
//!
//! What a repair replaces is kept beside them as `NAME.damaged`.

use super::recovery::{Cut, RecoveryError, copy, failed};
use super::scan::Scan;
use super::segment::LogDir;
use crate::sys::storage::Append;
use std::io;
use std::path::{Path, PathBuf};

const PENDING: &str = "cutting";
const DONE: &str = "cut";
/// What a repair took out; nothing more is done with it.
const DAMAGED: &str = "damaged";

/// Copies everything behind the sound prefix to the archive, durably; gives all ranges to be zeroed,
/// those of an interrupted recovery included. Their names still say that the cut is pending.
pub(super) fn keep(log: &LogDir, scan: &Scan) -> Result<Vec<Cut>, RecoveryError> {
    let archive = log.archive_dir();
    let mut cuts = pending(log, scan)?;
    let known = cuts.len();
    for extent in &scan.beyond {
        let segment = scan.files[extent.file].index;
        let (offset, bytes) = (extent.offset, extent.length);
        let is_known = cuts[..known].iter().any(|cut| {
            cut.segment == segment
                && cut.offset <= offset
                && offset + bytes <= cut.offset + cut.bytes
        });
        if !is_known {
            log.storage().create_dir(&archive).map_err(failed("create", &archive))?;
            let archived = copy_out(log, segment, offset, bytes, &[PENDING, DONE])?;
            cuts.push(Cut { segment, offset, bytes, archived });
        }
    }
    if !cuts.is_empty() {
        log.storage().sync_dir(&archive).map_err(failed("sync", &archive))?;
    }
    Ok(cuts)
}

/// The zeros are synced: the cuts are done.
pub(super) fn finish(log: &LogDir, mut cuts: Vec<Cut>) -> Result<Vec<Cut>, RecoveryError> {
    for cut in &mut cuts {
        let done = cut.archived.with_extension(DONE);
        log.storage().rename(&cut.archived, &done).map_err(failed("rename", &cut.archived))?;
        cut.archived = done;
    }
    if !cuts.is_empty() {
        let archive = log.archive_dir();
        log.storage().sync_dir(&archive).map_err(failed("sync", &archive))?;
    }
    Ok(cuts)
}

/// Cuts that an interrupted recovery left pending.
fn pending(log: &LogDir, scan: &Scan) -> Result<Vec<Cut>, RecoveryError> {
    let archive = log.archive_dir();
    let paths = log.storage().list(&archive).map_err(failed("list", &archive))?;
    let mut cuts = Vec::new();
    for path in paths {
        let Some((segment, offset)) = parse(log, &path) else { continue };
        // Sound records stand there: the cut was done, and only its new name was lost.
        let is_behind = scan
            .end
            .is_none_or(|end| (segment, offset) >= (scan.files[end.file].index, end.offset));
        let file = scan.files.iter().find(|file| file.index == segment);
        let archived = log.storage().open(&path, Append::Write).map_err(failed("open", &path))?;
        let kept = archived.len().map_err(failed("read", &path))?;
        let bytes = file.map_or(0, |file| kept.min(file.length.saturating_sub(offset)));
        if is_behind && bytes > 0 {
            cuts.push(Cut { segment, offset, bytes, archived: path });
        }
    }
    Ok(cuts)
}

/// Segment and offset in the name of a pending cut of this log.
fn parse(log: &LogDir, path: &Path) -> Option<(u64, u64)> {
    if path.extension()? != PENDING {
        return None;
    }
    let rest = path.file_stem()?.to_str()?.strip_prefix(log.kind().as_str())?.strip_prefix('-')?;
    let mut numbers = rest.split('-');
    let segment = numbers.next()?.parse().ok()?;
    let offset = numbers.next()?.parse().ok()?;
    Some((segment, offset))
}

/// Keeps bytes that a repair is about to replace, durably; where an earlier try has kept the very same
/// bytes, nothing is written.
pub(super) fn keep_damaged(
    log: &LogDir,
    segment: u64,
    offset: u64,
    bytes: u64,
) -> Result<PathBuf, RecoveryError> {
    let (storage, archive) = (log.storage(), log.archive_dir());
    storage.create_dir(&archive).map_err(failed("create", &archive))?;
    let name = stem(log, segment, offset);
    let path = archive.join(format!("{name}.{DAMAGED}"));
    let is_kept = is_copy(log, segment, offset, bytes, &path).map_err(failed("read", &path))?;
    let path = match is_kept {
        true => path,
        false => copy_out(log, segment, offset, bytes, &[DAMAGED])?,
    };
    storage.sync_dir(&archive).map_err(failed("sync", &archive))?;
    Ok(path)
}

/// Whether a file of the archive holds exactly this range.
fn is_copy(log: &LogDir, segment: u64, offset: u64, bytes: u64, path: &Path) -> io::Result<bool> {
    let kept = match log.storage().open(path, Append::Write) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other?,
    };
    if kept.len()? != bytes {
        return Ok(false);
    }
    let file = log.open(&log.segment_path(segment))?;
    let (kept, map) = (kept.map(bytes)?, file.map(offset + bytes)?);
    Ok(kept.bytes() == &map.bytes()[offset as usize..])
}

/// The name of a range, without its extension.
fn stem(log: &LogDir, segment: u64, offset: u64) -> String {
    format!("{}-{segment:010}-{offset:012}", log.kind().as_str())
}

/// Copies a range to a new file whose name tells where it stood. It gets the first extension; none of
/// them may be there yet with its name.
fn copy_out(
    log: &LogDir,
    segment: u64,
    offset: u64,
    bytes: u64,
    extensions: &[&str],
) -> Result<PathBuf, RecoveryError> {
    let (storage, archive) = (log.storage(), log.archive_dir());
    let name = stem(log, segment, offset);
    let scratch = archive.join(format!("{name}.tmp"));
    match storage.remove(&scratch) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("remove", &scratch)(error));
        }
        _ => {}
    }
    let path = unused_name(log, &name, extensions)?;
    let from = log.segment_path(segment);
    let source = log.open(&from).map_err(failed("open", &from))?;
    let target = storage.create(&scratch, Append::Write).map_err(failed("create", &scratch))?;
    target.allocate(0, bytes).map_err(failed("allocate", &scratch))?;
    copy(&*source, offset, &*target, 0, bytes).map_err(failed("write", &scratch))?;
    target.sync_data().map_err(failed("sync", &scratch))?;
    storage.rename(&scratch, &path).map_err(failed("rename", &scratch))?;
    Ok(path)
}

/// A name of which there is no file with any of these extensions; it has the first.
fn unused_name(log: &LogDir, name: &str, extensions: &[&str]) -> Result<PathBuf, RecoveryError> {
    let archive = log.archive_dir();
    let taken = log.storage().list(&archive).map_err(failed("list", &archive))?;
    let is_taken = |path: &Path| {
        extensions.iter().any(|extension| taken.contains(&path.with_extension(extension)))
    };
    let mut path = archive.join(name).with_extension(extensions[0]);
    let mut attempt = 1;
    while is_taken(&path) {
        attempt += 1;
        path = archive.join(format!("{name}-{attempt}.{}", extensions[0]));
    }
    Ok(path)
}
