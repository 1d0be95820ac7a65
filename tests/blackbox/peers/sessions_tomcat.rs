//! The tutorial that everybody begins with, replayed: two Tomcats, a page that shows its session, round robin
//! that loses it, stickiness that keeps it, and what replication adds when the bound one dies.

use crate::common::peers::Tomcats;
use crate::common::*;

/// What persistence is for here.
const ROUTE: &str = "persistence: {type: route}";
const INSERT: &str = "persistence: {type: cookie_insert}";

fn behind(tomcats: &Tomcats, pool: &str) -> Equipoise {
    Setup::new()
        .server_at("tomcat1", &tomcats.one.address().to_string(), "")
        .server_at("tomcat2", &tomcats.two.address().to_string(), "")
        .pool(pool)
        .start()
}

/// A browser with a jar.
struct Browser<'a> {
    lb: &'a Equipoise,
    jar: Vec<(String, String)>,
}

/// What the page showed.
#[derive(Debug, Clone, PartialEq)]
struct Page {
    server: String,
    session: String,
    visits: u32,
}

impl Page {
    /// The session's id without the route.
    fn id(&self) -> &str {
        self.session.split('.').next().unwrap()
    }
}

impl<'a> Browser<'a> {
    fn new(lb: &'a Equipoise) -> Self {
        Self {
            lb,
            jar: Vec::new(),
        }
    }

    /// One whose session is on that Tomcat, after two visits.
    #[track_caller]
    fn on(lb: &'a Equipoise, server: &str) -> Self {
        for _ in 0..10 {
            let mut browser = Self::new(lb);
            if browser.visit().server == server {
                assert_eq!(browser.visit().visits, 2);
                return browser;
            }
        }
        panic!("no session on {server}");
    }

    #[track_caller]
    fn visit(&mut self) -> Page {
        self.visit_at("/index.jsp")
    }

    #[track_caller]
    fn visit_at(&mut self, target: &str) -> Page {
        let cookies: Vec<_> = self.jar.iter().map(|(n, v)| format!("{n}={v}")).collect();
        let cookies = cookies.join("; ");
        let headers: &[_] = &[("Cookie", cookies.as_str())];
        let response = self
            .lb
            .get(target, if cookies.is_empty() { &[] } else { headers });
        assert_eq!(response.status, 200, "{response}");
        for line in response.headers_of("set-cookie") {
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            self.jar.retain(|(n, _)| n != name);
            self.jar.push((name.to_owned(), value.to_owned()));
        }
        let shown = |key: &str| {
            let text = response.text();
            let line = text
                .lines()
                .find_map(|l| l.strip_prefix(key).map(|v| v.trim().to_owned()));
            line.unwrap_or_else(|| panic!("no {key} in {response}"))
        };
        Page {
            server: shown("server"),
            session: shown("session"),
            visits: shown("visits").parse().unwrap(),
        }
    }
}

#[test]
fn without_replication() {
    let mut tomcats = Tomcats::separate();

    // Round robin: each request comes to the Tomcat that doesn't know the session, which begins another.
    let plain = behind(&tomcats, "");
    let mut browser = Browser::new(&plain);
    let pages: Vec<_> = (0..4).map(|_| browser.visit()).collect();
    for pair in pages.windows(2) {
        assert_ne!(pair[0].server, pair[1].server);
        assert_ne!(pair[0].id(), pair[1].id());
        assert_eq!(pair[1].visits, 1, "lost: {pages:?}");
    }

    // By the jvmRoute, and by a cookie of ours: the session stays.
    let (route, insert) = (behind(&tomcats, ROUTE), behind(&tomcats, INSERT));
    for lb in [&route, &insert] {
        for server in ["tomcat1", "tomcat2"] {
            let mut browser = Browser::on(lb, server);
            let first = browser.visit();
            assert!(first.session.ends_with(&format!(".{server}")), "{first:?}");
            for visits in 4..8 {
                let page = browser.visit();
                assert_eq!(
                    page,
                    Page {
                        visits,
                        ..first.clone()
                    }
                );
            }
        }
    }
    // Also without cookies, by the path parameter that Tomcat writes into links.
    let first = Browser::new(&route).visit();
    for visits in 2..6 {
        let link = format!("/index.jsp;jsessionid={}", first.session);
        assert_eq!(
            Browser::new(&route).visit_at(&link),
            Page {
                visits,
                ..first.clone()
            }
        );
    }

    // And is lost with its Tomcat: no balancer can help that.
    let mut browsers = [&route, &insert].map(|lb| Browser::on(lb, "tomcat1"));
    let lost = browsers.each_mut().map(Browser::visit);
    tomcats.one.kill();
    for (browser, lost) in browsers.iter_mut().zip(&lost) {
        let page = browser.visit();
        assert_eq!((&*page.server, page.visits), ("tomcat2", 1));
        assert_ne!(page.id(), lost.id());
        // The new one stays, also when the first Tomcat is back.
        assert_eq!(browser.visit(), Page { visits: 2, ..page });
    }
    tomcats.one.restart();
    for browser in &mut browsers {
        let page = browser.visit();
        assert_eq!((&*page.server, page.visits), ("tomcat2", 3));
    }
}

#[test]
fn with_replication() {
    let mut tomcats = Tomcats::replicated();
    let (route, insert) = (behind(&tomcats, ROUTE), behind(&tomcats, INSERT));
    let mut browsers = [&route, &insert].map(|lb| Browser::on(lb, "tomcat1"));
    let before = browsers.each_mut().map(Browser::visit);
    assert!(before.iter().all(|page| page.visits == 3), "{before:?}");

    tomcats.one.kill();
    for (browser, before) in browsers.iter_mut().zip(&before) {
        let page = browser.visit();
        assert_eq!(page.server, "tomcat2");
        assert_eq!(page.id(), before.id(), "the same session");
        assert_eq!(page.visits, 4, "with what was in it");
        // JvmRouteBinderValve has given it the new route.
        assert!(browser.visit().session.ends_with(".tomcat2"));
    }

    // It stays there when the first one is back, and its id stays as well.
    tomcats.one.restart();
    for (browser, before) in browsers.iter_mut().zip(&before) {
        for visits in 6..8 {
            let page = browser.visit();
            assert_eq!(
                (&*page.server, page.id(), page.visits),
                ("tomcat2", before.id(), visits)
            );
        }
    }
    for lb in [&route, &insert] {
        lb.wait_idle();
        let moved = lb
            .metrics()
            .sum("equipoise_persistence_total", &[("result", "rebalanced")]);
        assert_eq!(moved, 1.0, "moved once, and then followed");
    }
}
