//! Each finding: where it is made, and where it isn't.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Advice, Facts, Severity, advise};
use crate::admin::control::CertificateStatus;
use crate::admin::status::{
    ChangesBy, DescriptorShare, DescriptorStatus, InstanceState, ListenerStatus, OperatorState,
    PersistenceStatus, PoolStatus, ReloadResult, ReloadStatus, ResponseClasses, ServerSource,
    ServerStatus, Status, timestamp,
};
use crate::config::{self, model::Config};
use crate::observe::ServerState;

/// An instance that nothing is to be said of.
struct Sound {
    config: Config,
    status: Status,
    certificates: Vec<CertificateStatus>,
}

const NOW: Duration = Duration::from_secs(1_800_000_000);

fn now() -> SystemTime {
    UNIX_EPOCH + NOW
}

impl Sound {
    fn new() -> Self {
        Self::with("", "")
    }

    /// With further lines of the pool and of the listener, in flow style.
    fn with(pool: &str, listener: &str) -> Self {
        let pool = if pool.contains("health_check") {
            pool.to_owned()
        } else {
            format!("health_check: {{type: http, path: /up}}, {pool}")
        };
        let yaml = format!(
            "listeners: {{web: {{bind: \"127.0.0.1:80\", pool: app, {listener}}}}}\n\
             pools: {{app: {{servers: [\"10.0.0.1:80\", \"10.0.0.2:80\"], {pool}}}}}\n"
        );
        let config = config::parse_str("t.yaml", &yaml, &|_| None).expect(&yaml);
        let servers = config.pools[0].servers.iter().map(|model| ServerStatus {
            name: model.name.to_string(),
            address: model.address.to_string(),
            server_address: None,
            state: ServerState::Up,
            reason: String::new(),
            since: UNIX_EPOCH,
            weight: u32::from(model.weight),
            effective_weight: f64::from(model.weight),
            backup: model.backup,
            active: 0,
            max_connections: u64::from(model.max_connections),
            requests: 1000,
            errors: 0,
            latency: Some(0.01),
            last_check: None,
            operator: OperatorState::Ready,
            source: ServerSource::File,
            overridden: Vec::new(),
        });
        let pool = PoolStatus {
            name: "app".to_owned(),
            algorithm: "weighted_round_robin".to_owned(),
            available_servers: config.pools[0].servers.len(),
            active: 0,
            capacity: None,
            queue_length: 0,
            queue_size: 0,
            queue_refused_lately: 0,
            requests: 0,
            errors: 0,
            error_reasons: BTreeMap::new(),
            unserved: 0,
            responses: ResponseClasses {
                informational: 0,
                successful: 0,
                redirection: 0,
                client_error: 0,
                server_error: 0,
            },
            retries: 0,
            latency_percentiles: None,
            persistence: None,
            servers: servers.collect(),
            removed: Vec::new(),
        };
        let listener = ListenerStatus {
            name: "web".to_owned(),
            protocol: "http".to_owned(),
            addresses: Vec::new(),
            pool: "app".to_owned(),
            connections_active: 0,
            connections_total: 0,
            max_connections: 0,
            connections_delayed: 0,
            rejected: BTreeMap::new(),
            tls_handshakes_failed: None,
            full: false,
            requests: 0,
            errors: 0,
            error_reasons: BTreeMap::new(),
            unserved: 0,
            refused: 0,
        };
        let status = Status {
            version: String::new(),
            pid: 1,
            started: timestamp(UNIX_EPOCH),
            uptime: 1.0,
            state: InstanceState::Running,
            changes_by: ChangesBy::Token,
            latency_percentiles: None,
            descriptors: None,
            reload: None,
            certificates_refused: Vec::new(),
            predecessor: None,
            listeners: vec![listener],
            pools: vec![pool],
        };
        Self {
            config,
            status,
            certificates: Vec::new(),
        }
    }

    fn pool(&mut self) -> &mut PoolStatus {
        &mut self.status.pools[0]
    }

    fn advice(&self) -> Vec<Advice> {
        advise(&Facts {
            config: &self.config,
            status: &self.status,
            certificates: &self.certificates,
            now: now(),
        })
    }

