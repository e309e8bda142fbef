//! WADO-RS of pictures (PS3.18 sections 8.3.5 and 10.4.1.1.3): a frame through a window as JPEG or PNG, and
//! small ones of studies and series. Not for diagnosis.
//!
//! Few are made at one time, off the threads that serve requests; those who wait are counted, and nobody
//! waits for ever. A picture that is given up keeps its place until its decoder is done, so that slow
//! decoders cannot pile up.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::State as Here,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use domain::{Duration, audit::Action, image::Instance, study::StudyKey};
use gate::Problem;
use imaging::{
    picture::{self, FRAME_BYTES_MAX, PictureError, Window},
    syntax::Syntax,
    tree,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    Shared, State,
    accept::{Accepted, Packaging, matches, not_acceptable},
    address::Target,
    conversion, fetch, frames,
    query::parameters,
    validator::{Kept, Validator},
};

/// Longest side of a thumbnail, in pixels, when the client does not say.
const THUMBNAIL_EDGE: u32 = 128;
/// Longest side of a picture that a client may ask for, in pixels.
const VIEWPORT_EDGE_MAX: u32 = 8192;
/// Seconds after which a client that was told to come back may do so.
const RETRY_AFTER_SECONDS: u32 = 2;

/// The first frame of an instance.
pub(crate) async fn instance(
    Here(shared): Here<State>,
    target: Target,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let instance = target.known_instance(&shared).await?;
    show(&shared, &target, &target.study()?, instance, 1, &headers, Wish::read(&headers, &uri, None)?).await
}

/// One frame of an instance.
pub(crate) async fn frame(
    Here(shared): Here<State>,
    target: Target,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let instance = target.known_instance(&shared).await?;
    let number = one_frame(&target)?;
    show(&shared, &target, &target.study()?, instance, number, &headers, Wish::read(&headers, &uri, None)?)
        .await
}

/// A small picture of a study.
pub(crate) async fn study_thumbnail(
    Here(shared): Here<State>,
    target: Target,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let instances = target.known_instances(&shared, None).await?;
    let largest = instances.chunk_by(|a, b| a.series == b.series).max_by_key(|series| pictures(series).len());
    let instance = middle(largest.unwrap_or_default())?;
    show(
        &shared,
        &target,
        &target.study()?,
        instance,
        1,
        &headers,
        Wish::read(&headers, &uri, Some(THUMBNAIL_EDGE))?,
    )
    .await
}

/// A small picture of a series.
pub(crate) async fn series_thumbnail(
    Here(shared): Here<State>,
    target: Target,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let instances = target.known_instances(&shared, Some(&target.series()?)).await?;
    let instance = middle(&instances)?;
    show(
        &shared,
        &target,
        &target.study()?,
        instance,
        1,
        &headers,
        Wish::read(&headers, &uri, Some(THUMBNAIL_EDGE))?,
    )
    .await
}

/// A small picture of an instance.
pub(crate) async fn instance_thumbnail(
    Here(shared): Here<State>,
    target: Target,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let instance = target.known_instance(&shared).await?;
    show(
        &shared,
        &target,
        &target.study()?,
        instance,
        1,
        &headers,
        Wish::read(&headers, &uri, Some(THUMBNAIL_EDGE))?,
    )
    .await
}

/// A small picture of a frame.
pub(crate) async fn frame_thumbnail(
    Here(shared): Here<State>,
    target: Target,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let instance = target.known_instance(&shared).await?;
    let number = one_frame(&target)?;
    show(
        &shared,
        &target,
        &target.study()?,
        instance,
        number,
        &headers,
        Wish::read(&headers, &uri, Some(THUMBNAIL_EDGE))?,
    )
    .await
}

/// How a picture is wanted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wish {
    format: Format,
    window: Option<Window>,
    /// Width and height of the place it is to fit in.
    viewport: Option<(u32, u32)>,
    /// What could not be done as asked.
    warning: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Jpeg,
    Png,
}

impl Format {
    const fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
        }
    }
}

impl Wish {
    /// Reads it, with the longest side that the picture has when nothing is said.
    pub(crate) fn read(headers: &HeaderMap, uri: &Uri, edge: Option<u32>) -> Result<Self, Problem> {
        let format = Accepted::of(headers, uri)?.choose(|wanted| {
            let mut formats = [Format::Jpeg, Format::Png].into_iter();
            let is_alone = wanted.packaging == Packaging::Single;
            formats.find(|format| is_alone && matches(wanted.payload, format.media_type()))
        });
        let offers = || [Format::Jpeg, Format::Png].map(|format| format.media_type().to_owned());
        let mut wish = Self {
            format: format.ok_or_else(|| not_acceptable(&offers()))?,
            window: None,
            viewport: edge.map(|edge| (edge, edge)),
            warning: None,
        };
        for (name, value) in parameters(uri)? {
            match name.to_ascii_lowercase().as_str() {
                "window" => wish.window = Some(window(&value)?),
                "viewport" => wish.viewport = Some(viewport(&value)?),
                "quality" => {
                    let quality = value.parse::<u8>().ok().filter(|quality| (1..=100).contains(quality));
                    quality
                        .ok_or_else(|| Problem::bad_request("quality is a whole number from 1 to 100."))?;
                    wish.warning = Some("The quality parameter is not supported");
                }
                "annotation" | "presentationseriesuid" | "presentationuid" | "iccprofile" => {
                    wish.warning = Some("Only the window and viewport parameters are supported");
                }
                _ => {}
            }
        }
        Ok(wish)
    }

