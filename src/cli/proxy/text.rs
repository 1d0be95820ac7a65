//! How addresses are written on a command line, made into what a configuration wants.
//!
//! Only what is shorter there, or a URL, is looked at here. What is wrong with an address itself is found when the
//! configuration is read.

/// A server as the command line names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    /// As `servers[].address` wants it.
    pub address: String,
    /// Whether TLS is spoken to it.
    pub tls: bool,
}

/// Where to listen: `8080`, `:8080` and `*:8080` are all IPv4 addresses of the machine, as nginx and HAProxy have it.
///
/// # Errors
/// A URL; the error says what to write instead.
pub(super) fn listener(text: &str) -> Result<String, String> {
    if let Some((scheme, _)) = text.split_once("://") {
        return Err(match &*scheme.to_ascii_lowercase() {
            "https" => "write the address alone; --https HOST ends TLS".to_owned(),
            _ => "write the address alone, such as :8080".to_owned(),
        });
    }
    Ok(match text.rsplit_once(':') {
        None if is_port(text) => format!("0.0.0.0:{text}"),
        Some(("" | "*", port)) => format!("0.0.0.0:{port}"),
        Some((host, port)) if host.eq_ignore_ascii_case("localhost") => format!("127.0.0.1:{port}"),
        _ => text.to_owned(),
    })
}

/// A server: `8081` and `:8081` are on this machine, URLs have the usual ports.
///
/// # Errors
/// A URL that is more than scheme, host and port, or of another scheme.
pub(super) fn server(text: &str) -> Result<Server, String> {
    let plain = |address| Server {
        address,
        tls: false,
    };
    let Some((scheme, rest)) = text.split_once("://") else {
        return Ok(plain(match text.strip_prefix(':').unwrap_or(text) {
            port if is_port(port) => format!("127.0.0.1:{port}"),
            _ => text.to_owned(),
        }));
    };
    let (tls, port) = match &*scheme.to_ascii_lowercase() {
        "http" => (false, 80),
        "https" => (true, 443),
        other => {
            return Err(format!(
                "{other}:// is not spoken to servers here: http:// or https://, or a configuration (`protocol: tcp`, `http2: true`)"
            ));
        }
    };
    let (authority, path) = match rest.find(['/', '?', '#']) {
        Some(end) => rest.split_at(end),
        None => (rest, ""),
    };
    if !matches!(path, "" | "/") {
        return Err(format!(
            "a server has no path; leave {path} out, or rewrite paths by a route of a configuration"
        ));
    }
    if authority.contains('@') {
        return Err("a server has no user and password; leave them out".to_owned());
    }
    if authority.is_empty() {
        return Err("the host is missing".to_owned());
    }
    // What follows the address in brackets, or the name, is a port or nothing.
    let after_host = authority
        .rsplit_once(']')
        .map_or(authority, |(_, after)| after);
    let address = if after_host.contains(':') {
        authority.to_owned()
    } else {
        format!("{authority}:{port}")
    };
    Ok(Server { address, tls })
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
