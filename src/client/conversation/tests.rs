//! A conversation against a server that a test plays.

use super::*;
use crate::command::{Deposit, NewOrder};
use crate::types::{
    Amount, ClientOrderId, KeyId, OrderChange, OrderType, Price, Quantity, Role, Sequence,
    SessionId, Side, Status, TimeInForce, TimeNs,
};
use crate::wire::answer::{Answer, OrderUpdate, ROLE_MAKER};
use crate::wire::message::{LoggedOut, Pong, Reject};
use crate::wire::payload::COMMAND_SIZE_MAX;

const LIMITS: OpenLimits = OpenLimits { frame_max: 4096, strict_reserved: true };

fn deposit() -> Command {
    Deposit { account: AccountId(2), asset: AssetId(1), amount: Amount(5) }.into()
}

fn fresh(window: usize) -> Conversation {
    let key = KeyPair::from_seed(&[7; 32]);
    Conversation::new(key, "desk", window, 0, [0xAB, 0, 0, 1]).expect("a good name")
}

/// Feeds bytes and writes down what comes, in words.
fn feed(conversation: &mut Conversation, bytes: &[u8]) -> Vec<String> {
    let mut said = Vec::new();
    let taken = conversation
        .receive(bytes, &mut |reply| {
            said.push(match reply {
                Reply::Answer { request, again, view } => {
                    format!("answer {} {again} {}", request.0, view.answer.status)
                }
                Reply::Reject { request, reject } => {
                    format!("reject {:?} {}", request.map(|id| id.0), reject.reason)
                }
                Reply::Fill(fill) => format!("fill {}", fill.outbound),
                Reply::OrderUpdate(it) => format!("update {} {}", it.outbound, it.change),
                Reply::Pong { nonce, .. } => format!("pong {nonce}"),
                Reply::Gap { expected, found } => format!("gap {expected} {found}"),
                Reply::LoggedOn(accepted) => format!("logged on {}", accepted.session),
                Reply::LoggedOut { reason } => format!("logged out {}", reason.0),
                other => format!("{other:?}"),
            });
        })
        .expect("the server speaks well");
    assert_eq!(taken, bytes.len());
    said
}

fn accepted(heartbeat_interval_ms: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let accepted = LogonAccepted {
        session: SessionId(3),
        key: KeyId(1),
        role: Role::Trade,
        outbound: 0,
        sequence: Sequence(0),
        heartbeat_interval_ms,
    };
    send(&accepted, 0, &mut out);
    out
}

fn challenge(frame_max: u32) -> Vec<u8> {
    let mut out = Vec::new();
    send(&Challenge { nonce: [9; 32], time_ns: TimeNs(1), frame_max }, 0, &mut out);
    out
}

fn open(window: usize) -> Conversation {
    let mut conversation = fresh(window);
    assert!(feed(&mut conversation, &challenge(4096)).is_empty());
    conversation.out().clear();
    assert_eq!(feed(&mut conversation, &accepted(1000)), ["logged on 3"]);
    conversation
}

fn answer(client_sequence: u64, outbound: u64, again: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut head = crate::wire::message::head(Answer::SCHEMA, client_sequence);
    if again {
        head.flags = head.flags.with(Flags::POSSIBLE_DUPLICATE);
    }
    let mut writer = FrameWriter::begin(&mut out, head);
    Answer {
        sequence: Sequence(1),
        outbound,
        order_id: OrderId(0),
        filled: Quantity(0),
        leaves: Quantity(0),
        time: TimeNs(1),
        status: Status::Done,
        reason: ReasonCode(0),
        fill_count: 0,
    }
    .encode(writer.payload());
    writer.seal();
    out
}

fn fill(outbound: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let fill = Fill {
        sequence: Sequence(1),
        index: 1,
        outbound,
        order_id: OrderId(1),
        client_order_id: ClientOrderId(0),
        instrument: InstrumentId(1),
        price: Price(1),
        quantity: Quantity(1),
        filled: Quantity(1),
        leaves: Quantity(0),
        role: ROLE_MAKER,
        last: true,
    };
    send(&fill, 0, &mut out);
    out
}

