//! Drafts, working copies, signatures.

use std::sync::Arc;

use domain::{
    digest::{ImageSetDigest, Sha256Digest},
    event::Event,
    id::PersonId,
    object::{ObjectKey, ObjectName},
    port::{
        Catalog, ChangeError,
        catalog::{DraftOutcome, EditRefusal, SignRefusal, SignRequest},
    },
    reading::{ClaimChange, ReadingState},
    report::{
        Draft, DraftContent, DraftSection, InvalidContent, KeyImage, Origin, QualityKind, QualityNote,
        ReportContent, SectionKind, Sentence, VersionKind,
    },
    study::ImageSet,
    uid::SeriesInstanceUid,
    work::Lane,
};
use futures::future::join_all;

use super::world::{World, add_person, at, content, order_for, sop_uid, study_uid, world};

pub(super) fn key_image(world: &World) -> KeyImage {
    let name = ObjectName::KeyImage {
        centre: world.centre.clone(),
        study: study_uid("1.2"),
        sha256: Sha256Digest::of(b"png"),
    };
    KeyImage {
        object: name.key(),
        caption: "Brain window, slice 14 of 28".into(),
        series: SeriesInstanceUid::parse("1.2.1").unwrap(),
        instance: sop_uid("1.2.1.1"),
        frame: 1,
        size: (512, 256),
    }
}

pub(super) fn draft(world: &World, images: ImageSet, text: &str) -> Draft {
    let header = Origin::Header { attributes: vec!["KVP".into()], series: None };
    let sentence = |text: &str, origin| Sentence { text: text.into(), origin };
    let prior = Origin::PriorReport { study: "1.1".into(), version: 2 };
    Draft {
        study: world.key("1.2"),
        images,
        at: at(7),
        content: DraftContent {
            author: "rules 1".into(),
            sections: vec![DraftSection {
                kind: SectionKind::Technique,
                sentences: vec![sentence(text, header), sentence("As before.", prior)],
            }],
            quality: vec![QualityNote { kind: QualityKind::MissingSlices, text: "slice 3".into() }],
            key_images: vec![key_image(world)],
        },
    }
}

fn sign_refusal<T: std::fmt::Debug>(outcome: Result<T, ChangeError<SignRefusal>>) -> SignRefusal {
    match outcome.unwrap_err() {
        ChangeError::Refused(refusal) => refusal,
        ChangeError::Catalog(error) => panic!("{error}"),
    }
}

fn edit_refusal<T: std::fmt::Debug>(outcome: Result<T, ChangeError<EditRefusal>>) -> EditRefusal {
    match outcome.unwrap_err() {
        ChangeError::Refused(refusal) => refusal,
        ChangeError::Catalog(error) => panic!("{error}"),
    }
}

/// A draft replaces only one of older images, and never touches a working copy.
pub async fn drafts_only_get_newer(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let key = world.key("1.2");
    world.images("1.2", &["1.2.1.1"], 0).await;
    world.catalog.change_claim(&key, ClaimChange::Take, world.reader, at(1)).await.unwrap();
    let copy = world.catalog.save_working_copy(&key, 0, world.reader, &content("mine"), at(2)).await.unwrap();
    let old = world.catalog.image_set(&key).await.unwrap().unwrap();
    world.images("1.2", &["1.2.1.2"], 3).await;
    let new = world.catalog.image_set(&key).await.unwrap().unwrap();
    assert_eq!(world.catalog.draft(&key).await.unwrap(), None);
    let (older, newer) = (draft(&world, old, "120 kV."), draft(&world, new, "100 kV."));
    assert_eq!(world.catalog.put_draft(&older).await.unwrap(), DraftOutcome::Kept);
    assert_eq!(world.catalog.draft(&key).await.unwrap().as_ref(), Some(&older));
    assert_eq!(world.catalog.put_draft(&newer).await.unwrap(), DraftOutcome::Kept);
    for late in [&older, &draft(&world, new, "other words")] {
        assert_eq!(world.catalog.put_draft(late).await.unwrap(), DraftOutcome::AlreadyThere);
    }
    assert_eq!(world.catalog.draft(&key).await.unwrap(), Some(newer));
    assert_eq!(world.catalog.working_copy(&key).await.unwrap(), Some(copy));
    let trail = world.catalog.study_trail(&key, 50).await.unwrap();
    assert_eq!(trail.iter().filter(|line| line.action == "drafted").count(), 2);
}

