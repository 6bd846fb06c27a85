//! Admission: what a frame from a client becomes. A function of the frame and of where the
//! conversation stands: no socket, no ring.
//!
//! The order of checks is that of row S1.51: form, CRC, hash, signature, then what the message says,
//! then whether the key may say it; only who may administer has the JSON of an admin command read. What is refused here got no sequence and used up no message id.

use crate::admin::AdminCommand;
use crate::command::Command;
use crate::event::RejectReason;
use crate::exchange::Directory;
use crate::gateway::connection::State;
use crate::gateway::verify::Job;
use crate::genesis::VERSION_ORDER_KINDS;
use crate::journal::format::{FLAG_POSSIBLE_DUPLICATE, FLAG_SIGNED};
use crate::journal::payload::{LOGON_CANCEL_ON_DISCONNECT, PROTOCOL_NATIVE, SessionLogon};
use crate::message::{Detail, Head, MessageKind, Origin, Span, Subject};
use crate::sys::sha256::Hash;
use crate::types::{AccountId, KeyId, Priority, Role, SessionId};
use crate::wire::WireError;
use crate::wire::admin::{AdminHead, admin_text};
use crate::wire::frame::{COMMAND_SCHEMA_MAX, Frame, OpenLimits};
use crate::wire::header::{Flags, client_sequence};
use crate::wire::message::{
    AccountQuery, BookQuery, DirectoryQuery, LimitsQuery, Logon, Logout, Ping, ReferenceQuery,
    SchemaQuery,
};
use crate::wire::metadata::Metadata;
use crate::wire::payload::COMMAND_SIZE_MAX;
use std::ops::Range;
use zerocopy::IntoBytes;

/// Version of the native protocol that sessions of this release speak.
const NATIVE_VERSION: u16 = 1;

/// What admission needs to know of the connection.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// Where the conversation stands.
    pub state: State,
    /// The connection.
    pub origin: Origin,
    /// Its session, once logged on.
    pub session: SessionId,
    /// Its key, once logged on.
    pub key: KeyId,
    /// The key's public half.
    pub public_key: &'a [u8; 32],
    /// What a logon has to carry.
    pub nonce: &'a [u8; 32],
    /// What is known of this frame's signature.
    pub verdict: Option<bool>,
    /// A priority above the key's entitlement is refused; else the message gets what the key may use.
    pub refuses_above: bool,
    /// The gateway's monotonic clock. A frame that was held, or had to wait, gets the time at which it is
    /// admitted at last.
    pub now_ns: u64,
}

/// What a frame becomes.
#[derive(Debug)]
pub enum Admitted {
    /// A message for the sequencer. Its bytes are the frame, followed by `extra`.
    Message {
        /// What is known of it.
        head: Head,
        /// Bytes behind the frame.
        extra: Extra,
    },
    /// Its signature has to be checked first.
    Verify(Job),
    /// A ping: answer it here, so that it is answered even while all rings are full.
    Pong {
        /// The client's number.
        nonce: u64,
        /// The client's sequence.
        client_sequence: u64,
    },
    /// Assets and instruments: the same for everybody, answered here.
    Reference {
        /// What is asked.
        query: ReferenceQuery,
        /// The client's sequence.
        client_sequence: u64,
    },
    /// Keys and sequenced settings, as they are published here: answered here.
    Directory {
        /// What is asked.
        query: DirectoryQuery,
        /// The client's sequence.
        client_sequence: u64,
    },
    /// Registered schemas, as they are published here: answered here.
    Schemas {
        /// What is asked.
        query: SchemaQuery,
        /// The client's sequence.
        client_sequence: u64,
    },
    /// A logon whose signature is right: the session record follows as a message.
    Logon {
        /// The key that signed.
        key: KeyId,
        /// Its role.
        role: Role,
        /// Its public half.
        public_key: [u8; 32],
        /// The message that asks for the session.
        head: Head,
        /// The session record.
        extra: Extra,
    },
    /// The client says goodbye.
    Logout(Head),
    /// Refused.
    Refused {
        /// Why.
        reason: RejectReason,
        /// The client's sequence, where it could be read.
        client_sequence: u64,
        /// What is told beside the reason.
        detail: Detail,
        /// True where nothing after it can be trusted.
        close: bool,
    },
}

