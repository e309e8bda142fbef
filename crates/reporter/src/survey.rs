//! What the images of a study are: which series are volumes, which are scouts, how their slices stand and how they were made. Reads a few
//! headers per series, never all, and the dose reports whole.

use std::sync::Arc;

use domain::{
    image::Instance,
    port::{DraftInput, DraftSeries, Storage, StorageError},
};
use imaging::{
    acquisition::Acquisition,
    dose::{self, DoseReport},
    geometry::{self, Slice, Stack},
    key_objects::KEY_OBJECT_SELECTION,
    stored::{self, StoredHeader},
    tree,
};
use tracing::warn;

/// Most series that are looked into.
const SERIES_MAX: usize = 100;
/// Most headers read of one series: the ends of its blocks and its middle.
const HEADERS_PER_SERIES_MAX: usize = 8;
/// Most headers read of a study.
const HEADERS_MAX: usize = 200;
/// Most structured reports read of a study, and most bytes of one.
const REPORTS_MAX: usize = 10;
const REPORT_BYTES_MAX: u64 = 4 << 20;
/// Structured report classes begin so (PS3.4 table B.5-1).
const REPORT_CLASS: &str = "1.2.840.10008.5.1.4.1.1.88.";

/// What the images of a study are.
pub(crate) struct Survey<'a> {
    pub(crate) series: Vec<SeriesFacts<'a>>,
    pub(crate) dose: Vec<DoseReport>,
    /// Objects whose header could not be read.
    pub(crate) unreadable: usize,
}

/// One series of images.
pub(crate) struct SeriesFacts<'a> {
    pub(crate) source: &'a DraftSeries,
    /// Its image instances; places in [`Stack::slices`] and samples count in it.
    pub(crate) images: Vec<&'a Instance>,
    /// Its stacks, the largest first, each counted in the order of instance numbers.
    pub(crate) stacks: Vec<Stack>,
    /// Images without a place.
    pub(crate) loose: Vec<usize>,
    /// Headers that were read, by image.
    pub(crate) samples: Vec<(usize, Acquisition)>,
    pub(crate) kind: SeriesKind,
}

/// What a series is to a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SeriesKind {
    /// Slices of a patient.
    Slices,
    /// Slices computed from others.
    Reformat,
    /// Images at one place: contrast timing, perfusion, fluoroscopy.
    OnePlace,
    /// A scout.
    Localizer,
    /// A picture of a screen or page.
    Capture,
}

impl SeriesFacts<'_> {
    /// The series as a sentence names it: `series 2 (Brain 5.0)`.
    pub(crate) fn name(&self) -> String {
        let attributes = &self.source.series.attributes;
        let number =
            attributes.number.map_or_else(|| "a series without number".to_owned(), |n| format!("series {n}"));
        match attributes.description.as_deref().and_then(|text| crate::words::sentence(text, 60)) {
            Some(text) => format!("{number} ({})", text.trim_end_matches('.')),
            None => number,
        }
    }

    /// Number or description, for the origin of a sentence.
    pub(crate) fn label(&self) -> Option<String> {
        let attributes = &self.source.series.attributes;
        attributes.number.map(|number| number.to_string()).or_else(|| attributes.description.clone())
    }

    /// The header that speaks for the series: of its middle slice, or the first that was read.
    pub(crate) fn acquisition(&self) -> Option<&Acquisition> {
        let middle = self.stacks.first().and_then(|stack| stack.slices.get(stack.slices.len() / 2));
        let of_middle = self.samples.iter().find(|(image, _)| Some(image) == middle);
        of_middle.or_else(|| self.samples.first()).map(|(_, acquisition)| acquisition)
    }

    /// How many slices: images, or frames of multi-frame images.
    pub(crate) fn slice_count(&self) -> usize {
        self.images.iter().map(|image| image.attributes.frames.unwrap_or(1).max(1) as usize).sum()
    }
}

/// Looks at the images of a study.
///
/// # Errors
/// When the store is away. A header that is broken is counted, not an error.
pub(crate) async fn survey<'a>(
    storage: &Arc<dyn Storage>,
    input: &'a DraftInput,
) -> Result<Survey<'a>, StorageError> {
    let mut survey = Survey { series: Vec::new(), dose: Vec::new(), unreadable: 0 };
    let mut headers_left = HEADERS_MAX;
    for source in input.series.iter().take(SERIES_MAX) {
        let images: Vec<&Instance> =
            source.instances.iter().filter(|instance| instance.attributes.rows.is_some()).collect();
        if images.is_empty() {
            continue;
        }
        let mut facts = arranged(source, images);
        for image in samples(&facts).into_iter().take(headers_left.min(HEADERS_PER_SERIES_MAX)) {
            headers_left -= 1;
            match header(storage, facts.images[image]).await? {
                Some(header) => {
                    facts.samples.extend(acquisition(&header).map(|acquisition| (image, acquisition)))
                }
                None => survey.unreadable += 1,
            }
        }
        facts.kind = kind(&facts);
        survey.series.push(facts);
    }
    let is_report = |instance: &&Instance| {
        let class = instance.sop_class.as_str();
        class.starts_with(REPORT_CLASS) && class != KEY_OBJECT_SELECTION
    };
    let reports = input.series.iter().flat_map(|series| &series.instances);
    for report in reports.filter(is_report).take(REPORTS_MAX) {
        survey.dose.extend(dose_report(storage, report).await?);
    }
    Ok(survey)
}

