//! Messages against the dictionary: what is taken and why the rest is refused, as `tag=value|` lines.

use openoutcry::fix::dictionary::{self, Flow, Found};
use openoutcry::fix::{
    Accepted, Encoder, Fields, Frame, Garbled, MESSAGE_DEFAULT_MAX_BYTES, Policy, Refusal, Version,
    View, frame, tag,
};
use openoutcry::types::TimeNs;

/// A whole message from its body: 8, 9 and 10 are added, and 49, 56, 34 and 52 behind 35, each unless the
/// text has it.
pub(crate) fn message(version: Version, text: &str) -> Vec<u8> {
    let (msg_type, rest) = text.split_once('|').expect("35=..| comes first");
    let mut body = format!("{msg_type}|");
    for (tag, value) in
        [("49", "DESK"), ("56", "OUTCRY"), ("34", "2"), ("52", "20260301-12:00:00.000")]
    {
        let there = text.contains(&format!("|{tag}="));
        if !there && !text.contains(&format!("!{tag}|")) {
            body.push_str(&format!("{tag}={value}|"));
        }
    }
    body.extend(rest.split_inclusive('|').filter(|field| !field.starts_with('!')));
    raw(version.begin_string(), &body)
}

/// A message with this body and nothing else.
fn raw(begin_string: &str, body: &str) -> Vec<u8> {
    let body = body.replace('|', "\x01");
    let mut bytes = format!("8={begin_string}\x019={}\x01{body}", body.len()).into_bytes();
    let sum = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    bytes.extend(format!("10={sum:03}\x01").bytes());
    bytes
}

/// `ok`, `unsupported`, or reason and tag, of a message of a client; with `either`, of the exchange as
/// well.
fn verdict(version: Version, policy: Policy, bytes: &[u8], either: bool) -> String {
    let framed = frame(bytes, MESSAGE_DEFAULT_MAX_BYTES);
    assert_eq!(framed, Frame::Message { size: bytes.len() });
    let mut fields = Fields::default();
    let mut parsed = match fields.parse(bytes) {
        Ok(parsed) => parsed,
        Err(garbled) => return format!("garbled: {garbled}"),
    };
    let checked =
        if either { parsed.check_either(version, &policy) } else { parsed.check(version, &policy) };
    match checked {
        Ok(Accepted::Message(_)) => "ok".to_owned(),
        Ok(Accepted::Unsupported) => "unsupported".to_owned(),
        Err(Refusal { reason, tag: None }) => reason.to_string(),
        Err(Refusal { reason, tag: Some(tag) }) => format!("{reason} {tag}"),
    }
}

/// Lines of versions, message and verdict.
fn check(script: &str) {
    check_lines(Policy::DEFAULT, false, script);
}

/// As [`check`], of messages that the exchange sends too.
fn check_either(script: &str) {
    check_lines(Policy::DEFAULT, true, script);
}

fn check_with(policy: Policy, script: &str) {
    check_lines(policy, false, script);
}

fn check_lines(policy: Policy, either: bool, script: &str) {
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (line, expected) = line.split_once(" -> ").expect("a line says what comes of it");
        let (versions, text) = line.split_once(' ').expect("versions come first");
        for version in versions.chars() {
            let version = match version {
                '2' => Version::Fix42,
                '4' => Version::Fix44,
                _ => Version::Fix50,
            };
            let bytes = message(version, text.trim());
            assert_eq!(
                verdict(version, policy, &bytes, either),
                expected.trim(),
                "{version}: {text}"
            );
        }
    }
}

/// A NewOrderSingle with all that any version must have.
const ORDER: &str = "35=D|11=A1|21=1|55=BTC/USD|54=1|60=20260301-12:00:00|38=5|40=2|44=100.5|59=1|";

