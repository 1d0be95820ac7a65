//! A session of the table that doesn't expire while a connection of it lasts.

use std::sync::Arc;
use std::time::Duration;

use crate::persistence::table::{SessionTable, Waited};
use crate::persistence::{Moment, SessionKey};

/// The place in the session table of a connection's session.
pub struct Stay {
    table: Arc<SessionTable>,
    place: SessionKey,
    /// How often it has to be used to last.
    every: Duration,
}

impl Stay {
    /// A session that expires after `idle`.
    pub(super) fn new(table: &Arc<SessionTable>, place: SessionKey, idle: Duration) -> Self {
        Self {
            table: Arc::clone(table),
            place,
            every: (idle / 4).max(Duration::from_millis(100)),
        }
    }

    /// Uses the session, so that its idle time begins anew.
    pub async fn renew(&self) {
        let now = Moment::now();
        // What the answer is decides about the next connection, not about this one.
        drop(
            self.table
                .get(self.place, now, &mut Waited::default())
                .await,
        );
    }

    /// Keeps the session from expiring for as long as `work` takes. Gives the work's result.
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            // Boxed: it is small beside what it waits for, which lasts.
            let due = Box::pin(async {
                tokio::time::sleep(self.every).await;
                self.renew().await;
            });
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = due => {}
            }
        }
    }
}
