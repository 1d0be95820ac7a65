//! Files that are taken for certificates or keys and are neither.

use std::path::Path;

use super::words::quoted;

/// What a file is instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Foreign {
    /// Nothing, or white space.
    Empty,
    /// `OPENSSH PRIVATE KEY`.
    OpenSshKey,
    /// `ssh-rsa AAAA…`.
    OpenSshPublicKey,
    /// PuTTY's `.ppk`.
    PuttyKey,
    /// JKS or JCEKS.
    JavaKeystore,
    /// A web page, mostly one that says that the download failed.
    WebPage,
    /// ZIP.
    Zip,
    /// gzip.
    Gzip,
    /// PGP's armour.
    Pgp,
    /// A PEM block of another kind.
    Block(String),
    /// Something else.
    Unknown,
}

impl Foreign {
    /// Tells it by how it begins.
    pub fn recognise(bytes: &[u8]) -> Self {
        let text = bytes.trim_ascii_start();
        let starts = |with: &[u8]| {
            text.get(..with.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(with))
        };
        if text.is_empty() {
            Self::Empty
        } else if starts(b"<") {
            Self::WebPage
        } else if bytes.starts_with(&[0xfe, 0xed, 0xfe, 0xed])
            || bytes.starts_with(&[0xce, 0xce, 0xce, 0xce])
        {
            Self::JavaKeystore
        } else if starts(b"ssh-") || starts(b"ecdsa-sha2-") {
            Self::OpenSshPublicKey
        } else if starts(b"PuTTY-User-Key-File") {
            Self::PuttyKey
        } else if bytes.starts_with(b"PK\x03\x04") {
            Self::Zip
        } else if bytes.starts_with(&[0x1f, 0x8b]) {
            Self::Gzip
        } else {
            Self::Unknown
        }
    }

    /// What the PEM label stands for.
    pub fn of_label(label: &str) -> Self {
        if label.starts_with("OPENSSH ") || label.starts_with("SSH2 ") {
            Self::OpenSshKey
        } else if label.starts_with("PGP ") {
            Self::Pgp
        } else {
            Self::Block(label.to_owned())
        }
    }

    /// `a Java keystore`.
    pub fn what(&self) -> String {
        match self {
            Self::Empty => "empty",
            Self::OpenSshKey => "a private key of OpenSSH",
            Self::OpenSshPublicKey => "a public key of OpenSSH",
            Self::PuttyKey => "a key of PuTTY",
            Self::JavaKeystore => "a Java keystore (JKS)",
            Self::WebPage => "a web page (HTML or XML)",
            Self::Zip => "a ZIP archive",
            Self::Gzip => "compressed by gzip",
            Self::Pgp => "something of PGP",
            Self::Block(label) => {
                return format!("a PEM block \"{}\"", super::words::shown(label));
            }
            Self::Unknown => "neither PEM, DER, P7B nor PFX",
        }
        .to_owned()
    }

    /// What to do about it.
    pub fn mend(&self) -> &'static str {
        match self {
            Self::Empty => {
                "copy the file again, and look whether the disk is full where it came from"
            }
            Self::OpenSshKey => {
                "a key made for ssh should not be a server's, too; if it is meant (RSA or ECDSA), rewrite it in place:"
            }
            Self::OpenSshPublicKey => {
                "nothing of ssh's is needed here; take the file that the certificate's issuer sent"
            }
            Self::PuttyKey => "export it from PuTTYgen: Conversions, Export OpenSSH key",
            Self::JavaKeystore => {
                "turn it into a PFX, which is taken as it is (give its password with --password-file):"
            }
            Self::WebPage => {
                "open it with an editor: mostly it says why the download failed. Download again, as PEM or DER"
            }
            Self::Zip => "unpack it; the certificate is inside:",
            Self::Gzip => "unpack it:",
            Self::Pgp => "take the file that the certificate's issuer sent",
            Self::Block(_) | Self::Unknown => {
                "take the file that the certificate's issuer sent, in any of these formats; copy it in binary mode"
            }
        }
    }

    /// The command for [`Self::mend`], if one helps.
    pub fn command(&self, path: &Path) -> Option<String> {
        let file = quoted(path);
        match self {
            Self::OpenSshKey => Some(format!("ssh-keygen -p -N '' -m PEM -f {file}")),
            Self::JavaKeystore => Some(format!(
                "keytool -importkeystore -srckeystore {file} -destkeystore {} -deststoretype PKCS12",
                quoted(&path.with_extension("p12"))
            )),
            Self::Zip => Some(format!("unzip {file}")),
            Self::Gzip => Some(format!(
                "gunzip -c {file} > {}",
                quoted(&path.with_extension("unpacked"))
            )),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_told_by_its_beginning() {
        let told = |bytes: &[u8]| Foreign::recognise(bytes);
        assert_eq!(told(b" \n"), Foreign::Empty);
        assert_eq!(told(b"\n<!doctype html>"), Foreign::WebPage);
        assert_eq!(told(b"\xfe\xed\xfe\xed\0\0"), Foreign::JavaKeystore);
        assert_eq!(told(b"ssh-ed25519 AAAA a@b"), Foreign::OpenSshPublicKey);
        assert_eq!(told(b"PK\x03\x04"), Foreign::Zip);
        assert_eq!(told(b"\x1f\x8b\x08"), Foreign::Gzip);
        assert_eq!(told(b"hello"), Foreign::Unknown);
        assert_eq!(Foreign::of_label("PGP MESSAGE"), Foreign::Pgp);
    }
}
