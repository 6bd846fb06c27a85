//! Restraint: how a gateway slows and refuses those whom it lets in. Plain state: time comes in.
//!
//! Under pressure a session's new orders are held for a while and its cancels pass; LOW and BATCH are
//! refused and told when to try again; CRITICAL and HIGH go on. Beside that, a session may have a rate
//! of requests, and a key has one of signatures, each a token bucket.

use crate::command::Command;
use crate::limits::FRAME_MAX_BYTES;
use crate::types::{AccountId, ClientOrderId};

/// Frames held for one connection at most.
const HELD_FRAMES_MAX: usize = 256;
/// Bytes held for one connection at most.
const HELD_BYTES_MAX: usize = 32 * 1024;
const _: () = assert!(FRAME_MAX_BYTES <= HELD_BYTES_MAX);

/// A token bucket: so many at once, and as many again in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// What is left, in shares of which `window_ms` make one token.
    left: u64,
    since_ms: u64,
}

/// How much a bucket holds, and in which time it fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Tokens of a full bucket.
    pub max: u32,
    /// Milliseconds in which an empty one fills.
    pub window_ms: u32,
}

impl Bucket {
    /// A full bucket.
    #[must_use]
    pub fn full(rate: Rate, now_ms: u64) -> Bucket {
        Bucket { left: u64::from(rate.max) * u64::from(rate.window_ms), since_ms: now_ms }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// Milliseconds until there is one.
    pub fn take(&mut self, rate: Rate, now_ms: u64) -> Result<(), u32> {
        self.fill(rate, now_ms);
        let token = u64::from(rate.window_ms);
        if self.left >= token {
            self.left -= token;
            return Ok(());
        }
        let missing = token - self.left;
        let wait_ms = missing.div_ceil(u64::from(rate.max).max(1));
        Err(u32::try_from(wait_ms).unwrap_or(u32::MAX))
    }

    /// True where it is full again, so that a new one would be the same.
    pub fn is_full(&mut self, rate: Rate, now_ms: u64) -> bool {
        self.fill(rate, now_ms);
        self.left == u64::from(rate.max) * u64::from(rate.window_ms)
    }

    fn fill(&mut self, rate: Rate, now_ms: u64) {
        let elapsed_ms = now_ms.saturating_sub(self.since_ms);
        self.since_ms = now_ms;
        let most = u64::from(rate.max) * u64::from(rate.window_ms);
        let more = elapsed_ms.saturating_mul(u64::from(rate.max));
        self.left = self.left.saturating_add(more).min(most);
    }
}

/// What a session may still send: requests, and cancels beside them.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    requests: Bucket,
    cancels: Bucket,
}

impl Allowance {
    /// Everything.
    #[must_use]
    pub fn full(rate: Rate, now_ms: u64) -> Allowance {
        let bucket = Bucket::full(rate, now_ms);
        Allowance { requests: bucket, cancels: bucket }
    }

    /// Takes what one request costs.
    ///
    /// # Errors
    /// Milliseconds until there is enough.
    pub fn take(&mut self, is_cancel: bool, rate: Rate, now_ms: u64) -> Result<(), u32> {
        let bucket = if is_cancel { &mut self.cancels } else { &mut self.requests };
        bucket.take(rate, now_ms)
    }

    /// True where nothing is missing.
    pub fn is_full(&mut self, rate: Rate, now_ms: u64) -> bool {
        self.requests.is_full(rate, now_ms) && self.cancels.is_full(rate, now_ms)
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
        if let Some(Command::NewOrder(order)) = command
            && order.client_order_id.0 != 0
        {
            self.orders.push((order.account, order.client_order_id));
        }
        true
    }

    /// True where `command` is a cancel and the order it names is not held.
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
    use crate::command::{CancelOrder, NewOrder};
    use crate::types::{InstrumentId, OrderId, OrderType, Price, Quantity, Side, TimeInForce};

    const USUAL: Rate = Rate { max: 500, window_ms: 60_000 };

    #[test]
    fn the_first_request_beyond_the_rate_is_told_when_to_come_again() {
        let mut bucket = Bucket::full(USUAL, 1_000);
        for number in 0..500 {
            assert_eq!(bucket.take(USUAL, 1_000), Ok(()), "{number}");
        }
        assert_eq!(bucket.take(USUAL, 1_000), Err(120));
        assert_eq!(bucket.take(USUAL, 1_119), Err(1));
        assert_eq!(bucket.take(USUAL, 1_120), Ok(()));
        assert_eq!(bucket.take(USUAL, 1_120), Err(120));
        let later = 1_120 + 60_000;
        assert!(bucket.is_full(USUAL, later));
        assert_eq!((0..600).filter(|_| bucket.take(USUAL, later).is_ok()).count(), 500);
    }

    #[test]
    fn a_bucket_never_gives_more_than_its_rate() {
        for seed in 1..50u64 {
            let rate = Rate { max: 1 + (seed % 7) as u32, window_ms: 100 + (seed % 13) as u32 };
            let mut bucket = Bucket::full(rate, 0);
            let (mut now, mut taken, mut random) = (0, 0u64, seed);
            for _ in 0..2_000 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                now += (random >> 60) % 5;
                taken += u64::from(bucket.take(rate, now).is_ok());
                let most =
                    u64::from(rate.max) + now * u64::from(rate.max) / u64::from(rate.window_ms);
                assert!(taken <= most, "seed {seed}: {taken} by {now} ms");
            }
        }
    }

    #[test]
    fn cancels_have_a_bucket_of_their_own() {
        let mut allowance = Allowance::full(USUAL, 0);
        while allowance.take(false, USUAL, 0).is_ok() {}
        assert_eq!(allowance.take(true, USUAL, 0), Ok(()));
        assert!(!allowance.is_full(USUAL, 0));
        assert!(allowance.is_full(USUAL, 60_000));
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
        let order: Command = NewOrder {
            account: AccountId(2),
            instrument: InstrumentId(1),
            side: Side::Buy,
            order_type: OrderType::Limit,
            time_in_force: TimeInForce::Gtc,
            flags: 0,
            price: Price(1),
            quantity: Quantity(1),
            client_order_id: ClientOrderId(7),
        }
        .into();
        let mut held = Held::new(usize::MAX, 500);
        assert!(held.is_empty() && held.lets_pass(&cancel(0, 7)));
        assert!(held.hold(&[1, 2, 3], Some(&order)));
        assert!(!held.lets_pass(&cancel(0, 7)), "it would find nothing to cancel");
        assert!(held.lets_pass(&cancel(0, 8)));
        assert!(held.lets_pass(&cancel(9, 0)));
        assert!(!held.lets_pass(&order));
        assert!(!held.hold(&vec![0; HELD_BYTES_MAX - 2], None), "no room");
        assert_eq!(held.release(&[4]), [1, 2, 3, 4]);
    }
}
