//! Ed25519 key pairs: made, kept in a file, used to sign and to verify.
//!
//! Invariants: the secret leaves this module only into a file that its owner alone may read, never
//! into a log (`Debug` shows the public half); a file that others may read is refused; an existing
//! file is never overwritten.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Bytes of a public key.
pub const PUBLIC_KEY_SIZE: usize = 32;
/// Bytes of a signature.
pub const SIGNATURE_SIZE: usize = 64;

/// What a key file begins with; the secret follows as 64 hex digits.
const FILE_PREFIX: &str = "ed25519-secret ";
/// Longest key file that is read.
const FILE_MAX_BYTES: u64 = 4096;

/// Why a key could not be made, kept or read.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Its words.
        source: io::Error,
    },
    /// Others than the owner may read or write the file.
    #[error(
        "{}: mode {mode:03o} lets others than its owner use this secret key; run: chmod 600 {}",
        path.display(), path.display()
    )]
    LooseMode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file holds no key.
    #[error("{}: not a key file of `outcry keygen`", path.display())]
    NotAKey {
        /// The file.
        path: PathBuf,
    },
    /// The operating system gave no random bytes.
    #[error("no random bytes from the operating system: {0}")]
    NoRandom(String),
}

/// A secret key and its public half.
#[derive(Clone)]
pub struct KeyPair {
    signing: SigningKey,
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPair({})", self.public_hex())
    }
}

impl KeyPair {
    /// A new key from the operating system's randomness.
    ///
    /// # Errors
    /// [`KeyError::NoRandom`].
    pub fn generate() -> Result<KeyPair, KeyError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| KeyError::NoRandom(error.to_string()))?;
        Ok(KeyPair::from_seed(&seed))
    }

    /// The key of a seed, for tests and demonstrations that must repeat.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> KeyPair {
        KeyPair { signing: SigningKey::from_bytes(seed) }
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> [u8; PUBLIC_KEY_SIZE] {
        self.signing.verifying_key().to_bytes()
    }

    /// The public half as 64 hex digits, as `[[genesis.keys]]` wants it.
    #[must_use]
    pub fn public_hex(&self) -> String {
        hex(&self.public())
    }

    /// The pair in the form that seals frames.
    #[must_use]
    pub fn signing(&self) -> &SigningKey {
        &self.signing
    }

    /// Signs a message.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_SIZE] {
        self.signing.sign(message).to_bytes()
    }

    /// Writes the key to a new file with mode 600, durable when it returns.
    ///
    /// # Errors
    /// [`KeyError::Io`]; `AlreadyExists` where the file is there.
    pub fn save(&self, path: &Path) -> Result<(), KeyError> {
        let write = || {
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            writeln!(file, "{FILE_PREFIX}{}", hex(self.signing.as_bytes()))?;
            file.sync_all()?;
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
        };
        write().map_err(|source| KeyError::Io { path: path.to_owned(), source })
    }

    /// Reads a key from its file.
    ///
    /// # Errors
    /// [`KeyError`]: not readable, readable for others, or no key.
    pub fn load(path: &Path) -> Result<KeyPair, KeyError> {
        let io = |source| KeyError::Io { path: path.to_owned(), source };
        let not_a_key = || KeyError::NotAKey { path: path.to_owned() };
        let file = File::open(path).map_err(io)?;
        // Asked of the open file, not of the path, so that nothing changes in between.
        let mode = file.metadata().map_err(io)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::LooseMode { path: path.to_owned(), mode });
        }
        let mut bytes = Vec::new();
        file.take(FILE_MAX_BYTES).read_to_end(&mut bytes).map_err(io)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| not_a_key())?;
        let digits = text.trim_end().strip_prefix(FILE_PREFIX).ok_or_else(not_a_key)?;
        let seed = unhex(digits).ok_or_else(not_a_key)?;
        Ok(KeyPair::from_seed(&seed))
    }
}

/// True where `signature` is that of `message` by the owner of `public`.
///
/// Strict: weak public keys, with which a signature fits more than one message, never verify.
#[must_use]
pub fn verify(
    public: &[u8; PUBLIC_KEY_SIZE],
    message: &[u8],
    signature: &[u8; SIGNATURE_SIZE],
) -> bool {
    VerifyingKey::from_bytes(public)
        .is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(signature)).is_ok())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// 32 bytes from 64 hex digits of either case.
#[must_use]
pub fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_test_vector_of_rfc_8032_holds() {
        let seed = unhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
            .expect("64 digits");
        let key = KeyPair::from_seed(&seed);
        assert_eq!(
            key.public_hex(),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        );
        assert!(
            hex(&key.sign(b"")).starts_with("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974")
        );
        assert!(verify(&key.public(), b"", &key.sign(b"")));
    }

    #[test]
    fn a_changed_message_signature_or_key_does_not_verify() {
        let (key, other) = (KeyPair::from_seed(&[1; 32]), KeyPair::from_seed(&[2; 32]));
        let signature = key.sign(b"buy 1");
        assert!(verify(&key.public(), b"buy 1", &signature));
        assert!(!verify(&key.public(), b"buy 2", &signature));
        assert!(!verify(&other.public(), b"buy 1", &signature));
        for at in 0..SIGNATURE_SIZE {
            let mut changed = signature;
            changed[at] ^= 1;
            assert!(!verify(&key.public(), b"buy 1", &changed), "byte {at}");
        }
        // The identity point is a weak key: it would verify almost anything.
        let mut weak = [0; PUBLIC_KEY_SIZE];
        weak[0] = 1;
        assert!(!verify(&weak, b"buy 1", &signature));
    }

    #[test]
    fn a_saved_key_reads_back_and_is_never_overwritten() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("trader.key");
        let key = KeyPair::generate().expect("random bytes");
        key.save(&path).expect("a new file");
        assert_eq!(KeyPair::load(&path).expect("a key").public(), key.public());
        let error = KeyPair::from_seed(&[3; 32]).save(&path).expect_err("it exists");
        assert!(
            matches!(error, KeyError::Io { source, .. } if source.kind() == io::ErrorKind::AlreadyExists)
        );
        assert_eq!(KeyPair::load(&path).expect("the old key").public(), key.public());
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("trader.key");
        KeyPair::from_seed(&[4; 32]).save(&path).expect("a new file");
        for mode in [0o640, 0o604, 0o620, 0o601, 0o777] {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&path, permissions).expect("we own it");
            let error = KeyPair::load(&path).expect_err("others may use it");
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_no_key_is_refused() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for (at, text) in ["", "ed25519-secret ", "ed25519-secret zz", "-----BEGIN", "\u{fffd}"]
            .into_iter()
            .enumerate()
        {
            let path = dir.path().join(at.to_string());
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)
                .expect("new");
            file.write_all(text.as_bytes()).expect("written");
            assert!(matches!(KeyPair::load(&path), Err(KeyError::NotAKey { .. })), "{text:?}");
        }
    }

    #[test]
    fn the_secret_never_shows() {
        let key = KeyPair::from_seed(&[5; 32]);
        assert_eq!(format!("{key:?}"), format!("KeyPair({})", key.public_hex()));
        assert!(!format!("{key:?}").contains(&hex(&[5; 32])));
    }
}
