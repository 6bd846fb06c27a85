//! A session machine behind the codec: bytes in, bytes out, as a socket would carry them. What the venue
//! says is held to the dictionary of its version here, every time.

use crate::fix_check::message;
use openoutcry::fix::session::{Action, Options, Session};
use openoutcry::fix::{
    self, Accepted, Fields, Frame, Header, MESSAGE_DEFAULT_MAX_BYTES, Policy, Version,
};
use openoutcry::types::TimeNs;

/// 2026-03-01 12:00:00.
const NOW: TimeNs = TimeNs(1_772_366_400_000_000_000);

/// A venue with one session, and what numbers its messages.
struct Venue {
    session: Session,
    version: Version,
    fields: Fields,
    /// Bytes received that are no whole message yet.
    pending: Vec<u8>,
    sent: u64,
    delivered: Vec<u64>,
    closed: bool,
}

impl Venue {
    fn new(version: Version) -> Venue {
        let options = Options { authenticate: false, ..Options::new(version) };
        let mut session = Session::new(options, 1, 0);
        assert!(session.connect(NOW));
        Venue {
            session,
            version,
            fields: Fields::default(),
            pending: Vec::new(),
            sent: 0,
            delivered: Vec::new(),
            closed: false,
        }
    }

    /// Takes bytes, and gives the lines of what it says, without what every message has.
    fn take(&mut self, bytes: &[u8]) -> Vec<String> {
        self.pending.extend_from_slice(bytes);
        let mut said = Vec::new();
        loop {
            let (size, garbled) = match fix::frame(&self.pending, MESSAGE_DEFAULT_MAX_BYTES) {
                Frame::Message { size } => (size, false),
                Frame::Garbled { skip, .. } => (skip, true),
                Frame::Incomplete { .. } => return said,
            };
            let raw: Vec<u8> = self.pending.drain(..size).collect();
            let mut actions = Vec::new();
            match self.fields.parse(&raw).ok().filter(|_| !garbled) {
                None => self.session.garbled(NOW, &mut actions),
                Some(mut parsed) => {
                    let checked = parsed.check(self.version, &Policy::default());
                    let view = parsed.view();
                    let received = fix::received(&raw, &view, fix::verdict(checked));
                    self.session.received(NOW, &received, &mut actions);
                }
            }
            for action in actions {
                self.act(action, &mut said);
            }
        }
    }

    fn act(&mut self, action: Action, said: &mut Vec<String>) {
        let mut out = [0; 512];
        let header = Header {
            msg_type: "",
            sender: b"VENUE",
            target: b"CLIENT",
            number: self.sent + 1,
            time: NOW,
            time_digits: 3,
            original_time: None,
        };
        let size = match action {
            Action::Send(admin) => {
                self.sent += 1;
                let mut further = Vec::new();
                self.session.sent(NOW, self.sent, admin.kind(), &mut further);
                // Behind the answer to a Logout the line is closed.
                self.closed = matches!(further[..], [Action::Disconnect(_)]);
                assert!(self.closed || further.is_empty(), "nothing waited for it: {further:?}");
                fix::write_admin(&mut out, self.version, &header, &admin)
            }
            Action::Refuse(admin) => fix::write_admin(&mut out, self.version, &header, &admin),
            Action::Resend { first, last } => {
                let header = Header { number: first, ..header };
                let size = fix::write_gap_fill(&mut out, self.version, &header, NOW, last + 1);
                let mut further = Vec::new();
                self.session.resent(NOW, last, &mut further);
                assert_eq!(further, [], "nothing waited for it");
                size
            }
            Action::Deliver { number, .. } => return self.delivered.push(number),
            Action::Disconnect(_) => return self.closed = true,
            Action::Expect(_) => return,
            other => panic!("nobody asked for {other:?}"),
        };
        said.push(self.line(&out[..size.expect("it has room")]));
    }

    /// A message of the venue as a line, when all of it is as the dictionary says.
    fn line(&mut self, bytes: &[u8]) -> String {
        assert_eq!(
            fix::frame(bytes, MESSAGE_DEFAULT_MAX_BYTES),
            Frame::Message { size: bytes.len() }
        );
        let mut parsed = self.fields.parse(bytes).expect("it is a message");
        let checked = parsed.check_either(self.version, &Policy::default());
        assert!(matches!(checked, Ok(Accepted::Message(_))), "{checked:?}");
        let passed = [8, 9, 10, 49, 56, 52];
        let fields = parsed.into_view();
        let told = fields.iter().filter(|field| !passed.contains(&field.tag));
        told.map(|field| format!("{}={}", field.tag, String::from_utf8_lossy(field.value)))
            .collect::<Vec<_>>()
            .join("|")
    }
}

