//! Session messages read back what was sent, and only in their direction.

use super::*;
use crate::command::Command;
use crate::wire::OpenLimits;
use crate::wire::answer::AnswerFill;
use std::collections::BTreeSet;

fn open(bytes: &[u8]) -> Frame<'_> {
    Frame::open(bytes, &OpenLimits { frame_max: 1 << 14, strict_reserved: true })
        .expect("a frame that was just sealed")
}

#[test]
fn every_schema_id_is_given_once_and_in_its_range() {
    let mut seen = BTreeSet::new();
    for (schema, name, _) in Command::LAYOUTS.iter().chain(&layouts()) {
        assert!(seen.insert(*schema), "{name}");
    }
    assert!(Command::LAYOUTS.iter().all(|(schema, ..)| (1..=63).contains(schema)));
    assert!(CLIENT_LAYOUTS.iter().all(|(schema, ..)| (64..=127).contains(schema)));
    assert_eq!(layouts().last().map(|(schema, ..)| *schema), Some(143));
}

#[test]
fn messages_to_the_server_read_back_what_was_sent() {
    let mut out = Vec::new();
    let key = SigningKey::from_bytes(&[7; 32]);
    let logon = Logon {
        nonce: [1; 32],
        public_key: key.verifying_key().to_bytes(),
        session_name: Logon::pad_name("desk-1").expect("a good name"),
        last_received: 5,
        cancel_on_disconnect: false,
    };
    let at = logon.send(9, &key, &mut out);
    let frame = open(&out[at]);
    assert_eq!(frame.client_sequence(), 9);
    assert!(frame.integrity().signature.is_some());
    assert_eq!(ClientMessage::decode(&frame), Ok(ClientMessage::Logon(logon)));
    assert_eq!(logon.name(), Some("desk-1"));

    let book = BookQuery { instrument: InstrumentId(3), depth: 5, orders: true };
    let at = send(&book, 1, &mut out);
    assert_eq!(ClientMessage::decode(&open(&out[at])), Ok(ClientMessage::BookQuery(book)));
    let account = AccountQuery { account: AccountId(3), after_order: OrderId(4) };
    let at = send(&account, 1, &mut out);
    let back = ClientMessage::decode(&open(&out[at]));
    assert_eq!(back, Ok(ClientMessage::AccountQuery(account)));
    let reference = ReferenceQuery { after_asset: AssetId(1), after_instrument: InstrumentId(2) };
    let at = send(&reference, 1, &mut out);
    let back = ClientMessage::decode(&open(&out[at]));
    assert_eq!(back, Ok(ClientMessage::ReferenceQuery(reference)));
    let at = send(&SchemaQuery { after: 7 }, 1, &mut out);
    let back = ClientMessage::decode(&open(&out[at]));
    assert_eq!(back, Ok(ClientMessage::SchemaQuery(SchemaQuery { after: 7 })));
    let limits = LimitsQuery {
        account: AccountId(3),
        instrument: InstrumentId(4),
        after_account: AccountId(5),
        after_instrument: InstrumentId(6),
    };
    let at = send(&limits, 1, &mut out);
    let back = ClientMessage::decode(&open(&out[at]));
    assert_eq!(back, Ok(ClientMessage::LimitsQuery(limits)));
    let at = send(&Ping { nonce: 8 }, 1, &mut out);
    let back = ClientMessage::decode(&open(&out[at]));
    assert_eq!(back, Ok(ClientMessage::Ping(Ping { nonce: 8 })));
    let at = send(&Logout {}, 1, &mut out);
    let back = ClientMessage::decode(&open(&out[at]));
    assert_eq!(back, Ok(ClientMessage::Logout(Logout {})));
}

