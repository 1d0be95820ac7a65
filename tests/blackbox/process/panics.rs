//! Defects: what a panic costs, and what it doesn't.
//!
//! A thread that reads the wall clock panics when the operating system fails to tell the time. A library in front of the C library
//! fails one such call of threads with a certain name when a test asks for it, by a file that the call takes away.

use std::fs;
use std::path::PathBuf;

use crate::common::origin::HEALTH;
use crate::common::*;

const LIBRARY: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    const char *order = getenv("FAIL_ONCE"), *failing = getenv("FAILING_THREAD");
    char thread[16] = "";
    // The two lines that tell of a panic have times, too: a panic there would end the process.
    static __thread int spared;
    if (clock != CLOCK_REALTIME || spared-- > 0)
        return syscall(SYS_clock_gettime, clock, now);
    spared = 0;
    if (order && failing && !prctl(PR_GET_NAME, thread) && !strcmp(thread, failing) && !unlink(order)) {
        spared = 2;
        errno = EINVAL;
        return -1;
    }
    return syscall(SYS_clock_gettime, clock, now);
}
"#;

/// A process in which one call can be made to fail.
struct Frail {
    lb: Equipoise,
    order: PathBuf,
    _dir: TempDir,
}

impl Frail {
    /// Calls of those that serve clients can be made to fail.
    #[track_caller]
    fn start(setup: &Setup) -> Self {
        Self::start_failing("equipoise", setup)
    }

    /// Calls of threads of that name can.
    #[track_caller]
    fn start_failing(thread: &str, setup: &Setup) -> Self {
        let dir = TempDir::new("panics");
        let (library, order) = (preload(&dir, LIBRARY), dir.path().join("order"));
        let environment = [
            ("LD_PRELOAD", library.to_str().unwrap()),
            ("FAIL_ONCE", order.to_str().unwrap()),
            ("FAILING_THREAD", thread),
        ];
        let lb = Equipoise::start_with(&setup.yaml(), &environment);
        Self {
            lb,
            order,
            _dir: dir,
        }
    }

    /// The next thread that reads the wall clock panics.
    fn fail_once(&self) {
        fs::write(&self.order, "").unwrap();
    }

    fn has_failed(&self) -> bool {
        !self.order.exists()
    }

    /// Waits until a request at most has met a panic after its server had answered. `attempt` sends requests of which
    /// the origin holds one, and calls what it is given when that is so; it tells whether the request failed.
    #[track_caller]
    fn fail_a_request(&self, origin: &Origin, attempt: impl Fn(&dyn Fn()) -> bool) {
        // Others read the clock now and then and take the order away; then the request is served.
        eventually(SOON, || {
            attempt(&|| {
                self.fail_once();
                origin.release(1);
            })
        });
    }

    /// Waits until a server is connected to, which takes a look at the clock.
    #[track_caller]
    fn wait_connected(&self) {
        eventually(SOON, || {
            let metrics = self.lb.metrics();
            metrics.sum("equipoise_upstream_connections_total", &[]) > 0.0
        });
    }

    /// What has to be true of one request that met a panic while it had a server.
    #[track_caller]
    fn assert_recorded(&self, path: &str) {
        let line = self
            .lb
            .wait_logged(|line| line["path"] == path && line["termination"] == "internal");
        assert_eq!(line["server"], "a", "{line}");
        self.lb.wait_idle_servers();
        let metrics = self.lb.metrics();
        let errors = [("pool", "app"), ("reason", "internal")];
        assert_eq!(metrics.sum("equipoise_errors_total", &errors), 1.0);
        let ended = metrics.sum("equipoise_http_requests_total", &[("pool", "app")]);
        eventually(SOON, || {
            let lines = self.lb.access_log().len();
            if ended == lines as f64 {
                Ok(())
            } else {
                Err(format!("{ended} were counted, {lines} logged"))
            }
        });
    }
}

