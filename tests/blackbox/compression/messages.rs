//! Whole responses: codings, headers, and what is left alone.

use bytes::Bytes;

use super::{compressing, decoded, text};
use crate::common::h2::H2;
use crate::common::h2_origin::Reply;
use crate::common::peers::{Nginx, run};
use crate::common::*;

const ALL: (&str, &str) = ("Accept-Encoding", "gzip, deflate, br, zstd");

/// An origin that answers every request with a text and these fields.
fn origin(headers: &'static [(&'static str, &'static str)]) -> Origin {
    Origin::with("a", move |_| {
        let answer = Answer::body(Body::Full(text(5000)));
        headers
            .iter()
            .fold(answer, |answer, (name, value)| answer.header(name, value))
    })
}

#[test]
fn it_is_off_by_default() {
    let origin = origin(&[("Content-Type", "text/html")]);
    let lb = Setup::of([&origin]).start();
    let response = lb.get("/", &[ALL]);
    assert_eq!(response.header("content-encoding"), None);
    assert_eq!(response.header("vary"), None);
    assert_eq!(response.body, text(5000));
    assert_eq!(origin.last_request().header("accept-encoding"), Some(ALL.1));
}

#[test]
fn curl_decodes_what_the_server_sent_in_every_coding_and_version() {
    let body = text(300_000);
    let copy = body.clone();
    let origin = Origin::with("a", move |request| {
        let body = match request.target.as_str() {
            "/length" => Body::Full(copy.clone()),
            "/chunks" => Body::Chunks(copy.chunks(7000).map(<[u8]>::to_vec).collect()),
            _ => Body::UntilClose(copy.clone()),
        };
        Answer::body(body).header("Content-Type", "text/plain; charset=utf-8")
    });
    for coding in ["zstd", "br", "gzip"] {
        let lb = compressing(&origin, &format!(", algorithms: [{coding}]"));
        for version in ["--http1.1", "--http2-prior-knowledge"] {
            for target in ["/length", "/chunks", "/close"] {
                let file = lb.dir().join("body").display().to_string();
                let url = format!("http://{}{target}", lb.web());
                let told = run(
                    "curl",
                    &[
                        "-sS",
                        version,
                        "--compressed",
                        "-o",
                        &file,
                        "-w",
                        "%{size_download} %header{content-encoding}",
                        &url,
                    ],
                );
                let (size, named) = told.split_once(' ').unwrap();
                assert_eq!(named, coding, "{version} {target}");
                assert!(
                    size.parse::<usize>().unwrap() < 60_000,
                    "{coding} {target}: {size}"
                );
                assert!(
                    std::fs::read(&file).unwrap() == body,
                    "{coding} {version} {target}"
                );
            }
        }
    }
}

#[test]
fn the_client_gets_what_it_likes_best() {
    let origin = origin(&[("Content-Type", "application/json")]);
    let lb = compressing(&origin, "");
    for (accept, expected) in [
        ("gzip, deflate, br, zstd", Some("zstd")),
        ("gzip, deflate, br", Some("br")),
        ("gzip;q=1, br;q=0.9, zstd;q=0.1", Some("gzip")),
        ("*", Some("zstd")),
        ("zstd;q=0, *;q=0.5", Some("br")),
        ("x-gzip", Some("gzip")),
        ("gzip;q=0", None),
        ("identity, gzip;q=0.5", None),
        ("deflate", None),
        ("", None),
        ("gzip;q=nonsense", None),
    ] {
        let response = lb.get("/", &[("Accept-Encoding", accept)]);
        assert_eq!(response.header("content-encoding"), expected, "{accept}");
        // Caches have to know it either way.
        assert_eq!(response.header("vary"), Some("Accept-Encoding"), "{accept}");
        let body = expected.map_or(response.body.clone(), |coding| {
            decoded(coding, &response.body)
        });
        assert_eq!(body, text(5000), "{accept}");
    }
    assert_eq!(lb.get("/", &[]).header("content-encoding"), None);
}

