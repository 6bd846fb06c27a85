//! Short texts in place, so that an action carries what it says without an allocation.

use crate::limits::FIX_TEXT_MAX_BYTES;
use std::fmt;

/// At most `N` bytes, `N` below 256.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Short<const N: usize> {
    bytes: [u8; N],
    length: u8,
}

/// A text (58) or a TestReqID (112).
pub type Text = Short<FIX_TEXT_MAX_BYTES>;
/// A message type (35) that is named in a reject (372).
pub type TypeText = Short<8>;

impl<const N: usize> Short<N> {
    /// No byte.
    pub const EMPTY: Short<N> = Short { bytes: [0; N], length: 0 };

    /// The first bytes of these.
    #[must_use]
    pub fn cut(bytes: &[u8]) -> Short<N> {
        let mut short = Short::EMPTY;
        short.push(bytes);
        short
    }

    /// These bytes, where they have room.
    #[must_use]
    pub fn whole(bytes: &[u8]) -> Option<Short<N>> {
        (bytes.len() <= N).then(|| Short::cut(bytes))
    }

    /// What is written, cut at the end.
    #[must_use]
    pub fn of(text: fmt::Arguments<'_>) -> Short<N> {
        let mut short = Short::EMPTY;
        // Writing here cannot fail; a value whose own formatting does leaves what it had written.
        let _ = fmt::Write::write_fmt(&mut short, text);
        short
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// True where there is nothing to say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    fn push(&mut self, bytes: &[u8]) {
        let from = usize::from(self.length);
        let count = bytes.len().min(N - from);
        self.bytes[from..from + count].copy_from_slice(&bytes[..count]);
        self.length = (from + count) as u8;
    }
}

impl<const N: usize> fmt::Write for Short<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

impl<const N: usize> fmt::Debug for Short<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(self.bytes()), f)
    }
}

impl<const N: usize> From<&str> for Short<N> {
    fn from(text: &str) -> Short<N> {
        Short::cut(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_and_never_overflows() {
        let text = Short::<4>::of(format_args!("{}-{}", 12, 3456));
        assert_eq!(text.bytes(), b"12-3");
        assert_eq!(Short::<4>::whole(b"12345"), None);
        assert_eq!(Short::<4>::whole(b"1234").expect("it fits").bytes(), b"1234");
        assert!(Text::EMPTY.is_empty());
    }
}
