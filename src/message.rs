//! A message between a client's socket and the journal: what the gateway found out, and the bytes.
//!
//! It is copied from slot to slot (input ring, queue, sequenced ring), never referenced: every slot
//! has its own bytes, in place up to [`FRAME_INLINE_BYTES`], and a copy moves only what is used.

use crate::event::RejectReason;
use crate::limits::FRAME_INLINE_BYTES;
use crate::types::{AccountId, InstrumentId, KeyId, Priority, SessionId};

/// Where an answer goes: a gateway and one of its connections. Belongs to the node, never journaled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Origin {
    /// Which gateway thread.
    pub gateway: u8,
    /// Slot of the connection there.
    pub connection: u32,
    /// How often that slot was used before: an answer for a connection that is gone meets nobody.
    pub generation: u32,
}

/// What a message asks the stages to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// Sequence and apply the command.
    Command,
    /// Sequence and apply the admin command.
    Admin,
    /// Answer a question at the place where it stands among the session's messages.
    Query,
    /// Sequence the begin of a session; the bytes are a session record.
    SessionLogon,
    /// Sequence the end of a session that said goodbye.
    SessionLogout,
    /// Sequence the end of a session whose connection was lost.
    SessionLost,
    /// Sequence a message to a session, which gets its number there; the bytes are a session-send record.
    SessionSend,
    /// Tell the client that its message was refused; it keeps its place among the answers.
    Refuse(RejectReason),
    /// Send the answer of the command with this sequence again.
    Duplicate(crate::types::Sequence),
}

/// What of a session a message concerns. Subjects nest, in two trees: session ⊃ account ⊃ account and
/// instrument; session ⊃ task subject. Messages of one session whose subjects contain each other, or
/// are the same, keep their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Subject {
    /// The whole session.
    #[default]
    Session,
    /// What an account owns; a transfer concerns two accounts.
    Account {
        /// The account.
        account: AccountId,
        /// The other account of a transfer; 0 for none.
        other: AccountId,
    },
    /// What an account has in one book.
    Book {
        /// The account.
        account: AccountId,
        /// The instrument.
        instrument: InstrumentId,
    },
    /// A subject of tasks, by its hash.
    Task(u64),
}

impl Subject {
    /// True where one of the two contains the other, or both are the same.
    #[must_use]
    pub fn meets(self, that: Subject) -> bool {
        match (self, that) {
            (Subject::Session, _) | (_, Subject::Session) => true,
            (Subject::Task(one), Subject::Task(two)) => one == two,
            (Subject::Task(_), _) | (_, Subject::Task(_)) => false,
            (
                Subject::Book { account, instrument },
                Subject::Book { account: that, instrument: of },
            ) => account == that && instrument == of,
            (one, two) => {
                let ([a, b], [c, d]) = (one.accounts(), two.accounts());
                a == c || a == d || (b.0 != 0 && (b == c || b == d))
            }
        }
    }

    fn accounts(self) -> [AccountId; 2] {
        match self {
            Subject::Account { account, other } => [account, other],
            Subject::Book { account, .. } => [account, AccountId(0)],
            Subject::Session | Subject::Task(_) => [AccountId(0); 2],
        }
    }
}

/// What a refusal tells beside its reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// Nothing.
    #[default]
    None,
    /// The schema that nobody knows.
    Schema(u32),
    /// The node is overloaded: try again after so long.
    Overload {
        /// Messages that the slowest lane is behind, where that is why; else 0. No more than fits.
        lag: u32,
        /// Milliseconds.
        retry_after_ms: u32,
    },
    /// The session has used up what it may send: there is more after so long.
    RateLimit {
        /// Milliseconds.
        retry_after_ms: u32,
    },
}

impl MessageKind {
    /// True for what a client asks to be sequenced and names by a message id.
    #[must_use]
    #[inline]
    pub const fn is_command(self) -> bool {
        matches!(self, MessageKind::Command | MessageKind::Admin)
    }

    /// True for the begin and the end of a session.
    #[must_use]
    pub const fn is_session(self) -> bool {
        matches!(
            self,
            MessageKind::SessionLogon | MessageKind::SessionLogout | MessageKind::SessionLost
        )
    }
}

/// A range of a message's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub offset: u16,
    /// Number of bytes.
    pub length: u16,
}

impl Span {
    /// The span as a range of indexes.
    #[must_use]
    pub fn range(self) -> std::ops::Range<usize> {
        usize::from(self.offset)..usize::from(self.offset) + usize::from(self.length)
    }
}

/// What the gateway found out about a message.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// What to do.
    pub kind: MessageKind,
    /// Who asked.
    pub origin: Origin,
    /// The session it belongs to.
    pub session: SessionId,
    /// The key that authenticated it.
    pub key: KeyId,
    /// The client's own sequence number, echoed in the answer.
    pub client_sequence: u64,
    /// When its gateway admitted it, by the monotonic clock: for a frame that was held, or had to wait,
    /// the last time. Belongs to the node, never journaled.
    pub received_ns: u64,
    /// The client's timestamp, milliseconds since the Unix epoch.
    pub client_timestamp_ms: i64,
    /// Sequencer time after which a command is expired, 0 for never; nanoseconds.
    pub expires_ns: u64,
    /// Schema id of the payload.
    pub schema: u32,
    /// What of its session it concerns.
    pub subject: Subject,
    /// What a refusal tells beside its reason.
    pub detail: Detail,
    /// Priority it is sequenced with.
    pub priority: Priority,
    /// Priority the client asked for.
    pub priority_sent: Priority,
    /// Flags of the record it becomes (`journal::format::FLAGS`).
    pub flags: u8,
    /// How often the node itself has delivered it before. What a client says of its own attempts is
    /// in the received bytes and counts for nothing.
    pub attempt: u16,
    /// The canonical payload.
    pub command: Span,
    /// The frame as it was received.
    pub received: Span,
    /// The message id.
    pub message_id: Span,
    /// The source.
    pub source: Span,
    /// The frame's SHA-256; empty where there is none.
    pub hash: Span,
}

