//! What is wrong with a configuration: one sentence that names key, value, bound and remedy.

use super::rule::Breach;
use std::fmt;
use std::path::PathBuf;
use thiserror::Error;

/// Where a value comes from, in rising precedence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Built in.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// This environment variable.
    Env(String),
    /// `--set`.
    Set,
    /// The command line's own option for this key.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(path) => write!(f, "{}", path.display()),
            Origin::Env(name) => write!(f, "env {name}"),
            Origin::Set => f.write_str("--set"),
            Origin::Flag(flag) => f.write_str(flag),
        }
    }
}

/// What is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: cannot read this configuration file: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        reason: String,
    },
    /// The file is not TOML.
    #[error("{}: not TOML: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What and where, in the parser's words.
        reason: String,
    },
    /// A `--set` without an equals sign.
    #[error("--set {text}: write it as section.key=value, such as ack.policy=memory")]
    NoValue {
        /// What was given.
        text: String,
    },
    /// No such key.
    #[error("{key}: unknown key (from {origin}); {hint}")]
    Unknown {
        /// The key as it was given.
        key: String,
        /// Where.
        origin: Origin,
        /// The nearest key, or where to find all.
        hint: String,
    },
    /// A value that its key cannot hold.
    #[error("{key}: {problem} (from {origin}); {fix}")]
    Wrong {
        /// The key.
        key: String,
        /// The value, and what the key holds, bounds included.
        problem: String,
        /// Where it comes from.
        origin: Origin,
        /// What to write instead.
        fix: String,
    },
    /// A key or value that is known and does not exist in this release.
    #[error("{key}: {what} does not exist in this release; {fix} (from {origin})")]
    NotInRelease {
        /// The key.
        key: String,
        /// What does not exist.
        what: String,
        /// What to write instead.
        fix: String,
        /// Where it comes from.
        origin: Origin,
    },
    /// A key that must be there is not.
    #[error("{key}: missing (in {origin}); it is {expected}")]
    Missing {
        /// The key.
        key: String,
        /// Where it is missing.
        origin: Origin,
        /// What the key holds.
        expected: String,
    },
    /// Two values that do not go together.
    #[error("{key}: {problem}; {fix}")]
    Relation {
        /// The key to change first.
        key: String,
        /// What does not go together.
        problem: String,
        /// What to do.
        fix: String,
    },
}

impl ConfigError {
    /// A value that its key cannot hold; `value` as TOML.
    pub(super) fn wrong(
        key: &str,
        value: &str,
        expected: &str,
        origin: &Origin,
        fix: impl Into<String>,
    ) -> Self {
        ConfigError::Wrong {
            key: key.to_owned(),
            problem: format!("{} is not {expected}", shorten(value)),
            origin: origin.clone(),
            fix: fix.into(),
        }
    }

    pub(super) fn breach(key: &str, value: &toml::Value, origin: &Origin, breach: Breach) -> Self {
        match breach {
            Breach::Wrong { expected, fix } => {
                ConfigError::wrong(key, &value.to_string(), &expected, origin, fix)
            }
            Breach::NotInRelease { what, fix } => {
                let (key, origin) = (key.to_owned(), origin.clone());
                ConfigError::NotInRelease { key, what, fix, origin }
            }
        }
    }

    pub(super) fn relation(
        key: impl Into<String>,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        ConfigError::Relation { key: key.into(), problem: problem.into(), fix: fix.into() }
    }
}

/// A value as it fits into one line of a message.
fn shorten(text: &str) -> String {
    const SHOWN_MAX: usize = 80;
    let line = text.replace('\n', " ");
    if line.chars().count() <= SHOWN_MAX {
        return line;
    }
    let mut short: String = line.chars().take(SHOWN_MAX).collect();
    short.push('…');
    short
}
