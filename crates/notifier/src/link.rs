//! The secret in a personal link. It is computed from the delivery's id, so that every attempt, on any machine and after a
//! restart, carries the same link, and the catalog keeps nothing that opens one.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{
    digest::Sha256Digest,
    id::DeliveryId,
    port::{Catalog, CatalogError},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Name of the key in the catalog.
const KEY_NAME: &str = "delivery-link";
/// Bytes of the code that go into a link: out of reach of guessing, and short enough for one line of a mail.
const SECRET_BYTES: usize = 24;

/// The secret of a delivery's link: base64url of the first [`SECRET_BYTES`] bytes of HMAC-SHA256 over its id.
pub(crate) async fn secret(catalog: &dyn Catalog, delivery: DeliveryId) -> Result<String, CatalogError> {
    Ok(secret_with(&catalog.secret(KEY_NAME).await?, delivery))
}

/// What the catalog knows of a secret.
pub(crate) fn digest(secret: &str) -> Sha256Digest {
    Sha256Digest::of(secret.as_bytes())
}

fn secret_with(key: &[u8; 32], delivery: DeliveryId) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(delivery.to_string().as_bytes());
    URL_SAFE_NO_PAD.encode(&mac.finalize().into_bytes()[..SECRET_BYTES])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_follows_from_key_and_delivery_alone() {
        let delivery = DeliveryId::parse("01890a5d-ac96-774b-bcce-b302099a8057").unwrap();
        let secret = secret_with(&[7; 32], delivery);
        assert_eq!(secret, secret_with(&[7; 32], delivery));
        assert_eq!(secret.len(), 32);
        assert!(secret.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        assert_ne!(secret, secret_with(&[8; 32], delivery));
        assert_ne!(secret, secret_with(&[7; 32], DeliveryId::fresh()));
    }
}
