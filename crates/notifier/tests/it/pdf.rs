//! The PDF of a signed version: made once, and never in the way of the mail.

use domain::{
    event::Event,
    object::ObjectName,
    port::{Storage as _, catalog::Reports as _},
};

use crate::world::{World, work};

fn signed() -> Event {
    Event::ReportSignedV1 { centre: "north".into(), study: "2.25.991".into(), version: 1 }
}

#[tokio::test]
async fn a_pdf_is_made_once() {
    let world = World::new().await;
    let image = world.key_image(70).await;
    world.sign("A nodule.", vec![image]).await;
    world.pump().await;
    let key = world.catalog.pdf(&world.study, 1).await.unwrap().unwrap();
    assert!(matches!(key.name(), Some(ObjectName::ReportPdf { version: 1, .. })));
    let bytes = world.storage.read(&key.clone().into(), None).await.unwrap().collect(1 << 24).await.unwrap();
    assert!(bytes.starts_with(b"%PDF-"));
    // Whatever becomes of the file, it is not made again: it would not be the same one.
    world.storage.remove(&key.clone().into()).await.unwrap();
    world.worker.work(&work(signed())).await.unwrap();
    assert_eq!(world.catalog.pdf(&world.study, 1).await.unwrap(), Some(key.clone()));
    assert_eq!(world.storage.size(&key.clone().into()).await.unwrap(), None);
}

#[tokio::test]
async fn a_pdf_that_cannot_be_made_does_not_hold_up_the_mail() {
    let world = World::new().await;
    let image = world.key_image(70).await;
    world.sign("A nodule.", vec![image.clone()]).await;
    world.storage.remove(&image.object.clone().into()).await.unwrap();
    let due = world.due().await;
    for work in &due {
        let error = world.worker.work(work).await.unwrap_err();
        assert!(error.starts_with("a key image of the report cannot be read"), "{error}");
    }
    let mailed: Vec<_> = world
        .due()
        .await
        .into_iter()
        .filter(|work| matches!(work.event, Event::DeliveryDueV1 { .. }))
        .collect();
    assert_eq!(mailed.len(), 1);
    world.worker.work(&mailed[0]).await.unwrap();
    assert_eq!(world.mails().len(), 1);
    assert_eq!(world.catalog.pdf(&world.study, 1).await.unwrap(), None);
    for work in &due {
        world.worker.work(work).await.unwrap_err();
    }
    assert_eq!(world.deliveries().await.len(), 1, "the repeat opens nothing new");
}
