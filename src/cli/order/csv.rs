//! A file of commands: one a line, columns by name in any order.
//!
//! Invariants: a file is checked as a whole before any of it is used; what is wrong is told with line
//! and column; a value in a column that its action does not have is an error, never ignored.

use super::build::{Entry, Filters, Request, Which};
use super::{parse_self_trade, parse_side, parse_sides, parse_tif, parse_time, parse_type};
use crate::types::{OrderType, Side, Sides};

/// Every column there is. `to_account` and `order_id` may be left out like all others that no line
/// uses.
pub(super) const COLUMNS: &[&str] = &[
    "action",
    "account",
    "symbol",
    "side",
    "type",
    "tif",
    "post_only",
    "price",
    "quantity",
    "client_order_id",
    "orig_client_order_id",
    "amount",
    "asset",
    "to_account",
    "order_id",
    "stop_price",
    "display",
    "min_quantity",
    "budget",
    "expires",
    "self_trade",
    "reprice",
    "mine",
];

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LineError {
    pub(super) line: usize,
    pub(super) column: String,
    pub(super) text: String,
}

impl std::fmt::Display for LineError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}, ", self.line)?;
        if !self.column.is_empty() {
            write!(f, "column {}: ", self.column)?;
        }
        f.write_str(&self.text)
    }
}

/// A command and the line it stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) number: usize,
    pub(super) request: Request<'a>,
}

/// Reads a whole file; all that is wrong with it, in order of lines.
pub(super) fn parse(text: &str) -> Result<Vec<Line<'_>>, Vec<LineError>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
        .filter(|(_, line)| !line.trim().is_empty());
    let Some((number, header)) = lines.next() else {
        let text =
            format!("the file is empty; its first line names columns: {}", COLUMNS.join(","));
        return Err(vec![LineError { line: 1, column: String::new(), text }]);
    };
    let columns = columns(number, header).map_err(|error| vec![error])?;
    let (mut requests, mut errors) = (Vec::new(), Vec::new());
    for (number, line) in lines {
        match Row::new(number, &columns, line).and_then(|row| row.request()) {
            Ok(request) => requests.push(Line { number, request }),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(requests) } else { Err(errors) }
}

/// The header line: the column of each place.
fn columns(line: usize, header: &str) -> Result<Vec<&'static str>, LineError> {
    let mut columns: Vec<&'static str> = Vec::new();
    for cell in cells(header) {
        let error = |text: String| LineError { line, column: cell.to_owned(), text };
        let known = COLUMNS.iter().find(|column| **column == cell);
        let column = known.ok_or_else(|| {
            error(format!("no such column; the first line names columns: {}", COLUMNS.join(",")))
        })?;
        if columns.contains(column) {
            return Err(error("stands twice".to_owned()));
        }
        columns.push(column);
    }
    if !columns.contains(&"action") {
        let text = "is missing: every line needs an action".to_owned();
        return Err(LineError { line, column: "action".to_owned(), text });
    }
    Ok(columns)
}

/// The cells of a line, without blanks and quotes around them. No value has a comma in it.
fn cells(line: &str) -> impl Iterator<Item = &str> {
    line.split(',').map(|cell| {
        let cell = cell.trim();
        cell.strip_prefix('"').and_then(|cell| cell.strip_suffix('"')).unwrap_or(cell)
    })
}

/// A line by its columns.
struct Row<'a> {
    number: usize,
    cells: Vec<(&'static str, &'a str)>,
}

impl<'a> Row<'a> {
    fn new(number: usize, columns: &[&'static str], line: &'a str) -> Result<Row<'a>, LineError> {
        let found: Vec<&str> = cells(line).collect();
        if found.len() != columns.len() {
            let text = format!("{} cells under {} columns", found.len(), columns.len());
            return Err(LineError { line: number, column: String::new(), text });
        }
        let cells = columns.iter().copied().zip(found).filter(|(_, cell)| !cell.is_empty());
        Ok(Row { number, cells: cells.collect() })
    }

    fn error(&self, column: &str, text: impl Into<String>) -> LineError {
        LineError { line: self.number, column: column.to_owned(), text: text.into() }
    }

