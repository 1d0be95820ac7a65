//! A worker thread that doesn't go on, or is no more.
//!
//! A library in front of the C library has one call of one worker wait, or fail, when a test asks for it by a file that the call
//! takes away.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::common::origin::HEALTH;
use crate::common::*;

const LIBRARY: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int is_asked(const char *by) {
    const char *order = getenv(by);
    char thread[16] = "";
    return order && getpid() != gettid() && !prctl(PR_GET_NAME, thread) && !strcmp(thread, "equipoise") && !unlink(order);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    if (clock == CLOCK_REALTIME && is_asked("STICK")) {
        while (!access(getenv("STUCK"), F_OK))
            usleep(1000);
    }
    return syscall(SYS_clock_gettime, clock, now);
}

int epoll_wait(int epoll, struct epoll_event *events, int most, int timeout) {
    if (is_asked("BREAK")) {
        errno = EBADF;
        return -1;
    }
    return syscall(SYS_epoll_pwait, epoll, events, most, timeout, NULL, 8);
}
"#;

/// A process of which a worker can be made to stick, or to break.
struct Frail {
    lb: Equipoise,
    dir: TempDir,
}

impl Frail {
    #[track_caller]
    fn start(setup: &Setup) -> Self {
        let dir = TempDir::new("stuck");
        let library = preload(&dir, LIBRARY);
        let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let (stick, stuck, broken) = (at("stick"), at("stuck"), at("break"));
        let environment = [
            ("LD_PRELOAD", library.to_str().unwrap()),
            ("STICK", &stick),
            ("STUCK", &stuck),
            ("BREAK", &broken),
        ];
        let lb = Equipoise::start_with(&setup.yaml(), &environment);
        Self { lb, dir }
    }

    fn order(&self, name: &str) {
        self.dir.write(name, "");
    }

    /// Has the worker stick that serves the next request, which this sends.
    #[track_caller]
    fn stick(&self) -> Client {
        self.order("stuck");
        self.order("stick");
        let mut client = self.lb.client();
        client.send_request("GET", "/", &[], b"").unwrap();
        eventually(SOON, || !self.dir.path().join("stick").exists());
        client
    }

    /// Has it go on.
    fn go_on(&self) {
        fs::remove_file(self.dir.path().join("stuck")).unwrap();
    }
}

impl Drop for Frail {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.dir.path().join("stuck"));
    }
}

#[test]
fn the_admin_api_checks_reloads_and_signals_wait_for_no_worker() {
    let origin = Origin::start("a");
    let checked = format!("health_check: {{type: http, path: {HEALTH}, interval: 100ms}}");
    let setup = Setup::of([&origin])
        .top("server: {threads: 1, shutdown_timeout: 100ms}")
        .pool(&checked);
    let mut frail = Frail::start(&setup);
    let mut client = frail.stick();
    for _ in 0..3 {
        assert_eq!(frail.lb.admin_get("/readyz").status, 200);
        assert_eq!(frail.lb.admin_get("/metrics").status, 200);
        let checks = origin.checks();
        eventually(SOON, || origin.checks() > checks);
    }
    frail.lb.signal(Signal::SIGHUP);
    eventually(SOON, || {
        frail.lb.stderr().contains("configuration reloaded")
    });
    client.set_timeout(Duration::from_millis(50));
    assert!(
        client.read_response(false).is_err(),
        "the worker isn't stuck"
    );
    frail.go_on();
    client.set_timeout(SOON);
    assert_eq!(client.read_response(false).unwrap().status, 200);
    let _client = frail.stick();
    frail.lb.signal(Signal::SIGTERM);
    assert_eq!(frail.lb.wait_exit(SOON).code(), Some(0));
}

#[test]
fn a_worker_that_is_lost_ends_the_process_in_words() {
    let origin = Origin::start("a");
    let mut frail = Frail::start(&Setup::of([&origin]).top("server: {threads: 2}"));
    frail.order("break");
    // Whoever serves it wakes up for that, and waits again.
    let mut client = frail.lb.client();
    let _ = client.get("/", &[]);
    let exit = frail.lb.wait_exit(SOON);
    assert_eq!(exit.code(), Some(1), "{exit:?}");
    assert!(
        exit.stderr.contains("a worker thread ended unexpectedly"),
        "{exit:?}"
    );
}
