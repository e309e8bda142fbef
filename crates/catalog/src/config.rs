//! Settings of the catalog.

use std::{fmt, path::PathBuf};

use serde::Deserialize;

/// Connections to PostgreSQL that one process holds at most, unless the settings say otherwise.
pub const CONNECTIONS_DEFAULT: u32 = 16;

/// Where the catalog is kept: `kind = "sqlite"` or `kind = "postgres"`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum CatalogConfig {
    /// One file beside the objects; for one machine.
    Sqlite {
        /// The file; it and its folder are made when they are missing.
        path: PathBuf,
    },
    /// A PostgreSQL database, version 13 or later; for one machine or many.
    Postgres {
        /// `postgres://user:password@host:port/database`.
        url: DatabaseUrl,
        /// Most connections of this process, at least 2.
        #[serde(default = "connections_default")]
        connections: u32,
    },
}

const fn connections_default() -> u32 {
    CONNECTIONS_DEFAULT
}

/// The address of a database. It may hold a password, so its `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// Wraps an address.
    #[must_use]
    pub const fn new(url: String) -> Self {
        Self(url)
    }

    /// The address with its password; never for a log.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseUrl(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: serde_json::Value) -> Result<CatalogConfig, serde_json::Error> {
        serde_json::from_value(json)
    }

    #[test]
    fn settings_are_read_and_unknown_ones_refused() {
        assert_eq!(
            read(serde_json::json!({ "kind": "sqlite", "path": "data/catalog.db" })).unwrap(),
            CatalogConfig::Sqlite { path: "data/catalog.db".into() }
        );
        let postgres =
            read(serde_json::json!({ "kind": "postgres", "url": "postgres://u:secret@h/d" })).unwrap();
        let CatalogConfig::Postgres { url, connections } = &postgres else { panic!("{postgres:?}") };
        assert_eq!((url.reveal(), *connections), ("postgres://u:secret@h/d", CONNECTIONS_DEFAULT));
        assert!(!format!("{postgres:?}").contains("secret"));
        for wrong in [
            serde_json::json!({ "kind": "sqlite" }),
            serde_json::json!({ "kind": "sqlite", "path": "a", "pragma": "x" }),
            serde_json::json!({ "kind": "mysql", "url": "a" }),
        ] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
