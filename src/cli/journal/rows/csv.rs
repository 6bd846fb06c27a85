//! A row as a line of CSV: a column for every field of a record and of a client's command, or of an
//! event; what else a row holds stands as a JSON object in the last column.

use super::{Json, Sink, decimal_number};
use crate::command::Command;
use crate::journal::dump::text as printable;
use crate::journal::format::LogKind;
use serde_json::Value;
use std::ops::Range;

/// Fields of every record, as `journal::dump` names them.
const RECORD: &[&str] = &[
    "sequence",
    "epoch",
    "time",
    "kind",
    "flags",
    "session",
    "key",
    "client_sequence",
    "client_timestamp_ms",
    "expires",
    "priority",
    "priority_sent",
    "attempt",
    "message_id",
    "source",
    "received_bytes",
    "frame_hash",
];

/// Fields of events.
const EVENT: &[&str] = &[
    "sequence",
    "index",
    "event",
    "change",
    "status",
    "reject_reason",
    "session",
    "outbound",
    "client_sequence",
    "account",
    "order_id",
    "client_order_id",
    "fill_count",
    "symbol",
    "taker_side",
    "price",
    "quantity",
    "filled",
    "leaves",
    "orders",
    "maker_order",
    "taker_order",
    "maker_account",
    "taker_account",
    "maker_leaves",
    "asset",
    "available",
    "frozen",
    "active",
    "time",
    "last",
];

/// A column, and where its cell stands in the row at hand.
struct Column {
    name: &'static str,
    in_body: bool,
    cell: Range<usize>,
}

/// Rows as lines of CSV, under a line of headings.
pub(in crate::cli::journal) struct Csv {
    out: Vec<u8>,
    columns: Vec<Column>,
    cells: Vec<u8>,
    in_body: bool,
    other: Json,
}

impl Csv {
    /// The columns of a log's rows.
    pub(in crate::cli::journal) fn of(kind: LogKind) -> Csv {
        let column = |name, in_body| Column { name, in_body, cell: 0..0 };
        let mut columns: Vec<Column> = if kind == LogKind::Events {
            EVENT.iter().map(|name| column(name, false)).collect()
        } else {
            RECORD.iter().map(|name| column(name, false)).collect()
        };
        if kind != LogKind::Events {
            columns.push(column("command", true));
            for (_, _, fields) in Command::LAYOUTS {
                for field in fields() {
                    let name = if field.name == "instrument" { "symbol" } else { field.name };
                    if !columns.iter().any(|known| known.in_body && known.name == name) {
                        columns.push(column(name, true));
                    }
                }
            }
        }
        let mut csv = Csv {
            out: Vec::new(),
            columns,
            cells: Vec::new(),
            in_body: false,
            other: Json::default(),
        };
        for column in &csv.columns {
            // A command has flags too.
            let is_twice = column.in_body && RECORD.contains(&column.name);
            csv.out.extend_from_slice(if is_twice { b"command_" } else { b"" });
            csv.out.extend_from_slice(column.name.as_bytes());
            csv.out.push(b',');
        }
        csv.out.extend_from_slice(b"other\n");
        csv
    }

    /// Writes a cell; false where there is no such column.
    fn cell(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let in_body = self.in_body;
        let is_it = |column: &&mut Column| column.in_body == in_body && column.name == name;
        let Some(column) = self.columns.iter_mut().find(is_it) else { return false };
        let start = self.cells.len();
        write(&mut self.cells);
        column.cell = start..self.cells.len();
        true
    }

    fn has(&self, name: &str) -> bool {
        self.columns.iter().any(|column| column.in_body == self.in_body && column.name == name)
    }
}

/// A cell as it stands in a line.
fn quoted(cell: &[u8], out: &mut Vec<u8>) {
    if !cell.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r')) {
        out.extend_from_slice(cell);
        return;
    }
    out.push(b'"');
    for byte in cell {
        if *byte == b'"' {
            out.push(b'"');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

impl Sink for Csv {
    fn begin(&mut self) {
        self.cells.clear();
        self.columns.iter_mut().for_each(|column| column.cell = 0..0);
        self.other.take_object(&mut Vec::new());
    }

    fn end(&mut self) {
        for column in &self.columns {
            quoted(&self.cells[column.cell.clone()], &mut self.out);
            self.out.push(b',');
        }
        let start = self.cells.len();
        self.other.take_object(&mut self.cells);
        quoted(&self.cells[start..], &mut self.out);
        self.out.push(b'\n');
    }

    fn open(&mut self, _: &'static str) {
        self.in_body = true;
    }

    fn close(&mut self) {
        self.in_body = false;
    }

    fn number(&mut self, name: &'static str, number: u64) {
        if !self.cell(name, |out| decimal_number(number, out)) {
            self.other.number(name, number);
        }
    }

    fn signed(&mut self, name: &'static str, number: i64) {
        let write = |out: &mut Vec<u8>| {
            out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        };
        if !self.cell(name, write) {
            self.other.signed(name, number);
        }
    }

    fn flag(&mut self, name: &'static str, is_set: bool) {
        let word: &[u8] = if is_set { b"true" } else { b"false" };
        if !self.cell(name, |out| out.extend_from_slice(word)) {
            self.other.flag(name, is_set);
        }
    }

    fn null(&mut self, _: &'static str) {}

    fn plain(&mut self, name: &'static str, write: impl FnOnce(&mut Vec<u8>)) {
        if self.has(name) {
            self.cell(name, write);
        } else {
            self.other.plain(name, write);
        }
    }

    fn text(&mut self, name: &'static str, text: &[u8]) {
        if self.has(name) {
            self.cell(name, |out| match super::is_plain(text) {
                true => out.extend_from_slice(text),
                false => out.extend_from_slice(printable(text).as_bytes()),
            });
        } else {
            self.other.text(name, text);
        }
    }

    fn words(&mut self, name: &'static str, words: impl Iterator<Item = &'static str>) {
        self.cell(name, |out| {
            for (place, word) in words.enumerate() {
                out.extend_from_slice(if place == 0 { b"" } else { b" " });
                out.extend_from_slice(word.as_bytes());
            }
        });
    }

    fn value(&mut self, name: &'static str, value: &Value) {
        self.other.value(name, value);
    }

    fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }
}
