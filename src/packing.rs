//! Numbers and texts one after another, little-endian, and how they are read back: every length and
//! count is bounded by the bytes that are there, and what does not fit is an error.

use thiserror::Error;

/// Why packed bytes cannot be what they should be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unfit {
    /// The bytes end before what they announce.
    #[error("it ends too early")]
    Short,
    /// Bytes behind the last value.
    #[error("{0} bytes too many")]
    LeftOver(usize),
    /// A value that cannot be.
    #[error("{0}")]
    Wrong(&'static str),
    /// An item that its own rules refuse, in their words.
    #[error("{0}")]
    Refused(String),
}

/// Fails with a sentence where something does not hold.
///
/// # Errors
/// [`Unfit::Wrong`].
pub fn ensure(holds: bool, otherwise: &'static str) -> Result<(), Unfit> {
    if holds { Ok(()) } else { Err(Unfit::Wrong(otherwise)) }
}

/// Packs values.
#[derive(Debug, Default)]
pub struct Pack {
    bytes: Vec<u8>,
}

impl Pack {
    /// A packer that appends to bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Pack {
        Pack { bytes }
    }

    /// What was packed.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What was packed, to be filled in where its value is known later.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Takes back what was packed behind the first so many bytes.
    pub fn truncate(&mut self, size: usize) {
        self.bytes.truncate(size);
    }

    /// What was packed.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// Four bytes.
    pub fn u32(&mut self, value: u32) {
        self.raw(&value.to_le_bytes());
    }

    /// Eight bytes.
    pub fn u64(&mut self, value: u64) {
        self.raw(&value.to_le_bytes());
    }

    /// Eight bytes, two's complement.
    pub fn i64(&mut self, value: i64) {
        self.raw(&value.to_le_bytes());
    }

    /// A number of things that follow, eight bytes.
    pub fn count(&mut self, count: usize) {
        self.u64(count as u64);
    }

    /// A length of eight bytes, and so many bytes.
    pub fn text(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.raw(bytes);
    }
}

/// Reads packed values.
#[derive(Clone, Debug)]
pub struct Unpack<'a> {
    rest: &'a [u8],
}

impl<'a> Unpack<'a> {
    /// A reader of these bytes, all of them.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Unpack<'a> {
        Unpack { rest: bytes }
    }

    /// See [`Pack::raw`].
    ///
    /// # Errors
    /// [`Unfit::Short`].
    pub fn raw(&mut self, size: usize) -> Result<&'a [u8], Unfit> {
        let (bytes, rest) = self.rest.split_at_checked(size).ok_or(Unfit::Short)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// A fixed number of bytes.
    ///
    /// # Errors
    /// [`Unfit::Short`].
    pub fn array<const SIZE: usize>(&mut self) -> Result<[u8; SIZE], Unfit> {
        let (bytes, rest) = self.rest.split_first_chunk::<SIZE>().ok_or(Unfit::Short)?;
        self.rest = rest;
        Ok(*bytes)
    }

    /// See [`Pack::u8`].
    ///
    /// # Errors
    /// [`Unfit::Short`].
    pub fn u8(&mut self) -> Result<u8, Unfit> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A byte that is 0 or 1.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn bool(&mut self) -> Result<bool, Unfit> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Unfit::Wrong("a flag is neither 0 nor 1")),
        }
    }

    /// See [`Pack::u32`].
    ///
    /// # Errors
    /// [`Unfit::Short`].
    pub fn u32(&mut self) -> Result<u32, Unfit> {
        self.array().map(u32::from_le_bytes)
    }

    /// See [`Pack::u64`].
    ///
    /// # Errors
    /// [`Unfit::Short`].
    pub fn u64(&mut self) -> Result<u64, Unfit> {
        self.array().map(u64::from_le_bytes)
    }

    /// See [`Pack::i64`].
    ///
    /// # Errors
    /// [`Unfit::Short`].
    pub fn i64(&mut self) -> Result<i64, Unfit> {
        self.array().map(i64::from_le_bytes)
    }

    /// A number of things that follow, each of at least `size` bytes: never more than are there.
    ///
    /// # Errors
    /// [`Unfit::Short`].
    pub fn count(&mut self, size: usize) -> Result<usize, Unfit> {
        let count = usize::try_from(self.u64()?).map_err(|_| Unfit::Short)?;
        let fits = count.checked_mul(size).is_some_and(|bytes| bytes <= self.rest.len());
        if fits { Ok(count) } else { Err(Unfit::Short) }
    }

    /// See [`Pack::text`].
    ///
    /// # Errors
    /// [`Unfit::Short`].
    pub fn text(&mut self) -> Result<&'a [u8], Unfit> {
        let size = self.count(1)?;
        self.raw(size)
    }

    /// True where nothing follows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`Unfit::LeftOver`].
    pub fn end(self) -> Result<(), Unfit> {
        if self.rest.is_empty() { Ok(()) } else { Err(Unfit::LeftOver(self.rest.len())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_reads_back_and_no_less_of_it_does() {
        let mut pack = Pack::default();
        pack.u8(1);
        pack.u32(2);
        pack.u64(u64::MAX);
        pack.i64(-3);
        pack.text(b"four");
        let read = |bytes| {
            let mut unpack = Unpack::new(bytes);
            let numbers = (unpack.bool()?, unpack.u32()?, unpack.u64()?, unpack.i64()?);
            let text = unpack.text()?;
            unpack.end()?;
            Ok((numbers, text))
        };
        let bytes = pack.bytes();
        assert_eq!(read(bytes), Ok(((true, 2, u64::MAX, -3), &b"four"[..])));
        for length in 0..bytes.len() {
            assert_eq!(read(&bytes[..length]), Err(Unfit::Short), "{length}");
        }
        assert_eq!(read(&[bytes, &[0]].concat()), Err(Unfit::LeftOver(1)));
    }

    #[test]
    fn a_count_is_never_more_than_the_bytes_hold() {
        for count in [3, u64::MAX, u64::MAX / 8 + 1] {
            let mut pack = Pack::default();
            pack.u64(count);
            pack.raw(&[0; 16]);
            assert_eq!(Unpack::new(pack.bytes()).count(8), Err(Unfit::Short), "{count}");
        }
    }
}
