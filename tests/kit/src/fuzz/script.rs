//! Bytes of a fuzzer as decisions, one after another. When they run out, every further decision is the first choice, so
//! that each input is a whole story and a shorter one is a simpler one.

/// What is left of the decisions.
#[derive(Debug, Clone)]
pub(super) struct Script<'a> {
    left: &'a [u8],
}

impl<'a> Script<'a> {
    pub fn new(bytes: &'a [u8]) -> Script<'a> {
        Script { left: bytes }
    }

    /// The next byte; `None` at the end.
    pub fn byte(&mut self) -> Option<u8> {
        let (&byte, left) = self.left.split_first()?;
        self.left = left;
        Some(byte)
    }

    /// A number below `end`, from one byte.
    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte().unwrap_or(0)) % end
    }

    /// One of these; there must be one.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// As many bytes as the next one says, at most `most`.
    pub fn some(&mut self, most: usize) -> &'a [u8] {
        let len = self.below(most + 1).min(self.left.len());
        let (some, left) = self.left.split_at(len);
        self.left = left;
        some
    }

    /// All that is left.
    pub fn rest(self) -> &'a [u8] {
        self.left
    }
}
