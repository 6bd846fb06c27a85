//! A session that is logged on: every message in the order of the numbers.

use super::action::{Action, Admin, Reason, Received, Verdict};
use super::ahead::Kept;
use super::logon;
use super::text::{Text, TypeText};
use super::{Gap, Noted, Range, SECOND_NS, Session, State, Wait, too_low};
use crate::fix::value::uint;
use crate::limits::FIX_SEQ_NUM_MAX;
use crate::types::TimeNs;
use std::cmp::Ordering;

/// BusinessRejectReason (380): a type that is not supported.
const UNSUPPORTED_TYPE: u32 = 3;

/// What is wrong with a message of the session layer: 373, 371, 58.
struct Fault {
    reason: u32,
    tag: Option<i32>,
    text: Text,
}

impl Fault {
    fn missing(tag: i32) -> Fault {
        Fault { reason: 1, tag: Some(tag), text: "Required tag missing".into() }
    }

    fn format(tag: i32) -> Fault {
        Fault { reason: 6, tag: Some(tag), text: "Incorrect data format for value".into() }
    }

    fn value(tag: i32, text: Text) -> Fault {
        Fault { reason: 5, tag: Some(tag), text }
    }
}

/// A sequence number in a field of a message.
fn seq_num(m: &Received<'_>, tag: u32) -> Result<u64, Fault> {
    let given = m.body.get(tag).ok_or(Fault::missing(tag as i32))?;
    uint(given).ok_or(Fault::format(tag as i32))
}

/// TestReqID, as far as it can be answered.
fn test_req_id(m: &Received<'_>) -> Result<Text, Fault> {
    let given = m.body.get(112).filter(|id| !id.is_empty()).ok_or(Fault::missing(112))?;
    Text::whole(given).ok_or(Fault::value(112, "TestReqID is too long".into()))
}

/// NewSeqNo, which a client may not move out of reach.
fn new_seq_no(m: &Received<'_>) -> Result<u64, Fault> {
    let new = seq_num(m, 36)?;
    if new > FIX_SEQ_NUM_MAX {
        return Err(Fault::value(36, "NewSeqNo is out of range".into()));
    }
    Ok(new)
}

fn is_good(m: &Received<'_>) -> bool {
    !matches!(m.verdict, Verdict::Refused(_))
}

impl Session {
    /// A message of a client that is logged on.
    pub(super) fn in_session(&mut self, now: TimeNs, m: &Received<'_>, out: &mut Vec<Action>) {
        let kept = self.playing.take();
        let begin_string = self.options.version.begin_string().as_bytes();
        if m.begin_string != begin_string {
            let wanted = String::from_utf8_lossy(begin_string);
            let text = Text::of(format_args!("Incorrect BeginString, expecting {wanted}"));
            return self.end(now, text, None, (Reason::BeginString, Wait::No), out);
        }
        let Some(number) = m.seq_num else {
            let text = "MsgSeqNum (34) is missing".into();
            return self.end(now, text, None, (Reason::NumberMissing, Wait::No), out);
        };
        if let Some(tag) = self.wrong_comp_id(m) {
            let fault = Fault { reason: 9, tag: Some(tag), text: "CompID problem".into() };
            return self.refuse_and_end(now, m, number, (fault, Reason::CompId), out);
        }
        let is_old = number < self.expected;
        // What was kept is as timely as it was when it came.
        let is_timely = match kept {
            Some(kept) => kept.is_timely,
            None => logon::came_in_time(now, m, &self.options),
        };
        if !is_timely {
            let text = "SendingTime accuracy problem".into();
            let fault = Fault { reason: 10, tag: Some(52), text };
            return self.refuse_and_end(now, m, number, (fault, Reason::SendingTime), out);
        }
        match m.msg_type {
            b"5" if !(m.poss_dup && is_old) => return self.logout_received(now, number, out),
            b"A" if logon::resets(m.body) && !m.poss_dup => return self.logon_again(now, m, out),
            b"4" if m.body.get(123) != Some(b"Y") => {
                return self.sequence_reset(now, m, number, out);
            }
            _ => {}
        }
        if number > FIX_SEQ_NUM_MAX {
            let text = logon::OUT_OF_RANGE.into();
            return self.end(now, text, None, (Reason::NumberMissing, Wait::No), out);
        }
        match number.cmp(&self.expected) {
            Ordering::Less => self.old(now, m, number, out),
            Ordering::Equal => self.next(now, m, number, out),
            Ordering::Greater => self.early(now, m, number, out),
        }
    }

