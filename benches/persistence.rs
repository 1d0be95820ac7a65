//! What session persistence adds to a request: finding the cookie, checking its token, cutting it out; and to
//! the responses that set it: making the token and its line.

#![allow(missing_docs)]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use equipoise::config::model::{
    CookieAttributes, CookieInsert, CookieRewrite, Learn, LearnedFrom, OnUnavailable, Persistence,
    RoutePersistence, SameSite, Secure, SourceIp, Store, Table, Token,
};
use equipoise::headers::Fields;
use equipoise::persistence::{Affinity, Answered, Keyring, Member, RequestView, UnixTime};
use http::HeaderValue;
use http::header::{COOKIE, SET_COOKIE};

const NOW: UnixTime = UnixTime(1_800_000_000);
const HOUR: Duration = Duration::from_secs(3600);

fn insert(token: Token) -> Persistence {
    Persistence::CookieInsert(CookieInsert {
        cookie: "ID".into(),
        timeout: Some(HOUR),
        max_lifetime: None,
        token,
        secret_file: None,
        attributes: CookieAttributes {
            domain: None,
            path: "/".to_owned(),
            secure: Secure::Auto,
            http_only: true,
            same_site: SameSite::Lax,
            partitioned: false,
        },
        on_unavailable: OnUnavailable::Rebalance,
    })
}

fn rewrite() -> CookieRewrite {
    CookieRewrite {
        cookie: "ID".into(),
        timeout: None,
        max_lifetime: None,
        token: Token::Signed,
        secret_file: None,
        on_unavailable: OnUnavailable::Rebalance,
    }
}

fn route() -> Persistence {
    Persistence::Route(RoutePersistence {
        cookie: "ID".into(),
        separator: ".".to_owned(),
        path_parameter: Some("jsessionid".into()),
        query_parameter: None,
        insert: None,
        on_unavailable: OnUnavailable::Rebalance,
    })
}

fn table() -> Table {
    Table {
        size: 1_000_000,
        store: Store::Memory,
    }
}

fn learn() -> Persistence {
    Persistence::Learn(Learn {
        from: LearnedFrom::Cookie("ID".into()),
        timeout: HOUR,
        max_lifetime: None,
        table: table(),
        on_unavailable: OnUnavailable::Rebalance,
    })
}

fn source_ip() -> Persistence {
    Persistence::SourceIp(SourceIp {
        prefix_v4: 32,
        prefix_v6: 64,
        timeout: HOUR,
        max_lifetime: None,
        table: table(),
        on_unavailable: OnUnavailable::Rebalance,
    })
}

/// A pool of ten servers whose secret is the last of `secrets`.
fn affinity(settings: &Persistence, secrets: usize) -> Option<Affinity<Arc<str>>> {
    let lines: Vec<_> = (1..=secrets)
        .rev()
        .map(|n| format!("a secret for benchmarks, number {n}"))
        .collect();
    let keys = Keyring::parse(lines.join("\n").as_bytes()).ok()?;
    let servers = (0..10).map(|n| {
        let name: Arc<str> = format!("tomcat{n}").into();
        Member {
            route: name.clone(),
            handle: name.clone(),
            name,
        }
    });
    Affinity::new(settings, Some(&keys), "tomcats", servers)
}

/// A request that carries `cookies` of other applications and then `ours`.
fn request(cookies: usize, ours: &str) -> Fields {
    let mut line = String::new();
    for n in 0..cookies {
        line += "_analytics";
        line += &n.to_string();
        line += "=GA1.2.1234567890.1800000000; ";
    }
    line += ours;
    let mut request = Fields::new();
    if let Ok(line) = HeaderValue::from_str(&line) {
        request.insert(COOKIE, line);
    }
    request
}

fn view<'a>(headers: &'a Fields, path: &'a str) -> RequestView<'a> {
    RequestView {
        headers,
        path: path.as_bytes(),
        query: None,
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        last_token: None,
    }
}

/// A response in which the server sets its own cookie, and two others.
fn response() -> Fields {
    let mut response = Fields::new();
    for line in [
        "lang=en; Path=/",
        "ID=0A1B2C3D4E5F60718293A4B5C6D7E8F9.tomcat7; Path=/; HttpOnly",
        "theme=dark; Path=/",
    ] {
        response.append(SET_COOKIE, HeaderValue::from_static(line));
    }
    response
}

