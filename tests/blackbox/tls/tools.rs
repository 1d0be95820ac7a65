//! The tools that others use: OpenSSL's client, curl, testssl.sh; and whatever OpenSSL makes is served.

use std::path::Path;
use std::process::{Command, Stdio};

use super::{NAME, certificates, secured};
use crate::common::{Equipoise, Issued, Key, Origin, Pki, Tls};

/// Runs a command. Returns what it printed.
#[track_caller]
fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error} (make setup installs it)"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {text}");
    text
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn curl_verifies_the_certificate_and_gets_its_page() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let site = pki.leaf(&[NAME]);
    let lb = secured(&[&origin], &certificates(&[&site])).start();
    let (url, resolve) = (
        format!("https://{NAME}:{}/", lb.web().port()),
        format!("{NAME}:{}:127.0.0.1", lb.web().port()),
    );
    for version in ["--tls-max=1.2", "--tlsv1.3"] {
        let version = version.replace('=', " ");
        let mut arguments: Vec<&str> = version.split(' ').collect();
        let root = pki.root();
        arguments.extend([
            "-sS",
            "--fail",
            "--cacert",
            path(&root),
            "--resolve",
            &resolve,
            &url,
        ]);
        arguments.extend(["-o", "/dev/null", "-w", "%{http_code} %{ssl_verify_result}"]);
        assert_eq!(run("curl", &arguments), "200 0");
    }
}

#[test]
fn openssls_client_is_content() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let site = pki.leaf(&[NAME]);
    let lb = secured(&[&origin], &certificates(&[&site])).start();
    let root = pki.root();
    for version in ["-tls1_2", "-tls1_3"] {
        let text = run(
            "openssl",
            &[
                "s_client",
                "-connect",
                &lb.web().to_string(),
                "-servername",
                NAME,
                version,
                "-CAfile",
                path(&root),
                "-verify_return_error",
                "-verify_hostname",
                NAME,
                "-alpn",
                "h2,http/1.1",
            ],
        );
        assert!(text.contains("Verify return code: 0 (ok)"), "{text}");
        assert!(text.contains("ALPN protocol: h2"), "{text}");
    }
}

/// Serves it, and sees that a client that trusts the root is served.
#[track_caller]
fn is_served(pki: &Pki, origin: &Origin, certificate: &str) {
    let lb = secured(&[origin], &format!("certificates: [{certificate}]")).start();
    let mut client = Tls::new(pki, NAME).connect(lb.web());
    assert_eq!(client.get("/", &[]).unwrap().status, 200, "{certificate}");
    assert_eq!(
        client.ssl().peer_cert_chain().unwrap().len(),
        2,
        "{certificate}"
    );
}

fn keys_in_every_format(pki: &Pki, origin: &Origin, site: &Issued, traditional: &[&str]) {
    let key = path(&site.key);
    let password = pki.write("password", "correct horse\nbattery staple\n");
    let pass = format!("file:{}", path(&password));
    let cert = path(&site.cert);
    let mut commands: Vec<(&str, Vec<&str>)> = vec![
        ("PKCS#8", vec!["pkey", "-in", key]),
        ("DER", vec!["pkey", "-in", key, "-outform", "DER"]),
        (
            "encrypted PKCS#8",
            vec![
                "pkcs8",
                "-topk8",
                "-in",
                key,
                "-v2",
                "aes-256-cbc",
                "-passout",
                &pass,
            ],
        ),
    ];
    if !traditional.is_empty() {
        // PKCS#1 or SEC1.
        let mut plain = traditional.to_vec();
        plain.extend(["-in", key]);
        commands.push(("traditional", plain.clone()));
        plain.extend(["-aes256", "-passout", &pass]);
        commands.push(("encrypted traditional", plain));
    }
    for (index, (what, mut command)) in commands.into_iter().enumerate() {
        let out = pki.path(&format!("key{index}"));
        command.extend(["-out", path(&out)]);
        run("openssl", &command);
        let protected = if what.contains("encrypted") {
            format!(", password_file: {}", path(&password))
        } else {
            String::new()
        };
        is_served(
            pki,
            origin,
            &format!("{{cert: {cert}, key: {}{protected}}}", path(&out)),
        );
    }
}

#[test]
fn rsa_keys_of_every_format_are_taken() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let site = pki.rsa_leaf(&[NAME]);
    keys_in_every_format(&pki, &origin, &site, &["rsa", "-traditional"]);
}

