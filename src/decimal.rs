//! Decimal text and whole units of a scale, exactly, in both directions.
//!
//! Invariants: nothing is ever rounded (text with more places than the scale, or off the tick or
//! lot, is refused), no floating point takes part, and what is formatted parses back to the same
//! number. One text form is written for each number: no trailing zeros, no exponent, no plus sign.

use crate::limits::SCALE_MAX;
use std::fmt;
use thiserror::Error;

/// Why a text is no number of the units asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecimalError {
    /// Not digits, optionally a minus before them and one point between them.
    #[error("is not a decimal number such as 12.5")]
    Malformed,
    /// More places than the scale has.
    #[error("has more than {scale} decimal places")]
    Inexact {
        /// Decimal places there are.
        scale: u8,
    },
    /// Not a whole number of ticks or lots.
    #[error("is not a multiple of {step}")]
    NotAMultiple {
        /// The tick or lot.
        step: Decimal,
    },
    /// Does not fit in 64 bits at this scale.
    #[error("is too large")]
    Overflow,
}

/// A number of units of 10^-scale; prints as decimal text and allocates nothing for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal {
    /// How many units.
    pub units: i128,
    /// Decimal places of one unit.
    pub scale: u8,
}

impl Decimal {
    /// `count` steps (ticks, lots) of `step_units` of the last place each.
    #[must_use]
    pub const fn of_steps(count: i64, step_units: i64, scale: u8) -> Decimal {
        // Two 64-bit factors always fit in 128 bits.
        Decimal { units: count as i128 * step_units as i128, scale }
    }

    /// Reads a number at the smallest scale that holds it: `"0.010"` is 1 unit at scale 2.
    ///
    /// # Errors
    /// [`DecimalError::Malformed`], [`DecimalError::Inexact`] beyond [`SCALE_MAX`] places, and
    /// [`DecimalError::Overflow`] beyond 64 bits.
    pub fn parse(text: &str) -> Result<Decimal, DecimalError> {
        let places = split(text)?.2.trim_end_matches('0').len();
        if places > usize::from(SCALE_MAX) {
            return Err(DecimalError::Inexact { scale: SCALE_MAX });
        }
        let scale = u8::try_from(places).expect("at most SCALE_MAX places");
        Ok(Decimal { units: i128::from(parse(text, scale)?), scale })
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut places = u32::from(self.scale);
        let mut units = self.units.unsigned_abs();
        while places > 0 && units.is_multiple_of(10) {
            units /= 10;
            places -= 1;
        }
        if self.units < 0 {
            f.write_str("-")?;
        }
        let power = 10u128.pow(places);
        write!(f, "{}", units / power)?;
        if places > 0 {
            write!(f, ".{:0width$}", units % power, width = places as usize)?;
        }
        Ok(())
    }
}

/// Sign, whole digits and fraction digits of a text.
fn split(text: &str) -> Result<(bool, &str, &str), DecimalError> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = match digits.split_once('.') {
        Some((_, "")) => return Err(DecimalError::Malformed),
        Some(parts) => parts,
        None => (digits, ""),
    };
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return Err(DecimalError::Malformed);
    }
    Ok((negative, whole, fraction))
}

/// Reads decimal text as whole units of 10^-scale.
///
/// # Errors
/// [`DecimalError`]: malformed, more places than `scale` (zeros at the end are none), or beyond 64
/// bits.
pub fn parse(text: &str, scale: u8) -> Result<i64, DecimalError> {
    let (negative, whole, fraction) = split(text)?;
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > usize::from(scale) {
        return Err(DecimalError::Inexact { scale });
    }
    let padding = usize::from(scale) - fraction.len();
    let digits = whole.bytes().chain(fraction.bytes()).chain(std::iter::repeat_n(b'0', padding));
    let mut units: i64 = 0;
    for digit in digits {
        let digit = i64::from(digit - b'0');
        // Counting downwards for negative numbers reaches i64::MIN without passing through its
        // positive, which does not exist.
        units =
            units
                .checked_mul(10)
                .and_then(|units| {
                    if negative { units.checked_sub(digit) } else { units.checked_add(digit) }
                })
                .ok_or(DecimalError::Overflow)?;
    }
    Ok(units)
}

