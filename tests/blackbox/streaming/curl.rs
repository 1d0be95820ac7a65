//! What a person would try with curl.

use std::io::Write;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use crate::common::peers::run;
use crate::common::*;

/// Says what came: method, target, and length of the body.
fn telling() -> Origin {
    Origin::with("a", |request| match request.target.as_str() {
        "/away" => Answer::status(302).header("Location", "/here"),
        "/cookie" => Answer::ok().header("Set-Cookie", "taste=sweet; Path=/"),
        _ => {
            let said = format!(
                "{} {} {}",
                request.method,
                request.target,
                request.body.len()
            );
            Answer::body(Body::Full(said.into_bytes()))
        }
    })
}

fn start(origin: &Origin) -> (Equipoise, String) {
    let lb = Setup::of([origin]).start();
    let url = format!("http://{}", lb.web());
    (lb, url)
}

fn curl(args: &[&str]) -> String {
    run("curl", &[&["-sS"], args].concat())
}

#[test]
fn every_version_and_method() {
    let origin = telling();
    let (_lb, url) = start(&origin);
    for (version, said) in [
        ("--http1.0", "1.1"),
        ("--http1.1", "1.1"),
        ("--http2", "1.1"),
        ("--http2-prior-knowledge", "2"),
    ] {
        for method in [
            "GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "X-OWN",
        ] {
            let target = format!("{url}/x");
            let got = curl(&[version, "-X", method, "-w", " %{http_version}", &target]);
            assert_eq!(got, format!("{method} /x 0 {said}"));
        }
        let head = curl(&[version, "-I", &format!("{url}/x")]);
        assert!(head.contains(" 200"), "{version}: {head}");
        assert!(
            head.to_ascii_lowercase().contains("content-length:"),
            "{version}: {head}"
        );
    }
}

#[test]
fn bodies_of_every_kind() {
    let origin = telling();
    let (lb, url) = start(&origin);
    let file = lb.dir().join("file");
    std::fs::write(&file, vec![b'f'; 500_000]).unwrap();
    let name = file.display().to_string();
    let target = format!("{url}/x");
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        assert_eq!(curl(&[version, "-d", "a=b&c=d", &target]), "POST /x 7");
        assert_eq!(curl(&[version, "-G", "-d", "a=b", &target]), "GET /x?a=b 0");
        assert_eq!(curl(&[version, "--json", "{}", &target]), "POST /x 2");
        let data = format!("@{name}");
        assert_eq!(
            curl(&[version, "--data-binary", &data, &target]),
            "POST /x 500000"
        );
        assert_eq!(curl(&[version, "-T", &name, &target]), "PUT /x 500000");
        let expect = ["-H", "Expect: 100-continue", "--expect100-timeout", "5"];
        let args = [&[version, "-T", &name][..], &expect, &[&target]].concat();
        assert_eq!(curl(&args), "PUT /x 500000");
        let limited = ["--limit-rate", "2M", "-T", &name];
        assert_eq!(
            curl(&[&[version][..], &limited, &[&target]].concat()),
            "PUT /x 500000"
        );
        // Several parts, with a file among them.
        let upload = format!("upload=@{name};type=text/plain");
        let said = curl(&[version, "-F", "field=value", "-F", &upload, &target]);
        let length: usize = said.rsplit(' ').next().unwrap().parse().unwrap();
        assert!(length > 500_000, "{said}");
        let request = origin.last_request();
        let kind = request.header("content-type").unwrap();
        let boundary = kind.split("boundary=").nth(1).unwrap();
        assert!(
            request
                .body
                .ends_with(format!("--{boundary}--\r\n").as_bytes())
        );
    }
}

#[test]
fn an_upload_from_a_pipe_has_no_length() {
    let origin = telling();
    let (_lb, url) = start(&origin);
    let mut child = Command::new("curl")
        .args(["-sS", "-T", "-", &format!("{url}/x")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    for _ in 0..50 {
        pipe.write_all(&[b'p'; 10_000]).unwrap();
    }
    drop(pipe);
    let said = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout), "PUT /x 500000");
    assert_eq!(
        origin.last_request().header("transfer-encoding"),
        Some("chunked")
    );
}

