//! `outcry decode`: frames explained byte by byte, and as JSON.

use super::output::{Align, Output, Style, Table};
use super::{Failure, Global, Outcome, schema};
use crate::schema::explain::{Explanation, Row, explain};
use crate::schema::unhex;
use ed25519_dalek::VerifyingKey;
use serde_json::{Map, Value, json};
use std::io::Read;

/// Bytes of input that are read.
const INPUT_MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes of a field that a table shows.
const SHOWN_BYTES: usize = 16;

/// Explains the frames that come on stdin, as hex or as bytes
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  outcry decode\n  outcry decode --json\n  \
                   outcry decode --raw --public-key \
                   3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    after_help = "Each field has its offset, its size, its bytes, its value and its meaning; a bad frame \
                  says at which byte and why it is bad (status 1). Input that begins with the byte 0xAB \
                  is taken as bytes, other input as hex, in which blanks and lines that begin with # do \
                  not count. What --json prints is what `outcry encode` reads."
)]
pub(super) struct Args {
    /// Checks signatures with this key; a logon is checked with its own
    #[arg(long, value_name = "HEX", value_parser = parse_key)]
    public_key: Option<VerifyingKey>,
    /// Takes the input as bytes, whatever it begins with
    #[arg(long)]
    raw: bool,
}

fn parse_key(text: &str) -> Result<VerifyingKey, String> {
    let bytes = unhex(text).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    bytes
        .and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok())
        .ok_or_else(|| "write the 64 hex digits that `outcry keygen` printed".to_owned())
}

/// The bytes that a person means by their input.
fn bytes_of(input: Vec<u8>, raw: bool) -> Result<Vec<u8>, Failure> {
    if raw || input.first() == Some(&0xAB) {
        return Ok(input);
    }
    let text = String::from_utf8_lossy(&input);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let digits: String = lines.flat_map(str::split_whitespace).collect();
    unhex(&digits).ok_or_else(|| {
        Failure::usage("the input is no hex, and as bytes it would begin with 0xAB (or take --raw)")
    })
}

pub(super) fn run(args: &Args, global: &Global) -> Outcome {
    let registry = schema::known(global, None)?;
    let mut input = Vec::new();
    let read = std::io::stdin().lock().take(INPUT_MAX_BYTES).read_to_end(&mut input);
    read.map_err(|error| Failure::usage(format_args!("cannot read stdin: {error}")))?;
    let bytes = bytes_of(input, args.raw)?;
    if bytes.is_empty() {
        return Err(Failure::usage("there is no frame on stdin: write it as hex"));
    }
    let output = global.output();
    let mut at = 0;
    let mut bad: Option<String> = None;
    while at < bytes.len() {
        let told = explain(&registry, &bytes[at..], args.public_key.as_ref());
        show(&told, output);
        if let Some(fault) = &told.fault
            && bad.is_none()
        {
            bad = Some(format!(
                "the frame is bad at byte {}: {}: {}",
                at + fault.offset,
                fault.reason,
                fault.text
            ));
        }
        // A frame always takes at least one byte, and where its end is unknown, all of them.
        at += told.length.max(1);
    }
    match bad {
        None => Ok(()),
        Some(text) => Err(Failure::bad(text)),
    }
}

fn show(told: &Explanation, output: Output) {
    if output.is_json() {
        let mut object = told.json.clone().unwrap_or_default();
        if let Some(fault) = &told.fault {
            object.insert("error".into(), json!(fault));
        }
        object.insert("fields".into(), json!(told.rows));
        output.object(&object);
        return;
    }
    if let Some(json) = &told.json {
        output.raw(&pretty(json));
    }
    let mut table = Table::new(&[
        ("OFFSET", Align::Right),
        ("SIZE", Align::Right),
        ("PART", Align::Left),
        ("FIELD", Align::Left),
        ("BYTES", Align::Left),
        ("VALUE", Align::Left),
        ("MEANING", Align::Left),
    ]);
    for row in &told.rows {
        table.row(cells(row));
    }
    output.table(&table);
    match &told.fault {
        None => output.line(output.styled(Style::Green, "a good frame")),
        Some(fault) => output.line(output.styled(
            Style::Red,
            format_args!("bad at byte {}: {}: {}", fault.offset, fault.reason, fault.text),
        )),
    }
}

fn cells(row: &Row) -> [String; 7] {
    let mut bytes = row.bytes.clone();
    if row.size > SHOWN_BYTES {
        bytes.truncate(2 * SHOWN_BYTES);
        bytes.push('…');
    }
    let mut value = row.value.clone();
    if value.chars().count() > 40 {
        value = value.chars().take(39).chain(['…']).collect();
    }
    [
        row.offset.to_string(),
        row.size.to_string(),
        row.part.to_owned(),
        row.name.clone(),
        bytes,
        value,
        row.meaning.clone(),
    ]
}

fn pretty(object: &Map<String, Value>) -> String {
    let mut text = serde_json::to_string_pretty(object).expect("plain data is JSON");
    text.push('\n');
    text
}
