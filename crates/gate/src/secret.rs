//! Random values that open doors: cookies, tokens, personal links. The catalog holds only their digests.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::digest::Sha256Digest;

/// What every bearer token starts with, so that scanners for leaked secrets know one.
pub const TOKEN_PREFIX: &str = "telerad_";

/// Random bytes of a secret: out of reach of guessing, so that a plain digest is enough to keep.
const SECRET_BYTES: usize = 32;

/// A fresh secret (32 random bytes as base64url, 43 characters) and the digest of that text.
#[must_use]
pub fn fresh_secret() -> (String, Sha256Digest) {
    let bytes: [u8; SECRET_BYTES] = rand::random();
    let text = URL_SAFE_NO_PAD.encode(bytes);
    let digest = Sha256Digest::of(text.as_bytes());
    (text, digest)
}

/// A fresh bearer token: its text, shown once, and the digest that is kept.
#[must_use]
pub fn fresh_token() -> (String, Sha256Digest) {
    let text = format!("{TOKEN_PREFIX}{}", fresh_secret().0);
    let digest = Sha256Digest::of(text.as_bytes());
    (text, digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_long_plain_and_never_the_same() {
        let (first, digest) = fresh_token();
        let (second, _) = fresh_token();
        assert_ne!(first, second);
        assert_eq!(first.len(), TOKEN_PREFIX.len() + 43);
        assert!(first.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'));
        assert_eq!(digest, Sha256Digest::of(first.as_bytes()));
    }
}
