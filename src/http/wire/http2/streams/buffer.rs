//! What has come of a body and nobody has taken.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// The most bytes of a piece.
const PIECE: usize = 64 * 1024;
/// The least room that is made for what comes after the first.
const LEAST: usize = 512;

/// Bytes in the pieces in which they are taken. However they come, it holds little more memory
/// than bytes: a few times as much, and a piece.
#[derive(Debug, Default)]
pub struct Buffer {
    pieces: VecDeque<BytesMut>,
    length: usize,
    /// The most bytes of a piece that is made for more than has come.
    largest: usize,
}

impl Buffer {
    /// For what comes in a window of that size. It is worth a few pieces, so that one that is filled in part isn't much of it.
    pub fn new(window: u32) -> Self {
        let window = usize::try_from(window).unwrap_or(usize::MAX);
        Self {
            largest: (window / 4).min(PIECE),
            ..Self::default()
        }
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Adds bytes.
    pub fn push(&mut self, mut bytes: &[u8]) {
        self.length += bytes.len();
        while !bytes.is_empty() {
            let (size, room) = self.pieces.back().map_or((0, 0), |last| {
                (last.capacity(), last.capacity() - last.len())
            });
            if room == 0 {
                let least = if size == 0 { 0 } else { LEAST.max(2 * size) };
                let size = bytes.len().max(least.min(self.largest)).min(PIECE);
                self.pieces.push_back(BytesMut::with_capacity(size));
                continue;
            }
            let (part, rest) = bytes.split_at(room.min(bytes.len()));
            if let Some(last) = self.pieces.back_mut() {
                last.extend_from_slice(part);
            }
            bytes = rest;
        }
    }

    /// Takes the first piece; none of no bytes.
    pub fn pop(&mut self) -> Option<Bytes> {
        let piece = self.pieces.pop_front()?;
        if self.pieces.is_empty() {
            self.pieces = VecDeque::new();
        }
        self.length -= piece.len();
        Some(piece.freeze())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_full_window_takes_little_more_memory_than_it_has_bytes() {
        let mut buffer = Buffer::new(65_536);
        for length in [1, 100, 16_384, 16_384, 16_384, 16_283] {
            buffer.push(&vec![1; length]);
        }
        let memory: usize = buffer.pieces.iter().map(BytesMut::capacity).sum();
        assert!(memory <= buffer.len() + 16_384, "{memory}");
    }

    #[test]
    fn a_body_that_comes_at_once_is_one_piece_of_its_size() {
        let mut buffer = Buffer::new(1 << 20);
        buffer.push(&[1; 1000]);
        assert_eq!(buffer.pieces[0].capacity(), 1000);
        assert_eq!(buffer.pop().unwrap(), [1; 1000][..]);
        assert!(buffer.pop().is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// What comes out is what went in, and the memory for it isn't many times as much.
        #[test]
        fn bytes_stay_what_they_are(window in 2000u32..1_000_000, parts in prop::collection::vec((0usize..3, 0usize..300, any::<bool>()), 1..200)) {
            let (mut buffer, mut pushed, mut popped) = (Buffer::new(window), Vec::new(), Vec::new());
            for (size, more, pops) in parts {
                let part = vec![u8::try_from(pushed.len() % 251).unwrap(); more + [0, 10_000, 100_000][size]];
                buffer.push(&part);
                pushed.extend(part);
                let memory: usize = buffer.pieces.iter().map(BytesMut::capacity).sum();
                prop_assert!(memory <= 3 * buffer.len() + PIECE + LEAST);
                if pops {
                    popped.extend(buffer.pop().unwrap_or_default());
                }
                prop_assert_eq!(popped.len() + buffer.len(), pushed.len());
            }
            while let Some(piece) = buffer.pop() {
                prop_assert!(!piece.is_empty() && piece.len() <= PIECE);
                popped.extend(piece);
            }
            prop_assert_eq!(popped, pushed);
        }
    }
}
