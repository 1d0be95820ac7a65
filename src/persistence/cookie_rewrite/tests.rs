use std::time::Duration;

use http::header::CACHE_CONTROL;
use proptest::prelude::*;

use super::*;
use crate::config::model::Token as Form;
use crate::persistence::affinity::Stayed;
use crate::persistence::tests::{
    NOW, SECRET, answered, bound, keys, later, members, request, response, rewrite, sent_back,
    set_lines,
};

fn with(settings: &Settings, servers: &[&str]) -> CookieRewrite<String> {
    CookieRewrite::new(settings, Some(&keys(SECRET)), "pool", &members(servers)).unwrap()
}

fn named() -> Settings {
    Settings {
        token: Form::Name,
        ..rewrite()
    }
}

/// The lines that the client gets when `server` sets `lines`.
fn finished(rewrite: &CookieRewrite<String>, server: &str, lines: &[&str]) -> Vec<String> {
    let none = Fields::new();
    let mut response = response(lines);
    rewrite.finish_response(&mut response, &answered(server, &none));
    set_lines(&response)
}

fn read(rewrite: &CookieRewrite<String>, line: &str, now: UnixTime) -> Lookup<String> {
    rewrite.read(&request(&[line]), now, None)
}

#[test]
fn a_session_goes_back_to_the_server_that_set_it() {
    let rewrite = with(&rewrite(), &["a", "b"]);
    let lines = finished(&rewrite, "b", &["ID=secret; Path=/; HttpOnly"]);
    let [line] = lines.as_slice() else {
        panic!("{lines:?}")
    };
    assert!(line.ends_with("; Path=/; HttpOnly") && !line.contains("secret"));
    assert_eq!(line.len(), "ID=; Path=/; HttpOnly".len() + 48);
    let back = sent_back(line);
    assert_eq!(read(&rewrite, &back, NOW), bound("b", NOW, false));
    assert_eq!(
        read(&rewrite, &format!("x=1; {back}"), later(400 * 86400)),
        bound("b", NOW, false)
    );
    assert_eq!(read(&rewrite, "x=1", NOW), Lookup::Miss);
    assert_eq!(read(&rewrite, "ID=secret", NOW), Lookup::Invalid);
    let without = with(&crate::persistence::tests::rewrite(), &["a"]);
    assert_eq!(read(&without, &back, NOW), Lookup::Gone);
}

#[test]
fn a_name_takes_the_values_place() {
    let rewrite = with(&named(), &["a", "b"]);
    assert_eq!(
        finished(
            &rewrite,
            "b",
            &[
                "x=1",
                "ID=\"v 1\";path=/a",
                "ID=w;Path=/b",
                "ID=; Path=/c",
                "y=ID=z"
            ]
        ),
        [
            "x=1",
            "ID=\"b\";path=/a",
            "ID=b;Path=/b",
            "ID=; Path=/c",
            "y=ID=z"
        ]
    );
    assert_eq!(read(&rewrite, "ID=\"b\"", NOW), bound("b", NOW, false));
    assert_eq!(read(&rewrite, "ID=c", NOW), Lookup::Invalid);
}

#[test]
fn a_token_that_the_server_sends_back_is_made_anew() {
    let rewrite = with(&rewrite(), &["a", "b"]);
    let first = finished(&rewrite, "a", &["ID=v"]);
    let moved = finished(&rewrite, "b", &[&first[0]]);
    assert_eq!(read(&rewrite, &moved[0], NOW), bound("b", NOW, false));
}

#[test]
fn only_a_response_that_carries_a_token_is_kept_out_of_shared_caches() {
    let rewrite = with(&rewrite(), &["a"]);
    let none = Fields::new();
    for (line, private) in [
        ("ID=v", true),
        ("ID=", false),
        ("ID=v; Max-Age=0", false),
        ("other=v", false),
    ] {
        let mut response = response(&[line]);
        rewrite.finish_response(&mut response, &answered("a", &none));
        assert_eq!(response.contains_key(CACHE_CONTROL), private, "{line}");
    }
    let mut response = Fields::new();
    rewrite.finish_response(&mut response, &answered("a", &none));
    assert!(response.is_empty(), "no cookie is invented");
}

#[test]
fn the_limits_hold_where_they_are_written() {
    let rewrite = with(
        &Settings {
            timeout: Some(Duration::from_secs(100)),
            max_lifetime: Some(Duration::from_secs(150)),
            ..rewrite()
        },
        &["a"],
    );
    let first = finished(&rewrite, "a", &["ID=v"]);
    assert_eq!(read(&rewrite, &first[0], later(100)), bound("a", NOW, true));
    assert_eq!(read(&rewrite, &first[0], later(101)), Lookup::Expired);

    // The server sets it again while the session goes on: the token is new, the session isn't.
    let none = Fields::new();
    let mut response = response(&["ID=v"]);
    let again = Answered {
        stayed: Some(Stayed {
            session_started: NOW,
            renew: true,
        }),
        now: later(90),
        ..answered("a", &none)
    };
    rewrite.finish_response(&mut response, &again);
    let again = &set_lines(&response)[0];
    assert_eq!(read(&rewrite, again, later(150)), bound("a", NOW, true));
    assert_eq!(read(&rewrite, again, later(151)), Lookup::Expired);
}

proptest! {
    #[test]
    fn every_value_that_is_set_binds(
        values in proptest::collection::vec("[ \ta-z~\"=,\u{e9}]{0,8}", 1..4),
        rest in "(; ?(Path=/[a-z]{0,3}|HttpOnly|Max-Age=[1-9]|x=\"y)){0,3}",
        signed: bool,
    ) {
        let settings = if signed { rewrite() } else { named() };
        let rewrite = with(&settings, &["a", "b"]);
        let lines: Vec<_> = values.iter().map(|value| format!("ID={value}{rest}")).collect();
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        let after = finished(&rewrite, "b", &lines);
        prop_assert_eq!(after.len(), lines.len());
        for (before, after) in lines.iter().zip(&after) {
            if before == after {
                let value = sent_back(before)["ID=".len()..].to_owned();
                prop_assert!(matches!(value.as_str(), "" | "\"\"") || (!signed && value == "b"));
            } else {
                prop_assert!(after.ends_with(&rest));
                prop_assert_eq!(read(&rewrite, &sent_back(after), NOW), bound("b", NOW, false));
            }
        }
    }
}
