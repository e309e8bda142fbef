//! The technique, in sentences that a radiologist would let stand: what was scanned how, by the headers, and what the headers do not say.

use domain::report::{Origin, Sentence};
use imaging::acquisition::{Acquisition, Contrast};

use crate::{
    region::Region,
    survey::{SeriesFacts, SeriesKind, Survey},
    words,
};

/// Most series that get a sentence of their own; the others are counted.
const SERIES_DESCRIBED_MAX: usize = 12;
/// Angles below this are no tilt, in degrees.
const TILT_DEGREES_MIN: f64 = 0.5;

/// What is said of one series, and from which attributes.
struct Description {
    /// How thick, how far apart, in which blocks.
    slices: Option<String>,
    /// Mode, tilt, voltage, kernel.
    parts: Vec<String>,
    /// What the header does not say, as nouns.
    missing: Vec<&'static str>,
    contrast: Option<String>,
    attributes: Vec<&'static str>,
    /// Whether slices and contrast are matters of the modality at all.
    slicing: bool,
}

/// Modalities that make slices, in which thickness and contrast belong to the technique.
const SLICING: [&str; 4] = ["CT", "MR", "PT", "NM"];

/// Writes the technique.
pub(crate) fn technique(survey: &Survey<'_>, modality: &str, region: &Region) -> Vec<Sentence> {
    let scans: Vec<&SeriesFacts<'_>> = survey
        .series
        .iter()
        .filter(|facts| matches!(facts.kind, SeriesKind::Slices | SeriesKind::Reformat))
        .collect();
    let mut sentences = match scans.as_slice() {
        [] => Vec::new(),
        [only] => vec![single(only, modality, region)],
        several => many(several, modality, region),
    };
    sentences.extend(others(survey));
    if sentences.is_empty() {
        sentences.push(Sentence {
            text: "No images that show a patient are among the objects received.".to_owned(),
            origin: Origin::Computed { how: "survey of the series".to_owned() },
        });
    }
    sentences
}

