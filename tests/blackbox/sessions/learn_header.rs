//! `learn` with `header`: what has one value of a field goes to one server, whoever chose the value.

use super::*;

const LEARN: &str = "persistence: {type: learn, header: Mcp-Session-Id}";

/// `/set?ID` sets the field.
fn on_demand(request: &Request) -> Answer {
    match request.target.split_once("?set=") {
        Some((_, id)) => Answer::ok().header("mcp-session-id", id),
        None => Answer::ok(),
    }
}

#[test]
fn what_a_server_set_leads_back_to_it() {
    let origins = three_with(on_demand);
    let lb = Setup::of(&origins).pool(LEARN).start();
    let mut seen = Vec::new();
    for n in 0..6 {
        let response = lb.get(&format!("/?set=id{n}"), &[]);
        assert_eq!(response.header("mcp-session-id"), Some(&*format!("id{n}")));
        seen.push(response.origin().to_owned());
    }
    assert_eq!(entries(&lb), 6.0);
    for (n, server) in seen.iter().enumerate() {
        let (response, word) = ask(&lb, "/", &[("MCP-Session-ID", &format!("id{n}"))]);
        assert_eq!((response.origin(), &*word), (&**server, "hit"));
    }
    assert_eq!(ask(&lb, "/", &[]).1, "miss");
}

#[test]
fn a_value_that_the_client_chose_stays_where_it_first_went() {
    let origins = three_with(on_demand);
    let lb = Setup::of(&origins).pool(LEARN).start();
    let (first, word) = ask(&lb, "/", &[("Mcp-Session-Id", "mine")]);
    assert_eq!(word, "miss");
    for _ in 0..5 {
        let (response, word) = ask(&lb, "/", &[("Mcp-Session-Id", "mine")]);
        assert_eq!((response.origin(), &*word), (first.origin(), "hit"));
    }
    assert_eq!(entries(&lb), 1.0);
    // A cookie of that name is something else.
    assert_eq!(
        ask(&lb, "/", &[("Cookie", "Mcp-Session-Id=mine")]).1,
        "miss"
    );
}

#[test]
fn a_session_whose_server_is_down_moves_for_good() {
    let origins = three_with(on_demand);
    let lb = Setup::of(&origins).pool(LEARN).start();
    let server = lb.get("/", &[("Mcp-Session-Id", "v")]).origin().to_owned();
    let old = origins
        .iter()
        .find(|origin| origin.name() == server)
        .unwrap();
    old.stop();
    let moved = lb.get("/", &[("Mcp-Session-Id", "v")]).origin().to_owned();
    assert_ne!(moved, server);
    old.restart();
    for _ in 0..3 {
        assert_eq!(lb.get("/", &[("Mcp-Session-Id", "v")]).origin(), moved);
    }
}
