//! Every answer of the table, to clients of HTTP/1.1, HTTP/1.0 and HTTP/2.

use std::collections::HashMap;

use super::cases::{Case, Connection, Want, all};
use super::{Script, Scripted, Then, before};
use crate::common::h2::H2;
use crate::common::*;

/// How a client saw an answer.
enum Seen {
    Response(Response),
    /// Part of a response, or none, and then the end or a reset.
    Cut(String),
}

#[test]
fn over_http_1_1() {
    every_case("one", |lb, method, target| {
        let mut client = lb.client();
        client.send_request(method, target, &[], b"").unwrap();
        match read(&mut client, method) {
            Ok(response) => {
                // Nothing is behind it: the next answer on the connection is the next request's.
                if response.header("connection") == Some("keep-alive") {
                    let next = client.get("/fine/next", &[]).unwrap();
                    assert_eq!(next.text(), "/fine/next", "after {method} {target}");
                } else {
                    assert!(client.is_closed_by_peer(), "more behind {method} {target}");
                }
                Seen::Response(response)
            }
            Err(error) => Seen::Cut(error.to_string()),
        }
    });
}

#[test]
fn over_http_1_0() {
    every_case("nil", |lb, method, target| {
        let mut client = lb.client();
        client
            .send(format!("{method} {target} HTTP/1.0\r\nHost: a\r\n\r\n"))
            .unwrap();
        match read(&mut client, method) {
            Ok(response) => {
                assert!(response.header("transfer-encoding").is_none(), "{response}");
                assert!(client.is_closed_by_peer(), "more behind {method} {target}");
                Seen::Response(response)
            }
            Err(error) => Seen::Cut(error.to_string()),
        }
    });
}

#[test]
fn over_http_2() {
    let mut client: Option<H2> = None;
    every_case("two", move |lb, method, target| {
        // All on one connection: a server's faults are no fault of it.
        let client = client.get_or_insert_with(|| H2::connect(lb.web()));
        match client.request(method, target, &[], b"") {
            Ok(response) => {
                for name in [
                    "connection",
                    "keep-alive",
                    "transfer-encoding",
                    "upgrade",
                    "proxy-connection",
                ] {
                    assert!(response.header(name).is_none(), "{name}: {response}");
                }
                Seen::Response(response)
            }
            Err(error) => {
                assert!(error.is_reset() && error.is_remote(), "{target}: {error}");
                Seen::Cut(error.to_string())
            }
        }
    });
}

/// A final response. Each interim one before it must be in order, too.
fn read(client: &mut Client, method: &str) -> std::io::Result<Response> {
    loop {
        let head = client.read_head()?;
        in_order(&head);
        if head.status >= 200 {
            let bodiless = method == "HEAD" || matches!(head.status, 204 | 304);
            let mut response = head;
            if !bodiless {
                response.body = if response.has_token("transfer-encoding", "chunked") {
                    let mut body = Vec::new();
                    loop {
                        let chunk = client.read_chunk()?;
                        if chunk.is_empty() {
                            break body;
                        }
                        body.extend_from_slice(&chunk);
                    }
                } else if let Some(length) = response.header("content-length") {
                    client.take(length.parse().unwrap())?
                } else {
                    client.read_to_end()?
                };
            }
            return Ok(response);
        }
    }
}

/// What is passed on is written without doubt, whatever it was read from.
#[track_caller]
fn in_order(head: &Response) {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    for (name, value) in &head.headers {
        assert!(!name.is_empty() && name.chars().all(token), "{head}");
        assert!(
            value.chars().all(|c| c == '\t' || !c.is_ascii_control()),
            "{head}"
        );
    }
    let (lengths, codings) = (
        head.headers_of("content-length"),
        head.headers_of("transfer-encoding"),
    );
    assert!(lengths.len() + codings.len() <= 1, "{head}");
    assert!(
        lengths.iter().all(|length| length.parse::<u64>().is_ok()),
        "{head}"
    );
    assert!(codings.iter().all(|coding| *coding == "chunked"), "{head}");
    for name in ["keep-alive", "te", "upgrade", "proxy-connection", "x-a"] {
        assert!(head.header(name).is_none(), "{head}");
    }
    if head.status < 200 || head.status == 204 {
        assert!(lengths.is_empty() && codings.is_empty(), "{head}");
    }
}

