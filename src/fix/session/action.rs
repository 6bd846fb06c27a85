//! What a session machine is told about a message, and what it wants done.

use super::text::{Text, TypeText};
use crate::types::TimeNs;

/// The fields of a message, header included.
pub trait Body {
    /// The first value of a tag.
    fn get(&self, tag: u32) -> Option<&[u8]>;
}

/// Why the dictionary refuses a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// SessionRejectReason (373).
    pub reason: u32,
    /// RefTagID (371).
    pub ref_tag: Option<i32>,
    /// Text (58).
    pub text: Text,
}

/// What the dictionary says about a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// As it should be, of a type that this venue does not take.
    Unsupported,
    /// Wrong.
    Refused(Refusal),
}

/// A whole message that was received.
#[derive(Clone, Copy)]
pub struct Received<'a> {
    /// All its bytes: what is kept of a message ahead of a gap.
    pub raw: &'a [u8],
    /// BeginString (8).
    pub begin_string: &'a [u8],
    /// MsgType (35).
    pub msg_type: &'a [u8],
    /// MsgSeqNum (34); none where there is none, or no number.
    pub seq_num: Option<u64>,
    /// PossDupFlag (43) is Y.
    pub poss_dup: bool,
    /// PossResend (97) is Y.
    pub poss_resend: bool,
    /// SendingTime (52).
    pub sending_time: Option<TimeNs>,
    /// OrigSendingTime (122).
    pub orig_sending_time: Option<TimeNs>,
    /// SenderCompID (49); empty where there is none.
    pub sender_comp_id: &'a [u8],
    /// TargetCompID (56); empty where there is none.
    pub target_comp_id: &'a [u8],
    /// The rest of it.
    pub body: &'a dyn Body,
    /// What the dictionary says.
    pub verdict: Verdict,
}

/// A message of the session layer, or a reject of an application message, that gets its number when it
/// is sequenced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admin {
    /// A: the answer to a Logon. EncryptMethod (98) is 0.
    Logon {
        /// HeartBtInt (108).
        heart_bt_int: u32,
        /// ResetSeqNumFlag (141) is Y.
        reset: bool,
        /// NextExpectedMsgSeqNum (789).
        next_expected: Option<u64>,
        /// DefaultApplVerID (1137).
        default_appl_ver_id: Option<&'static str>,
    },
    /// 0.
    Heartbeat {
        /// TestReqID (112).
        test_req_id: Option<Text>,
    },
    /// 1.
    TestRequest {
        /// TestReqID (112).
        id: Text,
    },
    /// 2.
    ResendRequest {
        /// BeginSeqNo (7).
        begin: u64,
        /// EndSeqNo (16); 0 for all.
        end: u64,
    },
    /// 3.
    Reject {
        /// RefSeqNum (45).
        ref_seq: u64,
        /// RefTagID (371).
        ref_tag: Option<i32>,
        /// RefMsgType (372).
        ref_msg_type: TypeText,
        /// SessionRejectReason (373).
        reason: Option<u32>,
        /// Text (58).
        text: Text,
    },
    /// j.
    BusinessReject {
        /// RefSeqNum (45).
        ref_seq: u64,
        /// RefMsgType (372).
        ref_msg_type: TypeText,
        /// BusinessRejectReason (380).
        reason: u32,
        /// Text (58).
        text: Text,
    },
    /// 5.
    Logout {
        /// Text (58).
        text: Text,
        /// SessionStatus (1409), FIXT only.
        session_status: Option<u32>,
    },
}

impl Admin {
    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Admin::Logon { .. } => Kind::Logon,
            Admin::Heartbeat { .. } => Kind::Heartbeat,
            Admin::TestRequest { .. } => Kind::TestRequest,
            Admin::ResendRequest { .. } => Kind::ResendRequest,
            Admin::Reject { .. } => Kind::Reject,
            Admin::BusinessReject { .. } => Kind::Application,
            Admin::Logout { .. } => Kind::Logout,
        }
    }
}

/// What a message of ours is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An application message, BusinessMessageReject among them.
    Application,
    /// A.
    Logon,
    /// 0.
    Heartbeat,
    /// 1.
    TestRequest,
    /// 2.
    ResendRequest,
    /// 3.
    Reject,
    /// 5.
    Logout,
}

impl Kind {
    /// True where it is sent again when it is asked for; a SequenceReset stands for the others.
    #[must_use]
    pub const fn is_resent(self) -> bool {
        matches!(self, Kind::Application | Kind::Reject)
    }
}

/// What is to be done, in the order given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Sequence this message; its record gives it its number.
    Send(Admin),
    /// Send this Logout without a record, and with the last number that was sent (1 where none was): the
    /// client takes it for no number that it waits for.
    Refuse(Admin),
    /// Sequence the application message just received; its record notes that the number after this one
    /// is expected. Where it cannot be sequenced, what refuses it notes that instead.
    Deliver {
        /// Its MsgSeqNum.
        number: u64,
        /// PossDupFlag: it was sent before, not necessarily received.
        poss_dup: bool,
        /// PossResend: its content may have come before under another number.
        poss_resend: bool,
    },
    /// This number is expected next: to be noted with the next record, which may be the message that
    /// follows.
    Expect(u64),
    /// This number is expected next as the client demands: to be sequenced at once.
    SetExpected(u64),
    /// Send again what was sent from `first` to `last`, in bounded pieces; then say so
    /// ([`super::Session::resent`]). There is one at a time.
    Resend {
        /// The first number.
        first: u64,
        /// The last number; it was sent before.
        last: u64,
    },
    /// Both numbers to 1, in one record with the Logon that follows, so that nothing comes between them;
    /// where none follows, in one of its own. A resend under way ends here.
    Reset,
    /// Check the credentials of the Logon just received; the answer is [`super::Session::accepted`] or
    /// [`super::Session::refused`].
    Authenticate,
    /// Close the connection. Nothing follows.
    Disconnect(Reason),
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A Logout was answered, by either side: the one orderly end.
    LoggedOut,
    /// The line was closed by the other side, or broke.
    LineClosed,
    /// No Logon came in time.
    NoLogon,
    /// The first message was not a Logon.
    FirstNotLogon,
    /// The Logon was refused.
    LogonRefused,
    /// Nothing was received, a TestRequest notwithstanding.
    Silent,
    /// The own Logout was not answered in time.
    LogoutUnanswered,
    /// A number below the expected one that was not marked as sent before.
    NumberTooLow,
    /// A message without a number, or with one beyond all that are given.
    NumberMissing,
    /// Another BeginString.
    BeginString,
    /// Another CompID.
    CompId,
    /// SendingTime is too far from the venue's clock, or before OrigSendingTime.
    SendingTime,
    /// A gap was not filled in time.
    GapNotFilled,
    /// A Logon in a running session that cannot be followed.
    LogonAgain,
    /// An operator wished so.
    Operator,
}

/// Header fields that lead an answer back the way the message came, as (tag, value): what was
/// OnBehalfOf becomes DeliverTo and the reverse. Empty ones are left out.
pub fn routing_back(body: &dyn Body) -> impl Iterator<Item = (u32, &[u8])> {
    const PAIRS: [(u32, u32); 6] =
        [(115, 128), (116, 129), (144, 145), (128, 115), (129, 116), (145, 144)];
    let pairs = PAIRS.into_iter();
    let back = pairs.filter_map(|(from, to)| body.get(from).map(|value| (to, value)));
    back.filter(|(_, value)| !value.is_empty())
}
