//! Uploads, what became of their files, and where studies stand.

use std::sync::Arc;

use domain::{
    audit::Actor,
    id::{CentreId, UploadBatchId, UploadId, UploadSpoolId},
    journey::Stage,
    port::{
        Catalog,
        catalog::{BatchFilter, JourneyFilter},
    },
    reading::ClaimChange,
    upload::{FileOutcome, PromisedImage, Upload, UploadEnding, UploadName, UploadState, UploadedFile},
};

use super::world::{World, add_centre, at, image, later, sop_uid, study_uid, world};

fn upload(world: &World, batch: UploadBatchId, name: &str, second: i64) -> Upload {
    Upload {
        id: UploadId::fresh(),
        centre: world.centre.clone(),
        batch,
        spool: UploadSpoolId::fresh(),
        name: UploadName::new(name),
        bytes: 1000,
        by: Actor::Person(world.reader).text(),
        created: at(second),
        expires: at(second + 100),
        state: UploadState::Arriving,
    }
}

fn file(position: u32, outcome: FileOutcome) -> UploadedFile {
    UploadedFile { position, name: UploadName::new(&format!("IMAGES/{position}")), outcome }
}

fn all(centre: &CentreId) -> BatchFilter {
    BatchFilter { centre: centre.clone(), batch: None, limit: 10, lines_max: 10 }
}

/// An upload is begun, arrives and ends once; what is open is found by its spool.
pub async fn uploads_are_begun_and_ended_once(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let by = Actor::Person(world.reader);
    let batch = UploadBatchId::fresh();
    let one = upload(&world, batch, "disc.zip", 1);
    let two = Upload {
        id: UploadId::fresh(),
        spool: one.spool,
        state: UploadState::Waiting,
        ..upload(&world, batch, "b", 2)
    };
    assert!(world.catalog.begin_upload(&one, &by).await.unwrap());
    assert!(world.catalog.begin_upload(&two, &by).await.unwrap());
    assert_eq!(world.catalog.upload(one.id).await.unwrap(), Some(one.clone()));
    assert_eq!(world.catalog.upload(UploadId::fresh()).await.unwrap(), None);
    let begun = world.catalog.trail(Some(&world.centre), 50).await.unwrap();
    let lines: Vec<_> = begun.iter().filter(|line| line.action == "upload_begun").collect();
    assert_eq!(lines.len(), 1, "one line for a batch");
    assert_eq!(lines[0].actor, by.text());

    let south = add_centre(&world.catalog, "south").await;
    let stranger = Upload { centre: south, ..upload(&world, batch, "x", 3) };
    assert!(!world.catalog.begin_upload(&stranger, &by).await.unwrap(), "another centre's batch");
    assert_eq!(world.catalog.upload(stranger.id).await.unwrap(), None);

    let open = world.catalog.open_uploads(one.spool, None, 10).await.unwrap();
    assert_eq!(open, [one.clone(), two.clone()]);
    let open = async |after, limit| world.catalog.open_uploads(one.spool, after, limit).await.unwrap();
    assert_eq!(open(Some(one.id), 10).await, std::slice::from_ref(&two));
    assert_eq!(open(None, 1).await, std::slice::from_ref(&one));
    assert_eq!(world.catalog.open_uploads(UploadSpoolId::fresh(), None, 10).await.unwrap(), []);

    assert!(world.catalog.upload_arrived(one.id).await.unwrap());
    assert!(world.catalog.upload_arrived(one.id).await.unwrap(), "saying it twice is no harm");
    let waiting = world.catalog.upload(one.id).await.unwrap().unwrap();
    assert_eq!(waiting.state, UploadState::Waiting);
    let refused = UploadEnding::Refused { reason: "It is a bomb.".into(), next_step: "Do not.".into() };
    assert!(world.catalog.end_upload(&one, &[], &refused, at(9)).await.unwrap());
    assert!(!world.catalog.end_upload(&one, &[], &UploadEnding::TakenIn, at(10)).await.unwrap());
    assert!(!world.catalog.upload_arrived(one.id).await.unwrap());
    let ended = world.catalog.upload(one.id).await.unwrap().unwrap();
    assert_eq!(ended.state, UploadState::Ended { ending: refused, at: at(9) });
    assert_eq!(world.catalog.open_uploads(one.spool, None, 10).await.unwrap(), [two]);
}