#[track_caller]
fn every_case(client: &str, mut ask: impl FnMut(&Equipoise, &str, &str) -> Seen) {
    let cases = all();
    assert!(cases.len() > 300, "{}", cases.len());
    let by_target: HashMap<String, Script> = (0..)
        .zip(&cases)
        .map(|(n, case)| {
            let script = Script::new(&case.bytes, case.then);
            (format!("{} {}", case.method, target(client, n)), script)
        })
        .collect();
    let origin = Scripted::new(move |request| match by_target.get(request) {
        Some(script) => script.clone(),
        None => Script::fine(request.split(' ').nth(1).unwrap()),
    });
    let lb = before(&origin);
    let mut wrong = Vec::new();
    for (n, case) in (0..).zip(&cases) {
        let target = target(client, n);
        let seen = ask(&lb, case.method, &target);
        if case.connection == Connection::Kept {
            // The client may have its answer before the connection is put by.
            lb.wait_idle_servers();
        }
        let fine = format!("/fine/{n}");
        let next = lb.get(&fine, &[]);
        if next.text() != fine || next.header("set-cookie").is_some() {
            wrong.push(format!("{}: the next request got {next}", case.name));
        }
        if let Some(what) = complaint(case, &seen) {
            wrong.push(format!("{}: {what}", case.name));
        }
        let of_case = origin.connection_of(&format!("{} {target}", case.method));
        // The client of HTTP/1.1 has made a request of its own in between.
        let after = origin
            .requests()
            .iter()
            .skip_while(|(request, _)| *request != format!("{} {target}", case.method))
            .find(|(request, _)| request.starts_with("GET /fine/"))
            .map(|(_, connection)| *connection)
            .unwrap();
        let right = match case.connection {
            // There may be another idle one that is used first.
            Connection::Kept => after == of_case || !origin.has_ended(of_case),
            Connection::Dropped => after != of_case,
            Connection::Any => true,
        };
        if !right {
            wrong.push(format!(
                "{}: the server's connection is not {:?}",
                case.name, case.connection
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
    logged(&lb, client, &cases);
    lb.wait_idle_servers();
    assert!(!lb.stderr().contains("panicked"), "{}", lb.stderr());
}

fn target(client: &str, n: usize) -> String {
    format!("/{client}/{n}")
}

/// What is wrong with an outcome, if anything is.
fn complaint(case: &Case, seen: &Seen) -> Option<String> {
    match (&case.want, seen) {
        (Want::Refused(_), Seen::Response(response)) => {
            let ours = response.status == 502 && response.header("x-request-id").is_some();
            let foreign = ["set-cookie", "x-seen", "x"];
            let clean = foreign.iter().all(|name| response.header(name).is_none());
            (!ours || !clean).then(|| format!("not refused: {}", short(response)))
        }
        (Want::Whole(status, body), Seen::Response(response)) => {
            let mut right = response.status == *status && response.text() == *body;
            if let Some((name, value)) = case.field {
                right &= response.header(name) == Some(value);
            }
            (!right).then(|| format!("not {status} {body:?}: {}", short(response)))
        }
        (Want::Cut(_), Seen::Cut(_)) => None,
        (Want::Cut(_), Seen::Response(response)) => {
            Some(format!("looks whole: {}", short(response)))
        }
        (_, Seen::Cut(how)) => Some(format!("cut: {how}")),
    }
}

fn short(response: &Response) -> String {
    response.to_string().chars().take(300).collect()
}

/// Each is in the access log with the right word, once.
#[track_caller]
fn logged(lb: &Equipoise, client: &str, cases: &[Case]) {
    let wanted: HashMap<String, (&str, &str)> = (0..)
        .zip(cases)
        .map(|(n, case)| {
            let word = match case.want {
                Want::Refused(word) | Want::Cut(word) => word,
                Want::Whole(..) => "complete",
            };
            (target(client, n), (word, case.name.as_str()))
        })
        .collect();
    eventually(SOON, || {
        let lines = lb.access_log();
        let of_cases: Vec<_> = lines
            .iter()
            .filter_map(|line| Some((line, wanted.get(line["path"].as_str()?)?)))
            .collect();
        if of_cases.len() < cases.len() {
            return Err(format!("{} lines of {}", of_cases.len(), cases.len()));
        }
        let wrong: Vec<_> = of_cases
            .iter()
            .filter(|(line, (word, _))| line["termination"] != **word)
            .map(|(line, (word, name))| {
                format!("{name}: {} instead of {word}", line["termination"])
            })
            .collect();
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(wrong.join("\n"))
        }
    });
}

#[test]
fn a_bad_answer_is_tried_elsewhere_where_that_is_safe_and_wanted() {
    let bad =
        Scripted::new(|_| Script::new("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", Then::Keep));
    let nonsense = Scripted::new(|_| Script::new("nonsense\r\n\r\n", Then::Keep));
    let good = Origin::start("good");
    let setup = Setup::new()
        .server_at("bad", &bad.address().to_string(), "weight: 100")
        .server_at("nonsense", &nonsense.address().to_string(), "weight: 100")
        .server_at("good", &good.address().to_string(), "backup: true");
    let lb = setup.pool("retries: {attempts: 2, on: [502]}").start();
    for _ in 0..4 {
        assert_eq!(lb.get("/", &[]).origin(), "good");
    }
    let post = lb.client().request("POST", "/", &[], b"pay").unwrap();
    assert_eq!(post.status, 502);
    assert_eq!(good.served(), 4);
    let retries = |reason| {
        lb.metrics()
            .sum("equipoise_retries_total", &[("reason", reason)])
    };
    assert_eq!(retries("502"), 8.0);
}
