//! Opening, migrating, and transactions.

use std::{
    fs::OpenOptions,
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
    str::FromStr as _,
    sync::Arc,
    time::Duration,
};

use domain::port::CatalogError;
use sqlx::{
    Any, AnyConnection, AnyPool, AssertSqlSafe, Connection as _, Executor as _, Transaction,
    any::{AnyConnectOptions, AnyPoolOptions},
    pool::PoolConnection,
};

use tokio::sync::OwnedMutexGuard;

use crate::{
    config::CatalogConfig,
    dialect::{BUSY_TIMEOUT_MS, Dialect},
    error::{OpenError, Problem},
    glance::Glance,
    identities::Identities,
    images::Remembered,
    scribe::{Expected, Scribe},
    sql::{Columns as _, Sql},
};

/// Connections that read a SQLite file at once; readers never wait for the writer.
const SQLITE_READERS_MAX: u32 = 8;
/// How long a caller waits for a free connection: a little longer than a connection waits for a lock.
const ACQUIRE_TIMEOUT: Duration = Duration::from_millis(BUSY_TIMEOUT_MS as u64 + 5_000);
/// For so long after its last use a connection to PostgreSQL is taken to stand still. One that was idle for longer is tried first, which is
/// a round trip before the question.
const TRUSTED_FOR: Duration = Duration::from_secs(1);
/// How often a transaction is run when it loses against others (serialisation failure, deadlock, unique key).
pub(crate) const TRANSACTION_RUNS_MAX: u32 = 8;
/// The pause before a lost transaction runs again is drawn between nothing and this, times the runs so far.
pub(crate) const LOST_RACE_PAUSE_MAX: Duration = Duration::from_millis(20);

/// The catalog in SQLite or PostgreSQL. Clones share their connections.
#[derive(Clone)]
pub struct SqlCatalog {
    dialect: Dialect,
    writers: AnyPool,
    readers: AnyPool,
    file: Option<PathBuf>,
    remembered: Arc<Remembered>,
    identities: Arc<Identities>,
    /// With SQLite only.
    scribe: Option<Scribe>,
    /// With SQLite only.
    glance: Option<Arc<Glance>>,
    turns: Arc<tokio::sync::Mutex<()>>,
}

/// A transaction that changes something. Dropping it undoes everything.
pub(crate) struct Change {
    inner: Transaction<'static, Any>,
    pub(crate) dialect: Dialect,
    /// Goes last, behind the transaction.
    _turn: Option<Turn>,
}

/// The right to write to SQLite, which has one writer at a time. Its own way of waiting is to look again now and then, so that of two
/// connections one may never find a gap; here they queue.
type Turn = OwnedMutexGuard<()>;

impl Deref for Change {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        &self.inner
    }
}

impl DerefMut for Change {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.inner
    }
}

impl Change {
    pub(crate) async fn commit(self) -> Result<(), Problem> {
        Ok(self.inner.commit().await?)
    }
}

/// Runs `$body`, a future over the transaction `$change`, and commits; runs it again a bounded number of times when it loses a race.
macro_rules! transact {
    ($catalog:expr, $operation:literal, |$change:ident| $body:expr) => {{
        let mut run = 1;
        loop {
            let outcome: Result<_, crate::error::Problem> = async {
                let mut transaction = $catalog.begin().await?;
                let $change = &mut transaction;
                let value = $body.await?;
                transaction.commit().await?;
                Ok(value)
            }
            .await;
            match outcome {
                Err(problem) if problem.is_lost_race() && run < crate::database::TRANSACTION_RUNS_MAX => {
                    crate::database::pause_after_lost_race(run).await;
                    run += 1;
                }
                Ok(value) => break Ok(value),
                Err(problem) => break Err(problem.during($operation)),
            }
        }
    }};
}

/// Runs `$body`, a future over one reading connection.
macro_rules! read {
    ($catalog:expr, $operation:literal, |$connection:ident| $body:expr) => {{
        let outcome: Result<_, crate::error::Problem> = async {
            let mut connection = $catalog.reader().await?;
            let $connection = &mut *connection;
            $body.await
        }
        .await;
        outcome.map_err(|problem| problem.during($operation))
    }};
}

