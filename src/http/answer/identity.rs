//! Who speaks: `Server` and `Via`.

use crate::headers::names::{SERVER, VIA};
use http::{HeaderValue, Version};

use crate::headers::Fields;

/// Sets the response's Server field as configured: `None` = as it is, empty = none.
pub fn server(response: &mut Fields, configured: Option<&HeaderValue>) {
    match configured {
        None => {}
        Some(name) if name.is_empty() => drop(response.remove(&SERVER)),
        Some(name) => response.insert(SERVER, name.clone()),
    }
}

/// Notes in a message that was received in this version that it came through here (RFC 9110 section 7.6.3). Which
/// version of the program that is, is nobody's business.
pub fn via(message: &mut Fields, received: Version) {
    let by = match received {
        Version::HTTP_10 => "1.0 equipoise",
        Version::HTTP_2 => "2 equipoise",
        _ => "1.1 equipoise",
    };
    message.append(VIA, HeaderValue::from_static(by));
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn server_is_kept_replaced_or_removed() {
        let name = HeaderValue::from_static;
        for (configured, expected) in [
            (None, Some("nginx")),
            (Some(name("edge")), Some("edge")),
            (Some(name("")), None),
        ] {
            let mut response = Fields::new();
            response.append(SERVER, name("nginx"));
            server(&mut response, configured.as_ref());
            let lines: Vec<_> = response.get_all(SERVER).iter().collect();
            assert_eq!(lines, Vec::from_iter(expected));
        }
    }

    #[test]
    fn via_comes_behind_what_is_there() {
        let mut message = Fields::new();
        message.append(VIA, HeaderValue::from_static("1.0 fred, 1.1 p.example"));
        via(&mut message, Version::HTTP_2);
        let lines: Vec<_> = message.get_all(VIA).iter().collect();
        assert_eq!(lines, ["1.0 fred, 1.1 p.example", "2 equipoise"]);
    }
}