/// What became of files is counted by study, refusals are listed, a disc's directory is compared with what is here.
pub async fn batches_say_what_became_of_files(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let by = Actor::Person(world.reader);
    let batch = UploadBatchId::fresh();
    let disc = upload(&world, batch, "disc.zip", 1);
    let bad = upload(&world, batch, "bad.zip", 2);
    for upload in [&disc, &bad] {
        assert!(world.catalog.begin_upload(upload, &by).await.unwrap());
    }
    let known = image(&world.centre, "1.2", "1.2.3", 1);
    world.catalog.record_arrivals(&[known], at(1)).await.unwrap();
    let study = study_uid("1.2");
    let refused = FileOutcome::NotStored {
        study: Some(study.clone()),
        reason: "It is cut.".into(),
        next_step: "Send it again.".into(),
    };
    let files = [
        file(0, FileOutcome::NotAnImage { what: "a program".into() }),
        file(1, FileOutcome::Stored { study: study.clone() }),
        file(2, FileOutcome::AlreadyStored { study: study.clone() }),
    ];
    let promised = [("1.2.3", "IMAGES/1"), ("1.2.4", "IMAGES/2")]
        .map(|(uid, name)| PromisedImage { sop_instance: sop_uid(uid), name: UploadName::new(name) });
    world.catalog.keep_uploaded(&disc, &files, &promised).await.unwrap();
    world.catalog.keep_uploaded(&disc, &[file(1, refused.clone())], &promised).await.unwrap();
    assert_eq!(world.catalog.uploaded_positions(&disc).await.unwrap(), [0, 1, 2]);
    assert!(world.catalog.uploaded_positions(&bad).await.unwrap().is_empty());
    let last = [file(3, refused), file(4, FileOutcome::Stored { study: study_uid("1.9") })];
    assert!(world.catalog.end_upload(&disc, &last, &UploadEnding::TakenIn, at(5)).await.unwrap());
    let ending = UploadEnding::Refused { reason: "No ZIP.".into(), next_step: "Make it anew.".into() };
    assert!(world.catalog.end_upload(&bad, &[], &ending, at(6)).await.unwrap());

    let found = world.catalog.upload_batches(&all(&world.centre)).await.unwrap().remove(0);
    assert_eq!((found.id, found.began, found.by.as_str()), (batch, at(1), by.text().as_str()));
    assert_eq!((found.arriving, found.waiting, found.ended, found.bytes), (0, 0, 2, 2000));
    assert_eq!((found.not_images, found.not_stored), (1, 2));
    let reasons: Vec<_> = found.refusals.iter().map(|one| (one.name.as_str(), one.reason.as_str())).collect();
    assert_eq!(reasons, [("bad.zip", "No ZIP."), ("IMAGES/3", "It is cut.")]);
    assert_eq!((found.promised, found.missing), (2, 1));
    assert_eq!(found.missing_names, [UploadName::new("IMAGES/2")]);
    let counts: Vec<_> = found
        .studies
        .iter()
        .map(|one| (one.study.as_str(), one.stored, one.already_stored, one.not_stored))
        .collect();
    assert_eq!(counts, [("1.2", 1, 1, 1), ("1.9", 1, 0, 0)]);
    assert_eq!(found.studies[0].modalities, ["CT"]);
    assert!(found.studies[0].attributes.is_some() && found.studies[1].attributes.is_none());

    let short = BatchFilter { lines_max: 1, ..all(&world.centre) };
    let short = world.catalog.upload_batches(&short).await.unwrap().remove(0);
    assert_eq!((short.studies.len(), short.refusals.len(), short.not_stored), (1, 1, 2));
}

