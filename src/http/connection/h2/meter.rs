//! What an HTTP/2 client says, weighed frame by frame as its bytes arrive.
//!
//! The `h2` crate bounds what it must remember, but not how often it may be told: a request opened and reset at once
//! costs us a whole request (CVE-2023-44487), and SETTINGS, PING, PRIORITY and WINDOW_UPDATE cost work that no
//! request pays for (CVE-2019-9512, -9515). So frame headers (RFC 9113 section 4.1) are counted here, before `h2` sees
//! them, against two budgets that honest clients don't reach. It is also known here since when a header block is
//! under way, which `h2` doesn't tell, so that one that trickles in meets `header_timeout`.

use std::time::Instant;

/// Bytes of the client's preface before its first frame.
const PREFACE: usize = 24;
const FRAME_HEAD: usize = 9;

/// Requests that may be reset at once, however many streams are allowed: a browser that leaves a page.
const RESETS: u32 = 200;
/// Resets a second that are always fine. Every request that was let finish allows for one more.
const RESETS_PER_SECOND: u32 = 20;
/// Frames at once that carry nothing.
const NOISE: u32 = 1000;
/// Such frames a second that are always fine. What we send allows for more: it has to be acknowledged.
const NOISE_PER_SECOND: u32 = 100;

/// Why a client is sent away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Too many requests were reset.
    Resets,
    /// Too many frames without content.
    Noise,
    /// The first frame isn't SETTINGS (RFC 9113 section 3.4).
    NoSettings,
}

/// What we have done for a client since it was last asked, which allows for more frames from it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Earned {
    /// Requests that ran to their end.
    pub finished: u32,
    /// Acknowledgements that our frames are worth.
    pub sent: u32,
}

/// The frames of one connection.
#[derive(Debug)]
pub struct Meter {
    /// Bytes still to come of the preface, or of the payload of the frame at hand.
    left: usize,
    head: [u8; FRAME_HEAD],
    /// Bytes of `head` that have come.
    have: usize,
    /// The first frame has come.
    begun: bool,
    /// The frame at hand ends a header block.
    ends_block: bool,
    block_since: Option<Instant>,
    resets: Budget,
    noise: Budget,
}

impl Meter {
    /// For a connection whose preface is still to come. `max_streams` requests may be under way at once, and be
    /// given up at once.
    pub fn new(max_streams: u32, now: Instant) -> Self {
        Self {
            left: PREFACE,
            head: [0; FRAME_HEAD],
            have: 0,
            begun: false,
            ends_block: false,
            block_since: None,
            resets: Budget::new(
                RESETS.max(max_streams.saturating_mul(2)),
                RESETS_PER_SECOND,
                now,
            ),
            noise: Budget::new(NOISE, NOISE_PER_SECOND, now),
        }
    }

