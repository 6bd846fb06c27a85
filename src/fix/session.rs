//! A FIX session as its acceptor sees it: what a received message, the passing of time and the sequencer
//! bring about, as a list of actions. Its rules are in `docs/FIX.md`.
//!
//! It has no clock and no socket, and it gives no number to what it sends: [`Action::Send`] is sequenced,
//! its record has the number, and [`Session::sent`] tells it later.
//!
//! Whoever drives it does this:
//! - It tells [`Session::sent`] in the order of the numbers, each when it is written behind all before it;
//!   without a connection that is logged on, when it is sequenced.
//! - What was asked for a connection that is gone gets no number. No application message is written before
//!   the answer to the Logon.
//! - After [`Session::received`] and [`Session::accepted`] it reads what [`Session::take_kept`] gives.
//! - It comes back with [`Session::time_came`] at [`Session::deadline`], which each call may change.
//! - After [`Action::Disconnect`] it closes the line behind what is written.
//!
//! Invariants:
//! - Every message is acted upon in the order of the numbers, once. The expected number only grows, but
//!   for [`Action::Reset`] and [`Session::numbers_set`].
//! - Nothing of the session changes before its Logon is accepted.
//! - A number is asked for again only when all that was asked for before has come.
//! - There is one resend at a time, of what was sent, and at most one that waits.
//! - After [`Action::Disconnect`] there is no action until [`Session::connect`].
//! - No allocation per message once buffers have grown; messages ahead are bounded.

mod action;
mod ahead;
mod logon;
mod options;
mod running;
mod text;
mod timer;

use super::Version;
pub use action::{Action, Admin, Body, Kind, Reason, Received, Refusal, Verdict, routing_back};
pub use options::Options;
pub use text::{Short, Text, TypeText};

use crate::limits::FIX_SEQ_NUM_MAX;
use crate::types::TimeNs;
use ahead::{Ahead, Kept};
use logon::Request;

const SECOND_NS: u64 = 1_000_000_000;

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There is none.
    Closed,
    /// No Logon came yet.
    Connected,
    /// A Logon came; who checks it has not answered yet.
    Authenticating(Request),
    /// Logged on.
    Running,
    /// Logged on, and a Logout is on its way or sent, whose answer is awaited.
    LoggingOut {
        /// The Logout was written.
        is_written: bool,
    },
    /// Nothing is taken any more.
    Ending {
        reason: Reason,
        /// The own Logout was written.
        is_written: bool,
        /// The client's Logout is awaited, or has come.
        awaits_logout: bool,
    },
}

/// Numbers that were sent, from `first` to `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    first: u64,
    last: u64,
}

/// What is missing.
#[derive(Clone, Copy, Debug)]
struct Gap {
    /// The message that showed the gap, which is closed when its turn has come.
    shown_by: u64,
    /// The last number asked for; 0 where all is.
    asked_to: u64,
    /// When something of it last came.
    since: TimeNs,
}

/// One session of one client, across its connections.
#[derive(Debug)]
pub struct Session {
    options: Options,
    state: State,
    /// The number that the client's next message has.
    expected: u64,
    /// The last number that was given to a message of ours, as far as is known here.
    sent: u64,
    /// Resets that were asked for and are not done yet: numbers told meanwhile are old.
    resetting: u32,
    /// Both numbers go to 1 when the connection ends.
    resets_at_end: bool,
    /// The Logon of this connection was accepted.
    is_logged_on: bool,
    /// CompIDs of the Logon.
    client_comp_id: Vec<u8>,
    own_comp_id: Vec<u8>,
    /// 0 for no heartbeats.
    heartbeat_ns: u64,
    last_sent: TimeNs,
    last_received: TimeNs,
    /// When a TestRequest was sent that nothing was received after.
    tested: Option<TimeNs>,
    test_count: u64,
    /// When the state ends by itself.
    limit: TimeNs,
    gap: Option<Gap>,
    ahead: Ahead,
    /// The next message received is one that was kept.
    playing: Option<Kept>,
    resend: Option<Range>,
    resend_next: Option<Range>,
    /// Where the client wants to be sent again from, when the Logon answer has its number.
    resend_after_logon: Option<u64>,
}

impl Session {
    /// A session without a connection. `expected` is the number of the client's next message, `sent` the
    /// last one given to a message of ours; 1 and 0 at its first begin.
    #[must_use]
    pub fn new(options: Options, expected: u64, sent: u64) -> Session {
        let ahead = Ahead::new(options.ahead_max_bytes);
        Session {
            options,
            state: State::Closed,
            expected: expected.clamp(1, FIX_SEQ_NUM_MAX),
            sent: sent.min(FIX_SEQ_NUM_MAX),
            resetting: 0,
            resets_at_end: false,
            is_logged_on: false,
            client_comp_id: Vec::new(),
            own_comp_id: Vec::new(),
            heartbeat_ns: 0,
            last_sent: TimeNs(0),
            last_received: TimeNs(0),
            tested: None,
            test_count: 0,
            limit: TimeNs(0),
            gap: None,
            ahead,
            playing: None,
            resend: None,
            resend_next: None,
            resend_after_logon: None,
        }
    }

