//! The check beside what else could be asked: why it fails, and whether traffic fares as it does.

use std::time::{Duration, Instant};

use http::Method;

use super::ask::{self, Question};
use super::{Finding, Step, Target};
use crate::config::model::{
    self, CheckKind, HealthCheck, HostPattern, HttpCheck, ProxyProtocol, ServerAddress,
};
use crate::upstream::{CERTIFICATE_WANTED, Caller};

/// Other hosts that are tried at most.
const HOSTS: usize = 4;

/// How long an answer to clients may take before it is told.
const SLOW: Duration = Duration::from_secs(2);

/// What to try about a check that fails for that reason.
pub async fn advice(target: &Target<'_>, check: &HealthCheck, reason: &str) -> String {
    let (wanted, show_one) = CERTIFICATE_WANTED;
    if reason.ends_with(wanted) {
        return show_one.to_owned();
    }
    if let Some(advice) = other_protocol(target, check).await {
        return advice;
    }
    let CheckKind::Http(http) = &check.kind else {
        return "look at the server's log".to_owned();
    };
    // At another port nobody here asks by hand.
    if check.port.is_some() {
        return by_status(target, http, reason);
    }
    if let Some(advice) = other_question(target, check, http).await {
        return advice;
    }
    by_status(target, http, reason)
}

/// Whether the server speaks otherwise than the pool does.
async fn other_protocol(target: &Target<'_>, check: &HealthCheck) -> Option<String> {
    if check.port.is_some() {
        return None;
    }
    let host = configured_host(target);
    let question = Question {
        method: &Method::GET,
        path: "/",
        host: &host,
        fields: &[],
    };
    let caller = target.link.own_caller(None);
    if ask::status(target, &caller, question, check.timeout)
        .await
        .is_some_and(|status| status != 400)
    {
        return None;
    }
    let plain = target.link.secure().is_none();
    if plain && ask::speaks_tls(target).await {
        return Some(
            "the server speaks TLS at that port: write tls: {} in the pool (with server_name and ca as they are), or the port that speaks plain HTTP"
                .to_owned(),
        );
    }
    // With TLS both sides agree on it by ALPN, and the handshake says so if they don't.
    let by_the_other = ask::status_by(
        !target.link.http2(),
        target,
        &caller,
        question,
        check.timeout,
    );
    if plain && let Some(status) = by_the_other.await {
        return Some(if target.link.http2() {
            format!(
                "by HTTP/1.1 the server answers ({status}): it speaks no HTTP/2 at that port; remove http2: true, or switch it on in the server"
            )
        } else {
            format!(
                "by HTTP/2 the server answers ({status}): it speaks that alone, as servers of gRPC do; write http2: true in the pool"
            )
        });
    }
    if target.pool.proxy_protocol.is_some() {
        let answered = ask::status(target, &Caller::default(), question, check.timeout).await;
        return answered.map(|status| {
            format!("without a PROXY header the server answers ({status}): it expects none; remove proxy_protocol, or switch it on in the server")
        });
    }
    let introduced = Caller::introduced(ProxyProtocol::V1);
    let answered = ask::status(target, &introduced, question, check.timeout).await;
    answered.filter(|status| *status != 400).map(|status| {
        format!("with a PROXY header the server answers ({status}): it expects one; write proxy_protocol: v2 (or v1) in the pool")
    })
}

/// Whether the check would pass if it asked a little differently.
async fn other_question(
    target: &Target<'_>,
    check: &HealthCheck,
    http: &HttpCheck,
) -> Option<String> {
    let host = http.host.clone().unwrap_or_else(|| configured_host(target));
    let caller = target.link.own_caller(None);
    let passes = |status: Option<u16>| {
        status.filter(|status| {
            http.expect_status
                .iter()
                .any(|range| range.contains(status))
        })
    };
    let question = Question {
        method: &http.method,
        path: &http.path,
        host: &host,
        fields: &http.headers,
    };
    if http.method == http::Method::HEAD {
        let get = Question {
            method: &Method::GET,
            ..question
        };
        if let Some(status) = passes(ask::status(target, &caller, get, check.timeout).await) {
            return Some(format!(
                "to GET the server answers {status}: it treats HEAD differently; write health_check.method: GET"
            ));
        }
    }
    for other in hosts(target).into_iter().filter(|other| *other != host) {
        let asked = Question {
            host: &other,
            ..question
        };
        if let Some(status) = passes(ask::status(target, &caller, asked, check.timeout).await) {
            return Some(format!(
                "asked for the host {other} the server answers {status}: it has no site for {host}; write health_check.host: {other}"
            ));
        }
    }
    if http.path != "/" {
        let root = Question {
            path: "/",
            ..question
        };
        if let Some(status) = passes(ask::status(target, &caller, root, check.timeout).await) {
            return Some(format!(
                "the path / answers {status}: the server works, and {} is what is wrong; correct health_check.path",
                http.path
            ));
        }
    }
    None
}

