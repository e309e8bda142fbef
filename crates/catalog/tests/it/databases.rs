//! An empty catalog for one test, gone afterwards.

use std::{panic::AssertUnwindSafe, pin::Pin, sync::Arc};

use catalog::{CatalogConfig, DatabaseUrl, SqlCatalog};
use domain::port::Catalog;
use futures::FutureExt as _;
use sqlx::{AnyConnection, AssertSqlSafe, ConnectOptions as _, Executor as _, any::AnyConnectOptions};
use uuid::Uuid;

/// A case of the conformance suite, running.
pub type Case = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The address of a PostgreSQL server's superuser.
pub const POSTGRES_URL: &str = "TELERAD_TEST_POSTGRES_URL";

/// Runs a case on a SQLite file.
pub async fn on_sqlite(_name: &str, case: impl FnOnce(Arc<dyn Catalog>) -> Case) {
    let folder = tempfile::tempdir().unwrap();
    let catalog = SqlCatalog::open_sqlite(folder.path().join("catalog 100% é.db")).await.unwrap();
    case(Arc::new(catalog.clone())).await;
    catalog.close().await;
}

/// Runs a case on a PostgreSQL database of its own; says so and does nothing where there is no server.
pub async fn on_postgres(name: &str, case: impl FnOnce(Arc<dyn Catalog>) -> Case) {
    with_postgres(name, |catalog, _| case(Arc::new(catalog))).await;
}

/// Runs a test on a PostgreSQL database of its own, whose address it is told.
pub async fn with_postgres(name: &str, test: impl FnOnce(SqlCatalog, String) -> Case) {
    let Ok(server) = std::env::var(POSTGRES_URL) else {
        eprintln!("SKIPPED {name}: set {POSTGRES_URL} to the address of a PostgreSQL superuser");
        return;
    };
    let database = format!("telerad_test_{}", Uuid::now_v7().simple());
    administer(&server, &format!("CREATE DATABASE {database}")).await;
    let (before, _) = server.rsplit_once('/').unwrap();
    let address = format!("{before}/{database}");
    let url = DatabaseUrl::new(address.clone());
    let catalog = SqlCatalog::open(&CatalogConfig::Postgres { url, connections: 6 }).await.unwrap();
    catalog.migrate().await.unwrap();
    let outcome = AssertUnwindSafe(test(catalog.clone(), address)).catch_unwind().await;
    catalog.close().await;
    administer(&server, &format!("DROP DATABASE {database} WITH (FORCE)")).await;
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

async fn administer(server: &str, statement: &str) {
    let mut connection = connect(server).await;
    connection.execute(AssertSqlSafe(statement.to_owned())).await.unwrap();
}

/// A plain connection, to look behind the catalog.
pub async fn connect(address: &str) -> AnyConnection {
    sqlx::any::install_default_drivers();
    address.parse::<AnyConnectOptions>().unwrap().connect().await.unwrap()
}
