//! Two objects side by side: what both headers say, whether the pixels are equal, and where their pictures are. Headers are read from
//! storage through the guard, as far as the catalog says that they reach.

use domain::{
    conflict::{Choice, Conflict, Matter},
    id::CentreId,
    image::Instance,
    port::{ObjectReader, Storage, StorageError},
    study::StudyKey,
    text::CharacterSetRule,
};
use gate::Problem;
use imaging::{header::Header, stored, syntax::Syntax};
use serde::Serialize;
use utoipa::ToSchema;

use super::{ComparedView, ConflictView, names};
use crate::room::Room;

/// Largest beginning of an object that is read for its header; a header has at most 16 MiB.
const BEGINNING_BYTES_MAX: u64 = 20 << 20;
/// Most bytes of pixels of one object that are compared: they are read from storage while somebody waits.
const COMPARED_BYTES_MAX: u64 = 64 << 20;

/// One of both objects.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConflictSideView)]
pub(crate) struct SideView {
    /// It is the content that is shown now.
    is_current: bool,
    received: String,
    bytes: u64,
    sha256: String,
    transfer_syntax: String,
    /// Its bytes are there.
    kept: bool,
    /// A picture of it, if it has any.
    picture_url: Option<String>,
    /// The object itself, for administrators.
    file_url: Option<String>,
}

/// What both headers say about one thing.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConflictRowView)]
pub(crate) struct RowView {
    name: &'static str,
    first: Option<String>,
    second: Option<String>,
    differs: bool,
}

/// Whether the pixels are equal, bit for bit.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConflictPixelsView)]
pub(crate) struct PixelsView {
    /// `equal`, `different` or `unknown`.
    state: &'static str,
    text: &'static str,
}

/// An object as far as it can be read.
struct Side<'a> {
    instance: &'a Instance,
    header: Option<Header>,
    kept: bool,
}

/// Puts both objects of a conflict side by side.
pub(super) async fn compare(
    room: &Room,
    conflict: &Conflict,
    view: ConflictView,
    is_admin: bool,
) -> Result<ComparedView, Problem> {
    let storage = &*room.storage;
    let (first, second) = match &conflict.matter {
        Matter::Contents(contents) => (Some(&contents.first), Some(&contents.second)),
        Matter::Patient(other) => (other.samples.0.as_ref(), other.samples.1.as_ref()),
    };
    let rule = rule(room, &conflict.centre, first).await?;
    let other_rule = self::rule(room, &conflict.centre, second).await?.or_else(|| rule.clone());
    let first = side(storage, first, rule).await?;
    let second = side(storage, second, other_rule).await?;
    let pixels = match (&first, &second) {
        (Some(first), Some(second)) if first.kept && second.kept => pixels(storage, first, second).await?,
        _ => PixelsView { state: "unknown", text: "not compared: the bytes of one are not there" },
    };
    let described = |side: &Option<Side<'_>>, name: &str| {
        side.as_ref().map(|side| {
            let is_current = match &conflict.matter {
                Matter::Contents(contents) => side.instance.file_sha256 == contents.current_sha256,
                Matter::Patient(_) => name == "first" || !is_set_aside(conflict),
            };
            let base = format!("/dicomweb/centres/{}/held/{}/{name}", conflict.centre, conflict.id);
            let has_picture = side.kept && side.instance.attributes.rows.is_some();
            SideView {
                is_current,
                received: side.instance.received.to_string(),
                bytes: side.instance.bytes,
                sha256: side.instance.file_sha256.to_string(),
                transfer_syntax: names::of_syntax(&side.instance.transfer_syntax).to_owned(),
                kept: side.kept,
                picture_url: has_picture.then(|| format!("{base}/rendered")),
                file_url: (is_admin && side.kept).then_some(base),
            }
        })
    };
    let because = cannot_undo(conflict, first.as_ref());
    Ok(ComparedView {
        first: described(&first, "first"),
        second: described(&second, "second"),
        rows: rows(first.as_ref(), second.as_ref()),
        pixels,
        can_undo: conflict.decision.is_some() && because.is_none(),
        cannot_undo_because: because,
        conflict: view,
    })
}

