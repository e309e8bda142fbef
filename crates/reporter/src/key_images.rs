//! Key images: a few slices spread over the main series, in the windows that the region wants, as PNG objects named by their digest, so
//! that drafting again stores nothing new. A slice that cannot be shown becomes a note, never a failure.

use std::sync::Arc;

use bytes::Bytes;
use domain::{
    digest::Sha256Digest,
    image::Instance,
    object::ObjectName,
    port::{Storage, StorageError, storage::store_bytes},
    report::{KeyImage, QualityKind, QualityNote},
    study::StudyKey,
};
use imaging::{
    frames::{self, LocateError, Shape, Wanted},
    picture::{self, EDGE_MAX, Picture, PictureError},
    tree,
};
use tracing::warn;

use crate::{
    quality::note,
    region::{NamedWindow, Region},
    survey::{self, SeriesFacts, SeriesKind, Survey},
};

/// Most key images of a draft.
pub(crate) const KEY_IMAGES_MAX: usize = 6;
/// How many of them are in the first window when there are two.
const FIRST_WINDOW_IMAGES: usize = 4;
/// Objects up to this size are read whole; of larger ones, header and frame.
const WHOLE_BYTES_MAX: u64 = 16 << 20;
/// Slices at least this thick make calm pictures, in mm.
const CALM_MM: f64 = 2.0;

/// What was made.
#[derive(Default)]
pub(crate) struct Made {
    pub(crate) images: Vec<KeyImage>,
    pub(crate) notes: Vec<QualityNote>,
}

/// One slice of the main series, in the order that people see.
struct Place<'a> {
    instance: &'a Instance,
    frame: u32,
    /// From 1.
    number: usize,
}

/// Makes the key images of a study.
///
/// # Errors
/// When the store is away.
pub(crate) async fn make(
    storage: &Arc<dyn Storage>,
    study: &StudyKey,
    survey: &Survey<'_>,
    modality: &str,
    region: &Region,
) -> Result<Made, StorageError> {
    let mut made = Made::default();
    let Some(main) = main_series(survey) else { return Ok(made) };
    let places = places(main);
    let windows = if modality == "CT" { region.windows() } else { Vec::new() };
    for (place, window) in chosen(&places, &windows) {
        let picture = match decode(storage, place.instance, place.frame).await? {
            Ok(picture) => picture,
            Err(error) => {
                warn!(object = %place.instance.object, error = &error as &dyn std::error::Error, "no key image");
                let text =
                    format!("slice {} of {} could not be shown: {}.", place.number, main.name(), why(&error));
                let unreadable = note(QualityKind::Unreadable, text);
                if !made.notes.contains(&unreadable) {
                    made.notes.push(unreadable);
                }
                continue;
            }
        };
        let Some((png, size)) = render(picture, window).await else { continue };
        let object = keep(storage, study, png).await?;
        made.images.push(KeyImage {
            object,
            caption: caption(window, place.number, places.len()),
            series: place.instance.series.clone(),
            instance: place.instance.sop_instance.clone(),
            frame: place.frame,
            size,
        });
    }
    Ok(made)
}

/// Why a slice could not be shown, in words for a reader: the inner reason where the outer one only says that there is one.
fn why(error: &PictureError) -> String {
    match error {
        PictureError::Frames(inner) => inner.to_string(),
        PictureError::Refused(inner) => inner.flaw.as_str().to_owned(),
        PictureError::NotDicom(_)
        | PictureError::TooLarge
        | PictureError::Mismatch(_)
        | PictureError::Unsupported(_)
        | PictureError::Decode(_)
        | PictureError::Panic
        | PictureError::Write(_) => error.to_string(),
    }
}

/// The series that shows the study best: slices before reformats, axial before others, calm before thin, then the most slices.
fn main_series<'a, 'b>(survey: &'a Survey<'b>) -> Option<&'a SeriesFacts<'b>> {
    let rank = |facts: &&SeriesFacts<'_>| {
        let original = facts.kind == SeriesKind::Slices;
        let axial = facts.stacks.first().is_some_and(|stack| stack.plane == imaging::geometry::Plane::Axial);
        let thick = facts.acquisition().and_then(|acquisition| acquisition.slice_thickness);
        (original, axial, thick.is_none_or(|mm| mm >= CALM_MM), facts.slice_count())
    };
    let shown = |facts: &&SeriesFacts<'_>| matches!(facts.kind, SeriesKind::Slices | SeriesKind::Reformat);
    // Of equals the first: series stand in the order of their numbers.
    survey.series.iter().filter(shown).rev().max_by_key(rank)
}

