//! What an operator does with it: asked about first, and with a token.

use serde_json::json;

use super::{TOKEN, open, start};
use crate::common::peers::Page;
use crate::common::*;

/// Selects a server, and begins what the button says.
fn begin(page: &mut Page, server: &str, verb: &str) {
    page.click("#rows [role=row]", server);
    page.wait_text("#aside h2", server);
    page.click("#aside .actions button", verb);
    page.wait("document.getElementById('dialog').open");
}

fn is_closed(page: &mut Page) {
    page.wait("!document.getElementById('dialog').open");
}

#[test]
fn a_server_is_drained_with_the_right_token_alone() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let lb = start(&Setup::of([&a, &b]));
    let mut page = open(&lb);
    begin(&mut page, "a", "Drain");
    page.wait_text("#dialog", "Drain a of app?");
    page.wait_text("#dialog", "One server will be left");
    // Nothing is done by a question alone.
    page.click("#dialog button", "Cancel");
    is_closed(&mut page);
    assert_eq!(lb.server("app", "a")["operator"], "ready");
    begin(&mut page, "a", "Drain");
    page.write("#token", "wrong");
    page.click("#dialog button", "Drain");
    page.wait_text("#dialog .refusal", "the token is not one of those");
    page.write("#token", TOKEN);
    page.click("#dialog button", "Drain");
    is_closed(&mut page);
    assert_eq!(lb.server("app", "a")["operator"], "drain");
    page.wait_text("#rows .state", "drain");
    page.wait_text("#aside", "drain");
    // The token is kept in memory: no further question for it, and it can be forgotten.
    begin(&mut page, "a", "Ready");
    assert_eq!(page.eval("document.getElementById('token')"), json!(null));
    page.click("#dialog button", "Ready");
    is_closed(&mut page);
    assert_eq!(lb.server("app", "a")["operator"], "ready");
    assert_eq!(
        page.eval(
            "JSON.stringify(localStorage) + JSON.stringify(sessionStorage) + document.cookie"
        ),
        "{}{}"
    );
    page.click("#forget", "Forget token");
    begin(&mut page, "b", "Maintenance");
    page.wait("document.getElementById('token') !== null");
    assert_eq!(page.complaints(), [""; 0]);
}

#[test]
fn weights_and_limits_are_set_and_servers_come_and_go() {
    let (a, b, c) = (Origin::start("a"), Origin::start("b"), Origin::start("c"));
    let lb = start(&Setup::of([&a, &b]));
    let mut page = open(&lb);
    begin(&mut page, "a", "Weight");
    page.write("#dialog input[type=number]", "7");
    page.write("#token", TOKEN);
    page.click("#dialog button", "Set");
    is_closed(&mut page);
    assert_eq!(lb.server("app", "a")["weight"], 7);
    begin(&mut page, "a", "Limit");
    page.write("#dialog input[type=number]", "50");
    page.click("#dialog button", "Set");
    is_closed(&mut page);
    assert_eq!(lb.server("app", "a")["max_connections"], 50);
    page.wait_text("#aside", "weight, max connections");
    page.click("#rows [role=row]", "▾app");
    page.click("#aside .actions button", "Add server");
    page.write(
        "#dialog label:nth-of-type(1) input",
        &c.address().to_string(),
    );
    page.write("#dialog label:nth-of-type(2) input", "c");
    page.click("#dialog button", "Add");
    is_closed(&mut page);
    assert_eq!(lb.server("app", "c")["source"], "api");
    page.wait_text("#rows .name", "cadded");
    begin(&mut page, "c", "Remove");
    page.click("#dialog button", "Remove");
    is_closed(&mut page);
    page.wait_text("#shown", "2 of 2 servers");
    assert_eq!(
        lb.status()["pools"][0]["servers"].as_array().unwrap().len(),
        2
    );
    assert_eq!(page.complaints(), [""; 0]);
}

#[test]
fn what_somebody_else_has_changed_meanwhile_is_not_overwritten() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let lb = start(&Setup::of([&a, &b]));
    let mut page = open(&lb);
    begin(&mut page, "a", "Weight");
    let bearer = format!("Bearer {TOKEN}");
    let changed = Client::connect(lb.admin())
        .request(
            "PATCH",
            "/api/v1/pools/app/servers/a",
            &[("Authorization", &bearer)],
            b"{\"weight\": 3}",
        )
        .unwrap();
    assert_eq!(changed.status, 200);
    page.write("#dialog input[type=number]", "9");
    page.write("#token", TOKEN);
    page.click("#dialog button", "Set");
    page.wait_text("#dialog .refusal", "Somebody else has changed it");
    assert_eq!(lb.server("app", "a")["weight"], 3);
}

#[test]
fn without_a_token_file_nothing_can_be_done() {
    let a = Origin::start("a");
    let lb = Setup::of([&a]).start();
    let mut page = open(&lb);
    page.click("#rows [role=row]", "a");
    page.wait_text("#aside", "Read-only");
    page.wait(
        "[...document.querySelectorAll('#aside .actions button')].every((one) => one.disabled)",
    );
    page.wait(
        "document.getElementById('drain').disabled && document.getElementById('reload').disabled",
    );
}

#[test]
fn the_instance_is_drained_taken_back_and_reloaded() {
    let a = Origin::start("a");
    let lb = start(&Setup::of([&a]));
    let mut page = open(&lb);
    page.click("#drain", "Drain");
    page.write("#dialog input[type=number]", "0");
    page.write("#token", TOKEN);
    page.click("#dialog button", "Drain");
    is_closed(&mut page);
    assert_eq!(lb.admin_get("/readyz").status, 503);
    page.wait_text("#notices", "This instance is drained");
    page.click("#drain", "Take back");
    page.click("#dialog button", "Take back");
    is_closed(&mut page);
    assert_eq!(lb.admin_get("/readyz").status, 200);
    page.click("#reload", "Reload");
    page.click("#dialog button", "Reload");
    is_closed(&mut page);
    page.wait_text("footer", "nothing changed");
}
