//! The configurations that are shipped in `conf/`, run as they are but for their addresses.

use std::collections::BTreeMap;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::common::*;

/// A file of `conf/`, with its servers (ports 8081 and up) replaced by these.
fn shipped(file: &str, origins: &[Origin]) -> String {
    let path = format!("{}/conf/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let text = text
        .replace("0.0.0.0:8080", "127.0.0.1:0")
        .replace("127.0.0.1:9900", "127.0.0.1:0")
        .replace("admin: {}", "admin: {bind: \"127.0.0.1:0\"}");
    origins.iter().enumerate().fold(text, |text, (n, origin)| {
        let old = format!("127.0.0.1:{}", 8081 + n);
        assert!(text.contains(&old), "{file} has no {old}");
        text.replace(&old, &origin.address().to_string())
    })
}

fn origins(n: usize) -> Vec<Origin> {
    (1..=n)
        .map(|n| Origin::start(&format!("server{n}")))
        .collect()
}

/// Runs a shipped file and waits until the first checks have found all servers up.
#[track_caller]
fn start(file: &str, origins: &[Origin]) -> Equipoise {
    let lb = Equipoise::start(&shipped(file, origins));
    wait_up(&lb, origins.len());
    lb
}

#[track_caller]
fn wait_up(lb: &Equipoise, servers: usize) {
    eventually(SOON, || {
        let status = lb.status();
        let servers_of = |pool: &serde_json::Value| pool["servers"].as_array().cloned();
        let all: Vec<_> = status["pools"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(servers_of)
            .collect();
        let up = all.iter().flatten().filter(|s| s["state"] == "up").count();
        if up == servers {
            Ok(())
        } else {
            Err(format!("{status:#}"))
        }
    });
}

fn shares(lb: &Equipoise, requests: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..requests {
        *counts
            .entry(lb.get("/", &[]).origin().to_owned())
            .or_default() += 1;
    }
    counts
}

fn hold(lb: &Equipoise, n: usize) -> Vec<Client> {
    let to = lb.web();
    (0..n)
        .map(|_| {
            let mut client = Client::connect(to);
            client.send_request("GET", "/", &[], b"").unwrap();
            client
        })
        .collect()
}

#[track_caller]
fn wait_held(origins: &[Origin], wanted: &[usize]) {
    eventually(SOON, || {
        let held: Vec<_> = origins.iter().map(Origin::held).collect();
        if held == wanted {
            Ok(())
        } else {
            Err(format!("{held:?}, not {wanted:?}"))
        }
    });
}

#[test]
fn minimal() {
    let origins = origins(2);
    let lb = start("minimal.yaml", &origins);
    assert_eq!(shares(&lb, 10).into_values().collect::<Vec<_>>(), [5, 5]);
}

#[test]
fn scenario_1_equal_servers() {
    let origins = origins(3);
    let lb = start("scenario-1-equal-servers.yaml", &origins);
    assert_eq!(
        shares(&lb, 30).into_values().collect::<Vec<_>>(),
        [10, 10, 10]
    );
}

#[test]
fn scenario_2_added_server() {
    let origins = origins(3);
    origins.iter().for_each(|o| o.script(|_| Answer::held()));
    let whole = shipped("scenario-2-added-server.yaml", &origins);
    let two: String = whole
        .lines()
        .filter(|l| !l.contains("name: server3"))
        .map(|l| format!("{l}\n"))
        .collect();
    let play = |slow_start: &str| {
        let with = |yaml: &str| yaml.replace("slow_start: 30s", slow_start);
        let lb = Equipoise::start(&with(&two));
        wait_up(&lb, 2);
        let clients = hold(&lb, 100);
        wait_held(&origins, &[50, 50, 0]);
        lb.rewrite(&with(&whole));
        lb.signal(Signal::SIGHUP);
        wait_up(&lb, 3);
        (lb, clients)
    };

    // At once: everything new goes to the third until all have 50.
    let (lb, mut clients) = play("slow_start: 0s");
    clients.extend(hold(&lb, 50));
    wait_held(&origins, &[50, 50, 50]);
    clients.extend(hold(&lb, 3));
    wait_held(&origins, &[51, 51, 51]);
    drop(clients);
    wait_held(&origins, &[0, 0, 0]);
    lb.wait_idle();

    // As shipped: at a tenth of its weight five are its share, and more only as time goes by.
    let (lb, mut clients) = play("slow_start: 300s");
    clients.extend(hold(&lb, 5));
    wait_held(&origins, &[50, 50, 5]);
    clients.extend(hold(&lb, 20));
    eventually(SOON, || {
        origins.iter().map(Origin::held).sum::<usize>() == 125
    });
    assert!(
        origins[2].held() < 12,
        "{} on the cold server",
        origins[2].held()
    );
}

#[test]
fn scenario_3_unequal_servers() {
    let origins = origins(4);
    let lb = start("scenario-3-unequal-servers.yaml", &origins);
    for _ in 0..3 {
        assert_eq!(
            shares(&lb, 12).into_values().collect::<Vec<_>>(),
            [6, 3, 2, 1]
        );
    }
}

#[test]
fn scenario_4_overloaded_server() {
    let origins = origins(12);
    for (n, origin) in origins.iter().enumerate() {
        let delay = if n == 11 { 200 } else { 4 };
        origin.quiet();
        origin.script(move |_| Answer::after(Duration::from_millis(delay)));
    }
    let lb = start("scenario-4-overloaded-server.yaml", &origins);
    let to = lb.web();
    std::thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert_eq!(get(to, "/", &[]).status, 200);
                }
            });
        }
    });
    lb.wait_idle();
    let served: Vec<_> = origins.iter().map(Origin::served).collect();
    assert_eq!(served.iter().sum::<usize>(), 480);
    // Round robin would have given it 40, and have had them all wait there.
    assert!(served[11] <= 20, "{served:?}");
    assert!(
        origins[11].most_in_flight() <= 3,
        "{}",
        origins[11].most_in_flight()
    );
}

