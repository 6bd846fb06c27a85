//! Whatever comes in whatever order, the machine does not panic and keeps what it promises. Seeded.

use super::desk::options;
use crate::allocation::allocations;
use crate::sim::random::{Random, seeds};
use openoutcry::fix::Version;
use openoutcry::fix::session::{
    Action, Admin, Body, Kind, Options, Received, Refusal, Session, Text, Verdict,
};
use openoutcry::types::TimeNs;
use std::collections::VecDeque;

const SECOND: u64 = 1_000_000_000;

struct Values(Vec<(u32, Vec<u8>)>);

impl Body for Values {
    fn get(&self, tag: u32) -> Option<&[u8]> {
        self.0.iter().find(|(given, _)| *given == tag).map(|(_, value)| value.as_slice())
    }
}

/// What must hold of all actions, whatever brought them about.
struct Watch {
    session: Session,
    asked: VecDeque<Option<Kind>>,
    given: u64,
    expected: u64,
    resend_begun: u64,
    serving: Option<u64>,
    is_over: bool,
    has_logout: bool,
    now: u64,
    actions: Vec<Action>,
    /// How often there was something to do, by kind of action.
    counts: [u64; ACTIONS],
}

impl Watch {
    fn new(options: Options) -> Watch {
        Watch {
            session: Session::new(options, 1, 0),
            asked: VecDeque::new(),
            given: 0,
            expected: 1,
            resend_begun: 0,
            serving: None,
            is_over: true,
            has_logout: false,
            now: 1_000_000 * SECOND,
            actions: Vec::new(),
            counts: [0; ACTIONS],
        }
    }

    fn look(&mut self, was_logged_on: bool) {
        let may_change = was_logged_on || self.session.is_logged_on();
        for action in std::mem::take(&mut self.actions) {
            assert!(!self.is_over || action == Action::Reset, "{action:?} behind the end");
            self.counts[kind(&action)] += 1;
            match action {
                Action::Send(admin) => {
                    self.asked.push_back(Some(admin.kind()));
                    self.sent(&admin);
                }
                Action::Refuse(_) => self.logout(),
                Action::Deliver { number, .. } => {
                    assert!(may_change);
                    assert_eq!(number, self.expected);
                    self.expected = number + 1;
                }
                Action::Expect(number) => {
                    assert!(may_change);
                    assert!(number > self.expected, "{number} after {}", self.expected);
                    self.expected = number;
                }
                Action::SetExpected(number) => {
                    assert!(may_change);
                    assert!(number > self.expected);
                    self.expected = number;
                }
                Action::Resend { first, last } => {
                    assert!(may_change);
                    assert!(0 < first && first <= last && last <= self.given);
                    assert_eq!(self.serving.replace(last), None, "one at a time");
                }
                Action::Reset => {
                    assert!(may_change || !self.session.is_connected());
                    self.asked.push_back(None);
                    self.expected = 1;
                    self.resend_begun = 0;
                    self.serving = None;
                }
                Action::Authenticate => assert!(!may_change),
                Action::Disconnect(_) => {
                    self.is_over = true;
                    self.serving = None;
                }
            }
        }
        assert_eq!(self.is_over, !self.session.is_connected());
        assert_eq!(self.expected, self.session.expected(), "every change is told");
    }

    fn sent(&mut self, admin: &Admin) {
        match admin {
            Admin::ResendRequest { begin, end } => {
                assert_eq!(*begin, self.expected);
                assert!(*begin > self.resend_begun, "asked twice for {begin}");
                assert!(*end == 0 || end >= begin);
                self.resend_begun = *begin;
            }
            Admin::Logout { .. } => self.logout(),
            _ => {}
        }
    }

    fn logout(&mut self) {
        assert!(!self.has_logout, "one Logout a connection");
        self.has_logout = true;
    }

