//! Why each fault matters.

use super::finding::Fault;

impl Fault {
    /// Why it matters, in a sentence.
    pub fn why(self) -> &'static str {
        match self {
            Self::Unreadable => "without it there is nothing to serve",
            Self::WrongKind => {
                "a server needs its certificate and the private key that belongs to it, nothing else will do"
            }
            Self::Misnamed => {
                "Equipoise goes by the content; people and other programs go by the name"
            }
            Self::Damaged => "what is altered or cut off can't be restored from the rest",
            Self::CrLf => "Equipoise takes it; some programs and web forms refuse such lines",
            Self::ByteOrderMark => {
                "Equipoise takes it; OpenSSL doesn't see a BEGIN that such bytes stand before, and misses the first certificate"
            }
            Self::BlankLine => {
                "Equipoise takes it; several servers and cloud load balancers refuse the file"
            }
            Self::LongLine => {
                "Equipoise takes it; RFC 7468 wants 64 columns, and some programs refuse or cut longer lines"
            }
            Self::Indented => {
                "Equipoise takes it; OpenSSL doesn't find a block whose lines are indented"
            }
            Self::GluedLines => {
                "Equipoise takes it; OpenSSL doesn't find the second block. It comes of joining files of which the first has no newline at its end"
            }
            Self::NoMarkers => "Equipoise takes it; nothing else knows what it is",
            Self::LeafNotFirst => {
                "Equipoise sorts it out; other servers present the first certificate as their own, and find that the key doesn't match"
            }
            Self::ChainOutOfOrder => {
                "Equipoise sorts it out; served as it is, older clients can't follow the chain"
            }
            Self::IntermediateMissing => {
                "clients know roots only: without the intermediate they can't tell who signed this. A browser that met the \
                 intermediate elsewhere hides it, curl, Java and phones don't"
            }
            Self::Unrelated => {
                "it certifies nothing here; it is left out when served. It may be that the right one is missing"
            }
            Self::Duplicate => {
                "it is left out when served; other servers send it twice with each handshake"
            }
            Self::RootIncluded => {
                "harmless: it is left out when served. Clients trust the root that they have, not one that a server sends"
            }
            Self::SelfSigned => "no browser or other client trusts it unless it is told to",
            Self::KeyMissing => {
                "a certificate is public; only who has the key can prove to be the one it names"
            }
            Self::KeyMismatch => {
                "no handshake can succeed: the certificate names one key, the file holds another"
            }
            Self::KeyEncrypted => "nobody is there to type the password when the server starts",
            Self::WrongPassword => "what stays closed can't be served",
            Self::Expired => "clients refuse it",
            Self::NotYetValid => "clients refuse it until then",
            Self::ExpiresSoon => {
                "from then on clients refuse it; renewals take time when something goes wrong"
            }
            Self::NameNotCovered => "clients that ask for this name refuse the certificate",
            Self::NoAlternativeName => {
                "clients look for names in subjectAltName only; a common name has not counted since about 2017"
            }
            Self::WeakSignature => "such signatures can be forged; clients refuse them",
            Self::ShortKey => "keys as short as this can be broken; clients refuse them",
            Self::WrongPurpose => {
                "clients refuse a certificate whose extendedKeyUsage is for something else"
            }
            Self::NoServerAuth => {
                "Apple's clients refuse it, and so will others: public authorities have to write serverAuth"
            }
            Self::NoDigitalSignature => {
                "in TLS 1.3, and in 1.2 with forward secrecy, a server signs; clients that look at keyUsage refuse it"
            }
            Self::LeafIsAuthority => {
                "who has its key could issue certificates for any name; Firefox and rustls refuse such a server's"
            }
            Self::ExplicitParameters => {
                "RFC 5480 section 2.1.1 forbids them since they can be forged (CVE-2020-0601); browsers, Go and Java refuse them"
            }
            Self::BadSerial => {
                "RFC 5280 forbids it; Go, rustls and others can't read the certificate"
            }
            Self::LongValidity => {
                "browsers refuse a public authority's for longer than 398 days, and Apple's clients anybody's beyond 825"
            }
            Self::BadName => "clients that ask for it don't find it, or refuse the certificate",
        }
    }
}
