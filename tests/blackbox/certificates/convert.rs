//! `cert convert`: what goes where, with which rights, and that nothing is ever half done.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::{cert, is_good, sh};
use crate::common::*;

fn site(pki: &Pki) -> Issued {
    let site = pki.leaf(&["lb.example.com"]);
    pki.write("site.pem", site.chain_pem());
    pki.write("site.key", site.key_pem());
    pki.write("pw", "secret\n");
    sh(
        pki,
        "openssl pkcs12 -export -in site.pem -inkey site.key -passout pass:secret -out site.pfx",
    );
    site
}

fn read(pki: &Pki, name: &str) -> String {
    std::fs::read_to_string(pki.path(name)).unwrap()
}

fn mode(pki: &Pki, name: &str) -> u32 {
    std::fs::metadata(pki.path(name)).unwrap().mode() & 0o777
}

#[track_caller]
fn converts(pki: &Pki, args: &str) -> Exit {
    let exit = cert(pki, &format!("convert {args}"));
    assert_eq!(exit.code(), Some(0), "{exit:?}");
    exit
}

#[test]
fn a_key_goes_to_a_file_of_its_own_or_behind_the_certificates_for_its_owner_only() {
    let pki = Pki::new();
    let site = site(&pki);
    let exit = converts(
        &pki,
        "site.pfx --password-file pw -o out.pem --key-out out.key",
    );
    assert_eq!(
        exit.stdout,
        "out.pem: the certificate of lb.example.com, 1 intermediate, its key (out.key has the key)\n"
    );
    assert_eq!(
        (read(&pki, "out.pem"), mode(&pki, "out.pem")),
        (site.chain_pem(), 0o644)
    );
    assert_eq!(
        (read(&pki, "out.key"), mode(&pki, "out.key")),
        (site.key_pem(), 0o600)
    );

    converts(&pki, "site.pfx --password-file pw -o both.pem");
    let both = [site.chain_pem(), site.key_pem()].concat();
    assert_eq!(
        (read(&pki, "both.pem"), mode(&pki, "both.pem")),
        (both.clone(), 0o600)
    );
    is_good(&pki, "--cert both.pem");
    converts(&pki, "site.pem --key site.key -o both2.pem");
    assert_eq!(
        (read(&pki, "both2.pem"), mode(&pki, "both2.pem")),
        (both.clone(), 0o600)
    );

    // No key was given, none is invented, and the file is no secret.
    converts(&pki, "site.pem -o cert.pem");
    assert_eq!(
        (read(&pki, "cert.pem"), mode(&pki, "cert.pem")),
        (site.chain_pem(), 0o644)
    );
    let exit = converts(&pki, "site.pfx --password-file pw -o -");
    assert_eq!((exit.stdout, &*exit.stderr), (both, ""));
}

#[test]
fn the_result_is_what_others_read() {
    let pki = Pki::new();
    site(&pki);
    converts(
        &pki,
        "site.pfx --password-file pw -o out.pem --key-out out.key",
    );
    let said = sh(
        &pki,
        "openssl verify -CAfile root.pem -untrusted out.pem out.pem
         openssl pkey -in out.key -noout -check
         openssl storeutl -noout -certs out.pem
         awk 'length > 64' out.pem out.key; grep -c '^$' out.pem out.key || true",
    );
    assert_eq!(
        said,
        "out.pem: OK\nKey is valid\n0: Certificate\n1: Certificate\nTotal found: 2\nout.pem:0\nout.key:0\n"
    );
}

#[test]
fn several_files_are_put_together() {
    let pki = Pki::new();
    let site = site(&pki);
    sh(
        &pki,
        "openssl x509 -in site.pem -outform DER -out leaf.cer
         cat intermediate.pem root.pem > both; openssl crl2pkcs7 -nocrl -certfile both -out chain.p7b",
    );
    let exit = converts(
        &pki,
        "chain.p7b leaf.cer --key site.key -o out.pem --key-out out.key",
    );
    assert_eq!(
        exit.stderr,
        "left out Test Root: it is the root, which clients have\n"
    );
    assert_eq!(read(&pki, "out.pem"), site.chain_pem());
    is_good(&pki, "--cert out.pem --key out.key");
}

