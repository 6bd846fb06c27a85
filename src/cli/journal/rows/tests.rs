//! Rows are what `journal::dump` decodes, whatever the record is.

use super::*;
use crate::command::{CancelOrder, Deposit, NewOrder, Transfer};
use crate::decimal::Decimal;
use crate::genesis::GenesisItem;
use crate::journal::batch::{BatchBuilder, Part, RecordFields};
use crate::journal::format::{FLAG_POSSIBLE_DUPLICATE, FLAG_SIGNED, JournalId, Tip};
use crate::journal::payload::{SessionLogon, Timers};
use crate::journal::view::Batch;
use crate::types::{
    AccountId, Amount, ClientOrderId, Epoch, OrderType, Price, Quantity, Side, TimeInForce,
};
use proptest::prelude::*;
use zerocopy::{FromZeros, IntoBytes};

fn venue() -> Venue {
    let mut venue = Venue::default();
    for (id, symbol, scale) in [(1, "BTC", 8), (2, "U\"SD", 2)] {
        let asset = Asset { id: AssetId(id), symbol: symbol.to_owned(), scale };
        venue.define(GenesisItem::Asset(asset));
    }
    venue.define(GenesisItem::Instrument(Instrument {
        id: InstrumentId(1),
        symbol: "BTC-USD".to_owned(),
        base: AssetId(1),
        quote: AssetId(2),
        price_scale: 2,
        tick_units: 5,
        quantity_scale: 3,
        lot_units: 1,
        base_per_lot: 1,
        quote_per_tick_lot: 1,
        quantity_min: 1,
        quantity_max: i64::MAX,
        price_max: i64::MAX,
        market_band_bps: Instrument::MARKET_BAND_BPS,
        collar_bps: 0,
    }));
    venue
}

fn order(instrument: u32, price: i64, quantity: i64) -> Command {
    NewOrder {
        account: AccountId(2),
        instrument: InstrumentId(instrument),
        side: Side::Sell,
        order_type: OrderType::Limit,
        time_in_force: TimeInForce::Ioc,
        flags: 0,
        price: Price(price),
        quantity: Quantity(quantity),
        client_order_id: ClientOrderId(u64::MAX),
    }
    .into()
}

/// A batch with a record of every kind that a journal may hold, odd ones among them.
fn batch() -> Vec<u8> {
    let mut batches = BatchBuilder::new(LogKind::Commands, JournalId([7; 16]), Tip::START);
    batches.begin(Epoch(3), Sequence::NONE);
    let mut sequence = Sequence::NONE;
    let mut push = |kind, schema, payload: &[u8], received: &[u8]| {
        sequence = sequence.next();
        let mut fields =
            RecordFields::new(kind, sequence, TimeNs(1_800_000_000_999_999_999 + sequence.0 * 7));
        fields.schema = schema;
        if !received.is_empty() {
            (fields.message_id, fields.source) =
                (Part { offset: 0, length: 5 }, Part { offset: 5, length: 4 });
            fields.flags = FLAG_SIGNED | FLAG_POSSIBLE_DUPLICATE;
            (fields.client_timestamp_ms, fields.expires) = (-7, TimeNs(1));
            fields.client_sequence = u64::MAX;
        }
        batches.push(&fields, received, Some(payload)).expect("it is small");
    };
    let commands: [Command; 7] = [
        order(1, 2001, 1500),
        order(1, i64::MAX, i64::MIN),
        order(9, 7, 8),
        order(9, 0, 0),
        CancelOrder {
            account: AccountId(1),
            instrument: InstrumentId(1),
            order_id: OrderId(5),
            orig_client_order_id: ClientOrderId(0),
        }
        .into(),
        Deposit { account: AccountId(1), asset: AssetId(2), amount: Amount(-150) }.into(),
        Transfer { from: AccountId(1), to: AccountId(2), asset: AssetId(9), amount: Amount(5) }
            .into(),
    ];
    for (place, command) in commands.iter().enumerate() {
        let mut payload = Vec::new();
        command.encode(&mut payload);
        let received: &[u8] = match place % 3 {
            0 => b"id-\"1desk",
            1 => b"id-\x011\xFFesk",
            _ => b"",
        };
        push(RecordKind::Command, command.schema(), &payload, received);
    }
    push(RecordKind::Command, 777, b"no such schema", b"");
    push(RecordKind::Command, 1, b"too short", b"");
    push(RecordKind::SessionLogon, 0, SessionLogon::named(b"desk \"1\"").as_bytes(), b"");
    push(RecordKind::Timers, 0, Timers::new_zeroed().as_bytes(), b"");
    push(RecordKind::TaskOutcome, 0, &[3; 30], b"");
    push(RecordKind::Tick, 0, &[1, 2], b"");
    push(RecordKind::Quarantine, 0, &[5; 96], b"");
    push(RecordKind::Genesis, 0, b"{\"asset\": 2, \"amount\": \"5\",\n \"x\": [1]}", b"");
    push(RecordKind::Admin, 48, b"no JSON", b"");
    batches.seal();
    batches.sealed().to_vec()
}