/// `Axial CT of the head`, or as much of it as is known.
fn subject(facts: &[&SeriesFacts<'_>], modality: &str, region: &Region) -> String {
    let planes: Vec<&str> =
        facts.iter().map(|facts| facts.stacks.first().map_or("", |stack| stack.plane.as_str())).collect();
    let same = planes.iter().all(|plane| *plane == planes[0]) && !planes[0].is_empty();
    let of = if region.is_known() { format!(" of the {}", region.name()) } else { String::new() };
    let plane = if same { format!("{} ", planes[0]) } else { String::new() };
    words::capital(&format!("{plane}{modality}{of}"))
}

fn single(facts: &SeriesFacts<'_>, modality: &str, region: &Region) -> Sentence {
    let description = describe(facts, modality);
    let count = words::counted(facts.slice_count(), slice_word(facts));
    let mut text = format!("{}, {count} in 1 series", subject(&[facts], modality, region));
    if let Some(slices) = &description.slices {
        text.push_str(slices);
    }
    for part in &description.parts {
        text.push_str(", ");
        text.push_str(part);
    }
    text.push_str(&ending(&description));
    let mut attributes = vec!["Modality"];
    attributes.extend(&description.attributes);
    Sentence { text, origin: origin(&attributes, facts) }
}

fn many(scans: &[&SeriesFacts<'_>], modality: &str, region: &Region) -> Vec<Sentence> {
    let count = words::counted(scans.len(), "series");
    let slices: usize = scans.iter().map(|facts| facts.slice_count()).sum();
    let images = words::counted(slices, "image");
    let mut sentences = vec![Sentence {
        text: format!("{}, {images} in {count}.", subject(scans, modality, region)),
        origin: Origin::Computed { how: "count of the images received".to_owned() },
    }];
    for facts in scans.iter().take(SERIES_DESCRIBED_MAX) {
        let description = describe(facts, modality);
        let plane =
            facts.stacks.first().map(|stack| format!("{} ", stack.plane.as_str())).unwrap_or_default();
        let reformat = if facts.kind == SeriesKind::Reformat { "computed " } else { "" };
        let count = facts.slice_count();
        let noun = words::counted(count, slice_word(facts));
        let (number, noun) = noun.split_once(' ').unwrap_or((&noun, ""));
        let mut text = format!("{}: {number} {reformat}{plane}{noun}", words::capital(&facts.name()));
        if let Some(slices) = &description.slices {
            text.push_str(slices);
        }
        for part in &description.parts {
            text.push_str(", ");
            text.push_str(part);
        }
        text.push_str(&ending(&description));
        sentences.push(Sentence { text, origin: origin(&description.attributes, facts) });
    }
    if scans.len() > SERIES_DESCRIBED_MAX {
        let rest = words::counted(scans.len() - SERIES_DESCRIBED_MAX, "further series");
        sentences.push(Sentence {
            text: format!(
                "{} {} not described here.",
                words::capital(&rest),
                if rest.starts_with("1 ") { "is" } else { "are" }
            ),
            origin: Origin::Computed { how: "count of the series received".to_owned() },
        });
    }
    sentences
}

/// What else was received: scouts, timing, captures.
fn others(survey: &Survey<'_>) -> Vec<Sentence> {
    let mut sentences = Vec::new();
    for (kind, thing, attributes) in [
        (SeriesKind::Localizer, "localizer image", &["ImageType", "ScanOptions"][..]),
        (SeriesKind::OnePlace, "image", &["ImagePositionPatient"][..]),
        (SeriesKind::Capture, "captured screen", &["SOPClassUID", "ImageType"][..]),
    ] {
        let of_kind: Vec<&SeriesFacts<'_>> =
            survey.series.iter().filter(|facts| facts.kind == kind).collect();
        let count: usize = of_kind.iter().map(|facts| facts.slice_count()).sum();
        if count == 0 {
            continue;
        }
        let images = words::counted(count, thing);
        let text = match kind {
            SeriesKind::OnePlace => {
                format!(
                    "{} at one table position (contrast timing, monitoring or perfusion).",
                    words::capital(&images)
                )
            }
            SeriesKind::Slices | SeriesKind::Reformat | SeriesKind::Localizer | SeriesKind::Capture => {
                format!("{}.", words::capital(&images))
            }
        };
        let series = of_kind.iter().filter_map(|facts| facts.label()).collect::<Vec<_>>().join(", ");
        sentences.push(Sentence {
            text,
            origin: header_origin(attributes, (!series.is_empty()).then_some(series)),
        });
    }
    sentences
}

fn slice_word(facts: &SeriesFacts<'_>) -> &'static str {
    if facts.stacks.is_empty() && facts.images.iter().all(|image| image.attributes.frames.unwrap_or(1) <= 1) {
        "image"
    } else {
        "slice"
    }
}

fn describe(facts: &SeriesFacts<'_>, modality: &str) -> Description {
    let mut description = Description {
        slices: None,
        parts: Vec::new(),
        missing: Vec::new(),
        contrast: None,
        attributes: Vec::new(),
        slicing: modality.split('/').any(|part| SLICING.contains(&part)),
    };
    if description.slicing {
        slices(facts, &mut description);
    }
    let nothing = Acquisition::default();
    let acquisition = facts.acquisition().unwrap_or(&nothing);
    let own = facts.source.series.attributes.modality.as_deref().unwrap_or(modality);
    if own == "CT" {
        scanning(facts, acquisition, &mut description);
    }
    match &acquisition.contrast {
        Contrast::Agent(agent, attribute) => {
            let agent = words::sentence(agent, 60).unwrap_or_default();
            description.contrast = Some(agent.trim_end_matches('.').to_owned());
            description.attributes.push(attribute);
        }
        Contrast::None | Contrast::NotRecorded => {}
    }
    description
}

/// Thickness and distance, by block where they differ.
fn slices(facts: &SeriesFacts<'_>, description: &mut Description) {
    let thickness = |image: usize| {
        facts
            .samples
            .iter()
            .find(|(sample, _)| *sample == image)
            .and_then(|(_, acquisition)| acquisition.slice_thickness)
    };
    let stack = facts.stacks.first();
    if stack.is_some_and(|stack| stack.spacing().is_some()) {
        description.attributes.extend(["ImagePositionPatient", "ImageOrientationPatient"]);
    }
    let usual = facts.acquisition().and_then(|acquisition| acquisition.slice_thickness);
    if usual.is_some() {
        description.attributes.push("SliceThickness");
    }
    if let Some(stack) = stack.filter(|stack| stack.blocks.len() > 1 && stack.gaps.is_empty()) {
        let block = |block: &imaging::geometry::Block| {
            let of = |place: usize| stack.slices.get(place - 1).copied().and_then(thickness);
            let thick = of(block.first).filter(|first| Some(*first) == of(block.last));
            Some((block.last - block.first + 1, thick?))
        };
        let blocks: Option<Vec<(usize, f64)>> = stack.blocks.iter().map(block).collect();
        let covered =
            |blocks: &Vec<(usize, f64)>| blocks.iter().map(|(count, _)| count).sum::<usize>() == stack.places;
        if let Some(blocks) = blocks.filter(covered) {
            let parts: Vec<String> = blocks
                .iter()
                .map(|(count, thick)| {
                    format!("{} at {}", words::counted(*count, "slice"), words::millimetres(*thick))
                })
                .collect();
            description.slices = Some(format!(": {} slice thickness", words::list(&parts)));
            return;
        }
    }
    let spacing = stack.and_then(imaging::geometry::Stack::spacing);
    description.slices = match (usual, spacing) {
        (Some(thick), Some(spacing)) if (thick - spacing).abs() > 0.05_f64.max(thick * 0.02) => {
            Some(format!(
                " at {} slice thickness and {} intervals",
                words::millimetres(thick),
                words::distance(spacing)
            ))
        }
        (Some(thick), Some(_) | None) => Some(format!(" at {} slice thickness", words::millimetres(thick))),
        (None, Some(spacing)) => Some(format!(" at {} intervals", words::distance(spacing))),
        (None, None) => None,
    };
    if usual.is_none() {
        description.missing.push("slice thickness");
    }
}

/// How a CT scanned.
fn scanning(facts: &SeriesFacts<'_>, acquisition: &Acquisition, description: &mut Description) {
    if let Some((helical, attribute)) = acquisition.is_helical() {
        let mode = if helical { "helical acquisition" } else { "sequential acquisition" };
        description.parts.push(mode.to_owned());
        description.attributes.push(attribute);
    }
    let computed = facts.stacks.first().map_or(0.0, |stack| stack.tilt_degrees);
    match acquisition.gantry_tilt.map(f64::abs) {
        Some(tilt) if tilt >= TILT_DEGREES_MIN => {
            description.parts.push(format!("gantry tilt {}°", words::number(tilt, 1)));
            description.attributes.push("GantryDetectorTilt");
        }
        Some(_) => {}
        None if computed >= TILT_DEGREES_MIN && facts.kind == SeriesKind::Slices => {
            description
                .parts
                .push(format!("gantry tilt {}° by the slice positions", words::number(computed, 1)));
        }
        None => {}
    }
    match acquisition.kvp {
        Some(kvp) => {
            description.parts.push(format!("{} kVp", words::number(kvp, 0)));
            description.attributes.push("KVP");
        }
        None => description.missing.push("tube voltage"),
    }
    match acquisition.kernel.as_deref().and_then(|kernel| words::sentence(kernel, 40)) {
        Some(kernel) => {
            description.parts.push(format!("kernel {}", kernel.trim_end_matches('.')));
            description.attributes.push("ConvolutionKernel");
        }
        None => description.missing.push("reconstruction kernel"),
    }
}

/// What the headers do not say, and the contrast agent.
fn ending(description: &Description) -> String {
    let mut missing: Vec<String> = description.missing.iter().map(|noun| (*noun).to_owned()).collect();
    let Some(agent) = &description.contrast else {
        if !description.slicing {
            return ".".to_owned();
        }
        if missing.is_empty() {
            return "; no contrast agent is recorded in the image headers.".to_owned();
        }
        missing.push("contrast agent".to_owned());
        return format!("; {} are not recorded in the image headers.", words::list(&missing));
    };
    let verb = if missing.len() == 1 { "is" } else { "are" };
    let absent = match missing.is_empty() {
        true => String::new(),
        false => format!("; {} {verb} not recorded in the image headers", words::list(&missing)),
    };
    format!("; contrast agent: {agent}{absent}.")
}

fn origin(attributes: &[&str], facts: &SeriesFacts<'_>) -> Origin {
    header_origin(attributes, facts.label())
}

pub(crate) fn header_origin(attributes: &[&str], series: Option<String>) -> Origin {
    let mut names: Vec<String> = Vec::new();
    for name in attributes {
        if !names.iter().any(|known| known == name) {
            names.push((*name).to_owned());
        }
    }
    Origin::Header { attributes: names, series }
}