#[test]
fn ordinary_messages_are_taken() {
    check(
        "
        245 35=0| -> ok
        245 35=0|112=x| -> ok
        245 35=1|112=x| -> ok
        245 35=2|7=1|16=0| -> ok
        245 35=3|45=2|371=11|372=D|373=1|58=no| -> ok
        245 35=4|43=Y|122=20260301-11:00:00|123=Y|36=9| -> ok
        245 35=5|58=bye| -> ok
        24  35=A|98=0|108=30|141=Y| -> ok
        5   35=A|98=0|108=30|141=Y|1137=9| -> ok
        245 35=D|11=A1|21=1|55=BTC/USD|54=1|60=20260301-12:00:00|38=5|40=1| -> ok
        245 35=D|11=A1|21=1|55=BTC/USD|54=1|60=20260301-12:00:00|38=5|40=2|44=1|18=6 o|210=1| -> ok
        45  35=D|11=A1|55=BTC/USD|54=1|60=20260301-12:00:00|38=5|40=2|44=1|847=1001|848=x| -> ok
        245 35=F|41=A1|11=A2|55=X|54=1|60=20260301-12:00:00|38=5| -> ok
        5   35=F|11=A2|37=9|55=X|54=1|60=20260301-12:00:00|38=5| -> ok
        245 35=G|41=A1|11=A2|21=1|55=X|54=1|60=20260301-12:00:00|38=5|40=2|44=1| -> ok
        245 35=H|11=A1|55=X|54=1| -> ok
        45  35=q|11=A1|530=7|60=20260301-12:00:00| -> ok
        45  35=AF|584=A1|585=7| -> ok
        245 35=V|262=A|263=1|264=0|265=1|267=2|269=0|269=1|146=1|55=X| -> ok
        45  35=x|320=A|559=4| -> ok
        245 35=e|324=A|55=X|263=0| -> ok
        ",
    );
}

#[test]
fn each_reason_to_refuse_names_its_tag() {
    check(
        "
        24  35=0|999=1| -> 0 999
        245 35=0|0=1| -> 0 0
        245 35=0|-1=1| -> 0 -1
        245 35=0|1999=1| -> 0 1999
        245 35=0|!56| -> 1 56
        245 35=0|!34| -> 1 34
        245 35=0|!52| -> 1 52
        245 35=D|21=1|55=X|54=1|60=20260301-12:00:00|38=5|40=1| -> 1 11
        24  35=D|11=A|21=1|54=1|60=20260301-12:00:00|38=5|40=1| -> 1 55
        245 35=D|11=A|21=1|55=X|60=20260301-12:00:00|38=5|40=1| -> 1 54
        2   35=D|11=A|55=X|54=1|60=20260301-12:00:00|38=5|40=1| -> 1 21
        245 35=1| -> 1 112
        24  35=A|98=0| -> 1 108
        5   35=A|98=0|108=30| -> 1 1137
        245 35=0|55=X| -> 2 55
        245 35=0|58=hello| -> 2 58
        245 35=0|3=1| -> 2 3
        2   35=0|453=1| -> 0 453
        245 35=0|56=| -> 4 56
        245 35=0|112=| -> 4 112
        245 35=| -> 4 35
        245 35=D|11=A|21=4|55=X|54=1|60=20260301-12:00:00|38=5|40=1| -> 5 21
        245 35=D|11=A|21=1|55=X|54=1|60=20260301-12:00:00|38=5|40=1|167=BOO| -> 5 167
        245 35=D|11=A|21=1|55=X|54=1|60=20260301-12:00:00|38=5|40=1|18=6 !| -> 5 18
        2   35=D|11=A|21=1|55=X|54=1|60=20260301-12:00:00|38=5|40=K| -> 5 40
        245 35=0|43=y| -> 6 43
        245 35=D|11=A|21=1|55=X|54=1|60=20260301-12:00:00|38=+200.00|40=1| -> 6 38
        245 35=D|11=A|21=1|55=X|54=1|60=20260301-12:00:00|38=5|40=1|126=20040415| -> 6 126
        245 35=D|11=A|21=1|55=X|54=12|60=20260301-12:00:00|38=5|40=1| -> 6 54
        245 35=0|34=x| -> 6 34
        245 35=*| -> 11
        245 35=ZZZ| -> 11
        2   35=AF|584=A1|585=7| -> 11
        2   35=x|320=A|559=4| -> 11
        245 35=0|112=a|112=b| -> 13 112
        245 35=0|50=a|50=b| -> 13 50
        245 35=0|112=a|50=b| -> 14 50
        245 35=0|!49|112=a|49=b| -> 14 49
        245 35=0|93=1|89=x|112=a| -> 14 112
        ",
    );
}

