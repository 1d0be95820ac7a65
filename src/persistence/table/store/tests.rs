//! Tables with a real redis-server behind them. Two tables are two nodes.

use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::{X509, X509NameBuilder};
use redis::AsyncCommands as _;

use super::server::{Server, free_port, until, until_async};
use super::*;
use crate::config::model;
use crate::persistence::table::{Answer, SessionTable, TableMetrics, TableSettings};

/// Longer than any machine needs to answer, for tests that are not about time.
const PATIENCE: Duration = Duration::from_secs(5);
/// What an operator would have.
const TIMEOUT: Duration = Duration::from_millis(50);
const IDLE: u64 = 3600;

/// Any server is right.
struct Any;

impl endpoint::Judge for Any {
    async fn judge(
        &self,
        _: &mut redis::aio::MultiplexedConnection,
    ) -> Result<(), complaint::Wrong> {
        Ok(())
    }
}

/// A table, as one node has it.
struct Node {
    table: Arc<SessionTable>,
    metrics: TableMetrics,
}

impl Node {
    fn new(url: &str, timeout: Duration) -> Self {
        Self::with_idle(url, timeout, IDLE)
    }

    fn with_idle(url: &str, timeout: Duration, idle: u64) -> Self {
        let metrics = TableMetrics::default();
        let settings = TableSettings {
            size: 1000,
            idle: Duration::from_secs(idle),
            max_lifetime: None,
            store: &model::Store::Redis(RedisStore {
                url: url.to_owned(),
                timeout,
            }),
        };
        let table = SessionTable::new(&settings, "pool", metrics.clone());
        table.start(&Handle::current());
        Self { table, metrics }
    }

    async fn up(self) -> Self {
        until("the store is in use", || self.metrics.store.up.get() == 1).await;
        self
    }

    async fn get(&self, key: SessionKey, now: Moment) -> Answer {
        self.table.get(key, now, &mut Waited::default()).await
    }

    async fn bind(&self, key: SessionKey, server: &str, now: Moment) -> Binding {
        let waited = &mut Waited::default();
        self.table.bind(key, &server.into(), now, waited).await
    }

    async fn rebind(&self, key: SessionKey, from: &str, to: &str, now: Moment) -> Binding {
        let waited = &mut Waited::default();
        self.table.rebind(key, from, &to.into(), now, waited).await
    }

    /// The server that the session is bound to, as this node has it.
    async fn server(&self, key: SessionKey, now: Moment) -> Option<String> {
        match self.get(key, now).await {
            Answer::Known(binding) => Some(binding.server.to_string()),
            Answer::Unknown | Answer::Expired => None,
        }
    }
}

fn key(n: u8) -> SessionKey {
    SessionKey::from_bytes([n; 16])
}

fn name(n: u8) -> String {
    format!("equipoise:pool:{}", format!("{n:02x}").repeat(16))
}

fn now() -> Moment {
    Moment::now()
}

