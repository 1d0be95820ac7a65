//! Finds the blocks of a PEM file (RFC 7468; RFC 1421 for encrypted keys), and what is untidy about it.
//!
//! More is understood than OpenSSL understands, because what editors, mail and copying do to such files can be undone
//! without guessing. Text around the blocks is passed over, as everybody does.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::finding::Fault;

/// Columns of a line of base64 (RFC 7468, section 2).
const COLUMNS: usize = 64;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";

/// One `BEGIN` … `END`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// What stands after `BEGIN`.
    pub label: String,
    /// The line of its `BEGIN`, 1-based.
    pub line: usize,
    /// Lines such as `Proc-Type: 4,ENCRYPTED`.
    pub headers: Vec<String>,
    /// What the base64 stands for.
    pub body: Vec<u8>,
}

/// Something that serving sorts out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Untidy {
    /// Which.
    pub fault: Fault,
    /// The first line that has it, 1-based.
    pub line: usize,
    /// How many lines have it.
    pub count: usize,
}

/// Something that can't be sorted out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Where, 1-based.
    pub line: usize,
    /// What, in words.
    pub what: String,
}

/// All that is in a file.
#[derive(Debug, Default)]
pub struct Scan {
    /// The blocks that could be read, in the file's order.
    pub blocks: Vec<Block>,
    /// What is untidy, once each.
    pub untidy: Vec<Untidy>,
    /// What is broken.
    pub damage: Vec<Damage>,
}

/// Reads the text of a file, without a byte order mark.
pub fn scan(text: &[u8]) -> Scan {
    let mut scanner = Scanner::default();
    let old_mac = !text.contains(&b'\n') && text.contains(&b'\r');
    let separator = if old_mac { b'\r' } else { b'\n' };
    for (index, line) in text.split(|&byte| byte == separator).enumerate() {
        let number = index + 1;
        if line.ends_with(b"\r") || (old_mac && number == 1) {
            scanner.scan.note(Fault::CrLf, number);
        }
        let (line, glued) = unglue(line);
        scanner.line(number, line);
        if let Some(next) = glued {
            scanner.scan.note(Fault::GluedLines, number);
            scanner.line(number, next);
        }
    }
    scanner.finish()
}

/// Whether this looks like PEM rather than DER or anything else.
pub fn looks_like_pem(text: &[u8]) -> bool {
    contains(text, b"BEGIN ") && contains(text, b"-----")
}

#[derive(Default)]
struct Scanner {
    scan: Scan,
    open: Option<Open>,
    /// Since the last block: its label, the first blank line, and whether there was other text.
    last_label: String,
    blank: Option<usize>,
    text: bool,
}

/// A block whose `END` hasn't come yet.
struct Open {
    label: String,
    line: usize,
    headers: Vec<String>,
    in_headers: bool,
    base64: Vec<u8>,
    broken: Option<Damage>,
}

impl Scanner {
    fn line(&mut self, number: usize, raw: &[u8]) {
        let line = raw.trim_ascii();
        if let Some(label) = marker(line, BEGIN) {
            if raw.first().is_some_and(u8::is_ascii_whitespace) {
                self.scan.note(Fault::Indented, number);
            }
            self.begin(number, label);
        } else if let Some(label) = marker(line, END) {
            self.end(number, &label);
        } else if is_spoilt_marker(line) {
            let what = format!(
                "this is no marker: it has to read -----BEGIN …----- or -----END …-----, with five dashes \
                 on both sides and nothing else on the line, not {}",
                shown(line)
            );
            self.open = None;
            self.scan.damage.push(Damage { line: number, what });
        } else if let Some(open) = &mut self.open {
            open.line(&mut self.scan, number, raw, line);
        } else if line.is_empty() {
            self.blank = self.blank.or(Some(number));
        } else {
            self.text = true;
        }
    }

    fn begin(&mut self, number: usize, label: String) {
        self.unfinished();
        if let Some(blank) = self.blank.take()
            && !self.text
            && is_certificate(&label)
            && is_certificate(&self.last_label)
        {
            self.scan.note(Fault::BlankLine, blank);
        }
        self.open = Some(Open {
            label,
            line: number,
            headers: Vec::new(),
            in_headers: false,
            base64: Vec::new(),
            broken: None,
        });
    }

