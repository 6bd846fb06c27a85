//! An initiator that loses its line, its place in a conversation and bytes on the way, and a venue that
//! gives numbers late and may start anew: in the end each application message has come to the other side
//! once, and in order. Seeded. The initiator is these tests' own and shares no code with the machine.

use super::desk::{Fields, line_of, options, receive};
use crate::sim::random::{Random, seeds};
use openoutcry::fix::Version;
use openoutcry::fix::session::{Action, Admin, Body, Kind, Options, Session};
use openoutcry::types::TimeNs;
use std::collections::{BTreeMap, VecDeque};

const SECOND: u64 = 1_000_000_000;
/// Steps in which both sides must be of one mind once nothing is in the way.
const SETTLE_STEPS: usize = 20_000;

/// The line between them: what was sent and not read yet.
#[derive(Default)]
struct Line {
    is_up: bool,
    /// How many there were.
    number: u64,
    to_venue: VecDeque<String>,
    to_client: VecDeque<String>,
}

impl Line {
    fn drop_it(&mut self) {
        self.is_up = false;
        self.to_venue.clear();
        self.to_client.clear();
    }
}

/// What the venue's sequencer was asked for, and the expected number that its record notes.
enum Asked {
    Reset,
    Expected(u64),
    Order { number: u64, order: u64 },
    Admin { line: u64, kind: Kind, msg_type: &'static str, rest: String },
    Report,
}

struct Venue {
    options: Options,
    session: Session,
    asked: VecDeque<(Asked, Option<u64>)>,
    /// An expected number that waits for a record.
    lazily: Option<u64>,
    // What survives a start anew.
    expected: u64,
    log: Vec<(Kind, String)>,
    orders: Vec<u64>,
    reports: u64,
    // Of the line.
    is_answered: bool,
    resend: Option<(u64, u64)>,
    credentials_wait: bool,
    /// The order of the message that is being taken.
    order: u64,
    actions: Vec<Action>,
}

impl Venue {
    fn new(options: Options) -> Venue {
        Venue {
            session: Session::new(options.clone(), 1, 0),
            options,
            asked: VecDeque::new(),
            lazily: None,
            expected: 1,
            log: Vec::new(),
            orders: Vec::new(),
            reports: 0,
            is_answered: false,
            resend: None,
            credentials_wait: false,
            order: 0,
            actions: Vec::new(),
        }
    }

    fn ask(&mut self, asked: Asked) {
        let noted = self.lazily.take();
        self.asked.push_back((asked, noted));
    }

    fn act(&mut self, line: &mut Line) {
        while !self.actions.is_empty() {
            for action in std::mem::take(&mut self.actions) {
                match action {
                    Action::Send(admin) => {
                        let (msg_type, rest) = line_of(&admin);
                        let (line, kind) = (line.number, admin.kind());
                        self.ask(Asked::Admin { line, kind, msg_type, rest });
                    }
                    Action::Refuse(admin) => {
                        let (msg_type, rest) = line_of(&admin);
                        line.to_client.push_back(format!("35={msg_type}|34=0{rest}"));
                    }
                    Action::Deliver { number, .. } => {
                        let order = self.order;
                        self.ask(Asked::Order { number, order });
                    }
                    Action::Expect(number) => self.lazily = Some(number),
                    Action::SetExpected(number) => {
                        self.lazily = None;
                        self.ask(Asked::Expected(number));
                    }
                    Action::Resend { first, last } => self.resend = Some((first, last)),
                    Action::Reset => {
                        self.lazily = None;
                        self.resend = None;
                        self.ask(Asked::Reset);
                    }
                    Action::Authenticate => self.credentials_wait = true,
                    Action::Disconnect(_) => {
                        // What was written before arrives.
                        line.is_up = false;
                        self.resend = None;
                    }
                }
            }
        }
    }

    fn read(&mut self, now: TimeNs, message: &str, line: &mut Line) {
        if message == "garbled" {
            self.session.garbled(now, &mut self.actions);
            return self.act(line);
        }
        let mut message = message.to_owned();
        let mut kept = Vec::new();
        loop {
            self.order = Fields::of(&message).number(11).unwrap_or(0);
            let version = self.options.version;
            receive(&mut self.session, version, now, &message, &mut self.actions);
            self.act(line);
            if !self.session.take_kept(&mut kept) {
                break;
            }
            message = String::from_utf8(kept.clone()).expect("what was kept is a line");
        }
    }

