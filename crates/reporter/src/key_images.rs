//! Key images: a few slices spread over the main series, in the windows that the region wants, as PNG objects named by their digest, so
//! that drafting again stores nothing new. A slice that cannot be shown becomes a note, never a failure.

use std::sync::Arc;

use bytes::Bytes;
use domain::{
    digest::Sha256Digest,
    image::Instance,
    object::ObjectName,
    pixel::{PictureFormat, Showing, Shown, Viewport},
    port::{Pixels, PixelsError, Storage, StorageError, storage::keep_bytes},
    report::{KeyImage, QualityKind, QualityNote},
    study::StudyKey,
};
use imaging::{frames, picture::EDGE_MAX, source};
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
/// When the store is away, or nobody works on pixels.
pub(crate) async fn make(
    storage: &Arc<dyn Storage>,
    pixels: &Arc<dyn Pixels>,
    study: &StudyKey,
    survey: &Survey<'_>,
    modality: &str,
    region: &Region,
) -> Result<Made, KeyImagesError> {
    let mut made = Made::default();
    let Some(main) = main_series(survey) else { return Ok(made) };
    let places = places(main);
    let windows = if modality == "CT" { region.windows() } else { Vec::new() };
    for (place, window) in chosen(&places, &windows) {
        let shown = match shown(storage, pixels, place.instance, place.frame, window).await? {
            Ok(shown) => shown,
            Err(why) => {
                warn!(object = %place.instance.object, why, "no key image");
                let text = format!("slice {} of {} could not be shown: {why}.", place.number, main.name());
                let unreadable = note(QualityKind::Unreadable, text);
                if !made.notes.contains(&unreadable) {
                    made.notes.push(unreadable);
                }
                continue;
            }
        };
        let size = (shown.width, shown.height);
        let object = keep(storage, study, shown.file).await?;
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

/// Why there are no key images although there may be some later.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyImagesError {
    /// The store is away.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Nobody works on pixels, or too many want it.
    #[error(transparent)]
    Pixels(PixelsError),
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

/// Reads one frame and has it shown. What cannot be shown is told in words.
async fn shown(
    storage: &Arc<dyn Storage>,
    pixels: &Arc<dyn Pixels>,
    instance: &Instance,
    frame: u32,
    window: Option<NamedWindow>,
) -> Result<Result<Shown, String>, KeyImagesError> {
    let read = |range| async move { survey::read(storage, instance, range).await.map(Bytes::from) };
    let source = match source::frame(instance, frame, read).await? {
        Ok(source) => source,
        Err(why) => return Ok(Err(why)),
    };
    let how = Showing {
        shading: window.map(|window| window.window.into()),
        viewport: Some(Viewport { width: EDGE_MAX, height: EDGE_MAX, enlarge: false, region: None }),
        format: PictureFormat::Png,
    };
    match pixels.show(source, how).await {
        Ok(shown) => Ok(Ok(shown)),
        Err(error) if error.is_passing() => Err(KeyImagesError::Pixels(error)),
        Err(error) => Ok(Err(match error {
            PixelsError::Unsupported(why) | PixelsError::Broken(why) => why,
            other => other.to_string(),
        })),
    }
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
    keep_bytes(storage.as_ref(), &key, png).await?;
    Ok(key)
}
