//! Orders from a table: CSV with a header row, each row on its own, bounded in bytes and rows. Importing a file again changes
//! nothing, so one that broke off is simply sent again.

use std::collections::HashMap;

use csv::{ReaderBuilder, StringRecord, Trim};
use domain::{
    audit::Actor,
    id::CentreId,
    port::{Catalog, CatalogError, Clock, catalog::OrderOutcome},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::place::{NewOrder, NewPhysician, PlaceError, place};

/// Most bytes of a table.
pub const IMPORT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most rows of a table: each is a transaction of its own, so that this many take seconds, not minutes.
pub const IMPORT_ROWS_MAX: usize = 2000;

/// The columns that are understood.
const COLUMNS: [&str; 10] = [
    "accession_number",
    "patient_id",
    "patient_name",
    "examination",
    "reason",
    "priority",
    "physician_name",
    "physician_email",
    "physician_phone",
    "scheduled",
];
/// The columns that must be there.
const NEEDED: [&str; 2] = ["accession_number", "patient_id"];

/// What became of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct ImportReport {
    /// Orders that are new.
    pub created: usize,
    /// Orders that say something else now.
    pub changed: usize,
    /// Orders that said the same already.
    pub unchanged: usize,
    /// Rows that were not understood.
    pub refused: usize,
    /// Each row.
    pub rows: Vec<ImportedRow>,
}

/// What became of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ImportedRow {
    /// The line of the file on which the row begins, from 1 (the header).
    pub line: u64,
    /// Its order.
    pub accession_number: Option<String>,
    /// What became of it.
    pub outcome: RowOutcome,
    /// Why it was refused.
    pub error: Option<String>,
    /// The study that the order met, if one was there.
    pub linked_study: Option<String>,
}

/// What became of a row, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RowOutcome {
    /// New.
    Created,
    /// Says something else now.
    Changed,
    /// Said the same already.
    Unchanged,
    /// Not understood.
    Refused,
}

