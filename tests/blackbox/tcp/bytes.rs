//! Bytes go through as they are, in both directions, at the pace of whoever reads them.

use std::thread;

use openssl::sha::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

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

/// What the kernel moves by itself is all there, whoever of the two is slower.
#[test]
fn a_lot_passes_whole_to_a_reader_that_pauses() {
    const BLOCK: usize = 1 << 20;
    const BLOCKS: usize = 24;
    let backend = Backend::start("a");
    let lb = before(&[&backend]).start();
    let block = |n: usize| -> Vec<u8> { (0..BLOCK).map(|at| ((at + n) % 251) as u8).collect() };
    let run = |from: &TcpStream, to: &TcpStream| {
        thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..BLOCKS {
                    say(from, &block(n));
                }
                end(from);
            });
            // It reads when the writer can't go on, and in pieces of all sizes.
            let mut got = vec![0; BLOCK];
            for n in 0..BLOCKS {
                let mut filled = 0;
                while filled < BLOCK {
                    let room = (filled + 1 + 7 * filled).min(BLOCK);
                    filled += { to }.read(&mut got[filled..room]).unwrap();
                }
                assert!(got == block(n), "block {n}");
            }
            ends_orderly(to);
        });
    };
    let (client, server) = pair(&lb, &backend);
    run(&client, &server);
    run(&server, &client);
    drop((client, server));
    let line = ended_with(&lb, "complete");
    let all = (BLOCK * BLOCKS).into();
    assert_eq!((&line["bytes_in"], &line["bytes_out"]), (&all, &all));
}

/// While a reader doesn't read, what the kernel moves waits in a pipe; nothing is left of it afterwards.
#[test]
fn pipes_come_and_go_with_what_is_in_them() {
    let backend = Backend::start("a");
    let lb = before(&[&backend]).start();
    let pipes = || {
        let all = std::fs::read_dir(format!("/proc/{}/fd", lb.pid())).unwrap();
        all.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
            .filter(|link| link.to_string_lossy().starts_with("pipe:"))
            .count()
    };
    let held = || {
        lb.metrics()
            .sum("equipoise_descriptors", &[("use", "servers")])
    };
    let before = pipes();
    let pairs: Vec<_> = (0..20).map(|_| pair(&lb, &backend)).collect();
    let block = vec![7; 4 << 20];
    let mut said = vec![0; pairs.len()];
    for ((client, _), said) in pairs.iter().zip(&mut said) {
        client.set_nonblocking(true).unwrap();
        let mut waits = 0;
        // Until nothing goes on any more: everything on the way is full.
        while waits < 20 {
            if let Ok(count) = { client }.write(&block) {
                (*said, waits) = (*said + count, 0);
            } else {
                waits += 1;
                thread::yield_now();
            }
        }
    }
    eventually(SOON, || pipes() >= before + 2 && held() > 20.0);
    for ((client, server), said) in pairs.iter().zip(&mut said) {
        client.set_nonblocking(false).unwrap();
        end(client);
        assert_eq!(hears_to_the_end(server).len(), *said);
    }
    drop(pairs);
    eventually(SOON, || held() == 0.0);
    // A thread keeps a few for the next time.
    assert!(pipes() <= before + 2 * 2 * 16, "{} pipes", pipes());
}

#[test]
fn thousands_of_connections_pass_one_after_the_other() {
    const EACH: usize = 500;
    let backend = Backend::start("a");
    backend.listener.set_nonblocking(false).unwrap();
    let lb = before(&[&backend]).start();
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..4 * EACH {
                let (mut stream, _) = backend.listener.accept().unwrap();
                let mut question = [0; 8];
                stream.read_exact(&mut question).unwrap();
                stream.write_all(&question).unwrap();
            }
        });
        for thread in 0..4u32 {
            let lb = &lb;
            scope.spawn(move || {
                for n in 0..EACH as u32 {
                    let question = [thread.to_be_bytes(), n.to_be_bytes()].concat();
                    let client = connect(lb);
                    say(&client, &question);
                    assert_eq!(hears_to_the_end(&client), question);
                }
            });
        }
    });
    lb.wait_idle_servers();
    let metrics = lb.metrics();
    assert_eq!(
        metrics.sum("equipoise_connections_total", &[]),
        4.0 * EACH as f64
    );
}