/// Runs `$body`, a future over a connection that sees one moment for all its statements.
macro_rules! snapshot {
    ($catalog:expr, $operation:literal, |$connection:ident| $body:expr) => {{
        let outcome: Result<_, crate::error::Problem> = async {
            let mut transaction = $catalog.begin_snapshot().await?;
            let $connection = &mut *transaction;
            let value = $body.await?;
            transaction.commit().await?;
            Ok(value)
        }
        .await;
        outcome.map_err(|problem| problem.during($operation))
    }};
}

pub(crate) use {read, snapshot, transact};

/// Waits a random while, so that two transactions that fell over each other do not do so again.
pub(crate) async fn pause_after_lost_race(runs: u32) {
    tokio::time::sleep(LOST_RACE_PAUSE_MAX.mul_f64(rand::random::<f64>() * f64::from(runs))).await;
}

impl SqlCatalog {
    /// Opens the catalog; [`Self::migrate`] brings its schema up to date.
    ///
    /// # Errors
    /// When it cannot be reached, or a newer version of this program has written it.
    pub async fn open(config: &CatalogConfig) -> Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        let catalog = match config {
            CatalogConfig::Sqlite { path } => Self::sqlite(path).await?,
            CatalogConfig::Postgres { url, connections } => {
                Self::postgres(url.reveal(), (*connections).max(2)).await?
            }
        };
        let (found, known) = (catalog.schema().await?, catalog.newest_schema());
        if found > known {
            return Err(OpenError::SchemaTooNew { found, known });
        }
        Ok(catalog)
    }

    /// Opens a SQLite file, makes it when it is missing, and brings its schema up to date.
    ///
    /// # Errors
    /// As [`Self::open`] and [`Self::migrate`].
    pub async fn open_sqlite(path: impl Into<PathBuf>) -> Result<Self, OpenError> {
        let catalog = Self::open(&CatalogConfig::Sqlite { path: path.into() }).await?;
        catalog.migrate().await?;
        Ok(catalog)
    }

    /// Brings the schema up to date. Two processes that do so at once wait for each other.
    ///
    /// # Errors
    /// When a migration does not go through.
    pub async fn migrate(&self) -> Result<(), OpenError> {
        let failed = |reason: String| OpenError::Migrate { reason };
        let lock = self.file.clone().map(|file| {
            tokio::task::spawn_blocking(move || {
                let mut name = file.into_os_string();
                name.push(".migrating");
                let lock = OpenOptions::new().create(true).truncate(false).write(true).open(name)?;
                lock.lock().map(|()| lock)
            })
        });
        let held = match lock {
            Some(lock) => Some(lock.await.map_err(|e| failed(e.to_string()))?.map_err(OpenError::File)?),
            None => None,
        };
        let run = self.dialect.migrations().run(&self.writers).await;
        drop(held);
        run.map_err(|error| failed(error.to_string()))
    }

    /// Moves what SQLite's log holds into its file, if nobody is in the way.
    ///
    /// A flush of the log may have failed before this process was started: the commit was refused, but its bytes are in the system's
    /// memory, where the next process finds them, and no later flush writes them. Whatever is built on them would go with a power cut.
    ///
    /// # Errors
    /// When the file cannot be written or flushed.
    pub async fn settle(&self) -> Result<(), OpenError> {
        if self.dialect != Dialect::Sqlite {
            return Ok(());
        }
        let outcome: Result<(), Problem> = async {
            let mut writer = self.writers.acquire().await?;
            Sql::new("PRAGMA wal_checkpoint(TRUNCATE)").all(&mut writer).await?;
            Ok(())
        }
        .await;
        outcome.map_err(|problem| OpenError::Connect(problem.during("settling the log")))
    }

    /// Number of the schema that the database has; 0 when it is empty.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn schema(&self) -> Result<i64, OpenError> {
        let probe = match self.dialect {
            Dialect::Sqlite => {
                "SELECT COUNT(*) AS found FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'"
            }
            Dialect::Postgres => "SELECT COUNT(to_regclass('_sqlx_migrations')) AS found",
        };
        let look = read!(self, "looking at the schema", |connection| async {
            let there = Sql::new(probe).first(connection).await?.map_or(Ok(0), |row| row.int("found"))?;
            if there == 0 {
                return Ok(0);
            }
            let newest =
                Sql::new("SELECT MAX(version) AS newest FROM _sqlx_migrations").first(connection).await?;
            Ok(newest.map_or(Ok(None), |row| row.int_maybe("newest"))?.unwrap_or(0))
        });
        look.map_err(OpenError::Connect)
    }

    /// Number of the newest schema that this program knows.
    #[must_use]
    pub fn newest_schema(&self) -> i64 {
        self.dialect.migrations().iter().map(|migration| migration.version).max().unwrap_or(0)
    }

    /// Closes every connection, once what they do now is done.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writers.close().await;
    }

    async fn sqlite(path: &Path) -> Result<Self, OpenError> {
        let path = std::path::absolute(path).map_err(OpenError::File)?;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(OpenError::File)?;
        }
        make_private(&path).map_err(OpenError::File)?;
        let address = file_address(&path).ok_or(OpenError::Address("the path is not UTF-8"))?;
        // The writer comes first: it makes the write-ahead log that the readers open.
        let writers = pool(&address, Dialect::Sqlite, true, 1).await?;
        let readers = pool(&address, Dialect::Sqlite, false, SQLITE_READERS_MAX).await?;
        let scribe =
            Scribe::start(&path).map_err(|problem| OpenError::Connect(problem.during("connecting")))?;
        Ok(Self {
            dialect: Dialect::Sqlite,
            writers,
            readers,
            glance: Some(Arc::new(Glance::over(&path))),
            file: Some(path),
            remembered: Arc::default(),
            identities: Arc::default(),
            scribe: Some(scribe),
            turns: Arc::default(),
        })
    }

    async fn postgres(url: &str, connections: u32) -> Result<Self, OpenError> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(OpenError::Address("expected postgres://…"));
        }
        let pool = pool(url, Dialect::Postgres, true, connections).await?;
        Ok(Self {
            dialect: Dialect::Postgres,
            writers: pool.clone(),
            readers: pool,
            glance: None,
            file: None,
            remembered: Arc::default(),
            identities: Arc::default(),
            scribe: None,
            turns: Arc::default(),
        })
    }

    /// What is known of studies whose images are arriving.
    pub(crate) fn remembered(&self) -> &Remembered {
        &self.remembered
    }

    /// Who was let in lately.
    pub(crate) fn identities(&self) -> &Identities {
        &self.identities
    }

    /// The quick way to rows, where there is one.
    pub(crate) fn glance(&self) -> Option<Arc<Glance>> {
        self.glance.clone()
    }

    pub(crate) const fn dialect(&self) -> Dialect {
        self.dialect
    }

    pub(crate) async fn begin(&self) -> Result<Change, Problem> {
        let turn = self.turn().await?;
        let inner = self.writers.begin_with(self.dialect.begin()).await?;
        Ok(Change { inner, dialect: self.dialect, _turn: turn })
    }

    /// Waits for the others that write to SQLite, as long as it would wait for another process.
    async fn turn(&self) -> Result<Option<Turn>, Problem> {
        if self.dialect == Dialect::Postgres {
            return Ok(None);
        }
        let turn = tokio::time::timeout(ACQUIRE_TIMEOUT, Arc::clone(&self.turns).lock_owned()).await;
        turn.map(Some).map_err(|_| Problem::away("another writer takes too long"))
    }

    /// Writes all statements if each changes the expected rows, else nothing; whether it did.
    pub(crate) async fn write_if_as_expected(&self, statements: Vec<Expected>) -> Result<bool, Problem> {
        if let Some(scribe) = &self.scribe {
            let _turn = self.turn().await?;
            return scribe.write(statements).await;
        }
        let mut change = self.begin().await?;
        for Expected { statement, rows } in statements {
            // Dropping the transaction undoes it.
            if statement.execute(&mut change).await? != rows as u64 {
                return Ok(false);
            }
        }
        change.commit().await?;
        Ok(true)
    }

    pub(crate) async fn begin_snapshot(&self) -> Result<Transaction<'static, Any>, Problem> {
        Ok(self.readers.begin_with(self.dialect.begin_snapshot()).await?)
    }

    pub(crate) async fn reader(&self) -> Result<PoolConnection<Any>, Problem> {
        Ok(self.readers.acquire().await?)
    }
}

