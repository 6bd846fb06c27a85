//! Rings, cursors and parking: how stages hand work to each other.
//!
//! [`ring`] wraps the `disruptor` crate and does not replace it. It adds what that crate leaves to
//! its user: publishing never waits (a full ring is an answer, [`Full`]), and a reader acknowledges
//! exactly what it has handled, even when it stops half-way through a batch.

mod cursor;
mod latest;
mod park;

pub use cursor::Cursor;
pub use latest::{Latest, LatestReader};
pub use park::{Parker, Unparker, is_wake};

use disruptor::{
    BusySpin, EventPoller, MultiConsumerBarrier, Producer, SingleConsumerBarrier, SingleProducer,
    SingleProducerBarrier, build_single_producer,
};

/// The smallest ring, used by tests to meet every full ring there is.
pub const SLOTS_MIN: usize = 2;

/// A ring had no free slot; nothing was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// The only writer of a ring.
pub struct Writer<E> {
    producer: Readers<E>,
}

/// How many readers gate the writer decides the type of the crate's barrier.
enum Readers<E> {
    One(SingleProducer<E, SingleConsumerBarrier>),
    Two(SingleProducer<E, MultiConsumerBarrier>),
}

/// One reader of a ring. Every reader gates the writer.
pub struct Reader<E> {
    poller: EventPoller<E, SingleProducerBarrier>,
}

/// Whether a reader took the slot or wants it again next time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// Handled: acknowledge it.
    Next,
    /// Handled: acknowledge it, and stop here.
    Last,
    /// Not handled: stop, and show it again next time.
    Stop,
}

/// A ring of `slots` (a power of two) with one reader.
pub fn ring<E: Send + Sync + 'static>(
    slots: usize,
    slot: impl FnMut() -> E,
) -> (Writer<E>, Reader<E>) {
    let (poller, builder) = build_single_producer(slots, slot, BusySpin).new_event_poller();
    (Writer { producer: Readers::One(builder.build()) }, Reader { poller })
}

/// A ring of `slots` (a power of two) with two readers that do not wait for each other.
pub fn ring_of_two<E: Send + Sync + 'static>(
    slots: usize,
    slot: impl FnMut() -> E,
) -> (Writer<E>, Reader<E>, Reader<E>) {
    let (first, builder) = build_single_producer(slots, slot, BusySpin).new_event_poller();
    let (second, builder) = builder.new_event_poller();
    let writer = Writer { producer: Readers::Two(builder.build()) };
    (writer, Reader { poller: first }, Reader { poller: second })
}

impl<E> Writer<E> {
    /// Claims the next slot, lets `fill` write it, and publishes it.
    ///
    /// # Errors
    /// [`Full`] where the slowest reader still holds the slot; `fill` was not called.
    #[inline]
    pub fn try_publish(&mut self, fill: impl FnOnce(&mut E)) -> Result<(), Full> {
        match &mut self.producer {
            Readers::One(producer) => producer.try_publish(fill),
            Readers::Two(producer) => producer.try_publish(fill),
        }
        .map(|_| ())
        .map_err(|_| Full)
    }
}

impl<E> Reader<E> {
    /// Hands up to `max` published slots to `handle`, in order, and returns how many it handled.
    /// Only those are acknowledged: the crate's guard would acknowledge the whole batch.
    #[inline]
    pub fn drain(&mut self, max: usize, mut handle: impl FnMut(&E) -> Take) -> usize {
        let Ok(mut batch) = self.poller.take(max as u64) else { return 0 };
        let mut handled = 0;
        let mut all = true;
        for slot in &mut batch {
            match handle(slot) {
                Take::Next => handled += 1,
                Take::Last => {
                    handled += 1;
                    all = false;
                    break;
                }
                Take::Stop => {
                    all = false;
                    break;
                }
            }
        }
        if all {
            return handled;
        }
        // Dropping the guard would acknowledge every slot of the batch; forgetting it acknowledges
        // none (it owns nothing), and taking exactly the handled ones again acknowledges those.
        std::mem::forget(batch);
        if handled > 0 {
            drop(self.poller.take(handled as u64));
        }
        handled
    }