/// Whether the pool speaks TLS to its servers and has nothing to show for itself.
fn has_no_certificate(target: &Target<'_>) -> bool {
    let tls = target.pool.tls.as_ref();
    tls.is_some_and(|tls| tls.certificate.is_none())
}

/// What a status usually means.
fn by_status(target: &Target<'_>, http: &HttpCheck, reason: &str) -> String {
    let status = reason
        .strip_prefix("status ")
        .and_then(|rest| rest.get(..3))
        .and_then(|status| status.parse::<u16>().ok());
    match status {
        Some(404) => format!("there is no {} on the server, or not for this host: correct health_check.path or health_check.host", http.path),
        Some(401 | 403) => "the server wants to know who asks: check a path that is open, or allow this machine's address".to_owned(),
        // nginx lets the handshake pass, and says it by a status.
        Some(400) if has_no_certificate(target) => "the server does not like the request: it may want a certificate (tls.certificate), or another host (health_check.host)".to_owned(),
        Some(400 | 421) => "the server does not like the request, most often its host: write health_check.host".to_owned(),
        Some(301 | 302 | 303 | 307 | 308) => "the server sends checks elsewhere (to https or a login, say): check a path that answers itself, or expect that status".to_owned(),
        Some(405) => format!("the server does not allow {}: write another health_check.method", http.method),
        Some(500..) => "the server's application fails: look at its log".to_owned(),
        Some(_) => "correct health_check.path, or write the status that is right in health_check.expect_status".to_owned(),
        None if reason.starts_with("no answer") => "the server takes the request and says nothing: look whether it hangs or is overloaded; a database behind it may be what it waits for".to_owned(),
        None => "look at the server's log, and whether it speaks HTTP at that port at all".to_owned(),
    }
}

/// Asks as a client would, where clients of the pool speak HTTP.
pub async fn traffic(target: &Target<'_>, passed: bool, findings: &mut Vec<Finding>) {
    if !passed || !target.is_http() {
        return;
    }
    if is_grpc(target) {
        findings.push(calls(target).await);
        return;
    }
    let all = hosts(target);
    let host = all.first().cloned();
    let host = host.unwrap_or_else(|| configured_host(target));
    let question = Question {
        method: &Method::GET,
        path: "/",
        host: &host,
        fields: &[],
    };
    let caller = target.link.own_caller(None);
    let patience = target.pool.timeouts.receive;
    let begun = Instant::now();
    let status = ask::status(target, &caller, question, patience).await;
    let took = begun.elapsed();
    let what = format!("GET / for {host}");
    findings.push(match status {
        None => {
            let advice = match other_protocol(target, &as_tcp(target)).await {
                Some(advice) => advice,
                None if took >= patience => "clients wait in vain: find out why the server is slow, and have the check ask for what clients ask for".to_owned(),
                None => "clients' requests would fail as this one: have the check ask for what clients ask for".to_owned(),
            };
            let seen = if took >= patience {
                format!("{what}: no answer in {}", super::short(patience))
            } else {
                format!("{what}: no answer that is HTTP")
            };
            Finding::wrong(
                Step::Traffic,
                format!("{seen}, though the check passes"),
                advice,
            )
        }
        Some(status @ 500..) => Finding::wrong(
            Step::Traffic,
            format!("{what}: status {status}, though the check passes"),
            "the application fails where the check doesn't look: look at its log, and have the check ask for what clients ask for",
        ),
        Some(status) if took > SLOW => Finding::doubtful(
            Step::Traffic,
            format!("{what}: status {status}, after {}", super::short(took)),
            "the check passes and clients wait: find out why the server is slow",
        ),
        Some(status) => Finding::ok(
            Step::Traffic,
            format!("{what}: status {status}, in {}", super::short(took)),
        ),
    });
}

