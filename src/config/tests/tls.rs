//! TLS of listeners.

use super::{accepted, refused};
use crate::config::model::{Alpn, Config};

fn listener(protocol: &str, lines: &str) -> String {
    format!(
        "
listeners:
  web:
    bind: 127.0.0.1:443
    protocol: {protocol}
    pool: app
    tls:
      certificates: [{{bundle: site.pem}}]
      {lines}
pools: {{app: {{servers: [{{address: \"127.0.0.1:8080\"}}]}}}}
"
    )
}

fn offered(config: &Config) -> Vec<Alpn> {
    let tls = config.listeners[0].tls.as_ref();
    tls.expect("TLS").alpn.clone()
}

#[test]
fn https_offers_what_it_speaks_and_tls_what_it_is_told() {
    let other = |name: &str| Alpn::Other(name.into());
    for (protocol, lines, wanted) in [
        ("https", "", vec![Alpn::H2, Alpn::Http11]),
        ("https", "alpn: [http/1.1]", vec![Alpn::Http11]),
        ("https", "alpn: []", vec![]),
        ("tls", "", vec![]),
        ("tls", "alpn: [postgresql]", vec![other("postgresql")]),
        ("tls", "alpn: [h2, mqtt]", vec![Alpn::H2, other("mqtt")]),
    ] {
        let config = accepted(&listener(protocol, lines));
        assert_eq!(offered(&config), wanted, "{protocol} {lines}");
    }
}

#[test]
fn names_that_cant_be_offered_are_refused() {
    let long = "x".repeat(256);
    for (protocol, names, words) in [
        ("https", "h3", "isn't spoken by https"),
        ("https", "http/1.2", "did you mean http/1.1?"),
        ("tls", "acme-tls/1", "is offered by itself"),
        ("tls", "\"a b\"", "is not the name of a protocol"),
        ("tls", "\"\"", "is not the name of a protocol"),
        ("tls", &long, "is not the name of a protocol"),
    ] {
        let problems = refused(&listener(protocol, &format!("alpn: [{names}]")));
        assert!(
            problems.len() == 1
                && problems[0].starts_with("t.yaml:9:14: listeners.web.tls.alpn[0]: ")
                && problems[0].contains(words),
            "{problems:?}"
        );
    }
    let problems = refused(&listener("tls", "alpn: [mqtt, h2, mqtt]"));
    assert_eq!(
        problems,
        ["t.yaml:9:24: listeners.web.tls.alpn[2]: is written twice"]
    );
}
