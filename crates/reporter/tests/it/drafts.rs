//! What the rules write about real series: every sentence here was read by a person before it was pinned.

use std::sync::Arc;

use domain::{
    digest::ImageSetDigest,
    id::{OrderId, PersonId},
    order::{Order, OrderRequest},
    pixel::PictureFormat,
    port::{DraftError, Drafter, PriorStudy},
    report::{
        DraftContent, Origin, QualityKind, ReportContent, ReportVersion, SectionKind, SectionText, Signature,
        VersionKind,
    },
    study::ImageSet,
    text::{AccessionNumber, PatientId},
    work::Lane,
};
use imaging::picture;
use reporter::RuleDrafter;
use testkit::pixels::InProcess;

use crate::support::{World, input_of, now, sample_files, small_slice, small_study, text, world};

async fn draft(world: &World, sample: &str) -> Option<DraftContent> {
    let input = world.input(sample_files(sample)?).await;
    Some(RuleDrafter::new(Arc::clone(&world.storage), InProcess::port()).draft(input).await.unwrap())
}

#[tokio::test]
async fn techniques_of_the_sample_series() {
    let world = world().await;
    for (sample, examination, technique) in GOLDEN {
        let Some(draft) = draft(&world, sample).await else { return };
        assert_eq!(text(&draft, SectionKind::Examination), *examination, "{sample}");
        assert_eq!(text(&draft, SectionKind::Technique), *technique, "{sample}");
    }
}

const GOLDEN: &[(&str, &str, &str)] = &[
    (
        "ct-head-ge-28",
        "CT head.",
        "Axial CT of the head, 28 slices in 1 series: 14 slices at 4.0 mm and 14 slices at 7.0 mm slice thickness, \
         gantry tilt 18.5°, 120 kVp, kernel STD+; no contrast agent is recorded in the image headers.",
    ),
    (
        "ct-abdomen-ge-3",
        "CT abdomen and pelvis.",
        "Axial CT of the abdomen and pelvis, 3 slices in 1 series at 1.25 mm slice thickness and 1.0 mm intervals, \
         helical acquisition, 120 kVp, kernel STANDARD; no contrast agent is recorded in the image headers.",
    ),
    (
        "ct-siemens-gantrytilt-4",
        "CT; the images do not name the region.",
        "Axial CT, 4 slices in 1 series at 4.9 mm intervals, sequential acquisition, gantry tilt 14° by the slice positions; \
         slice thickness, tube voltage, reconstruction kernel and contrast agent are not recorded in the image headers.",
    ),
    (
        "ct-siemens-notavolume-4",
        "CT; the images do not name the region.",
        "4 images at one table position (contrast timing, monitoring or perfusion).",
    ),
    ("ct-localizer-and-sc-philips", "CT head.", "1 localizer image.\n2 captured screens."),
    (
        "enhanced/CT0012.explicit_little_endian.dcm",
        "CT; the images do not name the region.",
        "CT, 2 slices in 1 series at 10.0 mm slice thickness; contrast agent: Iohexol; \
         tube voltage and reconstruction kernel are not recorded in the image headers.",
    ),
    (
        "transfer-syntaxes/ct1-ge/CT1_JLSL",
        "CT; the images do not name the region.",
        "Axial CT, 1 slice in 1 series at 5.0 mm slice thickness, helical acquisition, 120 kVp, kernel STANDARD; \
         contrast agent: ISOVUE300/100.",
    ),
    (
        "edge/emri_small.dcm",
        "MR head.",
        "MR of the head, 10 slices in 1 series; \
         slice thickness and contrast agent are not recorded in the image headers.",
    ),
    ("charset/chrJapMultiExplicitIR6.dcm", "CR chest.", "CR of the chest, 1 image in 1 series."),
    (
        "transfer-syntaxes/deflated/image_dfl",
        "The images name neither modality nor region.",
        "1 captured screen.",
    ),
    (
        "copyleft/rdsr/CT-RDSR-ToshibaPixelMed.dcm",
        "No images were received.",
        "No images that show a patient are among the objects received.",
    ),
];