    fn step(&mut self, random: &mut Random) {
        self.now = match random.below(2000) {
            0 => random.next(),
            1 => 0,
            2 => u64::MAX,
            3..300 => self.now.saturating_add(random.below(40 * SECOND)),
            _ => self.now,
        };
        let now = TimeNs(self.now);
        let was_logged_on = self.session.is_logged_on();
        let out = &mut self.actions;
        match random.below(40) {
            0 if !self.session.is_connected() || random.percent(5) => {
                if self.session.connect(now) {
                    self.is_over = false;
                    self.has_logout = false;
                    self.resend_begun = 0;
                }
            }
            1 if random.percent(20) => self.session.closed(out),
            2 => self.session.garbled(now, out),
            3 => self.session.accepted(now, out),
            4 if random.percent(30) => self.session.refused(now, "no".into(), Some(5), out),
            5 if random.percent(20) => self.session.log_out(now, "end".into(), out),
            6 if random.percent(5) => self.session.cut(out),
            7 if random.percent(5) => self.session.schedule_ended(now, out),
            8 if random.percent(5) && !self.asked.contains(&None) => {
                let (expected, sent) = (any_number(random, 5), any_number(random, 5));
                self.session.numbers_set(expected, sent);
                self.expected = self.session.expected();
                self.given = self.session.last_sent();
                self.asked.clear();
                self.resend_begun = 0;
            }
            9..12 => {
                self.session.time_came(now, out);
                assert!(self.session.deadline().is_none_or(|due| due > now || now.0 == u64::MAX));
            }
            12..18 => match self.asked.pop_front() {
                Some(Some(kind)) => {
                    self.given += 1;
                    self.session.sent(now, self.given, kind, out);
                }
                Some(None) => {
                    self.given = 0;
                    self.session.was_reset();
                }
                None => {
                    self.given += 1;
                    self.session.sent(now, self.given, Kind::Application, out);
                }
            },
            18 => {
                let number = self.serving.take().unwrap_or(0);
                self.session.resent(now, number, out);
            }
            _ => return self.receive(random),
        }
        self.look(was_logged_on);
    }

    fn receive(&mut self, random: &mut Random) {
        let was_logged_on = self.session.is_logged_on();
        let mut message = any_message(random, self.session.expected(), self.given);
        if !was_logged_on && random.percent(80) {
            message.msg_type = b"A".to_vec();
        } else if was_logged_on && message.msg_type == b"5" && random.percent(80) {
            message.msg_type = b"D".to_vec();
        }
        // What is old is marked as such more often than not, so that sessions live.
        message.poss_dup |= message.number < Some(self.session.expected()) && random.percent(90);
        self.take(&message);
        self.look(was_logged_on);
        let mut kept = Vec::new();
        while self.session.take_kept(&mut kept) {
            let number = u64::from_le_bytes(kept[..8].try_into().expect("as it was made"));
            assert_eq!(number, self.session.expected());
            let message = Made {
                msg_type: kept[8..9].to_vec(),
                number: Some(number),
                ..any_message(random, number, self.given)
            };
            self.take(&message);
            self.look(true);
        }
    }

    fn take(&mut self, message: &Made) {
        if message.msg_type == b"4" && message.body.get(123) != Some(b"Y") {
            self.resend_begun = 0;
        }
        let number = message.number.unwrap_or(0);
        let raw = [&number.to_le_bytes()[..], &message.msg_type[..1]].concat();
        let time = |seconds: Option<i64>| {
            seconds.map(|s| TimeNs(self.now.saturating_add_signed(s * SECOND as i64)))
        };
        let received = Received {
            raw: &raw,
            begin_string: message.begin_string,
            msg_type: &message.msg_type,
            seq_num: message.number,
            poss_dup: message.poss_dup,
            poss_resend: false,
            sending_time: time(message.sending),
            orig_sending_time: time(message.original),
            sender_comp_id: message.client,
            target_comp_id: b"VENUE",
            body: &message.body,
            verdict: message.verdict,
        };
        self.session.received(TimeNs(self.now), &received, &mut self.actions);
    }
}

/// Kinds of actions, those of what is sent told apart.
const ACTIONS: usize = 15;

