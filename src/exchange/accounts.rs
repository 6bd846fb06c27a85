//! Accounts and their balances: freeze, unfreeze, transfer.
//!
//! Balances lie in one dense array, a row of assets for each account, so that a balance is found
//! by a shift and an add.
//!
//! Invariants:
//! - Per asset, all balances together are zero: money enters and leaves only against account 1,
//!   the liability account.
//! - Only the liability account is ever negative, never below `-i64::MAX`. So whatever the other
//!   accounts own of an asset fits an `i64`, together and each, and no credit between them can
//!   overflow: [`Accounts::deposit`] is the only place that has to refuse.
//! - `frozen` is what the account's live orders hold, to the unit.
//! - Each balance that a command touched is noted once, in the order of first touch.

use super::index::{Hasher, Index};
use crate::event::{Balance, RejectReason};
use crate::packing::{Pack, Unfit, Unpack, ensure};
use crate::types::{AccountId, Amount, AssetId};

/// Balances that can be noted before the list of touched balances grows.
const TOUCHED_RESERVED: usize = 8192;
/// Balances, accounts times assets (rounded up to a power of two), that fit.
const CELLS_MAX: usize = 1 << 24;

/// Index of the liability account.
pub(super) const LIABILITY: u32 = 0;

/// One balance.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    available: i64,
    /// The round in which it was touched last. It stands between the two that are read together: as
    /// one wide load they would wait for the narrow stores before.
    round: u64,
    frozen: i64,
}

/// All accounts.
#[derive(Clone, Debug)]
pub(super) struct Accounts {
    ids: Vec<u64>,
    index: Index,
    hasher: Hasher,
    cells: Vec<Cell>,
    /// A row has `1 << shift` cells, of which the first `assets` are used.
    shift: u32,
    assets: usize,
    round: u64,
    touched: Vec<u32>,
}

impl Accounts {
    /// The liability account alone, and no asset.
    pub(super) fn new(hasher: Hasher) -> Accounts {
        let mut accounts = Accounts {
            ids: Vec::new(),
            index: Index::with_capacity(0),
            hasher,
            cells: Vec::new(),
            shift: 0,
            assets: 0,
            round: 0,
            touched: Vec::with_capacity(TOUCHED_RESERVED),
        };
        let added = accounts.add_account(AccountId::LIABILITY);
        assert!(added, "one account always fits");
        accounts
    }

    /// Adds an account with zero balances; false where the table of balances would be too large.
    pub(super) fn add_account(&mut self, id: AccountId) -> bool {
        let row = 1 << self.shift;
        if self.cells.len() + row > CELLS_MAX {
            return false;
        }
        let account = self.ids.len() as u32;
        self.ids.push(id.0);
        self.index.insert_growing(self.hasher.shared(id.0), account);
        self.cells.resize(self.cells.len() + row, Cell::default());
        true
    }

    /// Adds an asset; false where the table of balances would be too large.
    pub(super) fn add_asset(&mut self) -> bool {
        if self.assets == 1 << self.shift {
            let row = 1 << self.shift;
            if self.cells.len() * 2 > CELLS_MAX {
                return false;
            }
            let mut cells = vec![Cell::default(); self.cells.len() * 2];
            for (new, old) in cells.chunks_exact_mut(row * 2).zip(self.cells.chunks_exact(row)) {
                new[..row].copy_from_slice(old);
            }
            self.cells = cells;
            self.shift += 1;
        }
        self.assets += 1;
        true
    }

    /// Index of an account.
    #[inline]
    pub(super) fn find(&self, id: AccountId) -> Option<u32> {
        // Accounts are usually numbered without gaps: then their index is known without a search.
        let guess = id.0.wrapping_sub(1);
        if self.ids.get(usize::try_from(guess).unwrap_or(usize::MAX)) == Some(&id.0) {
            return Some(guess as u32);
        }
        self.index.find(self.hasher.shared(id.0), |account| self.ids[account as usize] == id.0)
    }

    /// Number of an account.
    #[inline]
    pub(super) fn id(&self, account: u32) -> AccountId {
        AccountId(self.ids[account as usize])
    }

    /// Numbers of all accounts, in order of definition.
    pub(super) fn ids(&self) -> impl ExactSizeIterator<Item = AccountId> {
        self.ids.iter().map(|&id| AccountId(id))
    }

