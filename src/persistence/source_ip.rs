//! `persistence.type: source_ip`: which server a client address went to is remembered in the session table.
//!
//! Addresses that share the leading bits of `prefix` are one client. An IPv4 address in the form of an IPv6 one
//! is an IPv4 address.

use std::net::IpAddr;

use super::session_key::{KeyMaker, Kind, SessionKey};
use crate::config::model::SourceIp as Settings;

/// The clients of one pool.
#[derive(Clone)]
pub(super) struct SourceIp {
    prefix_v4: u8,
    prefix_v6: u8,
    keys: KeyMaker,
}

impl SourceIp {
    pub(super) fn new(settings: &Settings, pool: &str) -> Self {
        Self {
            prefix_v4: settings.prefix_v4,
            prefix_v6: settings.prefix_v6,
            keys: KeyMaker::new(Kind::Network, pool),
        }
    }

    /// The session of `client`.
    pub(super) fn ask(&self, client: IpAddr) -> SessionKey {
        let client = client.to_canonical();
        let prefix = match client {
            IpAddr::V4(_) => self.prefix_v4,
            IpAddr::V6(_) => self.prefix_v6,
        };
        self.keys.of_network(client, prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persistence::tests::source_ip;

    #[test]
    fn addresses_of_one_network_are_one_client() {
        let source = SourceIp::new(&source_ip(24, 64), "pool");
        let ask = |address: &str| source.ask(address.parse().unwrap());
        assert_eq!(ask("192.0.2.1"), ask("192.0.2.254"));
        assert_ne!(ask("192.0.2.1"), ask("192.0.3.1"));
        assert_eq!(ask("2001:db8::1"), ask("2001:db8::ffff:1"));
        assert_ne!(ask("2001:db8::1"), ask("2001:db8:0:1::1"));
        assert_eq!(ask("::ffff:192.0.2.9"), ask("192.0.2.1"));
    }

    #[test]
    fn another_pool_or_prefix_is_another_session() {
        let of = |settings, pool| SourceIp::new(&settings, pool).ask(IpAddr::from([192, 0, 2, 0]));
        assert_eq!(of(source_ip(24, 64), "a"), of(source_ip(24, 48), "a"));
        assert_ne!(of(source_ip(24, 64), "a"), of(source_ip(24, 64), "b"));
        assert_ne!(of(source_ip(24, 64), "a"), of(source_ip(25, 64), "a"));
    }
}