#[tokio::test]
async fn several_series_are_told_apart() {
    let world = world().await;
    let (Some(head), Some(scout)) =
        (sample_files("ct-head-ge-28"), sample_files("ct-localizer-and-sc-philips"))
    else {
        return;
    };
    let files = [
        head,
        scout,
        sample_files("ct-siemens-notavolume-4").unwrap(),
        sample_files("ct-abdomen-ge-3").unwrap(),
    ];
    let input = world.input(files.concat()).await;
    let draft = RuleDrafter::new(Arc::clone(&world.storage), InProcess::port()).draft(input).await.unwrap();
    assert_eq!(
        text(&draft, SectionKind::Technique),
        "Axial CT of the head, 31 images in 2 series.\n\
         Series 2: 28 axial slices: 14 slices at 4.0 mm and 14 slices at 7.0 mm slice thickness, gantry tilt 18.5°, \
         120 kVp, kernel STD+; no contrast agent is recorded in the image headers.\n\
         Series 2: 3 axial slices at 1.25 mm slice thickness and 1.0 mm intervals, helical acquisition, 120 kVp, \
         kernel STANDARD; no contrast agent is recorded in the image headers.\n\
         1 localizer image.\n\
         4 images at one table position (contrast timing, monitoring or perfusion).\n\
         2 captured screens."
    );
    // Key images come from the thick axial slices, not from scouts or captures.
    assert!(draft.key_images.iter().all(|image| image.caption.ends_with("of 28")));
}

#[tokio::test]
async fn a_head_is_drafted_in_full() {
    let world = world().await;
    let Some(draft) = draft(&world, "ct-head-ge-28").await else { return };
    assert!(draft.author.starts_with("telerad rules "));
    let kinds: Vec<SectionKind> = draft.sections.iter().map(|section| section.kind).collect();
    assert_eq!(kinds, SectionKind::ALL);
    assert_eq!(text(&draft, SectionKind::Indication), "Not provided with the request.");
    assert_eq!(text(&draft, SectionKind::Dose), "Dose information is not available in the images received.");
    assert_eq!(text(&draft, SectionKind::Comparison), "No earlier studies are available.");
    assert_eq!(
        text(&draft, SectionKind::Findings),
        "Brain parenchyma: \nVentricles and extra-axial spaces: \nMidline and basal cisterns: \nSkull and skull base: \n\
         Orbits, paranasal sinuses and mastoids: "
    );
    assert_eq!(text(&draft, SectionKind::Impression), "");
    let [note] = draft.quality.as_slice() else { panic!("{:?}", draft.quality) };
    assert_eq!(note.kind, QualityKind::UnevenSpacing);
    assert_eq!(
        note.text,
        "Series 2: slices 1 to 14 stand 4.0 mm apart and slices 15 to 28 stand 7.0 mm apart."
    );

    let captions: Vec<&str> = draft.key_images.iter().map(|image| image.caption.as_str()).collect();
    assert_eq!(
        captions,
        [
            "Brain window, slice 4 of 28",
            "Brain window, slice 11 of 28",
            "Brain window, slice 18 of 28",
            "Brain window, slice 25 of 28",
            "Bone window, slice 8 of 28",
            "Bone window, slice 22 of 28",
        ]
    );
    for image in &draft.key_images {
        assert_eq!((image.size, image.frame), ((512, 512), 1));
        let png = world
            .storage
            .read(&image.object.clone().into(), None)
            .await
            .unwrap()
            .collect(1 << 20)
            .await
            .unwrap();
        assert!(png.starts_with(b"\x89PNG"));
    }
    let origins = draft.sections.iter().flat_map(|section| &section.sentences);
    for sentence in origins {
        match &sentence.origin {
            Origin::Header { attributes, .. } => assert!(!attributes.is_empty(), "{sentence:?}"),
            Origin::Computed { how } => assert!(!how.is_empty()),
            Origin::Template { name } => assert!(!name.is_empty()),
            Origin::Order | Origin::DoseReport | Origin::PriorReport { .. } => panic!("{sentence:?}"),
        }
    }
}

