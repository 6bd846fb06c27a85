//! Restraint: how a gateway slows and refuses those whom it lets in. Plain state: time comes in.
//!
//! Under pressure a session's new orders are held for a while and its cancels pass; LOW and BATCH, their
//! cancels excepted, are refused and told when to try again; CRITICAL and HIGH go on. Beside that, a session may have a rate
//! of requests, and a key has one of signatures, each a token bucket that all gateways of the node share.

use crate::command::Command;
use crate::limits::{FRAME_MAX_BYTES, KEYS_MAX, SESSIONS_MAX};
use crate::types::{AccountId, ClientOrderId};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Frames held for one connection at most.
const HELD_FRAMES_MAX: usize = 256;
/// Bytes held for one connection at most.
const HELD_BYTES_MAX: usize = 32 * 1024;
const _: () = assert!(FRAME_MAX_BYTES <= HELD_BYTES_MAX);

/// How much a bucket holds, and in which time it fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Tokens of a full bucket.
    pub max: u32,
    /// Milliseconds in which an empty one fills.
    pub window_ms: u32,
}

impl Rate {
    /// Nanoseconds in which one token comes back, rounded up: never more than the rate.
    fn token_ns(self) -> u64 {
        (u64::from(self.window_ms) * 1_000_000).div_ceil(u64::from(self.max.max(1)))
    }
}

/// A token bucket that any number of threads take from: so many at once, and as many again in a window.
///
/// It is one number, the time at which it is full again, so that taking is one exchange and a bucket of
/// which nothing was taken needs no memory of its own.
#[derive(Debug, Default)]
pub struct Bucket(AtomicU64);

impl Bucket {
    /// Takes a token at `now_ns` of a clock that all who take share.
    ///
    /// # Errors
    /// Milliseconds until there is one.
    pub fn take(&self, rate: Rate, now_ns: u64) -> Result<(), u32> {
        if rate.max == 0 {
            return Err(rate.window_ms);
        }
        let token_ns = rate.token_ns();
        let empty_ns = token_ns * u64::from(rate.max);
        let after = |full_ns: u64| full_ns.max(now_ns) + token_ns;
        // Relaxed: the number publishes nothing but itself.
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_ns| {
            (after(full_ns) - now_ns <= empty_ns).then(|| after(full_ns))
        });
        taken.map(|_| ()).map_err(|full_ns| {
            let wait_ns = after(full_ns) - now_ns - empty_ns;
            u32::try_from(wait_ns.div_ceil(1_000_000)).unwrap_or(u32::MAX)
        })
    }
}

/// Buckets of one piece; pieces are made as numbers come.
const PIECE: usize = 1024;

/// A bucket for each number below a bound: all of a node's gateways take from the same.
#[derive(Debug)]
pub struct Buckets(Box<[OnceLock<Box<[Bucket]>>]>);

impl Buckets {
    /// Full buckets for numbers up to `most`.
    #[must_use]
    pub fn new(most: usize) -> Buckets {
        Buckets((0..=most / PIECE).map(|_| OnceLock::new()).collect())
    }

    /// The bucket of this number.
    ///
    /// # Panics
    /// If the number is above the bound.
    pub fn of(&self, number: u32) -> &Bucket {
        let at = number as usize;
        let piece =
            self.0[at / PIECE].get_or_init(|| (0..PIECE).map(|_| Bucket::default()).collect());
        &piece[at % PIECE]
    }
}

/// What sessions and keys may still send, counted for the whole node.
#[derive(Debug)]
pub struct Allowances {
    /// Requests of each session, and cancels beside them.
    pub requests: Buckets,
    /// See [`Allowances::requests`].
    pub cancels: Buckets,
    /// Signatures of each key.
    pub signatures: Buckets,
}

impl Default for Allowances {
    fn default() -> Allowances {
        Allowances {
            requests: Buckets::new(SESSIONS_MAX),
            cancels: Buckets::new(SESSIONS_MAX),
            signatures: Buckets::new(KEYS_MAX),
        }
    }
}

/// Frames of a slowed session that wait until its time is over.
#[derive(Debug, Default)]
pub struct Held {
    bytes: Vec<u8>,
    frames: usize,
    /// Client order ids of the new orders among them: a cancel that names one stays behind it.
    orders: Vec<(AccountId, ClientOrderId)>,
    /// Bytes that may be held: they go back into the receive buffer when their time is over.
    room: usize,
    /// When they go on, gateway milliseconds.
    pub until_ms: u64,
}

impl Held {
    /// Nothing yet, at most `room` bytes, until `until_ms`.
    #[must_use]
    pub fn new(room: usize, until_ms: u64) -> Held {
        Held { room: room.min(HELD_BYTES_MAX), until_ms, ..Held::default() }
    }

    /// Holds a frame. False where there is no room.
    pub fn hold(&mut self, frame: &[u8], command: Option<&Command>) -> bool {
        if self.frames == HELD_FRAMES_MAX || self.bytes.len() + frame.len() > self.room {
            return false;
        }
        self.bytes.extend_from_slice(frame);
        self.frames += 1;
        self.orders.extend(command.and_then(Command::enters));
        true
    }

    /// True where `command` cancels one order, and that is not held.
    #[must_use]
    pub fn lets_pass(&self, command: &Command) -> bool {
        let Command::CancelOrder(cancel) = command else { return false };
        let named = (cancel.account, cancel.orig_client_order_id);
        cancel.order_id.0 != 0 || !self.orders.contains(&named)
    }

