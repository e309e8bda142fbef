//! What stands on the pages.

use documents::{Conformance, Pdf, VersionKind, Warning};

use crate::samples::{
    BARE_RENDERER, RENDERER, SCRIPTS, addendum, correction, crowded, draft, in_script, render, section,
    signature, signed_chest, squeezed, text_of,
};

fn assert_says(pdf: &Pdf, expected: &[&str]) {
    let Some(text) = text_of(pdf) else { return };
    let text = squeezed(&text);
    for words in expected {
        assert!(text.contains(&squeezed(words)), "{words:?} is not on the pages:\n{text}");
    }
}

fn assert_order(pdf: &Pdf, expected: &[&str]) {
    let Some(text) = text_of(pdf) else { return };
    let text = squeezed(&text);
    let mut rest = text.as_str();
    for words in expected {
        let words = squeezed(words);
        let found =
            rest.find(&words).unwrap_or_else(|| panic!("{words:?} is missing or out of order in {text}"));
        rest = &rest[found + words.len()..];
    }
}

#[test]
fn a_signed_report_carries_everything_and_is_archival_and_accessible() {
    let pdf = render(&BARE_RENDERER, "signed", &signed_chest());
    assert_eq!(pdf.warnings, []);
    assert_eq!(pdf.conformance, Conformance::ArchivalAccessible);
    assert!(pdf.bytes.starts_with(b"%PDF-1.7"));
    assert_says(
        &pdf,
        &[
            "Northgate Imaging Centre",
            "Aberdeen AB11 5FT",
            "Margaret Anne Ellsworth",
            "NG-2041-8830",
            "1957-03-09",
            "612 in 4 series",
            "Electronically signed by Dr. Ingrid Sørensen, MD, FRCR on 2026-11-20 11:05:31 +00:00",
            "I have read the images and approve this report as final",
            "9f2c1b7a04e8d35566c0aa91be3f47d2810c5e6bb9f3a7d4402e1c98765fdb3a",
            "4be07d19c2a85f63",
            "Final report",
            "Page 1 of 2",
            "Page 2 of 2",
        ],
    );
    assert_order(
        &pdf,
        &["Clinical information", "Findings", "Impression", "Electronically signed", "Key images"],
    );
}

#[test]
fn later_pages_repeat_who_it_is_about() {
    let pdf = render(&RENDERER, "crowded", &crowded());
    assert!(pdf.pages >= 9, "{} pages", pdf.pages);
    assert_eq!(pdf.warnings, []);
    assert_eq!(pdf.conformance, Conformance::ArchivalAccessible);
    let Some(text) = text_of(&pdf) else { return };
    let pages: Vec<String> = text.split('\u{C}').filter(|page| !page.is_empty()).map(squeezed).collect();
    assert_eq!(pages.len(), pdf.pages);
    for (index, page) in pages.iter().enumerate() {
        assert!(page.contains(&format!("Page{}of{}", index + 1, pdf.pages)), "page number on {page}");
        assert!(page.contains("Maria-Magdalena") && page.contains("A26-118420"), "running header on {page}");
    }
    let captions = pages.iter().filter(|page| page.contains("Picture10")).count();
    assert_eq!(captions, 1);
}

#[test]
fn every_script_comes_out_as_it_went_in() {
    let coverage = RENDERER.coverage();
    assert_eq!((coverage.latin, coverage.greek, coverage.cyrillic), (true, true, true));
    for (script, name, sentence, language) in SCRIPTS {
        let covered = match script {
            "chinese" => coverage.han,
            "japanese" => coverage.han && coverage.kana,
            "korean" => coverage.hangul,
            _ => true,
        };
        if !covered {
            eprintln!(
                "SKIPPED: {script}: no font for it is installed (fonts-noto-cjk; fonts-nanum for Korean alone)"
            );
            continue;
        }
        let pdf = render(&RENDERER, script, &in_script(name, sentence, language));
        assert_eq!(pdf.warnings, [], "{script}");
        assert_eq!(pdf.conformance, Conformance::ArchivalAccessible, "{script}");
        assert_says(&pdf, &[name, sentence]);
    }
}

