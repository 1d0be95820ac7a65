//! The admin listener: opened, changed while it is served, closed.

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::files::is_forbidden;
use super::instance::Instance;
use super::secured;
use crate::admin::{self, Access, TokenError, Tokens};
use crate::config::model::{Admin, AdminBind, Config};
use crate::observe::Metrics;
use crate::supervise::{self, Task};
use crate::tls::{self, Loaded, Terminator};

/// A file of the admin listener that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DoorTrouble {
    /// The tokens.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// TLS.
    #[error("admin.{0}")]
    Tls(tls::Trouble),
}

impl DoorTrouble {
    /// The key that it is written at.
    pub fn path(&self) -> Vec<&str> {
        match self {
            Self::Token(_) => vec!["admin", "token_file"],
            Self::Tls(trouble) => {
                let inner = trouble.path.iter().map(String::as_str);
                ["admin", "tls"].into_iter().chain(inner).collect()
            }
        }
    }

    /// What is wrong, without where.
    pub fn message(&self) -> String {
        match self {
            Self::Token(error) => error.to_string(),
            Self::Tls(trouble) => trouble.message.clone(),
        }
    }
}

/// All of them.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct DoorTroubles(pub Vec<DoorTrouble>);

/// What was read of its files.
#[derive(Default)]
pub struct DoorFiles {
    tokens: Option<Arc<Tokens>>,
    tls: Option<Loaded>,
}

/// The admin listener as it is configured and served now.
pub struct Door {
    pub(super) access: Arc<ArcSwap<Access>>,
    pub(super) tls: Arc<ArcSwapOption<Terminator>>,
    open: Mutex<Option<Open>>,
}

struct Open {
    bind: AdminBind,
    /// To be handed over to another process, if there is a descriptor for that.
    listener: Option<admin::Listener>,
    stop: CancellationToken,
}

impl DoorFiles {
    /// Reads what is configured. Tokens that can't be read any more, because they are root's and we aren't root by now,
    /// stay as they are `known`.
    ///
    /// # Errors
    ///
    /// All that can't be used.
    pub fn load(config: &Config, known: Option<&Door>) -> Result<Self, Vec<DoorTrouble>> {
        let Some(admin) = &config.admin else {
            return Ok(Self::default());
        };
        let (mut files, mut troubles) = (Self::default(), Vec::new());
        if let Some(path) = &admin.token_file {
            let before = known.and_then(|door| door.access.load().tokens.clone());
            match (Tokens::load(path), before) {
                (Ok(tokens), _) => files.tokens = Some(Arc::new(tokens)),
                (Err(error @ TokenError::Read { .. }), Some(before)) if is_forbidden(path) => {
                    tracing::warn!("keeping the tokens as they were: {error}");
                    files.tokens = Some(before);
                }
                (Err(error), _) => troubles.push(error.into()),
            }
        }
        if let Some(settings) = &admin.tls {
            match secured::load_one(settings, std::time::SystemTime::now()) {
                Ok(loaded) => files.tls = Some(loaded),
                Err(found) => {
                    let serving = known.and_then(|door| door.tls.load_full());
                    let goes_on = settings.files().iter().any(|file| is_forbidden(file))
                        && serving.is_some_and(|serving| serving.is_configured_as(settings));
                    if !goes_on {
                        troubles.extend(found.into_iter().map(DoorTrouble::Tls));
                    }
                }
            }
        }
        if troubles.is_empty() {
            Ok(files)
        } else {
            Err(troubles)
        }
    }
}

impl Door {
    /// A listener that isn't open yet.
    ///
    /// # Errors
    ///
    /// What OpenSSL doesn't take.
    pub fn new(files: DoorFiles, metrics: &Arc<Metrics>) -> Result<Self, DoorTrouble> {
        let DoorFiles { tokens, tls } = files;
        let terminator = tls.map(|tls| terminator(tls, metrics)).transpose()?;
        Ok(Self {
            access: Arc::new(ArcSwap::from_pointee(Access { tokens })),
            tls: Arc::new(ArcSwapOption::from(terminator)),
            open: Mutex::default(),
        })
    }

