//! What the admin API asks of the instance, and where that is done.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::oneshot;

use super::instance::Instance;
use crate::admin::control::{
    CertificateStatus, Control, Later, NewServer, Renewal, ServerChange, ServerPath, SessionStatus,
    SessionsStatus,
};
use crate::admin::status::{ReloadResult, ReloadStatus, ServerStatus};
use crate::admin::{ApiError, Etag, Precondition};
use crate::config;
use crate::observe::refused::Refused;
use crate::observe::{Metrics, Topic};

impl Control for Instance {
    fn server(&self, path: &ServerPath) -> Result<(ServerStatus, Etag), ApiError> {
        self.tagged_server(path)
    }

    fn change_server(
        &self,
        path: &ServerPath,
        change: &ServerChange,
        precondition: &Precondition,
    ) -> Result<(), ApiError> {
        self.edit_server(path, change, precondition)
    }

    fn add_server(&self, pool: &str, server: &NewServer) -> Result<(), ApiError> {
        self.put_server(pool, server)
    }

    fn remove_server(
        &self,
        path: &ServerPath,
        precondition: &Precondition,
    ) -> Result<(), ApiError> {
        self.take_server_out(path, precondition)
    }

    fn disconnect(&self, path: &ServerPath) -> Result<usize, ApiError> {
        self.cut_off(path)
    }

    fn sessions(&self, pool: &str) -> Result<SessionsStatus, ApiError> {
        self.count_sessions(pool)
    }

    fn find_session<'a>(
        &'a self,
        pool: &'a str,
        key: &'a str,
    ) -> Later<'a, Result<SessionStatus, ApiError>> {
        Box::pin(self.look_session_up(pool, key))
    }

    fn forget_session<'a>(
        &'a self,
        pool: &'a str,
        key: &'a str,
    ) -> Later<'a, Result<(), ApiError>> {
        Box::pin(self.drop_session(pool, key))
    }

    fn certificates(&self) -> Vec<CertificateStatus> {
        self.served_certificates()
    }

    fn renew(&self, name: Option<&str>) -> Result<Vec<Renewal>, ApiError> {
        let renewed = self.certificates.renew(name);
        if renewed.is_empty() {
            return Err(ApiError::not_found(match name {
                Some(name) => format!("no certificate by ACME has the name {name}"),
                None => "there is no certificate by ACME".to_owned(),
            }));
        }
        let names = |names: Vec<Arc<str>>| names.iter().map(ToString::to_string).collect();
        Ok(renewed
            .into_iter()
            .map(|one| Renewal { names: names(one) })
            .collect())
    }

    fn refused(&self) -> Vec<Refused> {
        self.access_log.refused().all()
    }

    fn drain(&self, spread: Duration) -> Result<(), ApiError> {
        self.set_drained(true, || {
            self.drain.send_away(Instant::now(), spread);
        })?;
        self.tell_instance("draining");
        Ok(())
    }

    fn resume(&self) -> Result<(), ApiError> {
        self.set_drained(false, || self.drain.keep())?;
        self.tell_instance("running");
        Ok(())
    }

    fn reload(&self) -> Later<'_, Result<ReloadStatus, ApiError>> {
        Box::pin(async move {
            let (reply, replied) = oneshot::channel();
            self.reloads.ask(Some(reply)).map_err(ApiError::conflict)?;
            let status = replied.await.map_err(|_| ApiError::internal())?;
            if status.result == ReloadResult::Success {
                return Ok(status);
            }
            if let Some(why) = self.reloads.refusal() {
                return Err(ApiError::conflict(why));
            }
            Err(ApiError {
                problems: status.problems.clone(),
                ..ApiError::unprocessable(
                    "the configuration can't be used as it is now; what ran before runs on",
                )
            })
        })
    }

    fn configuration(&self) -> Result<String, ApiError> {
        let loaded = self.reloads.current();
        let loaded = loaded.ok_or_else(ApiError::internal)?;
        let in_force = Arc::clone(&self.state.lock().config);
        config::dump_in_force(&loaded, &in_force).map_err(|error| {
            tracing::error!("the effective configuration can't be written: {error}");
            ApiError::internal()
        })
    }

    fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }
}

impl Instance {
    /// Tells those who watch events.
    pub(super) fn tell_instance(&self, state: &str) {
        let data = json!({"state": state});
        self.metrics.events().publish(Topic::Instance, data);
    }
}
