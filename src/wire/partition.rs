//! Which of the eight partitions a message belongs to (row S1.61).
//!
//! The hash is published and never changes: CRC-64/XZ of the key's bytes. A client and the node
//! therefore agree, and `tests/data/partition.txt` holds both to it.

use crate::types::Priority;
use crate::wire::integrity::crc64;

/// Partitions that exist.
pub const PARTITIONS: u8 = 8;

/// The partition of a message with this priority and key: 0 for critical, 1 for high, 2 to 5 for
/// normal, 6 and 7 for low and batch. One key keeps its partition within a priority.
#[must_use]
pub fn partition(priority: Priority, key: &[u8]) -> u8 {
    let among = |count: u64| (crc64(key) % count) as u8;
    match priority {
        Priority::Critical => 0,
        Priority::High => 1,
        Priority::Normal => 2 + among(4),
        Priority::Low | Priority::Batch => 6 + among(2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_priority_keeps_to_its_partitions() {
        let expected = [0..=0, 1..=1, 2..=5, 6..=7, 6..=7];
        for (priority, expected) in Priority::ALL.iter().zip(expected) {
            for key in 0..1000u32 {
                let partition = partition(*priority, &key.to_be_bytes());
                assert!(expected.contains(&partition), "{priority} {key}");
            }
        }
    }

    #[test]
    fn ten_thousand_keys_spread_within_ten_percent_of_even() {
        let names: [fn(u32) -> Vec<u8>; 3] = [
            |i| i.to_be_bytes().to_vec(),
            |i| u64::from(i).to_be_bytes().to_vec(),
            |i| format!("account-{i}").into_bytes(),
        ];
        for key in names {
            let mut counts = [0u32; PARTITIONS as usize];
            for i in 0..10_000 {
                counts[usize::from(partition(Priority::Normal, &key(i)))] += 1;
                counts[usize::from(partition(Priority::Batch, &key(i)))] += 1;
            }
            assert!(counts[2..6].iter().all(|count| (2250..=2750).contains(count)), "{counts:?}");
            assert!(counts[6..8].iter().all(|count| (4500..=5500).contains(count)), "{counts:?}");
        }
    }
}
