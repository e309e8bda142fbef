//! WADO-RS of whole objects.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use futures::StreamExt as _;
use tower::ServiceExt as _;

use crate::support::{Bench, Who};

#[tokio::test]
async fn objects_come_back_byte_for_byte() {
    let bench = Bench::new().await;
    let program = bench.program(&bench.north).await;
    for fixture in [
        "formats/CT_small.dcm",
        "formats/CT1_UNC.implicit_little_endian.dcm",
        "formats/ExplVR_BigEnd.dcm",
        "formats/US1_J2KR.dcm",
        "formats/image_dfl",
        "formats/test-SR.dcm",
    ] {
        let stored = bench.store(&bench.north, fixture).await;
        let syntax = &stored.instance.transfer_syntax;
        let single = bench.accept(&program, &stored.path(), "application/dicom").await;
        assert!(single.status == StatusCode::OK && single.body == stored.file, "{fixture}");
        assert_eq!(single.header("content-type"), format!("application/dicom; transfer-syntax={syntax}"));
        assert_eq!(single.header("content-length"), stored.file.len().to_string());
        for accept in [
            "*/*".to_owned(),
            r#"multipart/related; type="application/dicom""#.to_owned(),
            r#"multipart/related; type="application/dicom"; transfer-syntax=*"#.to_owned(),
            format!("multipart/related; type=application/dicom; transfer-syntax={syntax}"),
        ] {
            let parts = bench.accept(&program, &stored.path(), &accept).await.parts();
            let [part] = parts.as_slice() else { panic!("{} parts", parts.len()) };
            assert!(part.body == stored.file, "{fixture} {accept}");
            assert_eq!(part.content_type, format!("application/dicom; transfer-syntax={syntax}"));
            assert_eq!(part.location, format!("http://images.example{}", stored.path()));
        }
    }
}

#[tokio::test]
async fn series_and_studies_come_whole() {
    let bench = Bench::new().await;
    let head = bench.store_head(&bench.north).await;
    let program = bench.program(&bench.north).await;
    let mut expected: Vec<&[u8]> = head.iter().map(|stored| stored.file.as_slice()).collect();
    expected.sort();
    for path in [head[0].series_path(), head[0].study_path()] {
        let parts = bench.get(&program, &path).await.parts();
        let mut bodies: Vec<&[u8]> = parts.iter().map(|part| part.body.as_slice()).collect();
        bodies.sort();
        assert!(bodies == expected, "{path}");
    }
}

#[tokio::test]
async fn a_transfer_syntax_without_an_encoder_is_not_acceptable() {
    let bench = Bench::new().await;
    let stored = bench.store(&bench.north, "formats/CT1_UNC.fragmented_bot_jpeg_ls.80.dcm").await;
    let program = bench.program(&bench.north).await;
    for path in [stored.path(), stored.series_path(), stored.study_path()] {
        for accept in [
            "multipart/related; type=\"application/dicom\"; transfer-syntax=1.2.840.10008.1.2.4.90",
            "multipart/related; type=\"application/dicom+xml\"",
            "application/zip",
        ] {
            let refused = bench.accept(&program, &path, accept).await;
            assert_eq!(refused.status, StatusCode::NOT_ACCEPTABLE, "{path} {accept}");
            assert!(String::from_utf8_lossy(&refused.body).contains("1.2.840.10008.1.2.4.80"));
        }
    }
    assert_eq!(
        bench.accept(&program, &stored.series_path(), "application/dicom").await.status,
        StatusCode::NOT_ACCEPTABLE
    );
}

#[tokio::test]
async fn who_has_an_object_need_not_fetch_it_again() {
    let bench = Bench::new().await;
    let stored = bench.store(&bench.north, "formats/CT_small.dcm").await;
    let program = bench.program(&bench.north).await;
    for rest in ["", "/metadata", "/frames/1", "/rendered", "/bulkdata/7FE00010"] {
        let path = format!("{}{rest}", stored.path());
        let first = bench.get(&program, &path).await;
        let tag = first.header("etag");
        assert!(tag.contains(&stored.instance.file_sha256.to_string()), "{path}: {tag}");
        assert!(first.header("cache-control").starts_with("private"), "{path}");
        let second = bench.ask(&program, &path, &[("if-none-match", tag)]).await;
        assert_eq!((second.status, second.body.len()), (StatusCode::NOT_MODIFIED, 0), "{path}");
        let other = bench.ask(&program, &path, &[("if-none-match", "\"other\"")]).await;
        assert_eq!(other.status, StatusCode::OK, "{path}");
        // Whoever may not see it learns nothing from the tag.
        let foreign = bench.program(&bench.south).await;
        assert_eq!(bench.ask(&foreign, &path, &[("if-none-match", tag)]).await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn a_lost_object_is_said_before_the_answer_or_breaks_it_off() {
    let bench = Bench::new().await;
    let head = bench.store_head(&bench.north).await;
    let Who::Token(token) = bench.program(&bench.north).await else { panic!("no token") };
    let program = Who::Token(token.clone());
    let file = |stored: &crate::support::Stored| bench.objects().join(stored.instance.object.key.as_str());
    std::fs::remove_file(file(&head[20])).unwrap();
    let alone = bench.accept(&program, &head[20].path(), "application/dicom").await;
    assert_eq!(alone.status, StatusCode::INTERNAL_SERVER_ERROR);
    for rest in ["", "/metadata"] {
        let request = Request::get(format!("{}{rest}", head[0].series_path()))
            .header("authorization", format!("Bearer {token}"))
            .body(Body::empty())
            .unwrap();
        let answer = bench.router.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let pieces: Vec<_> = answer.into_body().into_data_stream().collect().await;
        assert!(pieces.last().unwrap().is_err(), "{rest} looks whole");
    }
}
