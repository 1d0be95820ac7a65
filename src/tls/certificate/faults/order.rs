//! Certificates that are in the wrong place, twice, or not wanted.

use crate::tls::certificate::chain::{Chain, Placed, is_self_signed};
use crate::tls::certificate::contents::{Contents, Encoding};
use crate::tls::certificate::finding::{Fault, Finding, Severity};
use crate::tls::certificate::mend::Mender;
use crate::tls::certificate::words::title;

/// Checks it.
pub fn check(findings: &mut Vec<Finding>, mender: Mender<'_>, contents: &Contents, chain: &Chain) {
    let rewrite = |fault, severity, placed: &Placed, what: String| {
        Finding::new(fault, severity, &contents.path, what)
            .at(placed.line)
            .mend("write the file anew, in order, without what isn't needed:")
            .command(mender.rewrite(&contents.path, contents.encoding))
    };
    // What has no lines has no order that anybody would rely on, and a root is usual there.
    if contents.encoding == Encoding::Pem {
        let name = title(&chain.leaf.cert);
        if chain.leaf.position != 0 {
            let place = chain.leaf.position + 1;
            let what = format!(
                "leaf not first: the server's certificate ({name}) is number {place} of the file"
            );
            findings.push(rewrite(
                Fault::LeafNotFirst,
                Severity::Mended,
                &chain.leaf,
                what,
            ));
        }
        if let Some((stands, belongs)) = misplaced(chain) {
            let what = format!(
                "chain out of order: here stands {}, but {} belongs here",
                title(&stands.cert),
                title(&belongs.cert)
            );
            findings.push(rewrite(
                Fault::ChainOutOfOrder,
                Severity::Mended,
                stands,
                what,
            ));
        }
        if let Some(root) = chain.above.last().filter(|top| is_self_signed(&top.cert)) {
            let what = format!("the root is included ({})", title(&root.cert));
            findings.push(rewrite(Fault::RootIncluded, Severity::Mended, root, what));
        }
    }
    for placed in &chain.duplicates {
        let what = format!("the same certificate again ({})", title(&placed.cert));
        findings.push(rewrite(Fault::Duplicate, Severity::Mended, placed, what));
    }
    for placed in &chain.unrelated {
        let what = format!(
            "unrelated certificate in the chain: {} signed neither {} nor anything above it",
            title(&placed.cert),
            title(&chain.leaf.cert)
        );
        findings.push(rewrite(Fault::Unrelated, Severity::Warning, placed, what));
    }
}

/// The first certificate above the leaf that stands where another belongs, and that other.
fn misplaced(chain: &Chain) -> Option<(&Placed, &Placed)> {
    let mut stands: Vec<&Placed> = chain.above.iter().collect();
    stands.sort_by_key(|placed| placed.position);
    let mut pairs = stands.into_iter().zip(&chain.above);
    pairs.find(|(stands, belongs)| stands.position != belongs.position)
}
