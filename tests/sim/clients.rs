//! Native clients as plain state machines: they log on, trade, ask, repeat themselves, talk nonsense,
//! read slowly or not at all, hang up and come back, and hold the server to its promises.

use super::kinds::{self, Mind};
use super::ledger::{Ledger, Seen, Sent};
use super::net::Wire;
use super::random::Random;
use super::sending::{self, What};
use super::venue::{Known, Rules};
use super::views::{View, Views};
use openoutcry::command::Command;
use openoutcry::event::RejectReason;
use openoutcry::limits::FRAME_MAX_BYTES;
use openoutcry::types::{KeyId, Priority, SessionId};
use openoutcry::wire::answer::{AnswerView, Fill, ROLE_MAKER};
use openoutcry::wire::frame::{Frame, OpenLimits, frame_length};
use openoutcry::wire::header::Flags;
use openoutcry::wire::message::{Challenge, LogonAccepted, Notice, Reject, ServerMessage};
use std::collections::{BTreeMap, VecDeque};

/// What a client takes from the server.
pub(crate) const OPEN: OpenLimits =
    OpenLimits { frame_max: FRAME_MAX_BYTES, strict_reserved: true };

/// How a client behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manners {
    /// Reads, sooner or later, and keeps to the protocol most of the time.
    Good,
    /// Logs on and sends, and never reads.
    NeverReads,
    /// Connects and never says a word.
    NeverSpeaks,
}

/// Where the conversation stands, as the client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Talk {
    AwaitChallenge,
    LoggingOn,
    Live,
    /// The client said or did something after which the server closes.
    Ending,
}

/// One message on its way and not answered.
#[derive(Clone, Copy, Debug)]
struct Transmission {
    number: u64,
    what: What,
}

pub(crate) struct Conversation {
    pub(crate) wire: Wire,
    pub(crate) talk: Talk,
    inbound: Vec<u8>,
    sent: VecDeque<Transmission>,
    session: SessionId,
    /// The first number of the client on this connection.
    first_number: u64,
    outbound: u64,
    /// Numbers up to here were given when it logged on, and are to come.
    owed: u64,
    /// What its logon said it had received.
    asked_after: u64,
    /// What the server wrote and was not looked at yet.
    pub(crate) shown: Vec<u8>,
}

pub(crate) struct Client {
    pub(crate) name: String,
    pub(crate) key: KeyId,
    pub(crate) manners: Manners,
    pub(crate) talk: Option<Conversation>,
    window: usize,
    next_number: u64,
    /// The last outbound number received, on whatever connection.
    received: u64,
    /// A power cut may have taken what it received.
    may_be_ahead: bool,
    /// The command that was sent with each number, on whatever connection.
    numbers: BTreeMap<u64, usize>,
    /// Commands whose answer is not known, oldest first.
    open: VecDeque<usize>,
    /// Commands that were answered.
    done: Vec<usize>,
    known: Vec<Known>,
}

/// What a client needs of the world.
pub(crate) struct Around<'a> {
    pub(crate) random: &'a mut Random,
    pub(crate) ledger: &'a mut Ledger,
    pub(crate) views: &'a mut Views,
    pub(crate) wall_ms: i64,
    pub(crate) rules: Rules,
    /// Clients write priorities into their messages.
    pub(crate) priorities: bool,
    /// Answers come in the order of messages, whatever their subjects: one priority, and no pressure.
    pub(crate) in_order: bool,
}

impl Client {
    pub(crate) fn new(number: usize, manners: Manners, key: KeyId, window: usize) -> Client {
        Client {
            name: format!("c{number}"),
            key,
            manners,
            talk: None,
            window,
            next_number: 1,
            received: 0,
            may_be_ahead: false,
            numbers: BTreeMap::new(),
            open: VecDeque::new(),
            done: Vec::new(),
            known: Vec::new(),
        }
    }

