//! Which content coding a client is served with (RFC 9110 section 12.5.3).

use crate::headers::names::ACCEPT_ENCODING;

use crate::config::model::Coding;
use crate::headers::{Fields, is_token, list_members, trim};

/// The coding that the client likes best of `ours`, which decide among equals; `None` = none.
///
/// A coding with quality 0 is never taken, `*` stands for all that aren't named, and who likes `identity` better gets
/// that. No field at all says nothing, and one that is malformed says nothing that could be relied on: none either.
pub fn coding(request: &Fields, ours: &[Coding]) -> Option<Coding> {
    let mut wishes = Wishes::default();
    for line in request.get_all(ACCEPT_ENCODING) {
        for member in list_members(line.as_bytes()) {
            wishes.note(member)?;
        }
    }
    let identity = wishes.of(wishes.identity).unwrap_or(0);
    let mut best = None;
    for &coding in ours {
        let quality = wishes.of(wishes.named(coding)).unwrap_or(0);
        if quality > 0 && best.is_none_or(|(_, most)| quality > most) {
            best = Some((coding, quality));
        }
    }
    best.filter(|(_, quality)| *quality >= identity)
        .map(|(coding, _)| coding)
}

/// Qualities in thousandths, of what is named.
#[derive(Default)]
struct Wishes {
    zstd: Option<u16>,
    br: Option<u16>,
    gzip: Option<u16>,
    identity: Option<u16>,
    any: Option<u16>,
}

impl Wishes {
    /// Notes `coding` or `coding;q=0.5`. `None`: malformed.
    fn note(&mut self, member: &[u8]) -> Option<()> {
        let mut parts = member.splitn(2, |byte| *byte == b';');
        let name = trim(parts.next()?);
        let quality = match parts.next() {
            Some(weight) => quality(trim(weight))?,
            None => 1000,
        };
        let place = match name {
            b"*" => &mut self.any,
            name if name.eq_ignore_ascii_case(b"zstd") => &mut self.zstd,
            name if name.eq_ignore_ascii_case(b"br") => &mut self.br,
            // RFC 9110 section 8.4.1.3.
            name if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") => {
                &mut self.gzip
            }
            name if name.eq_ignore_ascii_case(b"identity") => &mut self.identity,
            name if is_token(name) => return Some(()),
            _ => return None,
        };
        // Who says both yes and no is taken by the no.
        *place = Some(place.unwrap_or(1000).min(quality));
        Some(())
    }

    fn named(&self, coding: Coding) -> Option<u16> {
        match coding {
            Coding::Zstd => self.zstd,
            Coding::Br => self.br,
            Coding::Gzip => self.gzip,
        }
    }

    fn of(&self, named: Option<u16>) -> Option<u16> {
        named.or(self.any)
    }
}

/// `q=0.5` in thousandths (RFC 9110 section 12.4.2).
fn quality(weight: &[u8]) -> Option<u16> {
    let (b'q' | b'Q', value) = weight.split_first()? else {
        return None;
    };
    let [b'=', whole @ (b'0' | b'1'), rest @ ..] = value else {
        return None;
    };
    let digits = match rest {
        [] => rest,
        [b'.', digits @ ..] if digits.len() <= 3 => digits,
        _ => return None,
    };
    let mut thousandths = u16::from(whole - b'0') * 1000;
    let mut worth = 100;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        thousandths += u16::from(digit - b'0') * worth;
        worth /= 10;
    }
    (thousandths <= 1000).then_some(thousandths)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const OURS: &[Coding] = &[Coding::Zstd, Coding::Br, Coding::Gzip];

    fn chosen(accept: &str) -> Option<Coding> {
        of_lines(&[accept], OURS)
    }

    fn of_lines(lines: &[&str], ours: &[Coding]) -> Option<Coding> {
        let mut request = Fields::new();
        for line in lines {
            request.append(ACCEPT_ENCODING, HeaderValue::from_str(line).unwrap());
        }
        coding(&request, ours)
    }

    #[test]
    fn the_best_liked_is_taken_and_our_order_decides_among_equals() {
        for (accept, expected) in [
            ("gzip, deflate, br, zstd", Some(Coding::Zstd)),
            ("gzip, deflate, br", Some(Coding::Br)),
            ("gzip", Some(Coding::Gzip)),
            ("X-GZip", Some(Coding::Gzip)),
            ("gzip;q=1.0, br;q=0.8, zstd;q=0.1", Some(Coding::Gzip)),
            ("br ; q=0.5 , gzip;Q=0.501", Some(Coding::Gzip)),
            ("*", Some(Coding::Zstd)),
            ("zstd;q=0, *", Some(Coding::Br)),
            ("gzip, *;q=0", Some(Coding::Gzip)),
            ("gzip;q=0.001, identity;q=0", Some(Coding::Gzip)),
            ("gzip, identity", Some(Coding::Gzip)),
            ("gzip, x-unheard-of;q=0.3", Some(Coding::Gzip)),
        ] {
            assert_eq!(chosen(accept), expected, "{accept}");
        }
        assert_eq!(of_lines(&["gzip;q=0.2", "br"], OURS), Some(Coding::Br));
        let ours = [Coding::Gzip, Coding::Br];
        assert_eq!(of_lines(&["br, gzip"], &ours), Some(Coding::Gzip));
        assert_eq!(of_lines(&["zstd"], &ours), None);
    }

    #[test]
    fn who_does_not_want_it_does_not_get_it() {
        for accept in [
            "",
            "deflate",
            "identity",
            "gzip;q=0",
            "gzip;q=0.000, br;q=0, zstd;q=0.0",
            "*;q=0",
            "gzip, gzip;q=0",
            "identity;q=1, gzip;q=0.5",
            "identity;q=0",
        ] {
            assert_eq!(chosen(accept), None, "{accept}");
        }
        assert_eq!(coding(&Fields::new(), OURS), None);
    }

    #[test]
    fn a_malformed_wish_is_none() {
        for accept in [
            "gzip;q=2",
            "gzip;q=1.001",
            "gzip;q=0.1234",
            "gzip;q=.5",
            "gzip;q=-1",
            "gzip;q=",
            "gzip;q",
            "gzip;",
            "gzip;level=9",
            "gzip;q=1;q=0",
            "gzip;q=\"1\"",
            "gzip br",
            "br, gz(ip",
            "br, ;q=1",
        ] {
            assert_eq!(chosen(accept), None, "{accept}");
        }
    }

    proptest! {
        /// Whatever is asked for, what comes out is one of ours that wasn't refused.
        #[test]
        fn nothing_refused_is_ever_chosen(
            zstd in 0..=1000_u16, br in 0..=1000_u16, gzip in 0..=1000_u16,
        ) {
            let q = |thousandths: u16| format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
            let accept = format!("zstd;q={}, br;q={}, gzip;q={}", q(zstd), q(br), q(gzip));
            let of = |coding| match coding {
                Coding::Zstd => zstd,
                Coding::Br => br,
                Coding::Gzip => gzip,
            };
            let most = zstd.max(br).max(gzip);
            prop_assert_eq!(chosen(&accept).map_or(0, of), most);
        }

        #[test]
        fn no_bytes_make_it_panic(value: Vec<u8>) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                let mut request = Fields::new();
                request.insert(ACCEPT_ENCODING, value);
                let _ = coding(&request, OURS);
            }
        }
    }
}
