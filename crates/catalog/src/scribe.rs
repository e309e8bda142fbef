//! The writer of what comes with every image, into SQLite: a thread with a connection of its own, which runs a whole transaction in one
//! turn.
//!
//! The driver that everything else uses hands over each statement, each result and each end of a transaction from thread to thread; for the
//! few statements of an arrival these turns cost more than the statements (`docs/decisions/0014-a-scribe-for-arrivals.md`).
//! Not here: what is written. PostgreSQL has no need of this.

use std::{path::Path, sync::mpsc, thread};

use rusqlite::{Connection, OpenFlags, Statement, types::ToSqlOutput};
use tokio::sync::oneshot;

use crate::{
    dialect::Dialect,
    error::Problem,
    sql::{Sql, Value},
};

/// Transactions that wait: intake has one at a time.
const WAITING_MAX: usize = 4;
/// Statements that are kept ready: those of batches of up to 64 images, three with a text of its own for each number of them.
const STATEMENTS_KEPT_MAX: usize = 256;

/// A statement of which is known how many rows it changes, if the database is as we believe.
pub(crate) struct Expected {
    pub(crate) statement: Sql,
    pub(crate) rows: usize,
}

/// The way to the thread; clones are the same way. The thread ends when all are gone.
#[derive(Clone)]
pub(crate) struct Scribe(mpsc::SyncSender<Order>);

struct Order {
    statements: Vec<Expected>,
    answer: oneshot::Sender<Result<bool, Problem>>,
}

impl Scribe {
    /// Opens a connection to a file that is there, and starts the thread.
    pub(crate) fn start(path: &Path) -> Result<Self, Problem> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT_MAX);
        for statement in Dialect::Sqlite.session_setup(true) {
            connection.execute_batch(&statement)?;
        }
        let (orders, waiting) = mpsc::sync_channel(WAITING_MAX);
        let thread = thread::Builder::new().name("catalog-scribe".to_owned());
        thread
            .spawn(move || serve(&connection, &waiting))
            .map_err(|_| Problem::away("no thread can be started"))?;
        Ok(Self(orders))
    }

    /// Writes all statements if each changes the expected rows, else nothing; whether it did. Durable when it did.
    pub(crate) async fn write(&self, statements: Vec<Expected>) -> Result<bool, Problem> {
        let (answer, outcome) = oneshot::channel();
        let order = Order { statements, answer };
        self.0.try_send(order).map_err(|_| Problem::away("too many transactions wait to be written"))?;
        outcome.await.map_err(|_| Problem::away("the thread that writes arrivals has failed"))?
    }
}

fn serve(connection: &Connection, waiting: &mpsc::Receiver<Order>) {
    for Order { statements, answer } in waiting {
        // Who went away finds out by asking again.
        let _ = answer.send(transact(connection, statements));
    }
}

fn transact(connection: &Connection, statements: Vec<Expected>) -> Result<bool, Problem> {
    let run = |text| connection.prepare_cached(text).and_then(|mut statement| statement.raw_execute());
    run(Dialect::Sqlite.begin())?;
    let written = write(connection, statements);
    let outcome = match written {
        Ok(true) => run("COMMIT").map(|_| true),
        Ok(false) => Ok(false),
        Err(error) => Err(error),
    };
    // SQLite ends a transaction by itself when the disk is full or fails.
    if !matches!(outcome, Ok(true)) && !connection.is_autocommit() {
        run("ROLLBACK")?;
    }
    Ok(outcome?)
}

fn write(connection: &Connection, statements: Vec<Expected>) -> rusqlite::Result<bool> {
    for Expected { statement, rows } in statements {
        let (text, values) = statement.into_parts();
        let mut prepared = connection.prepare_cached(&text)?;
        bind(&mut prepared, &values)?;
        if prepared.raw_execute()? != rows {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Gives a statement its values, which it calls by their numbers.
pub(crate) fn bind(prepared: &mut Statement<'_>, values: &[Value]) -> rusqlite::Result<()> {
    for index in 1..=prepared.parameter_count() {
        let number =
            prepared.parameter_name(index).and_then(|name| name.strip_prefix('$')?.parse::<usize>().ok());
        let value = number.and_then(|number| values.get(number.checked_sub(1)?));
        let value = value.ok_or(rusqlite::Error::InvalidParameterCount(index, values.len()))?;
        prepared.raw_bind_parameter(index, value)?;
    }
    Ok(())
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Text(text) => text.to_sql(),
            Self::Int(number) => number.to_sql(),
            Self::Bytes(bytes) => bytes.to_sql(),
        }
    }
}

impl From<rusqlite::Error> for Problem {
    fn from(error: rusqlite::Error) -> Self {
        match &error {
            rusqlite::Error::SqliteFailure(failure, words) => {
                let words = words.clone().unwrap_or_else(|| failure.to_string());
                Self::from_sqlite(failure.extended_code, words)
            }
            // The others quote values of ours.
            _ => Self::refused("a statement does not fit its values"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scribe(folder: &Path) -> Scribe {
        let path = folder.join("some.db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("CREATE TABLE word (text TEXT PRIMARY KEY, number INTEGER) STRICT").unwrap();
        Scribe::start(&path).unwrap()
    }

    fn words(folder: &Path) -> Vec<(String, Option<i64>)> {
        let connection = Connection::open(folder.join("some.db")).unwrap();
        let mut statement = connection.prepare("SELECT text, number FROM word ORDER BY text").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.map(Result::unwrap).collect()
    }

    fn expected(statement: Sql, rows: usize) -> Expected {
        Expected { statement, rows }
    }

    fn insert(text: &str, number: Option<i64>) -> Sql {
        Sql::new("INSERT INTO word (number, text) VALUES ($2, $1)").bind(text).bind(number)
    }

    #[tokio::test]
    async fn all_is_written_or_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let scribe = scribe(folder.path());
        let one = |text, number| vec![expected(insert(text, number), 1)];
        assert!(scribe.write(one("a", Some(1))).await.unwrap());
        assert!(scribe.write(one("b", None)).await.unwrap());
        let update = || Sql::new("UPDATE word SET number = $1 WHERE number = $1 - 1").bind(2_i64);
        let not_as_expected = vec![expected(insert("c", Some(9)), 1), expected(update(), 2)];
        assert!(!scribe.write(not_as_expected).await.unwrap());
        let twice = vec![expected(insert("d", None), 1), expected(insert("a", None), 1)];
        assert!(matches!(scribe.write(twice).await, Err(Problem::Refused(_))));
        assert!(scribe.write(vec![expected(update(), 1)]).await.unwrap());
        assert_eq!(words(folder.path()), [("a".to_owned(), Some(2)), ("b".to_owned(), None)]);
    }

    #[tokio::test]
    async fn a_statement_without_its_value_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let scribe = scribe(folder.path());
        let short = Sql::new("INSERT INTO word (number, text) VALUES ($2, $1)").bind("a");
        assert!(matches!(scribe.write(vec![expected(short, 1)]).await, Err(Problem::Refused(_))));
        assert!(
            scribe.write(vec![expected(insert("a", None), 1)]).await.unwrap(),
            "and the next one is written"
        );
    }
}