#[tokio::test]
async fn drafting_again_stores_nothing_new() {
    let world = world().await;
    let Some(first) = draft(&world, "ct-head-ge-28").await else { return };
    let keys = world.keys().await;
    assert_eq!(keys.iter().filter(|key| key.contains("/key-images/")).count(), 6);
    let second = draft(&world, "ct-head-ge-28").await.unwrap();
    assert_eq!(first, second);
    assert_eq!(world.keys().await, keys);
}

#[tokio::test]
async fn doses_are_said_as_they_were_reported() {
    let world = world().await;
    for (sample, expected) in [
        ("CT-ESR-GE_Optima.dcm", "Total DLP 415.82 mGy·cm; CTDIvol 3.23 and 5.3 mGy (32 cm body phantom)."),
        ("CT-RDSR-Philips_BigBore4DCT.dcm", "Total DLP 541.1 mGy·cm; CTDIvol 23.7 mGy (32 cm body phantom)."),
        ("CT-RDSR-Siemens-Multi-1.dcm", "Total DLP 7.46 mGy·cm."),
        (
            "CT-RDSR-ToshibaPixelMed.dcm",
            "Total DLP 349.7 mGy·cm; CTDIvol 25.4 and 24.7 mGy (32 cm body phantom).",
        ),
    ] {
        let Some(draft) = draft(&world, &format!("copyleft/rdsr/{sample}")).await else { return };
        assert_eq!(text(&draft, SectionKind::Dose), expected, "{sample}");
        let sentences = &draft.sections.iter().find(|s| s.kind == SectionKind::Dose).unwrap().sentences;
        assert_eq!(sentences[0].origin, Origin::DoseReport);
    }
}

fn order(reason: Option<&str>) -> Order {
    Order {
        id: OrderId::fresh(),
        centre: "north".parse().unwrap(),
        request: OrderRequest {
            accession_number: AccessionNumber::new("A1").unwrap(),
            patient_id: PatientId::new("P1").unwrap(),
            patient_name: None,
            examination: Some("CT head without contrast".into()),
            reason: reason.map(str::to_owned),
            priority: Lane::Stat,
            physician: None,
            physician_name: None,
            scheduled: None,
        },
        study: None,
        received: "2026-03-02T07:00:00Z".parse().unwrap(),
    }
}

#[tokio::test]
async fn order_and_earlier_reports_are_quoted_as_such() {
    let world = world().await;
    let mut input = world.input(small_study("1.2.3", "P1", "20260302", 4)).await;
    let prior = world.input(small_study("1.2.2", "P1", "20240105", 1)).await.study;
    input.order = Some(order(Some("Fall from\n a ladder, GCS 14")));
    let content = ReportContent {
        sections: vec![SectionText {
            kind: SectionKind::Impression,
            text: "No haemorrhage.\nOld lacune".into(),
        }],
    };
    let signature = Signature {
        signer: PersonId::fresh(),
        signer_name: "Dr Ada Moreau".into(),
        signer_credentials: None,
        at: now(&world.clock),
        images: ImageSet { generation: 1, digest: ImageSetDigest::of([]), count: 0 },
        hash: domain::digest::Sha256Digest::of(b"x"),
    };
    let report = ReportVersion {
        study: prior.key.clone(),
        number: 2,
        kind: VersionKind::Final,
        content,
        key_images: Vec::new(),
        signature,
    };
    input.priors = vec![PriorStudy { study: prior, report: Some(report) }];
    let draft = RuleDrafter::new(Arc::clone(&world.storage), InProcess::port()).draft(input).await.unwrap();
    assert_eq!(text(&draft, SectionKind::Examination), "CT head.\nRequested: CT head without contrast.");
    assert_eq!(text(&draft, SectionKind::Indication), "Fall from a ladder, GCS 14.");
    assert_eq!(
        text(&draft, SectionKind::Comparison),
        "CT head of 5 January 2024. Impression then: No haemorrhage. Old lacune."
    );
    let origin = |kind, n: usize| {
        draft.sections.iter().find(|section| section.kind == kind).unwrap().sentences[n].origin.clone()
    };
    assert_eq!(origin(SectionKind::Examination, 1), Origin::Order);
    assert_eq!(origin(SectionKind::Indication, 0), Origin::Order);
    assert_eq!(origin(SectionKind::Comparison, 0), Origin::PriorReport { study: "1.2.2".into(), version: 2 });
    assert_eq!(
        origin(SectionKind::Technique, 0),
        Origin::Header {
            attributes: [
                "Modality",
                "ImagePositionPatient",
                "ImageOrientationPatient",
                "SliceThickness",
                "KVP",
                "ConvolutionKernel",
            ]
            .map(str::to_owned)
            .into(),
            series: Some("2".into()),
        }
    );
}

