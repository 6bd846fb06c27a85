//! Values of fields: their forms, and what they mean. Reading never rounds and uses no floating point.

use crate::decimal::{Decimal, DecimalError};
use crate::limits::SCALE_MAX;
use crate::timestamp::{date_of_days, days_of_date};
use crate::types::TimeNs;

/// The form of a field's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole number, perhaps negative.
    Int,
    /// A number of a message.
    SeqNum,
    /// Bytes of the data field behind it.
    Length,
    /// Entries of the group behind it.
    NumInGroup,
    /// 1 to 31.
    DayOfMonth,
    /// A decimal number.
    Float,
    /// A quantity.
    Qty,
    /// A price.
    Price,
    /// A difference of prices.
    PriceOffset,
    /// An amount of money.
    Amt,
    /// A share of one.
    Percentage,
    /// One character.
    Char,
    /// `Y` or `N`.
    Boolean,
    /// Any text.
    String,
    /// Characters with blanks between them.
    MultipleChar,
    /// Words with blanks between them.
    MultipleString,
    /// The name of a currency: any text, because not all that is traded has three letters.
    Currency,
    /// The name of a country: any text.
    Country,
    /// The name of a market: any text.
    Exchange,
    /// The name of a language: any text.
    Language,
    /// `YYYYMMDD-HH:MM:SS`, with up to twelve digits of a second.
    UtcTimestamp,
    /// `HH:MM:SS`, with up to twelve digits of a second.
    UtcTimeOnly,
    /// `YYYYMMDD`.
    UtcDateOnly,
    /// `YYYYMMDD`, where the market is.
    LocalMktDate,
    /// `YYYYMM`, `YYYYMMDD` or `YYYYMMw1`.
    MonthYear,
    /// `HH:MM[:SS]` and where: any text.
    TzTimeOnly,
    /// A time of a day and where: any text.
    TzTimestamp,
    /// Any bytes, as many as the field before it says.
    Data,
    /// XML, as many bytes as the field before it says.
    XmlData,
}

impl Kind {
    /// True where the value has this form.
    #[inline]
    #[must_use]
    pub fn accepts(self, value: &[u8]) -> bool {
        match self {
            Kind::String
            | Kind::Currency
            | Kind::Country
            | Kind::Exchange
            | Kind::Language
            | Kind::TzTimeOnly
            | Kind::TzTimestamp
            | Kind::Data
            | Kind::XmlData => true,
            Kind::Char => value.len() == 1,
            Kind::Boolean => boolean(value).is_some(),
            Kind::Float
            | Kind::Qty
            | Kind::Price
            | Kind::PriceOffset
            | Kind::Amt
            | Kind::Percentage => is_decimal(value),
            Kind::Int => int(value).is_some(),
            Kind::SeqNum | Kind::Length | Kind::NumInGroup => uint(value).is_some(),
            Kind::DayOfMonth => uint(value).is_some_and(|day| (1..=31).contains(&day)),
            Kind::MultipleChar => {
                value.len() % 2 == 1
                    && value.iter().skip(1).step_by(2).all(|byte| *byte == b' ')
                    && value.iter().step_by(2).all(|byte| *byte != b' ')
            }
            Kind::MultipleString => !value.split(|byte| *byte == b' ').any(<[u8]>::is_empty),
            Kind::UtcTimestamp => timestamp(value).is_some(),
            Kind::UtcTimeOnly => time_of_day(value).is_some(),
            Kind::UtcDateOnly | Kind::LocalMktDate => date(value).is_some(),
            Kind::MonthYear => month_year(value),
        }
    }
}

/// Reads a whole number; `None` where it is none, or beyond 64 bits.
#[inline]
#[must_use]
pub fn int(value: &[u8]) -> Option<i64> {
    match value {
        [b'-', digits @ ..] => 0i64.checked_sub_unsigned(uint(digits)?),
        digits => uint(digits)?.try_into().ok(),
    }
}

