//! How a request gets from its connection to the proxy's context.
//!
//! Pingora makes the context of a request when it is asked to serve a session, and has no way to bring something along for
//! sessions of one's own. But it makes it in the task that asks, so what is to be brought lies where that task's thread
//! finds it.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;

use super::context::Arrival;

thread_local! {
    static ARRIVING: Cell<Option<Arrival>> = const { Cell::new(None) };
}

/// Has a request served by `serve`, whose context takes the arrival.
pub async fn bring<T>(arrival: Arrival, serve: impl Future<Output = T>) -> T {
    let mut arrival = Some(arrival);
    let mut serve = pin!(serve);
    poll_fn(|cx| {
        if arrival.is_none() {
            return serve.as_mut().poll(cx);
        }
        ARRIVING.set(arrival.take());
        let polled = serve.as_mut().poll(cx);
        // Not taken yet: the next turn may be another thread's.
        arrival = ARRIVING.take();
        polled
    })
    .await
}

/// Takes what was brought.
pub fn take() -> Option<Arrival> {
    ARRIVING.take()
}
