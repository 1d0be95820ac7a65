//! What a request costs, counted: instructions, allocations, looks at the clock, and system calls on sockets. Clocks tell
//! nothing on a machine that does other things; counts are the same everywhere, so a change that makes requests dearer is
//! seen here.
//!
//! The binary is that of the tests, without optimisation, under callgrind: its counts aren't those of a release, but they
//! grow with them. What it should cost is in `costs/recorded.json`; `make record-costs` writes that anew.

mod callgrind;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::common::h2::H2;
use crate::common::peers::Nginx;
use crate::common::*;
use callgrind::{Callgrind, Counts};

/// How often each number of requests is counted.
const RUNS: u32 = 3;
/// A number of requests, and how many more there are in another run: what these cost counts.
const FEW: u32 = 4;
const REQUESTS: u32 = 16;

/// How many requests come before: connections, buffers and caches are there then.
const WARM_UP: u32 = 10;

/// What one request costs.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Cost {
    /// Instructions of the debug binary.
    instructions: f64,
    /// Allocations by Rust code, those that grow another one included.
    allocations: f64,
    /// Looks at the clock.
    clock: f64,
    /// Reads from sockets.
    reads: f64,
    /// Writes to sockets.
    writes: f64,
}

impl Cost {
    /// What a request costs, of which there were [`REQUESTS`] more in the second run.
    fn between(few: Counts, many: Counts) -> Self {
        let each = |count: fn(&Counts) -> u64| {
            count(&many).saturating_sub(count(&few)) as f64 / f64::from(REQUESTS)
        };
        Self {
            instructions: each(|c| c.instructions).round(),
            allocations: each(|c| c.allocations),
            clock: each(|c| c.clock),
            reads: each(|c| c.reads),
            writes: each(|c| c.writes),
        }
    }

    /// What is beyond the recorded cost by more than runs and machines differ: the slower a machine, the more timers a request meets
    /// that aren't shared with another one, and the more often its thread goes to sleep in between. Looks at the clock differ too
    /// much for that, and are there to be read.
    fn beyond(&self, recorded: &Self) -> Vec<String> {
        let limits = [
            (
                "instructions",
                self.instructions,
                recorded.instructions * 1.15,
            ),
            (
                "allocations",
                self.allocations,
                recorded.allocations * 1.06 + 2.0,
            ),
            ("reads", self.reads, recorded.reads + 0.4),
            ("writes", self.writes, recorded.writes + 0.4),
        ];
        limits
            .into_iter()
            .filter(|(_, now, most)| now > most)
            .map(|(what, now, most)| format!("{now} {what}, at most {most} by the record"))
            .collect()
    }

    /// Whether the record is so old that it would hide what is lost again.
    fn is_far_below(&self, recorded: &Self) -> bool {
        self.instructions < recorded.instructions * 0.75
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            instructions,
            allocations,
            clock,
            reads,
            writes,
        } = self;
        write!(
            f,
            "{instructions} instructions, {allocations} allocations, {clock} looks at the clock, {reads} reads, {writes} writes"
        )
    }
}

fn record() -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/blackbox/costs/recorded.json"
    ))
}

#[test]
fn a_request_costs_what_is_recorded() {
    let costs = measure();
    if std::env::var_os("EQUIPOISE_RECORD_COSTS").is_some() {
        let text = serde_json::to_string_pretty(&costs).unwrap();
        fs::write(record(), text + "\n").unwrap();
        return;
    }
    let text = fs::read_to_string(record()).unwrap();
    let recorded: BTreeMap<String, Cost> = serde_json::from_str(&text).unwrap();
    let mut problems = Vec::new();
    for (name, cost) in &costs {
        println!("{name}: {cost}");
        let Some(then) = recorded.get(name) else {
            problems.push(format!("{name}: not recorded yet"));
            continue;
        };
        for what in cost.beyond(then) {
            problems.push(format!("{name}: {what}"));
        }
        if cost.is_far_below(then) {
            problems.push(format!(
                "{name}: far below what is recorded ({}), which is well, but should be recorded",
                then.instructions
            ));
        }
    }
    assert!(
        problems.is_empty(),
        "{}\n`make record-costs` records what it costs now",
        problems.join("\n")
    );
}

