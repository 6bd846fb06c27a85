//! The client's side of a session without a socket: bytes in, replies out, bytes to send.
//!
//! Invariants: every request gets one reply, also across reconnects; what the session's outbound
//! numbers show to be missing is told; nothing is allocated per message once buffers have grown.

use super::pending::Pending;
use super::{Options, Reply, RequestId, SubmitError};
use crate::admin::AdminCommand;
use crate::command::Command;
use crate::event::RejectReason;
use crate::keys::KeyPair;
use crate::limits::{FRAME_DEFAULT_BYTES, FRAME_MAX_BYTES};
use crate::types::{AccountId, AssetId, InstrumentId, KeyId, OrderId, Priority};
use crate::wire::admin::encode_admin;
use crate::wire::answer::{AnswerView, Fill};
use crate::wire::frame::mark_duplicate;
use crate::wire::message::{
    AccountQuery, BookQuery, Challenge, DirectoryQuery, LimitsQuery, Logon, LogonAccepted, Logout,
    Message, Ping, ReasonCode, ReferenceQuery, SchemaQuery, ServerMessage, send,
};
use crate::wire::{
    BitMode, Flags, Frame, FrameHead, FrameWriter, HashesAhead, Metadata, OpenLimits, WireError,
    frame_length, payload, seal_each,
};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const SERVER_LIMITS: OpenLimits = OpenLimits { frame_max: FRAME_MAX_BYTES, strict_reserved: false };
/// Client sequence of pings that the conversation sends by itself, and of logons.
const OWN_SEQUENCE: u64 = 0;

/// How far a conversation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Waits for the server's challenge.
    Connecting,
    /// The logon is sent.
    LoggingOn,
    /// Requests may be sent.
    Open,
    /// Over, until [`Conversation::restart`].
    Closed,
}

/// Message ids: a prefix that is new for each conversation, then the request's number.
#[derive(Debug)]
struct MessageIds {
    text: [u8; 64],
    prefix: usize,
}

impl MessageIds {
    fn new(session: &str, random: [u8; 4]) -> MessageIds {
        let prefix = format!("{session}-{:08x}", u32::from_be_bytes(random));
        let mut text = [b'0'; 64];
        text[..prefix.len()].copy_from_slice(prefix.as_bytes());
        MessageIds { text, prefix: prefix.len() }
    }

    #[inline(always)]
    fn stamp(&mut self, id: u64) -> &str {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let end = self.prefix + 16;
        let mut rest = id;
        for digit in self.text[self.prefix..end].iter_mut().rev() {
            *digit = DIGITS[(rest & 15) as usize];
            rest >>= 4;
        }
        std::str::from_utf8(&self.text[..end]).expect("a session name and hex digits")
    }
}

/// Silence on both sides of the connection.
#[derive(Debug)]
struct Quiet {
    sent: bool,
    received: bool,
    last_sent: Instant,
    last_received: Instant,
    last_ping: Instant,
}

/// The client's side of a session.
#[derive(Debug)]
pub struct Conversation {
    key: KeyPair,
    session_name: [u8; 32],
    state: State,
    out: Vec<u8>,
    /// Where in `out` frames begin whose CRC and hash are still to be filled: many at once.
    unsealed: Option<usize>,
    pending: Pending,
    message_ids: MessageIds,
    frame_max: usize,
    /// The last outbound number received; 0 for none yet.
    received: u64,
    /// What the next logon says it has received; 0 for from now on.
    resume_from: u64,
    /// The logon in force asked for what came after a number.
    resumes: bool,
    accepted: Option<LogonAccepted>,
    quiet: Quiet,
}

/// Milliseconds since the Unix epoch.
#[must_use]
pub fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

