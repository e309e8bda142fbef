//! I12: each view of patient data has its line, and a page that polls does not flood the audit.

use domain::{Duration, port::catalog::Trail as _};

use crate::world::{World, key, path, world};

async fn count(world: &World, action: &str) -> usize {
    let of_study = world.catalog.study_trail(&key(), 1000).await.unwrap();
    let of_none = world.catalog.trail(None, 1000).await.unwrap();
    of_study.iter().chain(&of_none).filter(|event| event.action == action).count()
}

#[tokio::test]
async fn looks_are_recorded_once_per_session_and_quarter_of_an_hour() {
    let world = world().await;
    let ada = world.sign_in("ada").await;
    for _ in 0..3 {
        world.study(&ada).await;
        world.get(&ada, "/api/v1/worklist").await;
        world.get(&ada, &path("/trail")).await;
    }
    assert_eq!((count(&world, "study_viewed").await, count(&world, "list_viewed").await), (1, 1));
    let bo = world.sign_in("bo").await;
    world.study(&bo).await;
    assert_eq!(count(&world, "study_viewed").await, 2, "somebody else");
    world.clock.turn(Duration::from_mins(14));
    world.study(&ada).await;
    assert_eq!(count(&world, "study_viewed").await, 2);
    world.clock.turn(Duration::from_mins(1));
    world.study(&ada).await;
    world.get(&ada, "/api/v1/worklist").await;
    assert_eq!((count(&world, "study_viewed").await, count(&world, "list_viewed").await), (3, 2));
}

#[tokio::test]
async fn the_trail_names_people() {
    let world = world().await;
    let ada = world.sign_in("ada").await;
    world.claim(&ada, "take").await;
    let trail = world.get(&ada, &path("/trail")).await.json();
    let events = trail["events"].as_array().unwrap();
    let claim = events.iter().find(|event| event["action"] == "claim_changed").unwrap();
    assert_eq!(claim["actor"], "Dr Ada Moreau");
    assert!(events.iter().any(|event| event["action"] == "images_stored"));
}
