//! Messages in a stream of bytes: where one ends, and what is none.
//!
//! A garbled message gets no answer and uses up no number (FIX calls for that); its sender notices by the
//! gap. What counts as garbled: a wrong CheckSum, BeginString, BodyLength and MsgType not in front and in
//! this order, a BodyLength that is no number or too short for its message. One that is too long is
//! waited for as long as it says; what then has no CheckSum at its end is garbled, and the search for the
//! next message begins behind its own first bytes, so that no message behind it is lost.
//!
//! Invariant: each byte is looked at a bounded number of times, however the stream was made. The head of a
//! message has a bounded size, and the body is summed only where a CheckSum field stands at its end, which
//! then lets the whole message pass, right or wrong.

use super::SOH;
use super::value::uint;
use memchr::memmem;

/// Bytes of the longest message that is taken where nothing else was asked for.
pub const MESSAGE_DEFAULT_MAX_BYTES: usize = 64 * 1024;
/// A limit below this would refuse ordinary messages.
pub const MESSAGE_MIN_BYTES: usize = 1024;

/// What every message begins with.
const BEGIN: &[u8] = b"8=FIX";
/// Bytes of `8=`, the longest BeginString and a separator.
const BEGIN_FIELD_MAX: usize = 2 + 16 + 1;
/// Bytes of `9=`, the longest BodyLength and a separator.
const LENGTH_FIELD_MAX: usize = 2 + 9 + 1;
/// Bytes of `10=000` and a separator.
const CHECKSUM_FIELD: usize = 7;

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GarbledFrame {
    /// No message begins here.
    NoBegin,
    /// BeginString, BodyLength and MsgType are not the first three fields.
    FirstFields,
    /// BodyLength is no number, or more than is taken.
    BodyLength,
    /// There is no CheckSum where BodyLength says.
    NoCheckSum,
    /// CheckSum is another one.
    CheckSum,
}

impl std::fmt::Display for GarbledFrame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            GarbledFrame::NoBegin => "no message begins here",
            GarbledFrame::FirstFields => "the first three fields are not 8, 9 and 35",
            GarbledFrame::BodyLength => "BodyLength (9) is no number, or too large",
            GarbledFrame::NoCheckSum => "no CheckSum (10) stands where BodyLength (9) says",
            GarbledFrame::CheckSum => "CheckSum (10) is wrong",
        })
    }
}

/// What stands at the begin of a stream's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Nothing can be said before there are so many bytes.
    Incomplete {
        /// Bytes there must be.
        needed: usize,
    },
    /// A whole message with a right CheckSum.
    Message {
        /// Its bytes.
        size: usize,
    },
    /// What is no message, up to where the next one may begin.
    Garbled {
        /// Bytes to pass over, one at least.
        skip: usize,
        /// What is wrong.
        why: GarbledFrame,
    },
}

/// Says what stands at the begin of these bytes. A message has `max` bytes at most.
#[must_use]
pub fn frame(bytes: &[u8], max: usize) -> Frame {
    let head = match Head::read(bytes) {
        Ok(head) => head,
        Err(Stop::Needs(needed)) => return Frame::Incomplete { needed },
        Err(Stop::Garbled(why)) => return garbled(bytes, why),
    };
    let size = head.size + head.body + CHECKSUM_FIELD;
    if size > max {
        return garbled(bytes, GarbledFrame::BodyLength);
    }
    let Some(message) = bytes.get(..size) else { return Frame::Incomplete { needed: size } };
    let (covered, trailer) = message.split_at(size - CHECKSUM_FIELD);
    let [b'1', b'0', b'=', digits @ .., SOH] = trailer else {
        return garbled(bytes, GarbledFrame::NoCheckSum);
    };
    // A body that ends within a field has its CheckSum in a value.
    if covered.last() != Some(&SOH) {
        return garbled(bytes, GarbledFrame::NoCheckSum);
    }
    if uint(digits) == Some(u64::from(checksum(covered))) {
        Frame::Message { size }
    } else {
        // Its own BodyLength fits, so the message is known from end to end. Not to look for others inside
        // keeps a message within a data field from being taken for one of the session.
        Frame::Garbled { skip: size, why: GarbledFrame::CheckSum }
    }
}

/// The sum of all bytes, modulo 256.
#[inline]
pub(super) fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte))
}

/// Passes over this begin and all bytes before the next one.
#[cold]
fn garbled(bytes: &[u8], why: GarbledFrame) -> Frame {
    let rest = bytes.get(1..).unwrap_or_default();
    let skip = 1 + memmem::find(rest, BEGIN).unwrap_or_else(|| {
        // The last bytes may be the first ones of a begin.
        let tail = (1..BEGIN.len()).rev().find(|size| rest.ends_with(&BEGIN[..*size]));
        rest.len() - tail.unwrap_or(0)
    });
    Frame::Garbled { skip, why }
}

