//! Clients that end their side of the connection when they have said all (RFC 9112 section 9.6).

use crate::common::origin::Body;
use crate::common::*;

const LAST: &str = "GET /last HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_client_that_has_said_all_gets_its_answer() {
    let origin = Origin::with("a", |_| Answer::held());
    let lb = Setup::of([&origin]).start();
    let mut client = lb.client();
    client.send(LAST).unwrap();
    client.finish();
    origin.wait_held(1);
    origin.release_all();
    assert_eq!(client.read_response(false).unwrap().status, 200);
    assert!(client.is_closed_by_peer());
    let line = lb.wait_logged(|line| line["path"] == "/last");
    assert_eq!(line["termination"], "complete", "{line}");
}

#[test]
fn so_does_one_that_has_asked_for_several() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).start();
    let mut client = lb.client();
    client.send(LAST.repeat(5)).unwrap();
    client.finish();
    for _ in 0..5 {
        assert_eq!(client.read_response(false).unwrap().status, 200);
    }
    assert!(client.is_closed_by_peer());
}

#[test]
fn a_stream_of_events_goes_on() {
    let origin = Origin::with("a", |_| {
        Answer::body(Body::HeldChunks(vec![b"one".to_vec(), b"two".to_vec()]))
    });
    let lb = Setup::of([&origin]).start();
    let mut client = lb.client();
    client.send(LAST).unwrap();
    client.finish();
    client.read_head().unwrap();
    assert_eq!(client.read_chunk().unwrap(), b"one");
    origin.release_all();
    assert_eq!(client.read_chunk().unwrap(), b"two");
}

/// That the client is there no more is told by its machine, which resets what a response begins with.
#[test]
fn one_that_has_gone_altogether_is_noticed_before_it_is_answered() {
    let pki = Pki::new();
    let site = pki.leaf(&["a.test"]);
    for https in [false, true] {
        let origin = Origin::with("a", |_| Answer::held());
        let mut setup = Setup::of([&origin]);
        if https {
            setup = setup.listener(&format!(
                "protocol: https\ntls: {{certificates: [{{cert: {}, key: {}}}]}}",
                site.cert.display(),
                site.key.display()
            ));
        }
        let lb = setup.start();
        let mut client = if https {
            Tls::new(&pki, "a.test").connect(lb.web())
        } else {
            lb.client()
        };
        client
            .send("GET /gone HTTP/1.1\r\nHost: a.test\r\n\r\n")
            .unwrap();
        origin.wait_held(1);
        drop(client);
        let line = lb.wait_logged(|line| line["path"] == "/gone");
        assert_eq!(
            (&line["status"], &line["termination"]),
            (&499.into(), &"client_aborted".into())
        );
        lb.wait_idle_servers();
    }
}

/// Only a question tells whether it is there.
#[test]
fn one_that_breaks_afterwards_has_gone() {
    let origin = Origin::with("a", |_| Answer::held());
    let lb = Setup::of([&origin]).start();
    let mut client = lb.client();
    client.send(LAST).unwrap();
    client.finish();
    origin.wait_held(1);
    client.reset();
    let line = lb.wait_logged(|line| line["path"] == "/last");
    assert_eq!(
        (&line["status"], &line["termination"]),
        (&499.into(), &"client_aborted".into())
    );
    lb.wait_idle_servers();
}

#[test]
fn where_an_end_is_an_abort_the_place_is_free_at_once() {
    let origin = Origin::with("a", |_| Answer::held());
    let lb = Setup::of([&origin])
        .listener("http: {abort_on_half_close: true}")
        .start();
    let mut client = lb.client();
    client.send(LAST).unwrap();
    origin.wait_held(1);
    client.finish();
    let line = lb.wait_logged(|line| line["path"] == "/last");
    assert_eq!(
        (&line["status"], &line["termination"]),
        (&499.into(), &"client_aborted".into())
    );
    lb.wait_idle_servers();
}