fn holds_what_begins_with(prefix: &'static str) -> Origin {
    Origin::with("a", move |request: &Request| {
        if request.target.starts_with(prefix) {
            Answer::held()
        } else {
            Answer::ok()
        }
    })
}

#[test]
fn a_panic_costs_one_request_of_http_1() {
    let origin = holds_what_begins_with("/held");
    let frail = Frail::start(&Setup::of([&origin]));
    let mut other = frail.lb.client();
    assert_eq!(other.get("/before", &[]).unwrap().status, 200);
    frail.fail_a_request(&origin, |held| {
        let mut client = frail.lb.client();
        client
            .send("GET /held HTTP/1.1\r\nHost: a.test\r\n\r\n")
            .unwrap();
        origin.wait_held(1);
        held();
        client.read_response(false).is_err()
    });
    assert_eq!(other.get("/after", &[]).unwrap().status, 200);
    assert_eq!(frail.lb.get("/new", &[]).status, 200);
    frail.assert_recorded("/held");
}

#[test]
fn a_panic_costs_one_stream_of_http_2() {
    let origin = holds_what_begins_with("/held");
    let frail = Frail::start(&Setup::of([&origin]));
    let client = h2::H2::connect(frail.lb.web());
    // Under way the whole time.
    let (other, mut upload) = client.open("POST", "/upload", &[], false).unwrap();
    frail.wait_connected();
    frail.fail_a_request(&origin, |held| {
        let (response, _) = client.open("GET", "/held", &[], true).unwrap();
        origin.wait_held(1);
        held();
        client.run(response).is_err()
    });
    upload.send_data("all".into(), true).unwrap();
    assert_eq!(client.run(other).unwrap().status(), 200);
    assert_eq!(client.get("/after", &[]).unwrap().status, 200);
    frail.assert_recorded("/held");
}

#[test]
fn a_panic_at_the_arrival_of_a_request_costs_no_other_stream() {
    let origin = Origin::start("a");
    let frail = Frail::start(&Setup::of([&origin]));
    let client = h2::H2::connect(frail.lb.web());
    let (other, mut upload) = client.open("POST", "/upload", &[], false).unwrap();
    frail.wait_connected();
    eventually(SOON, || {
        frail.fail_once();
        client.get("/", &[]).is_err()
    });
    upload.send_data("all".into(), true).unwrap();
    assert_eq!(client.run(other).unwrap().status(), 200);
    let line = frail
        .lb
        .wait_logged(|line| line["termination"] == "internal");
    assert_eq!(line["status"], 500, "{line}");
    frail.lb.wait_idle_servers();
    let unserved = [("server", ""), ("code", "5xx")];
    let metrics = frail.lb.metrics();
    assert_eq!(metrics.sum("equipoise_http_requests_total", &unserved), 1.0);
}

#[test]
fn background_work_goes_on_after_a_panic() {
    let origin = Origin::start("a");
    let checked = format!("health_check: {{type: http, path: {HEALTH}, interval: 100ms}}");
    let frail = Frail::start_failing("background", &Setup::of([&origin]).pool(&checked));
    // Nothing else happens meanwhile but what goes on in the background.
    let begun_again = "a background task ended unexpectedly and is begun again: it panicked: ";
    let is_checks =
        |line: &str| line.contains(begun_again) && line.contains("task=\"health_check\"");
    eventually(2 * SOON, || {
        if frail.has_failed() {
            frail.fail_once();
        }
        frail.lb.stderr().lines().any(is_checks)
    });
    let _ = fs::remove_file(&frail.order);
    let before = origin.checks();
    eventually(2 * SOON, || origin.checks() > before + 2);
    frail.lb.wait_state("app", "a", "up");
    assert_eq!(frail.lb.get("/", &[]).status, 200);
    let metrics = frail.lb.metrics();
    let restarts = |task| metrics.sum("equipoise_task_restarts_total", &[("task", task)]);
    assert!(restarts("health_check") >= 1.0);
    assert!(metrics.sum("equipoise_panics_total", &[]) >= 1.0);
}
