//! A world: a store and a catalog in a folder, and studies from the sample collection in them.

use std::sync::Arc;

use bytes::Bytes;
use catalog::SqlCatalog;
use domain::{
    Duration, Timestamp,
    audit::Actor,
    centre::{Centre, CentrePolicy},
    digest::Sha256Digest,
    id::CentreId,
    image::{Arrival, Instance, Source},
    object::ObjectName,
    port::{Catalog, DraftInput, DraftSeries, Storage, storage::store_bytes},
    report::{DraftContent, SectionKind},
    study::{Completeness, Series, Study, StudyKey},
    uid::StudyInstanceUid,
    work::Lane,
};
use imaging::{header::Header, stored};
use storage::FileStorage;
use tempfile::TempDir;
use testkit::{clock::ManualClock, samples};

pub const QUIET: Duration = Duration::from_secs(10);

pub struct World {
    pub storage: Arc<dyn Storage>,
    pub catalog: Arc<dyn Catalog>,
    pub clock: ManualClock,
    pub centre: CentreId,
    _folder: TempDir,
}

pub async fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let storage = FileStorage::open(folder.path().join("objects")).await.unwrap();
    let catalog = SqlCatalog::open_sqlite(folder.path().join("catalog.db")).await.unwrap();
    catalog.migrate().await.unwrap();
    let clock = ManualClock::monday();
    let centre = Centre {
        id: CentreId::parse("north").unwrap(),
        name: "North".into(),
        address: Vec::new(),
        phone: None,
        contact: None,
        policy: CentrePolicy { quiet_period: QUIET, ..CentrePolicy::default() },
    };
    let catalog: Arc<dyn Catalog> = Arc::new(catalog);
    catalog.put_centre(&centre, &Actor::Operator, now(&clock)).await.unwrap();
    World { storage: Arc::new(storage), catalog, clock, centre: centre.id, _folder: folder }
}

pub fn now(clock: &ManualClock) -> Timestamp {
    domain::port::Clock::now(clock)
}

/// The bytes of the sample files of a folder (or of one file), in order of name; `None`, said loudly, without the collection.
pub fn sample_files(name: &str) -> Option<Vec<Vec<u8>>> {
    let path = samples::collection()?.join(name);
    if path.is_file() {
        return Some(vec![std::fs::read(path).unwrap()]);
    }
    let mut files: Vec<_> = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    Some(files.into_iter().map(|file| std::fs::read(file).unwrap()).collect())
}

impl World {
    /// Stores a file, as intake would, and says what it is.
    pub async fn store(&self, file: Vec<u8>) -> Arrival {
        let bytes = Bytes::from(file);
        let stored = stored::header(&bytes, bytes.len() as u64).unwrap();
        let header = Header::read(&stored.header).unwrap();
        let sha256 = Sha256Digest::of(&bytes);
        let object = ObjectName::Instance {
            centre: self.centre.clone(),
            study: header.study_uid.clone(),
            series: header.series_uid.clone(),
            instance: header.sop_instance.clone(),
            sha256,
        };
        store_bytes(self.storage.as_ref(), &object.key(), bytes.clone()).await.unwrap();
        let mut attributes = header.instance;
        attributes.header_bytes = stored.header.stored_bytes(stored.meta_bytes, bytes.len() as u64);
        Arrival {
            instance: Instance {
                centre: self.centre.clone(),
                study: header.study_uid,
                series: header.series_uid,
                sop_instance: header.sop_instance,
                sop_class: header.sop_class,
                transfer_syntax: stored.transfer_syntax,
                object: object.key().into(),
                bytes: bytes.len() as u64,
                file_sha256: sha256,
                attributes,
                received: now(&self.clock),
            },
            study: header.study,
            series: header.series,
            source: Source::Web,
        }
    }

    /// Stores files and makes them known; gives the study of the first.
    pub async fn arrive(&self, files: Vec<Vec<u8>>) -> StudyKey {
        let mut arrivals = Vec::new();
        for file in files {
            arrivals.push(self.store(file).await);
        }
        self.record(&arrivals).await
    }

    pub async fn record(&self, arrivals: &[Arrival]) -> StudyKey {
        self.catalog.record_arrivals(arrivals, now(&self.clock)).await.unwrap();
        StudyKey { centre: self.centre.clone(), uid: arrivals[0].instance.study.clone() }
    }

    /// What a drafter is given of files that were stored, without the catalog.
    pub async fn input(&self, files: Vec<Vec<u8>>) -> DraftInput {
        let mut arrivals = Vec::new();
        for file in files {
            arrivals.push(self.store(file).await);
        }
        input_of(&arrivals)
    }

    /// Every key in the store.
    pub async fn keys(&self) -> Vec<String> {
        let keys = self.storage.list(None, 10_000).await.unwrap();
        keys.into_iter().map(|listed| listed.object.key.as_str().to_owned()).collect()
    }
}

