//! Sessions found, decoded and forgotten.

use super::{ask, assert_problem, start};
use crate::common::*;

const SESSIONS: &str = "/api/v1/pools/app/sessions";

fn find(lb: &Equipoise, key: &str) -> serde_json::Value {
    let response = lb.admin_get(&format!("{SESSIONS}?key={key}"));
    assert_eq!(response.status, 200, "{response}");
    response.json()
}

#[test]
fn a_token_is_decoded() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let lb = start(&Setup::of([&a, &b]).pool("persistence: {type: cookie_insert}"));
    let response = lb.get("/", &[]);
    let token = response.cookie("SERVERID").unwrap();
    let found = find(&lb, &token);
    assert_eq!(found["server"], response.origin(), "{found}");
    assert_eq!(
        (&found["result"], &found["type"]),
        (&"bound".into(), &"cookie_insert".into())
    );
    assert!(found["started"].as_str().unwrap().ends_with('Z'), "{found}");
    // The first letter makes it another one.
    let other = if token.starts_with('A') { "B" } else { "A" };
    let forged = find(&lb, &format!("{other}{}", &token[1..]));
    assert_eq!(
        (&forged["result"], forged["server"].is_null()),
        (&"invalid".into(), true)
    );
    // There is nothing here that could be forgotten.
    let refused = ask(&lb, "DELETE", &format!("{SESSIONS}?key={token}"), "");
    assert_problem(&refused, 409);
    let all = lb.admin_get(SESSIONS).json();
    assert!(all["entries"].is_null(), "{all}");
}

#[test]
fn a_clients_address_is_found_and_forgotten() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let lb = start(&Setup::of([&a, &b]).pool("persistence: {type: source_ip}"));
    assert_eq!(find(&lb, "127.0.0.1")["result"], "unknown");
    let first = lb.get("/", &[]).origin().to_owned();
    let found = find(&lb, "127.0.0.1");
    assert_eq!(
        (&found["result"], &found["server"]),
        (&"bound".into(), &first.as_str().into())
    );
    let all = lb.admin_get(SESSIONS).json();
    assert_eq!(
        (&all["entries"], &all["type"]),
        (&1.into(), &"source_ip".into()),
        "{all}"
    );
    assert_eq!(
        ask(&lb, "DELETE", &format!("{SESSIONS}?key=127.0.0.1"), "").status,
        204
    );
    assert_eq!(find(&lb, "127.0.0.1")["result"], "unknown");
    assert_problem(
        &ask(&lb, "DELETE", &format!("{SESSIONS}?key=127.0.0.1"), ""),
        404,
    );
    // Balanced anew.
    assert_ne!(lb.get("/", &[]).origin(), first);
    assert_problem(&lb.admin_get(&format!("{SESSIONS}?key=nonsense")), 400);
    assert_problem(&ask(&lb, "DELETE", SESSIONS, ""), 400);
}

#[test]
fn a_learned_session_is_found_by_its_cookie() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    for origin in [&a, &b] {
        let name = origin.name().to_owned();
        origin.script(move |_| Answer::ok().header("Set-Cookie", &format!("SID=of-{name}")));
    }
    let lb = start(&Setup::of([&a, &b]).pool("persistence: {type: learn, cookie: SID}"));
    let origin = lb.get("/", &[]).origin().to_owned();
    let found = find(&lb, &format!("of-{origin}"));
    assert_eq!(
        (&found["result"], &found["server"]),
        (&"bound".into(), &origin.as_str().into())
    );
    assert_eq!(
        ask(&lb, "DELETE", &format!("{SESSIONS}?key=of-{origin}"), "").status,
        204
    );
    assert_eq!(find(&lb, &format!("of-{origin}"))["result"], "unknown");
    assert_eq!(find(&lb, "m%C3%BCller")["result"], "unknown");
    assert_problem(&lb.admin_get(&format!("{SESSIONS}?key=a%0Ab")), 400);
    // What a key is, is nobody else's to know.
    eventually(SOON, || lb.stderr().contains("a session forgotten"));
    assert!(!lb.stderr().contains(&format!("of-{origin}")));
}

#[test]
fn a_pool_without_sessions_says_so() {
    let a = Origin::start("a");
    let lb = start(&Setup::of([&a]));
    assert!(lb.admin_get(SESSIONS).json()["type"].is_null());
    assert_problem(&lb.admin_get(&format!("{SESSIONS}?key=x")), 409);
    assert_problem(&lb.admin_get("/api/v1/pools/x/sessions"), 404);
}