#[test]
fn the_header_is_that_of_another_representation() {
    let origin = origin(&[
        ("Content-Type", "text/html"),
        ("ETag", "\"abc\""),
        ("Accept-Ranges", "bytes"),
        ("Content-MD5", "Q2hlY2sgSW50ZWdyaXR5IQ=="),
        (
            "Content-Digest",
            "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:",
        ),
        ("Vary", "Origin"),
        ("Last-Modified", "Sat, 21 Nov 2026 00:00:00 GMT"),
        ("Set-Cookie", "a=b"),
    ]);
    let lb = compressing(&origin, "");
    let response = lb.get("/", &[ALL]);
    for (name, expected) in [
        ("content-encoding", Some("zstd")),
        ("transfer-encoding", Some("chunked")),
        ("etag", Some("W/\"abc\"")),
        ("vary", Some("Origin, Accept-Encoding")),
        ("last-modified", Some("Sat, 21 Nov 2026 00:00:00 GMT")),
        ("set-cookie", Some("a=b")),
        ("content-type", Some("text/html")),
        ("content-length", None),
        ("accept-ranges", None),
        ("content-md5", None),
        ("content-digest", None),
    ] {
        assert_eq!(
            response.headers_of(name),
            Vec::from_iter(expected),
            "{name}"
        );
    }
    let plain = lb.get("/", &[]);
    assert_eq!(plain.header("etag"), Some("\"abc\""));
    assert_eq!(plain.header("content-length"), Some("5000"));
    let line = lb.wait_logged(|line| line["bytes_out"] == response.body.len());
    assert_eq!(line["termination"], "complete", "{line}");
}

#[test]
fn what_is_small_of_another_kind_or_forbidden_is_left_alone() {
    type Fields = &'static [(&'static str, &'static str)];
    const CASES: &[(&str, Fields)] = &[
        ("/image", &[("Content-Type", "image/png")]),
        ("/untyped", &[]),
        ("/grpc", &[("Content-Type", "application/grpc")]),
        (
            "/encoded",
            &[("Content-Type", "text/html"), ("Content-Encoding", "gzip")],
        ),
        (
            "/identity",
            &[
                ("Content-Type", "text/html"),
                ("Content-Encoding", "identity"),
            ],
        ),
        (
            "/no-transform",
            &[
                ("Content-Type", "text/html"),
                ("Cache-Control", "public, no-transform"),
            ],
        ),
        (
            "/part",
            &[
                ("Content-Type", "text/html"),
                ("Content-Range", "bytes 0-4999/10000"),
            ],
        ),
    ];
    let origin = Origin::with("a", |request| {
        let case = CASES.iter().find(|(target, _)| *target == request.target);
        let (status, fields) = match request.target.as_str() {
            "/206" => (206, &[("Content-Type", "text/html")][..]),
            "/small" => (200, &[("Content-Type", "text/html")][..]),
            _ => (200, case.unwrap().1),
        };
        let length = if request.target == "/small" {
            1023
        } else {
            5000
        };
        let mut answer = Answer::status(status);
        if let Answer::Reply(reply) = &mut answer {
            reply.body = Body::Full(text(length));
        }
        fields
            .iter()
            .fold(answer, |answer, (name, value)| answer.header(name, value))
    });
    let lb = compressing(&origin, "");
    for target in CASES
        .iter()
        .map(|(target, _)| *target)
        .chain(["/206", "/small"])
    {
        let response = lb.get(target, &[ALL]);
        let length = if target == "/small" { 1023 } else { 5000 };
        assert!(
            response.body == text(length),
            "{target}: {}",
            response.body.len()
        );
        assert_eq!(
            response.header("content-length"),
            Some(&*length.to_string()),
            "{target}"
        );
        assert_eq!(response.header("vary"), None, "{target}");
    }
}