/// Only who holds the claim saves, on top of what they saw, and what can be kept.
pub async fn working_copies_are_compared_and_set(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let key = world.key("1.2");
    let other = add_person(&world.catalog, "bob").await;
    world.images("1.2", &["1.2.1.1"], 0).await;
    let save = async |based_on, by, text: &ReportContent, second| {
        world.catalog.save_working_copy(&key, based_on, by, text, at(second)).await
    };
    assert_eq!(edit_refusal(save(0, world.reader, &content("a"), 1).await), EditRefusal::NotYours);
    world.catalog.change_claim(&key, ClaimChange::Take, world.reader, at(1)).await.unwrap();
    let first = save(0, world.reader, &content("a"), 2).await.unwrap();
    assert_eq!((first.revision, first.by, first.at, &first.content), (1, world.reader, at(2), &content("a")));
    let second = save(1, world.reader, &content("b"), 3).await.unwrap();
    assert_eq!(second.revision, 2);
    assert_eq!(world.catalog.working_copy(&key).await.unwrap(), Some(second.clone()));
    let stale = edit_refusal(save(1, world.reader, &content("c"), 4).await);
    assert_eq!(stale, EditRefusal::Changed { revision: 2 });
    assert_eq!(edit_refusal(save(2, other, &content("c"), 4).await), EditRefusal::NotYours);
    let twice = ReportContent { sections: [content("x").sections, content("y").sections].concat() };
    let refused = edit_refusal(save(2, world.reader, &twice, 4).await);
    assert_eq!(refused, EditRefusal::Content(InvalidContent::Order));
    assert_eq!(world.catalog.working_copy(&key).await.unwrap(), Some(second));

    world.catalog.change_claim(&key, ClaimChange::TakeOver, other, at(5)).await.unwrap();
    assert_eq!(edit_refusal(save(2, world.reader, &content("d"), 6).await), EditRefusal::NotYours);
    assert_eq!(save(2, other, &content("e"), 7).await.unwrap().revision, 3);
    let text = content("f");
    let saves = (0..8).map(|_| save(3, other, &text, 8));
    let saved = join_all(saves).await.into_iter().filter(Result::is_ok).count();
    assert_eq!(saved, 1, "of eight windows one saves");
    let lost = world.catalog.save_working_copy(&world.key("9.9"), 0, other, &content("x"), at(9)).await;
    assert_eq!(edit_refusal(lost), EditRefusal::NotYours);
}

/// A signature binds what was asked for and ends claim and working copy; the notifier hears of it in the study's lane.
pub async fn a_signature_is_kept_whole(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let key = world.key("1.2");
    let order = order_for("ACC-1", "PAT-1", Lane::Stat);
    world.catalog.put_order(&world.centre, &order, &domain::audit::Actor::Operator, at(0)).await.unwrap();
    world.images("1.2", &["1.2.1.1", "1.2.1.2"], 0).await;
    world.publish_all().await;
    world.catalog.change_claim(&key, ClaimChange::Take, world.reader, at(1)).await.unwrap();
    world.catalog.save_working_copy(&key, 0, world.reader, &content("x"), at(2)).await.unwrap();
    let request = SignRequest { key_images: vec![key_image(&world)], ..world.to_sign("1.2", 0).await };
    let signed = world.catalog.sign(&request, at(3)).await.unwrap();
    assert_eq!((signed.number, signed.kind, &signed.content), (1, VersionKind::Final, &request.content));
    assert_eq!(signed.key_images, request.key_images);
    let signature = &signed.signature;
    assert_eq!(
        (signature.signer, signature.signer_name.as_str(), signature.at),
        (world.reader, "Dr ada", at(3))
    );
    assert_eq!(signature.signer_credentials.as_deref(), Some("Consultant Radiologist"));
    assert_eq!(Some(signature.images), world.catalog.image_set(&key).await.unwrap());
    assert!(signed.is_intact(None));
    assert_eq!(world.catalog.versions(&key).await.unwrap(), [signed]);
    let state = world.catalog.reading(&key).await.unwrap().unwrap().state;
    assert_eq!(state, ReadingState::Signed { version: 1, at: at(3), generation: 2, addendum: None });
    assert_eq!(world.catalog.working_copy(&key).await.unwrap(), None);
    let rows = world.outbox().await;
    let event = Event::ReportSignedV1 { centre: "north".into(), study: "1.2".into(), version: 1 };
    assert_eq!(
        (rows.len(), &rows[0].work.event, rows[0].work.lane, rows[0].due),
        (1, &event, Lane::Stat, at(3))
    );
    let last = world.catalog.study_trail(&key, 50).await.unwrap().pop().unwrap();
    assert_eq!((last.action.as_str(), last.at), ("signed", at(3)));
    assert!(!last.detail.contains("bleeding"));
}

