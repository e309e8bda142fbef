//! Headers of stored objects: read, guarded, and written as DICOM JSON. Not the pixels.

use axum::http::StatusCode;
use bytes::Bytes;
use domain::{
    image::Instance,
    port::{Storage, StorageError},
    text::CharacterSetRule,
};
use gate::Problem;
use imaging::{
    guard::{Flaw, GuardedHeader, Refusal},
    json,
    sniff::{self, Place as DataSetPlace, Sniffed},
};
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use crate::{address::instance_address, fetch};

/// Largest beginning of an object that is read for its header. A header has at most 16 MiB; a deflated object
/// is read whole.
const BEGINNING_BYTES_MAX: u64 = 128 << 20;
/// Bytes that are read after the header: they say why it ends there, and are the first that who looks for
/// frames wants to see.
const AFTER_HEADER_BYTES: u64 = 4096 + 16;
/// Headers of more bytes are worked on beside the threads that serve requests: they take longer than a
/// request should wait for another.
const LARGE_HEADER_BYTES: usize = 32 << 10;
/// Large headers worked on at one time, in parts of [`LARGE_HEADER_BYTES`]: one that has them all is worked on alone, since a header can
/// become a hundred times its size.
const LARGE_HEADERS_MAX: usize = 16;
static LARGE_HEADERS: Semaphore = Semaphore::const_new(LARGE_HEADERS_MAX);