/// Reads decimal text as a whole number of steps (ticks, lots) of `step_units` of 10^-scale each.
///
/// # Errors
/// As [`parse`], and [`DecimalError::NotAMultiple`].
pub fn parse_steps(text: &str, scale: u8, step_units: i64) -> Result<i64, DecimalError> {
    assert!(step_units > 0, "a step has a size");
    let off_step =
        DecimalError::NotAMultiple { step: Decimal { units: i128::from(step_units), scale } };
    let units = match parse(text, scale) {
        Err(DecimalError::Inexact { .. }) => return Err(off_step),
        other => other?,
    };
    if units % step_units == 0 { Ok(units / step_units) } else { Err(off_step) }
}

/// Writes whole units of 10^-scale as decimal text.
#[must_use]
pub fn format(units: i64, scale: u8) -> String {
    Decimal { units: i128::from(units), scale }.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimal_text_becomes_exact_units() {
        for (text, scale, units) in [
            ("0", 0, 0),
            ("-0", 4, 0),
            ("1", 0, 1),
            ("0.01", 2, 1),
            ("0.0100", 2, 1),
            ("2082.34", 2, 208_234),
            ("2087.6", 2, 208_760),
            ("-12.5", 3, -12_500),
            ("007", 1, 70),
            ("9223372036854775807", 0, i64::MAX),
            ("-9223372036854775808", 0, i64::MIN),
            ("92233720368.54775807", 8, i64::MAX),
            ("-92233720368.54775808", 8, i64::MIN),
        ] {
            assert_eq!(parse(text, scale), Ok(units), "{text} at scale {scale}");
        }
    }

    #[test]
    fn text_that_is_no_number_is_refused() {
        for text in [
            "", "-", ".", "1.", ".5", "+1", "1e3", "1,5", " 1", "1 ", "1.2.3", "0x1", "--1", "1-",
            "NaN", "١",
        ] {
            assert_eq!(parse(text, 4), Err(DecimalError::Malformed), "{text:?}");
        }
    }

    #[test]
    fn a_place_too_many_is_refused_and_never_rounded() {
        assert_eq!(parse("0.0000009", 6), Err(DecimalError::Inexact { scale: 6 }));
        assert_eq!(parse("1.5", 0), Err(DecimalError::Inexact { scale: 0 }));
        assert_eq!(parse("0.000001", 6), Ok(1));
    }

    #[test]
    fn a_number_beyond_64_bits_is_refused() {
        for text in ["9223372036854775808", "-9223372036854775809", "99999999999999999999999"] {
            assert_eq!(parse(text, 0), Err(DecimalError::Overflow));
        }
        assert_eq!(parse("92233720368.54775808", 8), Err(DecimalError::Overflow));
        assert_eq!(parse("10000000", 12), Err(DecimalError::Overflow));
    }

    #[test]
    fn a_price_off_the_tick_is_refused_by_the_tick() {
        assert_eq!(parse_steps("100.05", 2, 5), Ok(2001));
        let error = parse_steps("100.03", 2, 5).expect_err("0.03 is no multiple of 0.05");
        assert_eq!(error.to_string(), "is not a multiple of 0.05");
        let error = parse_steps("100.001", 2, 1).expect_err("too many places");
        assert_eq!(error.to_string(), "is not a multiple of 0.01");
    }

    #[test]
    fn the_smallest_scale_is_found_from_the_text() {
        assert_eq!(Decimal::parse("0.010"), Ok(Decimal { units: 1, scale: 2 }));
        assert_eq!(Decimal::parse("25"), Ok(Decimal { units: 25, scale: 0 }));
        assert_eq!(Decimal::parse("0.5"), Ok(Decimal { units: 5, scale: 1 }));
        assert_eq!(
            Decimal::parse("0.0000000000001"),
            Err(DecimalError::Inexact { scale: SCALE_MAX })
        );
    }

    #[test]
    fn numbers_are_written_without_trailing_zeros() {
        assert_eq!(format(208_600, 2), "2086");
        assert_eq!(format(208_760, 2), "2087.6");
        assert_eq!(format(-5, 3), "-0.005");
        assert_eq!(format(0, 8), "0");
        assert_eq!(format(i64::MIN, 8), "-92233720368.54775808");
        assert_eq!(Decimal::of_steps(i64::MAX, i64::MAX, 0).to_string().len(), 38);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(units in any::<i64>(), scale in 0..=SCALE_MAX) {
            prop_assert_eq!(parse(&format(units, scale), scale), Ok(units));
        }

        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text in "[-+.0-9e]{0,30}", scale in 0..=SCALE_MAX) {
            let _: Result<i64, DecimalError> = parse(&text, scale);
        }
    }
}