/// Bytes that are not part of the frame: a canonical payload, or a session record.
#[derive(Clone, Copy, Debug)]
pub struct Extra {
    bytes: [u8; EXTRA_MAX],
    length: usize,
}

const EXTRA_MAX: usize = 88;
const _: () = assert!(COMMAND_SIZE_MAX <= EXTRA_MAX);
const _: () = assert!(size_of::<SessionLogon>() <= EXTRA_MAX);

impl Extra {
    /// No bytes.
    pub const NONE: Extra = Extra { bytes: [0; EXTRA_MAX], length: 0 };

    fn of(bytes: &[u8]) -> Extra {
        let mut extra = Extra::NONE;
        extra.bytes[..bytes.len()].copy_from_slice(bytes);
        extra.length = bytes.len();
        extra
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// The command that a message of admission is, where it is one.
#[must_use]
pub fn command_of(head: &Head, frame: &[u8], extra: &Extra) -> Option<Command> {
    if head.kind != MessageKind::Command {
        return None;
    }
    let at = head.command.range();
    let payload = match at.start.checked_sub(frame.len()) {
        Some(start) => &extra.as_slice()[start..],
        None => &frame[at],
    };
    Command::decode(head.schema, payload).ok()
}

fn refused(reason: RejectReason, client_sequence: u64) -> Admitted {
    Admitted::Refused { reason, client_sequence, detail: Detail::None, close: false }
}

fn refused_for_good(reason: RejectReason, client_sequence: u64) -> Admitted {
    Admitted::Refused { reason, client_sequence, detail: Detail::None, close: true }
}

/// Refuses for what is wrong with the bytes themselves.
#[must_use]
pub fn malformed(error: &WireError, client_sequence: u64) -> Admitted {
    let detail = match error {
        WireError::UnknownSchema(schema) => Detail::Schema(*schema),
        _ => Detail::None,
    };
    let close = error.loses_framing();
    Admitted::Refused { reason: error.reason(), client_sequence, detail, close }
}

/// Refuses what would be taken at another time; nothing of it is used up.
#[must_use]
pub fn restrained(frame: &[u8], detail: Detail) -> Admitted {
    let (reason, client_sequence) = (RejectReason::TooManyRequests, client_sequence(frame));
    Admitted::Refused { reason, client_sequence, detail, close: false }
}

/// What the frame at the start of `bytes` becomes. The whole frame is there; `hash` is the SHA-256
/// that it should have.
#[must_use]
pub fn admit(
    bytes: &[u8],
    hash: Hash,
    caller: &Caller<'_>,
    directory: &Directory,
    limits: &OpenLimits,
) -> Admitted {
    // What is opened is looked at where it stands: to move it would be to wait for its parts to be
    // written.
    let opened = Frame::open_hashed(bytes, limits, |_| hash);
    let frame = match &opened {
        Ok(frame) => frame,
        Err(error) => return malformed(error, sequence_beside(error, bytes)),
    };
    match (caller.state, frame.schema()) {
        (State::AwaitLogon, Logon::SCHEMA) => logon(frame, caller, directory),
        (State::AwaitLogon, _) => {
            refused_for_good(RejectReason::NotLoggedOn, frame.client_sequence())
        }
        (_, Logon::SCHEMA) => refused(RejectReason::LogonRefused, frame.client_sequence()),
        _ => signed(frame, caller, directory),
    }
}

/// The client's sequence of a frame that could not be opened; 0 where CRC or hash say that it may not
/// be what the client wrote.
fn sequence_beside(error: &WireError, bytes: &[u8]) -> u64 {
    match error {
        WireError::BadChecksum | WireError::BadHash => 0,
        _ => client_sequence(bytes),
    }
}

/// A frame of a session that carries a signature waits for its verdict, whatever it is.
fn signed(frame: &Frame<'_>, caller: &Caller<'_>, directory: &Directory) -> Admitted {
    if let Some(signature) = frame.integrity().signature {
        match caller.verdict {
            Some(true) => {}
            Some(false) => return refused(RejectReason::BadSignature, frame.client_sequence()),
            None => {
                return Admitted::Verify(Job {
                    origin: caller.origin,
                    public_key: *caller.public_key,
                    hash: *frame.integrity().hash,
                    signature: *signature,
                });
            }
        }
    }
    match frame.schema() {
        AdminHead::SCHEMA => admin(frame, caller, directory),
        ..=COMMAND_SCHEMA_MAX => command(frame, caller, directory),
        _ => session_message(frame, caller, directory),
    }
}

fn command(frame: &Frame<'_>, caller: &Caller<'_>, directory: &Directory) -> Admitted {
    let client_sequence = frame.client_sequence();
    let read = frame.metadata();
    let metadata = match &read {
        Ok(Some(metadata)) => metadata,
        Ok(None) => return refused(RejectReason::MissingSegment, client_sequence),
        Err(error) => return refused(error.reason(), client_sequence),
    };
    let signed = frame.integrity().signature.is_some();
    if metadata.priority == Priority::Critical && !signed {
        return refused(RejectReason::SignatureRequired, client_sequence);
    }
    let Some(priority) = served_priority(caller, directory, metadata.priority) else {
        return refused(RejectReason::NotEntitled, client_sequence);
    };
    let mut scratch = [0; COMMAND_SIZE_MAX];
    let read = frame.command(&mut scratch);
    let canonical = match &read {
        Ok(canonical) => canonical,
        Err(error) => return malformed(error, client_sequence),
    };
    if canonical.command.since() > directory.version() {
        // Once in the journal, the release that began it could not read it any more.
        return refused(RejectReason::UnsupportedOrder, client_sequence);
    }
    if let Err(reason) = entitled(caller, directory, &canonical.command) {
        return refused(reason, client_sequence);
    }
    let at = frame.locations(metadata);
    let received = frame.bytes().len();
    let (command, extra) = if canonical.in_frame {
        (span(at.payload), Extra::NONE)
    } else {
        let end = received + canonical.payload.len();
        (span(received..end), Extra::of(canonical.payload))
    };
    let head = Head {
        kind: MessageKind::Command,
        subject: subject(&canonical.command),
        command,
        ..command_head(frame, caller, metadata, priority)
    };
    Admitted::Message { head, extra }
}

/// The priority that a message of this caller is served with; none where it may not ask for it.
fn served_priority(caller: &Caller<'_>, directory: &Directory, sent: Priority) -> Option<Priority> {
    let served = sent.max(directory.permissions().priority_max(caller.key));
    (served == sent || !caller.refuses_above).then_some(served)
}

/// What every message that is to be sequenced tells of itself.
#[inline(always)]
fn command_head(
    frame: &Frame<'_>,
    caller: &Caller<'_>,
    metadata: &Metadata<'_>,
    priority: Priority,
) -> Head {
    let at = frame.locations(metadata);
    let mut flags = if frame.integrity().signature.is_some() { FLAG_SIGNED } else { 0 };
    if frame.header().flags.has(Flags::POSSIBLE_DUPLICATE) {
        flags |= FLAG_POSSIBLE_DUPLICATE;
    }
    Head {
        client_sequence: frame.client_sequence(),
        client_timestamp_ms: metadata.timestamp_ms,
        expires_ns: metadata.expires().0,
        schema: frame.schema(),
        priority,
        priority_sent: metadata.priority,
        flags,
        received: span(0..frame.bytes().len()),
        message_id: span(at.message_id),
        source: span(at.source),
        hash: span(at.hash),
        ..head_of(caller)
    }
}

/// What of its session a command concerns.
fn subject(command: &Command) -> Subject {
    let account = command.account();
    match command {
        Command::Transfer(transfer) => Subject::Account { account, other: transfer.to },
        // Whatever orders the session has, or some other one.
        Command::MassCancel(cancel) if cancel.account.0 == 0 => Subject::Session,
        Command::CancelOnDisconnect(_) => Subject::Session,
        _ => match command.instrument() {
            Some(instrument) => Subject::Book { account, instrument },
            None => Subject::Account { account, other: AccountId(0) },
        },
    }
}

/// An admin command is signed and an operator's: nobody else's JSON is read. It is the canonical
/// payload.
fn admin(frame: &Frame<'_>, caller: &Caller<'_>, directory: &Directory) -> Admitted {
    let client_sequence = frame.client_sequence();
    let metadata = match frame.metadata() {
        Ok(Some(metadata)) => metadata,
        Ok(None) => return refused(RejectReason::MissingSegment, client_sequence),
        Err(error) => return refused(error.reason(), client_sequence),
    };
    if frame.integrity().signature.is_none() {
        return refused(RejectReason::SignatureRequired, client_sequence);
    }
    if !directory.permissions().may_administer(caller.key) {
        return refused(RejectReason::NotEntitled, client_sequence);
    }
    let Some(priority) = served_priority(caller, directory, metadata.priority) else {
        return refused(RejectReason::NotEntitled, client_sequence);
    };
    let Ok(text) = admin_text(frame.payload()) else {
        return refused(RejectReason::BadPayload, client_sequence);
    };
    let command = AdminCommand::decode(text.as_bytes());
    let Some(command) = command.ok().filter(|command| command.check_new().is_ok()) else {
        return refused(RejectReason::BadPayload, client_sequence);
    };
    if command.since() > directory.version() {
        // As of other commands: the release that began the journal could not read it.
        return refused(RejectReason::NotSupported, client_sequence);
    }
    let at = frame.locations(&metadata);
    let head = Head {
        kind: MessageKind::Admin,
        command: span(at.payload.start + AdminHead::SIZE..at.payload.end),
        ..command_head(frame, caller, &metadata, priority)
    };
    Admitted::Message { head, extra: Extra::NONE }
}

fn entitled(
    caller: &Caller<'_>,
    directory: &Directory,
    command: &Command,
) -> Result<(), RejectReason> {
    directory.permissions().check(caller.key, command).map_err(|_| RejectReason::NotEntitled)
}

fn session_message(frame: &Frame<'_>, caller: &Caller<'_>, directory: &Directory) -> Admitted {
    let client_sequence = frame.client_sequence();
    let payload = frame.payload();
    let rights = directory.permissions();
    let allowed = match frame.schema() {
        // A session whose key was disabled meanwhile may still end well.
        Ping::SCHEMA | Logout::SCHEMA => true,
        DirectoryQuery::SCHEMA => rights.may_administer(caller.key),
        _ => rights.is_active(caller.key),
    };
    let decoded = match frame.schema() {
        Ping::SCHEMA => {
            Ping::decode(payload).map(|ping| Admitted::Pong { nonce: ping.nonce, client_sequence })
        }
        Logout::SCHEMA => Logout::decode(payload).map(|_| {
            let kind = MessageKind::SessionLogout;
            Admitted::Logout(Head { kind, client_sequence, ..head_of(caller) })
        }),
        ReferenceQuery::SCHEMA => ReferenceQuery::decode(payload)
            .map(|query| Admitted::Reference { query, client_sequence }),
        DirectoryQuery::SCHEMA => DirectoryQuery::decode(payload)
            .map(|query| Admitted::Directory { query, client_sequence }),
        SchemaQuery::SCHEMA => {
            SchemaQuery::decode(payload).map(|query| Admitted::Schemas { query, client_sequence })
        }
        BookQuery::SCHEMA => BookQuery::decode(payload).map(|_| query(frame, caller, directory)),
        AccountQuery::SCHEMA => {
            AccountQuery::decode(payload).map(|_| query(frame, caller, directory))
        }
        LimitsQuery::SCHEMA => {
            LimitsQuery::decode(payload).map(|_| query(frame, caller, directory))
        }
        schema => return malformed(&WireError::UnknownSchema(schema), client_sequence),
    };
    match decoded {
        Ok(_) if !allowed => refused(RejectReason::NotEntitled, client_sequence),
        Ok(admitted) => admitted,
        Err(_) => refused(RejectReason::BadPayload, client_sequence),
    }
}

/// A question keeps its place among the session's messages; its payload is read where it is answered.
fn query(frame: &Frame<'_>, caller: &Caller<'_>, directory: &Directory) -> Admitted {
    let head = Head {
        kind: MessageKind::Query,
        client_sequence: frame.client_sequence(),
        priority: Priority::Normal.max(directory.permissions().priority_max(caller.key)),
        schema: frame.schema(),
        command: span(frame.payload_range()),
        received: span(0..frame.bytes().len()),
        ..head_of(caller)
    };
    Admitted::Message { head, extra: Extra::NONE }
}

fn logon(frame: &Frame<'_>, caller: &Caller<'_>, directory: &Directory) -> Admitted {
    let client_sequence = frame.client_sequence();
    let refuse = |reason| refused_for_good(reason, client_sequence);
    let Ok(logon) = Logon::decode(frame.payload()) else {
        return refuse(RejectReason::BadPayload);
    };
    let Some(signature) = frame.integrity().signature else {
        return refuse(RejectReason::SignatureRequired);
    };
    // What older rules do not have is refused by name, never accepted and ignored.
    if logon.cancel_on_disconnect && directory.version() < VERSION_ORDER_KINDS {
        return refuse(RejectReason::NotSupported);
    }
    let known = directory.key(&logon.public_key);
    let Some(name) = logon.name() else {
        return refuse(RejectReason::LogonRefused);
    };
    let Some((key, role)) = known.filter(|_| logon.nonce == *caller.nonce) else {
        return refuse(RejectReason::LogonRefused);
    };
    match caller.verdict {
        Some(true) => {}
        Some(false) => return refuse(RejectReason::BadSignature),
        None => {
            return Admitted::Verify(Job {
                origin: caller.origin,
                public_key: logon.public_key,
                hash: *frame.integrity().hash,
                signature: *signature,
            });
        }
    }
    let received = frame.bytes().len();
    let mut record = SessionLogon::named(name.as_bytes());
    record.key = key.0.into();
    record.last_received_outbound = logon.last_received.into();
    record.flags = if logon.cancel_on_disconnect { LOGON_CANCEL_ON_DISCONNECT } else { 0 };
    record.protocol = PROTOCOL_NATIVE;
    record.protocol_version = NATIVE_VERSION.into();
    let extra = Extra::of(record.as_bytes());
    let hash_start = frame.integrity().offset + 8;
    let head = Head {
        kind: MessageKind::SessionLogon,
        client_sequence,
        key,
        flags: FLAG_SIGNED,
        command: span(received..received + extra.as_slice().len()),
        received: span(0..received),
        hash: span(hash_start..hash_start + 32),
        ..head_of(caller)
    };
    Admitted::Logon { key, role, public_key: logon.public_key, head, extra }
}

fn head_of(caller: &Caller<'_>) -> Head {
    Head {
        origin: caller.origin,
        session: caller.session,
        key: caller.key,
        received_ns: caller.now_ns,
        ..Head::default()
    }
}

/// Frames are far below 64 KiB (`limits`), so every place in one fits.
fn span(range: Range<usize>) -> Span {
    Span { offset: range.start as u16, length: (range.end - range.start) as u16 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{CancelOnDisconnect, MassCancel};
    use crate::types::{InstrumentId, Sides};

    fn mass_cancel(account: u64, instrument: u32, session: u32) -> Subject {
        let command = MassCancel {
            account: AccountId(account),
            instrument: InstrumentId(instrument),
            sides: Sides::Both,
            session: SessionId(session),
        };
        subject(&command.into())
    }

    #[test]
    fn a_mass_cancel_concerns_all_that_it_can_cancel() {
        let account = AccountId(2);
        let book = Subject::Book { account, instrument: InstrumentId(1) };
        assert_eq!(mass_cancel(2, 1, 7), book);
        assert_eq!(mass_cancel(2, 0, 7), Subject::Account { account, other: AccountId(0) });
        // Orders of any account: also where they are of one book or session.
        for whole in [mass_cancel(0, 0, 0), mass_cancel(0, 1, 0), mass_cancel(0, 0, 7)] {
            assert_eq!(whole, Subject::Session);
            assert!(whole.meets(book));
        }
        let ending = CancelOnDisconnect { enabled: 1, grace_ms: 5 };
        assert_eq!(subject(&ending.into()), Subject::Session);
    }
}