impl Conversation {
    /// A conversation with room for `window` requests that wait. `last_received` is the last
    /// outbound number that an earlier one got; 0 for from now on. `random` makes the message ids
    /// of this conversation its own.
    ///
    /// `None` where the session name is no good (see [`Logon::pad_name`]).
    #[must_use]
    pub fn new(
        key: KeyPair,
        session: &str,
        window: usize,
        last_received: u64,
        random: [u8; 4],
    ) -> Option<Conversation> {
        let session_name = Logon::pad_name(session)?;
        let now = Instant::now();
        // Numbers of an earlier conversation of this session are below: what still comes for it is
        // not taken for an answer to one of ours.
        let first = now_ms().max(1).unsigned_abs() << 20;
        Some(Conversation {
            key,
            session_name,
            state: State::Connecting,
            out: Vec::with_capacity(super::BUFFER_BYTES),
            unsealed: None,
            pending: Pending::new(window, first),
            message_ids: MessageIds::new(session, random),
            frame_max: FRAME_DEFAULT_BYTES,
            received: last_received,
            resume_from: last_received,
            resumes: false,
            accepted: None,
            quiet: Quiet {
                sent: false,
                received: false,
                last_sent: now,
                last_received: now,
                last_ping: now,
            },
        })
    }

    /// How far it is.
    #[must_use]
    #[inline]
    pub fn state(&self) -> State {
        self.state
    }

    /// What the server said at the last logon.
    #[must_use]
    pub fn accepted(&self) -> Option<&LogonAccepted> {
        self.accepted.as_ref()
    }

    /// The last outbound number received; 0 for none yet.
    #[must_use]
    pub fn last_received(&self) -> u64 {
        self.received
    }

    /// How many requests wait for their reply.
    #[must_use]
    #[inline]
    pub fn in_flight(&self) -> usize {
        self.pending.waiting()
    }

    /// True where a request may be sent now.
    #[must_use]
    #[inline]
    pub fn has_room(&self) -> bool {
        self.state == State::Open && self.pending.has_room()
    }

    /// The number that the next request gets; they ascend by one.
    #[must_use]
    pub fn next_request(&self) -> RequestId {
        self.pending.next()
    }

    /// Bytes to send; whoever sends them takes them away.
    #[inline]
    pub fn out(&mut self) -> &mut Vec<u8> {
        self.quiet.sent = true;
        if let Some(from) = self.unsealed.take() {
            seal_each(&mut self.out[from..]);
        }
        &mut self.out
    }

    /// True where there are bytes to send.
    #[must_use]
    #[inline]
    pub fn has_output(&self) -> bool {
        !self.out.is_empty()
    }

    /// Begins again on a new connection; requests that wait go on waiting.
    pub fn restart(&mut self) {
        self.forget_output();
        self.state = State::Connecting;
        let now = Instant::now();
        self.quiet.last_sent = now;
        self.quiet.last_received = now;
        self.quiet.last_ping = now;
    }

    /// Ends it: the connection is gone.
    pub fn close(&mut self) {
        self.forget_output();
        self.state = State::Closed;
    }

    fn forget_output(&mut self) {
        self.out.clear();
        self.unsealed = None;
    }

    /// Appends a command to what is to be sent.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing is appended then.
    #[inline]
    pub fn submit(
        &mut self,
        command: &Command,
        options: &Options<'_>,
    ) -> Result<RequestId, SubmitError> {
        let schema = command.schema();
        let encode =
            |payload: &mut Vec<u8>| Ok(payload::encode_command(command, BitMode::Bits64, payload)?);
        self.send_command(schema, options, encode)
    }

    /// Appends an admin command to what is to be sent, signed.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing is appended then.
    pub fn administer(
        &mut self,
        command: &AdminCommand,
        options: &Options<'_>,
    ) -> Result<RequestId, SubmitError> {
        let options = Options { sign: true, ..*options };
        let max = self.frame_max;
        self.send_command(AdminCommand::SCHEMA, &options, |payload| {
            if encode_admin(command, payload) {
                return Ok(());
            }
            Err(SubmitError::FrameTooLong { size: command.encode().len(), max })
        })
    }

