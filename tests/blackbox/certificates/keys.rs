//! Keys that don't fit, and keys that stay closed.

use super::{cert, is_good, problem, problems, sh, sh_with_input, site};
use crate::common::*;

#[test]
fn a_key_of_another_certificate() {
    let pki = Pki::new();
    site(&pki);
    let other = pki.leaf(&["other.example.com"]);
    pki.write("other.key", other.key_pem());
    let args = "--cert site.pem --key other.key";
    let found = problem(&pki, args, Some(1), "the key does not match");
    assert_eq!(found.file, "other.key");
    // The digest that it tells is the one that `cert inspect` shows for the right key.
    let digest = found.mend.split("SHA-256, ").nth(1).unwrap();
    let digest = digest.split(' ').next().unwrap();
    assert_eq!(digest.len(), 95);
    assert!(cert(&pki, "inspect site.key").stdout.contains(digest));
    assert!(!cert(&pki, "inspect other.key").stdout.contains(digest));
    // The request that it makes is for that key and name, and what comes back fits.
    sh(&pki, found.command.as_deref().unwrap());
    sign(&pki, "site.csr", "site.pem");
    is_good(&pki, args);
}

#[test]
fn a_key_of_another_kind_and_one_of_the_issuer() {
    let pki = Pki::new();
    site(&pki);
    sh(&pki, "openssl genrsa -out rsa.key 2048");
    problem(
        &pki,
        "--cert site.pem --key rsa.key",
        Some(1),
        "it is RSA 2048 bits, the certificate of lb.example.com is for another key, ECDSA P-256",
    );
    problem(
        &pki,
        "--cert site.pem --key intermediate.key",
        Some(1),
        "the certificate of lb.example.com is for another key",
    );
}

#[test]
fn an_encrypted_key_without_a_password() {
    let pki = Pki::new();
    site(&pki);
    sh(
        &pki,
        "openssl pkcs8 -topk8 -in site.key -passout pass:secret -out pkcs8.key
         openssl ec -in site.key -aes256 -passout pass:secret -out traditional.key
         openssl pkcs8 -topk8 -in site.key -passout pass:secret -outform DER -out der.key
         openssl pkcs12 -export -in site.pem -inkey site.key -passout pass:secret -out site.pfx
         openssl pkcs12 -export -in site.pem -inkey site.key -passout pass:secret -legacy -out old.pfx",
    );
    for (args, locked, line) in [
        ("--cert site.pem --key pkcs8.key", "pkcs8.key", Some(1)),
        (
            "--cert site.pem --key traditional.key",
            "traditional.key",
            Some(1),
        ),
        ("--cert site.pem --key der.key", "der.key", None),
        ("--cert site.pfx", "site.pfx", None),
        ("--cert old.pfx", "old.pfx", None),
    ] {
        let found = problem(
            &pki,
            args,
            line,
            "is encrypted, and no password file is given",
        );
        assert_eq!(found.file, locked);
        sh_with_input(&pki, found.command.as_deref().unwrap(), "secret\n");
        let file = format!("{locked}.password");
        assert_eq!(sh(&pki, &format!("stat -c %a {file}")), "600\n");
        is_good(&pki, &format!("{args} --password-file {file}"));
    }
}

#[test]
fn a_wrong_password() {
    let pki = Pki::new();
    site(&pki);
    sh(
        &pki,
        "openssl pkcs8 -topk8 -in site.key -passout pass:secret -out pkcs8.key
         openssl ec -in site.key -aes256 -passout pass:secret -out traditional.key
         openssl pkcs12 -export -in site.pem -inkey site.key -passout pass:secret -out site.pfx
         openssl pkcs12 -export -in site.pem -inkey site.key -passout pass:secret -legacy -out old.pfx",
    );
    for (args, line) in [
        (
            "--cert site.pem --key pkcs8.key --password-file pw",
            Some(1),
        ),
        (
            "--cert site.pem --key traditional.key --password-file pw",
            Some(1),
        ),
        ("--cert site.pfx --password-file pw", None),
        ("--cert old.pfx --password-file pw", None),
    ] {
        pki.write("pw", "guess\n");
        let found = problem(&pki, args, line, "doesn't open");
        sh_with_input(&pki, found.command.as_deref().unwrap(), "secret\n");
        is_good(&pki, args);
    }
}

#[test]
fn a_key_in_the_certificates_file_is_checked_too() {
    let pki = Pki::new();
    let site = site(&pki);
    let other = pki.leaf(&["other.example.com"]);
    pki.write("both.pem", [site.chain_pem(), other.key_pem()].concat());
    let line = site.chain_pem().lines().count() + 1;
    problem(
        &pki,
        "--cert both.pem",
        Some(line),
        "the key does not match",
    );
    // A file of its own counts before it.
    is_good(&pki, "--cert both.pem --key site.key");
    // With the key on its own there is nothing to compare, and that is said.
    let exit = cert(&pki, "check --cert site.pem");
    assert!(exit.stdout.contains("no key was checked"), "{exit:?}");
}

#[test]
fn a_password_file_that_can_not_be_read_is_bad_usage() {
    let pki = Pki::new();
    site(&pki);
    let exit = cert(
        &pki,
        "check --cert site.pem --key site.key --password-file none",
    );
    assert_eq!(exit.code(), Some(2), "{exit:?}");
    assert!(
        exit.stderr.starts_with("none: there is no such file\n"),
        "{exit:?}"
    );
}

#[test]
fn a_certificate_and_a_key_that_are_swapped() {
    let pki = Pki::new();
    site(&pki);
    let found = problems(&pki, "--cert site.key --key site.pem");
    assert!(
        found[0].what.contains("the two files are swapped"),
        "{found:#?}"
    );
    assert_eq!((&*found[0].file, found[0].line), ("site.key", Some(1)));
    let said = sh(&pki, found[0].command.as_deref().unwrap());
    assert!(said.contains("the key matches"), "{said}");
}

/// What an issuer does with a request.
#[track_caller]
pub fn sign(pki: &Pki, request: &str, to: &str) {
    sh(
        pki,
        &format!(
            "openssl req -in {request} -verify -noout
             : > sign.ext
             openssl req -in {request} -noout -text | grep -q 'Extended Key Usage' || echo extendedKeyUsage=serverAuth > sign.ext
             openssl x509 -req -in {request} -CA intermediate.pem -CAkey intermediate.key -days 90 -copy_extensions copy -extfile sign.ext -out signed.pem
             cat signed.pem intermediate.pem > {to}"
        ),
    );
}
