//! The differences between SQLite and PostgreSQL, all of them: how a transaction begins, how rows are locked, how a
//! pattern is matched, how a connection is set up.

use sqlx::migrate::Migrator;

static SQLITE_MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES_MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

/// How long a statement waits for another writer, in milliseconds.
pub(crate) const BUSY_TIMEOUT_MS: u32 = 10_000;
/// Pages of SQLite's log, of 4 KiB, after which they are moved into the file: the rows of a study that arrives change with every image, and
/// are moved once.
const CHECKPOINT_PAGES: u32 = 4_000;
/// How long PostgreSQL works on one statement, in milliseconds: no query of ours is meant to take a second.
pub(crate) const STATEMENT_TIMEOUT_MS: u32 = 30_000;
/// How long PostgreSQL lets a transaction sit idle, in milliseconds: its process is gone or stuck.
pub(crate) const IDLE_TRANSACTION_TIMEOUT_MS: u32 = 60_000;

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// SQLite: one writer at a time.
    Sqlite,
    /// PostgreSQL: writers meet at locked rows.
    Postgres,
}

impl Dialect {
    /// The schema's migrations.
    pub(crate) fn migrations(self) -> &'static Migrator {
        match self {
            Self::Sqlite => &SQLITE_MIGRATIONS,
            Self::Postgres => &POSTGRES_MIGRATIONS,
        }
    }

    /// Begins a transaction that changes something.
    pub(crate) const fn begin(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
        }
    }

    /// Begins a transaction that reads one moment with several statements.
    pub(crate) const fn begin_snapshot(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN DEFERRED",
            Self::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        }
    }

    /// Ends a SELECT whose rows nobody else may change until the transaction ends. It leaves references to the row free.
    pub(crate) const fn for_update(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR NO KEY UPDATE",
        }
    }

    /// Ends a SELECT of rows that will be deleted: nobody may refer to them either until the transaction ends.
    pub(crate) const fn for_delete(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR UPDATE",
        }
    }

    /// Like [`Self::for_update`], passing over rows that somebody else holds.
    pub(crate) const fn for_update_skip_locked(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR NO KEY UPDATE SKIP LOCKED",
        }
    }

    /// What makes a transaction wait for all that have asked for removals, and those that ask now wait for it. SQLite has one writer at a
    /// time anyhow. It gives up soon: who waits for it holds up everybody who makes images known.
    pub(crate) const fn alone_with_removals(self) -> &'static [&'static str] {
        match self {
            Self::Sqlite => &[],
            Self::Postgres => {
                &["SET LOCAL lock_timeout = 1000", "LOCK TABLE removal IN ACCESS EXCLUSIVE MODE"]
            }
        }
    }

    /// The operator that compares a column with what [`Self::pattern`] gives, with regard to case, and what follows the pattern.
    pub(crate) const fn matches(self) -> (&'static str, &'static str) {
        match self {
            Self::Sqlite => (" GLOB ", ""),
            Self::Postgres => (" LIKE ", " ESCAPE '!'"),
        }
    }

    /// Writes a DICOM pattern (`*` any run, `?` one character) in the database's own way; everything else stands for itself.
    pub(crate) fn pattern(self, dicom: &str) -> String {
        let mut pattern = String::with_capacity(dicom.len() + 8);
        let mut after_star = false;
        for c in dicom.chars() {
            if c == '*' && after_star {
                continue;
            }
            after_star = c == '*';
            match (self, c) {
                (Self::Sqlite, '[') => pattern.push_str("[[]"),
                (Self::Sqlite, _) => pattern.push(c),
                (Self::Postgres, '*') => pattern.push('%'),
                (Self::Postgres, '?') => pattern.push('_'),
                (Self::Postgres, '%' | '_' | '!') => pattern.extend(['!', c]),
                (Self::Postgres, _) => pattern.push(c),
            }
        }
        pattern
    }

    /// What every connection is told first.
    pub(crate) fn session_setup(self, writes: bool) -> Vec<String> {
        match self {
            Self::Sqlite => vec![
                format!("PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}"),
                "PRAGMA journal_mode = WAL".to_owned(),
                "PRAGMA synchronous = FULL".to_owned(),
                "PRAGMA foreign_keys = ON".to_owned(),
                format!("PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}"),
                format!("PRAGMA query_only = {}", if writes { "OFF" } else { "ON" }),
            ],
            Self::Postgres => vec![
                "SET synchronous_commit = on".to_owned(),
                format!("SET statement_timeout = {STATEMENT_TIMEOUT_MS}"),
                format!("SET lock_timeout = {BUSY_TIMEOUT_MS}"),
                format!("SET idle_in_transaction_session_timeout = {IDLE_TRANSACTION_TIMEOUT_MS}"),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_keep_their_own_signs_and_escape_the_database_s() {
        for (dicom, sqlite, postgres) in [
            ("Doe*", "Doe*", "Doe%"),
            ("D?e", "D?e", "D_e"),
            ("a**b***", "a*b*", "a%b%"),
            ("100%_!", "100%_!", "100!%!_!!"),
            ("[a-z]*", "[[]a-z]*", "[a-z]%"),
        ] {
            assert_eq!(Dialect::Sqlite.pattern(dicom), sqlite);
            assert_eq!(Dialect::Postgres.pattern(dicom), postgres);
        }
    }

    #[test]
    fn both_schemas_have_the_same_versions() {
        let versions = |dialect: Dialect| {
            dialect.migrations().iter().map(|m| (m.version, m.description.clone())).collect::<Vec<_>>()
        };
        assert_eq!(versions(Dialect::Sqlite), versions(Dialect::Postgres));
    }
}
