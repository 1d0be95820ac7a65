//! What holds for any file: the order never matters, and nothing panics.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use openssl::pkcs12::Pkcs12;
use openssl::stack::Stack;
use proptest::prelude::*;

use super::*;

#[path = "../../../tests/common/pki.rs"]
#[allow(dead_code, reason = "the black-box tests use the rest")]
mod pki;
#[path = "../../../tests/common/temp.rs"]
#[allow(dead_code, reason = "the black-box tests use the rest")]
mod temp;

use pki::{Authority, Key, Pki};

/// A chain of four and a stranger; texts of everything that can be in a file.
struct World {
    pki: Pki,
    chain: Vec<String>,
    stranger: String,
    key: String,
    files: Vec<Vec<u8>>,
}

// Each test has its own, whose files go when its thread ends; a static would leave them behind.
thread_local! {
    static WORLD: World = World::new();
}

static PASSWORD: LazyLock<Password> = LazyLock::new(|| Password::new("secret".into()).unwrap());

impl World {
    fn new() -> Self {
        let pki = Pki::new();
        let second = pki.intermediate.authority("Second");
        let leaf = pki.request(&["lb.example.com"]).by(&second).issue();
        let pem = |authority: &Authority| String::from_utf8(authority.pem()).unwrap();
        let chain = vec![
            leaf.leaf_pem(),
            pem(&second),
            pem(&pki.intermediate),
            pem(&pki.root),
        ];
        let stranger = pki.leaf(&["other.example.com"]).leaf_pem();
        let key = leaf.key_pem();
        let mut others = Stack::new().unwrap();
        others.push(second.cert.clone()).unwrap();
        let pfx = Pkcs12::builder()
            .pkey(&leaf.private)
            .cert(&leaf.leaf)
            .ca(others)
            .build2("secret")
            .unwrap();
        let cipher = openssl::symm::Cipher::aes_128_cbc();
        let files = vec![
            [chain.concat(), key.clone()].concat().into_bytes(),
            leaf.leaf.to_der().unwrap(),
            leaf.private.private_key_to_der().unwrap(),
            leaf.private.private_key_to_pkcs8().unwrap(),
            leaf.private
                .private_key_to_pkcs8_passphrase(cipher, b"secret")
                .unwrap(),
            leaf.private
                .private_key_to_pem_pkcs8_passphrase(cipher, b"secret")
                .unwrap(),
            leaf.private
                .ec_key()
                .unwrap()
                .private_key_to_pem_passphrase(cipher, b"secret")
                .unwrap(),
            pfx.to_der().unwrap(),
            std::fs::read(pki.crl(&[&leaf])).unwrap(),
        ];
        Self {
            pki,
            chain,
            stranger,
            key,
            files,
        }
    }

    fn source(&self, name: &str, cert: &str, key: &str) -> Source {
        Source {
            cert: self.pki.write(&format!("{name}.pem"), cert),
            key: Some(self.pki.write(&format!("{name}.key"), key)),
            password_file: None,
        }
    }
}

fn served(loaded: &Loaded) -> Vec<Vec<u8>> {
    let identity = &loaded.identity;
    std::iter::once(&identity.leaf)
        .chain(&identity.chain)
        .map(|cert| cert.to_pem().unwrap())
        .collect()
}

fn faults(findings: &[Finding]) -> Vec<Fault> {
    findings.iter().map(|finding| finding.fault).collect()
}

