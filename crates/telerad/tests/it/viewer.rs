//! The viewer in a browser: kept loaded from patient to patient, the prior beside, measurements found again, PDF, MPR, volume.

use std::{path::Path, process::Command};

use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileDicomObject, FileMetaTableBuilder, InMemDicomObject, open_file};
use serde_json::json;

use crate::{
    journey::prepare,
    server::{Browser, Site, head_ct, named_by},
};

/// Begins every UID that these images get.
const ROOT: &str = "1.2.826.0.1.3680043.9.7462";
/// Slices of the volume; OHIF takes fewer than 10 for no volume worth a look.
const SLICES: u32 = 24;

/// A patient and a study that images are dressed in.
pub struct Study<'a> {
    number: u32,
    patient: &'a str,
    name: &'a str,
    day: &'a str,
    description: &'a str,
}

pub const NEW: Study<'_> =
    Study { number: 1, patient: "HEAD-1", name: "Compare^Carla", day: "20240302", description: "Head new" };
const OLD: Study<'_> = Study { number: 2, day: "20230110", description: "Head old", ..NEW };
const VOLUME: Study<'_> =
    Study { number: 3, patient: "VOL-1", name: "Block^Bea", day: "20240303", description: "Volume" };

impl Study<'_> {
    pub fn uid(&self) -> String {
        format!("{ROOT}.{}", self.number)
    }

    /// Puts an image into this study, as one of a series, and writes it into a folder.
    fn dress(&self, mut object: FileDicomObject<InMemDicomObject>, series: u32, number: u32, folder: &Path) {
        let uid = format!("{}.{series}.{number}", self.uid());
        for (tag, vr, value) in [
            (tags::PATIENT_ID, VR::LO, self.patient.to_owned()),
            (tags::PATIENT_NAME, VR::PN, self.name.to_owned()),
            (tags::STUDY_DATE, VR::DA, self.day.to_owned()),
            (tags::STUDY_DESCRIPTION, VR::LO, self.description.to_owned()),
            (tags::STUDY_INSTANCE_UID, VR::UI, self.uid()),
            (tags::SERIES_INSTANCE_UID, VR::UI, format!("{}.{series}", self.uid())),
            (tags::SERIES_NUMBER, VR::IS, series.to_string()),
            (tags::FRAME_OF_REFERENCE_UID, VR::UI, format!("{}.9", self.uid())),
            (tags::INSTANCE_NUMBER, VR::IS, number.to_string()),
            (tags::SOP_INSTANCE_UID, VR::UI, uid.clone()),
        ] {
            put(&mut object, tag, vr, value);
        }
        object.meta_mut().media_storage_sop_instance_uid = uid.clone();
        object.write_to_file(folder.join(format!("{uid}.dcm"))).unwrap();
    }
}

fn put(object: &mut InMemDicomObject, tag: Tag, vr: VR, value: impl Into<PrimitiveValue>) {
    object.put(DataElement::new(tag, vr, value.into()));
}

/// The head CT in another study.
pub fn head(study: &Study<'_>, folder: &Path) {
    let files = std::fs::read_dir(head_ct()).unwrap().map(|entry| entry.unwrap().path());
    for (number, path) in (1..).zip(files) {
        study.dress(open_file(path).unwrap(), 1, number, folder);
    }
}

/// Even slices that can be reconstructed: one real slice again and again, each a little further.
fn volume(folder: &Path) {
    let slice = testkit::samples::fixtures().join("formats/CT_small.dcm");
    for number in 1..=SLICES {
        let mut object = open_file(&slice).unwrap();
        let position = format!("-158.135803\\-179.035797\\{}", number * 2);
        put(&mut object, tags::IMAGE_POSITION_PATIENT, VR::DS, position);
        put(&mut object, tags::IMAGE_ORIENTATION_PATIENT, VR::DS, "1\\0\\0\\0\\1\\0");
        put(&mut object, tags::SLICE_THICKNESS, VR::DS, "2");
        VOLUME.dress(object, 1, number, folder);
    }
}

