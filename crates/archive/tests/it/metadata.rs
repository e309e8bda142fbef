//! WADO-RS metadata and bulk data.

use axum::http::StatusCode;
use serde_json::Value;

use crate::support::Bench;

#[tokio::test]
async fn a_series_is_described_once_per_image_and_again_when_one_comes() {
    let bench = Bench::new().await;
    let mut head = Vec::new();
    for slice in 1..=5 {
        head.push(bench.store(&bench.north, &format!("ct-head-ge-28/{slice:02}.dcm")).await);
    }
    let program = bench.program(&bench.north).await;
    let path = format!("{}/metadata", head[0].series_path());
    let first = bench.get(&program, &path).await;
    assert_eq!(first.header("content-type"), "application/dicom+json");
    let rows = first.rows();
    let mut uids: Vec<&str> = rows.iter().map(|row| row["00080018"]["Value"][0].as_str().unwrap()).collect();
    uids.sort_unstable();
    let mut expected: Vec<&str> = head.iter().map(|stored| stored.instance.sop_instance.as_str()).collect();
    expected.sort_unstable();
    assert_eq!(uids, expected);
    // From memory now; the study is the same series.
    assert_eq!(bench.get(&program, &path).await.rows(), rows);
    assert_eq!(bench.get(&program, &format!("{}/metadata", head[0].study_path())).await.rows(), rows);
    let tag = first.header("etag").to_owned();
    assert_eq!(bench.ask(&program, &path, &[("if-none-match", &tag)]).await.status, StatusCode::NOT_MODIFIED);
    bench.store(&bench.north, "ct-head-ge-28/06.dcm").await;
    let later = bench.ask(&program, &path, &[("if-none-match", &tag)]).await;
    assert_eq!(later.rows().len(), 6);
    let one = bench.get(&program, &format!("{}/metadata", head[2].path())).await.rows();
    assert_eq!(one.len(), 1);
    assert!(rows.contains(&one[0]));
}

#[tokio::test]
async fn memory_of_one_host_is_not_told_to_another() {
    let bench = Bench::new().await;
    let stored = bench.store(&bench.north, "formats/CT_small.dcm").await;
    let program = bench.program(&bench.north).await;
    let path = format!("{}/metadata", stored.series_path());
    let address = |answer: crate::support::Answer| {
        answer.rows()[0]["7FE00010"]["BulkDataURI"].as_str().unwrap().to_owned()
    };
    let own = address(bench.get(&program, &path).await);
    assert_eq!(own, format!("http://images.example{}/bulkdata/7FE00010", stored.path()));
    let secure = address(bench.ask(&program, &path, &[("x-forwarded-proto", "https")]).await);
    assert!(secure.starts_with("https://images.example/"), "{secure}");
}

#[tokio::test]
async fn every_kind_of_object_is_described() {
    let bench = Bench::new().await;
    let program = bench.program(&bench.north).await;
    let mut formats: Vec<_> =
        std::fs::read_dir(testkit::samples::fixtures().join("formats")).unwrap().collect();
    formats.sort_by_key(|entry| entry.as_ref().unwrap().path());
    for entry in formats {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        // The same image as another one, in another syntax.
        if matches!(name.as_str(), "CT1_UNC.implicit_little_endian.dcm" | "MR_small_RLE.dcm") {
            continue;
        }
        let stored = bench.store_file(&bench.north, &path).await;
        let rows = bench.get(&program, &format!("{}/metadata", stored.path())).await.rows();
        let row = rows[0].as_object().unwrap();
        assert_eq!(row["00080018"]["Value"][0], stored.instance.sop_instance.as_str(), "{name}");
        assert!(row.len() > 12, "{name} is described by the catalog only: {row:?}");
        for (tag, element) in row {
            let Some(address) = element.get("BulkDataURI").and_then(Value::as_str) else { continue };
            let address = address.strip_prefix("http://images.example").unwrap();
            let answer = bench.accept(&program, address, "*/*").await;
            let is_found = answer.status == StatusCode::OK;
            // Frames of a deflated object have no place of their own.
            assert!(
                is_found || (name.ends_with("_dfl") && tag == "7FE00010"),
                "{name} {tag}: {}",
                answer.status
            );
        }
    }
}

#[tokio::test]
async fn bulk_data_are_where_metadata_say() {
    let bench = Bench::new().await;
    let stored = bench.store(&bench.north, "formats/CT_small.dcm").await;
    let program = bench.program(&bench.north).await;
    let bulk = format!("{}/bulkdata", stored.path());
    let row = bench.get(&program, &format!("{}/metadata", stored.path())).await.rows().remove(0);
    for tag in ["00431029", "7FE00010"] {
        assert_eq!(row[tag]["BulkDataURI"], format!("http://images.example{bulk}/{tag}"));
        assert!(row[tag].get("Value").is_none() && row[tag].get("InlineBinary").is_none());
    }
    // A private value of 2068 bytes, found in the file by its tag, VR and length.
    let head = [0x43, 0x00, 0x29, 0x10, b'O', b'B', 0, 0, 0x14, 0x08, 0, 0];
    let at = stored.file.windows(head.len()).position(|window| window == head).unwrap() + head.len();
    let value = bench.accept(&program, &format!("{bulk}/00431029"), "application/octet-stream").await;
    assert!(value.status == StatusCode::OK && value.body == stored.file[at..at + 2068]);
    let multipart = "multipart/related; type=\"application/octet-stream\"";
    let parts = bench.accept(&program, &format!("{bulk}/00431029"), multipart).await.parts();
    assert_eq!(parts[0].body, value.body);
    let pixels = bench.accept(&program, &format!("{bulk}/7FE00010"), "application/octet-stream").await;
    let from = stored.instance.attributes.header_bytes as usize + 12;
    assert!(pixels.status == StatusCode::OK && pixels.body == stored.file[from..from + 128 * 128 * 2]);
    for missing in ["00281205", "00100010", "nonsense", "00081140/1/00081155", "00081140/0/7FE00010"] {
        assert_eq!(
            bench.get(&program, &format!("{bulk}/{missing}")).await.status,
            StatusCode::NOT_FOUND,
            "{missing}"
        );
    }
}
