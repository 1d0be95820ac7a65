//! `discovery`: servers that DNS names, asked of a real name server.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpListener;

use nix::sys::signal::Signal;

use crate::common::lab::{Machine, as_root};
use crate::common::peers::Dnsmasq;
use crate::common::*;

/// Servers at one port of these addresses, which name themselves by their address. Returns the port.
fn serve_at(addresses: &[&'static str]) -> u16 {
    loop {
        let first = TcpListener::bind((addresses[0], 0)).unwrap();
        let port = first.local_addr().unwrap().port();
        let all = addresses[1..]
            .iter()
            .map(|address| TcpListener::bind((*address, port)));
        let Ok(others) = all.collect::<Result<Vec<_>, _>>() else {
            continue;
        };
        let all = std::iter::once(first).chain(others);
        for (listener, name) in all.zip(addresses.iter().copied()) {
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let Ok(mut stream) = stream else { return };
                    std::thread::spawn(move || {
                        let answer = format!(
                            "HTTP/1.1 200 OK\r\nX-Origin: {name}\r\nContent-Length: 0\r\n\r\n"
                        );
                        while stream.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {
                            let _ = stream.write_all(answer.as_bytes());
                        }
                    });
                }
            });
        }
        return port;
    }
}

fn yaml(discovery: &str, more: &str) -> String {
    format!(
        "listeners:\n  web:\n    bind: \"127.0.0.1:0\"\n    pool: app\n\
         pools:\n  app:\n    health_check: null\n    discovery: {{interval: 200ms, {discovery}}}\n{more}"
    )
}

/// A pool of the addresses of app.test, asked of `dns`.
fn at_port(port: u16, dns: &Dnsmasq) -> String {
    format!("dns: \"app.test:{port}\", resolvers: \"{}\"", dns.address())
}

fn names(lb: &Equipoise) -> BTreeSet<String> {
    let status = lb.status();
    let servers = status["pools"][0]["servers"].as_array().unwrap().clone();
    servers
        .iter()
        .map(|server| server["name"].as_str().unwrap().to_owned())
        .collect()
}

#[track_caller]
fn wait_names(lb: &Equipoise, wanted: &[String]) {
    let wanted: BTreeSet<String> = wanted.iter().cloned().collect();
    eventually(SOON * 2, || {
        let found = names(lb);
        if found == wanted {
            Ok(())
        } else {
            Err(format!("{found:?}, wanted {wanted:?}"))
        }
    });
}

fn served_by(lb: &Equipoise, count: usize) -> BTreeSet<String> {
    (0..count)
        .map(|_| {
            let response = lb.get("/", &[]);
            assert_eq!(response.status, 200, "{response}");
            response.origin().to_owned()
        })
        .collect()
}

fn hosts(addresses: &[&str]) -> String {
    addresses.iter().fold(String::new(), |mut text, address| {
        let _ = writeln!(text, "{address} app.test");
        text
    })
}

const ONE: &str = "127.0.0.1";
const TWO: &str = "127.0.0.2";
const THREE: &str = "127.0.0.3";

#[test]
fn each_address_is_a_server_and_stays_who_it_is() {
    let port = serve_at(&[ONE, TWO, THREE]);
    let at = |address: &str| format!("{address}:{port}");
    let dns = Dnsmasq::start(&hosts(&[ONE, TWO]), "");
    let lb = Equipoise::start(&yaml(&at_port(port, &dns), ""));
    wait_names(&lb, &[at(ONE), at(TWO)]);
    assert_eq!(served_by(&lb, 6), [ONE, TWO].map(str::to_owned).into());
    lb.wait_idle();
    let requests = || lb.server("app", &at(ONE))["requests"].as_u64().unwrap();
    assert_eq!(requests(), 3);
    dns.set_hosts(&hosts(&[THREE, ONE]));
    wait_names(&lb, &[at(THREE), at(ONE)]);
    assert_eq!(requests(), 3, "it is the same server as before");
    assert_eq!(served_by(&lb, 6), [ONE, THREE].map(str::to_owned).into());
}

#[test]
fn an_answer_of_too_few_changes_nothing_and_says_so() {
    let port = serve_at(&[ONE, TWO]);
    let at = |address: &str| format!("{address}:{port}");
    let dns = Dnsmasq::start(&hosts(&[ONE, TWO]), "");
    let lb = Equipoise::start(&yaml(&format!("min: 2, {}", at_port(port, &dns)), ""));
    wait_names(&lb, &[at(ONE), at(TWO)]);
    dns.set_hosts(&hosts(&[ONE]));
    eventually(SOON, || {
        lb.stderr().contains("fewer servers (1) than min (2)")
    });
    assert_eq!(served_by(&lb, 4).len(), 2);
    dns.set_hosts("");
    eventually(SOON, || {
        lb.stderr()
            .contains("app.test does not resolve: there is no such name")
    });
    assert_eq!(served_by(&lb, 4).len(), 2);
    dns.set_hosts(&hosts(&[TWO, ONE]));
    eventually(SOON, || lb.stderr().contains("answered again"));
}

