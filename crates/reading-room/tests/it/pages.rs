//! The pages and the viewer.

use axum::http::StatusCode;
use reading_room::Viewer;

use crate::world::{world, world_with};

#[tokio::test]
async fn pages_are_for_browsers_and_unknown_addresses_for_nobody() {
    let world = world().await;
    let html = [("accept", "text/html,application/xhtml+xml,*/*;q=0.8")];
    for page in ["/", "/tasks", "/read/north/1.2.3"] {
        let answer = world.get_with("", page, &html).await;
        assert!(answer.header("content-type").starts_with("text/html"), "{page}");
        let built = answer.status == StatusCode::OK && answer.header("cache-control") == "no-cache";
        let unbuilt = answer.status == StatusCode::NOT_FOUND && answer.text().contains("make web");
        assert!(built || unbuilt, "{page}: {}", answer.status);
        assert!(answer.header("content-security-policy").starts_with("default-src 'self';"));
    }
    for address in ["/api/v1/nothing", "/dicomweb/nothing", "/r/nothing", "/assets/nothing.js", "/metrics"] {
        let answer = world.get_with("", address, &html).await;
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::NOT_FOUND, "unknown"), "{address}");
    }
    assert_eq!(world.get("", "/favicon.png").await.code(), "unknown");
    let wrong = world.change("", "DELETE", "/api/v1/worklist", &serde_json::Value::Null).await;
    assert_eq!((wrong.status, wrong.code().as_str()), (StatusCode::METHOD_NOT_ALLOWED, "wrong_method"));
}

#[tokio::test]
async fn without_a_viewer_its_page_says_how_to_get_it() {
    let world = world().await;
    let answer = world.get("", "/viewer?StudyInstanceUIDs=1.2.3&centre=north").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(answer.text().contains("make viewer"));
}

#[tokio::test]
async fn the_viewer_is_served_from_its_directory() {
    let folder = tempfile::tempdir().unwrap();
    for (name, contents) in [
        ("index.html", "<p>viewer</p>"),
        ("app-config.js", "shipped"),
        ("app.bundle.0f6159c501addfe9.js", "bundle"),
        ("1602.css", "css"),
        ("sw.js", "worker"),
    ] {
        std::fs::write(folder.path().join(name), contents).unwrap();
    }
    let world = world_with(Viewer::open(Some(folder.path())).unwrap(), false).await;
    let page = world.get("", "/viewer?StudyInstanceUIDs=1.2.3&centre=north").await;
    assert_eq!((page.status, page.text().as_str()), (StatusCode::OK, "<p>viewer</p>"));
    assert!(page.header("content-security-policy").contains("'wasm-unsafe-eval'"));
    let config = world.get("", "/app-config.js").await;
    assert!(config.text().contains("'/dicomweb/centres/'") && !config.text().contains("shipped"));
    let bundle = world.get("", "/app.bundle.0f6159c501addfe9.js").await;
    assert_eq!(bundle.header("cache-control"), "public, max-age=31536000, immutable");
    assert!(
        bundle.header("content-security-policy").contains("'wasm-unsafe-eval'"),
        "workers follow their own"
    );
    assert_eq!(world.get("", "/1602.css").await.header("cache-control"), "public, max-age=3600");
    for absent in ["/sw.js", "/index.html.gz", "/../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd"] {
        assert_eq!(world.get("", absent).await.status, StatusCode::NOT_FOUND, "{absent}");
    }
}
