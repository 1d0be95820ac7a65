//! How a request gets from its connection to Pingora's proxy and back.
//!
//! Pingora makes the context of a request when it is asked to serve a session, and has no way to bring something along for
//! sessions of one's own. But it makes it in the task that asks, so what is to be brought lies where that task's thread
//! finds it. The way back is the same.
//!
//! Pingora's future is as large as all that it could do itself (11 KB), and would be as long as it lives. So it lives no
//! longer than it takes to find out where a request goes, which most of the time is at once ([`receive`]); the exchange is
//! run by [`serve`].

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as Task, Waker};

use pingora::apps::HttpServerApp;
use pingora_proxy::HttpProxy;
use tokio::sync::watch;
use tokio_util::sync::ReusableBoxFuture;

use crate::http::Edge;
use crate::http::context::{Context, HookContext, Incoming};
use crate::http::facade;
use crate::http::failure::Failure;
use crate::http::forward;
use crate::http::record::RequestRecord;
use crate::http::request::arrival;

thread_local! {
    static ARRIVING: Cell<HookContext> = const { Cell::new(None) };
    static RECEIVED: Cell<Option<Received>> = const { Cell::new(None) };
    /// The memory of the thread's last [`find`].
    static FINDING: Cell<Option<ReusableBoxFuture<'static, ()>>> = const { Cell::new(None) };
}

/// A request of which is known where it goes.
struct Received {
    record: RequestRecord,
    /// Whether it has been answered, or why it can't be.
    outcome: Result<bool, Failure>,
}

/// Serves a request to its end.
pub async fn serve(
    proxy: &Arc<HttpProxy<Edge>>,
    drain: &watch::Receiver<bool>,
    context: Box<Context>,
) {
    let receives = proxy.process_new_http(facade::session(), drain);
    let Some(mut received) = bring(context, receives).await else {
        return;
    };
    let record = &mut received.record;
    let failed = match received.outcome {
        Ok(true) => None,
        Ok(false) => forward::forward(record).await.err(),
        Err(failure) => Some(failure),
    };
    if let Some(failure) = failed {
        // Apart, since few fail.
        Box::pin(forward::fail(record, failure)).await;
    }
    record.complete();
}

/// Brings a request to `receives`, Pingora's call, and returns what its hooks have left of it here.
async fn bring<T>(context: Box<Context>, receives: impl Future<Output = T>) -> Option<Received> {
    let mut context = Some(context);
    let mut receives = pin!(receives);
    let mut received = None;
    poll_fn(|cx| {
        // What a request left here that ended in a panic was never another one's.
        ARRIVING.set(context.take());
        RECEIVED.set(None);
        let polled = receives.as_mut().poll(cx);
        // What isn't taken yet: the next turn may be another thread's.
        context = ARRIVING.take();
        received = RECEIVED.take().or_else(|| received.take());
        polled.map(drop)
    })
    .await;
    received
}

/// Takes what was brought.
pub fn arriving() -> HookContext {
    ARRIVING.take()
}

/// Finds out where a request goes, and leaves it to whoever has brought it. If that isn't done at once, what is returned
/// does the rest.
pub fn receive(record: RequestRecord) -> Option<ReusableBoxFuture<'static, ()>> {
    let mut finding = match FINDING.take() {
        Some(mut finding) => {
            finding.set(find(record));
            finding
        }
        None => ReusableBoxFuture::new(find(record)),
    };
    // Nobody is to be woken yet: whoever gets the rest polls it once more before waiting for it.
    if finding
        .poll(&mut Task::from_waker(Waker::noop()))
        .is_pending()
    {
        return Some(finding);
    }
    FINDING.set(Some(finding));
    None
}

async fn find(mut record: RequestRecord) {
    let RequestRecord {
        context, incoming, ..
    } = &mut record;
    let Incoming { request, client } = &mut **incoming;
    let outcome = match context {
        Some(context) => arrival::receive(request, client, context).await,
        None => Err(Failure::Internal),
    };
    RECEIVED.set(Some(Received { record, outcome }));
}