/// Why a table was not imported. Rows before the failure are kept.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Too many bytes.
    #[error("the table is larger than 4 MiB")]
    TooLarge,
    /// Too many rows; nothing was imported.
    #[error("the table has more than 2000 rows")]
    TooManyRows,
    /// Not UTF-8; nothing was imported.
    #[error("the table is not UTF-8 text")]
    NotUtf8,
    /// A column must be there; nothing was imported.
    #[error("the header row has no column {0}")]
    ColumnMissing(&'static str),
    /// Columns that are not understood or there twice, by their position from 1; nothing was imported.
    #[error("column {0} of the header row is unknown or there twice")]
    ColumnUnknown(usize),
    /// The catalog could not.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// Imports a table for a centre. Cells may be parted by commas, semicolons or tabs.
///
/// # Errors
/// When the table as a whole cannot be read, or the catalog is away. A row that is not understood is no error: the report names it.
pub async fn import_csv(
    catalog: &dyn Catalog,
    clock: &dyn Clock,
    centre: &CentreId,
    table: &[u8],
    by: &Actor,
) -> Result<ImportReport, ImportError> {
    let (columns, records) = parse(table)?;
    let mut report = ImportReport::default();
    for record in records {
        let row = match record {
            Ok(record) => import_row(catalog, clock, centre, &columns, &record, by).await?,
            Err(line) => {
                refused(line, None, "the row has another number of cells than the header".to_owned())
            }
        };
        match row.outcome {
            RowOutcome::Created => report.created += 1,
            RowOutcome::Changed => report.changed += 1,
            RowOutcome::Unchanged => report.unchanged += 1,
            RowOutcome::Refused => report.refused += 1,
        }
        report.rows.push(row);
    }
    Ok(report)
}

type Columns = HashMap<&'static str, usize>;

/// Columns by name, and the rows: a record, or the line of one that is not as long as the header.
fn parse(table: &[u8]) -> Result<(Columns, Vec<Result<StringRecord, u64>>), ImportError> {
    if table.len() > IMPORT_BYTES_MAX {
        return Err(ImportError::TooLarge);
    }
    let text = std::str::from_utf8(table).map_err(|_| ImportError::NotUtf8)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let header = text.lines().next().unwrap_or_default();
    let delimiter =
        *b",;\t".iter().max_by_key(|d| header.bytes().filter(|b| b == *d).count()).unwrap_or(&b',');
    let mut reader =
        ReaderBuilder::new().delimiter(delimiter).trim(Trim::All).flexible(true).from_reader(text.as_bytes());
    let columns = columns(reader.headers().map_err(|_| ImportError::NotUtf8)?)?;
    let width = columns.len();
    let mut rows = Vec::new();
    for (index, record) in reader.records().enumerate() {
        let record = record.map_err(|_| ImportError::NotUtf8)?;
        if index >= IMPORT_ROWS_MAX {
            return Err(ImportError::TooManyRows);
        }
        let line = line(&record);
        rows.push(if record.len() == width { Ok(record) } else { Err(line) });
    }
    Ok((columns, rows))
}

fn columns(header: &StringRecord) -> Result<Columns, ImportError> {
    let mut columns = Columns::new();
    for (index, name) in header.iter().enumerate() {
        let name = name.to_lowercase().replace([' ', '-'], "_");
        let known = COLUMNS.into_iter().find(|known| *known == name);
        let known = known.ok_or(ImportError::ColumnUnknown(index + 1))?;
        if columns.insert(known, index).is_some() {
            return Err(ImportError::ColumnUnknown(index + 1));
        }
    }
    match NEEDED.into_iter().find(|needed| !columns.contains_key(needed)) {
        Some(missing) => Err(ImportError::ColumnMissing(missing)),
        None => Ok(columns),
    }
}

async fn import_row(
    catalog: &dyn Catalog,
    clock: &dyn Clock,
    centre: &CentreId,
    columns: &Columns,
    record: &StringRecord,
    by: &Actor,
) -> Result<ImportedRow, CatalogError> {
    let cell = |name: &str| {
        let cell = columns.get(name).and_then(|index| record.get(*index)).filter(|cell| !cell.is_empty());
        cell.map(str::to_owned)
    };
    let (name, email, phone) = (cell("physician_name"), cell("physician_email"), cell("physician_phone"));
    let told = name.is_some() || email.is_some() || phone.is_some();
    let order = NewOrder {
        centre: None,
        accession_number: cell("accession_number").unwrap_or_default(),
        patient_id: cell("patient_id").unwrap_or_default(),
        patient_name: cell("patient_name"),
        examination: cell("examination"),
        reason: cell("reason"),
        priority: cell("priority"),
        physician: told.then(|| NewPhysician { name: name.unwrap_or_default(), email, phone }),
        scheduled: cell("scheduled"),
    };
    let accession_number = Some(order.accession_number.clone()).filter(|text| !text.is_empty());
    let outcome = match place(catalog, centre, &order, by, clock.now()).await {
        Ok(outcome) => outcome,
        Err(PlaceError::Invalid(invalid)) => {
            return Ok(refused(line(record), accession_number, invalid.to_string()));
        }
        Err(PlaceError::Catalog(error)) => return Err(error),
    };
    Ok(ImportedRow {
        line: line(record),
        accession_number,
        outcome: match &outcome {
            OrderOutcome::Created(_) => RowOutcome::Created,
            OrderOutcome::Changed(_) => RowOutcome::Changed,
            OrderOutcome::Unchanged(_) => RowOutcome::Unchanged,
        },
        error: None,
        linked_study: outcome.order().study.as_ref().map(ToString::to_string),
    })
}

fn refused(line: u64, accession_number: Option<String>, error: String) -> ImportedRow {
    let outcome = RowOutcome::Refused;
    ImportedRow { line, accession_number, outcome, error: Some(error), linked_study: None }
}

fn line(record: &StringRecord) -> u64 {
    record.position().map_or(0, csv::Position::line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_read_as_spreadsheets_write_them() {
        for table in [
            "accession_number,patient_id,reason\nA1,p1,\"a, b\"\n",
            "\u{feff}Accession Number;Patient ID;Reason\r\nA1;p1;a, b\r\n",
            "accession_number\tpatient_id\treason\nA1\t p1 \ta, b",
        ] {
            let (columns, rows) = parse(table.as_bytes()).unwrap();
            let row = rows[0].as_ref().unwrap();
            let cells =
                ["accession_number", "patient_id", "reason"].map(|name| row[columns[name]].to_owned());
            assert_eq!(cells, ["A1", "p1", "a, b"], "{table}");
            assert_eq!(rows.len(), 1);
        }
    }

    #[test]
    fn tables_that_are_none_are_refused_whole() {
        let rows = format!("accession_number,patient_id\n{}", "A,p\n".repeat(IMPORT_ROWS_MAX + 1));
        let large = vec![b'x'; IMPORT_BYTES_MAX + 1];
        for (table, error) in [
            (b"accession_number\nA1".as_slice(), "the header row has no column patient_id"),
            (b"accession_number,patient_id,prio\n", "column 3 of the header row is unknown or there twice"),
            (
                b"accession_number,patient_id,patient_id\n",
                "column 3 of the header row is unknown or there twice",
            ),
            (b"", "the header row has no column accession_number"),
            (b"accession_number,patient_id\nA,\xff\n", "the table is not UTF-8 text"),
            (rows.as_bytes(), "the table has more than 2000 rows"),
            (&large, "the table is larger than 4 MiB"),
        ] {
            assert_eq!(parse(table).unwrap_err().to_string(), error);
        }
        let (_, rows) = parse(b"accession_number,patient_id\nA1,p1\nA2\nA3,p3,x\n").unwrap();
        assert_eq!(rows.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, false]);
        assert_eq!(rows[1].as_ref().unwrap_err(), &3);
    }
}