fn later(seconds: u64) -> Moment {
    Moment(now().0 + u32::try_from(seconds).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_nodes_that_bind_one_session_one_wins_and_both_follow() {
    let redis = Server::start(&[]).await;
    let a = Node::new(&redis.url(), PATIENCE).up().await;
    let b = Node::new(&redis.url(), PATIENCE).up().await;
    for n in 0..200 {
        let (at, key) = (now(), key(n));
        let (one, other) = tokio::join!(a.bind(key, "x", at), b.bind(key, "y", at));
        assert_eq!(one.server, other.server);
        for node in [&a, &b] {
            assert_eq!(node.server(key, at).await.as_deref(), Some(&*one.server));
        }
    }
    assert_eq!(
        a.metrics.store.timeouts.get() + a.metrics.store.errors.get(),
        0
    );
}

#[tokio::test]
async fn a_session_that_another_node_bound_is_known_and_its_value_is_plain() {
    let redis = Server::start(&[]).await;
    let a = Node::new(&redis.url(), PATIENCE).up().await;
    let b = Node::new(&redis.url(), PATIENCE).up().await;
    let at = now();
    assert_eq!(b.get(key(1), at).await, Answer::Unknown);
    let bound = a.bind(key(1), "tomcat1", at).await;
    assert_eq!(b.server(key(1), later(1)).await.as_deref(), Some("tomcat1"));
    assert_eq!(&*bound.server, "tomcat1");
    let mut client = redis.client().await;
    let value: String = client.get(name(1)).await.unwrap();
    let (began, server) = value.split_once(' ').unwrap();
    let (clock, _): (u64, u64) = redis::cmd("TIME").query_async(&mut client).await.unwrap();
    assert!(
        clock.abs_diff(began.parse().unwrap()) < 60,
        "{value} at {clock}"
    );
    assert_eq!(server, "tomcat1");
    let ttl: u64 = client.ttl(name(1)).await.unwrap();
    assert!((IDLE - 10..=IDLE).contains(&ttl), "{ttl}");
    assert_eq!(
        (b.metrics.store.hits.get(), b.metrics.store.misses.get()),
        (1, 1)
    );
}

#[tokio::test]
async fn a_known_session_costs_no_round_trip_and_a_used_one_is_refreshed() {
    let redis = Server::start(&[]).await;
    let node = Node::new(&redis.url(), PATIENCE).up().await;
    let mut client = redis.client().await;
    let at = now();
    node.bind(key(1), "a", at).await;
    // What it is bound with counts as told only once the store was asked again.
    let _: () = client.expire(name(1), 10).await.unwrap();
    let (hits, misses) = (
        node.metrics.store.hits.get(),
        node.metrics.store.misses.get(),
    );
    for _ in 0..100 {
        assert_eq!(node.server(key(1), at).await.as_deref(), Some("a"));
    }
    assert_eq!(
        (
            node.metrics.store.hits.get(),
            node.metrics.store.misses.get()
        ),
        (hits, misses)
    );
    assert!(
        client.ttl::<_, u64>(name(1)).await.unwrap() <= 10,
        "refreshed at every use"
    );
    node.get(key(1), Moment(at.0 + 6)).await;
    until_async("the TTL is refreshed", async || {
        client.ttl::<_, u64>(name(1)).await.unwrap() > 10
    })
    .await;
}

#[tokio::test]
async fn a_session_expires_in_the_store_and_both_agree() {
    let redis = Server::start(&[]).await;
    let node = Node::with_idle(&redis.url(), PATIENCE, 1).up().await;
    let other = Node::with_idle(&redis.url(), PATIENCE, 1).up().await;
    let mut client = redis.client().await;
    node.bind(key(1), "a", now()).await;
    until_async("it expires", async || {
        !client.exists::<_, bool>(name(1)).await.unwrap()
    })
    .await;
    assert_eq!(other.get(key(1), now()).await, Answer::Unknown);
    assert_eq!(node.get(key(1), later(5)).await, Answer::Expired);
}

#[tokio::test]
async fn a_session_that_is_idle_here_but_used_elsewhere_lives() {
    let redis = Server::start(&[]).await;
    let a = Node::new(&redis.url(), PATIENCE).up().await;
    let b = Node::new(&redis.url(), PATIENCE).up().await;
    a.bind(key(1), "a", now()).await;
    b.get(key(1), later(IDLE)).await;
    assert_eq!(
        a.server(key(1), later(IDLE + 100)).await.as_deref(),
        Some("a")
    );
}

#[tokio::test]
async fn a_lifetime_ends_in_the_store_too() {
    let redis = Server::start(&[]).await;
    let node = Node::new(&redis.url(), PATIENCE).up().await;
    let mut client = redis.client().await;
    let store = model::Store::Redis(RedisStore {
        url: redis.url(),
        timeout: PATIENCE,
    });
    node.table.reconfigure(&TableSettings {
        size: 1000,
        idle: Duration::from_secs(IDLE),
        max_lifetime: Some(Duration::from_secs(100)),
        store: &store,
    });
    let at = now();
    node.bind(key(1), "a", at).await;
    assert!(client.ttl::<_, u64>(name(1)).await.unwrap() <= 101);
    assert_eq!(node.get(key(1), later(101 + 1)).await, Answer::Expired);
    let anew = node.bind(key(1), "b", later(102)).await;
    assert_eq!(&*anew.server, "b", "what is too old must not win");
}

#[tokio::test]
async fn rebinding_compares_with_what_the_store_knows() {
    let redis = Server::start(&[]).await;
    let a = Node::new(&redis.url(), PATIENCE).up().await;
    let b = Node::new(&redis.url(), PATIENCE).up().await;
    let at = now();
    a.bind(key(1), "x", at).await;
    b.get(key(1), at).await;
    let moved = a.rebind(key(1), "x", "y", later(1)).await;
    assert_eq!(&*moved.server, "y");
    assert_eq!(&*b.rebind(key(1), "x", "z", later(1)).await.server, "y");
    assert_eq!(b.server(key(1), later(1)).await.as_deref(), Some("y"));
}

#[tokio::test]
async fn a_move_by_another_node_is_noticed_after_some_seconds() {
    let redis = Server::start(&[]).await;
    let a = Node::new(&redis.url(), PATIENCE).up().await;
    let b = Node::new(&redis.url(), PATIENCE).up().await;
    let at = now();
    a.bind(key(1), "x", at).await;
    b.get(key(1), at).await;
    a.rebind(key(1), "x", "y", later(1)).await;
    assert_eq!(b.server(key(1), later(1)).await.as_deref(), Some("x"));
    until_async("it is noticed", async || {
        b.server(key(1), later(10)).await.as_deref() == Some("y")
    })
    .await;
}

#[tokio::test]
async fn what_is_learnt_and_forgotten_is_told_in_the_background_in_order() {
    let redis = Server::start(&[]).await;
    let a = Node::new(&redis.url(), PATIENCE).up().await;
    let mut client = redis.client().await;
    let at = now();
    for server in ["x", "y", "z"] {
        a.table.put(key(1), &server.into(), at);
    }
    a.table.put(key(2), &"x".into(), at);
    a.table.forget(key(2));
    until_async("it is told", async || {
        client
            .get::<_, Option<String>>(name(1))
            .await
            .unwrap()
            .is_some_and(|value| value.ends_with(" z"))
    })
    .await;
    until_async("it is forgotten", async || {
        !client.exists::<_, bool>(name(2)).await.unwrap()
    })
    .await;
}

#[tokio::test]
async fn rubbish_in_the_store_is_as_nothing() {
    let redis = Server::start(&[]).await;
    let node = Node::new(&redis.url(), PATIENCE).up().await;
    let mut client = redis.client().await;
    for (n, rubbish) in [(1, "rubbish"), (2, ""), (3, "12"), (4, "x y"), (5, "\u{0}")] {
        let _: () = client.set(name(n), rubbish).await.unwrap();
        assert_eq!(node.get(key(n), now()).await, Answer::Unknown);
        assert_eq!(&*node.bind(key(n), "a", now()).await.server, "a");
    }
    // A value of another type is an error that harms nobody else.
    let _: () = client.lpush(name(6), "x").await.unwrap();
    assert_eq!(node.get(key(6), now()).await, Answer::Unknown);
    assert_eq!(&*node.bind(key(6), "a", now()).await.server, "a");
    assert_eq!(node.metrics.store.up.get(), 1);
    assert_eq!(node.metrics.store.errors.get(), 2);
}

#[tokio::test]
async fn a_script_that_was_flushed_is_loaded_again() {
    let redis = Server::start(&[]).await;
    let node = Node::new(&redis.url(), PATIENCE).up().await;
    let mut client = redis.client().await;
    node.bind(key(1), "a", now()).await;
    let _: () = redis::cmd("SCRIPT")
        .arg("FLUSH")
        .query_async(&mut client)
        .await
        .unwrap();
    node.bind(key(2), "a", now()).await;
    assert!(client.exists::<_, bool>(name(2)).await.unwrap());
}

#[tokio::test]
async fn a_paused_store_costs_one_wait_and_no_session() {
    let redis = Server::start(&[]).await;
    let node = Node::new(&redis.url(), TIMEOUT).up().await;
    let at = now();
    node.bind(key(1), "a", at).await;
    redis.pause();
    let store = &node.metrics.store;
    // Two hundred requests in a row: the first waits (or a PING has, in the background), the others don't.
    for n in 10..210 {
        assert_eq!(node.server(key(1), at).await.as_deref(), Some("a"));
        assert_eq!(node.get(key(n), at).await, Answer::Unknown);
        assert_eq!(&*node.bind(key(n), "b", at).await.server, "b");
    }
    assert!(store.timeouts.get() <= 1, "{} waits", store.timeouts.get());
    assert!(
        store.skipped.get() >= 399,
        "{} skipped",
        store.skipped.get()
    );
    until("it is out of use", || store.up.get() == 0).await;
    redis.resume();
    until("it is in use again", || store.up.get() == 1).await;
    // And hears of what was bound meanwhile.
    let mut client = redis.client().await;
    until_async("it is told", async || {
        node.table.expire(now(), 1000);
        client.exists::<_, bool>(name(209)).await.unwrap()
    })
    .await;
    let other = Node::new(&redis.url(), PATIENCE).up().await;
    assert_eq!(other.server(key(209), at).await.as_deref(), Some("b"));
}

/// What is logged, by this thread alone.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn count(&self, what: &str) -> usize {
        String::from_utf8_lossy(&self.0.lock())
            .matches(what)
            .count()
    }
}

