//! Capabilities, WADO-URI, and answers in XML.

use axum::http::StatusCode;
use quick_xml::{Reader, events::Event};

use crate::{rendered::png_size, support::Bench};

/// Every start tag of a document with its attributes; a document that is not well formed fails here.
fn tags(document: &[u8]) -> Vec<(String, Vec<(String, String)>)> {
    let mut reader = Reader::from_str(std::str::from_utf8(document).unwrap());
    let mut found = Vec::new();
    loop {
        match reader.read_event().unwrap() {
            Event::Eof => return found,
            Event::Start(tag) | Event::Empty(tag) => {
                let attributes = tag.attributes().map(|attribute| {
                    let attribute = attribute.unwrap();
                    (attribute.key.as_ref().to_owned(), attribute.value.into_owned())
                });
                let attributes = attributes.collect();
                found.push((tag.name().as_ref().to_owned(), attributes));
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn what_can_be_asked_is_told_and_is_there() {
    let bench = Bench::new().await;
    let stored = bench.store(&bench.north, "formats/CT_small.dcm").await;
    // What is told for administrators alone is asked, too.
    let program = bench.program_of(&bench.north, domain::person::Role::Admin).await;
    let answer = bench.call("OPTIONS", &program, "/dicomweb", &[]).await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (StatusCode::OK, "application/vnd.sun.wadl+xml")
    );
    let tags = tags(&answer.body);
    let base = tags.iter().find(|(name, _)| name == "resources").unwrap();
    assert_eq!(base.1, [("base".to_owned(), "http://images.example/dicomweb".to_owned())]);

    let listed =
        bench.call("OPTIONS", &program, "/dicomweb/centres/north", &[("accept", "application/json")]).await;
    let listed: serde_json::Value = serde_json::from_slice(&listed.body).unwrap();
    assert_eq!(listed["base"], "http://images.example/dicomweb/centres/north");
    let methods = listed["methods"].as_array().unwrap();
    assert_eq!(methods.len(), tags.iter().filter(|(name, _)| name == "method").count());
    // Each address that is told leads to something.
    for method in methods.iter().filter(|method| method["method"] == "GET") {
        let path = method["path"].as_str().unwrap();
        if path.starts_with("commitment") {
            continue;
        }
        let path = path
            .replace("{study}", stored.instance.study.as_str())
            .replace("{series}", stored.instance.series.as_str())
            .replace("{instance}", stored.instance.sop_instance.as_str())
            .replace("{frames}", "1")
            .replace("{place}", "7FE00010");
        let answer = bench.get(&program, &format!("/dicomweb/{path}")).await;
        let expected = if path == "wado" { StatusCode::BAD_REQUEST } else { StatusCode::OK };
        assert_eq!(answer.status, expected, "{path}");
    }
    let refused = bench.call("OPTIONS", &program, "/dicomweb", &[("accept", "text/html")]).await;
    assert_eq!(refused.status, StatusCode::NOT_ACCEPTABLE);
}

#[tokio::test]
async fn one_object_comes_by_parameters() {
    let bench = Bench::new().await;
    let image = bench.store(&bench.north, "formats/CT_small.dcm").await;
    let program = bench.program(&bench.north).await;
    let instance = &image.instance;
    let path = |more: &str| {
        format!(
            "/dicomweb/wado?requestType=WADO&studyUID={}&seriesUID={}&objectUID={}{more}",
            instance.study, instance.series, instance.sop_instance
        )
    };
    let object = bench.get(&program, &path("&contentType=application/dicom")).await;
    assert_eq!(object.header("content-type"), "application/dicom; transfer-syntax=1.2.840.10008.1.2.1");
    assert_eq!(object.body, image.file);
    assert_eq!(
        bench.get(&program, &path("&contentType=application/dicom&transferSyntax=*")).await.body,
        image.file
    );
    let warned = bench.get(&program, &path("&contentType=application%2Fdicom&rows=64")).await;
    assert!(warned.header("warning").contains("not used"));

    let picture = bench.get(&program, &path("")).await;
    assert_eq!(picture.header("content-type"), "image/jpeg");
    assert!(picture.body.starts_with(b"\xFF\xD8"));
    let small =
        "&contentType=image/png,image/jpeg&rows=32&columns=64&windowCenter=40&windowWidth=400&frameNumber=1";
    let picture = bench.get(&program, &path(small)).await;
    assert_eq!((picture.header("content-type"), png_size(&picture.body)), ("image/png", (32, 32)));
    let same = format!("{}/rendered?window=40,400,linear&viewport=64,32&accept=image/png", image.path());
    assert_eq!(bench.get(&program, &same).await.body, picture.body, "as WADO-RS draws it");

    for (more, expected) in [
        ("&contentType=text/html", StatusCode::NOT_ACCEPTABLE),
        ("&contentType=application/dicom&transferSyntax=1.2.840.10008.1.2.4.201", StatusCode::NOT_ACCEPTABLE),
        ("&anonymize=yes", StatusCode::BAD_REQUEST),
        ("&windowWidth=400", StatusCode::BAD_REQUEST),
        ("&frameNumber=2", StatusCode::NOT_FOUND),
    ] {
        assert_eq!(bench.get(&program, &path(more)).await.status, expected, "{more}");
    }
    let other = bench.program(&bench.south).await;
    assert_eq!(bench.get(&other, &path("")).await.status, StatusCode::NOT_FOUND, "another centre's");
    let elsewhere = path("").replace(instance.series.as_str(), "1.2.3");
    assert_eq!(bench.get(&program, &elsewhere).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn xml_says_what_json_says() {
    let bench = Bench::new().await;
    let slices = ["ct-head-ge-28/01.dcm", "ct-head-ge-28/02.dcm"];
    let mut stored = Vec::new();
    for slice in slices {
        stored.push(bench.store(&bench.north, slice).await);
    }
    let program = bench.program(&bench.north).await;
    let accept = [("accept", "multipart/related; type=\"application/dicom+xml\"")];
    let paths = [
        format!("{}/metadata", stored[0].series_path()),
        format!("{}/metadata", stored[0].study_path()),
        format!("{}/metadata", stored[0].path()),
        format!("{}/instances?includefield=all", stored[0].series_path()),
        "/dicomweb/studies?PatientID=*".to_owned(),
    ];
    for path in paths {
        let rows = bench.get(&program, &path).await.rows();
        let answer = bench.ask(&program, &path, &accept).await;
        let parts = answer.parts();
        assert_eq!(parts.len(), rows.len(), "{path}");
        for (part, row) in parts.iter().zip(&rows) {
            assert_eq!(part.content_type, "application/dicom+xml");
            assert!(part.location.starts_with("http://images.example/dicomweb/"), "{}", part.location);
            let mut named: Vec<String> = tags(&part.body)
                .into_iter()
                .filter(|(name, _)| name == "DicomAttribute")
                .map(|(_, attributes)| attributes.into_iter().find(|(name, _)| name == "tag").unwrap().1)
                .collect();
            for key in row.as_object().unwrap().keys() {
                let at = named.iter().position(|tag| {
                    // A private tag stands without its block there.
                    tag == key || (tag[..4] == key[..4] && tag[6..] == key[6..])
                });
                named.remove(at.unwrap_or_else(|| panic!("{path}: {key} is missing")));
            }
        }
    }
    let nothing = bench.ask(&program, "/dicomweb/studies?PatientID=nobody", &accept).await;
    assert_eq!((nothing.status, nothing.body.len()), (StatusCode::NO_CONTENT, 0));
}