impl Default for Head {
    fn default() -> Head {
        Head {
            kind: MessageKind::Command,
            origin: Origin::default(),
            session: SessionId(0),
            key: KeyId(0),
            client_sequence: 0,
            received_ns: 0,
            client_timestamp_ms: 0,
            expires_ns: 0,
            schema: 0,
            subject: Subject::Session,
            detail: Detail::None,
            priority: Priority::Normal,
            priority_sent: Priority::Normal,
            flags: 0,
            attempt: 0,
            command: Span::default(),
            received: Span::default(),
            message_id: Span::default(),
            source: Span::default(),
            hash: Span::default(),
        }
    }
}

/// Bytes of a message: in place where they are few, in a buffer that the slot keeps otherwise.
#[derive(Clone, Debug)]
pub struct Bytes {
    length: u32,
    inline: [u8; FRAME_INLINE_BYTES],
    spill: Vec<u8>,
}

impl Default for Bytes {
    fn default() -> Bytes {
        Bytes { length: 0, inline: [0; FRAME_INLINE_BYTES], spill: Vec::new() }
    }
}

impl Bytes {
    /// The bytes.
    #[inline]
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        let length = self.length as usize;
        if length <= FRAME_INLINE_BYTES { &self.inline[..length] } else { &self.spill }
    }

    /// Replaces the bytes with `first` followed by `second`.
    #[inline]
    pub fn set(&mut self, first: &[u8], second: &[u8]) {
        let length = first.len() + second.len();
        self.length = length as u32;
        if length <= FRAME_INLINE_BYTES {
            self.inline[..first.len()].copy_from_slice(first);
            self.inline[first.len()..length].copy_from_slice(second);
        } else {
            self.spill.clear();
            self.spill.extend_from_slice(first);
            self.spill.extend_from_slice(second);
        }
    }

    /// True where the bytes do not fit in place.
    #[must_use]
    pub fn is_large(&self) -> bool {
        self.length as usize > FRAME_INLINE_BYTES
    }
}

/// A message: what is known of it and its bytes.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// What is known of it.
    pub head: Head,
    /// The received frame, followed by the canonical payload where that is not part of the frame.
    pub bytes: Bytes,
}

impl Message {
    /// Makes this slot a copy of `other` without moving more bytes than it has.
    #[inline]
    pub fn copy_from(&mut self, other: &Message) {
        self.head = other.head;
        self.bytes.set(other.bytes.as_slice(), &[]);
    }

    /// The canonical payload.
    #[inline]
    #[must_use]
    pub fn command(&self) -> &[u8] {
        &self.bytes.as_slice()[self.head.command.range()]
    }

    /// The message id.
    #[inline]
    #[must_use]
    pub fn message_id(&self) -> &[u8] {
        &self.bytes.as_slice()[self.head.message_id.range()]
    }

    /// The source.
    #[inline]
    #[must_use]
    pub fn source(&self) -> &[u8] {
        &self.bytes.as_slice()[self.head.source.range()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_meet_where_one_contains_the_other() {
        let account =
            |account| Subject::Account { account: AccountId(account), other: AccountId(0) };
        let both = |one, two| Subject::Account { account: AccountId(one), other: AccountId(two) };
        let book = |account, instrument| Subject::Book {
            account: AccountId(account),
            instrument: InstrumentId(instrument),
        };
        let task = Subject::Task;
        let cases = [
            (Subject::Session, Subject::Session, true),
            (Subject::Session, book(2, 1), true),
            (Subject::Session, task(7), true),
            (account(2), account(2), true),
            (account(2), account(3), false),
            (account(2), book(2, 1), true),
            (account(2), book(3, 1), false),
            (both(2, 3), book(3, 1), true),
            (both(2, 3), both(4, 3), true),
            (both(2, 3), both(4, 5), false),
            (both(2, 3), account(3), true),
            (book(2, 1), book(2, 1), true),
            (book(2, 1), book(2, 2), false),
            (book(2, 1), book(3, 1), false),
            (task(7), task(7), true),
            (task(7), task(8), false),
            (task(7), account(2), false),
        ];
        for (one, two, meet) in cases {
            assert_eq!(one.meets(two), meet, "{one:?} {two:?}");
            assert_eq!(two.meets(one), meet, "{two:?} {one:?}");
        }
    }

    #[test]
    fn bytes_keep_their_content_on_both_sides_of_the_inline_size() {
        let all: Vec<u8> = (0..=255).cycle().take(2000).collect();
        let mut bytes = Bytes::default();
        for length in [0, 1, FRAME_INLINE_BYTES, FRAME_INLINE_BYTES + 1, 2000, 3] {
            for cut in [0, length / 2, length] {
                bytes.set(&all[..cut], &all[cut..length]);
                assert_eq!(bytes.as_slice(), &all[..length]);
                assert_eq!(bytes.is_large(), length > FRAME_INLINE_BYTES);
            }
        }
    }
}