fn shuffled() -> impl Strategy<Value = Vec<usize>> {
    // Four of the chain, the stranger, and two of the chain again.
    Just(vec![0, 1, 2, 3, 4, 0, 2]).prop_shuffle()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn shuffling_a_chain_never_changes_what_is_served(order in shuffled(), windows in any::<bool>()) {
        WORLD.with(|world| {
            let mut all: Vec<&str> = world.chain.iter().map(String::as_str).collect();
            all.push(&world.stranger);
            let mut cert: String = order.iter().map(|&index| all[index]).collect();
            if windows {
                cert = cert.replace('\n', "\r\n");
            }
            let loaded = load(&world.source("shuffled", &cert, &world.key), SystemTime::now()).unwrap();
            let expected: Vec<Vec<u8>> = world.chain[..3].iter().map(|pem| pem.clone().into_bytes()).collect();
            assert_eq!(served(&loaded), expected);
            let faults = faults(&loaded.findings);
            assert_eq!(faults.contains(&Fault::CrLf), windows);
            assert!(faults.contains(&Fault::Unrelated));
            assert!(faults.contains(&Fault::Duplicate));
            assert!(faults.contains(&Fault::RootIncluded));
            assert_eq!(faults.contains(&Fault::LeafNotFirst), order[0] != 0 && order[0] != 5, "{order:?}");
        });
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        parse(&bytes);
    }

    #[test]
    fn random_text_never_panics(text in "(-----(BEGIN|END) [A-Z ]{0,12}-----|[A-Za-z0-9+/= :-]{0,70}|\r?\n){0,30}") {
        parse(text.as_bytes());
    }

    #[test]
    fn altered_files_never_panic(
        which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        to in any::<u8>(),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        WORLD.with(|world| {
            let mut bytes = which.get(&world.files).clone();
            let at = at.index(bytes.len());
            bytes[at] = to;
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            parse(&bytes);
        });
    }
}

/// Everything that is done with a file's contents.
fn parse(bytes: &[u8]) {
    for password in [None, Some(&*PASSWORD)] {
        let contents = Contents::parse(Path::new("any"), bytes, password);
        assert!(!contents.items.is_empty() || !contents.damage.is_empty());
        let described = describe(&contents, SystemTime::now());
        serde_json::to_string(&described).unwrap();
    }
}

#[test]
fn names_dates_and_identity_are_those_of_the_leaf() {
    let pki = Pki::new();
    let site = pki.leaf(&["LB.example.com", "*.shop.example.com", "::1"]);
    let loaded = load(&source(&site.cert, Some(&site.key)), SystemTime::now()).unwrap();
    assert_eq!(loaded.findings, []);
    let Identity {
        leaf, chain, key, ..
    } = &loaded.identity;
    assert_eq!(names(leaf), ["lb.example.com", "*.shop.example.com", "::1"]);
    assert_eq!(chain.len(), 1);
    assert!(key.public_eq(&leaf.public_key().unwrap()));
    let left = not_after(leaf).duration_since(SystemTime::now()).unwrap();
    assert_eq!(left.as_secs() / (24 * 60 * 60), 90);
}

#[test]
fn what_is_soon_is_told_by_the_time_that_is_given() {
    let pki = Pki::new();
    let site = pki.leaf(&["lb.example.com"]);
    let at = |days: u64| {
        let now = SystemTime::now() + Duration::from_secs(days * 24 * 60 * 60);
        faults(
            &load(&source(&site.cert, Some(&site.key)), now)
                .unwrap()
                .findings,
        )
    };
    assert_eq!(at(59), []);
    assert_eq!(at(61), [Fault::ExpiresSoon]);
    assert_eq!(at(91), [Fault::Expired]);
}

#[test]
fn of_two_certificates_for_a_key_the_valid_one_is_served() {
    let pki = Pki::new();
    let new = pki.leaf(&["lb.example.com"]);
    let old = pki
        .request(&["lb.example.com"])
        .with_key_of(&new)
        .days(-90, -1)
        .issue();
    let cert = pki.write("both.pem", [old.leaf_pem(), new.chain_pem()].concat());
    let loaded = load(&source(&cert, Some(&new.key)), SystemTime::now()).unwrap();
    assert!(*loaded.identity.leaf == *new.leaf);
    assert_eq!(
        faults(&loaded.findings),
        [Fault::Unrelated, Fault::LeafNotFirst]
    );
}

