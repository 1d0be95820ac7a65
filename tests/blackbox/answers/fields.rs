//! What of a response's fields is for the client, and what was for the hop before it.

use super::{Script, Scripted, Then, before, before_with};
use crate::common::h2::H2;

fn answering(fields: &str) -> Scripted {
    let bytes = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{fields}\r\nok");
    Scripted::new(move |_| Script::new(&bytes, Then::Keep))
}

#[test]
fn fields_of_the_hop_do_not_reach_the_client() {
    let origin = answering(
        "Connection: keep-alive, X-Mine\r\nConnection: x-also\r\nKeep-Alive: timeout=5, max=100\r\n\
         Proxy-Connection: keep-alive\r\nTE: trailers\r\nUpgrade: h2c\r\nX-Mine: 1\r\nX-Also: 2\r\n\
         X-Other: 3\r\nProxy-Authenticate: Basic\r\nTrailer: X-T\r\n",
    );
    let lb = before(&origin);
    let mut client = lb.client();
    let one = client.get("/", &[]).unwrap();
    let two = H2::connect(lb.web()).get("/", &[]).unwrap();
    for response in [&one, &two] {
        for name in [
            "keep-alive",
            "proxy-connection",
            "te",
            "upgrade",
            "x-mine",
            "x-also",
        ] {
            assert!(response.header(name).is_none(), "{name}: {response}");
        }
        assert_eq!(response.header("x-other"), Some("3"));
        // Of the end, whatever its name says (RFC 9110 section 11.7.1 leaves it to the recipient).
        assert_eq!(response.header("proxy-authenticate"), Some("Basic"));
    }
    // The connection to the client is ours to speak of.
    assert_eq!(one.headers_of("connection"), ["keep-alive"]);
    assert!(two.header("connection").is_none());
}

#[test]
fn a_servers_connection_is_not_the_clients() {
    let origin = answering("Connection: close\r\n");
    let lb = before(&origin);
    let mut client = lb.client();
    for _ in 0..3 {
        let response = client.get("/", &[]).unwrap();
        assert_eq!(response.headers_of("connection"), ["keep-alive"]);
    }
    assert_eq!(origin.connections(), 3);
}

#[test]
fn connection_can_not_take_away_what_is_ours_or_makes_the_message() {
    let origin = answering(
        "Connection: Set-Cookie, Content-Length, Cache-Control, Content-Type, Date, X-Request-Id, Location\r\n\
         Set-Cookie: app=1\r\nContent-Type: text/plain\r\nCache-Control: private, no-store\r\nLocation: /x\r\n",
    );
    let lb = before_with(
        &origin,
        "persistence: {type: cookie_insert, cookie: SERVERID}",
    );
    let one = lb.client().get("/", &[]).unwrap();
    let two = H2::connect(lb.web()).get("/", &[]).unwrap();
    for response in [one, two] {
        assert!(response.cookie("SERVERID").is_some(), "{response}");
        assert_eq!(response.cookie("app").as_deref(), Some("1"));
        assert_eq!(response.header("content-length"), Some("2"));
        assert_eq!(response.header("content-type"), Some("text/plain"));
        assert!(
            response.has_token("cache-control", "no-store"),
            "{response}"
        );
        assert_eq!(response.header("location"), Some("/x"));
        assert!(response.header("date").is_some());
        assert_eq!(response.text(), "ok");
    }
}

#[test]
fn an_interim_responses_hop_is_not_the_clients_either() {
    let origin = Scripted::new(|_| {
        let mut script = Script::fine("ok");
        let hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\n\
                      Keep-Alive: timeout=5\r\nContent-Length: 0\r\n\r\n";
        script.bytes.splice(0..0, hints.iter().copied());
        script
    });
    let lb = before(&origin);
    let mut client = lb.client();
    client.send_request("GET", "/", &[], b"").unwrap();
    let hints = client.read_head().unwrap();
    assert_eq!(hints.status, 103);
    let names: Vec<_> = hints
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["Link"], "{hints}");
    assert_eq!(client.read_response(false).unwrap().text(), "ok");
}

#[test]
fn an_upgrade_that_is_required_is_told_with_its_connection() {
    for (fields, upgrade, connection) in [
        (
            "Connection: upgrade\r\nUpgrade: websocket\r\n",
            Some("websocket"),
            "upgrade, keep-alive",
        ),
        (
            "Connection: Upgrade, close\r\nUpgrade: TLS/1.2, HTTP/1.1\r\n",
            Some("TLS/1.2, HTTP/1.1"),
            "upgrade, keep-alive",
        ),
        // It is for one hop, and without a Connection it says nothing to the next (RFC 9110 section 7.8).
        ("Upgrade: websocket\r\n", None, "keep-alive"),
    ] {
        let bytes = format!("HTTP/1.1 426 Upgrade Required\r\n{fields}Content-Length: 0\r\n\r\n");
        let origin = Scripted::new(move |_| Script::new(&bytes, Then::Keep));
        let lb = before(&origin);
        let response = lb.client().get("/", &[]).unwrap();
        assert_eq!(response.status, 426);
        assert_eq!(response.header("upgrade"), upgrade);
        assert_eq!(response.headers_of("connection"), [connection]);
        let response = H2::connect(lb.web()).get("/", &[]).unwrap();
        assert_eq!(response.status, 426);
        assert!(response.header("upgrade").is_none());
        assert!(response.header("connection").is_none());
    }
}

#[test]
fn a_servers_date_is_kept_and_missing_ones_are_added() {
    const OLD: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    let large = format!("Date: {OLD}\r\nX-Large: {}\r\n", "x".repeat(20_000));
    for (said, wanted) in [
        (format!("Date: {OLD}\r\n"), Some(OLD)),
        (format!("date:{OLD} \r\nX-Date: 1\r\n"), Some(OLD)),
        (
            "Date: Sunday, 06-Nov-94 08:49:37 GMT\r\n".to_owned(),
            Some(OLD),
        ),
        (large, Some(OLD)),
        (String::new(), None),
        ("Date: yesterday\r\n".to_owned(), None),
        (format!("Date: {OLD}\r\nDate: {OLD}\r\n"), None),
    ] {
        let origin = answering(&said);
        let lb = before(&origin);
        let mut kept = lb.client();
        let responses = [
            kept.get("/", &[]).unwrap(),
            kept.get("/", &[]).unwrap(),
            H2::connect(lb.web()).get("/", &[]).unwrap(),
        ];
        for response in responses {
            let dates = response.headers_of("date");
            assert_eq!(dates.len(), 1, "{response}");
            match wanted {
                Some(date) => assert_eq!(dates, [date], "{response}"),
                None => assert!(dates[0].ends_with(" GMT") && dates != [OLD], "{response}"),
            }
            assert_eq!(response.text(), "ok");
        }
        // What is answered here has a date of now, also on a connection that has had a server's.
        kept.send("GET / HTTP/2.0\r\n\r\n").unwrap();
        let refused = kept.read_response(false).unwrap();
        assert_ne!(refused.headers_of("date"), [OLD]);
    }
}