#[test]
fn a_value_may_be_of_one_version_alone() {
    check_either(
        "
        2  35=8|37=1|17=1|20=0|150=1|39=1|55=X|54=1|151=1|14=1|6=1| -> ok
        5  35=8|37=1|17=1|150=1|39=1|55=X|54=1|151=1|14=1|6=1| -> 5 150
        45 35=8|37=1|17=1|150=F|39=1|55=X|54=1|151=1|14=1|6=1|851=1| -> ok
        2  35=8|37=1|17=1|20=0|150=F|39=1|55=X|54=1|151=1|14=1|6=1| -> 5 150
        5  35=8|37=1|17=1|150=F|39=1|55=X|54=1|151=1|14=1|1057=Y| -> ok
        4  35=8|37=1|17=1|150=F|39=1|55=X|54=1|151=1|14=1|6=1|1057=Y| -> 0 1057
        ",
    );
}

#[test]
fn a_known_message_that_is_not_taken_is_told_from_an_unknown_one() {
    check(
        "
        245 35=B|148=headline|33=1|58=text| -> unsupported
        45  35=AE|571=1| -> unsupported
        2   35=AE|571=1| -> 11
        5   35=CA|1=1| -> unsupported
        24  35=CA|1=1| -> 11
        245 35=B|!56|148=headline| -> 1 56
        245 35=8|37=1| -> unsupported
        245 35=W|268=2|269=x|55=| -> unsupported
        245 35=j|999=1| -> unsupported
        45  35=y|320=1| -> unsupported
        2   35=y|320=1| -> 11
        245 35=8|!56|37=1| -> 1 56
        245 35=8|50=|37=1| -> 4 50
        45  35=B|627=1|628=HOP|630=5|148=headline| -> unsupported
        45  35=B|627=2|628=HOP|630=5|148=headline| -> 16 627
        45  35=0|627=2|628=HOP|628=HOP2|112=x| -> ok
        ",
    );
}

#[test]
fn groups_are_counted_and_their_entries_begin_with_the_first_field() {
    let order = ORDER;
    for (versions, group, expected) in [
        ("245", "386=0|", "ok"),
        ("245", "386=1|336=DAY|", "ok"),
        ("45", "386=2|336=DAY|625=1|336=EVE|", "ok"),
        ("245", "386=2|336=DAY|", "16 386"),
        ("245", "386=1|336=DAY|336=EVE|", "16 386"),
        ("245", "386=1|", "16 386"),
        ("245", "386=0|336=DAY|", "2 336"),
        ("245", "386=x|336=DAY|", "6 386"),
        ("45", "386=1|625=1|336=DAY|", "15 625"),
        ("45", "386=1|336=DAY|625=1|625=2|", "13 625"),
        // Fields of an entry in any order, behind the first.
        ("45", "453=2|448=A|452=1|447=D|448=B|447=D|452=3|", "ok"),
        ("45", "453=1|448=A|447=D|452=1|802=2|523=x|803=1|523=y|803=2|", "ok"),
        ("45", "453=1|448=A|802=2|523=x|803=1|", "16 802"),
        ("45", "453=2|448=A|802=1|523=x|448=B|452=1|802=1|523=y|58=text|", "ok"),
        ("45", "453=1|448=A|452=x|", "6 452"),
        ("45", "453=1|448=|", "4 448"),
        ("245", "78=2|79=A|80=1|79=B|80=2|", "ok"),
        ("45", "78=1|79=A|539=1|524=P|804=1|545=x|80=2|", "ok"),
        ("245", "78=1|79=A|80=1|386=1|336=DAY|", "ok"),
        ("245", "78=1|79=A|50=X|", "14 50"),
    ] {
        check(&format!("{versions} {order}{group} -> {expected}"));
    }
}

#[test]
fn fields_that_an_entry_must_have_are_missed() {
    check_either(
        "
        245 35=W|55=X|268=2|269=0|270=1|269=1|270=2| -> ok
        245 35=V|262=A|263=1|264=0|267=1|269=0|146=2|55=X|55=Y| -> ok
        2   35=W|55=X|268=2|269=0|270=1|269=1| -> 1 270
        2   35=W|55=X|268=2|269=0|269=1|270=2| -> 1 270
        245 35=V|262=A|263=1|264=0|267=1|269=0|146=1|65=WI| -> 15 65
        245 35=V|262=A|263=1|264=0|267=1|269=0| -> 1 146
        ",
    );
}

