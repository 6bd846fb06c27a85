//! Times as text: RFC 3339 in UTC with nanoseconds, both ways.
//!
//! Invariant: what is written reads back to the same nanosecond. Only UTC (`Z`) is read, so that a
//! text means one instant; leap seconds do not exist in Unix time and are refused.

use crate::types::TimeNs;
use std::fmt;

/// Nanoseconds of a second.
const SECOND_NS: u64 = 1_000_000_000;
/// Seconds of a day.
const DAY_S: u64 = 86_400;

/// A time that prints as `2026-03-01T12:00:00.123456789Z` and allocates nothing for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rfc3339(pub TimeNs);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.0 / SECOND_NS;
        let (year, month, day) = date_of_days(seconds / DAY_S);
        let of_day = seconds % DAY_S;
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:09}Z",
            of_day / 3600,
            of_day / 60 % 60,
            of_day % 60,
            self.0.0 % SECOND_NS
        )
    }
}

/// Reads `YYYY-MM-DDTHH:MM:SS[.fraction]Z`, from 1970 on; `None` where the text is no such time.
#[must_use]
pub fn parse(text: &str) -> Option<TimeNs> {
    let bytes = text.strip_suffix('Z')?.as_bytes();
    let (head, fraction) = bytes.split_at_checked(19)?;
    let shape = b"0000-00-00T00:00:00";
    let fits = |(byte, shape): (&u8, &u8)| match shape {
        b'0' => byte.is_ascii_digit(),
        mark => byte == mark,
    };
    if !head.iter().zip(shape).all(fits) {
        return None;
    }
    let number = |range: std::ops::Range<usize>| {
        head[range].iter().fold(0u64, |sum, digit| sum * 10 + u64::from(digit - b'0'))
    };
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    let (hour, minute, second) = (number(11..13), number(14..16), number(17..19));
    if hour > 23 || minute > 59 || second > 59 || year < 1970 {
        return None;
    }
    let days = days_of_date(year, month, day);
    // A day that the month does not have comes back as a day of the next month.
    if date_of_days(days) != (year, month, day) {
        return None;
    }
    let nanos = fraction_ns(fraction)?;
    let seconds = days * DAY_S + hour * 3600 + minute * 60 + second;
    seconds.checked_mul(SECOND_NS)?.checked_add(nanos).map(TimeNs)
}

/// The nanoseconds that `.5` or `.123456789` mean; nothing means 0.
fn fraction_ns(fraction: &[u8]) -> Option<u64> {
    let digits = match fraction {
        [] => return Some(0),
        [b'.', digits @ ..] if (1..=9).contains(&digits.len()) => digits,
        _ => return None,
    };
    let mut nanos = 0;
    for place in 0..9 {
        let digit = digits.get(place).copied().unwrap_or(b'0');
        if !digit.is_ascii_digit() {
            return None;
        }
        nanos = nanos * 10 + u64::from(digit - b'0');
    }
    Some(nanos)
}

/// Days before this year since 1970, in the Gregorian calendar.
const fn days_before_year(year: u64) -> u64 {
    let last = year - 1;
    // 719,162 days lie before 1970 by the same rule.
    last * 365 + last / 4 - last / 100 + last / 400 - 719_162
}

/// Days before each month of a year that is not leap.
const DAYS_BEFORE_MONTH: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

/// Days since 1970-01-01 of a date; months and days outside their range give some other date.
pub(crate) fn days_of_date(year: u64, month: u64, day: u64) -> u64 {
    let month_index = (month.clamp(1, 12) - 1) as usize;
    let leap = u64::from(is_leap(year) && month > 2);
    days_before_year(year) + DAYS_BEFORE_MONTH[month_index] + leap + day.max(1) - 1
}

/// Year, month and day of a number of days since 1970-01-01.
pub(crate) fn date_of_days(days: u64) -> (u64, u64, u64) {
    // A first guess that is never late, and at most two years early for all that 64 bits hold.
    let mut year = 1970 + days / 366;
    while days_before_year(year + 1) <= days {
        year += 1;
    }
    let of_year = days - days_before_year(year);
    // No month has more than 31 days, so this guess is never late, and one month early at most.
    let mut month = of_year / 31 + 1;
    if month < 12 && days_of_date(year, month + 1, 1) <= days {
        month += 1;
    }
    (year, month, days - days_of_date(year, month, 1) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_instants_are_written_as_utc() {
        for (ns, text) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_400_000_000_001, "2000-02-29T00:00:00.000000001Z"),
            (1_234_567_890_123_456_789, "2009-02-13T23:31:30.123456789Z"),
            (4_102_444_799_999_999_999, "2099-12-31T23:59:59.999999999Z"),
            (u64::MAX, "2554-07-21T23:34:33.709551615Z"),
        ] {
            assert_eq!(Rfc3339(TimeNs(ns)).to_string(), text);
            assert_eq!(parse(text), Some(TimeNs(ns)));
        }
        assert_eq!(parse("2009-02-13T23:31:30Z"), Some(TimeNs(1_234_567_890_000_000_000)));
        assert_eq!(parse("2009-02-13T23:31:30.5Z"), Some(TimeNs(1_234_567_890_500_000_000)));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "Z",
            "2009-02-13",
            "2009-02-13T23:31:30",
            "2009-02-13T23:31:30+00:00",
            "2009-02-30T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2009-13-01T00:00:00Z",
            "2009-00-01T00:00:00Z",
            "2009-01-00T00:00:00Z",
            "2009-01-01T24:00:00Z",
            "2009-01-01T00:60:00Z",
            "2009-01-01T00:00:60Z",
            "1969-12-31T23:59:59Z",
            "9999-12-31T23:59:59Z",
            "2009-02-13T23:31:30.Z",
            "2009-02-13T23:31:30.1234567890Z",
            "2009-02-13T23:31:30.1x34Z",
            "2009-02-13t23:31:30Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(ns in any::<u64>()) {
            prop_assert_eq!(parse(&Rfc3339(TimeNs(ns)).to_string()), Some(TimeNs(ns)));
        }
    }
}
