//! Names as people write them, in the DICOM form.

use domain::text::{PersonName, TEXT_BYTES_MAX};

/// Titles before a name, without full stops, in lower case.
const TITLES: [&str; 11] =
    ["dr", "prof", "professor", "doctor", "mr", "mrs", "ms", "miss", "herr", "frau", "med"];
/// Letters behind a name.
const SUFFIXES: [&str; 12] =
    ["md", "phd", "do", "msc", "bsc", "mbbs", "mbchb", "frcr", "frcp", "frcs", "jr", "sr"];
/// Words that begin a family name.
const PARTICLES: [&str; 18] = [
    "van", "von", "vom", "zu", "der", "den", "de", "del", "della", "di", "da", "dos", "la", "le", "ten",
    "ter", "bin", "al",
];

/// Reads a name: `Doe^Jane` as DICOM has it (PS3.5 section 6.2.1), `Doe, Jane`, or `Dr Jane Doe`. `None` when nothing is left,
/// or when it is too long to be kept whole.
#[must_use]
pub fn person_name(text: &str) -> Option<PersonName> {
    let text = text.trim();
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    if text.contains(['^', '=']) {
        return PersonName::new(text);
    }
    let words: Vec<&str> =
        text.split(|c: char| c == ',' || c.is_whitespace()).filter(|w| !w.is_empty()).collect();
    let first = words.iter().position(|word| !is_any(word, &TITLES)).unwrap_or(words.len());
    let (titles, words) = words.split_at(first);
    let last = words.iter().rposition(|word| !is_any(word, &SUFFIXES)).map_or(0, |at| at + 1);
    let (words, suffixes) = words.split_at(last);
    // `Doe, Jane`: the comma stands before the last of the words that are a name.
    let family_words = text.split_once(',').map(|(before, _)| {
        before.split_whitespace().filter(|word| !is_any(word, &TITLES) && !is_any(word, &SUFFIXES)).count()
    });
    let (family, given) = match family_words.filter(|count| (1..words.len()).contains(count)) {
        Some(count) => words.split_at(count),
        None => {
            let particle = words.iter().position(|word| is_any(word, &PARTICLES)).filter(|at| *at > 0);
            let at = particle.filter(|at| at + 1 < words.len()).unwrap_or(words.len().saturating_sub(1));
            let (given, family) = words.split_at(at);
            (family, given)
        }
    };
    let parts =
        [family.join(" "), given.join(" "), String::new(), titles.join(" "), suffixes.join(" ")].join("^");
    if family.is_empty() {
        return PersonName::new(text);
    }
    PersonName::new(parts.trim_end_matches('^'))
}

fn is_any(word: &str, list: &[&str]) -> bool {
    let plain: String = word.chars().filter(|c| *c != '.').flat_map(char::to_lowercase).collect();
    list.contains(&plain.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_people_write_them() {
        for (written, dicom) in [
            ("Doe^Jane", "Doe^Jane"),
            ("Yamada^Tarou=山田^太郎", "Yamada^Tarou=山田^太郎"),
            ("Dr Jane Doe", "Doe^Jane^^Dr"),
            ("Dr. med. Jane A. Doe", "Doe^Jane A.^^Dr. med."),
            ("Doe, Jane", "Doe^Jane"),
            ("Dr Doe, Jane", "Doe^Jane^^Dr"),
            ("Jane Doe, MD", "Doe^Jane^^^MD"),
            ("Ludwig van Beethoven", "van Beethoven^Ludwig"),
            ("van Beethoven, Ludwig", "van Beethoven^Ludwig"),
            ("Prof Maria de la Cruz", "de la Cruz^Maria^^Prof"),
            ("Doe", "Doe"),
            ("Dr Doe", "Doe^^^Dr"),
            ("山田太郎", "山田太郎"),
            ("Dr", "Dr"),
        ] {
            assert_eq!(person_name(written).unwrap().as_str(), dicom, "{written}");
        }
        assert!(person_name("  ").is_none());
        assert!(person_name(&"x".repeat(TEXT_BYTES_MAX + 1)).is_none());
    }

    #[test]
    fn both_forms_mean_one_person() {
        let dicom = person_name("Doe^Jane").unwrap();
        for written in ["Dr Jane Doe", "Doe, Jane", "Jane Doe, MD"] {
            assert_eq!(person_name(written).unwrap().comparable(), dicom.comparable(), "{written}");
        }
    }
}