#[test]
fn fields_of_header_and_body_come_in_any_order_within() {
    check(
        "
        245 35=0|52=20260301-12:00:00|34=2|56=A|49=B|112=x| -> ok
        245 35=D|40=1|38=5|60=20260301-12:00:00|54=1|55=X|21=1|11=A| -> ok
        ",
    );
}

#[test]
fn own_tags_are_passed_over_or_refused_as_the_policy_says() {
    let script = "
        245 35=0|5000=x|112=a|9999=y|20000=z|5000=again| -> ok
        245 35=0|4999=x| -> 0 4999
        245 35=0|10000=x| -> 0 10000
        245 35=0|5000=| -> 4 5000
        45  35=D|11=A|55=X|54=1|60=20260301-12:00:00|38=5|40=1|453=2|448=A|6000=x|452=1|448=B| -> ok
        ";
    check(script);
    let strict = Policy { user_defined_tags: false, ..Policy::DEFAULT };
    check_with(strict, "245 35=0|5000=x|112=a| -> 0 5000");
    let lenient = Policy { unknown_tags: true, unlisted_values: true, ..Policy::DEFAULT };
    check_with(
        lenient,
        "
        245 35=0|999=x|55=X|112=a|4999=x|-1=x| -> ok
        245 35=D|11=A|21=4|55=X|54=Z|60=20260301-12:00:00|38=5|40=1| -> ok
        245 35=D|11=A|21=4|55=X|54=Z|60=20260301-12:00:00|38=a|40=1| -> 6 38
        ",
    );
}

#[test]
fn a_version_without_a_reason_sends_a_reject_without_one() {
    for (reason, fix42, fix44) in [
        (0, Some(0), Some(0)),
        (11, Some(11), Some(11)),
        (13, None, Some(13)),
        (99, None, Some(99)),
    ] {
        let refusal = Refusal { reason, tag: None };
        let reason = u32::from(refusal.reason);
        assert_eq!(Version::Fix42.reject_reason(reason), fix42);
        assert_eq!(Version::Fix44.reject_reason(reason), fix44);
        assert!(!refusal.text().is_empty());
    }
}

#[test]
fn what_has_no_tags_is_garbled() {
    let bodies = ["abc=1|", "=1|", "1a=1|", "1|", "|", "01=1|", "1234567890=1|", "--1=1|", "-=1|"];
    let mut fields = Fields::default();
    for body in bodies {
        let bytes = raw("FIX.4.4", &format!("35=0|{body}"));
        let at = bytes.len() - 7 - body.len();
        assert_eq!(fields.parse(&bytes).map(|_| ()), Err(Garbled::Tag { at }), "{body}");
    }
    let cut = b"8=FIX.4.4\x019=5\x0135=0\x0110=16";
    assert_eq!(fields.parse(cut).map(|_| ()), Err(Garbled::NoSeparator { at: 19 }));
    for order in ["8=FIX.4.4|35=0|9=5|10=000|", "8=FIX.4.4|9=5|35=0|", "8=FIX.4.4|", ""] {
        let bytes = order.replace('|', "\x01");
        assert_eq!(fields.parse(bytes.as_bytes()).map(|_| ()), Err(Garbled::Order), "{order}");
    }
}

