//! TLS towards clients (section 7 of the specification).

mod client_certificates;
mod handshakes;
mod http;
mod names;
mod renewal;
mod resumption;
mod routes;
mod stapling;
mod tools;

use crate::common::{Equipoise, Issued, Origin, Pki, Setup};

/// The name that most tests ask for.
const NAME: &str = "lb.example.com";

/// `certificates:` of these, in flow style.
fn certificates(issued: &[&Issued]) -> String {
    let each: Vec<String> = issued
        .iter()
        .map(|one| {
            format!(
                "{{cert: {}, key: {}}}",
                one.cert.display(),
                one.key.display()
            )
        })
        .collect();
    format!("certificates: [{}]", each.join(", "))
}

/// A listener with TLS; `tls` are lines of its section `tls`.
fn secured(origins: &[&Origin], tls: &str) -> Setup {
    let mut section = String::from("protocol: https\ntls:\n");
    for line in tls.lines() {
        section.push_str(&format!("  {line}\n"));
    }
    Setup::of(origins.iter().copied()).listener(&section)
}

/// The usual: one certificate for [`NAME`], one origin.
fn usual(pki: &Pki, origin: &Origin, more: &str) -> Equipoise {
    let site = pki.leaf(&[NAME]);
    secured(&[origin], &format!("{}\n{more}", certificates(&[&site]))).start()
}
