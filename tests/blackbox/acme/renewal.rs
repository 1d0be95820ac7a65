//! A certificate is renewed by itself, and never at the cost of the one in use.

use std::time::Duration;

use super::node::{LONG, Node, Storage, names, serial, served};
use super::orders;
use crate::common::peers::{Authority, Nginx, Pebble, run};
use crate::common::*;

/// Short enough to see renewals, long enough for one on a busy machine.
const VALIDITY: Duration = Duration::from_secs(12);

#[test]
fn a_certificate_is_renewed_while_it_is_valid_and_is_there_all_the_time() {
    let (port, storage) = (ReservedPort::new(), Storage::new());
    let pebble = Authority::asking_at(&port).validity(VALIDITY).start();
    let node = Node::at(&port).obtaining(&["www.example.com"], &pebble, &storage);
    let lb = node.start();
    let first = eventually(LONG, || storage.certificate("www.example.com"));
    let second = eventually(LONG, || {
        let now = storage
            .certificate("www.example.com")
            .expect("a whole certificate at any time");
        (serial(&now) != serial(&first)).then_some(now)
    });
    // Taken up by the listener, without a reload.
    let to = lb.address("secure0");
    eventually(SOON, || {
        served(to, "www.example.com").map(|now| serial(&now)) != Some(serial(&first))
    });
    // Before the first one ended.
    assert!(second.not_before() < first.not_after());
    assert!(second.not_after() > first.not_after());
    assert_ne!(
        first.public_key().unwrap().public_key_to_der().unwrap(),
        second.public_key().unwrap().public_key_to_der().unwrap(),
        "a new key each time"
    );
    assert_eq!(pebble.accounts(), 1, "the account is kept");
    eventually(SOON, || orders(&lb, "success") >= 2.0);
    assert_eq!(orders(&lb, "failure"), 0.0);
}

#[test]
fn an_authority_that_is_away_leaves_the_certificate_in_use() {
    let (port, storage) = (ReservedPort::new(), Storage::new());
    let mut pebble = Authority::asking_at(&port).validity(VALIDITY).start();
    let node = Node::at(&port).obtaining(&["www.example.com"], &pebble, &storage);
    let mut lb = node.start();
    let before = eventually(LONG, || storage.certificate("www.example.com"));
    pebble.kill();
    eventually(LONG, || orders(&lb, "failure") >= 1.0);
    let log = lb.stderr();
    assert!(
        log.contains("ACME: www.example.com: not renewed: cannot connect to the authority"),
        "{log}"
    );
    assert!(log.contains("the one in use is valid until"), "{log}");
    let now = storage.certificate("www.example.com").unwrap();
    assert_eq!(serial(&now), serial(&before));
    let serving = served(lb.address("secure0"), "www.example.com");
    assert_eq!(serving.map(|now| serial(&now)), Some(serial(&before)));
    assert_eq!(lb.get("/", &[]).origin(), "a");
    assert!(lb.is_running());
}

#[test]
fn names_that_are_added_by_a_reload_are_obtained_and_the_old_certificate_serves_meanwhile() {
    let (port, storage) = (ReservedPort::new(), Storage::new());
    let pebble = Authority::asking_at(&port).start();
    let node = Node::at(&port).obtaining(&["www.example.com"], &pebble, &storage);
    let lb = node.start();
    let before = eventually(LONG, || storage.certificate("www.example.com"));
    // While the authority can't issue, too.
    pebble.signal(nix::sys::signal::Signal::SIGSTOP);
    let more = Node::at(&port).obtaining(&["www.example.com", "example.com"], &pebble, &storage);
    lb.rewrite(&more.yaml());
    lb.signal(nix::sys::signal::Signal::SIGHUP);
    let sites = eventually(SOON, || {
        let sites = storage.sites("www.example.com");
        (sites.len() == 2).then_some(sites)
    });
    for site in &sites {
        let pem = std::fs::read(site).unwrap();
        let serving = openssl::x509::X509::from_pem(&pem).unwrap();
        assert_eq!(serial(&serving), serial(&before));
    }
    pebble.signal(nix::sys::signal::Signal::SIGCONT);
    eventually(LONG, || {
        sites.iter().any(|site| {
            let pem = std::fs::read(site).unwrap();
            let certificate = openssl::x509::X509::from_pem(&pem).unwrap();
            names(&certificate) == ["example.com", "www.example.com"]
        })
    });
    assert_eq!(pebble.orders(), 2);
}

