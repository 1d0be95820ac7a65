//! Flow control (RFC 9113 section 5.2): how much either side may send.

/// What a window is at the beginning (section 6.9.2), in bytes.
pub const INITIAL_WINDOW: u32 = 65_535;
/// The most that it can be (section 6.9.1).
pub const LARGEST_WINDOW: u32 = 0x7fff_ffff;

/// How much we may send, in bytes. Settings can make it less than nothing.
#[derive(Debug, Clone, Copy)]
pub struct SendWindow(i64);

impl SendWindow {
    /// So much.
    pub fn new(bytes: u32) -> Self {
        Self(i64::from(bytes))
    }

    /// What may be sent now.
    pub fn left(self) -> usize {
        usize::try_from(self.0).unwrap_or(0)
    }

    /// So much is sent, which was left.
    pub fn spend(&mut self, bytes: usize) {
        self.0 -= i64::try_from(bytes).unwrap_or(i64::MAX);
    }

    /// So much more may be sent, or less. False if that makes it larger than windows are.
    pub fn change(&mut self, bytes: i64) -> bool {
        self.0 = self.0.saturating_add(bytes);
        self.0 <= i64::from(LARGEST_WINDOW)
    }
}

/// How much the other side may send, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct ReceiveWindow {
    size: u32,
    left: u32,
    /// What was taken out of its buffer, and that the other side hasn't heard of yet.
    owed: u32,
}

impl ReceiveWindow {
    /// So much.
    pub fn new(size: u32) -> Self {
        Self {
            size,
            left: size,
            owed: 0,
        }
    }

    /// So much has come. False: that is more than it may be.
    pub fn spend(&mut self, bytes: usize) -> bool {
        let left = u32::try_from(bytes).ok();
        let left = left.and_then(|bytes| self.left.checked_sub(bytes));
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }

    /// So much of what has come needs no room any more. By how much the other side is to be told that the window opens, if
    /// that is worth a frame: half of it, or as much as is left. To be asked also when some has come, since others may hold
    /// the rest for as long as they like.
    pub fn release(&mut self, bytes: usize) -> Option<u32> {
        self.owed = self
            .owed
            .saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        if self.owed < self.left.min(self.size / 2) || self.owed == 0 {
            return None;
        }
        self.left = self.left.saturating_add(self.owed).min(LARGEST_WINDOW);
        Some(std::mem::take(&mut self.owed))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_can_be_sent_of_a_window_that_was_taken_back() {
        let mut window = SendWindow::new(100);
        window.spend(60);
        assert_eq!(window.left(), 40);
        assert!(window.change(-100));
        assert_eq!(window.left(), 0);
        assert!(window.change(61));
        assert_eq!(window.left(), 1);
        assert!(!window.change(i64::from(LARGEST_WINDOW)));
    }

    #[test]
    fn what_is_free_is_told_though_others_hold_more_than_half() {
        let mut window = ReceiveWindow::new(100);
        assert!(window.spend(75), "nobody takes that");
        assert!(window.spend(20));
        assert_eq!(window.release(20), Some(20));
        assert!(window.spend(5));
        assert_eq!(window.release(0), None);
        assert_eq!(window.release(5), None);
        assert!(window.spend(16));
        assert_eq!(window.release(0), Some(5), "the rest is as little");
    }

    proptest! {
        /// Whatever comes and is taken, the sender gets back what it has spent, half a window late at most.
        #[test]
        fn a_window_opens_as_it_is_emptied(pieces in prop::collection::vec(0usize..60, 1..200)) {
            let mut window = ReceiveWindow::new(100);
            let (mut may, mut waiting) = (100_u32, 0);
            for piece in pieces {
                let length = u32::try_from(piece).unwrap();
                prop_assert_eq!(window.spend(piece), length <= may);
                if length <= may {
                    may -= length;
                    waiting += piece;
                }
                may += window.release(waiting).unwrap_or(0);
                waiting = 0;
                prop_assert!((50..=100).contains(&may));
            }
        }
    }
}
