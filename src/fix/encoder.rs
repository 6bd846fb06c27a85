//! Messages as bytes, written once, where they will be sent from.
//!
//! Invariants:
//! - BodyLength and CheckSum are right by construction. BodyLength gets as many digits as most messages
//!   need; only one below 100 or beyond 999 bytes moves its body by the difference.
//! - Nothing is allocated, and nothing written behind the room that was given.
//! - A value with a separator in it cannot become other fields: the message fails as a whole.

use super::frame::checksum;
use super::tag;
use super::{SOH, Version};
use crate::decimal::Decimal;
use crate::timestamp::date_of_days;
use crate::types::TimeNs;
use thiserror::Error;

/// Tags with a prefix of their own.
const PREFIX_END: usize = 2048;
/// Bytes of a prefix: up to four digits, an equals sign, and the size last.
const PREFIX_SIZE: usize = 8;
/// Digits of BodyLength that room is left for.
const LENGTH_DIGITS: usize = 3;
/// Digits of the longest BodyLength.
const LENGTH_DIGITS_MAX: usize = 9;
/// Places of a timestamp, with all twelve digits of a second.
const TIMESTAMP_MAX: usize = 30;
/// Powers of ten down to one nanosecond.
const NANOS_OF_DIGIT: [u64; 10] =
    [1_000_000_000, 100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1_000, 100, 10, 1];

/// `11=` for each tag, so that writing one is a single store.
static PREFIXES: [[u8; PREFIX_SIZE]; PREFIX_END] = {
    let mut prefixes = [[0; PREFIX_SIZE]; PREFIX_END];
    let mut tag = 0;
    while tag < PREFIX_END {
        let mut digits = 1;
        let mut power = 10;
        while tag >= power {
            digits += 1;
            power *= 10;
        }
        let (mut rest, mut at) = (tag, digits);
        while at > 0 {
            at -= 1;
            prefixes[tag][at] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        prefixes[tag][digits] = b'=';
        prefixes[tag][PREFIX_SIZE - 1] = digits as u8 + 1;
        tag += 1;
    }
    prefixes
};

/// `00` to `99`.
static PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut number = 0;
    while number < 100 {
        pairs[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    pairs
};

/// Why a message was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// The room that was given is too small.
    #[error("the message needs more room")]
    Room,
    /// A value has a separator in it.
    #[error("a value has a separator in it")]
    Separator,
}

/// The header of a message.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    /// MsgType (35).
    pub msg_type: &'a str,
    /// SenderCompID (49): ours.
    pub sender: &'a [u8],
    /// TargetCompID (56).
    pub target: &'a [u8],
    /// MsgSeqNum (34).
    pub number: u64,
    /// SendingTime (52).
    pub time: TimeNs,
    /// Digits of a second in 52 and 122: 0 to 12.
    pub time_digits: u8,
    /// For a message that is sent again: PossDupFlag (43) is `Y`, and this is OrigSendingTime (122).
    pub original_time: Option<TimeNs>,
}

/// A message under way.
#[derive(Debug)]
pub struct Encoder<'a> {
    out: &'a mut [u8],
    at: usize,
    /// Where the body begins.
    body: usize,
    /// Separators that were written as such.
    separators: usize,
    /// True where something did not fit any more.
    full: bool,
}

impl<'a> Encoder<'a> {
    /// Begins a message of a type at the begin of this room. Eight bytes more than the message needs are
    /// always enough.
    #[inline]
    pub fn begin(out: &'a mut [u8], version: Version, msg_type: &str) -> Encoder<'a> {
        let mut encoder = Encoder { out, at: 0, body: 0, separators: 0, full: false };
        encoder.string(tag::BEGIN_STRING, version.begin_string());
        encoder.string(tag::BODY_LENGTH, "000");
        encoder.body = encoder.at;
        encoder.string(tag::MSG_TYPE, msg_type);
        encoder
    }

    /// Begins a message with its standard header.
    #[inline]
    pub fn message(out: &'a mut [u8], version: Version, header: &Header<'_>) -> Encoder<'a> {
        let mut encoder = Encoder::begin(out, version, header.msg_type);
        encoder.uint(tag::MSG_SEQ_NUM, header.number);
        encoder.string(tag::SENDER_COMP_ID, header.sender);
        encoder.string(tag::TARGET_COMP_ID, header.target);
        if header.original_time.is_some() {
            encoder.boolean(tag::POSS_DUP_FLAG, true);
        }
        encoder.timestamp(tag::SENDING_TIME, header.time, header.time_digits);
        if let Some(time) = header.original_time {
            encoder.timestamp(tag::ORIG_SENDING_TIME, time, header.time_digits);
        }
        encoder
    }

