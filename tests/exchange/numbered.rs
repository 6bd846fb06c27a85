//! Sessions whose messages are numbered both ways: what a FIX counterparty finds again after a restart.

use super::random::restored;
use super::script::{World, check};
use openoutcry::event::{EventBody, SessionChange, SessionSent};
use openoutcry::exchange::{Context, Exchange, Numbering, Outbox, Session, SessionName};
use openoutcry::journal::format::RecordKind;
use openoutcry::journal::payload::{
    LOGON_RESET, PROTOCOL_FIX, PROTOCOL_NATIVE, SessionEnd, SessionLogon, SessionSend,
};
use openoutcry::lanes::apply::{CannotApply, Input, apply};
use openoutcry::types::{KeyId, SessionId};
use zerocopy::{FromZeros, IntoBytes};

const NAME: SessionName = [b'F'; 32];

/// Does something as the next record, and checks all events and the state after it.
fn record<T>(world: &mut World, act: impl FnOnce(&mut Exchange, &Context, &mut Outbox) -> T) -> T {
    world.ctx.sequence = world.ctx.sequence.next();
    let ctx = world.ctx;
    let done = act(&mut world.exchange, &ctx, &mut world.out);
    super::passing::check_quiet(world.out.events(), ctx.sequence);
    world.exchange.check();
    done
}

fn logon(world: &mut World, reset: bool, expected_inbound: u64) -> SessionId {
    let numbering = Numbering { reset, expected_inbound };
    record(world, |exchange, ctx, out| {
        exchange.logon_numbered(ctx, KeyId(0), &NAME, numbering, out)
    })
}

fn send(world: &mut World, session: SessionId, expected_inbound: u64) -> Option<SessionSent> {
    record(world, |exchange, ctx, out| exchange.send(ctx, session, 7, expected_inbound, out));
    world.out.events().iter().find_map(|event| match event.body {
        EventBody::Sent(sent) => Some(sent),
        _ => None,
    })
}

/// Last number given, and the next one expected.
fn numbers(world: &World, session: SessionId) -> (u64, u64) {
    let session: &Session = world.exchange.session(session).expect("it has logged on");
    (session.outbound, session.inbound)
}

/// The session's change that the last record tells.
fn change(world: &World) -> SessionChange {
    let EventBody::Session(change) = world.out.events()[0].body else { panic!("the session's") };
    change
}

#[test]
fn every_message_of_a_numbered_session_has_its_number_from_its_record() {
    let mut world = check("fund 2 1000");
    let fix = logon(&mut world, false, 2);
    // The answer to the logon.
    assert_eq!((change(&world).outbound, numbers(&world, fix)), (1, (1, 2)));
    world.ctx.session = fix;
    world.ctx.client_sequence = 2;
    world.run("2: buy A 1 @ 1 -> pending");
    assert_eq!(world.out.result().expect("a result").outbound, 2);
    assert_eq!(numbers(&world, fix), (2, 3));
    // What is refused was heard all the same; what overtakes another message, and what is older, moves
    // nothing.
    world.ctx.client_sequence = 3;
    world.run("2: buy B 0 @ 1 -> InvalidQuantity");
    world.ctx.client_sequence = 9;
    world.run("2: cancel A -> canceled");
    world.ctx.client_sequence = 2;
    world.run("2: cancel A -> TooLate");
    assert_eq!(numbers(&world, fix), (5, 4));
    let sent = send(&mut world, fix, 12).expect("it is numbered");
    assert_eq!(sent, SessionSent { session: fix, kind: 7, outbound: 6, expected_inbound: 12 });
    // The answer to a logout; a session that is lost is told nothing.
    let end = |told| {
        move |exchange: &mut Exchange, ctx: &Context, out: &mut Outbox| {
            exchange.logout_numbered(ctx, fix, told, 13, out);
        }
    };
    record(&mut world, end(true));
    assert_eq!((change(&world).outbound, change(&world).active), (7, false));
    record(&mut world, end(false));
    assert_eq!((change(&world).outbound, numbers(&world, fix)), (7, (7, 13)));
}

#[test]
fn numbers_outlive_the_node_and_begin_again_where_a_logon_says_so() {
    let mut world = check("");
    let fix = logon(&mut world, false, 2);
    send(&mut world, fix, 5).expect("it is numbered");
    let before = world.hash();
    world.exchange = restored(&world.exchange);
    assert_eq!((world.hash(), numbers(&world, fix)), (before, (2, 5)));
    // An inbound number alone is part of the state.
    send(&mut world, fix, 6).expect("it is numbered");
    let sent = world.hash();
    world.exchange = restored(&world.exchange);
    assert_eq!(world.hash(), sent);
    record(&mut world, |exchange, ctx, out| exchange.lose_sessions(ctx, out));
    assert_eq!(logon(&mut world, false, 7), fix);
    assert_eq!((change(&world).outbound, numbers(&world, fix)), (4, (4, 7)));
    assert_eq!(logon(&mut world, true, 2), fix);
    assert_eq!((change(&world).outbound, numbers(&world, fix)), (1, (1, 2)));
}

