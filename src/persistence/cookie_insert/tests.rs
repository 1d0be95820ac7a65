use std::time::Duration;

use http::header::{CACHE_CONTROL, COOKIE, SET_COOKIE};
use proptest::prelude::*;

use super::*;
use crate::config::model::{OnUnavailable, Token as Form};
use crate::persistence::affinity::Stayed;
use crate::persistence::tests;
use crate::persistence::tests::{
    NOW, SECRET, answered, attributes, bound, keys, later, members, request, set_lines,
};

/// The defaults of the configuration.
fn settings() -> Settings {
    Settings {
        cookie: "SERVERID".into(),
        timeout: Some(Duration::from_secs(3600)),
        max_lifetime: None,
        token: Form::Signed,
        secret_file: None,
        attributes: attributes(),
        on_unavailable: OnUnavailable::Rebalance,
    }
}

fn insert_in(
    settings: &Settings,
    secrets: &str,
    pool: &str,
    servers: &[&str],
) -> CookieInsert<String> {
    CookieInsert::new(settings, Some(&keys(secrets)), pool, &members(servers)).unwrap()
}

fn insert(settings: &Settings, servers: &[&str]) -> CookieInsert<String> {
    insert_in(settings, SECRET, "tomcats", servers)
}

/// The pair that a client sends back.
fn pair(set: &HeaderValue) -> String {
    let line = set.to_str().unwrap();
    line.split(';').next().unwrap().to_owned()
}

fn cookie(
    insert: &CookieInsert<String>,
    server: &str,
    started: UnixTime,
    issued: UnixTime,
) -> String {
    pair(&insert.cookie_for(server, started, issued, false))
}

fn read(insert: &CookieInsert<String>, line: &str, now: UnixTime) -> Lookup<String> {
    insert.read(&request(&[line]), now, None)
}

fn server(found: Lookup<String>) -> Option<String> {
    match found {
        Lookup::Bound(bound, _) => Some(bound.server),
        _ => None,
    }
}

#[test]
fn a_session_goes_back_to_its_server() {
    let insert = insert(&settings(), &["a", "b"]);
    let line = cookie(&insert, "b", NOW, NOW);
    assert_eq!(read(&insert, &line, NOW), bound("b", NOW, false));
    assert_eq!(
        read(&insert, &format!("x=1; {line}; y=2"), NOW),
        bound("b", NOW, false)
    );
    let quoted = format!("{}\"", line.replacen('=', "=\"", 1));
    assert_eq!(read(&insert, &quoted, NOW), bound("b", NOW, false));
    assert_eq!(insert.read(&Fields::new(), NOW, None), Lookup::Miss);
    assert_eq!(read(&insert, "x=1", NOW), Lookup::Miss);
    assert_eq!(read(&insert, "SERVERID=b", NOW), Lookup::Invalid);
    assert_eq!(read(&insert, "SERVERID=", NOW), Lookup::Invalid);
}

#[test]
fn a_cookie_says_nothing_readable() {
    let insert = insert(&settings(), &["tomcat1"]);
    let line = cookie(&insert, "tomcat1", NOW, NOW);
    assert_eq!(line.len(), "SERVERID=".len() + 48);
    assert!(!line.contains("tomcat"));
}

#[test]
fn an_idle_session_expires_and_a_busy_one_is_renewed_at_half() {
    let insert = insert(&settings(), &["a"]);
    let line = cookie(&insert, "a", NOW, NOW);
    assert_eq!(read(&insert, &line, later(1799)), bound("a", NOW, false));
    assert_eq!(read(&insert, &line, later(1800)), bound("a", NOW, true));
    assert_eq!(read(&insert, &line, later(3600)), bound("a", NOW, true));
    assert_eq!(read(&insert, &line, later(3601)), Lookup::Expired);

    let renewed = cookie(&insert, "a", NOW, later(1800));
    assert_eq!(read(&insert, &renewed, later(3601)), bound("a", NOW, true));
    assert_eq!(read(&insert, &renewed, later(3599)), bound("a", NOW, false));
}

#[test]
fn a_browser_session_neither_expires_nor_is_renewed() {
    let insert = insert(
        &Settings {
            timeout: None,
            ..settings()
        },
        &["a"],
    );
    let set = insert.cookie_for("a", NOW, NOW, false);
    assert!(!set.to_str().unwrap().contains("Max-Age"));
    assert_eq!(
        read(&insert, &pair(&set), later(400 * 86400)),
        bound("a", NOW, false)
    );
}

#[test]
fn a_session_ends_at_its_lifetime_however_busy() {
    let max_lifetime = Some(Duration::from_secs(7200));
    for timeout in [None, Some(Duration::from_secs(3600))] {
        let insert = insert(
            &Settings {
                timeout,
                max_lifetime,
                ..settings()
            },
            &["a"],
        );
        let line = cookie(&insert, "a", NOW, later(7000));
        assert_eq!(
            server(read(&insert, &line, later(7200))).as_deref(),
            Some("a")
        );
        assert_eq!(read(&insert, &line, later(7201)), Lookup::Expired);
        let anew = cookie(&insert, "a", later(7201), later(7201));
        assert_eq!(
            read(&insert, &anew, later(7202)),
            bound("a", later(7201), false)
        );
    }
}

