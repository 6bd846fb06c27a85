//! Between bytes and the session: what a message that was read is to the session machine, and what the
//! machine says as bytes.

use super::dictionary::Flow;
use super::session::{Admin, Body, Received, Refusal as Refused, Verdict};
use super::{Accepted, EncodeError, Encoder, Header, Refusal, Version, View, tag};
use crate::types::TimeNs;

impl Body for View<'_> {
    fn get(&self, tag: u32) -> Option<&[u8]> {
        View::get(self, tag)
    }
}

/// What the dictionary says of a message: one that is not for an exchange to take is not supported.
#[must_use]
pub fn verdict(checked: Result<Accepted, Refusal>) -> Verdict {
    match checked {
        Ok(Accepted::Message(message)) if message.flow != Flow::Out => Verdict::Good,
        Ok(_) => Verdict::Unsupported,
        Err(refusal) => Verdict::Refused(Refused {
            reason: refusal.reason.into(),
            ref_tag: refusal.tag,
            text: refusal.text().into(),
        }),
    }
}

/// A message as the session machine takes it: `raw` are its bytes, `view` its fields.
#[must_use]
pub fn received<'a>(raw: &'a [u8], view: &'a View<'a>, verdict: Verdict) -> Received<'a> {
    let time = |tag| view.timestamp(tag).ok().flatten().map(|timestamp| timestamp.time);
    let text = |tag| View::get(view, tag).unwrap_or_default();
    Received {
        raw,
        begin_string: text(tag::BEGIN_STRING),
        msg_type: view.msg_type(),
        seq_num: view.uint(tag::MSG_SEQ_NUM).ok().flatten(),
        poss_dup: view.is_yes(tag::POSS_DUP_FLAG),
        poss_resend: view.is_yes(tag::POSS_RESEND),
        sending_time: time(tag::SENDING_TIME),
        orig_sending_time: time(tag::ORIG_SENDING_TIME),
        sender_comp_id: text(tag::SENDER_COMP_ID),
        target_comp_id: text(tag::TARGET_COMP_ID),
        body: view,
        verdict,
    }
}

impl Admin {
    /// MsgType (35).
    #[must_use]
    pub const fn msg_type(&self) -> &'static str {
        match self {
            Admin::Logon { .. } => "A",
            Admin::Heartbeat { .. } => "0",
            Admin::TestRequest { .. } => "1",
            Admin::ResendRequest { .. } => "2",
            Admin::Reject { .. } => "3",
            Admin::BusinessReject { .. } => "j",
            Admin::Logout { .. } => "5",
        }
    }

    /// Its body.
    fn write(&self, encoder: &mut Encoder<'_>) {
        match self {
            Admin::Logon { heart_bt_int, reset, next_expected, default_appl_ver_id } => {
                encoder.uint(tag::ENCRYPT_METHOD, 0);
                encoder.uint(tag::HEART_BT_INT, (*heart_bt_int).into());
                if *reset {
                    encoder.boolean(tag::RESET_SEQ_NUM_FLAG, true);
                }
                if let Some(number) = next_expected {
                    encoder.uint(tag::NEXT_EXPECTED_MSG_SEQ_NUM, *number);
                }
                encoder.maybe(tag::DEFAULT_APPL_VER_ID, *default_appl_ver_id);
            }
            Admin::Heartbeat { test_req_id } => {
                let id = test_req_id.as_ref().map(|id| id.bytes());
                encoder.maybe(tag::TEST_REQ_ID, id);
            }
            Admin::TestRequest { id } => encoder.string(tag::TEST_REQ_ID, id.bytes()),
            Admin::ResendRequest { begin, end } => {
                encoder.uint(tag::BEGIN_SEQ_NO, *begin);
                encoder.uint(tag::END_SEQ_NO, *end);
            }
            Admin::Reject { ref_seq, ref_tag, ref_msg_type, reason, text } => {
                encoder.uint(tag::REF_SEQ_NUM, *ref_seq);
                if let Some(tag) = ref_tag {
                    encoder.int(tag::REF_TAG_ID, (*tag).into());
                }
                encoder.string(tag::REF_MSG_TYPE, ref_msg_type.bytes());
                if let Some(reason) = reason {
                    encoder.uint(tag::SESSION_REJECT_REASON, (*reason).into());
                }
                encoder.string(tag::TEXT, text.bytes());
            }
            Admin::BusinessReject { ref_seq, ref_msg_type, reason, text } => {
                encoder.uint(tag::REF_SEQ_NUM, *ref_seq);
                encoder.string(tag::REF_MSG_TYPE, ref_msg_type.bytes());
                encoder.uint(tag::BUSINESS_REJECT_REASON, (*reason).into());
                encoder.string(tag::TEXT, text.bytes());
            }
            Admin::Logout { text, session_status } => {
                if let Some(status) = session_status {
                    encoder.uint(tag::SESSION_STATUS, (*status).into());
                }
                encoder.string(tag::TEXT, text.bytes());
            }
        }
    }
}

/// Writes what the session machine says; the header's type is that of the message. Gives its bytes.
///
/// # Errors
/// [`EncodeError`].
pub fn write_admin(
    out: &mut [u8],
    version: Version,
    header: &Header<'_>,
    admin: &Admin,
) -> Result<usize, EncodeError> {
    let header = Header { msg_type: admin.msg_type(), ..*header };
    let mut encoder = Encoder::message(out, version, &header);
    admin.write(&mut encoder);
    encoder.finish()
}

/// Writes the SequenceReset (4) that stands for messages that are not sent again: the header's number is
/// that of the first of them, `next` the number behind the last. It is marked as sent before, at the time
/// of the first.
///
/// # Errors
/// [`EncodeError`].
pub fn write_gap_fill(
    out: &mut [u8],
    version: Version,
    header: &Header<'_>,
    original_time: TimeNs,
    next: u64,
) -> Result<usize, EncodeError> {
    let header = Header { msg_type: "4", original_time: Some(original_time), ..*header };
    let mut encoder = Encoder::message(out, version, &header);
    encoder.boolean(tag::GAP_FILL_FLAG, true);
    encoder.uint(tag::NEW_SEQ_NO, next);
    encoder.finish()
}
