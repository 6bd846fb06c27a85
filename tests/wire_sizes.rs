//! How much smaller native frames are than JSON that says the same (row S1.16).
//!
//! Like is compared with like: the JSON is compact, has the same metadata and payload under names as
//! short as people write them, and carries CRC and hash as hex where the frame has its integrity
//! block. A second column leaves the block out on both sides, a third also leaves out of the JSON what
//! is empty or a default, as a JSON protocol would; the frame has all of it even so.

use openoutcry::command::{
    CancelOrder, Command, Deposit, EnterOrder, NewOrder, ReplaceOrder, Transfer, Withdraw,
};
use openoutcry::limits::FRAME_INLINE_BYTES;
use openoutcry::schema::Registry;
use openoutcry::schema::frame::{LIMITS, to_json};
use openoutcry::types::{
    AccountId, Amount, AssetId, ClientOrderId, InstrumentId, OrderId, OrderType, Price, Priority,
    Quantity, Side, TimeInForce, TimeNs,
};
use openoutcry::wire::payload::encode_command;
use openoutcry::wire::{BitMode, Flags, Frame, FrameHead, FrameWriter, Metadata};
use serde_json::{Map, Value};

/// The standard order set: what a busy client sends on an ordinary day.
fn orders() -> Vec<(&'static str, Command)> {
    let (account, instrument) = (AccountId(48_213), InstrumentId(17));
    let order_id = OrderId(918_273_645);
    let (price, quantity) = (Price(6_734_250), Quantity(150_000));
    let client_order_id = ClientOrderId(40_718);
    let (asset, amount) = (AssetId(2), Amount(1_250_000_000_000));
    vec![
        (
            "new limit order",
            NewOrder {
                account,
                instrument,
                side: Side::Buy,
                order_type: OrderType::Limit,
                time_in_force: TimeInForce::Gtc,
                flags: 0,
                price,
                quantity,
                client_order_id,
            }
            .into(),
        ),
        (
            "cancel",
            CancelOrder { account, instrument, order_id, orig_client_order_id: ClientOrderId(0) }
                .into(),
        ),
        (
            "replace",
            ReplaceOrder {
                account,
                instrument,
                order_id,
                price,
                quantity,
                orig_client_order_id: ClientOrderId(0),
            }
            .into(),
        ),
        ("deposit", Deposit { account, asset, amount }.into()),
        ("withdraw", Withdraw { account, asset, amount }.into()),
        ("transfer", Transfer { from: account, to: AccountId(48_214), asset, amount }.into()),
    ]
}

fn frame(command: &Command, mode: BitMode) -> Vec<u8> {
    let flags = Flags::new(Priority::Normal).with(Flags::RESPONSE_REQUIRED);
    let schema = command.schema();
    let head = FrameHead { schema, flags, bit_mode: mode, client_sequence: 120_934 };
    let metadata = Metadata {
        source: "desk-7",
        correlation_id: "basket-2291",
        ..Metadata::new("desk-7-000000120934", 1_700_000_000_123, Priority::Normal)
    };
    let mut out = Vec::new();
    let mut writer = FrameWriter::begin_with(&mut out, head, &metadata).expect("short metadata");
    encode_command(command, mode, writer.payload()).expect("the numbers fit");
    writer.seal();
    out
}

/// What the frame says, as compact JSON, without what is about the frame itself.
fn equivalent(bytes: &[u8]) -> Map<String, Value> {
    let frame = Frame::open(bytes, &LIMITS).expect("just sealed");
    let mut json = to_json(&Registry::new(), &frame).expect("a message");
    // JSON has its own end and its own numbers, and names its kind once.
    ["schema", "length", "bit_mode"].iter().for_each(|name| drop(json.remove(*name)));
    json
}

fn size(json: &Map<String, Value>) -> usize {
    serde_json::to_string(json).expect("plain data").len()
}

/// Leaves out what is empty, zero or a default.
fn lean(json: &Map<String, Value>) -> Map<String, Value> {
    let default = |value: &Value| match value {
        Value::String(text) => text.is_empty() || text == "normal",
        Value::Number(number) => number.as_i64() == Some(0),
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
        _ => false,
    };
    json.iter()
        .filter(|(_, value)| !default(value))
        .map(|(name, value)| match value {
            Value::Object(object) => (name.clone(), Value::Object(lean(object))),
            value => (name.clone(), value.clone()),
        })
        .collect()
}

fn saved(binary: usize, json: usize) -> f64 {
    100.0 * (1.0 - binary as f64 / json as f64)
}

#[test]
fn the_longest_command_of_a_usual_client_stays_within_a_slot() {
    let order = EnterOrder {
        account: AccountId(48_213),
        instrument: InstrumentId(17),
        side: Side::Buy,
        order_type: OrderType::StopLimit,
        time_in_force: TimeInForce::Gtd,
        flags: 0,
        price: Price(6_734_250),
        quantity: Quantity(150_000),
        stop_price: Price(6_734_200),
        display_quantity: Quantity(5_000),
        min_quantity: Quantity(0),
        budget: Amount(0),
        expires: TimeNs(1_800_000_000_000_000_000),
        client_order_id: ClientOrderId(40_718),
    };
    let bytes = frame(&order.into(), BitMode::Bits64).len();
    assert!(bytes <= FRAME_INLINE_BYTES, "{bytes} bytes");
}

#[test]
fn native_frames_are_at_least_40_percent_smaller_than_json_that_says_the_same() {
    const BLOCK: usize = 40;
    eprintln!(
        "{:16}  {:>6} {:>5} {:>8}   {:>6} {:>5} {:>8}   {:>6} {:>8}",
        "bytes", "native", "JSON", "smaller", "no CRC", "JSON", "smaller", "lean", "smaller"
    );
    let (mut native, mut text) = (0, 0);
    for (name, command) in orders() {
        let bytes = frame(&command, BitMode::Bits32);
        let mut json = equivalent(&bytes);
        let whole = size(&json);
        json.remove("integrity");
        let (bare, lean) = (size(&json), size(&lean(&json)));
        let without = bytes.len() - BLOCK;
        eprintln!(
            "{name:16}  {:>6} {whole:>5} {:>6.1} %   {without:>6} {bare:>5} {:>6.1} %   {lean:>6} {:>6.1} %",
            bytes.len(),
            saved(bytes.len(), whole),
            saved(without, bare),
            saved(without, lean),
        );
        for (binary, json) in [(bytes.len(), whole), (without, bare), (without, lean)] {
            assert!(saved(binary, json) >= 40.0, "{name}: {binary} of {json} bytes");
        }
        native += bytes.len();
        text += whole;
    }
    eprintln!("{:16}  {native:>6} {text:>5} {:>6.1} %", "all", saved(native, text));
}
