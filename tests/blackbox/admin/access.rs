//! Who may read and who may change something.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use super::{TOKEN, ask, assert_problem, start};
use crate::common::preload::SLOW_FILE;
use crate::common::*;

const SERVER: &str = "/api/v1/pools/app/servers/a";
const DRAIN: &str = "{\"state\":\"drain\"}";

/// Everything that changes something.
const CHANGES: [(&str, &str); 10] = [
    ("PATCH", SERVER),
    ("DELETE", SERVER),
    ("POST", "/api/v1/pools/app/servers/a/disconnect"),
    ("POST", "/api/v1/pools/app/servers"),
    ("DELETE", "/api/v1/pools/app/sessions?key=x"),
    ("POST", "/api/v1/certificates/renew"),
    ("POST", "/api/v1/drain"),
    ("DELETE", "/api/v1/drain"),
    ("POST", "/api/v1/reload"),
    ("POST", "/api/v1/pools/nowhere/servers"),
];

fn request(lb: &Equipoise, method: &str, target: &str, fields: &[(&str, &str)]) -> Response {
    let mut client = Client::connect(lb.admin());
    client
        .request(method, target, fields, DRAIN.as_bytes())
        .unwrap()
}

#[test]
fn without_a_token_file_the_api_only_reads() {
    let a = Origin::start("a");
    let lb = Setup::of([&a]).start();
    for (method, target) in CHANGES {
        let refused = request(&lb, method, target, &[]);
        let problem = assert_problem(&refused, 403);
        assert!(
            problem["detail"]
                .as_str()
                .unwrap()
                .contains("admin.token_file")
        );
        // A token makes no difference where none is configured.
        let refused = request(&lb, method, target, &[("Authorization", "Bearer x")]);
        assert_problem(&refused, 403);
    }
    assert_eq!(lb.admin_get(SERVER).status, 200);
    assert_eq!(lb.server("app", "a")["operator"], "ready");
}

#[test]
fn changes_need_the_token_and_reading_does_not() {
    let a = Origin::start("a");
    let lb = start(&Setup::of([&a]));
    for (method, target) in CHANGES {
        let refused = request(&lb, method, target, &[]);
        assert_problem(&refused, 401);
        let challenge = refused.header("www-authenticate").unwrap();
        assert!(challenge.starts_with("Bearer"), "{challenge}");
    }
    let wrong = [
        "Bearer wrong",
        "Bearer ",
        "Bearer",
        "Basic dXNlcjpwYXNz",
        &format!("Bearer {TOKEN}x"),
        &format!("Bearer {}", &TOKEN[..TOKEN.len() - 1]),
        &format!("Basic {TOKEN}"),
        TOKEN,
    ];
    for value in wrong {
        let fields = [("Authorization", value)];
        assert_problem(&request(&lb, "PATCH", SERVER, &fields), 401);
        // Also where none is needed, so that nobody takes it for right.
        assert_problem(&request(&lb, "GET", "/api/v1/status", &fields), 401);
    }
    for path in ["/healthz", "/readyz", "/metrics", "/", "/api/v1/status"] {
        assert_eq!(lb.admin_get(path).status, 200, "{path}");
    }
    assert_eq!(lb.server("app", "a")["operator"], "ready");
    let lower = [("authorization", &*format!("bearer {TOKEN}"))];
    assert_eq!(request(&lb, "PATCH", SERVER, &lower).status, 200);
    assert_eq!(lb.server("app", "a")["operator"], "drain");
}

#[test]
fn each_change_is_one_line_with_who_made_it() {
    let a = Origin::start("a");
    let lb = start(&Setup::of([&a]));
    assert_eq!(
        ask(&lb, "PATCH", SERVER, "{\"state\":\"drain\",\"weight\":4}").status,
        200
    );
    let lines = eventually(SOON, || {
        let log = lb.stderr();
        let lines: Vec<_> = log
            .lines()
            .filter(|line| line.contains("actor="))
            .map(str::to_owned)
            .collect();
        (!lines.is_empty()).then_some(lines)
    });
    assert_eq!(lines.len(), 1, "{lines:?}");
    for part in ["127.0.0.1:", "by token", "app/a", "state drain, weight 4"] {
        assert!(lines[0].contains(part), "{part}: {lines:?}");
    }
    assert!(!lb.stderr().contains(TOKEN));
}

#[test]
fn a_server_that_is_added_is_told_with_all_that_it_is() {
    let a = Origin::start("a");
    let lb = start(&Setup::of([&a]));
    let new = "{\"name\":\"b\",\"address\":\"127.0.0.1:9\",\"max_connections\":3,\"backup\":true,\"state\":\"maint\"}";
    assert_eq!(
        ask(&lb, "POST", "/api/v1/pools/app/servers", new).status,
        201
    );
    let told = "added at 127.0.0.1:9, weight 1, max_connections 3, backup, state maintenance";
    eventually(SOON, || lb.stderr().contains(told));
}

