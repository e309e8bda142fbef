//! Sheets to set, and ways to read a PDF back.

use std::io::{Cursor, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use documents::{
    EarlierVersion, ExaminationBlock, FontSources, KeyImage, Letterhead, PatientBlock, Pdf, Renderer,
    ReportSheet, Section, SectionKind, Signature, VersionBlock, VersionKind,
};
use image::{DynamicImage, GrayImage, ImageFormat, Luma};

/// With all fonts of the machine, and those of the folder `TELERAD_TEST_FONTS`.
pub static RENDERER: LazyLock<Renderer> = LazyLock::new(|| {
    let mut sources = FontSources::default();
    sources.directories.extend(std::env::var_os("TELERAD_TEST_FONTS").map(std::path::PathBuf::from));
    Renderer::new(&sources).expect("fonts of the machine")
});

/// With the embedded fonts alone, the same everywhere.
pub static BARE_RENDERER: LazyLock<Renderer> = LazyLock::new(|| {
    Renderer::new(&FontSources { directories: Vec::new(), text_family: None }).expect("embedded fonts")
});

pub fn section(title: &str, paragraphs: &[&str]) -> Section {
    let kind = if title == "Impression" { SectionKind::Impression } else { SectionKind::Plain };
    Section {
        kind,
        title: title.to_owned(),
        paragraphs: paragraphs.iter().map(|&text| text.to_owned()).collect(),
    }
}

pub fn signature(signed_at: &str) -> Signature {
    Signature {
        signer: "Dr. Ingrid Sørensen".to_owned(),
        credentials: "MD, FRCR".to_owned(),
        meaning: "I have read the images and approve this report as final".to_owned(),
        signed_at: signed_at.parse().expect("a time with its zone"),
        image_set_digest: "9f2c1b7a04e8d35566c0aa91be3f47d2810c5e6bb9f3a7d4402e1c98765fdb3a".to_owned(),
        report_hash: "4be07d19c2a85f63e1907bd8c64f2a350e97b1d84c6fa20b5d3e8791fc60a24d".to_owned(),
    }
}

pub fn signed_chest() -> ReportSheet {
    ReportSheet {
        letterhead: Letterhead {
            centre: "Northgate Imaging Centre".to_owned(),
            address: vec!["14 Harbour Street".to_owned(), "Aberdeen AB11 5FT".to_owned()],
            phone: "+44 1224 555 0140".to_owned(),
            email: "reports@northgate.example".to_owned(),
        },
        patient: PatientBlock {
            name: "Margaret Anne Ellsworth".to_owned(),
            id: "NG-2041-8830".to_owned(),
            birth_date: "1957-03-09".to_owned(),
            sex: "Female".to_owned(),
        },
        examination: ExaminationBlock {
            description: "CT chest with contrast".to_owned(),
            performed_at: "2026-11-20 09:42 +00:00".to_owned(),
            accession_number: "A26-118420".to_owned(),
            modality: "CT".to_owned(),
            ordering_physician: "Dr. Peter Okafor".to_owned(),
            series_count: 4,
            image_count: 612,
        },
        version: VersionBlock {
            number: 1,
            kind: VersionKind::Final,
            supersedes: None,
            reason: String::new(),
        },
        sections: vec![
            section(
                "Clinical information",
                &["Persistent cough for eight weeks, weight loss of 6 kg. Former smoker."],
            ),
            section(
                "Technique",
                &["Helical acquisition in the portal venous phase after 90 mL iodinated contrast."],
            ),
            section("Comparison", &["CT chest of 2025-02-11."]),
            section(
                "Findings",
                &[
                    "Lungs: Spiculated nodule in the right upper lobe, 21 × 18 mm (previously 9 mm). No further nodule \
                     above 4 mm. Mild centrilobular emphysema with apical predominance.",
                    "Mediastinum: Right paratracheal node of 14 mm in short axis. Heart size normal, no pericardial \
                     effusion. No central pulmonary embolus.",
                    "Upper abdomen: Adrenal glands are normal. Simple cyst of the left kidney, 22 mm.",
                    "Bones: No lytic or sclerotic lesion.",
                ],
            ),
            section(
                "Impression",
                &[
                    "1. Growing spiculated nodule in the right upper lobe, suspicious for primary lung malignancy; \
                   referral for tissue diagnosis is recommended without delay.\n2. Enlarged right paratracheal node, \
                   indeterminate.\n3. Mild emphysema.",
                ],
            ),
        ],
        earlier: Vec::new(),
        key_images: vec![
            key_image(512, 512, "Right upper lobe nodule, axial, lung window (series 3, image 84)"),
            key_image(512, 380, "Right paratracheal node, coronal reformat (series 5, image 41)"),
        ],
        signature: Some(signature("2026-11-20T11:05:31+00:00[+00:00]")),
        language: "en-GB".to_owned(),
    }
}

/// Long and crowded: five pages of findings, ten pictures, names that do not fit.
pub fn crowded() -> ReportSheet {
    let mut sheet = signed_chest();
    sheet.patient.name =
        "Maria-Magdalena Theodora Wolfeschlegelsteinhausenbergerdorff-Papadimitrakopoulou de la \
                          Santísima Trinidad y Fernández-Montesinos"
            .to_owned();
    sheet.patient.id = "HOSPITAL-GROUP-NORTH/0000000000000000000000000000000000004711".to_owned();
    sheet.examination.description =
        "CT thorax, abdomen and pelvis with oral and intravenous contrast, arterial, portal venous and delayed phase"
            .to_owned();
    sheet.examination.ordering_physician =
        "Prof. Dr. med. Dr. h. c. Karl-Heinz von Schwarzenberg-Lichtenstein, Department of Thoracic Surgery"
            .to_owned();
    sheet.letterhead.centre =
        "Interregional Centre for Diagnostic and Interventional Radiology and Nuclear Medicine \
                               of the Three Rivers Hospital Group"
            .to_owned();
    let findings = sheet.sections.iter().position(|part| part.title == "Findings").expect("findings");
    let paragraphs = sheet.sections[findings].paragraphs.clone();
    for region in 1..=44 {
        let head = format!("Region {region}.");
        sheet.sections[findings].paragraphs.extend(paragraphs.iter().map(|text| format!("{head} {text}")));
    }
    for extra in ["Lungs", "Pleura", "Mediastinum", "Great vessels", "Heart", "Liver", "Kidneys", "Bones"] {
        let part = section(extra, &["Unremarkable apart from what is described above."]);
        sheet.sections.insert(findings + 1, part);
    }
    sheet.key_images = (1..=10)
        .map(|number| {
            let words = if number % 3 == 0 {
                " with a caption that goes on for several lines".repeat(4)
            } else {
                String::new()
            };
            let (width, height) = if number % 2 == 0 { (300, 512) } else { (640, 320) };
            key_image(width, height, &format!("Picture {number}{words}"))
        })
        .collect();
    sheet
}

pub fn addendum() -> ReportSheet {
    let original = signed_chest();
    ReportSheet {
        version: VersionBlock {
            number: 2,
            kind: VersionKind::Addendum,
            supersedes: Some(1),
            reason: "Outside comparison examination became available".to_owned(),
        },
        sections: vec![
            section(
                "Addendum",
                &["The outside CT of 2023-06-02 was reviewed: the nodule measured 5 mm then."],
            ),
            section(
                "Impression",
                &["Growth over three years supports malignancy. The recommendation is unchanged."],
            ),
        ],
        key_images: Vec::new(),
        earlier: vec![EarlierVersion {
            version: original.version.clone(),
            sections: original.sections.clone(),
            signature: original.signature.clone(),
        }],
        signature: Some(signature("2026-11-21T16:20:00+01:00[+01:00]")),
        ..original
    }
}

pub fn correction() -> ReportSheet {
    let mut sheet = addendum();
    sheet.version.kind = VersionKind::Correction;
    sheet.version.reason = "Side of the nodule was wrong in version 1".to_owned();
    sheet.sections = signed_chest().sections;
    sheet
}

pub fn draft() -> ReportSheet {
    ReportSheet { signature: None, ..signed_chest() }
}

/// Patient name, sentence, language tag.
pub const SCRIPTS: [(&str, &str, &str, &str); 8] = [
    (
        "polish",
        "Żółć-Święcicka Łucja",
        "Nie stwierdza się zmian ogniskowych. Płuca prawidłowo upowietrznione.",
        "pl",
    ),
    ("turkish", "Gülşah Çığır İnönü", "Sağ akciğer üst lobda 21 mm nodül izlendi; ışın dozu düşük.", "tr"),
    (
        "german",
        "Jürgen Größl-Weiß",
        "Kein Nachweis einer frischen Blutung. Größenprogredienter Rundherd.",
        "de-DE",
    ),
    ("greek", "Ελευθέριος Παπαδόπουλος", "Δεν παρατηρούνται εστιακές αλλοιώσεις στο ήπαρ.", "el"),
    ("cyrillic", "Щербакова Їжакевич Ёлкина", "Очаговых изменений в лёгких не выявлено.", "ru"),
    ("chinese", "歐陽小明", "右肺上葉可見毛刺狀結節，建議進一步檢查。肝脏未见异常。", "zh-Hans"),
    ("japanese", "渡邉さくら", "右上葉に棘状結節を認める。リンパ節腫大なし。", "ja"),
    ("korean", "김철수", "우상엽에 결절이 있습니다. 추가 검사가 필요합니다.", "ko"),
];

pub fn in_script(name: &str, sentence: &str, language: &str) -> ReportSheet {
    let mut sheet = signed_chest();
    sheet.patient.name = name.to_owned();
    sheet.language = language.to_owned();
    sheet.sections = vec![section("Findings", &[sentence]), section("Impression", &[sentence])];
    sheet.key_images.clear();
    sheet
}

pub fn key_image(width: u32, height: u32, caption: &str) -> KeyImage {
    let (middle_x, middle_y) = (f64::from(width) / 2.0, f64::from(height) / 2.0);
    let picture = GrayImage::from_fn(width, height, |x, y| {
        let (across, down) = ((f64::from(x) - middle_x) / middle_x, (f64::from(y) - middle_y) / middle_y);
        let inside = across * across + down * down < 0.8;
        let lung = (across.abs() - 0.4).powi(2) + down * down * 0.5 < 0.06;
        Luma([match (inside, lung) {
            (false, _) => 4,
            (true, true) => 30 + ((x * 7 + y * 13) % 23) as u8,
            (true, false) => 130 + ((x * 3 + y * 5) % 17) as u8,
        }])
    });
    let mut png = Cursor::new(Vec::new());
    DynamicImage::ImageLuma8(picture).write_to(&mut png, ImageFormat::Png).expect("encoded");
    KeyImage { png: png.into_inner(), caption: caption.to_owned() }
}

/// Renders, and leaves the file where a person can open it.
pub fn render(renderer: &Renderer, name: &str, sheet: &ReportSheet) -> Pdf {
    let pdf = renderer.render(sheet).unwrap_or_else(|error| panic!("{name}: {error}: {error:?}"));
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("report-{name}.pdf"));
    std::fs::write(path, &pdf.bytes).expect("written");
    pdf
}

/// The text of a PDF in reading order, by poppler; `None`, said loudly, where that is not installed.
pub fn text_of(pdf: &Pdf) -> Option<String> {
    let child = Command::new("pdftotext")
        .args(["-enc", "UTF-8", "-", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        eprintln!("SKIPPED: pdftotext (poppler-utils) is not installed, the text of PDFs was not checked");
        return None;
    };
    child.stdin.take().expect("piped").write_all(&pdf.bytes).expect("written to pdftotext");
    let output = child.wait_with_output().expect("pdftotext ran");
    assert!(output.status.success(), "pdftotext refused the file");
    Some(String::from_utf8(output.stdout).expect("UTF-8"))
}

/// Text without white space and without break opportunities: line breaks of the page do not matter.
pub fn squeezed(text: &str) -> String {
    text.chars().filter(|character| !character.is_whitespace() && *character != '\u{200B}').collect()
}