/// Whether it is gRPC that clients speak, as far as the configuration tells.
fn is_grpc(target: &Target<'_>) -> bool {
    let check = target.check_settings().map(|check| &check.kind);
    target.link.http2() && matches!(check, Some(CheckKind::Grpc))
}

/// A method that no server has: what calls it finds out whether calls are answered, and changes nothing.
const NO_METHOD: &str = "/equipoise.Diagnose/Nothing";

/// `UNIMPLEMENTED` and `UNAVAILABLE` of gRPC.
const UNIMPLEMENTED: &str = "12";
const UNAVAILABLE: &str = "14";

/// Calls what there isn't.
async fn calls(target: &Target<'_>) -> Finding {
    let what = format!("call of {NO_METHOD}");
    let answer = ask::call(target, NO_METHOD, target.pool.timeouts.receive).await;
    let Some(answer) = answer else {
        return Finding::wrong(
            Step::Traffic,
            format!("{what}: no answer that is HTTP/2, though the check passes"),
            "clients' calls would fail as this one: have the check ask at the port that traffic goes to",
        );
    };
    let code = answer.last.get("grpc-status");
    match code.and_then(|code| code.to_str().ok()) {
        Some(UNIMPLEMENTED) => Finding::ok(
            Step::Traffic,
            format!("{what}: UNIMPLEMENTED, as it should be: calls are answered"),
        ),
        Some(UNAVAILABLE) => Finding::wrong(
            Step::Traffic,
            format!("{what}: UNAVAILABLE, though the check passes"),
            "what answers the checks isn't what answers calls, or a proxy in between has nobody behind it: look at the server's log",
        ),
        Some(code) => Finding::doubtful(
            Step::Traffic,
            format!("{what}: gRPC status {code}, where UNIMPLEMENTED (12) is usual"),
            "an interceptor of the server may refuse whoever doesn't say who it is: that is well if clients do",
        ),
        None => Finding::wrong(
            Step::Traffic,
            format!(
                "{what}: status {}, and not gRPC, though the check passes",
                answer.status
            ),
            "no gRPC server answers calls there: correct the server's port, or http2 and the check's type",
        ),
    }
}

/// The pool's check, as one that only connects to where traffic goes.
fn as_tcp(target: &Target<'_>) -> HealthCheck {
    let timeout = target
        .check_settings()
        .map_or(super::PATIENCE, |check| check.timeout);
    HealthCheck {
        kind: CheckKind::Tcp,
        interval: timeout,
        fast_interval: timeout,
        timeout,
        rise: 1,
        fall: 1,
        initial: model::InitialState::Down,
        port: None,
    }
}

/// What the check's own host is where none is configured.
fn configured_host(target: &Target<'_>) -> String {
    match target.server.configured_address() {
        ServerAddress::Unix(_) => "localhost".to_owned(),
        address => address.to_string(),
    }
}

/// Hosts that clients ask this pool for, as far as the configuration tells.
fn hosts(target: &Target<'_>) -> Vec<String> {
    let mut hosts: Vec<String> = Vec::new();
    let mut add = |host: String| {
        if !hosts.contains(&host) && hosts.len() < HOSTS {
            hosts.push(host);
        }
    };
    for listener in &target.config.listeners {
        if !listener.pools().any(|name| *name == target.pool.name) {
            continue;
        }
        for pattern in listener
            .routes
            .iter()
            .flat_map(|route| &route.matches.hosts)
        {
            if let HostPattern::Exact(name) = pattern {
                add(name.clone());
            }
        }
    }
    let tls_name = target
        .pool
        .tls
        .as_ref()
        .and_then(|tls| tls.server_name.as_ref());
    if let Some(name) = tls_name {
        add(name.to_string());
    }
    if let Some(CheckKind::Http(http)) = target.check_settings().map(|check| &check.kind)
        && let Some(host) = &http.host
    {
        add(host.clone());
    }
    hosts
}
