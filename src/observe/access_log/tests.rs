use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt as _;
use std::time::SystemTime;

use super::*;
use crate::config::model::{AccessLogFormat, AccessLogPath};

fn settings(path: AccessLogPath, format: AccessLogFormat) -> model::AccessLog {
    model::AccessLog {
        path,
        format,
        buffer: 64 * 1024,
    }
}

fn counter() -> IntCounter {
    IntCounter::new("dropped", "dropped").expect("a counter")
}

fn record(id: &str) -> Record<'_> {
    let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
    Record {
        request_id: Some(id),
        ..Record::new(SystemTime::UNIX_EPOCH, client, client, "web")
    }
}

#[test]
fn a_file_is_appended_to_and_not_for_everyone_to_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("access.log");
    let format = AccessLogFormat::Template("%{request_id}".to_owned());
    let settings = settings(AccessLogPath::File(path.clone()), format);
    for id in ["a", "b"] {
        let log = AccessLog::open(&settings, counter()).expect("opened");
        assert!(log.wants(crate::observe::Termination::Complete));
        log.write(&record(id));
        log.flush();
    }
    assert_eq!(std::fs::read_to_string(&path).expect("a file"), "a\nb\n");
    let mode = std::fs::metadata(&path)
        .expect("a file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o137, 0, "{mode:o}");
}

#[test]
fn reopening_under_load_loses_and_splits_nothing() {
    const WRITERS: usize = 4;
    const LINES: usize = 5000;
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("access.log");
    let mut settings = settings(AccessLogPath::File(path.clone()), AccessLogFormat::Json);
    settings.buffer = 4096;
    let dropped = counter();
    let log = AccessLog::open(&settings, dropped.clone()).expect("opened");
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let log = &log;
            scope.spawn(move || {
                for line in 0..LINES {
                    log.write(&record(&format!("{writer}-{line}")));
                    if line % 100 == 0 {
                        log.flush();
                    }
                }
            });
        }
        for turn in 0..20 {
            std::fs::rename(&path, dir.path().join(format!("access.log.{turn}"))).expect("renamed");
            log.reopen();
            let marker = format!("marker-{turn}");
            log.write(&record(&marker));
            log.flush();
            let text = std::fs::read_to_string(&path).expect("the new file is there");
            assert!(
                text.contains(&marker),
                "what is written after reopen is in the new file"
            );
        }
    });
    log.flush();
    assert_eq!(dropped.get(), 0);
    let mut seen = std::collections::HashSet::new();
    for entry in std::fs::read_dir(dir.path()).expect("a directory") {
        let text = std::fs::read_to_string(entry.expect("an entry").path()).expect("a file");
        assert!(text.is_empty() || text.ends_with('\n'));
        for line in text.lines() {
            let object: serde_json::Value = serde_json::from_str(line).expect("a whole line");
            assert!(seen.insert(object["request_id"].as_str().expect("an id").to_owned()));
        }
    }
    assert_eq!(seen.len(), WRITERS * LINES + 20);
}

#[test]
fn a_full_disk_stops_nothing() {
    let log = AccessLog::open(
        &settings(
            AccessLogPath::File("/dev/full".into()),
            AccessLogFormat::Json,
        ),
        counter(),
    )
    .expect("opened");
    let begun = std::time::Instant::now();
    for _ in 0..1000 {
        log.write(&record("x"));
    }
    log.flush();
    assert!(begun.elapsed() < std::time::Duration::from_secs(2));
}

#[test]
fn what_can_not_be_opened_says_so() {
    let file = AccessLogPath::File("/nonexistent/access.log".into());
    assert!(AccessLog::open(&settings(file, AccessLogFormat::Json), counter()).is_err());
    let template = AccessLogFormat::Template("%{clinet}".to_owned());
    let error = AccessLog::open(&settings(AccessLogPath::Off, template), counter())
        .err()
        .expect("refused");
    assert!(
        error.to_string().contains("did you mean \"client\"?"),
        "{error}"
    );
}

#[test]
fn off_is_off() {
    let log = AccessLog::open(
        &settings(AccessLogPath::Off, AccessLogFormat::Combined),
        counter(),
    )
    .expect("opened");
    assert!(!log.wants(crate::observe::Termination::Complete));
    log.write(&record("x"));
    log.reopen();
    log.flush();
}