    fn find(&self, column: &str) -> Option<&'a str> {
        self.cells.iter().find(|(name, _)| *name == column).map(|(_, cell)| *cell)
    }

    /// A value that the action needs.
    fn need(&self, column: &str) -> Result<&'a str, LineError> {
        self.find(column).ok_or_else(|| self.error(column, "is missing"))
    }

    fn number(&self, column: &str, text: &str) -> Result<u64, LineError> {
        let number = text.parse().ok().filter(|number| *number <= i64::MAX as u64);
        number.ok_or_else(|| self.error(column, format!("{text} is no whole number below 2^63")))
    }

    fn need_number(&self, column: &str) -> Result<u64, LineError> {
        self.number(column, self.need(column)?)
    }

    /// A number that may be left out: then it is 0.
    fn find_number(&self, column: &str) -> Result<u64, LineError> {
        self.find(column).map_or(Ok(0), |text| self.number(column, text))
    }

    fn word<T>(
        &self,
        column: &str,
        default: Option<T>,
        parse: fn(&str) -> Result<T, String>,
    ) -> Result<T, LineError> {
        match (self.find(column), default) {
            (Some(text), _) => {
                parse(text).map_err(|rule| self.error(column, format!("{text}: {rule}")))
            }
            (None, Some(default)) => Ok(default),
            (None, None) => Err(self.error(column, "is missing")),
        }
    }

    /// Refuses values in columns that the action does not have.
    fn only(&self, action: &str, allowed: &[&str]) -> Result<(), LineError> {
        let stray = |column: &str| column != "action" && !allowed.contains(&column);
        match self.cells.iter().find(|(column, _)| stray(column)) {
            Some((column, _)) => Err(self.error(column, format!("{action} has no {column}"))),
            None => Ok(()),
        }
    }

    fn which(&self) -> Result<Which, LineError> {
        let which = Which {
            order_id: self.find_number("order_id")?,
            orig_client_order_id: self.find_number("orig_client_order_id")?,
        };
        if which == (Which { order_id: 0, orig_client_order_id: 0 }) {
            let text = "is missing: name the order by it, or by order_id";
            return Err(self.error("orig_client_order_id", text));
        }
        Ok(which)
    }

    fn request(&self) -> Result<Request<'a>, LineError> {
        let action = self.need("action")?;
        match action {
            "new" => self.new_order(),
            "cancel" => {
                self.only(action, &["account", "symbol", "order_id", "orig_client_order_id"])?;
                Ok(Request::Cancel {
                    account: self.need_number("account")?,
                    symbol: self.need("symbol")?,
                    which: self.which()?,
                })
            }
            "replace" => {
                let columns = ["account", "symbol", "order_id", "orig_client_order_id"];
                self.only(action, &[&columns[..], &["price", "quantity"]].concat())?;
                Ok(Request::Replace {
                    account: self.need_number("account")?,
                    symbol: self.need("symbol")?,
                    which: self.which()?,
                    price: self.need("price")?,
                    quantity: self.need("quantity")?,
                })
            }
            "mass-cancel" => self.mass_cancel(),
            "deposit" | "withdraw" | "transfer" => self.money(action),
            other => {
                let known = "new, cancel, replace, mass-cancel, deposit, withdraw or transfer";
                Err(self.error("action", format!("{other}: write {known}")))
            }
        }
    }

    fn new_order(&self) -> Result<Request<'a>, LineError> {
        let columns = ["account", "symbol", "side", "type", "tif", "post_only", "price"];
        let more = ["stop_price", "display", "min_quantity", "budget", "expires", "self_trade"];
        let rest = ["reprice", "quantity", "client_order_id"];
        self.only("new", &[&columns[..], &more, &rest].concat())?;
        // What is missing is told in the order of the columns.
        let (account, symbol) = (self.need_number("account")?, self.need("symbol")?);
        let side = self.word::<Side>("side", None, parse_side)?;
        let order_type = self.word("type", Some(OrderType::Limit), parse_type)?;
        let budget = self.find("budget");
        Ok(Request::New(Entry {
            account,
            symbol,
            side,
            order_type,
            tif: self.word("tif", Some(None), |text| parse_tif(text).map(Some))?,
            post_only: self.word("post_only", Some(false), parse_yes)?,
            reprice: self.word("reprice", Some(false), parse_yes)?,
            self_trade: self
                .word("self_trade", Some(None), |text| parse_self_trade(text).map(Some))?,
            price: match order_type {
                OrderType::Limit | OrderType::StopLimit => Some(self.need("price")?),
                OrderType::Market | OrderType::Stop => self.find("price"),
            },
            quantity: match budget {
                Some(_) => self.find("quantity"),
                None => Some(self.need("quantity")?),
            },
            stop_price: match order_type {
                OrderType::Stop | OrderType::StopLimit => Some(self.need("stop_price")?),
                OrderType::Market | OrderType::Limit => self.find("stop_price"),
            },
            display: self.find("display"),
            min_quantity: self.find("min_quantity"),
            budget,
            expires: self.word("expires", Some(None), |text| parse_time(text).map(Some))?,
            client_order_id: self.find_number("client_order_id")?,
        }))
    }

    fn mass_cancel(&self) -> Result<Request<'a>, LineError> {
        let columns = ["account", "symbol", "side", "mine"];
        self.only("mass-cancel", &columns)?;
        let mine = self.word("mine", Some(false), parse_yes)?;
        let filters = ["account", "symbol", "side"];
        if !mine && filters.iter().all(|column| self.find(column).is_none()) {
            let text =
                "a mass-cancel needs one, or symbol, side or mine: it would cancel all orders";
            return Err(self.error("account", text));
        }
        Ok(Request::MassCancel(Filters {
            account: match self.find("account") {
                Some(_) => Some(self.need_number("account")?),
                None => None,
            },
            symbol: self.find("symbol"),
            sides: self.word("side", Some(Sides::Both), parse_sides)?,
            session: None,
            mine,
        }))
    }

    fn money(&self, action: &str) -> Result<Request<'a>, LineError> {
        let mut columns = vec!["account", "asset", "amount"];
        if action == "transfer" {
            columns.push("to_account");
        }
        self.only(action, &columns)?;
        let account = self.need_number("account")?;
        let (asset, amount) = (self.need("asset")?, self.need("amount")?);
        Ok(match action {
            "deposit" => Request::Deposit { account, asset, amount },
            "withdraw" => Request::Withdraw { account, asset, amount },
            _ => Request::Transfer {
                from: account,
                to: self.need_number("to_account")?,
                asset,
                amount,
            },
        })
    }
}

