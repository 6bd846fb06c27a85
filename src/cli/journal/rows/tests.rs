//! Rows are what `journal::dump` decodes, whatever the record is.

use super::*;
use crate::command::{
    CancelOnDisconnect, CancelOrder, Deposit, EnterOrder, MassCancel, NewOrder, Transfer,
};
use crate::decimal::Decimal;
use crate::genesis::GenesisItem;
use crate::journal::batch::{BatchBuilder, Part, RecordFields};
use crate::journal::format::{FLAG_POSSIBLE_DUPLICATE, FLAG_SIGNED, JournalId, Tip};
use crate::journal::payload::{SessionLogon, Timers};
use crate::journal::view::Batch;
use crate::types::{
    AccountId, Amount, ClientOrderId, Epoch, OrderType, Price, Quantity, SessionId, Side, Sides,
    TimeInForce,
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

fn further_order(instrument: u32, expires: u64) -> Command {
    EnterOrder {
        account: AccountId(4),
        instrument: InstrumentId(instrument),
        side: Side::Buy,
        order_type: OrderType::StopLimit,
        time_in_force: TimeInForce::Gtd,
        flags: 17,
        price: Price(2001),
        quantity: Quantity(1500),
        stop_price: Price(2000),
        display_quantity: Quantity(15),
        min_quantity: Quantity(20),
        budget: Amount(12_345),
        expires: TimeNs(expires),
        client_order_id: ClientOrderId(5),
    }
    .into()
}

fn mass_cancel(account: u64, instrument: u32) -> Command {
    MassCancel {
        account: AccountId(account),
        instrument: InstrumentId(instrument),
        sides: Sides::Sell,
        session: SessionId(3),
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
    let commands: [Command; 12] = [
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
        further_order(1, 1_900_000_000_000_000_001),
        further_order(9, 0),
        mass_cancel(2, 1),
        mass_cancel(0, 0),
        CancelOnDisconnect { enabled: 1, grace_ms: 5_000 }.into(),
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
    // What further orders have.
    let cells: Vec<&str> = lines[8].split(',').collect();
    for (column, expected) in [
        ("stop_price", "100"),
        ("display_quantity", "0.015"),
        ("min_quantity", "0.02"),
        ("budget", "123.45"),
        ("command_expires", "2030-03-17T17:46:40.000000001Z"),
    ] {
        assert_eq!(cell(&cells, column), expected);
    }
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
    assert_eq!(wanted(&Filter::new(None, Some(2), None)), [1, 2, 3, 4, 7, 10]);
    assert_eq!(wanted(&Filter::new(None, None, Some(InstrumentId(1)))), [1, 2, 5, 8, 10]);
    assert_eq!(wanted(&Filter::new(None, Some(1), Some(InstrumentId(1)))), [5]);
    assert_eq!(wanted(&Filter::new(Some(1), None, None)), [0; 0]);
    assert_eq!(wanted(&Filter::default()).len(), batch.records().count());
}

#[test]
fn an_event_is_a_row_in_both_forms_and_of_the_account_whose_order_it_is() {
    let (venue, order_id) = (venue(), OrderId(5));
    let update = |change, instrument| {
        EventBody::Update(OrderUpdate {
            change,
            session: SessionId(3),
            instrument: InstrumentId(instrument),
            outbound: 8,
            order_id,
            client_order_id: ClientOrderId(0),
            price: Price(2001),
            quantity: Quantity(1500),
            filled: Quantity(0),
            leaves: Quantity(0),
        })
    };
    let changed = update(OrderChange::Triggered, 1);
    let done = update(OrderChange::MassCancelDone, 0);
    for (body, csv) in [
        (changed, "9,0,order-update,triggered,,,3,8,,,5,0,,BTC-USD,,100.05,1.5,0,0,,"),
        (done, "9,0,order-update,mass-cancel-done,,,3,8,,,5,,,,,,,,,1500,"),
    ] {
        let event = Event { sequence: Sequence(9), index: 0, last: true, body };
        let instrument = venue.instruments.first();
        let (mut json, mut text) = (Vec::new(), Vec::new());
        let mut rows = Rows::new(Json::default(), &mut json, u64::MAX);
        rows.event(&event, instrument, &venue).expect("memory");
        rows.finish().expect("memory");
        let expected = Value::Object(venue.event(&event, instrument)).to_string();
        assert_eq!(String::from_utf8(json).expect("text").trim_end(), expected);
        let mut rows = Rows::new(Csv::of(LogKind::Events), &mut text, u64::MAX);
        rows.event(&event, instrument, &venue).expect("memory");
        rows.finish().expect("memory");
        let text = String::from_utf8(text).expect("text");
        assert!(text.lines().nth(1).expect("a row").starts_with(csv), "{text}");
        for (account, wanted) in [(4, true), (2, false)] {
            let mut filter = Filter::new(None, Some(account), None);
            let found = filter.wants_event(&event, None, |order| (order == order_id).then_some(4));
            assert_eq!(found, wanted, "account {account}");
        }
    }
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
