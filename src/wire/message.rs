//! Session messages: everything that is no command, in both directions.
//!
//! Layouts stand once, in the `messages!` calls here, in `answer` and in `query`; `docs/NATIVE.md`
//! shows them and a test compares the two. Schema ids 64 to 127 go to the server, 128 and up come
//! from it; a message in the wrong direction is an unknown schema.

use crate::command::{FieldLayout, PayloadError};
use crate::event::RejectReason;
use crate::limits::SESSION_NAME_MAX_BYTES;
use crate::types::{AccountId, AssetId, InstrumentId, KeyId, Priority, Role, Sequence, SessionId};
use crate::types::{OrderId, TimeNs};
use crate::wire::admin::{self, DirectoryHead, DirectoryView};
use crate::wire::answer::{Answer, AnswerView, Fill, OrderUpdate};
use crate::wire::fields::{expect_size, messages, split};
use crate::wire::frame::{Frame, FrameHead, FrameWriter};
use crate::wire::header::{BitMode, Flags};
use crate::wire::limits::LimitsView;
use crate::wire::query::{AccountView, BookView, ReferenceView};
use crate::wire::schemas::{self, SchemaHead, SchemaView};
use crate::wire::{WireError, answer, query};
use ed25519_dalek::SigningKey;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

/// Schema id, name and fixed fields of a message.
pub type Layout = (u32, &'static str, fn() -> Vec<FieldLayout>);

/// Bytes of text in a reject or a notice; longer text is cut.
pub const TEXT_MAX_BYTES: usize = 256;

/// A message, a message's head or a row: all of its fields have a fixed size.
pub trait Fixed: Sized {
    /// Schema id of the message.
    const SCHEMA: u32;
    /// Bytes.
    const SIZE: usize;
    /// Reads exactly these fields.
    ///
    /// # Errors
    /// [`PayloadError::Length`] and [`PayloadError::Field`].
    fn decode(payload: &[u8]) -> Result<Self, PayloadError>;
    /// Appends these fields.
    fn encode(&self, out: &mut Vec<u8>);
}

/// A message that is nothing but its fixed fields.
pub trait Message: Fixed {}

/// A [`RejectReason`] as it stands on the wire, so that a client outlives reasons that a later
/// server adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ReasonCode(pub u16);

impl ReasonCode {
    /// The reason; `None` for 0 and for numbers that this release does not know.
    #[must_use]
    pub const fn reason(self) -> Option<RejectReason> {
        RejectReason::from_u16(self.0)
    }
}

impl From<RejectReason> for ReasonCode {
    fn from(reason: RejectReason) -> ReasonCode {
        ReasonCode(reason as u16)
    }
}

impl From<Option<RejectReason>> for ReasonCode {
    fn from(reason: Option<RejectReason>) -> ReasonCode {
        ReasonCode(reason.map_or(0, |reason| reason as u16))
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason() {
            Some(reason) => reason.fmt(f),
            None => write!(f, "reason {}", self.0),
        }
    }
}

messages! {
    /// Layouts of the messages to the server.
    CLIENT_LAYOUTS:
    /// Opens the session, in a signed frame, as the answer to a [`Challenge`].
    Logon = 64, "logon" {
        /// The challenge's nonce.
        nonce: [u8; 32],
        /// Ed25519 public key; the frame is signed with its secret half.
        public_key: [u8; 32],
        /// The session's name among the key's sessions, padded with zeros.
        session_name: [u8; 32],
        /// Number of the last outbound message the client has; 0 for from now on.
        last_received: u64,
        /// The session's orders are cancelled when it is away.
        cancel_on_disconnect: bool,
    }
    /// Asks for a [`Pong`].
    Ping = 65, "ping" {
        /// Comes back.
        nonce: u64,
    }
    /// Ends the session.
    Logout = 66, "logout" {}
    /// Asks for a book.
    BookQuery = 67, "book-query" {
        /// Which.
        instrument: InstrumentId,
        /// Levels a side, or orders a side; 0 for as many as fit.
        depth: u16,
        /// Single orders instead of levels.
        orders: bool,
    }
    /// Asks for an account's balances and live orders.
    AccountQuery = 68, "account-query" {
        /// Which.
        account: AccountId,
        /// Only orders with a higher id; 0 from the start, and only then come balances.
        after_order: OrderId,
    }
    /// Asks for assets and instruments.
    ReferenceQuery = 69, "reference-query" {
        /// Only assets with a higher number.
        after_asset: AssetId,
        /// Only instruments with a higher number.
        after_instrument: InstrumentId,
    }
    /// Asks for keys and sequenced settings; for operators only.
    DirectoryQuery = 71, "directory-query" {
        /// Only keys with a higher number.
        after_key: KeyId,
    }
    /// Asks for the schemas that were registered.
    SchemaQuery = 72, "schema-query" {
        /// How many of them, in the order of registration, are known already.
        after: u32,
    }
    /// Asks for limits and limited positions: of accounts that the key may ask about.
    LimitsQuery = 73, "limits-query" {
        /// Of which account; 0 for all, and only then come collars.
        account: AccountId,
        /// Only collars and positions in this instrument; 0 for all.
        instrument: InstrumentId,
        /// Where the page begins, as the answer before says: after this account; 0 from the start.
        after_account: AccountId,
        /// And there after this instrument; 0 from the start.
        after_instrument: InstrumentId,
    }
}

messages! {
    /// Layouts of the messages from the server, without answers and fills (`answer::LAYOUTS`) and
    /// answers to queries (`query::LAYOUTS`).
    SERVER_LAYOUTS:
    /// The first message on a connection.
    Challenge = 128, "challenge" {
        /// Random; to be signed within the logon.
        nonce: [u8; 32],
        /// The server's clock, in nanoseconds since the Unix epoch.
        time_ns: TimeNs,
        /// Bytes of the longest frame that the server takes.
        frame_max: u32,
    }
    /// The session is open.
    LogonAccepted = 129, "logon-accepted" {
        /// The session's number.
        session: SessionId,
        /// The key's number.
        key: KeyId,
        /// What the key may do.
        role: Role,
        /// The last outbound number that was given to the session.
        outbound: u64,
        /// The last sequence of the node.
        sequence: Sequence,
        /// Silence of this many milliseconds ends the connection.
        heartbeat_interval_ms: u32,
    }
    /// A message was refused before it got a sequence; text follows.
    RejectHead = 132, "reject" {
        /// Why.
        reason: ReasonCode,
        /// Try again after so many milliseconds; 0 where that is no use.
        retry_after_ms: u32,
        /// Bytes of text.
        text_size: u16,
    }
    /// The answer to a [`Ping`].
    Pong = 133, "pong" {
        /// The ping's.
        nonce: u64,
    }
    /// The session was ended.
    LoggedOut = 137, "logged-out" {
        /// Why; 0 where the client asked for it.
        reason: ReasonCode,
    }
    /// Something to know; text follows.
    NoticeHead = 138, "notice" {
        /// 1 answers wait for a copy, 2 they go on, 3 the node is about to stop, 4 it is overloaded, 5 it is
        /// no longer, 6 numbers that were asked for are not kept any more.
        kind: u8,
        /// Bytes of text.
        text_size: u16,
    }
}

impl Message for Logon {}
impl Message for Ping {}
impl Message for Logout {}
impl Message for BookQuery {}
impl Message for AccountQuery {}
impl Message for ReferenceQuery {}
impl Message for DirectoryQuery {}
impl Message for SchemaQuery {}
impl Message for LimitsQuery {}
impl Message for Challenge {}
impl Message for LogonAccepted {}
impl Message for Pong {}
impl Message for LoggedOut {}
impl Message for Fill {}
impl Message for OrderUpdate {}

/// Every session message's layout, in schema order.
#[must_use]
pub fn layouts() -> Vec<Layout> {
    let mut all: Vec<Layout> = [
        CLIENT_LAYOUTS,
        SERVER_LAYOUTS,
        answer::LAYOUTS,
        query::LAYOUTS,
        admin::LAYOUTS,
        schemas::LAYOUTS,
    ]
    .concat();
    all.sort_by_key(|(schema, ..)| *schema);
    all
}

/// The head of a session message's frame, which has no metadata.
#[must_use]
#[inline]
pub(crate) fn head(schema: u32, client_sequence: u64) -> FrameHead {
    let flags = Flags::new(Priority::Normal);
    FrameHead { schema, flags, bit_mode: BitMode::Bits64, client_sequence }
}

/// Appends a frame with a session message and gives its place.
#[inline]
pub fn send<M: Message>(message: &M, client_sequence: u64, out: &mut Vec<u8>) -> Range<usize> {
    write(message, client_sequence, out).seal()
}

/// A frame with a session message that is still to be sealed.
#[inline]
pub fn write<'o, M: Message>(
    message: &M,
    client_sequence: u64,
    out: &'o mut Vec<u8>,
) -> FrameWriter<'o> {
    let mut writer = FrameWriter::begin(out, head(M::SCHEMA, client_sequence));
    message.encode(writer.payload());
    writer
}

