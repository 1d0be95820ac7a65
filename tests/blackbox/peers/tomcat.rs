//! Two Tomcats with a JSP that shows its session, as in the tutorial that everybody begins with.

use crate::common::peers::Tomcat;
use crate::common::*;

/// What the JSP printed after `key`.
#[track_caller]
fn shown(response: &Response, key: &str) -> String {
    response
        .text()
        .lines()
        .find_map(|l| l.strip_prefix(key).map(|v| v.trim().to_owned()))
        .unwrap_or_else(|| panic!("no {key} in {response}"))
}

#[test]
fn a_jsp_session_stays_and_lives_on() {
    let (one, two) = (Tomcat::start("tomcat1"), Tomcat::start("tomcat2"));
    let lb = Setup::new()
        .server_at("tomcat1", &one.address().to_string(), "")
        .server_at("tomcat2", &two.address().to_string(), "")
        .pool("persistence: {type: cookie_insert}")
        .pool("health_check: {type: http, path: /index.jsp, interval: 1s, timeout: 20s}")
        .start();
    lb.wait_state("app", "tomcat1", "up");
    lb.wait_state("app", "tomcat2", "up");

    // Two visitors, on two servers.
    let visitors: Vec<(String, String, String)> = (0..2)
        .map(|_| {
            let first = lb.get("/index.jsp", &[]);
            assert_eq!(first.status, 200, "{first}");
            assert_eq!(shown(&first, "visits"), "1");
            let cookies = format!(
                "JSESSIONID={}; SERVERID={}",
                first.cookie("JSESSIONID").unwrap(),
                first.cookie("SERVERID").unwrap()
            );
            (shown(&first, "server"), shown(&first, "session"), cookies)
        })
        .collect();
    assert_ne!(visitors[0].0, visitors[1].0);

    for visit in 2..6 {
        for (server, session, cookies) in &visitors {
            let again = lb.get("/", &[("Cookie", cookies)]);
            assert_eq!(shown(&again, "server"), *server);
            assert_eq!(shown(&again, "session"), *session);
            assert_eq!(shown(&again, "visits"), visit.to_string());
            assert_eq!(shown(&again, "cookies"), format!("JSESSIONID={session}"));
        }
    }

    // Without our cookie the session is lost every other time: what persistence is for.
    let (_, _, cookies) = &visitors[0];
    let only_java = cookies.split("; ").next().unwrap();
    let servers: std::collections::BTreeSet<_> = (0..4)
        .map(|_| shown(&lb.get("/", &[("Cookie", only_java)]), "server"))
        .collect();
    assert_eq!(servers.len(), 2);

    // And Tomcat logs the visitor's address as its manual says: pattern %{X-Forwarded-For}i.
    let line = one.wait_line("logs/access.txt", |l| l.contains("GET /index.jsp"));
    assert!(line.starts_with("127.0.0.1 127.0.0.1 - - ["), "{line}");
}

#[test]
fn tomcat_logs_the_address_that_a_trusted_proxy_passed_on() {
    let tomcat = Tomcat::start("tomcat1");
    let lb = Setup::new()
        .server_at("tomcat1", &tomcat.address().to_string(), "")
        .listener("client_address: {trusted_proxies: [127.0.0.1/32]}")
        .start();
    lb.get("/index.jsp?trusted", &[("X-Forwarded-For", "203.0.113.7")]);
    let line = tomcat.wait_line("logs/access.txt", |l| l.contains("?trusted"));
    assert!(
        line.starts_with("203.0.113.7, 127.0.0.1 127.0.0.1 - - ["),
        "{line}"
    );
}
