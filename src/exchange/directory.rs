//! What gateways know of the sequenced state: a published version of keys, permissions, assets,
//! instruments and schemas. The critical lane publishes the next one when an admin command has changed it.

use super::{Exchange, Permissions, Schemas};
use crate::admin::Controls;
use crate::genesis::{Asset, Instrument, Key};
use crate::types::{KeyId, Role, Sequence};
use std::sync::Arc;

/// A published version of the sequenced state, shared by all gateways.
#[derive(Clone, Debug)]
pub struct Directory {
    sequence: Sequence,
    permissions: Permissions,
    controls: Controls,
    version: u32,
    keys: Vec<Key>,
    assets: Vec<Asset>,
    instruments: Vec<Instrument>,
    schemas: Arc<Schemas>,
}

impl Directory {
    /// The directory of an exchange as it is now.
    #[must_use]
    pub fn of(exchange: &Exchange) -> Directory {
        Directory {
            sequence: exchange.sequence(),
            permissions: exchange.permissions().clone(),
            controls: *exchange.controls(),
            version: exchange.version(),
            keys: exchange.keys().to_vec(),
            assets: exchange.assets.clone(),
            instruments: exchange.instruments.clone(),
            schemas: exchange.registered_schemas(),
        }
    }

    /// The last command that it knows of: it may be shown when that is released.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// Who may do what.
    #[must_use]
    pub fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// Version of the rules that hold.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The sequenced settings.
    #[must_use]
    pub fn controls(&self) -> &Controls {
        &self.controls
    }

    /// The key with this public half, unless it is disabled.
    #[must_use]
    pub fn key(&self, public_key: &[u8; 32]) -> Option<(KeyId, Role)> {
        let key =
            self.permissions.find(public_key).filter(|key| self.permissions.is_active(*key))?;
        Some((key, self.permissions.role(key)?))
    }

    /// All keys.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        &self.keys
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

    /// The registered schemas.
    #[must_use]
    pub fn schemas(&self) -> &Schemas {
        &self.schemas
    }
}
