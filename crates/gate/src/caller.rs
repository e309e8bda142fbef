//! Who calls, once they were let in, and what they may see.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    http::{StatusCode, request::Parts},
};
use domain::{
    audit::Actor,
    digest::Sha256Digest,
    id::CentreId,
    person::{Person, Role, Scope, Token},
};

use crate::problem::Problem;

/// Who calls: a person with a session or a program with a token. As an extractor it refuses everybody else with 401.
#[derive(Debug, Clone)]
pub enum Caller {
    /// A person who is signed in.
    Person(SignedInPerson),
    /// A program.
    Program(Program),
}

/// A person who is signed in. As an extractor it refuses programs with 403.
#[derive(Debug, Clone)]
pub struct SignedInPerson {
    /// Who.
    pub person: Arc<Person>,
    /// Digest of their cookie.
    pub session: Sha256Digest,
}

/// A signed-in person who may read and sign: role reader or admin. As an extractor it refuses others with 403.
#[derive(Debug, Clone)]
pub struct Reader(pub SignedInPerson);

/// A program with a token.
#[derive(Debug, Clone)]
pub struct Program {
    /// Its token.
    pub token: Arc<Token>,
    scope: Scope,
}

/// What the gate found beside a request.
#[derive(Debug, Clone)]
pub(crate) enum Identity {
    Nobody,
    BadToken,
    Known(Caller),
}

impl Program {
    /// A program that shows a token.
    #[must_use]
    pub fn new(token: Token) -> Self {
        Self { scope: Scope::Centres(vec![token.centre.clone()]), token: Arc::new(token) }
    }
}

impl Caller {
    /// For the audit.
    #[must_use]
    pub fn actor(&self) -> Actor {
        match self {
            Self::Person(person) => person.actor(),
            Self::Program(program) => Actor::Token(program.token.id),
        }
    }

    /// What they may do.
    #[must_use]
    pub fn role(&self) -> Role {
        match self {
            Self::Person(person) => person.person.role,
            Self::Program(program) => program.token.role,
        }
    }

    /// Whose studies they see.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        match self {
            Self::Person(person) => person.scope(),
            Self::Program(program) => &program.scope,
        }
    }

    /// Whether they see a centre's studies.
    #[must_use]
    pub fn may_see(&self, centre: &CentreId) -> bool {
        self.scope().includes(centre)
    }

    /// The one centre that a program's token is for.
    #[must_use]
    pub fn centre(&self) -> Option<&CentreId> {
        match self {
            Self::Person(_) => None,
            Self::Program(program) => Some(&program.token.centre),
        }
    }

    /// Lets only these roles pass.
    ///
    /// # Errors
    /// [`Problem::forbidden`] for others.
    pub fn require_role(&self, roles: &[Role]) -> Result<(), Problem> {
        roles.contains(&self.role()).then_some(()).ok_or_else(Problem::forbidden)
    }

    /// Lets only those pass who see the centre.
    ///
    /// # Errors
    /// [`Problem::unknown`] for others, as if there were no such centre.
    pub fn require_centre(&self, centre: &CentreId) -> Result<(), Problem> {
        self.may_see(centre).then_some(()).ok_or_else(Problem::unknown)
    }
}

impl SignedInPerson {
    /// For the audit.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor::Person(self.person.id)
    }

    /// Whose studies they see.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.person.scope
    }

    /// Lets only those pass who see the centre.
    ///
    /// # Errors
    /// [`Problem::unknown`] for others, as if there were no such centre.
    pub fn require_centre(&self, centre: &CentreId) -> Result<(), Problem> {
        self.scope().includes(centre).then_some(()).ok_or_else(Problem::unknown)
    }

    /// Lets only these roles pass.
    ///
    /// # Errors
    /// [`Problem::forbidden`] for others.
    pub fn require_role(&self, roles: &[Role]) -> Result<(), Problem> {
        roles.contains(&self.person.role).then_some(()).ok_or_else(Problem::forbidden)
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match parts.extensions.get::<Identity>() {
            Some(Identity::Known(caller)) => Ok(caller.clone()),
            Some(Identity::BadToken) => Err(Problem::bad_token()),
            Some(Identity::Nobody) | None => Err(Problem::not_signed_in()),
        }
    }
}

/// For pages that greet those who are signed in and others alike.
impl<S: Sync> OptionalFromRequestParts<S> for Caller {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Self::Rejection> {
        Ok(match parts.extensions.get::<Identity>() {
            Some(Identity::Known(caller)) => Some(caller.clone()),
            Some(Identity::BadToken | Identity::Nobody) | None => None,
        })
    }
}

impl<S: Sync> FromRequestParts<S> for SignedInPerson {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match <Caller as FromRequestParts<S>>::from_request_parts(parts, state).await? {
            Caller::Person(person) => Ok(person),
            Caller::Program(_) => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "people_only",
                "Only a person who is signed in can do this, not a token.",
            )),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let person = SignedInPerson::from_request_parts(parts, state).await?;
        person.require_role(&[Role::Reader, Role::Admin])?;
        Ok(Self(person))
    }
}
