//! Looking up one row of SQLite by its key, on the thread that asks: for what is asked with every frame that a viewer shows.
//!
//! The driver that everything else uses hands each query to a thread and each row back; for one row of a known key these turns cost more
//! than the look-up, which is a few pages of a file that are nearly always in memory. So nothing but such look-ups belongs here. Whatever
//! does not work here at once (a busy file, one that cannot be opened) is asked in the ordinary way. PostgreSQL has no need of this.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use rusqlite::{Connection, OpenFlags, Row, types::FromSql};

use crate::{
    dialect::Dialect,
    error::Problem,
    scribe,
    sql::{Columns, Sql},
};

/// Connections that are kept between look-ups; there are never more look-ups at one time than threads that serve requests.
const CONNECTIONS_KEPT_MAX: usize = 8;

/// Connections that only read. Dropping it closes them.
pub(crate) struct Glance {
    path: PathBuf,
    free: Mutex<Vec<Connection>>,
}

impl Glance {
    /// Over a file that is there. It is opened when it is looked at first.
    pub(crate) fn over(path: &Path) -> Self {
        Self { path: path.to_owned(), free: Mutex::default() }
    }

    /// What `read` makes of the first row of a statement. `None` when there is no row.
    pub(crate) fn first<T>(
        &self,
        statement: Sql,
        read: impl FnOnce(&Row<'_>) -> Result<T, Problem>,
    ) -> Result<Option<T>, Problem> {
        let kept = self.free().pop();
        let connection = kept.map_or_else(|| self.connect(), Ok)?;
        let found = first(&connection, statement, read)?;
        // One that failed is not kept.
        let mut free = self.free();
        if free.len() < CONNECTIONS_KEPT_MAX {
            free.push(connection);
        }
        Ok(found)
    }

    fn connect(&self) -> Result<Connection, Problem> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        for statement in Dialect::Sqlite.session_setup(false) {
            connection.execute_batch(&statement)?;
        }
        // The thread that asks serves others too: what is busy is asked in the ordinary way.
        connection.busy_timeout(std::time::Duration::ZERO)?;
        Ok(connection)
    }

    fn free(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn first<T>(
    connection: &Connection,
    statement: Sql,
    read: impl FnOnce(&Row<'_>) -> Result<T, Problem>,
) -> Result<Option<T>, Problem> {
    let (text, values) = statement.into_parts();
    let mut prepared = connection.prepare_cached(&text)?;
    scribe::bind(&mut prepared, &values)?;
    let mut rows = prepared.raw_query();
    rows.next()?.map(read).transpose()
}

fn column<T: FromSql>(row: &Row<'_>, column: &'static str) -> Result<T, Problem> {
    row.get(column).map_err(|_| Problem::Unreadable { column })
}

impl Columns for Row<'_> {
    fn text(&self, name: &'static str) -> Result<String, Problem> {
        column(self, name)
    }

    fn text_maybe(&self, name: &'static str) -> Result<Option<String>, Problem> {
        column(self, name)
    }

    fn int(&self, name: &'static str) -> Result<i64, Problem> {
        column(self, name)
    }

    fn int_maybe(&self, name: &'static str) -> Result<Option<i64>, Problem> {
        column(self, name)
    }

    fn bytes(&self, name: &'static str) -> Result<Vec<u8>, Problem> {
        column(self, name)
    }

    fn bytes_maybe(&self, name: &'static str) -> Result<Option<Vec<u8>>, Problem> {
        column(self, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(glance: &Glance, text: &str) -> Result<Option<i64>, Problem> {
        glance.first(Sql::new("SELECT number FROM word WHERE text = $1").bind(text), |row| row.int("number"))
    }

    #[test]
    fn what_was_committed_is_seen_and_what_does_not_work_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some.db");
        let glance = Glance::over(&path);
        assert!(word(&glance, "one").is_err(), "there is no file");
        let writer = Connection::open(&path).unwrap();
        writer.execute_batch("PRAGMA journal_mode = WAL").unwrap();
        writer.execute_batch("CREATE TABLE word (text TEXT PRIMARY KEY, number INTEGER) STRICT").unwrap();
        assert_eq!(word(&glance, "one").unwrap(), None);
        for (number, text) in [(1, "one"), (2, "two")] {
            writer.execute("INSERT INTO word VALUES (?, ?)", (text, number)).unwrap();
            assert_eq!(word(&glance, text).unwrap(), Some(number));
        }
        writer.execute_batch("INSERT INTO word VALUES ('none', NULL)").unwrap();
        assert!(matches!(word(&glance, "none"), Err(Problem::Unreadable { column: "number" })));
        writer.execute_batch("DROP TABLE word").unwrap();
        assert!(word(&glance, "one").is_err());
    }
}
