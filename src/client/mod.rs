//! The client library: asynchronous by request id, one thread, no async runtime.
//!
//! ```no_run
//! use openoutcry::client::{Client, Config, Options, Reply};
//! use openoutcry::command::Deposit;
//! use openoutcry::keys::KeyPair;
//! use openoutcry::types::{AccountId, Amount, AssetId};
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let key = KeyPair::load("operator.key".as_ref())?;
//! let mut client = Client::connect(Config::new(&["127.0.0.1:4711"], key, "teller-1"))?;
//! let deposit = Deposit { account: AccountId(2), asset: AssetId(1), amount: Amount(100) };
//! let request = client.submit(&deposit.into(), &Options::default())?;
//! while client.in_flight() > 0 {
//!     client.poll(Some(Duration::from_secs(1)), |reply| {
//!         if let Reply::Answer { request: answered, view, .. } = reply {
//!             assert_eq!(answered, request);
//!             println!("{}", view.answer.status);
//!         }
//!     })?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [`Client::poll`] waits on a poll of its own. A program with many connections registers them
//! with one [`mio::Poll`] ([`Client::register`]) and calls [`Client::on_readable`],
//! [`Client::on_writable`], [`Client::flush`] and, now and then, [`Client::tick`] itself.
//! [`Conversation`] is the same without a socket.

mod connection;
mod conversation;
mod pending;

pub use connection::{Client, ClientError, Config, DisconnectReason};
pub use conversation::{Conversation, State, now_ms};
pub use pending::RequestId;

pub use crate::wire::partition::partition;

use crate::limits::FRAME_MAX_BYTES;
use crate::types::Priority;
use crate::wire::admin::DirectoryView;
use crate::wire::answer::{AnswerView, Fill, OrderUpdate};
use crate::wire::limits::LimitsView;
use crate::wire::message::{LogonAccepted, Notice, ReasonCode, Reject};
use crate::wire::metadata::{Custom, MetadataError};
use crate::wire::payload::IntError;
use crate::wire::query::{AccountView, BookView, ReferenceView};
use crate::wire::schemas::SchemaView;
use thiserror::Error;

/// Bytes of one read or write, at most.
pub const BUFFER_BYTES: usize = 256 * 1024;

const _: () = assert!(FRAME_MAX_BYTES < BUFFER_BYTES);

/// How a command is sent.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// How urgent it is. A critical command is always signed.
    pub priority: Priority,
    /// Milliseconds for which it is good; 0 for ever.
    pub ttl_ms: u32,
    /// Its message id; made from the session's name and the request's number where not given.
    pub message_id: Option<&'a str>,
    /// When it was made, in milliseconds since the Unix epoch; now where not given. Asking the
    /// clock costs some 30 ns, so give it where that counts.
    pub timestamp_ms: Option<i64>,
    /// Which of your systems it comes from.
    pub source: &'a str,
    /// Whatever you want to find again.
    pub correlation_id: &'a str,
    /// Your own pairs.
    pub custom: Custom<'a>,
    /// Sign it, whatever its priority.
    pub sign: bool,
    /// It may have been sent before, by an earlier run, with this id and time.
    pub possible_duplicate: bool,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Options {
            priority: Priority::Normal,
            ttl_ms: 0,
            message_id: None,
            timestamp_ms: None,
            source: "",
            correlation_id: "",
            custom: Custom::default(),
            sign: false,
            possible_duplicate: false,
        }
    }
}

/// Why a request was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SubmitError {
    /// As many requests wait as the window allows.
    #[error("the window is full: wait for answers")]
    WindowFull,
    /// There is no session.
    #[error("not logged on")]
    NotLoggedOn,
    /// The metadata is beyond a limit.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// A number does not fit.
    #[error(transparent)]
    Int(#[from] IntError),
    /// The server does not take frames of this size.
    #[error(
        "a frame of {size} bytes is longer than the {max} the server takes: its limits.frame_max_bytes"
    )]
    FrameTooLong {
        /// Bytes of the frame.
        size: usize,
        /// Bytes the server takes.
        max: usize,
    },
}

/// What came.
#[derive(Clone, Copy, Debug)]
pub enum Reply<'a> {
    /// The session is open.
    LoggedOn(LogonAccepted),
    /// What became of a command.
    Answer {
        /// The request; one that this client never gave belongs to an earlier run of the session.
        request: RequestId,
        /// The answer was given before: to a duplicate, or before the session was resumed.
        again: bool,
        /// The answer and its fills.
        view: AnswerView<'a>,
    },
    /// A fill of an order that rested or of a stop that was triggered, or one that an answer had no
    /// room for.
    Fill(Fill),
    /// A change of an order of this session that is neither a fill nor the answer to a command for it; or
    /// that a mass cancel of this session is done.
    OrderUpdate(OrderUpdate),
    /// A message was refused before it got a sequence; its message id is not used up.
    Reject {
        /// The request, where the server could tell.
        request: Option<RequestId>,
        /// Why.
        reject: Reject<'a>,
    },
    /// The answer to a ping.
    Pong {
        /// The request.
        request: RequestId,
        /// The ping's.
        nonce: u64,
    },
    /// A book.
    Book {
        /// The request.
        request: RequestId,
        /// The book.
        view: BookView<'a>,
    },
    /// An account.
    Account {
        /// The request.
        request: RequestId,
        /// The account.
        view: AccountView<'a>,
    },
    /// Assets and instruments.
    Reference {
        /// The request.
        request: RequestId,
        /// The text.
        view: ReferenceView<'a>,
    },
    /// Keys and sequenced settings.
    Directory {
        /// The request.
        request: RequestId,
        /// The text.
        view: DirectoryView<'a>,
    },
    /// Registered schemas.
    Schemas {
        /// The request.
        request: RequestId,
        /// The text.
        view: SchemaView<'a>,
    },
    /// Limits.
    Limits {
        /// The request.
        request: RequestId,
        /// The rows.
        view: LimitsView<'a>,
    },
    /// Messages of this session are missing: the server kept them no more.
    Gap {
        /// The outbound number that should have come.
        expected: u64,
        /// The one that came.
        found: u64,
    },
    /// Something to know.
    Notice(Notice<'a>),
    /// The session was ended.
    LoggedOut {
        /// Why; 0 where it was asked for.
        reason: ReasonCode,
    },
    /// The connection is gone; requests that wait can be sent again after
    /// [`Client::reconnect`] by [`Client::retry`].
    Disconnected {
        /// Why.
        reason: &'a DisconnectReason,
    },
}