/// The slices of a series in order: by place, one per place; without places, by number and frame.
fn places<'a>(facts: &SeriesFacts<'a>) -> Vec<Place<'a>> {
    let in_order: Vec<usize> = match facts.stacks.first() {
        Some(stack) if stack.repeats() => {
            let step = stack.slices.len() / stack.places.max(1);
            stack.slices.iter().step_by(step.max(1)).copied().collect()
        }
        Some(stack) => stack.slices.clone(),
        None => facts.loose.clone(),
    };
    let instances = in_order.into_iter().filter_map(|index| facts.images.get(index).copied());
    let frames = instances.flat_map(|instance| {
        let frames = instance.attributes.frames.unwrap_or(1).clamp(1, frames::FRAMES_MAX);
        (1..=frames).map(move |frame| (instance, frame))
    });
    frames
        .enumerate()
        .map(|(index, (instance, frame))| Place { instance, frame, number: index + 1 })
        .collect()
}

/// Slices spread over the series for each window, the ends left out.
fn chosen<'p, 'a>(
    places: &'p [Place<'a>],
    windows: &[NamedWindow],
) -> Vec<(&'p Place<'a>, Option<NamedWindow>)> {
    let shares: Vec<(Option<NamedWindow>, usize)> = match windows {
        [] => vec![(None, FIRST_WINDOW_IMAGES)],
        [only] => vec![(Some(*only), FIRST_WINDOW_IMAGES)],
        [first, second, ..] => {
            vec![(Some(*first), FIRST_WINDOW_IMAGES), (Some(*second), KEY_IMAGES_MAX - FIRST_WINDOW_IMAGES)]
        }
    };
    let mut chosen = Vec::new();
    for (window, count) in shares {
        let count = count.min(places.len());
        for part in 1..=count {
            // The middles of equal parts.
            let index = (2 * part - 1) * places.len() / (2 * count);
            chosen.extend(places.get(index).map(|place| (place, window)));
        }
    }
    chosen
}

fn caption(window: Option<NamedWindow>, number: usize, count: usize) -> String {
    match window {
        Some(window) => format!("{}, slice {number} of {count}", window.name),
        None if count == 1 => "Image as acquired".to_owned(),
        None => format!("Image {number} of {count}"),
    }
}

/// Reads and decodes one frame.
async fn decode(
    storage: &Arc<dyn Storage>,
    instance: &Instance,
    frame: u32,
) -> Result<Result<Picture, PictureError>, StorageError> {
    if instance.bytes <= WHOLE_BYTES_MAX {
        let bytes = Bytes::from(survey::read(storage, instance, 0..instance.bytes).await?);
        return Ok(off_thread(move || picture::of_object(&bytes, frame)).await);
    }
    let Some(header) = survey::header(storage, instance).await? else {
        return Ok(Err(PictureError::NotDicom("its header cannot be read")));
    };
    let tree = match tree::read(&header.header) {
        Ok(tree) => tree,
        Err(refusal) => return Ok(Err(refusal.into())),
    };
    let shape = match Shape::read(&tree) {
        Ok(shape) => shape,
        Err(error) => return Ok(Err(error.into())),
    };
    let wanted = Wanted {
        shape,
        transfer_syntax: &header.transfer_syntax,
        header_end: header.header_end(),
        object_bytes: instance.bytes,
        frames: &[frame],
    };
    let range = |range| async move { survey::read(storage, instance, range).await.map(Bytes::from) };
    let place = match frames::locate(&wanted, range).await {
        Ok(places) => places.into_iter().next(),
        Err(LocateError::Frames(error)) => return Ok(Err(error.into())),
        Err(LocateError::Read(error)) => return Err(error),
    };
    let Some(place) = place else { return Ok(Err(PictureError::Mismatch("no frame was found"))) };
    if place.bytes() > picture::FRAME_BYTES_MAX {
        return Ok(Err(PictureError::TooLarge));
    }
    let mut bytes = Vec::new();
    for part in place.parts {
        bytes.extend(survey::read(storage, instance, part).await?);
    }
    let syntax = header.transfer_syntax;
    Ok(off_thread(move || picture::decode(&tree, &syntax, &bytes, place.skip_bits)).await)
}

/// Runs a decoder away from the executor's threads; a panic in it is an error of that picture.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PictureError> + Send + 'static,
) -> Result<T, PictureError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(PictureError::Panic))
}

async fn render(picture: Picture, window: Option<NamedWindow>) -> Option<(Bytes, (u32, u32))> {
    let rendered = off_thread(move || {
        let rendered = picture.render(window.map(|window| window.window), Some(EDGE_MAX))?;
        Ok((Bytes::from(rendered.png()?), rendered.size()))
    });
    rendered
        .await
        .inspect_err(|error| warn!(error = error as &dyn std::error::Error, "a picture was not written"))
        .ok()
}

/// Keeps a PNG, unless it is there already.
async fn keep(
    storage: &Arc<dyn Storage>,
    study: &StudyKey,
    png: Bytes,
) -> Result<domain::object::ObjectKey, StorageError> {
    let name = ObjectName::KeyImage {
        centre: study.centre.clone(),
        study: study.uid.clone(),
        sha256: Sha256Digest::of(&png),
    };
    let key = name.key();
    if storage.size(&key.clone().into()).await? != Some(png.len() as u64) {
        store_bytes(storage.as_ref(), &key, png).await?;
    }
    Ok(key)
}
