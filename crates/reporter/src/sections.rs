//! The parts of a draft other than technique: what was examined and why, the dose, what it can be compared with, and
//! the empty places where a
//! radiologist writes.

use domain::{
    port::{DraftInput, PriorStudy},
    report::{DraftSection, Origin, SectionKind, Sentence},
};
use imaging::dose::{DoseReport, Phantom};

use crate::{
    region::Region,
    survey::{SeriesKind, Survey},
    technique::{self, header_origin},
    words,
};

/// Most characters of one quoted text.
const QUOTE_CHARS_MAX: usize = 600;
/// Most earlier studies that are named.
const PRIORS_NAMED_MAX: usize = 5;
/// Most scans whose dose is listed one by one.
const SCANS_LISTED_MAX: usize = 6;

/// What stands for a modality where none is named.
const UNNAMED: &str = "Images";

/// The region of a study, and the attribute or order that named it.
pub(crate) struct FoundRegion {
    pub(crate) region: Region,
    origin: Option<Origin>,
}

/// Writes every part, in order.
pub(crate) fn write(input: &DraftInput, survey: &Survey<'_>, found: &FoundRegion) -> Vec<DraftSection> {
    let modality = modality(input);
    let sentences = |kind| match kind {
        SectionKind::Examination => examination(input, survey, &modality, found),
        SectionKind::Indication => indication(input),
        SectionKind::Technique => technique::technique(survey, &modality, &found.region),
        SectionKind::Dose => dose(survey, &modality),
        SectionKind::Comparison => comparison(&input.priors),
        SectionKind::Findings => findings(&found.region),
        SectionKind::Impression => Vec::new(),
    };
    SectionKind::ALL.map(|kind| DraftSection { kind, sentences: sentences(kind) }).into()
}

/// The modality that made the images; reports and presentation states are none.
pub(crate) fn modality(input: &DraftInput) -> String {
    let others = ["SR", "PR", "KO", "DOC", "SEG", "REG", "OT", "RTSTRUCT", "RTDOSE", "RTPLAN"];
    let made = input.study.modalities.iter().filter(|modality| !others.contains(&modality.as_str()));
    let names: Vec<String> = made.cloned().collect();
    if names.is_empty() { UNNAMED.to_owned() } else { names.join("/") }
}

/// Looks for the region where it is most surely said: the study, the order, then the series.
pub(crate) fn region(input: &DraftInput) -> FoundRegion {
    let attributes = &input.study.attributes;
    let header = |name, series| Some(header_origin(&["Modality", name], series));
    let mut places: Vec<(Option<&str>, Option<Origin>)> =
        vec![(attributes.description.as_deref(), header("StudyDescription", None))];
    if let Some(order) = &input.order {
        places.push((order.request.examination.as_deref(), Some(Origin::Order)));
    }
    for series in input.series.iter().map(|series| &series.series.attributes) {
        let number = series.number.map(|number| number.to_string());
        places.push((series.body_part.as_deref(), header("BodyPartExamined", number.clone())));
        places.push((series.protocol_name.as_deref(), header("ProtocolName", number.clone())));
        places.push((series.description.as_deref(), header("SeriesDescription", number)));
    }
    for (text, origin) in places {
        let region = Region::of_text(text.unwrap_or_default());
        if region.is_known() {
            return FoundRegion { region, origin };
        }
    }
    FoundRegion { region: Region::default(), origin: None }
}

fn examination(
    input: &DraftInput,
    survey: &Survey<'_>,
    modality: &str,
    found: &FoundRegion,
) -> Vec<Sentence> {
    let mut sentences = vec![match &found.origin {
        None if survey.series.is_empty() => Sentence {
            text: "No images were received.".to_owned(),
            origin: Origin::Computed { how: "survey of the series".to_owned() },
        },
        Some(origin) => {
            Sentence { text: format!("{modality} {}.", found.region.name()), origin: origin.clone() }
        }
        None => Sentence {
            text: if modality == UNNAMED {
                "The images name neither modality nor region.".to_owned()
            } else {
                format!("{modality}; the images do not name the region.")
            },
            origin: header_origin(
                &["Modality", "StudyDescription", "BodyPartExamined", "ProtocolName", "SeriesDescription"],
                None,
            ),
        },
    }];
    let requested = input.order.as_ref().and_then(|order| order.request.examination.as_deref());
    if let Some(requested) = requested.and_then(|text| words::sentence(text, QUOTE_CHARS_MAX)) {
        sentences.push(Sentence { text: format!("Requested: {requested}"), origin: Origin::Order });
    }
    sentences
}

fn indication(input: &DraftInput) -> Vec<Sentence> {
    let reason = input.order.as_ref().and_then(|order| order.request.reason.as_deref());
    let sentence = match reason.and_then(|text| words::sentence(text, QUOTE_CHARS_MAX)) {
        Some(text) => Sentence { text, origin: Origin::Order },
        None => template("Not provided with the request.", "no indication"),
    };
    vec![sentence]
}

fn template(text: &str, name: &str) -> Sentence {
    Sentence { text: text.to_owned(), origin: Origin::Template { name: name.to_owned() } }
}