    /// One record.
    fn sequence(&mut self, now: TimeNs, line: &mut Line) {
        let Some((asked, noted)) = self.asked.pop_front() else { return };
        self.expected = noted.unwrap_or(self.expected);
        let (kind, text) = match asked {
            Asked::Reset => {
                self.log.clear();
                self.expected = 1;
                return self.session.was_reset();
            }
            Asked::Expected(number) => {
                self.expected = number;
                return;
            }
            Asked::Order { number, order } => {
                self.orders.push(order);
                self.expected = number + 1;
                return;
            }
            // What a line that is gone wanted has no number and goes nowhere.
            Asked::Admin { line: of, .. } if of != line.number => return,
            Asked::Admin { kind, msg_type, rest, .. } => {
                (kind, format!("35={msg_type}|34=#{rest}"))
            }
            Asked::Report => {
                self.reports += 1;
                (Kind::Application, format!("35=8|34=#|11={}", self.reports))
            }
        };
        let number = self.log.len() as u64 + 1;
        self.log.push((kind, text.clone()));
        self.is_answered |= kind == Kind::Logon;
        if line.is_up && (self.is_answered || kind == Kind::Logout) {
            line.to_client.push_back(text.replace('#', &number.to_string()));
        }
        self.session.sent(now, number, kind, &mut self.actions);
        self.act(line);
    }

    /// A piece of a resend.
    fn send_again(&mut self, now: TimeNs, line: &mut Line) {
        let Some((number, last)) = self.resend else { return };
        let is_run = |kind: Kind| !kind.is_resent();
        let run = &self.log[number as usize - 1..last as usize];
        let count = run.iter().take_while(|(kind, _)| is_run(*kind)).count() as u64;
        let next = if count == 0 {
            let text = run[0].1.replace('#', &format!("{number}|43=Y"));
            line.to_client.push_back(text);
            number + 1
        } else {
            let next = number + count;
            line.to_client.push_back(format!("35=4|34={number}|43=Y|123=Y|36={next}"));
            next
        };
        self.resend = (next <= last).then_some((next, last));
        self.session.resent(now, next - 1, &mut self.actions);
        self.act(line);
    }

    /// The node stops and starts: what was not sequenced is lost.
    fn start_anew(&mut self, line: &mut Line) {
        line.drop_it();
        self.asked.clear();
        self.lazily = None;
        self.resend = None;
        let sent = self.log.len() as u64;
        self.session = Session::new(self.options.clone(), self.expected, sent);
        self.actions.clear();
    }
}

/// How far the client is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Client {
    Away,
    LoggingOn,
    On,
    LoggingOut,
}

struct Initiator {
    state: Client,
    next: u64,
    expected: u64,
    /// What was sent: the order, where it was one.
    log: Vec<Option<u64>>,
    orders: u64,
    reports: Vec<u64>,
    ahead: BTreeMap<u64, String>,
    /// A gap was asked for, and is filled when this number has come.
    gap: Option<(u64, u64)>,
    serving: Option<(u64, u64)>,
    wants_reset: bool,
    uses_789: bool,
    last_heard: u64,
    last_sent: u64,
}

impl Initiator {
    fn new(uses_789: bool) -> Initiator {
        Initiator {
            state: Client::Away,
            next: 1,
            expected: 1,
            log: Vec::new(),
            orders: 0,
            reports: Vec::new(),
            ahead: BTreeMap::new(),
            gap: None,
            serving: None,
            wants_reset: false,
            uses_789,
            last_heard: 0,
            last_sent: 0,
        }
    }

    fn send(&mut self, now: u64, line: &mut Line, msg_type: &str, rest: &str) {
        let order = Fields::of(&format!("35={msg_type}{rest}")).number(11);
        self.log.push(order);
        line.to_venue.push_back(format!("35={msg_type}|34={}{rest}", self.next));
        self.next += 1;
        self.last_sent = now;
    }

    fn log_on(&mut self, now: u64, line: &mut Line) {
        self.ahead.clear();
        self.gap = None;
        self.serving = None;
        self.last_heard = now;
        self.state = Client::LoggingOn;
        let mut rest = "|98=0|108=5".to_owned();
        if self.wants_reset {
            self.next = 1;
            self.expected = 1;
            self.log.clear();
            rest.push_str("|141=Y");
        } else if self.uses_789 {
            rest.push_str(&format!("|789={}", self.expected));
        }
        self.send(now, line, "A", &rest);
    }

    fn order(&mut self, now: u64, line: &mut Line) {
        self.orders += 1;
        let order = format!("|11={}", self.orders);
        self.send(now, line, "D", &order);
    }

    fn leave(&mut self) {
        self.state = Client::Away;
    }