async fn pool(address: &str, dialect: Dialect, writes: bool, size: u32) -> Result<AnyPool, OpenError> {
    let options = AnyConnectOptions::from_str(address)
        .map_err(|_| OpenError::Address("it cannot be read as an address"))?;
    let connect = AnyPoolOptions::new()
        .max_connections(size)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(move |connection, used| {
            let is_in_doubt = dialect == Dialect::Postgres && used.idle_for >= TRUSTED_FOR;
            Box::pin(async move {
                if is_in_doubt {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .after_connect(move |connection, _| {
            Box::pin(async move {
                for statement in dialect.session_setup(writes) {
                    connection.execute(AssertSqlSafe(statement)).await?;
                }
                Ok(())
            })
        })
        .after_release(|connection, _| Box::pin(leaves_no_transaction(connection)))
        .connect_with(options)
        .await;
    connect.map_err(|error| OpenError::Connect(connecting(error)))
}

/// Whether a connection may be used again. SQLite ends a transaction by itself when the disk is full or fails; the driver's own
/// ROLLBACK is refused then, it goes on counting the transaction as open, and nothing could ever begin on that connection again.
async fn leaves_no_transaction(connection: &mut AnyConnection) -> Result<bool, sqlx::Error> {
    if connection.is_in_transaction() {
        // A rollback may still be on its way; whoever answers has done it.
        connection.ping().await?;
    }
    Ok(!connection.is_in_transaction())
}

fn connecting(error: sqlx::Error) -> CatalogError {
    Problem::from(error).during("connecting")
}

/// Makes the file, if it is missing, so that only its owner may read it; SQLite gives its log the same rights. A file that is there
/// is not even opened: closing it again would drop the locks that another connection of this process holds on it.
fn make_private(path: &Path) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.create_new(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map(drop),
    }
}

/// A file's path as a SQLite address: every byte but letters, digits and `/._-` percent-encoded.
fn file_address(path: &Path) -> Option<String> {
    let mut address = "sqlite://".to_owned();
    for byte in path.to_str()?.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => {
                address.push(char::from(byte))
            }
            _ => address.push_str(&format!("%{byte:02X}")),
        }
    }
    Some(address)
}

#[cfg(test)]
mod tests {
    use domain::{
        Timestamp,
        audit::{Action, Actor},
        port::catalog::Trail as _,
    };

    use super::*;

    #[test]
    fn every_path_is_an_address() {
        let address = file_address(Path::new("/data/100% é?#/c.db")).unwrap();
        assert_eq!(address, "sqlite:///data/100%25%20%C3%A9%3F%23/c.db");
    }

    #[tokio::test]
    async fn a_full_disk_is_unavailable_and_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = SqlCatalog::open_sqlite(folder.path().join("catalog.db")).await.unwrap();
        let mut writer = catalog.writers.acquire().await.unwrap();
        writer.execute("PRAGMA max_page_count = 150").await.unwrap();
        drop(writer);
        let detail = "secret".repeat(10_000);
        let mut written = 0;
        let refused = loop {
            let at = Timestamp::UNIX_EPOCH;
            match catalog.record(&Actor::Operator, Action::ListViewed, None, &detail, at).await {
                Ok(()) => written += 1,
                Err(error) => break error,
            }
            assert!(written < 100, "150 pages of 4 KiB cannot hold 100 lines of 60 kB");
        };
        assert!(matches!(refused, CatalogError::Unavailable { .. }), "{refused:?}");
        assert!(!format!("{refused:?}").contains("secret"));
        assert_eq!(catalog.trail(None, 200).await.unwrap().len(), written);
        let short = catalog.record(&Actor::Operator, Action::ListViewed, None, "", Timestamp::UNIX_EPOCH);
        short.await.unwrap();
    }

    #[tokio::test]
    async fn the_writer_syncs_every_commit() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = SqlCatalog::open_sqlite(folder.path().join("catalog.db")).await.unwrap();
        let mut writer = catalog.writers.acquire().await.unwrap();
        let mode = Sql::new("PRAGMA journal_mode").first(&mut writer).await.unwrap().unwrap();
        assert_eq!(mode.text("journal_mode").unwrap(), "wal");
        for (pragma, column, expected) in
            [("PRAGMA synchronous", "synchronous", 2), ("PRAGMA foreign_keys", "foreign_keys", 1)]
        {
            let row = Sql::new(pragma).first(&mut writer).await.unwrap().unwrap();
            assert_eq!(row.int(column).unwrap(), expected, "{pragma}");
        }
        let mut reader = catalog.reader().await.unwrap();
        assert!(Sql::new("DELETE FROM task").execute(&mut reader).await.is_err(), "readers only read");
    }

    /// How SQLite would find what hot questions ask for: never by walking through a table.
    #[tokio::test]
    async fn hot_questions_are_answered_by_indexes() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = SqlCatalog::open_sqlite(folder.path().join("catalog.db")).await.unwrap();
        let mut reader = catalog.reader().await.unwrap();
        for (question, index) in [
            ("SELECT * FROM study s WHERE s.patient_id = 'x'", "study_patient_id"),
            ("SELECT * FROM study s WHERE s.accession_number = 'x'", "study_accession"),
            ("SELECT * FROM study s WHERE s.study IN ('1')", "study_uid"),
            ("SELECT * FROM study s WHERE s.patient_name_lower = 'x'", "study_patient_name"),
            (
                "SELECT * FROM study s WHERE s.study_date >= '2026-01-01'
                 ORDER BY s.study_date DESC, s.study_time DESC, s.study, s.centre LIMIT 10",
                "study_latest",
            ),
            (
                "SELECT * FROM study s WHERE s.signed_version = 0
                 ORDER BY s.priority, s.first_received, s.study, s.centre LIMIT 10",
                "study_unsigned",
            ),
            (
                "SELECT * FROM study s WHERE s.signed_version > 0
                 ORDER BY s.signed_at DESC, s.study, s.centre LIMIT 10",
                "study_signed",
            ),
            ("SELECT * FROM instance WHERE centre = 'c' AND study = '1'", "instance_series"),
            ("SELECT * FROM outbox WHERE due <= 1 ORDER BY lane, due, id LIMIT 5", "outbox_"),
            ("SELECT MIN(due) FROM outbox", "outbox_due"),
            (
                "SELECT * FROM work WHERE dead = 0 AND queue = 'draft' AND available_at <= 1
                 ORDER BY lane, available_at, id LIMIT 1",
                "work_waiting",
            ),
            ("SELECT * FROM audit WHERE centre = 'c' AND study = '1' ORDER BY at, id LIMIT 5", "audit_study"),
            ("SELECT * FROM delivery WHERE link = 'x'", "delivery_link"),
        ] {
            let plan = Sql::new(format!("EXPLAIN QUERY PLAN {question}")).all(&mut reader).await.unwrap();
            let plan: Vec<String> = plan.iter().map(|row| row.text("detail").unwrap()).collect();
            assert!(plan.iter().any(|step| step.contains(index)), "{question}: {plan:?}");
            assert!(
                !plan.iter().any(|step| step.contains("TEMP B-TREE") && !index.starts_with("outbox_")),
                "{question}: {plan:?}"
            );
        }
    }
}
