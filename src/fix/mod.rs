//! FIX as bytes: 4.2, 4.4 and FIXT.1.1 with 5.0 SP2. What a stream's bytes are ([`frame()`]), what fields a
//! message has ([`Fields`]), whether the version's dictionary allows them ([`Parsed::check`]), and the way
//! back ([`Encoder`]).
//!
//! Invariants:
//! - Nothing that arrives makes this code panic, allocate without bound or take more than a few steps a
//!   byte.
//! - After warm-up nothing is allocated, neither for what is read nor for what is written.
//! - All that is known of fields and messages stands in `dictionary.txt` and nowhere else.

pub mod dictionary;
pub mod session;
pub mod tag;
pub mod value;

mod check;
mod encoder;
mod fields;
mod frame;
mod messages;
mod reference;
mod source;
mod xml;

pub use check::{Accepted, Policy, Refusal};
pub use encoder::{EncodeError, Encoder, Header};
pub use fields::{Field, FieldError, Fields, Garbled, Group, Parsed, View};
pub use frame::{Frame, GarbledFrame, MESSAGE_DEFAULT_MAX_BYTES, MESSAGE_MIN_BYTES, frame};
pub use messages::{received, verdict, write_admin, write_gap_fill};

/// The separator behind every field.
pub const SOH: u8 = 1;

/// A version that a session can speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// FIX 4.2.
    Fix42 = 0,
    /// FIX 4.4.
    Fix44 = 1,
    /// FIXT.1.1, with FIX 5.0 SP2 for applications.
    Fix50 = 2,
}

impl Version {
    /// All of them, oldest first.
    pub const ALL: [Version; source::VERSION_COUNT] =
        [Version::Fix42, Version::Fix44, Version::Fix50];

    /// BeginString (8).
    #[must_use]
    pub const fn begin_string(self) -> &'static str {
        match self {
            Version::Fix42 => "FIX.4.2",
            Version::Fix44 => "FIX.4.4",
            Version::Fix50 => "FIXT.1.1",
        }
    }

    /// The version of a BeginString; `None` where it is none of ours.
    #[must_use]
    pub fn of_begin_string(text: &[u8]) -> Option<Version> {
        Version::ALL.into_iter().find(|version| version.begin_string().as_bytes() == text)
    }

    /// DefaultApplVerID (1137) of its Logons.
    #[must_use]
    pub const fn default_appl_ver_id(self) -> Option<&'static str> {
        match self {
            Version::Fix42 | Version::Fix44 => None,
            Version::Fix50 => Some("9"),
        }
    }

    /// A SessionRejectReason (373), where the version has it: a Reject goes without one otherwise.
    #[must_use]
    pub const fn reject_reason(self, reason: u32) -> Option<u32> {
        let (max, other) = match self {
            Version::Fix42 => (11, false),
            Version::Fix44 => (17, true),
            Version::Fix50 => (18, true),
        };
        if reason <= max || (reason == 99 && other) { Some(reason) } else { None }
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Version::Fix42 => "FIX 4.2",
            Version::Fix44 => "FIX 4.4",
            Version::Fix50 => "FIX 5.0 SP2",
        })
    }
}
