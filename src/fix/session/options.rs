//! What a session does as its operator wishes, and what its version demands.

use crate::fix::Version;

/// What a session does as its operator wishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The protocol.
    pub version: Version,
    /// SenderCompID (49) of the client; empty where whatever its Logon says is right.
    pub client_comp_id: Vec<u8>,
    /// TargetCompID (56) that the client must use; empty where whatever its Logon says is right.
    pub own_comp_id: Vec<u8>,
    /// Smallest HeartBtInt (108) of a client, in seconds, other than 0.
    pub heartbeat_min_s: u32,
    /// Largest HeartBtInt of a client, in seconds.
    pub heartbeat_max_s: u32,
    /// A client may turn heartbeats off with 108=0.
    pub heartbeat_off: bool,
    /// A Logon waits until its credentials are checked ([`super::Action::Authenticate`]).
    pub authenticate: bool,
    /// Every Logon begins with both numbers at 1.
    pub reset_on_logon: bool,
    /// Both numbers go to 1 after a Logout that was answered.
    pub reset_on_logout: bool,
    /// Both numbers go to 1 whenever a session that was logged on ends.
    pub reset_on_disconnect: bool,
    /// The Logon answer has 141=Y also where the reset was `reset_on_logon`'s.
    pub show_own_reset: bool,
    /// How far SendingTime (52) may be from the venue's clock; none where it is not looked at.
    pub sending_time_tolerance_s: Option<u32>,
    /// A Logon with NextExpectedMsgSeqNum (789) is answered with one, and both sides resend without
    /// being asked. FIX 4.2 has none.
    pub next_expected: bool,
    /// Bytes of messages ahead of a gap that are kept; what has no room is dropped, to be sent again.
    pub ahead_max_bytes: usize,
    /// Messages that one ResendRequest asks for; 0 for all that are missing.
    pub resend_chunk: u64,
    /// Time from a connection to its Logon, and from a Logon to the answer of who checks it.
    pub logon_limit_s: u32,
    /// Time from an own Logout to the client's.
    pub logout_limit_s: u32,
    /// Time that a gap may stay as it is before the session ends; 0 for ever.
    pub gap_limit_s: u32,
    /// The Logout that refuses a Logon has a number of the session's and uses it up, though nobody proved
    /// to be its client. Where not, it is sent without one and nothing of the session changes.
    pub refusals_numbered: bool,
}

impl Options {
    /// What a session is unless its operator wishes otherwise.
    #[must_use]
    pub fn new(version: Version) -> Options {
        Options {
            version,
            client_comp_id: Vec::new(),
            own_comp_id: Vec::new(),
            heartbeat_min_s: 1,
            heartbeat_max_s: 3600,
            heartbeat_off: true,
            authenticate: true,
            reset_on_logon: false,
            reset_on_logout: false,
            reset_on_disconnect: false,
            show_own_reset: false,
            sending_time_tolerance_s: Some(120),
            next_expected: true,
            ahead_max_bytes: 64 * 1024,
            resend_chunk: 0,
            logon_limit_s: 10,
            logout_limit_s: 10,
            gap_limit_s: 60,
            refusals_numbered: false,
        }
    }
}