#[test]
fn a_session_of_another_protocol_hears_and_is_sent_nothing_and_keeps_its_name() {
    let mut world = check("fund 2 1000\n logon desk -> 1");
    let native = SessionId(1);
    world.ctx.session = native;
    world.ctx.client_sequence = 5;
    world.run("2: buy A 1 @ 1 -> pending");
    assert_eq!(send(&mut world, native, 9), None);
    assert_eq!(send(&mut world, SessionId(0), 9), None);
    assert_eq!(send(&mut world, SessionId(99), 9), None);
    assert_eq!(numbers(&world, native), (1, 0));
    let name = world.exchange.session(native).expect("it logged on").name;
    let numbering = Numbering { reset: true, expected_inbound: 2 };
    let refused = record(&mut world, |exchange, ctx, out| {
        exchange.logon_numbered(ctx, KeyId(0), &name, numbering, out)
    });
    assert_eq!((refused, numbers(&world, native)), (SessionId(0), (1, 0)));
    let fix = logon(&mut world, false, 2);
    let refused =
        record(&mut world, |exchange, ctx, out| exchange.logon(ctx, KeyId(0), &NAME, out));
    assert_eq!((refused, numbers(&world, fix)), (SessionId(0), (1, 2)));
}

/// Applies a record of a kind with this payload.
fn applied(world: &mut World, kind: RecordKind, payload: &[u8]) -> Result<(), CannotApply> {
    world.ctx.sequence = world.ctx.sequence.next();
    let input = Input { kind, context: world.ctx, schema: 0, payload };
    apply(&mut world.exchange, &input, &mut world.out)
}

#[test]
fn records_of_numbered_sessions_are_applied_as_their_layouts_say() {
    let mut world = check("");
    let mut record = SessionLogon::named(b"BANK");
    record.protocol = PROTOCOL_FIX;
    record.expected_inbound = 2.into();
    assert_eq!(applied(&mut world, RecordKind::SessionLogon, record.as_bytes()), Ok(()));
    let fix = change(&world).session;
    world.ctx.session = fix;
    let mut send = SessionSend::new_zeroed();
    (send.protocol, send.kind, send.length) = (PROTOCOL_FIX, 3.into(), 5.into());
    send.expected_inbound = 4.into();
    let message = [send.as_bytes(), b"112=A"].concat();
    assert_eq!(applied(&mut world, RecordKind::SessionSend, &message), Ok(()));
    assert_eq!(numbers(&world, fix), (2, 4));
    // A length that lies is no payload of its kind, and changes nothing.
    for payload in [&message[..20], &message[..15], b""] {
        let refused = applied(&mut world, RecordKind::SessionSend, payload);
        assert!(matches!(refused, Err(CannotApply::Payload { .. })), "{refused:?}");
        world.ctx.sequence.0 -= 1;
    }
    // Nor is a number beyond all that a session can have.
    send.expected_inbound = (1 << 62).into();
    let message = [send.as_bytes(), b"112=A"].concat();
    let refused = applied(&mut world, RecordKind::SessionSend, &message);
    assert!(matches!(refused, Err(CannotApply::Payload { .. })), "{refused:?}");
    world.ctx.sequence.0 -= 1;
    let mut end = SessionEnd::new_zeroed();
    end.expected_inbound = 6.into();
    assert_eq!(applied(&mut world, RecordKind::SessionLogout, end.as_bytes()), Ok(()));
    assert_eq!(numbers(&world, fix), (3, 6));
    assert_eq!(applied(&mut world, RecordKind::SessionLogon, record.as_bytes()), Ok(()));
    assert_eq!(applied(&mut world, RecordKind::SessionLost, end.as_bytes()), Ok(()));
    assert_eq!(numbers(&world, fix), (4, 6));
    record.flags = LOGON_RESET;
    assert_eq!(applied(&mut world, RecordKind::SessionLogon, record.as_bytes()), Ok(()));
    assert_eq!(numbers(&world, fix), (1, 2));
    record.protocol = PROTOCOL_NATIVE;
    assert_eq!(applied(&mut world, RecordKind::SessionLogon, record.as_bytes()), Ok(()));
    assert_eq!(change(&world).session, SessionId(0));
}

#[test]
fn the_end_of_a_session_that_is_not_numbered_needs_no_words() {
    for kind in [RecordKind::SessionLogout, RecordKind::SessionLost] {
        let mut world = check("logon desk -> 1");
        world.ctx.session = SessionId(1);
        assert_eq!(applied(&mut world, kind, b""), Ok(()));
        assert_eq!((change(&world).active, numbers(&world, SessionId(1))), (false, (0, 0)));
        assert_eq!(applied(&mut world, kind, SessionEnd::new_zeroed().as_bytes()), Ok(()));
        assert_eq!(numbers(&world, SessionId(1)), (0, 0));
    }
}

#[test]
fn a_logout_is_the_last_that_its_record_says_to_the_session() {
    let mut world = check("fund 2 1000");
    world.run("at 1000");
    let fix = logon(&mut world, false, 2);
    world.ctx.session = fix;
    world.run("2: buy A 1 @ 1 until 2000 -> pending\n at 3000");
    record(&mut world, |exchange, ctx, out| exchange.logout_numbered(ctx, fix, true, 3, out));
    let expired = world.out.events().iter().find_map(|event| match event.body {
        EventBody::Update(update) => Some(update.outbound),
        _ => None,
    });
    assert_eq!((expired, change(&world).outbound, numbers(&world, fix)), (Some(3), 4, (4, 3)));
}