#[test]
fn what_the_server_has_compressed_is_not_compressed_again() {
    let nginx = Nginx::start(
        "  gzip on; gzip_min_length 10; gzip_types text/plain;
  server { listen @PORT@; root @DIR@; default_type text/plain;
    location / { return 200 \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\\n\"; } }",
    );
    let lb = Setup::new()
        .server_at("nginx", &nginx.address().to_string(), "")
        .listener("http: {compression: {enabled: true, min_size: 1}}")
        .start();
    let response = lb.get("/", &[("Accept-Encoding", "gzip, br;q=0.5")]);
    assert_eq!(response.headers_of("content-encoding"), ["gzip"]);
    assert_eq!(
        decoded("gzip", &response.body),
        [&[b'a'; 80][..], b"\n"].concat()
    );
    // To who takes something else alone, nginx sends it plain.
    let response = lb.get("/", &[("Accept-Encoding", "br")]);
    assert_eq!(response.headers_of("content-encoding"), ["br"]);
    assert_eq!(
        decoded("br", &response.body),
        [&[b'a'; 80][..], b"\n"].concat()
    );
}

#[test]
fn ranges_and_conditions_work_as_the_server_knows_them() {
    let dir = TempDir::new("site");
    dir.write("page.txt", &String::from_utf8(text(50_000)).unwrap());
    let root = dir.path().display();
    let nginx = Nginx::start(&format!(
        "  server {{ listen @PORT@; root {root}; default_type text/plain; }}"
    ));
    let lb = Setup::new()
        .server_at("nginx", &nginx.address().to_string(), "")
        .listener("http: {compression: {enabled: true}}")
        .start();
    let whole = lb.get("/page.txt", &[ALL]);
    assert_eq!(whole.header("content-encoding"), Some("zstd"));
    assert!(decoded("zstd", &whole.body) == text(50_000));
    let tag = whole.header("etag").unwrap().to_owned();
    assert!(tag.starts_with("W/\""), "{tag}");

    let part = lb.get("/page.txt", &[ALL, ("Range", "bytes=100-199")]);
    assert_eq!(part.status, 206);
    assert_eq!(part.header("content-encoding"), None);
    assert_eq!(part.header("content-range"), Some("bytes 100-199/50000"));
    assert_eq!(part.body, text(50_000)[100..200]);

    let same = lb.get("/page.txt", &[ALL, ("If-None-Match", &tag)]);
    assert_eq!(same.status, 304, "{same}");
    let changed = lb.get("/page.txt", &[ALL, ("If-None-Match", "W/\"other\"")]);
    assert_eq!(changed.status, 200);
    // A weak tag is no proof for a part of the same bytes (RFC 9110 section 13.1.5).
    let unsure = lb.get(
        "/page.txt",
        &[ALL, ("Range", "bytes=0-9"), ("If-Range", &tag)],
    );
    assert_eq!(unsure.status, 200);
    assert!(decoded("zstd", &unsure.body) == text(50_000));
}

#[test]
fn a_304_has_vary_and_tag_of_its_200() {
    let dir = TempDir::new("site");
    dir.write("page.txt", &String::from_utf8(text(50_000)).unwrap());
    let root = dir.path().display();
    let nginx = Nginx::start(&format!(
        "  server {{ listen @PORT@; root {root}; default_type text/plain; }}"
    ));
    let lb = Setup::new()
        .server_at("nginx", &nginx.address().to_string(), "")
        .listener("http: {compression: {enabled: true}}")
        .start();
    let client = H2::connect(lb.web());
    for coding in ["gzip", "identity"] {
        let accept = ("Accept-Encoding", coding);
        let whole = lb.get("/page.txt", &[accept]);
        let tag = whole.header("etag").unwrap();
        assert_eq!(tag.starts_with("W/"), coding == "gzip");
        let changed = whole.header("last-modified").unwrap();
        for condition in [("If-None-Match", tag), ("If-Modified-Since", changed)] {
            let one = lb.get("/page.txt", &[accept, condition]);
            let lower = condition.0.to_lowercase();
            let two = client.get(
                "/page.txt",
                &[("accept-encoding", coding), (&lower, condition.1)],
            );
            for same in [one, two.unwrap()] {
                assert_eq!(same.status, 304, "{same}");
                for name in ["etag", "vary"] {
                    assert_eq!(same.headers_of(name), whole.headers_of(name), "{same}");
                }
            }
        }
    }
}

#[test]
fn a_tag_that_is_none_keeps_a_response_as_it_is() {
    let origin = origin(&[("Content-Type", "text/html"), ("ETag", "\"abc")]);
    let lb = compressing(&origin, "");
    let one = lb.get("/", &[ALL]);
    let two = H2::connect(lb.web()).get("/", &[("accept-encoding", "gzip")]);
    for response in [one, two.unwrap()] {
        assert_eq!(response.header("content-encoding"), None, "{response}");
        assert_eq!(response.headers_of("etag"), ["\"abc"]);
        assert_eq!(response.body, text(5000));
    }
}

#[test]
fn head_is_answered_as_get_would_be() {
    let origin = origin(&[("Content-Type", "text/html"), ("ETag", "\"abc\"")]);
    let lb = compressing(&origin, "");
    let mut client = lb.client();
    for _ in 0..2 {
        let head = client.request("HEAD", "/", &[ALL], b"").unwrap();
        let get = client.get("/", &[ALL]).unwrap();
        for name in ["content-encoding", "content-length", "etag", "vary"] {
            assert_eq!(head.header(name), get.header(name), "{name}");
        }
        assert_eq!(decoded("zstd", &get.body), text(5000));
    }
    let h2 = H2::connect(lb.web());
    let head = h2
        .request("HEAD", "/", &[("accept-encoding", "br")], b"")
        .unwrap();
    assert_eq!(head.header("content-encoding"), Some("br"));
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[test]
fn http_1_0_gets_it_plain() {
    let origin = origin(&[("Content-Type", "text/html")]);
    let lb = compressing(&origin, "");
    let mut client = lb.client();
    client
        .send("GET / HTTP/1.0\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
        .unwrap();
    let response = client.read_response(false).unwrap();
    assert_eq!(response.header("content-encoding"), None);
    assert_eq!(response.body, text(5000));
}

#[test]
fn a_connection_serves_compressed_and_plain_responses_in_turn() {
    let origin = Origin::with("a", |request| {
        let kind = if request.target == "/text" {
            "text/css"
        } else {
            "image/png"
        };
        Answer::body(Body::Full(text(9000))).header("Content-Type", kind)
    });
    let lb = compressing(&origin, "");
    let mut client = lb.client();
    for _ in 0..5 {
        let response = client.get("/text", &[ALL]).unwrap();
        assert_eq!(decoded("zstd", &response.body), text(9000));
        let response = client.get("/image", &[ALL]).unwrap();
        assert_eq!(response.body, text(9000));
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn responses_of_http2_servers_are_compressed_too() {
    let origin = h2_origin::H2Origin::start(|taken| {
        let plain = |body: Vec<Bytes>| Reply {
            status: 200,
            headers: vec![("content-type", "text/plain".to_owned())],
            body,
            ..Reply::default()
        };
        let pieces = || {
            text(100_000)
                .chunks(9000)
                .map(Bytes::copy_from_slice)
                .collect()
        };
        match taken.uri.rsplit('/').next().unwrap() {
            "empty" => plain(Vec::new()),
            "trailers" => Reply {
                trailers: vec![("x-checksum", "1".to_owned())],
                ..plain(pieces())
            },
            _ => plain(pieces()),
        }
    });
    let lb = Setup::new()
        .server_at("a", &origin.address().to_string(), "")
        .pool("http2: true")
        .listener("http: {compression: {enabled: true}}")
        .start();
    let h2 = H2::connect(lb.web());
    for target in ["/body", "/trailers"] {
        let one = lb.get(target, &[ALL]);
        let two = h2.get(target, &[("accept-encoding", "gzip")]).unwrap();
        assert!(decoded("zstd", &one.body) == text(100_000), "{target}");
        assert!(decoded("gzip", &two.body) == text(100_000), "{target}");
    }
    // No body follows, so there is nothing to compress.
    for response in [
        lb.get("/empty", &[ALL]),
        h2.get("/empty", &[("accept-encoding", "gzip")]).unwrap(),
    ] {
        assert_eq!(response.header("content-encoding"), None, "{response}");
        assert_eq!(response.body, b"");
    }
}

#[test]
fn a_page_of_our_own_is_treated_like_a_servers() {
    let dir = TempDir::new("pages");
    dir.write("down.html", &String::from_utf8(text(5000)).unwrap());
    let origin = Origin::stopped("a");
    let lb = Setup::of([&origin])
        .listener("http: {error_pages: {502: @DIR@/down.html}, compression: {enabled: true}}")
        .start_in(dir);
    for (accept, coding) in [("gzip", Some("gzip")), ("", None)] {
        let one = lb.get("/", &[("Accept-Encoding", accept)]);
        let two = H2::connect(lb.web())
            .get("/", &[("accept-encoding", accept)])
            .unwrap();
        for response in [one, two] {
            assert_eq!(response.status, 502);
            assert_eq!(response.header("content-encoding"), coding);
            let body = coding.map_or(response.body.clone(), |it| decoded(it, &response.body));
            assert_eq!(body, text(5000), "{accept}");
        }
    }
}

#[test]
fn a_websocket_is_no_response_to_compress() {
    let origin = Origin::with("a", |_| {
        Answer::Raw(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Content-Type: text/plain\r\n\r\nhello"
                .to_vec(),
        )
    });
    let lb = compressing(&origin, ", types: [text/*]");
    let mut client = lb.client();
    let upgrade = [ALL, ("Connection", "Upgrade"), ("Upgrade", "websocket")];
    client.send_request("GET", "/", &upgrade, b"").unwrap();
    let head = client.read_head().unwrap();
    assert_eq!(head.status, 101);
    assert_eq!(head.header("content-encoding"), None);
    assert_eq!(client.take(5).unwrap(), b"hello");
}