fn is_set_aside(conflict: &Conflict) -> bool {
    conflict.decision.as_ref().is_some_and(|decision| decision.choice == Choice::OtherPatient)
}

fn cannot_undo(conflict: &Conflict, first: Option<&Side<'_>>) -> Option<&'static str> {
    let (Matter::Contents(contents), Some(decision)) = (&conflict.matter, &conflict.decision) else {
        return None;
    };
    match decision.choice {
        Choice::UseSecond if contents.current_sha256 != contents.second.file_sha256 => {
            Some("Another content of this image has been chosen since. Take that decision back first.")
        }
        Choice::UseSecond if first.is_none_or(|first| !first.kept) => {
            Some("The first content is not kept any more, so that it cannot come back.")
        }
        Choice::UseSecond | Choice::KeepFirst | Choice::SamePatient | Choice::OtherPatient => None,
    }
}

/// How texts of an instance are read, where a rule said so when its series came.
async fn rule(
    room: &Room,
    centre: &CentreId,
    instance: Option<&Instance>,
) -> Result<Option<CharacterSetRule>, Problem> {
    let Some(instance) = instance else { return Ok(None) };
    let study = StudyKey { centre: centre.clone(), uid: instance.study.clone() };
    let series = room.catalog.series(&study).await?;
    let found = series.into_iter().find(|series| series.uid == instance.series);
    Ok(found.and_then(|series| series.attributes.character_set))
}

async fn side<'a>(
    storage: &dyn Storage,
    instance: Option<&'a Instance>,
    rule: Option<CharacterSetRule>,
) -> Result<Option<Side<'a>>, Problem> {
    let Some(instance) = instance else { return Ok(None) };
    let end = instance.attributes.header_bytes.min(instance.bytes).min(BEGINNING_BYTES_MAX);
    let bytes_max = usize::try_from(BEGINNING_BYTES_MAX).unwrap_or(usize::MAX);
    let beginning = match storage.read(&instance.object, Some(0..end)).await {
        Ok(reader) => reader.collect(bytes_max).await?,
        Err(StorageError::NotFound(_) | StorageError::Corrupt(_)) => {
            return Ok(Some(Side { instance, header: None, kept: false }));
        }
        Err(error) => return Err(error.into()),
    };
    let (whole, deflated) = (instance.bytes, Syntax::of(&instance.transfer_syntax).deflated);
    let read = tokio::task::spawn_blocking(move || {
        // A deflated object is only read when it is there to its end.
        if deflated && (beginning.len() as u64) < whole {
            return None;
        }
        Header::read_under(&stored::header(&beginning, whole).ok()?.header, rule.as_ref()).ok()
    });
    let header = read.await.map_err(|error| Problem::internal(&error))?;
    Ok(Some(Side { instance, header, kept: true }))
}

fn rows(first: Option<&Side<'_>>, second: Option<&Side<'_>>) -> Vec<RowView> {
    let said = |side: Option<&Side<'_>>| side.map(told).unwrap_or_default();
    let (mut first, mut second) = (said(first).into_iter(), said(second).into_iter());
    NAMES
        .into_iter()
        .map(|name| {
            let (first, second) = (first.next().flatten(), second.next().flatten());
            RowView { name, differs: first != second, first, second }
        })
        .collect()
}

/// What is told of an object, in the order of [`told`].
const NAMES: [&str; 19] = [
    "Patient",
    "Patient ID",
    "Born",
    "Sex",
    "Accession number",
    "Study date",
    "Study time",
    "Study",
    "Study Instance UID",
    "Series",
    "Series number",
    "Series Instance UID",
    "Modality",
    "Image number",
    "Size in pixels",
    "Frames",
    "Bits per sample",
    "Kind of object",
    "Transfer syntax",
];

