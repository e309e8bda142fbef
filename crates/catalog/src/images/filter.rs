//! QIDO-like questions about studies, as SQL.

use domain::port::catalog::{StudyFilter, StudyOrder};

use super::row;
use crate::{dialect::Dialect, sql::Sql};

/// The question. Within one centre each of its usual forms is answered by an index in the order of the list (`study_of_centre_…`).
pub(crate) fn statement(dialect: Dialect, filter: &StudyFilter) -> Sql {
    let mut sql = Sql::new("SELECT s.* FROM study s WHERE 1 = 1");
    push_keys(&mut sql, filter);
    let name = |text: &Option<String>| text.as_deref().map(row::comparable_name);
    let texts = [
        ("s.patient_id", filter.patient_id.clone()),
        ("s.accession_number", filter.accession_number.clone()),
        ("s.description", filter.description.clone()),
        ("s.study_id", filter.study_id.clone()),
        ("s.patient_name_lower", name(&filter.patient_name)),
        ("s.referring_physician_lower", name(&filter.referring_physician)),
    ];
    for (column, text) in texts {
        push_text(&mut sql, dialect, column, text.as_deref());
    }
    sql.push(match filter.order {
        StudyOrder::LatestFirst => " ORDER BY s.study_date DESC, s.study_time DESC, s.study, s.centre",
        StudyOrder::ArrivalFirst => " ORDER BY s.first_received, s.study, s.centre",
    });
    sql.push(" LIMIT ").value(filter.limit).push(" OFFSET ").value(filter.offset);
    sql
}

fn push_keys(sql: &mut Sql, filter: &StudyFilter) {
    match filter.centres.as_slice() {
        [] => {}
        [centre] => drop(sql.push(" AND s.centre = ").value(centre)),
        centres => drop(sql.push(" AND s.centre IN ").list(centres)),
    }
    if !filter.study_uids.is_empty() {
        sql.push(" AND s.study IN ").list(&filter.study_uids);
    }
    if let Some(from) = filter.from {
        sql.push(" AND s.study_date >= ").value(from.to_string());
    }
    if let Some(to) = filter.to {
        sql.push(" AND s.study_date <> '' AND s.study_date <= ").value(to.to_string());
    }
    if !filter.modalities.is_empty() {
        sql.push(
            " AND EXISTS (SELECT 1 FROM series m WHERE m.centre = s.centre AND m.study = s.study AND m.instance_count > 0
                AND m.modality IN ",
        );
        sql.list(&filter.modalities).push(")");
    }
}

/// Universal matching (empty or only `*`), wild card matching or single value matching (PS3.4 section C.2.2.2).
fn push_text(sql: &mut Sql, dialect: Dialect, column: &str, text: Option<&str>) {
    let Some(text) = text.filter(|text| !text.chars().all(|c| c == '*')) else { return };
    sql.push(" AND ").push(column);
    if text.contains(['*', '?']) {
        // What an index can find of a pattern, which comes as a value, is told it by itself.
        let fixed = text.split(['*', '?']).next().unwrap_or_default();
        if !fixed.is_empty() {
            sql.push(" >= ").value(fixed).push(" AND ").push(column);
            sql.push(" < ").value(format!("{fixed}{}", char::MAX)).push(" AND ").push(column);
        }
        let (operator, after) = dialect.matches();
        sql.push(operator).value(dialect.pattern(text)).push(after);
    } else {
        sql.push(" = ").value(text);
    }
}

#[cfg(test)]
mod tests {
    use domain::id::CentreId;

    use super::*;
    use crate::{CatalogConfig, DatabaseUrl, SqlCatalog, sql::Columns as _};

    /// What a search asks, and the index that answers it.
    fn questions() -> Vec<(StudyFilter, &'static str)> {
        let filter = || StudyFilter {
            centres: vec![CentreId::parse("c").unwrap()],
            limit: 51,
            ..StudyFilter::default()
        };
        let date = |text: &str| Some(text.parse().unwrap());
        vec![
            (StudyFilter { patient_id: Some("P77".into()), ..filter() }, "study_of_centre_patient"),
            (StudyFilter { accession_number: Some("A1".into()), ..filter() }, "study_of_centre_accession"),
            (
                StudyFilter {
                    study_uids: vec![domain::uid::StudyInstanceUid::parse("1.2").unwrap()],
                    ..filter()
                },
                "study_",
            ),
            (
                StudyFilter { from: date("2018-03-01"), to: date("2018-03-31"), ..filter() },
                "study_of_centre_latest",
            ),
            (StudyFilter { patient_name: Some("DOE12*".into()), ..filter() }, "study_of_centre_name"),
            (filter(), "study_of_centre_latest"),
        ]
    }