/// One that moves is followed: those of before are no better.
#[test]
fn too_few_from_the_start_are_who_there_is() {
    let port = serve_at(&[ONE, TWO]);
    let at = |address: &str| format!("{address}:{port}");
    let dns = Dnsmasq::start(&hosts(&[ONE]), "");
    let lb = Equipoise::start(&yaml(&format!("min: 2, {}", at_port(port, &dns)), ""));
    wait_names(&lb, &[at(ONE)]);
    let said = "discovery: the answer is taken for want of a better one";
    eventually(SOON, || lb.stderr().contains(said));
    dns.set_hosts(&hosts(&[TWO]));
    wait_names(&lb, &[at(TWO)]);
    assert_eq!(served_by(&lb, 2), [TWO.to_owned()].into());
    dns.set_hosts(&hosts(&[ONE, TWO]));
    wait_names(&lb, &[at(ONE), at(TWO)]);
    dns.set_hosts(&hosts(&[ONE]));
    let said = "discovery: the last good servers are kept";
    eventually(SOON, || lb.stderr().contains(said));
    assert_eq!(served_by(&lb, 4).len(), 2);
}

/// A name server that has addresses of one kind itself, and asks another one for the rest, who refuses.
#[test]
fn addresses_of_a_kind_that_cannot_be_asked_for_stay_as_they_are() {
    let port = serve_at(&[ONE, TWO, "::1"]);
    let (v4, v6) = (
        |address: &str| format!("{address}:{port}"),
        format!("[::1]:{port}"),
    );
    let rest = Dnsmasq::start("", "");
    let (at, port_of_rest) = (rest.address().ip(), rest.address().port());
    let named = |address: &str| format!("{address} app.other\n");
    let dns = Dnsmasq::start(&named(ONE), &format!("server=/other/{at}#{port_of_rest}"));
    let asked = format!(
        "dns: \"app.other:{port}\", resolvers: \"{}\"",
        dns.address()
    );
    let lb = Equipoise::start(&yaml(&asked, ""));
    wait_names(&lb, &[v4(ONE)]);
    assert_eq!(served_by(&lb, 2), [ONE.to_owned()].into());
    eventually(SOON, || {
        lb.stderr().contains("AAAA records can't be asked for")
    });
    rest.set_hosts(&named("::1"));
    wait_names(&lb, &[v4(ONE), v6.clone()]);
    eventually(SOON, || lb.stderr().contains("answered again"));
    rest.set_hosts("");
    dns.set_hosts(&named(TWO));
    wait_names(&lb, &[v4(TWO), v6]);
}

#[test]
fn a_name_server_that_is_down_stops_nothing() {
    let port = serve_at(&[ONE]);
    let mut dns = Dnsmasq::start(&hosts(&[ONE]), "");
    dns.kill();
    let lb = Equipoise::start(&yaml(&at_port(port, &dns), ""));
    assert_eq!(lb.get("/", &[]).status, 503);
    eventually(SOON * 2, || {
        lb.stderr().contains("app.test does not resolve")
    });
    let said = "discovery: there are no servers yet";
    assert!(lb.stderr().contains(said), "{}", lb.stderr());
    dns.restart();
    eventually(SOON * 2, || lb.get("/", &[]).status == 200);
    dns.kill();
    lb.rewrite(&yaml(&at_port(port, &dns), "    slow_start: 1s\n"));
    lb.signal(Signal::SIGHUP);
    let done = [("result", "success")];
    eventually(SOON, || {
        lb.metrics().sum("equipoise_config_reloads_total", &done) == 1.0
    });
    assert_eq!(lb.get("/", &[]).status, 200, "the last good answer counts");
}

#[test]
fn services_have_ports_weights_and_backups() {
    let (first, second) = (serve_at(&[ONE]), serve_at(&[TWO]));
    let records = format!(
        "srv-host=_http._tcp.app.test,one.test,{first},10,30\n\
         srv-host=_http._tcp.app.test,two.test,{second},10,10\n\
         srv-host=_http._tcp.app.test,three.test,{second},20,5\n\
         srv-host=_http._tcp.app.test,none.test,{second},20,5"
    );
    let dns = Dnsmasq::start(
        "127.0.0.1 one.test\n127.0.0.2 two.test\n127.0.0.3 three.test\n",
        &records,
    );
    let keys = format!("dns: _http._tcp.app.test, resolvers: \"{}\"", dns.address());
    let lb = Equipoise::start(&yaml(&keys, ""));
    let at = |address: &str, port: u16| format!("{address}:{port}");
    wait_names(&lb, &[at(ONE, first), at(TWO, second), at(THREE, second)]);
    let count = (0..40).filter(|_| lb.get("/", &[]).origin() == ONE).count();
    assert_eq!(count, 30);
    let backup = |name: &str| lb.server("app", name)["backup"].as_bool().unwrap();
    assert!(backup(&at(THREE, second)) && !backup(&at(TWO, second)));
}