    /// The CompID that is not the Logon's. One that is missing is the dictionary's to refuse.
    fn wrong_comp_id(&self, m: &Received<'_>) -> Option<i32> {
        let is_wrong = |given: &[u8], wanted: &[u8]| {
            let is_refused_anyway = given.is_empty() && !is_good(m);
            given != wanted && !is_refused_anyway
        };
        if is_wrong(m.sender_comp_id, &self.client_comp_id) {
            return Some(49);
        }
        is_wrong(m.target_comp_id, &self.own_comp_id).then_some(56)
    }

    /// The message whose turn it is.
    fn next(&mut self, now: TimeNs, m: &Received<'_>, number: u64, out: &mut Vec<Action>) {
        if let Verdict::Refused(refusal) = m.verdict {
            let (reason, tag, text) = (refusal.reason, refusal.ref_tag, refusal.text);
            return self.refuse_next(now, m, number, Fault { reason, tag, text }, out);
        }
        match m.msg_type {
            b"0" | b"3" => self.advance(now, number + 1, Noted::Lazily, out),
            b"1" => match test_req_id(m) {
                Ok(id) => {
                    self.advance(now, number + 1, Noted::Lazily, out);
                    self.send(now, Admin::Heartbeat { test_req_id: Some(id) }, out);
                }
                Err(fault) => self.refuse_next(now, m, number, fault, out),
            },
            b"2" => match self.resend_range(m) {
                Ok(Range { first, last }) => {
                    self.advance(now, number + 1, Noted::Lazily, out);
                    self.serve(first, last, out);
                }
                Err(fault) => self.refuse_next(now, m, number, fault, out),
            },
            b"4" => match new_seq_no(m) {
                Ok(new) if new > number => self.advance(now, new, Noted::Lazily, out),
                Ok(new) => {
                    let text = Text::of(format_args!("NewSeqNo {new} is not above {number}"));
                    self.refuse_next(now, m, number, Fault::value(36, text), out);
                }
                Err(fault) => self.refuse_next(now, m, number, fault, out),
            },
            b"A" => {
                let fault = Fault { reason: 99, tag: None, text: "already logged on".into() };
                self.refuse_next(now, m, number, fault, out);
            }
            _ if m.verdict == Verdict::Unsupported => {
                self.advance(now, number + 1, Noted::Lazily, out);
                let reject = Admin::BusinessReject {
                    ref_seq: number,
                    ref_msg_type: TypeText::cut(m.msg_type),
                    reason: UNSUPPORTED_TYPE,
                    text: "Unsupported message type".into(),
                };
                self.send(now, reject, out);
            }
            _ => {
                let (poss_dup, poss_resend) = (m.poss_dup, m.poss_resend);
                out.push(Action::Deliver { number, poss_dup, poss_resend });
                self.advance(now, number + 1, Noted::ByDelivery, out);
            }
        }
    }

    /// A message ahead of those that are missing. What can wait no longer is answered at once: whoever
    /// fills the gap may not send it again.
    fn early(&mut self, now: TimeNs, m: &Received<'_>, number: u64, out: &mut Vec<Action>) {
        let is_good = is_good(m);
        match m.msg_type {
            b"1" if is_good && let Ok(id) = test_req_id(m) => {
                self.send(now, Admin::Heartbeat { test_req_id: Some(id) }, out);
                self.ahead.keep_done(number);
            }
            b"2" if is_good && let Ok(Range { first, last }) = self.resend_range(m) => {
                self.serve(first, last, out);
                self.ahead.keep_done(number);
            }
            _ => self.ahead.keep(number, m.raw, Kept { is_timely: true }),
        }
        self.ask_for_missing(now, number, out);
    }