#[tokio::test]
async fn an_outage_is_logged_once_and_its_end_once_without_the_password() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .finish();
    // With one subscriber alone, tracing believes a thread without one that a line interests nobody.
    let _another = tracing::Dispatch::new(tracing_subscriber::fmt().finish());
    let _logging = tracing::subscriber::set_default(subscriber);
    let mut redis = Server::start(&["--requirepass", "geheim"]).await;
    let url = format!("redis://:geheim@127.0.0.1:{}", redis.port);
    let node = Node::new(&url, PATIENCE).up().await;
    redis.kill();
    let store = &node.metrics.store;
    until("it is out of use", || store.up.get() == 0).await;
    for n in 0..20 {
        node.bind(key(n), "a", now()).await;
    }
    // Several attempts to connect are refused meanwhile.
    let refusing = std::net::TcpListener::bind(("127.0.0.1", redis.port)).unwrap();
    let attempts = tokio::task::spawn_blocking(move || {
        for _ in 0..3 {
            drop(refusing.accept().unwrap());
        }
    });
    attempts.await.unwrap();
    redis.restart().await;
    until("it is in use again", || store.up.get() == 1).await;
    // That is told when it has lasted for a moment.
    until("it is told", || log.count("in use again") > 0).await;
    let text = String::from_utf8_lossy(&log.0.lock()).into_owned();
    assert_eq!(
        (log.count("is away"), log.count("in use again")),
        (1, 1),
        "{text}"
    );
    assert_eq!(log.count("geheim"), 0);
}

