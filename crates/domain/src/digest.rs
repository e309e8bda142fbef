//! SHA-256 digests: of a file, of a data set, of the set of images that was on screen, of a signed report.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::uid::SopInstanceUid;

/// A SHA-256 digest (FIPS 180-4), 32 bytes; its text form is 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha256Digest([u8; 32]);

impl Sha256Digest {
    /// The digest of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Takes 32 bytes that a hasher gave.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads 64 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first twelve hexadecimal digits, for a page or a footer.
    #[must_use]
    pub fn short(&self) -> String {
        hex::encode(&self.0[..6])
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha256Digest({self})")
    }
}

/// The digest of a set of images: SHA-256 over one line `SOP-INSTANCE-UID SHA256-OF-DATA-SET\n` per image, in the order of
/// the UIDs. The order of arrival and the transfer path do not change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ImageSetDigest(Sha256Digest);

impl ImageSetDigest {
    /// Digests a set of images; the order in which they are given does not matter.
    #[must_use]
    pub fn of(images: impl IntoIterator<Item = (SopInstanceUid, Sha256Digest)>) -> Self {
        let mut images: Vec<_> = images.into_iter().collect();
        images.sort();
        let mut hasher = Sha256::new();
        for (uid, digest) in images {
            hasher.update(format!("{uid} {digest}\n"));
        }
        Self(Sha256Digest(hasher.finalize().into()))
    }

    /// Reads 64 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Sha256Digest::parse(text).map(Self)
    }

    /// The first twelve hexadecimal digits.
    #[must_use]
    pub fn short(&self) -> String {
        self.0.short()
    }
}

impl fmt::Display for ImageSetDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_set_has_no_order() {
        let image = |uid: &str, data: &[u8]| (SopInstanceUid::parse(uid).unwrap(), Sha256Digest::of(data));
        let (a, b, c) = (image("1.1", b"a"), image("1.2", b"b"), image("1.2", b"c"));
        assert_eq!(ImageSetDigest::of([a.clone(), b.clone()]), ImageSetDigest::of([b.clone(), a.clone()]));
        assert_ne!(ImageSetDigest::of([a.clone(), b]), ImageSetDigest::of([a, c]));
    }

    #[test]
    fn digests_read_back() {
        let digest = Sha256Digest::of(b"abc");
        assert_eq!(digest.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(Sha256Digest::parse(&digest.to_string()), Some(digest));
        assert_eq!(Sha256Digest::parse("ba78"), None);
    }
}