/// A client's message with its header; `text` begins with 35 and 34.
fn from_client(version: Version, text: &str) -> Vec<u8> {
    let (head, rest) = text.split_at(text.find("|34=").expect("a number") + 4);
    let (number, body) = rest.split_once('|').unwrap_or((rest, ""));
    let header = "49=CLIENT|56=VENUE|52=20260301-12:00:00|";
    message(version, &format!("{head}{number}|{header}{body}"))
}

fn logon(version: Version) -> Vec<u8> {
    let more = if version == Version::Fix50 { "1137=9|" } else { "" };
    from_client(version, &format!("35=A|34=1|98=0|108=30|{more}"))
}

#[test]
fn a_conversation_in_bytes_is_one_in_every_version() {
    for version in Version::ALL {
        let mut venue = Venue::new(version);
        let answer = venue.take(&logon(version));
        let more = if version == Version::Fix50 { "|1137=9" } else { "" };
        assert_eq!(answer, [format!("35=A|34=1|98=0|108=30{more}")]);
        let mut say = |text: &str| venue.take(&from_client(version, text));
        assert_eq!(say("35=1|34=2|112=are you there|"), ["35=0|34=2|112=are you there"]);
        // The dictionary's word becomes a Reject, which has its number.
        let wrong = say("35=0|34=3|55=X|");
        assert_eq!(
            wrong,
            ["35=3|34=3|45=3|371=55|372=0|373=2|58=Tag not defined for this message type"]
        );
        // A message that only an exchange sends is a fault of business.
        let refused = say("35=8|34=4|");
        assert_eq!(refused.len(), 1, "{refused:?}");
        assert!(refused[0].starts_with("35=j|34=4|45=4|372=8|380=3|58="), "{refused:?}");
        // What is garbled is noticed by the gap that it leaves.
        let mut garbled = from_client(version, "35=0|34=5|");
        let last = garbled.len() - 2;
        garbled[last] = if garbled[last] == b'0' { b'1' } else { b'0' };
        assert_eq!(venue.take(&garbled), Vec::<String>::new());
        let gap = venue.take(&from_client(version, "35=0|34=6|"));
        assert_eq!(gap, ["35=2|34=5|7=5|16=0"]);
        let again = from_client(version, "35=0|34=5|43=Y|122=20260301-12:00:00|");
        assert_eq!(venue.take(&again), Vec::<String>::new());
        // All it has sent so far was of the session.
        let asked = venue.take(&from_client(version, "35=2|34=7|7=1|16=0|"));
        let filled = asked.last().expect("an answer");
        assert!(filled.starts_with("35=4|34=1|43=Y|"), "{asked:?}");
        assert!(filled.ends_with("123=Y|36=6"), "{asked:?}");
        let end = venue.take(&from_client(version, "35=5|34=8|"));
        assert_eq!(end.len(), 1, "{end:?}");
        assert!(end[0].starts_with("35=5|34=6"), "{end:?}");
        assert!(venue.closed);
    }
}

#[test]
fn an_order_is_delivered_with_its_number_however_the_bytes_are_cut() {
    let order = "11=A|21=1|55=BTC-USDT|54=1|60=20260301-12:00:00|38=1|40=2|44=10|59=1|";
    for version in Version::ALL {
        let mut all = logon(version);
        for number in 2..12 {
            let text = format!("35=D|34={number}|{order}");
            all.extend(from_client(version, &text));
        }
        for step in [1, 2, 7, 63, 200, all.len()] {
            let mut venue = Venue::new(version);
            let said: Vec<String> = all.chunks(step).flat_map(|piece| venue.take(piece)).collect();
            assert_eq!(said.len(), 1, "{said:?}");
            assert_eq!(venue.delivered, (2..12).collect::<Vec<u64>>());
        }
    }
}

#[test]
fn who_does_not_begin_with_a_logon_is_told_nothing_that_counts() {
    let mut venue = Venue::new(Version::Fix44);
    venue.take(&from_client(Version::Fix44, "35=0|34=1|"));
    assert!(venue.closed);
    assert_eq!((venue.sent, venue.delivered.len()), (0, 0));
}
