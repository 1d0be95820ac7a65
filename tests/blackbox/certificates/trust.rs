//! What clients would say: time, names, strength, and whether the chain leads anywhere.

use super::keys::sign;
use super::{cert, cert_with_roots, is_good, is_mended, note, problem, problems, sh};
use crate::common::*;

fn lay_out(pki: &Pki, site: &Issued) {
    pki.write("site.pem", site.chain_pem());
    pki.write("leaf.pem", site.leaf_pem());
    pki.write("site.key", site.key_pem());
}

const SITE: &str = "--cert site.pem --key site.key";

/// The request that the problem's command makes is signed; then all is well.
#[track_caller]
fn is_mended_by_request(pki: &Pki, found: &super::Problem, args: &str) {
    sh(pki, found.command.as_deref().unwrap());
    sign(pki, "site.csr", "site.pem");
    is_good(pki, args);
}

#[test]
fn an_intermediate_that_is_missing_is_fetched_from_where_the_certificate_says() {
    let pki = Pki::new();
    let der = pki.intermediate.cert.to_der().unwrap();
    let issuer = Origin::with("issuer", move |_| Answer::body(Body::Full(der.clone())));
    let url = format!("http://{}/intermediate.crt", issuer.address());
    let site = pki.request(&["lb.example.com"]).ca_issuers(&url).issue();
    lay_out(&pki, &site);
    sh(&pki, "cp leaf.pem site.pem");
    let found = problem(&pki, SITE, Some(1), "intermediate missing");
    assert!(
        found
            .what
            .contains("lb.example.com was signed by CN=Test Intermediate"),
        "{found:?}"
    );
    is_mended(&pki, &found, SITE);
    assert_eq!(
        std::fs::read_to_string(pki.path("site.pem")).unwrap(),
        site.chain_pem()
    );
}

#[test]
fn an_intermediate_that_is_missing_is_told_without_a_url_too() {
    let pki = Pki::new();
    lay_out(&pki, &pki.leaf(&["lb.example.com"]));
    let found = problem(
        &pki,
        "--cert leaf.pem --key site.key",
        Some(1),
        "intermediate missing, or a private authority",
    );
    let command = "equipoise cert convert leaf.pem INTERMEDIATE -o leaf.pem";
    assert!(found.mend.contains(command), "{found:?}");
    sh(&pki, &command.replace("INTERMEDIATE", "intermediate.pem"));
    is_good(&pki, "--cert leaf.pem --key site.key");
}

#[test]
fn the_chain_is_complete_where_the_system_or_the_user_knows_the_root() {
    let pki = Pki::new();
    lay_out(&pki, &pki.request(&["lb.example.com"]).by_root().issue());
    problem(
        &pki,
        SITE,
        Some(1),
        "intermediate missing, or a private authority",
    );
    is_good(&pki, &format!("{SITE} --ca root.pem"));
    let exit = cert_with_roots(&pki, &format!("check {SITE}"), "root.pem");
    assert_eq!(exit.code(), Some(0), "{exit:?}");
}

#[test]
fn a_second_intermediate_that_is_missing_is_suspected_only_with_reason() {
    let pki = Pki::new();
    let second = pki.intermediate.authority("Second Intermediate");
    lay_out(&pki, &pki.request(&["lb.example.com"]).by(&second).issue());
    // This looks just like the chain of a private authority, whose root nobody sends.
    is_good(&pki, SITE);
}

#[test]
fn self_signed() {
    let pki = Pki::new();
    lay_out(
        &pki,
        &pki.request(&["lb.example.com"]).self_signed().issue(),
    );
    let found = note(
        &pki,
        SITE,
        Some(1),
        "self-signed: nobody but itself vouches for lb.example.com",
    );
    is_good(&pki, &format!("{SITE} --ca site.pem"));
    is_mended_by_request(&pki, &found, SITE);
}

#[test]
fn expired() {
    let pki = Pki::new();
    lay_out(
        &pki,
        &pki.request(&["lb.example.com", "10.0.0.1"])
            .days(-90, -3)
            .issue(),
    );
    let found = problem(
        &pki,
        SITE,
        Some(1),
        "expired: the certificate of lb.example.com ended ",
    );
    assert!(found.what.ends_with(", 2 days ago"), "{found:?}");
    is_mended_by_request(
        &pki,
        &found,
        &format!("{SITE} --host lb.example.com --host 10.0.0.1"),
    );
}

#[test]
fn expires_within_30_days() {
    let pki = Pki::new();
    lay_out(
        &pki,
        &pki.request(&["lb.example.com"]).days(-60, 29).issue(),
    );
    let found = problem(&pki, SITE, Some(1), "expires within 30 days");
    assert!(found.what.ends_with(", in 29 days"), "{found:?}");
    is_mended_by_request(&pki, &found, SITE);
    lay_out(
        &pki,
        &pki.request(&["lb.example.com"]).days(-60, 31).issue(),
    );
    is_good(&pki, SITE);
}

