//! What of an HTTP/2 client's frames costs work that no request pays for, held against budgets.
//!
//! A request opened and reset at once costs us a whole request (CVE-2023-44487), and SETTINGS, PING, PRIORITY and WINDOW_UPDATE cost work that no
//! request pays for (CVE-2019-9512, -9515). Honest clients cancel requests, too: hundreds at once when a page is left,
//! and one with every key that is typed. So what counts is the work that was in vain, over time.

use std::time::Instant;

use super::frames::{CONTINUATION, DATA, END_STREAM, ErrorCode, HEADERS, Head, RST_STREAM};

/// What a reset costs, and what it costs besides if its request was with us or a server by then.
const RESET: u32 = 1;
const IN_VAIN: u32 = 3;
/// What may be spent on resets at once, however many streams are allowed: 500 requests that were under way.
const RESETS: u32 = 500 * (RESET + IN_VAIN);
/// The same for each stream that is allowed: a page that is left, four times in a row.
const RESETS_PER_STREAM: u32 = 4 * (RESET + IN_VAIN);
/// What may always be spent in a second: 50 requests that were under way.
const RESETS_PER_SECOND: u32 = 50 * (RESET + IN_VAIN);
/// Frames at once that carry nothing.
const NOISE: u32 = 1000;
/// Such frames a second that are always fine. What we send allows for more: it has to be acknowledged.
const NOISE_PER_SECOND: u32 = 100;
/// Malformed requests at once, and in a second. They are answered before any rate limit of a route.
const MALFORMED: u32 = 1000;
const MALFORMED_PER_SECOND: u32 = 100;
/// Bytes sent that one acknowledgement more is granted for; whoever sends bodies in small frames or with a small
/// window acknowledges often.
const SENT_PER_ACKNOWLEDGEMENT: usize = 1024;
/// Acknowledgements that any frame is worth: two WINDOW_UPDATEs, and a PING for some.
const ACKNOWLEDGEMENTS: u32 = 4;

/// Why a connection can't go on: for what its other side does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Too much was done in vain.
    Resets,
    /// Too many frames without content.
    Noise,
    /// Too many malformed requests.
    Malformed,
    /// A header block that is endless.
    Block,
    /// A header block that can't be read.
    Compression,
    /// A frame in another's place.
    Protocol,
    /// A frame longer or shorter than it may be (RFC 9113 section 4.2).
    FrameSize,
    /// More bytes than the connection's window has room for, or a window larger than windows are (section 6.9).
    FlowControl,
    /// A frame on a stream that has ended, or that was passed over (RFC 9113 section 5.1).
    Closed,
    /// The first bytes aren't HTTP/2's (RFC 9113 section 3.4).
    Preface,
    /// The first frame isn't SETTINGS (the same section).
    NoSettings,
}

impl Fault {
    /// What the other side is told.
    pub fn code(self) -> ErrorCode {
        match self {
            Self::Resets | Self::Noise | Self::Malformed | Self::Block => {
                ErrorCode::EnhanceYourCalm
            }
            Self::Compression => ErrorCode::Compression,
            Self::Protocol | Self::Preface | Self::NoSettings => ErrorCode::Protocol,
            Self::FrameSize => ErrorCode::FrameSize,
            Self::FlowControl => ErrorCode::FlowControl,
            Self::Closed => ErrorCode::StreamClosed,
        }
    }

    /// What is wrong, in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Resets => "too many requests were cancelled",
            Self::Noise => "too many frames carry nothing",
            Self::Malformed => "too many requests are malformed",
            Self::Block => "a header block is endless, or far too large",
            Self::Compression => "a header block can't be decompressed",
            Self::Protocol => "a frame is in another's place, or says what it can't",
            Self::FrameSize => "a frame is longer or shorter than it may be",
            Self::FlowControl => {
                "more was sent than the window has room for, or it was made too large"
            }
            Self::Closed => "a frame is on a stream that has ended",
            Self::Preface => "what came first isn't HTTP/2",
            Self::NoSettings => "the first frame isn't SETTINGS",
        }
    }
}

