//! Opening what is encrypted: PEM keys, PKCS#8 and PKCS#12, with today's ciphers and those of twenty years ago.

use std::sync::OnceLock;

use openssl::error::{Error, ErrorStack};
use openssl::pkcs12::{ParsedPkcs12_2, Pkcs12};
use openssl::pkey::{PKey, Private};
use openssl::provider::Provider;

use super::file::Password;

/// Why something stays closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lock {
    /// It is encrypted, and there is no password.
    NoPassword,
    /// The password doesn't open it.
    WrongPassword,
    /// It can't be opened for another reason, in OpenSSL's words.
    Unsupported(String),
}

/// An encrypted key in PEM: PKCS#8, or traditional with `Proc-Type`.
///
/// # Errors
///
/// Why it stays closed.
pub fn pem_key(pem: &[u8], password: Option<&Password>) -> Result<PKey<Private>, Lock> {
    let password = password.ok_or(Lock::NoPassword)?;
    open(|| PKey::private_key_from_pem_passphrase(pem, password.as_bytes()))
}

/// An encrypted PKCS#8 key in DER.
///
/// # Errors
///
/// Why it stays closed.
pub fn der_key(der: &[u8], password: Option<&Password>) -> Result<PKey<Private>, Lock> {
    let password = password.ok_or(Lock::NoPassword)?;
    open(|| PKey::private_key_from_pkcs8_passphrase(der, password.as_bytes()))
}

/// The contents of a PFX. Without a password, those without one (and with an empty one) open.
///
/// # Errors
///
/// Why it stays closed.
pub fn archive(archive: &Pkcs12, password: Option<&Password>) -> Result<ParsedPkcs12_2, Lock> {
    let opened = open(|| archive.parse2(password.map_or("", Password::as_str)));
    match opened {
        Err(Lock::WrongPassword) if password.is_none() => Err(Lock::NoPassword),
        opened => opened,
    }
}

fn open<T>(attempt: impl Fn() -> Result<T, ErrorStack>) -> Result<T, Lock> {
    let mut errors = match attempt() {
        Ok(opened) => return Ok(opened),
        Err(errors) => errors,
    };
    if !says_wrong_password(&errors) && has_old_ciphers() {
        errors = match attempt() {
            Ok(opened) => return Ok(opened),
            Err(errors) => errors,
        };
    }
    if !says_wrong_password(&errors) && says_unsupported(&errors) {
        return Err(Lock::Unsupported(reasons(&errors)));
    }
    // A wrong password gives good padding by chance, once in 256; what it gives then is nonsense.
    Err(Lock::WrongPassword)
}

fn says_wrong_password(errors: &ErrorStack) -> bool {
    errors.errors().iter().any(|error| {
        matches!(
            error.reason(),
            Some("mac verify failure" | "bad decrypt" | "bad password read")
        )
    })
}

fn says_unsupported(errors: &ErrorStack) -> bool {
    errors.errors().iter().any(|error| {
        let reason = error.reason().unwrap_or_default();
        reason.contains("unsupported") || reason.contains("unknown")
    })
}

fn reasons(errors: &ErrorStack) -> String {
    let reasons: Vec<&str> = errors.errors().iter().filter_map(Error::reason).collect();
    reasons.join(", ")
}

/// RC2, DES and their like are in a part of OpenSSL of their own, which is loaded when a file first needs it and stays.
/// TLS doesn't get weaker by it: no cipher suite uses them.
fn has_old_ciphers() -> bool {
    static LEGACY: OnceLock<Option<Provider>> = OnceLock::new();
    LEGACY
        .get_or_init(|| Provider::try_load(None, "legacy", true).ok())
        .is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_ciphers_are_built_in() {
        assert!(has_old_ciphers());
    }
}
