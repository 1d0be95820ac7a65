//! `token: name` for those who come from HAProxy with its clients: `cookie … insert … maxidle … maxlife …` adds dates.

use std::collections::BTreeSet;
use std::time::SystemTime;

use super::*;
use crate::common::peers::Haproxy;

fn ours(origins: &[Origin]) -> Equipoise {
    Setup::of(origins)
        .pool("persistence: {type: cookie_insert, cookie: SRV, token: name, timeout: 30m}")
        .start()
}

#[test]
fn cookies_that_haproxy_made_keep_their_servers() {
    let origins = three();
    let lb = ours(&origins);
    let servers: String = origins
        .iter()
        .map(|o| format!("    server {0} {1} cookie {0}\n", o.name(), o.address()))
        .collect();
    for (options, bars) in [
        ("maxidle 30m", 1),
        ("maxidle 30m maxlife 8h", 2),
        ("maxlife 8h", 2),
    ] {
        let haproxy = Haproxy::start(&format!(
            "listen web\n    bind @PORT@\n    balance roundrobin\n    cookie SRV insert indirect nocache {options}\n{servers}"
        ));
        let mut seen = BTreeSet::new();
        for _ in 0..6 {
            let made = get(haproxy.address(), "/", &[]);
            let value = made.cookie("SRV").unwrap();
            assert_eq!(value.matches('|').count(), bars, "{value}");
            let cookie = format!("SRV={value}");
            let (response, word) = ask(&lb, "/", &[("Cookie", &cookie)]);
            assert_eq!(
                (response.origin(), &*word),
                (made.origin(), "hit"),
                "{cookie}"
            );
            assert_eq!(response.set_cookie("SRV"), None, "{response}");
            seen.insert(made.origin().to_owned());
        }
        assert_eq!(seen.len(), 3);
    }
}

/// A date as HAProxy writes it, that many seconds from now.
fn date(ahead: i64) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    let quarters = (now.as_secs().checked_add_signed(ahead).unwrap() + 3) >> 2;
    (0..5)
        .map(|n| char::from(DIGITS[(quarters >> (6 * (4 - n)) & 63) as usize]))
        .collect()
}

#[test]
fn their_dates_count() {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 3600;
    let origins = three();
    let lb = ours(&origins);
    for (value, expected, renewed) in [
        ("b".to_owned(), "hit", false),
        (format!("b|{}", date(0)), "hit", false),
        (format!("b|{}", date(-10 * MINUTE)), "hit", false),
        (
            format!("b|{}|{}", date(-10 * MINUTE), date(-100 * HOUR)),
            "hit",
            false,
        ),
        (format!("b|{}", date(-20 * MINUTE)), "hit", true),
        (format!("b|{}", date(-31 * MINUTE)), "expired", true),
        (format!("b|{}", date(23 * HOUR)), "hit", false),
        (format!("b|{}", date(25 * HOUR)), "invalid", true),
        ("b|".to_owned(), "hit", false),
        ("b|?????".to_owned(), "hit", false),
        (format!("x|{}", date(0)), "invalid", true),
    ] {
        let cookie = format!("SRV={value}");
        let (response, word) = ask(&lb, "/", &[("Cookie", &cookie)]);
        assert_eq!(word, expected, "{value}");
        if expected == "hit" {
            assert_eq!(response.origin(), "b", "{value}");
        }
        let own = format!("SRV={}; Path=/; Max-Age=1800", response.origin());
        match response.set_cookie("SRV") {
            Some(set) => assert!(renewed && set.starts_with(&own), "{value}: {set}"),
            None => assert!(!renewed, "{value}"),
        }
    }
}