/// A centre sees its own batches, the latest first; old ones are forgotten when nothing of them is open.
pub async fn batches_are_listed_and_forgotten(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let by = Actor::Person(world.reader);
    let south = add_centre(&world.catalog, "south").await;
    let mut uploads = Vec::new();
    for second in 1..=3 {
        let one = upload(&world, UploadBatchId::fresh(), "a", second);
        assert!(world.catalog.begin_upload(&one, &by).await.unwrap());
        uploads.push(one);
    }
    let list = async |filter: BatchFilter| -> Vec<UploadBatchId> {
        world.catalog.upload_batches(&filter).await.unwrap().iter().map(|batch| batch.id).collect()
    };
    let ids: Vec<_> = uploads.iter().map(|upload| upload.batch).collect();
    assert_eq!(list(all(&world.centre)).await, [ids[2], ids[1], ids[0]]);
    assert_eq!(list(BatchFilter { limit: 1, ..all(&world.centre) }).await, [ids[2]]);
    assert_eq!(list(BatchFilter { batch: Some(ids[0]), ..all(&world.centre) }).await, [ids[0]]);
    assert_eq!(list(all(&south)).await, []);
    assert_eq!(list(BatchFilter { batch: Some(ids[0]), ..all(&south) }).await, []);

    let stored = [file(0, FileOutcome::Stored { study: study_uid("1.2") })];
    let end = async |upload: &Upload| {
        world.catalog.end_upload(upload, &stored, &UploadEnding::TakenIn, at(9)).await.unwrap();
    };
    end(&uploads[0]).await;
    end(&uploads[2]).await;
    assert_eq!(
        world.catalog.forget_uploads(at(3), 10).await.unwrap(),
        1,
        "the second is open, the third young"
    );
    assert_eq!(list(all(&world.centre)).await, [ids[2], ids[1]]);
    assert_eq!(world.catalog.upload(uploads[0].id).await.unwrap(), None);
}

/// A centre's studies stand with their stage, the latest arrival first, page by page; nobody else's are there.
pub async fn journeys_are_listed(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let south = add_centre(&world.catalog, "south").await;
    for (centre, study, second) in [(&world.centre, "1.1", 1), (&world.centre, "1.2", 2), (&south, "1.3", 3)]
    {
        let arrival = image(centre, study, &format!("{study}.5"), second);
        world.catalog.record_arrivals(&[arrival], at(second)).await.unwrap();
    }
    let list = async |filter: &JourneyFilter| world.catalog.journeys(filter).await.unwrap();
    let north = JourneyFilter { centre: world.centre.clone(), text: None, offset: 0, limit: 10 };
    let found = list(&north).await;
    let uids: Vec<_> = found.iter().map(|one| one.study.key.uid.as_str()).collect();
    assert_eq!(uids, ["1.2", "1.1"]);
    assert_eq!(found[0].stage(at(3)), (Stage::Arriving, at(2)));
    assert!(found[0].outbox_waits && found[0].draft.is_none() && !found[0].needs_attention());
    let second = list(&JourneyFilter { offset: 1, limit: 1, ..north.clone() }).await;
    assert_eq!(second[0].study.key, world.key("1.1"));
    assert_eq!(list(&JourneyFilter { text: Some("pat-1".into()), ..north.clone() }).await.len(), 2);
    assert_eq!(list(&JourneyFilter { text: Some("nobody".into()), ..north.clone() }).await.len(), 0);
    assert_eq!(list(&JourneyFilter { centre: south, ..north.clone() }).await.len(), 1);

    let key = world.key("1.1");
    world.catalog.decide_completeness(&key, later()).await.unwrap();
    for row in world.catalog.due_outbox(later(), 10).await.unwrap() {
        world.catalog.mark_published(row.work.id, row.work.revision, later()).await.unwrap();
    }
    let queued = list(&JourneyFilter { offset: 1, ..north.clone() }).await.remove(0);
    assert_eq!(queued.stage(later()), (Stage::Queued, later()));
    world.catalog.change_claim(&key, ClaimChange::Take, world.reader, later()).await.unwrap();
    let read = list(&JourneyFilter { offset: 1, ..north }).await.remove(0);
    assert_eq!(read.stage(later()), (Stage::BeingRead, later()));
}
