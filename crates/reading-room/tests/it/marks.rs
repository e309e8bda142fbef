//! Marked images: a picture of each, and what goes out is what was shown.

use axum::http::StatusCode;
use bytes::Bytes;
use domain::{
    digest::Sha256Digest,
    object::ObjectName,
    port::{Clock as _, catalog::Images as _, storage::store_bytes},
};
use serde_json::{Value, json};

use crate::world::{World, arrival, centre, key, path, world};

/// An image of the study that has pixels, as number 9.
async fn image_arrives(world: &World) -> String {
    let file = std::fs::read(testkit::samples::fixtures().join("formats/CT_small.dcm")).unwrap();
    let sha256 = Sha256Digest::of(&file);
    let mut arrival = arrival(9, world.clock.now());
    let instance = &mut arrival.instance;
    let name = ObjectName::Instance {
        centre: centre("north"),
        study: key().uid,
        series: instance.series.clone(),
        instance: instance.sop_instance.clone(),
        sha256,
    };
    (instance.bytes, instance.file_sha256, instance.object) = (file.len() as u64, sha256, name.key().into());
    let uid = instance.sop_instance.to_string();
    store_bytes(&*world.storage, &name.key(), Bytes::from(file)).await.unwrap();
    world.catalog.record_arrivals(&[arrival], world.clock.now()).await.unwrap();
    uid
}

#[tokio::test]
async fn a_marked_image_goes_out_as_it_was_shown() {
    let world = world().await;
    let ada = world.sign_in("ada").await;
    let instance = image_arrives(&world).await;
    world.drafted(90).await;
    assert_eq!(
        world.get(&ada, &path("/marked-images")).await.json(),
        json!({"images": [], "left_out": 0}),
        "no document, no marks"
    );
    let shown = world.get(&ada, &path(&format!("/marked-images/{instance}/1"))).await;
    assert_eq!((shown.status, shown.header("content-type")), (StatusCode::OK, "image/png"));
    assert_eq!(
        world.get(&ada, &path(&format!("/marked-images/{instance}/2"))).await.status,
        StatusCode::NOT_FOUND
    );
    let dee = world.sign_in("dee").await;
    assert_eq!(world.get(&dee, &path("/marked-images")).await.code(), "forbidden");

    world.claim(&ada, "take").await;
    let good = world.signing(&ada, "Normal.").await;
    let with = |marks: Value| {
        let mut signing = good.clone();
        signing["marked_images"] = marks;
        signing
    };
    let digest = Sha256Digest::of(&shown.body).to_string();
    let mark = json!({"instance": instance, "frame": 1, "digest": digest});
    for (marks, code) in [
        (json!([{"instance": instance, "frame": 1, "digest": "0".repeat(64)}]), "images_changed"),
        (json!([{"instance": "1.2.3.4.5", "frame": 1, "digest": digest}]), "images_changed"),
        (json!([{"instance": instance, "frame": 2, "digest": digest}]), "images_changed"),
        (json!([mark, mark]), "content"),
        (json!(vec![mark.clone(); 25]), "content"),
    ] {
        assert_eq!(world.sign(&ada, &with(marks.clone())).await.code(), code, "{marks}");
    }
    let signed = world.sign(&ada, &with(json!([mark]))).await;
    assert_eq!(signed.status, StatusCode::OK, "{}", signed.text());
    let version = signed.json();
    let captions: Vec<&Value> =
        version["key_images"].as_array().unwrap().iter().map(|image| &image["caption"]).collect();
    assert_eq!(captions, [&json!("Series without number, image 9"), &json!("Grey 90")]);
    assert_eq!((&version["key_images"][0]["digest"], &version["intact"]), (&json!(digest), &json!(true)));
    let picture = world.get(&ada, &path("/versions/1/key-images/0")).await;
    assert_eq!(picture.body, shown.body, "the picture that was shown");
    let again = world.sign(&ada, &with(json!([mark]))).await;
    assert_eq!(again.json(), version, "the same request again");
}
