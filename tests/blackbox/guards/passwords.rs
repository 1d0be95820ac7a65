//! Who may by name and password: files made by the real htpasswd, asked by the real curl, judged as by the real httpd.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::prelude::*;

use super::reload;
use crate::common::h2::H2;
use crate::common::peers::{Apache, run};
use crate::common::*;

const LISTENER: &str = "http: {keepalive_requests: 0}
routes:
  - name: staff
    match: {path_prefix: /staff}
    basic_auth: {htpasswd_file: @DIR@/htpasswd, realm: staff only}
  - name: open
    match: {path_prefix: /open}";

/// Sets a user's password, as an operator does.
fn htpasswd(file: &Path, cost: u8, name: &str, password: &str) {
    let file = file.display().to_string();
    let create = if Path::new(&file).exists() {
        "-bB"
    } else {
        "-cbB"
    };
    let cost = cost.to_string();
    run("htpasswd", &[create, "-C", &cost, &file, name, password]);
}

fn start(origin: &Origin, cost: u8, users: &[(&str, &str)]) -> Equipoise {
    let dir = TempDir::new("passwords");
    for (name, password) in users {
        htpasswd(&dir.path().join("htpasswd"), cost, name, password);
    }
    Setup::of([origin]).listener(LISTENER).start_in(dir)
}

fn basic(pair: impl AsRef<[u8]>) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(pair))
}

#[test]
fn curl_gets_in_with_name_and_password() {
    let origin = Origin::start("a");
    let lb = start(&origin, 5, &[("ann", "open sesame"), ("bob", "a:b")]);
    let status = |args: &[&str]| {
        let url = format!("http://{}/staff", lb.web());
        let mut all = vec!["-s", "-o", "/dev/null", "-w", "%{http_code}"];
        all.extend(args);
        all.push(&url);
        run("curl", &all)
    };
    assert_eq!(status(&["-u", "ann:open sesame"]), "200");
    assert_eq!(status(&["-u", "bob:a:b"]), "200");
    assert_eq!(status(&["--http2-prior-knowledge", "-u", "bob:a:b"]), "200");
    assert_eq!(
        status(&["--anyauth", "-u", "bob:a:b"]),
        "200",
        "finds out itself"
    );
    assert_eq!(status(&["-u", "ann:a:b"]), "401");
    assert_eq!(status(&["-u", "eve:open sesame"]), "401");
    assert_eq!(status(&[]), "401");
    let line = lb.wait_logged(|line| line["status"] == 401);
    assert_eq!(
        (&line["termination"], &line["route"]),
        (&"denied".into(), &"staff".into())
    );
    // The server may want to know, too.
    assert_eq!(
        origin.last_request().header("authorization"),
        Some(&*basic("bob:a:b"))
    );
}

#[test]
fn who_is_refused_is_asked_for_a_password_and_keeps_the_connection() {
    let origin = Origin::start("a");
    let lb = start(&origin, 4, &[("ann", "open")]);
    let mut client = lb.client();
    let right = basic("ann:open");
    for line in [
        None,
        Some(String::new()),
        Some("Basic".to_owned()),
        Some("Basic !!!".to_owned()),
        Some(right.replace("Basic", "Bearer")),
        Some(basic("ann")),
        Some(basic("ann:shut")),
        Some(basic(b"ann\0:open")),
        Some(basic(b"\xff\xfe:open")),
        Some(basic(format!("ann:{}", "x".repeat(3000)))),
    ] {
        let fields: Vec<_> = line.iter().map(|line| ("Authorization", &**line)).collect();
        for (method, body) in [("GET", &b""[..]), ("POST", b"a body"), ("HEAD", b"")] {
            let refused = client.request(method, "/staff", &fields, body).unwrap();
            assert_eq!(refused.status, 401, "{method} {line:?}");
            assert_eq!(
                refused.headers_of("www-authenticate"),
                ["Basic realm=\"staff only\", charset=\"UTF-8\""]
            );
        }
        assert_eq!(client.get("/open", &[]).unwrap().status, 200, "{line:?}");
    }
    let twice = [("Authorization", &*right), ("Authorization", &*right)];
    assert_eq!(client.get("/staff", &twice).unwrap().status, 401);
    assert_eq!(client.get("/staff", &twice[..1]).unwrap().status, 200);
    assert_eq!(
        H2::connect(lb.web()).get("/staff", &[]).unwrap().status,
        401
    );
}

