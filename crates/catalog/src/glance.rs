//! The quick way to rows of SQLite, for what viewers ask all the time.
//!
//! The driver that everything else uses hands each query to a thread and each row back, and describes each column of each row; for a
//! known key, or a list of fifty, that costs more than the question. So one row by its key is looked up on the thread that asks
//! ([`Glance::first`]): it is a few pages of a file that are nearly always in memory, and nothing else belongs there. Lists are read on a
//! thread that may wait ([`Glance::all`]). Whatever does not work here at once (a busy file, one that cannot be opened) is asked in the
//! ordinary way. PostgreSQL has no need of this.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rusqlite::{CachedStatement, Connection, OpenFlags, Row, types::FromSql};

use crate::{
    dialect::Dialect,
    error::Problem,
    scribe,
    sql::{Columns, Sql},
};

/// Connections that are kept between look-ups.
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
        let connection = self.take()?;
        let found = first(&connection, statement, read)?;
        self.give_back(connection);
        Ok(found)
    }

    /// What `read` makes of all rows of a statement.
    pub(crate) async fn all<T: Send + 'static>(
        self: Arc<Self>,
        statement: Sql,
        read: impl Fn(&Found<'_>) -> Result<T, Problem> + Send + 'static,
    ) -> Result<Vec<T>, Problem> {
        let reading = tokio::task::spawn_blocking(move || {
            let connection = self.take()?;
            let found = all(&connection, statement, read)?;
            self.give_back(connection);
            Ok(found)
        });
        reading.await.map_err(|_| Problem::away("a thread that reads has failed"))?
    }

    fn take(&self) -> Result<Connection, Problem> {
        let kept = self.free().pop();
        kept.map_or_else(|| self.connect(), Ok)
    }

    /// One that failed is not given back.
    fn give_back(&self, connection: Connection) {
        let mut free = self.free();
        if free.len() < CONNECTIONS_KEPT_MAX {
            free.push(connection);
        }
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
    let mut prepared = prepared(connection, statement)?;
    let mut rows = prepared.raw_query();
    rows.next()?.map(read).transpose()
}

fn all<T>(
    connection: &Connection,
    statement: Sql,
    read: impl Fn(&Found<'_>) -> Result<T, Problem>,
) -> Result<Vec<T>, Problem> {
    let mut prepared = prepared(connection, statement)?;
    let names = prepared.column_names().into_iter().map(str::to_owned).enumerate();
    let places: HashMap<String, usize> = names.map(|(place, name)| (name, place)).collect();
    let mut rows = prepared.raw_query();
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(&Found { row, places: &places })?);
    }
    Ok(found)
}

/// A statement with its values, ready to run.
fn prepared(connection: &Connection, statement: Sql) -> Result<CachedStatement<'_>, Problem> {
    let (text, values) = statement.into_parts();
    let mut prepared = connection.prepare_cached(&text)?;
    scribe::bind(&mut prepared, &values)?;
    Ok(prepared)
}

/// A row of many, whose columns are found without looking through their names each time.
pub(crate) struct Found<'a> {
    row: &'a Row<'a>,
    places: &'a HashMap<String, usize>,
}

/// What gives the value of a column.
trait Valued {
    fn value<T: FromSql>(&self, column: &'static str) -> Result<T, Problem>;
}

impl Valued for Row<'_> {
    fn value<T: FromSql>(&self, column: &'static str) -> Result<T, Problem> {
        self.get(column).map_err(|_| Problem::Unreadable { column })
    }
}

impl Valued for Found<'_> {
    fn value<T: FromSql>(&self, column: &'static str) -> Result<T, Problem> {
        let place = self.places.get(column).ok_or(Problem::Unreadable { column })?;
        self.row.get(*place).map_err(|_| Problem::Unreadable { column })
    }
}

macro_rules! columns {
    ($($kind:ty),+) => {$(
        impl Columns for $kind {
            fn text(&self, column: &'static str) -> Result<String, Problem> {
                self.value(column)
            }

            fn text_maybe(&self, column: &'static str) -> Result<Option<String>, Problem> {
                self.value(column)
            }

            fn int(&self, column: &'static str) -> Result<i64, Problem> {
                self.value(column)
            }

            fn int_maybe(&self, column: &'static str) -> Result<Option<i64>, Problem> {
                self.value(column)
            }

            fn bytes(&self, column: &'static str) -> Result<Vec<u8>, Problem> {
                self.value(column)
            }

            fn bytes_maybe(&self, column: &'static str) -> Result<Option<Vec<u8>>, Problem> {
                self.value(column)
            }
        }
    )+};
}

columns!(Row<'_>, Found<'_>);

#[cfg(test)]
mod tests {
    use super::*;

    fn word(glance: &Glance, text: &str) -> Result<Option<i64>, Problem> {
        glance.first(Sql::new("SELECT number FROM word WHERE text = $1").bind(text), |row| row.int("number"))
    }

    #[tokio::test]
    async fn what_was_committed_is_seen_and_what_does_not_work_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some.db");
        let glance = Arc::new(Glance::over(&path));
        assert!(word(&glance, "one").is_err(), "there is no file");
        let writer = Connection::open(&path).unwrap();
        writer.execute_batch("PRAGMA journal_mode = WAL").unwrap();
        writer.execute_batch("CREATE TABLE word (text TEXT PRIMARY KEY, number INTEGER) STRICT").unwrap();
        assert_eq!(word(&glance, "one").unwrap(), None);
        for (number, text) in [(1, "one"), (2, "two")] {
            writer.execute("INSERT INTO word VALUES (?, ?)", (text, number)).unwrap();
            assert_eq!(word(&glance, text).unwrap(), Some(number));
        }
        let words = |after: i64| {
            let sql = Sql::new("SELECT text, number FROM word WHERE number > $1 ORDER BY number").bind(after);
            Arc::clone(&glance).all(sql, |row| Ok((row.text("text")?, row.int("number")?)))
        };
        assert_eq!(words(0).await.unwrap(), [("one".to_owned(), 1), ("two".to_owned(), 2)]);
        assert_eq!(words(2).await.unwrap(), []);
        writer.execute_batch("INSERT INTO word VALUES ('none', NULL)").unwrap();
        assert!(matches!(word(&glance, "none"), Err(Problem::Unreadable { column: "number" })));
        writer.execute_batch("DROP TABLE word").unwrap();
        assert!(word(&glance, "one").is_err() && words(0).await.is_err());
    }
}