#[test]
fn not_yet_valid() {
    let pki = Pki::new();
    lay_out(&pki, &pki.request(&["lb.example.com"]).days(3, 90).issue());
    let found = problem(
        &pki,
        SITE,
        Some(1),
        "not yet valid: the certificate of lb.example.com begins ",
    );
    assert!(found.what.ends_with(", in 3 days"), "{found:?}");
    assert_eq!(found.command.as_deref(), Some("date -u"));
}

#[test]
fn an_intermediate_that_expired() {
    let pki = Pki::new();
    lay_out(&pki, &pki.leaf(&["lb.example.com"]));
    sh(
        &pki,
        "openssl x509 -in intermediate.pem -signkey intermediate.key -x509toreq -copy_extensions copyall -out intermediate.csr 2>/dev/null ||
         openssl x509 -in intermediate.pem -signkey intermediate.key -x509toreq -out intermediate.csr
         printf 'basicConstraints=critical,CA:TRUE\\nsubjectKeyIdentifier=hash\\n' > ext
         openssl x509 -req -in intermediate.csr -CA root.pem -CAkey root.key -days -1 -extfile ext -out old.pem
         cat leaf.pem old.pem > site.pem",
    );
    let line = std::fs::read_to_string(pki.path("leaf.pem"))
        .unwrap()
        .lines()
        .count()
        + 1;
    let found = problem(
        &pki,
        SITE,
        Some(line),
        "expired: the certificate of Test Intermediate ended",
    );
    let command = "equipoise cert convert site.pem INTERMEDIATE -o site.pem";
    assert!(found.mend.contains(command), "{found:?}");
    // Of two with the same name and key the valid one is taken.
    sh(&pki, &command.replace("INTERMEDIATE", "intermediate.pem"));
    is_good(&pki, SITE);
}

#[test]
fn a_name_that_is_not_covered() {
    let pki = Pki::new();
    lay_out(
        &pki,
        &pki.leaf(&["lb.example.com", "*.shop.example.com", "10.0.0.1"]),
    );
    for host in [
        "lb.example.com",
        "LB.Example.Com.",
        "a.shop.example.com",
        "10.0.0.1",
    ] {
        is_good(&pki, &format!("{SITE} --host {host}"));
    }
    for host in [
        "shop.example.com",
        "a.b.shop.example.com",
        "example.com",
        "10.0.0.2",
        "b.example.com",
    ] {
        let what = format!(
            "name not covered: {host}; the certificate is for lb.example.com, *.shop.example.com, 10.0.0.1"
        );
        problem(&pki, &format!("{SITE} --host {host}"), Some(1), &what);
    }
    let args = format!("{SITE} --host lb.example.com --host www.example.com");
    let found = problem(&pki, &args, Some(1), "name not covered: www.example.com");
    is_mended_by_request(
        &pki,
        &found,
        &format!("{args} --host 10.0.0.1 --host x.shop.example.com"),
    );
}

#[test]
fn a_common_name_only() {
    let pki = Pki::new();
    let request = pki.request(&["lb.example.com"]).without_subject_alt_names();
    lay_out(&pki, &request.issue());
    let found = note(
        &pki,
        SITE,
        Some(1),
        "no subjectAltName: it names lb.example.com as common name only",
    );
    is_mended_by_request(&pki, &found, SITE);
}

#[test]
fn signed_with_sha1() {
    let pki = Pki::new();
    lay_out(
        &pki,
        &pki.request(&["lb.example.com"]).signed_with_sha1().issue(),
    );
    let found = problem(
        &pki,
        SITE,
        Some(1),
        "signed with SHA-1: the certificate of lb.example.com",
    );
    is_mended_by_request(&pki, &found, SITE);
}

#[test]
fn a_short_key() {
    for (key, what) in [
        (Key::Rsa(1024), "has RSA 1024 bits; 2048 bits is the least"),
        (
            Key::Curve("secp224r1"),
            "has ECDSA secp224r1; P-256 is the least",
        ),
    ] {
        let pki = Pki::new();
        lay_out(&pki, &pki.request(&["lb.example.com"]).key(key).issue());
        let found = problem(&pki, SITE, Some(1), what);
        is_mended_by_request(&pki, &found, "--cert site.pem --key site.new.key");
    }
}

#[test]
fn a_client_certificate_is_none_of_a_server() {
    let pki = Pki::new();
    lay_out(&pki, &pki.client("lb.example.com"));
    let found = problem(&pki, SITE, Some(1), "wrong purpose");
    is_mended_by_request(&pki, &found, SITE);
}