    /// Binds the address that is wanted from now on, if it is another one.
    ///
    /// # Errors
    ///
    /// It can't be had.
    pub fn bind_anew(&self, admin: Option<&Admin>) -> std::io::Result<Option<admin::Listener>> {
        let Some(admin) = admin else { return Ok(None) };
        let open = self.open.lock();
        if open.as_ref().is_some_and(|open| open.bind == admin.bind) {
            return Ok(None);
        }
        admin::bind(&admin.bind).map(Some)
    }

    /// Serves with what was read from now on; connections that stand go on as they began.
    pub fn refit(&self, admin: Option<&Admin>, files: DoorFiles, metrics: &Arc<Metrics>) {
        let DoorFiles { tokens, tls } = files;
        self.access.store(Arc::new(Access { tokens }));
        let serving = self.tls.load_full();
        let refitted = match (serving, tls) {
            (Some(serving), Some(tls)) => serving.replace(tls).map_err(DoorTrouble::Tls),
            (None, Some(tls)) => terminator(tls, metrics).map(|made| self.tls.store(Some(made))),
            (_, None) => {
                // Where its files can't be read any more it goes on.
                if admin.is_none_or(|admin| admin.tls.is_none()) {
                    self.tls.store(None);
                }
                Ok(())
            }
        };
        if let Err(trouble) = refitted {
            // It was tried when it was loaded.
            tracing::error!("{trouble}");
        }
    }

    /// Stops serving, if it is not to be served there.
    pub fn leave(&self, admin: Option<&Admin>) {
        let mut open = self.open.lock();
        let stays = match (&*open, admin) {
            (Some(open), Some(admin)) => open.bind == admin.bind,
            _ => false,
        };
        if !stays && let Some(open) = open.take() {
            open.stop.cancel();
        }
    }

    /// What is served, for another process to go on with.
    ///
    /// # Errors
    ///
    /// There are no descriptors left.
    pub fn listener(&self) -> std::io::Result<Option<(AdminBind, admin::Listener)>> {
        let open = self.open.lock();
        let Some(Open {
            bind,
            listener: Some(listener),
            ..
        }) = &*open
        else {
            return Ok(None);
        };
        Ok(Some((bind.clone(), listener.try_clone()?)))
    }

    /// Stops serving, since another process does; `is_kept`: at the same socket.
    pub fn hand_over(&self, is_kept: bool) {
        if let Some(open) = self.open.lock().take() {
            if let Some(listener) = &open.listener {
                listener.leave_file(is_kept);
            }
            open.stop.cancel();
        }
    }

    /// Stops serving.
    pub fn close(&self) {
        self.leave(None);
    }
}

fn terminator(tls: Loaded, metrics: &Arc<Metrics>) -> Result<Arc<Terminator>, DoorTrouble> {
    Terminator::new(&Arc::from("admin"), tls, None, metrics)
        .map(Arc::new)
        .map_err(DoorTrouble::Tls)
}

impl Instance {
    /// Serves the admin listener until it is to be elsewhere, or closed.
    pub fn serve_admin(self: &Arc<Self>, bind: &AdminBind, listener: admin::Listener) {
        let scheme = if self.admin.tls.load().is_some() {
            "https"
        } else {
            "http"
        };
        if let Some(address) = listener.tcp_address() {
            let dashboard = format!("{scheme}://{address}/");
            tracing::info!(%address, dashboard, "admin listening");
        } else {
            tracing::info!(address = %bind, "admin listening");
        }
        let stop = CancellationToken::new();
        let state = admin::State {
            control: Arc::clone(self) as _,
            access: Arc::clone(&self.admin.access),
            tls: Arc::clone(&self.admin.tls),
            stop: stop.clone(),
        };
        listener.leave_file(false);
        *self.admin.open.lock() = Some(Open {
            bind: bind.clone(),
            listener: listener.try_clone().ok(),
            stop,
        });
        supervise::keep(&self.background, Task::Admin, "admin", move || {
            let listener = listener.try_clone();
            let state = state.clone();
            async move { admin::serve(listener?, state).await }
        });
    }
}
