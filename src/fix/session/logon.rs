//! What a Logon asks for.

use super::action::{Body, Received, Verdict};
use super::options::Options;
use super::text::Text;
use crate::fix::Version;
use crate::fix::value::uint;
use crate::limits::{FIX_COMP_ID_MAX_BYTES, FIX_SEQ_NUM_MAX};
use crate::types::TimeNs;

/// Says that a number is none, or beyond all that are given.
pub(super) const OUT_OF_RANGE: &str = "MsgSeqNum (34) must be a number in range";

/// A Logon whose form is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) seq_num: u64,
    pub(super) heart_bt_int: u32,
    pub(super) reset: bool,
    pub(super) next_expected: Option<u64>,
}

/// True where ResetSeqNumFlag is Y.
pub(super) fn resets(body: &dyn Body) -> bool {
    body.get(141) == Some(b"Y")
}

/// HeartBtInt within the bounds, or what is wrong with it.
pub(super) fn heartbeat(body: &dyn Body, options: &Options) -> Result<u32, Text> {
    let Some(seconds) = body.get(108).and_then(uint) else {
        return Err("HeartBtInt (108) must be a number of seconds".into());
    };
    let (min, max) = (options.heartbeat_min_s, options.heartbeat_max_s);
    match seconds {
        0 if options.heartbeat_off => Ok(0),
        0 => Err(Text::of(format_args!(
            "HeartBtInt (108) 0 is not allowed here, {min} is the least"
        ))),
        seconds if seconds < u64::from(min) || seconds > u64::from(max) => {
            Err(Text::of(format_args!("HeartBtInt (108) {seconds} is not between {min} and {max}")))
        }
        seconds => Ok(seconds as u32),
    }
}

/// NextExpectedMsgSeqNum, where the session knows it, or what is wrong with it.
pub(super) fn next_expected(body: &dyn Body, options: &Options) -> Result<Option<u64>, Text> {
    let is_known = options.next_expected && options.version != Version::Fix42;
    let Some(given) = body.get(789).filter(|_| is_known) else { return Ok(None) };
    match uint(given).filter(|next| *next > 0) {
        Some(next) => Ok(Some(next)),
        None => Err("NextExpectedMsgSeqNum (789) must be a number above 0".into()),
    }
}

/// True where SendingTime is near enough, or not looked at.
pub(super) fn is_timely(now: TimeNs, sending: Option<TimeNs>, options: &Options) -> bool {
    options.sending_time_tolerance_s.is_none_or(|seconds| {
        sending.is_some_and(|sent| sent.0.abs_diff(now.0) <= u64::from(seconds) * 1_000_000_000)
    })
}

/// True where a message came in time. One without SendingTime is the dictionary's to refuse, and a Logout
/// is answered whenever it was sent.
pub(super) fn came_in_time(now: TimeNs, m: &Received<'_>, options: &Options) -> bool {
    m.sending_time.is_none() || m.msg_type == b"5" || is_timely(now, m.sending_time, options)
}

/// Reads a Logon: the request, or the text that refuses it. What depends on the session's numbers is
/// asked later.
pub(super) fn read(now: TimeNs, m: &Received<'_>, options: &Options) -> Result<Request, Text> {
    let version = options.version;
    if m.begin_string != version.begin_string().as_bytes() {
        let begin = version.begin_string();
        return Err(Text::of(format_args!("BeginString (8) must be {begin} in this session")));
    }
    if !is_comp_id(m.sender_comp_id, &options.client_comp_id) {
        return Err("SenderCompID (49) is not this session's".into());
    }
    if !is_comp_id(m.target_comp_id, &options.own_comp_id) {
        return Err("TargetCompID (56) is not this session's".into());
    }
    if let Verdict::Refused(refusal) = m.verdict {
        return Err(match refusal.ref_tag {
            Some(tag) => {
                let text = String::from_utf8_lossy(refusal.text.bytes());
                Text::of(format_args!("{text} ({tag})"))
            }
            None => refusal.text,
        });
    }
    let Some(seq_num) = m.seq_num.filter(|number| *number <= FIX_SEQ_NUM_MAX) else {
        return Err(OUT_OF_RANGE.into());
    };
    if !is_timely(now, m.sending_time, options) {
        return Err("SendingTime (52) accuracy problem".into());
    }
    if m.body.get(98).is_some_and(|method| uint(method) != Some(0)) {
        return Err("EncryptMethod (98) must be 0".into());
    }
    let heart_bt_int = heartbeat(m.body, options)?;
    if let Some(wanted) = version.default_appl_ver_id() {
        match m.body.get(1137) {
            Some(given) if given == wanted.as_bytes() => {}
            Some(_) => {
                return Err(Text::of(format_args!("DefaultApplVerID (1137) must be {wanted}")));
            }
            None => return Err("DefaultApplVerID (1137) is missing".into()),
        }
    }
    // One that was sent before has reset the numbers then.
    let reset = resets(m.body) && !m.poss_dup;
    if reset && seq_num != 1 {
        return Err(reset_with(seq_num));
    }
    let next_expected = next_expected(m.body, options)?;
    Ok(Request { seq_num, heart_bt_int, reset, next_expected })
}

/// Says that a reset begins with 1.
pub(super) fn reset_with(seq_num: u64) -> Text {
    Text::of(format_args!("MsgSeqNum (34) must be 1 with ResetSeqNumFlag (141), not {seq_num}"))
}

fn is_comp_id(given: &[u8], wanted: &[u8]) -> bool {
    let is_wanted = wanted.is_empty() || given == wanted;
    is_wanted && !given.is_empty() && given.len() <= FIX_COMP_ID_MAX_BYTES
}
