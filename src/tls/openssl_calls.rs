//! The three calls of OpenSSL that the `openssl` crate doesn't have: keys for session tickets, a look at an extension
//! of the ClientHello, and revocation lists from memory. The only unsafe code of this package.
//!
//! What is relied on, everywhere below: OpenSSL hands its callbacks valid pointers, and buffers of the lengths that its
//! manual states (SSL_CTX_set_tlsext_ticket_key_evp_cb(3), SSL_client_hello_get0_ext(3)). No callback panics or keeps a
//! pointer.

#![allow(unsafe_code)]

use std::ffi::{c_char, c_int, c_uchar, c_uint, c_void};
use std::ptr;
use std::sync::{Arc, OnceLock};

use foreign_types::ForeignTypeRef;
use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ssl::{SslContext, SslContextBuilder, SslRef, SslVersion};
use openssl::x509::X509CrlRef;
use openssl::x509::store::X509StoreBuilderRef;
use openssl_sys as ffi;

use super::ticket_keys::{IV_LENGTH, NAME_LENGTH, TicketKey, TicketKeys};

/// The type of extension that names the server (RFC 6066 section 3).
pub const EXTENSION_SERVER_NAME: c_uint = 0;
/// The type of extension that holds ALPN (RFC 7301 section 3.1).
pub const EXTENSION_ALPN: c_uint = 16;

/// `EVP_MAC_CTX`.
enum MacContext {}

type TicketCallback = unsafe extern "C" fn(
    *mut ffi::SSL,
    *mut c_uchar,
    *mut c_uchar,
    *mut ffi::EVP_CIPHER_CTX,
    *mut MacContext,
    c_int,
) -> c_int;

unsafe extern "C" {
    fn SSL_CTX_set_tlsext_ticket_key_evp_cb(
        context: *mut ffi::SSL_CTX,
        callback: Option<TicketCallback>,
    ) -> c_int;
    fn SSL_client_hello_get0_ext(
        ssl: *mut ffi::SSL,
        extension: c_uint,
        out: *mut *const c_uchar,
        length: *mut usize,
    ) -> c_int;
    fn X509_STORE_add_crl(store: *mut ffi::X509_STORE, crl: *mut ffi::X509_CRL) -> c_int;
    fn EVP_MAC_init(
        context: *mut MacContext,
        key: *const c_uchar,
        length: usize,
        parameters: *const ffi::OSSL_PARAM,
    ) -> c_int;
    fn OSSL_PARAM_construct_utf8_string(
        key: *const c_char,
        text: *mut c_char,
        length: usize,
    ) -> ffi::OSSL_PARAM;
    fn OSSL_PARAM_construct_end() -> ffi::OSSL_PARAM;
}

fn place_of_keys() -> Result<Index<SslContext, Arc<TicketKeys>>, ErrorStack> {
    static PLACE: OnceLock<Index<SslContext, Arc<TicketKeys>>> = OnceLock::new();
    if let Some(place) = PLACE.get() {
        return Ok(*place);
    }
    let place = SslContext::new_ex_index()?;
    Ok(*PLACE.get_or_init(|| place))
}

/// Session tickets of `context` are made and opened with `keys`, as they are at that moment.
///
/// # Errors
///
/// OpenSSL's.
pub fn use_ticket_keys(
    context: &mut SslContextBuilder,
    keys: Arc<TicketKeys>,
) -> Result<(), ErrorStack> {
    context.set_ex_data(place_of_keys()?, keys);
    // SAFETY: the context is valid, and the callback finds its keys in that very context.
    let done = unsafe { SSL_CTX_set_tlsext_ticket_key_evp_cb(context.as_ptr(), Some(ticket_key)) };
    if done == 1 {
        Ok(())
    } else {
        Err(ErrorStack::get())
    }
}