#[test]
fn a_key_alone_and_a_certificate_alone_are_converted() {
    let pki = Pki::new();
    let site = site(&pki);
    sh(
        &pki,
        "openssl ec -in site.key -aes256 -passout pass:secret -out closed.key
         openssl x509 -in site.pem -outform DER -out leaf.der",
    );
    converts(&pki, "closed.key --password-file pw -o open.key");
    assert_eq!(
        (read(&pki, "open.key"), mode(&pki, "open.key")),
        (site.key_pem(), 0o600)
    );
    converts(&pki, "leaf.der -o leaf.pem");
    assert_eq!(read(&pki, "leaf.pem"), site.leaf_pem());
}

#[test]
fn of_several_sites_in_a_file_the_key_tells_which_one_is_meant() {
    let pki = Pki::new();
    let (one, two) = (
        pki.leaf(&["one.example.com"]),
        pki.leaf(&["two.example.com"]),
    );
    pki.write("all.pem", [one.leaf_pem(), two.chain_pem()].concat());
    for (name, site) in [("one", &one), ("two", &two)] {
        pki.write("site.key", site.key_pem());
        let exit = converts(&pki, "all.pem --key site.key --no-key -o out.pem");
        let told = format!("out.pem: the certificate of {name}.example.com, 1 intermediate\n");
        assert_eq!(exit.stdout, told);
        assert_eq!(
            (read(&pki, "out.pem"), mode(&pki, "out.pem")),
            (site.chain_pem(), 0o644)
        );
    }
    converts(&pki, "out.pem --key site.key -o both.pem");
    converts(&pki, "both.pem --no-key -o without.pem");
    assert_eq!(read(&pki, "without.pem"), two.chain_pem());
    let exit = cert(&pki, "convert site.key --no-key -o none.pem");
    assert_eq!(exit.code(), Some(1), "{exit:?}");
    assert!(!pki.path("none.pem").exists());
}

#[test]
fn a_bundle_of_authorities_stays_whole() {
    let pki = Pki::new();
    sh(
        &pki,
        "cat intermediate.pem root.pem > both; cat both root.pem > three
         openssl crl2pkcs7 -nocrl -certfile both -outform DER -out bundle.p7b",
    );
    for (file, told) in [
        ("bundle.p7b", ""),
        ("three", "left out 1 certificate: there already\n"),
    ] {
        let exit = converts(&pki, &format!("{file} -o out.pem"));
        assert_eq!(exit.stdout, "out.pem: 2 certificates of authorities\n");
        assert_eq!(exit.stderr, told);
        assert_eq!(read(&pki, "out.pem"), read(&pki, "both"));
    }
}

#[test]
fn what_is_left_out_is_told() {
    let pki = Pki::new();
    let site = site(&pki);
    let other = pki.leaf(&["other.example.com"]);
    pki.write(
        "all.pem",
        [
            site.chain_pem(),
            other.leaf_pem(),
            pki.root_pem(),
            site.leaf_pem(),
        ]
        .concat(),
    );
    let exit = converts(&pki, "all.pem --key site.key -o out.pem");
    assert_eq!(
        exit.stderr,
        "left out Test Root: it is the root, which clients have\n\
         left out other.example.com: it is not part of the chain\n\
         left out 1 certificate: there already\n"
    );
}

#[test]
fn a_file_is_replaced_whole_and_keeps_its_owner_its_group_and_its_link() {
    let pki = Pki::new();
    let site = site(&pki);
    std::fs::create_dir(pki.path("live")).unwrap();
    pki.write("live/real.pem", site.chain_pem().replace('\n', "\r\n"));
    std::os::unix::fs::symlink("live/real.pem", pki.path("link.pem")).unwrap();
    std::fs::set_permissions(
        pki.path("live/real.pem"),
        std::fs::Permissions::from_mode(0o640),
    )
    .unwrap();
    let before = std::fs::metadata(pki.path("link.pem")).unwrap();
    converts(&pki, "link.pem -o link.pem");
    assert!(
        std::fs::symlink_metadata(pki.path("link.pem"))
            .unwrap()
            .is_symlink()
    );
    assert_eq!(
        (read(&pki, "live/real.pem"), mode(&pki, "live/real.pem")),
        (site.chain_pem(), 0o640)
    );
    let after = std::fs::metadata(pki.path("link.pem")).unwrap();
    assert_ne!(before.ino(), after.ino(), "renamed, not written over");
    assert_eq!((before.uid(), before.gid()), (after.uid(), after.gid()));
    // A file that others may read gets no key that they may read.
    std::fs::set_permissions(
        pki.path("live/real.pem"),
        std::fs::Permissions::from_mode(0o644),
    )
    .unwrap();
    converts(&pki, "link.pem --key site.key -o link.pem");
    assert_eq!(mode(&pki, "live/real.pem"), 0o640);
    let left = std::fs::read_dir(pki.path("live")).unwrap().count();
    assert_eq!(left, 1, "nothing temporary stays");
}

