//! Events as they come, after those that were kept: server-sent events (WHATWG HTML section 9.2).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State as Extract;
use axum::http::HeaderMap;
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use futures_core::Stream;
use futures_util::stream::unfold;
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::admin::State;
use crate::admin::status::timestamp;
use crate::observe::events::Event;

/// How often something is sent where nothing happens, so that nobody in between takes the connection for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

struct Watching {
    backlog: VecDeque<Arc<Event>>,
    next: Receiver<Arc<Event>>,
    epoch: u64,
    stop: CancellationToken,
}

pub async fn stream(
    Extract(state): Extract<State>,
    request: HeaderMap,
) -> Sse<impl Stream<Item = Result<Sent, Infallible>>> {
    let events = state.control.metrics().events();
    let seen = request.get("last-event-id").and_then(|id| id.to_str().ok());
    let subscription = events.subscribe(seen_by(seen, events.epoch()));
    let watching = Watching {
        backlog: subscription.backlog.into(),
        next: subscription.next,
        epoch: events.epoch(),
        stop: state.stop.clone(),
    };
    let stream = unfold(watching, |mut watching| async {
        let sent = watching.one().await?;
        Some((Ok(sent), watching))
    });
    Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

impl Watching {
    /// The next event; `None` when the listener is to end.
    async fn one(&mut self) -> Option<Sent> {
        if let Some(event) = self.backlog.pop_front() {
            return Some(sent(&event, self.epoch));
        }
        tokio::select! {
            next = self.next.recv() => match next {
                Ok(event) => Some(sent(&event, self.epoch)),
                Err(RecvError::Lagged(missed)) => {
                    Some(Sent::default().event("missed").data(json!({"events": missed}).to_string()))
                }
                Err(RecvError::Closed) => None,
            },
            () = self.stop.cancelled() => None,
        }
    }
}

fn sent(event: &Event, epoch: u64) -> Sent {
    let mut data = event.data.clone();
    if let Value::Object(fields) = &mut data {
        fields.insert("at".to_owned(), timestamp(event.at).into());
    }
    Sent::default()
        .id(format!("{epoch}-{}", event.number))
        .event(event.topic.as_str())
        .data(data.to_string())
}

/// The number of the last event that a client has; an id of another process says nothing.
fn seen_by(id: Option<&str>, epoch: u64) -> u64 {
    id.and_then(|id| id.split_once('-'))
        .filter(|(of, _)| of.parse() == Ok(epoch))
        .and_then(|(_, number)| number.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_of_this_process_count() {
        assert_eq!(seen_by(Some("7-12"), 7), 12);
        for id in [None, Some("8-12"), Some("12"), Some("7-"), Some("x-y")] {
            assert_eq!(seen_by(id, 7), 0, "{id:?}");
        }
    }
}
