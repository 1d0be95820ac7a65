//! A server's path walked as an engineer would: resolve, route, connect, introduce, TLS, the check, and traffic compared
//! with it. Each step says what was seen and, where something is wrong, what to try.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use tokio::time::timeout;

use crate::config::model::{self, CheckKind, Config, HealthCheck};
use crate::discovery;
use crate::health::{Failed, Probe};
use crate::observe::Metrics;
use crate::pool::{Pool, Server};
use crate::upstream::Link;

mod ask;
mod compare;
mod listening;
mod neighbour;
mod path;
mod refusal;

/// Discovered servers that are told by their names.
const NAMES_TOLD: usize = 8;

/// How long a check may take where the pool has none.
const PATIENCE: Duration = Duration::from_secs(5);

/// A step of the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// From its name to addresses.
    Resolve,
    /// From this machine to an address.
    Route,
    /// To something that listens.
    Connect,
    /// The PROXY header.
    Proxy,
    /// The handshake.
    Tls,
    /// The pool's health check.
    Check,
    /// What clients' requests would meet.
    Traffic,
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and not as well as it could.
    Doubtful,
    /// This is why the server doesn't work.
    Wrong,
}

/// A step, and what was seen.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// Which step.
    pub step: Step,
    /// What it came to.
    pub verdict: Verdict,
    /// What was seen, in words.
    pub seen: String,
    /// What to try, in words; nothing where all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Finding {
    fn ok(step: Step, seen: impl Into<String>) -> Self {
        Self {
            step,
            verdict: Verdict::Ok,
            seen: seen.into(),
            advice: None,
        }
    }

    /// This is why the server doesn't work, and what to try.
    pub fn wrong(step: Step, seen: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            step,
            verdict: Verdict::Wrong,
            seen: seen.into(),
            advice: Some(advice.into()),
        }
    }

    /// It works, and not as well as it could; or it can't be told from here.
    pub fn doubtful(step: Step, seen: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Doubtful,
            ..Self::wrong(step, seen, advice)
        }
    }
}

/// All that was seen of a server.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Its pool.
    pub pool: String,
    /// Its name.
    pub server: String,
    /// Its address as configured.
    pub address: String,
    /// Step by step.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether it is about what DNS names, and not about one server.
    pub fn is_of_discovery(&self) -> bool {
        self.server == DISCOVERY && self.findings.iter().all(|one| one.step == Step::Resolve)
    }

    /// Adds what was found out of the way to it, before what is told of connections.
    pub fn add_of_route(&mut self, found: impl IntoIterator<Item = Finding>) {
        let place = self
            .findings
            .iter()
            .take_while(|one| one.step == Step::Resolve)
            .count();
        self.findings.splice(place..place, found);
    }

    /// Whether something is wrong with it.
    pub fn is_wrong(&self) -> bool {
        self.findings
            .iter()
            .any(|finding| finding.verdict == Verdict::Wrong)
    }
}

/// The name that what discovery says goes by, in place of a server's.
const DISCOVERY: &str = "discovery";

/// The servers of a pool: those of the configuration, or, if DNS names them, those of its answer now, with a report on that.
pub async fn servers(pool: &model::Pool) -> (Vec<model::PoolServer>, Option<Report>) {
    let Some(settings) = &pool.discovery else {
        return (pool.servers.clone(), None);
    };
    let found = discovery::look_up(settings).await;
    let (servers, finding) = match found {
        Ok(found) => {
            let count = found.servers.len();
            let names: Vec<_> = found.servers.iter().map(|server| &*server.name).collect();
            let shown = names.get(..count.min(NAMES_TOLD)).unwrap_or_default();
            let more = match count - shown.len() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let seen = format!("{} is {}{more}", settings.dns.host(), shown.join(", "));
            let finding = if count < settings.min {
                Finding::wrong(
                    Step::Resolve,
                    format!(
                        "{seen}: fewer servers ({count}) than min ({})",
                        settings.min
                    ),
                    "a running instance goes on with its last good answer, and one that starts has these alone: look why servers are missing in DNS, or lower discovery.min",
                )
            } else if let Some(missing) = found.missing {
                Finding::doubtful(
                    Step::Resolve,
                    format!("{seen}: {}", missing.reason),
                    "a running instance keeps the servers of that kind that it knows: look at the name server",
                )
            } else {
                Finding::ok(Step::Resolve, seen)
            };
            (found.servers, finding)
        }
        Err(reason) => {
            let advice = match &settings.resolvers {
                None => format!(
                    "check the spelling, and what this machine's resolvers (/etc/resolv.conf) know of it: dig {}",
                    settings.dns.host()
                ),
                Some(all) => {
                    let all: Vec<String> = all.iter().map(ToString::to_string).collect();
                    format!(
                        "check the spelling, and whether these name servers answer and know it: {}",
                        all.join(", ")
                    )
                }
            };
            (Vec::new(), Finding::wrong(Step::Resolve, reason, advice))
        }
    };
    let report = Report {
        pool: pool.name.to_string(),
        server: DISCOVERY.to_owned(),
        address: settings.dns.host().to_string(),
        findings: vec![finding],
    };
    (servers, Some(report))
}

