//! Passwords: argon2id, on blocking threads, a few at a time. Not here: who may try how often (see [`crate::Attempts`]).

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher as _, PasswordVerifier as _},
};
use tokio::sync::Semaphore;

/// Fewest characters of a password (NIST SP 800-63B asks for 8 at least, 15 without a second factor).
pub const PASSWORD_CHARS_MIN: usize = 12;
/// Most bytes of a password that are looked at, so that nobody makes us hash a book.
pub const PASSWORD_BYTES_MAX: usize = 512;
/// Hashes computed at once: each takes 19 MiB and a processor for tens of milliseconds.
pub const HASHES_AT_ONCE: usize = 2;
/// Hashes that may be under way or waiting; beyond it the answer is "busy".
pub const HASHES_WAITING_MAX: usize = 32;

/// Memory of one hash in KiB, passes, lanes: the OWASP recommendation for argon2id.
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);

/// What an unknown login is compared with, so that it takes as long as a known one: same cost, and no password makes it.
const NOBODY: &str = concat!(
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
);

/// Letters of made-up passwords, without those that look like another.
const ALPHABET: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";

static RUNNING: Semaphore = Semaphore::const_new(HASHES_AT_ONCE);
static WAITING: Semaphore = Semaphore::const_new(HASHES_WAITING_MAX);

/// Why a password could not be hashed or compared.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Too many others wait.
    #[error("too many passwords are being checked")]
    Busy,
    /// The hash in the catalog is no PHC string, or the memory for one is missing.
    #[error("the password could not be hashed: {0}")]
    Hash(argon2::password_hash::Error),
    /// The blocking thread is gone: the server is stopping.
    #[error("the password check was broken off")]
    BrokenOff,
}

/// Why a password may not be set. Its text is for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordProblem {
    /// Fewer than [`PASSWORD_CHARS_MIN`] characters.
    #[error("The password is too short: use at least 12 characters, for example four words.")]
    Short,
    /// More than [`PASSWORD_BYTES_MAX`] bytes.
    #[error("The password is too long: use at most 512 bytes.")]
    Long,
    /// Fewer than four different characters.
    #[error("The password repeats too few characters: use words or a password manager.")]
    Monotonous,
}

/// Whether a password may be set.
///
/// # Errors
/// What is wrong with it, in a sentence for a person.
pub fn check_password(password: &str) -> Result<(), PasswordProblem> {
    if password.chars().count() < PASSWORD_CHARS_MIN {
        return Err(PasswordProblem::Short);
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(PasswordProblem::Long);
    }
    let mut different: Vec<char> = password.chars().collect();
    different.sort_unstable();
    different.dedup();
    if different.len() < 4 {
        return Err(PasswordProblem::Monotonous);
    }
    Ok(())
}

/// A password nobody thought of: four groups of five letters and digits, 99 bits.
#[must_use]
pub fn random_password() -> String {
    let group =
        || (0..5).map(|_| char::from(ALPHABET[rand::random_range(0..ALPHABET.len())])).collect::<String>();
    [group(), group(), group(), group()].join("-")
}

/// Hashes a password with argon2id and a random salt; gives the PHC string.
///
/// # Errors
/// See [`PasswordError`].
pub async fn hash_password(password: &str) -> Result<String, PasswordError> {
    let password = password.to_owned();
    on_a_thread(move || {
        hasher()?.hash_password(password.as_bytes()).map(|hash| hash.to_string()).map_err(PasswordError::Hash)
    })
    .await
}

/// Whether a password makes a PHC string. With `None` (nobody has this login) it takes as long and says no.
///
/// # Errors
/// See [`PasswordError`].
pub async fn verify_password(hash: Option<&str>, password: &str) -> Result<bool, PasswordError> {
    if password.len() > PASSWORD_BYTES_MAX {
        return Ok(false);
    }
    let (hash, password) = (hash.unwrap_or(NOBODY).to_owned(), password.to_owned());
    on_a_thread(move || match hasher()?.verify_password(password.as_bytes(), hash.as_str()) {
        Ok(()) => Ok(true),
        Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
        Err(error) => Err(PasswordError::Hash(error)),
    })
    .await
}

fn hasher() -> Result<Argon2<'static>, PasswordError> {
    let (memory, passes, lanes) = COST;
    let params = Params::new(memory, passes, lanes, None)
        .map_err(|_| PasswordError::Hash(argon2::password_hash::Error::ParamsInvalid))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
) -> Result<T, PasswordError> {
    let _place = WAITING.try_acquire().map_err(|_| PasswordError::Busy)?;
    let running = RUNNING.acquire().await.map_err(|_| PasswordError::BrokenOff)?;
    // The permit goes along: a caller that hangs up must not make room for one hash more than there may be.
    tokio::task::spawn_blocking(move || {
        let _running = running;
        work()
    })
    .await
    .map_err(|_| PasswordError::BrokenOff)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_makes_its_hash_and_no_other() {
        let hash = hash_password("correct horse battery").await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(verify_password(Some(&hash), "correct horse battery").await.unwrap());
        assert!(!verify_password(Some(&hash), "correct horse batterz").await.unwrap());
        assert!(!verify_password(Some(&hash), &"x".repeat(PASSWORD_BYTES_MAX + 1)).await.unwrap());
        assert_ne!(hash, hash_password("correct horse battery").await.unwrap(), "salted");
        assert!(verify_password(Some("not a hash"), "x").await.is_err());
    }

    #[tokio::test]
    async fn nobody_costs_as_much_as_somebody() {
        let somebody = hash_password("correct horse battery").await.unwrap();
        let cost = |hash: &str| hash.split('$').take(4).collect::<Vec<_>>().join("$");
        assert_eq!(cost(NOBODY), cost(&somebody));
        assert!(!verify_password(None, "").await.unwrap());
    }

    #[test]
    fn weak_passwords_are_refused() {
        for (password, answer) in [
            ("elevenchars", Err(PasswordProblem::Short)),
            ("twelve chars", Ok(())),
            ("ééééééééééé", Err(PasswordProblem::Short)),
            ("aaaaaaaaaaaaaaa", Err(PasswordProblem::Monotonous)),
            (&"abcd".repeat(200), Err(PasswordProblem::Long)),
            (&random_password(), Ok(())),
        ] {
            assert_eq!(check_password(password), answer);
        }
        assert_eq!(random_password().len(), 23);
        assert_ne!(random_password(), random_password());
    }
}