#[test]
fn scenario_5_long_connections() {
    let origins = origins(3);
    origins.iter().for_each(|o| o.script(|_| Answer::held()));
    let lb = start("scenario-5-long-connections.yaml", &origins);
    let clients = hold(&lb, 70);
    wait_held(&origins, &[40, 20, 10]);
    drop(clients);
    wait_held(&origins, &[0, 0, 0]);
    lb.wait_idle();
}

#[test]
fn cookie_insert() {
    let origins = origins(2);
    let lb = start("cookie-insert.yaml", &origins);
    let first = lb.get("/", &[]);
    let cookie = format!("SERVERID={}", first.cookie("SERVERID").unwrap());
    for _ in 0..6 {
        assert_eq!(lb.get("/", &[("Cookie", &cookie)]).origin(), first.origin());
    }
}

#[test]
fn routes() {
    let origins = origins(5);
    let conf = concat!(env!("CARGO_MANIFEST_DIR"), "/conf/htpasswd");
    let yaml = shipped("routes.yaml", &origins)
        .replace("htpasswd_file: htpasswd", &format!("htpasswd_file: {conf}"));
    let lb = Equipoise::start(&yaml);
    wait_up(&lb, 5);

    let moved = lb.get("/cart?a=1", &[("Host", "www.shop.example")]);
    assert_eq!(moved.status, 301);
    assert_eq!(
        moved.header("location"),
        Some("http://shop.example/cart?a=1")
    );
    assert!(lb.get("/robots.txt", &[]).text().contains("Disallow"));

    let demo = ("Authorization", "Basic ZGVtbzpkZW1v");
    assert_eq!(lb.get("/admin/users", &[]).status, 401);
    let admin = lb.get("/admin/users", &[demo]);
    assert_eq!(admin.status, 200);
    let behind = origins.iter().find(|o| o.name() == admin.origin()).unwrap();
    assert_eq!(behind.last_request().header("authorization"), None);

    let statuses: Vec<_> = (0..7)
        .map(|_| lb.client().request("POST", "/login", &[], b"").unwrap())
        .map(|answer| answer.status)
        .collect();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429, 429]);
    assert_eq!(lb.get("/login", &[]).status, 200);

    let tester = lb.get("/api/orders", &[("X-Canary", "1")]);
    assert_eq!(tester.origin(), "server4");
    assert_eq!(origins[3].last_request().target, "/orders");
    let of_twenty: Vec<_> = (0..40)
        .map(|_| lb.get("/api/orders?x=1", &[]).origin().to_owned())
        .collect();
    let canaries = of_twenty.iter().filter(|origin| *origin == "server4");
    assert_eq!(canaries.count(), 2, "{of_twenty:?}");
    assert_eq!(origins[2].last_request().target, "/orders?x=1");

    let asset = lb.get("/static/app.3f2a.css", &[]);
    assert_eq!(asset.origin(), "server5");
    assert_eq!(
        asset.header("cache-control"),
        Some("public, max-age=31536000, immutable")
    );
    assert!(lb.get("/", &[]).cookie("SERVERID").is_some());
    lb.wait_idle();
}

#[test]
fn a_path_lies_in_one_cache() {
    let origins = origins(3);
    let lb = start("consistent-hash.yaml", &origins);
    for n in 0..20 {
        let ask = || {
            // Who is busy gets help at the bound.
            lb.wait_idle_servers();
            lb.get(&format!("/image{n}.png"), &[]).origin().to_owned()
        };
        let first = ask();
        assert_eq!((ask(), ask()), (first.clone(), first));
    }
    assert!(origins.iter().all(|origin| origin.served() > 0));
}

#[test]
fn a_server_that_fails_some_requests_is_taken_out() {
    let origins = origins(3);
    let asked = std::sync::atomic::AtomicUsize::new(0);
    origins[1].script(
        move |_| match asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) % 2 {
            0 => Answer::status(500),
            _ => Answer::ok(),
        },
    );
    let lb = start("passive-detection.yaml", &origins);
    eventually(SOON * 2, || {
        for _ in 0..50 {
            lb.get("/", &[]);
        }
        let ejected = [("server", "app2")];
        lb.metrics().sum("equipoise_ejections_total", &ejected) == 1.0
    });
}

#[test]
fn an_agent_gets_its_clients_back() {
    let set = |request: &Request| match request.target.as_str() {
        "/initialize" => Answer::ok().header("Mcp-Session-Id", "a-session"),
        _ => Answer::ok(),
    };
    let origins = ["server1", "server2"].map(|name| Origin::with(name, set));
    let lb = start("learn-header.yaml", &origins);
    let server = lb.get("/initialize", &[]).origin().to_owned();
    for _ in 0..4 {
        let response = lb.get("/", &[("mcp-session-id", "a-session")]);
        assert_eq!(response.origin(), server);
    }
}