    pub(crate) fn connected(&mut self, wire: Wire) {
        self.talk = Some(Conversation {
            wire,
            talk: Talk::AwaitChallenge,
            inbound: Vec::new(),
            sent: VecDeque::new(),
            session: SessionId(0),
            outbound: 0,
            owed: 0,
            asked_after: 0,
            first_number: self.next_number,
            shown: Vec::new(),
        });
    }

    /// True where everything this client may expect has come.
    pub(crate) fn is_content(&self) -> bool {
        let Some(talk) = self.talk.as_ref().filter(|talk| !talk.wire.is_closed()) else {
            return true;
        };
        let answered = talk.sent.is_empty() && talk.inbound.is_empty() && talk.wire.is_quiet();
        let answered = answered && talk.outbound >= talk.owed;
        self.manners != Manners::Good || (talk.talk == Talk::Live && answered)
    }

    /// The session that this client has, where it is logged on.
    pub(crate) fn session(&self) -> Option<SessionId> {
        let talk = self.talk.as_ref()?;
        (talk.talk == Talk::Live && !talk.wire.is_closed()).then_some(talk.session)
    }

    /// What this client still waits for, in words.
    pub(crate) fn complaint(&self) -> String {
        let talk = self.talk.as_ref();
        format!("{}: {:?}", self.name, talk.map(|talk| (talk.talk, &talk.sent, talk.inbound.len())))
    }

    /// Sends something that fits where the conversation stands. Returns what, in words.
    pub(crate) fn speak(&mut self, around: &mut Around<'_>) -> Option<String> {
        let talk = self.talk.as_ref()?;
        if talk.talk != Talk::Live || talk.sent.len() >= self.window {
            return None;
        }
        let what = self.choose(around)?;
        Some(self.send(what, around))
    }

    /// Chooses what to say.
    fn choose(&mut self, around: &mut Around<'_>) -> Option<What> {
        let random = &mut *around.random;
        let repeatable = self.open.len().min(4) as u64;
        Some(match random.below(100) {
            0..15 if repeatable > 0 => {
                let index = self.open[random.below(repeatable) as usize];
                What::Command { index, repeat: true }
            }
            20..24 if !self.done.is_empty() => {
                let index = self.done[random.below(self.done.len() as u64) as usize];
                What::Command { index, repeat: true }
            }
            24..27 if !self.done.is_empty() => {
                let index = self.done[random.below(self.done.len() as u64) as usize];
                let lost = around.ledger.commands[index].answer.is_none();
                if lost {
                    return None;
                }
                What::Reused { index }
            }
            27..33 => sending::query(random),
            33..35 => What::Ping { nonce: random.next() },
            35..36 => What::Reference,
            36..40 => What::Invalid { how: random.below(sending::INVALID) },
            40..42 => What::Junk,
            42 => What::Garbage,
            43 => What::Logout,
            _ => {
                let session = self.talk.as_ref().map(|talk| talk.session).unwrap_or_default();
                let (rules, wall_ms) = (around.rules, around.wall_ms);
                let mind = Mind { rules, key: self.key, session, wall_ms, known: &self.known };
                let command = kinds::command(random, &mind);
                let ahead = if random.percent(2) { 3_600_000 } else { 0 };
                let skew = random.below(100).cast_signed() - 50 + ahead;
                let any = Priority::ALL[random.below(5) as usize];
                let priority = if around.priorities { any } else { Priority::Normal };
                let ttl_ms = if random.percent(5) { 1 + random.below(40) as u32 } else { 0 };
                let index = around.ledger.add(Sent {
                    key: self.key,
                    command,
                    timestamp_ms: around.wall_ms + skew,
                    ttl_ms,
                    priority,
                    answer: None,
                    unresolved: 0,
                });
                self.open.push_back(index);
                What::Command { index, repeat: false }
            }
        })
    }