#[test]
fn it_judges_as_httpd_does() {
    let long = "0123456789".repeat(8);
    let users = [
        ("ann", "open sesame"),
        ("bob", "b:c:"),
        ("empty", ""),
        ("long", &*long),
        ("jürgen", "straße"),
        ("Case", "Case"),
    ];
    let origin = Origin::start("a");
    let lb = start(&origin, 4, &users);
    let file = lb.dir().join("htpasswd").display().to_string();
    let modules = ["authn_core", "authn_file", "auth_basic", "authz_user"]
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"));
    let httpd = Apache::origin(
        "httpd",
        &format!(
            "{}<Location />\nAuthType Basic\nAuthName staff\nAuthBasicProvider file\n\
             AuthUserFile \"{file}\"\nRequire valid-user\n</Location>\nErrorDocument 404 ok",
            modules.concat()
        ),
    );
    let of = |to, fields: &[(&str, &str)]| match get(to, "/staff", fields).status {
        401 => "refused",
        // httpd has no such file, but says so only to users.
        200 | 404 => "granted",
        other => panic!("{other}"),
    };
    let mut lines: Vec<String> = users
        .iter()
        .flat_map(|(name, password)| {
            [
                basic(format!("{name}:{password}")),
                basic(format!("{name}:{password} ")),
                basic(format!("{name}:")),
                basic(format!("{}:{password}", name.to_uppercase())),
            ]
        })
        .collect();
    for length in [71, 72, 73, 79] {
        lines.push(basic(format!("long:{}", &long[..length])));
    }
    lines.extend(
        [
            "basic YW5uOm9wZW4gc2VzYW1l",
            "BASIC YW5uOm9wZW4gc2VzYW1l",
            "Basic   YW5uOm9wZW4gc2VzYW1l",
            "Basic YW5uOm9wZW4gc2VzYW1l   ",
            "Bearer YW5uOm9wZW4gc2VzYW1l",
            "Digest YW5uOm9wZW4gc2VzYW1l",
            "YW5uOm9wZW4gc2VzYW1l",
            // empty: and bob:b:c:, the latter without its padding, too; and no colon.
            "Basic ZW1wdHk6",
            "Basic Ym9iOmI6Yzo",
            "Basic Ym9iOmI6Yzo=",
            "Basic YW5u",
            "Basic ",
            "Basic",
        ]
        .map(str::to_owned),
    );
    let mut seen = Vec::new();
    for line in &lines {
        let fields = [("Authorization", &**line)];
        let (ours, theirs) = (of(lb.web(), &fields), of(httpd.address(), &fields));
        assert_eq!(ours, theirs, "{line}");
        seen.push(ours);
    }
    assert!(seen.contains(&"granted") && seen.contains(&"refused"));
    assert_eq!(of(lb.web(), &[]), of(httpd.address(), &[]));
}

