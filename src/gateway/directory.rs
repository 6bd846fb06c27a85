//! What gateways know of the sequenced state: a published version of keys, permissions, assets and
//! instruments. In this release genesis is all there is, so one version serves a whole run.

use crate::exchange::Permissions;
use crate::genesis::{Asset, GenesisItem, Instrument};
use crate::types::{KeyId, Role};

/// A published version of the sequenced state, shared by all gateways.
pub struct Directory {
    permissions: Permissions,
    assets: Vec<Asset>,
    instruments: Vec<Instrument>,
}

impl Directory {
    /// The directory of these genesis items.
    #[must_use]
    pub fn new(items: &[GenesisItem], permissions: Permissions) -> Directory {
        let (mut assets, mut instruments) = (Vec::new(), Vec::new());
        for item in items {
            match item {
                GenesisItem::Asset(asset) => assets.push(asset.clone()),
                GenesisItem::Instrument(instrument) => instruments.push(instrument.clone()),
                GenesisItem::Settings(_) | GenesisItem::Account(_) | GenesisItem::Key(_) => {}
            }
        }
        Directory { permissions, assets, instruments }
    }

    /// Who may do what.
    #[must_use]
    pub fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// The key with this public half.
    #[must_use]
    pub fn key(&self, public_key: &[u8; 32]) -> Option<(KeyId, Role)> {
        let key = self.permissions.find(public_key)?;
        Some((key, self.permissions.role(key)?))
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
