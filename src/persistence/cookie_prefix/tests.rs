use std::time::Duration;

use http::HeaderValue;
use http::header::{CACHE_CONTROL, COOKIE, SET_COOKIE};
use proptest::prelude::*;

use super::*;
use crate::config::model::Token as Form;
use crate::headers::ValueRef;
use crate::persistence::tests::{
    NOW, SECRET, all_bound, answered, bound, cookie_lines, keys, later, members, request, response,
    rewrite, sent_back, set_lines,
};

fn with_secrets(settings: &Settings, secrets: &str, servers: &[&str]) -> CookiePrefix<String> {
    CookiePrefix::new(settings, Some(&keys(secrets)), "pool", &members(servers)).unwrap()
}

fn signed(servers: &[&str]) -> CookiePrefix<String> {
    with_secrets(&rewrite(), SECRET, servers)
}

fn named(servers: &[&str]) -> CookiePrefix<String> {
    let settings = Settings {
        token: Form::Name,
        ..rewrite()
    };
    with_secrets(&settings, SECRET, servers)
}

/// The lines that the client gets when `server` sets `lines`.
fn finished(prefix: &CookiePrefix<String>, server: &str, lines: &[&str]) -> Vec<String> {
    let none = Fields::new();
    let mut response = response(lines);
    prefix.finish_response(&mut response, &answered(server, &none));
    set_lines(&response)
}

/// The lines that the server gets when the client sends `lines`.
fn prepared(prefix: &CookiePrefix<String>, lines: &[&str]) -> Vec<String> {
    let mut request = request(lines);
    prefix.prepare_request(&mut request);
    cookie_lines(&request)
}

fn read(prefix: &CookiePrefix<String>, line: &str, now: UnixTime) -> Lookup<String> {
    prefix.read(&request(&[line]), now, None)
}

#[test]
fn a_session_goes_back_and_the_server_gets_its_value() {
    let prefix = signed(&["a", "b"]);
    let lines = finished(&prefix, "b", &["ID=v~1; Path=/; HttpOnly"]);
    assert!(lines[0].ends_with("~v~1; Path=/; HttpOnly"));
    let back = sent_back(&lines[0]);
    assert_eq!(read(&prefix, &back, NOW), bound("b", NOW, false));
    assert_eq!(
        prepared(&prefix, &[&format!("x=t~1;  {back}; y=\"2\"")]),
        ["x=t~1;  ID=v~1; y=\"2\""]
    );
}

#[test]
fn every_cookie_in_every_line_is_restored() {
    let prefix = named(&["a"]);
    assert_eq!(
        prepared(
            &prefix,
            &[
                "ID=a~1; ID=\"a~2\"",
                "x=a~y",
                " ID = a~3 ;ID=4;id=a~5",
                "XID=a~6; ID=a~"
            ]
        ),
        [
            "ID=1; ID=\"2\"",
            "x=a~y",
            " ID = 3 ;ID=4;id=a~5",
            "XID=a~6; ID="
        ]
    );
}

#[test]
fn a_name_is_put_in_front_inside_the_quotes() {
    let prefix = named(&["a", "b"]);
    assert_eq!(
        finished(
            &prefix,
            "b",
            &[
                "x=1",
                "ID=\"v 1\";path=/a",
                "ID=w;Path=/b",
                "ID=; Path=/c",
                "ID=z; Max-Age=0",
                "y=ID=z"
            ]
        ),
        [
            "x=1",
            "ID=\"b~v 1\";path=/a",
            "ID=b~w;Path=/b",
            "ID=; Path=/c",
            "ID=z; Max-Age=0",
            "y=ID=z"
        ]
    );
    assert_eq!(read(&prefix, "ID=\"b~v 1\"", NOW), bound("b", NOW, false));
    assert_eq!(read(&prefix, "ID=b", NOW), Lookup::Miss);
    assert_eq!(read(&prefix, "ID=c~v", NOW), Lookup::Invalid);
    assert_eq!(read(&prefix, "ID=~v", NOW), Lookup::Invalid);
    assert_eq!(
        read(&prefix, "ID=c~v; ID=x; ID=a~y; ID=b~y", NOW),
        all_bound(&["a", "b"])
    );
}

#[test]
fn no_server_gets_a_token_whatever_became_of_it() {
    let prefix = with_secrets(
        &Settings {
            timeout: Some(Duration::from_secs(100)),
            ..rewrite()
        },
        SECRET,
        &["a", "b"],
    );
    let line = sent_back(&finished(&prefix, "b", &["ID=v"])[0]);
    assert_eq!(read(&prefix, &line, later(101)), Lookup::Expired);
    let another_secret = with_secrets(&rewrite(), "another secret for tests", &["a", "b"]);
    assert_eq!(read(&another_secret, &line, NOW), Lookup::Invalid);
    let without = signed(&["a"]);
    assert_eq!(read(&without, &line, NOW), Lookup::Gone);
    for prefix in [&prefix, &another_secret, &without, &named(&["a"])] {
        assert_eq!(prepared(prefix, &[&line]), ["ID=v"]);
    }
    assert_eq!(prepared(&named(&["a"]), &["ID=gone~v"]), ["ID=v"]);
}