    fn send(&mut self, what: What, around: &mut Around<'_>) -> String {
        let number = self.next_number;
        self.next_number += 1;
        let talk = self.talk.as_mut().expect("only who is connected sends");
        match what {
            What::Command { index, .. } => {
                around.ledger.commands[index].unresolved += 1;
                self.numbers.insert(number, index);
            }
            What::Logout | What::Garbage => talk.talk = Talk::Ending,
            _ => {}
        }
        let bytes = sending::frame(what, number, self.key, around);
        talk.wire.send(&bytes);
        if !matches!(what, What::Garbage) {
            talk.sent.push_back(Transmission { number, what });
        }
        match what {
            What::Command { index, repeat } => {
                let sent = &around.ledger.commands[index];
                format!("{} sends {number}: m{index} repeat={repeat} {:?}", self.name, sent.command)
            }
            other => format!("{} sends {number}: {other:?}", self.name),
        }
    }

    /// Reads up to `most` bytes and handles whole frames. Returns bytes read.
    pub(crate) fn listen(&mut self, most: usize, around: &mut Around<'_>) -> usize {
        let Some(talk) = self.talk.as_mut() else { return 0 };
        if self.manners == Manners::NeverReads && talk.talk == Talk::Live {
            return 0;
        }
        let count = talk.wire.receive(most, &mut talk.inbound);
        let bytes = std::mem::take(&mut talk.inbound);
        let mut used = 0;
        while let Some(size) = frame_length(&bytes[used..], OPEN.frame_max).expect("a sound frame")
            && size <= bytes.len() - used
        {
            let frame = Frame::open(&bytes[used..used + size], &OPEN).expect("a sound frame");
            self.handle(&frame, around);
            used += size;
        }
        if let Some(talk) = self.talk.as_mut() {
            talk.inbound = bytes[used..].to_vec();
        }
        count
    }

    fn handle(&mut self, frame: &Frame<'_>, around: &mut Around<'_>) {
        let number = frame.client_sequence();
        let again = frame.header().flags.has(Flags::POSSIBLE_DUPLICATE);
        match ServerMessage::decode(frame).expect("the server speaks the protocol") {
            ServerMessage::Challenge(challenge) => self.log_on(&challenge, around),
            ServerMessage::LogonAccepted(accepted) => self.accepted(number, &accepted, around),
            ServerMessage::Answer(view) => self.answer(number, &view, again, around),
            ServerMessage::Fill(fill) => self.fill(fill, around),
            ServerMessage::OrderUpdate(update) => {
                let session = self.conversation().session;
                around.ledger.updated(session, update);
                self.number(update.outbound);
            }
            ServerMessage::Reject(reject) => self.reject(number, &reject, around),
            ServerMessage::Pong(pong) => {
                let what = self.complete(number, false);
                assert!(matches!(what, What::Ping { nonce } if nonce == pong.nonce), "{what:?}");
            }
            ServerMessage::Book(view) => {
                let What::Book { instrument, depth, orders } =
                    self.complete(number, around.in_order)
                else {
                    panic!("{} did not ask for a book with {number}", self.name)
                };
                assert_eq!((view.head.instrument, view.head.orders), (instrument, orders));
                around.views.add(view.head.sequence, View::book(&view, depth));
            }
            ServerMessage::Account(view) => {
                let what = self.complete(number, around.in_order);
                assert!(matches!(what, What::Account { account } if account == view.head.account));
                around.views.add(view.head.sequence, View::account(&view));
            }
            ServerMessage::Reference(view) => {
                let reference = view.parse().expect("JSON of a reference");
                assert_eq!((reference.assets.len(), reference.instruments.len()), (2, 2));
                assert!(matches!(self.complete(number, false), What::Reference));
            }
            ServerMessage::Directory(_) | ServerMessage::Schemas(_) | ServerMessage::Limits(_) => {
                panic!("nobody asks for keys, schemas or limits")
            }
            ServerMessage::LoggedOut(_) => {
                if number != 0 {
                    assert!(matches!(self.complete(number, around.in_order), What::Logout));
                }
                self.conversation().talk = Talk::Ending;
            }
            ServerMessage::Notice(notice) => {
                let known = [Notice::STOPPING, Notice::OVERLOADED, Notice::NOT_OVERLOADED]
                    .contains(&notice.kind);
                assert!(known, "this release gives no other: {notice:?}");
            }
        }
    }