/// 200 MB in each direction, as blocks that are all different, and what both ends make of them.
#[test]
fn two_hundred_megabytes_arrive_as_they_were_sent() {
    const BLOCK: usize = 1 << 20;
    const BLOCKS: u64 = 200;
    let backend = Backend::start("a");
    let lb = before(&[&backend]).start();
    let send = |to: &TcpStream, first: u64| {
        let mut block: Vec<u8> = (0..BLOCK).map(|at| (at * 31 % 253) as u8).collect();
        let mut digest = Sha256::new();
        for n in first..first + BLOCKS {
            // A number in each page: a page that is missing, doubled or in another's place is another digest.
            for page in block.chunks_mut(4096) {
                page[..8].copy_from_slice(&n.to_be_bytes());
            }
            digest.update(&block);
            say(to, &block);
        }
        end(to);
        digest.finish()
    };
    let take = |mut from: &TcpStream| {
        let (mut digest, mut room) = (Sha256::new(), vec![0; 300_000]);
        loop {
            match from.read(&mut room).unwrap() {
                0 => return digest.finish(),
                count => digest.update(&room[..count]),
            }
        }
    };
    let (client, server) = pair(&lb, &backend);
    thread::scope(|scope| {
        let up = scope.spawn(|| send(&client, 0));
        let down = scope.spawn(|| send(&server, 1000));
        let heard = scope.spawn(|| take(&client));
        assert_eq!(take(&server), up.join().unwrap());
        assert_eq!(heard.join().unwrap(), down.join().unwrap());
    });
    drop((client, server));
    let line = ended_with(&lb, "complete");
    let all = (BLOCKS * BLOCK as u64).into();
    assert_eq!((&line["bytes_in"], &line["bytes_out"]), (&all, &all));
}

/// Connections at once: as many as 10,000, if this machine lets a process have the descriptors.
#[test]
fn ten_thousand_connections_at_once_each_hear_their_own_answer() {
    let limit = raised_limit();
    // Two each, and other tests in this process need some as well.
    let count = 10_000.min(limit / 4);
    assert!(count >= 100, "ulimit -Hn is {limit}");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let echo = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = echo.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = echo.accept().await.unwrap();
                tokio::spawn(async move {
                    let (mut reader, mut writer) = stream.split();
                    let _ = tokio::io::copy(&mut reader, &mut writer).await;
                    let _ = writer.shutdown().await;
                });
            }
        });
        let start = move || before(&[]).server_at("a", &address.to_string(), "").start();
        let lb = tokio::task::spawn_blocking(start).await.unwrap();
        let web = lb.web();
        let holds = {
            let text = std::fs::read_to_string(format!("/proc/{}/limits", lb.pid())).unwrap();
            let line = text.lines().find(|line| line.starts_with("Max open files"));
            let limit: usize = line
                .unwrap()
                .split_whitespace()
                .nth(3)
                .unwrap()
                .parse()
                .unwrap();
            limit * 2 / 5
        };
        let count = count.min(holds);
        let mut clients = Vec::with_capacity(count);
        for n in 0..count as u64 {
            let mut client = tokio::net::TcpStream::connect(web).await.unwrap();
            client.write_all(&n.to_be_bytes()).await.unwrap();
            clients.push(client);
        }
        // All of them are there now, and each is asked twice more, in another order.
        for round in 0..3u64 {
            for (n, client) in clients.iter_mut().enumerate().rev() {
                let mut heard = [0; 8];
                client.read_exact(&mut heard).await.unwrap();
                let said = n as u64 + round * 1_000_000;
                assert_eq!(u64::from_be_bytes(heard), said, "{n}");
                if round < 2 {
                    let next = said + 1_000_000;
                    client.write_all(&next.to_be_bytes()).await.unwrap();
                }
            }
        }
        for mut client in clients.drain(..) {
            client.shutdown().await.unwrap();
            assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        }
        let done = tokio::task::spawn_blocking(move || {
            lb.wait_idle_servers();
            let total = lb.metrics().sum("equipoise_connections_total", &[]);
            let broken = lb.access_log();
            let broken = broken
                .iter()
                .filter(|line| line["termination"] != "complete");
            (total, broken.count())
        });
        assert_eq!(done.await.unwrap(), (count as f64, 0));
    });
}

/// This process may have as many descriptors as it may have at all. Says how many.
fn raised_limit() -> usize {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    // What nobody can have is as good as no limit.
    let wanted = hard.min(1 << 20);
    setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).unwrap();
    usize::try_from(wanted).unwrap()
}

/// The last bytes and the end go together, and the end of the last direction with the connection's; nothing is lost by it.
#[test]
fn last_words_arrive_with_the_end() {
    let backend = Backend::start("a");
    let lb = before(&[&backend]).start();
    for size in [1_usize, 1000, 70_000, 300_000] {
        let words: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        let (client, server) = pair(&lb, &backend);
        thread::scope(|scope| {
            scope.spawn(|| {
                say(&server, &words);
                end(&server);
            });
            assert!(hears_to_the_end(&client) == words, "{size}");
        });
        thread::scope(|scope| {
            scope.spawn(|| {
                say(&client, &words);
                end(&client);
            });
            assert!(hears_to_the_end(&server) == words, "{size}");
        });
    }
    let log = eventually(SOON, || {
        Some(lb.access_log())
            .filter(|log| log.len() == 4)
            .ok_or("4")
    });
    assert!(
        log.iter().all(|line| line["termination"] == "complete"),
        "{log:?}"
    );
}

/// What a side says before it breaks off arrives, and then the reset.
#[test]
fn last_words_arrive_before_a_reset() {
    let backend = Backend::start("a");
    let lb = before(&[&backend]).start();
    let (client, server) = pair(&lb, &backend);
    say(&server, b"so long");
    hears(&client, b"so long");
    reset(server);
    is_reset(&client);
    let line = ended_with(&lb, "server_reset");
    assert_eq!(line["bytes_out"], 7);
}