#[test]
fn a_value_that_never_went_through_us_is_not_cut() {
    let prefix = signed(&["a"]);
    let length_of_a_token = format!("ID={}~v", "x".repeat(48));
    for line in ["ID=v", "ID=a~v", "ID=~v", "ID=v~", &length_of_a_token] {
        assert_eq!(prepared(&prefix, &[line]), [line]);
    }
    let prefix = named(&["a"]);
    for line in ["ID=v", "ID=~v", "ID=a b~v", "ID=\u{e9}~v", "ID=\"a,~v\""] {
        assert_eq!(prepared(&prefix, &[line]), [line]);
    }
}

#[test]
fn what_went_through_us_before_gets_no_second_token() {
    let prefix = signed(&["a", "b"]);
    let once = finished(&prefix, "b", &["ID=v; Path=/"]);
    assert_eq!(finished(&prefix, "a", &[&once[0]]), once);
    let mut response = response(&[&once[0]]);
    let none = Fields::new();
    prefix.finish_response(&mut response, &answered("a", &none));
    assert_eq!(response.get(CACHE_CONTROL).unwrap(), "private");
    // One that only looks as if it had is a value like any other.
    let forged = format!("ID={}~v", "x".repeat(48));
    let line = finished(&prefix, "a", &[&forged]);
    assert_eq!(prepared(&prefix, &[&sent_back(&line[0])]), [forged]);
}

#[test]
fn only_a_response_that_carries_a_token_is_kept_out_of_shared_caches() {
    let prefix = signed(&["a"]);
    let none = Fields::new();
    for (line, private) in [
        ("ID=v", true),
        ("ID=\"\"", false),
        ("ID=v; Max-Age=0", false),
        ("x=v", false),
    ] {
        let mut response = response(&[line]);
        prefix.finish_response(&mut response, &answered("a", &none));
        assert_eq!(response.contains_key(CACHE_CONTROL), private, "{line}");
    }
}

/// Bytes that a field's value may have, mostly those that mean something here.
fn text(length: usize) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        Just(b'~'),
        Just(b'"'),
        Just(b'='),
        Just(b' '),
        Just(b'\t'),
        Just(b'a'),
        Just(b','),
        0x21..0x7f_u8,
        0x80..=0xff_u8,
    ];
    proptest::collection::vec(byte, 0..length)
}

proptest! {
    #[test]
    fn what_a_server_sets_comes_back_to_it(value in text(12), signed: bool, others in "[a-z=;~ ]{0,20}") {
        prop_assume!(!value.contains(&b';'));
        let prefix = if signed { self::signed(&["a", "b"]) } else { named(&["a", "b"]) };
        let line = [b"ID=", &value[..], b"; Path=/; HttpOnly"].concat();
        let without_us = {
            let value = crate::headers::trim(&value);
            [b"ID=", value].concat()
        };
        let mut response = Fields::new();
        response.append(SET_COOKIE, HeaderValue::from_bytes(&line).unwrap());
        let none = Fields::new();
        prefix.finish_response(&mut response, &answered("b", &none));
        let set = response.get(SET_COOKIE).unwrap().as_bytes();
        prop_assert!(set.ends_with(b"; Path=/; HttpOnly"));
        let pair = set.split(|&byte| byte == b';').next().unwrap();
        let pair = [b"ID=", crate::headers::trim(&pair[3..])].concat();

        let sent = |pair: &[u8]| {
            let line = [pair, b"; ", others.as_bytes()].concat();
            let mut request = Fields::new();
            request.append(COOKIE, HeaderValue::from_bytes(&line).unwrap());
            request
        };
        let mut request = sent(&pair);
        if pair != without_us {
            prop_assert_eq!(prefix.read(&request, NOW, None), bound("b", NOW, false));
        }
        prefix.prepare_request(&mut request);
        prop_assert_eq!(request, sent(&without_us));
    }

    #[test]
    fn hostile_lines_pass_or_are_shortened(lines in proptest::collection::vec(text(40), 0..4), signed: bool) {
        let prefix = if signed { self::signed(&["a"]) } else { named(&["a"]) };
        let mut request = Fields::new();
        let mut response = Fields::new();
        for line in &lines {
            let line = [b"ID=", &line[..]].concat();
            request.append(COOKIE, HeaderValue::from_bytes(&line).unwrap());
            response.append(SET_COOKIE, HeaderValue::from_bytes(&line).unwrap());
        }
        let before: usize = request.values().map(ValueRef::len).sum();
        let _ = prefix.read(&request, NOW, None);
        prefix.prepare_request(&mut request);
        prop_assert!(request.values().map(ValueRef::len).sum::<usize>() <= before);
        let none = Fields::new();
        prefix.finish_response(&mut response, &answered("a", &none));
        prop_assert_eq!(response.get_all(SET_COOKIE).iter().count(), lines.len());
    }
}
