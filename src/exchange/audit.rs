//! The whole state looked at: its invariants, and its fingerprint.

use super::Exchange;
use super::level::NONE;
use crate::admin::Controls;
use crate::genesis::GenesisItem;
use crate::packing::Pack;
use crate::types::{AccountId, OrderId, Side};
use sha2::{Digest, Sha256};

/// Names the order of what is hashed; a change of that order takes a new name.
const HASH_FORM: &[u8] = b"openoutcry exchange state 1";

impl Exchange {
    /// Checks every invariant of the exchange, the conservation law among them. It walks the whole
    /// state: for tests, simulation and audit.
    ///
    /// # Panics
    /// Where an invariant is broken.
    pub fn check(&self) {
        assert!(self.books.len() == self.instruments.len());
        assert!(self.rules.len() == self.instruments.len());
        self.orders.check();
        self.check_limited();
        self.sessions.check();
        self.schemas.check();
        self.passing.check(&self.sessions);
        self.check_walks();
        let (mut orders, mut levels, mut nodes) = (0, 0, 0);
        let mut held = vec![0i64; self.accounts.cell_count()];
        for (index, book) in (0..).zip(&self.books) {
            let counted = book.check(&self.levels, &self.orders, |orders, order, side| {
                let cold = orders.cold(order);
                let waits = orders.terms(order).waits();
                cold.instrument() == index && cold.side() == side && !waits
            });
            orders += counted.orders;
            levels += counted.levels;
            nodes += counted.nodes;
        }
        for (index, stops) in (0..).zip(&self.stops) {
            let orders_before = orders;
            for side in [Side::Buy, Side::Sell] {
                let counted =
                    stops.of(side).check(&self.levels, &self.orders, |orders, order, on| {
                        let cold = orders.cold(order);
                        let place = (cold.instrument(), cold.side(), on);
                        place == (index, side, side.opposite()) && orders.terms(order).waits()
                    });
                let first = stops.of(side).best_price(&self.levels, side.opposite());
                assert!(first.is_none_or(|stop| !self.is_reached(index, side, stop)));
                orders += counted.orders;
                levels += counted.levels;
                nodes += counted.nodes;
            }
            assert!(stops.count() == orders - orders_before, "waiting stops are counted");
        }
        assert!(orders == self.orders.count(), "every live order is in one queue");
        assert!(levels == self.levels.count(), "no level is lost");
        assert!(nodes == self.levels.node_count(), "no node is lost");
        for account in 0..self.accounts.ids().count() as u32 {
            let all = self.orders.of_account(account, OrderId(0));
            for order in all.into_iter().flatten() {
                let (leaves, cold) = (self.orders.leaves(order), self.orders.cold(order));
                let rules = &self.rules[cold.instrument() as usize];
                let price = self.price_of(order);
                assert!(rules.allows(price, cold.quantity), "checked at entry");
                let cell = self.accounts.cell(account, rules.held_asset(cold.side()));
                held[cell as usize] += rules.rest_of_hold(cold.side(), price, leaves);
            }
        }
        self.accounts.check(&held);
    }

    /// Adds the canonical state to a hash: the same on every node that has applied the same
    /// commands, whatever slots, tables and history of deletions it has.
    #[allow(clippy::should_implement_trait, reason = "a state hash is no std::hash::Hash")]
    pub fn hash(&self, sha: &mut Sha256) {
        sha.update(HASH_FORM);
        sha.update(self.sequence.0.to_be_bytes());
        self.hash_definitions(sha);
        self.hash_balances(sha);
        let mut specials = Vec::new();
        for book in &self.books {
            sha.update(book.last_price.0.to_be_bytes());
            for side in [Side::Buy, Side::Sell] {
                for (_, level) in book.levels(&self.levels, side) {
                    let mut order = level.head;
                    while order != NONE {
                        self.hash_order(order, sha);
                        if self.has_more_to_tell(order) {
                            specials.push(order);
                        }
                        order = self.orders.hot(order).next;
                    }
                }
                // An id of 0, which no order has, ends a side.
                sha.update(0u64.to_be_bytes());
            }
        }
        self.hash_specials(&specials, sha);
        let sessions = self.sessions.all();
        sha.update((sessions.len() as u64).to_be_bytes());
        for session in sessions {
            sha.update(session.key.0.to_be_bytes());
            sha.update(session.name);
            sha.update([u8::from(session.active)]);
            sha.update(session.outbound.to_be_bytes());
        }
        let mut numbered = self.sessions.numbered().peekable();
        if numbered.peek().is_some() {
            sha.update(b"numbered");
        }
        for (session, inbound) in numbered {
            sha.update(session.0.to_be_bytes());
            sha.update(inbound.to_be_bytes());
        }
        self.schemas.add_to_hash(sha);
        // Journals from before there were controls have the hash they had.
        if self.controls != Controls::default() {
            sha.update(self.controls.bulk_share.to_be_bytes());
            for max_batch in self.controls.max_batch {
                sha.update(max_batch.unwrap_or(0).to_be_bytes());
            }
        }
        // So have those of before there was anything that time brings.
        let mut passing = Pack::default();
        self.pack_passing(&mut passing);
        sha.update(passing.bytes());
        self.hash_limits(sha);
    }

    fn hash_definitions(&self, sha: &mut Sha256) {
        for item in self.definitions() {
            let bytes = item.encode();
            sha.update((bytes.len() as u64).to_be_bytes());
            sha.update(bytes);
        }
        sha.update(0u64.to_be_bytes());
    }

    /// What the exchange consists of now, as the items that would define it.
    pub fn definitions(&self) -> impl Iterator<Item = GenesisItem> {
        let settings = self.settings.iter().cloned().map(GenesisItem::Settings);
        settings
            .chain(self.assets.iter().cloned().map(GenesisItem::Asset))
            .chain(self.instruments.iter().cloned().map(GenesisItem::Instrument))
            .chain(self.account_definitions().map(GenesisItem::Account))
            .chain(self.keys.iter().cloned().map(GenesisItem::Key))
    }

    /// Balances that are not zero, in order of account and asset; account 0 ends them.
    fn hash_balances(&self, sha: &mut Sha256) {
        let mut ids: Vec<AccountId> = self.accounts.ids().collect();
        ids.sort_unstable();
        for id in ids {
            let account = self.accounts.find(id).expect("the account was listed");
            for asset in 0..self.accounts.asset_count() as u32 {
                let balance = self.accounts.balance(self.accounts.cell(account, asset));
                if balance.available.0 != 0 || balance.frozen.0 != 0 {
                    sha.update(id.0.to_be_bytes());
                    sha.update(balance.asset.0.to_be_bytes());
                    sha.update(balance.available.0.to_be_bytes());
                    sha.update(balance.frozen.0.to_be_bytes());
                }
            }
        }
        sha.update(0u64.to_be_bytes());
    }

    fn hash_order(&self, order: u32, sha: &mut Sha256) {
        let row = self.row(order);
        sha.update(row.order_id.0.to_be_bytes());
        sha.update(row.client_order_id.0.to_be_bytes());
        sha.update(row.account.0.to_be_bytes());
        sha.update(row.session.0.to_be_bytes());
        sha.update(row.price.0.to_be_bytes());
        sha.update(row.quantity.0.to_be_bytes());
        sha.update(row.leaves.0.to_be_bytes());
    }
}
