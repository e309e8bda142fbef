//! Two catalogs on one database, as two processes have them.

use std::sync::Arc;

use catalog::{CatalogConfig, DatabaseUrl, SqlCatalog};
use testkit::conformance::catalog::images::processes_take_turns;

use crate::databases::with_postgres;

#[tokio::test]
async fn sqlite_is_shared_by_processes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    let (one, other) =
        (SqlCatalog::open_sqlite(&path).await.unwrap(), SqlCatalog::open_sqlite(&path).await.unwrap());
    processes_take_turns(Arc::new(one), Arc::new(other)).await;
}

#[tokio::test]
async fn postgres_is_shared_by_processes() {
    with_postgres("postgres_is_shared_by_processes", |one, address| {
        Box::pin(async move {
            let url = DatabaseUrl::new(address);
            let other = SqlCatalog::open(&CatalogConfig::Postgres { url, connections: 2 }).await.unwrap();
            processes_take_turns(Arc::new(one), Arc::new(other.clone())).await;
            other.close().await;
        })
    })
    .await;
}