    fn end(&mut self, number: usize, label: &str) {
        let Some(open) = self.open.take() else {
            let what = format!("END {label} without its BEGIN");
            self.scan.damage.push(Damage { line: number, what });
            return;
        };
        if open.label != label {
            let what = format!("BEGIN {} ends in END {label} (line {number})", open.label);
            let line = open.line;
            self.scan.damage.push(Damage { line, what });
            return;
        }
        self.blank = None;
        self.text = false;
        label.clone_into(&mut self.last_label);
        match open.finish() {
            Ok(block) => self.scan.blocks.push(block),
            Err(damage) => self.scan.damage.push(damage),
        }
    }

    fn unfinished(&mut self) {
        if let Some(open) = self.open.take() {
            let what = format!("BEGIN {} has no END: the rest of it is missing", open.label);
            let line = open.line;
            self.scan.damage.push(Damage { line, what });
        }
    }

    fn finish(mut self) -> Scan {
        self.unfinished();
        self.scan
    }
}

impl Open {
    fn line(&mut self, scan: &mut Scan, number: usize, raw: &[u8], line: &[u8]) {
        if line.is_empty() {
            // One blank line ends the headers.
            if !std::mem::take(&mut self.in_headers) {
                scan.note(Fault::BlankLine, number);
            }
        } else if line.contains(&b':') && self.base64.is_empty() {
            self.in_headers = true;
            self.headers
                .push(String::from_utf8_lossy(line).into_owned());
        } else if self.in_headers {
            // A header goes on.
        } else {
            if raw.first().is_some_and(u8::is_ascii_whitespace) {
                scan.note(Fault::Indented, number);
            }
            if line.len() > COLUMNS {
                scan.note(Fault::LongLine, number);
            }
            if let Some(&wrong) = line.iter().find(|&&byte| !is_base64(byte))
                && self.broken.is_none()
            {
                let what = format!("{} is no base64", shown(&[wrong]));
                self.broken = Some(Damage { line: number, what });
            }
            self.base64.extend_from_slice(line);
        }
    }

    fn finish(self) -> Result<Block, Damage> {
        if let Some(damage) = self.broken {
            return Err(damage);
        }
        match STANDARD.decode(&self.base64) {
            Ok(body) => Ok(Block {
                label: self.label,
                line: self.line,
                headers: self.headers,
                body,
            }),
            Err(_) => Err(Damage {
                line: self.line,
                what: format!(
                    "the base64 of this {} has a wrong length: something is missing, or too much",
                    self.label
                ),
            }),
        }
    }
}

impl Scan {
    fn note(&mut self, fault: Fault, line: usize) {
        match self.untidy.iter_mut().find(|known| known.fault == fault) {
            Some(known) => known.count += 1,
            None => self.untidy.push(Untidy {
                fault,
                line,
                count: 1,
            }),
        }
    }
}

/// `-----END A----------BEGIN B-----`: what `cat` makes of a file without a newline at its end.
fn unglue(line: &[u8]) -> (&[u8], Option<&[u8]>) {
    if line.trim_ascii_start().starts_with(END)
        && let Some(at) = find(line, BEGIN)
        && let Some((end, begin)) = line.split_at_checked(at)
    {
        return (end, Some(begin));
    }
    (line, None)
}

fn marker(line: &[u8], prefix: &[u8]) -> Option<String> {
    let label = line.strip_prefix(prefix)?.strip_suffix(DASHES)?;
    if label.is_empty() || label.contains(&b'-') {
        return None;
    }
    String::from_utf8(label.to_vec()).ok()
}

fn is_spoilt_marker(line: &[u8]) -> bool {
    [&b"BEGIN "[..], b"END "].iter().any(|word| {
        find(line, word)
            .and_then(|at| line.get(at + word.len()..))
            .is_some_and(|label| {
                [
                    "CERTIFICATE",
                    "PRIVATE KEY",
                    "RSA PRIVATE",
                    "EC PRIVATE",
                    "ENCRYPTED PRIVATE",
                ]
                .iter()
                .any(|known| label.starts_with(known.as_bytes()))
            })
    }) && !line.starts_with(b"#")
}

