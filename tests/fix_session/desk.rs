//! Scripts: one line is one message, `35=0|34=2`, without 8, 9, 10, 49, 56 and 52 where they are as they
//! should be. Times are seconds since the script began.
//!
//! | Line | What happens |
//! |---|---|
//! | `in: 35=1\|34=2` | is received; behind ` ! ` what the dictionary says: `unsupported`, or reason, tag, text |
//! | `at: 30` | time passes, with all that is due on the way |
//! | `app: 35=8\|58=fill` | the venue has an application message for the client |
//! | `hold`, `go` | the sequencer holds what it is asked for, and goes on |
//! | `do: close` | also connect, connect-again, bytes, garbled, tick, cut, end, accept, hold-resends, go-resends, `logout TEXT`, `refuse STATUS TEXT`, `set EXPECTED SENT` |
//! | `expected: 5` | is what the machine expects, and what it had noted |
//!
//! All other lines are what comes out, each of it and in this order: `out:`, `deliver:`, `set-expected:`,
//! `resend:`, `disconnect:`, `authenticate`, `reset`.

use openoutcry::fix::Version;
use openoutcry::fix::session::{
    Action, Admin, Body, Kind, Options, Received, Refusal, Session, Verdict,
};
use openoutcry::types::TimeNs;
use std::collections::VecDeque;

/// The second at which a script begins.
const BEGIN_S: i64 = 1_000_000;

/// The fields of a line.
pub(super) struct Fields(pub(super) Vec<(u32, Vec<u8>)>);

impl Fields {
    pub(super) fn of(line: &str) -> Fields {
        let fields = line.split('|').map(|field| {
            let (tag, value) = field.split_once('=').expect("tag=value");
            (tag.parse().expect("a tag"), value.as_bytes().to_vec())
        });
        Fields(fields.collect())
    }

    pub(super) fn number(&self, tag: u32) -> Option<u64> {
        std::str::from_utf8(self.get(tag)?).ok()?.parse().ok()
    }
}

impl Body for Fields {
    fn get(&self, tag: u32) -> Option<&[u8]> {
        self.0.iter().find(|(given, _)| *given == tag).map(|(_, value)| value.as_slice())
    }
}

/// Gives a machine the message of a line.
pub(super) fn receive(
    session: &mut Session,
    version: Version,
    now: TimeNs,
    line: &str,
    out: &mut Vec<Action>,
) {
    let (text, judged) = line.split_once(" ! ").unwrap_or((line, ""));
    let mut fields = Fields::of(text);
    let is_logon = fields.get(35) == Some(b"A");
    if is_logon && version == Version::Fix50 && fields.get(1137).is_none() {
        fields.0.push((1137, b"9".to_vec()));
    }
    // A field that a line has empty is not in the message.
    let without = |tag| fields.get(tag).is_some_and(<[u8]>::is_empty);
    let (no_49, no_56, no_52) = (without(49), without(56), without(52));
    fields.0.retain(|(_, value)| !value.is_empty());
    let verdict = match judged.splitn(3, ' ').collect::<Vec<_>>()[..] {
        ["unsupported"] => Verdict::Unsupported,
        [reason, tag, text] => Verdict::Refused(Refusal {
            reason: reason.parse().expect("a reason"),
            ref_tag: tag.parse().ok(),
            text: text.into(),
        }),
        _ => Verdict::Good,
    };
    let time = |tag| {
        let text = fields.get(tag).map(|bytes| String::from_utf8_lossy(bytes).into_owned())?;
        let seconds = BEGIN_S + text.parse::<i64>().ok()?;
        Some(TimeNs(seconds as u64 * 1_000_000_000))
    };
    let received = Received {
        raw: line.as_bytes(),
        begin_string: fields.get(8).unwrap_or(version.begin_string().as_bytes()),
        msg_type: fields.get(35).unwrap_or_default(),
        seq_num: fields.number(34),
        poss_dup: fields.get(43) == Some(b"Y"),
        poss_resend: fields.get(97) == Some(b"Y"),
        sending_time: if no_52 { None } else { time(52).or(Some(now)) },
        orig_sending_time: time(122),
        sender_comp_id: fields.get(49).unwrap_or(if no_49 { b"" } else { b"CLIENT" }),
        target_comp_id: fields.get(56).unwrap_or(if no_56 { b"" } else { b"VENUE" }),
        body: &fields,
        verdict,
    };
    session.received(now, &received, out);
}