    #[track_caller]
    fn is_told(&self, key: &str) {
        let advice = self.advice();
        let [one] = &advice[..] else {
            panic!("{key} alone: {advice:?}");
        };
        assert_eq!(one.key, key);
        assert!(
            one.finding.ends_with(['.', '>']) || one.finding.contains(':'),
            "{one:?}"
        );
        assert!(one.remedy.ends_with('.'), "{one:?}");
        assert!(
            one.docs.starts_with("https://") && one.docs.contains("/docs/"),
            "{one:?}"
        );
    }

    #[track_caller]
    fn is_sound(&self) {
        assert_eq!(self.advice(), []);
    }
}

fn certificate(days: i64, source: &'static str) -> CertificateStatus {
    CertificateStatus {
        listener: "web".to_owned(),
        names: vec!["example.com".to_owned()],
        issuer: String::new(),
        not_before: String::new(),
        not_after: String::new(),
        expires_in_days: days,
        source,
        file: String::new(),
        findings: Vec::new(),
    }
}

#[test]
fn of_a_sound_instance_nothing_is_said() {
    Sound::new().is_sound();
}

#[test]
fn pools_that_nobody_or_one_is_left_of() {
    let mut none = Sound::new();
    none.pool().available_servers = 0;
    none.is_told("no_server_available");
    assert_eq!(none.advice()[0].severity, Severity::Problem);
    let mut one = Sound::new();
    one.pool().available_servers = 1;
    one.pool().servers[1].state = ServerState::Down;
    one.is_told("one_server_left");
    let mut spare = Sound::new();
    spare.pool().available_servers = 1;
    spare.pool().servers[1].backup = true;
    spare.is_sound();
    let mut single = Sound::new();
    single.pool().servers.truncate(1);
    single.pool().available_servers = 1;
    single.is_told("single_server");
}

#[test]
fn pools_that_nobody_checks_or_only_at_the_port() {
    Sound::with("health_check: null", "").is_told("no_health_check");
    let watched = Sound::with("health_check: null, outlier_detection: {}", "");
    watched.is_told("no_health_check");
    assert_eq!(watched.advice()[0].severity, Severity::Hint);
    Sound::with("health_check: {type: tcp}", "").is_told("tcp_check_of_http");
    Sound::with("health_check: {type: tcp}", "protocol: tcp").is_sound();
}

#[test]
fn queues_and_room_that_are_used_up() {
    let mut queue = Sound::new();
    queue.pool().queue_refused_lately = 3;
    queue.is_told("queue_was_full");
    let mut full = Sound::new();
    full.pool().capacity = Some(100);
    full.pool().active = 89;
    full.is_sound();
    full.pool().active = 90;
    full.is_told("nearly_full");
    let mut table = Sound::new();
    table.pool().persistence = Some(PersistenceStatus {
        r#type: "learn",
        results: BTreeMap::new(),
        entries: Some(95),
        size: Some(100),
    });
    table.is_told("session_table_nearly_full");
}

#[test]
fn weights_that_do_not_match_limits() {
    let servers = |one: &str, other: &str| {
        let mut sound = Sound::new();
        let yaml = format!(
            "listeners: {{web: {{bind: \"127.0.0.1:80\", pool: app}}}}\n\
             pools: {{app: {{health_check: {{type: http}}, servers: [{{name: a, address: \"10.0.0.1:80\", {one}}}, {{name: b, address: \"10.0.0.2:80\", {other}}}]}}}}"
        );
        sound.config = config::parse_str("t.yaml", &yaml, &|_| None).expect(&yaml);
        sound
    };
    servers(
        "weight: 4, max_connections: 100",
        "weight: 1, max_connections: 100",
    )
    .is_told("weights_do_not_match_limits");
    servers(
        "weight: 4, max_connections: 400",
        "weight: 1, max_connections: 100",
    )
    .is_sound();
    servers("weight: 4, max_connections: 100", "weight: 1").is_sound();
}

#[test]
fn sessions_and_servers_that_can_be_listened_to() {
    let tls = "protocol: https, tls: {certificates: [{cert: c.pem, key: k.pem}]}";
    let cookie = "persistence: {type: cookie_insert, secure: false}";
    Sound::with(cookie, tls).is_told("cookie_without_secure");
    Sound::with(cookie, "").is_sound();
    Sound::with("persistence: {type: cookie_insert}", tls).is_sound();
    Sound::with("tls: {verify: false}", "").is_told("servers_not_verified");
    Sound::with("tls: {}", "").is_sound();
}

