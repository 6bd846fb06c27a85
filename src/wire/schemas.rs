//! The answer to a question for registered schemas.
//!
//! Invariant: no answer is longer than a frame may be, and each has one schema at least while there
//! are more; what does not fit is left out and `more` says so.

use crate::command::PayloadError;
use crate::limits::SCHEMA_REGISTERED_MAX_BYTES;
use crate::schema::SchemaDefinition;
use crate::types::Sequence;
use crate::wire::fields::messages;
use crate::wire::frame::FrameWriter;
use crate::wire::message::{head, text};
use crate::wire::query::PAYLOAD_MAX;
use serde::{Deserialize, Serialize};
use std::ops::Range;

messages! {
    /// Layouts of what is answered to a question for registered schemas.
    LAYOUTS:
    /// Registered schemas as JSON text, which follows.
    SchemaHead = 141, "schema-answer" {
        /// There are more: ask again after as many as came.
        more: bool,
        /// Bytes of text.
        text_size: u16,
    }
}

/// A registered schema as the answer shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaRow {
    /// The command that registered it.
    pub sequence: Sequence,
    /// Its definition.
    pub schema: SchemaDefinition,
}

/// What stands in the text of a schema answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaPage {
    /// Registered schemas, in the order of registration.
    pub schemas: Vec<SchemaRow>,
}

/// Registered schemas as JSON text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchemaView<'a> {
    /// There are more: ask again after as many as came.
    pub more: bool,
    /// JSON of a [`SchemaPage`].
    pub text: &'a str,
}

impl<'a> SchemaView<'a> {
    pub(crate) fn decode(payload: &'a [u8]) -> Result<SchemaView<'a>, PayloadError> {
        let (head, tail) = SchemaHead::decode_head(payload)?;
        let text = text(SchemaHead::SCHEMA, SchemaHead::SIZE, head.text_size, tail)?;
        Ok(SchemaView { more: head.more, text })
    }

    /// Reads the text.
    ///
    /// # Errors
    /// The reason in serde's words, where the text is no [`SchemaPage`].
    pub fn parse(&self) -> Result<SchemaPage, serde_json::Error> {
        serde_json::from_str(self.text)
    }
}

const START: &str = "{\"schemas\":[";
const END: &str = "]}";
/// Bytes of a row around its definition, and of the comma before it.
const ROW: usize = ",{\"sequence\":18446744073709551615,\"schema\":}".len();

const _: () = assert!(
    SchemaHead::SIZE + START.len() + ROW + SCHEMA_REGISTERED_MAX_BYTES + END.len() <= PAYLOAD_MAX
);

/// Appends the frame with as many of the schemas as fit, each given with the bytes of its JSON, and
/// gives its place.
pub fn send_schemas<'s>(
    schemas: impl Iterator<Item = (Sequence, &'s SchemaDefinition, usize)>,
    client_sequence: u64,
    out: &mut Vec<u8>,
) -> Range<usize> {
    let mut text = START.to_owned();
    let mut more = false;
    for (index, (sequence, schema, json_bytes)) in schemas.enumerate() {
        if SchemaHead::SIZE + text.len() + ROW + json_bytes + END.len() > PAYLOAD_MAX {
            more = true;
            break;
        }
        if index > 0 {
            text.push(',');
        }
        let schema = schema.to_json();
        text.push_str(&format!("{{\"sequence\":{sequence},\"schema\":{schema}}}"));
    }
    text.push_str(END);
    let mut writer = FrameWriter::begin(out, head(SchemaHead::SCHEMA, client_sequence));
    SchemaHead { more, text_size: text.len() as u16 }.encode(writer.payload());
    writer.payload().extend_from_slice(text.as_bytes());
    writer.seal()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::FRAME_MAX_BYTES;
    use crate::wire::message::ServerMessage;
    use crate::wire::{Frame, OpenLimits};

    const LIMITS: OpenLimits = OpenLimits { frame_max: FRAME_MAX_BYTES, strict_reserved: true };

    #[test]
    fn schemas_come_in_pages_and_the_largest_fits_into_one() {
        let schema = |id: u32, size: usize| {
            let (name, fields) = (format!("schema-{id}"), Vec::new());
            let empty = SchemaDefinition { id, name, version: 1, about: "-".into(), fields };
            let missing = size - empty.to_json().len();
            SchemaDefinition { about: "-".repeat(missing + 1), ..empty }
        };
        let largest = SCHEMA_REGISTERED_MAX_BYTES;
        let sizes = [200, largest, 300, 400, largest, largest, 200];
        let all: Vec<SchemaDefinition> =
            (1000..).zip(sizes).map(|(id, size)| schema(id, size)).collect();
        assert!(all.iter().all(|schema| schema.check_registrable().is_ok()));
        assert!(schema(1000, largest + 1).check_registrable().is_err());
        let (mut seen, mut pages) = (Vec::new(), 0);
        loop {
            let mut out = Vec::new();
            let rows =
                all.iter().map(|schema| (Sequence(u64::MAX), schema, schema.to_json().len()));
            let rows = rows.skip(seen.len());
            let at = send_schemas(rows, 5, &mut out);
            let frame = Frame::open(&out[at], &LIMITS).expect("just sealed");
            let Ok(ServerMessage::Schemas(view)) = ServerMessage::decode(&frame) else {
                panic!("no schemas");
            };
            let page = view.parse().expect("JSON");
            assert!(!page.schemas.is_empty(), "every page has one at least");
            assert!(page.schemas.iter().all(|row| row.sequence == Sequence(u64::MAX)));
            seen.extend(page.schemas.into_iter().map(|row| row.schema));
            pages += 1;
            if !view.more {
                break;
            }
        }
        assert!(seen == all, "all of them, in order");
        assert_eq!(pages, 3);
    }
}