impl Logon {
    /// A session name as it stands in a logon; `None` where it is empty, longer than 32 bytes or
    /// holds a control character.
    #[must_use]
    pub fn pad_name(name: &str) -> Option<[u8; 32]> {
        let valid = !name.is_empty()
            && name.len() <= SESSION_NAME_MAX_BYTES
            && !name.chars().any(char::is_control);
        let mut padded = [0; 32];
        padded.get_mut(..name.len()).filter(|_| valid)?.copy_from_slice(name.as_bytes());
        Some(padded)
    }

    /// The session's name; `None` where [`Logon::pad_name`] would not have made it.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        let size = self.session_name.iter().position(|byte| *byte == 0).unwrap_or(32);
        let name = std::str::from_utf8(&self.session_name[..size]).ok()?;
        (Logon::pad_name(name)? == self.session_name).then_some(name)
    }

    /// Appends the signed frame and gives its place.
    pub fn send(&self, client_sequence: u64, key: &SigningKey, out: &mut Vec<u8>) -> Range<usize> {
        let mut writer = FrameWriter::begin(out, head(Logon::SCHEMA, client_sequence));
        self.encode(writer.payload());
        writer.seal_signed(key)
    }
}

/// A session message to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientMessage {
    /// Opens the session.
    Logon(Logon),
    /// Asks for a pong.
    Ping(Ping),
    /// Ends the session.
    Logout(Logout),
    /// Asks for a book.
    BookQuery(BookQuery),
    /// Asks for an account.
    AccountQuery(AccountQuery),
    /// Asks for assets and instruments.
    ReferenceQuery(ReferenceQuery),
    /// Asks for keys and sequenced settings.
    DirectoryQuery(DirectoryQuery),
    /// Asks for registered schemas.
    SchemaQuery(SchemaQuery),
    /// Asks for limits.
    LimitsQuery(LimitsQuery),
}

