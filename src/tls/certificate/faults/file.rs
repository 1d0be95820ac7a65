//! What is wrong with a file before anybody asks what it means: untidy, broken, misnamed.

use std::path::Path;

use crate::tls::certificate::contents::{Contents, Encoding, Thing};
use crate::tls::certificate::finding::{Fault, Finding, Severity};
use crate::tls::certificate::mend::Mender;
use crate::tls::certificate::pem::Untidy;
use crate::tls::certificate::words::counted;

/// Checks it.
pub fn check(findings: &mut Vec<Finding>, mender: Mender<'_>, contents: &Contents) {
    for damage in &contents.damage {
        let binary = contents.encoding != Encoding::Pem;
        findings.push(
            Finding::new(Fault::Damaged, Severity::Fatal, &contents.path, &damage.what)
                .at((!binary).then_some(damage.line))
                .mend("take the file once more from where it came from; copy it whole, in binary mode, not through an editor or mail"),
        );
    }
    let encrypted = contents.has_key() && mender.has_password();
    // What is no certificate and no key is not made one by being tidy.
    let useful = contents.has_key() || contents.has_certificate();
    for untidy in contents.untidy.iter().filter(|_| useful) {
        let mend = if encrypted {
            "write it anew (its key is no longer encrypted then):"
        } else {
            "write it anew:"
        };
        findings.push(
            Finding::new(untidy.fault, Severity::Mended, &contents.path, what(untidy))
                .at(Some(untidy.line))
                .mend(mend)
                .command(mender.rewrite(&contents.path, contents.encoding)),
        );
    }
    findings.extend(misnamed(contents));
}

fn what(untidy: &Untidy) -> String {
    let lines = counted(untidy.count, "line");
    match untidy.fault {
        Fault::CrLf => format!("{lines} end as on Windows or an old Mac (CR)"),
        Fault::ByteOrderMark => "the file begins with a byte order mark (BOM)".to_owned(),
        Fault::BlankLine if untidy.count > 1 => {
            format!("blank line between certificates, or within one ({lines} like this)")
        }
        Fault::BlankLine => "blank line between certificates, or within one".to_owned(),
        Fault::LongLine => format!("line longer than 64 columns ({lines} like this)"),
        Fault::Indented => format!("the line begins with spaces ({lines} like this)"),
        Fault::GluedLines => "END and the next BEGIN are on one line".to_owned(),
        _ => "base64 without BEGIN and END".to_owned(),
    }
}

/// Endings that say plainly what is meant. (`.crt`, `.cer` and `.key` are used for PEM and DER alike.)
fn misnamed(contents: &Contents) -> Option<Finding> {
    let path: &Path = &contents.path;
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    let (is, right) = match contents.encoding {
        Encoding::Pem => ("PEM", "pem"),
        Encoding::Der => ("DER", "der"),
        Encoding::Pkcs7 => ("P7B (PKCS#7)", "p7b"),
        Encoding::Pkcs12 => ("PFX (PKCS#12)", "pfx"),
        Encoding::Other => return None,
    };
    let fitting: &[Encoding] = match &*extension {
        "pem" => &[Encoding::Pem],
        "der" => &[Encoding::Der],
        "pfx" | "p12" | "pkcs12" => &[Encoding::Pkcs12],
        // Both PEM and DER are usual.
        "p7b" | "p7c" | "p7s" => &[Encoding::Pkcs7, Encoding::Pem],
        "crt" | "cer" | "cert" | "key" => &[Encoding::Pem, Encoding::Der],
        _ => return None,
    };
    if fitting.contains(&contents.encoding) {
        return None;
    }
    let what = format!("named .{extension}, but the content is {is}; it is taken as that");
    Some(
        Finding::new(Fault::Misnamed, Severity::Warning, path, what)
            .mend("name it what it is (in the configuration, too):")
            .command(Mender::rename(path, right)),
    )
}

impl Contents {
    /// Whether there is a private key in it, open or closed.
    pub fn has_key(&self) -> bool {
        self.items.iter().any(|item| {
            matches!(
                item.thing,
                Thing::Key(_) | Thing::LockedKey(_) | Thing::LockedArchive(_)
            )
        })
    }
}
