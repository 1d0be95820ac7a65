//! Every format that `openssl` writes is taken, by its content, and converted to the same PEM.

use super::{cert, is_good, sh};
use crate::common::*;

/// Checks certificate and key, converts them, and compares with what was issued.
#[track_caller]
fn is_taken(pki: &Pki, site: &Issued, cert_file: &str, options: &str) {
    let exit = cert(
        pki,
        &format!("check --ca root.pem --cert {cert_file} {options}"),
    );
    assert_eq!(
        (exit.code(), &*exit.stderr),
        (Some(0), ""),
        "{cert_file} {options}"
    );
    assert!(exit.stdout.contains("the key matches"), "{exit:?}");

    let exit = cert(
        pki,
        &format!("convert {cert_file} {options} -o out.pem --key-out out.key"),
    );
    assert_eq!(exit.code(), Some(0), "{cert_file} {options}: {exit:?}");
    let read = |name| std::fs::read_to_string(pki.path(name)).unwrap();
    assert_eq!(read("out.pem"), site.chain_pem(), "{cert_file} {options}");
    assert_eq!(read("out.key"), site.key_pem(), "{cert_file} {options}");
    is_good(pki, "--ca root.pem --cert out.pem --key out.key");
    // What others think of it.
    let public = |script: &str| sh(pki, script);
    assert_eq!(
        public("openssl x509 -in out.pem -noout -pubkey"),
        public("openssl pkey -in out.key -pubout")
    );
}

/// Names that the scripts can rely on; nothing in them says what the content is.
fn lay_out(pki: &Pki, site: &Issued) {
    pki.write("chain", site.chain_pem());
    pki.write("key", site.key_pem());
    pki.write("pw", "secret\n");
}

/// That these files are taken as the site's key.
#[track_caller]
fn keys_are_taken(pki: &Pki, site: &Issued, keys: &[&str], options: &str) {
    for key in keys {
        is_taken(pki, site, "chain", &format!("--key {key} {options}"));
    }
}

#[test]
fn rsa_keys_in_every_form() {
    let pki = Pki::new();
    let site = pki.rsa_leaf(&["lb.example.com"]);
    lay_out(&pki, &site);
    sh(
        &pki,
        "openssl rsa -in key -traditional -out pkcs1; grep -q 'BEGIN RSA PRIVATE KEY' pkcs1
         openssl rsa -in key -traditional -outform DER -out pkcs1-der
         openssl rsa -in key -traditional -aes256 -passout pass:secret -out pkcs1-aes; grep -q Proc-Type: pkcs1-aes
         openssl rsa -in key -traditional -des3 -passout pass:secret -out pkcs1-des3
         openssl pkcs8 -topk8 -in key -nocrypt -outform DER -out pkcs8-der
         openssl pkcs8 -topk8 -in key -passout pass:secret -out pkcs8-aes; grep -q ENCRYPTED pkcs8-aes
         openssl pkcs8 -topk8 -in key -passout pass:secret -outform DER -out pkcs8-aes-der
         openssl pkcs8 -topk8 -in key -passout pass:secret -v1 PBE-SHA1-3DES -out pkcs8-3des
         openssl pkcs8 -topk8 -in key -passout pass:secret -v1 PBE-MD5-DES -provider legacy -provider default -out pkcs8-des
         openssl pkcs8 -topk8 -in key -passout pass:secret -v1 PBE-SHA1-RC2-40 -provider legacy -provider default -out pkcs8-rc2",
    );
    keys_are_taken(&pki, &site, &["key", "pkcs1", "pkcs1-der", "pkcs8-der"], "");
    keys_are_taken(
        &pki,
        &site,
        &[
            "pkcs1-aes",
            "pkcs1-des3",
            "pkcs8-aes",
            "pkcs8-aes-der",
            "pkcs8-3des",
            "pkcs8-des",
            "pkcs8-rc2",
        ],
        "--password-file pw",
    );
}

#[test]
fn ecdsa_keys_in_every_form() {
    let pki = Pki::new();
    let site = pki.leaf(&["lb.example.com"]);
    lay_out(&pki, &site);
    sh(
        &pki,
        "openssl ec -in key -out sec1; grep -q 'BEGIN EC PRIVATE KEY' sec1
         openssl ec -in key -outform DER -out sec1-der
         openssl ec -in key -aes128 -passout pass:secret -out sec1-aes; grep -q Proc-Type: sec1-aes
         (openssl ecparam -name prime256v1; cat sec1) > parameters; grep -q 'BEGIN EC PARAMETERS' parameters
         openssl pkcs8 -topk8 -in key -nocrypt -outform DER -out pkcs8-der
         openssl pkcs8 -topk8 -in key -passout pass:secret -outform DER -out pkcs8-aes-der",
    );
    keys_are_taken(
        &pki,
        &site,
        &["sec1", "sec1-der", "parameters", "pkcs8-der"],
        "",
    );
    keys_are_taken(
        &pki,
        &site,
        &["sec1-aes", "pkcs8-aes-der"],
        "--password-file pw",
    );
}

