//! What becomes of requests beside one that goes wrong, and of the pool behind it.

use std::{sync::Arc, time::Duration};

use domain::{
    limit::TellsLimits as _,
    pixel::PixelSource,
    port::{Pixels as _, PixelsError},
    uid::TransferSyntaxUid,
};
use pixels::{Config, Pool};

use crate::support::{PNG, asking, config, frame, pool};

async fn shows(pool: &Pool) {
    let shown = pool.show(frame(b"\x01\x02\x03"), PNG).await.unwrap();
    assert_eq!((shown.width, shown.height), (4, 4));
    assert!(shown.file.starts_with(b"\x89PNG"));
}

fn tally(pool: &Pool, name: &str) -> u64 {
    pool.section().refused.iter().find(|tally| tally.name == name).unwrap().count
}

#[tokio::test]
async fn work_is_done_and_the_child_used_again() {
    let pool = pool();
    assert_eq!(pool.check().await.unwrap(), Vec::<String>::new(), "this system confines workers");
    for _ in 0..3 {
        shows(&pool).await;
    }
    let to = TransferSyntaxUid::parse("1.2.840.10008.1.2.5").unwrap();
    let packed = pool.recode(frame(b""), to).await.unwrap();
    assert_eq!(packed.bytes[..4], [1, 0, 0, 0]);
    let unknown = TransferSyntaxUid::parse("1.2.840.10008.1.2.4.90").unwrap();
    assert!(matches!(pool.recode(frame(b""), unknown).await, Err(PixelsError::Unsupported(_))));
    let PixelSource::Frame { transfer_syntax, header, .. } = frame(b"") else { unreachable!() };
    let short = PixelSource::Frame {
        transfer_syntax,
        header,
        number: 1,
        parts: vec![vec![0; 3].into()],
        skip_bits: 0,
    };
    assert!(matches!(pool.show(short, PNG).await, Err(PixelsError::Broken(_))));
    shows(&pool).await;
    assert_eq!(tally(&pool, "Images that could not be decoded"), 1);
}

#[tokio::test]
async fn a_child_that_dies_takes_one_request_with_it() {
    let pool = pool();
    for (what, why) in
        [('1', "it aborted"), ('3', "it aborted"), ('4', "it lost its way"), ('9', "it aborted")]
    {
        let error = pool.show(asking(what), PNG).await.unwrap_err();
        assert!(matches!(&error, PixelsError::BrokeDown(text) if text.starts_with(why)), "{what}: {error:?}");
        assert!(!error.is_passing());
        shows(&pool).await;
    }
    assert_eq!(tally(&pool, "Images that a decoder broke down on"), 4);
}

#[tokio::test]
async fn a_child_that_hangs_is_killed_and_others_go_on() {
    let two = Pool::new(Config { workers: 2, ..config() });
    let hanging = tokio::spawn({
        let pool = two.clone();
        async move { pool.show(asking('2'), PNG).await }
    });
    while !hanging.is_finished() {
        shows(&two).await;
    }
    assert!(matches!(hanging.await.unwrap(), Err(PixelsError::TooSlow { seconds: 3 })));
    shows(&two).await;
    assert_eq!(tally(&two, "Images that took a decoder too long"), 1);
}

#[tokio::test]
async fn who_waits_is_counted_and_who_gives_up_makes_room() {
    let pool = Pool::new(Config { waiting_max: 1, seconds_max: 60, ..config() });
    let ask = |what| {
        let pool = pool.clone();
        tokio::spawn(async move { pool.show(what, PNG).await })
    };
    let hanging = ask(asking('2'));
    let in_use = |name: &str| {
        pool.section().limits.iter().find(|limit| limit.name == name).and_then(|limit| limit.in_use).unwrap()
    };
    while in_use("Processes that work on pixels") < 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let waiting = ask(frame(b""));
    while in_use("Pixel work that waits for its turn") < 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(matches!(pool.show(frame(b""), PNG).await, Err(PixelsError::Busy)));
    hanging.abort();
    assert!(waiting.await.unwrap().is_ok());
    assert_eq!(tally(&pool, "Too much pixel work at one time"), 1);
}

#[tokio::test]
async fn children_are_replaced_when_they_had_their_share() {
    let pool = Pool::new(Config { jobs_per_worker: 2, ..config() });
    for _ in 0..5 {
        shows(&pool).await;
    }
}

#[tokio::test]
async fn what_is_no_worker_is_said() {
    for program in ["/bin/cat", "/bin/true", "/nowhere/at/all"] {
        let config = Config { program: Some(program.into()), ..config() };
        let pool: Arc<dyn domain::port::Pixels> = Arc::new(Pool::new(config));
        let error = pool.show(frame(b""), PNG).await.unwrap_err();
        assert!(matches!(error, PixelsError::Away(_)) && error.is_passing(), "{program}: {error:?}");
    }
}
