//! A pool's rules for TLS to its servers, and handshakes of our own by them.
//!
//! They serve requests, TCP connections and health checks alike, and can tell why a handshake failed.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use openssl::error::ErrorStack;
use openssl::ssl::{SslConnector, SslMethod, SslMode, SslVerifyMode, SslVersion};
use openssl::x509::store::X509StoreBuilder;
use parking_lot::Mutex;
use pingora::protocols::tls::CaType;
use pingora::utils::tls::CertKey;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio_openssl::SslStream;

use super::files::{self, Unusable, UnusableFiles};
use super::name::ServerName;
use super::trouble::{Trouble, Unverified, is_about_our_certificate};
use crate::config::model::{Alpn, ServerAddress, UpstreamTls};
use crate::tls::certificate::{Finding, Loaded};

/// How long a server that speaks TLS 1.3 is listened to after the handshake: it looks at our certificate only then.
const LAST_WORD: Duration = Duration::from_millis(100);

/// TLS towards servers: files read, certificates parsed.
pub struct Secure {
    /// Whether certificates are verified.
    pub verify: bool,
    /// What they are verified by; `None` = the system's roots.
    pub authorities: Option<Arc<CaType>>,
    /// Our own certificate.
    pub identity: Option<Arc<CertKey>>,
    /// What is wrong with our own certificate nevertheless.
    pub findings: Vec<Finding>,
    server_name: Option<ServerName>,
    connector: SslConnector,
}

impl Secure {
    /// Reads what the configuration names.
    ///
    /// # Errors
    ///
    /// All files that can't be used.
    pub fn load(tls: &UpstreamTls) -> Result<Self, UnusableFiles> {
        let authorities = tls.ca.as_deref().map(files::authorities).transpose();
        let identity = tls.certificate.as_ref().map(files::identity).transpose();
        let (authorities, identity) = match (authorities, identity) {
            (Ok(authorities), Ok(identity)) => (authorities, identity),
            (authorities, identity) => {
                let unusable = authorities.err().into_iter().chain(identity.err());
                return Err(UnusableFiles(unusable.collect()));
            }
        };
        let authorities = authorities.map(|all| Arc::from(all.into_boxed_slice()));
        let (identity, findings) = match identity {
            Some(Loaded { identity, findings }) => {
                let mut chain = vec![identity.leaf];
                chain.extend(identity.chain);
                (Some(Arc::new(CertKey::new(chain, identity.key))), findings)
            }
            None => (None, Vec::new()),
        };
        let server_name = tls.server_name.as_deref().and_then(ServerName::new);
        let key = if identity.is_some() {
            "certificate"
        } else {
            "ca"
        };
        let secure = Self::build(tls.verify, authorities, identity, server_name)
            .map_err(|error| Unusable::refused(key, &error))?;
        Ok(Self { findings, ..secure })
    }

    /// For a look at a server that nothing is known of: any certificate will do.
    ///
    /// # Errors
    ///
    /// OpenSSL's, if it has no memory.
    pub fn unverified() -> Result<Self, ErrorStack> {
        Self::build(false, None, None, None)
    }

    fn build(
        verify: bool,
        authorities: Option<Arc<CaType>>,
        identity: Option<Arc<CertKey>>,
        server_name: Option<ServerName>,
    ) -> Result<Self, ErrorStack> {
        let mut builder = SslConnector::builder(SslMethod::tls_client())?;
        builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
        // An idle connection holds no buffers. A record's header and what follows it are read at once.
        builder.set_mode(SslMode::RELEASE_BUFFERS);
        builder.set_read_ahead(true);
        match &authorities {
            Some(authorities) => {
                let mut store = X509StoreBuilder::new()?;
                for authority in &***authorities {
                    store.add_cert(authority.clone())?;
                }
                builder.set_verify_cert_store(store.build())?;
            }
            None if verify => {
                let roots = openssl_probe::probe();
                let (file, directory) = (roots.cert_file.as_deref(), roots.cert_dir.as_deref());
                if file.is_some() || directory.is_some() {
                    builder.load_verify_locations(file, directory)?;
                }
            }
            None => {}
        }
        if let Some(identity) = &identity {
            builder.set_certificate(identity.leaf())?;
            builder.set_private_key(identity.key())?;
            for intermediate in identity.intermediates() {
                builder.add_extra_chain_cert(intermediate.clone())?;
            }
        }
        Ok(Self {
            verify,
            authorities,
            identity,
            findings: Vec::new(),
            server_name,
            connector: builder.build(),
        })
    }

