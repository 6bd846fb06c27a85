//! The key that a node without configured keys keeps for the commands on its machine.
//!
//! Invariants: a key is made only where genesis is still to come, which then knows it; a key that the
//! venue of the journal does not know is never offered; no listener that others can reach gets a key
//! that nobody asked for.

use super::Failure;
use super::offline::genesis;
use super::serve::unusable;
use crate::config::{Config, KeyEntry};
use crate::genesis::{GenesisItem, Key};
use crate::journal::info::info;
use crate::keys::KeyPair;
use crate::sys::disk::Disk;
use crate::types::Role;
use std::path::{Path, PathBuf};

/// Where it lies in the data directory.
const FILE: &str = "keys/demo.key";

/// The file of the node's own key.
pub(super) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE)
}

/// What commands on this machine can log on with.
pub(super) enum OwnKey {
    /// Keys are configured: each user has one.
    Configured,
    /// The node's own, which the venue knows.
    Known(PathBuf),
    /// The venue was sequenced with other keys than the node has.
    Lost,
}

impl OwnKey {
    /// The file of a key that the venue knows.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            OwnKey::Known(path) => Some(path),
            OwnKey::Configured | OwnKey::Lost => None,
        }
    }
}

/// Finds the node's own key or, before genesis, makes it, so that the first order takes no
/// configuration. Puts it into the configuration, beside which the journal is held.
pub(super) fn own_key(config: &mut Config, data_dir: &Path) -> Result<OwnKey, Failure> {
    if !config.genesis.keys.is_empty() {
        return Ok(OwnKey::Configured);
    }
    let logs = crate::node::logs(config, &Disk::shared(), data_dir);
    // Told to commands that run in other directories.
    let path = data_dir.join(FILE);
    let path = std::path::absolute(&path).unwrap_or(path);
    let entry = match genesis(&logs.commands) {
        Some(items) => match known(&path, &items)? {
            Some(entry) => entry,
            None => return Ok(OwnKey::Lost),
        },
        // A first batch that is torn or damaged, which the start will tell apart: a key was made for
        // it, and another one would be none of this venue's.
        None if info(&logs.commands).is_ok_and(|known| known.segments > 0) => match load(&path)? {
            Some(pair) => operator(&pair),
            None => return Ok(OwnKey::Lost),
        },
        None => first(config, &path)?,
    };
    config.genesis.keys.push(entry);
    Ok(OwnKey::Known(path))
}

/// The node's own key where genesis is still to come.
fn first(config: &Config, path: &Path) -> Result<KeyEntry, Failure> {
    let listen = config.gateway.native.listen.address();
    if !listen.is_some_and(|address| address.ip().is_loopback()) {
        return Err(Failure::usage(
            "genesis.keys is empty, so nobody could log on: `outcry keygen --role operator FILE` \
             prints an entry for config.toml (a listener on loopback gets a key by itself)",
        ));
    }
    let pair = match load(path)? {
        Some(pair) => pair,
        None => make(path)?,
    };
    Ok(operator(&pair))
}

fn operator(pair: &KeyPair) -> KeyEntry {
    KeyEntry {
        public_key: pair.public_hex(),
        role: Role::Operator,
        accounts: Vec::new(),
        priority: None,
        critical_per_s: None,
    }
}

/// The node's own key as the journal's venue knows it; where it does not, says what can be done. The
/// node starts all the same: who has one of the venue's keys can go on trading.
fn known(path: &Path, items: &[GenesisItem]) -> Result<Option<KeyEntry>, Failure> {
    let keys: Vec<&Key> = items
        .iter()
        .filter_map(|item| match item {
            GenesisItem::Key(key) => Some(key),
            _ => None,
        })
        .collect();
    if keys.is_empty() {
        return Err(Failure::usage(
            "the journal's venue was sequenced without keys, so nobody can log on, and this release \
             cannot add one: begin again with another --data-dir",
        ));
    }
    let pair = load(path)?;
    let public = pair.as_ref().map(KeyPair::public_hex);
    if let Some(key) = keys.iter().find(|key| Some(&key.public_key) == public.as_ref()) {
        let accounts = key.accounts.iter().map(|account| account.0).collect();
        let public_key = key.public_key.clone();
        let (priority, critical_per_s) = (Some(key.priority), Some(key.critical_per_s));
        return Ok(Some(KeyEntry {
            public_key,
            role: key.role,
            accounts,
            priority,
            critical_per_s,
        }));
    }
    let path = path.display();
    let what = match public {
        Some(public) => format!("{path} holds another key, with the public half {public}"),
        None => format!("{path} is missing"),
    };
    let theirs: Vec<&str> = keys.iter().map(|key| key.public_key.as_str()).collect();
    tracing::warn!(
        keys = theirs.join(", "),
        "commands on this machine cannot log on: {what}, and the journal's venue was sequenced with \
         other keys, to which only one of its operators can add one (`outcry keys add`). Restore the file from a copy, give \
         commands one of the venue's keys by --key, or begin again with another --data-dir"
    );
    Ok(None)
}

fn load(path: &Path) -> Result<Option<KeyPair>, Failure> {
    path.exists().then(|| KeyPair::load(path)).transpose().map_err(Failure::usage)
}

fn make(path: &Path) -> Result<KeyPair, Failure> {
    use std::os::unix::fs::DirBuilderExt;
    let dir = path.parent().expect("the key stands in a directory of its own");
    let mut builder = std::fs::DirBuilder::new();
    builder
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| unusable(format_args!("cannot create {}: {error}", dir.display())))?;
    let pair = KeyPair::generate().map_err(Failure::bad)?;
    pair.save(path).map_err(|error| unusable(format_args!("cannot write {error}")))?;
    Ok(pair)
}