/// Why there is no header.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HeaderError {
    /// The object cannot be read.
    #[error("the object cannot be read")]
    Storage(#[from] StorageError),
    /// The object is a deflated one beyond what is inflated here.
    #[error("the object is too large to look for its header")]
    TooLarge,
    /// The object is no DICOM file.
    #[error("the object is no DICOM file: {0}")]
    NotDicom(&'static str),
    /// The guard does not let the header in, although it did when the object came.
    #[error("the header cannot be read")]
    Refused(#[source] Refusal),
    /// The work was ended from outside.
    #[error("reading the header was broken off")]
    BrokenOff,
}

/// The beginning of an object, up to some bytes after its header.
pub(crate) struct Beginning {
    /// The header.
    pub(crate) header: GuardedHeader,
    /// All bytes that were read, from the first one of the object.
    pub(crate) bytes: Bytes,
}

/// Reads the beginning of an object.
pub(crate) async fn beginning(storage: &dyn Storage, instance: &Instance) -> Result<Beginning, HeaderError> {
    let bytes = first_bytes(storage, instance, AFTER_HEADER_BYTES).await?;
    with_header(bytes.len(), move || Ok(Beginning { header: guarded(&bytes)?, bytes })).await?
}

/// Reads the header of an object as it is stored, without its file meta, for who guards it: a process that works on its pixels.
pub(crate) async fn unguarded(storage: &dyn Storage, instance: &Instance) -> Result<Bytes, HeaderError> {
    let bytes = first_bytes(storage, instance, 0).await?;
    let place = data_set(&bytes)?;
    Ok(bytes.slice(place.at..))
}

/// The bytes of an object up to the end of its header, and some more.
async fn first_bytes(storage: &dyn Storage, instance: &Instance, more: u64) -> Result<Bytes, HeaderError> {
    let end = instance.attributes.header_bytes.saturating_add(more).min(instance.bytes);
    let limit = usize::try_from(BEGINNING_BYTES_MAX).unwrap_or(usize::MAX);
    if end > BEGINNING_BYTES_MAX {
        return Err(HeaderError::TooLarge);
    }
    Ok(fetch::bytes(storage, instance, 0..end, limit).await?)
}

/// An object as DICOM JSON.
pub(crate) struct Described {
    /// The text.
    pub(crate) json: Bytes,
    /// It would be the same another time.
    pub(crate) is_lasting: bool,
}

/// The header of an object as a DICOM JSON object, bulk data by reference. When it cannot be made, what the
/// catalog knows stands in its place, so that one odd object does not hide a series.
pub(crate) async fn json(
    storage: &dyn Storage,
    instance: &Instance,
    character_set: Option<CharacterSetRule>,
    base: &str,
) -> Result<Described, StorageError> {
    let bulk_base = format!("{}/bulkdata", instance_address(base, instance));
    let written = match beginning(storage, instance).await {
        Ok(Beginning { header, .. }) => with_header(header.bytes.len(), move || {
            let object = json::metadata_under(&header, character_set.as_ref(), &bulk_base)
                .map_err(HeaderError::Refused)?;
            Ok(Value::Object(object).to_string())
        })
        .await
        .and_then(|written| written),
        Err(error) => Err(error),
    };
    let (object, is_lasting) = match written {
        Ok(text) => return Ok(Described { json: text.into(), is_lasting: true }),
        Err(HeaderError::Storage(error)) => return Err(error),
        Err(error) => {
            let is_busy = |refusal: &Refusal| refusal.flaw == Flaw::Busy;
            let is_lasting = match &error {
                HeaderError::Refused(refusal) => !is_busy(refusal),
                HeaderError::TooLarge | HeaderError::NotDicom(_) => true,
                HeaderError::Storage(_) | HeaderError::BrokenOff => false,
            };
            tracing::error!(
                sha256 = %instance.file_sha256,
                error = &error as &dyn std::error::Error,
                "metadata of an object are those of the catalog"
            );
            (from_catalog(instance), is_lasting)
        }
    };
    Ok(Described { json: Value::Object(object).to_string().into(), is_lasting })
}

/// Works on a header, beside the threads that serve requests when it is large.
pub(crate) async fn with_header<T: Send + 'static>(
    header_bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, HeaderError> {
    if header_bytes < LARGE_HEADER_BYTES {
        return Ok(work());
    }
    let parts = u32::try_from((header_bytes / LARGE_HEADER_BYTES).clamp(1, LARGE_HEADERS_MAX)).unwrap_or(1);
    let _places = LARGE_HEADERS.acquire_many(parts).await.map_err(|_| HeaderError::BrokenOff)?;
    tokio::task::spawn_blocking(work).await.map_err(|_| HeaderError::BrokenOff)
}

impl From<HeaderError> for Problem {
    fn from(error: HeaderError) -> Self {
        match error {
            HeaderError::Storage(error) => error.into(),
            HeaderError::Refused(_) | HeaderError::TooLarge => {
                tracing::warn!(error = &error as &dyn std::error::Error, "a header is not taken apart");
                Self::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "not_readable",
                    "The header of this instance cannot be taken apart.",
                )
                .next_step("Retrieve the instance as application/dicom.")
            }
            HeaderError::NotDicom(_) | HeaderError::BrokenOff => Self::internal(&error),
        }
    }
}

fn guarded(beginning: &[u8]) -> Result<GuardedHeader, HeaderError> {
    let place = data_set(beginning)?;
    GuardedHeader::of_beginning(&beginning[place.at..], &place.transfer_syntax).map_err(HeaderError::Refused)
}

/// Where the data set of an object begins, and how it is written.
fn data_set(beginning: &[u8]) -> Result<DataSetPlace, HeaderError> {
    match sniff::part10(beginning, true) {
        Sniffed::DataSet(place) => Ok(place),
        Sniffed::More => Err(HeaderError::NotDicom("it ends too early")),
        Sniffed::NotDicom(why) => Err(HeaderError::NotDicom(why)),
    }
}

fn from_catalog(instance: &Instance) -> Map<String, Value> {
    let attributes = &instance.attributes;
    let text = |tag: &str, vr: &str, value: &str| {
        Some((tag.to_owned(), serde_json::json!({"vr": vr, "Value": [value]})))
    };
    let number = |tag: &str, vr: &str, value: Option<i64>| {
        value.map(|value| (tag.to_owned(), serde_json::json!({"vr": vr, "Value": [value]})))
    };
    let elements = [
        text("00080005", "CS", "ISO_IR 192"),
        text("00080016", "UI", instance.sop_class.as_str()),
        text("00080018", "UI", instance.sop_instance.as_str()),
        text("0020000D", "UI", instance.study.as_str()),
        text("0020000E", "UI", instance.series.as_str()),
        number("00200013", "IS", attributes.number),
        number("00280008", "IS", attributes.frames.map(i64::from)),
        number("00280010", "US", attributes.rows.map(i64::from)),
        number("00280011", "US", attributes.columns.map(i64::from)),
        number("00280100", "US", attributes.bits_allocated.map(i64::from)),
    ];
    elements.into_iter().flatten().collect()
}