#[test]
fn ecdsa_keys_of_every_format_are_taken() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let site = pki.leaf(&[NAME]);
    keys_in_every_format(&pki, &origin, &site, &["ec"]);
}

#[test]
fn ed25519_keys_of_every_format_are_taken() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let site = pki.request(&[NAME]).key(Key::Ed25519).issue();
    keys_in_every_format(&pki, &origin, &site, &[]);
}

#[test]
fn pfx_and_p7b_are_taken_by_their_content() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let site = pki.leaf(&[NAME]);
    let (cert, key) = (path(&site.cert), path(&site.key));
    let password = pki.write("password", "correct horse\n");
    let pass = format!("file:{}", path(&password));
    for (index, options) in [&[][..], &["-legacy"]].iter().enumerate() {
        // The name says nothing.
        let pfx = pki.path(&format!("site{index}.pem"));
        let mut command = vec!["pkcs12", "-export", "-in", cert, "-inkey", key];
        command.extend(["-passout", &pass, "-out", path(&pfx)]);
        command.extend(*options);
        run("openssl", &command);
        for kind in ["bundle", "cert"] {
            let source = format!(
                "{{{kind}: {}, password_file: {}}}",
                path(&pfx),
                path(&password)
            );
            is_served(&pki, &origin, &source);
        }
    }
    for (name, form) in [("site.crt", "DER"), ("site.cer", "PEM")] {
        let p7b = pki.path(name);
        run(
            "openssl",
            &[
                "crl2pkcs7",
                "-nocrl",
                "-certfile",
                cert,
                "-outform",
                form,
                "-out",
                path(&p7b),
            ],
        );
        is_served(
            &pki,
            &origin,
            &format!("{{cert: {}, key: {key}}}", path(&p7b)),
        );
    }
}

#[test]
fn certificate_and_key_may_share_a_file() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let site = pki.leaf(&[NAME]);
    let both =
        std::fs::read_to_string(&site.key).unwrap() + &std::fs::read_to_string(&site.cert).unwrap();
    let both = pki.write("both", both);
    for kind in ["bundle", "cert"] {
        is_served(&pki, &origin, &format!("{{{kind}: {}}}", path(&both)));
    }
}

/// Findings of these severities are above LOW.
const ABOVE_LOW: [&str; 4] = ["MEDIUM", "HIGH", "CRITICAL", "FATAL"];

#[test]
fn testssl_finds_nothing_above_low() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    // One of each kind, as a careful operator has it; long enough to be no finding itself.
    let rsa = pki
        .request(&["localhost"])
        .key(Key::Rsa(2048))
        .days(-1, 90)
        .issue();
    let ecdsa = pki.request(&["localhost"]).days(-1, 90).issue();
    let lb: Equipoise = secured(&[&origin], &certificates(&[&rsa, &ecdsa])).start();
    let report = pki.path("report.json");
    let (root, to) = (pki.root(), format!("localhost:{}", lb.web().port()));
    let output = Command::new("testssl")
        .args([
            "--quiet",
            "--warnings",
            "batch",
            "--color",
            "0",
            "--ip",
            "127.0.0.1",
        ])
        .args([
            "--nodns",
            "min",
            "--add-ca",
            path(&root),
            "--jsonfile",
            path(&report),
        ])
        .args([
            "--protocols",
            "--std",
            "--fs",
            "--server-preference",
            "--server-defaults",
        ])
        .args(["--vulnerable", &to])
        .stdin(Stdio::null())
        .output()
        .expect("testssl (make setup installs it)");
    let report = std::fs::read_to_string(&report)
        .unwrap_or_else(|_| panic!("no report: {}", String::from_utf8_lossy(&output.stdout)));
    let findings: Vec<serde_json::Value> = serde_json::from_str(&report).expect("JSON");
    assert!(
        findings.len() > 60,
        "{} findings: did it run?",
        findings.len()
    );
    let bad: Vec<_> = findings
        .iter()
        .filter(|found| {
            ABOVE_LOW
                .iter()
                .any(|severity| found["severity"] == *severity)
        })
        .filter(|found| {
            let id = found["id"].as_str().unwrap_or_default();
            // About the authority, which is the test's.
            ![
                "cert_chain_of_trust",
                "cert_revocation",
                "certificate_transparency",
            ]
            .iter()
            .any(|about| id.contains(about))
        })
        .collect();
    assert!(bad.is_empty(), "{bad:#?}");
}
