//! Header sections of requests: however they are cut into pieces they get the same verdict, and what passes is read in
//! one way only.

use equipoise::http::wire::head::{HeadLimits, inspect};

const LIMITS: HeadLimits = HeadLimits {
    header: 4096,
    uri: 1024,
    body: 1_000_000,
};

/// One input.
pub fn run(data: &[u8]) {
    let whole = inspect(data, 0, &LIMITS);
    if let Ok(Some(head)) = &whole {
        let end = head.leading + head.length;
        let section = &data[head.leading..end];
        assert!(section.ends_with(b"\r\n\r\n"));
        let lines = section[..section.len() - 4].split(|byte| *byte == b'\n');
        let lines: Vec<&[u8]> = lines
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
            .collect();
        let (first, fields) = lines.split_first().expect("a request line");
        assert_eq!(first.iter().filter(|byte| **byte == b' ').count(), 2);
        assert!(!section.contains(&0));
        let crs = section.iter().filter(|byte| **byte == b'\r').count();
        assert_eq!(crs, lines.len() + 1, "no bare CR or LF");
        let named = |wanted: &str| {
            let fields = fields.iter().filter(|line| {
                let colon = line.iter().position(|byte| *byte == b':');
                let name = &line[..colon.expect("a field has a colon")];
                assert!(!name.is_empty() && name.iter().all(u8::is_ascii_graphic));
                name.eq_ignore_ascii_case(wanted.as_bytes())
            });
            fields.count()
        };
        assert!(named("host") <= 1);
        assert!(named("content-length") == 0 || named("transfer-encoding") == 0);
    }
    // Byte by byte, as far as it goes, it comes to the same.
    let mut scanned = 0;
    for end in 0..=data.len().min(2048) {
        match inspect(&data[..end], scanned, &LIMITS) {
            Ok(None) => scanned = end,
            Ok(Some(head)) => {
                // The whole may have the beginning of a body that is refused.
                assert_eq!(inspect(&data[..end], 0, &LIMITS), Ok(Some(head)));
                return;
            }
            Err(refusal) => {
                let whole = whole.expect_err("refused in part, so refused as a whole");
                // What is known of a piece may be less.
                assert!(
                    whole.status == refusal.status || refusal.status == 400 || whole.status == 400
                );
                return;
            }
        }
    }
}