#[test]
fn a_language_without_its_own_words_falls_back_to_english_and_others_do_not() {
    assert_says(
        &render(&BARE_RENDERER, "fixed-german", &in_script("N", "S", "de-CH")),
        &["Endgültiger Befund", "Seite 1 von 1"],
    );
    assert_says(
        &render(&BARE_RENDERER, "fixed-french", &in_script("N", "S", "fr")),
        &["Compte rendu définitif"],
    );
    assert_says(
        &render(&BARE_RENDERER, "fixed-spanish", &in_script("N", "S", "es")),
        &["Informe definitivo"],
    );
    assert_says(&render(&BARE_RENDERER, "fixed-polish", &in_script("N", "S", "pl")), &["Opis ostateczny"]);
    assert_says(&render(&BARE_RENDERER, "fixed-fallback", &in_script("N", "S", "fi")), &["Final report"]);
}

#[test]
fn an_addendum_comes_before_what_it_amends() {
    let pdf = render(&BARE_RENDERER, "addendum", &addendum());
    assert_eq!(pdf.conformance, Conformance::ArchivalAccessible);
    let mut alone = addendum();
    alone.earlier.clear();
    if let Some(text) = text_of(&render(&BARE_RENDERER, "addendum-alone", &alone)) {
        assert!(
            text.contains("This addendum adds to version 1.") && !text.contains("printed below"),
            "{text}"
        );
    }
    assert_order(
        &pdf,
        &[
            "Addendum",
            "This addendum adds to version 1. It is printed below.",
            "Outside comparison examination became available",
            "The outside CT of 2023-06-02",
            "on 2026-11-21 16:20:00 +01:00",
            "Report amended by this addendum: Final report, version 1",
            "Growing spiculated nodule",
            "on 2026-11-20 11:05:31 +00:00",
        ],
    );
}

#[test]
fn a_correction_says_what_it_replaces_and_why() {
    let pdf = render(&BARE_RENDERER, "correction", &correction());
    assert_order(
        &pdf,
        &[
            "Corrected report",
            "This report replaces version 1. Do not use the earlier version.",
            "Side of the nodule was wrong in version 1",
            "Earlier version: Final report, version 1",
            "Replaced by this report",
        ],
    );
}

#[test]
fn a_draft_never_looks_signed_and_a_preliminary_never_looks_final() {
    let unsigned = render(&BARE_RENDERER, "draft", &draft());
    assert_eq!(unsigned.conformance, Conformance::Accessible);
    assert_says(&unsigned, &["DRAFT", "Not signed: not for clinical decisions.", "Not signed."]);
    let mut sheet = signed_chest();
    sheet.version.kind = VersionKind::Preliminary;
    let preliminary = render(&BARE_RENDERER, "preliminary", &sheet);
    assert_says(&preliminary, &["Preliminary report", "A final report follows and may differ"]);
    if let (Some(draft), Some(preliminary)) = (text_of(&unsigned), text_of(&preliminary)) {
        assert!(!draft.contains("Electronically signed") && !draft.contains("Final report"));
        assert!(!preliminary.contains("Final report"));
    }
}

#[test]
fn the_same_sheet_gives_the_same_bytes() {
    for sheet in [signed_chest(), draft(), addendum()] {
        let first = BARE_RENDERER.render(&sheet).expect("rendered");
        for _ in 0..6 {
            assert!(BARE_RENDERER.render(&sheet).expect("rendered").bytes == first.bytes);
        }
        let other =
            documents::Renderer::new(&documents::FontSources { directories: Vec::new(), text_family: None })
                .expect("embedded fonts");
        assert!(other.render(&sheet).expect("rendered").bytes == first.bytes);
    }
}

#[test]
fn the_date_of_the_file_is_the_time_of_signing_and_its_identity_the_report_hash() {
    let sheet = signed_chest();
    let first = BARE_RENDERER.render(&sheet).expect("rendered").bytes;
    assert!(contains(&first, b"(D:20261120110531"), "creation date");
    let mut resigned = sheet.clone();
    resigned.signature = Some(signature("2026-11-20T23:59:59-05:00[-05:00]"));
    let second = BARE_RENDERER.render(&resigned).expect("rendered").bytes;
    assert!(contains(&second, b"(D:20261120235959-05'00"), "creation date with its zone");
    assert_eq!(document_id(&first), document_id(&second));
    if let Some(signature) = &mut resigned.signature {
        signature.report_hash = "0".repeat(64);
    }
    let third = BARE_RENDERER.render(&resigned).expect("rendered").bytes;
    assert_ne!(document_id(&second), document_id(&third));
    assert!(!contains(&BARE_RENDERER.render(&draft()).expect("rendered").bytes, b"CreationDate"));
}

