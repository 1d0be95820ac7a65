//! Who a connection to a server is made for, as far as the server is told.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::AsyncWriteExt as _;

use super::dial::Raw;
use super::local_end::LocalEnd;
use crate::config::model::{Alpn, ProxyProtocol};
use crate::proxy_protocol::{Addresses, Facts, Header, Tls, TlsClient, Version, Writer};
use crate::tls::Established;

/// Who a connection is made for. By default nobody whom the server would be told of.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    /// What is sent before anything else.
    header: Option<Arc<[u8]>>,
    /// Where its connections come from; `None` = as the system likes.
    local_end: Option<LocalEnd>,
}

/// A client's connection, as servers are told of it.
pub struct ClientConnection<'a> {
    /// The client.
    pub client: SocketAddr,
    /// What it connected to.
    pub local: SocketAddr,
    /// What a proxy in front has said of it.
    pub introduction: Option<&'a Header>,
    /// What is known of its TLS, if that ends here.
    pub tls: Option<&'a Established>,
    /// The name that it asked for by TLS that doesn't end here.
    pub name: Option<&'a str>,
    /// What tells it from all others.
    pub id: &'a str,
}

impl Caller {
    /// Nobody but us, to whom a PROXY header is due all the same.
    pub(super) fn ourselves(version: ProxyProtocol) -> Self {
        Self::with(writer(version).local())
    }

    /// Nobody but us, who says so by a PROXY header, whatever the pool has.
    pub fn introduced(version: ProxyProtocol) -> Self {
        Self::ourselves(version)
    }

    /// A client.
    pub(super) fn client(version: ProxyProtocol, connection: &ClientConnection<'_>) -> Self {
        let passed = connection.introduction;
        let addresses = match passed.map(|header| &header.addresses) {
            Some(unix @ Addresses::Unix(_)) => unix.clone(),
            _ => Addresses::inet(connection.client, connection.local),
        };
        let tls = connection.tls;
        let client = tls.and_then(|tls| tls.client.as_ref());
        let facts = Facts {
            alpn: tls.and_then(|tls| tls.alpn.as_ref()).map(Alpn::wire),
            authority: tls
                .and_then(|tls| tls.sni.as_deref())
                .or(connection.name)
                .map(str::as_bytes),
            unique_id: Some(connection.id.as_bytes()),
            tls: tls.map(|tls| Tls {
                version: tls.version,
                cipher: tls.cipher,
                client: client.map(|client| TlsClient {
                    common_name: client.common_name.as_deref(),
                    resumed: tls.resumed,
                }),
            }),
            passed: passed.map(|header| &header.tlvs),
        };
        Self::with(writer(version).header(&addresses, &facts))
    }

    fn with(header: Vec<u8>) -> Self {
        Self {
            header: Some(header.into()),
            local_end: None,
        }
    }

    /// The same, connecting from there.
    pub(super) fn from(self, local_end: Option<LocalEnd>) -> Self {
        Self { local_end, ..self }
    }

    /// Where its connections come from.
    pub(super) fn local_end(&self) -> Option<LocalEnd> {
        self.local_end
    }

    /// Says on a new connection what is to be said before anything else.
    pub(super) async fn introduce(&self, raw: &mut Raw) -> io::Result<()> {
        match &self.header {
            Some(header) => raw.write_all(header).await,
            None => Ok(()),
        }
    }
}

fn writer(version: ProxyProtocol) -> Writer {
    Writer(match version {
        ProxyProtocol::V1 => Version::V1,
        ProxyProtocol::V2 => Version::V2,
    })
}