    /// The number that the client's next message has.
    #[must_use]
    pub fn expected(&self) -> u64 {
        self.expected
    }

    /// The last number that was given to a message of ours, as far as is known here.
    #[must_use]
    pub fn last_sent(&self) -> u64 {
        self.sent
    }

    /// True where there is a connection.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.state != State::Closed
    }

    /// True from an accepted Logon to the end of the connection: application messages may be written.
    #[must_use]
    pub fn is_logged_on(&self) -> bool {
        self.is_logged_on
    }

    /// True while a Logon is checked: nothing need be read meanwhile.
    #[must_use]
    pub fn is_authenticating(&self) -> bool {
        matches!(self.state, State::Authenticating(_))
    }

    /// A client has connected. False where the session has a connection already, which stays as it is:
    /// the other one is to be closed.
    #[must_use]
    pub fn connect(&mut self, now: TimeNs) -> bool {
        if self.state != State::Closed {
            return false;
        }
        self.state = State::Connected;
        self.limit = after(now, self.options.logon_limit_s);
        true
    }

    /// The line was closed by the other side, or is broken.
    pub fn closed(&mut self, out: &mut Vec<Action>) {
        let reason = match self.state {
            State::Ending { reason, .. } => reason,
            _ => Reason::LineClosed,
        };
        self.disconnect(reason, out);
    }

    /// Bytes were received, of a whole message or not.
    pub fn alive(&mut self, now: TimeNs) {
        self.last_received = now;
        self.tested = None;
    }

    /// Bytes were received that are no message: they are not answered, and use up no number. Instead of
    /// a Logon they end the connection.
    pub fn garbled(&mut self, now: TimeNs, out: &mut Vec<Action>) {
        self.alive(now);
        if self.state == State::Connected {
            self.disconnect(Reason::FirstNotLogon, out);
        }
    }

    /// A whole message was received. What it lets come next is to be taken with [`Session::take_kept`].
    pub fn received(&mut self, now: TimeNs, m: &Received<'_>, out: &mut Vec<Action>) {
        self.alive(now);
        match self.state {
            State::Closed => {}
            State::Connected => self.first(now, m, out),
            State::Authenticating(_) => {
                // A client that does not wait for the answer: its messages come after it.
                if let Some(number) = m.seq_num.filter(|number| *number <= FIX_SEQ_NUM_MAX) {
                    let is_timely = logon::came_in_time(now, m, &self.options);
                    self.ahead.keep(number, m.raw, Kept { is_timely });
                }
            }
            State::Running | State::LoggingOut { .. } => self.in_session(now, m, out),
            State::Ending { .. } => self.while_ending(now, m, out),
        }
    }

    /// Gives the message that was kept and whose turn it is: to be read like one just received, and
    /// asked for again after that. False where there is none.
    #[must_use]
    pub fn take_kept(&mut self, into: &mut Vec<u8>) -> bool {
        let is_open = matches!(self.state, State::Running | State::LoggingOut { .. });
        self.playing = if is_open { self.ahead.take(self.expected, into) } else { None };
        self.playing.is_some()
    }

    /// A message of ours got its number, and was written behind all before it; or the session has no
    /// connection that it could be written to.
    pub fn sent(&mut self, now: TimeNs, number: u64, kind: Kind, out: &mut Vec<Action>) {
        if self.resetting == 0 {
            self.sent = number.min(FIX_SEQ_NUM_MAX);
        }
        self.last_sent = now;
        match (&mut self.state, kind) {
            (State::LoggingOut { is_written }, Kind::Logout) => *is_written = true,
            (State::Ending { reason, is_written, awaits_logout }, Kind::Logout) => {
                *is_written = true;
                if !*awaits_logout {
                    let reason = *reason;
                    self.disconnect(reason, out);
                }
            }
            (State::Running | State::LoggingOut { .. }, Kind::Logon) => {
                // What has a number below the answer's was given while the client was away.
                if let Some(first) = self.resend_after_logon.take()
                    && first < number
                {
                    self.serve(first, number - 1, out);
                }
            }
            _ => {}
        }
    }

    /// A reset that was asked for is done; what is told to be sent from here on has new numbers.
    pub fn was_reset(&mut self) {
        self.resetting = self.resetting.saturating_sub(1);
    }

    /// An operator set the numbers: the next one of the client, and the last one of ours. A reset that is
    /// asked for and not done comes after that, and undoes it. A resend under way goes on to its end, and
    /// is told as any ([`Session::resent`]); what waits for it is forgotten.
    pub fn numbers_set(&mut self, expected: u64, sent: u64) {
        if self.resetting > 0 {
            return;
        }
        self.expected = expected.clamp(1, FIX_SEQ_NUM_MAX);
        self.sent = sent.min(FIX_SEQ_NUM_MAX);
        let under_way = self.resend;
        self.forget();
        // Nothing of the numbers set is part of it: whatever is asked for comes after it.
        self.resend = under_way.map(|Range { last, .. }| Range { first: u64::MAX, last });
    }

    /// What was to be sent again was written up to this number.
    pub fn resent(&mut self, now: TimeNs, number: u64, out: &mut Vec<Action>) {
        self.last_sent = now;
        if self.resend.is_some_and(|range| number >= range.last) {
            self.resend = self.resend_next.take();
            if let Some(Range { first, last }) = self.resend {
                out.push(Action::Resend { first, last });
            }
        }
    }

    /// The credentials of the Logon are good.
    pub fn accepted(&mut self, now: TimeNs, out: &mut Vec<Action>) {
        if let State::Authenticating(request) = self.state {
            self.accept(now, request, out);
        }
    }

    /// The credentials of the Logon are not good, or the session may not log on. `session_status` is
    /// 1409 of FIXT: 5 where user or password are wrong, 7 where it is not the time.
    pub fn refused(
        &mut self,
        now: TimeNs,
        text: Text,
        session_status: Option<u32>,
        out: &mut Vec<Action>,
    ) {
        if let State::Authenticating(_) = self.state {
            self.refuse(now, text, session_status, out);
        }
    }

    /// An operator wants the client logged out, orderly: it is served until it answers.
    pub fn log_out(&mut self, now: TimeNs, text: Text, out: &mut Vec<Action>) {
        match self.state {
            State::Running => {
                self.state = State::LoggingOut { is_written: false };
                self.limit = after(now, self.options.logout_limit_s);
                self.send_logout(now, text, None, out);
            }
            State::Connected => self.disconnect(Reason::Operator, out),
            State::Authenticating(_) => self.refuse(now, text, None, out),
            State::Closed | State::LoggingOut { .. } | State::Ending { .. } => {}
        }
    }

    /// An operator wants the connection closed, at once.
    pub fn cut(&mut self, out: &mut Vec<Action>) {
        self.disconnect(Reason::Operator, out);
    }

    /// The time of the session is over: it is logged out, and the next one begins with 1.
    pub fn schedule_ended(&mut self, now: TimeNs, out: &mut Vec<Action>) {
        if self.is_connected() {
            self.resets_at_end = true;
            self.log_out(now, "session time is over".into(), out);
        } else {
            self.reset(out);
        }
    }

    /// The first message of a connection.
    fn first(&mut self, now: TimeNs, m: &Received<'_>, out: &mut Vec<Action>) {
        if m.msg_type != b"A" {
            return self.disconnect(Reason::FirstNotLogon, out);
        }
        match logon::read(now, m, &self.options) {
            Err(text) => self.refuse(now, text, None, out),
            Ok(request) => {
                set(&mut self.client_comp_id, m.sender_comp_id);
                set(&mut self.own_comp_id, m.target_comp_id);
                if self.options.authenticate {
                    self.state = State::Authenticating(request);
                    self.limit = after(now, self.options.logon_limit_s);
                    out.push(Action::Authenticate);
                } else {
                    self.accept(now, request, out);
                }
            }
        }
    }

    /// A Logon is good: what it asks for is done.
    fn accept(&mut self, now: TimeNs, request: Request, out: &mut Vec<Action>) {
        let resets = request.reset || self.options.reset_on_logon;
        let (expected, sent) = if resets { (1, 0) } else { (self.expected, self.sent) };
        if request.seq_num < expected {
            let text = too_low(expected, request.seq_num);
            return self.refuse(now, text, None, out);
        }
        // What a client expects of the old numbers is nothing to the new ones.
        let next_expected = request.next_expected;
        let resend_from = next_expected.filter(|_| !resets);
        if let Some(next) = resend_from.filter(|next| *next > sent + 1 && self.resetting == 0) {
            let text = Text::of(format_args!(
                "NextExpectedMsgSeqNum too high, expecting {} but received {next}",
                sent + 1
            ));
            return self.refuse(now, text, None, out);
        }
        self.state = State::Running;
        self.is_logged_on = true;
        self.heartbeat_ns = u64::from(request.heart_bt_int) * SECOND_NS;
        // What came before the answer to a Logon that resets has the new numbers: it stays kept.
        if resets {
            self.reset(out);
        }
        self.resend_after_logon = resend_from;
        let is_ahead = request.seq_num > self.expected;
        if is_ahead {
            self.ahead.insert_done(request.seq_num);
        } else {
            self.advance(now, request.seq_num + 1, Noted::Lazily, out);
        }
        let answer = Admin::Logon {
            heart_bt_int: request.heart_bt_int,
            reset: request.reset || (resets && self.options.show_own_reset),
            next_expected: next_expected.map(|_| self.expected),
            default_appl_ver_id: self.options.version.default_appl_ver_id(),
        };
        self.send(now, answer, out);
        if is_ahead && next_expected.is_some() {
            // The answer's 789 asks for what is missing.
            self.gap = Some(Gap { shown_by: request.seq_num, asked_to: 0, since: now });
        } else if is_ahead {
            self.ask_for_missing(now, request.seq_num, out);
        }
    }

    /// Refuses a Logon.
    fn refuse(
        &mut self,
        now: TimeNs,
        text: Text,
        session_status: Option<u32>,
        out: &mut Vec<Action>,
    ) {
        if self.options.refusals_numbered {
            return self.end(now, text, session_status, (Reason::LogonRefused, Wait::No), out);
        }
        out.push(Action::Refuse(self.logout(text, session_status)));
        self.disconnect(Reason::LogonRefused, out);
    }

    /// Says why, and takes nothing more; closes when that is written, or when the client has answered.
    fn end(
        &mut self,
        now: TimeNs,
        text: Text,
        session_status: Option<u32>,
        (reason, wait): (Reason, Wait),
        out: &mut Vec<Action>,
    ) {
        // A Logout that is on its way, or sent, is enough.
        let is_written = match self.state {
            State::LoggingOut { is_written } => Some(is_written),
            _ => None,
        };
        self.state = State::Ending {
            reason,
            is_written: is_written.unwrap_or(false),
            awaits_logout: wait == Wait::ForLogout,
        };
        self.limit = after(now, self.options.logout_limit_s);
        self.forget();
        match is_written {
            None => self.send_logout(now, text, session_status, out),
            Some(true) if wait == Wait::No => self.disconnect(reason, out),
            Some(_) => {}
        }
    }

    /// Ends a connection: nothing follows.
    fn disconnect(&mut self, reason: Reason, out: &mut Vec<Action>) {
        if self.state == State::Closed {
            return;
        }
        self.state = State::Closed;
        self.forget();
        let resets = self.resets_at_end
            || (self.is_logged_on
                && (self.options.reset_on_disconnect
                    || (self.options.reset_on_logout && reason == Reason::LoggedOut)));
        if resets {
            self.reset(out);
        }
        self.resets_at_end = false;
        self.is_logged_on = false;
        out.push(Action::Disconnect(reason));
    }

    /// Both numbers to 1.
    fn reset(&mut self, out: &mut Vec<Action>) {
        self.expected = 1;
        self.sent = 0;
        self.resetting = self.resetting.saturating_add(1);
        self.gap = None;
        self.resend = None;
        self.resend_next = None;
        self.resend_after_logon = None;
        out.push(Action::Reset);
    }

    /// Forgets what is under way.
    fn forget(&mut self) {
        self.gap = None;
        self.ahead.clear();
        self.playing = None;
        self.resend = None;
        self.resend_next = None;
        self.resend_after_logon = None;
    }

    fn send(&mut self, now: TimeNs, admin: Admin, out: &mut Vec<Action>) {
        self.last_sent = now;
        out.push(Action::Send(admin));
    }

    fn send_logout(
        &mut self,
        now: TimeNs,
        text: Text,
        session_status: Option<u32>,
        out: &mut Vec<Action>,
    ) {
        let logout = self.logout(text, session_status);
        self.send(now, logout, out);
    }

    fn logout(&self, text: Text, session_status: Option<u32>) -> Admin {
        let knows_status = self.options.version == Version::Fix50;
        Admin::Logout { text, session_status: session_status.filter(|_| knows_status) }
    }
}

/// Whether a connection that ends waits for the client's Logout.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    No,
    ForLogout,
}

/// How a new expected number is noted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Noted {
    /// With the next record.
    Lazily,
    /// With the record of the message delivered.
    ByDelivery,
    /// With a record of its own.
    AtOnce,
}

fn after(now: TimeNs, seconds: u32) -> TimeNs {
    TimeNs(now.0.saturating_add(u64::from(seconds) * SECOND_NS))
}

fn too_low(expected: u64, received: u64) -> Text {
    Text::of(format_args!("MsgSeqNum too low, expecting {expected} but received {received}"))
}

fn set(comp_id: &mut Vec<u8>, given: &[u8]) {
    comp_id.clear();
    comp_id.extend_from_slice(given);
}