#[test]
fn the_authority_may_want_a_renewal_earlier() {
    let (port, storage) = (ReservedPort::new(), Storage::new());
    // By itself it would be renewed after forty seconds.
    let pebble = Authority::asking_at(&port)
        .validity(Duration::from_secs(60))
        .start();
    let authority = Advising::start(&pebble, "2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z");
    let more = format!(
        "ca: {}, storage: {}",
        pebble.ca().display(),
        storage.path().display()
    );
    let node = Node::at(&port).with(&["www.example.com"], &authority.directory(), &more);
    let lb = node.start();
    let first = eventually(LONG, || storage.certificate("www.example.com"));
    let second = eventually(LONG, || {
        let now = storage.certificate("www.example.com")?;
        (serial(&now) != serial(&first)).then_some(now)
    });
    let apart = first.not_before().diff(second.not_before()).unwrap();
    assert!(
        (apart.days, apart.secs) < (0, 30),
        "renewed after {apart:?}"
    );
    // But not at once, time and again.
    assert!(
        (apart.days, apart.secs) >= (0, 5),
        "renewed after {apart:?}"
    );
    assert_eq!(orders(&lb, "failure"), 0.0);
    let asked = authority.asked();
    let serial = serial(&first);
    // RFC 9773 section 4.1: key identifier and serial number, in base64url.
    let id = asked.rsplit('/').next().unwrap_or_default();
    let (_, number) = id
        .split_once('.')
        .unwrap_or_else(|| panic!("not an id: {asked}"));
    let number = base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, number).unwrap();
    let number: String = number.iter().map(|byte| format!("{byte:02X}")).collect();
    assert_eq!(
        number.trim_start_matches("00"),
        serial.trim_start_matches("00")
    );
}

/// Pebble behind nginx, which adds what Debian's Pebble lacks: an opinion on renewal (RFC 9773).
struct Advising(Nginx);

impl Advising {
    #[track_caller]
    fn start(pebble: &Pebble, from: &str, to: &str) -> Self {
        let directory = run("curl", &["--silent", "--insecure", &pebble.directory()]);
        let mut directory: serde_json::Value = serde_json::from_str(&directory).unwrap();
        directory["renewalInfo"] =
            format!("https://localhost:{}/renewal-info", pebble.address().port()).into();
        let own = pebble.address().port().to_string();
        // nginx can't be asked for its port before it runs; it knows it itself.
        let directory = directory
            .to_string()
            .replace(&format!("localhost:{own}"), "$http_host");
        let files = pebble.dir.path().display();
        Self(Nginx::start(&format!(
            r#"server {{
                listen @PORT@ ssl;
                ssl_certificate {files}/cert.pem;
                ssl_certificate_key {files}/key.pem;
                location = /dir {{ default_type application/json; return 200 '{directory}'; }}
                location /renewal-info/ {{
                    access_log @DIR@/asked.log;
                    add_header Retry-After 21600;
                    default_type application/json;
                    return 200 '{{"suggestedWindow": {{"start": "{from}", "end": "{to}"}}}}';
                }}
                location / {{ proxy_pass https://{}; proxy_set_header Host $http_host; }}
            }}"#,
            pebble.address()
        )))
    }

    fn directory(&self) -> String {
        format!("https://localhost:{}/dir", self.0.address().port())
    }

    /// The path by which it was asked first.
    #[track_caller]
    fn asked(&self) -> String {
        let line = self
            .0
            .wait_line("asked.log", |line| line.contains("/renewal-info/"));
        let path = line
            .split(' ')
            .find(|word| word.starts_with("/renewal-info/"));
        path.unwrap_or_default().to_owned()
    }
}
