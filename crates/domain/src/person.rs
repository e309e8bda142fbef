//! People who sign in, programs that hold a token, and physicians who order and receive.

use crate::{
    Timestamp,
    digest::Sha256Digest,
    id::{CentreId, PersonId, PhysicianId, TokenId},
    text::{EmailAddress, PersonName},
};

/// What a person or a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Sends images and orders for its centre and sees where they stand.
    Centre,
    /// Reads, edits and signs.
    Reader,
    /// Also manages centres, people and tokens.
    Admin,
}

impl Role {
    /// Every role, in order of power.
    pub const ALL: [Self; 3] = [Self::Centre, Self::Reader, Self::Admin];

    /// The word used on the command line and in the catalog.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Centre => "centre",
            Self::Reader => "reader",
            Self::Admin => "admin",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

/// The centres whose studies somebody sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All of them.
    AllCentres,
    /// These and no others.
    Centres(Vec<CentreId>),
}

impl Scope {
    /// Whether a centre's studies may be seen.
    #[must_use]
    pub fn includes(&self, centre: &CentreId) -> bool {
        match self {
            Self::AllCentres => true,
            Self::Centres(centres) => centres.contains(centre),
        }
    }
}

/// A person who signs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Identity; a signature names it.
    pub id: PersonId,
    /// What they type to sign in; unique, compared without case.
    pub login: String,
    /// The name on pages and reports, for example `Dr Ada Moreau`.
    pub name: String,
    /// What stands behind the name on a report, for example `Consultant Radiologist`.
    pub credentials: Option<String>,
    /// What they may do.
    pub role: Role,
    /// Whose studies they see.
    pub scope: Scope,
    /// A disabled person cannot sign in and their sessions are over.
    pub disabled: bool,
}

/// A person and the argon2id hash (PHC string) of their password.
#[derive(Clone)]
pub struct Credentials {
    /// Who.
    pub person: Person,
    /// The PHC string.
    pub password_hash: String,
}

/// A signed-in browser. The cookie holds a random value; the catalog only its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Digest of the cookie's value.
    pub secret: Sha256Digest,
    /// Who signed in.
    pub person: PersonId,
    /// When.
    pub since: Timestamp,
    /// After this moment it is over, unless it is used before.
    pub expires: Timestamp,
}

/// A program's bearer token; the catalog holds only its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Identity, for the audit.
    pub id: TokenId,
    /// Digest of the token's text.
    pub secret: Sha256Digest,
    /// The one centre it is for.
    pub centre: CentreId,
    /// What it may do there.
    pub role: Role,
    /// When it was made.
    pub created: Timestamp,
    /// A revoked token opens nothing.
    pub revoked: bool,
}

/// A physician in a centre's directory: who orders examinations and must hear of the result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Physician {
    /// Identity.
    pub id: PhysicianId,
    /// Whose directory.
    pub centre: CentreId,
    /// The name, in the DICOM form.
    pub name: PersonName,
    /// Where results go; without one a person must act.
    pub email: Option<EmailAddress>,
    /// For the person who calls when mail fails.
    pub phone: Option<String>,
}

impl Physician {
    /// Whether a name from an image or an order means this physician: the same words, in any order, titles apart.
    #[must_use]
    pub fn is_named(&self, name: &PersonName) -> bool {
        let words = self.name.comparable();
        !words.is_empty() && words == name.comparable()
    }
}