/// Walks to a server of a pool, one of those that [`servers`] says.
pub async fn diagnose(
    config: &Config,
    pool: &model::Pool,
    server: &model::PoolServer,
    link: &Arc<Link>,
) -> Report {
    let mut findings = Vec::new();
    walk(config, pool, server, link, &mut findings).await;
    Report {
        pool: pool.name.to_string(),
        server: server.name.to_string(),
        address: server.address.to_string(),
        findings,
    }
}

async fn walk(
    config: &Config,
    model: &model::Pool,
    configured: &model::PoolServer,
    link: &Arc<Link>,
    findings: &mut Vec<Finding>,
) {
    let alone = model::Pool {
        servers: vec![configured.clone()],
        ..model.clone()
    };
    let pool = Pool::new(&alone, &Metrics::new(SystemTime::now()));
    let servers = pool.servers();
    let Some(server) = servers.iter().find(|one| *one.name() == configured.name) else {
        return;
    };
    let patience = model.timeouts.connect;
    if !path::resolve(&pool, server, findings).await {
        return;
    }
    if !path::connect(server, model.source, patience, findings).await {
        return;
    }
    let target = Target {
        config,
        pool: model,
        link,
        server,
        patience,
    };
    let passed_on = introduce(&target, findings).await && handshake(&target, findings).await;
    let passed = passed_on && check(&target, findings).await;
    if passed_on {
        compare::traffic(&target, passed, findings).await;
    }
}

/// Who is walked to, and by which rules.
struct Target<'a> {
    config: &'a Config,
    pool: &'a model::Pool,
    link: &'a Arc<Link>,
    server: &'a Arc<Server>,
    /// For a connection.
    patience: Duration,
}

impl Target<'_> {
    /// The check, or what stands for one.
    fn check_settings(&self) -> Option<&HealthCheck> {
        self.pool.health_check.as_ref()
    }

    /// Whether clients of it speak HTTP.
    fn is_http(&self) -> bool {
        let leads_here =
            |listener: &&model::Listener| listener.pools().any(|name| *name == self.pool.name);
        let mut listeners = self.config.listeners.iter().filter(leads_here);
        listeners.any(|listener| {
            matches!(
                listener.protocol,
                model::Protocol::Http | model::Protocol::Https
            )
        })
    }
}

/// Says the PROXY header, and looks whether the server stays after that.
async fn introduce(target: &Target<'_>, findings: &mut Vec<Finding>) -> bool {
    let version = target.pool.proxy_protocol;
    match ask::listen(target).await {
        ask::Heard::Silence => {}
        ask::Heard::Words(words) if version.is_some() && is_http(&words) => {
            findings.push(Finding::wrong(
                Step::Proxy,
                format!("the server takes the PROXY header for a request, and answers: {words}"),
                "it expects none: remove proxy_protocol, or switch it on in the server",
            ));
            return false;
        }
        ask::Heard::Words(words) => {
            findings.push(Finding::ok(
                Step::Connect,
                format!("the server speaks first: {words}"),
            ));
        }
        ask::Heard::End(how) => {
            let what = match version {
                Some(_) => "takes the connection and the PROXY header, and then",
                None => "takes the connection, and then",
            };
            let advice = match version {
                Some(_) => {
                    "look at the server's log: it may want no PROXY header (remove proxy_protocol), or refuse this machine's address"
                }
                None => {
                    "look at the server's log: it may refuse this machine's address, be overloaded, or be something else than the server that is meant"
                }
            };
            let step = version.map_or(Step::Connect, |_| Step::Proxy);
            findings.push(Finding::wrong(
                step,
                format!("the server {what} {how}"),
                advice,
            ));
            return false;
        }
        ask::Heard::Broken(reason) => {
            let advice =
                "the connection came about a moment ago: look whether the server is restarting";
            findings.push(Finding::wrong(Step::Connect, reason, advice));
            return false;
        }
    }
    if let Some(version) = version {
        let version = match version {
            model::ProxyProtocol::V1 => "1",
            model::ProxyProtocol::V2 => "2",
        };
        findings.push(Finding::ok(
            Step::Proxy,
            format!("a PROXY header of version {version} was sent"),
        ));
    }
    true
}