    /// How many assets there are.
    pub(super) const fn asset_count(&self) -> usize {
        self.assets
    }

    /// Handle of a balance: `asset` is an asset's index, its number less one.
    #[inline]
    pub(super) const fn cell(&self, account: u32, asset: u32) -> u32 {
        account << self.shift | asset
    }

    /// A balance, as events and queries show it.
    #[inline]
    pub(super) fn balance(&self, cell: u32) -> Balance {
        let Cell { available, frozen, .. } = self.cells[cell as usize];
        Balance {
            account: self.id(cell >> self.shift),
            asset: AssetId((cell & ((1 << self.shift) - 1)) + 1),
            available: Amount(available),
            frozen: Amount(frozen),
        }
    }

    /// Forgets which balances were touched.
    #[inline]
    pub(super) fn begin(&mut self) {
        self.round += 1;
        self.touched.clear();
    }

    /// The balances touched, in the order of first touch.
    #[inline]
    pub(super) fn touched(&self) -> &[u32] {
        &self.touched
    }

    #[inline]
    fn touch(&mut self, cell: u32) -> &mut Cell {
        let balance = &mut self.cells[cell as usize];
        if balance.round != self.round {
            balance.round = self.round;
            self.touched.push(cell);
        }
        balance
    }

    /// Changes what an order holds from `held` to `holds`; refuses where the account lacks the
    /// difference. A new order held nothing, a cancelled one holds nothing.
    #[inline]
    pub(super) fn hold(&mut self, cell: u32, held: i64, holds: i64) -> Result<(), RejectReason> {
        let more = holds - held;
        if more > self.cells[cell as usize].available {
            return Err(RejectReason::InsufficientFunds);
        }
        let balance = self.touch(cell);
        assert!(balance.frozen >= held, "an order's hold is part of what is frozen");
        balance.available -= more;
        balance.frozen += more;
        Ok(())
    }

    /// Gives a hold back to what is available.
    #[inline]
    pub(super) fn unfreeze(&mut self, cell: u32, amount: i64) {
        let balance = self.touch(cell);
        assert!(balance.frozen >= amount, "an order's hold is part of what is frozen");
        balance.frozen -= amount;
        balance.available += amount;
    }

    /// Spends a hold: the other party's [`credit`](Self::credit) is its other half.
    #[inline]
    pub(super) fn spend(&mut self, cell: u32, amount: i64) {
        let balance = self.touch(cell);
        assert!(balance.frozen >= amount, "an order's hold is part of what is frozen");
        balance.frozen -= amount;
    }

    /// Ends a hold, of which so much is spent; the rest is available again.
    #[inline]
    pub(super) fn spend_of(&mut self, cell: u32, held: i64, spent: i64) {
        let balance = self.touch(cell);
        assert!(balance.frozen >= held, "an order's hold is part of what is frozen");
        balance.frozen -= held;
        balance.available += held - spent;
    }

    /// Adds to what is available.
    #[inline]
    pub(super) fn credit(&mut self, cell: u32, amount: i64) {
        let balance = self.touch(cell);
        balance.available = balance
            .available
            .checked_add(amount)
            .expect("all that accounts own of an asset fits an i64");
    }

    /// Moves available balance of an asset between two accounts, neither of them the liability
    /// account.
    pub(super) fn transfer(
        &mut self,
        from: u32,
        to: u32,
        asset: u32,
        amount: i64,
    ) -> Result<(), RejectReason> {
        let (from, to) = (self.cell(from, asset), self.cell(to, asset));
        if amount > self.cells[from as usize].available {
            return Err(RejectReason::InsufficientFunds);
        }
        self.touch(from).available -= amount;
        self.credit(to, amount);
        Ok(())
    }

    /// Credits an account against the liability account.
    pub(super) fn deposit(&mut self, to: u32, asset: u32, amount: i64) -> Result<(), RejectReason> {
        let liability = self.cell(LIABILITY, asset);
        match self.cells[liability as usize].available.checked_sub(amount) {
            None | Some(i64::MIN) => return Err(RejectReason::Overflow),
            Some(owed) => self.touch(liability).available = owed,
        }
        self.credit(self.cell(to, asset), amount);
        Ok(())
    }