    /// Weighs what has been received. `earned` is asked when a budget is used up.
    ///
    /// # Errors
    ///
    /// [`Fault`] when the client is to be sent away.
    pub fn note(
        &mut self,
        mut bytes: &[u8],
        now: Instant,
        mut earned: impl FnMut() -> Earned,
    ) -> Result<(), Fault> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let taken = self.left.min(bytes.len());
                self.left -= taken;
                bytes = bytes.get(taken..).unwrap_or_default();
                if self.left == 0 {
                    self.payload_done();
                }
                continue;
            }
            let taken = (FRAME_HEAD - self.have).min(bytes.len());
            let (part, rest) = bytes.split_at(taken);
            for (place, byte) in self.head.iter_mut().skip(self.have).zip(part) {
                *place = *byte;
            }
            self.have += taken;
            bytes = rest;
            if self.have == FRAME_HEAD {
                self.have = 0;
                self.frame(now, &mut earned)?;
            }
        }
        Ok(())
    }

    /// Since when a header block is under way, if one is.
    pub fn block_since(&self) -> Option<Instant> {
        self.block_since
    }

    /// A frame begins.
    fn frame(&mut self, now: Instant, earned: &mut impl FnMut() -> Earned) -> Result<(), Fault> {
        const END_STREAM: u8 = 0x1;
        const END_HEADERS: u8 = 0x4;
        const DATA: u8 = 0;
        const HEADERS: u8 = 1;
        const RST_STREAM: u8 = 3;
        const SETTINGS: u8 = 4;
        const CONTINUATION: u8 = 9;
        let [high, middle, low, kind, flags, ..] = self.head;
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        if !std::mem::replace(&mut self.begun, true) && kind != SETTINGS {
            return Err(Fault::NoSettings);
        }
        let noise = match kind {
            DATA => length == 0 && flags & END_STREAM == 0,
            HEADERS | CONTINUATION => {
                self.ends_block = flags & END_HEADERS != 0;
                self.block_since = self.block_since.or(Some(now));
                kind == CONTINUATION && length == 0
            }
            RST_STREAM => {
                let Self { resets, noise, .. } = self;
                if !resets.spend() {
                    share(resets, noise, now, earned);
                    if !resets.spend() {
                        return Err(Fault::Resets);
                    }
                }
                false
            }
            _ => true,
        };
        if noise && !self.noise.spend() {
            let Self { resets, noise, .. } = self;
            share(resets, noise, now, earned);
            if !noise.spend() {
                return Err(Fault::Noise);
            }
        }
        self.left = length;
        if length == 0 {
            self.payload_done();
        }
        Ok(())
    }

    fn payload_done(&mut self) {
        if self.ends_block {
            self.ends_block = false;
            self.block_since = None;
        }
    }
}

/// Distributes what was earned, as time itself does.
fn share(
    resets: &mut Budget,
    noise: &mut Budget,
    now: Instant,
    earned: &mut impl FnMut() -> Earned,
) {
    let earned = earned();
    resets.refill(now, earned.finished);
    noise.refill(now, earned.sent);
}

/// So much at once, and so much a second.
#[derive(Debug)]
struct Budget {
    left: u32,
    most: u32,
    per_second: u32,
    refilled: Instant,
}

impl Budget {
    fn new(most: u32, per_second: u32, now: Instant) -> Self {
        Self {
            left: most,
            most,
            per_second,
            refilled: now,
        }
    }

    /// False when nothing is left.
    fn spend(&mut self) -> bool {
        let enough = self.left > 0;
        self.left = self.left.saturating_sub(1);
        enough
    }

