//! Over real sockets, with a client that shows what is on the wire.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, UNIX_EPOCH};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;

use super::control::{
    CertificateStatus, Later, NewServer, Renewal, ServerChange, ServerPath, SessionStatus,
    SessionsStatus,
};
use super::status::{
    ChangesBy, LatencyPercentiles, OperatorState, ReloadStatus, ResponseClasses, ServerSource,
};
use super::status::{CheckResult, CheckStatus, InstanceState, ListenerStatus, PoolStatus};
use super::status::{ServerStatus, timestamp};
use super::*;
use crate::config::model::AdminBind;
use crate::observe::ServerState;
use crate::observe::refused::Refused;
use crate::observe::{History, Metrics};

struct Fake {
    ready: Result<(), String>,
    metrics: Arc<Metrics>,
}

impl View for Fake {
    fn status(&self) -> Status {
        let server = ServerStatus {
            name: "a".to_owned(),
            address: "127.0.0.1:8001".to_owned(),
            server_address: Some("127.0.0.1:8001".to_owned()),
            state: ServerState::Down,
            reason: "connect to 127.0.0.1:8001 refused (nothing listens there)".to_owned(),
            since: UNIX_EPOCH,
            weight: 3,
            effective_weight: 0.0,
            backup: false,
            active: 1,
            max_connections: 0,
            requests: 10,
            errors: 2,
            latency: None,
            last_check: Some(CheckStatus {
                result: CheckResult::Failure,
                reason: "refused".to_owned(),
                at: timestamp(UNIX_EPOCH + Duration::from_millis(1500)),
                duration_ms: 0.5,
            }),
            operator: OperatorState::Ready,
            source: ServerSource::File,
            overridden: Vec::new(),
        };
        let responses = ResponseClasses {
            informational: 0,
            successful: 8,
            redirection: 0,
            client_error: 0,
            server_error: 2,
        };
        Status {
            version: "1.2.3".to_owned(),
            pid: 42,
            started: timestamp(UNIX_EPOCH),
            uptime: 1.5,
            state: InstanceState::Running,
            changes_by: ChangesBy::Nobody,
            latency_percentiles: None,
            descriptors: None,
            reload: None,
            certificates_refused: Vec::new(),
            predecessor: None,
            listeners: vec![ListenerStatus {
                name: "web".to_owned(),
                protocol: "http".to_owned(),
                addresses: vec!["0.0.0.0:80".to_owned()],
                pool: "app".to_owned(),
                connections_active: 1,
                connections_total: 2,
                max_connections: 0,
                connections_delayed: 0,
                rejected: BTreeMap::new(),
                tls_handshakes_failed: None,
                full: false,
                requests: 3,
                errors: 1,
                error_reasons: BTreeMap::from([("no_server", 1)]),
                unserved: 1,
                refused: 0,
            }],
            pools: vec![PoolStatus {
                name: "app".to_owned(),
                algorithm: "weighted_round_robin".to_owned(),
                available_servers: 0,
                active: 1,
                capacity: None,
                queue_length: 0,
                queue_size: 0,
                queue_refused_lately: 0,
                requests: 10,
                errors: 2,
                error_reasons: BTreeMap::from([("no_server", 1), ("server_reset", 1)]),
                unserved: 1,
                responses,
                retries: 0,
                latency_percentiles: Some(LatencyPercentiles {
                    p50: 0.1,
                    p95: 0.2,
                    p99: 0.25,
                }),
                persistence: None,
                servers: vec![server],
                removed: Vec::new(),
            }],
        }
    }

    fn history(&self, after: u64) -> HistoryStatus {
        History::default().after(after).into()
    }

    fn advice(&self) -> Vec<Advice> {
        Vec::new()
    }

    fn ready(&self) -> Result<(), String> {
        self.ready.clone()
    }

    fn refresh(&self) {
        self.metrics.server("app", "a").active.set(7);
    }
}

/// What isn't tried here: the black-box tests have the real one.
fn not_here<T>() -> Result<T, ApiError> {
    Err(ApiError::not_found("not here"))
}

