//! Hot paths allocate nothing: a counting allocator for this test binary, and what it holds to it.

use openoutcry::client::{Conversation, Options, Reply};
use openoutcry::command::{Command, NewOrder};
use openoutcry::event::CommandResult;
use openoutcry::fix::{self, Encoder, Fields, Header, Policy, Version};
use openoutcry::keys::KeyPair;
use openoutcry::types::{
    AccountId, ClientOrderId, InstrumentId, KeyId, OrderId, OrderType, Price, Priority, Quantity,
    Role, Sequence, SessionId, Side, Status, TimeInForce, TimeNs,
};
use openoutcry::wire::answer::send_answer;
use openoutcry::wire::message::{LogonAccepted, ServerMessage, send};
use openoutcry::wire::payload::{COMMAND_SIZE_MAX, encode_command};
use openoutcry::wire::{BitMode, Flags, Frame, FrameHead, FrameWriter, Metadata, OpenLimits};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// Counts the allocations of each thread, so that tests beside each other do not disturb.
struct Counting;

/// Allocations of this thread so far.
pub(crate) fn so_far() -> u64 {
    COUNT.with(Cell::get)
}

fn count() {
    // A thread that is ending has no counter any more, and nobody to ask it.
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
}

#[allow(unsafe_code, reason = "a global allocator cannot be written without")]
// SAFETY: every call goes unchanged to the system's allocator, which keeps the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc`, which is the same there.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from the same system allocator with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the pointer came from the same system allocator with this layout.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of this thread while `work` ran.
pub(crate) fn allocations(work: impl FnOnce()) -> u64 {
    let before = so_far();
    work();
    so_far() - before
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![1u8; 100]))), 1);
}

fn new_order() -> Command {
    NewOrder {
        account: AccountId(2),
        instrument: InstrumentId(1),
        side: Side::Buy,
        order_type: OrderType::Limit,
        time_in_force: TimeInForce::Gtc,
        flags: 0,
        price: Price(10_000),
        quantity: Quantity(5),
        client_order_id: ClientOrderId(6),
    }
    .into()
}

fn result() -> CommandResult {
    CommandResult {
        status: Status::Pending,
        reason: None,
        session: SessionId(1),
        fill_count: 0,
        outbound: 3,
        client_sequence: 4,
        order_id: OrderId(5),
        filled: Quantity(6),
        leaves: Quantity(7),
        time: TimeNs(8),
        account: AccountId(9),
    }
}

fn seal(out: &mut Vec<u8>) {
    let flags = Flags::new(Priority::Normal);
    let head = FrameHead { schema: 1, flags, bit_mode: BitMode::Bits16, client_sequence: 1 };
    let metadata = Metadata::new("message-1", 1_700_000_000_000, Priority::Normal);
    let mut writer = FrameWriter::begin_with(out, head, &metadata).expect("within the limits");
    encode_command(&new_order(), BitMode::Bits16, writer.payload()).expect("6 fits");
    writer.seal();
}

#[test]
fn opening_decoding_and_sealing_a_command_allocate_nothing() {
    let limits = OpenLimits::default();
    let mut out = Vec::with_capacity(1024);
    seal(&mut out);
    let bytes = out.clone();
    let count = allocations(|| {
        for _ in 0..100 {
            out.clear();
            seal(&mut out);
            let frame = Frame::open(&bytes, &limits).expect("just sealed");
            let metadata = frame.metadata().expect("good metadata").expect("there is some");
            std::hint::black_box(frame.locations(&metadata));
            let mut scratch = [0; COMMAND_SIZE_MAX];
            std::hint::black_box(frame.command(&mut scratch).expect("a command"));
        }
    });
    assert_eq!(count, 0);
}

#[test]
fn refusing_a_damaged_frame_allocates_nothing() {
    let limits = OpenLimits::default();
    let mut bytes = Vec::new();
    seal(&mut bytes);
    let count = allocations(|| {
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            assert!(Frame::open(&bytes, &limits).is_err());
            bytes[at] ^= 1;
        }
    });
    assert_eq!(count, 0);
}