fn is_certificate(label: &str) -> bool {
    label.ends_with("CERTIFICATE")
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)
}

fn contains(text: &[u8], what: &[u8]) -> bool {
    find(text, what).is_some()
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

fn shown(text: &[u8]) -> String {
    format!("{:?}", super::words::shown(&String::from_utf8_lossy(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn untidy(text: &str) -> Vec<(Fault, usize, usize)> {
        let scan = scan(text.as_bytes());
        assert_eq!(scan.damage, [], "{text}");
        assert!(!scan.blocks.is_empty());
        let tell = |u: &Untidy| (u.fault, u.line, u.count);
        scan.untidy.iter().map(tell).collect()
    }

    fn block(body: &str) -> String {
        format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
    }

    #[test]
    fn finds_blocks_among_text_headers_and_parameters() {
        let text = "Bag Attributes: x\n\nsubject=/CN=a\n-----BEGIN A-----\nAQI=\n-----END A-----\n\
                    -----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAw==\n\
                    -----END RSA PRIVATE KEY-----";
        let scan = scan(text.as_bytes());
        assert_eq!(scan.damage, []);
        assert_eq!(scan.untidy, []);
        let [a, key] = &scan.blocks[..] else { panic!() };
        assert_eq!((&*a.label, a.line, &*a.body), ("A", 4, &[1, 2][..]));
        assert_eq!(
            (&*key.label, key.line, &*key.body),
            ("RSA PRIVATE KEY", 7, &[3][..])
        );
        assert_eq!(
            key.headers,
            ["Proc-Type: 4,ENCRYPTED", "DEK-Info: AES-128-CBC,00"]
        );
    }

    #[test]
    fn tells_each_untidiness_with_its_line() {
        let good = block("AQI=");
        assert_eq!(untidy(&good), []);
        assert_eq!(untidy(&format!("\n{good}{good}\n")), []);
        assert_eq!(untidy(&format!("{good}text\n\n{good}")), []);
        assert_eq!(
            untidy(&format!("{good}\n\n{good}")),
            [(Fault::BlankLine, 4, 1)]
        );
        assert_eq!(untidy(&block("AQ\n\nI=")), [(Fault::BlankLine, 3, 1)]);
        assert_eq!(untidy(&good.replace('\n', "\r\n")), [(Fault::CrLf, 1, 3)]);
        assert_eq!(untidy(&good.replace('\n', "\r")), [(Fault::CrLf, 1, 1)]);
        assert_eq!(untidy(&block("  AQI=")), [(Fault::Indented, 2, 1)]);
        assert_eq!(
            untidy(&block(&"AQID".repeat(17))),
            [(Fault::LongLine, 2, 1)]
        );
        assert_eq!(untidy(&block(&"AQID".repeat(16))), []);
        let glued = format!("{}{good}", good.trim_end());
        assert_eq!(untidy(&glued), [(Fault::GluedLines, 3, 1)]);
        assert_eq!(scan(glued.as_bytes()).blocks.len(), 2);
    }

    #[test]
    fn tells_each_damage_with_its_line() {
        let damage = |text: &str| {
            let damage = scan(text.as_bytes()).damage;
            assert_eq!(damage.len(), 1, "{damage:?}");
            (damage[0].line, damage[0].what.clone())
        };
        assert_eq!(damage(&block("AQ!I=")), (2, "\"!\" is no base64".into()));
        assert!(damage(&block("AQI")).1.contains("wrong length"));
        assert!(
            damage(&block("AQI=").replace("END CERTIFICATE", "END X"))
                .1
                .contains("ends in END X")
        );
        assert!(damage("-----BEGIN A-----\nAQI=\n").1.contains("has no END"));
        assert!(
            damage("\n-----END A-----\n")
                .1
                .contains("without its BEGIN")
        );
        let (line, what) = damage("-----BEGIN CERTIFICATE----\n");
        assert_eq!(line, 1);
        assert!(what.contains("five dashes"), "{what}");
    }
}
