//! SPEC section 11: the admin API, as an operator and a stranger find it.

use serde_json::Value;

use crate::common::*;

mod access;
mod description;
mod instance;
mod observed;
mod servers;
mod sessions;

const TOKEN: &str = "correct-horse-battery-staple";

/// With a token, and the API that takes it.
fn start(setup: &Setup) -> Equipoise {
    let dir = TempDir::new("admin");
    dir.write("token", &format!("# ours\n{TOKEN}\n"));
    with_token(setup).start_in(dir)
}

fn with_token(setup: &Setup) -> Setup {
    setup
        .clone()
        .top("admin: {bind: \"127.0.0.1:0\", token_file: \"@DIR@/token\"}")
}

/// Asks with the token.
#[track_caller]
fn ask(lb: &Equipoise, method: &str, target: &str, body: &str) -> Response {
    ask_with(lb, method, target, &[], body)
}

/// Asks with the token and more fields.
#[track_caller]
fn ask_with(
    lb: &Equipoise,
    method: &str,
    target: &str,
    fields: &[(&str, &str)],
    body: &str,
) -> Response {
    let token = format!("Bearer {TOKEN}");
    let mut all = vec![("Authorization", &*token)];
    all.extend(fields);
    Client::connect(lb.admin())
        .request(method, target, &all, body.as_bytes())
        .unwrap()
}

/// The answer has that status and is a problem document that says so.
#[track_caller]
fn assert_problem(response: &Response, status: u16) -> Value {
    assert_eq!(response.status, status, "{response}");
    let kind = response.header("content-type");
    assert_eq!(kind, Some("application/problem+json"), "{response}");
    let problem = response.json();
    assert_eq!(problem["status"], status, "{response}");
    assert!(
        !problem["detail"].as_str().unwrap().is_empty(),
        "{response}"
    );
    problem
}
