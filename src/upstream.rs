//! Servers as Pingora's peers, and the connections to them: for requests and for health checks alike.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use pingora::connectors::TransportConnector;
use pingora::upstreams::peer::HttpPeer;
use tokio::time::timeout;

mod caller;
mod connections;
mod dial;
mod files;
mod link;
mod local_end;
mod name;
mod peer;
mod personal;
mod reach;
mod report;
mod roaming;
mod secure;
mod shared;
mod trouble;

pub use caller::{Caller, ClientConnection};
pub use connections::Connections;
pub use dial::{DialError, Dialer, Raw};
pub use files::{Unusable, UnusableFiles};
pub use link::Link;
pub use local_end::{connect_from, may_be_own, may_be_transparent};
pub use name::ServerName;
pub use peer::{keep_peer, peer};
pub use personal::{Personal, random_id};
/// A connection to a server, with TLS if its link has it.
pub use pingora::protocols::Stream;
pub use reach::{Unreachable, reach};
pub use secure::Secure;
pub use shared::{Carrier, InFlight, Shared, enter, share};
pub use trouble::{CERTIFICATE_WANTED, Trouble, is_about_our_certificate};

/// What connects to servers. It keeps no connections: [`Connections`] do.
static CONNECTOR: LazyLock<TransportConnector> = LazyLock::new(|| TransportConnector::new(None));

/// Connects to a peer by that dialer, within a time.
///
/// # Errors
///
/// Why there is no connection.
pub async fn connect(
    peer: &mut HttpPeer,
    dialer: &Arc<Dialer>,
    patience: Duration,
) -> Result<Stream, DialError> {
    peer.options.custom_l4 = Some(Arc::clone(dialer) as Arc<_>);
    let peer = &*peer;
    match timeout(patience, CONNECTOR.new_stream(peer)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(dialer
            .failed()
            .unwrap_or_else(|| DialError::Connector(error.to_string()))),
        Err(_) => Err(DialError::TimedOut),
    }
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