#[test]
fn what_is_wrong_with_key_and_certificate_is_told_at_once() {
    let pki = Pki::new();
    let site = pki.request(&["lb.example.com"]).days(-90, -3).issue();
    lay_out(&pki, &site);
    let other = pki.leaf(&["other.example.com"]);
    pki.write("other.key", other.key_pem().replace('\n', "\r\n"));
    let found = problems(
        &pki,
        "--cert leaf.pem --key other.key --host www.example.com",
    );
    let all: Vec<&str> = found.iter().map(|p| &*p.what).collect();
    for what in [
        "expired",
        "intermediate missing",
        "name not covered",
        "does not match",
        "end as on Windows",
    ] {
        assert!(
            all.iter().any(|found| found.contains(what)),
            "{what}: {all:#?}"
        );
    }
    assert_eq!(all.len(), 5);
}

#[test]
fn help_says_what_the_exit_status_means() {
    let pki = Pki::new();
    for command in ["inspect", "check", "convert"] {
        let exit = cert(&pki, &format!("{command} --help"));
        assert_eq!(exit.code(), Some(0));
        assert!(exit.stdout.contains("Exit status: 0"), "{}", exit.stdout);
    }
}

/// What clients refuse and OpenSSL takes. `command` makes `site.pem`, of `site.key`.
#[test]
fn what_clients_refuse_though_openssl_takes_it() {
    let request = "openssl req -new -key site.key -subj /CN=lb.example.com";
    let sign = "openssl x509 -req -CA root.pem -CAkey root.key -days 90 -extfile ext -out site.pem";
    let usual =
        "basicConstraints=CA:FALSE\\nkeyUsage=digitalSignature\\nextendedKeyUsage=serverAuth\\n";
    let name = "subjectAltName=DNS:lb.example.com\\n";
    let issued = |extensions: &str, more: &str| {
        format!("printf '{extensions}' > ext; {request} | {sign} {more}")
    };
    let serial = |serial: &str| issued(&format!("{usual}{name}"), &format!("-set_serial {serial}"));
    let new_key = |options: &str, made: String| {
        format!("openssl ecparam -name prime256v1 {options} -genkey -noout -out site.key; {made}")
    };
    let plain = issued(&format!("{usual}{name}"), "");
    for (made, fault, what) in [
        (plain.clone(), None, ""),
        (new_key("", plain.clone()), None, ""),
        (
            new_key("-param_enc explicit", plain),
            Some(1),
            "explicit curve parameters: the certificate of lb.example.com",
        ),
        (
            issued(
                &format!("keyUsage=keyEncipherment\\nextendedKeyUsage=serverAuth\\n{name}"),
                "",
            ),
            Some(1),
            "no digitalSignature",
        ),
        (
            issued(
                &format!("basicConstraints=CA:TRUE\\nextendedKeyUsage=serverAuth\\n{name}"),
                "",
            ),
            Some(1),
            "an authority's: the certificate of lb.example.com may sign others",
        ),
        (
            issued(&format!("keyUsage=digitalSignature\\n{name}"), ""),
            Some(0),
            "no serverAuth",
        ),
        (
            issued(
                &format!("extendedKeyUsage=anyExtendedKeyUsage\\n{name}"),
                "",
            ),
            Some(0),
            "no serverAuth",
        ),
        (serial("-5"), Some(1), "serial number negative"),
        (
            serial("0x0102030405060708090a0b0c0d0e0f1011121314151617"),
            Some(1),
            "serial number longer than 20 octets",
        ),
        (
            issued(&format!("{usual}{name}"), "-days 399"),
            Some(0),
            "valid for more than 398 days",
        ),
        (issued(&format!("{usual}{name}"), "-days 398"), None, ""),
        (
            issued(
                &format!("{usual}subjectAltName=DNS:lb.example.com,DNS:a_b.example.com\\n"),
                "",
            ),
            Some(1),
            "name that is none: a_b.example.com has an underscore",
        ),
        (
            issued(
                &format!("{usual}subjectAltName=DNS:lb.example.com,DNS:10.0.0.1\\n"),
                "",
            ),
            Some(1),
            "name that is none: 10.0.0.1 is an address",
        ),
    ] {
        let pki = Pki::new();
        pki.write("site.key", pki.leaf(&["lb.example.com"]).key_pem());
        sh(&pki, &format!("{made} 2>/dev/null"));
        let args = format!("{SITE} --ca root.pem");
        match fault {
            None => is_good(&pki, &args),
            Some(0) => drop(note(&pki, &args, Some(1), what)),
            Some(_) => drop(problem(&pki, &args, Some(1), what)),
        }
    }
}

#[test]
fn a_self_signed_authoritys_is_noted() {
    let pki = Pki::new();
    sh(
        &pki,
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout site.key -out site.pem -days 90 -subj /CN=lb.example.com \
         -addext subjectAltName=DNS:lb.example.com -addext basicConstraints=critical,CA:TRUE 2>/dev/null",
    );
    let exit = cert(&pki, &format!("check {SITE}"));
    assert_eq!(exit.code(), Some(0), "{exit:?}");
    assert!(exit.stderr.contains("self-signed"), "{exit:?}");
    assert!(exit.stderr.contains("an authority's"), "{exit:?}");
}
