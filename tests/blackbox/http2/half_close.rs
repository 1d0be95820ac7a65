//! Clients of HTTP/2 that end their side of the connection when they have said all.

use super::one;
use crate::common::h2::{
    DATA, END_HEADERS, END_STREAM, Frames, HEADERS, Outcome, PING, PREFACE, SETTINGS, block, frame,
    request,
};
use crate::common::origin::Body;
use crate::common::*;

fn held() -> (Origin, Equipoise) {
    let origin = Origin::with("a", |_| Answer::held());
    let lb = Setup::of([&origin]).start();
    (origin, lb)
}

#[test]
fn a_client_that_has_said_all_gets_its_answers() {
    let (origin, lb) = held();
    let mut client = Frames::connect(lb.web());
    for stream in [1, 3, 5] {
        client.get(stream).unwrap();
    }
    client.finish();
    origin.wait_held(3);
    origin.release_all();
    let mut ended: Vec<_> = std::iter::from_fn(|| client.next().ok())
        .filter(|frame| frame.flags & END_STREAM != 0 && frame.kind <= HEADERS)
        .map(|frame| frame.stream)
        .collect();
    ended.sort_unstable();
    assert_eq!(ended, [1, 3, 5]);
    eventually(SOON, || lb.access_log().len() == 3);
    for line in lb.access_log() {
        assert_eq!(
            (&line["status"], &line["termination"]),
            (&200.into(), &"complete".into())
        );
    }
    lb.wait_idle();
}

/// All that there is to say comes in one piece with the end.
#[test]
fn so_does_one_that_ends_at_once() {
    let (_origin, lb) = one();
    let mut client = Frames::bare(lb.web());
    let mut said = PREFACE.to_vec();
    said.extend(frame(SETTINGS, 0, 0, &[]));
    for stream in [1, 3] {
        let block = block(&request("GET", "/"));
        said.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &block));
    }
    client.write(&said).unwrap();
    client.finish();
    for _ in 0..2 {
        let answers = std::iter::from_fn(|| client.next().ok());
        let heads = answers.filter(|frame| frame.kind == HEADERS);
        assert!(heads.take(1).count() == 1, "an answer is missing");
    }
    assert!(client.is_closed_by_peer());
}

#[test]
fn so_does_one_over_tls() {
    let pki = Pki::new();
    let site = pki.leaf(&["a.test"]);
    let origin = Origin::with("a", |_| Answer::held());
    let lb = Setup::of([&origin])
        .listener(&format!(
            "protocol: https\ntls: {{certificates: [{{cert: {}, key: {}}}]}}",
            site.cert.display(),
            site.key.display()
        ))
        .start();
    let mut client = Tls::new(&pki, "a.test").alpn(&["h2"]).connect(lb.web());
    let mut said = PREFACE.to_vec();
    said.extend(frame(SETTINGS, 0, 0, &[]));
    let mut fields = request("GET", "/");
    fields[1].1 = "https";
    said.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&fields)));
    client.send(said).unwrap();
    client.finish_tls();
    origin.wait_held(1);
    origin.release_all();
    let answers = client.read_to_end().unwrap();
    let is_head = |part: &[u8]| part[0] == HEADERS && part[2..] == [0, 0, 0, 1];
    assert!(answers.windows(6).any(is_head), "none in {answers:?}");
    let line = lb.wait_logged(|line| line["path"] == "/");
    assert_eq!(line["termination"], "complete", "{line}");
}

#[test]
fn a_stream_of_events_goes_on() {
    let origin = Origin::with("a", |_| {
        Answer::body(Body::HeldChunks(vec![b"one".to_vec(), b"two".to_vec()]))
    });
    let lb = Setup::of([&origin]).start();
    let mut client = Frames::connect(lb.web());
    client.get(1).unwrap();
    client.finish();
    assert_eq!(client.frame_of(1, DATA).payload, b"one");
    origin.release_all();
    assert_eq!(client.frame_of(1, DATA).payload, b"two");
}

/// The rest of it can't come any more; what was said whole is answered.
#[test]
fn half_an_upload_is_given_up_and_that_alone() {
    let (origin, lb) = held();
    let mut client = Frames::connect(lb.web());
    client.headers(1, &request("POST", "/half"), false).unwrap();
    client.send(DATA, 0, 1, b"half").unwrap();
    client.get(3).unwrap();
    origin.wait_held(1);
    client.finish();
    let line = lb.wait_logged(|line| line["path"] == "/half");
    assert_eq!(line["termination"], "client_aborted", "{line}");
    origin.release_all();
    assert_eq!(client.outcome(3), Outcome::Status(200));
    assert!(client.is_closed_by_peer());
    lb.wait_idle_servers();
}

#[test]
fn in_the_middle_of_a_frame_it_has_gone() {
    let (origin, lb) = held();
    let mut client = Frames::connect(lb.web());
    client.get(1).unwrap();
    origin.wait_held(1);
    client.write(&frame(PING, 0, 0, b"12345678")[..12]).unwrap();
    client.finish();
    let line = lb.wait_logged(|line| line["path"] == "/");
    assert_eq!(line["termination"], "client_aborted", "{line}");
    assert!(client.is_closed_by_peer());
    lb.wait_idle_servers();
}

/// That the client is there no more is told by its machine, which resets what it is asked.
#[test]
fn one_that_has_gone_altogether_is_noticed_before_it_is_answered() {
    let (origin, lb) = held();
    let mut client = Frames::connect(lb.web());
    client.get(1).unwrap();
    origin.wait_held(1);
    drop(client);
    let line = lb.wait_logged(|line| line["path"] == "/");
    assert_eq!(
        (&line["status"], &line["termination"]),
        (&499.into(), &"client_aborted".into())
    );
    lb.wait_idle_servers();
    lb.wait_idle();
}

#[test]
fn one_that_breaks_afterwards_has_gone() {
    let (origin, lb) = held();
    let mut client = Frames::connect(lb.web());
    client.get(1).unwrap();
    origin.wait_held(1);
    client.finish();
    client.reset();
    let line = lb.wait_logged(|line| line["path"] == "/");
    assert_eq!(line["termination"], "client_aborted", "{line}");
    lb.wait_idle_servers();
}

#[test]
fn where_an_end_is_an_abort_the_place_is_free_at_once() {
    let origin = Origin::with("a", |_| Answer::held());
    let lb = Setup::of([&origin])
        .listener("http: {abort_on_half_close: true}")
        .start();
    let mut client = Frames::connect(lb.web());
    client.get(1).unwrap();
    origin.wait_held(1);
    client.finish();
    let line = lb.wait_logged(|line| line["path"] == "/");
    assert_eq!(
        (&line["status"], &line["termination"]),
        (&499.into(), &"client_aborted".into())
    );
    assert!(client.is_closed_by_peer());
    lb.wait_idle_servers();
}

/// Nobody waits for an idle connection's next request.
#[test]
fn an_idle_connection_ends_with_its_client() {
    let (_origin, lb) = one();
    let mut client = Frames::connect(lb.web());
    client.get(1).unwrap();
    assert_eq!(client.outcome(1), Outcome::Status(200));
    client.finish();
    assert!(client.is_closed_by_peer());
    lb.wait_idle();
}