/// Each kind of request, by its name.
fn measure() -> BTreeMap<String, Cost> {
    let origin = Nginx::start(&format!(
        "keepalive_requests 1000000; server {{ listen @PORT@; location / {{ return 200 '{}'; }} }}",
        "x".repeat(1024),
    ));
    let pki = Pki::new();
    let leaf = pki.leaf(&["a.test"]);
    let run = Callgrind::start(&configuration(&origin.address().to_string(), &leaf));
    let mut costs = BTreeMap::new();
    let mut note = |name: &str, cost: Cost| {
        costs.insert(name.to_owned(), cost);
    };

    let mut client = Client::connect(run.address("plain"));
    note("http1", run.cost(|| ask(&mut client, &[])));

    let mut client = Client::connect(run.address("everything"));
    let cookie = session(&mut client);
    let mut fields = BROWSER.to_vec();
    fields.push(("Cookie", &cookie));
    note("http1_everything", run.cost(|| ask(&mut client, &fields)));

    let tls = Tls::new(&pki, "a.test");
    let mut client = tls.connect(run.address("tls"));
    note("http1_tls", run.cost(|| ask(&mut client, &[])));

    let client = H2::connect(run.address("plain"));
    note(
        "http2",
        run.cost(|| {
            let response = client.get("/shop/1", &[]).unwrap();
            assert_eq!(response.status, 200);
        }),
    );

    let to = run.address("plain");
    note(
        "http1_short",
        run.cost(|| ask(&mut Client::connect(to), &[("Connection", "close")])),
    );
    costs
}

fn ask(client: &mut Client, fields: &[(&str, &str)]) {
    client.set_timeout(SOON * 6);
    let response = client.get("/shop/1", fields).unwrap();
    assert_eq!(response.status, 200);
    assert_eq!(response.body.len(), 1024);
}

/// The cookie of a session, as name=value.
fn session(client: &mut Client) -> String {
    let response = client.get("/shop/1", &[]).unwrap();
    let (_, cookie) = response
        .headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("set-cookie"))
        .unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

/// What Chromium sends for a page, about.
const BROWSER: &[(&str, &str)] = &[
    ("sec-ch-ua", r#""Chromium";v="130", "Not?A_Brand";v="99""#),
    ("sec-ch-ua-mobile", "?0"),
    ("sec-ch-ua-platform", r#""Linux""#),
    ("Upgrade-Insecure-Requests", "1"),
    (
        "User-Agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",
    ),
    (
        "Accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    ),
    ("Sec-Fetch-Site", "same-origin"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Dest", "document"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Accept-Language", "en-US,en;q=0.9,de;q=0.8"),
];

fn configuration(origin: &str, leaf: &Issued) -> String {
    let (cert, key) = (leaf.cert.display(), leaf.key.display());
    format!(
        "
server: {{threads: 1}}
logging: {{level: warn, access_log: {{path: '@DIR@/access.log', format: combined}}}}
listeners:
  look: {{bind: '127.0.0.1:0', protocol: tcp, pool: plain}}
  plain: {{bind: '127.0.0.1:0', pool: plain, http: {{keepalive_requests: 0}}}}
  tls:
    bind: 127.0.0.1:0
    protocol: https
    pool: plain
    http: {{keepalive_requests: 0}}
    tls: {{certificates: [{{cert: '{cert}', key: '{key}'}}]}}
  everything:
    bind: 127.0.0.1:0
    pool: bound
    http: {{keepalive_requests: 0}}
    routes:
      - {{match: {{path_prefix: /api}}, pool: plain}}
      - {{match: {{path_prefix: /static}}, pool: plain}}
      - {{match: {{path_prefix: /shop}}, pool: bound}}
pools:
  plain: {{servers: [{{name: one, address: '{origin}'}}], health_check: null}}
  bound:
    servers: [{{name: one, address: '{origin}'}}]
    health_check: null
    persistence: {{type: cookie_insert, timeout: 1h}}
"
    )
}
