//! Signatures: refused where they must be, made once, never changed.

use axum::http::StatusCode;
use domain::{
    digest::Sha256Digest,
    object::ObjectName,
    port::{catalog::Reports as _, storage::store_bytes},
};
use serde_json::{Value, json};

use crate::world::{key, path, world};

#[tokio::test]
async fn a_signature_needs_password_claim_impression_and_the_images_on_screen() {
    let world = world().await;
    let ada = world.sign_in("ada").await;
    let good = world.signing(&ada, "No haemorrhage.").await;
    let with = |name: &str, value: Value| {
        let mut signing = good.clone();
        signing[name] = value;
        signing
    };
    assert_eq!(world.sign(&ada, &good).await.code(), "not_yours");
    world.claim(&ada, "take").await;
    for (signing, status, code) in [
        (with("password", json!("wrong horse battery")), StatusCode::FORBIDDEN, "wrong_password"),
        (world.signing(&ada, " \n ").await, StatusCode::UNPROCESSABLE_ENTITY, "no_impression"),
        (with("image_set", json!("none")), StatusCode::UNPROCESSABLE_ENTITY, "content"),
        (with("image_set", json!("0".repeat(64))), StatusCode::CONFLICT, "images_changed"),
        (with("after_version", json!(1)), StatusCode::CONFLICT, "version_changed"),
        (with("key_images", json!([0])), StatusCode::CONFLICT, "images_changed"),
    ] {
        let answer = world.sign(&ada, &signing).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{signing}");
    }
    world.drafted(90).await;
    let digest = world.study(&ada).await["draft"]["key_images"][0]["digest"].clone();
    let twice = with("key_images", json!([digest, digest]));
    assert_eq!(world.sign(&ada, &twice).await.code(), "content");
    world.images_arrive([3]).await;
    assert_eq!(world.sign(&ada, &good).await.code(), "images_changed", "a late image");
    assert_eq!(world.study(&ada).await["versions"], json!([]), "nothing was signed");
    let bo = world.sign_in("bo").await;
    world.claim(&bo, "take_over").await;
    let again = world.signing(&ada, "No haemorrhage.").await;
    assert_eq!(world.sign(&ada, &again).await.code(), "not_yours");
    let mut by_digest = again;
    by_digest["key_images"] = json!([digest]);
    world.drafted(90).await;
    let signed = world.sign(&bo, &by_digest).await;
    assert_eq!(signed.status, StatusCode::OK, "the same picture of a renewed draft: {}", signed.text());
}

#[tokio::test]
async fn a_signature_is_made_once_and_stays() {
    let world = world().await;
    let ada = world.sign_in("ada").await;
    let png = world.drafted(90).await;
    world.claim(&ada, "take").await;
    let signing = world.signing(&ada, "No haemorrhage.").await;
    let signed = world.sign(&ada, &signing).await;
    assert_eq!(signed.status, StatusCode::OK, "{}", signed.text());
    let version = signed.json();
    assert_eq!((&version["number"], &version["kind"]), (&json!(1), &json!("final")));
    assert_eq!((&version["signer_name"], &version["intact"]), (&json!("Dr Ada Moreau"), &json!(true)));
    assert_eq!(version["meaning"], "I have read the images and this is my report");
    assert_eq!(version["image_set"], signing["image_set"]);

    let again = world.sign(&ada, &signing).await;
    assert_eq!((again.status, again.json()), (StatusCode::OK, version.clone()), "the same request again");
    let mut other = signing.clone();
    other["sections"][1]["text"] = json!("Haemorrhage.");
    assert_eq!(world.sign(&ada, &other).await.status, StatusCode::CONFLICT);

    let picture = world.get(&ada, &path("/versions/1/key-images/0")).await;
    assert_eq!(&picture.body[..], png.as_slice());
    world.images_arrive([3]).await;
    let study = world.study(&ada).await;
    assert_eq!(study["versions"], json!([version]), "late images change nothing signed");
    assert_eq!(study["entry"]["new_images_after_signature"], true);
    assert_eq!(study["entry"]["state"], "signed");
    assert_eq!(study["tasks"][0]["kind"], "images_after_signature");

    world.claim(&ada, "take").await;
    let mut addendum = world.signing(&ada, "Also no fracture.").await;
    addendum["key_images"] = json!([]);
    let added = world.sign(&ada, &addendum).await.json();
    assert_eq!(
        (&added["number"], &added["kind"], &added["intact"]),
        (&json!(2), &json!("addendum"), &json!(true))
    );
    let study = world.study(&ada).await;
    assert_eq!(study["versions"], json!([version, added]));
    assert_eq!(study["entry"]["new_images_after_signature"], false);
}

#[tokio::test]
async fn the_pdf_of_a_signed_version_is_the_one_that_was_made_for_it() {
    let world = world().await;
    let ada = world.sign_in("ada").await;
    world.drafted(90).await;
    world.claim(&ada, "take").await;
    let signing = world.signing(&ada, "No haemorrhage.").await;
    world.sign(&ada, &signing).await;
    let early = world.get(&ada, &path("/versions/1/report.pdf")).await;
    assert_eq!((early.status, early.code().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "being_made"));
    let bytes = b"%PDF-made once";
    let study = key();
    let name = ObjectName::ReportPdf {
        centre: study.centre.clone(),
        study: study.uid.clone(),
        version: 1,
        sha256: Sha256Digest::of(bytes),
    };
    store_bytes(&*world.storage, &name.key(), bytes.as_slice().into()).await.unwrap();
    world.catalog.put_pdf(&study, 1, &name.key()).await.unwrap();
    let first = world.get(&ada, &path("/versions/1/report.pdf")).await;
    assert_eq!(first.header("content-type"), "application/pdf");
    assert_eq!(first.body, bytes.as_slice());
    assert!(!first.header("content-disposition").contains("Roe"));
    assert_eq!(world.get(&ada, &path("/versions/2/report.pdf")).await.code(), "unknown");
}

#[tokio::test]
async fn wrong_passwords_at_signing_run_into_the_same_limit() {
    let world = world().await;
    let ada = world.sign_in("ada").await;
    world.claim(&ada, "take").await;
    let good = world.signing(&ada, "No haemorrhage.").await;
    let mut wrong = good.clone();
    wrong["password"] = json!("wrong horse battery");
    for _ in 0..gate::ATTEMPTS_PER_LOGIN_MAX {
        assert_eq!(world.sign(&ada, &wrong).await.code(), "wrong_password");
    }
    assert_eq!(world.sign(&ada, &good).await.status, StatusCode::TOO_MANY_REQUESTS);
}