impl Control for Fake {
    fn server(&self, _: &ServerPath) -> Result<(ServerStatus, Etag), ApiError> {
        not_here()
    }
    fn change_server(
        &self,
        _: &ServerPath,
        _: &ServerChange,
        _: &Precondition,
    ) -> Result<(), ApiError> {
        not_here()
    }
    fn add_server(&self, _: &str, _: &NewServer) -> Result<(), ApiError> {
        not_here()
    }
    fn remove_server(&self, _: &ServerPath, _: &Precondition) -> Result<(), ApiError> {
        not_here()
    }
    fn disconnect(&self, _: &ServerPath) -> Result<usize, ApiError> {
        not_here()
    }
    fn sessions(&self, _: &str) -> Result<SessionsStatus, ApiError> {
        not_here()
    }
    fn find_session<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
    ) -> Later<'a, Result<SessionStatus, ApiError>> {
        Box::pin(async { not_here() })
    }
    fn forget_session<'a>(&'a self, _: &'a str, _: &'a str) -> Later<'a, Result<(), ApiError>> {
        Box::pin(async { not_here() })
    }
    fn certificates(&self) -> Vec<CertificateStatus> {
        Vec::new()
    }
    fn renew(&self, _: Option<&str>) -> Result<Vec<Renewal>, ApiError> {
        not_here()
    }
    fn refused(&self) -> Vec<Refused> {
        Vec::new()
    }
    fn drain(&self, _: Duration) -> Result<(), ApiError> {
        Ok(())
    }
    fn resume(&self) -> Result<(), ApiError> {
        Ok(())
    }
    fn reload(&self) -> Later<'_, Result<ReloadStatus, ApiError>> {
        Box::pin(async { not_here() })
    }
    fn configuration(&self) -> Result<String, ApiError> {
        not_here()
    }
    fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }
}

/// A served admin listener.
struct Served {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<io::Result<()>>,
}

fn state(ready: Result<(), String>) -> State {
    State {
        control: Arc::new(Fake {
            ready,
            metrics: Metrics::new(UNIX_EPOCH),
        }),
        access: Arc::new(ArcSwap::from_pointee(Access { tokens: None })),
        tls: Arc::default(),
        stop: CancellationToken::new(),
    }
}

