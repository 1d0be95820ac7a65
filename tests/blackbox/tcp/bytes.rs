//! Bytes go through as they are, in both directions, at the pace of whoever reads them.

use std::thread;

use super::*;

#[test]
fn bytes_go_both_ways() {
    let backend = Backend::start("a");
    let lb = before(&[&backend]).start();
    let (client, server) = pair(&lb, &backend);
    for n in 0..100 {
        let (question, answer) = (format!("question {n}\0\r\n"), format!("\u{ff}answer {n}"));
        say(&client, question.as_bytes());
        hears(&server, question.as_bytes());
        say(&server, answer.as_bytes());
        hears(&client, answer.as_bytes());
    }
}

#[test]
fn a_server_may_speak_first() {
    let backend = Backend::start("a");
    let lb = before(&[&backend]).start();
    let (client, server) = pair(&lb, &backend);
    say(&server, b"220 ready\r\n");
    hears(&client, b"220 ready\r\n");
    say(&client, b"QUIT\r\n");
    hears(&server, b"QUIT\r\n");
}

/// What a client sends before a server was found is the first that the server gets.
#[test]
fn what_came_before_the_server_is_not_lost() {
    let backend = Backend::start("a");
    let lb = with(before(&[]), &backend, "max_connections: 1")
        .pool("queue: {size: 10, timeout: 60s}")
        .start();
    let (first, first_server) = pair(&lb, &backend);
    let waiting = connect(&lb);
    let early: Vec<u8> = (0..60_000u32).map(|n| (n % 251) as u8).collect();
    say(&waiting, &early);
    end(&waiting);
    eventually(SOON, || {
        lb.metrics().sum("equipoise_queue_length", &[]) == 1.0
    });
    drop((first, first_server));
    let server = backend.accept();
    assert!(hears_to_the_end(&server) == early);
    say(&server, b"got it");
    drop(server);
    assert_eq!(hears_to_the_end(&waiting), b"got it");
}

#[test]
fn a_lot_goes_both_ways_at_once() {
    let backend = Backend::start("a");
    let lb = before(&[&backend]).start();
    let (client, server) = pair(&lb, &backend);
    let lot: Vec<u8> = (0..32_000_000u32).map(|n| (n % 251) as u8).collect();
    let talk = |stream: &TcpStream| {
        thread::scope(|scope| {
            scope.spawn(|| {
                say(stream, &lot);
                end(stream);
            });
            assert!(
                hears_to_the_end(stream) == lot,
                "the same bytes in the same order"
            );
        });
    };
    thread::scope(|scope| {
        scope.spawn(|| talk(&client));
        talk(&server);
    });
    drop((client, server));
    let line = ended_with(&lb, "complete");
    assert_eq!(
        (&line["bytes_in"], &line["bytes_out"]),
        (&32_000_000.into(), &32_000_000.into())
    );
}

/// Whoever doesn't read stops the other end, instead of filling memory here.
#[test]
fn a_reader_that_stops_stops_its_writer() {
    let backend = Backend::start("a");
    let lb = before(&[&backend]).start();
    let (client, server) = pair(&lb, &backend);
    let block = vec![7; 1 << 20];
    let mut sent = 0;
    client
        .set_write_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let stopped = loop {
        match { &client }.write(&block) {
            Ok(count) => sent += count,
            Err(error) => break error,
        }
        assert!(sent < 200 << 20, "nobody reads all that");
    };
    assert!(
        matches!(stopped.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        "{stopped}"
    );
    // Most of it lies in the kernel's buffers.
    let memory = resident(lb.pid());
    assert!(memory < 100 << 20, "{memory} bytes");
    // The other direction doesn't mind.
    say(&server, b"still here");
    hears(&client, b"still here");
    // And it all goes on.
    end(&client);
    assert_eq!(hears_to_the_end(&server).len(), sent);
}

/// Bytes of memory of a process.
fn resident(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kilobytes: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes * 1024
}

#[test]
fn a_unix_socket_is_a_server_too() {
    let dir = TempDir::new("unix");
    let path = dir.path().join("app.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let lb = before(&[])
        .server_at("local", &format!("unix:{}", path.display()), "")
        .start();
    let client = connect(&lb);
    let (mut server, _) = listener.accept().unwrap();
    say(&client, b"ping");
    end(&client);
    let mut heard = String::new();
    server.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "ping");
    server.write_all(b"pong").unwrap();
    drop(server);
    assert_eq!(hears_to_the_end(&client), b"pong");
    assert_eq!(
        ended_with(&lb, "complete")["server_address"],
        format!("unix:{}", path.display())
    );
}
