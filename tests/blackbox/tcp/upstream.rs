//! TLS to the servers.

use openssl::ssl::{Ssl, SslAcceptor, SslFiletype, SslMethod, SslStream};

use super::*;

const NAME: &str = "db.internal";

/// Servers of `backend`'s kind that speak TLS with a certificate for [`NAME`].
fn before_tls(pki: &Pki, backend: &Backend) -> Setup {
    let root = pki.root();
    before(&[backend]).pool(&format!(
        "tls: {{server_name: {NAME}, ca: {}}}",
        root.display()
    ))
}

/// The server's end of a connection, after its handshake.
fn shake(
    stream: TcpStream,
    identity: &Issued,
) -> Result<SslStream<TcpStream>, openssl::ssl::Error> {
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
    acceptor.set_certificate_chain_file(&identity.cert).unwrap();
    acceptor
        .set_private_key_file(&identity.key, SslFiletype::PEM)
        .unwrap();
    let ssl = Ssl::new(acceptor.build().context()).unwrap();
    let mut stream = SslStream::new(ssl, stream).unwrap();
    stream.accept()?;
    Ok(stream)
}

#[test]
fn servers_may_speak_tls() {
    let pki = Pki::new();
    let (identity, backend) = (pki.leaf(&[NAME]), Backend::start("a"));
    let lb = before_tls(&pki, &backend).start();
    let client = connect(&lb);
    say(&client, b"question");
    let mut server = shake(backend.accept(), &identity).unwrap();
    assert_eq!(
        server.ssl().servername(openssl::ssl::NameType::HOST_NAME),
        Some(NAME)
    );
    end(&client);
    let mut heard = String::new();
    // Up to the farewell: an end without it would be an error.
    server.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "question");
    server.write_all(b"answer").unwrap();
    server.shutdown().unwrap();
    assert_eq!(hears_to_the_end(&client), b"answer");
    drop((client, server));
    ended_with(&lb, "complete");
    lb.wait_idle();
}

#[test]
fn a_server_that_ends_without_farewell_was_cut_off() {
    let pki = Pki::new();
    let (identity, backend) = (pki.leaf(&[NAME]), Backend::start("a"));
    let lb = before_tls(&pki, &backend).start();
    let client = connect(&lb);
    let mut server = shake(backend.accept(), &identity).unwrap();
    server.write_all(b"half an ans").unwrap();
    hears(&client, b"half an ans");
    end(server.get_ref());
    is_reset(&client);
    ended_with(&lb, "server_reset");
}

#[test]
fn a_server_that_cannot_be_verified_gets_nothing() {
    let (pki, strangers) = (Pki::new(), Pki::new());
    let (identity, backend) = (strangers.leaf(&[NAME]), Backend::start("a"));
    let lb = before_tls(&pki, &backend)
        .pool("retries: {attempts: 0}")
        .start();
    let client = connect(&lb);
    say(&client, b"a secret");
    assert!(shake(backend.accept(), &identity).is_err());
    is_reset(&client);
    let line = ended_with(&lb, "server_tls");
    assert_eq!(line["server"], "a");
    let log = lb.stderr();
    assert!(
        log.contains("unable to get local issuer certificate") || log.contains("self-signed"),
        "{log}"
    );
    assert_eq!(lb.server("app", "a")["errors"], 1);
    lb.wait_idle();
}

/// What looks like an answer may be anything.
#[test]
fn a_server_without_tls_is_a_failed_connection() {
    let pki = Pki::new();
    let (plain, secured) = (Backend::start("plain"), Backend::start("secured"));
    let identity = pki.leaf(&[NAME]);
    let lb = with(before_tls(&pki, &plain), &secured, "").start();
    let client = connect(&lb);
    let server = plain.accept();
    say(&server, b"220 I speak no TLS\r\n");
    let mut server = shake(secured.accept(), &identity).unwrap();
    server.write_all(b"hello").unwrap();
    hears(&client, b"hello");
    drop((client, server));
    let line = lb.wait_logged(|_| true);
    assert_eq!(
        (&line["server"], &line["attempts"]),
        (&"secured".into(), &2.into())
    );
}