    fn conversation(&mut self) -> &mut Conversation {
        self.talk.as_mut().expect("only who is connected is spoken to")
    }

    /// Crosses a message off. What is answered in order may only be overtaken by what is answered
    /// from the event log, or at once.
    fn complete(&mut self, number: u64, in_order: bool) -> What {
        let name = self.name.clone();
        let talk = self.conversation();
        let at = talk.sent.iter().position(|sent| sent.number == number);
        let at =
            at.unwrap_or_else(|| panic!("one answer a message: {name} got {number} once more"));
        let late = talk.sent.iter().take(at).find(|sent| !sent.what.may_be_late());
        assert!(!in_order || late.is_none(), "answers keep the order: {number} before {late:?}");
        talk.sent.remove(at).expect("it was found there").what
    }

    fn log_on(&mut self, challenge: &Challenge, around: &mut Around<'_>) {
        if self.manners == Manners::NeverSpeaks {
            return;
        }
        let what = match around.random.below(40) {
            0 => What::LogonBadKey,
            1 => What::LogonBadNonce,
            2 => What::Garbage,
            _ => What::Logon,
        };
        let number = self.next_number;
        self.next_number += 1;
        let after = if around.random.percent(60) { self.received } else { 0 };
        let cancel = around.rules.version > 1 && around.random.percent(10);
        let frame = sending::logon(what, number, self.key, &self.name, challenge, after, cancel);
        let talk = self.conversation();
        talk.asked_after = after;
        talk.talk = if what == What::Logon { Talk::LoggingOn } else { Talk::Ending };
        talk.wire.send(&frame);
        if what != What::Garbage {
            talk.sent.push_back(Transmission { number, what });
        }
    }

    fn accepted(&mut self, number: u64, accepted: &LogonAccepted, around: &mut Around<'_>) {
        assert_eq!(self.complete(number, around.in_order), What::Logon);
        assert_eq!(accepted.key, self.key);
        around.views.logon(&self.name, accepted.session);
        let first_number = self.conversation().first_number;
        around.ledger.connected(accepted.session, first_number);
        let repeats: Vec<usize> = self.open.iter().copied().collect();
        let talk = self.conversation();
        (talk.talk, talk.session) = (Talk::Live, accepted.session);
        talk.owed = accepted.outbound;
        talk.outbound = if talk.asked_after > 0 { talk.asked_after } else { accepted.outbound };
        // Whoever comes back asks again for what it does not know, before anything else.
        if around.random.percent(60) {
            for index in repeats {
                self.send(What::Command { index, repeat: true }, around);
            }
        }
    }

    /// Every outbound number of the session comes once and in order.
    fn number(&mut self, outbound: u64) {
        let talk = self.conversation();
        assert_eq!(outbound, talk.outbound + 1, "outbound numbers rise by one");
        talk.outbound = outbound;
        self.received = outbound;
    }

    fn answer(&mut self, number: u64, view: &AnswerView<'_>, again: bool, around: &mut Around<'_>) {
        let answer = view.answer;
        let inherited = again && !self.conversation().sent.iter().any(|sent| sent.number == number);
        let index = if inherited {
            // It was sent on an earlier connection and sequenced when this one had the session.
            self.number(answer.outbound);
            self.numbers[&number]
        } else {
            let What::Command { index, repeat } = self.complete(number, !again && around.in_order)
            else {
                panic!("IdReused is never applied: {number} was answered with {answer:?}")
            };
            if again {
                assert!(repeat, "only a repetition gets an answer again: {answer:?}");
            } else {
                self.number(answer.outbound);
            }
            index
        };
        let seen = Seen { answer, fills: view.fills.iter().collect() };
        around.ledger.answered(index, seen, again);
        self.open.retain(|open| *open != index);
        if !self.done.contains(&index) {
            self.done.push(index);
        }
        let entered = match around.ledger.commands[index].command {
            Command::NewOrder(order) => Some((order.account, order.instrument)),
            Command::EnterOrder(order) => Some((order.account, order.instrument)),
            _ => None,
        };
        if let Some((account, instrument)) = entered.filter(|_| answer.leaves.0 > 0) {
            self.known.push(Known { account, instrument, order_id: answer.order_id });
            if self.known.len() > 20 {
                self.known.remove(0);
            }
        }
    }