#[tokio::test]
async fn a_request_waits_no_longer_than_its_patience_in_all() {
    let redis = Server::start(&[]).await;
    let node = Node::new(&redis.url(), PATIENCE).up().await;
    redis.pause();
    // As if it had waited already: nothing is left.
    let mut waited = Waited(PATIENCE);
    for n in 0..50 {
        let answer = node.table.get(key(n), now(), &mut waited).await;
        assert_eq!(answer, Answer::Unknown);
    }
    assert!(waited.0 < PATIENCE + Duration::from_secs(2), "{waited:?}");
    redis.resume();
}

#[tokio::test]
async fn a_store_that_ends_is_lived_without_and_told_everything_when_it_is_back() {
    let mut redis = Server::start(&[]).await;
    let node = Node::new(&redis.url(), TIMEOUT).up().await;
    let at = now();
    node.bind(key(1), "a", at).await;
    redis.kill();
    let store = &node.metrics.store;
    until("it is out of use", || store.up.get() == 0).await;
    assert_eq!(node.server(key(1), at).await.as_deref(), Some("a"));
    assert_eq!(&*node.bind(key(2), "b", at).await.server, "b");
    assert_eq!(&*node.rebind(key(1), "a", "c", later(1)).await.server, "c");
    redis.restart().await;
    until("it is in use again", || store.up.get() == 1).await;
    let mut client = redis.client().await;
    until_async("it is told", async || {
        node.table.expire(now(), 1000);
        client.exists::<_, bool>(name(1)).await.unwrap()
            && client.exists::<_, bool>(name(2)).await.unwrap()
    })
    .await;
    let other = Node::new(&redis.url(), PATIENCE).up().await;
    assert_eq!(other.server(key(1), at).await.as_deref(), Some("c"));
}

