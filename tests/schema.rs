//! The schema registry: definitions, versions, compatibility, validation.

use openoutcry::admin::AdminCommand;
use openoutcry::command::Command;
use openoutcry::config::{Config, genesis_items};
use openoutcry::event::RejectReason;
use openoutcry::exchange::{Context, Exchange, Outbox};
use openoutcry::genesis::{GenesisItem, Key};
use openoutcry::limits::{SCHEMA_CACHE_MAX, SCHEMA_VERSIONS_MAX, SCHEMAS_WEIGHT_MAX};
use openoutcry::schema::{
    Field, Kind, Message, REGISTERED_ID_MIN, Registered, Registry, SchemaDefinition, Value, tagged,
    validate,
};
use openoutcry::types::{KeyId, Role, Sequence, Status};
use openoutcry::wire::BitMode;
use openoutcry::wire::message::{Layout, layouts};
use openoutcry::wire::{answer, query};
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};
use sha2::{Digest, Sha256};

const REPORT: &str = r#"
id = 1000
name = "trade-report"
version = 1
about = "A trade, as it is reported"

[[fields]]
id = 1
name = "account"
type = "uint64"
required = true

[[fields]]
id = 2
name = "price"
type = "decimal"
required = true
min = 1

[[fields]]
id = 3
name = "venue"
type = "string"
max_bytes = 8

[[fields]]
id = 4
name = "side"
type = "enum8"
values = { buy = 1, sell = 2 }

[[fields]]
id = 5
name = "count"
type = "int"
"#;

fn report() -> SchemaDefinition {
    SchemaDefinition::from_toml(REPORT).expect("a good schema")
}

/// The next version, changed.
fn next(change: impl FnOnce(&mut SchemaDefinition)) -> SchemaDefinition {
    let mut schema = SchemaDefinition { version: 2, ..report() };
    change(&mut schema);
    schema
}

fn registered() -> Registry {
    let mut registry = Registry::new();
    assert_eq!(registry.register(report()), Ok(Registered::New));
    registry
}

fn fingerprint(registry: &Registry) -> Vec<u8> {
    let mut hasher = Sha256::new();
    registry.add_to_hash(&mut hasher);
    hasher.finalize().to_vec()
}

fn state(exchange: &Exchange) -> Vec<u8> {
    let mut hasher = Sha256::new();
    exchange.hash(&mut hasher);
    hasher.finalize().to_vec()
}

fn message(fields: &[(u16, Value)]) -> Message {
    Message { schema: 1000, version: 1, fields: fields.to_vec() }
}

#[test]
fn built_in_schemas_have_the_fields_of_the_layouts_in_order() {
    let registry = Registry::new();
    let own = layouts();
    let all: Vec<&Layout> = Command::LAYOUTS.iter().chain(&own).collect();
    assert_eq!(registry.all().count(), all.len());
    for (id, name, layout) in all {
        let schema = registry.get(*id).expect("every layout is a schema");
        assert_eq!((schema.name.as_str(), schema.version), (*name, 1));
        assert_eq!(schema.check(), Ok(()), "{name}");
        let layout = layout();
        for (number, (field, layout)) in (1..).zip(schema.fields.iter().zip(&layout)) {
            assert_eq!(field.id, number, "{name}");
            assert_eq!(field.name, layout.name, "{name}");
            assert_eq!(field.kind.as_str(), layout.kind, "{name} {}", field.name);
            assert!(field.required, "{name} {}", field.name);
            assert!(!field.about.is_empty(), "{name} {} says nothing", field.name);
            let wide = field.kind.size().unwrap_or(8);
            assert_eq!(wide, layout.size, "{name} {}", field.name);
        }
        // Behind the fixed fields stands nothing but text or rows.
        let behind = &schema.fields[layout.len()..];
        assert!(
            behind.iter().all(|field| matches!(field.kind, Kind::String | Kind::Rows)),
            "{name}"
        );
    }
    let rows: Vec<String> = registry
        .all()
        .flat_map(|schema| schema.fields.iter().filter(|field| field.kind == Kind::Rows))
        .map(|field| field.name.clone())
        .collect();
    assert_eq!(rows.len(), answer::FILL_ROWS.len() + query::ROWS.len(), "{rows:?}");
    let side = registry.get(1).expect("new-order").field_named("side").expect("a side");
    assert_eq!((side.word(1), side.word(2), side.word(3)), (Some("buy"), Some("sell"), None));
    assert_eq!(side.about, "Buy or sell.");
}