    /// A message whose number was passed.
    fn old(&mut self, now: TimeNs, m: &Received<'_>, number: u64, out: &mut Vec<Action>) {
        if m.msg_type == b"2"
            && is_good(m)
            && let Ok(Range { first, last }) = self.resend_range(m)
        {
            return self.serve(first, last, out);
        }
        if !m.poss_dup {
            let text = too_low(self.expected, number);
            return self.end(now, text, None, (Reason::NumberTooLow, Wait::No), out);
        }
        if m.msg_type == b"4" {
            return;
        }
        match (m.orig_sending_time, m.sending_time) {
            (None, _) if m.body.get(122).is_some() => {
                self.reject(now, m, number, Fault::format(122), out);
            }
            (None, _) => self.reject(now, m, number, Fault::missing(122), out),
            (Some(original), Some(sent)) if original > sent => {
                let text = "OrigSendingTime is later than SendingTime".into();
                let fault = Fault { reason: 10, tag: Some(122), text };
                self.reject(now, m, number, fault, out);
                let ending = (Reason::SendingTime, Wait::ForLogout);
                self.end(now, "SendingTime accuracy problem".into(), None, ending, out);
            }
            _ => {}
        }
    }

    /// A Logon that begins the numbers anew while the session runs.
    fn logon_again(&mut self, now: TimeNs, m: &Received<'_>, out: &mut Vec<Action>) {
        if self.state != State::Running {
            return;
        }
        let request = match m.verdict {
            Verdict::Refused(refusal) => Err(refusal.text),
            _ if m.seq_num != Some(1) => Err(logon::reset_with(m.seq_num.unwrap_or(0))),
            _ => logon::heartbeat(m.body, &self.options)
                .and_then(|seconds| Ok((seconds, logon::next_expected(m.body, &self.options)?))),
        };
        let (heart_bt_int, next_expected) = match request {
            Ok(request) => request,
            Err(text) => return self.end(now, text, None, (Reason::LogonAgain, Wait::No), out),
        };
        self.heartbeat_ns = u64::from(heart_bt_int) * SECOND_NS;
        self.ahead.clear();
        self.reset(out);
        self.advance(now, 2, Noted::Lazily, out);
        let answer = Admin::Logon {
            heart_bt_int,
            reset: true,
            next_expected: next_expected.map(|_| self.expected),
            default_appl_ver_id: self.options.version.default_appl_ver_id(),
        };
        self.send(now, answer, out);
    }

    /// A SequenceReset without GapFillFlag: whatever its own number is, the next one is what it says. One
    /// that does not say it is refused as any message, and uses up its number where its turn has come.
    fn sequence_reset(
        &mut self,
        now: TimeNs,
        m: &Received<'_>,
        number: u64,
        out: &mut Vec<Action>,
    ) {
        let new = match m.verdict {
            Verdict::Refused(refusal) => {
                Err(Fault { reason: refusal.reason, tag: refusal.ref_tag, text: refusal.text })
            }
            _ => new_seq_no(m),
        };
        match new {
            Ok(new) if new < self.expected => {
                let expected = self.expected;
                let text =
                    Text::of(format_args!("NewSeqNo {new} is below the expected {expected}"));
                self.reject(now, m, number, Fault::value(36, text), out);
            }
            Ok(new) => {
                // What was kept had numbers that will be given anew.
                self.gap = None;
                self.ahead.clear();
                if new > self.expected {
                    self.advance(now, new, Noted::AtOnce, out);
                }
            }
            Err(fault) if number == self.expected => self.refuse_next(now, m, number, fault, out),
            Err(fault) => self.reject(now, m, number, fault, out),
        }
    }

    /// A Logout, whatever its number: it is answered, or is the answer.
    fn logout_received(&mut self, now: TimeNs, number: u64, out: &mut Vec<Action>) {
        // One ahead does not use up its number: what is missing before it will be asked for.
        if number == self.expected {
            self.advance(now, number + 1, Noted::Lazily, out);
        }
        self.end(now, Text::EMPTY, None, (Reason::LoggedOut, Wait::No), out);
    }

    /// A message while the session ends: only the Logout counts.
    pub(super) fn while_ending(&mut self, now: TimeNs, m: &Received<'_>, out: &mut Vec<Action>) {
        let Some(number) = m.seq_num.filter(|_| m.msg_type == b"5") else { return };
        if m.poss_dup && number < self.expected {
            return;
        }
        if self.is_logged_on && number == self.expected {
            self.advance(now, number + 1, Noted::Lazily, out);
        }
        if let State::Ending { reason, is_written, awaits_logout } = &mut self.state
            && *awaits_logout
        {
            *awaits_logout = false;
            if *is_written {
                let reason = *reason;
                self.disconnect(reason, out);
            }
        }
    }