#[test]
fn an_answer_that_does_not_fit_into_a_packet_is_asked_for_again() {
    let port = serve_at(&[ONE]);
    let many: String = (1..=200).fold(String::new(), |mut text, n| {
        let _ = writeln!(text, "127.0.1.{n} app.test");
        text
    });
    let dns = Dnsmasq::start(&many, "");
    let lb = Equipoise::start(&yaml(&at_port(port, &dns), ""));
    eventually(SOON * 2, || names(&lb).len() == 200);
}

#[test]
fn a_name_may_be_another_ones_alias() {
    let port = serve_at(&[ONE, TWO]);
    let dns = Dnsmasq::start(
        "127.0.0.1 real.test\n127.0.0.2 real.test\n",
        "cname=app.test,real.test",
    );
    let lb = Equipoise::start(&yaml(&at_port(port, &dns), ""));
    wait_names(&lb, &[format!("{ONE}:{port}"), format!("{TWO}:{port}")]);
    assert_eq!(served_by(&lb, 4).len(), 2);
}

#[test]
fn both_kinds_of_addresses_are_servers() {
    let port = serve_at(&[ONE, "::1"]);
    let dns = Dnsmasq::start(&hosts(&[ONE, "::1"]), "");
    let lb = Equipoise::start(&yaml(&at_port(port, &dns), ""));
    wait_names(&lb, &[format!("{ONE}:{port}"), format!("[::1]:{port}")]);
    assert_eq!(served_by(&lb, 4).len(), 2);
}

#[test]
fn the_machines_own_table_counts() {
    let port = serve_at(&[ONE, TWO]);
    let dir = TempDir::new("hosts");
    dir.write("hosts", &hosts(&[ONE, TWO]));
    let text = yaml(&format!("dns: \"app.test:{port}\""), "");
    let lb = Equipoise::start_in(dir, &text);
    wait_names(&lb, &[format!("{ONE}:{port}"), format!("{TWO}:{port}")]);
    lb.set_hosts(&hosts(&[TWO]));
    wait_names(&lb, &[format!("{TWO}:{port}")]);
    assert_eq!(served_by(&lb, 2), [TWO.to_owned()].into());
}

#[test]
fn sessions_and_the_operators_word_stay_with_a_server() {
    let port = serve_at(&[ONE, TWO, THREE]);
    let at = |address: &str| format!("{address}:{port}");
    let dns = Dnsmasq::start(&hosts(&[ONE, TWO]), "");
    let lb = Equipoise::start(&yaml(
        &at_port(port, &dns),
        "    persistence: {type: cookie_insert}\n",
    ));
    wait_names(&lb, &[at(ONE), at(TWO)]);
    let first = lb.get("/", &[]);
    let cookie = format!("SERVERID={}", first.cookie("SERVERID").unwrap());
    dns.set_hosts(&hosts(&[THREE, TWO, ONE]));
    wait_names(&lb, &[at(ONE), at(TWO), at(THREE)]);
    for _ in 0..5 {
        let response = lb.get("/", &[("Cookie", &cookie)]);
        assert_eq!(response.origin(), first.origin());
    }
}

#[test]
fn a_reload_keeps_what_was_discovered() {
    let port = serve_at(&[ONE, TWO]);
    let at = |address: &str| format!("{address}:{port}");
    let mut dns = Dnsmasq::start(&hosts(&[ONE, TWO]), "");
    let lb = Equipoise::start(&yaml(&at_port(port, &dns), ""));
    wait_names(&lb, &[at(ONE), at(TWO)]);
    dns.kill();
    for (text, names) in [
        (
            yaml(&format!("min: 2, {}", at_port(port, &dns)), ""),
            vec![at(ONE), at(TWO)],
        ),
        (
            format!(
                "listeners:\n  web:\n    bind: \"127.0.0.1:0\"\n    pool: app\npools:\n  app:\n    \
                 health_check: null\n    servers: [\"{}\"]\n",
                at(TWO)
            ),
            vec![at(TWO)],
        ),
    ] {
        lb.rewrite(&text);
        lb.signal(Signal::SIGHUP);
        wait_names(&lb, &names);
        assert_eq!(lb.get("/", &[]).status, 200);
    }
}

