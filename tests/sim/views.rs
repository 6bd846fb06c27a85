//! Answers to queries, held against the state at the sequence that they name.

use openoutcry::event::Balance;
use openoutcry::exchange::{BookRow, Exchange, Outbox};
use openoutcry::journal::reader::Reader;
use openoutcry::journal::view::Verify;
use openoutcry::node::boot::Logs;
use openoutcry::node::state::State;
use openoutcry::types::{
    AccountId, InstrumentId, OrderId, Price, Quantity, Sequence, SessionId, Side,
};
use openoutcry::wire::query::{AccountView, BalanceRow, BookRows, BookView, OrderRow};
use std::collections::BTreeMap;

/// A row of a book: side, price, quantity, and the number of orders or the order's id.
type Row = (Side, Price, Quantity, u64);

/// What a client was shown.
#[derive(Clone, Debug)]
pub(crate) enum View {
    Book { instrument: InstrumentId, depth: u16, orders: bool, last_price: Price, rows: Vec<Row> },
    Account { account: AccountId, balances: Vec<BalanceRow>, orders: Vec<OrderRow> },
}

impl View {
    pub(crate) fn book(view: &BookView<'_>, depth: u16) -> View {
        let rows = match &view.rows {
            BookRows::Levels(rows) => {
                rows.iter().map(|r| (r.side, r.price, r.quantity, u64::from(r.orders))).collect()
            }
            BookRows::Orders(rows) => {
                rows.iter().map(|r| (r.side, r.price, r.quantity, r.order_id.0)).collect()
            }
        };
        let (instrument, last_price) = (view.head.instrument, view.head.last_price);
        View::Book { instrument, depth, orders: view.head.orders, last_price, rows }
    }

    pub(crate) fn account(view: &AccountView<'_>) -> View {
        View::Account {
            account: view.head.account,
            balances: view.balances.iter().collect(),
            orders: view.orders.iter().collect(),
        }
    }

    /// Compares with the state that it claims to show.
    fn check(&self, exchange: &Exchange) {
        match self {
            View::Book { instrument, depth, orders, last_price, rows } => {
                let mut found = Vec::new();
                let summary = exchange
                    .book(*instrument, *depth, *orders, &mut found)
                    .expect("only books that exist are shown");
                let row = |row: &BookRow| {
                    let last = if *orders { row.order_id.0 } else { u64::from(row.orders) };
                    (row.side, row.price, row.quantity, last)
                };
                assert_eq!(summary.last_price, *last_price, "a query shows its sequence");
                assert_eq!(found.iter().map(row).collect::<Vec<Row>>(), *rows, "{self:?}");
            }
            View::Account { account, balances, orders } => {
                let (mut have, mut live): (Vec<Balance>, Vec<_>) = (Vec::new(), Vec::new());
                exchange
                    .account(*account, OrderId(0), &mut have, &mut live)
                    .expect("only accounts that exist are shown");
                let have = have.iter().map(|b| (b.asset, b.available, b.frozen));
                let shown = balances.iter().map(|b| (b.asset, b.available, b.frozen));
                assert!(have.eq(shown), "a query shows its sequence: {self:?}");
                let live = live.iter().map(|o| (o.order_id, o.price, o.quantity, o.leaves));
                let shown = orders.iter().map(|o| (o.order_id, o.price, o.quantity, o.leaves));
                assert!(live.eq(shown), "a query shows its sequence: {self:?}");
            }
        }
    }
}

/// Everything that clients were shown.
#[derive(Default)]
pub(crate) struct Views {
    views: BTreeMap<Sequence, Vec<View>>,
    sessions: BTreeMap<String, SessionId>,
}

impl Views {
    pub(crate) fn add(&mut self, sequence: Sequence, view: View) {
        self.views.entry(sequence).or_default().push(view);
    }

    /// A client was given a session.
    pub(crate) fn logon(&mut self, name: &str, session: SessionId) {
        let before = self.sessions.entry(name.to_owned()).or_insert(session);
        assert_eq!(*before, session, "a key and a name are one session for ever: {name}");
    }

    /// The journal ends here now.
    pub(crate) fn cut(&mut self, tip: Sequence) {
        let lost = self.views.split_off(&tip.next());
        if !lost.is_empty() {
            self.sessions.clear();
        }
    }

    /// A power cut may have taken logons that were accepted.
    pub(crate) fn forget_sessions(&mut self) {
        self.sessions.clear();
    }

    /// Replays the journal, looks at the state at every sequence that was shown, and checks the
    /// exchange's invariants on the way. Returns the state at the end.
    pub(crate) fn check(&self, logs: &Logs, tip: Sequence) -> State {
        let mut reader = Reader::new(logs.commands.clone(), Sequence(1), Verify::Structure);
        let (mut state, mut outbox) = (State::new(), Outbox::default());
        while let Some(record) = reader.next_record(tip).expect("the journal is sound") {
            state.apply(&record, &mut outbox).expect("the node wrote what it can apply");
            for view in self.views.get(&record.sequence()).into_iter().flatten() {
                view.check(&state.exchange);
            }
            if record.sequence().0.is_multiple_of(50) {
                state.exchange.check();
            }
        }
        state.exchange.check();
        let beyond = self.views.range(tip.next()..).next();
        assert!(beyond.is_none(), "what was shown is there: {beyond:?} is beyond {tip}");
        state
    }
}