fn told(side: &Side<'_>) -> Vec<Option<String>> {
    let Side { instance, header, .. } = side;
    let study = header.as_ref().map(|header| &header.study);
    let series = header.as_ref().map(|header| &header.series);
    let text = |text: &Option<String>| text.clone();
    let image = &instance.attributes;
    let size = image.rows.zip(image.columns).map(|(rows, columns)| format!("{columns} × {rows}"));
    vec![
        study.and_then(|study| study.patient_name.as_ref()).map(domain::text::PersonName::display),
        study.and_then(|study| study.patient_id.as_ref()).map(|id| id.as_str().to_owned()),
        study.and_then(|study| study.patient_birth_date).map(|day| day.to_string()),
        study.and_then(|study| text(&study.patient_sex)),
        study.and_then(|study| study.accession_number.as_ref()).map(|number| number.as_str().to_owned()),
        study.and_then(|study| study.study_date).map(|day| day.to_string()),
        study.and_then(|study| study.study_time.as_deref()).and_then(crate::views::time_of_day),
        study.and_then(|study| text(&study.description)),
        Some(instance.study.to_string()),
        series.and_then(|series| text(&series.description)),
        series.and_then(|series| series.number).map(|number| number.to_string()),
        Some(instance.series.to_string()),
        series.and_then(|series| text(&series.modality)),
        image.number.map(|number| number.to_string()),
        size,
        image.frames.map(|frames| frames.to_string()),
        image.bits_allocated.map(|bits| bits.to_string()),
        Some(names::of_class(&instance.sop_class).to_owned()),
        Some(names::of_syntax(&instance.transfer_syntax).to_owned()),
    ]
}

/// Whether both have the same pixels, as far as that can be known without decoding: what stands behind both headers, byte for byte.
async fn pixels(
    storage: &dyn Storage,
    first: &Side<'_>,
    second: &Side<'_>,
) -> Result<PixelsView, StorageError> {
    let (one, other) = (first.instance, second.instance);
    let unknown = |text| Ok(PixelsView { state: "unknown", text });
    if one.transfer_syntax != other.transfer_syntax {
        return unknown("not compared: the transfer syntaxes differ");
    }
    if Syntax::of(&one.transfer_syntax).deflated {
        return unknown("not compared: the objects are compressed as a whole");
    }
    let behind = |instance: &Instance| instance.bytes.saturating_sub(instance.attributes.header_bytes);
    if behind(one) == 0 && behind(other) == 0 {
        return unknown("the objects have no pixels");
    }
    let different = || Ok(PixelsView { state: "different", text: "different" });
    if behind(one) != behind(other) {
        return different();
    }
    if behind(one) > COMPARED_BYTES_MAX {
        return unknown("not compared: too large to compare while you wait");
    }
    let open = async |instance: &Instance| {
        storage.read(&instance.object, Some(instance.attributes.header_bytes..instance.bytes)).await
    };
    if equal(open(one).await?, open(other).await?).await? {
        return Ok(PixelsView { state: "equal", text: "equal, bit for bit" });
    }
    different()
}

/// Whether both give the same bytes, whatever pieces they come in.
async fn equal(mut one: ObjectReader, mut other: ObjectReader) -> Result<bool, StorageError> {
    let (mut left, mut right) = (bytes::Bytes::new(), bytes::Bytes::new());
    loop {
        if left.is_empty() {
            left = one.pieces.next().await?.unwrap_or_default();
        }
        if right.is_empty() {
            right = other.pieces.next().await?.unwrap_or_default();
        }
        let shared = left.len().min(right.len());
        if shared == 0 {
            return Ok(left.is_empty() && right.is_empty());
        }
        if left.split_to(shared) != right.split_to(shared) {
            return Ok(false);
        }
    }
}
