//! Fields from and to what others hold them in.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::Fields;

impl Extend<(HeaderName, HeaderValue)> for Fields {
    fn extend<I: IntoIterator<Item = (HeaderName, HeaderValue)>>(&mut self, lines: I) {
        for (name, value) in lines {
            self.append(name, value);
        }
    }
}

impl FromIterator<(HeaderName, HeaderValue)> for Fields {
    fn from_iter<I: IntoIterator<Item = (HeaderName, HeaderValue)>>(lines: I) -> Self {
        let mut fields = Self::new();
        fields.extend(lines);
        fields
    }
}

impl From<HeaderMap> for Fields {
    fn from(map: HeaderMap) -> Self {
        let mut fields = Self::with_room();
        let mut last = None;
        for (name, value) in map {
            // Further lines of a name come without it.
            if let Some(name) = name.or_else(|| last.clone()) {
                last = Some(name.clone());
                fields.append(name, value);
            }
        }
        fields
    }
}

impl From<Fields> for HeaderMap {
    fn from(mut fields: Fields) -> Self {
        let mut map = Self::with_capacity(fields.list.len());
        let Fields { list, received, .. } = &mut fields;
        for field in list.drain(..) {
            let value = field.value(received).to_value();
            map.append(field.name, value);
        }
        map
    }
}
