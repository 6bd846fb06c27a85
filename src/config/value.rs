//! The types of configured values that are neither numbers nor plain text.
//!
//! Invariant: each reads back the word it is written as, which is the word in `config.toml`.

use super::rule::{ANY, CORE_MAX, OFF};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

/// Where a listener listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Nowhere.
    Off,
    /// At this address; port 0 takes any free one.
    At(SocketAddr),
}

impl Listen {
    pub(super) const fn at_loopback(port: u16) -> Listen {
        Listen::At(SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port))
    }

    /// The address, if there is one.
    #[must_use]
    pub const fn address(self) -> Option<SocketAddr> {
        match self {
            Listen::Off => None,
            Listen::At(address) => Some(address),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Off => f.write_str(OFF),
            Listen::At(address) => address.fmt(f),
        }
    }
}

impl Serialize for Listen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == OFF {
            return Ok(Listen::Off);
        }
        text.parse().map(Listen::At).map_err(de::Error::custom)
    }
}

/// The core that a thread is pinned to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Core {
    /// Whichever the operating system or the layout chooses.
    Any,
    /// This one.
    Number(u16),
}

impl Serialize for Core {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Core::Any => serializer.serialize_str(ANY),
            Core::Number(number) => serializer.serialize_u16(*number),
        }
    }
}

impl<'de> Deserialize<'de> for Core {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Number(u16),
            Word(String),
        }
        match Raw::deserialize(deserializer)? {
            Raw::Number(number) if number <= CORE_MAX => Ok(Core::Number(number)),
            Raw::Word(word) if word == ANY => Ok(Core::Any),
            _ => Err(de::Error::custom("neither a core number nor \"any\"")),
        }
    }
}

/// An enum of words.
macro_rules! word_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant,)+ }

        impl $name {
            /// The word in the configuration.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

word_enum!(
    /// How safe a command is when its answer leaves. Policies of a cluster are refused by name
    /// before they get here.
    AckPolicy {
        /// Synced here.
        Disk = "disk",
        /// Received here.
        Memory = "memory",
    }
);

word_enum!(
    /// What becomes of a message whose priority is above what its key may use.
    AboveEntitlement {
        /// It gets what the key may use.
        Cap = "cap",
        /// It is refused.
        Refuse = "refuse",
    }
);

word_enum!(
    /// Which stages share a thread.
    Layout {
        /// Chosen by the number of cores.
        Auto = "auto",
        /// All hot stages on one thread.
        Compact = "compact",
        /// A thread for each stage.
        Dedicated = "dedicated",
    }
);

word_enum!(
    /// What a thread does while it has nothing to do.
    Idle {
        /// Sleeps until it is woken.
        Park = "park",
        /// Offers its core to others and looks again.
        Yield = "yield",
        /// Looks again at once; takes a core for itself.
        Spin = "spin",
    }
);

word_enum!(
    /// Least severe level that is written.
    LogLevel {
        /// What stops a node.
        Error = "error",
        /// What needs attention.
        Warn = "warn",
        /// What an operator wants to know.
        Info = "info",
        /// For finding a fault.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }
);

word_enum!(
    /// How logs are written.
    LogFormat {
        /// Text on a terminal, JSON lines elsewhere.
        Auto = "auto",
        /// One JSON object a line.
        Json = "json",
        /// For people.
        Text = "text",
    }
);