#[test]
fn a_definition_is_the_same_after_toml_and_json() {
    let schema = report();
    assert_eq!(SchemaDefinition::from_toml(&schema.to_toml()), Ok(schema.clone()));
    assert_eq!(SchemaDefinition::from_json(&schema.to_json()), Ok(schema));
    for schema in Registry::new().all() {
        assert_eq!(SchemaDefinition::from_toml(&schema.to_toml()).as_ref(), Ok(schema));
        assert_eq!(SchemaDefinition::from_json(&schema.to_json()).as_ref(), Ok(schema));
    }
}

#[test]
fn what_is_registered_is_found_by_id_and_by_version() {
    let mut registry = registered();
    assert_eq!(registry.get(1000), Ok(&report()));
    let newer = next(|schema| schema.fields.push(Field::new(6, "memo", Kind::String)));
    assert_eq!(registry.register(newer.clone()), Ok(Registered::New));
    assert_eq!(registry.get(1000), Ok(&newer));
    assert_eq!(registry.get_version(1000, 1), Ok(&report()));
    assert_eq!(registry.get_version(1000, 2), Ok(&newer));
    assert_eq!(registry.register(report()), Ok(Registered::Known));
    let missing = registry.get(4711).expect_err("nobody registered it");
    assert_eq!(missing.to_string(), "Schema not found: 4711");
    let missing = registry.get_version(1000, 3).expect_err("nobody registered it");
    assert_eq!(missing.to_string(), "Schema not found: 1000@3");
    assert_eq!(registry.named("trade-report"), Ok::<_, ()>(&newer).ok());
}