#[test]
fn what_can_not_be_served_is_an_error_with_a_fatal_finding() {
    let pki = Pki::new();
    let site = pki.leaf(&["lb.example.com"]);
    let other = pki.leaf(&["other.example.com"]);
    let cases = [
        (source(&site.cert, Some(&other.key)), Fault::KeyMismatch),
        (source(&site.cert, None), Fault::KeyMissing),
        (
            source(&site.cert, Some(&pki.path("none"))),
            Fault::Unreadable,
        ),
        (source(&site.key, Some(&site.key)), Fault::WrongKind),
        (source(&pki.path("none"), None), Fault::Unreadable),
    ];
    for (source, fault) in cases {
        let findings = load(&source, SystemTime::now()).unwrap_err();
        assert_eq!(faults(&findings), [fault], "{source:?}");
        assert!(is_fatal(&findings));
    }
}

#[test]
fn the_key_may_be_in_the_same_file() {
    let pki = Pki::new();
    let site = pki.leaf(&["lb.example.com"]);
    let both = pki.write("both.pem", [site.key_pem(), site.chain_pem()].concat());
    for key in [None, Some(both.as_path())] {
        let loaded = load(&source(&both, key), SystemTime::now()).unwrap();
        assert_eq!(loaded.findings, []);
    }
}

#[test]
fn a_clients_certificate_is_for_a_client_and_its_authority_is_the_servers_business() {
    let pki = Pki::new();
    let client = pki.client("alice");
    let alone = pki.write("alone.pem", client.leaf_pem());
    let source = source(&alone, Some(&client.key));
    let now = SystemTime::now();
    assert_eq!(
        load_for(Purpose::Client, &source, now).unwrap().findings,
        []
    );
    let findings = load(&source, now).unwrap().findings;
    assert_eq!(
        faults(&findings),
        [Fault::IntermediateMissing, Fault::WrongPurpose]
    );
}

#[test]
fn a_sha1_signature_that_openssl_refuses_can_not_be_served() {
    let pki = Pki::new();
    let site = pki.request(&["lb.example.com"]).signed_with_sha1().issue();
    let findings = load(&source(&site.cert, Some(&site.key)), SystemTime::now()).unwrap_err();
    assert_eq!(faults(&findings), [Fault::WeakSignature]);
}

#[test]
fn a_short_key_that_openssl_refuses_can_not_be_served() {
    let pki = Pki::new();
    let site = pki.request(&["lb.example.com"]).key(Key::Rsa(1024)).issue();
    let findings = load(&source(&site.cert, Some(&site.key)), SystemTime::now()).unwrap_err();
    assert_eq!(faults(&findings), [Fault::ShortKey]);
}

#[test]
fn bundles_and_lists_are_read_whole_or_refused() {
    let pki = Pki::new();
    let revoked = pki.client("mallory");
    let both = [pki.root.pem(), pki.intermediate.pem()].concat();
    let bundle = pki.write("bundle.pem", both);
    assert_eq!(read_ca_bundle(&bundle).unwrap().len(), 2);
    let der = pki.write("root.der", pki.root.cert.to_der().unwrap());
    assert_eq!(read_ca_bundle(&der).unwrap().len(), 1);
    let crl = pki.crl(&[&revoked]);
    let lists = read_crls(&crl).unwrap();
    assert_eq!(lists.len(), 2);
    assert_eq!(lists[0].get_revoked().unwrap().len(), 1);
    let list = pki.write("one.crl", lists[0].to_der().unwrap());
    assert_eq!(read_crls(&list).unwrap().len(), 1);

    let fault = |result: Result<usize, Box<Finding>>| result.unwrap_err().fault;
    let cas = |path: &Path| read_ca_bundle(path).map(|all| all.len());
    assert_eq!(fault(cas(&crl)), Fault::WrongKind);
    assert_eq!(fault(cas(&pki.path("none"))), Fault::Unreadable);
    assert_eq!(
        fault(read_crls(&bundle).map(|all| all.len())),
        Fault::WrongKind
    );
    let text = std::fs::read_to_string(&bundle).unwrap();
    let cut = pki.write("cut.pem", &text[..text.len() - 100]);
    assert_eq!(fault(cas(&cut)), Fault::Damaged);
}

fn source(cert: &Path, key: Option<&Path>) -> Source {
    Source {
        cert: cert.to_owned(),
        key: key.map(PathBuf::from),
        password_file: None,
    }
}