    /// How many slots are published and not yet acknowledged.
    #[must_use]
    #[inline]
    pub fn available(&mut self) -> usize {
        let Ok(mut batch) = self.poller.poll() else { return 0 };
        let slots = &mut batch;
        let count = slots.len();
        // As in `drain`: dropped, the guard would acknowledge them.
        std::mem::forget(batch);
        count
    }

    /// True where something is published and not yet read.
    #[must_use]
    pub fn has_events(&self) -> bool {
        self.poller.has_available()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_ring_refuses_and_keeps_what_it_holds() {
        let (mut writer, mut reader) = ring(SLOTS_MIN, || 0u32);
        assert_eq!(writer.try_publish(|slot| *slot = 1), Ok(()));
        assert_eq!(writer.try_publish(|slot| *slot = 2), Ok(()));
        assert_eq!(writer.try_publish(|slot| *slot = 3), Err(Full));
        let mut seen = Vec::new();
        reader.drain(10, |slot| {
            seen.push(*slot);
            Take::Next
        });
        assert_eq!(seen, [1, 2]);
        assert_eq!(writer.try_publish(|slot| *slot = 3), Ok(()));
    }

    #[test]
    fn a_slot_that_was_not_taken_is_shown_again() {
        let (mut writer, mut reader) = ring(8, || 0u32);
        for value in 1..=5 {
            writer.try_publish(|slot| *slot = value).expect("the ring has eight slots");
        }
        let mut seen = Vec::new();
        let handled = reader.drain(10, |slot| {
            if *slot == 3 {
                return Take::Stop;
            }
            seen.push(*slot);
            Take::Next
        });
        assert_eq!((handled, &seen[..]), (2, &[1, 2][..]));
        let handled = reader.drain(10, |slot| {
            seen.push(*slot);
            if *slot == 4 { Take::Last } else { Take::Next }
        });
        assert_eq!((handled, &seen[..]), (2, &[1, 2, 3, 4][..]));
        assert!(reader.has_events());
        assert_eq!(reader.drain(10, |_| Take::Next), 1);
        assert!(!reader.has_events());
    }

    #[test]
    fn counting_what_waits_takes_nothing() {
        let (mut writer, mut reader) = ring(8, || 0u32);
        assert_eq!(reader.available(), 0);
        for value in 1..=5 {
            writer.try_publish(|slot| *slot = value).expect("the ring has eight slots");
        }
        assert_eq!((reader.available(), reader.available()), (5, 5));
        assert_eq!(reader.drain(2, |_| Take::Next), 2);
        assert_eq!(reader.available(), 3);
        let mut seen = Vec::new();
        reader.drain(10, |slot| {
            seen.push(*slot);
            Take::Next
        });
        assert_eq!((seen, reader.available()), (vec![3, 4, 5], 0));
    }

    #[test]
    fn the_slower_of_two_readers_holds_the_writer() {
        let (mut writer, mut fast, mut slow) = ring_of_two(2, || 0u32);
        for _ in 0..2 {
            writer.try_publish(|slot| *slot = 7).expect("the ring has two slots");
        }
        assert_eq!(fast.drain(10, |_| Take::Next), 2);
        assert_eq!(writer.try_publish(|_| {}), Err(Full));
        assert_eq!(slow.drain(1, |_| Take::Next), 1);
        assert_eq!(writer.try_publish(|_| {}), Ok(()));
    }

    #[test]
    fn two_threads_pass_every_slot_in_order() {
        let (mut writer, mut reader) = ring(4, || 0u64);
        let count = 200_000;
        let sender = std::thread::spawn(move || {
            for value in 0..count {
                while writer.try_publish(|slot| *slot = value).is_err() {
                    std::thread::yield_now();
                }
            }
            writer
        });
        let mut next = 0;
        while next < count {
            let handled = reader.drain(3, |slot| {
                assert_eq!(*slot, next);
                next += 1;
                Take::Next
            });
            if handled == 0 {
                std::thread::yield_now();
            }
        }
        drop(sender.join().expect("the sender ends by itself"));
    }
}