    fn read(&mut self, now: u64, message: &str, line: &mut Line) {
        self.last_heard = now;
        if message == "garbled" {
            return;
        }
        let fields = Fields::of(message);
        let number = fields.number(34).expect("a number");
        let msg_type = fields.get(35).expect("a type").to_vec();
        if msg_type == b"A" && self.wants_reset && fields.get(141) == Some(b"Y") {
            assert_eq!(number, 1, "a reset begins with 1");
            self.expected = 1;
            self.ahead.clear();
            self.gap = None;
            self.wants_reset = false;
        } else if self.wants_reset && self.state == Client::LoggingOn && msg_type != b"5" {
            // It was sent before the numbers began anew.
            return;
        }
        if number < self.expected {
            let was_refused = msg_type == b"5" && self.state == Client::LoggingOn;
            let again = fields.get(43) == Some(b"Y");
            assert!(again || was_refused, "{message} without 43=Y, expected {}", self.expected);
            return;
        }
        match &msg_type[..] {
            b"A" if self.state == Client::LoggingOn => {
                self.state = Client::On;
                if let Some(from) = fields.number(789).filter(|from| *from < self.next) {
                    self.serving = Some((from, self.next - 1));
                }
                if self.uses_789 && number > self.expected {
                    self.gap = Some((number, now));
                }
            }
            b"2" => self.serve(&fields),
            b"5" => {
                if self.state == Client::On {
                    self.send(now, line, "5", "");
                }
                if number == self.expected {
                    self.expected += 1;
                }
                self.leave();
                return line.drop_it();
            }
            _ => {}
        }
        if number > self.expected {
            self.ahead.insert(number, message.to_owned());
            if self.gap.is_none() {
                self.gap = Some((number, now));
                let rest = format!("|7={}|16=0", self.expected);
                self.send(now, line, "2", &rest);
            }
            return;
        }
        self.take(now, &fields, line);
        while let Some(message) = self.ahead.remove(&self.expected) {
            self.take(now, &Fields::of(&message), line);
        }
        let expected = self.expected;
        self.ahead.retain(|number, _| *number >= expected);
        self.gap = self.gap.filter(|(shown_by, _)| *shown_by >= expected);
    }

    /// The message whose turn it is.
    fn take(&mut self, now: u64, fields: &Fields, line: &mut Line) {
        self.expected += 1;
        match fields.get(35) {
            Some(b"8") => self.reports.push(fields.number(11).expect("a report")),
            Some(b"4") => self.expected = fields.number(36).expect("a number"),
            Some(b"1") => {
                let id = String::from_utf8_lossy(fields.get(112).expect("an id")).into_owned();
                self.send(now, line, "0", &format!("|112={id}"));
            }
            Some(b"3" | b"j") => panic!("nothing sent here is refused"),
            _ => {}
        }
    }

    fn serve(&mut self, fields: &Fields) {
        let (first, end) = (fields.number(7).expect("7"), fields.number(16).expect("16"));
        let last = if end == 0 { self.next - 1 } else { end.min(self.next - 1) };
        self.serving = (first <= last).then_some((first, last));
    }

    fn send_again(&mut self, now: u64, line: &mut Line) {
        let Some((number, last)) = self.serving else { return };
        let run = &self.log[number as usize - 1..last as usize];
        let count = run.iter().take_while(|order| order.is_none()).count() as u64;
        let next = match run[0] {
            Some(order) => {
                line.to_venue.push_back(format!("35=D|34={number}|43=Y|122=0|11={order}"));
                number + 1
            }
            None => {
                let next = number + count;
                let fill = format!("35=4|34={number}|43=Y|122=0|123=Y|36={next}");
                line.to_venue.push_back(fill);
                next
            }
        };
        self.last_sent = now;
        self.serving = (next <= last).then_some((next, last));
    }
}