    /// Appends a frame with metadata; `encode` appends its payload.
    #[inline(always)]
    fn send_command(
        &mut self,
        schema: u32,
        options: &Options<'_>,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), SubmitError>,
    ) -> Result<RequestId, SubmitError> {
        self.check()?;
        let id = self.pending.next();
        let message_id = match options.message_id {
            Some(given) => given,
            None => self.message_ids.stamp(id.0),
        };
        let metadata = Metadata {
            message_id,
            timestamp_ms: options.timestamp_ms.unwrap_or_else(now_ms),
            source: options.source,
            correlation_id: options.correlation_id,
            retry_count: 0,
            priority: options.priority,
            ttl_ms: options.ttl_ms,
            custom: options.custom,
        };
        let again = if options.possible_duplicate { Flags::POSSIBLE_DUPLICATE } else { 0 };
        let head = FrameHead {
            schema,
            flags: Flags::new(options.priority).with(Flags::RESPONSE_REQUIRED | again),
            bit_mode: BitMode::Bits64,
            client_sequence: id.0,
        };
        let mut writer = FrameWriter::begin_with(&mut self.out, head, &metadata)?;
        encode(writer.payload())?;
        let signed = options.sign || options.priority == Priority::Critical;
        let at = match signed {
            true => writer.seal_signed(self.key.signing()),
            false => writer.leave_unsealed(),
        };
        if at.len() > self.frame_max {
            let (size, max) = (at.len(), self.frame_max);
            self.out.truncate(at.start);
            return Err(SubmitError::FrameTooLong { size, max });
        }
        if !signed {
            self.unsealed.get_or_insert(at.start);
        }
        // A retry marks the frame as one, and seals it then.
        Ok(self.pending.push(&self.out[at]))
    }

    #[inline]
    fn check(&self) -> Result<(), SubmitError> {
        if self.state != State::Open {
            return Err(SubmitError::NotLoggedOn);
        }
        if !self.pending.has_room() {
            return Err(SubmitError::WindowFull);
        }
        Ok(())
    }

    fn ask<M: Message>(&mut self, message: &M) -> Result<RequestId, SubmitError> {
        self.check()?;
        let at = send(message, self.pending.next().0, &mut self.out);
        Ok(self.pending.push(&self.out[at]))
    }

