//! What goes wrong: while opening, and inside a transaction before it becomes a [`CatalogError`].
//!
//! Nothing here repeats a value of a row: PostgreSQL quotes values in some messages, so of those only code and constraint are kept.

use std::fmt;

use domain::port::CatalogError;

/// Why the catalog could not be opened or migrated.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file or its folder could not be made.
    #[error("the catalog file cannot be made")]
    File(#[source] std::io::Error),
    /// The path or the address cannot be used.
    #[error("the catalog's address cannot be used: {0}")]
    Address(&'static str),
    /// The database does not answer.
    #[error("the catalog cannot be reached")]
    Connect(#[source] CatalogError),
    /// A newer version of this program has written the database.
    #[error(
        "the catalog has schema {found}, this program knows schemas up to {known}: \
         it was written by a newer version, use that one"
    )]
    SchemaTooNew {
        /// The newest schema that is there.
        found: i64,
        /// The newest schema that this program knows.
        known: i64,
    },
    /// A migration did not go through.
    #[error("the catalog's schema cannot be brought up to date: {reason}")]
    Migrate {
        /// Why.
        reason: String,
    },
}

/// What went wrong in a transaction.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    /// The database is away, busy or full.
    #[error("{0}")]
    Away(Description),
    /// A transaction lost against another one and may be run again.
    #[error("{0}")]
    Lost(Description),
    /// The database refused a statement.
    #[error("{0}")]
    Refused(Description),
    /// A row holds something that this version cannot read.
    #[error("column {column} holds nothing that this version can read")]
    Unreadable {
        /// Which column.
        column: &'static str,
    },
    /// Something that must be there is not.
    #[error("there is no such {0}")]
    Missing(&'static str),
}

/// Code and words of a database's error, without values.
#[derive(Debug)]
pub(crate) struct Description {
    code: String,
    words: String,
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.code.is_empty() {
            f.write_str(&self.words)
        } else {
            write!(f, "{} ({})", self.words, self.code)
        }
    }
}

/// What SQLite's primary result codes mean for us (<https://sqlite.org/rescode.html>).
mod sqlite_code {
    pub const BUSY: i32 = 5;
    pub const LOCKED: i32 = 6;
    pub const NO_MEMORY: i32 = 7;
    pub const READ_ONLY: i32 = 8;
    pub const INPUT_OUTPUT: i32 = 10;
    pub const FULL: i32 = 13;
    pub const CANNOT_OPEN: i32 = 14;
}

impl Problem {
    /// What we saw was changed under our hands: run again.
    pub(crate) fn lost(words: &str) -> Self {
        Self::Lost(Description { code: String::new(), words: words.to_owned() })
    }

    /// The database cannot do it now.
    pub(crate) fn away(words: &str) -> Self {
        Self::Away(Description { code: String::new(), words: words.to_owned() })
    }

    /// The database does not take it.
    pub(crate) fn refused(words: &str) -> Self {
        Self::Refused(Description { code: String::new(), words: words.to_owned() })
    }

    /// An error of SQLite, by its extended result code.
    pub(crate) fn from_sqlite(code: i32, words: String) -> Self {
        let description = Description { code: format!("SQLite {code}"), words };
        match code & 0xff {
            sqlite_code::BUSY
            | sqlite_code::LOCKED
            | sqlite_code::NO_MEMORY
            | sqlite_code::READ_ONLY
            | sqlite_code::INPUT_OUTPUT
            | sqlite_code::FULL
            | sqlite_code::CANNOT_OPEN => Self::Away(description),
            _ => Self::Refused(description),
        }
    }

    /// Whether the database met something other than was expected, rather than that it is away.
    pub(crate) const fn is_of_the_statement(&self) -> bool {
        !matches!(self, Self::Away(_))
    }

    /// Whether the whole transaction may be run again at once.
    pub(crate) const fn is_lost_race(&self) -> bool {
        matches!(self, Self::Lost(_))
    }

    /// Names what was being done.
    pub(crate) fn during(self, operation: &'static str) -> CatalogError {
        match self {
            Self::Away(_) | Self::Lost(_) => CatalogError::Unavailable { operation, source: self.into() },
            Self::Refused(_) | Self::Unreadable { .. } | Self::Missing(_) => {
                CatalogError::Failed { operation, source: self.into() }
            }
        }
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        let plain = |words: String| Description { code: String::new(), words };
        match &error {
            sqlx::Error::Database(database) => from_database(database.as_ref()),
            sqlx::Error::PoolTimedOut => Self::Away(plain("no connection became free in time".to_owned())),
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed => Self::Away(plain(error.to_string())),
            sqlx::Error::ColumnDecode { index, .. } => {
                Self::Refused(plain(format!("column {index} has another type than expected")))
            }
            _ => Self::Refused(plain(error.to_string())),
        }
    }
}

fn from_database(error: &dyn sqlx::error::DatabaseError) -> Problem {
    let code = error.code().unwrap_or_default().into_owned();
    if error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() {
        return from_postgres(code, error);
    }
    Problem::from_sqlite(code.parse().unwrap_or_default(), error.message().to_owned())
}

/// Sorts a PostgreSQL error by its SQLSTATE (PostgreSQL manual, appendix A).
fn from_postgres(code: String, error: &dyn sqlx::error::DatabaseError) -> Problem {
    let class = code.get(..2).unwrap_or_default();
    let words = match class {
        "22" => "a value cannot be kept".to_owned(),
        "23" => format!("constraint {} refuses it", error.constraint().unwrap_or("without a name")),
        _ => error.message().to_owned(),
    };
    let description = Description { code: format!("PostgreSQL {code}"), words };
    match (class, code.as_str()) {
        // A unique key that another transaction took between our look and our write: run again, and the look sees it.
        ("40", _) | (_, "23505") => Problem::Lost(description),
        ("08" | "53" | "57" | "58" | "25" | "3D" | "28", _) | (_, "55P03" | "55006") => {
            Problem::Away(description)
        }
        _ => Problem::Refused(description),
    }
}
