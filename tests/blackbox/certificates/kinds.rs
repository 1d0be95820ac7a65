//! Files that are something else than they are taken for.

use super::{cert, is_good, is_mended, problem, sh, sh_with_input, site};
use crate::common::*;

#[test]
fn something_else_where_a_certificate_is_wanted() {
    let pki = Pki::new();
    let site = site(&pki);
    pki.crl(&[&site]);
    sh(
        &pki,
        "openssl req -new -key site.key -subj /CN=lb.example.com -out csr.pem
         openssl req -in csr.pem -outform DER -out csr.der
         openssl pkey -in site.key -pubout -out public.pem
         openssl pkey -in site.key -pubout -outform DER -out public.der
         openssl rsa -in site.key -pubout -out x 2>/dev/null || true
         openssl genrsa -out rsa.key 2048; openssl rsa -in rsa.key -RSAPublicKey_out -out rsa-public.pem
         openssl crl -in crl*.pem -out crl.pem; openssl crl -in crl.pem -outform DER -out crl.der
         ssh-keygen -q -t ecdsa -N '' -f ssh
         echo '<html><body>404 Not Found</body></html>' > page.pem
         : > empty.pem
         echo hello > text.pem
         gzip -c site.pem > zipped.gz
         printf '\\376\\355\\376\\355\\0\\0\\0\\2' > store.jks",
    );
    for (file, line, what) in [
        ("csr.pem", Some(1), "a request for a certificate (CSR)"),
        ("csr.der", None, "a request for a certificate (CSR)"),
        ("public.pem", Some(1), "a public key"),
        ("public.der", None, "a public key"),
        ("rsa-public.pem", Some(1), "a public key"),
        ("crl.pem", Some(1), "a revocation list (CRL)"),
        ("crl.der", None, "a revocation list (CRL)"),
        ("site.key", Some(1), "a private key"),
        ("ssh", Some(1), "a private key of OpenSSH"),
        ("ssh.pub", None, "a public key of OpenSSH"),
        ("page.pem", None, "a web page"),
        ("empty.pem", None, "empty"),
        ("text.pem", None, "neither PEM, DER, P7B nor PFX"),
        ("zipped.gz", None, "compressed by gzip"),
        ("store.jks", None, "a Java keystore"),
    ] {
        let what = format!("a certificate is wanted here, this is {what}");
        problem(&pki, &format!("--cert {file}"), line, &what);
    }
    for (file, line, what) in [
        ("csr.pem", Some(1), "a request for a certificate (CSR)"),
        ("public.pem", Some(1), "a public key"),
        ("site.pem", Some(1), "a certificate"),
        ("crl.pem", Some(1), "a revocation list (CRL)"),
        ("page.pem", None, "a web page"),
        ("empty.pem", None, "empty"),
    ] {
        let what = format!("a private key is wanted here, this is {what}");
        problem(&pki, &format!("--cert site.pem --key {file}"), line, &what);
    }
}

#[test]
fn a_pfx_named_pem_and_other_misleading_names() {
    let pki = Pki::new();
    let site = site(&pki);
    pki.write("pw", "secret\n");
    sh(
        &pki,
        "openssl pkcs12 -export -in site.pem -inkey site.key -passout pass:secret -out pfx.pem
         openssl crl2pkcs7 -nocrl -certfile site.pem -outform DER -out p7b.crt
         cp site.pem pem.pfx; cp site.pem pem.der
         openssl x509 -in site.pem -outform DER > der.pem; openssl x509 -in intermediate.pem -outform DER >> der.pem",
    );
    for (name, is, right, options) in [
        ("pfx.pem", "PFX (PKCS#12)", "pfx.pfx", "--password-file pw"),
        ("p7b.crt", "P7B (PKCS#7)", "p7b.p7b", ""),
        ("pem.pfx", "PEM", "pem.pem", ""),
        ("pem.der", "PEM", "pem.pem", ""),
        ("der.pem", "DER", "der.der", ""),
    ] {
        let found = problem(
            &pki,
            &format!("--cert {name} {options}"),
            None,
            "the content is",
        );
        assert!(
            found
                .what
                .contains(&format!("the content is {is}; it is taken as that")),
            "{found:?}"
        );
        let _ = std::fs::remove_file(pki.path(right));
        is_mended(&pki, &found, &format!("--cert {right} {options}"));
    }
    // Both are usual under these names.
    sh(
        &pki,
        "cp site.pem pem.crt; cp site.pem pem.cer; openssl crl2pkcs7 -nocrl -certfile site.pem -out pem.p7b
         openssl pkey -in site.key -outform DER -out der.key",
    );
    for name in ["pem.crt", "pem.cer", "pem.p7b"] {
        is_good(&pki, &format!("--cert {name} --key der.key"));
    }
    drop(site);
}

