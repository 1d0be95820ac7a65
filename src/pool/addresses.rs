//! Where a server is: the addresses of its name, and which of them is in use.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// Where to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// TCP.
    Inet(SocketAddr),
    /// A Unix socket.
    Unix(Arc<Path>),
}

impl Endpoint {
    /// The address, if it is one of TCP.
    pub fn inet(&self) -> Option<SocketAddr> {
        match self {
            Self::Inet(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Inet(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// An endpoint and its text, for logs: formatted once, not per request.
#[derive(Debug, PartialEq, Eq)]
pub struct Address {
    endpoint: Endpoint,
    text: Box<str>,
}

impl Address {
    /// Where to connect.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The same as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same machine at another port; `None` for a Unix socket.
    #[must_use]
    pub fn at_port(&self, port: u16) -> Self {
        match &self.endpoint {
            Endpoint::Inet(address) => {
                let mut address = *address;
                address.set_port(port);
                Endpoint::Inet(address).into()
            }
            Endpoint::Unix(_) => self.endpoint.clone().into(),
        }
    }
}

impl From<Endpoint> for Address {
    fn from(endpoint: Endpoint) -> Self {
        Self {
            text: endpoint.to_string().into_boxed_str(),
            endpoint,
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// All addresses of a server, of which one is in use: the first, until another one was reached where it was not. There
/// is always one. It never changes; what follows from news is the next one.
#[derive(Debug)]
pub struct Addresses {
    used: Arc<Address>,
    /// The addresses that are not in use, in the order of the resolver.
    others: Vec<Arc<Address>>,
    moves: u64,
}

impl Addresses {
    /// Of a server that has one address.
    pub fn one(endpoint: Endpoint) -> Self {
        Self {
            used: Arc::new(endpoint.into()),
            others: Vec::new(),
            moves: 0,
        }
    }

    /// What a look-up found, in its order. The address in use stays in use if it is still there. `None`: nothing was
    /// found.
    pub fn found(found: &[SocketAddr], before: Option<&Self>) -> Option<Self> {
        let known = |address: &SocketAddr| {
            let endpoint = Endpoint::Inet(*address);
            before
                .into_iter()
                .flat_map(Self::in_order)
                .find(|known| known.endpoint == endpoint)
                .map_or_else(|| Arc::new(endpoint.into()), Arc::clone)
        };
        let mut all: Vec<Arc<Address>> = found.iter().map(known).collect();
        let kept = before.and_then(|before| all.iter().position(|one| **one == *before.used));
        let place = kept.or_else(|| (!all.is_empty()).then_some(0))?;
        let used = all.remove(place);
        let moved = before.is_some() && kept.is_none();
        Some(Self {
            used,
            others: all,
            moves: before.map_or(0, |before| before.moves) + u64::from(moved),
        })
    }

    /// The same, with another one of them in use. `None`: it is in use already, or is none of them any more.
    pub fn using(&self, address: &Address) -> Option<Self> {
        let place = self.others.iter().position(|other| **other == *address)?;
        let mut others = self.others.clone();
        let used = others.remove(place);
        others.insert(0, Arc::clone(&self.used));
        Some(Self {
            used,
            others,
            moves: self.moves + 1,
        })
    }

    /// The one in use.
    pub fn used(&self) -> &Arc<Address> {
        &self.used
    }

    /// All of them in the order in which they are to be tried.
    pub fn in_order(&self) -> impl Iterator<Item = &Arc<Address>> {
        std::iter::once(&self.used).chain(&self.others)
    }

    /// How often another address was taken into use.
    pub fn moves(&self) -> u64 {
        self.moves
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sockets(found: &[&str]) -> Vec<SocketAddr> {
        found.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn found(texts: &[&str], before: Option<&Addresses>) -> Addresses {
        Addresses::found(&sockets(texts), before).unwrap()
    }

    fn texts(addresses: &Addresses) -> Vec<&str> {
        addresses.in_order().map(|one| one.as_str()).collect()
    }

    #[test]
    fn the_resolvers_first_address_is_used_first() {
        let addresses = found(&["[::1]:80", "127.0.0.1:80"], None);
        assert_eq!(addresses.used().as_str(), "[::1]:80");
        assert_eq!(texts(&addresses), ["[::1]:80", "127.0.0.1:80"]);
        assert!(Addresses::found(&[], Some(&addresses)).is_none());
    }

    #[test]
    fn the_address_in_use_stays_in_use_as_long_as_it_is_found() {
        let first = found(&["10.0.0.1:80", "10.0.0.2:80"], None);
        let second = first.using(&Endpoint::Inet("10.0.0.2:80".parse().unwrap()).into());
        let second = second.unwrap();
        assert_eq!(texts(&second), ["10.0.0.2:80", "10.0.0.1:80"]);
        assert_eq!(second.moves(), 1);
        let third = found(
            &["10.0.0.1:80", "10.0.0.3:80", "10.0.0.2:80"],
            Some(&second),
        );
        assert_eq!(texts(&third), ["10.0.0.2:80", "10.0.0.1:80", "10.0.0.3:80"]);
        assert_eq!(third.moves(), 1);
        assert!(Arc::ptr_eq(third.used(), second.used()));
        let fourth = found(&["10.0.0.3:80"], Some(&third));
        assert_eq!((texts(&fourth), fourth.moves()), (vec!["10.0.0.3:80"], 2));
    }

    #[test]
    fn only_one_of_its_addresses_can_be_used() {
        let addresses = found(&["10.0.0.1:80", "10.0.0.2:80"], None);
        for stranger in ["10.0.0.1:80", "10.0.0.9:80"] {
            let stranger = Endpoint::Inet(stranger.parse().unwrap()).into();
            assert!(addresses.using(&stranger).is_none());
        }
    }

    #[test]
    fn another_port_of_the_same_machine() {
        let address = Address::from(Endpoint::Inet("[::1]:80".parse().unwrap()));
        assert_eq!(address.at_port(81).as_str(), "[::1]:81");
        let socket = Address::from(Endpoint::Unix(Path::new("/run/a.sock").into()));
        assert_eq!(socket.at_port(81), socket);
    }
}