#[test]
fn a_flood_of_wrong_passwords_disturbs_nobody() {
    let origin = Origin::start("a");
    let lb = start(&origin, 7, &[("ann", "open")]);
    let right = basic("ann:open");
    let known = [("Authorization", &*right)];
    assert_eq!(lb.get("/staff", &known).status, 200);
    let (tried, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let slowest = std::thread::scope(|scope| {
        for thread in 0..20 {
            let (lb, tried, over) = (&lb, &tried, &over);
            scope.spawn(move || {
                let mut client = lb.client();
                client.set_timeout(Duration::from_secs(60));
                for n in 0..10 {
                    let name = if n % 2 == 0 { "ann" } else { "eve" };
                    let wrong = basic(format!("{name}:{thread}-{n}"));
                    let asked = client.get("/staff", &[("Authorization", &*wrong)]);
                    let asked = asked.unwrap();
                    assert!([401, 503].contains(&asked.status), "{}", asked.status);
                    if tried.fetch_add(1, Ordering::Relaxed) == 199 {
                        over.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
        let mut client = lb.client();
        let mut slowest = Duration::ZERO;
        let mut rounds = 0;
        while !over.load(Ordering::Relaxed) {
            let begun = Instant::now();
            assert_eq!(client.get("/open", &[]).unwrap().status, 200);
            assert_eq!(client.get("/staff", &known).unwrap().status, 200);
            slowest = slowest.max(begun.elapsed());
            rounds += 1;
        }
        assert!(rounds > 5, "only {rounds} rounds meanwhile");
        slowest
    });
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    assert_eq!(tried.into_inner(), 200);
}

#[test]
fn more_than_can_be_tried_are_told_to_come_again() {
    let origin = Origin::start("a");
    let lb = start(&origin, 12, &[("ann", "open")]);
    let mut clients: Vec<Client> = (0..100)
        .map(|n| {
            let mut client = lb.client();
            let wrong = basic(format!("ann:{n}"));
            let fields = [("Authorization", &*wrong)];
            client.send_request("GET", "/staff", &fields, b"").unwrap();
            client.set_timeout(Duration::from_millis(20));
            client
        })
        .collect();
    let told = eventually(SOON, || {
        let mut answers = clients
            .iter_mut()
            .filter_map(|client| client.read_response(false).ok());
        answers.find(|answer| answer.status == 503)
    });
    assert!(told.header("retry-after").is_some(), "{told:?}");
    assert!(!told.has_token("connection", "close"));
    assert_eq!(lb.get("/open", &[]).status, 200);
    assert_eq!(
        lb.wait_logged(|line| line["status"] == 503)["termination"],
        "limit"
    );
}

#[test]
fn a_changed_file_counts_from_the_reload_on() {
    let origin = Origin::start("a");
    let lb = start(&origin, 4, &[("ann", "old")]);
    let status = |pair: &str| lb.get("/staff", &[("Authorization", &*basic(pair))]).status;
    assert_eq!([status("ann:old"), status("ann:new")], [200, 401]);
    let file = lb.dir().join("htpasswd");
    htpasswd(&file, 4, "ann", "new");
    let yaml = Setup::of([&origin]).listener(LISTENER).yaml();
    reload(&lb, &yaml);
    assert_eq!([status("ann:old"), status("ann:new")], [401, 200]);
    htpasswd(&file, 4, "bob", "in");
    reload(&lb, &yaml);
    assert_eq!([status("ann:new"), status("bob:in")], [200, 200]);
    // One that is broken is refused as a whole.
    std::fs::write(&file, "ann:plain\n").unwrap();
    reload(&lb, &yaml);
    assert_eq!([status("ann:new"), status("ann:plain")], [200, 401]);
}

#[test]
fn a_changed_file_is_noticed() {
    let origin = Origin::start("a");
    let dir = TempDir::new("watched");
    htpasswd(&dir.path().join("htpasswd"), 4, "ann", "old");
    let lb = Setup::of([&origin])
        .listener(LISTENER)
        .top("server: {watch_config: true, state_dir: \"@DIR@/state\"}")
        .start_in(dir);
    let status = |pair: &str| lb.get("/staff", &[("Authorization", &*basic(pair))]).status;
    assert_eq!([status("ann:old"), status("bob:in")], [200, 401]);
    htpasswd(&lb.dir().join("htpasswd"), 4, "bob", "in");
    eventually(SOON, || status("bob:in") == 200);
}

#[test]
fn an_answer_of_the_routes_own_is_guarded_too() {
    let origin = Origin::start("a");
    let dir = TempDir::new("passwords");
    htpasswd(&dir.path().join("htpasswd"), 4, "ann", "open");
    let lb = Setup::of([&origin])
        .listener(
            "routes:
  - match: {path: /respond}
    basic_auth: {htpasswd_file: @DIR@/htpasswd}
    respond: {status: 200, body: secret}
  - match: {path: /redirect}
    basic_auth: {htpasswd_file: @DIR@/htpasswd}
    redirect: {status: 302, to: https://secret.example/}",
        )
        .start_in(dir);
    let right = basic("ann:open");
    for (path, status) in [("/respond", 200), ("/redirect", 302)] {
        let refused = lb.get(path, &[]);
        assert_eq!(refused.status, 401);
        assert!(refused.header("location").is_none() && !refused.text().contains("secret"));
        assert_eq!(lb.get(path, &[("Authorization", &*right)]).status, status);
    }
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_name() {
    let origin = Origin::start("a");
    let dir = TempDir::new("passwords");
    let file = dir.path().join("htpasswd");
    htpasswd(&file, 4, "ann", "open");
    let text = std::fs::read_to_string(&file).unwrap();
    dir.write("htpasswd", &format!("\u{feff}{text}"));
    let lb = Setup::of([&origin]).listener(LISTENER).start_in(dir);
    let status = |pair: &str| {
        let field = [("Authorization", &*basic(pair))];
        lb.get("/staff", &field).status
    };
    assert_eq!(status("ann:open"), 200);
    assert_eq!(status("\u{feff}ann:open"), 401);
}