#[test]
fn an_openssh_key_is_turned_into_one_that_serves() {
    let pki = Pki::new();
    let site = site(&pki);
    sh(
        &pki,
        "ssh-keygen -q -t ecdsa -b 256 -N '' -f ssh.key
         ssh-keygen -p -q -N '' -m PEM -f ssh.key; cp ssh.key good.key
         openssl req -new -key good.key -subj /CN=lb.example.com -addext subjectAltName=DNS:lb.example.com -out ssh.csr
         ssh-keygen -p -q -N '' -f ssh.key; grep -q OPENSSH ssh.key",
    );
    super::keys::sign(&pki, "ssh.csr", "ssh.pem");
    let args = "--cert ssh.pem --key ssh.key";
    let found = problem(&pki, args, Some(1), "a private key of OpenSSH");
    is_mended(&pki, &found, args);
    drop(site);
}

#[test]
fn a_java_keystore_is_turned_into_a_pfx() {
    let pki = Pki::new();
    sh(
        &pki,
        "keytool -genkeypair -alias tomcat -keyalg EC -groupname secp256r1 -dname CN=lb.example.com -validity 90 \
           -ext san=dns:lb.example.com -storetype JKS -keystore tomcat.jks -storepass secret -keypass secret",
    );
    let found = problem(&pki, "--cert tomcat.jks", None, "a Java keystore (JKS)");
    sh_with_input(
        &pki,
        found.command.as_deref().unwrap(),
        "secret\nsecret\nsecret\n",
    );
    pki.write("pw", "secret\n");
    sh(
        &pki,
        "openssl pkcs12 -in tomcat.p12 -nokeys -passin pass:secret -out self.pem",
    );
    is_good(&pki, "--cert tomcat.p12 --password-file pw --ca self.pem");
}

#[test]
fn what_lies_beside_the_certificates_is_told() {
    let pki = Pki::new();
    let site = site(&pki);
    sh(
        &pki,
        "openssl req -new -key site.key -subj /CN=lb.example.com >> site.pem",
    );
    let line = site.chain_pem().lines().count() + 1;
    problem(
        &pki,
        "--cert site.pem --key site.key",
        Some(line),
        "beside the certificates there is a request for a certificate (CSR), which is passed over",
    );
}

#[test]
fn a_chain_without_the_servers_certificate() {
    let pki = Pki::new();
    let site = site(&pki);
    pki.write("leaf.crt", site.leaf_pem());
    sh(&pki, "cp intermediate.pem chain.pem");
    let args = "--cert chain.pem --key site.key";
    let what = "the server's certificate is missing: here are only authorities', the first is Test Intermediate";
    let found = problem(&pki, args, Some(1), what);
    let command = "equipoise cert convert chain.pem SERVER -o chain.pem";
    assert!(found.mend.contains(command), "{found:?}");
    sh(&pki, &command.replace("SERVER", "leaf.crt"));
    is_good(&pki, args);
}

#[test]
fn a_bundle_of_authorities_is_no_servers_certificate() {
    let pki = Pki::new();
    let one = std::fs::read_to_string(pki.root()).unwrap();
    pki.write("bundle.pem", one.repeat(101));
    problem(
        &pki,
        "--cert bundle.pem",
        None,
        "101 certificates: this is a bundle of authorities",
    );
}

