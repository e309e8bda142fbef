//! QIDO-RS.

use axum::http::StatusCode;
use domain::{audit::Action, port::catalog::Trail as _};
use serde_json::{Value, json};

use crate::support::Bench;

fn value<'a>(row: &'a Value, tag: &str) -> &'a Value {
    &row[tag]["Value"][0]
}

#[tokio::test]
async fn a_study_row_has_what_the_standard_asks_for() {
    let bench = Bench::new().await;
    let head = bench.store_head(&bench.north).await;
    let program = bench.program(&bench.north).await;
    let answer = bench.get(&program, "/dicomweb/studies").await;
    assert_eq!(answer.header("content-type"), "application/dicom+json");
    let rows = answer.rows();
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    for tag in [
        "00080005", "00080020", "00080030", "00080050", "00080056", "00080061", "00080090", "00081190",
        "00100010", "00100020", "00100030", "00100040", "0020000D", "00200010", "00201206", "00201208",
    ] {
        assert!(row[tag]["vr"].is_string(), "{tag} is missing in {row}");
    }
    assert_eq!(value(row, "00080061"), "CT");
    assert_eq!(value(row, "0020000D"), head[0].instance.study.as_str());
    assert_eq!(value(row, "00201208"), 28);
    assert_eq!(value(row, "00080005"), "ISO_IR 192");
    // A value that is not there: the attribute stands without one.
    assert!(row.as_object().unwrap().values().all(|element| element["Value"] != json!([])));
}

#[tokio::test]
async fn ohif_finds_a_study_and_its_series() {
    let bench = Bench::new().await;
    let head = bench.store_head(&bench.north).await;
    bench.store(&bench.north, "formats/MR_small.dcm").await;
    let program = bench.program(&bench.north).await;
    let list = "/dicomweb/studies?limit=101&offset=0&fuzzymatching=false&includefield=00081030%2C00080060";
    assert_eq!(bench.get(&program, list).await.rows().len(), 2);
    for (filter, found) in [
        ("ModalitiesInStudy=CT", 1),
        ("ModalitiesInStudy=CT%5CMR", 2),
        ("ModalitiesInStudy=PT", 0),
        ("PatientName=*compressedsamples*", 1),
        ("00100010=CompressedSamples%5EMR1", 1),
        ("PatientID=4MR1", 1),
        ("PatientID=4mr1", 0),
        ("StudyDate=20040826-20040826", 1),
        ("StudyDate=20040827-", 0),
        ("PatientSex=F&ModalitiesInStudy=MR", 1),
        ("PatientSex=M&ModalitiesInStudy=MR", 0),
        ("StudyTime=-235959", 1),
        ("NumberOfStudyRelatedInstances=28", 1),
    ] {
        let rows = bench.get(&program, &format!("{list}&{filter}")).await.rows();
        assert_eq!(rows.len(), found, "{filter}: {rows:?}");
    }
    let series = format!("{}/series?includefield=0008103E%2C00080021", head[0].study_path());
    let answer = bench.get(&program, &series).await;
    let rows = answer.rows();
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((value(row, "00080060"), value(row, "00201209")), (&json!("CT"), &json!(28)));
    assert_eq!(value(row, "0020000E"), head[0].instance.series.as_str());
    assert!(answer.header("warning").contains("00080021"), "{}", answer.header("warning"));
    let instances = bench.get(&program, &format!("{}/instances", head[0].series_path())).await.rows();
    assert_eq!(instances.len(), 28);
    for tag in
        ["00080016", "00080018", "00200013", "00280010", "00280011", "00280100", "00081190", "00080056"]
    {
        assert!(value(&instances[0], tag) != &Value::Null, "{tag} in {}", instances[0]);
    }
    let url =
        value(&instances[0], "00081190").as_str().unwrap().strip_prefix("http://images.example").unwrap();
    assert_eq!(bench.get(&program, url).await.status, StatusCode::OK);
}

/// A file with two requests, and when it was performed, before its pixels.
fn with_requests(file: &[u8]) -> Vec<u8> {
    let element = |tag: (u16, u16), vr: &str, value: &[u8]| {
        let length = u16::try_from(value.len()).unwrap().to_le_bytes();
        [&tag.0.to_le_bytes()[..], &tag.1.to_le_bytes(), vr.as_bytes(), &length, value].concat()
    };
    let item = |step: &[u8], procedure: &[u8]| {
        let content =
            [element((0x0040, 0x0009), "SH", step), element((0x0040, 0x1001), "SH", procedure)].concat();
        let length = u32::try_from(content.len()).unwrap().to_le_bytes();
        [&[0xFE, 0xFF, 0x00, 0xE0][..], &length, &content].concat()
    };
    let items = [item(b"S1", b"R1"), item(b"S2", b"R2")].concat();
    let length = u32::try_from(items.len()).unwrap().to_le_bytes();
    let added = [
        element((0x0040, 0x0244), "DA", b"20260102"),
        element((0x0040, 0x0245), "TM", b"0815"),
        [&[0x40, 0, 0x75, 0x02][..], b"SQ\0\0", &length, &items].concat(),
    ]
    .concat();
    let pixels = file.windows(6).rposition(|six| six == b"\xE0\x7F\x10\0OW").unwrap();
    [&file[..pixels], &added, &file[pixels..]].concat()
}