    /// What a server of that address is asked for. `None`: it has no name, and none is configured.
    pub fn name(&self, address: &ServerAddress) -> Option<ServerName> {
        self.server_name
            .clone()
            .or_else(|| ServerName::of_address(address))
    }

    /// Covers whatever makes connections by these rules different from others, the content of files included.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.verify.hash(&mut hasher);
        self.server_name
            .as_ref()
            .map(ServerName::as_str)
            .hash(&mut hasher);
        for authority in self.authorities.iter().flat_map(|list| list.iter()) {
            authority.to_der().ok().hash(&mut hasher);
        }
        if let Some(identity) = &self.identity {
            identity.leaf().to_der().ok().hash(&mut hasher);
            for intermediate in identity.intermediates() {
                intermediate.to_der().ok().hash(&mut hasher);
            }
        }
        hasher.finish()
    }

    /// A handshake on a connected stream. With `alpn` the server has to agree to that if it is HTTP/2.
    ///
    /// # Errors
    ///
    /// Why there is no connection that could be used.
    pub async fn handshake<S>(
        &self,
        name: Option<&ServerName>,
        alpn: Option<&Alpn>,
        stream: S,
    ) -> Result<SslStream<S>, Trouble>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let internal = |error: ErrorStack| Trouble::of_reason(&error.to_string(), false);
        let mut rules = self.connector.configure().map_err(internal)?;
        let found: Arc<Mutex<Option<Unverified>>> = Arc::default();
        if self.verify {
            if name.is_none() {
                return Err(Trouble::nameless());
            }
            let found = Arc::clone(&found);
            rules.set_verify_callback(SslVerifyMode::PEER, move |verified, context| {
                if !verified {
                    found.lock().get_or_insert_with(|| Unverified::of(context));
                }
                verified
            });
        } else {
            rules.set_verify(SslVerifyMode::NONE);
        }
        rules.set_verify_hostname(self.verify);
        rules.set_use_server_name_indication(name.is_some());
        if let Some(alpn) = alpn {
            let wire = alpn.wire();
            let length = u8::try_from(wire.len()).unwrap_or_default();
            rules
                .set_alpn_protos(&[&[length], wire].concat())
                .map_err(internal)?;
        }
        let ssl = rules
            .into_ssl(name.map_or("", ServerName::as_str))
            .map_err(internal)?;
        let mut stream = SslStream::new(ssl, stream).map_err(internal)?;
        if let Err(error) = Pin::new(&mut stream).connect().await {
            let has_certificate = self.identity.is_some();
            let found = found.lock();
            return Err(Trouble::of_handshake(
                &error,
                found.as_ref(),
                name,
                has_certificate,
            ));
        }
        if alpn == Some(&Alpn::H2) && stream.ssl().selected_alpn_protocol() != Some(Alpn::H2.wire())
        {
            return Err(Trouble::no_http2());
        }
        Ok(stream)
    }

    /// As [`Self::handshake`], and then listens for a moment whether the server still refuses our certificate.
    ///
    /// # Errors
    ///
    /// Why there is no connection that could be used.
    pub async fn examine<S>(
        &self,
        name: Option<&ServerName>,
        alpn: Option<&Alpn>,
        stream: S,
    ) -> Result<(), Trouble>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut stream = self.handshake(name, alpn, stream).await?;
        let mut byte = [0];
        let heard = tokio::time::timeout(LAST_WORD, stream.read(&mut byte)).await;
        if let Ok(Err(error)) = heard {
            let text = error.to_string();
            if is_about_our_certificate(&text) {
                return Err(Trouble::of_reason(&text, self.identity.is_some()));
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Secure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secure")
            .field("verify", &self.verify)
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}
