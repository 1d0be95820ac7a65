//! TLS clients: how a connection is to be made, and what came of it.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use openssl::pkey::{PKey, Private};
use openssl::ssl::{
    HandshakeError, Ssl, SslConnector, SslMethod, SslSession, SslSessionCacheMode, SslVerifyMode,
    SslVersion,
};
use openssl::x509::X509;
use parking_lot::Mutex;

use super::client::Client;
use super::pki::{Issued, Pki};

/// A client that is to connect with TLS. Nobody is trusted unless it says so, and every name must fit.
#[derive(Clone)]
pub struct Tls {
    trusted: Vec<X509>,
    sni: Option<String>,
    alpn: Vec<u8>,
    versions: (SslVersion, SslVersion),
    sigalgs: Option<String>,
    groups: Option<String>,
    ciphers: Option<String>,
    identity: Option<(Vec<X509>, PKey<Private>)>,
    /// In DER: a session in memory is spoilt by a connection that ends without a goodbye.
    session: Option<Vec<u8>>,
    sessions: Arc<Mutex<Vec<Vec<u8>>>>,
    verify: bool,
}

impl Tls {
    /// Asks for `name`, and wants a certificate of `pki` for it.
    pub fn new(pki: &Pki, name: &str) -> Self {
        Self {
            trusted: vec![pki.root.cert.clone()],
            sni: Some(name.to_owned()),
            alpn: Vec::new(),
            versions: (SslVersion::TLS1_2, SslVersion::TLS1_3),
            sigalgs: None,
            groups: None,
            ciphers: None,
            identity: None,
            session: None,
            sessions: Arc::default(),
            verify: true,
        }
    }

    /// Asks for no name, and takes any certificate.
    pub fn without_name(mut self) -> Self {
        self.sni = None;
        self.verify = false;
        self
    }

    /// Takes any certificate.
    pub fn unverified(mut self) -> Self {
        self.verify = false;
        self
    }

    /// Offers these protocols.
    pub fn alpn(mut self, protocols: &[&str]) -> Self {
        self.alpn.clear();
        for protocol in protocols {
            self.alpn.push(u8::try_from(protocol.len()).unwrap());
            self.alpn.extend_from_slice(protocol.as_bytes());
        }
        self
    }

    /// Speaks this version alone.
    pub fn version(mut self, version: SslVersion) -> Self {
        self.versions = (version, version);
        self
    }

    /// Can verify these signatures alone, such as `RSA-PSS+SHA256` or `ECDSA+SHA256`.
    pub fn signatures(mut self, list: &str) -> Self {
        self.sigalgs = Some(list.to_owned());
        self
    }

    /// Knows these groups alone.
    pub fn groups(mut self, list: &str) -> Self {
        self.groups = Some(list.to_owned());
        self
    }

    /// Knows these ciphers of TLS 1.2 alone.
    pub fn ciphers(mut self, list: &str) -> Self {
        self.ciphers = Some(list.to_owned());
        self
    }

    /// Has a certificate of its own.
    pub fn identity(mut self, issued: &Issued) -> Self {
        self.identity = Some((issued.chain.clone(), issued.private.clone()));
        self
    }

    /// Goes on with the last session that the server gave this client.
    #[track_caller]
    pub fn resumed(mut self) -> Self {
        let last = self.sessions.lock().last().cloned();
        self.session = Some(last.expect("a session to go on with"));
        self
    }

    /// Whether the server has given a session.
    pub fn has_session(&self) -> bool {
        !self.sessions.lock().is_empty()
    }

    /// How many sessions the server has given so far.
    pub fn sessions(&self) -> usize {
        self.sessions.lock().len()
    }

    /// Connects.
    ///
    /// # Errors
    ///
    /// Why there was no handshake.
    pub fn try_connect(&self, to: SocketAddr) -> io::Result<Client> {
        self.try_over(TcpStream::connect_timeout(&to, Duration::from_secs(5))?)
    }

    /// As [`Self::try_connect`], on a connection that is there already.
    ///
    /// # Errors
    ///
    /// Why there was no handshake.
    pub fn try_over(&self, socket: TcpStream) -> io::Result<Client> {
        let ssl = self.ssl()?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(Duration::from_secs(20)))?;
        socket.set_write_timeout(Some(Duration::from_secs(20)))?;
        match ssl.connect(socket) {
            Ok(stream) => {
                // The callback isn't told of a ticket that was renewed before TLS 1.3.
                if stream.ssl().version_str() == "TLSv1.2"
                    && let Some(session) = stream.ssl().session()
                {
                    self.sessions.lock().push(session.to_der()?);
                }
                Ok(Client::over_tls(stream))
            }
            Err(HandshakeError::SetupFailure(error)) => Err(error.into()),
            Err(HandshakeError::Failure(stream) | HandshakeError::WouldBlock(stream)) => {
                Err(io::Error::other(stream.into_error().to_string()))
            }
        }
    }

    /// What its next connection begins with.
    ///
    /// # Errors
    ///
    /// OpenSSL's.
    pub fn ssl(&self) -> io::Result<Ssl> {
        let mut builder = SslConnector::builder(SslMethod::tls_client())?;
        builder.set_security_level(0);
        builder.set_min_proto_version(Some(self.versions.0))?;
        builder.set_max_proto_version(Some(self.versions.1))?;
        for trusted in &self.trusted {
            builder.cert_store_mut().add_cert(trusted.clone())?;
        }
        if let Some(list) = &self.sigalgs {
            builder.set_sigalgs_list(list)?;
        }
        if let Some(list) = &self.groups {
            builder.set_groups_list(list)?;
        }
        if let Some(list) = &self.ciphers {
            builder.set_cipher_list(list)?;
        }
        if !self.alpn.is_empty() {
            builder.set_alpn_protos(&self.alpn)?;
        }
        if let Some((chain, key)) = &self.identity {
            for (index, cert) in chain.iter().enumerate() {
                if index == 0 {
                    builder.set_certificate(cert)?;
                } else {
                    builder.add_extra_chain_cert(cert.clone())?;
                }
            }
            builder.set_private_key(key)?;
        }
        let sessions = Arc::clone(&self.sessions);
        builder
            .set_session_cache_mode(SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL);
        builder.set_new_session_callback(move |_, session| {
            sessions.lock().push(session.to_der().unwrap());
        });
        let mut configuration = builder.build().configure()?;
        if !self.verify {
            configuration.set_verify(SslVerifyMode::NONE);
            configuration.set_verify_hostname(false);
        }
        configuration.set_use_server_name_indication(self.sni.is_some());
        let name = self.sni.as_deref().unwrap_or("nobody.example");
        let mut ssl = configuration.into_ssl(name)?;
        if let Some(session) = &self.session {
            let session = SslSession::from_der(session)?;
            #[expect(unsafe_code, reason = "the crate wants a word for it")]
            // SAFETY: the session was given to a context of the same settings.
            unsafe {
                ssl.set_session(&session)?;
            }
        }
        Ok(ssl)
    }

    /// As [`Self::try_connect`], where there is no reason to fail.
    #[track_caller]
    pub fn connect(&self, to: SocketAddr) -> Client {
        self.try_connect(to)
            .unwrap_or_else(|error| panic!("TLS to {to}: {error}"))
    }
}
