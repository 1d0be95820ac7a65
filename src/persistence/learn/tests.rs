use super::*;
use crate::persistence::affinity::Stayed;
use crate::persistence::session_key::SessionKey;
use crate::persistence::tests::{NOW, answered, learn as settings, request, response};

fn learn() -> Learn {
    Learn::new(&settings(), "pool")
}

fn key(value: &str) -> SessionKey {
    KeyMaker::new(Kind::Cookie, "pool").of_value(value.as_bytes())
}

fn asked(lines: &[&str]) -> Vec<SessionKey> {
    let keys = learn().ask(&request(lines));
    keys.iter().flat_map(SessionKeys::iter).collect()
}

#[test]
fn the_values_are_asked_for_in_their_order() {
    assert_eq!(
        asked(&["x=1; ID=a; ID=\"b\"", "ID=c"]),
        [key("a"), key("b"), key("c")]
    );
    assert_eq!(asked(&["ID=; ID=a"]), [key("a")]);
    assert!(asked(&["ID=; ID=\"\"; id=a; XID=a"]).is_empty());
    assert!(asked(&[]).is_empty());
    assert_eq!(asked(&["ID=1; ID=2; ID=3; ID=4; ID=5"]).len(), 4);
}

/// What is learned from `lines` when the request was asked by `asked` and perhaps stayed.
fn learned(lines: &[&str], asked: Option<&str>, stayed: bool) -> Vec<Learned> {
    let none = Fields::new();
    let facts = Answered {
        asked: asked.map(key),
        stayed: stayed.then_some(Stayed {
            session_started: NOW,
            renew: false,
        }),
        ..answered("a", &none)
    };
    learn().learn(&response(lines), &facts)
}

#[test]
fn a_value_that_is_set_binds() {
    let bind = |value| Learned::Bind(key(value));
    assert_eq!(learned(&["x=1", "ID=v; Path=/"], None, false), [bind("v")]);
    assert_eq!(learned(&["ID=\"v\""], None, false), [bind("v")]);
    assert_eq!(
        learned(&["ID=v; Path=/a", "ID=w; Path=/b"], None, false),
        [bind("v"), bind("w")]
    );
    assert_eq!(learned(&["IDX=v", "id=v"], None, false), []);
    assert_eq!(learned(&[], Some("v"), true), []);
    assert_eq!(learned(&["ID=new"], Some("old"), true), [bind("new")]);
}

#[test]
fn a_session_that_goes_on_where_it_is_teaches_nothing() {
    assert_eq!(learned(&["ID=v"], Some("v"), true), []);
    assert_eq!(
        learned(&["ID=v"], Some("v"), false),
        [Learned::Bind(key("v"))]
    );
}

#[test]
fn a_deleted_cookie_ends_the_requests_session() {
    let forget = Learned::Forget(key("v"));
    for line in [
        "ID=; Max-Age=0",
        "ID=",
        "ID=deleted; Expires=Thu, 01-Jan-1970 00:00:00 GMT",
    ] {
        assert_eq!(learned(&[line], Some("v"), true), [forget], "{line}");
        assert_eq!(learned(&[line], None, false), [], "{line}");
    }
    assert_eq!(
        learned(&["ID=; Path=/a", "ID=v; Path=/"], Some("v"), true),
        []
    );
    assert_eq!(
        learned(&["ID=; Path=/a", "ID=w; Path=/"], Some("v"), true),
        [Learned::Bind(key("w")), forget]
    );
}

fn by_header() -> Learn {
    let name = http::HeaderName::from_static("mcp-session-id");
    let settings = crate::config::model::Learn {
        from: LearnedFrom::Header(name),
        ..settings()
    };
    Learn::new(&settings, "pool")
}

fn fields(values: &[&'static str]) -> Fields {
    let mut fields = Fields::new();
    for value in values {
        fields.append(
            HeaderName::from_static("mcp-session-id"),
            http::HeaderValue::from_static(value),
        );
    }
    fields
}

fn field_key(value: &str) -> SessionKey {
    KeyMaker::new(Kind::Header, "pool").of_value(value.as_bytes())
}

#[test]
fn a_header_field_is_asked_for_as_a_whole() {
    let asked = |values: &[&'static str]| -> Vec<SessionKey> {
        let keys = by_header().ask(&fields(values));
        keys.iter().flat_map(SessionKeys::iter).collect()
    };
    assert_eq!(asked(&["a, b"]), [field_key("a, b")]);
    assert_eq!(asked(&["", "a"]), [field_key("a")]);
    assert!(asked(&[]).is_empty());
    assert_ne!(field_key("a"), key("a"));
    assert!(by_header().ask(&request(&["mcp-session-id=a"])).is_none());
}

#[test]
fn a_header_field_that_a_server_sets_binds() {
    let none = Fields::new();
    let learned = |values: &[&'static str], asked: Option<&str>| {
        let facts = Answered {
            asked: asked.map(field_key),
            stayed: asked.map(|_| Stayed {
                session_started: NOW,
                renew: false,
            }),
            ..answered("a", &none)
        };
        by_header().learn(&fields(values), &facts)
    };
    assert_eq!(learned(&["v"], None), [Learned::Bind(field_key("v"))]);
    assert_eq!(learned(&["v"], Some("v")), []);
    assert_eq!(learned(&[], Some("v")), []);
    assert_eq!(learned(&["w"], Some("v")), [Learned::Bind(field_key("w"))]);
}