    fn refill(&mut self, now: Instant, more: u32) {
        let passed = now.saturating_duration_since(self.refilled);
        let by_time = passed
            .as_millis()
            .saturating_mul(u128::from(self.per_second))
            / 1000;
        if by_time > 0 {
            self.refilled = now;
        }
        let by_time = u32::try_from(by_time).unwrap_or(u32::MAX);
        self.left = self
            .left
            .saturating_add(by_time)
            .saturating_add(more)
            .min(self.most);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let mut bytes = u32::try_from(payload).unwrap().to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags, 0, 0, 0, 1]);
        bytes.resize(FRAME_HEAD + payload, 0xff);
        bytes
    }

    fn meter(now: Instant) -> Meter {
        let mut meter = Meter::new(128, now);
        meter.begun = true;
        meter.note(&[b'x'; PREFACE], now, Earned::default).unwrap();
        meter
    }

    /// How many such frames pass at once.
    fn passing(bytes: &[u8], earned: Earned) -> u32 {
        let now = Instant::now();
        let mut meter = meter(now);
        let mut earned = Some(earned);
        let mut count = 0;
        while meter
            .note(bytes, now, || earned.take().unwrap_or_default())
            .is_ok()
        {
            count += 1;
            if count == 1_000_000 {
                break;
            }
        }
        count
    }

    #[test]
    fn floods_end_and_requests_and_bodies_do_not_count() {
        let none = Earned::default();
        assert_eq!(
            passing(&frame(3, 0, 4), none),
            256,
            "resets: twice max_streams"
        );
        for (kind, payload) in [(4, 0), (6, 8), (2, 5), (8, 4), (9, 0), (0, 0), (42, 3)] {
            assert_eq!(passing(&frame(kind, 0, payload), none), NOISE, "{kind}");
        }
        for (kind, flags, payload) in [(0, 0, 1), (0, 1, 0), (1, 4, 30), (9, 4, 1)] {
            assert_eq!(passing(&frame(kind, flags, payload), none), 1_000_000);
        }
    }

    #[test]
    fn the_first_frame_is_settings() {
        let first = |kind| {
            let mut meter = Meter::new(1, Instant::now());
            let bytes = [vec![b'x'; PREFACE], frame(kind, 0, 0)].concat();
            meter.note(&bytes, Instant::now(), Earned::default)
        };
        assert_eq!(first(4), Ok(()));
        assert_eq!(first(6), Err(Fault::NoSettings));
        assert_eq!(first(1), Err(Fault::NoSettings));
    }

    #[test]
    fn what_was_earned_allows_for_more() {
        let earned = Earned {
            finished: 100,
            sent: 500,
        };
        assert_eq!(passing(&frame(3, 0, 4), earned), 356);
        assert_eq!(passing(&frame(8, 0, 4), earned), NOISE + 500);
    }

    #[test]
    fn time_allows_for_more_up_to_the_budget() {
        let start = Instant::now();
        let mut meter = meter(start);
        let ping = frame(6, 0, 8);
        let mut at = |millis: u64, times: u32| {
            let now = start + Duration::from_millis(millis);
            (0..times).all(|_| meter.note(&ping, now, Earned::default).is_ok())
        };
        assert!(at(0, NOISE));
        assert!(at(1000, NOISE_PER_SECOND));
        assert!(at(1_000_000, NOISE));
        assert!(!at(1_000_000, 1));
    }

    #[test]
    fn a_header_block_is_under_way_from_its_first_frame_to_the_end_of_its_last() {
        let (start, later) = (Instant::now(), Instant::now() + Duration::from_secs(1));
        let mut meter = meter(start);
        let mut note = |bytes: &[u8], now| {
            meter.note(bytes, now, Earned::default).unwrap();
            meter.block_since()
        };
        let whole = frame(1, 4, 10);
        assert_eq!(note(&whole, start), None);
        assert_eq!(note(&whole[..12], start), Some(start));
        assert_eq!(note(&whole[12..], later), None);
        assert_eq!(note(&frame(1, 0, 10), start), Some(start));
        assert_eq!(note(&frame(9, 0, 10), later), Some(start));
        assert_eq!(note(&frame(9, 4, 0), later), None);
    }

    proptest! {
        /// However the bytes are cut up, the same frames are counted.
        #[test]
        fn the_count_does_not_depend_on_the_reads(
            frames in prop::collection::vec((0u8..12, any::<u8>(), 0usize..40), 1..60),
            cuts in prop::collection::vec(1usize..30, 1..20),
        ) {
            let now = Instant::now();
            let wire: Vec<u8> = frames.iter().flat_map(|(k, f, n)| frame(*k, *f, *n)).collect();
            let (mut whole, mut cut) = (meter(now), meter(now));
            whole.note(&wire, now, Earned::default).unwrap();
            let (mut at, mut cuts) = (0, cuts.iter().cycle());
            while at < wire.len() {
                let next = (at + cuts.next().unwrap()).min(wire.len());
                cut.note(&wire[at..next], now, Earned::default).unwrap();
                at = next;
            }
            prop_assert_eq!(whole.resets.left, cut.resets.left);
            prop_assert_eq!(whole.noise.left, cut.noise.left);
            prop_assert_eq!(whole.block_since, cut.block_since);
            prop_assert_eq!(cut.left + cut.have, 0);
        }

        #[test]
        fn arbitrary_bytes_never_panic(data in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut meter = Meter::new(1, Instant::now());
            let _ = meter.note(&data, Instant::now(), Earned::default);
        }
    }
}
