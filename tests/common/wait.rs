//! Waiting for what will happen, never for time to pass.

use std::time::{Duration, Instant};

/// Long enough for anything that should happen "at once", on a busy machine.
pub const SOON: Duration = Duration::from_secs(10);

const POLL: Duration = Duration::from_millis(10);

/// What a condition of [`eventually`] may return: `bool`, `Option` or `Result`.
pub trait Truth {
    type Value;
    /// The value, or why there is none yet.
    fn truth(self) -> Result<Self::Value, String>;
}

impl Truth for bool {
    type Value = ();
    fn truth(self) -> Result<(), String> {
        if self {
            Ok(())
        } else {
            Err("still false".to_owned())
        }
    }
}

impl<T> Truth for Option<T> {
    type Value = T;
    fn truth(self) -> Result<T, String> {
        self.ok_or_else(|| "still None".to_owned())
    }
}

impl<T, E: std::fmt::Display> Truth for Result<T, E> {
    type Value = T;
    fn truth(self) -> Result<T, String> {
        self.map_err(|e| e.to_string())
    }
}

/// Asks again and again until `condition` holds, and returns its value.
///
/// # Panics
///
/// When it still doesn't hold after `within`, with what it said last.
#[track_caller]
pub fn eventually<T: Truth>(within: Duration, mut condition: impl FnMut() -> T) -> T::Value {
    let start = Instant::now();
    loop {
        match condition().truth() {
            Ok(value) => return value,
            Err(why) if start.elapsed() > within => {
                panic!("did not happen within {within:?}: {why}")
            }
            Err(_) => pause(),
        }
    }
}

/// Checks that `condition` holds all the time for `span`; for what must *not* happen.
#[track_caller]
pub fn holds_for(span: Duration, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while start.elapsed() < span {
        assert!(condition(), "stopped holding after {:?}", start.elapsed());
        pause();
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the one bounded poll of the tests"
)]
fn pause() {
    std::thread::sleep(POLL);
}
