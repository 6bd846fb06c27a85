//! Answers to questions for limits: collars, accounts, limited positions.
//!
//! Invariant: no answer is longer than a frame may be; a page has at most [`QUERY_ROWS_MAX`] rows.

use crate::command::PayloadError;
use crate::genesis::Account;
use crate::limits::{QUERY_ROWS_MAX, RESTRICTED_MAX};
use crate::types::{AccountId, Amount, InstrumentId, Quantity, Sequence};
use crate::wire::fields::{expect_size, split};
use crate::wire::frame::FrameWriter;
use crate::wire::message::{Rows, head};
use crate::wire::query::{
    CollarRow, LimitsHead, LimitsRow, PAYLOAD_MAX, PositionLimitRow, RestrictedRow,
};
use std::ops::Range;

const _: () = assert!(LimitsHead::SIZE + QUERY_ROWS_MAX * PositionLimitRow::SIZE <= PAYLOAD_MAX);
const _: () = assert!(CollarRow::SIZE <= PositionLimitRow::SIZE);
const _: () = assert!(LimitsRow::SIZE <= PositionLimitRow::SIZE);
const _: () = assert!(RestrictedRow::SIZE <= PositionLimitRow::SIZE);
const _: () = assert!(RESTRICTED_MAX <= u8::MAX as usize);

/// A page of limits, as it was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitsView<'a> {
    /// When, and where the next page begins.
    pub head: LimitsHead,
    /// Collars, in order of their instruments.
    pub collars: Rows<'a, CollarRow>,
    /// Accounts that say more than their number.
    pub accounts: Rows<'a, LimitsRow>,
    /// Restricted instruments of these accounts, one account after another.
    pub restricted: Rows<'a, RestrictedRow>,
    /// Limited positions, by account and then by instrument.
    pub positions: Rows<'a, PositionLimitRow>,
}

impl<'a> LimitsView<'a> {
    pub(crate) fn decode(payload: &'a [u8]) -> Result<LimitsView<'a>, PayloadError> {
        let (head, tail) = LimitsHead::decode_head(payload)?;
        let collars = usize::from(head.collars) * CollarRow::SIZE;
        let accounts = usize::from(head.accounts) * LimitsRow::SIZE;
        let restricted = usize::from(head.restricted) * RestrictedRow::SIZE;
        let positions = usize::from(head.positions) * PositionLimitRow::SIZE;
        let rows = collars + accounts + restricted + positions;
        expect_size(LimitsHead::SCHEMA, payload, LimitsHead::SIZE + rows)?;
        let (collars, tail) = split(LimitsHead::SCHEMA, tail, collars)?;
        let (accounts, tail) = split(LimitsHead::SCHEMA, tail, accounts)?;
        let (restricted, positions) = split(LimitsHead::SCHEMA, tail, restricted)?;
        Ok(LimitsView {
            head,
            collars: Rows::parse(collars)?,
            accounts: Rows::parse(accounts)?,
            restricted: Rows::parse(restricted)?,
            positions: Rows::parse(positions)?,
        })
    }

    /// Where the next page begins; none where this is the last one.
    #[must_use]
    pub fn next(&self) -> Option<(AccountId, InstrumentId)> {
        self.head.more.then_some((self.head.after_account, self.head.after_instrument))
    }

    /// The accounts, each with its restricted instruments.
    pub fn accounts(&self) -> impl Iterator<Item = (LimitsRow, Vec<InstrumentId>)> + use<'a> {
        let mut restricted = self.restricted.iter().map(|row| row.instrument);
        self.accounts.iter().map(move |row| {
            let own = restricted.by_ref().take(usize::from(row.restricted)).collect();
            (row, own)
        })
    }
}

impl From<&Account> for LimitsRow {
    fn from(account: &Account) -> LimitsRow {
        let limits = &account.limits;
        LimitsRow {
            account: account.id,
            group: account.group,
            self_trade: account.self_trade,
            quantity_max: Quantity(limits.quantity_max),
            notional_max: Amount(limits.notional_max),
            open_orders_max: limits.open_orders_max,
            rate_per_s: limits.rate_per_s,
            rate_burst: limits.rate_burst,
            restricted: limits.restricted.len() as u8,
        }
    }
}

/// A page of limits that is to be sent: at most [`QUERY_ROWS_MAX`] rows in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitsPage {
    /// The limits are as this command left them.
    pub sequence: Sequence,
    /// Where the next page begins, unless this is the last one.
    pub next: Option<(AccountId, InstrumentId)>,
    /// Collars.
    pub collars: Vec<CollarRow>,
    /// Accounts.
    pub accounts: Vec<LimitsRow>,
    /// Their restricted instruments.
    pub restricted: Vec<RestrictedRow>,
    /// Limited positions.
    pub positions: Vec<PositionLimitRow>,
}