#[test]
fn ed25519_keys_in_every_form() {
    let pki = Pki::new();
    let site = pki.request(&["lb.example.com"]).key(Key::Ed25519).issue();
    lay_out(&pki, &site);
    sh(
        &pki,
        "openssl pkey -in key -outform DER -out der
         openssl pkcs8 -topk8 -in key -passout pass:secret -out aes",
    );
    is_taken(&pki, &site, "chain", "--key key");
    is_taken(&pki, &site, "chain", "--key der");
    is_taken(&pki, &site, "chain", "--key aes --password-file pw");
}

#[test]
fn certificates_in_every_form() {
    let pki = Pki::new();
    let site = pki.leaf(&["lb.example.com"]);
    lay_out(&pki, &site);
    sh(
        &pki,
        "openssl crl2pkcs7 -nocrl -certfile chain -outform DER -out p7b-der
         openssl crl2pkcs7 -nocrl -certfile chain -out p7b-pem; grep -q 'BEGIN PKCS7' p7b-pem
         sed 's/PKCS7/CERTIFICATE/' p7b-pem > p7b-as-windows-writes-it
         (openssl x509 -in chain -text; openssl x509 -in intermediate.pem -text) > with-text
         openssl pkcs7 -in p7b-pem -print_certs -out printed; grep -q subject= printed
         (openssl x509 -in chain -trustout; cat intermediate.pem) > trusted; grep -q TRUSTED trusted
         (openssl x509 -in chain -outform DER; openssl x509 -in intermediate.pem -outform DER) > der-twice
         echo x | openssl cms -sign -signer chain -inkey key -certfile intermediate.pem -outform DER -stream -nodetach -out ber
         od -An -tx1 -N2 ber | grep -q '30 80'; (openssl x509 -in chain -outform DER; openssl x509 -in intermediate.pem -outform DER; echo) > newline
         cat key chain > key-first; cat chain key > key-last",
    );
    for file in [
        "chain",
        "p7b-der",
        "p7b-pem",
        "p7b-as-windows-writes-it",
        "with-text",
        "printed",
        "trusted",
        "der-twice",
        "ber",
        "newline",
    ] {
        is_taken(&pki, &site, file, "--key key");
    }
    is_taken(&pki, &site, "key-first", "");
    is_taken(&pki, &site, "key-last", "");
    is_taken(&pki, &site, "key-last", "--key key-last");
}

#[test]
fn a_der_certificate_of_a_root_needs_no_chain() {
    let pki = Pki::new();
    let site = pki.request(&["lb.example.com"]).by_root().issue();
    lay_out(&pki, &site);
    sh(&pki, "openssl x509 -in chain -outform DER -out der");
    is_taken(&pki, &site, "der", "--key key");
}

#[test]
fn pfx_with_and_without_password_old_and_new() {
    let pki = Pki::new();
    let site = pki.leaf(&["lb.example.com"]);
    lay_out(&pki, &site);
    sh(
        &pki,
        "export='openssl pkcs12 -export -in chain -inkey key'
         $export -passout pass:secret -out new
         $export -passout pass:secret -legacy -out old
         openssl pkcs12 -in old -info -nokeys -passin pass:secret -legacy 2>&1 | grep -q 40BitRC2
         $export -passout pass:secret -keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-3DES -macalg sha1 -out des3
         $export -passout pass:secret -certfile root.pem -name friendly -out root
         $export -passout pass: -out empty
         $export -passout pass: -nomac -keypbe NONE -certpbe NONE -out open
         openssl pkcs12 -in new -nodes -passin pass:secret -out bags; grep -q 'Bag Attributes' bags",
    );
    for file in ["new", "old", "des3"] {
        is_taken(&pki, &site, file, "--password-file pw");
    }
    for file in ["empty", "open", "bags"] {
        is_taken(&pki, &site, file, "");
    }
    // The key of a PFX serves a certificate of another file, too.
    is_taken(&pki, &site, "chain", "--key old --password-file pw");
    // That the root comes along is usual there, and nothing to complain about.
    let exit = cert(&pki, "check --cert root --password-file pw");
    assert_eq!(exit.code(), Some(0), "{exit:?}");
}

#[test]
fn a_password_with_letters_of_any_language_and_a_windows_line_ending() {
    let pki = Pki::new();
    let site = pki.leaf(&["lb.example.com"]);
    lay_out(&pki, &site);
    pki.write("pw", "pässwörd 密码\r\nanother line\n");
    sh(
        &pki,
        "openssl pkcs12 -export -in chain -inkey key -passout 'pass:pässwörd 密码' -out pfx
         openssl pkcs8 -topk8 -in key -passout 'pass:pässwörd 密码' -out aes",
    );
    is_taken(&pki, &site, "pfx", "--password-file pw");
    is_taken(&pki, &site, "chain", "--key aes --password-file pw");
}