/// What became of a client's requests, and what was sent to it, since the meter last asked.
#[derive(Debug, Default)]
pub struct Deeds {
    finished: u32,
    cancelled: u32,
    provoked: u32,
    malformed: u32,
    sent: u32,
}

impl Deeds {
    /// A request ran to its end.
    pub fn note_finished(&mut self) {
        add(&mut self.finished, 1);
    }

    /// A request was under way when its client gave it up.
    pub fn note_cancelled(&mut self) {
        add(&mut self.cancelled, 1);
    }

    /// A request was under way when its client broke the rules of its stream, so that we had to reset it (CVE-2025-8671).
    pub fn note_provoked(&mut self) {
        add(&mut self.provoked, 1);
    }

    /// A request was malformed.
    pub fn note_malformed(&mut self) {
        add(&mut self.malformed, 1);
    }

    /// A frame with so many bytes goes to the client, and will be acknowledged.
    pub fn note_sent(&mut self, bytes: usize) {
        let worth = u32::try_from(bytes / SENT_PER_ACKNOWLEDGEMENT).unwrap_or(u32::MAX);
        add(&mut self.sent, worth.saturating_add(ACKNOWLEDGEMENTS));
    }
}

fn add(counter: &mut u32, more: u32) {
    *counter = counter.saturating_add(more);
}

/// The budgets of one connection.
#[derive(Debug)]
pub struct Meter {
    resets: Budget,
    noise: Budget,
    malformed: Budget,
}

impl Meter {
    /// For a connection that begins. `max_streams` requests may be under way at once, and be given up at once.
    pub fn new(max_streams: u32, now: Instant) -> Self {
        let resets = RESETS.max(max_streams.saturating_mul(RESETS_PER_STREAM));
        Self {
            resets: Budget::new(resets, RESETS_PER_SECOND, now),
            noise: Budget::new(NOISE, NOISE_PER_SECOND, now),
            malformed: Budget::new(MALFORMED, MALFORMED_PER_SECOND, now),
        }
    }

    /// A frame begins.
    ///
    /// # Errors
    ///
    /// [`Fault`] when the client is to be sent away.
    pub fn weigh(&mut self, frame: Head, now: Instant, deeds: &mut Deeds) -> Result<(), Fault> {
        let noise = match frame.kind {
            DATA => frame.length == 0 && frame.flags & END_STREAM == 0,
            HEADERS => {
                let malformed = std::mem::take(&mut deeds.malformed);
                if malformed > 0 && !self.spend(|it| &mut it.malformed, malformed, now, deeds) {
                    return Err(Fault::Malformed);
                }
                let provoked = std::mem::take(&mut deeds.provoked);
                let cost = provoked.saturating_mul(RESET + IN_VAIN);
                if provoked > 0 && !self.spend(|it| &mut it.resets, cost, now, deeds) {
                    return Err(Fault::Resets);
                }
                false
            }
            CONTINUATION => frame.length == 0,
            RST_STREAM => {
                let in_vain = std::mem::take(&mut deeds.cancelled).saturating_mul(IN_VAIN);
                let cost = in_vain.saturating_add(RESET);
                if !self.spend(|it| &mut it.resets, cost, now, deeds) {
                    return Err(Fault::Resets);
                }
                false
            }
            _ => true,
        };
        if noise && !self.spend(|it| &mut it.noise, 1, now, deeds) {
            return Err(Fault::Noise);
        }
        Ok(())
    }

    /// False when that isn't left of a budget, even with what was earned meanwhile.
    fn spend(
        &mut self,
        budget: impl Fn(&mut Self) -> &mut Budget,
        cost: u32,
        now: Instant,
        deeds: &mut Deeds,
    ) -> bool {
        if budget(self).spend(cost) {
            return true;
        }
        let finished = std::mem::take(&mut deeds.finished);
        self.resets
            .refill(now, finished.saturating_mul(RESET + IN_VAIN));
        self.malformed.refill(now, finished);
        self.noise.refill(now, std::mem::take(&mut deeds.sent));
        budget(self).spend(cost)
    }
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