    /// Room of a fixed size, or none and the message fails.
    #[inline]
    fn room<const SIZE: usize>(&mut self) -> Option<&mut [u8; SIZE]> {
        let room = self.out.get_mut(self.at..).and_then(<[u8]>::first_chunk_mut);
        if room.is_none() {
            self.full = true;
        }
        room
    }

    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        match self.out.get_mut(self.at..self.at + bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.at += bytes.len();
            }
            None => self.full = true,
        }
    }

    /// `tag=`.
    #[inline]
    fn tag(&mut self, tag: u32) {
        match PREFIXES.get(tag as usize) {
            Some(prefix) => {
                if let Some(room) = self.room::<PREFIX_SIZE>() {
                    *room = *prefix;
                    self.at += usize::from(prefix[PREFIX_SIZE - 1]);
                }
            }
            None => {
                self.bytes(itoa::Buffer::new().format(tag).as_bytes());
                self.bytes(b"=");
            }
        }
    }

    #[inline]
    fn end(&mut self) {
        if let Some(room) = self.room::<1>() {
            *room = [SOH];
            self.at += 1;
            self.separators += 1;
        }
    }

    /// A text, or a value as it came; without one there is no field.
    #[inline]
    pub fn string(&mut self, tag: u32, value: impl AsRef<[u8]>) {
        let value = value.as_ref();
        if value.is_empty() {
            return;
        }
        self.tag(tag);
        self.bytes(value);
        self.end();
    }

    /// A text, where there is one.
    #[inline]
    pub fn maybe(&mut self, tag: u32, value: Option<impl AsRef<[u8]>>) {
        if let Some(value) = value {
            self.string(tag, value);
        }
    }

    /// A whole number.
    #[inline]
    pub fn int(&mut self, tag: u32, value: i64) {
        self.tag(tag);
        self.bytes(itoa::Buffer::new().format(value).as_bytes());
        self.end();
    }

    /// A whole number without a sign.
    #[inline]
    pub fn uint(&mut self, tag: u32, value: u64) {
        self.tag(tag);
        self.bytes(itoa::Buffer::new().format(value).as_bytes());
        self.end();
    }

    /// One character.
    #[inline]
    pub fn char(&mut self, tag: u32, value: u8) {
        self.tag(tag);
        if let Some(room) = self.room::<2>() {
            *room = [value, SOH];
            self.at += 2;
            self.separators += 1;
        }
    }

    /// `Y` or `N`.
    #[inline]
    pub fn boolean(&mut self, tag: u32, value: bool) {
        self.char(tag, if value { b'Y' } else { b'N' });
    }

    /// So many units of 10^-scale, without zeros at the end.
    #[inline]
    pub fn decimal(&mut self, tag: u32, value: Decimal) {
        self.tag(tag);
        let (mut units, mut scale) = (value.units.unsigned_abs(), usize::from(value.scale));
        if value.units < 0 {
            self.bytes(b"-");
        }
        let mut buffer = itoa::Buffer::new();
        let digits = match u64::try_from(units) {
            Ok(mut units) => {
                while scale > 0 && units.is_multiple_of(10) {
                    units /= 10;
                    scale -= 1;
                }
                buffer.format(units).as_bytes()
            }
            Err(_) => {
                while scale > 0 && units.is_multiple_of(10) {
                    units /= 10;
                    scale -= 1;
                }
                buffer.format(units).as_bytes()
            }
        };
        if scale == 0 {
            self.bytes(digits);
        } else if let Some(whole) = digits.len().checked_sub(scale).filter(|whole| *whole > 0) {
            self.bytes(&digits[..whole]);
            self.bytes(b".");
            self.bytes(&digits[whole..]);
        } else {
            self.bytes(b"0.");
            for _ in digits.len()..scale {
                self.bytes(b"0");
            }
            self.bytes(digits);
        }
        self.end();
    }

    /// `count` ticks or lots of `step_units` of 10^-scale each.
    #[inline]
    pub fn steps(&mut self, tag: u32, count: i64, step_units: i64, scale: u8) {
        self.decimal(tag, Decimal::of_steps(count, step_units, scale));
    }

    /// An instant with 0 to 12 digits of a second; what has no room in them is cut off.
    #[inline]
    pub fn timestamp(&mut self, tag: u32, time: TimeNs, digits: u8) {
        let mut text = [0; TIMESTAMP_MAX];
        let seconds = time.0 / NANOS_OF_DIGIT[0];
        put_date(&mut text, seconds / 86_400);
        text[8] = b'-';
        put_clock(&mut text[9..17], seconds % 86_400);
        let digits = put_fraction(&mut text[17..], time.0 % NANOS_OF_DIGIT[0], digits);
        self.tag(tag);
        self.bytes(&text[..17 + digits]);
        self.end();
    }

    /// The date of an instant, `YYYYMMDD`.
    pub fn date(&mut self, tag: u32, time: TimeNs) {
        let mut text = [0; 8];
        put_date(&mut text, time.0 / NANOS_OF_DIGIT[0] / 86_400);
        self.string(tag, text);
    }

    /// The time of the day of an instant, `HH:MM:SS`, with 0 to 12 digits of a second.
    pub fn time_of_day(&mut self, tag: u32, time: TimeNs, digits: u8) {
        let mut text = [0; TIMESTAMP_MAX - 9];
        put_clock(&mut text, time.0 / NANOS_OF_DIGIT[0] % 86_400);
        let digits = put_fraction(&mut text[8..], time.0 % NANOS_OF_DIGIT[0], digits);
        self.string(tag, &text[..8 + digits]);
    }

    /// Any bytes, with the field before them that tells how many; without any there is neither.
    pub fn data(&mut self, length_tag: u32, tag: u32, value: &[u8]) {
        if value.is_empty() {
            return;
        }
        self.uint(length_tag, value.len() as u64);
        self.string(tag, value);
        self.separators += memchr::memchr_iter(SOH, value).count();
    }

    /// Ends the message and tells its size.
    ///
    /// # Errors
    /// [`EncodeError`]: the room holds no message.
    #[inline]
    pub fn finish(mut self) -> Result<usize, EncodeError> {
        // Where something did not fit, nothing stands where it should.
        if self.full {
            return Err(EncodeError::Room);
        }
        let mut buffer = itoa::Buffer::new();
        let length = buffer.format(self.at - self.body).as_bytes();
        if length.len() != LENGTH_DIGITS && !self.move_body(length.len()) {
            return Err(EncodeError::Room);
        }
        let end = self.body - 1;
        self.out[end - length.len()..end].copy_from_slice(length);
        let message = &self.out[..self.at];
        // One pass for both: it is as fast as memory.
        let (sum, count) = (checksum(message), count_separators(message));
        if count != self.separators {
            return Err(EncodeError::Separator);
        }
        let [hundreds, rest] = [usize::from(sum) / 100, usize::from(sum) % 100];
        let [tens, ones] = PAIRS[rest];
        let Some(room) = self.room::<7>() else { return Err(EncodeError::Room) };
        *room = [b'1', b'0', b'=', b'0' + hundreds as u8, tens, ones, SOH];
        Ok(self.at + 7)
    }

    /// Makes BodyLength's place as large as it must be; false where there is no room for that.
    #[cold]
    fn move_body(&mut self, digits: usize) -> bool {
        let body = self.body + digits - LENGTH_DIGITS;
        let size = self.at - self.body;
        if digits > LENGTH_DIGITS_MAX || body + size > self.out.len() {
            return false;
        }
        self.out.copy_within(self.body..self.at, body);
        self.out[body - 1] = SOH;
        (self.body, self.at) = (body, body + size);
        true
    }
}

