//! QIDO-like questions about studies, as SQL.

use domain::{
    port::catalog::{StudyFilter, StudyOrder},
    study::Study,
};
use sqlx::AnyConnection;

use super::row;
use crate::{dialect::Dialect, error::Problem, sql::Sql};

/// Studies that match.
pub(crate) async fn studies(
    connection: &mut AnyConnection,
    dialect: Dialect,
    filter: &StudyFilter,
) -> Result<Vec<Study>, Problem> {
    if filter.limit == 0 {
        return Ok(Vec::new());
    }
    statement(dialect, filter)
        .all(connection)
        .await?
        .iter()
        .map(|found| Ok(row::read(found)?.study))
        .collect()
}

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
