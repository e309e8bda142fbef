//! Metadata documents: made once a study is quiet or when somebody asks first, given out as they rest, made again when they are lost.

use std::{io::Read as _, sync::Arc, time::Duration};

use archive::{
    Config,
    upkeep::{self, Upkeep, sweep::Leave},
};
use domain::{
    document::SeriesDocument,
    object::ObjectName,
    port::{
        Clock as _, Storage as _,
        catalog::{Documents as _, Images as _},
        storage::store_bytes,
    },
    study::StudyKey,
};
use serde_json::Value;

use crate::support::{Answer, Bench, OHIF_FRAMES, Stored, Who};

fn key(stored: &Stored) -> StudyKey {
    StudyKey { centre: stored.instance.centre.clone(), uid: stored.instance.study.clone() }
}

/// The documents of a study that are current.
async fn current(bench: &Bench, study: &StudyKey) -> Vec<SeriesDocument> {
    let known = bench.catalog.documents(study, None).await.unwrap().unwrap();
    let all = known.series.into_iter().filter_map(|of| of.document);
    all.filter(|document| document.generation == known.generation).collect()
}

/// Waits until what an answer left to be kept is kept.
async fn kept(bench: &Bench, study: &StudyKey) -> SeriesDocument {
    for _ in 0..1_000 {
        if let Some(document) = current(bench, study).await.pop() {
            return document;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the document was not kept")
}

/// A study becomes quiet, and its documents are made behind the queue.
async fn quiet(bench: &Bench, study: &StudyKey) {
    bench.clock.turn(domain::Duration::from_hours(1));
    bench.catalog.decide_completeness(study, bench.clock.now()).await.unwrap();
    assert_eq!(bench.catalog.documents_due().await.unwrap(), 1);
    assert!(bench.documents.make_due().await.unwrap());
    assert!(!bench.documents.make_due().await.unwrap(), "it is done once");
    assert_eq!(bench.catalog.documents_due().await.unwrap(), 0);
}

async fn packed(bench: &Bench, who: &Who, path: &str) -> Answer {
    bench.ask(who, path, &[("accept-encoding", "gzip, deflate, br")]).await
}

fn unpacked(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.header("content-encoding"), "gzip");
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(answer.body.as_slice()).read_to_end(&mut text).unwrap();
    serde_json::from_slice(&text).unwrap()
}

#[tokio::test]
async fn a_document_says_what_the_images_say_packed_and_plain_for_every_host() {
    let bench = Bench::new().await;
    let head = bench.store_head(&bench.north).await;
    let program = bench.program(&bench.north).await;
    let path = format!("{}/metadata", head[0].series_path());
    let fresh = bench.get(&program, &path).await.rows();
    let study = key(&head[0]);
    kept(&bench, &study).await;
    bench.storage.reads();
    assert_eq!(bench.get(&program, &path).await.rows(), fresh);
    let answer = packed(&bench, &program, &path).await;
    assert_eq!(answer.header("content-type"), "application/dicom+json");
    assert_eq!(unpacked(&answer), fresh);
    assert!(answer.body.len() * 5 < serde_json::to_vec(&fresh).unwrap().len(), "{}", answer.body.len());
    let whole = format!("{}/metadata", head[0].study_path());
    assert_eq!(unpacked(&packed(&bench, &program, &whole).await), fresh);
    assert_eq!(bench.storage.reads().len(), 1, "the document, and then memory");
    let secure = [("x-forwarded-proto", "https"), ("accept-encoding", "gzip")];
    let secure = unpacked(&bench.ask(&program, &path, &secure).await);
    let address = secure[27]["7FE00010"]["BulkDataURI"].as_str().unwrap();
    assert_eq!(address.replace("https:", "http:"), fresh[27]["7FE00010"]["BulkDataURI"]);
    assert!(address.starts_with("https://images.example/dicomweb/studies/"), "{address}");
}

#[tokio::test]
async fn a_late_image_makes_another_document_and_the_sweep_takes_the_old_one() {
    let bench = Bench::new().await;
    let first = bench.store(&bench.north, "ct-head-ge-28/01.dcm").await;
    let study = key(&first);
    quiet(&bench, &study).await;
    let old = current(&bench, &study).await.pop().unwrap();
    bench.store(&bench.north, "ct-head-ge-28/02.dcm").await;
    assert!(current(&bench, &study).await.is_empty(), "it is of an older generation");
    let program = bench.program(&bench.north).await;
    let path = format!("{}/metadata", first.series_path());
    assert_eq!(bench.get(&program, &path).await.rows().len(), 2, "nothing stale is given out");
    quiet(&bench, &study).await;
    let new = current(&bench, &study).await.pop().unwrap();
    assert_ne!(old.object, new.object);
    assert_eq!(unpacked(&packed(&bench, &program, &path).await).len(), 2);

    let config = upkeep::Config::default();
    let clock = testkit::clock::ManualClock::at(written_later());
    let upkeep = Upkeep::new(bench.catalog.clone(), bench.storage.clone(), Arc::new(clock), config);
    let swept = upkeep.sweep(Leave::default()).await.unwrap();
    assert_eq!((swept.removed, swept.halted), (1, None));
    assert_eq!(swept.leftovers, [old.object.clone().into()]);
    assert_eq!(bench.storage.size(&old.object.into()).await.unwrap(), None);
    assert_eq!(bench.storage.size(&new.object.clone().into()).await.unwrap(), Some(new.bytes));
}

/// Stores date objects by their own clocks.
#[allow(clippy::disallowed_methods, reason = "stores date objects by their own clocks")]
fn written_later() -> domain::Timestamp {
    domain::Timestamp::now() + domain::Duration::from_hours(3)
}

#[tokio::test]
async fn many_old_documents_do_not_stop_a_sweep() {
    let bench = Bench::new().await;
    let image = bench.store(&bench.north, "ct-head-ge-28/01.dcm").await;
    for number in 0..30_u8 {
        let bytes = vec![number; 20];
        let name = ObjectName::SeriesDocument {
            centre: bench.north.clone(),
            study: image.instance.study.clone(),
            series: image.instance.series.clone(),
            sha256: domain::digest::Sha256Digest::of(&bytes),
        };
        store_bytes(&*bench.storage, &name.key(), bytes.into()).await.unwrap();
    }
    let clock = Arc::new(testkit::clock::ManualClock::at(written_later()));
    let upkeep = Upkeep::new(bench.catalog.clone(), bench.storage.clone(), clock, upkeep::Config::default());
    let swept = upkeep.sweep(Leave::default()).await.unwrap();
    assert_eq!((swept.removed, swept.halted), (30, None));
}

#[tokio::test]
async fn a_series_that_did_not_change_keeps_its_document() {
    let bench = Bench::new().await;
    let image = bench.store(&bench.north, "ct-head-ge-28/01.dcm").await;
    let study = key(&image);
    quiet(&bench, &study).await;
    let document = current(&bench, &study).await.pop().unwrap();
    let later = SeriesDocument { generation: document.generation + 1, ..document.clone() };
    assert!(!bench.catalog.put_document(&later, bench.clock.now()).await.unwrap(), "of no generation yet");
    // Another image, of a series of its own.
    let path = testkit::samples::fixtures().join("ct-head-ge-28/02.dcm");
    let other = bench.store_in_series(&bench.north, &path, "1.2.3.4.5").await;
    assert_eq!(key(&other), study);
    let program = bench.program(&bench.north).await;
    bench.storage.reads();
    let rows = bench.get(&program, &format!("{}/metadata", image.series_path())).await.rows();
    assert_eq!(rows.len(), 1);
    let reads = bench.storage.reads();
    assert!(reads.iter().all(|(object, _)| *object == document.object), "{reads:?}");
    assert_eq!(kept(&bench, &study).await.object, document.object);
}

#[tokio::test]
async fn what_is_lost_or_altered_is_made_again() {
    let bench = Bench::with(Config { metadata_cache_bytes: 0, ..Config::default() }).await;
    let images = [
        bench.store(&bench.north, "ct-head-ge-28/01.dcm").await,
        bench.store(&bench.north, "ct-head-ge-28/02.dcm").await,
    ];
    let (study, program) = (key(&images[0]), bench.program(&bench.north).await);
    quiet(&bench, &study).await;
    let document = current(&bench, &study).await.pop().unwrap();
    let path = format!("{}/metadata", images[0].series_path());
    let rows = unpacked(&packed(&bench, &program, &path).await);
    let file = bench.objects().join(document.object.as_str());
    let good = std::fs::read(&file).unwrap();
    for harm in [None, Some(good.len() / 2), Some(good.len() - 1), Some(3)] {
        match harm {
            None => std::fs::remove_file(&file).unwrap(),
            Some(place) => {
                let mut bad = good.clone();
                bad[place] ^= 4;
                std::fs::write(&file, bad).unwrap();
            }
        }
        assert_eq!(bench.get(&program, &path).await.rows(), rows, "{harm:?}");
        for _ in 0..1_000 {
            if std::fs::read(&file).is_ok_and(|bytes| bytes == good) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(std::fs::read(&file).unwrap() == good, "{harm:?}");
        assert_eq!(unpacked(&packed(&bench, &program, &path).await), rows, "{harm:?}");
    }
}

#[tokio::test]
async fn a_study_that_is_opened_costs_one_read_a_series_and_one_a_frame() {
    let folder = || tempfile::tempdir().unwrap();
    let mut benches = vec![Bench::new().await];
    if let Some(storage) = crate::upkeep::s3().await {
        benches
            .push(Bench::on(Config::default(), folder(), storage, testkit::pixels::InProcess::port()).await);
    }
    for bench in benches {
        let mut images = Vec::new();
        for slice in 1..=6 {
            images.push(bench.store(&bench.north, &format!("ct-head-ge-28/{slice:02}.dcm")).await);
        }
        images.push(bench.store(&bench.north, "formats/US1_J2KR.dcm").await);
        let study = key(&images[0]);
        quiet(&bench, &study).await;
        let program = bench.program(&bench.north).await;
        bench.storage.reads();
        let list = format!("{}/series", images[0].study_path());
        assert_eq!(bench.get(&program, &list).await.rows().len(), 1);
        let path = format!("{}/metadata", images[0].series_path());
        assert_eq!(unpacked(&packed(&bench, &program, &path).await).len(), 6);
        let reads = bench.storage.reads();
        assert!(
            matches!(reads.as_slice(), [(object, None)] if object.as_str().contains("/metadata/")),
            "{reads:?}"
        );
        for image in &images {
            let frame = bench.accept(&program, &format!("{}/frames/1", image.path()), OHIF_FRAMES).await;
            assert_eq!(frame.parts().len(), 1);
            let reads = bench.storage.reads();
            assert_eq!(reads.len(), 1, "{reads:?}");
            let (object, range) = &reads[0];
            assert_eq!(object, &image.instance.object.key);
            // The heads of its fragments stand between the bytes of a frame.
            let (range, bytes) = (range.clone().unwrap(), frame.parts()[0].body.len() as u64);
            assert!((bytes..=bytes + 64).contains(&(range.end - range.start)), "{range:?} for {bytes}");
        }
    }
}