impl ClientMessage {
    /// Reads a session message to the server.
    ///
    /// # Errors
    /// [`WireError::UnknownSchema`] and [`WireError::BadPayload`].
    pub fn decode(frame: &Frame<'_>) -> Result<ClientMessage, WireError> {
        let payload = frame.payload();
        Ok(match frame.schema() {
            Logon::SCHEMA => ClientMessage::Logon(Logon::decode(payload)?),
            Ping::SCHEMA => ClientMessage::Ping(Ping::decode(payload)?),
            Logout::SCHEMA => ClientMessage::Logout(Logout::decode(payload)?),
            BookQuery::SCHEMA => ClientMessage::BookQuery(BookQuery::decode(payload)?),
            AccountQuery::SCHEMA => ClientMessage::AccountQuery(AccountQuery::decode(payload)?),
            ReferenceQuery::SCHEMA => {
                ClientMessage::ReferenceQuery(ReferenceQuery::decode(payload)?)
            }
            DirectoryQuery::SCHEMA => {
                ClientMessage::DirectoryQuery(DirectoryQuery::decode(payload)?)
            }
            SchemaQuery::SCHEMA => ClientMessage::SchemaQuery(SchemaQuery::decode(payload)?),
            LimitsQuery::SCHEMA => ClientMessage::LimitsQuery(LimitsQuery::decode(payload)?),
            unknown => return Err(WireError::UnknownSchema(unknown)),
        })
    }
}

