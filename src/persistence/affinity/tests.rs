use std::net::Ipv4Addr;

use http::HeaderValue;
use http::header::{COOKIE, SET_COOKIE};
use proptest::prelude::*;

use super::*;
use crate::config::model;
use crate::persistence::UnixTime;
use crate::persistence::tests::{
    NOW, SECRET, answered, attributes, keys, learn, members, request, response, rewrite, source_ip,
};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn all() -> Vec<Persistence> {
    let on_unavailable = model::OnUnavailable::Rebalance;
    vec![
        Persistence::CookieInsert(model::CookieInsert {
            cookie: "ID".into(),
            timeout: None,
            max_lifetime: None,
            token: model::Token::Signed,
            secret_file: None,
            attributes: attributes(),
            on_unavailable,
        }),
        Persistence::CookieRewrite(rewrite()),
        Persistence::CookiePrefix(rewrite()),
        Persistence::Route(model::RoutePersistence {
            cookie: "ID".into(),
            separator: ".".to_owned(),
            path_parameter: None,
            query_parameter: None,
            insert: None,
            on_unavailable,
        }),
        Persistence::Learn(learn()),
        Persistence::SourceIp(source_ip(32, 64)),
    ]
}

fn affinity(settings: &Persistence) -> Affinity<String> {
    Affinity::new(settings, Some(&keys(SECRET)), "pool", members(&["a", "b"])).unwrap()
}

fn view(headers: &Fields) -> RequestView<'_> {
    RequestView {
        headers,
        path: b"/",
        query: None,
        client: CLIENT,
        last_token: None,
    }
}

#[test]
fn only_signed_tokens_need_keys() {
    for settings in all() {
        let without = Affinity::new(&settings, None, "pool", members(&["a"]));
        assert_eq!(without.is_none(), settings.signing_key().is_some());
    }
}

#[test]
fn a_new_client_is_a_miss_or_a_question() {
    for settings in all() {
        let found = affinity(&settings).lookup(&view(&Fields::new()), NOW);
        match settings {
            Persistence::SourceIp(_) => assert!(matches!(found, Found::Ask(_))),
            _ => assert_eq!(found, Found::Said(Lookup::Miss)),
        }
    }
    let learn = affinity(&Persistence::Learn(learn()));
    let found = learn.lookup(&view(&request(&["ID=v"])), NOW);
    assert!(matches!(found, Found::Ask(_)));
}

#[test]
fn only_insert_and_prefix_change_a_request() {
    for settings in all() {
        let token = {
            let mut response = response(&["ID=v"]);
            let none = Fields::new();
            affinity(&settings).finish_response(&mut response, &answered("a", &none));
            let set = response
                .get(SET_COOKIE)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            set.split(';').next().unwrap().to_owned()
        };
        let before = request(&[&format!("x=1; {token}")]);
        let mut after = before.clone();
        affinity(&settings).prepare_request(&mut after);
        let expected = match settings {
            Persistence::CookieInsert(_) => request(&["x=1"]),
            Persistence::CookiePrefix(_) => request(&["x=1; ID=v"]),
            _ => before,
        };
        assert_eq!(after, expected);
    }
}

/// Pairs that belong to others.
fn others() -> impl Strategy<Value = String> {
    "(; ?)?([ \t]?(IDX|XID|id|a|\"|=|)=?[a-z\"=~. ]{0,5};? ?){0,5}"
}

proptest! {
    #[test]
    fn what_belongs_to_others_stays_byte_for_byte(lines in proptest::collection::vec(others(), 0..4)) {
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        for settings in all() {
            let affinity = affinity(&settings);
            let before = request(&lines);
            let mut after = before.clone();
            affinity.prepare_request(&mut after);
            prop_assert_eq!(&after, &before);

            let before = response(&lines);
            let mut after = before.clone();
            let learned = affinity.finish_response(&mut after, &answered("a", &Fields::new()));
            prop_assert!(learned.is_empty());
            let kept = after.get_all(SET_COOKIE).iter().take(lines.len());
            prop_assert!(kept.eq(before.get_all(SET_COOKIE).iter()));
            let inserted = usize::from(matches!(settings, Persistence::CookieInsert(_)));
            prop_assert_eq!(after.get_all(SET_COOKIE).iter().count(), lines.len() + inserted);
        }
    }

    #[test]
    fn anything_can_be_read_and_changed(
        lines in proptest::collection::vec(proptest::collection::vec(prop_oneof![
            Just(b'I'), Just(b'D'), Just(b'='), Just(b';'), Just(b' '), Just(b'"'), Just(b'~'), 0x20..0x7f_u8, 0x80..=0xff_u8,
        ], 0..60), 0..4),
        now: u64,
    ) {
        let mut request = Fields::new();
        let mut response = Fields::new();
        for line in &lines {
            request.append(COOKIE, HeaderValue::from_bytes(line).unwrap());
            response.append(SET_COOKIE, HeaderValue::from_bytes(line).unwrap());
        }
        for settings in all() {
            let affinity = affinity(&settings);
            let facts = Answered { now: UnixTime(now), ..answered("a", &request) };
            let _ = affinity.lookup(&view(&request), UnixTime(now));
            affinity.prepare_request(&mut request.clone());
            affinity.finish_response(&mut response.clone(), &facts);
        }
    }
}