fn start(ready: Result<(), String>) -> Served {
    let listener = bind(&AdminBind::Tcp("127.0.0.1:0".parse().expect("an address")));
    let listener = listener.expect("bound");
    let address = listener.tcp_address().expect("TCP");
    let state = state(ready);
    let stop = state.stop.clone();
    let task = tokio::spawn(serve(listener, state));
    Served {
        address,
        stop,
        task,
    }
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    #[track_caller]
    fn has(&self, line: &str) {
        let found = self
            .head
            .lines()
            .any(|header| header.eq_ignore_ascii_case(line));
        assert!(found, "no {line:?} in\n{}", self.head);
    }
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> Answer {
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("received");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a header");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .expect("a status");
    Answer {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

async fn ask(served: &Served, method: &str, path: &str, host: &str) -> Answer {
    let stream = TcpStream::connect(served.address).await.expect("connected");
    let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    exchange(stream, &request).await
}

async fn get(served: &Served, path: &str) -> Answer {
    ask(served, "GET", path, "localhost").await
}

#[tokio::test]
async fn health_and_readiness() {
    let served = start(Ok(()));
    let answer = get(&served, "/healthz").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok\n"));
    let answer = get(&served, "/readyz").await;
    assert_eq!(answer.status, 200);
    let served = start(Err("stopping".to_owned()));
    let answer = get(&served, "/readyz").await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (503, "not ready: stopping\n")
    );
    assert_eq!(get(&served, "/healthz").await.status, 200);
}

#[tokio::test]
async fn metrics_are_refreshed_and_rendered() {
    let served = start(Ok(()));
    let answer = get(&served, "/metrics").await;
    assert_eq!(answer.status, 200);
    answer.has("content-type: text/plain; version=0.0.4; charset=utf-8");
    assert!(answer.body.contains("equipoise_build_info{"));
    assert!(
        answer
            .body
            .contains("equipoise_server_active{pool=\"app\",server=\"a\"} 7")
    );
}

#[tokio::test]
async fn status_is_json_with_the_documented_names() {
    let served = start(Ok(()));
    let answer = get(&served, "/api/v1/status").await;
    assert_eq!(answer.status, 200);
    answer.has("content-type: application/json");
    answer.has("cache-control: no-store");
    let server = serde_json::json!({
                "name": "a", "address": "127.0.0.1:8001", "server_address": "127.0.0.1:8001", "state": "down",
                "reason": "connect to 127.0.0.1:8001 refused (nothing listens there)",
                "since": "1970-01-01T00:00:00.000Z", "weight": 3, "effective_weight": 0.0,
                "backup": false, "active": 1, "max_connections": 0, "requests": 10,
                "errors": 2, "latency": null,
                "last_check": {
                    "result": "failure", "reason": "refused", "at": "1970-01-01T00:00:01.500Z",
                    "duration_ms": 0.5,
                },
                "operator": "ready", "source": "file", "overridden": [],
    });
    let expected = serde_json::json!({
        "version": "1.2.3", "pid": 42, "started": "1970-01-01T00:00:00.000Z",
        "uptime": 1.5, "state": "running", "changes_by": "nobody", "latency_percentiles": null, "descriptors": null,
        "reload": null, "certificates_refused": [], "predecessor": null,
        "listeners": [{
            "name": "web", "protocol": "http", "addresses": ["0.0.0.0:80"], "pool": "app",
            "connections_active": 1, "connections_total": 2, "max_connections": 0, "connections_delayed": 0,
            "rejected": {}, "tls_handshakes_failed": null, "full": false,
            "requests": 3, "errors": 1, "error_reasons": {"no_server": 1}, "unserved": 1, "refused": 0,
        }],
        "pools": [{
            "name": "app", "algorithm": "weighted_round_robin", "available_servers": 0,
            "active": 1, "capacity": null, "queue_length": 0, "queue_size": 0, "queue_refused_lately": 0,
            "requests": 10, "errors": 2, "error_reasons": {"no_server": 1, "server_reset": 1}, "unserved": 1,
            "responses": {"1xx": 0, "2xx": 8, "3xx": 0, "4xx": 0, "5xx": 2}, "retries": 0,
            "latency_percentiles": {"p50": 0.1, "p95": 0.2, "p99": 0.25}, "persistence": null,
            "servers": [server],
            "removed": [],
        }],
    });
    assert_eq!(answer.json(), expected);
}

#[tokio::test]
async fn the_dashboard_allows_its_own_script_and_nothing_else() {
    let served = start(Ok(()));
    let answer = get(&served, "/").await;
    assert_eq!(answer.status, 200);
    answer.has("content-type: text/html; charset=utf-8");
    answer.has("x-content-type-options: nosniff");
    answer.has("x-frame-options: DENY");
    let policy = answer
        .head
        .lines()
        .find(|line| line.starts_with("content-security-policy: "));
    let policy = policy.expect("a policy");
    assert!(
        policy.contains("default-src 'none'; script-src 'sha256-"),
        "{policy}"
    );
    assert!(
        policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert!(answer.body.starts_with("<!doctype html>"));
}

#[tokio::test]
async fn head_has_no_body() {
    let served = start(Ok(()));
    for path in [
        "/",
        "/healthz",
        "/readyz",
        "/metrics",
        "/api/v1/status",
        "/nothing",
    ] {
        let answer = ask(&served, "HEAD", path, "localhost").await;
        assert_eq!(
            answer.status,
            if path == "/nothing" { 404 } else { 200 },
            "{path}"
        );
        assert_eq!(answer.body, "", "{path}");
    }
}

#[tokio::test]
async fn errors_are_problem_documents() {
    let served = start(Ok(()));
    let answer = get(&served, "/api/v1/nothing").await;
    assert_eq!(answer.status, 404);
    answer.has("content-type: application/problem+json");
    assert_eq!(answer.json()["status"], 404);
    assert_eq!(answer.json()["title"], "Not Found");
    assert_eq!(answer.json()["type"], "about:blank");
    let answer = ask(&served, "POST", "/api/v1/status", "localhost").await;
    assert_eq!(answer.status, 405);
    answer.has("allow: GET,HEAD");
    answer.has("content-type: application/problem+json");
}

#[tokio::test]
async fn a_foreign_name_is_turned_away_on_loopback() {
    let served = start(Ok(()));
    for path in ["/", "/metrics", "/api/v1/status", "/nothing"] {
        let answer = ask(&served, "GET", path, "evil.example").await;
        assert_eq!(answer.status, 421, "{path}");
        assert!(!answer.body.contains("tomcat"));
        answer.has("content-type: application/problem+json");
    }
    let address = served.address.to_string();
    assert_eq!(ask(&served, "GET", "/healthz", &address).await.status, 200);
}

#[tokio::test]
async fn a_unix_socket_serves_the_same_and_goes_at_the_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("admin.sock");
    let listener = bind(&AdminBind::Unix(path.clone())).expect("bound");
    let state = state(Ok(()));
    let stop = state.stop.clone();
    let task = tokio::spawn(serve(listener, state));
    let stream = UnixStream::connect(&path).await.expect("connected");
    let request = "GET /healthz HTTP/1.1\r\nHost: whatever\r\nConnection: close\r\n\r\n";
    assert_eq!(exchange(stream, request).await.status, 200);
    stop.cancel();
    task.await.expect("no panic").expect("served");
    assert!(!path.exists());
}

#[tokio::test]
async fn the_end_waits_for_nobody_long() {
    let served = start(Ok(()));
    let mut idle = TcpStream::connect(served.address).await.expect("connected");
    let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    idle.write_all(request.as_bytes()).await.expect("sent");
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.expect("answered");
    // Another that never ends its request.
    let mut slow = TcpStream::connect(served.address).await.expect("connected");
    slow.write_all(b"GET /healthz HTTP/1.1\r\n")
        .await
        .expect("sent");
    served.stop.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(6), served.task).await;
    ended.expect("in time").expect("no panic").expect("served");
}