/// Every reason to refuse a signature; nothing is written then.
pub async fn signatures_are_refused(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let key = world.key("1.2");
    let other = add_person(&world.catalog, "bob").await;
    world.images("1.2", &["1.2.1.1"], 0).await;
    let good = world.to_sign("1.2", 0).await;
    let refused = async |request: &SignRequest| sign_refusal(world.catalog.sign(request, at(5)).await);
    assert_eq!(refused(&good).await, SignRefusal::NotYours);
    world.catalog.change_claim(&key, ClaimChange::Take, world.reader, at(1)).await.unwrap();
    let unknown = SignRequest { study: world.key("9.9"), ..good.clone() };
    assert_eq!(refused(&unknown).await, SignRefusal::Unknown);
    assert_eq!(refused(&SignRequest { signer: other, ..good.clone() }).await, SignRefusal::NotYours);
    let empty = SignRequest { content: content(" \n"), ..good.clone() };
    assert_eq!(refused(&empty).await, SignRefusal::NoImpression);
    let long = "x".repeat(domain::report::SECTION_BYTES_MAX + 1);
    let long = SignRequest { content: content(&long), ..good.clone() };
    assert_eq!(refused(&long).await, SignRefusal::Content(InvalidContent::TooLong("Impression")));
    let ahead = SignRequest { after_version: 1, ..good.clone() };
    assert_eq!(refused(&ahead).await, SignRefusal::VersionChanged);
    let blind = SignRequest { image_set: ImageSetDigest::of([]), ..good.clone() };
    assert_eq!(refused(&blind).await, SignRefusal::ImagesChanged);
    world.images("1.2", &["1.2.1.2"], 2).await;
    assert_eq!(refused(&good).await, SignRefusal::ImagesChanged);
    let seen = world.to_sign("1.2", 0).await;
    let after = 1 + domain::reading::CLAIM_LEASE.as_secs();
    let late = world.catalog.sign(&seen, at(after)).await;
    assert_eq!(sign_refusal(late), SignRefusal::NotYours, "the claim ran out");
    assert_eq!(world.catalog.versions(&key).await.unwrap(), []);
    assert!(world.catalog.study_trail(&key, 50).await.unwrap().iter().all(|line| line.action != "signed"));
    world.catalog.sign(&seen, at(5)).await.unwrap();
    let second = SignRequest { content: content("other"), ..seen };
    assert_eq!(refused(&second).await, SignRefusal::VersionChanged);
}

/// The same request again gives the version that is there, and writes nothing; a different one is refused.
pub async fn signing_again_gives_what_is_there(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let key = world.key("1.2");
    world.images("1.2", &["1.2.1.1"], 0).await;
    world.catalog.change_claim(&key, ClaimChange::Take, world.reader, at(1)).await.unwrap();
    let request = world.to_sign("1.2", 0).await;
    let signed = world.catalog.sign(&request, at(2)).await.unwrap();
    world.publish_all().await;
    let trail = world.catalog.study_trail(&key, 50).await.unwrap();
    assert_eq!(world.catalog.sign(&request, at(9)).await.unwrap(), signed);
    assert_eq!(world.catalog.versions(&key).await.unwrap(), std::slice::from_ref(&signed));
    assert_eq!(world.catalog.study_trail(&key, 50).await.unwrap(), trail);
    assert_eq!(world.outbox().await, []);
    world.sign("1.2", 1, 20).await;
    let old = sign_refusal(world.catalog.sign(&request, at(21)).await);
    assert_eq!(old, SignRefusal::VersionChanged, "it is not the latest any more");
}