#[test]
fn an_incompatible_version_is_refused_with_the_sentence_that_says_what_broke() {
    let mut registry = registered();
    let before = fingerprint(&registry);
    type Change = fn(&mut SchemaDefinition);
    let cases: [(Change, &str); 12] = [
        (
            |s| s.fields[1].kind = Kind::Int,
            "field 2 price of schema 1000 trade-report was decimal in version 1 and is int in version \
             2: a reader of version 1 would misread it",
        ),
        (
            |s| drop(s.fields.remove(2)),
            "field 3 venue of schema 1000 trade-report was in version 1 and is missing in version 2: a reader of version 1 would look for it in vain",
        ),
        (
            |s| s.fields[4].id = 9,
            "field count of schema 1000 trade-report had id 5 in version 1 and has id 9 in version 2: a reader of version 1 would not find it",
        ),
        (
            |s| s.fields[2].name = "market".into(),
            "field 3 of schema 1000 trade-report was called venue in version 1 and is called market in version 2: a reader of version 1 would take one for the other",
        ),
        (
            |s| s.fields[2].required = true,
            "field 3 venue of schema 1000 trade-report was optional in version 1 and is required in version 2: messages of version 1 may lack it",
        ),
        (
            |s| s.fields[0].required = false,
            "field 1 account of schema 1000 trade-report was required in version 1 and is optional in version 2: a reader of version 1 relies on it",
        ),
        (
            |s| s.fields.push(Field { required: true, ..Field::new(6, "memo", Kind::String) }),
            "field 6 memo of schema 1000 trade-report is new and required in version 2: messages of version 1 lack it",
        ),
        (
            |s| s.fields[1].min = None,
            "field 2 price of schema 1000 trade-report admits other values in version 2 than in version 1: one side would refuse what the other sends",
        ),
        (
            |s| s.fields[3].values.extend([("short".to_owned(), 3)]),
            "field 4 side of schema 1000 trade-report admits other values",
        ),
        (
            |s| s.name = "report".into(),
            "schema 1000 was called trade-report in version 1 and is called report in version 2",
        ),
        (
            |s| s.version = 1,
            "schema 1000 version 1 is registered with other content: give the change a higher version",
        ),
        (
            |s| s.id = 3,
            "schema 3 cannot be registered: ids below 1000 are those of built-in schemas",
        ),
    ];
    for (change, sentence) in cases {
        let mut schema = next(change);
        if schema.version == 1 {
            schema.about = "changed".into();
        }
        let error = registry.register(schema).expect_err(sentence).to_string();
        assert!(error.starts_with(sentence), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
    assert_eq!(fingerprint(&registry), before, "a refused schema changes nothing");
    let third = SchemaDefinition { version: 3, ..report() };
    assert_eq!(registry.register(third), Ok(Registered::New));
    let late = registry.register(next(|_| ())).expect_err("version 3 is active");
    assert_eq!(late.to_string(), "schema 1000 has version 3 already: version 2 comes too late");
    let same = SchemaDefinition { id: 1001, ..report() };
    let error = registry.register(same).expect_err("the name is taken").to_string();
    assert_eq!(error, "schema 1000 is called trade-report already");
    let same = SchemaDefinition { id: 1001, name: "new-order".into(), ..report() };
    let error = same.check_registrable().expect_err("the name is built in").to_string();
    assert_eq!(error, "schema 1 is called new-order already");
    // A later release may have built in a name that was registered: a replay takes it all the same.
    assert_eq!(registry.register(same), Ok(Registered::New));
}

#[test]
fn all_schemas_together_are_bounded_by_what_no_release_changes() {
    let schema = |id: u32, version: u16| SchemaDefinition {
        id,
        name: format!("schema-{id}"),
        version,
        about: "-".repeat(15_000),
        fields: Vec::new(),
    };
    let weight = schema(1000, 1).weight();
    assert_eq!(weight, 256 + "schema-1000".len() + 15_000);
    let mut registry = Registry::new();
    let all = (1000..1200).flat_map(|id| (1..=64).map(move |version| (id, version)));
    let refused = all.map(|(id, version)| registry.register(schema(id, version)));
    let refused = refused.into_iter().find_map(Result::err).expect("more than fits");
    assert_eq!(refused.reason(), RejectReason::CapacityReached);
    let count = SCHEMAS_WEIGHT_MAX / weight;
    assert_eq!(registry.registered().len(), count);
    let found = (count + 1) * weight;
    let sentence = format!("would count {found}, at most 16777216 are allowed");
    assert!(refused.to_string().ends_with(&sentence), "{refused}");
    assert_eq!(report().weight(), fields_of_report(), "the rule for fields and values");
}

/// What the document says that the report counts.
fn fields_of_report() -> usize {
    let schema = report();
    let texts = schema.fields.iter().map(|f| f.name.len() + f.about.len()).sum::<usize>();
    let words = schema.fields.iter().flat_map(|f| f.values.keys()).map(String::len).sum::<usize>();
    let own = schema.name.len() + schema.about.len();
    256 * (1 + schema.fields.len()) + 64 * 2 + own + texts + words
}

#[test]
fn the_schema_beyond_the_limit_is_refused_by_name_and_a_version_of_one_is_not() {
    let mut registry = Registry::new();
    let schema = |number: u32| SchemaDefinition {
        id: REGISTERED_ID_MIN + number,
        name: format!("schema-{number}"),
        ..report()
    };
    for number in 0..SCHEMA_CACHE_MAX as u32 {
        assert_eq!(registry.register(schema(number)), Ok(Registered::New));
    }
    let error = registry.register(schema(200)).expect_err("the 201st").to_string();
    assert_eq!(
        error,
        "schema 1200 schema-200 does not fit: 200 schemas are registered, which is schema_cache_max"
    );
    for version in 2..=SCHEMA_VERSIONS_MAX as u16 {
        let schema = SchemaDefinition { version, ..schema(7) };
        assert_eq!(registry.register(schema), Ok(Registered::New));
    }
    let error = registry.register(SchemaDefinition { version: 100, ..schema(7) });
    assert_eq!(
        error.expect_err("more versions than are kept").to_string(),
        "schema 1007 has 64 versions, and more are not kept"
    );
}

#[test]
fn the_smallest_schema_with_the_needed_fields_is_found_and_the_newest_version_of_it() {
    let mut registry = Registry::new();
    let schema = |id, version, names: &[&str]| SchemaDefinition {
        id,
        name: format!("s{id}"),
        version,
        about: String::new(),
        fields: (1..).zip(names).map(|(id, name)| Field::new(id, name, Kind::Uint32)).collect(),
    };
    for one in [
        schema(1000, 1, &["alpha", "beta", "gamma", "delta"]),
        schema(1001, 1, &["alpha", "beta", "gamma"]),
        schema(1002, 1, &["alpha", "gamma", "beta"]),
        schema(1002, 2, &["alpha", "gamma", "beta"]),
        schema(1003, 1, &["alpha"]),
    ] {
        registry.register(one).expect("compatible");
    }
    let found = |needed: &[(&str, Kind)]| {
        registry.find_compatible(needed).map(|schema| (schema.id, schema.version))
    };
    assert_eq!(found(&[("alpha", Kind::Uint32)]), Some((1003, 1)));
    assert_eq!(found(&[("beta", Kind::Uint32), ("alpha", Kind::Uint32)]), Some((1002, 2)));
    assert_eq!(found(&[("delta", Kind::Uint32)]), Some((1000, 1)));
    assert_eq!(found(&[("alpha", Kind::Uint64)]), None);
    assert_eq!(found(&[("alpha", Kind::Uint32), ("omega", Kind::Uint32)]), None);
    assert_eq!(found(&[("price", Kind::Decimal), ("side", Kind::Enum8)]).map(|f| f.0), Some(1));
}

#[test]
fn registered_schemas_are_part_of_the_state_and_a_refused_one_is_not() {
    let (mut one, mut other) = (Exchange::new(), Exchange::new());
    let empty = state(&one);
    let reserved = SchemaDefinition { id: 1, ..report() };
    one.register_schema(reserved).expect_err("a built-in id");
    assert_eq!(state(&one), empty);
    assert_eq!(one.register_schema(report()), Ok(Registered::New));
    let registered = state(&one);
    assert_ne!(registered, empty);
    one.register_schema(next(|s| s.fields[1].kind = Kind::Int)).expect_err("incompatible");
    assert_eq!(one.register_schema(report()), Ok(Registered::Known));
    assert_eq!(state(&one), registered);
    assert_eq!(other.register_schema(report()), Ok(Registered::New));
    assert_eq!(state(&other), registered, "the same registrations give the same state");
    let changed = SchemaDefinition { about: "changed".into(), ..next(|_| ()) };
    assert_eq!(one.register_schema(changed), Ok(Registered::New));
    assert_ne!(state(&one), registered);
    assert_eq!(one.schemas().get(1000).map(|schema| schema.version), Ok(2));
}

/// The default venue's exchange, whose key 1 is an operator's and key 2 a trader's.
fn venue() -> Exchange {
    let (items, _) = genesis_items(&Config::default(), [7; 16]).expect("the default venue");
    let mut exchange = Exchange::new();
    for item in &items {
        exchange.define(item).expect("the default venue");
    }
    let key = |id, role| Key::new(KeyId(id), format!("{id:064x}"), role, Vec::new());
    for key in [key(1, Role::Operator), key(2, Role::Trade)] {
        exchange.define(&GenesisItem::Key(key)).expect("a further key");
    }
    exchange
}

/// Gives the exchange an admin command and gives the reason of its result.
fn register(
    exchange: &mut Exchange,
    (sequence, key): (u64, u32),
    schema: SchemaDefinition,
) -> Option<RejectReason> {
    let context = Context { sequence: Sequence(sequence), key: KeyId(key), ..Context::default() };
    let mut outbox = Outbox::default();
    exchange.administer(&context, &AdminCommand::RegisterSchema { schema }, &mut outbox);
    exchange.check();
    assert_eq!(outbox.events().len(), 1);
    let result = outbox.result().expect("a result");
    assert_eq!(result.reason.is_none(), result.status == Status::Done);
    result.reason
}

#[test]
fn registration_is_an_admin_command_that_is_judged_at_its_place() {
    use RejectReason::{
        CapacityReached, IncompatibleSchema, InvalidAdmin, KeyNotEntitled, SchemaConflict,
    };
    let newer = || next(|s| s.about = "newer".into());
    let named = |id, name: &str| SchemaDefinition { id, name: name.into(), ..report() };
    let steps: Vec<(u32, SchemaDefinition, Option<RejectReason>)> = vec![
        (2, report(), Some(KeyNotEntitled)),
        (1, SchemaDefinition { id: 999, ..report() }, Some(InvalidAdmin)),
        (1, SchemaDefinition { version: 0, ..report() }, Some(InvalidAdmin)),
        (1, report(), None),
        (1, report(), None),
        (1, next(|s| s.fields[1].kind = Kind::Int), Some(IncompatibleSchema)),
        (1, SchemaDefinition { about: "other".into(), ..report() }, Some(SchemaConflict)),
        (1, newer(), None),
        (1, named(1001, "trade-report"), Some(SchemaConflict)),
        (1, named(1001, "new-order"), None),
    ];
    let (mut one, mut other) = (venue(), venue());
    for (sequence, (key, schema, reason)) in (100..).zip(&steps) {
        for exchange in [&mut one, &mut other] {
            let before = exchange.registered_schemas();
            let judged = register(exchange, (sequence, *key), schema.clone());
            assert_eq!(judged, *reason, "{sequence}");
            if reason.is_some() {
                let after = exchange.registered_schemas();
                assert!(before.after(0).eq(after.after(0)), "a refused one changes nothing");
            }
        }
        assert_eq!(state(&one), state(&other), "{sequence}");
    }
    // Each with its place in the order: what came again was there already.
    let schemas = one.registered_schemas();
    let places: Vec<(u64, u32, u16)> =
        schemas.after(0).map(|(at, schema, _)| (at.0, schema.id, schema.version)).collect();
    assert_eq!(places, [(103, 1000, 1), (107, 1000, 2), (109, 1001, 1)]);
    assert_eq!(schemas.after(2).count(), 1);
    assert_eq!(schemas.after(usize::MAX).count(), 0);
    assert_eq!(one.schemas().get(1000), Ok(&newer()));
    // What is published stays as it was, and only what is full stops the registry.
    for id in 1002..1000 + SCHEMA_CACHE_MAX as u32 {
        let schema = named(id, &format!("schema-{id}"));
        assert_eq!(register(&mut one, (u64::from(id), 1), schema), None);
    }
    assert_eq!(register(&mut one, (5000, 1), named(5000, "late")), Some(CapacityReached));
    assert_eq!(schemas.after(0).count(), 3);
    assert_eq!(one.registered_schemas().after(0).count(), SCHEMA_CACHE_MAX + 1);
    // The place belongs to the state.
    assert_eq!(register(&mut other, (112, 1), named(1002, "late")), None);
    let at_112 = state(&other);
    let mut third = venue();
    for (sequence, (key, schema, _)) in (100..).zip(&steps) {
        register(&mut third, (sequence, *key), schema.clone());
    }
    register(&mut third, (111, 1), named(1002, "late"));
    register(&mut third, (112, 1), named(1002, "late"));
    assert_ne!(state(&third), at_112);
}

#[test]
fn a_message_is_validated_by_value_and_by_id_and_the_error_names_the_field() {
    let registry = registered();
    let good = [(1, Value::Int(2)), (2, Value::Int(10_000)), (4, Value::Int(1))];
    assert_eq!(validate(&message(&good), &report()), Ok(()));
    assert_eq!(registry.validate_by_id(&message(&good), 1000), Ok(()));
    assert_eq!(registry.validate(&message(&good)), Ok(()));
    let with = |id: u16, value: Value| {
        let mut fields: Vec<_> = good.iter().filter(|field| field.0 != id).cloned().collect();
        fields.push((id, value));
        fields
    };
    let text = |text: &str| Value::Text(text.to_owned());
    let cases = [
        (good[..1].to_vec(), "field 2 price is required and missing"),
        (with(2, text("100")), "field 2 price is text, not decimal"),
        (with(2, Value::Int(0)), "field 2 price cannot be 0: it is 1 to 9223372036854775807"),
        (with(1, Value::Int(-1)), "field 1 account cannot be -1: it is 0 to 18446744073709551615"),
        (with(3, text("123456789")), "field 3 venue cannot be 9 bytes long: at most 8 are allowed"),
        (with(4, Value::Int(3)), "field 4 side cannot be 3: it is one of 1 buy, 2 sell"),
        (with(9, Value::Int(3)), "field 9 is unknown to schema 1000 version 1"),
        ([&good[..], &good[..1]].concat(), "field 1 account is there twice"),
    ];
    for (fields, sentence) in cases {
        let message = message(&fields);
        let error = validate(&message, &report()).expect_err(sentence);
        assert_eq!(error.to_string(), sentence);
        assert_eq!(registry.validate_by_id(&message, 1000), Err(error));
    }
    let error = registry.validate_by_id(&message(&good), 1001).expect_err("no such schema");
    assert_eq!(error.to_string(), "Schema not found: 1001");
    let error = registry.validate_by_id(&message(&good), 1).expect_err("another schema");
    assert_eq!(error.to_string(), "the message is of schema 1000, not 1");
}

#[test]
fn a_reader_of_version_1_decodes_a_message_of_version_2() {
    let newer = next(|schema| schema.fields.push(Field::new(6, "memo", Kind::String)));
    let sent = Message {
        schema: 1000,
        version: 2,
        fields: vec![
            (1, Value::Int(2)),
            (2, Value::Int(77)),
            (6, Value::Text("since version 2".into())),
        ],
    };
    assert_eq!(validate(&sent, &newer), Ok(()));
    let mut payload = Vec::new();
    tagged::encode(&newer, &sent, BitMode::Bits64, &mut payload).expect("all fits");
    assert_eq!(tagged::read_message(&newer, &payload, BitMode::Bits64), Ok(sent.clone()));
    let read = tagged::read_message(&report(), &payload, BitMode::Bits64).expect("readable");
    assert_eq!(validate(&read, &report()), Ok(()));
    assert_eq!((read.get(1), read.get(2)), (sent.get(1), sent.get(2)));
    // The same bytes as version 1 are no message: version 1 has no field 6.
    payload[..2].copy_from_slice(&[0, 1]);
    let read = tagged::read_message(&report(), &payload, BitMode::Bits64).expect("readable");
    let error = validate(&read, &report()).expect_err("a field that version 1 does not have");
    assert_eq!(error.to_string(), "field 6 is unknown to schema 1000 version 1");
}

#[test]
fn only_fields_of_type_int_are_narrower_in_8_bit_mode() {
    let sent = message(&[(1, Value::Int(2)), (2, Value::Int(10_000)), (5, Value::Int(-7))]);
    let size = |mode| {
        let mut payload = Vec::new();
        tagged::encode(&report(), &sent, mode, &mut payload).expect("all fits");
        assert_eq!(tagged::read_message(&report(), &payload, mode), Ok(sent.clone()));
        payload
    };
    let (narrow, wide) = (size(BitMode::Bits8), size(BitMode::Bits64));
    assert_eq!(wide.len() - narrow.len(), 7, "the int has one byte instead of eight");
    let price = 10_000_i64.to_be_bytes();
    assert!(narrow.windows(8).any(|bytes| bytes == price), "a decimal has 64 bits in every mode");
    let mut payload = Vec::new();
    let large = message(&[(1, Value::Int(2)), (2, Value::Int(1)), (5, Value::Int(128))]);
    let error = tagged::encode(&report(), &large, BitMode::Bits8, &mut payload);
    assert_eq!(error, Err("field 5 count: Integer overflow for 8-bit mode".into()));
}

fn field() -> impl Strategy<Value = Field> {
    (1_u16..6, 0_usize..Kind::ALL.len(), any::<bool>(), proptest::option::of(-3_i64..3)).prop_map(
        |(id, kind, required, min)| Field {
            required,
            min,
            ..Field::new(id, &format!("f{id}"), Kind::ALL[kind])
        },
    )
}

fn definition() -> impl Strategy<Value = SchemaDefinition> {
    let fields = proptest::collection::vec(field(), 0..5);
    (995_u32..1005, 0_u16..5, fields).prop_map(|(id, version, fields)| SchemaDefinition {
        id,
        name: format!("s{id}"),
        version,
        about: String::new(),
        fields,
    })
}

proptest! {
    #[test]
    fn any_sequence_of_registrations_keeps_every_promise(
        schemas in proptest::collection::vec(definition(), 0..60),
    ) {
        let (mut one, mut other) = (Registry::new(), Registry::new());
        for schema in &schemas {
            let before = fingerprint(&one);
            let done = one.register(schema.clone());
            prop_assert_eq!(&done, &other.register(schema.clone()), "the same everywhere");
            prop_assert_eq!(fingerprint(&one), fingerprint(&other));
            prop_assert_eq!(fingerprint(&one) == before, done != Ok(Registered::New));
            if done.is_ok() {
                prop_assert_eq!(one.get_version(schema.id, schema.version), Ok(schema));
                let text = schema.to_toml();
                prop_assert_eq!(&SchemaDefinition::from_toml(&text), &Ok(schema.clone()));
            }
        }
        // What was accepted is there in every version, and each version follows the one before.
        for schema in one.registered() {
            let active = one.get(schema.id).expect("registered");
            prop_assert!(active.version >= schema.version);
            for field in &schema.fields {
                let now = active.field(field.id).expect("no field was removed");
                prop_assert_eq!((now.kind, now.required), (field.kind, field.required));
            }
        }
    }

    #[test]
    fn no_text_makes_the_reader_of_definitions_panic(
        at in 0..REPORT.len(), cut in 0..40_usize, text in ".{0,20}",
    ) {
        let at = REPORT.floor_char_boundary(at);
        let end = REPORT.floor_char_boundary((at + cut).min(REPORT.len()));
        let changed = format!("{}{text}{}", &REPORT[..at], &REPORT[end..]);
        if let Ok(schema) = SchemaDefinition::from_toml(&changed) {
            prop_assert_eq!(schema.check(), Ok(()));
            prop_assert_eq!(SchemaDefinition::from_toml(&schema.to_toml()), Ok(schema));
        }
        let _ = SchemaDefinition::from_json(&changed);
    }

    #[test]
    fn no_payload_makes_a_tagged_reader_panic(
        mut payload in proptest::collection::vec(any::<u8>(), 0..60), small: bool,
    ) {
        if small {
            // Numbers that are small make fields more often.
            payload.iter_mut().for_each(|byte| *byte %= 9);
        }
        for mode in BitMode::ALL {
            if let Ok(message) = tagged::read_message(&report(), &payload, mode)
                && validate(&message, &report()).is_ok() && message.version <= 1
            {
                let mut again = Vec::new();
                tagged::encode(&report(), &message, mode, &mut again).expect("it was just read");
                prop_assert_eq!(&again, &payload);
            }
        }
    }
}