#[tokio::test]
async fn after_an_outage_the_later_binding_counts_on_every_node() {
    let redis = Server::start(&[]).await;
    let a = Node::new(&redis.url(), TIMEOUT).up().await;
    let b = Node::new(&redis.url(), TIMEOUT).up().await;
    let at = now();
    a.bind(key(1), "x", at).await;
    b.get(key(1), at).await;
    redis.pause();
    until("both have noticed", || {
        a.metrics.store.up.get() + b.metrics.store.up.get() == 0
    })
    .await;
    a.rebind(key(1), "x", "y", later(1)).await;
    b.rebind(key(1), "x", "z", later(9)).await;
    redis.resume();
    // Each look is as if some seconds had passed since the one before, so that the store is asked again.
    let mut seconds = 20;
    until_async("both agree", async || {
        seconds += 10;
        a.table.expire(now(), 1000);
        b.table.expire(now(), 1000);
        let at = later(seconds);
        a.server(key(1), at).await.as_deref() == Some("z")
            && b.server(key(1), at).await.as_deref() == Some("z")
    })
    .await;
}

#[tokio::test]
async fn a_store_that_is_not_there_yet_is_found_later() {
    let port = free_port();
    let node = Node::new(&format!("redis://127.0.0.1:{port}"), TIMEOUT);
    assert_eq!(&*node.bind(key(1), "a", now()).await.server, "a");
    let redis = Server::start(&[]).await;
    let store = model::Store::Redis(RedisStore {
        url: redis.url(),
        timeout: TIMEOUT,
    });
    node.table.reconfigure(&TableSettings {
        size: 10,
        idle: Duration::from_secs(IDLE),
        max_lifetime: None,
        store: &store,
    });
    let node = node.up().await;
    let mut client = redis.client().await;
    until_async("it is told", async || {
        node.table.expire(now(), 1000);
        client.exists::<_, bool>(name(1)).await.unwrap()
    })
    .await;
    node.table.reconfigure(&TableSettings {
        size: 10,
        idle: Duration::from_secs(IDLE),
        max_lifetime: None,
        store: &model::Store::Memory,
    });
    assert_eq!(node.server(key(1), now()).await.as_deref(), Some("a"));
    until("its connection is gone", || {
        node.metrics.store.up.get() == 0
    })
    .await;
}

#[tokio::test]
async fn a_request_waits_for_the_first_connection() {
    let redis = Server::start(&[]).await;
    let first = Node::new(&redis.url(), PATIENCE).up().await;
    first.bind(key(1), "a", now()).await;
    // Not `up()`: the table was made this moment.
    let second = Node::new(&redis.url(), PATIENCE);
    assert_eq!(second.server(key(1), now()).await.as_deref(), Some("a"));
}

#[tokio::test]
async fn logs_in_and_selects_a_database_by_tcp_and_by_socket() {
    let redis = Server::start(&["--requirepass", "p@ss:word"]).await;
    let socket = redis.socket();
    let urls = [
        format!("redis://:p%40ss%3Aword@127.0.0.1:{}/3", redis.port),
        format!("unix://{}?db=3&pass=p%40ss%3Aword", socket.display()),
    ];
    let by_tcp = Node::new(&urls[0], PATIENCE).up().await;
    let by_socket = Node::new(&urls[1], PATIENCE).up().await;
    by_tcp.bind(key(1), "a", now()).await;
    assert_eq!(by_socket.server(key(1), now()).await.as_deref(), Some("a"));

    let other_database = Node::new(&urls[0].replace("/3", "/4"), PATIENCE).up().await;
    assert_eq!(other_database.get(key(1), now()).await, Answer::Unknown);

    let wrong = Node::new(&format!("redis://:wrong@127.0.0.1:{}", redis.port), TIMEOUT);
    assert_eq!(wrong.get(key(1), now()).await, Answer::Unknown);
    assert_eq!(wrong.metrics.store.up.get(), 0);
}

