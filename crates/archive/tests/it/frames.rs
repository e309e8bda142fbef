//! WADO-RS of frames.

use std::sync::Arc;

use archive::Config;
use axum::http::StatusCode;
use testkit::pixels::Idle;

use crate::support::{Bench, OHIF_FRAMES, Stored};

/// The bytes of the fragments of an encapsulated object, without its offset table, found by walking items
/// from the pixel data on.
fn fragments(stored: &Stored) -> Vec<Vec<u8>> {
    let pixels = [0xE0, 0x7F, 0x10, 0x00, b'O', b'B', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF];
    let data_set = stored.data_set();
    let mut at = data_set.windows(12).position(|window| window == pixels).unwrap() + 12;
    let mut all = Vec::new();
    while data_set[at..at + 4] == [0xFE, 0xFF, 0x00, 0xE0] {
        let length = u32::from_le_bytes(data_set[at + 4..at + 8].try_into().unwrap()) as usize;
        all.push(data_set[at + 8..at + 8 + length].to_vec());
        at += 8 + length;
    }
    all.remove(0);
    all
}

#[tokio::test]
async fn native_frames_are_the_pixel_data() {
    let bench = Bench::new().await;
    let program = bench.program(&bench.north).await;
    for fixture in
        ["formats/CT1_UNC.implicit_little_endian.dcm", "ct-head-ge-28/07.dcm", "formats/CT_small.dcm"]
    {
        let stored = bench.store(&bench.north, fixture).await;
        let attributes = &stored.instance.attributes;
        let count = attributes.rows.unwrap() as usize * attributes.columns.unwrap() as usize * 2;
        // The value begins after tag, VR and length of the pixel data.
        let head = if fixture.contains("implicit") { 8 } else { 12 };
        let from = attributes.header_bytes as usize + head;
        let expected = &stored.file[from..from + count];
        for accept in [OHIF_FRAMES, "multipart/related; type=\"application/octet-stream\"", "*/*"] {
            let answer = bench.accept(&program, &format!("{}/frames/1", stored.path()), accept).await;
            let parts = answer.parts();
            assert!(parts.len() == 1 && parts[0].body == expected, "{fixture} {accept}");
            assert_eq!(
                parts[0].content_type,
                "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1"
            );
        }
        let single =
            bench.accept(&program, &format!("{}/frames/1", stored.path()), "application/octet-stream").await;
        assert!(single.body == expected, "{fixture}");
    }
}

#[tokio::test]
async fn compressed_frames_are_the_fragments_with_their_own_media_type() {
    let bench = Bench::new().await;
    let program = bench.program(&bench.north).await;
    for (fixture, media_type, syntax) in [
        ("formats/CT1_UNC.fragmented_bot_jpeg_ls.80.dcm", "image/jls", "1.2.840.10008.1.2.4.80"),
        ("formats/JPGLosslessP14SV1_1s_1f_8b.dcm", "image/jpeg", "1.2.840.10008.1.2.4.70"),
        ("formats/US1_J2KR.dcm", "image/jp2", "1.2.840.10008.1.2.4.90"),
        ("formats/MR_small_RLE.dcm", "image/dicom-rle", "1.2.840.10008.1.2.5"),
    ] {
        let stored = bench.store(&bench.north, fixture).await;
        let path = format!("{}/frames/1", stored.path());
        let expected = fragments(&stored).concat();
        let typed = format!("multipart/related; type=\"{media_type}\"");
        for accept in [OHIF_FRAMES, typed.as_str(), &format!("{typed}; transfer-syntax={syntax}")] {
            let answer = bench.accept(&program, &path, accept).await;
            let whole =
                format!("multipart/related; type=\"{media_type}\"; transfer-syntax={syntax}; boundary=");
            assert!(answer.header("content-type").starts_with(&whole), "{}", answer.header("content-type"));
            let parts = answer.parts();
            assert!(parts.len() == 1 && parts[0].body == expected, "{fixture} {accept}");
            assert_eq!(parts[0].content_type, format!("{media_type}; transfer-syntax={syntax}"));
        }
        let plain = "multipart/related; type=\"application/octet-stream\"";
        let decoded = bench.accept(&program, &path, plain).await.parts();
        let attributes = &stored.instance.attributes;
        let pixels = attributes.rows.unwrap() as usize * attributes.columns.unwrap() as usize;
        assert_eq!(decoded[0].body.len() % pixels, 0, "{fixture}");
        assert_eq!(decoded[0].content_type, "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1");
        let refused = bench.accept(&program, &path, "multipart/related; type=image/jphc").await;
        assert_eq!(refused.status, StatusCode::NOT_ACCEPTABLE, "{fixture}");
    }
}