#[test]
fn a_token_from_the_future_is_invalid_beyond_the_skew_of_clocks() {
    let insert = insert(&settings(), &["a"]);
    assert_eq!(
        read(&insert, &cookie(&insert, "a", NOW, later(86_400)), NOW),
        bound("a", NOW, false)
    );
    assert_eq!(
        read(&insert, &cookie(&insert, "a", NOW, later(86_401)), NOW),
        Lookup::Invalid
    );
    assert_eq!(
        read(&insert, &cookie(&insert, "a", later(86_401), NOW), NOW),
        Lookup::Invalid
    );
}

#[test]
fn a_removed_server_is_gone_and_comes_back() {
    let insert = insert(&settings(), &["a", "b"]);
    let line = cookie(&insert, "b", NOW, NOW);
    let without = self::insert(&settings(), &["a"]);
    assert_eq!(read(&without, &line, NOW), Lookup::Gone);
    assert_eq!(read(&without, &line, later(3601)), Lookup::Expired);
}

#[test]
fn the_first_usable_cookie_counts() {
    let insert = insert(&settings(), &["a", "b"]);
    let (a, b) = (
        cookie(&insert, "a", NOW, NOW),
        cookie(&insert, "b", NOW, NOW),
    );
    let gone = cookie(&insert, "c", NOW, NOW);
    let old = cookie(&insert, "a", NOW, UnixTime(NOW.0 - 4000));
    let bad = "SERVERID=forged";
    assert_eq!(
        server(read(&insert, &format!("{a}; {b}"), NOW)).unwrap(),
        "a"
    );
    assert_eq!(
        server(read(&insert, &format!("{b}; {a}"), NOW)).unwrap(),
        "b"
    );
    assert_eq!(
        server(read(&insert, &format!("{bad}; {old}; {gone}; {b}"), NOW)).unwrap(),
        "b"
    );
    assert_eq!(
        read(&insert, &format!("{bad}; {old}; {bad}"), NOW),
        Lookup::Expired
    );
    assert_eq!(
        read(&insert, &format!("{old}; {gone}; {bad}"), NOW),
        Lookup::Gone
    );

    let flood = format!("{bad}; ").repeat(16);
    assert_eq!(read(&insert, &format!("{flood}{b}"), NOW), Lookup::Invalid);
    assert_eq!(
        server(read(
            &insert,
            &format!("{}{b}", &flood[bad.len() + 2..]),
            NOW
        ))
        .unwrap(),
        "b"
    );
}

#[test]
fn secrets_are_rotated_without_rebinding() {
    let (old, new) = ("the old secret of 2025", "the new secret of 2026");
    let node = |secrets: &str| insert_in(&settings(), secrets, "tomcats", &["a", "b"]);
    let line = cookie(&node(old), "b", NOW, NOW);
    let both = node(&format!("{new}\n{old}"));
    assert_eq!(server(read(&both, &line, NOW)).unwrap(), "b");
    assert_eq!(read(&node(new), &line, NOW), Lookup::Invalid);
    let signed_anew = cookie(&both, "b", NOW, NOW);
    assert_eq!(server(read(&node(new), &signed_anew, NOW)).unwrap(), "b");
    assert_eq!(read(&node(old), &signed_anew, NOW), Lookup::Invalid);
}

#[test]
fn a_token_of_another_pool_is_not_ours() {
    let here = insert_in(&settings(), SECRET, "here", &["a"]);
    let there = insert_in(&settings(), SECRET, "there", &["a"]);
    assert_eq!(
        read(&here, &cookie(&there, "a", NOW, NOW), NOW),
        Lookup::Invalid
    );
}

#[test]
fn a_name_token_is_the_name() {
    let settings = Settings {
        token: Form::Name,
        ..settings()
    };
    let insert = insert(&settings, &["a", "b c;%\u{e9}"]);
    assert_eq!(cookie(&insert, "a", NOW, NOW), "SERVERID=a");
    let odd = cookie(&insert, "b c;%\u{e9}", NOW, NOW);
    assert_eq!(odd, "SERVERID=b%20c%3B%25%C3%A9");
    assert_eq!(server(read(&insert, &odd, NOW)).unwrap(), "b c;%\u{e9}");
    assert_eq!(read(&insert, "SERVERID=A", NOW), Lookup::Invalid);
    assert_eq!(read(&insert, "SERVERID=ab", NOW), Lookup::Invalid);
    // Nobody knows when it was set, so it is not set again.
    assert_eq!(read(&insert, "SERVERID=a", NOW), bound("a", NOW, false));
}