/// Parses and checks, and hands over the fields.
fn with_view(version: Version, text: &str, look: impl FnOnce(View<'_>)) {
    let bytes = message(version, text);
    let mut fields = Fields::default();
    // The table has been used before, for something else.
    fields.parse(&message(version, "35=1|112=other|58=x|44=7|")).expect("a message");
    let mut parsed = fields.parse(&bytes).expect("a message");
    assert_ne!(parsed.check_either(version, &Policy::DEFAULT), Ok(Accepted::Unsupported));
    look(parsed.into_view());
}

#[test]
fn data_fields_hold_separators() {
    with_view(Version::Fix44, "35=A|98=0|108=30|95=5|96=a|b=c|554=secret|", |view| {
        assert_eq!(view.get(96), Some(&b"a\x01b=c"[..]));
        assert_eq!(view.get(554), Some(&b"secret"[..]));
    });
    with_view(Version::Fix42, "35=0|212=4|213=<|/>|112=x|", |view| {
        assert_eq!(view.get(213), Some(&b"<\x01/>"[..]));
        assert_eq!(view.get(112), Some(&b"x"[..]));
    });
    check(
        "
        245 35=3|45=1|354=3|355=||||58=x| -> ok
        24  35=A|98=0|108=30|95=4|96=a|b=c| -> 5 95
        24  35=A|98=0|108=30|95=99999999999999999999|96=a|b=c| -> 5 95
        24  35=A|98=0|108=30|95=x|96=abc| -> 5 95
        24  35=A|98=0|108=30|96=abc| -> 1 95
        24  35=A|98=0|95=3|108=30|96=abc| -> 1 95
        ",
    );
}

#[test]
fn more_fields_than_are_taken_are_refused_and_the_header_is_known() {
    let bytes = message(Version::Fix44, &format!("35=D|{}", "5000=1|".repeat(100)));
    let mut fields = Fields::new(50);
    let mut parsed = fields.parse(&bytes).expect("a message");
    let refused = parsed.check(Version::Fix44, &Policy::DEFAULT);
    assert_eq!(refused, Err(Refusal { reason: Refusal::OTHER, tag: None }));
    assert_eq!(parsed.view().uint(tag::MSG_SEQ_NUM), Ok(Some(2)));
}

#[test]
fn values_are_read_by_their_types() {
    let text = "35=D|11=A1|21=1|55=BTC/USD|54=1|60=20260301-12:00:00.123456789|38=1.50|40=2|44=-0.05|\
                114=Y|5001=own|1=acc|";
    with_view(Version::Fix44, text, |view| {
        assert_eq!(view.msg_type(), b"D");
        assert_eq!(view.uint(tag::MSG_SEQ_NUM), Ok(Some(2)));
        assert_eq!(view.int(tag::MSG_SEQ_NUM), Ok(Some(2)));
        assert_eq!(view.char(tag::SIDE), Ok(Some(b'1')));
        assert_eq!(view.boolean(tag::LOCATE_REQD), Ok(Some(true)));
        assert!(view.is_yes(tag::LOCATE_REQD));
        assert_eq!(view.text(tag::ACCOUNT), Ok(Some("acc")));
        let price = view.decimal(tag::PRICE).expect("a number").expect("it is there");
        assert_eq!((price.units, price.scale), (-5, 2));
        assert_eq!(view.steps(tag::ORDER_QTY, 3, 500), Ok(Some(3)));
        assert!(view.steps(tag::ORDER_QTY, 3, 400).is_err());
        let time = view.timestamp(tag::TRANSACT_TIME).expect("a time").expect("it is there");
        assert_eq!(time.time, TimeNs(1_772_366_400_123_456_789));
        assert_eq!(view.get(5001), Some(&b"own"[..]));
        assert_eq!(view.get(tag::STOP_PX), None);
        assert_eq!(view.int(tag::STOP_PX), Ok(None));
        assert_eq!(view.int(tag::SYMBOL).expect_err("no number").tag, tag::SYMBOL);
        assert_eq!(view.iter().count(), 19);
        assert_eq!(view.iter().last().expect("the sum").tag, tag::CHECK_SUM);
    });
}

#[test]
fn nested_groups_are_walked_entry_by_entry() {
    let text = "35=D|11=A1|55=X|54=1|60=20260301-12:00:00|38=1|40=1|453=2|448=A|447=D|802=2|523=x|\
                803=1|523=y|803=2|452=11|448=B|6000=own|452=3|58=text|";
    with_view(Version::Fix44, text, |view| {
        let parties: Vec<(String, Vec<String>, Option<i64>)> = view
            .group(tag::NO_PARTY_IDS)
            .map(|party| {
                let text = |view: &View<'_>, tag| {
                    view.text(tag).expect("a text").expect("it is there").to_owned()
                };
                let subs = party.group(tag::NO_PARTY_SUB_IDS);
                let subs = subs.map(|sub| text(&sub, tag::PARTY_SUB_ID)).collect();
                (text(&party, tag::PARTY_ID), subs, party.int(tag::PARTY_ROLE).expect("a number"))
            })
            .collect();
        let expected = [
            ("A".to_owned(), vec!["x".to_owned(), "y".to_owned()], Some(11)),
            ("B".to_owned(), vec![], Some(3)),
        ];
        assert_eq!(parties, expected);
        // An entry ends where its group does.
        let first = view.group(tag::NO_PARTY_IDS).next().expect("one");
        let last = first.group(tag::NO_PARTY_SUB_IDS).last().expect("two");
        let tags: Vec<u32> = last.iter().map(|field| field.tag).collect();
        assert_eq!(tags, [tag::PARTY_SUB_ID, tag::PARTY_SUB_ID_TYPE]);
        // A field of an entry is none of the message.
        assert_eq!(view.get(tag::PARTY_ID), None);
        assert_eq!(view.get(tag::TEXT), Some(&b"text"[..]));
        assert_eq!(view.get(6000), Some(&b"own"[..]));
        assert_eq!(view.group(tag::NO_ALLOCS).count(), 0);
    });
    // The same tag in an entry and in the message.
    with_view(Version::Fix44, "35=W|55=X|268=1|269=0|270=1|15=USD|58=in|", |view| {
        assert_eq!(view.get(tag::TEXT), None);
        let entry = view.group(tag::NO_MD_ENTRIES).next().expect("one");
        assert_eq!(entry.get(tag::TEXT), Some(&b"in"[..]));
    });
}

