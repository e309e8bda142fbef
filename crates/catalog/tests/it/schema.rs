//! Schema versions, and what the database itself refuses.

use std::path::Path;

use catalog::{CatalogConfig, DatabaseUrl, OpenError, SqlCatalog};
use domain::{port::CatalogError, port::catalog::Trail as _};
use sqlx::{AnyConnection, Connection as _, Executor as _, Row as _};

use crate::databases::{connect, with_postgres};

async fn raw(path: &Path) -> AnyConnection {
    connect(&format!("sqlite://{}", path.display())).await
}

/// Puts one row into each table that only grows, around every foreign key.
const FILL: [&str; 7] = [
    "INSERT INTO centre VALUES ('c', 'C', '[]', NULL, NULL, 0, 1, 'link_only', 1, 1, 0, NULL)",
    "INSERT INTO person VALUES ('p', 'p', 'p', 'P', NULL, 'reader', NULL, 0, 'h')",
    "INSERT INTO study (centre, study, study_date, study_time, search, modalities, series_count, instance_count, bytes,
         generation, first_received, last_received, completeness, priority, conflict_count, signed_version)
     VALUES ('c', '1', '', '', '', '[]', 0, 0, 0, 0, 0, 0, '', 2, 0, 0)",
    "INSERT INTO report_version VALUES ('c', '1', 1, 'final', '', '[]', 'p', 'P', NULL, 0, 1, 'd', 1, 'h')",
    "INSERT INTO report_pdf VALUES ('c', '1', 1, 'o')",
    "INSERT INTO audit VALUES ('c', 'i', 0, 'a', 'b', NULL, '')",
    "INSERT INTO audit VALUES ('', 'j', 0, 'a', 'b', NULL, '')",
];

async fn only_grow(connection: &mut AnyConnection, refusals: &[&'static str]) {
    for statement in FILL {
        connection.execute(statement).await.unwrap();
    }
    for statement in refusals {
        assert!(connection.execute(*statement).await.is_err(), "{statement}");
    }
    for (table, rows) in [
        ("SELECT COUNT(*) FROM report_version", 1),
        ("SELECT COUNT(*) FROM report_pdf", 1),
        ("SELECT COUNT(*) FROM audit", 2),
    ] {
        let found: i64 = connection.fetch_one(table).await.unwrap().get(0);
        assert_eq!(found, rows, "{table}");
    }
}

const REFUSALS: [&str; 6] = [
    "UPDATE report_version SET content = 'forged'",
    "DELETE FROM report_version",
    "UPDATE report_pdf SET object = 'forged'",
    "DELETE FROM report_pdf",
    "UPDATE audit SET actor = 'forged'",
    "DELETE FROM audit WHERE centre = 'c'",
];

#[tokio::test]
async fn sqlite_refuses_to_change_what_was_signed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    SqlCatalog::open_sqlite(&path).await.unwrap().close().await;
    only_grow(&mut raw(&path).await, &REFUSALS).await;
}

#[tokio::test]
async fn postgres_refuses_to_change_what_was_signed() {
    with_postgres("postgres_refuses_to_change_what_was_signed", |_, address| {
        Box::pin(async move {
            let mut connection = connect(&address).await;
            only_grow(&mut connection, &REFUSALS).await;
            for statement in ["TRUNCATE audit", "TRUNCATE report_version CASCADE"] {
                assert!(connection.execute(statement).await.is_err(), "{statement}");
            }
        })
    })
    .await;
}

#[tokio::test]
async fn a_newer_schema_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    let catalog = SqlCatalog::open_sqlite(&path).await.unwrap();
    let newest = catalog.newest_schema();
    assert_eq!(catalog.schema().await.unwrap(), newest);
    catalog.close().await;
    let mut connection = raw(&path).await;
    connection
        .execute("INSERT INTO _sqlx_migrations VALUES (9999, 'tomorrow', CURRENT_TIMESTAMP, 1, x'00', 1)")
        .await
        .unwrap();
    connection.close().await.unwrap();
    let refused = SqlCatalog::open(&CatalogConfig::Sqlite { path }).await.err().unwrap();
    assert!(
        matches!(refused, OpenError::SchemaTooNew { found: 9999, known } if known == newest),
        "{refused:?}"
    );
    assert!(refused.to_string().contains("9999"));
}

#[tokio::test]
async fn an_empty_database_has_no_schema_and_many_may_migrate_it() {
    let folder = tempfile::tempdir().unwrap();
    let config = CatalogConfig::Sqlite { path: folder.path().join("new/folder/catalog.db") };
    let mut catalogs = Vec::new();
    for _ in 0..4 {
        catalogs.push(SqlCatalog::open(&config).await.unwrap());
    }
    assert_eq!(catalogs[0].schema().await.unwrap(), 0);
    let Err(CatalogError::Failed { operation, .. }) = catalogs[0].check().await else {
        panic!("a catalog without a schema must not answer");
    };
    assert_eq!(operation, "checking the catalog");
    for migrated in futures::future::join_all(catalogs.iter().map(SqlCatalog::migrate)).await {
        migrated.unwrap();
    }
    catalogs[3].check().await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    let catalog = SqlCatalog::open_sqlite(&path).await.unwrap();
    catalog.check().await.unwrap();
    for name in ["catalog.db", "catalog.db-wal", "catalog.db-shm"] {
        let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}");
    }
}

#[tokio::test]
async fn a_database_that_is_away_is_unavailable() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = SqlCatalog::open_sqlite(folder.path().join("catalog.db")).await.unwrap();
    catalog.close().await;
    assert!(matches!(catalog.check().await, Err(CatalogError::Unavailable { .. })));
    let url = DatabaseUrl::new("postgres://nobody:secret@127.0.0.1:1/none".into());
    let away = CatalogConfig::Postgres { url, connections: 2 };
    let refused = SqlCatalog::open(&away).await.err().unwrap();
    let OpenError::Connect(CatalogError::Unavailable { .. }) = &refused else { panic!("{refused:?}") };
    assert!(!format!("{refused:?}").contains("secret"));
}

/// Rows of studies that are taken out move by the order of their columns.
#[tokio::test]
async fn postgres_has_the_same_columns_aside() {
    with_postgres("postgres_has_the_same_columns_aside", |_, address| {
        Box::pin(async move {
            let mut connection = connect(&address).await;
            let aside = "SELECT CAST(table_name AS TEXT), CAST(column_name AS TEXT), CAST(data_type AS TEXT), CAST(is_nullable AS TEXT)
                FROM information_schema.columns WHERE table_schema = 'public' ORDER BY table_name, ordinal_position";
            let mut tables: std::collections::BTreeMap<String, Vec<[String; 3]>> = std::collections::BTreeMap::new();
            for row in connection.fetch_all(aside).await.unwrap() {
                tables.entry(row.get(0)).or_default().push([row.get(1), row.get(2), row.get(3)]);
            }
            let twins: Vec<_> = tables.iter().filter_map(|(name, columns)| Some((name.strip_prefix("out_")?, columns))).collect();
            assert_eq!(twins.len(), 12);
            for (name, columns) in twins {
                assert_eq!(tables.get(name), Some(columns), "{name}");
            }
        })
    })
    .await;
}
