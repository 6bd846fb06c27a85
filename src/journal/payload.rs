//! Payloads of records that are no client command, little-endian as the rest of the journal.
//!
//! Every record kind has its payload fixed here, used yet or not, so that a later release reads
//! what this one wrote. A payload that is longer than its layout goes on with bytes of its own kind
//! (members, JSON, an outbound message). `Genesis` and `Admin` are JSON alone; `EventBlock` is packed
//! events ([`crate::event::EVENT_SIZE`] bytes each).

use super::format::{RecordKind, layout};
use crate::types::Sequence;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, KnownLayout};

/// Protocol of a session: native binary.
pub const PROTOCOL_NATIVE: u8 = 1;
/// Protocol of a session: FIX.
pub const PROTOCOL_FIX: u8 = 2;
/// Protocol of a session: RPC framing.
pub const PROTOCOL_RPC: u8 = 3;

/// Flag of a logon: the client asked for its numbers to start again at 1.
pub const LOGON_RESET: u8 = 1;
/// Flag of a logon: orders are cancelled when the session is lost.
pub const LOGON_CANCEL_ON_DISCONNECT: u8 = 2;

layout! {
    /// `tick`: nothing but time passes.
    Tick = "Tick", 8 {
        /// The time at which something is due.
        due_ns: U64,
    }

    /// `session-logon`. The envelope's key is the authenticated one. One of protocol 2 begins a session whose
    /// messages are numbered both ways: its answer has the next outbound number, 1 with the flag reset.
    SessionLogon = "SessionLogon", 64 {
        /// The key that was authenticated.
        key: U32,
        /// Heartbeat interval.
        heartbeat_ms: U32,
        /// The last outbound number that the client says it received; 0 = from now on.
        last_received_outbound: U64,
        /// The inbound number that the node expects next (FIX); behind a logon it is this one.
        expected_inbound: U64,
        /// 1 native, 2 FIX, 3 RPC.
        protocol: u8,
        /// 1 reset, 2 cancel on disconnect.
        flags: u8,
        /// Version of the protocol: native 1; FIX 42, 44, 50.
        protocol_version: U16,
        /// Zero.
        reserved: U32,
        /// Name of the session, padded with zeros.
        name: [u8; 32],
    }

    /// `session-logout` and `session-lost`. The session stands in the envelope; the record of one that is
    /// not numbered may have no payload. A logout is told to a session that is numbered both ways, under
    /// its next outbound number, behind all else of its record.
    SessionEnd = "SessionEnd", 16 {
        /// Why: a number of the gateway's; 0 where the client asked for it.
        reason: U16,
        /// 1 native, 2 FIX, 3 RPC.
        protocol: u8,
        /// Zero.
        reserved: [u8; 5],
        /// The inbound number that was expected next (FIX); it never falls by it.
        expected_inbound: U64,
    }

    /// `session-send`; the message's bytes follow, without number and time. The session stands in the
    /// envelope; one that is not numbered both ways is sent nothing.
    SessionSend = "SessionSend", 16 {
        /// 1 native, 2 FIX, 3 RPC.
        protocol: u8,
        /// Zero.
        flags: u8,
        /// Kind of message in its protocol.
        kind: U16,
        /// Bytes that follow.
        length: U32,
        /// The inbound number that is expected next after it (FIX); it never falls by it.
        expected_inbound: U64,
    }

    /// `epoch-start`: first record of a reign.
    EpochStart = "EpochStart", 24 {
        /// The epoch that begins.
        epoch: U64,
        /// The epoch before.
        previous_epoch: U64,
        /// Grace time of the sessions, all of which are lost now.
        session_grace_ms: U32,
        /// Zero.
        reserved: U32,
    }

    /// `configuration`; the members follow, 32 bytes each: node id 16, incarnation 16.
    Configuration = "Configuration", 32 {
        /// Version of the cluster configuration.
        version: U64,
        /// Epoch it belongs to.
        epoch: U64,
        /// Ack policy: 1 memory, 2 disk, 3 standby, 4 disk+standby, 5 two-disks.
        ack_policy: u8,
        /// Ack policy when alone; 0 = wait.
        when_alone: u8,
        /// Members that follow.
        member_count: U16,
        /// Index of the primary among them.
        primary: U16,
        /// Zero.
        reserved: U16,
        /// Zero.
        reserved_2: U64,
    }

    /// `continue`.
    Continue = "Continue", 24 {
        /// Sequence of the command that goes on.
        origin: U64,
        /// The step, from 1.
        step: U64,
        /// Where it goes on, in the operation's own terms.
        cursor: U64,
    }

    /// `task-outcome`; the outcome's bytes follow.
    TaskOutcome = "TaskOutcome", 24 {
        /// Sequence of the task.
        task: U64,
        /// Attempt that ended.
        attempt: U32,
        /// 0 done, otherwise the failure's number.
        status: U16,
        /// The consumer's index within the task.
        consumer: U16,
        /// Bytes that follow.
        length: U32,
        /// Zero.
        reserved: U32,
    }

    /// `activation`.
    Activation = "Activation", 8 {
        /// Application version that applies from this record on.
        application_version: U32,
        /// Zero.
        reserved: U32,
    }

    /// `quarantine`. Recovery looks for these records first: the command they name becomes a reject
    /// on every replay. The envelope's key is the operator's.
    Quarantine = "Quarantine", 96 {
        /// Sequence of the command or task that is set aside.
        target: U64,
        /// CRC-64 that closes the target's record, so that no other record is meant.
        target_crc: U64,
        /// Hash of the subject; 0 where only the target is meant.
        subject: U64,
        /// 1 set aside, 2 let go, 3 drop.
        action: u8,
        /// Zero.
        reserved: u8,
        /// Why.
        reason: U16,
        /// Zero.
        reserved_2: U32,
        /// Ed25519 signature by the operator's key over the 32 bytes before it.
        signature: [u8; 64],
    }

    /// `timers`.
    Timers = "Timers", 16 {
        /// Timers due up to this time are fired.
        through_ns: U64,
        /// At most so many.
        count_max: U32,
        /// Zero.
        reserved: U32,
    }

    /// `reject`; what was received stands as the record's received bytes. A duplicate goes on with the
    /// sequence that it repeats, u64.
    Reject = "Reject", 16 {
        /// Number of the reason on the wire.
        reason: U16,
        /// 1 native, 2 FIX, 3 RPC.
        protocol: u8,
        /// Zero.
        reserved: u8,
        /// The gateway's number of the connection.
        connection: U32,
        /// Bytes that were received; more than the record keeps where they are too many.
        received_length: U64,
    }
}

