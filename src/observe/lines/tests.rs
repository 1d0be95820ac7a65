use std::sync::mpsc::{self, Receiver, Sender};

use super::*;

/// What the thread asked its sink for; the test answers.
enum Asked {
    Write(Vec<u8>, Sender<io::Result<usize>>),
    Reopen,
}

struct Scripted(Sender<Asked>);

impl Sink for Scripted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (answer, answered) = mpsc::channel();
        if self.0.send(Asked::Write(bytes.to_vec(), answer)).is_err() {
            return Ok(bytes.len());
        }
        answered.recv().unwrap_or(Ok(bytes.len()))
    }

    fn reopen(&mut self) -> io::Result<()> {
        let _ = self.0.send(Asked::Reopen);
        Ok(())
    }

    fn take_back(&mut self, _bytes: usize) -> bool {
        false
    }
}

const LIMIT: usize = 64 * 1024;

fn kind(threshold: usize, dropped: IntCounter) -> Kind {
    Kind {
        what: "the log of a test",
        task: supervise::Task::AccessLog,
        thread: "a-test",
        threshold,
        linger: Duration::from_millis(50),
        limit: LIMIT,
        dropped,
    }
}

fn start(threshold: usize) -> (Writer, Receiver<Asked>, IntCounter) {
    let dropped = IntCounter::new("dropped", "dropped").expect("a counter");
    let (ask, asked) = mpsc::channel();
    (
        Writer::start(Scripted(ask), kind(threshold, dropped.clone())).expect("a thread"),
        asked,
        dropped,
    )
}

fn write(asked: &Receiver<Asked>) -> (String, Sender<io::Result<usize>>) {
    match asked
        .recv_timeout(Duration::from_secs(10))
        .expect("something within ten seconds")
    {
        Asked::Write(bytes, answer) => (String::from_utf8(bytes).expect("UTF-8"), answer),
        Asked::Reopen => panic!("reopened instead of written"),
    }
}

fn reopen(asked: &Receiver<Asked>) {
    match asked
        .recv_timeout(Duration::from_secs(10))
        .expect("something within ten seconds")
    {
        Asked::Write(bytes, _) => {
            panic!("wrote {:?} instead of reopening", String::from_utf8(bytes))
        }
        Asked::Reopen => {}
    }
}

#[test]
fn a_lone_line_is_written_soon() {
    let (writer, asked, _) = start(64 * 1024);
    writer.append(b"one\n");
    let (bytes, answer) = write(&asked);
    assert_eq!(bytes, "one\n");
    answer.send(Ok(4)).expect("the thread waits");
    drop(asked);
    drop(writer);
}

#[test]
fn a_full_buffer_does_not_linger() {
    let (writer, asked, _) = start(8);
    let begun = Instant::now();
    for _ in 0..100 {
        writer.append(b"12345678\n");
        let (bytes, answer) = write(&asked);
        assert_eq!(bytes, "12345678\n");
        answer.send(Ok(9)).expect("the thread waits");
    }
    // Lingering each time would take 5 s.
    assert!(begun.elapsed() < Duration::from_secs(4));
    drop(asked);
}

#[test]
fn short_writes_and_failures_are_continued() {
    let (writer, asked, dropped) = start(1);
    writer.append(b"abcdef\n");
    let (_, answer) = write(&asked);
    answer.send(Ok(2)).expect("the thread waits");
    let (bytes, answer) = write(&asked);
    assert_eq!(bytes, "cdef\n");
    answer
        .send(Err(io::ErrorKind::StorageFull.into()))
        .expect("the thread waits");
    // Tried again by itself, from where it was.
    let (bytes, answer) = write(&asked);
    assert_eq!(bytes, "cdef\n");
    answer.send(Ok(5)).expect("the thread waits");
    assert_eq!(dropped.get(), 0);
    drop(asked);
}

#[test]
fn reopening_parts_the_lines_where_it_was_asked_for() {
    let (writer, asked, _) = start(1);
    writer.append(b"zero\n");
    let (_, answer) = write(&asked);
    // The thread is held up in its first write: everything below waits for it.
    writer.append(b"one\n");
    writer.append(b"two\n");
    writer.reopen();
    writer.append(b"three\n");
    answer.send(Ok(5)).expect("the thread waits");
    let (bytes, answer) = write(&asked);
    assert_eq!(bytes, "one\ntwo\n");
    answer.send(Ok(8)).expect("the thread waits");
    reopen(&asked);
    let (bytes, answer) = write(&asked);
    assert_eq!(bytes, "three\n");
    answer.send(Ok(6)).expect("the thread waits");
    drop(asked);
}

#[test]
fn reopening_mends_a_file_that_fails_and_splits_no_line() {
    let (writer, asked, _) = start(1);
    writer.append(b"one\ntwo\n");
    let (_, answer) = write(&asked);
    answer.send(Ok(6)).expect("the thread waits");
    let (bytes, answer) = write(&asked);
    assert_eq!(bytes, "o\n");
    writer.reopen();
    answer
        .send(Err(io::ErrorKind::StorageFull.into()))
        .expect("the thread waits");
    reopen(&asked);
    let (bytes, answer) = write(&asked);
    assert_eq!(bytes, "two\n");
    answer.send(Ok(4)).expect("the thread waits");
    drop(asked);
}

#[test]
fn a_full_backlog_drops_and_counts() {
    let (writer, asked, dropped) = start(1);
    let mut line = vec![b'x'; 1023];
    line.push(b'\n');
    writer.append(&line);
    let (_, answer) = write(&asked);
    // In flight and waiting together fill the backlog exactly.
    for _ in 1..LIMIT / line.len() {
        writer.append(&line);
    }
    assert_eq!(dropped.get(), 0);
    writer.append(&line);
    writer.append(&line);
    assert_eq!(dropped.get(), 2);
    answer.send(Ok(line.len())).expect("the thread waits");
    let (bytes, answer) = write(&asked);
    assert_eq!(bytes.len(), LIMIT - line.len());
    answer.send(Ok(bytes.len())).expect("the thread waits");
    // There is room again.
    writer.append(b"after\n");
    let (bytes, answer) = write(&asked);
    assert_eq!(bytes, "after\n");
    answer.send(Ok(6)).expect("the thread waits");
    assert_eq!(dropped.get(), 2);
    drop(asked);
}

#[test]
fn flush_returns_when_all_is_written_and_does_not_wait_for_a_broken_file() {
    let (writer, asked, dropped) = start(64 * 1024);
    std::thread::scope(|scope| {
        writer.append(b"one\n");
        let flushed = scope.spawn(|| writer.flush());
        let (_, answer) = write(&asked);
        assert!(!flushed.is_finished());
        answer.send(Ok(4)).expect("the thread waits");
        flushed.join().expect("flushed");
        writer.append(b"two\n");
        let begun = Instant::now();
        let flushed = scope.spawn(|| writer.flush());
        let (_, answer) = write(&asked);
        answer
            .send(Err(io::ErrorKind::StorageFull.into()))
            .expect("the thread waits");
        flushed.join().expect("flushed");
        assert!(begun.elapsed() < FLUSH);
    });
    drop(writer);
    // At the end there is one more try, then the line is given up and counted.
    let (bytes, answer) = write(&asked);
    assert_eq!(bytes, "two\n");
    answer
        .send(Err(io::ErrorKind::StorageFull.into()))
        .expect("the thread waits");
    assert!(
        asked.recv_timeout(Duration::from_secs(10)).is_err(),
        "the thread has ended"
    );
    assert_eq!(dropped.get(), 1);
}