/// The instance gives up what a client waits for that has hung up. What it has begun to change is changed nevertheless.
#[test]
fn a_change_is_told_also_when_who_asked_for_it_has_hung_up() {
    let a = Origin::start("a");
    let dir = TempDir::new("hang-up");
    let token = dir.write("token", TOKEN);
    let kept = dir.path().join("state/overrides.json.next");
    let (library, gate) = (preload(&dir, SLOW_FILE), dir.path().join("gate"));
    let setup = Setup::of([&a]).top(&format!(
        "admin: {{bind: \"127.0.0.1:0\", token_file: {}}}\nserver: {{state_dir: {}}}",
        token.display(),
        dir.path().join("state").display()
    ));
    let environment = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("SLOW_FILE", kept.to_str().unwrap()),
        ("GATE", gate.to_str().unwrap()),
    ];
    let lb = Equipoise::start_with(&setup.yaml(), &environment);
    let authorization = format!("Bearer {TOKEN}");
    let fields = [("Authorization", &*authorization)];
    let new = "{\"name\":\"b\",\"address\":\"127.0.0.1:9\"}";
    for (method, target, body, told) in [
        ("PATCH", SERVER, "{\"weight\":7}", "weight 7"),
        (
            "POST",
            "/api/v1/pools/app/servers",
            new,
            "added at 127.0.0.1:9, weight 1",
        ),
        ("DELETE", SERVER, "", "removed"),
    ] {
        assert!(!lb.stderr().contains(told), "{told}");
        nix::unistd::mkfifo(&gate, nix::sys::stat::Mode::S_IRUSR).unwrap();
        let mut client = Client::connect(lb.admin());
        client
            .send_request(method, target, &fields, body.as_bytes())
            .unwrap();
        // Opening it to write waits for who reads: the change is in the middle of being kept.
        let shut = std::fs::OpenOptions::new().write(true).open(&gate).unwrap();
        let descriptors = lb.descriptors().len();
        drop(client);
        eventually(SOON, || lb.descriptors().len() < descriptors);
        std::fs::remove_file(&gate).unwrap();
        drop(shut);
        eventually(SOON, || {
            let log = lb.stderr();
            let mut lines = log.lines().filter(|line| line.contains("actor="));
            lines.any(|line| line.contains(told))
        });
    }
}

#[test]
fn tokens_can_be_replaced_by_a_reload() {
    let a = Origin::start("a");
    let lb = start(&Setup::of([&a]));
    std::fs::write(lb.dir().join("token"), "new-token\n").unwrap();
    assert_eq!(ask(&lb, "POST", "/api/v1/reload", "").status, 200);
    assert_problem(&ask(&lb, "PATCH", SERVER, DRAIN), 401);
    let new = [("Authorization", "Bearer new-token")];
    assert_eq!(request(&lb, "PATCH", SERVER, &new).status, 200);
    // One without a token changes nothing.
    std::fs::write(lb.dir().join("token"), "# none\n").unwrap();
    let refused = request(&lb, "POST", "/api/v1/reload", &new);
    let problem = assert_problem(&refused, 422);
    let told = problem["problems"][0].as_str().unwrap();
    assert!(
        told.contains("admin.token_file") && told.contains("no token"),
        "{told}"
    );
    assert_eq!(request(&lb, "PATCH", SERVER, &new).status, 200);
}