#[test]
fn what_is_otherwise_than_the_file_says() {
    let mut changed = Sound::new();
    changed.pool().servers[0].overridden = vec!["state"];
    changed.is_sound();
    changed.pool().servers[0].overridden = vec!["weight"];
    changed.is_told("not_as_in_the_file");
    let mut removed = Sound::new();
    removed.pool().removed = vec!["c".to_owned()];
    removed.is_told("not_as_in_the_file");
}

#[test]
fn servers_that_are_slow_or_forgotten() {
    let mut slow = Sound::new();
    slow.pool().servers[1].latency = Some(0.2);
    slow.is_told("slow_server");
    slow.pool().servers[1].requests = 3;
    slow.is_sound();
    let mut drained = Sound::new();
    drained.pool().servers[0].operator = OperatorState::Drain;
    drained.pool().servers[0].since = now() - Duration::from_secs(3600);
    drained.is_sound();
    drained.pool().servers[0].since = now() - Duration::from_secs(50 * 3600);
    drained.is_told("forgotten_server");
    assert!(drained.advice()[0].finding.contains("2 days"));
}

#[test]
fn certificates_that_end_soon() {
    let mut sound = Sound::new();
    for (days, source, key) in [
        (-1, "file", "certificate_expired"),
        (0, "file", "certificate_expires_soon"),
        (13, "acme", "certificate_expires_soon"),
    ] {
        sound.certificates = vec![certificate(days, source)];
        sound.is_told(key);
    }
    sound.certificates = vec![certificate(14, "file")];
    sound.is_sound();
    sound.certificates[0].findings = vec!["the chain is incomplete".to_owned()];
    sound.is_told("certificate_fault");
}

#[test]
fn listeners_that_serve_plainly_believe_everybody_or_are_full() {
    let two = "listeners: {web: {bind: \"127.0.0.1:80\", pool: app}, \
               safe: {bind: \"127.0.0.1:443\", pool: app, protocol: https, tls: {certificates: [{cert: c.pem, key: k.pem}]}}}\n\
               pools: {app: {health_check: {type: http}, servers: [\"10.0.0.1:80\", \"10.0.0.2:80\"]}}";
    let mut plain = Sound::new();
    plain.config = config::parse_str("t.yaml", two, &|_| None).expect("valid");
    plain.is_told("http_beside_https");
    let everybody = "client_address: {trusted_proxies: [\"0.0.0.0/0\"]}";
    Sound::with("", everybody).is_told("everybody_is_trusted");
    let mut full = Sound::new();
    full.status.listeners[0].full = true;
    full.is_told("listener_full");
}

#[test]
fn the_instance_itself() {
    let mut sound = Sound::new();
    sound.status.changes_by = ChangesBy::Nobody;
    sound.is_told("admin_only_reads");
    let mut drained = Sound::new();
    drained.status.state = InstanceState::Draining;
    drained.is_told("instance_drained");
    let mut failed = Sound::new();
    failed.status.reload = Some(ReloadStatus {
        result: ReloadResult::Failure,
        at: timestamp(UNIX_EPOCH),
        problems: vec!["x.yaml:1: no".to_owned()],
        changes: Vec::new(),
    });
    failed.is_told("reload_failed");
}

#[test]
fn descriptors_that_run_out() {
    let share = |held, limit| DescriptorShare { held, limit };
    let mut sound = Sound::new();
    let most = sound.config.server.max_connections as u64;
    let descriptors = DescriptorStatus {
        limit: 3 * most,
        clients: share(0, most),
        servers: share(0, most),
        idle: share(0, 100),
    };
    sound.status.descriptors = Some(descriptors.clone());
    sound.is_sound();
    sound.status.descriptors = Some(DescriptorStatus {
        servers: share(86, 100),
        ..descriptors.clone()
    });
    sound.is_told("descriptors_nearly_used");
    sound.status.descriptors = Some(DescriptorStatus {
        clients: share(0, most - 1),
        ..descriptors
    });
    sound.is_told("too_few_descriptors");
}

#[test]
fn what_matters_most_comes_first() {
    let mut sound = Sound::new();
    sound.status.changes_by = ChangesBy::Nobody;
    sound.pool().available_servers = 0;
    sound.certificates = vec![certificate(3, "file")];
    let severities: Vec<_> = sound.advice().iter().map(|one| one.severity).collect();
    assert_eq!(
        severities,
        [Severity::Problem, Severity::Warning, Severity::Hint]
    );
}