/// Whether it is how a server of HTTP answers; one of the first version of HTTP sends the page at once.
fn is_http(words: &str) -> bool {
    words.starts_with("HTTP/") || words.starts_with('<')
}

/// TLS by the pool's rules, if it has any.
async fn handshake(target: &Target<'_>, findings: &mut Vec<Finding>) -> bool {
    let Some(secure) = target.link.secure() else {
        return true;
    };
    match ask::handshake(target, secure).await {
        Ok(seen) => {
            findings.push(Finding::ok(Step::Tls, seen));
            true
        }
        Err((seen, advice)) => {
            findings.push(Finding::wrong(Step::Tls, seen, advice));
            false
        }
    }
}

/// The pool's check, as it is done while running. Returns whether it passed.
async fn check(target: &Target<'_>, findings: &mut Vec<Finding>) -> bool {
    let Some(check) = target.check_settings() else {
        findings.push(Finding::ok(
            Step::Check,
            "the pool has no health_check: the server counts as up",
        ));
        return true;
    };
    let probe = Probe::new(check, target.link);
    let begun = Instant::now();
    let deadline = tokio::time::Instant::now() + check.timeout;
    let seen = timeout(check.timeout, probe.run(target.server, deadline)).await;
    let took = begun.elapsed();
    let what = described(check);
    match seen {
        Ok(Ok(seen)) if took * 2 > check.timeout => {
            let seen = format!("{what}: {seen}, but only after {}", short(took));
            let advice = format!(
                "the check's timeout is {}: find out why the server is slow, or raise health_check.timeout",
                short(check.timeout)
            );
            findings.push(Finding::doubtful(Step::Check, seen, advice));
            true
        }
        Ok(Ok(seen)) => {
            let seen = format!("{what}: {seen}, in {}", short(took));
            findings.push(Finding::ok(Step::Check, seen));
            true
        }
        Ok(Err(Failed::NotMade(shortage))) => {
            let advice = "this says nothing about the server";
            findings.push(Finding::wrong(Step::Check, shortage.to_string(), advice));
            false
        }
        Ok(Err(Failed::Broken(reason) | Failed::Unwanted(reason))) => {
            let advice = compare::advice(target, check, &reason).await;
            findings.push(Finding::wrong(
                Step::Check,
                format!("{what}: {reason}"),
                advice,
            ));
            false
        }
        Err(_) => {
            let seen = format!("{what}: no answer in {}", short(check.timeout));
            let advice = compare::advice(target, check, "no answer").await;
            findings.push(Finding::wrong(Step::Check, seen, advice));
            false
        }
    }
}

/// A check in a few words.
fn described(check: &HealthCheck) -> String {
    let at = check
        .port
        .map_or_else(String::new, |port| format!(" at port {port}"));
    match &check.kind {
        CheckKind::Tcp => format!("tcp{at}"),
        CheckKind::Tls => format!("tls{at}"),
        CheckKind::Grpc => format!("grpc{at}"),
        CheckKind::Http(http) => format!("{} {}{at}", http.method, http.path),
    }
}

/// A span of time as somebody says it.
fn short(span: Duration) -> String {
    if span < Duration::from_secs(10) {
        format!("{} ms", span.as_millis())
    } else {
        format!("{} s", span.as_secs())
    }
}