#[test]
fn pages_of_other_sites_are_refused() {
    let a = Origin::start("a");
    let lb = start(&Setup::of([&a]));
    let token = format!("Bearer {TOKEN}");
    let auth = ("Authorization", &*token);
    for field in [
        ("Origin", "https://evil.example"),
        ("Origin", "null"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
    ] {
        assert_problem(&request(&lb, "PATCH", SERVER, &[auth, field]), 403);
    }
    // A name that was made to point here.
    let host = ("Host", "evil.example");
    assert_problem(&request(&lb, "PATCH", SERVER, &[auth, host]), 421);
    assert_eq!(lb.server("app", "a")["operator"], "ready");
    let own = ("Origin", &*format!("http://{}", lb.admin()));
    let site = ("Sec-Fetch-Site", "same-origin");
    assert_eq!(
        request(&lb, "PATCH", SERVER, &[auth, own, site]).status,
        200
    );
}

#[test]
fn addresses_that_others_reach_need_a_token() {
    let a = Origin::start("a");
    let open = "admin: {bind: \"0.0.0.0:0\"}";
    let exit = Equipoise::run_to_exit(&Setup::of([&a]).top(open).yaml());
    assert_eq!(exit.code(), Some(2), "{exit:?}");
    assert!(exit.stderr.contains("requires a token"), "{exit:?}");

    let dir = TempDir::new("open");
    dir.write("token", TOKEN);
    let closed = "admin: {bind: \"0.0.0.0:0\", token_file: \"@DIR@/token\"}";
    let port = {
        let lb = Setup::of([&a]).top(closed).start_in(dir);
        let here = format!("127.0.0.1:{}", lb.admin().port()).parse().unwrap();
        // Its name is whatever others call it.
        let host = [("Host", "lb.example.com")];
        assert_eq!(get(here, "/api/v1/status", &host).status, 200);
        let refused = Client::connect(here).request("POST", "/api/v1/reload", &host, b"");
        assert_problem(&refused.unwrap(), 401);
        lb.admin().port()
    };
    assert!(port > 0);
}

#[test]
fn a_token_file_that_cannot_be_used_stops_the_start() {
    let a = Origin::start("a");
    let dir = TempDir::new("token");
    for (name, text) in [("empty", "\n"), ("blank", "two words\n")] {
        let path = dir.write(name, text);
        let top = format!(
            "admin: {{bind: \"127.0.0.1:0\", token_file: \"{}\"}}",
            path.display()
        );
        let exit = Equipoise::run_to_exit(&Setup::of([&a]).top(&top).yaml());
        assert_eq!(exit.code(), Some(2), "{exit:?}");
        assert!(
            exit.stderr.contains("admin.token_file: the token file"),
            "{exit:?}"
        );
    }
    let top = "admin: {bind: \"127.0.0.1:0\", token_file: /no/such/token}";
    let exit = Equipoise::run_to_exit(&Setup::of([&a]).top(top).yaml());
    assert_eq!(exit.code(), Some(2), "{exit:?}");
}

#[test]
fn a_unix_socket_is_guarded_by_its_file() {
    let a = Origin::start("a");
    let dir = TempDir::new("socket");
    let path = dir.path().join("admin.sock");
    let yaml = Setup::of([&a])
        .top(&format!("admin: {{bind: \"unix:{}\"}}", path.display()))
        .yaml();
    let file = dir.write("equipoise.yaml", &yaml);
    let log = std::fs::File::create(dir.path().join("log")).unwrap();
    let mut child = Command::new(equipoise::BINARY)
        .args(["run", "-c"])
        .arg(&file)
        .env("STATE_DIRECTORY", dir.path())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let exchange = |request: &str| {
        let mut stream = UnixStream::connect(&path).map_err(|e| e.to_string())?;
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        Ok::<_, String>(answer)
    };
    let ready = "GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    eventually(SOON, || {
        exchange(ready).is_ok_and(|answer| answer.contains(" 200 "))
    });
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let change = format!(
        "PATCH {SERVER} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{DRAIN}",
        DRAIN.len()
    );
    let answer = exchange(&change).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("\"operator\":\"drain\""), "{answer}");
    let own = format!("pid {}", std::process::id());
    eventually(SOON, || {
        let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
        log.contains(&own)
    });
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn tls_is_spoken_where_it_is_configured() {
    let (a, pki) = (Origin::start("a"), Pki::new());
    let site = pki.leaf(&["lb.example.com"]);
    let (cert, key) = (site.cert.display(), site.key.display());
    let dir = TempDir::new("tls");
    dir.write("token", TOKEN);
    let admin = format!(
        "admin: {{bind: \"127.0.0.1:0\", token_file: \"@DIR@/token\", tls: {{certificate: {{cert: {cert}, key: {key}}}}}}}"
    );
    let setup = Setup::of([&a]).top(&admin);
    let lb = Equipoise::start_early_in(dir, &setup.yaml());
    let tls = Tls::new(&pki, "lb.example.com").alpn(&["h2", "http/1.1"]);
    let mut client = tls.connect(lb.admin());
    let fields = [
        ("Host", "localhost"),
        ("Authorization", &*format!("Bearer {TOKEN}")),
    ];
    let changed = client.request("PATCH", SERVER, &fields, DRAIN.as_bytes());
    assert_eq!(changed.unwrap().status, 200);
    let listed = client.get("/api/v1/certificates", &fields).unwrap().json();
    assert_eq!(listed[0]["listener"], "admin", "{listed}");
    assert_eq!(listed[0]["names"][0], "lb.example.com", "{listed}");
    // Without TLS nothing is told.
    let plain = get(lb.admin(), "/api/v1/status", &[]);
    assert_eq!(plain.status, 400, "{plain}");
    // Renewed files are taken up.
    let other = pki.leaf(&["new.example.com"]);
    std::fs::copy(&other.key, &site.key).unwrap();
    std::fs::copy(&other.cert, &site.cert).unwrap();
    let renewed = Tls::new(&pki, "new.example.com");
    eventually(SOON, || {
        let mut client = renewed.try_connect(lb.admin()).ok()?;
        client.get("/readyz", &[("Host", "localhost")]).ok()
    });
}

#[test]
fn what_makes_no_sense_is_refused_with_its_place() {
    let a = Origin::start("a");
    for (admin, words) in [
        (
            "bind: \"unix:/tmp/x.sock\", tls: {certificate: {cert: x}}",
            "admin.tls: has no meaning",
        ),
        ("tls: {}", "admin.tls.certificates"),
        (
            "tls: {certificate: {cert: x}, alpn: [h2]}",
            "admin.tls.alpn",
        ),
        ("tls: {acme: {domains: [a.example.com]}}", "admin.tls.acme"),
    ] {
        let exit =
            Equipoise::run_to_exit(&Setup::of([&a]).top(&format!("admin: {{{admin}}}")).yaml());
        assert_eq!(exit.code(), Some(2), "{exit:?}");
        assert!(exit.stderr.contains(words), "{words}: {exit:?}");
    }
}
