//! Ed25519 keys: pairs in files that only their owner can read, and public keys that verify.
//!
//! A key file is text: a comment, `public` and 64 hex digits, `secret` and 64 hex digits. It is
//! created with mode 0600 and never read if others could read it too.

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a key cannot be used.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("key file {path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others than the owner may read or write the file.
    #[error(
        "key file {path} has mode {mode:04o}: others could read the secret; \
         run: chmod 600 {path}"
    )]
    Mode {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is no key file.
    #[error("key file {path}: {what}")]
    Format {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// Not a public key.
    #[error("a public key is 64 hex digits of a point that is not weak")]
    Public,
    /// The operating system gave no random bytes.
    #[error("no random bytes: {0}")]
    Random(getrandom::Error),
}

/// Lower-case hex digits of 32 bytes.
fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// 32 bytes from 64 hex digits.
fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

/// A public key, ready to verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// The key with these bytes.
    ///
    /// # Errors
    /// [`KeyError::Public`] where they are no point of the curve, or a weak one, for which
    /// signatures of any message can be made.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<PublicKey, KeyError> {
        match VerifyingKey::from_bytes(bytes) {
            Ok(key) if !key.is_weak() => Ok(PublicKey(key)),
            _ => Err(KeyError::Public),
        }
    }

    /// The key with these 64 hex digits.
    ///
    /// # Errors
    /// [`KeyError::Public`].
    pub fn from_hex(text: &str) -> Result<PublicKey, KeyError> {
        PublicKey::from_bytes(&unhex(text).ok_or(KeyError::Public)?)
    }

    /// The key's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// True where the signature of the message is this key's, checked strictly: a signature has one
    /// form, so that nobody can make a second one of it.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.0.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex(&self.to_bytes()))
    }
}

/// A secret key with its public half. The secret is not shown by `Debug` and is wiped when dropped.
#[derive(Clone)]
pub struct KeyPair(SigningKey);

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPair({})", self.public())
    }
}

impl KeyPair {
    /// A new pair from the operating system's random bytes.
    ///
    /// # Errors
    /// [`KeyError::Random`].
    pub fn generate() -> Result<KeyPair, KeyError> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(KeyError::Random)?;
        Ok(KeyPair::from_secret(&secret))
    }

    /// The pair with this secret.
    #[must_use]
    pub fn from_secret(secret: &[u8; 32]) -> KeyPair {
        KeyPair(SigningKey::from_bytes(secret))
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs a message.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }

    /// The key as frames are sealed with it.
    #[must_use]
    pub fn signing(&self) -> &SigningKey {
        &self.0
    }

    /// Writes a new file with mode 0600; an existing one is never overwritten.
    ///
    /// # Errors
    /// [`KeyError::Io`], `AlreadyExists` included.
    pub fn save(&self, path: &Path) -> Result<(), KeyError> {
        let io = |source| KeyError::Io { path: path.to_owned(), source };
        let text = format!(
            "# An OpenOutcry key. Keep it secret: whoever reads it can trade with it.\n\
             public {}\nsecret {}\n",
            self.public(),
            hex(self.0.as_bytes())
        );
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(io)?;
        file.write_all(text.as_bytes()).map_err(io)?;
        file.sync_all().map_err(io)
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// [`KeyError::Io`], [`KeyError::Mode`] and [`KeyError::Format`].
    pub fn load(path: &Path) -> Result<KeyPair, KeyError> {
        let io = |source| KeyError::Io { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(io)?;
        let mode = file.metadata().map_err(io)?.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Mode { path: path.to_owned(), mode });
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(io)?;
        let format = |what| KeyError::Format { path: path.to_owned(), what };
        let (mut public, mut secret) = (None, None);
        for line in text.lines().map(str::trim) {
            match line.split_once(' ') {
                _ if line.is_empty() || line.starts_with('#') => {}
                Some(("public", digits)) => public = unhex(digits.trim()),
                Some(("secret", digits)) => secret = unhex(digits.trim()),
                _ => return Err(format("a line is neither `public` nor `secret`")),
            }
        }
        let secret = secret.ok_or_else(|| format("no line `secret` with 64 hex digits"))?;
        let pair = KeyPair::from_secret(&secret);
        if public != Some(pair.public().to_bytes()) {
            return Err(format("the public key does not belong to the secret"));
        }
        Ok(pair)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn saved() -> (tempfile::TempDir, PathBuf, KeyPair) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a.key");
        let pair = KeyPair::generate().expect("random bytes");
        pair.save(&path).expect("a new file");
        (dir, path, pair)
    }

    #[test]
    fn a_key_file_reads_back_and_only_its_owner_can_read_it() {
        let (_dir, path, pair) = saved();
        let mode = fs::metadata(&path).expect("it exists").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let back = KeyPair::load(&path).expect("what we wrote");
        assert_eq!(back.public(), pair.public());
        let signature = back.sign(b"message");
        assert!(pair.public().verify(b"message", &signature));
        assert!(!pair.public().verify(b"another", &signature));
    }

    #[test]
    fn a_key_file_that_others_can_read_is_refused_with_the_remedy() {
        let (_dir, path, _) = saved();
        for mode in [0o640, 0o604, 0o660, 0o777] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("our own file");
            let error = KeyPair::load(&path).expect_err("too open").to_string();
            assert!(error.contains(&format!("{mode:04o}")), "{error}");
            assert!(error.contains("chmod 600"), "{error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).expect("our own file");
        assert!(KeyPair::load(&path).is_ok());
    }

    #[test]
    fn an_existing_key_is_never_overwritten() {
        let (_dir, path, pair) = saved();
        let other = KeyPair::generate().expect("random bytes");
        assert!(matches!(other.save(&path), Err(KeyError::Io { .. })));
        assert_eq!(KeyPair::load(&path).expect("the first one").public(), pair.public());
    }

    #[test]
    fn a_damaged_key_file_is_refused() {
        let (_dir, path, pair) = saved();
        let text = fs::read_to_string(&path).expect("what we wrote");
        let other = KeyPair::from_secret(&[1; 32]).public();
        for bad in [
            String::new(),
            text.replace("secret ", "secret 0"),
            text.replace("secret", "hidden"),
            text.replace(&pair.public().to_string(), &other.to_string()),
            text.replace("public", "#"),
        ] {
            fs::write(&path, bad).expect("our own file");
            assert!(matches!(KeyPair::load(&path), Err(KeyError::Format { .. })));
        }
    }

    #[test]
    fn the_secret_is_not_shown() {
        let pair = KeyPair::from_secret(&[0xA7; 32]);
        assert!(!format!("{pair:?}").contains(&"a7".repeat(4)));
    }

    #[test]
    fn public_keys_are_64_hex_digits_and_not_weak() {
        let public = KeyPair::from_secret(&[7; 32]).public();
        assert_eq!(PublicKey::from_hex(&public.to_string()).expect("good"), public);
        let upper = public.to_string().to_uppercase();
        assert_eq!(PublicKey::from_hex(&upper).expect("good"), public);
        // The neutral element verifies anything.
        let mut weak = [0; 32];
        weak[0] = 1;
        assert!(PublicKey::from_bytes(&weak).is_err());
        assert!(PublicKey::from_hex("ab").is_err());
        assert!(PublicKey::from_hex(&"é".repeat(32)).is_err());
    }
}