#[test]
fn text_is_never_read_as_markup() {
    let hostile = r##"#panic("x") [*Bobby*] \ $x^2$ `raw` _u_ @ref <tag> // gone /* gone */ #{1+1} "q" \u{41} ~ --- = H"##;
    let mut sheet = signed_chest();
    for field in [
        &mut sheet.patient.name,
        &mut sheet.patient.id,
        &mut sheet.patient.birth_date,
        &mut sheet.patient.sex,
        &mut sheet.letterhead.centre,
        &mut sheet.letterhead.address[0],
        &mut sheet.letterhead.phone,
        &mut sheet.letterhead.email,
        &mut sheet.examination.description,
        &mut sheet.examination.performed_at,
        &mut sheet.examination.accession_number,
        &mut sheet.examination.modality,
        &mut sheet.examination.ordering_physician,
        &mut sheet.version.reason,
        &mut sheet.sections[0].title,
        &mut sheet.key_images[0].caption,
    ] {
        hostile.clone_into(field);
    }
    hostile.clone_into(&mut sheet.sections[0].paragraphs[0]);
    let signature = sheet.signature.as_mut().expect("signed");
    for field in [&mut signature.signer, &mut signature.credentials, &mut signature.meaning] {
        hostile.clone_into(field);
    }
    let pdf = render(&BARE_RENDERER, "hostile", &sheet);
    assert_eq!(pdf.warnings, []);
    let Some(text) = text_of(&pdf) else { return };
    let found = squeezed(&text).matches(&squeezed(hostile)).count();
    assert!(found >= 17, "only {found} of the hostile texts came out whole:\n{text}");
}

#[test]
fn what_no_font_shows_is_marked_named_and_said_on_the_page() {
    let bare = &*BARE_RENDERER;
    assert!(!bare.coverage().han);
    let mut sheet = signed_chest();
    sheet.patient.name = "Li 李明 李".to_owned();
    let pdf = render(bare, "missing", &sheet);
    assert_eq!(
        pdf.warnings,
        [
            Warning::MissingCharacter { character: '明', times: 1 },
            Warning::MissingCharacter { character: '李', times: 2 },
        ]
    );
    assert_eq!(pdf.conformance, Conformance::ArchivalAccessible);
    assert_says(&pdf, &["3 character(s) of this report cannot be printed", "Li \u{FFFD}\u{FFFD} \u{FFFD}"]);
}

#[test]
fn combining_accents_and_ligatures_survive() {
    let mut sheet = signed_chest();
    sheet.patient.name = "Zoe\u{301} Nguye\u{302}\u{303}n Office Affleck".to_owned();
    let pdf = render(&BARE_RENDERER, "combining", &sheet);
    assert_eq!(pdf.warnings, []);
    assert_says(&pdf, &["Office Affleck"]);
}

#[test]
fn a_configured_family_sets_the_text() {
    let sources =
        documents::FontSources { directories: Vec::new(), text_family: Some("DejaVu Sans Mono".to_owned()) };
    let renderer = documents::Renderer::new(&sources).expect("an embedded family");
    assert_eq!(renderer.text_family(), "DejaVu Sans Mono");
    let pdf = render(&renderer, "family", &signed_chest());
    assert_eq!((pdf.warnings.len(), pdf.conformance), (0, Conformance::ArchivalAccessible));
    assert!(!contains(&pdf.bytes, b"LibertinusSerif"), "the default family was used all the same");
    assert!(contains(&render(&BARE_RENDERER, "signed-again", &signed_chest()).bytes, b"LibertinusSerif"));
}

#[test]
fn an_empty_sheet_still_makes_a_page() {
    let mut sheet = documents::ReportSheet::specimen();
    sheet.letterhead.address.clear();
    sheet.sections = vec![section("", &[""]), section("Impression", &[])];
    sheet.earlier.clear();
    sheet.language.clear();
    for field in [&mut sheet.patient.name, &mut sheet.patient.id, &mut sheet.examination.description] {
        field.clear();
    }
    let pdf = render(&BARE_RENDERER, "empty", &sheet);
    assert_eq!(pdf.pages, 1);
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// First half of the `ID` of the trailer (ISO 32000-1, 14.4), which names the document and not its state.
fn document_id(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let start = text.rfind("/ID").expect("an identifier");
    let list = &text[start..];
    let open = list.find('(').expect("first identifier") + 1;
    let close = list.find(')').expect("end of the first identifier");
    list[open..close].to_owned()
}
