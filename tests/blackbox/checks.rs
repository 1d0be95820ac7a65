//! SPEC section 4: what a check of type http asks, and how it judges what comes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::process::Command;

use parking_lot::Mutex;
use socket2::SockRef;

use crate::common::peers::{Apache, Nginx, Peer, Tomcat};
use crate::common::*;

/// A server that sends `answer` to whatever is asked, and then does as `then` says with the connection.
fn says(
    answer: &'static [u8],
    then: impl Fn(TcpStream) + Send + Sync + Clone + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let then = then.clone();
            std::thread::spawn(move || {
                head(&mut stream);
                if stream.write_all(answer).is_ok() {
                    then(stream);
                }
            });
        }
    });
    address
}

/// A request's header, as it came.
fn head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1) {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// Keeps the connection until the other side ends it.
fn hold(mut stream: TcpStream) {
    let _ = stream.read(&mut [0]);
}

/// Ends the connection in a reset, once all that was sent has arrived.
fn reset(stream: TcpStream) {
    let socket = SockRef::from(&stream);
    eventually(SOON, || unsent(&stream) == 0);
    socket.set_linger(Some(std::time::Duration::ZERO)).unwrap();
}

/// Bytes that the other side hasn't acknowledged.
fn unsent(stream: &TcpStream) -> usize {
    let (local, peer) = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
    let hex = |address: SocketAddr| format!(":{:04X}", address.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    table
        .lines()
        .find_map(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            let ours = fields[1].ends_with(&hex(local)) && fields[2].ends_with(&hex(peer));
            let queue = ours.then(|| fields[4].split(':').next().unwrap_or("0"));
            queue.and_then(|queue| usize::from_str_radix(queue, 16).ok())
        })
        .unwrap_or(0)
}

fn checked(address: &str, check: &str) -> Equipoise {
    let timeout = if check.contains("timeout:") {
        ""
    } else {
        "timeout: 2s, "
    };
    Setup::new()
        .server_at("a", address, "")
        .pool(&format!(
            "health_check: {{type: http, interval: 60s, {timeout}{check}}}"
        ))
        .start()
}

/// The first check of a server that is at that address has that outcome, for that reason.
#[track_caller]
fn is(address: SocketAddr, check: &str, state: &str, reason: &str) {
    let lb = checked(&address.to_string(), check);
    lb.wait_state("app", "a", state);
    let said = lb.server("app", "a")["reason"].as_str().unwrap().to_owned();
    assert!(said.contains(reason), "{check}: {said}");
}

const ENDLESS: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nstatus: UP";

#[test]
fn interim_responses_are_read_past() {
    let early = says(
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nUP",
        drop,
    );
    is(early, "path: /", "up", "status 200 as wanted");
    is(
        early,
        "expect_body: UP",
        "up",
        "status 200 and body as wanted",
    );
}

#[test]
fn but_not_without_end() {
    let flood = says(b"HTTP/1.1 102 Processing\r\n\r\n", |mut stream| {
        while stream.write_all(b"HTTP/1.1 102 Processing\r\n\r\n").is_ok() {}
    });
    is(flood, "path: /", "down", "interim responses without end");
}

#[test]
fn a_body_that_matches_is_enough_however_it_goes_on() {
    let held = says(ENDLESS, hold);
    is(
        held,
        "expect_body: UP",
        "up",
        "status 200 and body as wanted",
    );
    // What could still be undone is decided with what has come in time.
    is(held, "expect_body: 'UP$'", "up", "body as wanted");
    is(
        held,
        "expect_body: DOWN",
        "down",
        "status 200, but what came of the body in time does not match DOWN",
    );
}

#[test]
fn a_body_that_ends_in_a_reset_is_judged_by_what_has_come() {
    for answer in [
        ENDLESS,
        b"HTTP/1.1 200 OK\r\n\r\nstatus: UP",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nstatus: UP\r\n",
    ] {
        let broken = says(answer, reset);
        is(broken, "expect_body: 'UP$'", "up", "body as wanted");
        is(
            broken,
            "expect_body: DOWN",
            "down",
            "status 200, but what came of the body before the connection broke does not match DOWN",
        );
    }
}

#[test]
fn a_match_that_more_bytes_undo_is_none() {
    let late = says(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
        |mut stream| {
            // In a packet of its own.
            stream.set_nodelay(true).unwrap();
            eventually(SOON, || unsent(&stream) == 0);
            let _ = stream.write_all(b"4\r\n-not\r\n0\r\n\r\n");
            hold(stream);
        },
    );
    is(
        late,
        // What comes late has to come before the end of the check, on any machine.
        "expect_body: '^ok$', timeout: 20s",
        "down",
        "the body does not match",
    );
    is(late, "expect_body: '^ok'", "up", "body as wanted");
}

#[test]
fn the_request_is_one_that_every_server_takes() {
    static ASKED: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let dir = TempDir::new("unix");
    let path = dir.path().join("s.sock");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            ASKED.lock().push(head(&mut stream));
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let address = format!("unix:{}", path.display());
    for method in ["GET", "HEAD", "POST", "PUT", "OPTIONS"] {
        let lb = checked(
            &address,
            &format!("method: {method}, headers: {{x-my-probe: \"1\", dnt: \"1\"}}"),
        );
        lb.wait_state("app", "a", "up");
        let asked = ASKED.lock().pop().unwrap();
        let length = if method.starts_with('P') {
            "Content-Length: 0\r\n"
        } else {
            ""
        };
        let wanted = format!(
            "{method} / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: equipoise-health-check\r\n\
             {length}X-My-Probe: 1\r\nDNT: 1\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(asked, wanted);
    }
}

#[test]
fn real_servers_pass() {
    let dir = TempDir::new("python");
    dir.write("index.html", "It works\n");
    let port = ReservedPort::new();
    let mut command = Command::new("/usr/bin/python3");
    command
        .args(["-m", "http.server", "--bind", "127.0.0.1"])
        .arg(port.port().to_string())
        .arg("--directory")
        .arg(dir.path());
    let python = Peer::start(dir, port, command, SOON * 3);
    let nginx = Nginx::start(
        "server { listen @PORT@; listen unix:@DIR@/s.sock; location / { return 200 'It works'; } }",
    );
    let (httpd, tomcat) = (Apache::origin("httpd", ""), Tomcat::start("tomcat"));
    let socket = format!("unix:{}", nginx.dir.path().join("s.sock").display());
    let addresses = [
        python.address().to_string(),
        nginx.address().to_string(),
        httpd.address().to_string(),
        tomcat.address().to_string(),
        socket,
    ];
    for check in ["method: HEAD", "expect_body: '\\S'", "expect_body: '\\z'"] {
        let setup = addresses.iter().enumerate().fold(
            Setup::new().pool(&format!(
                "health_check: {{type: http, interval: 60s, timeout: 30s, {check}}}"
            )),
            |setup, (n, address)| setup.server_at(&format!("s{n}"), address, ""),
        );
        let lb = setup.start();
        for n in 0..addresses.len() {
            lb.wait_state("app", &format!("s{n}"), "up");
        }
    }
}

#[test]
fn a_server_whose_answers_are_refused_though_its_check_passes_is_told_once_and_when_it_is_over() {
    let twice = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok";
    let origin = Origin::with("a", |_| Answer::Raw(twice.to_vec()));
    let lb = Setup::of([&origin])
        .pool("health_check: {type: http, path: /health, interval: 60s}")
        .start();
    lb.wait_state("app", "a", "up");
    for _ in 0..10 {
        assert_eq!(lb.get("/", &[]).status, 502);
    }
    let told = || {
        let log = lb.stderr();
        let told = |what| log.lines().filter(|line| line.contains(what)).count();
        (
            told("more than one Content-Length"),
            told("are valid HTTP again"),
        )
    };
    eventually(SOON, || told() == (1, 0));
    origin.script(|_| Answer::ok());
    for _ in 0..30 {
        assert_eq!(lb.get("/", &[]).status, 200);
    }
    eventually(SOON, || told() == (1, 1));
}