fn kind(action: &Action) -> usize {
    match action {
        Action::Send(Admin::BusinessReject { .. }) => 7,
        Action::Send(admin) => match admin.kind() {
            Kind::Logon => 0,
            Kind::Heartbeat => 1,
            Kind::TestRequest => 2,
            Kind::ResendRequest => 3,
            Kind::Reject => 4,
            Kind::Logout => 5,
            Kind::Application => 6,
        },
        Action::Refuse(_) => 6,
        Action::Deliver { .. } => 8,
        Action::Expect(_) => 9,
        Action::SetExpected(_) => 10,
        Action::Resend { .. } => 11,
        Action::Reset => 12,
        Action::Authenticate => 13,
        Action::Disconnect(_) => 14,
    }
}

/// A made-up message.
struct Made {
    begin_string: &'static [u8],
    msg_type: Vec<u8>,
    number: Option<u64>,
    poss_dup: bool,
    sending: Option<i64>,
    original: Option<i64>,
    client: &'static [u8],
    body: Values,
    verdict: Verdict,
}

/// A number around another, or anything.
fn any_number(random: &mut Random, near: u64) -> u64 {
    match random.below(30) {
        0 => random.next(),
        1 => u64::MAX - random.below(2),
        2 => 0,
        3 => 999_999_999_999 + random.below(2),
        4..12 => near.saturating_add(random.below(6)),
        _ => near.saturating_sub(random.below(4)),
    }
}

fn any_message(random: &mut Random, expected: u64, sent: u64) -> Made {
    let types: [&[u8]; 14] = [
        b"A",
        b"A",
        b"A",
        b"0",
        b"1",
        b"2",
        b"2",
        b"3",
        b"4",
        b"4",
        b"5",
        b"D",
        b"D",
        b"DDDDDDDDDDDD",
    ];
    let mut number = match random.below(10) {
        0 => any_number(random, expected),
        1..3 => expected.saturating_add(1 + random.below(5)),
        3 => expected.saturating_sub(1 + random.below(3)),
        _ => expected,
    };
    let mut values = Vec::new();
    let mut add = |tag: u32, value: String| values.push((tag, value.into_bytes()));
    let msg_type = types[random.below(types.len() as u64) as usize].to_vec();
    add(98, "0".to_owned());
    let wrong_interval = random.percent(1);
    let interval = ["30", "0", "5"][random.below(3) as usize];
    add(108, if wrong_interval { "x" } else { interval }.to_owned());
    if random.percent(4) {
        add(141, "Y".to_owned());
        if random.percent(90) {
            number = 1;
        }
    }
    if random.percent(5) {
        add(789, any_number(random, sent + 1).to_string());
    }
    if random.percent(99) {
        add(1137, "9".to_owned());
    }
    if random.percent(90) {
        add(112, "id".repeat(random.below(60) as usize));
    }
    if random.percent(70) {
        add(123, "Y".to_owned());
    }
    if random.percent(95) {
        add(36, any_number(random, number).to_string());
        add(7, any_number(random, sent).to_string());
        add(16, any_number(random, sent).to_string());
    }
    let refusal = Refusal { reason: 5, ref_tag: Some(1), text: Text::from("x") };
    let is_wild = random.percent(1);
    Made {
        begin_string: if is_wild && random.percent(30) { b"FIX.9" } else { b"FIXT.1.1" },
        msg_type,
        number: Some(number).filter(|_| !(is_wild && random.percent(20))),
        poss_dup: random.percent(15),
        sending: (!random.percent(2)).then_some(if is_wild { 1000 } else { 0 }),
        original: (!random.percent(20)).then_some(i64::from(random.percent(5)) * 2 - 1),
        client: if is_wild && random.percent(30) { b"OTHER" } else { b"CLIENT" },
        body: Values(values),
        verdict: match random.below(20) {
            0 => Verdict::Refused(refusal),
            1 => Verdict::Unsupported,
            _ => Verdict::Good,
        },
    }
}

