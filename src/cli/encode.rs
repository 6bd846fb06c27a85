//! `outcry encode`: a message in JSON becomes the bytes of its frame.

use super::{Failure, Global, Outcome, schema};
use crate::client::now_ms;
use crate::keys::KeyPair;
use crate::limits::FRAME_MAX_BYTES;
use crate::schema::frame::{Choices, encode};
use crate::types::Priority;
use crate::wire::BitMode;
use serde_json::{Deserializer, Map, Value};
use std::io::{IsTerminal, Read, Write};
use std::path::PathBuf;

/// Bytes of JSON that are read.
const INPUT_MAX_BYTES: u64 = 64 * 1024 * 1024;
const _: () = assert!(INPUT_MAX_BYTES > FRAME_MAX_BYTES as u64);

/// Writes the frames of messages that come as JSON on stdin
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Examples:\n  outcry encode\n  outcry encode --schema new-order --bit-mode 8\n  \
                   outcry encode --key trader.key --raw > order.bin",
    after_help = "A message is what `outcry decode --json` prints: {\"schema\", \"client_sequence\", \
                  \"priority\", \"flags\", \"bit_mode\", \"metadata\":{\"message_id\",…}, \
                  \"payload\":{…}}. Only the schema, the metadata of commands and the payload have to be \
                  there; CRC, hash and signature are made anew. Several messages make several frames, \
                  each a line of hex."
)]
pub(super) struct Args {
    /// Name or id of the schema, over what the JSON says
    #[arg(long, value_name = "NAME|ID")]
    schema: Option<String>,
    /// Width of int fields: 8, 16, 32 or 64
    #[arg(long, value_name = "BITS", value_parser = parse_mode)]
    bit_mode: Option<BitMode>,
    /// critical, high, normal, low or batch
    #[arg(long, value_parser = parse_priority)]
    priority: Option<Priority>,
    /// Signs the frames with the key in this file
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Writes the bytes themselves instead of hex
    #[arg(long)]
    raw: bool,
}

fn parse_mode(text: &str) -> Result<BitMode, String> {
    BitMode::ALL
        .into_iter()
        .find(|mode| mode.bits().to_string() == text)
        .ok_or_else(|| "write 8, 16, 32 or 64".to_owned())
}

fn parse_priority(text: &str) -> Result<Priority, String> {
    Priority::from_word(text).ok_or_else(|| "write critical, high, normal, low or batch".to_owned())
}

pub(super) fn run(args: &Args, global: &Global) -> Outcome {
    let registry = schema::known(global, None)?;
    let key = args.key.as_deref().map(KeyPair::load).transpose().map_err(Failure::usage)?;
    let choices = Choices {
        schema: args.schema.as_deref(),
        bit_mode: args.bit_mode,
        priority: args.priority,
        timestamp_ms: now_ms(),
        key: key.as_ref().map(KeyPair::signing),
    };
    if args.raw && global.json {
        return Err(Failure::usage("--raw writes bytes and --json objects: take one of them"));
    }
    if args.raw && std::io::stdout().is_terminal() {
        return Err(Failure::usage(
            "--raw writes bytes, which a terminal cannot show: redirect them",
        ));
    }
    let output = global.output();
    let stdin = std::io::stdin().lock().take(INPUT_MAX_BYTES);
    let mut count = 0;
    for message in Deserializer::from_reader(stdin).into_iter::<Map<String, Value>>() {
        count += 1;
        let of =
            |error: &dyn std::fmt::Display| Failure::bad(format_args!("message {count}: {error}"));
        let message = message.map_err(|error| of(&error))?;
        let mut frame = Vec::new();
        encode(&registry, &message, &choices, &mut frame).map_err(|error| of(&error))?;
        if args.raw {
            let written = std::io::stdout().lock().write_all(&frame);
            written.map_err(|error| of(&error))?;
            continue;
        }
        let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
        if output.is_json() {
            output.object(&serde_json::json!({"bytes": frame.len(), "hex": hex}));
        } else {
            output.line(hex);
        }
    }
    if count == 0 {
        return Err(Failure::usage("there is no message on stdin: write it as JSON"));
    }
    Ok(())
}