#[test]
fn the_server_does_not_see_the_cookie() {
    let insert = insert(&settings(), &["a"]);
    let ours = cookie(&insert, "a", NOW, NOW);
    let mut map = request(&[&format!("a=1; {ours}; b=2; SERVERID=forged")]);
    insert.strip_request(&mut map);
    assert_eq!(map, request(&["a=1; b=2"]));
}

#[test]
fn a_response_gets_our_cookie_and_loses_the_servers() {
    let insert = insert(&settings(), &["a"]);
    let none = Fields::new();
    let mut response = tests::response(&["x=1; Path=/", "SERVERID=backend", "y=2"]);
    insert.finish_response(&mut response, &answered("a", &none));
    let set = insert.cookie_for("a", NOW, NOW, false);
    assert_eq!(
        set_lines(&response),
        ["x=1; Path=/", "y=2", set.to_str().unwrap()]
    );
    assert!(
        response
            .get_all(SET_COOKIE)
            .iter()
            .next_back()
            .unwrap()
            .is_sensitive()
    );
    assert_eq!(response.get(CACHE_CONTROL).unwrap(), "private");
}

#[test]
fn a_session_that_stayed_is_set_again_only_to_renew_it() {
    let insert = insert(&settings(), &["a"]);
    let none = Fields::new();
    let stayed = |renew| Answered {
        stayed: Some(Stayed {
            session_started: NOW,
            renew,
        }),
        now: later(1800),
        https: true,
        ..answered("a", &none)
    };
    let mut response = tests::response(&["SERVERID=backend"]);
    insert.finish_response(&mut response, &stayed(false));
    assert!(response.is_empty());
    insert.finish_response(&mut response, &stayed(true));
    let set = insert.cookie_for("a", NOW, later(1800), true);
    assert_eq!(set_lines(&response), [set.to_str().unwrap()]);
    assert!(set.to_str().unwrap().contains("; Secure"));
}

/// Names of a pool, and the same in another order with some taken out and some put in.
fn two_pools() -> impl Strategy<Value = (Vec<String>, Vec<String>)> {
    let names = proptest::collection::hash_set("[a-z0-9.-]{1,6}", 1..12);
    names.prop_flat_map(move |before| {
        let before: Vec<_> = before.into_iter().collect();
        let kept = proptest::sample::subsequence(before.clone(), 0..=before.len());
        let after = (kept, proptest::collection::vec("[A-Z]{1,6}", 0..4))
            .prop_map(|(kept, added)| [kept, added].concat())
            .prop_shuffle();
        (Just(before), after)
    })
}

proptest! {
    #[test]
    fn changing_the_pool_rebinds_nobody_else((before, after) in two_pools(), signed: bool) {
        let token = if signed { Form::Signed } else { Form::Name };
        let settings = Settings { token, ..settings() };
        let names = |names: &[String]| insert(&settings, &names.iter().map(String::as_str).collect::<Vec<_>>());
        let (old, new) = (names(&before), names(&after));
        for name in &before {
            let found = server(read(&new, &cookie(&old, name, NOW, NOW), NOW));
            prop_assert_eq!(found.as_ref(), after.contains(name).then_some(name));
        }
    }

    #[test]
    fn nodes_that_share_a_secret_accept_each_other(
        mine in proptest::collection::vec("[a-z]{16,20}", 0..3),
        theirs in proptest::collection::vec("[A-Z]{16,20}", 0..3),
        shared in "[0-9]{16,20}",
    ) {
        // Each signs with the shared one and has others of its own.
        let node = |others: &[String]| {
            let secrets = format!("{shared}\n{}", others.join("\n"));
            insert_in(&settings(), &secrets, "pool", &["a", "b"])
        };
        let (one, two) = (node(&mine), node(&theirs));
        prop_assert_eq!(server(read(&two, &cookie(&one, "a", NOW, NOW), NOW)), Some("a".to_owned()));
        prop_assert_eq!(server(read(&one, &cookie(&two, "b", NOW, NOW), NOW)), Some("b".to_owned()));
    }

    #[test]
    fn nothing_without_the_secret_is_bound(value in proptest::collection::vec(
        prop_oneof![0x20..0x7f_u8, 0x80..=0xff_u8], 0..80,
    )) {
        let insert = insert(&settings(), &["a"]);
        let mut map = Fields::new();
        let line = [b"SERVERID=", &value[..]].concat();
        map.append(COOKIE, HeaderValue::from_bytes(&line).unwrap());
        prop_assert_eq!(insert.read(&map, NOW, None), Lookup::Invalid);
    }

    #[test]
    fn any_times_are_judged_without_overflow(issued: u64, started: u64, now: u64, timeout: u64) {
        let timeout = Some(Duration::from_secs(timeout));
        let insert = insert(&Settings { timeout, max_lifetime: timeout, ..settings() }, &["a"]);
        let line = cookie(&insert, "a", UnixTime(started), UnixTime(issued));
        let found = read(&insert, &line, UnixTime(now));
        prop_assert!(!matches!(found, Lookup::Miss | Lookup::Gone));
    }
}