fn parse_yes(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("write yes or no".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{SelfTrade, TimeInForce, TimeNs};

    fn first_error(text: &str) -> String {
        parse(text).expect_err("something is wrong")[0].to_string()
    }

    #[test]
    fn columns_may_stand_in_any_order_and_be_left_out() {
        let text = "\u{feff}price,action,side,quantity,symbol,account\r\n\
                    100.5,new,buy,\"2\",BTC-USDT, 2 \r\n\r\n99,new,sell,1,BTC-USDT,3\r\n";
        let lines = parse(text).expect("a good file");
        assert_eq!(lines.iter().map(|line| line.number).collect::<Vec<_>>(), [2, 4]);
        assert_eq!(
            lines[0].request,
            Request::New(Entry { price: Some("100.5"), quantity: Some("2"), ..entry() })
        );
    }

    /// A limit order of account 2 of which nothing more is said.
    fn entry() -> Entry<'static> {
        Entry {
            account: 2,
            symbol: "BTC-USDT",
            side: Side::Buy,
            order_type: OrderType::Limit,
            tif: None,
            post_only: false,
            reprice: false,
            self_trade: None,
            price: None,
            quantity: None,
            stop_price: None,
            display: None,
            min_quantity: None,
            budget: None,
            expires: None,
            client_order_id: 0,
        }
    }

    #[test]
    fn every_field_of_an_order_has_its_column() {
        let text = "action,account,symbol,side,type,tif,post_only,reprice,self_trade,price,quantity,\
                    stop_price,display,min_quantity,budget,expires\n\
                    new,2,BTC-USDT,buy,stop-limit,gtd,,,cancel-oldest,5,6,4,3,2,,2026-03-01T12:00:00Z\n\
                    new,2,BTC-USDT,buy,market,,,,,,,,,,7.5,\n\
                    new,2,BTC-USDT,buy,,day,yes,yes,,5,6,,,,,\n";
        let lines = parse(text).expect("a good file");
        let stop = Entry {
            order_type: OrderType::StopLimit,
            tif: Some(TimeInForce::Gtd),
            self_trade: Some(SelfTrade::CancelOldest),
            price: Some("5"),
            quantity: Some("6"),
            stop_price: Some("4"),
            display: Some("3"),
            min_quantity: Some("2"),
            expires: Some(TimeNs(1_772_366_400_000_000_000)),
            ..entry()
        };
        assert_eq!(lines[0].request, Request::New(stop));
        let budget = Entry { order_type: OrderType::Market, budget: Some("7.5"), ..entry() };
        assert_eq!(lines[1].request, Request::New(budget));
        let day = Entry {
            tif: Some(TimeInForce::Day),
            post_only: true,
            reprice: true,
            price: Some("5"),
            quantity: Some("6"),
            ..entry()
        };
        assert_eq!(lines[2].request, Request::New(day));
    }

    #[test]
    fn a_mass_cancel_has_the_filters_that_its_line_gives() {
        let text = "action,account,symbol,side,mine\n\
                    mass-cancel,2,,,\nmass-cancel,,BTC-USDT,sell,\nmass-cancel,,,,yes\n";
        let lines = parse(text).expect("a good file");
        let none =
            Filters { account: None, symbol: None, sides: Sides::Both, session: None, mine: false };
        for (line, expected) in lines.iter().zip([
            Filters { account: Some(2), ..none },
            Filters { symbol: Some("BTC-USDT"), sides: Sides::Sell, ..none },
            Filters { mine: true, ..none },
        ]) {
            assert_eq!(line.request, Request::MassCancel(expected));
        }
    }

    #[test]
    fn money_and_orders_by_number_are_read() {
        let text = "action,account,to_account,asset,amount,symbol,orig_client_order_id,order_id\n\
                    transfer,2,3,USDT,5,,,\nwithdraw,2,,USDT,5,,,\ncancel,2,,,,BTC-USDT,7,\n\
                    cancel,2,,,,BTC-USDT,,9\n";
        let lines = parse(text).expect("a good file");
        assert_eq!(
            lines[0].request,
            Request::Transfer { from: 2, to: 3, asset: "USDT", amount: "5" }
        );
        let which = Which { order_id: 0, orig_client_order_id: 7 };
        assert_eq!(lines[2].request, Request::Cancel { account: 2, symbol: "BTC-USDT", which });
    }

    #[test]
    fn what_is_wrong_is_told_with_line_and_column() {
        for (text, expected) in [
            ("", "line 1, the file is empty; its first line names columns: action,account"),
            ("action,colour\n", "line 1, column colour: no such column"),
            ("account\n2\n", "line 1, column action: is missing"),
            ("action,action\n", "line 1, column action: stands twice"),
            ("action,account\nnew\n", "line 2, 1 cells under 2 columns"),
            ("action,account\n\nbuy,2\n", "line 3, column action: buy: write new, cancel"),
            ("action,account\nnew,2\n", "line 2, column symbol: is missing"),
            ("action,account\nnew,-2\n", "line 2, column account: -2 is no whole number"),
            (
                "action,account,symbol,side\nnew,2,X,up\n",
                "line 2, column side: up: write buy or sell",
            ),
            (
                "action,account,symbol,side,type,quantity\nnew,2,X,buy,stop,1\n",
                "line 2, column stop_price: is missing",
            ),
            (
                "action,account,symbol,side,type\nnew,2,X,buy,iceberg\n",
                "line 2, column type: iceberg: write limit, and give --display",
            ),
            (
                "action,account,symbol,side,price,quantity,expires\nnew,2,X,buy,1,1,tomorrow\n",
                "line 2, column expires: tomorrow: write a time in UTC such as 2026-03-01T12:00:00Z",
            ),
            ("action,mine\nmass-cancel,no\n", "line 2, column account: a mass-cancel needs one"),
            ("action,price\nmass-cancel,1\n", "line 2, column price: mass-cancel has no price"),
            (
                "action,account,symbol,side,type\nnew,2,X,buy,market\n",
                "line 2, column quantity: is missing",
            ),
            ("action,account,price\ndeposit,2,5\n", "line 2, column price: deposit has no price"),
            (
                "action,account,symbol\ncancel,2,X\n",
                "line 2, column orig_client_order_id: is missing",
            ),
        ] {
            let error = first_error(text);
            assert!(error.starts_with(expected), "{text:?}: {error}");
        }
        let both = parse("action\nnew\ncancel\n").expect_err("two lines are wrong");
        assert_eq!(both.iter().map(|error| error.line).collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn no_text_makes_the_reader_panic() {
        let columns =
            "action,account,symbol,side,type,tif,price,quantity,client_order_id,amount,asset";
        let cell = "new|cancel|deposit|buy|limit|gtc|-?[0-9.]{0,25}|\\PC{0,8}|\"|,|\n";
        let rows = proptest::collection::vec(cell, 0..60);
        proptest::proptest!(|(rows in rows, header in proptest::bool::ANY)| {
            let text = if header { format!("{columns}\n{}", rows.join(",")) } else { rows.join(",") };
            let _ = parse(&text);
        });
    }
}