#[inline]
fn count_separators(bytes: &[u8]) -> usize {
    // Sums of 8 bits, in pieces in which they cannot overflow, are what vectors are good at.
    let pieces = bytes.chunks(255);
    pieces
        .map(|piece| usize::from(piece.iter().map(|byte| u8::from(*byte == SOH)).sum::<u8>()))
        .sum()
}

#[inline]
fn put_pair(text: &mut [u8], at: usize, number: u64) {
    text[at..at + 2].copy_from_slice(&PAIRS[(number % 100) as usize]);
}

#[inline]
fn put_date(text: &mut [u8], days: u64) {
    let (year, month, day) = date_of_days(days);
    put_pair(text, 0, year / 100);
    put_pair(text, 2, year);
    put_pair(text, 4, month);
    put_pair(text, 6, day);
}

#[inline]
fn put_clock(text: &mut [u8], seconds: u64) {
    put_pair(text, 0, seconds / 3600);
    text[2] = b':';
    put_pair(text, 3, seconds / 60 % 60);
    text[5] = b':';
    put_pair(text, 6, seconds % 60);
}

/// A point and so many digits of a second, and how many bytes that are.
#[inline]
fn put_fraction(text: &mut [u8], nanos: u64, digits: u8) -> usize {
    let digits = usize::from(digits.min(12));
    if digits == 0 {
        return 0;
    }
    text[0] = b'.';
    let told = digits.min(9);
    let mut rest = nanos / NANOS_OF_DIGIT[told];
    for place in (1..=told).rev() {
        text[place] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    text[told + 1..=digits].fill(b'0');
    digits + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fix::{Fields, Frame, Policy, frame};

    fn encode(write: impl FnOnce(&mut Encoder<'_>)) -> String {
        let mut out = [0; 4096];
        let mut encoder = Encoder::begin(&mut out, Version::Fix44, "0");
        write(&mut encoder);
        let size = encoder.finish().expect("there is room");
        assert_eq!(frame(&out[..size], 4096), Frame::Message { size });
        String::from_utf8_lossy(&out[..size]).replace('\x01', "|")
    }

    /// What stands between MsgType and CheckSum.
    fn fields(write: impl FnOnce(&mut Encoder<'_>)) -> String {
        let text = encode(write);
        let start = text.find("|35=0|").expect("the type") + 6;
        text[start..text.len() - 7].to_owned()
    }

    #[test]
    fn a_known_message_has_its_known_bytes() {
        // The sum by hand: of all bytes up to the separator before 10.
        assert_eq!(encode(|_| ()), "8=FIX.4.4|9=5|35=0|10=163|");
        let text = encode(|it| it.string(112, "x".repeat(500)));
        assert!(text.starts_with("8=FIX.4.4|9=510|35=0|112=xxx"));
        let text = encode(|it| it.string(112, "x".repeat(2000)));
        assert!(text.starts_with("8=FIX.4.4|9=2010|35=0|112=xxx"));
    }

    #[test]
    fn body_lengths_of_every_number_of_digits_are_right() {
        for size in (1..140).chain(980..1010).chain(3000..3003) {
            let text = encode(|it| it.string(58, "x".repeat(size)));
            assert!(text.contains(&format!("|9={}|35=0|58=x", size + 9)), "{text}");
        }
    }

    #[test]
    fn values_are_written_in_their_forms() {
        let at = |units, scale| Decimal { units, scale };
        for (write, expected) in [
            (fields(|it| it.int(371, -1)), "371=-1|"),
            (fields(|it| it.uint(34, u64::MAX)), "34=18446744073709551615|"),
            (fields(|it| it.char(54, b'1')), "54=1|"),
            (fields(|it| it.boolean(43, true)), "43=Y|"),
            (fields(|it| it.boolean(43, false)), "43=N|"),
            (fields(|it| it.string(58, "a=b")), "58=a=b|"),
            (fields(|it| it.string(5001, "own")), "5001=own|"),
            (fields(|it| it.maybe(58, None::<&str>)), ""),
            (fields(|it| it.string(58, "")), ""),
            (fields(|it| it.decimal(44, at(208_600, 2))), "44=2086|"),
            (fields(|it| it.decimal(44, at(208_760, 2))), "44=2087.6|"),
            (fields(|it| it.decimal(44, at(-5, 3))), "44=-0.005|"),
            (fields(|it| it.decimal(44, at(-12_345, 3))), "44=-12.345|"),
            (fields(|it| it.decimal(44, at(0, 8))), "44=0|"),
            (fields(|it| it.decimal(44, at(1 << 80, 2))), "44=12089258196146291747061.76|"),
            (fields(|it| it.steps(44, 2001, 5, 2)), "44=100.05|"),
            (fields(|it| it.data(95, 96, b"a\x01b")), "95=3|96=a|b|"),
            (fields(|it| it.data(95, 96, b"")), ""),
        ] {
            assert_eq!(write, expected);
        }
    }

    #[test]
    fn decimals_are_written_as_our_own_files_have_them() {
        for units in [0, 1, -1, 10, 99, 100, -12_340, i64::MAX, i64::MIN] {
            for scale in 0..=12 {
                let value = Decimal { units: units.into(), scale };
                assert_eq!(fields(|it| it.decimal(44, value)), format!("44={value}|"));
            }
        }
    }

    #[test]
    fn times_have_the_digits_that_were_asked_for() {
        let time = TimeNs(1_234_567_890_123_456_789);
        for (digits, text) in [
            (0, "20090213-23:31:30"),
            (3, "20090213-23:31:30.123"),
            (6, "20090213-23:31:30.123456"),
            (9, "20090213-23:31:30.123456789"),
            (12, "20090213-23:31:30.123456789000"),
            (99, "20090213-23:31:30.123456789000"),
        ] {
            assert_eq!(fields(|it| it.timestamp(60, time, digits)), format!("60={text}|"));
            let clock = &text[9..];
            assert_eq!(fields(|it| it.time_of_day(273, time, digits)), format!("273={clock}|"));
        }
        assert_eq!(fields(|it| it.date(272, time)), "272=20090213|");
        assert_eq!(fields(|it| it.timestamp(60, TimeNs(0), 3)), "60=19700101-00:00:00.000|");
        let last = fields(|it| it.timestamp(60, TimeNs(u64::MAX), 9));
        assert_eq!(last, "60=25540721-23:34:33.709551615|");
    }

    #[test]
    fn a_header_begins_a_message_that_the_dictionary_allows() {
        let header = Header {
            msg_type: "0",
            sender: b"OUTCRY",
            target: b"DESK",
            number: 7,
            time: TimeNs(1_000_000_000),
            time_digits: 3,
            original_time: None,
        };
        for version in Version::ALL {
            for original_time in [None, Some(TimeNs(5))] {
                let mut out = [0; 400];
                let header = Header { original_time, ..header };
                let size = Encoder::message(&mut out, version, &header).finish().expect("room");
                let mut fields = Fields::default();
                let mut parsed = fields.parse(&out[..size]).expect("a message");
                parsed.check(version, &Policy::DEFAULT).expect("it is right");
                let view = parsed.view();
                assert_eq!(view.get(tag::BEGIN_STRING), Some(version.begin_string().as_bytes()));
                assert_eq!(view.uint(tag::MSG_SEQ_NUM), Ok(Some(7)));
                assert_eq!(view.is_yes(tag::POSS_DUP_FLAG), original_time.is_some());
                let original = view.timestamp(tag::ORIG_SENDING_TIME).expect("a time");
                let told = original.map(|time| time.time);
                assert_eq!(told, original_time.map(|_| TimeNs(0)), "cut to milliseconds");
            }
        }
    }

    #[test]
    fn too_little_room_fails_and_nothing_is_written_behind_it() {
        let write = |out: &mut [u8]| {
            let mut encoder = Encoder::begin(out, Version::Fix44, "D");
            encoder.string(tag::CL_ORD_ID, "order-1");
            encoder.timestamp(tag::TRANSACT_TIME, TimeNs(1), 9);
            encoder.decimal(tag::PRICE, Decimal { units: 12_345, scale: 2 });
            encoder.char(tag::SIDE, b'1');
            encoder.finish()
        };
        let mut out = [0xAA; 200];
        let size = write(&mut out).expect("there is room");
        for room in 0..size + 8 {
            let mut out = [0xAA; 200];
            let result = write(&mut out[..room]);
            assert!(out[room..].iter().all(|byte| *byte == 0xAA));
            if room < size {
                assert_eq!(result, Err(EncodeError::Room), "{room}");
            } else if let Ok(told) = result {
                assert_eq!(told, size);
            }
        }
        assert_eq!(write(&mut [0; 200][..size + 8]), Ok(size));
    }

    #[test]
    fn a_separator_in_a_value_fails_the_message() {
        let mut out = [0; 200];
        let mut encoder = Encoder::begin(&mut out, Version::Fix44, "0");
        encoder.string(tag::TEXT, "x\x0110=000");
        assert_eq!(encoder.finish(), Err(EncodeError::Separator));
        let mut encoder = Encoder::begin(&mut out, Version::Fix44, "0");
        encoder.char(tag::SIDE, SOH);
        assert_eq!(encoder.finish(), Err(EncodeError::Separator));
    }
}
