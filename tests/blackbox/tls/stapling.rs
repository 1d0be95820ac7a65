//! OCSP stapling, with OpenSSL's own responder and client.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use super::{NAME, secured};
use crate::common::*;

const SERIAL: &str = "1000";

/// `openssl ocsp` as a server, for the certificate that [`issue`] makes.
struct Responder {
    process: Child,
    address: SocketAddr,
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Responder {
    fn start(pki: &Pki, signer: &str) -> Self {
        Self::of(pki, "intermediate", signer)
    }

    fn of(pki: &Pki, authority: &str, signer: &str) -> Self {
        let mut process = Command::new("openssl")
            .args(["ocsp", "-port", "0", "-index", "index.txt", "-ndays", "1"])
            .arg("-CA")
            .arg(format!("{authority}.pem"))
            .arg("-rsigner")
            .arg(format!("{signer}.pem"))
            .arg("-rkey")
            .arg(format!("{signer}.key"))
            .current_dir(pki.dir())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // "ACCEPT [::]:35353 PID=3715"
        let mut line = String::new();
        let mut said = BufReader::new(process.stdout.take().unwrap());
        said.read_line(&mut line).unwrap();
        let port = line
            .split_whitespace()
            .nth(1)
            .and_then(|address| address.rsplit(':').next());
        let port = port.expect(&line).parse().unwrap();
        Self {
            process,
            address: ([127, 0, 0, 1], port).into(),
        }
    }
}

/// Has the responder know the certificate as valid (`V`) or revoked (`R`).
fn list(pki: &Pki, status: &str) {
    let revoked = if status == "R" { "250101000000Z" } else { "" };
    pki.write(
        "index.txt",
        format!("{status}\t991231235959Z\t{revoked}\t{SERIAL}\tunknown\t/CN={NAME}\n"),
    );
    pki.write("index.txt.attr", "unique_subject = no\n");
}

/// A certificate of an authority's that names the responder.
fn issue(pki: &Pki, responder: SocketAddr) {
    issue_naming(pki, "intermediate", &format!("http://{responder}/"));
}

fn issue_naming(pki: &Pki, authority: &str, url: &str) {
    pki.write("site.key", pki.leaf(&[NAME]).key_pem());
    pki.write(
        "ext",
        format!(
            "subjectAltName=DNS:{NAME}\nextendedKeyUsage=serverAuth\n\
             authorityInfoAccess=OCSP;URI:{url}\n"
        ),
    );
    let script = format!(
        "openssl req -new -key site.key -subj /CN={NAME} -out site.csr && \
         openssl x509 -req -in site.csr -CA {authority}.pem -CAkey {authority}.key -set_serial 0x{SERIAL} -days 90 \
         -extfile ext -out leaf.pem && cat leaf.pem {authority}.pem > site.pem"
    );
    let output = Command::new("sh")
        .args(["-c", &script])
        .current_dir(pki.dir())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// What a client that asks for it is shown.
fn shown(at: SocketAddr, version: &str) -> String {
    let output = Command::new("openssl")
        .args(["s_client", "-status", version, "-servername", NAME])
        .arg("-connect")
        .arg(at.to_string())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn is_shown(lb: &Equipoise) -> bool {
    is_shown_at(lb.web())
}

fn is_shown_at(at: SocketAddr) -> bool {
    let versions = ["-tls1_2", "-tls1_3"].map(|version| shown(at, version));
    versions
        .iter()
        .all(|shown| shown.contains("Cert Status: good"))
}

#[track_caller]
fn is_nothing_shown(lb: &Equipoise) {
    for version in ["-tls1_2", "-tls1_3"] {
        let shown = shown(lb.web(), version);
        assert!(shown.contains("OCSP response: no response sent"), "{shown}");
    }
}

fn with(pki: &Pki, origin: &Origin, more: &str) -> Equipoise {
    let dir = pki.dir().display();
    let tls = format!("certificates: [{{cert: {dir}/site.pem, key: {dir}/site.key}}]\n{more}");
    secured(&[origin], &tls).start()
}

#[test]
fn a_good_answer_is_shown_in_handshakes() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    list(&pki, "V");
    let responder = Responder::start(&pki, "intermediate");
    issue(&pki, responder.address);
    let lb = with(&pki, &origin, "ocsp: {stapling: auto}");
    eventually(SOON, || is_shown(&lb));
    // A responder that has gone changes nothing as long as its answer counts.
    drop(responder);
    assert!(is_shown(&lb));
    is_nothing_shown(&with(&pki, &origin, "ocsp: {stapling: off}"));
    is_nothing_shown(&with(&pki, &origin, ""));
}

/// The root is left out when served, but it is the issuer.
#[test]
fn a_root_that_signs_certificates_itself_is_known_as_their_issuer() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    list(&pki, "V");
    let responder = Responder::of(&pki, "root", "root");
    issue_naming(&pki, "root", &format!("http://{}/", responder.address));
    let lb = with(&pki, &origin, "ocsp: {stapling: auto}");
    eventually(SOON, || is_shown(&lb));
}

#[test]
fn what_is_revoked_is_not_shown_and_is_told() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    list(&pki, "R");
    let responder = Responder::start(&pki, "intermediate");
    issue(&pki, responder.address);
    let lb = with(&pki, &origin, "ocsp: {stapling: auto}");
    eventually(SOON, || lb.stderr().contains("the certificate is revoked"));
    is_nothing_shown(&lb);
}

