//! A server that speaks HTTP/1.1 over TLS, and tells of each handshake what came of it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use openssl::nid::Nid;
use openssl::ssl::{
    NameType, SslAcceptor, SslAcceptorBuilder, SslMethod, SslStream, SslVerifyMode,
};
use openssl::x509::store::X509StoreBuilder;
use parking_lot::Mutex;

use super::pki::{Issued, Pki};

/// What a handshake came to.
#[derive(Debug, Clone)]
pub struct Greeting {
    pub sni: Option<String>,
    /// The common name of the client's certificate.
    pub client: Option<String>,
}

/// Answers 200 with its name, and echoes after an upgrade.
pub struct SecureOrigin {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    acceptor: Mutex<SslAcceptor>,
    greetings: Mutex<Vec<Result<Greeting, String>>>,
    served: AtomicUsize,
    checks: AtomicUsize,
}

impl SecureOrigin {
    pub fn start(name: &str, identity: &Issued) -> Self {
        Self::with(name, identity, |_| {})
    }

    /// As [`Self::start`], with further rules.
    pub fn with(
        name: &str,
        identity: &Issued,
        rules: impl FnOnce(&mut SslAcceptorBuilder),
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            acceptor: Mutex::new(acceptor(identity, rules)),
            greetings: Mutex::default(),
            served: AtomicUsize::new(0),
            checks: AtomicUsize::new(0),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                std::thread::spawn(move || serve(&shared, stream));
            }
        });
        Self { address, shared }
    }

    /// One that wants a certificate of `pki` from its clients.
    pub fn wanting(name: &str, identity: &Issued, pki: &Pki) -> Self {
        let root = pki.root.cert.clone();
        Self::with(name, identity, move |builder| {
            let mut store = X509StoreBuilder::new().unwrap();
            store.add_cert(root).unwrap();
            builder.set_verify_cert_store(store.build()).unwrap();
            builder.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Has another certificate from the next connection on.
    pub fn renew(&self, identity: &Issued) {
        *self.shared.acceptor.lock() = acceptor(identity, |_| {});
    }

    pub fn greetings(&self) -> Vec<Result<Greeting, String>> {
        self.shared.greetings.lock().clone()
    }

    #[track_caller]
    pub fn last_greeting(&self) -> Greeting {
        self.greetings()
            .pop()
            .expect("a handshake")
            .expect("a handshake that worked")
    }

    /// Requests so far, those to `/health` apart.
    pub fn served(&self) -> usize {
        self.shared.served.load(Ordering::SeqCst)
    }

    /// Requests to `/health` so far.
    pub fn checks(&self) -> usize {
        self.shared.checks.load(Ordering::SeqCst)
    }
}

pub fn acceptor(identity: &Issued, rules: impl FnOnce(&mut SslAcceptorBuilder)) -> SslAcceptor {
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
    builder.set_certificate(&identity.chain[0]).unwrap();
    for above in &identity.chain[1..] {
        builder.add_extra_chain_cert(above.clone()).unwrap();
    }
    builder.set_private_key(&identity.private).unwrap();
    builder.set_session_id_context(b"test").unwrap();
    rules(&mut builder);
    builder.build()
}

/// A server that answers whatever comes first with these bytes, and closes.
pub fn speaks(bytes: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // Reads what there is, so that the end is no reset.
            if matches!(stream.read(&mut [0; 16 << 10]), Ok(1..)) {
                drop(stream.write_all(bytes));
            }
        }
    });
    address
}

fn serve(shared: &Shared, stream: TcpStream) {
    stream.set_nodelay(true).unwrap();
    let acceptor = shared.acceptor.lock().clone();
    let stream = match acceptor.accept(stream) {
        Ok(stream) => stream,
        Err(error) => {
            shared.greetings.lock().push(Err(error.to_string()));
            return;
        }
    };
    let ssl = stream.ssl();
    let client = ssl.peer_certificate().map(|cert| {
        let entry = cert.subject_name().entries_by_nid(Nid::COMMONNAME).next();
        String::from_utf8_lossy(entry.unwrap().data().as_slice()).into_owned()
    });
    shared.greetings.lock().push(Ok(Greeting {
        sni: ssl.servername(NameType::HOST_NAME).map(str::to_owned),
        client,
    }));
    converse(shared, BufReader::new(stream));
}

fn converse(shared: &Shared, mut stream: BufReader<SslStream<TcpStream>>) {
    loop {
        let (mut lines, mut length) = (Vec::new(), 0);
        loop {
            let mut line = String::new();
            match stream.read_line(&mut line) {
                Ok(1..) => {}
                _ => return,
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            lines.push(line);
        }
        let mut body = vec![0; length];
        if stream.read_exact(&mut body).is_err() {
            return;
        }
        let of_health = lines[0].split(' ').nth(1) == Some("/health");
        let counter = if of_health {
            &shared.checks
        } else {
            &shared.served
        };
        counter.fetch_add(1, Ordering::SeqCst);
        if let Some(upgrade) = lines.iter().find(|line| line.starts_with("upgrade:")) {
            let switch = format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n{upgrade}\r\n\r\n"
            );
            let out = stream.get_mut();
            if out.write_all(switch.as_bytes()).is_err() {
                return;
            }
            let mut byte = [0];
            while matches!(stream.read(&mut byte), Ok(1)) {
                stream.get_mut().write_all(&byte).unwrap();
            }
            return;
        }
        let name = &shared.name;
        let reply = format!(
            "HTTP/1.1 200 OK\r\nX-Origin: {name}\r\nContent-Length: {}\r\n\r\n",
            name.len()
        );
        let text = if lines[0].starts_with("head ") {
            reply
        } else {
            reply + name
        };
        if stream.get_mut().write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}
