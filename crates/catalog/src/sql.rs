//! Statements with their values, and rows read column by column: the thin layer over sqlx that every query goes through.

use domain::{
    Duration, Timestamp,
    digest::{ImageSetDigest, Sha256Digest},
    id::{
        CentreId, CommitmentId, DeliveryId, EventId, MailId, OrderId, PatientConflictId, PersonId,
        PhysicianId, QuarantineId, TaskId, TokenId, UploadBatchId, UploadId, UploadSpoolId,
    },
    object::ObjectKey,
    text::{AccessionNumber, AeTitle, EmailAddress, PatientId, PersonName},
    uid::{
        SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, TransactionUid, TransferSyntaxUid,
    },
    work::Lane,
};
use jiff::civil::Date;
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{
    Any, AnyConnection, Arguments as _, AssertSqlSafe, Row as _,
    any::{AnyArguments, AnyRow},
    query::Query,
};

use crate::error::Problem;

/// A statement and its values. Its text is made of constants and placeholders alone; values only ever come in as [`Value`].
#[derive(Default)]
pub(crate) struct Sql {
    text: String,
    values: Vec<Value>,
}

/// A value for a placeholder.
pub(crate) enum Value {
    /// Text or nothing.
    Text(Option<String>),
    /// A number or nothing.
    Int(Option<i64>),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Sql {
    /// A statement whose placeholders `$1`, `$2`… get their values by [`Self::bind`], in order.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// The value of the next placeholder.
    pub(crate) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Goes on with text.
    pub(crate) fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Goes on with a placeholder and its value.
    pub(crate) fn value(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        self.text.push('$');
        self.text.push_str(&self.values.len().to_string());
        self
    }

    /// Goes on with `(…, …)`.
    pub(crate) fn list<V: Into<Value>>(&mut self, values: impl IntoIterator<Item = V>) -> &mut Self {
        self.push("(");
        for (n, value) in values.into_iter().enumerate() {
            if n > 0 {
                self.push(", ");
            }
            self.value(value);
        }
        self.push(")")
    }

    /// Puts it behind words that hold no placeholder.
    #[cfg(test)]
    pub(crate) fn put_behind(self, words: &mut Self) {
        words.text.push_str(&self.text);
        words.values = self.values;
    }

    /// The text, and the values of its placeholders in the order of their numbers.
    pub(crate) fn into_parts(self) -> (String, Vec<Value>) {
        (self.text, self.values)
    }

    fn query<'q>(self) -> Query<'q, Any, AnyArguments> {
        sqlx::query_with(AssertSqlSafe(self.text), arguments(self.values))
    }

    /// Runs it and counts the rows that it changed.
    pub(crate) async fn execute(self, connection: &mut AnyConnection) -> Result<u64, Problem> {
        Ok(self.query().execute(connection).await?.rows_affected())
    }

    /// All its rows.
    pub(crate) async fn all(self, connection: &mut AnyConnection) -> Result<Vec<AnyRow>, Problem> {
        Ok(self.query().fetch_all(connection).await?)
    }

    /// Its first row. The statement runs to its end all the same.
    pub(crate) async fn first(self, connection: &mut AnyConnection) -> Result<Option<AnyRow>, Problem> {
        Ok(self.all(connection).await?.into_iter().next())
    }
}

fn arguments(values: Vec<Value>) -> AnyArguments {
    let mut arguments = AnyArguments::default();
    for value in values {
        let added = match value {
            Value::Text(text) => arguments.add(text),
            Value::Int(number) => arguments.add(number),
            Value::Bytes(bytes) => arguments.add(bytes),
        };
        added.expect("texts, numbers and bytes can always be handed to the driver");
    }
    arguments
}

/// NUL ends a text for some and is refused by others; no text of ours needs one.
fn without_nul(text: &str) -> String {
    text.replace('\0', "")
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(without_nul(text)))
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<&Option<String>> for Value {
    fn from(text: &Option<String>) -> Self {
        Self::Text(text.as_deref().map(without_nul))
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        Self::Text(text.map(without_nul))
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        text.as_deref().into()
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(Some(number))
    }
}

impl From<Option<i64>> for Value {
    fn from(number: Option<i64>) -> Self {
        Self::Int(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        i64::from(number).into()
    }
}

impl From<Option<u32>> for Value {
    fn from(number: Option<u32>) -> Self {
        Self::Int(number.map(i64::from))
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        i64::try_from(number).unwrap_or(i64::MAX).into()
    }
}

impl From<bool> for Value {
    fn from(yes: bool) -> Self {
        i64::from(yes).into()
    }
}

impl From<Timestamp> for Value {
    fn from(at: Timestamp) -> Self {
        at.as_microsecond().into()
    }
}

impl From<Option<Timestamp>> for Value {
    fn from(at: Option<Timestamp>) -> Self {
        Self::Int(at.map(|at| at.as_microsecond()))
    }
}

impl From<Duration> for Value {
    fn from(duration: Duration) -> Self {
        i64::try_from(duration.as_micros()).unwrap_or(i64::MAX).into()
    }
}

impl From<Option<Date>> for Value {
    fn from(date: Option<Date>) -> Self {
        Self::Text(date.map(|date| date.to_string()))
    }
}

impl From<Lane> for Value {
    fn from(lane: Lane) -> Self {
        lane_rank(lane).into()
    }
}

/// A lane as a number: lower is more urgent.
pub(crate) const fn lane_rank(lane: Lane) -> i64 {
    match lane {
        Lane::Stat => 0,
        Lane::Urgent => 1,
        Lane::Routine => 2,
    }
}

macro_rules! by_display {
    ($($kind:ty),+) => {$(
        impl From<$kind> for Value {
            fn from(value: $kind) -> Self {
                Self::Text(Some(value.to_string()))
            }
        }

        impl From<Option<$kind>> for Value {
            fn from(value: Option<$kind>) -> Self {
                Self::Text(value.map(|value| value.to_string()))
            }
        }
    )+};
}

by_display!(
    CommitmentId,
    DeliveryId,
    EventId,
    MailId,
    OrderId,
    PatientConflictId,
    PersonId,
    PhysicianId,
    QuarantineId,
    TaskId,
    TokenId,
    UploadBatchId,
    UploadId,
    UploadSpoolId,
    Sha256Digest,
    ImageSetDigest
);

macro_rules! by_text {
    ($($kind:ty),+) => {$(
        impl From<&$kind> for Value {
            fn from(value: &$kind) -> Self {
                value.as_str().into()
            }
        }

        impl From<&Option<$kind>> for Value {
            fn from(value: &Option<$kind>) -> Self {
                value.as_ref().map(|value| value.as_str()).into()
            }
        }
    )+};
}

by_text!(
    CentreId,
    ObjectKey,
    AccessionNumber,
    AeTitle,
    EmailAddress,
    PatientId,
    PersonName,
    SeriesInstanceUid,
    SopClassUid,
    SopInstanceUid,
    StudyInstanceUid,
    TransactionUid,
    TransferSyntaxUid
);

/// A value as JSON text, for one of the catalog's own structures.
///
/// # Panics
/// Never: those hold nothing that JSON cannot say.
pub(crate) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("texts, numbers and lists are JSON")
}

/// Reading a row, column by column.
pub(crate) trait Columns {
    fn text(&self, column: &'static str) -> Result<String, Problem>;
    fn text_maybe(&self, column: &'static str) -> Result<Option<String>, Problem>;
    fn int(&self, column: &'static str) -> Result<i64, Problem>;
    fn int_maybe(&self, column: &'static str) -> Result<Option<i64>, Problem>;
    fn bytes(&self, column: &'static str) -> Result<Vec<u8>, Problem>;
    fn bytes_maybe(&self, column: &'static str) -> Result<Option<Vec<u8>>, Problem>;

    /// A number of another type.
    fn number<N: TryFrom<i64>>(&self, column: &'static str) -> Result<N, Problem> {
        N::try_from(self.int(column)?).map_err(|_| Problem::Unreadable { column })
    }

    /// A number of another type, or nothing.
    fn number_maybe<N: TryFrom<i64>>(&self, column: &'static str) -> Result<Option<N>, Problem> {
        let number = self.int_maybe(column)?;
        number.map(|number| N::try_from(number).map_err(|_| Problem::Unreadable { column })).transpose()
    }

    fn flag(&self, column: &'static str) -> Result<bool, Problem> {
        Ok(self.int(column)? != 0)
    }

    fn time(&self, column: &'static str) -> Result<Timestamp, Problem> {
        time_of(self.int(column)?).ok_or(Problem::Unreadable { column })
    }

    fn time_maybe(&self, column: &'static str) -> Result<Option<Timestamp>, Problem> {
        let at = self.int_maybe(column)?;
        at.map(|at| time_of(at).ok_or(Problem::Unreadable { column })).transpose()
    }

    fn duration(&self, column: &'static str) -> Result<Duration, Problem> {
        Ok(Duration::from_micros(self.int(column)?))
    }

    fn lane(&self, column: &'static str) -> Result<Lane, Problem> {
        let rank = self.int(column)?;
        let found = Lane::ALL.into_iter().find(|lane| lane_rank(*lane) == rank);
        found.ok_or(Problem::Unreadable { column })
    }

    /// What a reader makes of a text.
    fn parsed<T>(&self, column: &'static str, read: impl FnOnce(&str) -> Option<T>) -> Result<T, Problem> {
        read(&self.text(column)?).ok_or(Problem::Unreadable { column })
    }

    /// What a reader makes of a text, or nothing where there is none.
    fn parsed_maybe<T>(
        &self,
        column: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let text = self.text_maybe(column)?;
        text.map(|text| read(&text).ok_or(Problem::Unreadable { column })).transpose()
    }

    /// A structure kept as JSON.
    fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, Problem> {
        serde_json::from_str(&self.text(column)?).map_err(|_| Problem::Unreadable { column })
    }

    fn centre(&self, column: &'static str) -> Result<CentreId, Problem> {
        self.parsed(column, |text| CentreId::parse(text).ok())
    }

    fn study_uid(&self, column: &'static str) -> Result<StudyInstanceUid, Problem> {
        self.parsed(column, |text| StudyInstanceUid::parse(text).ok())
    }

    fn digest(&self, column: &'static str) -> Result<Sha256Digest, Problem> {
        self.parsed(column, Sha256Digest::parse)
    }
}

/// A moment, from microseconds since 1970.
pub(crate) fn time_of(microsecond: i64) -> Option<Timestamp> {
    Timestamp::from_microsecond(microsecond).ok()
}

/// A moment as it will be read back: cut to microseconds.
pub(crate) fn kept(at: Timestamp) -> Timestamp {
    time_of(at.as_microsecond()).unwrap_or(at)
}

impl Columns for AnyRow {
    fn text(&self, column: &'static str) -> Result<String, Problem> {
        Ok(self.try_get(column)?)
    }

    fn text_maybe(&self, column: &'static str) -> Result<Option<String>, Problem> {
        Ok(self.try_get(column)?)
    }

    fn int(&self, column: &'static str) -> Result<i64, Problem> {
        Ok(self.try_get(column)?)
    }

    fn int_maybe(&self, column: &'static str) -> Result<Option<i64>, Problem> {
        Ok(self.try_get(column)?)
    }

    fn bytes(&self, column: &'static str) -> Result<Vec<u8>, Problem> {
        Ok(self.try_get(column)?)
    }

    fn bytes_maybe(&self, column: &'static str) -> Result<Option<Vec<u8>>, Problem> {
        Ok(self.try_get(column)?)
    }
}