#[test]
fn names_paths_cookies_and_redirects() {
    let origin = telling();
    let (lb, url) = start(&origin);
    let port = lb.web().port();
    assert_eq!(curl(&["-L", &format!("{url}/away")]), "GET /here 0");
    curl(&["-H", "Host: other.test", &format!("{url}/x")]);
    assert_eq!(origin.last_request().header("host"), Some("other.test"));
    let resolve = format!("shop.test:{port}:127.0.0.1");
    curl(&["--resolve", &resolve, &format!("http://shop.test:{port}/x")]);
    let host = format!("shop.test:{port}");
    assert_eq!(origin.last_request().header("host"), Some(host.as_str()));
    curl(&["--path-as-is", &format!("{url}/b%20c/file")]);
    assert_eq!(origin.last_request().target, "/b%20c/file");
    let jar = lb.dir().join("jar").display().to_string();
    curl(&["-c", &jar, &format!("{url}/cookie")]);
    curl(&["-b", &jar, &format!("{url}/x")]);
    assert_eq!(origin.last_request().header("cookie"), Some("taste=sweet"));
    curl(&[
        "-A",
        "me/1",
        "-e",
        "http://from.test/",
        "-u",
        "me:secret",
        &format!("{url}/x"),
    ]);
    let request = origin.last_request();
    assert_eq!(request.header("user-agent"), Some("me/1"));
    assert_eq!(request.header("referer"), Some("http://from.test/"));
    assert_eq!(request.header("authorization"), Some("Basic bWU6c2VjcmV0"));
}

#[test]
fn what_the_server_compressed_stays_so() {
    let origin = Origin::with("a", |request| {
        assert!(request.header("accept-encoding").is_some());
        // "hello" by gzip -n
        let body = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcbH\xcd\xc9\xc9\x07\x00\x86\xa6\x106\x05\x00\x00\x00";
        Answer::body(Body::Full(body.to_vec())).header("Content-Encoding", "gzip")
    });
    let (_lb, url) = start(&origin);
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        assert_eq!(curl(&[version, "--compressed", &url]), "hello");
    }
}

#[test]
fn a_client_that_gives_up_frees_the_servers_place() {
    let origin = Origin::with("a", |_| Answer::Never);
    let (lb, url) = start(&origin);
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let status = Command::new("curl")
            .args([
                "-sS",
                version,
                "--max-time",
                "0.5",
                &format!("{url}/gone{version}"),
            ])
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(28), "curl's own timeout");
        lb.wait_idle();
        let path = format!("/gone{version}");
        let line = lb.wait_logged(|line| line["path"] == path.as_str());
        assert_eq!(line["termination"], "client_aborted", "{line}");
    }
}

#[test]
fn over_ipv6_and_to_a_unix_socket() {
    let dir = TempDir::new("unix");
    let socket = dir.path().join("server.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                use std::io::{BufRead, BufReader};
                let mut reader = BufReader::new(&stream);
                let mut line = String::new();
                while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
                    if line == "\r\n" {
                        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nunix";
                        if (&stream).write_all(answer).is_err() {
                            return;
                        }
                    }
                    line.clear();
                }
            });
        }
    });
    let lb = Setup::new()
        .server_at("a", &format!("unix:{}", socket.display()), "")
        .listener("bind: \"[::1]:0\"")
        .start();
    let url = format!("http://{}/", lb.web());
    assert_eq!(curl(&["-g", "-6", &url, &url]), "unixunix");
    assert_eq!(curl(&["--http2-prior-knowledge", "-g", "-6", &url]), "unix");
}

#[test]
fn a_stream_is_seen_as_it_comes() {
    let origin = Origin::with("a", |_| {
        Answer::body(Body::HeldChunks(vec![b"one\n".to_vec(), b"two\n".to_vec()]))
    });
    let (lb, url) = start(&origin);
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let said = lb.dir().join("said");
        let output = std::fs::File::create(&said).unwrap();
        let mut child = Command::new("curl")
            .args(["-sS", "-N", version, &url])
            .stdout(output)
            .spawn()
            .unwrap();
        eventually(SOON, || std::fs::read(&said).unwrap() == b"one\n");
        origin.release(1);
        assert!(child.wait().unwrap().success());
        assert_eq!(std::fs::read(&said).unwrap(), b"one\ntwo\n");
    }
}