fn arranged<'a>(source: &'a DraftSeries, images: Vec<&'a Instance>) -> SeriesFacts<'a> {
    let slice = |(index, instance): (usize, &&Instance)| Slice {
        index,
        position: instance.attributes.position,
        orientation: instance.attributes.orientation,
    };
    let slices: Vec<Slice> = images.iter().enumerate().map(slice).collect();
    let arrangement = geometry::arrange(&slices);
    let numbered = |stack: Stack| if runs_backwards(&stack, &images) { stack.reversed() } else { stack };
    SeriesFacts {
        source,
        stacks: arrangement.stacks.into_iter().map(numbered).collect(),
        loose: arrangement.loose,
        images,
        samples: Vec::new(),
        kind: SeriesKind::Slices,
    }
}

/// Whether the order of places is the reverse of the order of instance numbers, which people see in a viewer.
fn runs_backwards(stack: &Stack, images: &[&Instance]) -> bool {
    let number = |slice: Option<&usize>| images.get(*slice?)?.attributes.number;
    match (number(stack.slices.first()), number(stack.slices.last())) {
        (Some(first), Some(last)) => first > last,
        _ => false,
    }
}

/// Which headers to read: the middle of the largest stack, the ends of each of its blocks, else the first and last image.
fn samples(facts: &SeriesFacts<'_>) -> Vec<usize> {
    let mut chosen: Vec<usize> = Vec::new();
    if let Some(stack) = facts.stacks.first() {
        chosen.extend(stack.slices.get(stack.slices.len() / 2));
        if !stack.repeats() {
            let ends = stack.blocks.iter().flat_map(|block| [block.first - 1, block.last - 1]);
            chosen.extend(ends.filter_map(|place| stack.slices.get(place)));
        }
        chosen.extend(stack.slices.first().into_iter().chain(stack.slices.last()));
    }
    chosen.extend(facts.loose.first().into_iter().chain(facts.loose.last()));
    let mut unique: Vec<usize> = Vec::new();
    for image in chosen {
        if !unique.contains(&image) {
            unique.push(image);
        }
    }
    unique
}

fn kind(facts: &SeriesFacts<'_>) -> SeriesKind {
    let said =
        |test: fn(&Acquisition) -> bool| facts.samples.iter().any(|(_, acquisition)| test(acquisition));
    if said(Acquisition::is_capture) {
        return SeriesKind::Capture;
    }
    if said(Acquisition::is_localizer) {
        return SeriesKind::Localizer;
    }
    let one_place = |stack: &Stack| stack.places == 1 && stack.slices.len() > 1;
    if facts.stacks.first().is_some_and(one_place) {
        return SeriesKind::OnePlace;
    }
    if said(Acquisition::is_derived) { SeriesKind::Reformat } else { SeriesKind::Slices }
}

/// Reads the header of an image; `None` when it is broken.
pub(crate) async fn header(
    storage: &Arc<dyn Storage>,
    instance: &Instance,
) -> Result<Option<StoredHeader>, StorageError> {
    let bytes = instance.attributes.header_bytes;
    if bytes > stored::HEADER_BYTES_MAX {
        return Ok(None);
    }
    let first = read(storage, instance, 0..bytes).await?;
    match stored::header(&first, instance.bytes) {
        Ok(header) => Ok(Some(header)),
        Err(error) => {
            warn!(object = %instance.object, %error, "a stored header could not be read");
            Ok(None)
        }
    }
}

/// Reads a range of an object.
pub(crate) async fn read(
    storage: &Arc<dyn Storage>,
    instance: &Instance,
    range: std::ops::Range<u64>,
) -> Result<Vec<u8>, StorageError> {
    let most = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
    storage.read(&instance.object, Some(range)).await?.collect(most).await
}

fn acquisition(header: &StoredHeader) -> Option<Acquisition> {
    tree::read(&header.header).ok().map(|tree| Acquisition::read(&tree))
}

async fn dose_report(
    storage: &Arc<dyn Storage>,
    instance: &Instance,
) -> Result<Option<DoseReport>, StorageError> {
    if instance.bytes > REPORT_BYTES_MAX {
        return Ok(None);
    }
    let bytes = read(storage, instance, 0..instance.bytes).await?;
    let tree = stored::header(&bytes, instance.bytes).ok().and_then(|header| tree::read(&header.header).ok());
    Ok(tree.and_then(|tree| dose::read(&tree)))
}
