//! One instance that serves everything, and clients of every kind.

use std::net::SocketAddr;

use super::{Load, ask, echo, echo_server, http2, kept, new, plain};
use crate::common::client::Client;
use crate::common::equipoise::Equipoise;
use crate::common::h2::H2;
use crate::common::origin::Origin;
use crate::common::pki::{Issued, Pki};
use crate::common::served::Served;
use crate::common::tls::Tls;
use crate::common::wait::SOON;

const NAME: &str = "www.example.com";

/// Servers, and a certificate.
pub struct Site {
    pki: Pki,
    certificate: Issued,
    origin: Origin,
    echoing: SocketAddr,
    sockets: Served,
}

impl Site {
    pub fn new() -> Self {
        let pki = Pki::new();
        let origin = Origin::start("a");
        origin.quiet();
        Self {
            certificate: pki.leaf(&[NAME]),
            pki,
            origin,
            echoing: echo_server(),
            sockets: web_socket_server(),
        }
    }

    /// Listeners with HTTP, HTTPS and TCP. `listeners` and `pools` are more of them. Nothing in it depends on a machine that
    /// stands still for a while.
    pub fn yaml(&self, listeners: &str, pools: &str) -> String {
        format!(
            "server: {{shutdown_timeout: 10m}}
listeners:
  web:
    bind: \"127.0.0.1:0\"
    pool: app
    routes: [{{match: {{path: /socket}}, pool: sockets}}]
  secure:
    bind: \"127.0.0.1:0\"
    protocol: https
    pool: app
    tls: {{handshake_timeout: 2m, certificates: [{{cert: \"{}\", key: \"{}\"}}]}}
  bytes: {{bind: \"127.0.0.1:0\", protocol: tcp, pool: echo}}
{listeners}pools:
  app: {{servers: [{{name: a, address: \"{}\"}}]}}
  echo: {{servers: [{{name: e, address: \"{}\"}}]}}
  sockets: {{servers: [{{name: s, address: \"{}\"}}]}}
{pools}",
            self.certificate.cert.display(),
            self.certificate.key.display(),
            self.origin.address(),
            self.echoing,
            self.sockets.address(),
        )
    }

    /// Clients of every kind begin: GET and POST; HTTP/1 kept and new, HTTP/2; TLS new and resumed; TCP and WebSocket, long
    /// and new.
    pub fn load(&self, lb: &Equipoise) -> Load {
        let (web, secure, bytes) = (lb.web(), lb.address("secure"), lb.address("bytes"));
        let mut load = Load::default();
        add_http(&mut load, web);
        add_tls(&mut load, &self.pki, secure);
        load.add("TCP, new", move || {
            echo(&mut plain(bytes).expect("refused"));
        });
        let mut tunnel = plain(bytes).unwrap();
        load.add("TCP, long", move || echo(&mut tunnel));
        load.add("WebSocket, new", move || talk(&mut web_socket(web)));
        let mut socket = web_socket(web);
        load.add("WebSocket, long", move || talk(&mut socket));
        load
    }
}

fn add_http(load: &mut Load, web: SocketAddr) {
    let connect = move || Client::try_connect(web);
    load.add("GET, kept", kept("GET", connect));
    load.add("POST, kept", kept("POST", connect));
    load.add("GET, new", new("GET", connect));
    load.add("POST, new", new("POST", connect));
    let connect = move || H2::connect(web);
    load.add("HTTP/2, GET", http2("GET", connect));
    load.add("HTTP/2, POST", http2("POST", connect));
}

fn add_tls(load: &mut Load, pki: &Pki, secure: SocketAddr) {
    let client = Tls::new(pki, NAME);
    let tls = client.clone();
    load.add("TLS, kept", kept("POST", move || tls.try_connect(secure)));
    let tls = client.clone();
    load.add("TLS, new", new("GET", move || tls.try_connect(secure)));
    let tls = client.clone();
    load.add(
        "HTTP/2 over TLS",
        http2("POST", move || H2::over_tls(secure, &tls)),
    );
    // Each goes on with a session of the one before, whichever process that was with.
    load.add("TLS, resumed", move || {
        let is_known = client.has_session();
        let next = client.clone();
        let tls = if is_known { next.resumed() } else { next };
        let mut connection = tls.try_connect(secure).expect("no connection");
        ask(&mut connection, "GET").expect("no answer");
        assert_eq!(connection.ssl().session_reused(), is_known);
    });
}

const SWITCH: &str = "GET /socket HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A masked text frame that says `ping`, and the server's `ping`.
const FRAME: &[u8] = &[0x81, 0x84, 0, 0, 0, 0, b'p', b'i', b'n', b'g'];
const ANSWER: &[u8] = &[0x81, 4, b'p', b'i', b'n', b'g'];

fn web_socket(to: SocketAddr) -> Client {
    let mut client = Client::try_connect(to).expect("no connection");
    client.set_timeout(12 * SOON);
    client.send(SWITCH).expect("not taken");
    assert_eq!(client.read_head().expect("no answer").status, 101);
    client
}

fn talk(client: &mut Client) {
    client.send(FRAME).expect("not taken");
    let back = client.take(ANSWER.len()).expect("nothing came back");
    assert_eq!(back, ANSWER);
}

/// A server of WebSockets that says back what it is told.
fn web_socket_server() -> Served {
    use futures_util::{SinkExt as _, StreamExt as _};
    Served::by(|stream| async move {
        let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else {
            return Ok(());
        };
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() && socket.send(message).await.is_err() {
                break;
            }
        }
        Ok(())
    })
}