    fn fill(&mut self, fill: Fill, around: &mut Around<'_>) {
        let session = self.conversation().session;
        around.ledger.filled(session, fill);
        // A taker's further fills come again with a repeated answer, under their old numbers.
        if fill.role == ROLE_MAKER || fill.outbound > self.conversation().outbound {
            self.number(fill.outbound);
        }
    }

    fn reject(&mut self, number: u64, reject: &Reject<'_>, around: &mut Around<'_>) {
        let reason = reject.reason.reason().expect("a reason that we know");
        let talk = self.conversation();
        if number == 0 {
            if let Some(junk) = talk.sent.iter().find(|sent| sent.what == What::Junk) {
                let number = junk.number;
                self.complete(number, around.in_order);
            } else {
                let ending = talk.talk == Talk::Ending || talk.talk == Talk::AwaitChallenge;
                assert!(ending, "{} is refused for nothing: {reason}", self.name);
                talk.talk = Talk::Ending;
            }
            return;
        }
        // What finds no room is refused at once; what found the last room may still wait there.
        match self.complete(number, around.in_order && reason != RejectReason::Busy) {
            What::Command { index, .. } => {
                around.ledger.refused(index, reason);
                let again = matches!(
                    reason,
                    RejectReason::Busy | RejectReason::NoSpace | RejectReason::TooManyRequests
                );
                if !again {
                    self.open.retain(|open| *open != index);
                }
            }
            What::Logon => {
                let forgotten = reason == RejectReason::LogonRefused && self.may_be_ahead;
                let fine = matches!(reason, RejectReason::Busy | RejectReason::CapacityReached);
                self.received = 0;
                assert!(fine || forgotten, "a good logon is refused: {reason}");
                self.conversation().talk = Talk::Ending;
            }
            What::LogonBadKey | What::LogonBadNonce => {
                assert!(matches!(reason, RejectReason::LogonRefused | RejectReason::BadSignature));
            }
            What::Reused { .. } => {
                let fine = matches!(
                    reason,
                    RejectReason::IdReused
                        | RejectReason::TooOldToCheck
                        | RejectReason::TimestampAhead
                        | RejectReason::Busy
                        | RejectReason::TooManyRequests
                        | RejectReason::NotEntitled
                );
                assert!(fine, "an id with other content is refused with {reason}");
            }
            What::Invalid { .. } | What::Book { .. } | What::Account { .. } => {}
            What::Reference => assert_eq!(reason, RejectReason::TooManyRequests),
            What::Logout => assert_eq!(reason, RejectReason::Busy),
            other => panic!("{other:?} is refused with {reason}"),
        }
    }

    /// Closes its side and goes on listening: what it is owed still comes, and then the end.
    pub(crate) fn say_no_more(&mut self) {
        if let Some(talk) = self.talk.as_mut().filter(|talk| talk.talk == Talk::Live) {
            talk.wire.finish();
            talk.talk = Talk::Ending;
        }
    }

    /// A power cut took a part of the journal.
    pub(crate) fn history_was_cut(&mut self) {
        self.may_be_ahead = true;
    }

    /// The connection is gone; what is open may have happened or not.
    pub(crate) fn forget_connection(&mut self) {
        self.talk = None;
    }
}