/// The body of an extension, as the client sent it. Only within a ClientHello callback.
pub fn client_hello_extension(ssl: &mut SslRef, extension: c_uint) -> Option<&[u8]> {
    let (mut out, mut length) = (ptr::null(), 0);
    // SAFETY: `ssl` is valid; what is given back lives as long as the callback runs, which borrows `ssl`.
    unsafe {
        let found =
            SSL_client_hello_get0_ext(ssl.as_ptr(), extension, &raw mut out, &raw mut length);
        (found == 1 && !out.is_null()).then(|| std::slice::from_raw_parts(out, length))
    }
}

/// Certificates verified by `store` are looked up in `list`.
///
/// # Errors
///
/// OpenSSL's.
pub fn add_revocations(
    store: &mut X509StoreBuilderRef,
    list: &X509CrlRef,
) -> Result<(), ErrorStack> {
    // SAFETY: both are valid; the store takes a reference of its own to the list (X509_STORE_add_crl(3)).
    let done = unsafe { X509_STORE_add_crl(store.as_ptr(), list.as_ptr()) };
    if done == 1 {
        Ok(())
    } else {
        Err(ErrorStack::get())
    }
}

/// Answers of the callback.
const FAILED: c_int = -1;
const NO_TICKET: c_int = 0;
const TAKEN: c_int = 1;
const TAKEN_RENEW: c_int = 2;

unsafe extern "C" fn ticket_key(
    ssl: *mut ffi::SSL,
    name: *mut c_uchar,
    iv: *mut c_uchar,
    cipher: *mut ffi::EVP_CIPHER_CTX,
    mac: *mut MacContext,
    making: c_int,
) -> c_int {
    // SAFETY: pointers of OpenSSL's, see above. `name` has 16 bytes, `iv` at least as many as AES's block.
    unsafe {
        let ssl = SslRef::from_ptr(ssl);
        let Ok(place) = place_of_keys() else {
            return FAILED;
        };
        let Some(keys) = ssl.ssl_context().ex_data(place) else {
            return FAILED;
        };
        let name = std::slice::from_raw_parts_mut(name, NAME_LENGTH);
        if making == 1 {
            let Some(key) = keys.newest() else {
                return NO_TICKET;
            };
            let iv = std::slice::from_raw_parts_mut(iv, IV_LENGTH);
            if openssl::rand::rand_bytes(iv).is_err() {
                return FAILED;
            }
            name.copy_from_slice(&key.name);
            start(&key, iv.as_ptr(), cipher, mac, true)
        } else {
            match keys.named(name) {
                Some((key, newest)) => match start(&key, iv, cipher, mac, false) {
                    // In TLS 1.3 a ticket is to be used once (RFC 8446 appendix C.4), so whoever uses one needs the
                    // next. OpenSSL does so by itself only where it has the keys.
                    TAKEN if !newest || ssl.version2() == Some(SslVersion::TLS1_3) => TAKEN_RENEW,
                    other => other,
                },
                None => NO_TICKET,
            }
        }
    }
}

/// AES-256-CBC and HMAC-SHA256, as RFC 5077 section 4 proposes.
///
/// # Safety
///
/// Both contexts are valid and `iv` points to [`IV_LENGTH`] bytes.
unsafe fn start(
    key: &TicketKey,
    iv: *const c_uchar,
    cipher: *mut ffi::EVP_CIPHER_CTX,
    mac: *mut MacContext,
    making: bool,
) -> c_int {
    let init = if making {
        ffi::EVP_EncryptInit_ex
    } else {
        ffi::EVP_DecryptInit_ex
    };
    // SAFETY: the caller's word for the contexts; the keys have the lengths that the algorithms want; OpenSSL copies the
    // name of the digest and doesn't write to it.
    unsafe {
        let parameters = [
            OSSL_PARAM_construct_utf8_string(c"digest".as_ptr(), c"SHA256".as_ptr().cast_mut(), 0),
            OSSL_PARAM_construct_end(),
        ];
        let sound = init(
            cipher,
            ffi::EVP_aes_256_cbc(),
            ptr::null_mut::<c_void>().cast(),
            key.cipher.as_ptr(),
            iv,
        ) == 1
            && EVP_MAC_init(mac, key.mac.as_ptr(), key.mac.len(), parameters.as_ptr()) == 1;
        if sound { TAKEN } else { FAILED }
    }
}
