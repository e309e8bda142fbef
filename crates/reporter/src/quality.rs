//! What a reader should know about the images before trusting them, from where the slices stand.

use domain::report::{QualityKind, QualityNote};
use imaging::geometry::Stack;

use crate::{
    survey::{SeriesFacts, SeriesKind, Survey},
    words,
};

/// Most notes of a draft.
const NOTES_MAX: usize = 40;

/// Writes the notes.
pub(crate) fn notes(survey: &Survey<'_>) -> Vec<QualityNote> {
    let mut notes = Vec::new();
    for facts in &survey.series {
        match facts.kind {
            SeriesKind::Slices | SeriesKind::Reformat => of_series(facts, &mut notes),
            SeriesKind::OnePlace | SeriesKind::Localizer | SeriesKind::Capture => {}
        }
    }
    if survey.unreadable > 0 {
        let headers = words::counted(survey.unreadable, "image header");
        notes.push(note(QualityKind::Unreadable, format!("{headers} could not be read.")));
    }
    notes.truncate(NOTES_MAX);
    notes
}

pub(crate) fn note(kind: QualityKind, text: String) -> QualityNote {
    QualityNote { kind, text: words::capital(&text) }
}

fn of_series(facts: &SeriesFacts<'_>, notes: &mut Vec<QualityNote>) {
    let name = facts.name();
    if facts.stacks.len() > 1 {
        let part = |stack: &Stack| format!("{} {}", stack.slices.len(), stack.plane.as_str());
        let parts: Vec<String> = facts.stacks.iter().take(4).map(part).collect();
        notes.push(note(
            QualityKind::MixedOrientations,
            format!("{name} has slices in several directions: {}.", words::list(&parts)),
        ));
    }
    for stack in &facts.stacks {
        of_stack(&name, stack, notes);
    }
    if !facts.loose.is_empty() && !facts.stacks.is_empty() {
        let images = words::counted(facts.loose.len(), "image");
        notes.push(note(
            QualityKind::Unreadable,
            format!("{name}: {images} without a position, left out of the order."),
        ));
    }
}

fn of_stack(name: &str, stack: &Stack, notes: &mut Vec<QualityNote>) {
    let missing: usize = stack.gaps.iter().map(|gap| gap.missing).sum();
    if missing > 0 {
        let places: Vec<String> = stack
            .gaps
            .iter()
            .take(5)
            .map(|gap| format!("between slices {} and {}", gap.after, gap.after + 1))
            .collect();
        let slices = words::counted(missing, "slice");
        let verb = if missing == 1 { "seems" } else { "seem" };
        notes.push(note(
            QualityKind::MissingSlices,
            format!("{name}: {slices} {verb} to be missing, {}.", words::list(&places)),
        ));
    }
    if !stack.displaced.is_empty() {
        let places: Vec<String> = stack.displaced.iter().take(5).map(ToString::to_string).collect();
        notes.push(note(
            QualityKind::UnevenSpacing,
            format!("{name}: the slices are shifted sideways at slice {}.", words::list(&places)),
        ));
    }
    if missing == 0 && stack.displaced.is_empty() && !stack.is_even() {
        notes.push(note(QualityKind::UnevenSpacing, uneven(name, stack)));
    }
}

fn uneven(name: &str, stack: &Stack) -> String {
    let covered: usize = stack.blocks.iter().map(|block| block.last - block.first + 1).sum();
    if stack.blocks.len() < 2 || covered < stack.places || stack.blocks.len() > 4 {
        return format!("{name}: the slices do not stand at equal distances.");
    }
    let part = |block: &imaging::geometry::Block| {
        format!("slices {} to {} stand {} apart", block.first, block.last, words::distance(block.spacing))
    };
    let parts: Vec<String> = stack.blocks.iter().map(part).collect();
    format!("{name}: {}.", words::list(&parts))
}
