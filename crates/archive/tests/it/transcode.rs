//! Objects and frames in other transfer syntaxes than they are stored in, decoded by pydicom and pylibjpeg.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use archive::Config;
use axum::http::StatusCode;
use domain::id::CentreId;
use testkit::samples;
use tokio::io::AsyncWriteExt as _;

use crate::support::{Bench, Who};

const SCRIPT: &str = include_str!("transcode.py");

/// Files with pixels that can be stored as they are, below a folder.
fn images(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            if path.is_dir() {
                folders.push(path);
            } else if Bench::takes(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Where pydicom keeps the files of its own tests.
fn files_of_pydicom(python: &std::ffi::OsStr) -> PathBuf {
    let ask =
        "import pydicom.data, pathlib; print(pathlib.Path(pydicom.data.__file__).parent / 'test_files')";
    let output = std::process::Command::new(python).args(["-c", ask]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn others_decode_from_what_is_sent_what_they_decode_from_what_is_stored() {
    let Some(python) = std::env::var_os("TELERAD_TEST_PYTHON") else {
        eprintln!("SKIPPED: set TELERAD_TEST_PYTHON to a Python with pydicom, pylibjpeg and pyjpegls");
        return;
    };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = Config { public_url: Some(format!("http://{address}")), ..Config::default() };
    let bench = Bench::with(config).await;
    let mut paths = images(&samples::fixtures().join("formats"));
    paths.push(samples::fixtures().join("ct-head-ge-28/14.dcm"));
    paths.extend(images(&files_of_pydicom(&python)));
    paths.extend(samples::collection().map(|folder| images(&folder)).unwrap_or_default());
    // Files of one SOP instance go to centres of their own.
    let mut centres: Vec<(CentreId, String)> = Vec::new();
    let mut stored = Vec::new();
    for path in paths {
        let mut place = 0;
        loop {
            if place == centres.len() {
                let centre = bench.another_centre(&format!("c{place}")).await;
                let Who::Token(token) = bench.program(&centre).await else { panic!("no token") };
                centres.push((centre, token));
            }
            let (centre, token) = &centres[place];
            if bench.try_store_file(centre, &path).await.is_some() {
                stored.push(format!("{token} {}", path.display()));
                break;
            }
            place += 1;
        }
    }
    assert!(stored.len() >= 12, "{stored:?}");
    let server = tokio::spawn(axum::serve(listener, bench.router.clone()).into_future());
    let report = std::env::var("TELERAD_TEST_REPORT").map_or("check", |_| "report");
    let mut command = tokio::process::Command::new(python);
    command
        .args(["-c", SCRIPT, &format!("http://{address}/dicomweb"), report])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(stored.join("\n").as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    server.abort();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{}\n{}", said[0], said[1]);
    eprintln!("{}\n{}", said[0], said[1]);
}

#[tokio::test]
async fn what_is_made_has_a_state_of_its_own() {
    let bench = Bench::new().await;
    let program = bench.program(&bench.north).await;
    let stored = bench.store(&bench.north, "formats/CT1_UNC.fragmented_bot_jpeg_ls.80.dcm").await;
    let plain = "application/dicom; transfer-syntax=1.2.840.10008.1.2.1";
    let made = bench.accept(&program, &stored.path(), plain).await;
    assert_eq!((made.status, made.header("content-type")), (StatusCode::OK, plain));
    assert_eq!(made.header("content-length"), made.body.len().to_string());
    let known = [("accept", plain), ("if-none-match", made.header("etag"))];
    assert_eq!(bench.ask(&program, &stored.path(), &known).await.status, StatusCode::NOT_MODIFIED);
    let as_stored = bench
        .ask(&program, &stored.path(), &[("accept", "*/*"), ("if-none-match", made.header("etag"))])
        .await;
    assert_eq!(as_stored.status, StatusCode::OK);
    assert!(as_stored.parts()[0].body == stored.file);
    let again = bench.accept(&program, &stored.path(), plain).await;
    assert!(again.body == made.body, "the same object is made the same");
}

#[tokio::test]
async fn a_study_of_many_kinds_comes_in_one_syntax() {
    let bench = Bench::new().await;
    let program = bench.program(&bench.north).await;
    let head = bench.store_head(&bench.north).await;
    let accept = "multipart/related; type=\"application/dicom\"; transfer-syntax=1.2.840.10008.1.2.4.80";
    let parts = bench.accept(&program, &head[0].study_path(), accept).await.parts();
    assert_eq!(parts.len(), 28);
    let total: usize = parts.iter().map(|part| part.body.len()).sum();
    let before: usize = head.iter().map(|stored| stored.file.len()).sum();
    assert!(total < before * 2 / 3, "{total} of {before} bytes");
    let report = bench.store(&bench.north, "formats/test-SR.dcm").await;
    let made = bench.accept(&program, &report.study_path(), accept).await.parts();
    assert_eq!(made[0].content_type, "application/dicom; transfer-syntax=1.2.840.10008.1.2.1");
}

#[tokio::test]
async fn what_cannot_be_decoded_is_said_before_the_answer() {
    let bench = Bench::new().await;
    let program = bench.program(&bench.north).await;
    let path = samples::fixtures().join("formats/JPGLosslessP14SV1_1s_1f_8b.dcm");
    let mut file = std::fs::read(path).unwrap();
    // Noise where the entropy-coded bytes of the only frame are.
    let middle = file.len() - 10_000;
    file[middle..middle + 4_000].fill(0xFF);
    let broken = bench.store_bytes(&bench.north, &file).await.unwrap();
    for (path, accept) in [
        (broken.path(), "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"),
        (format!("{}/frames/1", broken.path()), "application/octet-stream"),
        (format!("{}/rendered", broken.path()), "image/png"),
    ] {
        let refused = bench.accept(&program, &path, accept).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
        let text = String::from_utf8_lossy(&refused.body).into_owned();
        assert!(text.contains("\"not_shown\"") && text.contains("as it is stored"), "{text}");
    }
    assert!(bench.get(&program, &broken.path()).await.parts()[0].body == broken.file);
}