/// The first two fields.
struct Head {
    /// Bytes of both.
    size: usize,
    /// Bytes that BodyLength announces.
    body: usize,
}

/// Why there is no head.
enum Stop {
    Needs(usize),
    Garbled(GarbledFrame),
}

impl Head {
    #[inline]
    fn read(bytes: &[u8]) -> Result<Head, Stop> {
        let begin = &bytes[..bytes.len().min(BEGIN.len())];
        if !BEGIN.starts_with(begin) {
            return Err(Stop::Garbled(GarbledFrame::NoBegin));
        }
        let first = field_end(bytes, 0, BEGIN_FIELD_MAX)?;
        expect(bytes, first, b"9=")?;
        let second = field_end(bytes, first, LENGTH_FIELD_MAX).map_err(|stop| match stop {
            Stop::Garbled(_) => Stop::Garbled(GarbledFrame::BodyLength),
            needs @ Stop::Needs(_) => needs,
        })?;
        let body = uint(&bytes[first + 2..second - 1]).and_then(|body| usize::try_from(body).ok());
        let body = body.ok_or(Stop::Garbled(GarbledFrame::BodyLength))?;
        expect(bytes, second, b"35=")?;
        Ok(Head { size: second, body })
    }
}

/// The place behind the separator that ends the field at `start`, within `max` bytes.
#[inline]
fn field_end(bytes: &[u8], start: usize, max: usize) -> Result<usize, Stop> {
    let field = &bytes[start..bytes.len().min(start + max)];
    match field.iter().position(|byte| *byte == SOH) {
        Some(at) => Ok(start + at + 1),
        None if field.len() == max => Err(Stop::Garbled(GarbledFrame::FirstFields)),
        None => Err(Stop::Needs(bytes.len() + 1)),
    }
}

