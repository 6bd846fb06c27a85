//! What gateways know of the sequenced state: a published version of keys, permissions, assets and
//! instruments. In this release genesis is all there is, so one version serves a whole run.

use crate::exchange::Permissions;
use crate::genesis::{Asset, GenesisItem, Instrument, Key};
use crate::types::{KeyId, Role};
use std::collections::HashMap;

/// A published version of the sequenced state, shared by all gateways.
pub struct Directory {
    permissions: Permissions,
    keys: HashMap<[u8; 32], (KeyId, Role)>,
    assets: Vec<Asset>,
    instruments: Vec<Instrument>,
}

impl Directory {
    /// The directory of these genesis items.
    ///
    /// # Panics
    /// Where a key's hex text is none: the items have been applied by the exchange, which checks it.
    #[must_use]
    pub fn new(items: &[GenesisItem], permissions: Permissions) -> Directory {
        let (mut keys, mut assets, mut instruments) = (HashMap::new(), Vec::new(), Vec::new());
        for item in items {
            match item {
                GenesisItem::Key(key) => {
                    keys.insert(public_key(key), (key.id, key.role));
                }
                GenesisItem::Asset(asset) => assets.push(asset.clone()),
                GenesisItem::Instrument(instrument) => instruments.push(instrument.clone()),
                GenesisItem::Settings(_) | GenesisItem::Account(_) => {}
            }
        }
        Directory { permissions, keys, assets, instruments }
    }

    /// Who may do what.
    #[must_use]
    pub fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// The key with this public half.
    #[must_use]
    pub fn key(&self, public_key: &[u8; 32]) -> Option<(KeyId, Role)> {
        self.keys.get(public_key).copied()
    }

    /// All assets.
    #[must_use]
    pub fn assets(&self) -> &[Asset] {
        &self.assets
    }

    /// All instruments.
    #[must_use]
    pub fn instruments(&self) -> &[Instrument] {
        &self.instruments
    }
}

fn public_key(key: &Key) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (index, byte) in bytes.iter_mut().enumerate() {
        let digits = key.public_key.get(index * 2..index * 2 + 2);
        *byte = digits
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .expect("the exchange refused genesis keys that are not 64 hex digits");
    }
    bytes
}