/// A message as a line, its number and header aside.
pub(super) fn line_of(admin: &Admin) -> (&'static str, String) {
    let mut line = String::new();
    let mut add = |tag: u32, value: String| line.push_str(&format!("|{tag}={value}"));
    let text = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    let msg_type = match admin {
        Admin::Logon { heart_bt_int, reset, next_expected, default_appl_ver_id } => {
            add(98, "0".into());
            add(108, heart_bt_int.to_string());
            if *reset {
                add(141, "Y".into());
            }
            next_expected.iter().for_each(|next| add(789, next.to_string()));
            default_appl_ver_id.iter().for_each(|version| add(1137, (*version).to_owned()));
            "A"
        }
        Admin::Heartbeat { test_req_id } => {
            test_req_id.iter().for_each(|id| add(112, text(id.bytes())));
            "0"
        }
        Admin::TestRequest { id } => {
            add(112, text(id.bytes()));
            "1"
        }
        Admin::ResendRequest { begin, end } => {
            add(7, begin.to_string());
            add(16, end.to_string());
            "2"
        }
        Admin::Reject { ref_seq, ref_tag, ref_msg_type, reason, text: said } => {
            add(45, ref_seq.to_string());
            ref_tag.iter().for_each(|tag| add(371, tag.to_string()));
            add(372, text(ref_msg_type.bytes()));
            reason.iter().for_each(|reason| add(373, reason.to_string()));
            add(58, text(said.bytes()));
            "3"
        }
        Admin::BusinessReject { ref_seq, ref_msg_type, reason, text: said } => {
            add(45, ref_seq.to_string());
            add(372, text(ref_msg_type.bytes()));
            add(380, reason.to_string());
            add(58, text(said.bytes()));
            "j"
        }
        Admin::Logout { text: said, session_status } => {
            session_status.iter().for_each(|status| add(1409, status.to_string()));
            if !said.is_empty() {
                add(58, text(said.bytes()));
            }
            "5"
        }
    };
    (msg_type, line)
}

/// A message of ours as it was first sent.
struct Sent {
    kind: Kind,
    msg_type: String,
    rest: String,
    time: i64,
}

/// What the sequencer was asked for.
enum Asked {
    Reset,
    Message { kind: Kind, msg_type: String, rest: String },
}

/// A machine with what it needs around it: a clock, a lane that gives numbers, a log to send again from.
struct Desk {
    options: Options,
    session: Session,
    now_s: i64,
    asked: VecDeque<Asked>,
    is_held: bool,
    /// What was sent, from number 1 on.
    log: Vec<Sent>,
    resends: VecDeque<(u64, u64)>,
    are_resends_held: bool,
    noted: u64,
    actions: Vec<Action>,
    seen: VecDeque<String>,
}

impl Desk {
    fn new(options: Options) -> Desk {
        let session = Session::new(options.clone(), 1, 0);
        let mut desk = Desk {
            options,
            session,
            now_s: 0,
            asked: VecDeque::new(),
            is_held: false,
            log: Vec::new(),
            resends: VecDeque::new(),
            are_resends_held: false,
            noted: 1,
            actions: Vec::new(),
            seen: VecDeque::new(),
        };
        assert!(desk.session.connect(desk.now()));
        desk
    }

    fn now(&self) -> TimeNs {
        TimeNs((BEGIN_S + self.now_s) as u64 * 1_000_000_000)
    }

    fn receive(&mut self, line: &str) {
        let (version, now) = (self.options.version, self.now());
        receive(&mut self.session, version, now, line, &mut self.actions);
        self.settle();
        let mut kept = Vec::new();
        while self.session.take_kept(&mut kept) {
            let line = String::from_utf8(kept.clone()).expect("what was kept is a line");
            receive(&mut self.session, version, now, &line, &mut self.actions);
            self.settle();
        }
    }

