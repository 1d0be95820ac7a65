//! When a response was made: `Date` (RFC 9110 section 6.6.1).

use std::cell::Cell;

use crate::headers::names::DATE;
use http::HeaderValue;
use httpdate::HttpDate;

use crate::headers::{Fields, ValueRef};

thread_local! {
    /// The last date that was found to be in order: that of the next response is the same, nearly always.
    static LAST: Cell<[u8; 29]> = const { Cell::new([0; 29]) };
}

/// Keeps the date that a server gave its response, in the one form that is written (RFC 9110 section 5.6.7). What is no
/// date, or several of them, is taken out: then the time counts at which the response is sent on.
pub fn settle(response: &mut Fields) {
    let mut lines = response.get_all(DATE).iter();
    let (first, more) = (lines.next(), lines.next());
    let Some(first) = first else {
        return;
    };
    let told = first.as_bytes();
    if more.is_none() && LAST.get() == *told {
        return;
    }
    match normal(first).filter(|_| more.is_none()) {
        Some(date) if first == date => {
            if let Ok(date) = told.try_into() {
                LAST.set(date);
            }
        }
        Some(date) => response.insert(DATE, date),
        None => {
            response.remove(&DATE);
        }
    }
}

/// The date in the form that is written; `None` if it is none.
fn normal(date: ValueRef<'_>) -> Option<HeaderValue> {
    let date: HttpDate = date.to_str().ok()?.parse().ok()?;
    HeaderValue::try_from(date.to_string()).ok()
}

#[cfg(test)]
mod tests {

    use super::*;

    fn settled(dates: &[&str]) -> Vec<String> {
        let mut response = Fields::new();
        for date in dates {
            response.append(DATE, date.parse().unwrap());
        }
        settle(&mut response);
        let lines = response.get_all(DATE).iter();
        lines
            .map(|line| line.to_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn a_servers_date_is_kept_in_the_form_of_today() {
        let wanted = "Sun, 06 Nov 1994 08:49:37 GMT";
        for date in [
            wanted,
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(settled(&[date]), [wanted]);
        }
        assert!(settled(&[]).is_empty());
        for no_date in [
            "",
            "now",
            "0",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Nov 1994",
        ] {
            assert!(settled(&[no_date]).is_empty(), "{no_date}");
        }
        assert!(settled(&[wanted, wanted]).is_empty());
    }
}