    /// All below `to` has come.
    pub(super) fn advance(&mut self, now: TimeNs, to: u64, noted: Noted, out: &mut Vec<Action>) {
        self.expected = self.ahead.pass(to);
        match noted {
            Noted::ByDelivery if self.expected == to => {}
            Noted::ByDelivery | Noted::Lazily => out.push(Action::Expect(self.expected)),
            Noted::AtOnce => out.push(Action::SetExpected(self.expected)),
        }
        let Some(gap) = &mut self.gap else { return };
        gap.since = now;
        let Gap { shown_by, asked_to, .. } = *gap;
        if self.expected > shown_by {
            self.gap = None;
        } else if asked_to != 0 && self.expected > asked_to && !self.ahead.has(self.expected) {
            self.gap = None;
            self.ask_for_missing(now, shown_by, out);
        }
    }

    /// Asks for what is missing below `shown_by`, unless it was asked for.
    pub(super) fn ask_for_missing(&mut self, now: TimeNs, shown_by: u64, out: &mut Vec<Action>) {
        if self.gap.is_some() {
            return;
        }
        let (begin, chunk) = (self.expected, self.options.resend_chunk);
        let is_part = chunk != 0 && shown_by - begin > chunk;
        let end = if is_part { begin + chunk - 1 } else { 0 };
        self.gap = Some(Gap { shown_by, asked_to: end, since: now });
        self.send(now, Admin::ResendRequest { begin, end }, out);
    }

    /// What a ResendRequest asks for, as far as it was sent.
    fn resend_range(&self, m: &Received<'_>) -> Result<Range, Fault> {
        let (first, end) = (seq_num(m, 7)?, seq_num(m, 16)?);
        if first == 0 || first > self.sent {
            let text = match self.sent {
                0 => "nothing was sent yet".into(),
                sent => Text::of(format_args!("BeginSeqNo {first} is not between 1 and {sent}")),
            };
            return Err(Fault::value(7, text));
        }
        if end != 0 && end < first {
            let text = Text::of(format_args!("EndSeqNo {end} is below BeginSeqNo {first}"));
            return Err(Fault::value(16, text));
        }
        let last = if end == 0 { self.sent } else { end.min(self.sent) };
        Ok(Range { first, last })
    }

    /// Has numbers sent again: at once, or after those that are under way, and of both those only once.
    pub(super) fn serve(&mut self, first: u64, last: u64, out: &mut Vec<Action>) {
        let Some(current) = self.resend else {
            self.resend = Some(Range { first, last });
            return out.push(Action::Resend { first, last });
        };
        let first = if first >= current.first { first.max(current.last + 1) } else { first };
        if first <= last {
            let next = self.resend_next.unwrap_or(Range { first, last });
            let (first, last) = (first.min(next.first), last.max(next.last));
            self.resend_next = Some(Range { first, last });
        }
    }

    /// Refuses a message and uses up its number.
    fn refuse_next(
        &mut self,
        now: TimeNs,
        m: &Received<'_>,
        number: u64,
        fault: Fault,
        out: &mut Vec<Action>,
    ) {
        self.advance(now, number + 1, Noted::Lazily, out);
        self.reject(now, m, number, fault, out);
    }

    /// Refuses a message after which there is no going on.
    fn refuse_and_end(
        &mut self,
        now: TimeNs,
        m: &Received<'_>,
        number: u64,
        (fault, reason): (Fault, Reason),
        out: &mut Vec<Action>,
    ) {
        let text = fault.text;
        if number == self.expected {
            self.refuse_next(now, m, number, fault, out);
        } else {
            self.reject(now, m, number, fault, out);
        }
        self.end(now, text, None, (reason, Wait::ForLogout), out);
    }

    fn reject(
        &mut self,
        now: TimeNs,
        m: &Received<'_>,
        number: u64,
        fault: Fault,
        out: &mut Vec<Action>,
    ) {
        let reject = Admin::Reject {
            ref_seq: number,
            ref_tag: fault.tag,
            ref_msg_type: TypeText::cut(m.msg_type),
            reason: self.options.version.reject_reason(fault.reason),
            text: fault.text,
        };
        self.send(now, reject, out);
    }
}