fn update(outbound: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let update = OrderUpdate {
        sequence: Sequence(1),
        index: 1,
        outbound,
        order_id: OrderId(1),
        client_order_id: ClientOrderId(0),
        instrument: InstrumentId(1),
        change: OrderChange::Expired,
        price: Price(1),
        quantity: Quantity(1),
        filled: Quantity(0),
        leaves: Quantity(0),
    };
    send(&update, 0, &mut out);
    out
}

#[test]
fn an_order_update_has_its_number_among_answers_and_fills() {
    let mut conversation = open(1);
    let told = feed(&mut conversation, &[fill(1), update(2), fill(3), update(5)].concat());
    assert_eq!(told, ["fill 1", "update 2 expired", "fill 3", "gap 4 5", "update 5 expired"]);
    assert_eq!(conversation.last_received(), 5);
}

#[test]
fn a_challenge_is_answered_with_a_logon_signed_over_its_nonce() {
    let mut conversation = fresh(1);
    assert_eq!(conversation.submit(&deposit(), &Options::default()), Err(SubmitError::NotLoggedOn));
    feed(&mut conversation, &challenge(4096));
    assert_eq!(conversation.state(), State::LoggingOn);
    let out = conversation.out().clone();
    let frame = Frame::open(&out, &LIMITS).expect("a good frame");
    let logon = Logon::decode(frame.payload()).expect("a logon");
    assert_eq!((logon.nonce, logon.name(), logon.last_received), ([9; 32], Some("desk"), 0));
    let integrity = frame.integrity();
    let signature = integrity.signature.expect("a logon is signed");
    assert!(crate::keys::verify(&logon.public_key, integrity.hash, signature));
}

#[test]
fn a_refused_logon_closes_the_conversation() {
    let mut conversation = fresh(1);
    feed(&mut conversation, &challenge(4096));
    let mut out = Vec::new();
    let reason = RejectReason::LogonRefused.into();
    Reject { reason, retry_after_ms: 0, text: "no such key" }.send(0, &mut out);
    assert_eq!(feed(&mut conversation, &out), ["reject None LogonRefused"]);
    assert_eq!(conversation.state(), State::Closed);
}

#[test]
fn every_command_has_a_message_id_of_its_own_and_is_answered_by_its_number() {
    let mut conversation = open(8);
    let first = conversation.submit(&deposit(), &Options::default()).expect("room");
    let second = conversation.submit(&deposit(), &Options::default()).expect("room");
    assert_eq!(second.0, first.0 + 1);
    let out = std::mem::take(conversation.out());
    let size = frame_length(&out, 4096).expect("a frame").expect("all of it");
    for (bytes, id) in [(&out[..size], first), (&out[size..], second)] {
        let frame = Frame::open(bytes, &LIMITS).expect("a good frame");
        assert_eq!(frame.client_sequence(), id.0);
        let metadata = frame.metadata().expect("good").expect("there is some");
        assert_eq!(metadata.message_id, format!("desk-ab000001{:016x}", id.0));
        let mut scratch = [0; COMMAND_SIZE_MAX];
        assert_eq!(frame.command(&mut scratch).expect("a command").command, deposit());
    }
    assert_eq!(conversation.in_flight(), 2);
    let said = feed(&mut conversation, &answer(second.0, 1, false));
    assert_eq!(said, [format!("answer {} false done", second.0)]);
    assert_eq!(conversation.in_flight(), 1);
}