    /// Debits an account against the liability account.
    pub(super) fn withdraw(
        &mut self,
        from: u32,
        asset: u32,
        amount: i64,
    ) -> Result<(), RejectReason> {
        let cell = self.cell(from, asset);
        if amount > self.cells[cell as usize].available {
            return Err(RejectReason::InsufficientFunds);
        }
        self.touch(cell).available -= amount;
        self.credit(self.cell(LIABILITY, asset), amount);
        Ok(())
    }

    /// Packs the numbers of all accounts, and every balance that is not zero by the places of account
    /// and asset.
    pub(super) fn pack(&self, pack: &mut Pack) {
        // The rest is made again, or forgotten with each command.
        let Accounts { ids, index: _, hasher: _, cells, shift, assets: _, round: _, touched: _ } =
            self;
        pack.count(ids.len());
        ids.iter().for_each(|&id| pack.u64(id));
        let is_zero = |cell: &Cell| cell.available == 0 && cell.frozen == 0;
        pack.count(cells.iter().filter(|cell| !is_zero(cell)).count());
        for (at, cell) in (0u32..).zip(cells).filter(|(_, cell)| !is_zero(cell)) {
            let Cell { available, round: _, frozen } = cell;
            pack.u32(at >> shift);
            pack.u32(at & ((1 << shift) - 1));
            pack.i64(*available);
            pack.i64(*frozen);
        }
    }

    /// Reads the balances behind the numbers of all accounts, which are defined.
    pub(super) fn unpack_balances(&mut self, unpack: &mut Unpack<'_>) -> Result<(), Unfit> {
        let mut next = 0;
        for _ in 0..unpack.count(24)? {
            let (account, asset) = (unpack.u32()?, unpack.u32()?);
            let (available, frozen) = (unpack.i64()?, unpack.i64()?);
            let known = (account as usize) < self.ids.len() && (asset as usize) < self.assets;
            ensure(known, "a balance of an unknown account or asset")?;
            let cell = self.cell(account, asset);
            ensure(cell >= next, "balances are not in order")?;
            ensure(available != 0 || frozen != 0, "a balance of zero is noted")?;
            let good = match account {
                LIABILITY => available < 0 && available > i64::MIN && frozen == 0,
                _ => available >= 0 && frozen >= 0,
            };
            ensure(good, "a balance has the wrong sign")?;
            self.cells[cell as usize] = Cell { available, round: 0, frozen };
            next = cell + 1;
        }
        for asset in 0..self.assets as u32 {
            let of_asset = (0..self.ids.len() as u32).map(|account| self.cell(account, asset));
            let sum: i128 = of_asset
                .map(|cell| &self.cells[cell as usize])
                .map(|cell| i128::from(cell.available) + i128::from(cell.frozen))
                .sum();
            ensure(sum == 0, "the balances of an asset do not sum to zero")?;
        }
        Ok(())
    }

    /// True where exactly `held` is frozen, cell by cell.
    pub(super) fn freezes(&self, held: &[i64]) -> bool {
        self.cells.iter().map(|cell| cell.frozen).eq(held.iter().copied())
    }

    /// Checks the conservation law, signs, and that exactly `held` is frozen, cell by cell.
    pub(super) fn check(&self, held: &[i64]) {
        assert!(self.cells.len() == self.ids.len() << self.shift);
        assert!(held.len() == self.cells.len());
        for asset in 0..self.assets as u32 {
            let mut sum = 0i128;
            for account in 0..self.ids.len() as u32 {
                let cell = self.cell(account, asset) as usize;
                let Cell { available, frozen, .. } = self.cells[cell];
                sum += i128::from(available) + i128::from(frozen);
                assert!(frozen == held[cell], "what is frozen is what live orders hold");
                assert!(frozen >= 0);
                if account == LIABILITY {
                    assert!(available <= 0 && available > i64::MIN);
                    assert!(frozen == 0);
                } else {
                    assert!(available >= 0);
                }
            }
            assert!(sum == 0, "all balances of an asset sum to zero");
        }
        for (account, &id) in self.ids.iter().enumerate() {
            assert!(self.find(AccountId(id)) == Some(account as u32));
        }
    }

