//! Metadata documents, and notes of where frames are.

use std::sync::Arc;

use domain::{
    digest::Sha256Digest, document::SeriesDocument, image::FrameIndex, object::ObjectName, port::Catalog,
    study::StudyKey, uid::SeriesInstanceUid,
};

use super::world::{World, at, image, with_other_bytes, world};

fn document(study: &StudyKey, generation: u64, salt: &str) -> SeriesDocument {
    let series = SeriesInstanceUid::parse(&format!("{}.1", study.uid)).unwrap();
    let sha256 = Sha256Digest::of(salt.as_bytes());
    let name = ObjectName::SeriesDocument {
        centre: study.centre.clone(),
        study: study.uid.clone(),
        series: series.clone(),
        sha256,
    };
    SeriesDocument {
        study: study.clone(),
        series,
        generation,
        form: "f1".into(),
        contents: sha256,
        object: name.key(),
        bytes: 77,
    }
}

/// The document of the only series of a study.
async fn found(world: &World, study: &StudyKey) -> Option<SeriesDocument> {
    let known = world.catalog.documents(study, None).await.unwrap().unwrap();
    assert_eq!(known.series.len(), 1);
    known.series.into_iter().next().unwrap().document
}

/// A document is kept for the generation that it was made for, in the place of the one before; a row names its object as long.
pub async fn a_document_belongs_to_a_generation(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let study = world.key("1.2");
    assert_eq!(world.catalog.documents(&study, None).await.unwrap(), None);
    assert!(
        !world.catalog.put_document(&document(&study, 0, "a"), at(1)).await.unwrap(),
        "there is no study"
    );
    world.images("1.2", &["1.2.1.1", "1.2.1.2"], 0).await;
    assert_eq!(found(&world, &study).await, None);
    let first = document(&study, 2, "a");
    assert!(world.catalog.put_document(&first, at(1)).await.unwrap());
    assert_eq!(found(&world, &study).await, Some(first.clone()));
    for generation in [1, 3] {
        assert!(!world.catalog.put_document(&document(&study, generation, "b"), at(2)).await.unwrap());
    }
    assert_eq!(world.catalog.unnamed(&[first.object.clone().into()]).await.unwrap(), []);
    world.images("1.2", &["1.2.1.3"], 3).await;
    let known = world.catalog.documents(&study, Some(&first.series)).await.unwrap().unwrap();
    assert_eq!((known.generation, known.series[0].document.as_ref().unwrap().generation), (3, 2));
    let second = document(&study, 3, "b");
    assert!(world.catalog.put_document(&second, at(4)).await.unwrap());
    assert_eq!(found(&world, &study).await, Some(second.clone()));
    let objects = [first.object.into(), second.object.into()];
    assert_eq!(world.catalog.unnamed(&objects).await.unwrap(), objects[..1]);
    let none = SeriesInstanceUid::parse("9.9").unwrap();
    assert!(world.catalog.documents(&study, Some(&none)).await.unwrap().unwrap().series.is_empty());
    assert_eq!(world.catalog.condemn(&objects, at(5)).await.unwrap(), objects[..1]);
    let back = document(&study, 3, "a");
    assert!(!world.catalog.put_document(&back, at(6)).await.unwrap(), "its object is about to be removed");
}

/// A study that became quiet waits for its documents, for one process at a time, until it is done; more images make it wait anew.
pub async fn quiet_studies_wait_for_documents(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let catalog = &world.catalog;
    assert_eq!(catalog.take_document_due(at(99), at(199)).await.unwrap(), None);
    world.images("1.2", &["1.2.1.1"], 0).await;
    catalog.decide_completeness(&world.key("1.2"), at(5)).await.unwrap();
    assert_eq!(catalog.documents_due().await.unwrap(), 0, "images may come");
    catalog.decide_completeness(&world.key("1.2"), at(60)).await.unwrap();
    assert_eq!(catalog.documents_due().await.unwrap(), 1);
    let due = catalog.take_document_due(at(61), at(100)).await.unwrap().unwrap();
    assert_eq!((&due.study, due.tries, due.until), (&world.key("1.2"), 1, at(100)));
    assert_eq!(catalog.take_document_due(at(99), at(200)).await.unwrap(), None, "somebody has it");
    let again = catalog.take_document_due(at(100), at(200)).await.unwrap().unwrap();
    assert_eq!(again.tries, 2, "who had it has gone");
    catalog.document_done(&due).await.unwrap();
    assert_eq!(catalog.documents_due().await.unwrap(), 1, "it is with another one");
    catalog.document_done(&again).await.unwrap();
    assert_eq!(catalog.documents_due().await.unwrap(), 0);
    world.images("1.2", &["1.2.1.2"], 300).await;
    catalog.decide_completeness(&world.key("1.2"), at(400)).await.unwrap();
    let due = catalog.take_document_due(at(401), at(500)).await.unwrap().unwrap();
    assert_eq!(due.tries, 1);
}

/// Where frames are is known of the content for which it was said, the long way and the short way.
pub async fn frames_are_noted_with_their_content(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    for (number, note) in [(1, Some(vec![1, 0, 255])), (2, Some(vec![7; 300])), (3, None)] {
        let mut arrival = image(&world.centre, "1.2", &format!("1.2.1.{number}"), 0);
        arrival.instance.attributes.frame_index = note.map(|note| FrameIndex(note.into()));
        let instance = arrival.instance.clone();
        world.catalog.record_arrivals(&[arrival.clone()], at(0)).await.unwrap();
        let kept = world.catalog.instance(&world.centre, &instance.sop_instance).await.unwrap().unwrap();
        assert_eq!(kept.attributes.frame_index, instance.attributes.frame_index);
        // Another content that is held changes nothing.
        let mut other = with_other_bytes(arrival, "x");
        other.instance.attributes.frame_index = Some(FrameIndex(Box::new([9])));
        world.catalog.record_arrivals(&[other], at(1)).await.unwrap();
        let kept = world.catalog.instance(&world.centre, &instance.sop_instance).await.unwrap().unwrap();
        assert_eq!(kept.attributes.frame_index, instance.attributes.frame_index);
    }
}