#[test]
fn fixed_messages_from_the_server_read_back_what_was_sent() {
    let mut out = Vec::new();
    let challenge = Challenge { nonce: [3; 32], time_ns: TimeNs(4), frame_max: 4096 };
    let at = send(&challenge, 0, &mut out);
    let back = ServerMessage::decode(&open(&out[at]));
    assert_eq!(back, Ok(ServerMessage::Challenge(challenge)));
    let accepted = LogonAccepted {
        session: SessionId(1),
        key: KeyId(2),
        role: Role::Trade,
        outbound: 3,
        sequence: Sequence(4),
        heartbeat_interval_ms: 5,
    };
    let at = send(&accepted, 7, &mut out);
    let back = ServerMessage::decode(&open(&out[at]));
    assert_eq!(back, Ok(ServerMessage::LogonAccepted(accepted)));
    let at = send(&Pong { nonce: 8 }, 1, &mut out);
    let back = ServerMessage::decode(&open(&out[at]));
    assert_eq!(back, Ok(ServerMessage::Pong(Pong { nonce: 8 })));
    let bye = LoggedOut { reason: RejectReason::ShuttingDown.into() };
    let at = send(&bye, 1, &mut out);
    assert_eq!(ServerMessage::decode(&open(&out[at])), Ok(ServerMessage::LoggedOut(bye)));
}

#[test]
fn text_is_cut_at_a_character_and_reads_back() {
    let mut out = Vec::new();
    let long = "ä".repeat(TEXT_MAX_BYTES);
    let reason = RejectReason::Busy.into();
    let reject = Reject { reason, retry_after_ms: 20, text: &long };
    let at = reject.send(4, &mut out);
    let frame = open(&out[at]);
    assert_eq!(frame.client_sequence(), 4);
    let expected = Reject { text: &long[..TEXT_MAX_BYTES], ..reject };
    assert_eq!(ServerMessage::decode(&frame), Ok(ServerMessage::Reject(expected)));
    let notice = Notice { kind: Notice::WAITING, text: "no copy" };
    let at = notice.send(&mut out);
    assert_eq!(ServerMessage::decode(&open(&out[at])), Ok(ServerMessage::Notice(notice)));
}

#[test]
fn text_that_lies_about_its_size_or_is_not_utf_8_is_refused() {
    for (size, tail) in [(3, &b"ab"[..]), (1, b"ab"), (2, b"\xFFa")] {
        let mut payload = Vec::new();
        RejectHead { reason: ReasonCode(1), retry_after_ms: 0, text_size: size }
            .encode(&mut payload);
        payload.extend_from_slice(tail);
        assert!(Reject::decode(&payload).is_err(), "{size} {tail:?}");
    }
}

#[test]
fn a_message_in_the_wrong_direction_is_an_unknown_schema() {
    let mut out = Vec::new();
    let at = send(&Ping { nonce: 8 }, 1, &mut out);
    let back = ServerMessage::decode(&open(&out[at]));
    assert_eq!(back, Err(WireError::UnknownSchema(65)));
    let at = send(&Pong { nonce: 8 }, 1, &mut out);
    let back = ClientMessage::decode(&open(&out[at]));
    assert_eq!(back, Err(WireError::UnknownSchema(133)));
}

#[test]
fn session_names_are_short_and_printable() {
    assert_eq!(Logon::pad_name(""), None);
    assert_eq!(Logon::pad_name("a\0b"), None);
    assert_eq!(Logon::pad_name(&"x".repeat(33)), None);
    assert!(Logon::pad_name(&"x".repeat(32)).is_some());
    let mut logon = Logon {
        nonce: [0; 32],
        public_key: [0; 32],
        session_name: [b'x'; 32],
        last_received: 0,
        cancel_on_disconnect: false,
    };
    assert_eq!(logon.name(), Some("x".repeat(32).as_str()));
    logon.session_name[5] = 0;
    assert_eq!(logon.name(), None, "bytes after the padding");
    logon.session_name = [0xFF; 32];
    assert_eq!(logon.name(), None, "not UTF-8");
}

#[test]
fn rows_that_do_not_fill_their_bytes_are_refused() {
    assert!(Rows::<AnswerFill>::parse(&[0; 15]).is_err());
    let rows = Rows::<AnswerFill>::parse(&[0; 32]).expect("two rows");
    assert_eq!((rows.len(), rows.iter().count(), rows.is_empty()), (2, 2, false));
    let sides = Rows::<query::BookLevel>::parse(&[9; 21]);
    let (schema, field) = (134, "side");
    assert_eq!(sides, Err(PayloadError::Field { schema, field, value: 9 }));
}