#[test]
fn the_shipped_file_runs() {
    let port = serve_at(&[ONE, TWO]);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/conf/dns-discovery.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let text = text
        .replace("0.0.0.0:8080", "127.0.0.1:0")
        .replace("backend.example.com:8081", &format!("app.test:{port}"));
    let dir = TempDir::new("hosts");
    dir.write("hosts", &hosts(&[ONE, TWO]));
    let lb = Equipoise::start_in(dir, &text);
    wait_names(&lb, &[format!("{ONE}:{port}"), format!("{TWO}:{port}")]);
    for address in [ONE, TWO] {
        lb.wait_state("app", &format!("{address}:{port}"), "up");
    }
    assert_eq!(served_by(&lb, 4).len(), 2);
}

/// A machine with one name server at the port where they are asked, and with these lines of `/etc/resolv.conf` before it.
fn on_a_machine(
    name: &str,
    lines: &str,
    hosts: &str,
    records: &str,
    test: impl FnOnce(TempDir, &Dnsmasq) + Send,
) {
    as_root(name, || {
        Machine::new().run(|| {
            // Names outside are none, rather than asked for elsewhere.
            let dns = Dnsmasq::start_at_53(hosts, &format!("local=/#/\n{records}"));
            let dir = TempDir::new("resolv");
            dir.write("resolv.conf", &format!("{lines}\nnameserver 127.0.0.1\n"));
            test(dir, &dns);
        });
    });
}

/// As every other program on the machine takes them: first with the domains, and a name with dots as it is, too.
#[test]
fn the_machines_search_domains_count() {
    let name = "discovery::the_machines_search_domains_count";
    let hosts = "127.0.0.1 app.corp.test\n127.0.0.2 app.eu.corp.test\n127.0.0.3 whole.test\n";
    on_a_machine(name, "search none.test corp.test", hosts, "", |dir, dns| {
        let port = serve_at(&[ONE, TWO, THREE]);
        let lb = Equipoise::start_in(dir, &yaml(&format!("dns: \"app:{port}\""), ""));
        wait_names(&lb, &[format!("{ONE}:{port}")]);
        for (dns_name, address) in [
            ("app.eu", TWO),
            ("whole.test", THREE),
            ("whole.test.", THREE),
            ("app.corp.test.", ONE),
        ] {
            lb.rewrite(&yaml(&format!("dns: \"{dns_name}:{port}\""), ""));
            lb.signal(Signal::SIGHUP);
            wait_names(&lb, &[format!("{address}:{port}")]);
            assert_eq!(served_by(&lb, 2), [address.to_owned()].into(), "{dns_name}");
        }
        // What changes there counts at the next look-up, as the file does.
        dns.set_hosts("127.0.0.2 app.corp.test\n");
        wait_names(&lb, &[format!("{TWO}:{port}")]);
    });
}

#[test]
fn services_are_searched_for_in_the_machines_domains() {
    let name = "discovery::services_are_searched_for_in_the_machines_domains";
    let port = ReservedPort::new().port();
    let records = format!("srv-host=_http._tcp.app.corp.test,one.corp.test,{port},10,30");
    let hosts = "127.0.0.1 one.corp.test\n";
    on_a_machine(name, "search corp.test", hosts, &records, |dir, _dns| {
        let lb = Equipoise::start_in(dir, &yaml("dns: _http._tcp.app", ""));
        wait_names(&lb, &[format!("{ONE}:{port}")]);
    });
}

/// `/etc/hosts` comes first, by any of a line's names.
#[test]
fn the_machines_table_comes_before_its_name_servers() {
    let name = "discovery::the_machines_table_comes_before_its_name_servers";
    let hosts = "127.0.0.1 app.corp.test\n";
    on_a_machine(name, "search corp.test", hosts, "", |dir, _dns| {
        let port = serve_at(&[ONE, TWO]);
        dir.write(
            "hosts",
            "# by hand\n127.0.0.2\tmachine.corp.test app.corp.test app # here\n",
        );
        let lb = Equipoise::start_in(dir, &yaml(&format!("dns: \"app:{port}\""), ""));
        wait_names(&lb, &[format!("{TWO}:{port}")]);
        lb.rewrite(&yaml(&format!("dns: \"app.corp.test:{port}\""), ""));
        lb.signal(Signal::SIGHUP);
        eventually(SOON, || lb.stderr().contains("configuration reloaded"));
        assert_eq!(served_by(&lb, 2), [TWO.to_owned()].into());
        // What it has of one kind is all there is.
        lb.set_hosts("::1 app.corp.test\n");
        wait_names(&lb, &[format!("[::1]:{port}")]);
        lb.set_hosts("");
        wait_names(&lb, &[format!("{ONE}:{port}")]);
    });
}