    const ROWS: &str = "INSERT INTO study (centre, study, patient_id, patient_name_lower, accession_number, study_date,
        study_time, search, modalities, series_count, instance_count, bytes, generation, first_received, last_received,
        completeness, priority, conflict_count, signed_version)";

    #[tokio::test]
    async fn sqlite_answers_searches_by_indexes_and_sorts_no_list() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = SqlCatalog::open_sqlite(folder.path().join("catalog.db")).await.unwrap();
        let mut reader = catalog.reader().await.unwrap();
        for (filter, index) in questions() {
            let mut question = Sql::new("EXPLAIN QUERY PLAN ");
            statement(Dialect::Sqlite, &filter).put_behind(&mut question);
            let plan = question.all(&mut reader).await.unwrap();
            let plan: Vec<String> = plan.iter().map(|row| row.text("detail").unwrap()).collect();
            assert!(plan[0].starts_with("SEARCH") && plan[0].contains(index), "{filter:?}: {plan:?}");
            // Names are in the order of names.
            assert!(plan.len() == 1 || filter.patient_name.is_some(), "{filter:?}: {plan:?}");
        }
    }

    #[tokio::test]
    async fn postgres_answers_searches_by_indexes() {
        let Ok(server) = std::env::var("TELERAD_TEST_POSTGRES_URL") else {
            eprintln!("SKIPPED: set TELERAD_TEST_POSTGRES_URL to the address of a PostgreSQL superuser");
            return;
        };
        let open = |url: String| async move {
            let config = CatalogConfig::Postgres { url: DatabaseUrl::new(url), connections: 2 };
            SqlCatalog::open(&config).await.unwrap()
        };
        let database = format!("telerad_plans_{}", uuid::Uuid::now_v7().simple());
        let administrator = open(server.clone()).await;
        let administer = |words: &str| {
            let (statement, administrator) = (Sql::new(words.to_owned()), administrator.clone());
            async move { statement.execute(&mut administrator.reader().await.unwrap()).await.unwrap() }
        };
        administer(&format!("CREATE DATABASE {database}")).await;
        let catalog = open(format!("{}/{database}", server.rsplit_once('/').unwrap().0)).await;
        catalog.migrate().await.unwrap();
        let mut connection = catalog.reader().await.unwrap();
        let studies = "SELECT 'c', '1.2.' || n, 'P' || n, 'doe' || (n % 977) || '^jane', 'A' || n,
                 to_char(DATE '2016-01-01' + n % 2900, 'YYYY-MM-DD'), '101010', '', '[]', 1, 1, 1, 1, n, n, '{}', 2, 0, 0
             FROM generate_series(1, 20000) n";
        for words in [
            "INSERT INTO centre (id, name, address, accept_any_ae, quiet_period, mail_detail, delivery_deadline,
                 acknowledgement_deadline) VALUES ('c', 'C', '[]', 0, 1, 'link_only', 1, 1)",
            &format!("{ROWS} {studies}"),
            "ANALYZE study",
        ] {
            Sql::new(words.to_owned()).execute(&mut connection).await.unwrap();
        }
        for (filter, index) in questions() {
            let mut question = Sql::new("EXPLAIN ");
            statement(Dialect::Postgres, &filter).put_behind(&mut question);
            let plan = question.all(&mut connection).await.unwrap();
            let plan: Vec<String> = plan.iter().map(|row| row.text("QUERY PLAN").unwrap()).collect();
            let plan = plan.join("\n");
            assert!(plan.contains(index) && !plan.contains("Seq Scan"), "{filter:?}:\n{plan}");
        }
        drop(connection);
        catalog.close().await;
        administer(&format!("DROP DATABASE {database} WITH (FORCE)")).await;
    }
}
