//! The helper that makes the certificates is tested with what others wrote.

use std::process::Command;

use crate::common::*;

#[test]
fn what_the_tests_sign_is_good_in_the_eyes_of_openssl() {
    let pki = Pki::new();
    let good = pki.leaf(&["lb.example.com", "127.0.0.1"]);
    let revoked = pki.client("mallory");
    let crl = pki.crl(&[&revoked]);
    let verify = |issued: &Issued, purpose: &str| {
        let output = Command::new("openssl")
            .args(["verify", "-crl_check_all", "-purpose", purpose, "-CAfile"])
            .arg(pki.root())
            .arg("-untrusted")
            .arg(pki.intermediate())
            .arg("-CRLfile")
            .arg(&crl)
            .arg(&issued.cert)
            .output()
            .unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let said = verify(&good, "sslserver");
    assert!(said.ends_with(": OK\n"), "{said}");
    let said = verify(&revoked, "sslclient");
    assert!(said.contains("certificate revoked"), "{said}");
    let said = verify(&pki.expired(&["old.example.com"]), "sslserver");
    assert!(said.contains("certificate has expired"), "{said}");
    let rsa = pki
        .request(&["rsa.example.com"])
        .key(Key::Rsa(2048))
        .by_root();
    let said = verify(&rsa.issue(), "sslserver");
    assert!(said.ends_with(": OK\n"), "{said}");
}