#[test]
fn given_options_stand_in_the_frame() {
    let mut conversation = open(8);
    let options = Options {
        priority: Priority::Critical,
        ttl_ms: 9,
        message_id: Some("mine"),
        timestamp_ms: Some(77),
        source: "src",
        correlation_id: "corr",
        possible_duplicate: true,
        ..Options::default()
    };
    conversation.submit(&deposit(), &options).expect("room");
    let out = conversation.out().clone();
    let frame = Frame::open(&out, &LIMITS).expect("a good frame");
    let m = frame.metadata().expect("good").expect("there is some");
    assert_eq!((m.message_id, m.timestamp_ms, m.ttl_ms), ("mine", 77, 9));
    assert_eq!((m.source, m.correlation_id, m.priority), ("src", "corr", Priority::Critical));
    assert!(frame.header().flags.has(Flags::POSSIBLE_DUPLICATE));
    assert!(frame.integrity().signature.is_some(), "critical commands are signed");
}

#[test]
fn a_full_window_refuses_and_an_answer_makes_room() {
    let mut conversation = open(1);
    let first = conversation.submit(&deposit(), &Options::default()).expect("room");
    assert!(!conversation.has_room());
    assert_eq!(conversation.submit(&deposit(), &Options::default()), Err(SubmitError::WindowFull));
    feed(&mut conversation, &answer(first.0, 1, false));
    assert!(conversation.has_room());
}

#[test]
fn what_cannot_be_encoded_leaves_nothing_behind() {
    let mut conversation = open(4);
    let long = "x".repeat(65);
    let options = Options { source: &long, ..Options::default() };
    let refused = conversation.submit(&deposit(), &options);
    assert!(matches!(refused, Err(SubmitError::Metadata(_))));
    let order = NewOrder {
        account: AccountId(2),
        instrument: InstrumentId(1),
        side: Side::Buy,
        order_type: OrderType::Limit,
        time_in_force: TimeInForce::Gtc,
        flags: 0,
        price: Price(1),
        quantity: Quantity(1),
        client_order_id: ClientOrderId(1 << 63),
    };
    let refused = conversation.submit(&order.into(), &Options::default());
    assert!(matches!(refused, Err(SubmitError::Int(_))));
    feed(&mut conversation, &challenge(100));
    conversation.out().clear();
    feed(&mut conversation, &accepted(1000));
    let refused = conversation.submit(&deposit(), &Options::default());
    assert!(matches!(refused, Err(SubmitError::FrameTooLong { max: 100, .. })));
    assert!(!conversation.has_output());
    assert_eq!(conversation.in_flight(), 0);
}

#[test]
fn a_reject_frees_its_request() {
    let mut conversation = open(1);
    let id = conversation.submit(&deposit(), &Options::default()).expect("room");
    let mut out = Vec::new();
    let reason = RejectReason::Busy.into();
    Reject { reason, retry_after_ms: 5, text: "" }.send(id.0, &mut out);
    assert_eq!(feed(&mut conversation, &out), [format!("reject Some({}) Busy", id.0)]);
    assert_eq!((conversation.in_flight(), conversation.state()), (0, State::Open));
}

#[test]
fn unanswered_commands_are_sent_again_with_their_id_and_time_and_the_flag() {
    let mut conversation = open(8);
    let ids: Vec<RequestId> = (0..3)
        .map(|_| conversation.submit(&deposit(), &Options::default()).expect("room"))
        .collect();
    let first = conversation.out().clone();
    feed(&mut conversation, &answer(ids[1].0, 1, false));
    conversation.close();
    conversation.restart();
    assert_eq!(conversation.retry(), Err(SubmitError::NotLoggedOn));
    feed(&mut conversation, &challenge(4096));
    let logon = conversation.out().clone();
    let logon = Frame::open(&logon, &LIMITS).expect("a good frame");
    let last = Logon::decode(logon.payload()).expect("a logon").last_received;
    assert_eq!(last, 0, "a reconnect asks for nothing that this release cannot give");
    conversation.out().clear();
    feed(&mut conversation, &accepted(0));
    assert_eq!(conversation.retry(), Ok(2));
    let again = conversation.out().clone();
    let size = first.len() / 3;
    for (index, id) in [(0, ids[0]), (1, ids[2])] {
        let frame = Frame::open(&again[index * size..], &LIMITS).expect("sealed anew");
        assert_eq!(frame.client_sequence(), id.0);
        assert!(frame.header().flags.has(Flags::POSSIBLE_DUPLICATE));
        let before = Frame::open(&first[index * 2 * size..], &LIMITS).expect("a good frame");
        assert_eq!(frame.metadata(), before.metadata());
        assert_eq!(frame.payload(), before.payload());
    }
    // An answer that is given twice is told once.
    let said = feed(&mut conversation, &answer(ids[0].0, 2, true));
    assert_eq!(said, [format!("answer {} true done", ids[0].0)]);
    assert!(feed(&mut conversation, &answer(ids[0].0, 2, true)).is_empty());
    // Its number is from before the reconnect and tells nothing of what is new.
    assert_eq!(conversation.last_received(), 0);
}

