//! Every file of the sample collection.

use imaging::{
    guard::{GuardedHeader, HeaderEnd},
    header::Header,
    text::CharacterSets,
};

use crate::support::{Sample, manifest};

/// Files that name no instance: what is missing is the point of them.
const NAMELESS: [(&str, &str); 2] = [
    // One byte of something stands before its first element.
    ("edge/no_meta.dcm", "no place"),
    // A single sequence.
    ("edge/UN_sequence.dcm", "StudyInstanceUID is missing"),
];

fn read(sample: &Sample) -> (GuardedHeader, Result<Header, imaging::header::HeaderError>) {
    let guarded = GuardedHeader::of(sample.data_set(), &sample.syntax).unwrap();
    let header = Header::read(&guarded);
    (guarded, header)
}

#[test]
fn every_sample_is_let_in_and_says_what_the_manifest_says() {
    for row in manifest() {
        let nameless = NAMELESS.iter().find(|(file, _)| *file == row.file());
        let Some(sample) = Sample::open(row.bytes()) else {
            assert_eq!(nameless.map(|(_, why)| *why), Some("no place"), "{}", row.file());
            continue;
        };
        let (guarded, header) = read(&sample);
        let header = match (header, nameless) {
            (Ok(header), None) => header,
            (Err(error), Some((_, why))) => {
                assert_eq!(error.to_string(), *why);
                continue;
            }
            (other, _) => panic!("{}: {other:?}", row.file()),
        };
        assert_eq!(header.study_uid.as_str(), row.get("study_uid"), "{}", row.file());
        assert_eq!(header.series_uid.as_str(), row.get("series_uid"), "{}", row.file());
        assert_eq!(
            header.series.modality.as_deref().unwrap_or_default(),
            row.get("modality"),
            "{}",
            row.file()
        );
        assert_eq!(
            header.series.body_part.as_deref().unwrap_or_default(),
            row.get("body_part"),
            "{}",
            row.file()
        );
        if let Some((rows, columns)) = row.get("rows_x_cols").split_once('x') {
            let shape = (header.instance.rows.unwrap(), header.instance.columns.unwrap());
            assert_eq!(shape, (rows.parse().unwrap(), columns.parse().unwrap()), "{}", row.file());
        }
        if let Ok(frames) = row.get("frames").parse::<u32>() {
            assert_eq!(header.instance.frames.unwrap_or(1), frames, "{}", row.file());
        }
        if !guarded.deflated && guarded.end == HeaderEnd::Pixels {
            let at = usize::try_from(guarded.ends_at).unwrap();
            let tag = &sample.data_set()[at..at + 4];
            // The first element of the group is Pixel Data, or the length of the group.
            let ends = matches!(tag, [0xE0, 0x7F, 0x10 | 0, 0] | [0x7F, 0xE0, 0, 0x10 | 0]);
            assert!(ends, "{}: {tag:?}", row.file());
        }
    }
}

#[test]
fn names_are_read_in_their_character_sets() {
    for (file, expected) in [
        ("charset/chrFren.dcm", "Buc^Jérôme"),
        ("charset/chrFrenMulti.dcm", "Buc^Jérôme"),
        ("charset/chrGreek.dcm", "Διονυσιος"),
        ("charset/chrH31.dcm", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("charset/chrX1.dcm", "Wang^XiaoDong=王^小東="),
        ("charset/chrKoreanMulti.dcm", "김희중"),
        ("charset/chrJapMultiExplicitIR6.dcm", "やまだ^たろう"),
    ] {
        let Some(sample) = Sample::named(file) else { return };
        let (_, header) = read(&sample);
        assert_eq!(header.unwrap().study.patient_name.unwrap().as_str(), expected, "{file}");
    }
    assert_eq!(CharacterSets::default().decode(b"plain", b""), "plain");
}

#[test]
fn a_head_ct_reads_in_full() {
    let Some(sample) = Sample::named("ct-head-ge-28/01.dcm") else { return };
    let header = read(&sample).1.unwrap();
    assert_eq!(header.series.device.as_deref(), Some("GE MEDICAL SYSTEMS HiSpeed Dual"));
    assert_eq!(header.series.body_part.as_deref(), Some("HEAD"));
    assert_eq!(header.instance.bits_allocated, Some(16));
    assert_eq!(header.instance.number, Some(1));
    assert!(header.instance.position.is_some() && header.instance.orientation.is_some());
    assert_eq!(header.study.description.as_deref(), Some("HEAD"));
    assert_eq!(header.study.study_date, None);
}
