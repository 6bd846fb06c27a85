//! `endpoint.json`: what a running node tells the commands on its machine, so that they need no
//! options.

use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};

/// Name of the file in the data directory.
const NAME: &str = "endpoint.json";
/// In place of an address: there is no such listener.
pub const OFF: &str = "off";

/// What a node writes when it accepts orders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Name of the node.
    pub node: String,
    /// Process number.
    pub pid: u32,
    /// Address of the native listener.
    pub native: String,
    /// Address of its admin listener, or `off`.
    #[serde(default = "off")]
    pub http: String,
    /// Its ack policy.
    pub policy: String,
    /// A key that may log on, where the node made one itself.
    pub key: Option<PathBuf>,
}

/// A listener that does not listen.
fn off() -> String {
    OFF.to_owned()
}

impl Endpoint {
    /// Address of the admin listener, where there is one.
    #[must_use]
    pub fn http(&self) -> Option<&str> {
        (self.http != OFF).then_some(self.http.as_str())
    }

    /// The file in a data directory.
    #[must_use]
    pub fn path(data_dir: &Path) -> PathBuf {
        data_dir.join(NAME)
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// As the operating system tells.
    pub fn write(&self, data_dir: &Path) -> io::Result<()> {
        let scratch = data_dir.join(format!("{NAME}.tmp"));
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        std::fs::write(&scratch, text)?;
        std::fs::rename(scratch, Endpoint::path(data_dir))
    }

    /// Reads the file; `None` where no node has written one.
    ///
    /// # Errors
    /// As the operating system tells, or `InvalidData` where it is no endpoint.
    pub fn read(data_dir: &Path) -> io::Result<Option<Endpoint>> {
        match std::fs::read(Endpoint::path(data_dir)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes the file: the node has ended.
    pub fn remove(data_dir: &Path) {
        // A file that stays only makes the next command say that nobody listens there.
        let _ = std::fs::remove_file(Endpoint::path(data_dir));
    }
}
