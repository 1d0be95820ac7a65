//! The two clocks of sessions.
//!
//! What this process remembers lives by the monotonic clock ([`Moment`]): nobody can set it. What is written on the wire
//! goes by the wall clock ([`UnixTime`]), which can be set, wrongly too: a jump is believed only once it has lasted
//! for a minute, so that one that is taken back ends no session.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

/// Whole seconds since 1970-01-01 00:00:00 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(pub u64);

impl UnixTime {
    /// What the wall clock shows, but for a jump of it that isn't believed yet.
    pub fn now() -> Self {
        Self(CLOCK.wall.at(Instant::now()))
    }

    /// Seconds from `earlier` to `self`; 0 if `earlier` is the later one.
    pub const fn seconds_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl From<SystemTime> for UnixTime {
    /// A time before 1970 counts as 1970.
    fn from(time: SystemTime) -> Self {
        Self(
            time.duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
        )
    }
}

/// Whole seconds of this process's monotonic clock. It begins late enough to express what was decades before the process,
/// and lasts for a century.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u32);

impl Moment {
    /// Which second the process began in.
    const FIRST: u64 = 1 << 30;

    /// What the clock shows.
    pub fn now() -> Self {
        Self(u32::try_from(Self::millis_now() / 1000).unwrap_or(u32::MAX))
    }

    /// What the clock shows, in milliseconds.
    pub(super) fn millis_now() -> u64 {
        let since = millis(CLOCK.begun.elapsed());
        Self::FIRST * 1000 + u64::try_from(since).unwrap_or(0)
    }

    /// Seconds from `earlier` to `self`; 0 if `earlier` is the later one.
    pub const fn seconds_since(self, earlier: Self) -> u32 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Compares the wall clock with what is believed of it. To be called some times a second.
pub fn heed_wall_clock() {
    if let Some(jump) = CLOCK.wall.heed(SystemTime::now(), Instant::now()) {
        tracing::warn!(
            "the wall clock has jumped by {} s, and stays so: the dates in session cookies follow it from now on",
            jump / 1000
        );
    }
}

/// How far the wall clock may be off without that being a jump: it is slewed, and read a moment later than the other.
const SLACK: i64 = 2000;
/// How long a jump has to last to be believed.
const LASTING: Duration = Duration::from_secs(60);

static CLOCK: LazyLock<Clock> = LazyLock::new(|| {
    let begun = Instant::now();
    Clock {
        begun,
        wall: Wall::new(SystemTime::now(), begun),
    }
});

struct Clock {
    begun: Instant,
    wall: Wall,
}

/// The wall clock without its jumps.
struct Wall {
    begun: Instant,
    /// What it is believed to have shown at `begun`, in milliseconds since 1970.
    origin: AtomicI64,
    /// The origin that a jump asks for, and since when it does.
    jump: Mutex<Option<(i64, Instant)>>,
}

impl Wall {
    fn new(wall: SystemTime, now: Instant) -> Self {
        Self {
            begun: now,
            origin: AtomicI64::new(since_1970(wall)),
            jump: Mutex::new(None),
        }
    }

    /// Seconds since 1970 at `now`.
    fn at(&self, now: Instant) -> u64 {
        let since = millis(now.saturating_duration_since(self.begun));
        let shown = self.origin.load(Relaxed).saturating_add(since);
        u64::try_from(shown).unwrap_or(0) / 1000
    }

    /// The clock shows `wall` at `now`. Gives the milliseconds of a jump that is believed from now on.
    fn heed(&self, wall: SystemTime, now: Instant) -> Option<i64> {
        let since = millis(now.saturating_duration_since(self.begun));
        let asked = since_1970(wall).saturating_sub(since);
        let believed = self.origin.load(Relaxed);
        let mut jump = self.jump.lock();
        if asked.abs_diff(believed) <= SLACK.unsigned_abs() {
            *jump = None;
            self.origin.store(asked, Relaxed);
            return None;
        }
        let begun = jump
            .filter(|(before, _)| asked.abs_diff(*before) <= SLACK.unsigned_abs())
            .map_or(now, |(_, begun)| begun);
        if now.saturating_duration_since(begun) < LASTING {
            *jump = Some((asked, begun));
            return None;
        }
        *jump = None;
        self.origin.store(asked, Relaxed);
        Some(asked.saturating_sub(believed))
    }
}

fn since_1970(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, millis)
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    fn wall(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
    }

    #[test]
    fn a_time_before_the_epoch_is_the_epoch() {
        assert_eq!(
            UnixTime::from(UNIX_EPOCH - Duration::from_secs(5)),
            UnixTime(0)
        );
        assert_eq!(
            UnixTime::from(UNIX_EPOCH + Duration::from_millis(1999)),
            UnixTime(1)
        );
    }

    /// A clock that is right, and `shows` something else from the second to the third number of seconds on: what
    /// is believed each second, relative to what is right.
    fn believed(shows: impl Fn(u64) -> i64, seconds: u64) -> Vec<i64> {
        let begun = Instant::now();
        let clock = Wall::new(wall(0), begun);
        (0..seconds)
            .map(|second| {
                let now = begun + Duration::from_secs(second);
                let shown = wall(10 * DAY + second).checked_add_signed(shows(second));
                clock.heed(shown, now);
                clock.at(now).cast_signed() - (1_800_000_000 + second).cast_signed()
            })
            .collect()
    }

    trait Signed {
        fn checked_add_signed(self, seconds: i64) -> SystemTime;
    }

    impl Signed for SystemTime {
        /// Seconds relative to the ten days that [`believed`] leaves room for.
        fn checked_add_signed(self, seconds: i64) -> SystemTime {
            let moved = seconds + 10 * DAY.cast_signed();
            self - Duration::from_secs(20 * DAY) + Duration::from_secs(moved.unsigned_abs())
        }
    }

    #[test]
    fn a_jump_that_is_taken_back_is_never_believed() {
        let day = DAY.cast_signed();
        for jump in [day, -day, 3600, -3] {
            let off = believed(
                |second| if (5..50).contains(&second) { jump } else { 0 },
                200,
            );
            assert_eq!(off, vec![0; 200], "{jump}");
        }
    }

    #[test]
    fn a_jump_that_lasts_is_believed_after_a_minute() {
        let day = DAY.cast_signed();
        for jump in [day, -day] {
            let off = believed(|second| if second >= 5 { jump } else { 0 }, 100);
            assert_eq!(off[64], 0);
            assert_eq!(off[65..], vec![jump; 35]);
        }
    }

    #[test]
    fn a_clock_that_jumps_all_the_time_is_not_believed() {
        let off = believed(
            |second| (second / 20 % 2).cast_signed() * 3600 + (second / 40).cast_signed() * 60,
            39,
        );
        assert_eq!(off, vec![0; 39]);
    }

    #[test]
    fn a_clock_that_is_slewed_is_followed() {
        let off = believed(|second| second.cast_signed() / 10, 300);
        assert_eq!(off[299], 29);
    }

    #[test]
    fn moments_go_on_and_leave_room_before_the_process() {
        let now = Moment::now();
        assert!(now.0 >= 1 << 30);
        assert!(Moment::now() >= now);
        assert_eq!(now.seconds_since(Moment(now.0 - 7)), 7);
        assert_eq!(now.seconds_since(Moment(now.0 + 7)), 0);
    }
}