/// What our viewer asks for: compressed frames as they are stored, plain ones as JPEG-LS, else as they are stored.
const OUR_VIEWER: &str = "multipart/related; type=\"image/*\"; transfer-syntax=*, \
    multipart/related; type=image/jls; transfer-syntax=1.2.840.10008.1.2.4.80, \
    multipart/related; type=application/octet-stream; transfer-syntax=*";

#[tokio::test]
async fn our_viewer_gets_plain_frames_smaller_and_compressed_ones_untouched() {
    let bench = Bench::new().await;
    let program = bench.program(&bench.north).await;
    for (fixture, expected) in [
        ("formats/CT_small.dcm", "image/jls; transfer-syntax=1.2.840.10008.1.2.4.80"),
        ("formats/MR_small_RLE.dcm", "image/dicom-rle; transfer-syntax=1.2.840.10008.1.2.5"),
        ("formats/US1_J2KR.dcm", "image/jp2; transfer-syntax=1.2.840.10008.1.2.4.90"),
    ] {
        let stored = bench.store(&bench.north, fixture).await;
        let parts = bench.accept(&program, &format!("{}/frames/1", stored.path()), OUR_VIEWER).await.parts();
        assert_eq!((parts.len(), parts[0].content_type.as_str()), (1, expected), "{fixture}");
    }
}

#[tokio::test]
async fn without_room_to_compress_a_frame_comes_as_it_is_stored() {
    let bench = Bench::with_pixels(Config::default(), Arc::new(Idle::Busy)).await;
    let program = bench.program(&bench.north).await;
    let stored = bench.store(&bench.north, "formats/CT_small.dcm").await;
    let path = format!("{}/frames/1", stored.path());
    let answer = bench.accept(&program, &path, OUR_VIEWER).await;
    let parts = answer.parts();
    assert_eq!(parts[0].content_type, "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1");
    assert_eq!(parts[0].body.len(), 128 * 128 * 2);
    let smaller = "multipart/related; type=image/jls; transfer-syntax=1.2.840.10008.1.2.4.80";
    let refused = bench.accept(&program, &path, smaller).await;
    assert_eq!(
        refused.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "who takes nothing else is told to come back"
    );
    assert_ne!(answer.header("etag"), "", "what came has its own name");
}

#[tokio::test]
async fn frames_come_in_the_order_that_was_asked_for() {
    let bench = Bench::new().await;
    let program = bench.program(&bench.north).await;
    let stored = bench.store(&bench.north, "formats/emri_small_RLE.dcm").await;
    let fragments = fragments(&stored);
    assert_eq!(Some(fragments.len() as u32), stored.instance.attributes.frames);
    let parts = bench.accept(&program, &format!("{}/frames/3,1,2", stored.path()), OHIF_FRAMES).await.parts();
    assert_eq!(parts.len(), 3);
    for (part, number) in parts.iter().zip([3, 1, 2]) {
        assert!(part.body == fragments[number - 1], "frame {number}");
        assert!(part.location.ends_with(&format!("/frames/{number}")), "{}", part.location);
    }
    let beyond = format!("{}/frames/1,{}", stored.path(), fragments.len() + 1);
    assert_eq!(bench.accept(&program, &beyond, OHIF_FRAMES).await.status, StatusCode::NOT_FOUND);
    let all =
        bench.accept(&program, &format!("{}/bulkdata/7FE00010", stored.path()), OHIF_FRAMES).await.parts();
    assert_eq!(all.len(), fragments.len());
}

