//! Upgrades again and again, under load of every kind: nothing is refused, nothing fails.

use super::*;
use crate::common::h2::H2;
use crate::common::load::{self, Load, echo, echo_server, plain};
use crate::common::served::Served;

const NAME: &str = "www.example.com";
const UPGRADES: usize = 20;

/// What both listeners with HTTP are asked.
fn add_http(load: &mut Load, web: std::net::SocketAddr) {
    let connect = move || Client::try_connect(web);
    load.add("GET, kept", load::kept("GET", connect));
    load.add("POST, kept", load::kept("POST", connect));
    load.add("GET, new", load::new("GET", connect));
    load.add("POST, new", load::new("POST", connect));
    let connect = move || H2::connect(web);
    load.add("HTTP/2, GET", load::http2("GET", connect));
    load.add("HTTP/2, POST", load::http2("POST", connect));
}

fn add_tls(load: &mut Load, pki: &Pki, secure: std::net::SocketAddr) {
    let client = Tls::new(pki, NAME);
    let tls = client.clone();
    load.add(
        "TLS, kept",
        load::kept("POST", move || tls.try_connect(secure)),
    );
    let tls = client.clone();
    load.add(
        "TLS, new",
        load::new("GET", move || tls.try_connect(secure)),
    );
    let tls = client.clone();
    load.add(
        "HTTP/2 over TLS",
        load::http2("POST", move || H2::over_tls(secure, &tls)),
    );
    // Each goes on with a session of the one before, whichever process that was with.
    load.add("TLS, resumed", move || {
        let is_known = client.has_session();
        let next = client.clone();
        let tls = if is_known { next.resumed() } else { next };
        let mut connection = tls.try_connect(secure).expect("no connection");
        load::ask(&mut connection, "GET").expect("no answer");
        assert_eq!(connection.ssl().session_reused(), is_known);
    });
}

const SWITCH: &str = "GET /socket HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A masked text frame that says `ping`, and the server's `ping`.
const FRAME: &[u8] = &[0x81, 0x84, 0, 0, 0, 0, b'p', b'i', b'n', b'g'];
const ANSWER: &[u8] = &[0x81, 4, b'p', b'i', b'n', b'g'];

fn web_socket(to: std::net::SocketAddr) -> Client {
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

#[test]
fn no_connection_is_refused_and_no_request_fails() {
    let (pki, origin) = (Pki::new(), origin("a"));
    origin.quiet();
    let site = pki.leaf(&[NAME]);
    let (echoing, sockets) = (echo_server(), web_socket_server());
    // Tunnels go on until `shutdown_timeout` is over, from the first upgrade on. Nothing else may depend on a machine that stands
    // still for a while.
    let yaml = format!(
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
pools:
  app: {{servers: [{{name: a, address: \"{}\"}}]}}
  echo: {{servers: [{{name: e, address: \"{echoing}\"}}]}}
  sockets: {{servers: [{{name: s, address: \"{}\"}}]}}
",
        site.cert.display(),
        site.key.display(),
        origin.address(),
        sockets.address(),
    );
    let mut lb = Equipoise::start(&yaml);
    let (web, secure, bytes) = (lb.web(), lb.address("secure"), lb.address("bytes"));
    let mut load = Load::default();
    add_http(&mut load, web);
    add_tls(&mut load, &pki, secure);
    load.add("TCP, new", move || {
        echo(&mut plain(bytes).expect("refused"));
    });
    let mut tunnel = plain(bytes).unwrap();
    load.add("TCP, long", move || echo(&mut tunnel));
    load.add("WebSocket, new", move || talk(&mut web_socket(web)));
    let mut socket = web_socket(web);
    load.add("WebSocket, long", move || talk(&mut socket));
    load.advance();
    let mut olds = Vec::new();
    for _ in 0..UPGRADES {
        olds.push(lb.upgrade());
        load.advance();
    }
    let done = load.end();
    for old in olds {
        assert_ends_well(old);
    }
    lb.wait_idle();
    let metrics = lb.metrics();
    let counted = |code| metrics.sum("equipoise_http_requests_total", &[("code", code)]);
    assert!(counted("2xx") >= 100.0 && done > 100, "{done}");
    assert_eq!(counted("4xx") + counted("5xx"), 0.0);
}