/// Sees that these bytes stand here, as far as there are any.
#[inline]
fn expect(bytes: &[u8], at: usize, what: &[u8]) -> Result<(), Stop> {
    let here = &bytes[at..bytes.len().min(at + what.len())];
    if !what.starts_with(here) {
        return Err(Stop::Garbled(GarbledFrame::FirstFields));
    }
    if here.len() < what.len() { Err(Stop::Needs(at + what.len())) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = MESSAGE_DEFAULT_MAX_BYTES;

    /// A message from `35=..|..|`, with `|` for separators.
    fn message(body: &str) -> Vec<u8> {
        let body = body.replace('|', "\x01");
        let mut text = format!("8=FIX.4.4\x019={}\x01{body}", body.len());
        text.push_str(&format!("10={:03}\x01", checksum(text.as_bytes())));
        text.into_bytes()
    }

    fn soh(text: &str) -> Vec<u8> {
        text.replace('|', "\x01").into_bytes()
    }

    /// What a stream is: sizes of messages, and in brackets of what is passed over.
    fn walk(mut bytes: &[u8]) -> String {
        let mut said = Vec::new();
        while !bytes.is_empty() {
            let size = match frame(bytes, MAX) {
                Frame::Message { size } => {
                    said.push(size.to_string());
                    size
                }
                Frame::Garbled { skip, why } => {
                    said.push(format!("({skip} {why:?})"));
                    skip
                }
                Frame::Incomplete { .. } => {
                    said.push(format!("{}..", bytes.len()));
                    break;
                }
            };
            bytes = &bytes[size..];
        }
        said.join(" ")
    }

    #[test]
    fn messages_in_pieces_and_many_in_one_are_found() {
        let one = message("35=0|34=2|");
        let two = [one.clone(), message("35=1|34=3|112=x|")].concat();
        assert_eq!(walk(&two), format!("{} {}", one.len(), two.len() - one.len()));
        for end in 0..one.len() {
            match frame(&one[..end], MAX) {
                Frame::Incomplete { needed } => assert!(needed > end && needed <= one.len()),
                other => panic!("{end}: {other:?}"),
            }
        }
        assert_eq!(frame(&one[..30], MAX), Frame::Incomplete { needed: one.len() });
    }

    #[test]
    fn a_wrong_checksum_passes_over_that_message_alone() {
        let good = message("35=0|34=2|");
        let mut bad = message("35=1|34=3|96=8=FIX.4.4|");
        let at = bad.len() - 2;
        bad[at] = if bad[at] == b'9' { b'0' } else { bad[at] + 1 };
        let stream = [&bad[..], &good].concat();
        assert_eq!(walk(&stream), format!("({} CheckSum) {}", bad.len(), good.len()));
        // Impossible ones are wrong as well.
        for digits in ["256", "999", "-01", "0x1", "   "] {
            let mut bad = good.clone();
            let end = bad.len() - 1;
            bad[end - 3..end].copy_from_slice(digits.as_bytes());
            let stream = [&bad[..], &good].concat();
            assert_eq!(walk(&stream), format!("({} CheckSum) {}", bad.len(), good.len()));
        }
    }

    #[test]
    fn the_first_three_fields_are_8_9_and_35() {
        let good = message("35=0|34=2|");
        for text in [
            "8=FIX.4.4|35=0|9=5|34=2|10=000|",
            "8=FIX.4.4|9=12|34=2|35=0|10=000|",
            "8=FIX.4.4|49=A|9=12|35=0|10=000|",
            "8=FIX.4.4.and.far.too.long|9=12|35=0|10=000|",
        ] {
            let bad = soh(text);
            let stream = [&bad[..], &good].concat();
            let expected = format!("({} FirstFields) {}", bad.len(), good.len());
            assert_eq!(walk(&stream), expected, "{text}");
        }
        let bad = soh("9=12|8=FIX.4.4|35=0|");
        let stream = [&bad[..], &good].concat();
        assert_eq!(walk(&stream), format!("(5 NoBegin) (15 FirstFields) {}", good.len()));
    }

    #[test]
    fn a_body_length_that_is_no_number_is_garbled() {
        let good = message("35=0|34=2|");
        for length in ["", "x", "-5", "1 ", "+10", "0000000010", "999999999"] {
            let bad = soh(&format!("8=FIX.4.4|9={length}|35=0|34=2|10=000|"));
            let stream = [&bad[..], &good].concat();
            let expected = format!("({} BodyLength) {}", bad.len(), good.len());
            assert_eq!(walk(&stream), expected, "{length:?}");
        }
    }

    #[test]
    fn a_body_length_too_short_or_too_long_loses_no_other_message() {
        let good = message("35=0|34=2|");
        let text = String::from_utf8(message("35=1|34=3|112=hello|")).expect("ASCII");
        for length in [0, 5, 19, 21, 40, 60] {
            let bad = text.replace("\x019=20\x01", &format!("\x019={length}\x01")).into_bytes();
            let stream = [&bad[..], &good, &good, &good].concat();
            let expected = format!("({} NoCheckSum) {0} {0} {0}", good.len());
            let expected = expected.replacen(&good.len().to_string(), &bad.len().to_string(), 1);
            assert_eq!(walk(&stream), expected, "{length}");
        }
        // Until as many bytes are there as it says, nobody can know.
        let bad = text.replace("\x019=20\x01", "\x019=60\x01").into_bytes();
        assert_eq!(walk(&bad), format!("{}..", bad.len()));
    }

    #[test]
    fn a_checksum_within_a_field_is_none() {
        let good = message("35=0|34=2|");
        let bad = message("35=0|112=x");
        let stream = [&bad[..], &good].concat();
        assert_eq!(walk(&stream), format!("({} NoCheckSum) {}", bad.len(), good.len()));
    }

    #[test]
    fn garbage_is_passed_over_up_to_the_next_begin() {
        let good = message("35=0|34=2|");
        let stream = [b"GET / HTTP/1.1\r\n\r\n8=F8=FI", &good[..]].concat();
        assert_eq!(walk(&stream), format!("(25 NoBegin) {}", good.len()));
        // The begin of a begin is kept.
        assert_eq!(walk(b"hello 8=FI"), "(6 NoBegin) 4..");
        assert_eq!(walk(b"hello"), "(5 NoBegin)");
        assert_eq!(frame(b"", MAX), Frame::Incomplete { needed: 1 });
    }

    #[test]
    fn a_message_has_a_largest_size() {
        let big = message(&format!("35=0|58={}|", "x".repeat(2000)));
        assert_eq!(frame(&big, big.len()), Frame::Message { size: big.len() });
        let refused = Frame::Garbled { skip: big.len(), why: GarbledFrame::BodyLength };
        assert_eq!(frame(&big, big.len() - 1), refused);
        // It is refused by its head, before the body has come.
        let head = Frame::Garbled { skip: 40, why: GarbledFrame::BodyLength };
        assert_eq!(frame(&big[..40], big.len() - 1), head);
    }

    #[test]
    fn a_stream_made_to_be_slow_is_not() {
        // Heads that all claim the whole rest, with and without a CheckSum where they end.
        let head = soh("8=FIX.4.4|9=60000|35=");
        let mut heads = head.repeat(200_000 / head.len());
        heads.extend(soh("|10=000|").repeat(20_000));
        let start = std::time::Instant::now();
        let steps = walk(&heads).len();
        assert!(start.elapsed().as_secs() < 5, "{steps} bytes of steps");
    }
}
