//! Apache httpd and nginx log the client's address the way docs/client-address.md says.

use crate::common::peers::{Apache, Nginx, run};
use crate::common::*;

#[test]
fn nginx_logs_the_client() {
    let nginx = Nginx::origin("nginx");
    let lb = Setup::new()
        .server_at("nginx", &nginx.address().to_string(), "")
        .start();
    let mut client = Client::connect_from("127.0.0.42".parse().unwrap(), lb.web());
    assert_eq!(
        client
            .get("/first", &[("X-Forwarded-For", "1.2.3.4")])
            .unwrap()
            .origin(),
        "nginx"
    );
    let line = nginx.wait_line("access.log", |l| l.contains("/first"));
    assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
    assert!(line.ends_with("\"127.0.0.42\""), "{line}");
}

#[test]
fn nginx_with_realip_takes_it_for_the_address_itself() {
    let nginx = Nginx::start(
        r#"
  log_format main '$remote_addr "$request" $status';
  server {
    listen @PORT@;
    set_real_ip_from 127.0.0.1;
    real_ip_header X-Forwarded-For;
    access_log @DIR@/access.log main;
    location / { return 200 "ok\n"; }
  }"#,
    );
    let lb = Setup::new()
        .server_at("nginx", &nginx.address().to_string(), "")
        .start();
    let mut client = Client::connect_from("127.0.0.42".parse().unwrap(), lb.web());
    client
        .get("/first", &[("X-Forwarded-For", "1.2.3.4")])
        .unwrap();
    let line = nginx.wait_line("access.log", |l| l.contains("/first"));
    assert_eq!(line, "127.0.0.42 \"GET /first HTTP/1.1\" 200");
}

#[test]
fn apache_logs_the_client() {
    let apache = Apache::origin("apache", "");
    let lb = Setup::new()
        .server_at("apache", &apache.address().to_string(), "")
        .start();
    let mut client = Client::connect_from("127.0.0.42".parse().unwrap(), lb.web());
    let response = client
        .get("/?first", &[("X-Forwarded-For", "1.2.3.4")])
        .unwrap();
    assert_eq!((response.status, response.origin()), (200, "apache"));
    let line = apache.wait_line("access.log", |l| l.contains("/?first"));
    assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
    assert!(line.ends_with("\"127.0.0.42\""), "{line}");
}

#[test]
fn apache_with_remoteip_takes_it_for_the_address_itself() {
    let apache = Apache::origin(
        "apache",
        "RemoteIPHeader X-Forwarded-For\nRemoteIPInternalProxy 127.0.0.1\n\
         LogFormat \"%a %r\" short\nCustomLog \"short.log\" short\n",
    );
    let lb = Setup::new()
        .server_at("apache", &apache.address().to_string(), "")
        .start();
    let mut client = Client::connect_from("127.0.0.42".parse().unwrap(), lb.web());
    client
        .get("/?first", &[("X-Forwarded-For", "1.2.3.4")])
        .unwrap();
    let line = apache.wait_line("short.log", |l| l.contains("/?first"));
    assert_eq!(line, "127.0.0.42 GET /?first HTTP/1.1");
}

#[test]
fn both_behind_one_address() {
    let (nginx, apache) = (Nginx::origin("nginx"), Apache::origin("apache", ""));
    let lb = Setup::new()
        .server_at("nginx", &nginx.address().to_string(), "weight: 2")
        .server_at("apache", &apache.address().to_string(), "")
        .pool("health_check: {type: http, interval: 1s}")
        .start();
    lb.wait_state("app", "nginx", "up");
    lb.wait_state("app", "apache", "up");
    let url = format!("http://{}/", lb.web());
    let said: Vec<_> = (0..6).map(|_| run("curl", &["-sS", &url])).collect();
    assert_eq!(
        said.iter().filter(|s| s.trim() == "nginx").count(),
        4,
        "{said:?}"
    );
    assert_eq!(
        said.iter().filter(|s| s.trim() == "apache").count(),
        2,
        "{said:?}"
    );
}