#[test]
fn an_answer_that_somebody_else_has_signed_is_not_shown() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    list(&pki, "V");
    let other = pki.leaf(&["other.test"]);
    pki.write("other.key", other.key_pem());
    pki.write("other.pem", other.leaf_pem());
    let responder = Responder::start(&pki, "other");
    issue(&pki, responder.address);
    let lb = with(&pki, &origin, "ocsp: {stapling: auto}");
    eventually(SOON, || {
        lb.stderr()
            .contains("it is not signed by the certificate's issuer")
    });
    is_nothing_shown(&lb);
}

#[test]
fn a_page_is_no_answer_and_nobody_waits_for_one() {
    let (pki, origin, responder) = (Pki::new(), Origin::start("a"), Origin::start("page"));
    issue(&pki, responder.address());
    let lb = with(&pki, &origin, "ocsp: {stapling: auto}");
    eventually(SOON, || lb.stderr().contains("it is no OCSP response"));
    let asked = responder.last_request();
    assert_eq!(
        asked.header("content-type"),
        Some("application/ocsp-request")
    );
    is_nothing_shown(&lb);
}

#[test]
fn a_responder_behind_tls_is_asked_if_it_is_who_it_should_be() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    list(&pki, "V");
    let responder = Responder::start(&pki, "intermediate");
    let its = pki.leaf(&["localhost"]);
    let in_front = Setup::new()
        .server_at("ocsp", &responder.address.to_string(), "")
        .listener(&format!(
            "protocol: https\ntls: {{certificates: [{{cert: \"{}\", key: \"{}\"}}]}}",
            its.cert.display(),
            its.key.display(),
        ))
        .start();
    issue_naming(
        &pki,
        "intermediate",
        &format!("https://localhost:{}/", in_front.web().port()),
    );
    let dir = pki.dir().display();
    let tls = format!(
        "certificates: [{{cert: {dir}/site.pem, key: {dir}/site.key}}]\nocsp: {{stapling: auto}}"
    );
    let setup = secured(&[&origin], &tls);
    let roots = pki.root();
    let trusting =
        Equipoise::start_with(&setup.yaml(), &[("SSL_CERT_FILE", roots.to_str().unwrap())]);
    eventually(SOON, || is_shown(&trusting));
    let others = Pki::new();
    let roots = others.root();
    let lb = Equipoise::start_with(&setup.yaml(), &[("SSL_CERT_FILE", roots.to_str().unwrap())]);
    eventually(SOON, || lb.stderr().contains("certificate verify failed"));
    is_nothing_shown(&lb);
}

#[test]
fn the_admin_listener_staples_too() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    list(&pki, "V");
    let responder = Responder::start(&pki, "intermediate");
    issue(&pki, responder.address);
    let dir = pki.dir().display();
    let yaml = Setup::of([&origin])
        .top(&format!(
            "admin: {{bind: \"127.0.0.1:0\", tls: {{certificate: {{cert: {dir}/site.pem, key: {dir}/site.key}}, \
             ocsp: {{stapling: auto}}}}}}"
        ))
        .yaml();
    let lb = Equipoise::start_early_in(TempDir::new("admin"), &yaml);
    eventually(SOON, || is_shown_at(lb.admin()));
}
