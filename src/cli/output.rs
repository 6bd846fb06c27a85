//! What commands write on stdout: tables for a person, one JSON object a line for a script.
//!
//! Invariants: with `--json` nothing else stands on stdout; colours stand only on a terminal; a
//! reader that closes the pipe early (`| head`) ends the process quietly.

use crate::logging::wants_color;
use crate::timestamp::Rfc3339;
use crate::types::TimeNs;
use serde::Serialize;
use serde_json::json;
use std::io::{ErrorKind, Write};

/// How a command writes its result.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
    color: bool,
}

/// How a piece of text stands out on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// A heading.
    Bold,
    /// Of less interest.
    Dim,
    /// Good.
    Green,
    /// Bad.
    Red,
    /// To be looked at.
    Yellow,
}

impl Style {
    const fn code(self) -> &'static str {
        match self {
            Style::Bold => "1",
            Style::Dim => "2",
            Style::Green => "32",
            Style::Red => "31",
            Style::Yellow => "33",
        }
    }

    /// Text in this style, for whoever knows that it is shown on a terminal.
    #[must_use]
    pub fn paint(self, text: impl std::fmt::Display) -> String {
        format!("\x1b[{}m{text}\x1b[0m", self.code())
    }
}

impl Output {
    /// Output on this process's stdout.
    #[must_use]
    pub fn new(json: bool) -> Output {
        Output { json, color: !json && wants_color(&std::io::stdout()) }
    }

    /// True where a script reads.
    #[must_use]
    pub const fn is_json(self) -> bool {
        self.json
    }

    /// One JSON object on a line of its own.
    ///
    /// # Panics
    /// Where the value cannot be JSON (a map whose keys are no text): a fault of the caller.
    pub fn object(self, value: &impl Serialize) {
        let mut line = serde_json::to_string(value).expect("results are plain data");
        line.push('\n');
        self.raw(&line);
    }

    /// The last object of a list: how many stand before it, and where the next part begins; null where
    /// there is none.
    pub fn end_list(self, count: u64, next: impl Serialize) {
        self.object(&json!({ "count": count, "next": next }));
    }

    /// The same of a list that is always given whole.
    pub fn end_whole_list(self, count: usize) {
        self.end_list(count as u64, ());
    }

    /// A line for a person.
    pub fn line(self, text: impl std::fmt::Display) {
        self.raw(&format!("{text}\n"));
    }

    /// Text as it stands.
    pub fn raw(self, text: &str) {
        let mut stdout = std::io::stdout().lock();
        let Err(error) = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) else {
            return;
        };
        if error.kind() == ErrorKind::BrokenPipe {
            // The reader has what it wanted.
            std::process::exit(0);
        }
        // Nobody can read what this process says: a result that is lost is not success.
        std::process::exit(1);
    }

    /// Text in a style, where the terminal shows it.
    #[must_use]
    pub fn styled(self, style: Style, text: impl std::fmt::Display) -> String {
        if self.color { style.paint(text) } else { text.to_string() }
    }

    /// A table.
    pub fn table(self, table: &Table) {
        self.raw(&table.render(self));
    }
}

/// A time as commands show it: RFC 3339, UTC, nanoseconds.
#[must_use]
pub fn time(time: TimeNs) -> String {
    Rfc3339(time).to_string()
}

/// Where a column's text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Rows under headings, each column as wide as its widest cell.
#[derive(Debug, Clone)]
pub struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    #[must_use]
    pub fn new(columns: &[(&'static str, Align)]) -> Table {
        Table { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    ///
    /// # Panics
    /// Where it has not one cell a column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().collect();
        assert_eq!(cells.len(), self.columns.len(), "one cell a column");
        self.rows.push(cells);
    }

    /// The table as text.
    #[must_use]
    pub fn render(&self, output: Output) -> String {
        let headings: Vec<String> =
            self.columns.iter().map(|(heading, _)| (*heading).to_owned()).collect();
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.chain([self.columns[column].0.chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let mut text = output.styled(Style::Bold, self.render_row(&headings, &widths));
        text.push('\n');
        for row in &self.rows {
            text.push_str(&self.render_row(row, &widths));
            text.push('\n');
        }
        text
    }

    fn render_row(&self, cells: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for (column, cell) in cells.iter().enumerate() {
            let padding = " ".repeat(widths[column] - cell.chars().count());
            if column > 0 {
                line.push_str("  ");
            }
            match self.columns[column].1 {
                Align::Left => line.extend([cell, padding.as_str()]),
                Align::Right => line.extend([padding.as_str(), cell]),
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&[("ASSET", Align::Left), ("FREE", Align::Right)]);
        table.row(["BTC".into(), "1.5".into()]);
        table.row(["é".into(), "1000000".into()]);
        let plain = Output { json: false, color: false };
        assert_eq!(table.render(plain), "ASSET     FREE\nBTC        1.5\né      1000000\n");
        let colored = Output { json: false, color: true };
        assert!(table.render(colored).starts_with("\x1b[1mASSET     FREE\x1b[0m\n"));
    }
}