fn decoded(record: &Record<'_>, venue: &Venue) -> Value {
    let mut row = describe(record);
    if let Value::Object(map) = &mut row.body {
        venue.name(map, None);
        name_reason(row.kind, map);
    }
    serde_json::to_value(row).expect("plain data")
}

#[test]
fn a_line_of_json_is_the_decoded_record_field_by_field_in_its_order() {
    let (bytes, venue) = (batch(), venue());
    let batch = Batch::parse(&bytes).expect("it is sound");
    let mut out = Vec::new();
    let mut rows = Rows::new(Json::default(), &mut out, u64::MAX);
    for record in batch.records() {
        rows.record(&record, &venue).expect("memory");
    }
    let length = rows.finish().expect("memory");
    assert_eq!(length, out.len() as u64);
    let text = String::from_utf8(out).expect("text");
    let expected: Vec<String> =
        batch.records().map(|record| decoded(&record, &venue).to_string()).collect();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines, expected);
}

#[test]
fn csv_has_a_cell_for_every_column_and_json_for_the_rest() {
    let (bytes, venue) = (batch(), venue());
    let batch = Batch::parse(&bytes).expect("it is sound");
    let mut out = Vec::new();
    let mut rows = Rows::new(Csv::of(LogKind::Commands), &mut out, u64::MAX);
    for record in batch.records() {
        rows.record(&record, &venue).expect("memory");
    }
    rows.finish().expect("memory");
    let text = String::from_utf8(out).expect("text");
    let lines: Vec<&str> = text.lines().collect();
    let heads: Vec<&str> = lines[0].split(',').collect();
    assert!(heads.contains(&"flags") && heads.contains(&"command_flags"), "{heads:?}");
    assert_eq!(lines.len(), 1 + batch.records().count());
    // The second command has no cell that is quoted but its message id.
    let cells: Vec<&str> = lines[2].split(',').collect();
    assert_eq!(cells.len(), heads.len(), "{}", lines[2]);
    let cell = |line: &[&str], name: &str| {
        line[heads.iter().position(|head| *head == name).expect(name)].to_owned()
    };
    assert_eq!(cell(&cells, "kind"), "command");
    assert_eq!(cell(&cells, "command"), "new-order");
    assert_eq!(cell(&cells, "symbol"), "BTC-USD");
    assert_eq!(cell(&cells, "flags"), "signed possible-duplicate");
    assert_eq!(cell(&cells, "message_id"), "69642d0131");
    assert_eq!(cell(&cells, "price"), "461168601842738790.35");
    assert!(lines[1].contains(r#","id-""1","#), "{}", lines[1]);
    // An instrument that the venue does not have: its number, and lots as such.
    assert!(lines[3].ends_with(r#","{""instrument"":9,""quantity_lots"":8}""#), "{}", lines[3]);
    let logon = lines.iter().find(|line| line.contains("session-logon")).expect("one");
    assert!(logon.contains(r#"""name"":""desk \""1\"""""#), "{logon}");
}

#[test]
fn a_filter_lets_through_what_it_names() {
    let bytes = batch();
    let batch = Batch::parse(&bytes).expect("it is sound");
    let wanted = |filter: &Filter| -> Vec<u64> {
        let records = batch.records().filter(|record| filter.wants_record(record));
        records.map(|record| record.sequence().0).collect()
    };
    assert_eq!(wanted(&Filter::new(None, Some(2), None)), [1, 2, 3, 4, 7]);
    assert_eq!(wanted(&Filter::new(None, None, Some(InstrumentId(1)))), [1, 2, 5]);
    assert_eq!(wanted(&Filter::new(None, Some(1), Some(InstrumentId(1)))), [5]);
    assert_eq!(wanted(&Filter::new(Some(1), None, None)), [0; 0]);
    assert_eq!(wanted(&Filter::default()).len(), batch.records().count());
}

proptest! {
    #[test]
    fn decimal_text_is_that_of_everywhere_else(units in any::<i64>(), step in any::<i64>(), scale in 0_u8..=12) {
        for units in [i128::from(units), i128::from(units) * i128::from(step)] {
            let mut out = Vec::new();
            decimal(units, scale, &mut out);
            prop_assert_eq!(String::from_utf8(out).expect("text"), Decimal { units, scale }.to_string());
        }
    }

    #[test]
    fn times_are_those_of_everywhere_else(first in any::<u64>(), step in 0_u64..3_000_000_000) {
        let mut text = TimeText::default();
        for time in [first, first.saturating_add(step)] {
            let mut out = Vec::new();
            text.write(TimeNs(time), &mut out);
            prop_assert_eq!(String::from_utf8(out).expect("text"), Rfc3339(TimeNs(time)).to_string());
        }
    }
}