impl LimitsPage {
    /// Appends the frame and gives its place.
    pub fn send(&self, client_sequence: u64, out: &mut Vec<u8>) -> Range<usize> {
        let LimitsPage { sequence, next, collars, accounts, restricted, positions } = self;
        let rows = collars.len() + accounts.len() + restricted.len() + positions.len();
        assert!(rows <= QUERY_ROWS_MAX, "the exchange gives no more rows than fit");
        let (after_account, after_instrument) = next.unwrap_or_default();
        let page = LimitsHead {
            sequence: *sequence,
            more: next.is_some(),
            after_account,
            after_instrument,
            collars: collars.len() as u16,
            accounts: accounts.len() as u16,
            restricted: restricted.len() as u16,
            positions: positions.len() as u16,
        };
        let mut writer = FrameWriter::begin(out, head(LimitsHead::SCHEMA, client_sequence));
        let payload = writer.payload();
        page.encode(payload);
        collars.iter().for_each(|row| row.encode(payload));
        accounts.iter().for_each(|row| row.encode(payload));
        restricted.iter().for_each(|row| row.encode(payload));
        positions.iter().for_each(|row| row.encode(payload));
        writer.seal()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::genesis::AccountLimits;
    use crate::limits::FRAME_MAX_BYTES;
    use crate::types::SelfTrade;
    use crate::wire::message::ServerMessage;
    use crate::wire::{Frame, OpenLimits};

    const LIMITS: OpenLimits = OpenLimits { frame_max: FRAME_MAX_BYTES, strict_reserved: true };

    fn account(id: u64, restricted: &[u32]) -> Account {
        let restricted = restricted.iter().copied().map(InstrumentId).collect();
        let limits = AccountLimits {
            quantity_max: 5,
            notional_max: 6,
            open_orders_max: 7,
            rate_per_s: 8,
            rate_burst: 9,
            restricted,
        };
        Account { id: AccountId(id), group: 4, self_trade: SelfTrade::CancelBoth, limits }
    }

    fn position(account: u64) -> PositionLimitRow {
        PositionLimitRow {
            account: AccountId(account),
            instrument: InstrumentId(1),
            net_max: Quantity(2),
            gross_max: Quantity(3),
            position: Quantity(-4),
            open_buy: Quantity(5),
            open_sell: Quantity(6),
        }
    }

    #[test]
    fn a_page_reads_back_as_it_was_and_the_longest_fits() {
        let accounts = [account(2, &[1, 3]), account(3, &[]), account(4, &[2])];
        let rows = |account: &Account| {
            let restricted = account.limits.restricted.iter();
            restricted.map(|&instrument| RestrictedRow { instrument }).collect::<Vec<_>>()
        };
        let page = LimitsPage {
            sequence: Sequence(9),
            next: Some((AccountId(5), InstrumentId(6))),
            collars: vec![CollarRow { instrument: InstrumentId(7), collar_bps: 8 }],
            accounts: accounts.iter().map(LimitsRow::from).collect(),
            restricted: accounts.iter().flat_map(rows).collect(),
            positions: vec![position(2), position(4)],
        };
        let mut out = Vec::new();
        let at = page.send(1, &mut out);
        let frame = Frame::open(&out[at], &LIMITS).expect("just sealed");
        let Ok(ServerMessage::Limits(view)) = ServerMessage::decode(&frame) else {
            panic!("no limits");
        };
        assert_eq!((view.head.sequence, view.next()), (page.sequence, page.next));
        assert_eq!(view.collars.iter().collect::<Vec<_>>(), page.collars);
        assert_eq!(view.positions.iter().collect::<Vec<_>>(), page.positions);
        let shown: Vec<(LimitsRow, Vec<InstrumentId>)> = view.accounts().collect();
        let sent = accounts.iter().map(|one| (one.into(), one.limits.restricted.clone()));
        assert_eq!(shown, sent.collect::<Vec<_>>());

        let longest =
            LimitsPage { positions: vec![position(2); QUERY_ROWS_MAX], ..LimitsPage::default() };
        let at = longest.send(1, &mut out);
        let frame = Frame::open(&out[at], &LIMITS).expect("within the longest frame");
        let Ok(ServerMessage::Limits(view)) = ServerMessage::decode(&frame) else {
            panic!("no limits");
        };
        assert_eq!((view.positions.len(), view.next()), (QUERY_ROWS_MAX, None));
    }

    #[test]
    fn a_page_that_lies_about_its_rows_is_refused() {
        let page = LimitsPage { positions: vec![position(2)], ..LimitsPage::default() };
        let mut out = Vec::new();
        let at = page.send(1, &mut out);
        let frame = Frame::open(&out[at], &LIMITS).expect("just sealed");
        let payload = frame.payload();
        assert!(LimitsView::decode(payload).is_ok());
        assert!(LimitsView::decode(&payload[..payload.len() - 1]).is_err());
        assert!(LimitsView::decode(&[payload, &[0]].concat()).is_err());
        let mut other = payload.to_vec();
        // One account instead of one position.
        (other[LimitsHead::SIZE - 1], other[LimitsHead::SIZE - 5]) = (0, 1);
        assert!(LimitsView::decode(&other).is_err());
    }
}