    /// The longest side that a picture of this size may have. It is never made larger than it is.
    fn edge(&self, width: u32, height: u32) -> Option<u32> {
        let (across, down) = self.viewport?;
        let scale = (f64::from(across) / f64::from(width)).min(f64::from(down) / f64::from(height));
        Some(((f64::from(width.max(height)) * scale).floor() as u32).max(1))
    }
}

/// `CENTRE,WIDTH,FUNCTION` (PS3.18 section 8.3.5.1.4).
fn window(value: &str) -> Result<Window, Problem> {
    let malformed =
        || Problem::bad_request("window is centre,width,function; functions are linear and linear-exact.");
    let parts: Vec<&str> = value.split(',').map(str::trim).collect();
    let [centre, width, function] = *parts.as_slice() else { return Err(malformed()) };
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
    let (Some(centre), Some(width)) = (number(centre), number(width)) else { return Err(malformed()) };
    match function.to_ascii_lowercase().as_str() {
        "linear" if width >= 1.0 => Ok(Window { centre, width }),
        // PS3.3 sections C.11.2.1.2.1 and C.11.2.1.3.2: the exact function is the other one half a step up
        // and one step wider.
        "linear-exact" if width > 0.0 => Ok(Window { centre: centre + 0.5, width: width + 1.0 }),
        _ => Err(malformed()),
    }
}

/// `WIDTH,HEIGHT` (PS3.18 section 8.3.5.1.3), without a region of the image.
fn viewport(value: &str) -> Result<(u32, u32), Problem> {
    let edges: Option<Vec<u32>> = value.split(',').map(|edge| edge.trim().parse().ok()).collect();
    match edges.as_deref() {
        Some([width, height])
            if (1..=VIEWPORT_EDGE_MAX).contains(width) && (1..=VIEWPORT_EDGE_MAX).contains(height) =>
        {
            Ok((*width, *height))
        }
        _ => Err(Problem::bad_request(format!(
            "viewport is width,height, each from 1 to {VIEWPORT_EDGE_MAX}."
        ))),
    }
}

fn one_frame(target: &Target) -> Result<u32, Problem> {
    match *frames::numbers(target.part("frames")?)?.as_slice() {
        [number] => Ok(number),
        _ => Err(Problem::bad_request("A picture is of one frame.")),
    }
}

fn pictures(instances: &[Instance]) -> Vec<&Instance> {
    instances.iter().filter(|instance| instance.attributes.rows.is_some()).collect()
}

/// The instance in the middle of those that have pixels: of a scan it shows more than the first.
fn middle(instances: &[Instance]) -> Result<Instance, Problem> {
    let pictures = pictures(instances);
    pictures.get(pictures.len() / 2).map(|instance| (*instance).clone()).ok_or_else(Problem::unknown)
}

/// Makes a picture of one frame of an instance, as part of looking at a study.
pub(crate) async fn show(
    shared: &Shared,
    target: &Target,
    study: &StudyKey,
    instance: Instance,
    number: u32,
    headers: &HeaderMap,
    wish: Wish,
) -> Result<Response, Problem> {
    shared.note(&target.caller, Action::ImagesRetrieved, &target.centre, Some(study)).await?;
    let validator = Validator::new(instance.file_sha256.to_string(), Kept::Object);
    if let Some(response) = validator.not_modified(headers) {
        return Ok(response);
    }
    let (format, warning) = (wish.format, wish.warning);
    let limit = Duration::from_secs(i64::try_from(shared.config.picture_seconds_max).unwrap_or(i64::MAX));
    let picture = tokio::select! {
        picture = make(shared, instance, number, wish) => picture?,
        () = shared.clock.sleep(limit) => return Err(busy("The picture takes too long to make.")),
    };
    let mut response = ([(header::CONTENT_TYPE, format.media_type())], picture).into_response();
    if let Some(warning) =
        warning.and_then(|text| HeaderValue::try_from(format!("299 telerad \"{text}\"")).ok())
    {
        response.headers_mut().insert(header::WARNING, warning);
    }
    Ok(validator.put_on(response))
}

