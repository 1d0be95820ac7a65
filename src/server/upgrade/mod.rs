//! Upgrades: a new process takes over from the one that runs, and no client notices.
//!
//! They speak to each other at the upgrade socket ([`frame`], [`message`]). In this order:
//!
//! | new ([`heir`]) | old ([`socket`], [`transfer`]) |
//! |---|---|
//! | `Hello`: its version, and where it is to listen | looks who asks (SO_PEERCRED): the same user, or root |
//! | | `Offer` and `Descriptors`: all sockets that are listened on, the pid file. Or `Refused` |
//! | reads files, binds what is new, drops privileges: all that can fail. `Prepared`, or `Failed` | serves on |
//! | | from now on refuses reloads and operators' changes. `State`, `Sessions`, `Complete`: all that it knows |
//! | goes on with that, accepts connections. `Serving` | |
//! | | accepts no more, lets go of what isn't taken over, ends writing files, tells the service manager. `Taken` |
//! | writes the pid file, the sessions' files, asks for certificates, listens for the next upgrade | tells its connections to go, spread over some time |
//! | `Sessions`: what is bound | `Sessions`: what is bound; `Progress` |
//! | after some seconds, or at its first reload or stop: `Release` | closes its copies of the sockets. `Released` |
//! | | is idle, or out of time: `Totals`, and its end |
//!
//! - The sockets are the same ones in both processes and are never closed in between, so what waits in their backlogs is
//!   accepted by whoever comes first.
//! - **Until `Serving` nothing has changed**: whatever becomes of the new process, and whichever step takes too long, the
//!   old one says why and goes on, as if nobody had asked.
//! - **Between `Taken` and `Release`** the old one goes on serving if the new one dies: it has kept everything.
//! - If the old one dies, the new one has all that it needs from `Complete` on.
//! - Where the old process begins the new one ([`spawn`]), a [`launcher`] stands between the two until the new one serves.
//! - **Sessions** go both ways as long as both serve: a client may be known to one by a connection that was kept open, and
//!   to the other by a new one. Of two bindings of one session the later counts.

mod frame;
mod handover;
mod heir;
mod launcher;
mod message;
mod offers;
mod predecessor;
mod socket;
mod spawn;
mod state;
mod transfer;

pub use handover::{Handover, Stage};
pub use heir::{Heir, Sessions, UpgradeError, tell_failure};
pub use launcher::launch;
pub use message::State;
pub use predecessor::Predecessor;
pub use socket::{listen, words};
pub use spawn::Program;