    /// False when so much isn't left.
    fn spend(&mut self, cost: u32) -> bool {
        let left = self.left.checked_sub(cost);
        self.left = left.unwrap_or(self.left);
        left.is_some()
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

    use super::*;

    fn frame(kind: u8, flags: u8, length: usize) -> Head {
        Head {
            length,
            kind,
            flags,
            stream: 1,
        }
    }

    /// How many such frames pass at once.
    fn passing(frame: Head, mut deeds: Deeds) -> u32 {
        let now = Instant::now();
        let mut meter = Meter::new(128, now);
        let mut count = 0;
        while count < 1_000_000 && meter.weigh(frame, now, &mut deeds).is_ok() {
            count += 1;
        }
        count
    }

    #[test]
    fn floods_end_and_requests_and_bodies_do_not_count() {
        let none = Deeds::default;
        assert_eq!(passing(frame(3, 0, 4), none()), 2048, "resets: 16 a stream");
        for (kind, length) in [(4, 0), (6, 8), (2, 5), (8, 4), (9, 0), (0, 0), (42, 3)] {
            assert_eq!(passing(frame(kind, 0, length), none()), NOISE, "{kind}");
        }
        for (kind, flags, length) in [(0, 0, 1), (0, 1, 0), (1, 4, 30), (9, 4, 1)] {
            assert_eq!(passing(frame(kind, flags, length), none()), 1_000_000);
        }
    }

    #[test]
    fn what_was_under_way_costs_more_than_what_was_not() {
        let now = Instant::now();
        let (mut meter, mut deeds) = (Meter::new(1, now), Deeds::default());
        let reset = frame(3, 0, 4);
        let mut count = 0;
        loop {
            deeds.note_cancelled();
            if meter.weigh(reset, now, &mut deeds).is_err() {
                break;
            }
            count += 1;
        }
        assert_eq!(count, 500);
    }

    #[test]
    fn resets_that_a_client_provokes_are_its_own() {
        let (now, mut deeds) = (Instant::now(), Deeds::default());
        let mut meter = Meter::new(1, now);
        let mut count = 0;
        while meter.weigh(frame(1, 4, 30), now, &mut deeds).is_ok() {
            deeds.note_provoked();
            count += 1;
        }
        assert_eq!(count, 501);
    }

    #[test]
    fn what_was_earned_allows_for_more() {
        let deeds = || {
            let mut deeds = Deeds::default();
            (0..100).for_each(|_| deeds.note_finished());
            deeds.note_sent((500 - 4) * SENT_PER_ACKNOWLEDGEMENT);
            deeds
        };
        assert_eq!(passing(frame(3, 0, 4), deeds()), 2048 + 400);
        assert_eq!(passing(frame(8, 0, 4), deeds()), NOISE + 500);
    }

    #[test]
    fn malformed_requests_are_counted_when_the_next_one_comes() {
        let (now, mut deeds) = (Instant::now(), Deeds::default());
        let mut meter = Meter::new(1, now);
        let mut count = 0;
        while meter.weigh(frame(1, 4, 30), now, &mut deeds).is_ok() {
            deeds.note_malformed();
            count += 1;
        }
        assert_eq!(count, MALFORMED + 1);
    }

    #[test]
    fn time_allows_for_more_up_to_the_budget() {
        let start = Instant::now();
        let (mut meter, mut none) = (Meter::new(128, start), Deeds::default());
        let mut at = |millis: u64, times: u32| {
            let now = start + Duration::from_millis(millis);
            (0..times).all(|_| meter.weigh(frame(6, 0, 8), now, &mut none).is_ok())
        };
        assert!(at(0, NOISE));
        assert!(at(1000, NOISE_PER_SECOND));
        assert!(at(1_000_000, NOISE));
        assert!(!at(1_000_000, 1));
    }
}