#[test]
fn sealing_and_reading_an_answer_allocate_nothing() {
    let limits = OpenLimits::default();
    let mut out = Vec::with_capacity(1024);
    let count = allocations(|| {
        for _ in 0..100 {
            out.clear();
            send_answer(Sequence(1), &result(), [], false, &mut out);
            let frame = Frame::open(&out, &limits).expect("just sealed");
            std::hint::black_box(ServerMessage::decode(&frame).expect("an answer"));
        }
    });
    assert_eq!(count, 0);
}

#[test]
fn a_client_in_its_steady_state_allocates_nothing() {
    let key = KeyPair::from_seed(&[7; 32]);
    let mut client = Conversation::new(key, "desk", 16, 0, [0; 4]).expect("a good name");
    let mut bytes = Vec::with_capacity(1 << 16);
    let accepted = LogonAccepted {
        session: SessionId(1),
        key: KeyId(1),
        role: Role::Trade,
        outbound: 0,
        sequence: Sequence(0),
        heartbeat_interval_ms: 0,
    };
    send(&accepted, 0, &mut bytes);
    client.receive(&bytes, &mut |_| ()).expect("good frames");
    let order = new_order();
    let mut answered = 0;
    let mut round = |client: &mut Conversation| {
        bytes.clear();
        client.out().clear();
        while client.has_room() {
            let id = client.submit(&order, &Options::default()).expect("room");
            let result = CommandResult { client_sequence: id.0, ..result() };
            send_answer(Sequence(1), &result, [], false, &mut bytes);
        }
        let mut each =
            |reply: Reply<'_>| answered += u32::from(matches!(reply, Reply::Answer { .. }));
        client.receive(&bytes, &mut each).expect("good frames");
    };
    // Every place of the window keeps its buffer once it was used.
    for _ in 0..4 {
        round(&mut client);
    }
    assert_eq!(allocations(|| (0..100).for_each(|_| round(&mut client))), 0);
    assert_eq!(answered, 104 * 16);
}

/// An order with a nested group, as bytes.
fn fix_order(out: &mut [u8]) -> usize {
    let header = Header {
        msg_type: "D",
        sender: b"DESK",
        target: b"OUTCRY",
        number: 7,
        time: TimeNs(8),
        time_digits: 9,
        original_time: None,
    };
    let mut encoder = Encoder::message(out, Version::Fix44, &header);
    for (tag, value) in [
        (11, "A1"),
        (55, "BTC/USD"),
        (54, "1"),
        (60, "20260301-12:00:00"),
        (38, "5"),
        (40, "1"),
        (453, "1"),
        (448, "A"),
        (802, "1"),
        (523, "x"),
        (5000, "own"),
    ] {
        encoder.string(tag, value);
    }
    encoder.decimal(44, openoutcry::decimal::Decimal { units: 12_345, scale: 2 });
    encoder.finish().expect("there is room")
}

#[test]
fn writing_framing_and_checking_fix_messages_allocate_nothing() {
    let mut fields = Fields::default();
    let mut out = [0; 1024];
    let mut round = || {
        let size = fix_order(&mut out);
        let framed = fix::frame(&out, fix::MESSAGE_DEFAULT_MAX_BYTES);
        assert_eq!(framed, fix::Frame::Message { size });
        let mut parsed = fields.parse(&out[..size]).expect("a message");
        parsed.check(Version::Fix44, &Policy::DEFAULT).expect("it is right");
        let view = parsed.view();
        assert_eq!(view.group(453).count(), 1);
        let _ = std::hint::black_box((view.decimal(44), view.timestamp(60), view.get(5000)));
        // A refusal costs no more.
        assert!(parsed.check(Version::Fix42, &Policy::DEFAULT).is_err());
        out[size - 3] ^= 1;
        assert!(matches!(fix::frame(&out, 1024), fix::Frame::Garbled { .. }));
    };
    round();
    assert_eq!(allocations(|| (0..100).for_each(|_| round())), 0);
}
