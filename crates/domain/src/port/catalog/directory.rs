//! Centres, people, programs, sessions, physicians.

use async_trait::async_trait;

use super::{ChangeError, Known};
use crate::{
    Timestamp,
    audit::Actor,
    centre::Centre,
    digest::Sha256Digest,
    id::{CentreId, PersonId, PhysicianId},
    person::{Credentials, Person, Physician, Session, Token},
    text::{AeTitle, PersonName},
};

/// Centres, people, programs, sessions, physicians.
#[async_trait]
pub trait Directory {
    /// Makes a centre, or replaces what is known of one with the same id.
    ///
    /// # Errors
    /// When an AE title belongs to another centre, or another centre takes all already.
    async fn put_centre(
        &self,
        centre: &Centre,
        by: &Actor,
        at: Timestamp,
    ) -> Result<(), ChangeError<DirectoryRefusal>>;

    /// A centre.
    async fn centre(&self, id: &CentreId) -> Known<Option<Centre>>;

    /// All centres, by name.
    async fn centres(&self) -> Known<Vec<Centre>>;

    /// The centre that a calling AE title stores for: the one that lists it, else the one that takes all.
    async fn centre_of_ae(&self, ae: &AeTitle) -> Known<Option<Centre>>;

    /// Makes a person, or replaces what is known of one with the same id; `password_hash` `None` leaves it as it is.
    ///
    /// # Errors
    /// When the login belongs to somebody else, or a new person has no password.
    async fn put_person(
        &self,
        person: &Person,
        password_hash: Option<&str>,
        by: &Actor,
        at: Timestamp,
    ) -> Result<(), ChangeError<DirectoryRefusal>>;

    /// A person.
    async fn person(&self, id: PersonId) -> Known<Option<Person>>;

    /// Everybody, by login.
    async fn people(&self) -> Known<Vec<Person>>;

    /// A person and the hash of their password, by login (compared without case).
    async fn credentials(&self, login: &str) -> Known<Option<Credentials>>;

    /// Opens a session; written with the audit of the sign-in.
    async fn open_session(&self, session: &Session) -> Known<()>;

    /// A session that is not over, of a person who is not disabled.
    async fn session(&self, secret: Sha256Digest, now: Timestamp) -> Known<Option<(Session, Person)>>;

    /// Moves a session's end.
    async fn extend_session(&self, secret: Sha256Digest, expires: Timestamp) -> Known<()>;

    /// Ends a session; written with the audit of the sign-out.
    async fn close_session(&self, secret: Sha256Digest, at: Timestamp) -> Known<()>;

    /// Makes a token.
    async fn put_token(&self, token: &Token, by: &Actor) -> Known<()>;

    /// A token that is not revoked.
    async fn token(&self, secret: Sha256Digest) -> Known<Option<Token>>;

    /// Makes a physician, or replaces what is known of one with the same id.
    async fn put_physician(&self, physician: &Physician, by: &Actor, at: Timestamp) -> Known<()>;

    /// A physician of a centre.
    async fn physician(&self, centre: &CentreId, id: PhysicianId) -> Known<Option<Physician>>;

    /// All physicians of a centre, by name.
    async fn physicians(&self, centre: &CentreId) -> Known<Vec<Physician>>;

    /// The one physician of a centre with this name (see [`Physician::is_named`]); `None` when there is none or more than one.
    async fn physician_named(&self, centre: &CentreId, name: &PersonName) -> Known<Option<Physician>> {
        let mut named =
            self.physicians(centre).await?.into_iter().filter(|physician| physician.is_named(name));
        Ok(named.next().filter(|_| named.next().is_none()))
    }

    /// A secret of 32 random bytes by name, made when it is first asked for; the same in every process.
    async fn secret(&self, name: &str) -> Known<[u8; 32]>;
}

/// Why a centre or person could not be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryRefusal {
    /// An AE title can mean one centre only.
    #[error("calling AE title {ae} already stores for centre {centre}")]
    AeTaken {
        /// The title.
        ae: AeTitle,
        /// Whose it is.
        centre: CentreId,
    },
    /// Only one centre can take unknown AE titles.
    #[error("centre {0} already takes every unknown AE title")]
    AnyTaken(CentreId),
    /// A login can mean one person only.
    #[error("the login {0} is taken")]
    LoginTaken(String),
    /// Nobody can sign in without one.
    #[error("a new person needs a password")]
    NoPassword,
}