/// Reads a whole number without a sign; `None` where it is none, or beyond 64 bits.
#[inline]
#[must_use]
pub fn uint(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    let mut number = 0u64;
    for byte in value {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(number)
}

/// Reads `Y` or `N`.
#[inline]
#[must_use]
pub fn boolean(value: &[u8]) -> Option<bool> {
    match value {
        b"Y" => Some(true),
        b"N" => Some(false),
        _ => None,
    }
}

/// True for digits, perhaps a minus before them and one point before, between or behind them.
#[inline]
fn is_decimal(value: &[u8]) -> bool {
    let digits = value.strip_prefix(b"-").unwrap_or(value);
    let mut count = 0;
    for byte in digits {
        match byte {
            b'0'..=b'9' => count += 1,
            b'.' => {}
            _ => return false,
        }
    }
    count > 0 && digits.len() - count <= 1
}

/// Powers of ten that 64 bits hold.
const POWERS: [i64; 19] = {
    let mut powers = [1; 19];
    let mut index = 1;
    while index < 19 {
        powers[index] = powers[index - 1] * 10;
        index += 1;
    }
    powers
};

/// Digits that always fit in 64 bits.
const SAFE_DIGITS: usize = 18;

/// Reads a decimal number as it stands: `"0.50"` is 50 units at scale 2. Unlike the text forms of our
/// own files, FIX allows a point without digits on one side of it.
///
/// # Errors
/// [`DecimalError::Malformed`], [`DecimalError::Inexact`] beyond [`SCALE_MAX`] places (zeros at the end
/// are none), and [`DecimalError::Overflow`] beyond 64 bits.
#[inline]
pub fn decimal(value: &[u8]) -> Result<Decimal, DecimalError> {
    let (negative, digits) = match value {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.len() > SAFE_DIGITS {
        return long_decimal(negative, digits);
    }
    let (mut units, mut point, mut count) = (0i64, None, 0usize);
    for byte in digits {
        match byte {
            b'0'..=b'9' => {
                units = units * 10 + i64::from(byte - b'0');
                count += 1;
            }
            b'.' if point.is_none() => point = Some(count),
            _ => return Err(DecimalError::Malformed),
        }
    }
    if count == 0 {
        return Err(DecimalError::Malformed);
    }
    let places = point.map_or(0, |point| count - point);
    if places > usize::from(SCALE_MAX) {
        return long_decimal(negative, digits);
    }
    let units = i128::from(if negative { -units } else { units });
    Ok(Decimal { units, scale: places as u8 })
}

/// The same for what has many digits: zeros that mean nothing are left out first.
#[cold]
fn long_decimal(negative: bool, digits: &[u8]) -> Result<Decimal, DecimalError> {
    if !is_decimal(digits) || digits[0] == b'-' {
        return Err(DecimalError::Malformed);
    }
    let mut parts = digits.splitn(2, |byte| *byte == b'.');
    let whole = parts.next().unwrap_or_default();
    let fraction = parts.next().unwrap_or_default();
    let zeros = fraction.iter().rev().take_while(|byte| **byte == b'0').count();
    let fraction = &fraction[..fraction.len() - zeros];
    if fraction.len() > usize::from(SCALE_MAX) {
        return Err(DecimalError::Inexact { scale: SCALE_MAX });
    }
    let mut units = 0i64;
    for byte in whole.iter().chain(fraction) {
        let digit = i64::from(byte - b'0');
        let next = units.checked_mul(10).and_then(|units| {
            if negative { units.checked_sub(digit) } else { units.checked_add(digit) }
        });
        units = next.ok_or(DecimalError::Overflow)?;
    }
    Ok(Decimal { units: i128::from(units), scale: fraction.len() as u8 })
}

/// Reads a decimal number as whole units of 10^-scale.
///
/// # Errors
/// As [`decimal`], and [`DecimalError::Inexact`] where it has more places than `scale`.
#[inline]
pub fn units(value: &[u8], scale: u8) -> Result<i64, DecimalError> {
    let read = decimal(value)?;
    let units = i64::try_from(read.units).map_err(|_| DecimalError::Overflow)?;
    if read.scale <= scale {
        let power = POWERS.get(usize::from(scale - read.scale)).ok_or(DecimalError::Overflow)?;
        return units.checked_mul(*power).ok_or(DecimalError::Overflow);
    }
    let power = POWERS.get(usize::from(read.scale - scale)).ok_or(DecimalError::Overflow)?;
    if units % power == 0 { Ok(units / power) } else { Err(DecimalError::Inexact { scale }) }
}

/// Reads a decimal number as a whole number of steps (ticks, lots) of `step_units` of 10^-scale each.
///
/// # Errors
/// As [`decimal`], and [`DecimalError::NotAMultiple`].
///
/// # Panics
/// Where a step has no size.
#[inline]
pub fn steps(value: &[u8], scale: u8, step_units: i64) -> Result<i64, DecimalError> {
    assert!(step_units > 0, "a step has a size");
    let off_step =
        DecimalError::NotAMultiple { step: Decimal { units: i128::from(step_units), scale } };
    let units = match units(value, scale) {
        Err(DecimalError::Inexact { scale: places }) if places == scale => return Err(off_step),
        other => other?,
    };
    if units % step_units == 0 { Ok(units / step_units) } else { Err(off_step) }
}

/// Seconds of a day.
const DAY_S: u64 = 86_400;
/// Nanoseconds of a second.
const SECOND_NS: u64 = 1_000_000_000;

/// An instant as FIX tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    /// The whole nanoseconds.
    pub time: TimeNs,
    /// What a sender told beyond them, 0 to 999.
    pub picoseconds: u16,
}

/// Reads a `UTCTimestamp` with none to twelve digits of a second. The leap second 60 is the first one of
/// the next minute, as Unix time has it. `None` where it is no time from 1970 to 2554.
#[inline]
#[must_use]
pub fn timestamp(value: &[u8]) -> Option<Timestamp> {
    let (day, of_day) = value.split_at_checked(8)?;
    let (b'-', of_day) = of_day.split_first()? else { return None };
    let (seconds, nanos, picoseconds) = time_of_day(of_day)?;
    let seconds = date(day)?? * DAY_S + seconds;
    let time = TimeNs(seconds.checked_mul(SECOND_NS)?.checked_add(nanos)?);
    Some(Timestamp { time, picoseconds })
}

/// Reads a `UTCTimeOnly`: seconds of the day, nanoseconds of the second, picoseconds of the nanosecond.
#[inline]
#[must_use]
pub fn time_of_day(value: &[u8]) -> Option<(u64, u64, u16)> {
    let (head, fraction) = value.split_at_checked(8)?;
    let [h0, h1, b':', m0, m1, b':', s0, s1] = *head else { return None };
    let (hour, minute, second) = (two(h0, h1)?, two(m0, m1)?, two(s0, s1)?);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (nanos, picoseconds) = fraction_of(fraction)?;
    Some((hour * 3600 + minute * 60 + second, nanos, picoseconds))
}

/// Two digits as a number.
#[inline]
fn two(tens: u8, ones: u8) -> Option<u64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| u64::from(tens * 10 + ones))
}

