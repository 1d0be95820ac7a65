//! A wall clock that is wrong: libfaketime moves that of the process while it runs; the monotonic one goes on.

use super::*;

const FAKETIME: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
];

/// A wall clock that a test sets for a process.
struct WallClock {
    file: std::path::PathBuf,
    _dir: TempDir,
}

impl WallClock {
    fn new(offset: &str) -> Self {
        let dir = TempDir::new("clock");
        let file = dir.write("offset", offset);
        Self { file, _dir: dir }
    }

    /// Starts a process that goes by it.
    #[track_caller]
    fn start(&self, setup: &Setup) -> Equipoise {
        let library = FAKETIME
            .iter()
            .find(|path| std::path::Path::new(path).exists());
        Equipoise::start_with(
            &setup.yaml(),
            &[
                ("LD_PRELOAD", library.expect("faketime is installed")),
                ("FAKETIME_TIMESTAMP_FILE", &self.file.display().to_string()),
                ("FAKETIME_NO_CACHE", "1"),
                ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
                ("DONT_FAKE_MONOTONIC", "1"),
                ("NO_FAKE_STAT", "1"),
            ],
        )
    }

    /// Sets it, and waits until the process has seen that.
    #[track_caller]
    fn set(&self, lb: &Equipoise, offset: &str) {
        let before = hour(lb);
        // Put in its place at once: a file that is being written would be read as no offset at all.
        let new = self.file.with_extension("new");
        std::fs::write(&new, offset).unwrap();
        std::fs::rename(&new, &self.file).unwrap();
        eventually(SOON, || hour(lb) != before);
    }
}

/// Day and hour as the process sees them.
#[track_caller]
fn hour(lb: &Equipoise) -> String {
    let (_, line) = observed(lb, || lb.get("/", &[]));
    line["time"].as_str().unwrap()[..13].to_owned()
}

const JUMPS: [&str; 4] = ["+1d", "+0", "-1d", "+0"];

#[test]
fn a_jump_ends_no_session_of_the_table() {
    let (origins, clock) = (three(), WallClock::new("+0"));
    let setup = Setup::of(&origins)
        .pool("persistence: {type: source_ip, timeout: 60s, max_lifetime: 3600s}");
    let lb = clock.start(&setup);
    let server = lb.get("/", &[]).origin().to_owned();
    for jump in JUMPS {
        clock.set(&lb, jump);
        for _ in 0..3 {
            let (response, word) = ask(&lb, "/", &[]);
            assert_eq!((response.origin(), &*word), (&*server, "hit"), "{jump}");
        }
    }
}

#[test]
fn a_jump_ends_no_learned_session() {
    let (origins, clock) = (three_with(on_demand), WallClock::new("+0"));
    let setup = Setup::of(&origins)
        .pool("persistence: {type: learn, cookie: app, timeout: 60s, max_lifetime: 3600s}");
    let lb = clock.start(&setup);
    let server = lb.get("/?set=app=1", &[]).origin().to_owned();
    for jump in JUMPS {
        clock.set(&lb, jump);
        for _ in 0..3 {
            let (response, word) = ask(&lb, "/", &[("Cookie", "app=1")]);
            assert_eq!((response.origin(), &*word), (&*server, "hit"), "{jump}");
        }
    }
}

/// Cookies have dates, but a jump is believed only when it has lasted for a minute.
#[test]
fn a_jump_that_is_taken_back_ends_no_session_of_a_cookie() {
    let (origins, clock) = (three(), WallClock::new("+0"));
    let setup = Setup::of(&origins)
        .pool("persistence: {type: cookie_insert, timeout: 60s, max_lifetime: 3600s}");
    let lb = clock.start(&setup);
    let first = lb.get("/", &[]);
    let (server, cookie) = (first.origin().to_owned(), first.cookie("SERVERID").unwrap());
    let cookie = format!("SERVERID={cookie}");
    for jump in JUMPS {
        clock.set(&lb, jump);
        // A session that begins meanwhile lasts as well.
        let meanwhile = lb.get("/", &[]);
        let its = format!("SERVERID={}", meanwhile.cookie("SERVERID").unwrap());
        for (server, cookie) in [(&*server, &cookie), (meanwhile.origin(), &its)] {
            let (response, word) = ask(&lb, "/", &[("Cookie", cookie)]);
            assert_eq!((response.origin(), &*word), (server, "hit"), "{jump}");
        }
    }
}

/// Nodes with one secret: what one makes with a clock that is ahead, the other takes up to a day.
#[test]
fn a_cookie_of_a_node_whose_clock_is_ahead_counts_up_to_a_day() {
    let (origins, secrets) = (three(), TempDir::new("secret"));
    let secret = secrets.write("secret", "a secret for tests of clocks");
    let setup = Setup::of(&origins).pool(&format!(
        "persistence: {{type: cookie_insert, timeout: 1h, secret_file: \"{}\"}}",
        secret.display()
    ));
    let right = setup.start();
    for (offset, expected) in [
        ("+0", "hit"),
        ("+5m", "hit"),
        ("+23h", "hit"),
        ("+25h", "invalid"),
        ("-30m", "hit"),
        ("-2h", "expired"),
    ] {
        let clock = WallClock::new(offset);
        let wrong = clock.start(&setup);
        let made = wrong.get("/", &[]);
        let cookie = format!("SERVERID={}", made.cookie("SERVERID").unwrap());
        assert_eq!(
            ask(&wrong, "/", &[("Cookie", &cookie)]).1,
            "hit",
            "{offset}"
        );
        assert_eq!(
            ask(&right, "/", &[("Cookie", &cookie)]).1,
            expected,
            "{offset}"
        );
    }
}

/// Limits on requests go by the other clock as well.
#[test]
fn a_jump_neither_lifts_nor_prolongs_a_rate_limit() {
    let (origins, clock) = (three(), WallClock::new("+0"));
    let setup = Setup::of(&origins)
        .pool("persistence: {type: cookie_insert}")
        .listener(
            "routes:\n  - {match: {path: /limited}, rate_limit: {rate: 1/h, burst: 1}, pool: app}",
        );
    let lb = clock.start(&setup);
    let status = || lb.get("/limited", &[]).status;
    assert!(status() == 200 && eventually(SOON, || (status() == 429).then_some(true)));
    for jump in JUMPS {
        clock.set(&lb, jump);
        assert_eq!(status(), 429, "{jump}");
    }
}
