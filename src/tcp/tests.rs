//! Connections through real sockets and real TLS.

use std::pin::Pin;

use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::ssl::{Ssl, SslAcceptor, SslConnector, SslMethod, SslVerifyMode, SslVersion};
use openssl::x509::X509;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_openssl::SslStream;

use super::*;
use crate::config::model;
use crate::relay::tests::speak;
use crate::relay::{Meter, ServerWire, Wire, relay};

#[derive(Default)]
struct Uncounted;

impl Meter for Uncounted {
    fn note_in(&mut self, _: usize) {}
    fn note_out(&mut self, _: usize) {}
}

const LIMITS: model::Tcp = model::Tcp {
    idle_timeout: Duration::from_secs(60),
    half_close_timeout: Duration::from_secs(60),
};

async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(to), listener.accept());
    (near.unwrap(), far.unwrap().0)
}

/// Both ends of a connection after its handshake: the client's and ours.
async fn secured(version: SslVersion) -> (SslStream<TcpStream>, Transport) {
    let key = EcKey::generate(&EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap()).unwrap();
    let key = PKey::from_ec_key(key).unwrap();
    let mut certificate = X509::builder().unwrap();
    certificate.set_pubkey(&key).unwrap();
    certificate
        .set_not_before(&Asn1Time::days_from_now(0).unwrap())
        .unwrap();
    certificate
        .set_not_after(&Asn1Time::days_from_now(1).unwrap())
        .unwrap();
    certificate.sign(&key, MessageDigest::sha256()).unwrap();
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
    acceptor.set_private_key(&key).unwrap();
    acceptor.set_certificate(&certificate.build()).unwrap();
    acceptor.set_max_proto_version(Some(version)).unwrap();
    let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
    connector.set_verify(SslVerifyMode::NONE);
    let (client, ours) = sockets().await;
    let connecting = connector
        .build()
        .configure()
        .unwrap()
        .into_ssl("test")
        .unwrap();
    let mut client = SslStream::new(connecting, client).unwrap();
    let accepting = Ssl::new(acceptor.build().context()).unwrap();
    let mut ours = SslStream::new(accepting, ours).unwrap();
    let (a, b) = tokio::join!(
        Pin::new(&mut client).connect(),
        Pin::new(&mut ours).accept()
    );
    a.unwrap();
    b.unwrap();
    (client, Transport::Tls(Box::new(ours)))
}

/// A relay between them, in a task of its own: its end, and what closing makes of it.
fn relayed(client: Transport, server: TcpStream) -> tokio::task::JoinHandle<End> {
    tokio::spawn(async move {
        let mut client = Held::new(client);
        let mut server = Held::new(ServerWire::Inet(Transport::Plain(server)));
        let end = relay(&mut client.wire, &mut server.wire, &mut Uncounted, &LIMITS).await;
        if end == End::Complete {
            client.end();
            server.end();
        }
        end
    })
}

#[tokio::test]
async fn a_close_notify_is_a_half_close() {
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        let (mut client, ours) = secured(version).await;
        let (to_server, mut server) = sockets().await;
        let end = relayed(ours, to_server);
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let mut heard = String::new();
        server.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "question");
        server.write_all(b"answer").await.unwrap();
        drop(server);
        let mut answered = String::new();
        // It ends with a close_notify, or this would be an error.
        client.read_to_string(&mut answered).await.unwrap();
        assert_eq!(answered, "answer");
        assert_eq!(end.await.unwrap(), End::Complete, "{version:?}");
    }
}

#[tokio::test]
async fn tls_that_ends_without_its_farewell_was_cut_off() {
    let (mut client, ours) = secured(SslVersion::TLS1_3).await;
    let (to_server, mut server) = sockets().await;
    let end = relayed(ours, to_server);
    client.write_all(b"half a mess").await.unwrap();
    client.get_mut().shutdown().await.unwrap();
    let mut heard = Vec::new();
    let outcome = server.read_to_end(&mut heard).await;
    assert_eq!(
        outcome.unwrap_err().kind(),
        std::io::ErrorKind::ConnectionReset
    );
    assert_eq!(end.await.unwrap(), End::ClientGone);
}

/// As redis-cli does.
#[tokio::test]
async fn a_client_that_has_heard_all_may_leave_without_farewell() {
    let (mut client, ours) = secured(SslVersion::TLS1_3).await;
    let (to_server, mut server) = sockets().await;
    let end = relayed(ours, to_server);
    server.write_all(b"bye").await.unwrap();
    server.shutdown().await.unwrap();
    let mut heard = String::new();
    client.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "bye");
    drop(client);
    let mut void = Vec::new();
    assert_eq!(server.read_to_end(&mut void).await.unwrap(), 0);
    assert_eq!(end.await.unwrap(), End::Complete);
}

#[tokio::test]
async fn a_lot_goes_both_ways_through_tls() {
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        let (client, ours) = secured(version).await;
        let (to_server, server) = sockets().await;
        let end = relayed(ours, to_server);
        let lot: Vec<u8> = (0..5_000_000u32).map(|n| (n % 251) as u8).collect();
        let (a, b) = tokio::join!(
            speak(client, vec![lot.clone()], 10_000),
            speak(server, vec![lot.clone()], 10_000),
        );
        assert!(a == lot && b == lot, "{version:?}");
        assert_eq!(end.await.unwrap(), End::Complete);
    }
}

/// What is held for each of many thousands of connections, in bytes.
#[tokio::test]
async fn a_connection_takes_little_memory() {
    let (mut client, mut client_side) = tokio::io::duplex(1);
    let (_server, mut server_side) = tokio::io::duplex(1);
    let mut uncounted = Uncounted;
    let relayed = relay(&mut client_side, &mut server_side, &mut uncounted, &LIMITS);
    let size = std::mem::size_of_val(&relayed);
    assert!(size <= 512, "{size}");
    drop(relayed);
    client.shutdown().await.unwrap();
}

/// Whoever isn't read from, because the other end is slow, is still noticed to break off.
#[tokio::test]
async fn a_reset_is_noticed_while_the_other_end_reads_nothing() {
    let (mut client, ours) = sockets().await;
    let (to_server, mut server) = sockets().await;
    let end = relayed(Transport::Plain(ours), to_server);
    let lot = vec![0; 1 << 20];
    // Until nobody takes any more.
    while tokio::time::timeout(Duration::from_millis(300), client.write_all(&lot))
        .await
        .is_ok()
    {}
    Transport::Plain(client).reset_at_close();
    assert_eq!(
        tokio::time::timeout(Duration::from_secs(10), end)
            .await
            .unwrap()
            .unwrap(),
        End::ClientGone
    );
    let mut void = Vec::new();
    let outcome = server.read_to_end(&mut void).await;
    assert_eq!(
        outcome.unwrap_err().kind(),
        std::io::ErrorKind::ConnectionReset
    );
}

/// A connection without traffic costs its task's memory, which is moved about at its begin as well.
#[test]
fn the_task_of_a_connection_is_small() {
    fn size_of_future<A, B, C, D, E, F>(_: impl Fn(A, B, C, D, E) -> F) -> usize {
        size_of::<F>()
    }
    let size = size_of_future(serve);
    assert!(size < 3000, "{size} bytes");
}