#[test]
fn every_message_that_goes_in_is_in_the_versions_that_have_it() {
    let types = |version, flow| -> String {
        let mut types: Vec<&str> = dictionary::messages(version)
            .filter(|message| message.flow == flow)
            .map(|message| message.msg_type)
            .collect();
        types.sort_by_key(|name| (name.len(), *name));
        types.join(" ")
    };
    for version in Version::ALL {
        assert_eq!(types(version, Flow::Session), "0 1 2 3 4 5 A");
    }
    assert_eq!(types(Version::Fix42, Flow::In), "D F G H V e");
    assert_eq!(types(Version::Fix44, Flow::In), "D F G H V e q x AF");
    assert_eq!(types(Version::Fix50, Flow::In), "D F G H V e q x AF");
    assert_eq!(types(Version::Fix42, Flow::Out), "8 9 W X Y f j");
    assert_eq!(types(Version::Fix44, Flow::Out), "8 9 W X Y f j r y");
    assert_eq!(types(Version::Fix50, Flow::Out), "8 9 W X Y f j r y");
    assert_eq!(dictionary::find(Version::Fix44, b""), Found::Unknown);
}

#[test]
fn tags_have_the_numbers_of_the_specification() {
    for (tag, number) in [
        (tag::BEGIN_STRING, 8),
        (tag::CL_ORD_ID, 11),
        (tag::ORIG_CL_ORD_ID, 41),
        (tag::NO_PARTY_IDS, 453),
        (tag::NEXT_EXPECTED_MSG_SEQ_NUM, 789),
        (tag::MD_REQ_ID, 262),
        (tag::IOIID, 23),
        (tag::DEFAULT_APPL_VER_ID, 1137),
        (tag::AGGRESSOR_INDICATOR, 1057),
    ] {
        assert_eq!(tag, number);
    }
}

#[test]
fn a_written_order_is_taken_in_every_version() {
    for version in Version::ALL {
        let mut out = [0; 1024];
        let mut encoder = Encoder::begin(&mut out, version, "D");
        for (tag, value) in [(49, "A"), (56, "B"), (34, "1"), (11, "id"), (21, "1"), (55, "X")] {
            encoder.string(tag, value);
        }
        encoder.char(tag::SIDE, b'1');
        encoder.int(tag::ORDER_QTY, 5);
        encoder.char(tag::ORD_TYPE, b'1');
        encoder.timestamp(tag::TRANSACT_TIME, TimeNs(1), 9);
        let size = encoder.finish().expect("there is room");
        // The header's 52 is missed, and nothing else.
        assert_eq!(verdict(version, Policy::DEFAULT, &out[..size], false), "1 52");
    }
}
