#![allow(missing_docs, clippy::all, clippy::pedantic)]
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use openssl::pkey::{PKey, Private};
use openssl::x509::{X509, X509Ref};
use crate::config::model::CertificateSource;
pub struct Identity { pub leaf: X509, pub chain: Vec<X509>, pub key: PKey<Private> }
pub struct Loaded { pub identity: Identity, pub findings: Vec<Finding> }
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Severity { Fatal, Error, Warning, Mended }
pub struct Finding { pub severity: Severity, pub file: PathBuf, pub what: String }
impl std::fmt::Display for Finding { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { write!(f, "{}: {}", self.file.display(), self.what) } }
fn bad(p: &Path, e: impl ToString) -> Vec<Finding> { vec![Finding { severity: Severity::Fatal, file: p.to_owned(), what: e.to_string() }] }
pub fn load(s: &CertificateSource, _now: SystemTime) -> Result<Loaded, Vec<Finding>> {
    let pem = std::fs::read(&s.cert).map_err(|e| bad(&s.cert, e))?;
    let mut all = X509::stack_from_pem(&pem).map_err(|e| bad(&s.cert, e))?;
    if all.is_empty() { return Err(bad(&s.cert, "no certificate")); }
    let kp = s.key.as_ref().unwrap_or(&s.cert);
    let key = PKey::private_key_from_pem(&std::fs::read(kp).map_err(|e| bad(kp, e))?).map_err(|e| bad(kp, e))?;
    let leaf = all.remove(0);
    if !leaf.public_key().unwrap().public_eq(&key) { return Err(bad(kp, "key does not match")); }
    Ok(Loaded { identity: Identity { leaf, chain: all, key }, findings: vec![] })
}
pub fn names(leaf: &X509Ref) -> Vec<String> { leaf.subject_alt_names().map(|s| s.iter().filter_map(|n| n.dnsname().map(|d| d.to_ascii_lowercase())).collect()).unwrap_or_default() }
pub fn not_after(leaf: &X509Ref) -> SystemTime { let now = openssl::asn1::Asn1Time::days_from_now(0).unwrap(); let d = now.diff(leaf.not_after()).unwrap(); SystemTime::now() + Duration::from_secs((d.days.max(0) as u64) * 86400 + d.secs.max(0) as u64) }
pub fn read_ca_bundle(p: &Path) -> Result<Vec<X509>, String> { X509::stack_from_pem(&std::fs::read(p).map_err(|e| e.to_string())?).map_err(|e| e.to_string()) }
pub fn read_crls(p: &Path) -> Result<(), String> { std::fs::read(p).map(drop).map_err(|e| e.to_string()) }