fn answered(request: &Fields) -> Answered<'_> {
    Answered {
        server: "tomcat7",
        route: "tomcat7",
        stayed: None,
        asked: None,
        request,
        now: NOW,
        https: true,
    }
}

/// The cookie that a client would send back.
fn cookie(affinity: &Affinity<Arc<str>>) -> String {
    let mut response = response();
    affinity.finish_response(&mut response, &answered(&Fields::new()));
    let lines = response.get_all(SET_COOKIE).iter();
    lines
        .filter_map(|line| line.to_str().ok()?.split(';').next())
        .find(|pair| pair.starts_with("ID="))
        .unwrap_or_default()
        .to_owned()
}

fn read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read");
    let (Some(signed), Some(rotated), Some(named)) = (
        affinity(&insert(Token::Signed), 1),
        affinity(&insert(Token::Signed), 8),
        affinity(&insert(Token::Name), 1),
    ) else {
        return;
    };
    let ours = cookie(&signed);
    let mut forged = ours.clone();
    forged.replace_range(forged.len() - 1.., "A");
    let cases = [
        ("no_cookie", &signed, Fields::new()),
        ("signed", &signed, request(0, &ours)),
        ("signed_after_20_others", &signed, request(20, &ours)),
        ("signed_by_oldest_of_8", &rotated, request(0, &ours)),
        ("forged", &signed, request(0, &forged)),
        ("name", &named, request(0, "ID=tomcat7")),
    ];
    for (name, affinity, request) in &cases {
        let view = view(request, "/");
        group.bench_function(*name, |bencher| {
            bencher.iter(|| affinity.lookup(black_box(&view), NOW));
        });
    }
    let hostile = request(0, &format!("{forged}; ").repeat(1000));
    let view = view(&hostile, "/");
    group.bench_function("1000_forged_in_one_request", |bencher| {
        bencher.iter(|| signed.lookup(black_box(&view), NOW));
    });
    group.finish();
}

/// The other types, each with the cookie that a response of its own set.
fn read_by_type(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read_by_type");
    let types = [
        ("rewrite", Persistence::CookieRewrite(rewrite()), "/"),
        ("prefix", Persistence::CookiePrefix(rewrite()), "/"),
        ("route", route(), "/"),
        ("learn", learn(), "/"),
        ("source_ip", source_ip(), "/"),
    ];
    for (name, settings, path) in types {
        let Some(affinity) = affinity(&settings, 1) else {
            continue;
        };
        let request = request(5, &cookie(&affinity));
        let view = view(&request, path);
        group.bench_function(name, |bencher| {
            bencher.iter(|| affinity.lookup(black_box(&view), NOW));
        });
    }
    if let Some(affinity) = affinity(&route(), 1) {
        let request = request(5, "x=1");
        let view = view(&request, "/shop/cart/item.jsp;jsessionid=0A1B2C3D.tomcat7");
        group.bench_function("route_in_path", |bencher| {
            bencher.iter(|| affinity.lookup(black_box(&view), NOW));
        });
    }
    group.finish();
}

fn write(criterion: &mut Criterion) {
    let types = [
        ("insert", insert(Token::Signed)),
        ("rewrite", Persistence::CookieRewrite(rewrite())),
        ("prefix", Persistence::CookiePrefix(rewrite())),
        ("learn", learn()),
    ];
    for (name, settings) in types {
        let Some(affinity) = affinity(&settings, 1) else {
            continue;
        };
        let empty = Fields::new();
        let facts = answered(&empty);
        criterion.bench_function(&format!("finish_response/{name}"), |bencher| {
            bencher.iter_batched_ref(
                response,
                |response| affinity.finish_response(response, black_box(&facts)),
                BatchSize::SmallInput,
            );
        });
        for others in [0, 20] {
            let request = request(others, &cookie(&affinity));
            let name = format!("prepare_request/{name}/after_{others}_others");
            criterion.bench_function(&name, |bencher| {
                bencher.iter_batched_ref(
                    || request.clone(),
                    |request| affinity.prepare_request(request),
                    BatchSize::SmallInput,
                );
            });
        }
    }
}

criterion_group!(benches, read, read_by_type, write);
criterion_main!(benches);