/// Nothing, or a point and one to twelve digits.
#[inline]
fn fraction_of(fraction: &[u8]) -> Option<(u64, u16)> {
    let digits = match fraction {
        [] => return Some((0, 0)),
        [b'.', digits @ ..] if (1..=12).contains(&digits.len()) => digits,
        _ => return None,
    };
    let picos = uint(digits)? * POWERS[12 - digits.len()] as u64;
    Some((picos / 1000, (picos % 1000) as u16))
}

/// Reads `YYYYMMDD` as days since 1970: the outer `None` where it is no date, the inner one where it is
/// one before 1970.
#[inline]
#[must_use]
pub fn date(value: &[u8]) -> Option<Option<u64>> {
    let [y0, y1, y2, y3, m0, m1, d0, d1] = *value else { return None };
    let year = two(y0, y1)? * 100 + two(y2, y3)?;
    let (month, day) = (two(m0, m1)?, two(d0, d1)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // The calendar repeats every 400 years, so a year before 1970 has the months of a later one.
    let within = if year < 1970 { year + 2000 } else { year };
    let days = days_of_date(within, month, day);
    // A day that the month does not have would be one of the next month.
    if day > 28 && date_of_days(days) != (within, month, day) {
        return None;
    }
    Some((year >= 1970).then_some(days))
}

/// `YYYYMM`, perhaps with a day or a week of the month.
fn month_year(value: &[u8]) -> bool {
    let Some((head, tail)) = value.split_at_checked(6) else { return false };
    let month = || two(head[4], head[5]).is_some_and(|month| (1..=12).contains(&month));
    let is_month = head.iter().all(u8::is_ascii_digit) && month();
    match tail {
        [] | [b'w', b'1'..=b'5'] => is_month,
        _ => date(value).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(kind: Kind, values: &[&str], accepted: bool) {
        for value in values {
            assert_eq!(kind.accepts(value.as_bytes()), accepted, "{kind:?} {value:?}");
        }
    }

    #[test]
    fn each_form_takes_its_values_and_no_others() {
        all(Kind::Int, &["0", "-1", "007", "9223372036854775807", "-9223372036854775808"], true);
        all(Kind::Int, &["", "-", "+1", "1.0", "1 ", "9223372036854775808", "a"], false);
        all(Kind::SeqNum, &["1", "18446744073709551615"], true);
        all(Kind::SeqNum, &["-1", "", "18446744073709551616"], false);
        all(Kind::DayOfMonth, &["1", "31"], true);
        all(Kind::DayOfMonth, &["0", "32"], false);
        all(Kind::Qty, &["200.00", "-5", ".5", "5.", "0023.230", "00000000000000000000000"], true);
        all(
            Kind::Price,
            &["+200.00", "", ".", "-", "-.", "1.2.3", "1e3", "1,5", " 1", "--1"],
            false,
        );
        all(Kind::Char, &["A", " "], true);
        all(Kind::Char, &["", "AB"], false);
        all(Kind::Boolean, &["Y", "N"], true);
        all(Kind::Boolean, &["y", "", "YN", "1"], false);
        all(Kind::MultipleChar, &["6", "6 M", "6 M a"], true);
        all(Kind::MultipleChar, &["", "6M", "6 ", " 6", "6  M"], false);
        all(Kind::MultipleString, &["AON", "AON DAY"], true);
        all(Kind::MultipleString, &["AON ", "AON  DAY", ""], false);
        all(Kind::LocalMktDate, &["20240229", "19691231", "00010101"], true);
        all(
            Kind::LocalMktDate,
            &["20230229", "20241301", "20240100", "2024022", "202402299"],
            false,
        );
        all(Kind::MonthYear, &["202402", "20240229", "202402w1", "202402w5"], true);
        all(Kind::MonthYear, &["202413", "202402w6", "202402w", "2024", "20240230"], false);
        all(Kind::UtcTimeOnly, &["00:00:00", "23:59:60", "12:00:00.123456789012"], true);
        all(Kind::UtcTimeOnly, &["24:00:00", "12:60:00", "12:00", "12:00:00.", "1:00:00"], false);
        all(Kind::String, &["anything = at all"], true);
    }

    #[test]
    fn instants_are_read_from_seconds_to_picoseconds() {
        for (text, time, picoseconds) in [
            ("19700101-00:00:00", 0, 0),
            ("20090213-23:31:30", 1_234_567_890_000_000_000, 0),
            ("20090213-23:31:30.1", 1_234_567_890_100_000_000, 0),
            ("20090213-23:31:30.123", 1_234_567_890_123_000_000, 0),
            ("20090213-23:31:30.123456", 1_234_567_890_123_456_000, 0),
            ("20090213-23:31:30.123456789", 1_234_567_890_123_456_789, 0),
            ("20090213-23:31:30.123456789012", 1_234_567_890_123_456_789, 12),
            // The leap second at the end of 2016, and what Unix time has in its place.
            ("20161231-23:59:60.5", 1_483_228_800_500_000_000, 0),
        ] {
            let read = timestamp(text.as_bytes());
            assert_eq!(read, Some(Timestamp { time: TimeNs(time), picoseconds }), "{text}");
        }
        for text in [
            "20040415",
            "20090213-23:31",
            "20090213 23:31:30",
            "20090230-23:31:30",
            "20090213-23:31:61",
            "20090213-23:31:30.",
            "20090213-23:31:30.1234567890123",
            "20090213-23:31:30Z",
            "19691231-23:59:59",
            "25550101-00:00:00",
            "",
        ] {
            assert_eq!(timestamp(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn decimals_are_read_exactly_or_refused() {
        let at = |units, scale| Ok(Decimal { units, scale });
        assert_eq!(decimal(b"12.50"), at(1250, 2));
        assert_eq!(decimal(b"-.5"), at(-5, 1));
        assert_eq!(decimal(b"5."), at(5, 0));
        assert_eq!(decimal(b"00023.23"), at(2323, 2));
        assert_eq!(decimal(b"1.0000000000000"), at(1, 0));
        assert_eq!(decimal(b"-9223372036854775808"), at(i64::MIN.into(), 0));
        assert_eq!(decimal(b"0000000000000000000000000000012.5"), at(125, 1));
        assert_eq!(decimal(b"9223372036854775808"), Err(DecimalError::Overflow));
        assert_eq!(decimal(b"0.0000000000001"), Err(DecimalError::Inexact { scale: SCALE_MAX }));
        for text in ["", ".", "-", "--1", "+1", "1e5", "-00000000000000000000-1", "1..2"] {
            assert_eq!(decimal(text.as_bytes()), Err(DecimalError::Malformed), "{text}");
        }
    }

    #[test]
    fn prices_become_ticks_without_rounding() {
        assert_eq!(units(b"100.05", 4), Ok(1_000_500));
        assert_eq!(units(b"100.0500", 2), Ok(10_005));
        assert_eq!(units(b"100.051", 2), Err(DecimalError::Inexact { scale: 2 }));
        assert_eq!(units(b"9223372036854775807", 2), Err(DecimalError::Overflow));
        assert_eq!(steps(b"100.05", 2, 5), Ok(2001));
        for text in ["100.03", "100.001"] {
            let error = steps(text.as_bytes(), 2, 5).expect_err("off the tick");
            assert_eq!(error.to_string(), "is not a multiple of 0.05");
        }
    }

    proptest! {
        #[test]
        fn what_our_files_take_means_the_same_here(
            text in "-?[0-9]{1,22}(\\.[0-9]{1,16})?", scale in 0..=SCALE_MAX
        ) {
            let ours = crate::decimal::parse(&text, scale);
            let here = units(text.as_bytes(), scale);
            // What is refused there is refused here, perhaps for another of two reasons.
            prop_assert_eq!(here.ok(), ours.ok(), "{}", text);
        }

        #[test]
        fn any_bytes_are_read_or_refused_without_a_panic(
            value in proptest::collection::vec(any::<u8>(), 0..24), text in "[-+.0-9:w ]{0,28}"
        ) {
            for bytes in [&value[..], text.as_bytes()] {
                let _ = (decimal(bytes), units(bytes, 8), timestamp(bytes), date(bytes));
                prop_assert_eq!(is_decimal(bytes), decimal(bytes) != Err(DecimalError::Malformed));
                let _ = (Kind::MonthYear.accepts(bytes), Kind::MultipleChar.accepts(bytes));
            }
        }
    }
}