#[test]
fn what_can_not_be_done_is_told_and_leaves_everything_as_it_was() {
    let pki = Pki::new();
    site(&pki);
    pki.write("out.pem", "as it was");
    pki.write("wrong", "guess\n");
    let other = pki.leaf(&["other.example.com"]);
    pki.write("other.key", other.key_pem());
    sh(
        &pki,
        "openssl req -new -key site.key -subj /CN=x -out site.csr; head -c 300 site.pem > cut.pem",
    );
    for (args, said) in [
        (
            "site.pfx -o out.pem",
            "this PFX is encrypted, and no password file is given",
        ),
        (
            "site.pfx --password-file wrong -o out.pem",
            "this PFX doesn't open with the password in wrong",
        ),
        (
            "site.pem --key other.key -o out.pem",
            "the key does not match",
        ),
        (
            "site.csr -o out.pem",
            "a certificate is wanted here, this is a request",
        ),
        (
            "cut.pem -o out.pem",
            "cut.pem:1: BEGIN CERTIFICATE has no END",
        ),
        (
            "site.pem --key site.csr -o out.pem",
            "a private key is wanted here, this is a request",
        ),
        (
            "site.pem -o out.pem --key-out new.key",
            "there is no key in what was given",
        ),
        (
            "site.key -o out.pem --key-out new.key",
            "there is no certificate in what was given",
        ),
    ] {
        let exit = cert(&pki, &format!("convert {args}"));
        assert_eq!(exit.code(), Some(1), "{args}: {exit:?}");
        assert!(exit.stderr.contains(said), "{args}: {exit:?}");
        assert_eq!(read(&pki, "out.pem"), "as it was", "{args}");
        assert!(!pki.path("new.key").exists());
    }
    let exit = cert(
        &pki,
        "convert site.pfx --password-file pw -o out.pem --key-out out.pem",
    );
    assert_eq!(exit.code(), Some(2), "{exit:?}");
    assert_eq!(read(&pki, "out.pem"), "as it was");
}

#[test]
fn a_key_that_nobody_can_issue_again_is_not_written_over() {
    let pki = Pki::new();
    site(&pki);
    let other = pki.leaf(&["other.example.com"]);
    let (site_key, other_key) = (read(&pki, "site.key"), other.key_pem());
    let both = format!("{}{site_key}{other_key}", read(&pki, "site.pem"));
    pki.write("both.pem", &both);
    sh(&pki, "ln -s site.key link.key");
    for (args, lost) in [
        ("site.pem --key site.key -o site.key --no-key", "site.key"),
        ("site.pem --key site.key -o link.key --no-key", "site.key"),
        ("both.pem -o both.pem", "both.pem"),
    ] {
        let exit = cert(&pki, &format!("convert {args}"));
        assert_eq!(exit.code(), Some(1), "{args}: {exit:?}");
        let said = format!("{lost}: has a private key that would be lost");
        assert!(exit.stderr.contains(&said), "{args}: {exit:?}");
    }
    assert_eq!(read(&pki, "site.key"), site_key);
    assert_eq!(read(&pki, "both.pem"), both);
    // One file by two names is one file.
    let exit = cert(
        &pki,
        "convert site.pem --key site.key -o new.pem --key-out ./new.pem",
    );
    assert_eq!(exit.code(), Some(2), "{exit:?}");
    assert!(!pki.path("new.pem").exists());
    // A key that is renewed is written over, and one that stays in its place may.
    pki.write("old.key", other_key);
    converts(&pki, "site.pem --key site.key -o new.pem --key-out old.key");
    converts(&pki, "site.pem --key site.key -o site.key");
}