/// Ten signatures at once, half of them the same request: one version.
pub async fn signing_twice_at_once_signs_once(catalog: Arc<dyn Catalog>) {
    let world = Arc::new(world(catalog).await);
    let key = world.key("1.2");
    world.images("1.2", &["1.2.1.1"], 0).await;
    world.publish_all().await;
    world.catalog.change_claim(&key, ClaimChange::Take, world.reader, at(1)).await.unwrap();
    let request = world.to_sign("1.2", 0).await;
    let signs = (0..10).map(|n| {
        let text = if n % 2 == 0 { "No bleeding.".to_owned() } else { format!("Text {n}") };
        let request = SignRequest { content: content(&text), ..request.clone() };
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.catalog.sign(&request, at(2)).await })
    });
    let outcomes: Vec<_> = join_all(signs).await.into_iter().map(Result::unwrap).collect();
    let versions = world.catalog.versions(&key).await.unwrap();
    assert_eq!(versions.len(), 1);
    for outcome in outcomes {
        match outcome {
            Ok(signed) => assert_eq!(signed, versions[0]),
            Err(ChangeError::Refused(refusal)) => assert_eq!(refusal, SignRefusal::VersionChanged),
            Err(ChangeError::Catalog(error)) => panic!("{error}"),
        }
    }
    assert_eq!(world.outbox().await.len(), 1);
}

/// A version after the first is an addendum that names the one before by its hash.
pub async fn an_addendum_follows(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let key = world.signed("1.2").await;
    let other = add_person(&world.catalog, "bob").await;
    world.catalog.change_claim(&key, ClaimChange::Take, other, at(5)).await.unwrap();
    let request =
        SignRequest { signer: other, content: content("And more."), ..world.to_sign("1.2", 1).await };
    let addendum = world.catalog.sign(&request, at(6)).await.unwrap();
    let versions = world.catalog.versions(&key).await.unwrap();
    assert_eq!(versions[1], addendum);
    assert_eq!((addendum.number, addendum.kind), (2, VersionKind::Addendum));
    assert!(addendum.is_intact(Some(versions[0].signature.hash)) && !addendum.is_intact(None));
    assert!(versions[0].is_intact(None));
    let state = world.catalog.reading(&key).await.unwrap().unwrap().state;
    assert_eq!(state, ReadingState::Signed { version: 2, at: at(6), generation: 1, addendum: None });
    let stranger = SignRequest { signer: PersonId::fresh(), after_version: 2, ..request };
    assert_eq!(sign_refusal(world.catalog.sign(&stranger, at(7)).await), SignRefusal::NotYours);
}

/// Where a version's PDF rests is noted once.
pub async fn the_pdf_is_noted_once(catalog: Arc<dyn Catalog>) {
    let world = world(catalog).await;
    let key = world.signed("1.2").await;
    let pdf = |content: &[u8]| -> ObjectKey {
        ObjectName::ReportPdf {
            centre: world.centre.clone(),
            study: study_uid("1.2"),
            version: 1,
            sha256: Sha256Digest::of(content),
        }
        .key()
    };
    let (one, two) = (pdf(b"one"), pdf(b"two"));
    assert_eq!(world.catalog.pdf(&key, 1).await.unwrap(), None);
    assert_eq!(world.catalog.put_pdf(&key, 2, &one).await.unwrap(), None, "no such version");
    assert_eq!(world.catalog.put_pdf(&key, 1, &one).await.unwrap().as_ref(), Some(&one));
    assert_eq!(world.catalog.put_pdf(&key, 1, &two).await.unwrap().as_ref(), Some(&one));
    assert_eq!(world.catalog.pdf(&key, 1).await.unwrap(), Some(one));
}