#[tokio::test]
async fn missing_slices_and_broken_pixels_become_notes() {
    let world = world().await;
    let mut files: Vec<Vec<u8>> =
        (1..=12).filter(|n| ![5, 6].contains(n)).map(|n| small_slice("1.2.3", "P1", "20260302", n)).collect();
    // The ninth slice that is here loses its last pixels.
    let short = files[8].len() - 40;
    files[8].truncate(short);
    let mut arrivals = Vec::new();
    for file in files {
        arrivals.push(world.store(file).await);
    }
    let draft = RuleDrafter::new(Arc::clone(&world.storage), InProcess::port())
        .draft(input_of(&arrivals))
        .await
        .unwrap();
    let notes: Vec<(QualityKind, &str)> =
        draft.quality.iter().map(|note| (note.kind, note.text.as_str())).collect();
    assert_eq!(
        notes,
        [
            (QualityKind::MissingSlices, "Series 2: 2 slices seem to be missing, between slices 4 and 5."),
            (
                QualityKind::Unreadable,
                "Slice 9 of series 2 could not be shown: the pixels are broken: the object is shorter than its pixels.",
            ),
        ]
    );
    assert_eq!(draft.key_images.len(), 5);
    assert!(draft.key_images.iter().all(|image| !image.caption.contains("slice 9")));
}

#[tokio::test]
async fn a_store_without_the_object_is_an_error() {
    let world = world().await;
    let input = world.input(small_study("1.2.3", "P1", "20260302", 2)).await;
    for series in &input.series {
        for instance in &series.instances {
            world.storage.remove(&instance.object).await.unwrap();
        }
    }
    let error =
        RuleDrafter::new(Arc::clone(&world.storage), InProcess::port()).draft(input).await.unwrap_err();
    assert!(matches!(error, DraftError::Images(_)), "{error:?}");
}

#[tokio::test]
async fn windows_and_directions_are_right() {
    let world = world().await;
    let Some(draft) = draft(&world, "ct-head-ge-28").await else { return };
    let decode = async |n: usize| {
        let object = &draft.key_images[n].object;
        let png =
            world.storage.read(&object.clone().into(), None).await.unwrap().collect(1 << 20).await.unwrap();
        png.len()
    };
    // Air, brain and bone through the brain window: black, grey, white.
    let files = sample_files("ct-head-ge-28").unwrap();
    let picture = picture::of_object(&files[17].clone().into(), 1).unwrap();
    let rendered = picture.render(Some(picture::Window { centre: 40.0, width: 80.0 }.into()), None).unwrap();
    assert_eq!(rendered.grey_at(2, 2), Some(0));
    let middle = rendered.grey_at(256, 256).unwrap();
    assert!((30..220).contains(&middle), "{middle}");
    let white = (0..512).filter(|x| rendered.grey_at(*x, 256) == Some(255)).count();
    assert!((10..200).contains(&white), "{white}");
    assert_eq!(decode(2).await, rendered.write(PictureFormat::Png).unwrap().len());
}