#[test]
fn an_answer_to_an_earlier_run_of_the_session_is_told_as_such() {
    let mut conversation = open(8);
    let own = conversation.submit(&deposit(), &Options::default()).expect("room");
    let foreign = own.0 - 1_000_000;
    let said = feed(&mut conversation, &answer(foreign, 1, false));
    assert_eq!(said, [format!("answer {foreign} false done")]);
    assert_eq!(conversation.in_flight(), 1);
}

#[test]
fn missing_outbound_numbers_are_told() {
    let mut conversation = open(8);
    assert_eq!(feed(&mut conversation, &fill(5)), ["fill 5"], "from now on");
    assert_eq!(feed(&mut conversation, &fill(6)), ["fill 6"]);
    assert_eq!(feed(&mut conversation, &fill(9)), ["gap 7 9", "fill 9"]);
    assert_eq!(conversation.last_received(), 9);
}

#[test]
fn frames_that_come_in_pieces_are_taken_whole() {
    let mut conversation = open(8);
    let bytes = [fill(1), fill(2), fill(3)].concat();
    let mut buffer = Vec::new();
    let mut said = 0;
    for byte in &bytes {
        buffer.push(*byte);
        let taken = conversation.receive(&buffer, &mut |_| said += 1).expect("good frames");
        buffer.drain(..taken);
    }
    assert_eq!((said, buffer.len()), (3, 0));
}

#[test]
fn nonsense_from_the_server_is_an_error() {
    let mut conversation = open(8);
    let mut bytes = fill(1);
    let end = bytes.len() - 1;
    bytes[end] ^= 1;
    assert_eq!(conversation.receive(&bytes, &mut |_| ()), Err(WireError::BadHash));
    assert_eq!(conversation.receive(b"HTTP", &mut |_| ()), Err(WireError::BadMagic(b'H')));
}

#[test]
fn silence_is_answered_with_pings_and_ends_after_two_intervals() {
    let mut conversation = open(8);
    conversation.out().clear();
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    assert!(conversation.tick(at(0)));
    assert!(conversation.tick(at(499)) && !conversation.has_output());
    assert!(conversation.tick(at(600)) && conversation.has_output());
    conversation.out().clear();
    let mut pong = Vec::new();
    send(&Pong { nonce: 0 }, 0, &mut pong);
    assert!(feed(&mut conversation, &pong).is_empty(), "nobody asked for this pong");
    assert!(conversation.tick(at(1200)));
    assert!(conversation.tick(at(3100)), "heard at 1200");
    assert!(!conversation.tick(at(3200)));
}

#[test]
fn pings_and_logout_go_through() {
    let mut conversation = open(8);
    let id = conversation.ping(7).expect("room");
    let mut out = Vec::new();
    send(&Pong { nonce: 7 }, id.0, &mut out);
    assert_eq!(feed(&mut conversation, &out), ["pong 7"]);
    conversation.logout().expect("a session");
    out.clear();
    send(&LoggedOut { reason: ReasonCode(0) }, 0, &mut out);
    assert_eq!(feed(&mut conversation, &out), ["logged out 0"]);
    assert_eq!(conversation.state(), State::Closed);
    assert_eq!(conversation.logout(), Err(SubmitError::NotLoggedOn));
}