#[test]
fn whatever_comes_keeps_what_is_promised() {
    let mut counts = [0; ACTIONS];
    let mut runs = 0;
    seeds("fix session", |seed| {
        let mut random = Random::new(seed);
        let chance = |random: &mut Random| random.percent(30);
        let options = Options {
            authenticate: random.percent(50),
            reset_on_logon: chance(&mut random),
            reset_on_logout: chance(&mut random),
            reset_on_disconnect: chance(&mut random),
            ahead_max_bytes: [0, 30, 1 << 16][random.below(3) as usize],
            resend_chunk: random.below(3),
            refusals_numbered: random.percent(70),
            ..options(Version::Fix50)
        };
        let mut watch = Watch::new(options);
        for _ in 0..2000 {
            watch.step(&mut random);
        }
        runs += 1;
        for (count, of_this) in counts.iter_mut().zip(watch.counts) {
            *count += of_this;
        }
    });
    // A run that never does what it is to watch proves nothing.
    if runs > 50 {
        assert!(counts.iter().all(|count| *count > runs / 10), "{counts:?} in {runs} runs");
    }
}

#[test]
fn a_running_session_allocates_nothing() {
    let mut watch = Watch::new(Options { authenticate: false, ..options(Version::Fix50) });
    assert!(watch.session.connect(TimeNs(watch.now)));
    let message = |msg_type: &[u8], number: u64| Made {
        begin_string: b"FIXT.1.1",
        msg_type: msg_type.to_vec(),
        number: Some(number),
        poss_dup: false,
        sending: Some(0),
        original: Some(0),
        client: b"CLIENT",
        body: Values(vec![
            (108, b"30".to_vec()),
            (1137, b"9".to_vec()),
            (112, b"id".to_vec()),
            (7, b"1".to_vec()),
            (16, b"0".to_vec()),
        ]),
        verdict: Verdict::Good,
    };
    watch.take(&message(b"A", 1));
    watch.session.sent(TimeNs(watch.now), 1, Kind::Logon, &mut watch.actions);
    let mut kept = Vec::new();
    let mut sent = 1;
    let mut round = |watch: &mut Watch, number: u64| {
        // In turn, then two ahead of one that is missing, which comes then.
        let orders: Vec<Made> = [(b"D", 0), (b"1", 1), (b"2", 2), (b"D", 4), (b"D", 5), (b"D", 3)]
            .iter()
            .map(|(msg_type, ahead)| message(&msg_type[..], number + ahead))
            .collect();
        let raws: Vec<Vec<u8>> = orders
            .iter()
            .map(|order| [&order.number.unwrap_or(0).to_le_bytes()[..], &order.msg_type].concat())
            .collect();
        let now = TimeNs(watch.now);
        let session = &mut watch.session;
        let actions = &mut watch.actions;
        actions.clear();
        allocations(|| {
            for (order, raw) in orders.iter().zip(&raws) {
                let received = Received {
                    raw,
                    begin_string: order.begin_string,
                    msg_type: &order.msg_type,
                    seq_num: order.number,
                    poss_dup: false,
                    poss_resend: false,
                    sending_time: Some(now),
                    orig_sending_time: None,
                    sender_comp_id: order.client,
                    target_comp_id: b"VENUE",
                    body: &order.body,
                    verdict: Verdict::Good,
                };
                session.received(now, &received, actions);
                while session.take_kept(&mut kept) {
                    let number = Some(session.expected());
                    session.received(now, &Received { seq_num: number, ..received }, actions);
                }
                sent += 1;
                session.sent(now, sent, Kind::Heartbeat, actions);
                session.resent(now, sent, actions);
                session.time_came(now, actions);
            }
        })
    };
    round(&mut watch, 2);
    assert_eq!(watch.session.expected(), 8);
    assert_eq!(round(&mut watch, 8), 0);
    assert_eq!(watch.session.expected(), 14);
    let delivered = watch.actions.iter().filter(|a| matches!(a, Action::Deliver { .. })).count();
    assert_eq!(delivered, 4);
}
