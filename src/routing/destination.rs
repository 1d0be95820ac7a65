//! Where a request of WebDAV copies or moves to, as the server knows it: `Destination` (RFC 4918 section 10.3), mapped
//! forward as [`super::reverse`] maps Location back.
//!
//! It says in the client's words what is in the server's keeping, and the server would take `/api/x` of `example.com` for
//! a place of its own or for somebody else's. So what is below the path of the route is rewritten as the request itself
//! is. What isn't is refused: a route that leads to `/v1` alone doesn't let anything be written beside it.

use crate::config::model::Rewrite;

use super::path::{PathForm, normalize};
use super::reverse::Place;
use super::rewrite::rewritten;

/// What one request became.
#[derive(Debug, Clone, Copy)]
pub struct Destination<'a> {
    /// What is changed of it.
    pub rewrite: &'a Rewrite,
    /// What paths keep.
    pub form: PathForm,
    /// How much of the compared path the route's `path` or `path_prefix` took: that part.
    pub taken: &'a [u8],
    /// The host and, as far as it was written, the port that the client asked.
    pub client_authority: &'a str,
    /// Whether the server is asked over TLS.
    pub https: bool,
    /// The Host that the server gets.
    pub server_authority: &'a str,
}

impl Destination<'_> {
    /// The place in the server's words, if those are others.
    ///
    /// # Errors
    ///
    /// Why the request is refused, in words.
    pub fn map(&self, place: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
        let Some(place) = Place::parse(place) else {
            return Ok(None);
        };
        let mut mapped = Vec::with_capacity(place.path.len() + 64);
        if let Some(authority) = place.authority {
            if !place.is_same(authority, self.client_authority.as_bytes()) {
                // Another server's, and not ours to name.
                return Ok(None);
            }
            mapped.extend_from_slice(if self.https { b"https://" } else { b"http://" });
            mapped.extend_from_slice(self.server_authority.as_bytes());
        }
        let end = place.path.iter().position(|byte| *byte == b'#');
        let target = place.path.get(..end.unwrap_or(place.path.len()));
        let mut parts = target.unwrap_or_default().splitn(2, |byte| *byte == b'?');
        let (path, query) = (parts.next().unwrap_or_default(), parts.next());
        let Some(rewrite) = &self.rewrite.path else {
            mapped.extend_from_slice(place.path);
            return Ok(Some(mapped));
        };
        let normal = normalize(path, self.form)?;
        let rest = normal.compared.strip_prefix(self.taken);
        let is_below = rest.is_some_and(|rest| {
            rest.is_empty() || rest.starts_with(b"/") || self.taken.ends_with(b"/")
        });
        if !is_below {
            return Err("the Destination is not below the path of the route");
        }
        let target = rewritten(rewrite, &normal, self.form, self.taken.len(), query)
            .ok_or("the Destination can't be rewritten")?;
        mapped.extend_from_slice(&target);
        Ok(Some(mapped))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use crate::config::model::PathRewrite;

    use super::*;

    fn mapped(prefix: &str, taken: &str, place: &str) -> Result<Option<String>, &'static str> {
        let rewrite = Rewrite {
            path: Some(PathRewrite::Prefix(prefix.into())),
            host: Some(HeaderValue::from_static("dav.internal")),
        };
        let destination = Destination {
            rewrite: &rewrite,
            form: PathForm::default(),
            taken: taken.as_bytes(),
            client_authority: "example.com",
            https: false,
            server_authority: "dav.internal",
        };
        let mapped = destination.map(place.as_bytes())?;
        Ok(mapped.map(|mapped| String::from_utf8(mapped).unwrap()))
    }

    #[test]
    fn what_is_below_the_route_is_the_servers() {
        for (place, wanted) in [
            (
                "https://example.com/api/a%20b/c",
                Some("http://dav.internal/v1/a%20b/c"),
            ),
            (
                "https://EXAMPLE.com:443/api",
                Some("http://dav.internal/v1"),
            ),
            ("/api/x", Some("/v1/x")),
            ("/%61pi//x", Some("/v1/x")),
            ("/api/x?y#z", Some("/v1/x?y")),
            ("https://elsewhere.example/api/x", None),
            ("x", None),
        ] {
            let wanted = Ok(wanted.map(str::to_owned));
            assert_eq!(mapped("/v1", "/api", place), wanted, "{place}");
        }
        assert_eq!(mapped("", "/api", "/api/x"), Ok(Some("/x".into())));
        assert_eq!(mapped("/app", "", "/x"), Ok(Some("/app/x".into())));
    }

    #[test]
    fn what_is_beside_it_is_refused() {
        for place in [
            "/other/x",
            "/apix",
            "https://example.com/other/x",
            "https://example.com",
            "/api/../other",
            "/api/..%2fother",
        ] {
            assert!(mapped("/v1", "/api", place).is_err(), "{place}");
        }
    }
}