#[tokio::test]
async fn what_was_asked_for_and_performed_is_found_and_told() {
    let bench = Bench::new().await;
    let file = std::fs::read(testkit::samples::fixtures().join("formats/CT_small.dcm")).unwrap();
    let stored = bench.store_bytes(&bench.north, &with_requests(&file)).await.unwrap();
    bench.store(&bench.north, "formats/MR_small.dcm").await;
    let program = bench.program(&bench.north).await;
    let rows = bench.get(&program, &format!("{}/series", stored.study_path())).await.rows();
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((value(row, "00400244"), value(row, "00400245")), (&json!("20260102"), &json!("0815")));
    let text = |text: &str| json!({"vr": "SH", "Value": [text]});
    let items = json!([
        {"00400009": text("S1"), "00401001": text("R1")},
        {"00400009": text("S2"), "00401001": text("R2")},
    ]);
    assert_eq!(row["00400275"], json!({"vr": "SQ", "Value": items}));
    let (step, procedure) = ("RequestAttributesSequence.ScheduledProcedureStepID", "00400275.00401001");
    for (query, found) in [
        (format!("{step}=S1"), 1),
        (format!("{step}=S*&{procedure}=R2"), 1),
        (format!("{step}=S1&{procedure}=R2"), 0),
        (format!("{step}=S3"), 0),
        (format!("{procedure}="), 2),
        ("PerformedProcedureStepStartDate=20260101-20260103".to_owned(), 1),
        ("00400244=20260103-".to_owned(), 0),
        ("PerformedProcedureStepStartTime=08-09".to_owned(), 1),
    ] {
        let answer = bench.get(&program, &format!("/dicomweb/series?{query}")).await;
        assert_eq!(answer.header("warning"), "", "{query}");
        assert_eq!(answer.rows().len(), found, "{query}");
    }
    // A series of which nothing is known: the attributes stand without values.
    let rows = bench.get(&program, "/dicomweb/series?Modality=MR").await.rows();
    assert_eq!((&rows[0]["00400275"], &rows[0]["00400244"]), (&json!({"vr": "SQ"}), &json!({"vr": "DA"})));
}

#[tokio::test]
async fn nothing_is_an_empty_array() {
    let bench = Bench::new().await;
    let stored = bench.store(&bench.north, "formats/CT_small.dcm").await;
    let program = bench.program(&bench.north).await;
    for path in [
        "/dicomweb/studies?PatientID=nobody".to_owned(),
        "/dicomweb/studies?limit=0".to_owned(),
        "/dicomweb/studies?offset=1".to_owned(),
        "/dicomweb/series?Modality=MR".to_owned(),
        "/dicomweb/instances?SOPClassUID=1.2.3".to_owned(),
        format!("{}/series?Modality=MR", stored.study_path()),
        format!("{}/instances?InstanceNumber=99", stored.series_path()),
        format!("{}/instances?PatientID=nobody", stored.study_path()),
    ] {
        let answer = bench.get(&program, &path).await;
        assert_eq!((answer.status, answer.body.as_slice()), (StatusCode::OK, &b"[]"[..]), "{path}");
        assert_eq!(answer.header("content-type"), "application/dicom+json");
    }
}

#[tokio::test]
async fn rows_come_in_pages_without_gap_or_repeat() {
    let bench = Bench::new().await;
    let head = bench.store_head(&bench.north).await;
    bench.store(&bench.north, "formats/MR_small.dcm").await;
    let program = bench.program(&bench.north).await;
    for (root, all) in [
        ("/dicomweb/instances".to_owned(), 29),
        (format!("{}/instances", head[0].study_path()), 28),
        ("/dicomweb/series".to_owned(), 2),
        ("/dicomweb/studies".to_owned(), 2),
        // Matched beside the catalog.
        ("/dicomweb/studies?NumberOfStudyRelatedSeries=1".to_owned(), 2),
    ] {
        let sign = if root.contains('?') { '&' } else { '?' };
        let mut seen = std::collections::BTreeSet::new();
        for offset in (0..all + 5).step_by(5) {
            for row in bench.get(&program, &format!("{root}{sign}limit=5&offset={offset}")).await.rows() {
                assert!(seen.insert(value(&row, "00081190").to_string()), "{root} repeats {row}");
            }
        }
        assert_eq!(seen.len(), all, "{root}");
    }
}