/// A message was refused before it got a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reject<'a> {
    /// Why.
    pub reason: ReasonCode,
    /// Try again after so many milliseconds; 0 where that is no use.
    pub retry_after_ms: u32,
    /// The reason in words.
    pub text: &'a str,
}

/// Something to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice<'a> {
    /// One of the kinds below.
    pub kind: u8,
    /// In words.
    pub text: &'a str,
}

/// The longest start of a text that has at most `max` bytes.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

/// Text that must take all of a message's tail.
pub(crate) fn text(
    schema: u32,
    head_size: usize,
    size: u16,
    tail: &[u8],
) -> Result<&str, PayloadError> {
    let (text, rest) = split(schema, tail, usize::from(size))?;
    expect_size(schema, rest, 0).map_err(|_| PayloadError::Length {
        schema,
        expected: head_size + text.len(),
        found: head_size + tail.len(),
    })?;
    std::str::from_utf8(text).map_err(|error| PayloadError::Field {
        schema,
        field: "text",
        value: i64::from(text[error.valid_up_to()]),
    })
}

impl<'a> Reject<'a> {
    fn decode(payload: &'a [u8]) -> Result<Reject<'a>, PayloadError> {
        let (head, tail) = RejectHead::decode_head(payload)?;
        Ok(Reject {
            reason: head.reason,
            retry_after_ms: head.retry_after_ms,
            text: text(RejectHead::SCHEMA, RejectHead::SIZE, head.text_size, tail)?,
        })
    }

    /// Appends a frame and gives its place.
    pub fn send(&self, client_sequence: u64, out: &mut Vec<u8>) -> Range<usize> {
        let text = cut(self.text, TEXT_MAX_BYTES);
        let (reason, retry_after_ms) = (self.reason, self.retry_after_ms);
        let mut writer = FrameWriter::begin(out, head(RejectHead::SCHEMA, client_sequence));
        let payload = writer.payload();
        RejectHead { reason, retry_after_ms, text_size: text.len() as u16 }.encode(payload);
        payload.extend_from_slice(text.as_bytes());
        writer.seal()
    }
}

impl<'a> Notice<'a> {
    /// Answers wait until the copies that the policy asks for exist again.
    pub const WAITING: u8 = 1;
    /// Answers go on.
    pub const RESUMED: u8 = 2;
    /// The node is about to stop.
    pub const STOPPING: u8 = 3;
    /// The node is overloaded: new orders are slowed, LOW and BATCH refused.
    pub const OVERLOADED: u8 = 4;
    /// It is no longer.
    pub const NOT_OVERLOADED: u8 = 5;
    /// Outbound numbers that a resuming session asked for are not kept any more.
    pub const GONE: u8 = 6;