struct World {
    random: Random,
    now: u64,
    line: Line,
    venue: Venue,
    client: Initiator,
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = Random::new(seed);
        let version = if random.percent(50) { Version::Fix44 } else { Version::Fix50 };
        let options = Options {
            authenticate: random.percent(50),
            ahead_max_bytes: [0, 60, 1 << 16][random.below(3) as usize],
            resend_chunk: random.below(4),
            gap_limit_s: 20,
            ..options(version)
        };
        let uses_789 = random.percent(40);
        World {
            random,
            now: 1_000_000 * SECOND,
            line: Line::default(),
            venue: Venue::new(options),
            client: Initiator::new(uses_789),
        }
    }

    fn step(&mut self, has_faults: bool) {
        self.now += self.random.below(SECOND / 4);
        let World { random, now, line, venue, client } = self;
        let time = TimeNs(*now);
        if has_faults {
            match random.below(300) {
                0 => line.drop_it(),
                1 => venue.start_anew(line),
                2 => {
                    if let Some(message) = line.to_venue.back_mut() {
                        "garbled".clone_into(message);
                    }
                }
                3 => {
                    if let Some(message) = line.to_client.back_mut() {
                        "garbled".clone_into(message);
                    }
                }
                4 if client.state == Client::On => {
                    client.state = Client::LoggingOut;
                    client.send(*now, line, "5", "");
                }
                5 => {
                    venue.session.log_out(time, "x".into(), &mut venue.actions);
                    venue.act(line);
                }
                6 if client.state == Client::On => client.send(*now, line, "1", "|112=x"),
                7..40 if client.state == Client::On => client.order(*now, line),
                40..70 => venue.ask(Asked::Report),
                _ => {}
            }
        }
        match random.below(8) {
            0..2 => {
                if let Some(message) = line.to_venue.pop_front() {
                    venue.read(time, &message, line);
                }
            }
            2..4 => {
                if let Some(message) = line.to_client.pop_front() {
                    client.read(*now, &message, line);
                }
            }
            4 => venue.sequence(time, line),
            5 => venue.send_again(time, line),
            6 => client.send_again(*now, line),
            _ => self.tend(),
        }
    }

    /// Lines that came and went, and what time brings.
    fn tend(&mut self) {
        let World { random, now, line, venue, client } = self;
        let time = TimeNs(*now);
        if std::mem::take(&mut venue.credentials_wait) {
            venue.session.accepted(time, &mut venue.actions);
            venue.act(line);
            let mut kept = Vec::new();
            while venue.session.take_kept(&mut kept) {
                let message = String::from_utf8(kept.clone()).expect("a line");
                venue.read(time, &message, line);
            }
        }
        if !line.is_up && venue.session.is_connected() {
            venue.session.closed(&mut venue.actions);
            venue.act(line);
        }
        venue.session.time_came(time, &mut venue.actions);
        venue.act(line);
        if client.state == Client::Away {
            if !line.is_up && !venue.session.is_connected() && random.percent(20) {
                line.drop_it();
                line.is_up = true;
                line.number += 1;
                venue.is_answered = false;
                venue.credentials_wait = false;
                assert!(venue.session.connect(time));
                client.log_on(*now, line);
            }
            return;
        }
        let is_gone = !line.is_up && line.to_client.is_empty();
        let is_stuck = client.gap.is_some_and(|(_, since)| *now > since + 40 * SECOND);
        if is_gone || is_stuck || *now > client.last_heard + 15 * SECOND {
            client.leave();
            line.drop_it();
        } else if client.state == Client::On && *now > client.last_sent + 5 * SECOND {
            client.send(*now, line, "0", "");
        }
    }

    fn is_settled(&self) -> bool {
        self.client.state == Client::On
            && self.venue.asked.is_empty()
            && self.venue.orders.len() as u64 == self.client.orders
            && self.client.reports.len() as u64 == self.venue.reports
            && self.client.gap.is_none()
            && !self.client.wants_reset
            && self.venue.session.expected() == self.client.next
            && self.client.expected == self.venue.log.len() as u64 + 1
    }

    /// Without further faults all comes to the other side.
    fn settle(&mut self) {
        for _ in 0..SETTLE_STEPS {
            if self.is_settled() {
                break;
            }
            self.step(false);
        }
        let orders: Vec<u64> = (1..=self.client.orders).collect();
        let reports: Vec<u64> = (1..=self.venue.reports).collect();
        assert_eq!(self.venue.orders, orders, "each order once, in order");
        assert_eq!(self.client.reports, reports, "each report once, in order");
        assert!(self.is_settled(), "both are of one mind");
    }

    /// Both numbers begin anew: in the running session, or with the next one.
    fn reset(&mut self) {
        self.client.wants_reset = true;
        if self.random.percent(50) {
            let World { now, line, client, .. } = self;
            client.log_on(*now, line);
        } else {
            self.client.leave();
            self.line.drop_it();
        }
        self.settle();
        assert!(self.venue.log.len() < 10, "numbers began anew");
    }
}

#[test]
fn whatever_happens_to_the_line_each_message_comes_once() {
    let (mut orders, mut reports, mut lines) = (0, 0, 0);
    seeds("fix initiator", |seed| {
        let mut world = World::new(seed);
        for _ in 0..3 {
            for _ in 0..3000 {
                world.step(true);
            }
            world.settle();
            if world.random.percent(50) {
                world.reset();
            }
        }
        orders += world.client.orders;
        reports += world.venue.reports;
        lines += world.line.number;
    });
    assert!(orders > 0 && reports > 0 && lines > 2, "{orders} orders, {reports} reports");
}

#[test]
fn the_messages_of_the_venue_are_as_the_client_reads_them() {
    let (msg_type, rest) = line_of(&Admin::ResendRequest { begin: 2, end: 0 });
    assert_eq!(format!("35={msg_type}{rest}"), "35=2|7=2|16=0");
}
