//! slowhttptest's four attacks.

use super::{ATTACKERS, behind, server, undisturbed, wait_logged};
use crate::common::peers::run;
use crate::common::*;

/// On a machine that does other things slowhttptest gives up a few by itself.
const MOST: usize = ATTACKERS * 3 / 4;

/// Attacks for as long as slowhttptest thinks that it is worth it, at most 60 seconds: it ends when all are
/// cut off. Returns what it said.
fn attack(lb: &Equipoise, path: &str, how: &[&str]) -> String {
    let (connections, url) = (ATTACKERS.to_string(), format!("http://{}{path}", lb.web()));
    let mut args = vec![
        "-c",
        &connections,
        "-r",
        "1000",
        "-l",
        "60",
        "-p",
        "30",
        "-u",
        &url,
    ];
    args.extend(how);
    undisturbed(lb, || run("slowhttptest", &args))
}

/// It tries to get a word in itself while it attacks.
fn was_available(said: &str) -> bool {
    !said.contains("service available:   NO")
}

#[test]
fn slow_headers_disturb_nobody() {
    let server = server();
    let lb = behind(&server, "header_timeout: 2s");
    let said = attack(&lb, "/", &["-H", "-i", "1", "-x", "8"]);
    assert!(was_available(&said), "{said}");
    wait_logged(&lb, 408, "client_timeout", MOST);
}

#[test]
fn slow_bodies_disturb_nobody() {
    let server = server();
    let lb = behind(&server, "body_timeout: 2s");
    let said = attack(&lb, "/", &["-B", "-i", "5", "-s", "8192", "-x", "8"]);
    assert!(was_available(&said), "{said}");
    wait_logged(&lb, 408, "client_timeout", MOST);
}

#[test]
fn bodies_that_trickle_disturb_nobody() {
    // Each byte puts off body_timeout.
    let server = server();
    let lb = behind(&server, "body_timeout: 10s, min_receive_rate: 1KiB");
    let said = attack(&lb, "/", &["-B", "-i", "1", "-s", "8192", "-x", "8"]);
    assert!(was_available(&said), "{said}");
    wait_logged(&lb, 408, "client_timeout", MOST);
}

#[test]
fn slow_readers_disturb_nobody() {
    let server = server();
    let lb = behind(&server, "send_timeout: 2s, keepalive_timeout: 2s");
    let said = attack(
        &lb,
        "/1000000",
        &["-X", "-n", "5", "-z", "16", "-w", "256", "-y", "1024"],
    );
    assert!(was_available(&said), "{said}");
    // Of some the kernel takes all at once, to its own cost; these don't hold a server's place.
    wait_logged(&lb, 200, "client_timeout", ATTACKERS / 4);
}

#[test]
fn many_ranges_disturb_nobody() {
    let server = server();
    let lb = behind(&server, "");
    let said = attack(&lb, "/", &["-R", "-a", "5", "-b", "3000"]);
    assert!(was_available(&said), "{said}");
    wait_logged(&lb, 200, "complete", MOST);
}