    /// Does what the machine wants, and what follows from it.
    fn settle(&mut self) {
        loop {
            for action in std::mem::take(&mut self.actions) {
                self.act(action);
            }
            self.give_numbers();
            if !self.are_resends_held {
                self.send_again();
            }
            if self.actions.is_empty() {
                return;
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Send(admin) => {
                let (msg_type, rest) = line_of(&admin);
                let (msg_type, kind) = (msg_type.to_owned(), admin.kind());
                self.asked.push_back(Asked::Message { kind, msg_type, rest });
            }
            Action::Refuse(admin) => {
                let (msg_type, rest) = line_of(&admin);
                self.seen.push_back(format!("out: 35={msg_type}|34=none{rest}"));
            }
            Action::Deliver { number, poss_dup, poss_resend } => {
                self.noted = number + 1;
                let dup = if poss_dup { " dup" } else { "" };
                let again = if poss_resend { " again" } else { "" };
                self.seen.push_back(format!("deliver: {number}{dup}{again}"));
            }
            Action::Expect(number) => self.noted = number,
            Action::SetExpected(number) => {
                self.noted = number;
                self.seen.push_back(format!("set-expected: {number}"));
            }
            Action::Resend { first, last } => {
                self.seen.push_back(format!("resend: {first} {last}"));
                self.resends.push_back((first, last));
                assert_eq!(self.resends.len(), 1, "one at a time");
            }
            Action::Reset => {
                self.seen.push_back("reset".to_owned());
                self.asked.push_back(Asked::Reset);
                self.resends.clear();
                self.noted = 1;
            }
            Action::Authenticate => self.seen.push_back("authenticate".to_owned()),
            Action::Disconnect(reason) => {
                self.resends.clear();
                self.seen.push_back(format!("disconnect: {reason:?}"));
            }
        }
    }

    /// The critical lane: what was asked for gets the next number and is written.
    fn give_numbers(&mut self) {
        while !self.is_held
            && let Some(asked) = self.asked.pop_front()
        {
            match asked {
                Asked::Reset => {
                    self.log.clear();
                    self.session.was_reset();
                }
                Asked::Message { kind, msg_type, rest } => {
                    let number = self.log.len() as u64 + 1;
                    if self.session.is_connected() {
                        self.seen.push_back(format!("out: 35={msg_type}|34={number}{rest}"));
                    }
                    self.log.push(Sent { kind, msg_type, rest, time: self.now_s });
                    self.session.sent(self.now(), number, kind, &mut self.actions);
                }
            }
        }
    }

    /// The replayer: what was sent, runs of what is not sent again as one gap fill.
    fn send_again(&mut self) {
        while let Some((first, last)) = self.resends.pop_front() {
            let now = self.now_s;
            let mut number = first;
            while number <= last {
                let sent = &self.log[number as usize - 1];
                let Sent { msg_type, rest, time, .. } = sent;
                let head = format!("34={number}|43=Y|122={time}|52={now}");
                if sent.kind.is_resent() {
                    self.seen.push_back(format!("out: 35={msg_type}|{head}{rest}"));
                    number += 1;
                } else {
                    let is_run = |next: &u64| !self.log[*next as usize - 1].kind.is_resent();
                    let next = number + (number..=last).take_while(is_run).count() as u64;
                    self.seen.push_back(format!("out: 35=4|{head}|123=Y|36={next}"));
                    number = next;
                }
            }
            self.session.resent(self.now(), last, &mut self.actions);
        }
    }

    fn pass(&mut self, to_s: i64) {
        let to = TimeNs((BEGIN_S + to_s) as u64 * 1_000_000_000);
        for _ in 0..10_000 {
            let Some(due) = self.session.deadline().filter(|due| *due <= to) else { break };
            self.now_s = (due.0.div_ceil(1_000_000_000)) as i64 - BEGIN_S;
            self.session.time_came(self.now(), &mut self.actions);
            self.settle();
            assert_ne!(self.session.deadline(), Some(due), "nothing is due for ever");
        }
        self.now_s = to_s;
    }

    fn order(&mut self, order: &str) {
        let (word, rest) = order.split_once(' ').unwrap_or((order, ""));
        let now = self.now();
        let out = &mut self.actions;
        match word {
            "connect" => assert!(self.session.connect(now)),
            "connect-again" => assert!(!self.session.connect(now)),
            "close" => self.session.closed(out),
            "bytes" => self.session.alive(now),
            "garbled" => self.session.garbled(now, out),
            "tick" => self.session.time_came(now, out),
            "cut" => self.session.cut(out),
            "end" => self.session.schedule_ended(now, out),
            "accept" => self.session.accepted(now, out),
            "logout" => self.session.log_out(now, rest.into(), out),
            "hold-resends" => self.are_resends_held = true,
            "go-resends" => self.are_resends_held = false,
            "refuse" => {
                let (status, text) = rest.split_once(' ').expect("a status and a text");
                self.session.refused(now, text.into(), status.parse().ok(), out);
            }
            "set" => {
                let (expected, sent) = rest.split_once(' ').expect("two numbers");
                self.noted = expected.parse().expect("a number");
                self.session.numbers_set(self.noted, sent.parse().expect("a number"));
            }
            _ => panic!("{order}?"),
        }
        self.settle();
        if word == "accept" {
            let mut kept = Vec::new();
            while self.session.take_kept(&mut kept) {
                let line = String::from_utf8(kept.clone()).expect("what was kept is a line");
                let (version, now) = (self.options.version, self.now());
                receive(&mut self.session, version, now, &line, &mut self.actions);
                self.settle();
            }
        }
    }

    fn play(&mut self, script: &str) {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (word, rest) = line.split_once(": ").unwrap_or((line, ""));
            let is_step = ["in", "at", "app", "hold", "go", "do", "expected"].contains(&word);
            if is_step {
                assert_eq!(self.seen.pop_front(), None, "before {line}\n{script}");
            }
            match word {
                "in" => self.receive(rest),
                "at" => self.pass(rest.parse().expect("seconds")),
                "app" => {
                    let (head, rest) = rest.split_once('|').expect("a type and more");
                    let msg_type = head.trim_start_matches("35=").to_owned();
                    let rest = format!("|{rest}");
                    let kind = Kind::Application;
                    self.asked.push_back(Asked::Message { kind, msg_type, rest });
                    self.settle();
                }
                "hold" => self.is_held = true,
                "go" => {
                    self.is_held = false;
                    self.settle();
                }
                "do" => self.order(rest),
                "expected" => {
                    let expected: u64 = rest.parse().expect("a number");
                    assert_eq!(self.session.expected(), expected, "{line}\n{script}");
                    assert_eq!(self.noted, expected, "{line} is noted\n{script}");
                }
                _ => {
                    let mut line = line.to_owned();
                    let is_logon = line.starts_with("out: 35=A|") && !line.contains("|1137=");
                    if is_logon && self.options.version == Version::Fix50 {
                        line.push_str("|1137=9");
                    }
                    assert_eq!(self.seen.pop_front(), Some(line), "in\n{script}");
                }
            }
        }
        assert_eq!(self.seen.pop_front(), None, "at the end\n{script}");
    }
}

/// What the scripts of these tests have unless they say otherwise.
pub(super) fn options(version: Version) -> Options {
    Options {
        client_comp_id: b"CLIENT".to_vec(),
        own_comp_id: b"VENUE".to_vec(),
        authenticate: false,
        ..Options::new(version)
    }
}

/// Plays a script with one session.
pub(super) fn check(options: Options, script: &str) {
    Desk::new(options).play(script);
}

/// Plays a script in each version, with what `change` makes of the options.
pub(super) fn check_each(change: impl Fn(&mut Options), script: &str) {
    for version in [Version::Fix42, Version::Fix44, Version::Fix50] {
        let mut options = options(version);
        change(&mut options);
        check(options, script);
    }
}

/// Plays a script in each version, behind a Logon with 108=30.
pub(super) fn check_running(script: &str) {
    check_running_with(|_| {}, script);
}

/// As [`check_running`], with other options.
pub(super) fn check_running_with(change: impl Fn(&mut Options), script: &str) {
    let logon = "in: 35=A|34=1|98=0|108=30\nout: 35=A|34=1|98=0|108=30\n";
    check_each(change, &format!("{logon}{script}"));
}