#[tokio::test]
async fn a_store_that_refuses_to_write_is_out_of_use_until_it_takes_writes() {
    let redis = Server::start(&["--maxmemory", "1", "--maxmemory-policy", "noeviction"]).await;
    let node = Node::new(&redis.url(), PATIENCE);
    assert_eq!(&*node.bind(key(1), "a", now()).await.server, "a");
    assert_eq!(node.server(key(1), now()).await.as_deref(), Some("a"));
    assert_eq!(node.metrics.store.up.get(), 0);
    let mut client = redis.client().await;
    let set = redis::cmd("CONFIG").arg(&["SET", "maxmemory", "0"]).clone();
    set.query_async::<()>(&mut client).await.unwrap();
    let node = node.up().await;
    until_async("it is told", async || {
        node.table.expire(now(), 1000);
        client.exists::<_, bool>(name(1)).await.unwrap()
    })
    .await;
}

/// A certificate for 127.0.0.1 that nobody signed but itself, and its key.
fn certificate(directory: &std::path::Path) {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let mut subject = X509NameBuilder::new().unwrap();
    subject.append_entry_by_text("CN", "redis").unwrap();
    let subject = subject.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_subject_name(&subject).unwrap();
    builder.set_issuer_name(&subject).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder
        .set_not_before(&Asn1Time::days_from_now(0).unwrap())
        .unwrap();
    builder
        .set_not_after(&Asn1Time::days_from_now(1).unwrap())
        .unwrap();
    let names = SubjectAlternativeName::new()
        .ip("127.0.0.1")
        .build(&builder.x509v3_context(None, None))
        .unwrap();
    builder.append_extension(names).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    let certificate = builder.build().to_pem().unwrap();
    std::fs::write(directory.join("cert.pem"), certificate).unwrap();
    std::fs::write(
        directory.join("key.pem"),
        key.private_key_to_pem_pkcs8().unwrap(),
    )
    .unwrap();
}

#[tokio::test]
async fn speaks_tls_and_believes_only_who_it_should() {
    let directory = tempfile::tempdir().unwrap();
    certificate(directory.path());
    let file = |name: &str| directory.path().join(name).display().to_string();
    let options = [
        "--tls-cert-file",
        &file("cert.pem"),
        "--tls-key-file",
        &file("key.pem"),
        "--tls-auth-clients",
        "no",
    ];
    let redis = Server::start(&options).await;
    let url = format!("rediss://127.0.0.1:{}", redis.port);

    let unknown = Endpoint::parse(&url)
        .unwrap()
        .connect(&Any)
        .await
        .err()
        .unwrap();
    assert!(unknown.contains("certificate"), "{unknown}");

    let mut trusting = Endpoint::parse(&url).unwrap();
    trusting.trust(&directory.path().join("cert.pem"));
    let mut link = trusting.connect(&Any).await.unwrap();
    redis::cmd("PING")
        .query_async::<()>(&mut link.connection)
        .await
        .unwrap();

    let mut elsewhere = Endpoint::parse(&url.replace("127.0.0.1", "localhost")).unwrap();
    elsewhere.trust(&directory.path().join("cert.pem"));
    assert!(
        elsewhere.connect(&Any).await.is_err(),
        "the name is another"
    );

    let node = Node::new(&format!("{url}#insecure"), PATIENCE).up().await;
    node.bind(key(1), "a", now()).await;
    assert!(
        redis
            .client()
            .await
            .exists::<_, bool>(name(1))
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn a_connection_of_a_task_that_was_begun_again_has_a_number_of_its_own() {
    let redis = Server::start(&[]).await;
    let settings = RedisStore {
        url: redis.url(),
        timeout: PATIENCE,
    };
    let idle = Duration::from_secs(IDLE);
    let local = Arc::new(Local::new(1000, idle, None, TableMetrics::default()));
    let metrics = StoreMetrics::default();
    let attached = Attached::new(&settings, &"pool".into(), local, metrics.clone()).unwrap();
    let store = &attached.0;
    let first = tokio::spawn(link::keep(Arc::clone(store)));
    until("the store is in use", || metrics.up.get() == 1).await;
    let (before, _) = store.connection().await.unwrap();
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let _second = tokio::spawn(link::keep(Arc::clone(store)));
    until("the store is in use again", || metrics.up.get() == 1).await;
    let (after, _) = store.connection().await.unwrap();
    assert_ne!(before, after);
    // A request that has waited on the first one until now.
    store.lost(before, "late");
    assert!(store.connection().await.is_some());
}