#[tokio::test]
async fn rows_carry_what_the_path_does_not_name() {
    let bench = Bench::new().await;
    let stored = bench.store(&bench.north, "formats/CT_small.dcm").await;
    let program = bench.program(&bench.north).await;
    let instance = |path: String| {
        let (bench, program) = (&bench, &program);
        async move { bench.get(program, &path).await.rows().remove(0) }
    };
    let everywhere = instance("/dicomweb/instances".to_owned()).await;
    assert_eq!(value(&everywhere, "00100020"), "1CT1");
    assert_eq!(value(&everywhere, "00080060"), "CT");
    let of_study = instance(format!("{}/instances", stored.study_path())).await;
    assert_eq!((of_study.get("00100020"), value(&of_study, "00080060")), (None, &json!("CT")));
    let of_series = instance(format!("{}/instances", stored.series_path())).await;
    assert_eq!((of_series.get("00100020"), of_series.get("00080060")), (None, None));
    let asked = instance(format!("{}/instances?includefield=PatientID,Modality", stored.series_path())).await;
    assert_eq!((value(&asked, "00100020"), value(&asked, "00080060")), (&json!("1CT1"), &json!("CT")));
    let all = instance(format!("{}/instances?includefield=all", stored.series_path())).await;
    assert_eq!(all["00200032"]["Value"].as_array().unwrap().len(), 3);
    assert_eq!(value(&all, "00083002"), "1.2.840.10008.1.2.1");
}

#[tokio::test]
async fn fuzzy_matching_finds_names_by_their_words() {
    let bench = Bench::new().await;
    bench.store(&bench.north, "formats/CT_small.dcm").await;
    let program = bench.program(&bench.north).await;
    for (query, expected) in [
        ("PatientName=compressedsamples&fuzzymatching=true", 1),
        ("PatientName=ct1%20COMPRESSED&fuzzymatching=true", 1),
        ("PatientName=ct1%20COMPRESSED&fuzzymatching=false", 0),
        ("PatientName=samples&fuzzymatching=true", 0),
        ("PatientID=1CT1&PatientName=ct1&fuzzymatching=true", 1),
    ] {
        let answer = bench.get(&program, &format!("/dicomweb/studies?{query}")).await;
        assert_eq!(answer.rows().len(), expected, "{query}");
        assert_eq!(answer.header("warning"), "", "{query}");
    }
}

#[tokio::test]
async fn what_is_not_supported_is_said_and_what_is_malformed_is_refused() {
    let bench = Bench::new().await;
    bench.store(&bench.north, "formats/CT_small.dcm").await;
    let program = bench.program(&bench.north).await;
    let answer = bench.get(&program, "/dicomweb/studies?EthnicGroup=SECRET&limit=2000").await;
    let warnings: Vec<&str> =
        answer.headers.get_all("warning").iter().map(|value| value.to_str().unwrap()).collect();
    assert!(
        warnings.iter().all(|warning| warning.starts_with("299 telerad \"") && !warning.contains("SECRET"))
    );
    assert!(warnings.iter().any(|warning| warning.contains("EthnicGroup")), "{warnings:?}");
    assert_eq!(answer.rows().len(), 1);
    for query in
        ["limit=x", "StudyDate=yesterday", "StudyInstanceUID=a", "fuzzymatching=perhaps", "PatientID=%FF"]
    {
        let answer = bench.get(&program, &format!("/dicomweb/studies?{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
    }
    assert_eq!(
        bench.accept(&program, "/dicomweb/studies", "text/html").await.status,
        StatusCode::NOT_ACCEPTABLE
    );
    let json = bench.accept(&program, "/dicomweb/studies", "application/json").await;
    assert_eq!(json.header("content-type"), "application/json");
}

#[tokio::test]
async fn names_come_in_their_groups() {
    let bench = Bench::new().await;
    bench.store(&bench.north, "formats/chrH31.dcm").await;
    let program = bench.program(&bench.north).await;
    let name = json!({"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"});
    let rows = bench.get(&program, "/dicomweb/studies").await.rows();
    assert_eq!(value(&rows[0], "00100010"), &name);
}

#[tokio::test]
async fn looking_is_written_down_once_in_a_while() {
    let bench = Bench::new().await;
    let stored = bench.store(&bench.north, "formats/CT_small.dcm").await;
    let program = bench.program(&bench.north).await;
    let count = async |action: Action| {
        let key = domain::study::StudyKey { centre: bench.north.clone(), uid: stored.instance.study.clone() };
        let trail = bench.catalog.study_trail(&key, 1000).await.unwrap();
        trail.iter().filter(|event| event.action == action.as_str()).count()
    };
    for path in ["/metadata", "/frames/1", "", "/rendered", "/frames/1"] {
        bench.get(&program, &format!("{}{path}", stored.path())).await;
        bench.get(&program, &format!("{}/series", stored.study_path())).await;
    }
    assert_eq!((count(Action::ImagesRetrieved).await, count(Action::ListViewed).await), (1, 1));
    bench.clock.turn(domain::Duration::from_mins(15));
    bench.get(&program, &format!("{}/frames/1", stored.path())).await;
    let other = bench.program(&bench.north).await;
    bench.get(&other, &format!("{}/frames/1", stored.path())).await;
    assert_eq!((count(Action::ImagesRetrieved).await, count(Action::ListViewed).await), (3, 1));
}