#[tokio::test]
async fn what_is_no_list_of_frames_is_refused() {
    let bench = Bench::new().await;
    let program = bench.program(&bench.north).await;
    let stored = bench.store(&bench.north, "formats/CT_small.dcm").await;
    let many = vec!["1"; archive::FRAMES_MAX + 1].join(",");
    for list in ["0", "a", "1,", "-1", many.as_str()] {
        let refused = bench.get(&program, &format!("{}/frames/{list}", stored.path())).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{list}");
    }
    assert_eq!(
        bench.get(&program, &format!("{}/frames/2", stored.path())).await.status,
        StatusCode::NOT_FOUND
    );
    let report = bench.store(&bench.north, "formats/test-SR.dcm").await;
    assert_eq!(
        bench.get(&program, &format!("{}/frames/1", report.path())).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn frames_without_an_offset_table_are_told_apart() {
    let bench = Bench::new().await;
    let program = bench.program(&bench.north).await;
    let stored = bench.store(&bench.north, "formats/CT0012.fragmented_no_bot_jpeg_ls.80.dcm").await;
    let frames = stored.instance.attributes.frames.unwrap_or(1);
    let list = (1..=frames).map(|frame| frame.to_string()).collect::<Vec<_>>().join(",");
    let parts =
        bench.accept(&program, &format!("{}/frames/{list}", stored.path()), OHIF_FRAMES).await.parts();
    // Each begins as a JPEG-LS image does, and together they are all fragments.
    assert!(parts.iter().all(|part| part.body.starts_with(&[0xFF, 0xD8, 0xFF])));
    let together: Vec<u8> = parts.into_iter().flat_map(|part| part.body).collect();
    assert!(together == fragments(&stored).concat());
}

/// What was noted while an image came says the same as a look into it.
#[tokio::test]
async fn frames_are_the_same_with_and_without_notes() {
    let bench = Bench::new().await;
    let mut before = Bench::new().await;
    before.notes_frames = false;
    let (program, old) = (bench.program(&bench.north).await, before.program(&before.north).await);
    let mut noted = 0;
    let mut files: Vec<_> =
        std::fs::read_dir(testkit::samples::fixtures().join("formats")).unwrap().collect();
    files.sort_by_key(|entry| entry.as_ref().unwrap().path());
    for entry in files {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if matches!(name.as_str(), "CT1_UNC.implicit_little_endian.dcm" | "MR_small_RLE.dcm") {
            continue;
        }
        let stored = bench.store_file(&bench.north, &path).await;
        before.store_file(&before.north, &path).await;
        noted += u32::from(stored.instance.attributes.frame_index.is_some());
        let frames = stored.instance.attributes.frames.unwrap_or(1);
        for number in [1, frames.div_ceil(2), frames, frames + 1] {
            let frame = format!("{}/frames/{number}", stored.path());
            bench.storage.reads();
            let new = bench.accept(&program, &frame, OHIF_FRAMES).await;
            let reads = bench.storage.reads().len();
            let old = before.accept(&old, &frame, OHIF_FRAMES).await;
            assert_eq!(new.status, old.status, "{name} {number}");
            if new.status == StatusCode::OK {
                assert!(new.parts()[0].body == old.parts()[0].body, "{name} {number}");
                assert_eq!(new.parts()[0].content_type, old.parts()[0].content_type, "{name} {number}");
                let is_noted = stored.instance.attributes.frame_index.is_some();
                // Samples of a byte in the retired big endian may stand in words: how is looked at first.
                let most = if name == "ExplVR_BigEnd.dcm" { 2 } else { 1 };
                assert!(reads <= most || !is_noted, "{name} {number}: {reads} reads");
            }
        }
    }
    assert!(noted >= 10, "only {noted} were noted");
}