async fn make(shared: &Shared, instance: Instance, number: u32, wish: Wish) -> Result<Bytes, Problem> {
    let place = place(shared).await?;
    let work: Box<dyn FnOnce() -> Result<picture::Picture, PictureError> + Send> =
        if Syntax::of(&instance.transfer_syntax).deflated {
            let bytes_max = usize::try_from(FRAME_BYTES_MAX).unwrap_or(usize::MAX);
            let object = fetch::bytes(&*shared.storage, &instance, 0..instance.bytes, bytes_max).await?;
            Box::new(move || picture::of_object(&object, number))
        } else {
            let (_, places) = frames::places(shared, &instance, &[number]).await?;
            let frame = places.into_iter().next().ok_or_else(Problem::unknown)?;
            let bytes = frames::in_memory(&*shared.storage, &instance, &frame).await?;
            let header = conversion::beginning(&*shared.storage, &instance).await?.header;
            Box::new(move || {
                picture::decode(&tree::read(&header)?, &instance.transfer_syntax, &bytes, frame.skip_bits)
            })
        };
    let drawn = tokio::task::spawn_blocking(move || {
        let _place = place;
        let picture = work()?;
        let rendered = picture.render(wish.window, wish.edge(picture.width, picture.height))?;
        match wish.format {
            Format::Jpeg => rendered.jpeg(),
            Format::Png => rendered.png(),
        }
    });
    match drawn.await {
        Ok(Ok(bytes)) => Ok(bytes.into()),
        Ok(Err(error)) => Err(not_shown(&error)),
        Err(error) => Err(Problem::internal(&error)),
    }
}

/// A place among the pictures that are being made, after waiting for it.
struct Place {
    _waiting: OwnedSemaphorePermit,
    _making: OwnedSemaphorePermit,
}

async fn place(shared: &Shared) -> Result<Place, Problem> {
    let full = || busy("Too many pictures are being made.");
    let waiting = Arc::clone(&shared.pictures_waiting).try_acquire_owned().map_err(|_| full())?;
    let making = Semaphore::acquire_owned(Arc::clone(&shared.pictures)).await.map_err(|_| full())?;
    Ok(Place { _waiting: waiting, _making: making })
}

fn busy(message: &str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message)
        .next_step("Wait a moment and try again.")
        .retry_after(RETRY_AFTER_SECONDS)
}

fn not_shown(error: &PictureError) -> Problem {
    match error {
        PictureError::NotDicom(_) | PictureError::Write(_) => Problem::internal(error),
        // Intake looks at headers; behind them a data set may still be what the guard refuses.
        PictureError::Refused(_)
        | PictureError::Frames(_)
        | PictureError::TooLarge
        | PictureError::Mismatch(_)
        | PictureError::Unsupported(_)
        | PictureError::Decode(_)
        | PictureError::Panic => {
            tracing::warn!(error = error as &dyn std::error::Error, "an image cannot be shown");
            Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "not_shown",
                "This image cannot be shown as a picture.",
            )
            .next_step("Open the study in the viewer, or retrieve the instance as application/dicom.")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(query: &str, accept: &'static str) -> Result<Wish, Problem> {
        let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
        Wish::read(&headers, &format!("/rendered?{query}").parse().unwrap(), None)
    }

    #[test]
    fn windows_and_viewports() {
        let wanted = wish("window=40,400,linear&viewport=256,128", "image/png").unwrap();
        assert_eq!(wanted.window, Some(Window { centre: 40.0, width: 400.0 }));
        assert_eq!(
            (wanted.format, wanted.edge(512, 512), wanted.edge(1024, 256)),
            (Format::Png, Some(128), Some(256))
        );
        assert_eq!(
            wish("window=-600,1500,linear-exact", "").unwrap().window,
            Some(Window { centre: -599.5, width: 1501.0 })
        );
        for bad in [
            "window=1,2",
            "window=a,2,linear",
            "window=1,0,linear",
            "window=1,NaN,linear",
            "window=1,2,sigmoid",
            "viewport=0,1",
            "viewport=1",
            "viewport=9000,1",
            "viewport=1,1,1,1,1,1",
            "quality=0",
            "quality=101",
        ] {
            assert_eq!(wish(bad, "*/*").unwrap_err().status(), StatusCode::BAD_REQUEST, "{bad}");
        }
    }

    #[test]
    fn pictures_are_jpeg_or_png() {
        for (accept, expected) in [
            ("", Some(Format::Jpeg)),
            ("image/*", Some(Format::Jpeg)),
            ("image/png, image/jpeg;q=0.5", Some(Format::Png)),
            ("image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", Some(Format::Jpeg)),
            ("image/gif", None),
            ("multipart/related; type=image/jpeg", None),
        ] {
            assert_eq!(wish("", accept).ok().map(|wish| wish.format), expected, "{accept}");
        }
        assert_eq!(wish("accept=image/png", "image/jpeg").unwrap().format, Format::Png);
        assert!(wish("quality=80", "").unwrap().warning.is_some());
    }
}
