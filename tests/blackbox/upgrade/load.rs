//! Upgrades again and again, under load of every kind: nothing is refused, nothing fails.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::*;

const NAME: &str = "www.example.com";
/// As many as a test machine bears beside others.
const UPGRADES: usize = 5;

/// Clients that go on until they are told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    workers: Vec<(&'static str, Arc<AtomicUsize>, JoinHandle<()>)>,
}

impl Load {
    fn new() -> Self {
        Self {
            stop: Arc::default(),
            workers: Vec::new(),
        }
    }

    /// `work` is one request, or several, and panics if one fails.
    fn add(&mut self, what: &'static str, mut work: impl FnMut() + Send + 'static) {
        let (stop, done) = (Arc::clone(&self.stop), Arc::<AtomicUsize>::default());
        let count = Arc::clone(&done);
        let worker = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                work();
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        self.workers.push((what, done, worker));
    }

    /// Waits until each has done something more.
    #[track_caller]
    fn advance(&self) {
        let counts = || -> Vec<usize> {
            let all = self.workers.iter();
            all.map(|(_, done, _)| done.load(Ordering::Relaxed))
                .collect()
        };
        let before = counts();
        eventually(6 * SOON, || {
            for ((what, _, worker), (now, before)) in
                self.workers.iter().zip(counts().iter().zip(&before))
            {
                assert!(!worker.is_finished(), "{what} failed");
                if now <= before {
                    return Err(format!("{what} is stuck"));
                }
            }
            Ok(())
        });
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for (what, done, worker) in self.workers {
            worker.join().unwrap_or_else(|_| panic!("{what} failed"));
            assert!(done.load(Ordering::Relaxed) > 0, "{what}");
        }
    }
}

/// A kept connection. One that is closed between two requests costs a client nothing: it asks once more on a new one.
fn keep_alive(connect: impl Fn() -> io::Result<Client> + Send + 'static) -> impl FnMut() + Send {
    let mut kept: Option<Client> = None;
    move || {
        let reused = kept.take().and_then(|mut client| {
            let response = client.get("/", &[]).ok()?;
            Some((client, response))
        });
        let (client, response) = reused.unwrap_or_else(|| {
            let mut client = connect().expect("refused");
            let response = client.get("/", &[]).expect("a request failed");
            (client, response)
        });
        assert_eq!(response.status, 200, "{response}");
        if !response.has_token("connection", "close") {
            kept = Some(client);
        }
    }
}

fn echo(stream: &mut TcpStream) {
    stream.write_all(b"ping").expect("not taken");
    let mut back = [0; 4];
    stream.read_exact(&mut back).expect("nothing came back");
    assert_eq!(&back, b"ping");
}

fn echo_server() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let (mut from, mut to) = (&stream, &stream);
                io::copy(&mut from, &mut to).ok();
            });
        }
    });
    address
}

#[test]
fn no_connection_is_refused_and_no_request_fails() {
    let (pki, origin) = (Pki::new(), origin("a"));
    let site = pki.leaf(&[NAME]);
    let echoing = echo_server();
    let yaml = format!(
        "server: {{shutdown_timeout: 60s}}
listeners:
  web: {{bind: \"127.0.0.1:0\", pool: app}}
  secure:
    bind: \"127.0.0.1:0\"
    protocol: https
    pool: app
    tls: {{certificates: [{{cert: \"{}\", key: \"{}\"}}]}}
  bytes: {{bind: \"127.0.0.1:0\", protocol: tcp, pool: echo}}
pools:
  app: {{servers: [{{name: a, address: \"{}\"}}]}}
  echo: {{servers: [{{name: e, address: \"{echoing}\"}}]}}
",
        site.cert.display(),
        site.key.display(),
        origin.address()
    );
    let mut lb = Equipoise::start(&yaml);
    let (web, secure, bytes) = (lb.web(), lb.address("secure"), lb.address("bytes"));
    let mut load = Load::new();
    load.add("HTTP/1, kept", keep_alive(move || Client::try_connect(web)));
    load.add(
        "HTTP/1, kept, a second one",
        keep_alive(move || Client::try_connect(web)),
    );
    load.add("HTTP/1, new", move || {
        let mut client = Client::try_connect(web).expect("refused");
        assert_eq!(client.get("/", &[]).expect("failed").status, 200);
    });
    let tls = Tls::new(&pki, NAME);
    load.add("TLS, kept", keep_alive(move || tls.try_connect(secure)));
    let tls = Tls::new(&pki, NAME);
    load.add("TLS, new", move || {
        let mut client = tls.try_connect(secure).expect("refused");
        assert_eq!(client.get("/", &[]).expect("failed").status, 200);
    });
    let mut kept: Option<h2::H2> = None;
    load.add("HTTP/2", move || {
        let client = kept.take().unwrap_or_else(|| h2::H2::connect(web));
        match client.get("/", &[]) {
            Ok(response) => {
                assert_eq!(response.status, 200);
                kept = Some(client);
            }
            // The connection has been told to go, and took no more: the next one is asked.
            Err(error) => assert!(
                error.is_go_away() || error.is_io() || error.is_library(),
                "{error:?}"
            ),
        }
    });
    load.add("TCP, new", move || {
        echo(&mut TcpStream::connect_timeout(&bytes, Duration::from_secs(5)).expect("refused"));
    });
    let mut tunnel = TcpStream::connect_timeout(&bytes, Duration::from_secs(5)).unwrap();
    load.add("TCP, long", move || echo(&mut tunnel));
    load.advance();
    let mut olds = Vec::new();
    for _ in 0..UPGRADES {
        olds.push(lb.upgrade());
        load.advance();
    }
    load.end();
    for old in olds {
        assert_ends_well(old);
    }
    lb.wait_idle();
    let counted = lb
        .metrics()
        .sum("equipoise_http_requests_total", &[("code", "2xx")]);
    assert!(counted >= 100.0, "{counted}");
    for code in ["4xx", "5xx"] {
        assert_eq!(
            lb.metrics()
                .sum("equipoise_http_requests_total", &[("code", code)]),
            0.0
        );
    }
}
