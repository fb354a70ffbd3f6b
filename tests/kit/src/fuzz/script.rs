//! The bytes of a fuzzer as a sequence of decisions. After their end every further decision is the first choice, so
//! that each input is a complete run and a shorter input is a simpler run.

/// The remaining decisions.
#[derive(Debug, Clone)]
pub(super) struct Script<'a> {
    left: &'a [u8],
}

impl<'a> Script<'a> {
    pub fn new(bytes: &'a [u8]) -> Script<'a> {
        Script { left: bytes }
    }

    /// Returns the next byte; `None` at the end.
    pub fn byte(&mut self) -> Option<u8> {
        let (&byte, left) = self.left.split_first()?;
        self.left = left;
        Some(byte)
    }

    /// Returns a number below `end`, from one byte.
    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte().unwrap_or(0)) % end
    }

    /// Returns one of these, from one byte.
    ///
    /// # Panics
    /// If there is none.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Returns as many bytes as the next byte says, at most `max`.
    pub fn some(&mut self, max: usize) -> &'a [u8] {
        let len = self.below(max + 1).min(self.left.len());
        let (some, left) = self.left.split_at(len);
        self.left = left;
        some
    }

    /// Returns all remaining bytes.
    pub fn rest(self) -> &'a [u8] {
        self.left
    }
}
