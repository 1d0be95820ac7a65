//! Which route takes a request, with few routes and with many; and the normal form of its path.

#![allow(missing_docs)]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use equipoise::config::model::{HostPattern, Match, PathForm, PathMatch};
use equipoise::headers::Fields;
use equipoise::routing::{Asked, Table, normalize};
use http::Method;

/// `count` routes: half of them of a host each, half of a path each; the last takes everything.
fn routes(count: usize) -> Vec<Match> {
    let anything = || Match {
        hosts: Vec::new(),
        path: PathMatch::Any,
        methods: Vec::new(),
        headers: Vec::new(),
        query: Vec::new(),
        clients: Vec::new(),
    };
    let mut routes: Vec<Match> = (1..count)
        .map(|n| {
            if n % 2 == 0 {
                Match {
                    hosts: vec![
                        HostPattern::Exact(format!("h{n}.example.com")),
                        HostPattern::Below(format!("h{n}.example.com")),
                    ],
                    path: PathMatch::Prefix(vec!["/app".to_owned()]),
                    ..anything()
                }
            } else {
                Match {
                    path: PathMatch::Prefix(vec![format!("/site{n}/app")]),
                    ..anything()
                }
            }
        })
        .collect();
    routes.push(anything());
    routes
}

fn find(c: &mut Criterion) {
    let mut group = c.benchmark_group("find");
    for count in [10, 1_000, 10_000] {
        let table = Table::new(&routes(count));
        let last = (count - 1) / 2 * 2;
        let (host, path) = (
            format!("www.h{last}.example.com"),
            format!("/site{}/app/page.html", last - 1),
        );
        for (what, host, path) in [
            ("host", host.as_str(), "/app/page.html"),
            ("path", "www.example.org", path.as_str()),
            ("neither", "www.example.org", "/other/page.html"),
        ] {
            let headers = Fields::new();
            let asked = Asked {
                host: Some(host),
                path: path.as_bytes(),
                query: None,
                method: &Method::GET,
                headers: &headers,
                client: IpAddr::V4(Ipv4Addr::LOCALHOST),
            };
            group.bench_function(BenchmarkId::new(what, count), |b| {
                b.iter(|| table.find(black_box(&asked)));
            });
        }
    }
    group.finish();
}

fn normal(c: &mut Criterion) {
    for (what, path) in [
        ("usual", "/assets/images/2026/11/a-usual-name.min.js"),
        (
            "parameters",
            "/shop/cart;jsessionid=0123456789ABCDEF.tomcat1",
        ),
        ("everything", "/a/./b//../%7Euser/%c3%a9;x/c"),
    ] {
        c.bench_function(&format!("normalize/{what}"), |b| {
            b.iter(|| normalize(black_box(path.as_bytes()), PathForm::default()).is_ok());
        });
    }
}

criterion_group!(benches, find, normal);
criterion_main!(benches);
