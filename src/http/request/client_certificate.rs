//! X-Client-Cert-*: what servers are told of a client's certificate, and by nobody but us.

use http::{HeaderName, HeaderValue};

use crate::headers::names::KnownName;
use crate::headers::{Fields, is_known_as};
use crate::tls::Established;

const SUBJECT: KnownName = KnownName::new("x-client-cert-subject");
const SERIAL: KnownName = KnownName::new("x-client-cert-serial");
const FINGERPRINT: KnownName = KnownName::new("x-client-cert-fingerprint");
const VERIFY: KnownName = KnownName::new("x-client-cert-verify");

const PREFIX: &[u8] = b"x-client-cert-";

/// Drops what the client claims, and states what TLS knows.
pub fn forward(request: &mut Fields, tls: Option<&Established>) {
    request.remove_where(is_ours);
    let Some(tls) = tls.filter(|tls| tls.forward_client) else {
        return;
    };
    match &tls.client {
        Some(client) => {
            request.insert(VERIFY, HeaderValue::from_static("SUCCESS"));
            request.insert(SUBJECT, client.subject.clone());
            request.insert(SERIAL, client.serial.clone());
            request.insert(FINGERPRINT, client.fingerprint.clone());
        }
        None => request.insert(VERIFY, HeaderValue::from_static("NONE")),
    }
}

fn is_ours(name: &HeaderName) -> bool {
    let start = name.as_str().as_bytes().get(..PREFIX.len());
    start.is_some_and(|start| is_known_as(start, PREFIX))
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::tls::ClientCertificate;

    fn established(client: Option<ClientCertificate>, forward_client: bool) -> Established {
        Established {
            version: "TLSv1.3",
            cipher: "TLS_AES_128_GCM_SHA256",
            sni: None,
            alpn: None,
            resumed: false,
            client,
            forward_client,
            strict_sni: false,
        }
    }

    fn forged() -> Fields {
        let mut request = Fields::new();
        for name in [
            "x-client-cert-subject",
            "x-client-cert-anything",
            "x_client_cert_verify",
            "x-client_cert-serial",
        ] {
            request.append(
                HeaderName::from_static(name),
                HeaderValue::from_static("forged"),
            );
            request.append(
                HeaderName::from_static(name),
                HeaderValue::from_static("twice"),
            );
        }
        request.insert(
            http::HeaderName::from_static("x-client-certain"),
            HeaderValue::from_static("mine"),
        );
        request
    }

    #[test]
    fn what_a_client_claims_is_dropped_always() {
        let with = established(None, true);
        for tls in [None, Some(&established(None, false)), Some(&with)] {
            let mut request = forged();
            forward(&mut request, tls);
            assert!(
                request
                    .values()
                    .all(|value| value != "forged" && value != "twice")
            );
            assert_eq!(request["x-client-certain"], "mine");
        }
        let mut request = forged();
        forward(&mut request, Some(&with));
        assert_eq!(request["x-client-cert-verify"], "NONE");
        assert_eq!(request.len(), 2);
    }

    #[test]
    fn servers_are_told_of_a_verified_certificate() {
        let client = ClientCertificate {
            subject: HeaderValue::from_static("CN=alice"),
            common_name: None,
            serial: HeaderValue::from_static("0A"),
            fingerprint: HeaderValue::from_static("ab"),
        };
        let mut request = forged();
        forward(&mut request, Some(&established(Some(client), true)));
        assert_eq!(request["x-client-cert-verify"], "SUCCESS");
        assert_eq!(request["x-client-cert-subject"], "CN=alice");
        assert_eq!(request["x-client-cert-serial"], "0A");
        assert_eq!(request["x-client-cert-fingerprint"], "ab");
    }
}