    /// Asks for a book; depth 0 for as much as fits.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub fn book(
        &mut self,
        instrument: InstrumentId,
        depth: u16,
        orders: bool,
    ) -> Result<RequestId, SubmitError> {
        self.ask(&BookQuery { instrument, depth, orders })
    }

    /// Asks for an account's balances and the live orders after one; 0 from the start.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub fn account(
        &mut self,
        account: AccountId,
        after_order: OrderId,
    ) -> Result<RequestId, SubmitError> {
        self.ask(&AccountQuery { account, after_order })
    }

    /// Asks for the assets and instruments after these; 0 from the start.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub fn reference(
        &mut self,
        after_asset: AssetId,
        after_instrument: InstrumentId,
    ) -> Result<RequestId, SubmitError> {
        self.ask(&ReferenceQuery { after_asset, after_instrument })
    }

    /// Asks for the sequenced settings and the keys after one; 0 from the start. For operators.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub fn directory(&mut self, after_key: KeyId) -> Result<RequestId, SubmitError> {
        self.ask(&DirectoryQuery { after_key })
    }

    /// Asks for the registered schemas after the first so many. Any role.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub fn schemas(&mut self, after: u32) -> Result<RequestId, SubmitError> {
        self.ask(&SchemaQuery { after })
    }

    /// Asks for limits: of an account, or of all with 0; in an instrument, or in all with 0; after
    /// where the page before ended, (0, 0) from the start.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub fn limits(
        &mut self,
        account: AccountId,
        instrument: InstrumentId,
        (after_account, after_instrument): (AccountId, InstrumentId),
    ) -> Result<RequestId, SubmitError> {
        self.ask(&LimitsQuery { account, instrument, after_account, after_instrument })
    }

    /// Asks for a pong.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub fn ping(&mut self, nonce: u64) -> Result<RequestId, SubmitError> {
        self.ask(&Ping { nonce })
    }

    /// Asks for the session's end; [`Reply::LoggedOut`] comes after all that is owed.
    ///
    /// # Errors
    /// [`SubmitError::NotLoggedOn`].
    pub fn logout(&mut self) -> Result<(), SubmitError> {
        if self.state != State::Open {
            return Err(SubmitError::NotLoggedOn);
        }
        send(&Logout {}, OWN_SEQUENCE, &mut self.out);
        Ok(())
    }

    /// Appends every request that waits once more, marked as a possible duplicate: same message
    /// id, same timestamp, same payload. Gives how many there are.
    ///
    /// # Errors
    /// [`SubmitError::NotLoggedOn`].
    pub fn retry(&mut self) -> Result<usize, SubmitError> {
        if self.state != State::Open {
            return Err(SubmitError::NotLoggedOn);
        }
        let Conversation { pending, out, key, .. } = self;
        pending.frames(|frame| {
            mark_duplicate(frame, key.signing());
            out.extend_from_slice(frame);
        });
        Ok(pending.waiting())
    }

    /// Keeps the connection alive: appends a ping where either side was silent for half of the
    /// server's interval. False where the server was silent for two intervals: it is gone.
    pub fn tick(&mut self, now: Instant) -> bool {
        let quiet = &mut self.quiet;
        if std::mem::take(&mut quiet.sent) {
            quiet.last_sent = now;
        }
        if std::mem::take(&mut quiet.received) {
            quiet.last_received = now;
        }
        let ms = self.accepted.map_or(0, |accepted| accepted.heartbeat_interval_ms);
        if self.state != State::Open || ms == 0 {
            return true;
        }
        let interval = Duration::from_millis(u64::from(ms));
        let silent = |since: Instant| now.saturating_duration_since(since) >= interval / 2;
        if silent(quiet.last_ping) && (silent(quiet.last_sent) || silent(quiet.last_received)) {
            quiet.last_ping = now;
            quiet.sent = true;
            send(&Ping { nonce: 0 }, OWN_SEQUENCE, &mut self.out);
        }
        now.saturating_duration_since(quiet.last_received) < interval * 2
    }

    /// Takes received bytes and gives replies; returns how many bytes were taken. The rest is the
    /// start of a frame and has to come again, with more behind it.
    ///
    /// # Errors
    /// [`WireError`]: the server sent nonsense; the connection is of no more use.
    #[inline]
    pub fn receive(
        &mut self,
        bytes: &[u8],
        each: &mut impl FnMut(Reply<'_>),
    ) -> Result<usize, WireError> {
        self.quiet.received = true;
        let mut taken = 0;
        let mut hashes = HashesAhead::new();
        while let Some(length) = frame_length(&bytes[taken..], FRAME_MAX_BYTES)? {
            let Some(whole) = bytes.get(taken..taken + length) else {
                break;
            };
            let hash = hashes.take(&bytes[taken..], FRAME_MAX_BYTES);
            let frame = Frame::open_hashed(whole, &SERVER_LIMITS, |_| hash)?;
            self.take(&frame, each)?;
            taken += length;
        }
        Ok(taken)
    }

    /// Takes one message.
    #[inline]
    fn take(
        &mut self,
        frame: &Frame<'_>,
        each: &mut impl FnMut(Reply<'_>),
    ) -> Result<(), WireError> {
        let request = RequestId(frame.client_sequence());
        match ServerMessage::decode(frame)? {
            ServerMessage::Answer(view) => {
                let again = frame.header().flags.has(Flags::POSSIBLE_DUPLICATE);
                self.answer(request, again, view, each);
            }
            ServerMessage::Fill(fill) => self.fill(fill, each),
            ServerMessage::OrderUpdate(update) => {
                self.number(update.outbound, each);
                each(Reply::OrderUpdate(update));
            }
            ServerMessage::Challenge(challenge) => self.log_on(&challenge),
            ServerMessage::LogonAccepted(accepted) => {
                self.accepted = Some(accepted);
                self.state = State::Open;
                self.go_on_behind(accepted.outbound, each);
                each(Reply::LoggedOn(accepted));
            }
            ServerMessage::Reject(reject) => {
                let request = self.pending.answered(request.0).then_some(request);
                if self.state != State::Open {
                    self.state = State::Closed;
                }
                each(Reply::Reject { request, reject });
            }
            ServerMessage::Pong(pong) => {
                if self.pending.answered(request.0) {
                    each(Reply::Pong { request, nonce: pong.nonce });
                }
            }
            ServerMessage::Book(view) => {
                if self.pending.answered(request.0) {
                    each(Reply::Book { request, view });
                }
            }
            ServerMessage::Account(view) => {
                if self.pending.answered(request.0) {
                    each(Reply::Account { request, view });
                }
            }
            ServerMessage::Reference(view) => {
                if self.pending.answered(request.0) {
                    each(Reply::Reference { request, view });
                }
            }
            ServerMessage::Directory(view) => {
                if self.pending.answered(request.0) {
                    each(Reply::Directory { request, view });
                }
            }
            ServerMessage::Schemas(view) => {
                if self.pending.answered(request.0) {
                    each(Reply::Schemas { request, view });
                }
            }
            ServerMessage::Limits(view) => {
                if self.pending.answered(request.0) {
                    each(Reply::Limits { request, view });
                }
            }
            ServerMessage::LoggedOut(logged_out) => {
                self.state = State::Closed;
                each(Reply::LoggedOut { reason: logged_out.reason });
            }
            ServerMessage::Notice(notice) => each(Reply::Notice(notice)),
        }
        Ok(())
    }

    /// Answers the challenge.
    fn log_on(&mut self, challenge: &Challenge) {
        self.frame_max = (challenge.frame_max as usize).min(FRAME_MAX_BYTES);
        self.resumes = self.resume_from != 0;
        let logon = Logon {
            nonce: challenge.nonce,
            public_key: self.key.public(),
            session_name: self.session_name,
            last_received: std::mem::take(&mut self.resume_from),
            cancel_on_disconnect: false,
        };
        logon.send(OWN_SEQUENCE, self.key.signing(), &mut self.out);
        self.state = State::LoggingOn;
    }

    #[inline]
    fn answer(
        &mut self,
        request: RequestId,
        again: bool,
        view: AnswerView<'_>,
        each: &mut impl FnMut(Reply<'_>),
    ) {
        // A resumed session gets its answers again, in order; any other answer that was given
        // before has its number from then, maybe from another session, and tells nothing.
        if !again || (self.received != 0 && view.answer.outbound == self.received + 1) {
            self.number(view.answer.outbound, each);
        }
        // Answered twice where a retry crossed the answer. Numbers that are not ours are told:
        // they belong to an earlier run of this session.
        if self.pending.answered(request.0) || !self.pending.was_given(request.0) {
            each(Reply::Answer { request, again, view });
        }
    }

    #[inline]
    fn fill(&mut self, fill: Fill, each: &mut impl FnMut(Reply<'_>)) {
        self.number(fill.outbound, each);
        each(Reply::Fill(fill));
    }

    /// What the session was sent while this client was away does not come again unless it asked for
    /// it: that is a gap.
    fn go_on_behind(&mut self, last: u64, each: &mut impl FnMut(Reply<'_>)) {
        if self.resumes {
            return;
        }
        if self.received != 0 && last > self.received {
            each(Reply::Gap { expected: self.received + 1, found: last + 1 });
        }
        self.received = last;
    }

    /// Follows the session's outbound numbers and tells of a gap.
    #[inline]
    fn number(&mut self, found: u64, each: &mut impl FnMut(Reply<'_>)) {
        let expected = self.received + 1;
        if self.received != 0 && found > expected {
            each(Reply::Gap { expected, found });
        }
        self.received = self.received.max(found);
    }
}

/// True where trying another address may help after this reject of a logon.
pub(crate) fn may_try_elsewhere(reason: ReasonCode) -> bool {
    matches!(
        reason.reason(),
        Some(RejectReason::Busy | RejectReason::ShuttingDown | RejectReason::TooManyConnections)
    )
}

#[cfg(test)]
mod tests;
