//! WADO-RS of pictures.

use std::sync::Arc;

use archive::Config;
use axum::http::StatusCode;
use testkit::pixels::Idle;

use crate::support::Bench;

/// Width and height of a PNG, out of its first chunk.
pub fn png_size(bytes: &[u8]) -> (u32, u32) {
    assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n"));
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

#[tokio::test]
async fn a_frame_is_shown_as_jpeg_or_png() {
    let bench = Bench::new().await;
    let program = bench.program(&bench.north).await;
    let stored = bench.store(&bench.north, "ct-head-ge-28/14.dcm").await;
    for path in [format!("{}/rendered", stored.path()), format!("{}/frames/1/rendered", stored.path())] {
        let jpeg = bench.get(&program, &path).await;
        assert_eq!((jpeg.status, jpeg.header("content-type")), (StatusCode::OK, "image/jpeg"));
        assert!(jpeg.body.starts_with(&[0xFF, 0xD8, 0xFF]) && jpeg.body.len() > 1000);
        let png = bench.accept(&program, &path, "image/png").await;
        assert_eq!(png_size(&png.body), (512, 512));
        let small = bench.accept(&program, &format!("{path}?viewport=200,100"), "image/png").await;
        assert_eq!(png_size(&small.body), (100, 100));
        let [brain, bone] =
            ["40,80,linear", "600,2800,linear"].map(|window| format!("{path}?window={window}"));
        let brain = bench.accept(&program, &brain, "image/png").await.body;
        let bone = bench.accept(&program, &bone, "image/png").await.body;
        assert!(brain != bone, "a window changes nothing");
        assert_eq!(bench.accept(&program, &path, "image/gif").await.status, StatusCode::NOT_ACCEPTABLE);
    }
    let two = bench.get(&program, &format!("{}/frames/1,1/rendered", stored.path())).await;
    let parts = two.parts();
    assert_eq!((parts.len(), parts[0].content_type.as_str()), (2, "image/jpeg"));
    assert!(parts[0].location.ends_with("/frames/1/rendered") && parts[0].body == parts[1].body);
    assert_eq!(
        bench.get(&program, &format!("{}/frames/2/rendered", stored.path())).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn every_level_has_a_thumbnail() {
    let bench = Bench::new().await;
    let program = bench.program(&bench.north).await;
    let stored = bench.store(&bench.north, "formats/CT1_UNC.fragmented_bot_jpeg_ls.80.dcm").await;
    for path in
        [stored.study_path(), stored.series_path(), stored.path(), format!("{}/frames/1", stored.path())]
    {
        let picture = bench.accept(&program, &format!("{path}/thumbnail"), "image/png").await;
        assert_eq!(png_size(&picture.body), (128, 128), "{path}");
    }
    let report = bench.store(&bench.north, "formats/test-SR.dcm").await;
    for path in [report.study_path(), report.path()] {
        let missing = bench.get(&program, &format!("{path}/thumbnail")).await;
        assert_eq!(missing.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn deflated_and_coloured_images_are_shown() {
    let bench = Bench::new().await;
    let program = bench.program(&bench.north).await;
    for fixture in
        ["formats/image_dfl", "formats/color-pl.dcm", "formats/US1_J2KR.dcm", "formats/ExplVR_BigEnd.dcm"]
    {
        let stored = bench.store(&bench.north, fixture).await;
        let picture = bench.accept(&program, &format!("{}/rendered", stored.path()), "image/png").await;
        let attributes = &stored.instance.attributes;
        assert_eq!(
            png_size(&picture.body),
            (attributes.columns.unwrap(), attributes.rows.unwrap()),
            "{fixture}"
        );
    }
}

#[tokio::test]
async fn nobody_waits_behind_a_full_house() {
    let bench = Bench::with_pixels(Config::default(), Arc::new(Idle::Busy)).await;
    let program = bench.program(&bench.north).await;
    let stored = bench.store(&bench.north, "formats/CT_small.dcm").await;
    let refused = bench.get(&program, &format!("{}/rendered", stored.path())).await;
    assert_eq!((refused.status, refused.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "2"));
    assert_eq!(bench.get(&program, &format!("{}/frames/1", stored.path())).await.status, StatusCode::OK);
}

#[tokio::test]
async fn nobody_waits_for_ever() {
    let bench = Bench::with_pixels(Config::default(), Arc::new(Idle::Stuck)).await;
    let program = bench.program(&bench.north).await;
    let stored = bench.store(&bench.north, "formats/CT_small.dcm").await;
    let path = format!("{}/rendered", stored.path());
    let asking = bench.get(&program, &path);
    let turning = async {
        loop {
            bench.clock.turn(domain::Duration::from_secs(10));
            tokio::task::yield_now().await;
        }
    };
    let answer = tokio::select! {
        answer = asking => answer,
        () = turning => unreachable!("it turns for ever"),
    };
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
}
