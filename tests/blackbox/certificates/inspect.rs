//! `cert inspect`: says what there is, as `openssl` does.

use super::{cert, sh};
use crate::common::*;

fn site(pki: &Pki) -> Issued {
    let site = pki.leaf(&["lb.example.com", "*.shop.example.com", "10.0.0.1"]);
    pki.write("site.pem", site.chain_pem());
    pki.write("site.key", site.key_pem());
    site
}

#[test]
fn a_certificate_is_told_in_words_that_agree_with_openssl() {
    let pki = Pki::new();
    site(&pki);
    let exit = cert(&pki, "inspect site.pem");
    assert_eq!((exit.code(), &*exit.stderr), (Some(0), ""));
    let fingerprint = sh(
        &pki,
        "openssl x509 -in site.pem -noout -fingerprint -sha256",
    );
    let fingerprint = fingerprint.trim().split('=').nth(1).unwrap();
    let serial = sh(&pki, "openssl x509 -in site.pem -noout -serial");
    let serial = serial.trim().split('=').nth(1).unwrap();
    for said in [
        "site.pem: PEM\n",
        "certificate, line 1\n",
        "subject      CN=lb.example.com\n",
        "names        lb.example.com, *.shop.example.com, 10.0.0.1\n",
        "issuer       CN=Test Intermediate\n",
        "validity     90 days left\n",
        "key          ECDSA P-256\n",
        "signature    ecdsa-with-SHA256\n",
        &format!("SHA-256      {fingerprint}\n"),
        "chain: lb.example.com, signed by Test Intermediate, signed by CN=Test Root (not in this file)\n",
    ] {
        assert!(exit.stdout.contains(said), "{said}\n{}", exit.stdout);
    }
    let shown = exit
        .stdout
        .lines()
        .find(|line| line.contains("serial"))
        .unwrap();
    assert_eq!(shown.replace([':', ' '], ""), format!("serial{serial}"));
}

#[test]
fn keys_requests_and_lists_are_told_and_what_belongs_together_shows() {
    let pki = Pki::new();
    let site = site(&pki);
    let crl = pki.crl(&[&site]);
    sh(
        &pki,
        "openssl req -new -key site.key -subj '/O=Example Ltd/CN=lb.example.com' -out site.csr
         openssl pkey -in site.key -pubout -out public.pem; openssl genrsa -out rsa.key 2048
         openssl pkcs12 -export -in site.pem -inkey site.key -passout pass: -out site.pfx",
    );
    let crl = crl.file_name().unwrap().to_str().unwrap().to_owned();
    let exit = cert(
        &pki,
        &format!("inspect site.key site.csr public.pem rsa.key site.pfx {crl}"),
    );
    assert_eq!((exit.code(), &*exit.stderr), (Some(0), ""));
    for said in [
        "private key, line 1\n    key          ECDSA P-256\n",
        "request for a certificate (CSR), line 1\n    subject      CN=lb.example.com, O=Example Ltd\n",
        "public key, line 1\n",
        "key          RSA 2048 bits\n",
        "site.pfx: PFX (PKCS#12)\n  certificate\n",
        "revocation list (CRL), line 1\n    issuer       CN=Test Intermediate\n    revoked      1 certificate\n",
    ] {
        assert!(exit.stdout.contains(said), "{said}\n{}", exit.stdout);
    }
    let digest = sh(
        &pki,
        "openssl pkey -in site.key -pubout -outform DER | openssl dgst -sha256 -c -hex",
    );
    let digest = digest.trim().rsplit(' ').next().unwrap().to_uppercase();
    let count = exit.stdout.matches(&*digest).count();
    assert_eq!(
        count, 5,
        "key, request, public key, and in the PFX both: {digest}\n{}",
        exit.stdout
    );
}

