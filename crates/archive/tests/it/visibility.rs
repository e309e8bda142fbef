//! Who sees what: a centre that is not the caller's is answered like one that is not there.

use axum::http::StatusCode;
use domain::person::Scope;

use crate::support::{Bench, Who};

#[tokio::test]
async fn nobody_sees_another_centre() {
    let bench = Bench::new().await;
    let stored = bench.store(&bench.south, "formats/CT_small.dcm").await;
    let (north, south) = (bench.program(&bench.north).await, bench.program(&bench.south).await);
    let path = stored.path();
    for rest in ["", "/metadata", "/frames/1", "/rendered", "/thumbnail", "/bulkdata/7FE00010"] {
        let address = format!("{path}{rest}");
        assert_eq!(bench.get(&south, &address).await.status, StatusCode::OK, "{address}");
        let refused = bench.get(&north, &address).await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND, "{address}");
        let named = address.replace("/dicomweb/", "/dicomweb/centres/south/");
        assert_eq!(bench.get(&south, &named).await.status, StatusCode::OK, "{named}");
        let foreign = bench.get(&north, &named).await;
        let missing = bench.get(&north, &address.replace("/dicomweb/", "/dicomweb/centres/nowhere/")).await;
        assert_eq!((foreign.status, &foreign.body), (missing.status, &missing.body), "{named}");
        assert_eq!(foreign.body, refused.body, "{named}");
        assert_eq!(bench.get(&Who::Nobody, &address).await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(bench.get(&north, "/dicomweb/studies").await.rows().len(), 0);
    assert_eq!(bench.get(&south, "/dicomweb/studies").await.rows().len(), 1);
    let study = format!("/dicomweb/studies?StudyInstanceUID={}", stored.instance.study);
    assert_eq!(bench.get(&north, &study).await.rows().len(), 0);
    assert_eq!(
        bench.get(&north, &format!("{}/series", stored.study_path())).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn the_same_study_at_two_centres_is_two_studies() {
    let bench = Bench::new().await;
    bench.store(&bench.north, "formats/CT_small.dcm").await;
    bench.store(&bench.south, "formats/CT_small.dcm").await;
    let everybody = bench.person(Scope::AllCentres).await;
    for centre in ["north", "south"] {
        let rows = bench.get(&everybody, &format!("/dicomweb/centres/{centre}/studies")).await.rows();
        assert_eq!(rows.len(), 1);
        let url = rows[0]["00081190"]["Value"][0].as_str().unwrap();
        assert!(
            url.starts_with(&format!("http://images.example/dicomweb/centres/{centre}/studies/")),
            "{url}"
        );
    }
}

#[tokio::test]
async fn a_person_of_one_centre_need_not_name_it() {
    let bench = Bench::new().await;
    bench.store(&bench.north, "formats/CT_small.dcm").await;
    let one = bench.person(Scope::Centres(vec![bench.north.clone()])).await;
    let two = bench.person(Scope::Centres(vec![bench.north.clone(), bench.south.clone()])).await;
    let all = bench.person(Scope::AllCentres).await;
    assert_eq!(bench.get(&one, "/dicomweb/studies").await.rows().len(), 1);
    for who in [&two, &all] {
        let refused = bench.get(who, "/dicomweb/studies").await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        assert!(String::from_utf8_lossy(&refused.body).contains("/dicomweb/centres/CENTRE/"));
        assert_eq!(bench.get(who, "/dicomweb/centres/north/studies").await.rows().len(), 1);
    }
    assert_eq!(bench.get(&all, "/dicomweb/centres/nowhere/studies").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_path_must_name_the_instance_in_its_own_study_and_series() {
    let bench = Bench::new().await;
    let (a, b) = (
        bench.store(&bench.north, "formats/CT_small.dcm").await,
        bench.store(&bench.north, "formats/MR_small.dcm").await,
    );
    let program = bench.program(&bench.north).await;
    let uid = &b.instance.sop_instance;
    for path in [
        format!("{}/instances/{uid}", a.series_path()),
        format!("{}/series/{}/instances/{uid}", a.study_path(), b.instance.series),
        format!("{}/series/1.2.3", a.study_path()),
        format!("{}/series/1.2.3/instances", a.study_path()),
        format!("{}/series/1.2.3/metadata", a.study_path()),
        "/dicomweb/studies/1.2.3".to_owned(),
        "/dicomweb/studies/1.2.3/metadata".to_owned(),
        "/dicomweb/studies/1.2.3/series".to_owned(),
        "/dicomweb/studies/not-a-uid".to_owned(),
        "/dicomweb/studies/..%2F..%2Fetc/metadata".to_owned(),
    ] {
        assert_eq!(bench.get(&program, &path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}