/// Bytes of a reject's payload at most.
pub const REJECT_MAX_BYTES: usize = size_of::<Reject>() + size_of::<u64>();

/// The sequence that the payload of a reject says it repeats, if it does.
#[must_use]
pub fn repeats(payload: &[u8]) -> Option<Sequence> {
    let (_, rest) = Reject::read_from_prefix(payload).ok()?;
    Some(Sequence(u64::from_le_bytes(*rest.first_chunk()?)))
}

/// Reads the fixed part of a payload; `None` where it is too short.
#[must_use]
pub fn head<T: FromBytes + KnownLayout + Immutable>(payload: &[u8]) -> Option<T> {
    T::read_from_prefix(payload).ok().map(|(head, _)| head)
}

/// The layout of a kind's payload; `None` for client commands, JSON and packed events.
#[must_use]
pub fn layout_of(kind: RecordKind) -> Option<&'static super::format::Layout> {
    let title = match kind {
        RecordKind::Command | RecordKind::Genesis | RecordKind::Admin | RecordKind::EventBlock => {
            return None;
        }
        RecordKind::Tick => "Tick",
        RecordKind::SessionLogon => "SessionLogon",
        RecordKind::SessionLogout | RecordKind::SessionLost => "SessionEnd",
        RecordKind::SessionSend => "SessionSend",
        RecordKind::EpochStart => "EpochStart",
        RecordKind::Configuration => "Configuration",
        RecordKind::Continue => "Continue",
        RecordKind::TaskOutcome => "TaskOutcome",
        RecordKind::Activation => "Activation",
        RecordKind::Quarantine => "Quarantine",
        RecordKind::Timers => "Timers",
        RecordKind::Reject => "Reject",
    };
    LAYOUTS.iter().find(|layout| layout.title == title)
}

impl SessionLogon {
    /// A logon with this name, cut at 32 bytes; all other fields are zero.
    #[must_use]
    pub fn named(name: &[u8]) -> SessionLogon {
        let mut logon = SessionLogon::new_zeroed();
        let length = name.len().min(logon.name.len());
        logon.name[..length].copy_from_slice(&name[..length]);
        logon
    }

    /// The name without its padding.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        let length = self.name.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        &self.name[..length]
    }
}

impl EpochStart {
    /// The start of an epoch.
    #[must_use]
    pub fn new(epoch: u64, previous_epoch: u64, session_grace_ms: u32) -> EpochStart {
        EpochStart {
            epoch: epoch.into(),
            previous_epoch: previous_epoch.into(),
            session_grace_ms: session_grace_ms.into(),
            reserved: 0.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::IntoBytes;

    #[test]
    fn every_kind_with_a_layout_finds_it() {
        for kind in RecordKind::ALL {
            let free = matches!(
                kind,
                RecordKind::Command
                    | RecordKind::Genesis
                    | RecordKind::Admin
                    | RecordKind::EventBlock
            );
            assert_eq!(layout_of(*kind).is_none(), free, "{kind}");
        }
    }

    #[test]
    fn a_logon_reads_back_and_gives_its_name() {
        let mut logon = SessionLogon::named(b"desk-1");
        logon.expected_inbound = 7.into();
        let read: SessionLogon = head(logon.as_bytes()).expect("it is long enough");
        assert_eq!(read, logon);
        assert_eq!(read.name(), b"desk-1");
        assert_eq!(head::<SessionLogon>(&logon.as_bytes()[1..]), None);
    }
}