#[test]
fn machines_get_json() {
    let pki = Pki::new();
    site(&pki);
    let exit = cert(&pki, "inspect --format json site.pem site.key");
    assert_eq!(exit.code(), Some(0), "{exit:?}");
    let report: serde_json::Value = serde_json::from_str(&exit.stdout).unwrap();
    let leaf = &report["files"][0]["contents"][0];
    assert_eq!(leaf["kind"], "certificate");
    assert_eq!(leaf["line"], 1);
    assert_eq!(leaf["days_left"], 90);
    assert_eq!(leaf["names"][1], "*.shop.example.com");
    let key = &report["files"][1]["contents"][0];
    assert_eq!(key["public_key_sha256"], leaf["public_key_sha256"]);
}

#[test]
fn what_stays_closed_is_damaged_or_unknown_is_told_and_gives_1() {
    let pki = Pki::new();
    let site = site(&pki);
    pki.write("pw", "guess\n");
    pki.write("cut.pem", &site.chain_pem()[..500]);
    pki.write("page.pem", "<html></html>");
    sh(
        &pki,
        "openssl pkcs8 -topk8 -in site.key -passout pass:secret -out closed.key
         openssl pkcs12 -export -in site.pem -inkey site.key -passout pass:secret -out site.pfx",
    );
    for (args, said) in [
        (
            "closed.key",
            "encrypted; give its password with --password-file",
        ),
        (
            "closed.key --password-file pw",
            "the password doesn't open it",
        ),
        (
            "site.pfx",
            "encrypted; give its password with --password-file",
        ),
        (
            "cut.pem",
            "cut.pem: damaged: line 1: BEGIN CERTIFICATE has no END",
        ),
        ("page.pem", "a web page (HTML or XML)"),
    ] {
        let exit = cert(&pki, &format!("inspect {args}"));
        assert_eq!(exit.code(), Some(1), "{args}: {exit:?}");
        let all = format!("{}{}", exit.stdout, exit.stderr);
        assert!(all.contains(said), "{args}: {all}");
    }
    pki.write("pw", "secret\n");
    let exit = cert(&pki, "inspect --password-file pw closed.key site.pfx");
    assert_eq!(exit.code(), Some(0), "{exit:?}");
}

#[test]
fn an_end_that_is_past_is_told() {
    let pki = Pki::new();
    let old = pki.request(&["lb.example.com"]).days(-90, -3).issue();
    pki.write("old.pem", old.chain_pem());
    let exit = cert(&pki, "inspect old.pem");
    assert!(
        exit.stdout.contains("validity     expired 2 days ago\n"),
        "{}",
        exit.stdout
    );
}

#[test]
fn a_name_with_control_characters_can_not_write_on_the_terminal() {
    let pki = Pki::new();
    sh(
        &pki,
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k.key -subj \"/CN=$(printf 'a\\033[31mb')\" -out odd.pem",
    );
    let exit = cert(&pki, "inspect odd.pem");
    assert!(!exit.stdout.contains('\x1b'), "{:?}", exit.stdout);
    assert!(exit.stdout.contains("CN=a\\u{1b}[31mb"), "{}", exit.stdout);
    let exit = cert(&pki, "check --cert odd.pem");
    assert!(!exit.stderr.contains('\x1b'), "{:?}", exit.stderr);

    // Nor can an alternative name, which gets no further name into a request either.
    pki.write(
        "odd.pem",
        pki.request(&["a\x1b[31m.example.com", "b,DNS:c"])
            .self_signed()
            .issue()
            .chain_pem(),
    );
    let exit = cert(&pki, "check --cert odd.pem --ca odd.pem --host example.com");
    assert!(!exit.stderr.contains('\x1b'), "{:?}", exit.stderr);
    assert!(
        exit.stderr
            .contains("-addext subjectAltName=DNS:example.com "),
        "{}",
        exit.stderr
    );
    let exit = cert(&pki, "check --cert odd.pem --ca odd.pem");
    assert!(
        !exit.stdout.contains('\x1b') && exit.stdout.contains(": ok, a\\u{1b}"),
        "{exit:?}"
    );
}