/// A page of paper as an Encapsulated PDF (PS3.3 section A.45.1).
fn request_form(study: &Study<'_>, folder: &Path) {
    let mut object = InMemDicomObject::new_empty();
    put(&mut object, tags::SOP_CLASS_UID, VR::UI, uids::ENCAPSULATED_PDF_STORAGE);
    put(&mut object, tags::SOP_INSTANCE_UID, VR::UI, "1");
    put(&mut object, tags::MODALITY, VR::CS, "DOC");
    put(&mut object, tags::SERIES_DESCRIPTION, VR::LO, "Request form");
    put(&mut object, tags::MIME_TYPE_OF_ENCAPSULATED_DOCUMENT, VR::LO, "application/pdf");
    let mut page = b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Count 1/Kids[3 0 R]>>endobj \
        3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
        .to_vec();
    // More than is kept in the metadata, as every real document is.
    page.extend(std::iter::repeat_n(b'\n', 4096));
    put(&mut object, tags::ENCAPSULATED_DOCUMENT, VR::OB, PrimitiveValue::U8(page.into()));
    let meta = FileMetaTableBuilder::new().transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    study.dress(object.with_meta(meta).unwrap(), 2, 1, folder);
}

/// Waits until a study is complete and drafted.
pub fn drafted(site: &Site, browser: &Browser, study: &Study<'_>, images: u32) {
    site.until(&format!("{} is drafted", study.description), || {
        let list = browser.get("/api/v1/worklist");
        let entry = list["entries"].as_array()?.iter().find(|entry| entry["study_uid"] == study.uid())?;
        let is_there = entry["draft"] == "current"
            && entry["instance_count"] == images
            && entry["completeness"]["state"] == "complete";
        is_there.then_some(())
    });
}

/// Chromium with the service's viewer.
pub struct Chromium {
    program: String,
    playwright: String,
    pub viewer: String,
    node: String,
}

impl Chromium {
    /// `None` where a part is not there.
    pub fn find() -> Option<Self> {
        Some(Self {
            program: named_by("TELERAD_TEST_CHROMIUM")?,
            playwright: named_by("TELERAD_TEST_PLAYWRIGHT")?,
            viewer: named_by("TELERAD_TEST_VIEWER_DIR")?,
            node: named_by("TELERAD_TEST_NODE")?,
        })
    }

    /// Runs a script as a reader who signs in.
    pub fn run(&self, site: &Site, browser: &Browser, script: &str, study: &Study<'_>) {
        let output = Command::new(&self.node)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser").join(script))
            .env("BASE", site.url(""))
            .env("LOGIN", "ada")
            .env("PASSWORD", &browser.password)
            .env("CHROMIUM", &self.program)
            .env("PLAYWRIGHT", &self.playwright)
            .env("SHOTS", std::env::var_os("TELERAD_TEST_SHOTS").unwrap_or(site.folder.path().into()))
            .env("STUDY", study.uid())
            .output()
            .unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let log = std::fs::read_to_string(site.log()).unwrap_or_default();
        assert!(output.status.success(), "{out}\n{err}\n{log}");
    }
}

#[test]
fn a_radiologist_uses_the_viewer() {
    let Some(chromium) = Chromium::find() else { return };
    let site = Site::new().with("HTTP__VIEWER_DIR", chromium.viewer.clone());
    prepare(&site);
    let _serving = site.serve();
    let browser = site.reader();
    let folder = tempfile::tempdir().unwrap();
    head(&NEW, folder.path());
    request_form(&NEW, folder.path());
    head(&OLD, folder.path());
    volume(folder.path());
    let to = format!("dicom://127.0.0.1:{}/TELERAD", site.dicom);
    site.run(&["send", "--to", &to, "--calling", "NORTH_CT", folder.path().to_str().unwrap()]);
    for (study, images) in [(&NEW, 29), (&OLD, 28), (&VOLUME, SLICES)] {
        drafted(&site, &browser, study, images);
    }
    chromium.run(&site, &browser, "viewer.mjs", &NEW);

    // What was measured is a DICOM SR of the study, and the report is about images that have it.
    let path = format!("/dicomweb/centres/north-clinic/studies/{}/series?Modality=SR", NEW.uid());
    let (status, series) = browser.send("GET", &path, None);
    assert_eq!((status, series.as_array().map(Vec::len)), (200, Some(1)), "{series}");
    let study = browser.get(&format!("/api/v1/studies/north-clinic/{}", NEW.uid()));
    assert_eq!(study["image_set"]["count"], json!(30));
    assert_eq!(study["versions"].as_array().map(Vec::len), Some(1));
}