    fn decode(payload: &'a [u8]) -> Result<Notice<'a>, PayloadError> {
        let (head, tail) = NoticeHead::decode_head(payload)?;
        let text = text(NoticeHead::SCHEMA, NoticeHead::SIZE, head.text_size, tail)?;
        Ok(Notice { kind: head.kind, text })
    }

    /// Appends a frame and gives its place.
    pub fn send(&self, out: &mut Vec<u8>) -> Range<usize> {
        let text = cut(self.text, TEXT_MAX_BYTES);
        let mut writer = FrameWriter::begin(out, head(NoticeHead::SCHEMA, 0));
        let payload = writer.payload();
        NoticeHead { kind: self.kind, text_size: text.len() as u16 }.encode(payload);
        payload.extend_from_slice(text.as_bytes());
        writer.seal()
    }
}

/// Rows of one kind at the end of a message; every one was checked when the message was read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Rows<'a, R> {
    bytes: &'a [u8],
    kind: PhantomData<R>,
}

impl<R: Fixed + fmt::Debug> fmt::Debug for Rows<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a, R: Fixed> Rows<'a, R> {
    /// Checks rows that take all of `bytes`.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Rows<'a, R>, PayloadError> {
        let rows = bytes.chunks_exact(R::SIZE);
        expect_size(R::SCHEMA, rows.remainder(), 0)?;
        for row in rows {
            R::decode(row)?;
        }
        Ok(Rows { bytes, kind: PhantomData })
    }

    /// How many there are.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len() / R::SIZE
    }

    /// True where there is none.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The rows, as sent.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = R> + use<'a, R> {
        self.bytes
            .chunks_exact(R::SIZE)
            .map(|row| R::decode(row).expect("every row was checked when the message was read"))
    }
}

/// A message from the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerMessage<'a> {
    /// The first message on a connection.
    Challenge(Challenge),
    /// The session is open.
    LogonAccepted(LogonAccepted),
    /// What became of a command.
    Answer(AnswerView<'a>),
    /// A fill that no answer carried.
    Fill(Fill),
    /// A change of an order that no answer and no fill tells.
    OrderUpdate(OrderUpdate),
    /// A message was refused before it got a sequence.
    Reject(Reject<'a>),
    /// The answer to a ping.
    Pong(Pong),
    /// A book.
    Book(BookView<'a>),
    /// An account.
    Account(AccountView<'a>),
    /// Assets and instruments.
    Reference(ReferenceView<'a>),
    /// Keys and sequenced settings.
    Directory(DirectoryView<'a>),
    /// Registered schemas.
    Schemas(SchemaView<'a>),
    /// Limits.
    Limits(LimitsView<'a>),
    /// The session was ended.
    LoggedOut(LoggedOut),
    /// Something to know.
    Notice(Notice<'a>),
}

impl<'a> ServerMessage<'a> {
    /// Reads a message from the server.
    ///
    /// # Errors
    /// [`WireError::UnknownSchema`] and [`WireError::BadPayload`].
    #[inline]
    pub fn decode(frame: &Frame<'a>) -> Result<ServerMessage<'a>, WireError> {
        let payload = frame.payload();
        Ok(match frame.schema() {
            Answer::SCHEMA => ServerMessage::Answer(AnswerView::decode(payload)?),
            Fill::SCHEMA => ServerMessage::Fill(Fill::decode(payload)?),
            OrderUpdate::SCHEMA => ServerMessage::OrderUpdate(OrderUpdate::decode(payload)?),
            RejectHead::SCHEMA => ServerMessage::Reject(Reject::decode(payload)?),
            Challenge::SCHEMA => ServerMessage::Challenge(Challenge::decode(payload)?),
            LogonAccepted::SCHEMA => ServerMessage::LogonAccepted(LogonAccepted::decode(payload)?),
            Pong::SCHEMA => ServerMessage::Pong(Pong::decode(payload)?),
            query::BookHead::SCHEMA => ServerMessage::Book(BookView::decode(payload)?),
            query::AccountHead::SCHEMA => ServerMessage::Account(AccountView::decode(payload)?),
            query::ReferenceHead::SCHEMA => {
                ServerMessage::Reference(ReferenceView::decode(payload)?)
            }
            DirectoryHead::SCHEMA => ServerMessage::Directory(DirectoryView::decode(payload)?),
            SchemaHead::SCHEMA => ServerMessage::Schemas(SchemaView::decode(payload)?),
            query::LimitsHead::SCHEMA => ServerMessage::Limits(LimitsView::decode(payload)?),
            LoggedOut::SCHEMA => ServerMessage::LoggedOut(LoggedOut::decode(payload)?),
            NoticeHead::SCHEMA => ServerMessage::Notice(Notice::decode(payload)?),
            unknown => return Err(WireError::UnknownSchema(unknown)),
        })
    }
}

#[cfg(test)]
mod tests;