pub fn input_of(arrivals: &[Arrival]) -> DraftInput {
    let first = &arrivals[0];
    let key = StudyKey { centre: first.instance.centre.clone(), uid: first.instance.study.clone() };
    let mut series: Vec<DraftSeries> = Vec::new();
    for arrival in arrivals {
        let uid = &arrival.instance.series;
        if !series.iter().any(|one| one.series.uid == *uid) {
            let known = Series {
                study: key.clone(),
                uid: uid.clone(),
                attributes: arrival.series.clone(),
                instance_count: 0,
            };
            series.push(DraftSeries { series: known, instances: Vec::new() });
        }
        let of = series.iter_mut().find(|one| one.series.uid == *uid).unwrap();
        of.instances.push(arrival.instance.clone());
    }
    let mut modalities: Vec<String> = arrivals.iter().filter_map(|a| a.series.modality.clone()).collect();
    modalities.sort();
    modalities.dedup();
    let at = first.instance.received;
    let study = Study {
        key,
        attributes: first.study.clone(),
        modalities,
        series_count: u32::try_from(series.len()).unwrap(),
        instance_count: u32::try_from(arrivals.len()).unwrap(),
        bytes: arrivals.iter().map(|arrival| arrival.instance.bytes).sum(),
        generation: 1,
        first_received: at,
        last_received: at,
        completeness: Completeness::arriving(at, QUIET),
        order: None,
        priority: Lane::Routine,
        conflict_count: 0,
    };
    DraftInput { study, series, order: None, priors: Vec::new() }
}

/// The text of one part of a draft.
pub fn text(draft: &DraftContent, kind: SectionKind) -> String {
    draft.to_content().text(kind).to_owned()
}

/// A study of a few small slices made by hand, 5 mm apart.
pub fn small_study(study: &str, patient: &str, date: &str, slices: u16) -> Vec<Vec<u8>> {
    StudyInstanceUid::parse(study).unwrap();
    (1..=slices).map(|number| small_slice(study, patient, date, number)).collect()
}

pub fn small_slice(study: &str, patient: &str, date: &str, number: u16) -> Vec<u8> {
    let mut file = [&[0; 128][..], b"DICM"].concat();
    let mut put = |group: u16, element: u16, vr: &str, value: &[u8]| {
        file.extend(group.to_le_bytes());
        file.extend(element.to_le_bytes());
        file.extend(vr.bytes());
        let padding = if value.len().is_multiple_of(2) {
            &b""[..]
        } else if vr == "UI" {
            &b"\0"[..]
        } else {
            &b" "[..]
        };
        let length = value.len() + padding.len();
        if matches!(vr, "OB" | "OW") {
            file.extend([0, 0]);
            file.extend(u32::try_from(length).unwrap().to_le_bytes());
        } else {
            file.extend(u16::try_from(length).unwrap().to_le_bytes());
        }
        file.extend(value);
        file.extend(padding);
    };
    put(0x0002, 0x0010, "UI", b"1.2.840.10008.1.2.1");
    put(0x0008, 0x0008, "CS", b"ORIGINAL\\PRIMARY\\AXIAL");
    put(0x0008, 0x0016, "UI", b"1.2.840.10008.5.1.4.1.1.2");
    put(0x0008, 0x0018, "UI", format!("{study}.1.{number}").as_bytes());
    put(0x0008, 0x0020, "DA", date.as_bytes());
    put(0x0008, 0x0060, "CS", b"CT");
    put(0x0008, 0x1030, "LO", b"CT HEAD");
    put(0x0010, 0x0020, "LO", patient.as_bytes());
    put(0x0018, 0x0050, "DS", b"5");
    put(0x0018, 0x0060, "DS", b"120");
    put(0x0018, 0x1210, "SH", b"H30s");
    put(0x0020, 0x000D, "UI", study.as_bytes());
    put(0x0020, 0x000E, "UI", format!("{study}.1").as_bytes());
    put(0x0020, 0x0011, "IS", b"2");
    put(0x0020, 0x0013, "IS", number.to_string().as_bytes());
    put(0x0020, 0x0032, "DS", format!("0\\0\\{}", u32::from(number) * 5).as_bytes());
    put(0x0020, 0x0037, "DS", b"1\\0\\0\\0\\1\\0");
    put(0x0028, 0x0002, "US", &[1, 0]);
    put(0x0028, 0x0004, "CS", b"MONOCHROME2");
    put(0x0028, 0x0010, "US", &[8, 0]);
    put(0x0028, 0x0011, "US", &[8, 0]);
    put(0x0028, 0x0100, "US", &[16, 0]);
    put(0x0028, 0x0101, "US", &[16, 0]);
    put(0x0028, 0x0102, "US", &[15, 0]);
    put(0x0028, 0x0103, "US", &[1, 0]);
    let pixels: Vec<u8> = (0..64_u16).flat_map(|pixel| (pixel + number).to_le_bytes()).collect();
    put(0x7FE0, 0x0010, "OW", &pixels);
    file
}
