//! Which names a certificate covers (RFC 9525, section 6.3).

use std::net::IpAddr;

use openssl::x509::X509Ref;

/// The names that the certificate is for, in lower case: DNS names, and addresses as text. The common name only if
/// there are no alternative names at all.
pub fn names(leaf: &X509Ref) -> Vec<String> {
    match alternative_names(leaf) {
        Some(names) => names,
        None => super::words::common_name(leaf.subject_name())
            .map(|name| name.to_ascii_lowercase())
            .into_iter()
            .collect(),
    }
}

/// The alternative names (RFC 5280, section 4.2.1.6); `None` if there is no name or address among them.
pub fn alternative_names(leaf: &X509Ref) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for name in leaf.subject_alt_names()? {
        if let Some(dns) = name.dnsname() {
            names.push(dns.to_ascii_lowercase());
        } else if let Some(address) = name.ipaddress().and_then(address) {
            names.push(address.to_string());
        }
    }
    (!names.is_empty()).then_some(names)
}

/// The DNS names among the alternative names, in lower case.
pub fn dns_names(leaf: &X509Ref) -> Vec<String> {
    let names = leaf.subject_alt_names();
    names
        .iter()
        .flatten()
        .filter_map(|name| name.dnsname().map(str::to_ascii_lowercase))
        .collect()
}

/// Whether one of these names covers the host: the same name, or a wildcard for its first label. Addresses are covered
/// by the same address only.
pub fn covers(names: &[String], host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
        return names
            .iter()
            .any(|name| name.parse::<IpAddr>().is_ok_and(|known| known == address));
    }
    names.iter().any(|name| matches(name, &host))
}

fn matches(name: &str, host: &str) -> bool {
    if name == host {
        return true;
    }
    let (Some(domain), Some((label, rest))) = (name.strip_prefix("*."), host.split_once('.'))
    else {
        return false;
    };
    // *.com would be a wildcard for everybody; nobody takes it.
    domain.contains('.') && !label.is_empty() && label != "*" && domain == rest
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(octets) {
        return Some(v4.into());
    }
    <[u8; 16]>::try_from(octets).ok().map(IpAddr::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covered(names: &[&str], host: &str) -> bool {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        covers(&names, host)
    }

    #[test]
    fn a_wildcard_stands_for_exactly_one_whole_label() {
        let wild = ["*.shop.example.com"];
        assert!(covered(&wild, "a.shop.example.com"));
        assert!(covered(&wild, "A.Shop.Example.COM."));
        assert!(covered(&wild, "*.shop.example.com"));
        assert!(!covered(&wild, "shop.example.com"));
        assert!(!covered(&wild, "a.b.shop.example.com"));
        assert!(!covered(&wild, ".shop.example.com"));
        assert!(!covered(&["w*.example.com"], "www.example.com"));
        assert!(!covered(&["*w.example.com"], "www.example.com"));
        assert!(!covered(&["www.*.com"], "www.example.com"));
        assert!(!covered(&["*.com"], "example.com"));
        assert!(!covered(&["*"], "localhost"));
        assert!(!covered(&["a.example.com"], "*.example.com"));
    }

    #[test]
    fn an_address_is_covered_by_itself_only() {
        assert!(covered(&["10.0.0.1"], "10.0.0.1"));
        assert!(covered(&["::1"], "[::1]"));
        assert!(covered(&["::1"], "0:0:0:0:0:0:0:1"));
        assert!(!covered(&["*.0.0.1"], "10.0.0.1"));
        assert!(!covered(&["10.0.0.2"], "10.0.0.1"));
    }
}
