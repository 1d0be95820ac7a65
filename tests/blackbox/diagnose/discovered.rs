//! Servers that DNS names, which no file lists.

use super::*;
use crate::common::peers::Dnsmasq;

fn discovering(name: &str, dns: &Dnsmasq, more: &str) -> (Option<i32>, String) {
    let yaml = format!(
        "listeners:\n  web: {{bind: \"127.0.0.1:0\", pool: app}}\npools:\n  app:\n    \
         discovery: {{dns: \"{name}\", resolvers: \"{}\"{more}}}\n",
        dns.address()
    );
    let dir = TempDir::new("diagnose");
    let file = dir.write("lb.yaml", &equipoise::complete(&yaml, dir.path()));
    let exit = Equipoise::command(&["diagnose", "-c", file.to_str().unwrap()]);
    (exit.code(), format!("{}{}", exit.stdout, exit.stderr))
}

#[test]
fn each_server_that_dns_names_is_walked_to() {
    let origin = Origin::start("a");
    let port = origin.address().port();
    let dns = Dnsmasq::start("127.0.0.1 app.test\n127.0.0.77 app.test\n", "");
    let (code, printed) = discovering(&format!("app.test:{port}"), &dns, "");
    assert_eq!(code, Some(1), "{printed}");
    for wanted in [
        &*format!("app.test is 127.0.0.1:{port}, 127.0.0.77:{port}"),
        &format!("app/127.0.0.1:{port} at 127.0.0.1:{port}"),
        &format!("app/127.0.0.77:{port} at 127.0.0.77:{port}"),
        &format!("something listens at 127.0.0.1:{port} alone"),
        "2 servers: something is wrong with 1",
    ] {
        assert!(printed.contains(wanted), "{wanted:?} in:\n{printed}");
    }
}

#[test]
fn an_answer_of_none_or_too_few_is_what_is_wrong() {
    let origin = Origin::start("a");
    let port = origin.address().port();
    let dns = Dnsmasq::start("127.0.0.1 app.test\n", "");
    for (name, more, wanted) in [
        (
            "nobody.test",
            "",
            "nobody.test does not resolve: there is no such name",
        ),
        ("app.test", ", min: 2", "fewer servers (1) than min (2)"),
    ] {
        let (code, printed) = discovering(&format!("{name}:{port}"), &dns, more);
        assert_eq!(code, Some(1), "{printed}");
        assert!(printed.contains(wanted), "{wanted:?} in:\n{printed}");
    }
}