    /// Bytes held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Frames held.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// True where nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames == 0
    }

    /// What is held, followed by `rest`.
    #[must_use]
    pub fn release(mut self, rest: &[u8]) -> Vec<u8> {
        self.bytes.extend_from_slice(rest);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{CancelOrder, EnterOrder, MassCancel, NewOrder};
    use crate::types::{
        Amount, InstrumentId, OrderId, OrderType, Price, Quantity, SessionId, Side, Sides,
        TimeInForce, TimeNs,
    };

    const USUAL: Rate = Rate { max: 500, window_ms: 60_000 };

    const MS: u64 = 1_000_000;

    #[test]
    fn the_first_request_beyond_the_rate_is_told_when_to_come_again() {
        let bucket = Bucket::default();
        for number in 0..500 {
            assert_eq!(bucket.take(USUAL, 1_000 * MS), Ok(()), "{number}");
        }
        assert_eq!(bucket.take(USUAL, 1_000 * MS), Err(120));
        assert_eq!(bucket.take(USUAL, 1_119 * MS), Err(1));
        assert_eq!(bucket.take(USUAL, 1_120 * MS), Ok(()));
        assert_eq!(bucket.take(USUAL, 1_120 * MS), Err(120));
        let later = (1_120 + 60_000) * MS;
        assert_eq!((0..600).filter(|_| bucket.take(USUAL, later).is_ok()).count(), 500);
        assert_eq!(bucket.take(Rate { max: 0, ..USUAL }, later), Err(60_000));
    }

    #[test]
    fn a_bucket_never_gives_more_than_its_rate() {
        for seed in 1..50u64 {
            let rate = Rate { max: 1 + (seed % 7) as u32, window_ms: 100 + (seed % 13) as u32 };
            let bucket = Bucket::default();
            let (mut now, mut taken, mut random) = (0, 0u64, seed);
            for _ in 0..2_000 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                now += (random >> 60) % 5;
                taken += u64::from(bucket.take(rate, now * MS).is_ok());
                let most =
                    u64::from(rate.max) + now * u64::from(rate.max) / u64::from(rate.window_ms);
                assert!(taken <= most, "seed {seed}: {taken} by {now} ms");
            }
        }
    }

    #[test]
    fn threads_that_take_together_get_no_more_than_one_alone() {
        let bucket = Bucket::default();
        let rate = Rate { max: 1_000, window_ms: 60_000 };
        let taken: usize = std::thread::scope(|scope| {
            let take = || (0..1_000).filter(|_| bucket.take(rate, 7).is_ok()).count();
            let threads = [(); 4].map(|()| scope.spawn(take));
            threads.into_iter().map(|thread| thread.join().expect("it ends")).sum()
        });
        assert_eq!(taken, 1_000);
    }

    #[test]
    fn every_number_has_a_bucket_of_its_own() {
        let allowances = Allowances::default();
        let rate = Rate { max: 1, window_ms: 1_000 };
        for number in [1, 1_023, 1_024, SESSIONS_MAX as u32] {
            assert_eq!(allowances.requests.of(number).take(rate, 0), Ok(()));
            assert!(allowances.requests.of(number).take(rate, 0).is_err());
            assert_eq!(allowances.cancels.of(number).take(rate, 0), Ok(()), "beside requests");
        }
        assert_eq!(allowances.signatures.of(KEYS_MAX as u32).take(rate, 0), Ok(()));
    }

    fn cancel(order_id: u64, client: u64) -> Command {
        CancelOrder {
            account: AccountId(2),
            instrument: InstrumentId(1),
            order_id: OrderId(order_id),
            orig_client_order_id: ClientOrderId(client),
        }
        .into()
    }

    #[test]
    fn a_cancel_passes_unless_its_order_is_held() {
        let order = NewOrder {
            account: AccountId(2),
            instrument: InstrumentId(1),
            side: Side::Buy,
            order_type: OrderType::Limit,
            time_in_force: TimeInForce::Gtc,
            flags: 0,
            price: Price(1),
            quantity: Quantity(1),
            client_order_id: ClientOrderId(7),
        };
        let NewOrder { account, instrument, side, order_type, time_in_force, price, .. } = order;
        let further = EnterOrder {
            account,
            instrument,
            side,
            order_type,
            time_in_force,
            flags: 0,
            price,
            quantity: order.quantity,
            stop_price: Price(0),
            display_quantity: Quantity(1),
            min_quantity: Quantity(0),
            budget: Amount(0),
            expires: TimeNs(0),
            client_order_id: ClientOrderId(8),
        };
        let (order, further) = (Command::from(order), Command::from(further));
        let mut held = Held::new(usize::MAX, 500);
        assert!(held.is_empty() && held.lets_pass(&cancel(0, 7)));
        assert!(held.hold(&[1, 2], Some(&order)));
        assert!(!held.lets_pass(&cancel(0, 7)), "it would find nothing to cancel");
        assert!(held.lets_pass(&cancel(0, 8)));
        assert!(held.hold(&[3], Some(&further)));
        assert!(!held.lets_pass(&cancel(0, 8)), "it would find nothing to cancel");
        assert!(held.lets_pass(&cancel(0, 9)));
        let all = MassCancel {
            account: AccountId(0),
            instrument: InstrumentId(0),
            sides: Sides::Both,
            session: SessionId(1),
        };
        assert!(!held.lets_pass(&all.into()), "it cancels what is held too");
        assert!(held.lets_pass(&cancel(9, 0)));
        assert!(!held.lets_pass(&order));
        assert!(!held.hold(&vec![0; HELD_BYTES_MAX - 2], None), "no room");
        assert_eq!(held.release(&[4]), [1, 2, 3, 4]);
    }
}