#[test]
fn what_can_not_be_read_is_bad_usage() {
    let pki = Pki::new();
    site(&pki);
    for (args, said) in [
        ("check --cert none.pem", "none.pem: there is no such file"),
        ("check --cert .", ".: this is a directory, a file is wanted"),
        (
            "check --cert site.pem --key none.key",
            "none.key: there is no such file",
        ),
        (
            "check --cert site.pem --ca none.pem",
            "none.pem: there is no such file",
        ),
        (
            "check --cert /dev/zero",
            "/dev/zero: larger than 1024 KiB: this can't be it",
        ),
        ("inspect none.pem", "none.pem: there is no such file"),
        (
            "inspect --password-file none site.pem",
            "none: there is no such file",
        ),
        (
            "convert none.pem -o out.pem",
            "none.pem: there is no such file",
        ),
        (
            "convert site.pem -o no/such/out.pem",
            "no/such/out.pem: can't be written",
        ),
        (
            "convert site.pem -o .",
            ".: can't be written: this is not a file",
        ),
        ("check", "--cert <FILE>"),
        (
            "check --cert site.pem --host http://a/",
            "a host name or an address is wanted",
        ),
        ("convert site.pem", "--output <OUT.pem>"),
    ] {
        let exit = cert(&pki, args);
        assert_eq!(exit.code(), Some(2), "{args}: {exit:?}");
        assert!(exit.stderr.contains(said), "{args}: {exit:?}");
        assert_eq!(exit.stdout, "", "{args}");
    }
}

#[test]
fn what_a_file_says_never_reaches_the_terminal_as_it_is() {
    let pki = Pki::new();
    let label = "\u{1b}]0;owned\u{7}\u{1b}[31m\u{9b}2J\u{202e}";
    for text in [
        format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n"),
        format!("-----BEGIN {label}-----\nAAAA\n"),
        format!("-----END {label}-----\n"),
        format!("-----BEGIN CERTIFICATE-----\nAAAA\n-----END {label}-----\n"),
        format!("-----BEGIN {label} PRIVATE KEY-----\n!!!!\n-----END {label} PRIVATE KEY-----\n"),
    ] {
        pki.write("odd.pem", &text);
        let configuration = "listeners:\n  web: {bind: '127.0.0.1:0', protocol: https, pool: app, \
             tls: {certificates: [{cert: odd.pem}]}}\npools:\n  app: {servers: ['127.0.0.1:1']}\n";
        pki.write("edge.yaml", configuration);
        for args in [
            "cert check --cert odd.pem",
            "cert inspect odd.pem",
            "cert convert odd.pem -o -",
            "check edge.yaml",
        ] {
            let output = std::process::Command::new(crate::common::equipoise::BINARY)
                .args(args.split(' '))
                .current_dir(pki.dir())
                .output()
                .unwrap();
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8(said).unwrap();
            let odd = |c: &char| (c.is_control() && *c != '\n') || *c == '\u{202e}';
            assert_eq!(said.chars().find(odd), None, "{args}: {said:?}");
            assert!(!said.is_empty(), "{args}");
        }
    }
}

/// A glob takes what names there are.
#[test]
fn nor_does_what_a_file_is_called() {
    let pki = Pki::new();
    let site = pki.leaf(&["example.com"]);
    let name = "\u{1b}[31m\u{202e}.pem";
    pki.write(name, site.chain_pem());
    for args in [
        &["cert", "inspect", name][..],
        &["cert", "inspect", "\u{1b}[31m"],
        &["cert", "check", "--cert", name],
        &["cert", "check", "--cert", name, "--key", "\u{1b}[31m"],
        &["cert", "convert", name, "-o", "\u{1b}/out"],
        &["check", name],
    ] {
        let output = std::process::Command::new(crate::common::equipoise::BINARY)
            .args(args)
            .current_dir(pki.dir())
            .output()
            .unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        let odd = |c: &char| (c.is_control() && *c != '\n') || *c == '\u{202e}';
        assert_eq!(said.chars().find(odd), None, "{args:?}: {said:?}");
        assert!(!said.is_empty(), "{args:?}");
    }
}