    /// Cells in the table, unused ones included.
    pub(super) fn cell_count(&self) -> usize {
        self.cells.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RejectReason::{InsufficientFunds, Overflow};

    /// Accounts 1, 2, 900 and one asset.
    fn accounts() -> Accounts {
        let mut accounts = Accounts::new(Hasher::new(1));
        assert!(accounts.add_asset());
        assert!(accounts.add_account(AccountId(2)));
        assert!(accounts.add_account(AccountId(900)));
        accounts.begin();
        accounts
    }

    fn both(accounts: &Accounts, account: u32) -> (i64, i64) {
        let balance = accounts.balance(accounts.cell(account, 0));
        (balance.available.0, balance.frozen.0)
    }

    #[test]
    fn accounts_are_found_with_and_without_gaps_in_their_numbers() {
        let accounts = accounts();
        assert_eq!(accounts.find(AccountId(1)), Some(LIABILITY));
        assert_eq!(accounts.find(AccountId(2)), Some(1));
        assert_eq!(accounts.find(AccountId(900)), Some(2));
        for unknown in [0, 3, 899, u64::MAX] {
            assert_eq!(accounts.find(AccountId(unknown)), None);
        }
    }

    #[test]
    fn a_new_asset_moves_every_balance_to_its_new_place() {
        let mut accounts = accounts();
        accounts.deposit(1, 0, 20).expect("fits");
        accounts.deposit(2, 0, 30).expect("fits");
        for _ in 0..9 {
            assert!(accounts.add_asset());
        }
        accounts.deposit(2, 9, 5).expect("fits");
        assert_eq!((both(&accounts, 1), both(&accounts, 2)), ((20, 0), (30, 0)));
        assert_eq!(accounts.balance(accounts.cell(2, 9)).asset, AssetId(10));
        accounts.check(&vec![0; accounts.cell_count()]);
    }

    #[test]
    fn two_accounts_end_where_the_sum_of_their_transfers_says() {
        let mut accounts = accounts();
        accounts.deposit(1, 0, 2000).expect("fits");
        accounts.deposit(2, 0, 2000).expect("fits");
        for turn in 0..1500 {
            if turn < 1000 {
                accounts.transfer(1, 2, 0, 1).expect("covered");
            }
            accounts.transfer(2, 1, 0, 1).expect("covered");
        }
        assert_eq!((both(&accounts, 1), both(&accounts, 2)), ((2500, 0), (1500, 0)));
    }

    #[test]
    fn a_refusal_changes_nothing_and_touches_nothing() {
        let mut accounts = accounts();
        accounts.deposit(1, 0, 100).expect("fits");
        accounts.begin();
        let cell = accounts.cell(1, 0);
        assert_eq!(accounts.hold(cell, 0, 101), Err(InsufficientFunds));
        assert_eq!(accounts.transfer(1, 2, 0, 101), Err(InsufficientFunds));
        assert_eq!(accounts.withdraw(1, 0, 101), Err(InsufficientFunds));
        assert_eq!(accounts.deposit(1, 0, i64::MAX - 99), Err(Overflow));
        assert_eq!(accounts.deposit(1, 0, i64::MAX), Err(Overflow));
        assert!(accounts.touched().is_empty());
        assert_eq!(both(&accounts, 1), (100, 0));
    }

    #[test]
    fn the_whole_supply_fits_one_account() {
        let mut accounts = accounts();
        accounts.deposit(1, 0, i64::MAX - 1).expect("fits");
        accounts.deposit(2, 0, 1).expect("fits");
        assert_eq!(accounts.deposit(2, 0, 1), Err(Overflow));
        accounts.transfer(2, 1, 0, 1).expect("covered");
        assert_eq!(both(&accounts, 1), (i64::MAX, 0));
        assert_eq!(both(&accounts, LIABILITY), (-i64::MAX, 0));
        accounts.check(&vec![0; accounts.cell_count()]);
        accounts.withdraw(1, 0, i64::MAX).expect("covered");
        assert_eq!(both(&accounts, LIABILITY), (0, 0));
    }

    #[test]
    fn a_balance_touched_twice_is_noted_once() {
        let mut accounts = accounts();
        accounts.deposit(1, 0, 100).expect("fits");
        accounts.hold(accounts.cell(1, 0), 0, 100).expect("covered");
        accounts.unfreeze(accounts.cell(1, 0), 40);
        assert_eq!(accounts.touched(), [accounts.cell(LIABILITY, 0), accounts.cell(1, 0)]);
        assert_eq!(both(&accounts, 1), (40, 60));
    }
}
