//! The image viewer: OHIF's published build, served from a directory, unforked, with a configuration of ours.
//!
//! Its pages ask for their files by absolute addresses from `/`, so these answer there, beside our own. The
//! directory is looked through once at
//! start: only names found then are ever opened.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{
    body::Body,
    http::{HeaderValue, Request, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use gate::ContentPolicy;
use tower::ServiceExt as _;
use tower_http::services::ServeFile;

/// Most files of a viewer; OHIF 3.13.2 has 246.
pub const VIEWER_FILES_MAX: usize = 2000;
/// How deep its folders may stand.
const DEPTH_MAX: usize = 8;

/// How long a browser may use a file whose name says nothing about its contents: style sheets, pictures. Asking for each again costs a
/// round trip before the first image, and there are a dozen; an upgrade of the viewer shows at the latest after this.
const UNNAMED_KEPT: &str = "public, max-age=3600";

/// The address of its page.
pub(crate) const PAGE: &str = "/viewer";
/// The address of its configuration.
pub(crate) const CONFIG: &str = "/app-config.js";

/// Its page among the files.
const INDEX: &str = "/index.html";
/// Never served: sample configurations that point elsewhere, and a service worker that fetches from a foreign host.
const LEFT_OUT: [&str; 6] =
    [INDEX, CONFIG, "/google.js", "/sw.js", "/silent-refresh.html", "/oidc-client.min.js"];

/// A viewer's files, by the address they answer at. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Viewer {
    files: Arc<HashMap<String, PathBuf>>,
    page: Option<PathBuf>,
}

/// Why a viewer's directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ViewerError {
    /// It cannot be read.
    #[error("cannot look through the viewer's directory {directory}")]
    Read {
        /// The directory.
        directory: PathBuf,
        /// Why.
        #[source]
        source: walkdir::Error,
    },
    /// It has more files than [`VIEWER_FILES_MAX`]: it is something else.
    #[error("the viewer's directory {0} has too many files")]
    TooManyFiles(PathBuf),
}

impl Viewer {
    /// Looks through the directory of OHIF's build. Without a directory, or without an `index.html` in it, there is no viewer and its
    /// page says how to get it.
    ///
    /// # Errors
    /// When the directory is there but cannot be read, or holds far more than a viewer.
    pub fn open(directory: Option<&Path>) -> Result<Self, ViewerError> {
        let Some(directory) = directory.filter(|directory| directory.join("index.html").is_file()) else {
            return Ok(Self::default());
        };
        let mut files = HashMap::new();
        for entry in walkdir::WalkDir::new(directory).max_depth(DEPTH_MAX) {
            let entry =
                entry.map_err(|source| ViewerError::Read { directory: directory.to_owned(), source })?;
            if !entry.file_type().is_file() {
                continue;
            }
            let Some(address) = address(directory, entry.path()) else { continue };
            if !LEFT_OUT.contains(&address.as_str()) {
                files.insert(address, entry.into_path());
            }
            if files.len() > VIEWER_FILES_MAX {
                return Err(ViewerError::TooManyFiles(directory.to_owned()));
            }
        }
        Ok(Self { files: Arc::new(files), page: Some(directory.join("index.html")) })
    }

    /// Whether there is one.
    #[must_use]
    pub const fn is_there(&self) -> bool {
        self.page.is_some()
    }

    /// Its page; without a viewer, a page that says how to get it.
    pub(crate) async fn page(&self, request: Request<Body>) -> Response {
        match &self.page {
            Some(page) => serve(page, request, "no-cache").await,
            None => missing(),
        }
    }

    /// One of its files; `None` when it has none at this address.
    pub(crate) async fn file(&self, request: Request<Body>) -> Result<Response, Request<Body>> {
        let Some(file) = self.files.get(request.uri().path()) else { return Err(request) };
        let caching = match has_hashed_name(file) {
            true => "public, max-age=31536000, immutable",
            false => UNNAMED_KEPT,
        };
        Ok(serve(file, request, caching).await)
    }
}

/// The configuration, with the extension of ours that it puts in before it. Study and centre stand in the address of the page; everything
/// else is the same for everybody.
pub(crate) fn config() -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, concat!(include_str!("viewer-key-images.js"), include_str!("viewer-config.js"))).into_response()
}

async fn serve(file: &Path, request: Request<Body>, caching: &'static str) -> Response {
    let answer = ServeFile::new(file).precompressed_gzip().oneshot(request).await;
    let mut response = match answer {
        Ok(response) => response.map(Body::new),
        Err(never) => match never {},
    };
    let (policy, value) = ContentPolicy::Viewer.header();
    response.headers_mut().insert(policy, value);
    if response.status().is_success() || response.status() == StatusCode::NOT_MODIFIED {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    }
    response
}

fn missing() -> Response {
    let page = concat!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>No viewer</title>",
        "<h1>The image viewer is not installed</h1>",
        "<p>Run <code>make viewer</code> and start the service again, or name its directory in the settings.</p></html>"
    );
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))];
    (StatusCode::NOT_FOUND, headers, page).into_response()
}

/// The address of a file: its path below the directory; `None` for names that are not plain, and for files that a web server keeps for
/// itself or that are the compressed form of another.
fn address(directory: &Path, file: &Path) -> Option<String> {
    let relative = file.strip_prefix(directory).ok()?;
    let mut address = String::new();
    for part in relative.components() {
        let part = part.as_os_str().to_str()?;
        let plain = part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if !plain || part.starts_with(['.', '_']) {
            return None;
        }
        address.push('/');
        address.push_str(part);
    }
    let hidden = address.ends_with(".gz") || address.ends_with(".map");
    (!hidden).then_some(address)
}

/// Whether the name changes with the contents: a part of it is 16 hexadecimal digits.
fn has_hashed_name(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.split('.').any(|part| part.len() == 16 && part.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_files_found_at_the_start_have_an_address() {
        let folder = tempfile::tempdir().unwrap();
        for name in
            ["index.html", "app-config.js", "sw.js", "_headers", "app.bundle.0f6159c501addfe9.js", "a.js.gz"]
        {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        std::fs::create_dir(folder.path().join("assets")).unwrap();
        std::fs::write(folder.path().join("assets/favicon.ico"), "x").unwrap();
        let viewer = Viewer::open(Some(folder.path())).unwrap();
        let mut addresses: Vec<_> = viewer.files.keys().cloned().collect();
        addresses.sort();
        assert_eq!(addresses, ["/app.bundle.0f6159c501addfe9.js", "/assets/favicon.ico"]);
        assert!(viewer.is_there());
        assert!(!Viewer::open(Some(Path::new("/nowhere"))).unwrap().is_there());
        assert!(!Viewer::open(None).unwrap().is_there());
    }

    #[test]
    fn hashed_names_are_known() {
        for (name, hashed) in [
            ("app.bundle.0f6159c501addfe9.js", true),
            ("0ddf166f7a343eda.wasm", true),
            ("1602.css", false),
            ("init-service-worker.js", false),
        ] {
            assert_eq!(has_hashed_name(Path::new(name)), hashed, "{name}");
        }
    }
}
