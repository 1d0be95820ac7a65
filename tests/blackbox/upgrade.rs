//! SPEC section 11: an upgrade, in which another process takes over and no client notices.

mod failures;
mod kept;
mod load;

use std::fs;

use crate::common::equipoise::Old;
use crate::common::*;

/// `/set?LINE` sets a cookie, `/held…` is answered when the test says so.
fn origin(name: &str) -> Origin {
    Origin::with(name, |request| {
        let answer = if request.target.starts_with("/held") {
            Answer::held()
        } else {
            Answer::ok()
        };
        match request.target.split_once("?set=") {
            Some((_, line)) => answer.header("Set-Cookie", line),
            None => answer,
        }
    })
}

fn three() -> [Origin; 3] {
    ["a", "b", "c"].map(origin)
}

/// The answer to a request with that cookie.
fn with_cookie(lb: &Equipoise, cookie: &str) -> String {
    lb.get("/", &[("Cookie", cookie)]).origin().to_owned()
}

#[track_caller]
fn assert_ends_well(mut old: Old) {
    let exit = old.wait_exit(6 * SOON);
    assert_eq!(exit.code(), Some(0), "{exit:?}");
}