/// Whether a modality works with X-rays whose dose is told in CT terms.
fn is_ct(modality: &str) -> bool {
    modality.split('/').any(|part| part == "CT")
}

fn dose(survey: &Survey<'_>, modality: &str) -> Vec<Sentence> {
    if !survey.dose.is_empty() {
        return survey.dose.iter().map(reported).collect();
    }
    if !is_ct(modality) {
        return Vec::new();
    }
    let recorded = header_doses(survey);
    if !recorded.is_empty() {
        return recorded;
    }
    vec![Sentence {
        text: "Dose information is not available in the images received.".to_owned(),
        origin: Origin::Computed {
            how: "search for dose reports and for CTDIvol in image headers".to_owned(),
        },
    }]
}

fn reported(report: &DoseReport) -> Sentence {
    let mut parts = Vec::new();
    if let Some(total) = report.dlp_total {
        parts.push(format!("total DLP {} mGy·cm", words::number(total, 2)));
    }
    let scans: Vec<_> = report.scans().collect();
    let values: Vec<String> = scans
        .iter()
        .take(SCANS_LISTED_MAX)
        .filter_map(|scan| scan.ctdi_vol)
        .map(|mgy| words::number(mgy, 2))
        .collect();
    if !values.is_empty() {
        let phantoms: Vec<Option<Phantom>> = scans.iter().map(|scan| scan.phantom).collect();
        let phantom = match phantoms.first() {
            Some(Some(first)) if phantoms.iter().all(|other| *other == Some(*first)) => {
                format!(" ({})", first.as_str())
            }
            Some(_) | None => String::new(),
        };
        let more = scans.len().saturating_sub(SCANS_LISTED_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        parts.push(format!("CTDIvol {} mGy{phantom}{more}", words::list(&values)));
    }
    if parts.is_empty() {
        parts.push("the dose report holds no values".to_owned());
    }
    Sentence { text: format!("{}.", words::capital(&parts.join("; "))), origin: Origin::DoseReport }
}

fn header_doses(survey: &Survey<'_>) -> Vec<Sentence> {
    let mut sentences = Vec::new();
    for facts in survey.series.iter().filter(|facts| facts.kind == SeriesKind::Slices) {
        let mut values: Vec<f64> =
            facts.samples.iter().filter_map(|(_, acquisition)| acquisition.ctdi_vol).collect();
        values.sort_by(f64::total_cmp);
        let (Some(low), Some(high)) = (values.first(), values.last()) else { continue };
        let range = if high - low < 0.005 {
            words::number(*high, 2)
        } else {
            format!("{} to {}", words::number(*low, 2), words::number(*high, 2))
        };
        sentences.push(Sentence {
            text: format!(
                "CTDIvol {range} mGy in {}; DLP is not recorded in the images received.",
                facts.name()
            ),
            origin: header_origin(&["CTDIvol"], facts.label()),
        });
    }
    sentences
}

fn comparison(priors: &[PriorStudy]) -> Vec<Sentence> {
    let how = || Origin::Computed {
        how: "search for earlier studies with the same patient ID at this centre".to_owned(),
    };
    if priors.is_empty() {
        return vec![Sentence { text: "No earlier studies are available.".to_owned(), origin: how() }];
    }
    let mut sentences = Vec::new();
    for prior in priors.iter().take(PRIORS_NAMED_MAX) {
        let title = title(prior);
        let quoted = prior.report.as_ref().and_then(|report| {
            let impression = words::sentence(report.content.text(SectionKind::Impression), QUOTE_CHARS_MAX)?;
            let origin =
                Origin::PriorReport { study: prior.study.key.uid.to_string(), version: report.number };
            Some(Sentence { text: format!("{title}. Impression then: {impression}"), origin })
        });
        sentences.push(
            quoted.unwrap_or_else(|| Sentence { text: format!("{title}; no signed report."), origin: how() }),
        );
    }
    let more = priors.len().saturating_sub(PRIORS_NAMED_MAX);
    if more > 0 {
        sentences.push(Sentence {
            text: format!(
                "{} not listed here.",
                words::capital(&words::counted(more, "older study").replace("studys", "studies"))
            ),
            origin: how(),
        });
    }
    sentences
}

/// An earlier study in a few words: `CT head of 2 March 2026`.
fn title(prior: &PriorStudy) -> String {
    let attributes = &prior.study.attributes;
    let modalities = prior.study.modalities.join("/");
    let region = Region::of_text(attributes.description.as_deref().unwrap_or_default());
    let what = if region.is_known() {
        region.name()
    } else {
        let described = attributes.description.as_deref().and_then(|text| words::sentence(text, 60));
        described.map(|text| text.trim_end_matches('.').to_owned()).unwrap_or_default()
    };
    let what = [modalities, what].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    let what = if what.is_empty() { "Study".to_owned() } else { what };
    match attributes.study_date {
        Some(date) => format!("{what} of {}", words::day(date)),
        None => format!("{what}, undated"),
    }
}

fn findings(region: &Region) -> Vec<Sentence> {
    let name = if region.is_known() { format!("findings {}", region.name()) } else { "findings".to_owned() };
    region.prompts().into_iter().map(|prompt| template(prompt, &name)).collect()
}
