//! How `check` reports.

use serde_json::Value as Json;

use super::*;

#[test]
fn a_good_file_is_ok_and_counted() {
    let outcome = check_with(MINIMAL, &[], &[]);
    assert_eq!(
        outcome.stdout,
        "lb.yaml: ok, 1 listener, 1 pool, 1 server\n"
    );
    assert_eq!(outcome.stderr, "");
    assert_eq!(outcome.status, Some(0));
}

#[test]
fn every_problem_is_told_at_once_with_its_place() {
    let told = problems(
        "server:
  max_conections: 5
listeners:
  web:
    bind: 127.0.0.1:8080
    pool: ap
    http: {header_timeout: 5}
pools:
  app:
    algorithm: weighted_round_robbin
    servers:
      - address: 127.0.0.1
      - {address: \"a:1\", wieght: 2}
  two:
    health_check: {interval: 1s, fast_interval: 2s}
    servers:
      - {name: x, address: \"a:1\"}
      - {name: x, address: \"a:2\"}
",
    );
    let wanted = [
        "lb.yaml:2:3: server.max_conections: unknown key; did you mean max_connections?",
        "lb.yaml:6:11: listeners.web.pool: there is no pool `ap`; did you mean app?",
        "lb.yaml:7:28: listeners.web.http.header_timeout: `5` has no unit; write 5s or 5ms",
        "lb.yaml:10:16: pools.app.algorithm: `weighted_round_robbin` is unknown; it can be one of \
         weighted_round_robin, weighted_least_connections, source_hash, hash, random_two, peak_ewma; \
         did you mean weighted_round_robin?",
        "lb.yaml:12:18: pools.app.servers[0].address: `127.0.0.1` has no port; write 127.0.0.1:8080",
        "lb.yaml:13:26: pools.app.servers[1].wieght: unknown key; did you mean weight?",
        "lb.yaml:15:49: pools.two.health_check.fast_interval: 2s is longer than interval (1s)",
        "lb.yaml:18:16: pools.two.servers[1].name: two servers are named `x`; the first at lb.yaml:17:16",
    ];
    assert_eq!(told, wanted);
}

#[test]
fn a_broken_value_hides_nothing_beside_it() {
    let text = r#"
admin: {bind: nonsense, token_file: no.tokens, tls: {certificate: {cert: no-admin.pem}}}
listeners:
  web:
    bind: 127.0.0.1:65536
    protocol: https
    tls:
      min_version: "9"
      certificate: {cert: no-first.pem}
      certificates: [{cert: no-second.pem}]
      client_auth: {mode: required, ca: no-clients.pem, crl: 5}
      acme:
        domains: [a.example.com]
        external_account: {key_id: x, hmac_key_file: no.hmac}
        ca: no-authority.pem
    http: {keepalive_timeout: 5, error_pages: {503: no-page.html}}
    routes:
      - {match: {path_regex: "("}, pool: app}
      - {match: {path: /x}, basic_auth: {htpasswd_file: no.htpasswd}, pool: app}
pools:
  app:
    servers: [{address: "127.0.0.1:65536"}]
    tls: {verify: 5, ca: no-ca.pem, certificate: {cert: no-client.pem}}
    persistence: {type: cookie_insert, secret_file: no.secret}
"#;
    let told = problems(text);
    let wanted = [
        "2:15: admin.bind: ",
        "2:37: admin.token_file: ",
        "2:54: admin.tls.certificate: no-admin.pem",
        "5:11: listeners.web.bind: ",
        "8:20: listeners.web.tls.min_version: ",
        "9:7: listeners.web.tls.certificate: no-first.pem",
        "10:22: listeners.web.tls.certificates[0]: no-second.pem",
        "11:41: listeners.web.tls.client_auth.ca: no-clients.pem",
        "11:62: listeners.web.tls.client_auth.crl: ",
        "14:54: listeners.web.tls.acme.external_account.hmac_key_file: no.hmac",
        "15:13: listeners.web.tls.acme.ca: no-authority.pem",
        "16:31: listeners.web.http.keepalive_timeout: ",
        "16:53: listeners.web.http.error_pages.503: no-page.html",
        "18:30: listeners.web.routes[0].match.path_regex: ",
        "19:57: listeners.web.routes[1].basic_auth.htpasswd_file: no.htpasswd",
        "22:25: pools.app.servers[0].address: ",
        "23:19: pools.app.tls.verify: ",
        "23:26: pools.app.tls.ca: no-ca.pem",
        "23:37: pools.app.tls.certificate: no-client.pem",
        "24:53: pools.app.persistence.secret_file: ",
    ];
    let missing: Vec<_> = wanted
        .iter()
        .filter(|wanted| !told.iter().any(|told| told.contains(**wanted)))
        .collect();
    assert!(missing.is_empty(), "{missing:#?} of {told:#?}");
    let further: Vec<_> = told
        .iter()
        .filter(|told| told.starts_with("lb.yaml:"))
        .filter(|told| !wanted.iter().any(|wanted| told.contains(*wanted)))
        .collect();
    assert!(further.is_empty(), "{further:#?}");
}

#[test]
fn a_missing_file_is_a_problem() {
    let dir = TempDir::new().expect("a directory");
    let outcome = equipoise(dir.path(), &["check", "-c", "none.yaml"], &[]);
    assert_eq!(outcome.status, Some(2));
    assert!(
        outcome
            .stderr
            .starts_with("none.yaml: can't be opened: No such file"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn json_is_one_object_on_stdout() {
    let dir = TempDir::new().expect("a directory");
    let file = dir.path().join("lb.yaml");
    let args = ["check", "--elsewhere", "-c", "lb.yaml", "--format", "json"];
    fs::write(&file, MINIMAL).expect("written");
    let outcome = equipoise(dir.path(), &args, &[]);
    assert_eq!(outcome.status, Some(0));
    let report: Json = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!(
        report,
        serde_json::json!({"valid": true, "problems": [], "warnings": []})
    );

    fs::write(&file, pool("alogrithm: x\nslow_start: 0x")).expect("written");
    let outcome = equipoise(dir.path(), &args, &[]);
    assert_eq!(outcome.status, Some(2));
    assert_eq!(outcome.stderr, "");
    let report: Json = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!(report["valid"], false);
    assert_eq!(
        report["problems"][0],
        serde_json::json!({
            "file": "lb.yaml", "line": 10, "column": 5, "path": "pools.app.alogrithm",
            "message": "unknown key", "suggestion": "algorithm",
        })
    );
    assert_eq!(report["problems"][1]["column"], 17);
    assert!(report["problems"][1].get("suggestion").is_none());

    fs::remove_file(&file).expect("removed");
    let outcome = equipoise(dir.path(), &args, &[]);
    assert_eq!(outcome.status, Some(2));
    let report: Json = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!(report["problems"][0]["line"], Json::Null);
}
