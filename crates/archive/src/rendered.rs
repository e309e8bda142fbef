//! WADO-RS of pictures (PS3.18 sections 8.3.5 and 10.4.1.1.3): frames through a window as JPEG or PNG, alone or all of a study, series or
//! list, and small ones of studies and series. Not for diagnosis.
//!
//! Who makes them has a bounded number of places and of those who wait ([`domain::port::Pixels`]); nobody waits for ever.

use std::sync::{Arc, PoisonError};

use axum::{
    body::Body,
    extract::State as Here,
    http::{HeaderMap, HeaderValue, Uri, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use domain::{
    Duration,
    audit::Action,
    digest::Sha256Digest,
    image::Instance,
    pixel::{PictureFormat, Region, Shading, Showing, Viewport, Window, WindowFunction},
    study::StudyKey,
};
use futures::{StreamExt as _, future, stream};
use gate::Problem;
use imaging::picture::JPEG_QUALITY;

use crate::{
    Shared, State,
    accept::{Accepted, Packaging, matches, not_acceptable},
    address::{Target, instance_address},
    frames,
    multipart::Part,
    pixel::{self, busy, not_done},
    retrieve::multipart_answer,
    validator::{Kept, Validator},
};

/// Longest side of a thumbnail, in pixels, when the client does not say.
const THUMBNAIL_EDGE: u32 = 128;
/// Longest side of a picture that a client may ask for, in pixels.
const VIEWPORT_EDGE_MAX: u32 = 8192;
/// Most pictures of one answer.
pub(crate) const PICTURES_MAX: usize = 5_000;

/// A frame that is shown.
pub(crate) struct Pick {
    /// Of which instance.
    pub(crate) instance: Instance,
    /// Which, from 1.
    pub(crate) number: u32,
}

/// Every image of a study.
pub(crate) async fn study(
    Here(shared): Here<State>,
    target: Target,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let instances = target.known_instances(&shared, None).await?;
    show_all(&shared, &target, firsts(instances)?, &headers, &uri).await
}

/// Every image of a series.
pub(crate) async fn series(
    Here(shared): Here<State>,
    target: Target,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let instances = target.known_instances(&shared, Some(&target.series()?)).await?;
    show_all(&shared, &target, firsts(instances)?, &headers, &uri).await
}

/// The first frame of an instance.
pub(crate) async fn instance(
    Here(shared): Here<State>,
    target: Target,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let pick = Pick { instance: target.known_instance(&shared).await?, number: 1 };
    show(&shared, &target, &target.study()?, pick, &headers, Wish::read(&headers, &uri, None)?).await
}

/// Frames of an instance.
pub(crate) async fn frame(
    Here(shared): Here<State>,
    target: Target,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let instance = target.known_instance(&shared).await?;
    match *frames::numbers(target.part("frames")?)?.as_slice() {
        [number] => {
            let pick = Pick { instance, number };
            show(&shared, &target, &target.study()?, pick, &headers, Wish::read(&headers, &uri, None)?).await
        }
        ref numbers => {
            let picks = numbers.iter().map(|number| Pick { instance: instance.clone(), number: *number });
            show_all(&shared, &target, picks.collect(), &headers, &uri).await
        }
    }
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
    let pick = Pick { instance: middle(largest.unwrap_or_default())?, number: 1 };
    show_small(&shared, &target, pick, &headers, &uri).await
}

/// A small picture of a series.
pub(crate) async fn series_thumbnail(
    Here(shared): Here<State>,
    target: Target,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let instances = target.known_instances(&shared, Some(&target.series()?)).await?;
    let pick = Pick { instance: middle(&instances)?, number: 1 };
    show_small(&shared, &target, pick, &headers, &uri).await
}

/// A small picture of an instance.
pub(crate) async fn instance_thumbnail(
    Here(shared): Here<State>,
    target: Target,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let pick = Pick { instance: target.known_instance(&shared).await?, number: 1 };
    show_small(&shared, &target, pick, &headers, &uri).await
}

/// A small picture of a frame.
pub(crate) async fn frame_thumbnail(
    Here(shared): Here<State>,
    target: Target,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let instance = target.known_instance(&shared).await?;
    let [number] = *frames::numbers(target.part("frames")?)?.as_slice() else {
        return Err(Problem::bad_request("A thumbnail is of one frame."));
    };
    show_small(&shared, &target, Pick { instance, number }, &headers, &uri).await
}

async fn show_small(
    shared: &Shared,
    target: &Target,
    pick: Pick,
    headers: &HeaderMap,
    uri: &Uri,
) -> Result<Response, Problem> {
    let wish = Wish::read(headers, uri, Some(THUMBNAIL_EDGE))?;
    show(shared, target, &target.study()?, pick, headers, wish).await
}

/// How a picture is wanted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wish {
    format: Format,
    packaging: Packaging,
    showing: Showing,
    /// What could not be done as asked.
    warning: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Jpeg,
    Png,
}

impl Format {
    const ALL: [Self; 2] = [Self::Jpeg, Self::Png];

    const fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
        }
    }
}

impl Wish {
    /// Reads how one picture is wanted, with the longest side that it has when nothing is said.
    pub(crate) fn read(headers: &HeaderMap, uri: &Uri, edge: Option<u32>) -> Result<Self, Problem> {
        Self::packed(headers, uri, edge, &[Packaging::Single])
    }

    fn packed(
        headers: &HeaderMap,
        uri: &Uri,
        edge: Option<u32>,
        packagings: &[Packaging],
    ) -> Result<Self, Problem> {
        let chosen = Accepted::of(headers, uri)?.choose(|wanted| {
            let is_packed = packagings.contains(&wanted.packaging);
            let format = Format::ALL.into_iter().find(|format| matches(wanted.payload, format.media_type()));
            format.filter(|_| is_packed).map(|format| (format, wanted.packaging))
        });
        let offers = || Format::ALL.map(|format| format.media_type().to_owned());
        let (format, packaging) = chosen.ok_or_else(|| not_acceptable(&offers()))?;
        let viewport = edge.map(|edge| Viewport { width: edge, height: edge, enlarge: false, region: None });
        let mut showing = Showing { shading: None, viewport, format: PictureFormat::Png };
        let (mut quality, mut warning) = (JPEG_QUALITY, None);
        for (name, value) in gate::parameters(uri)? {
            match name.to_ascii_lowercase().as_str() {
                "window" => showing.shading = Some(shading(&value)?),
                "viewport" => showing.viewport = Some(self::viewport(&value)?),
                "quality" => {
                    let given = value.parse::<u8>().ok().filter(|quality| (1..=100).contains(quality));
                    quality = given
                        .ok_or_else(|| Problem::bad_request("quality is a whole number from 1 to 100."))?;
                }
                // Names in a picture outlive every permission to see them.
                "annotation" => warning = Some("Nothing is written into the picture"),
                "presentationseriesuid" | "presentationuid" => {
                    warning = Some("Presentation states are not applied");
                }
                "iccprofile" => warning = Some("Colours are written as they are stored"),
                _ => {}
            }
        }
        if format == Format::Jpeg {
            showing.format = PictureFormat::Jpeg(quality);
        }
        Ok(Self { format, packaging, showing, warning })
    }
}

/// `CENTRE,WIDTH,FUNCTION` (PS3.18 section 8.3.5.1.4).
fn shading(value: &str) -> Result<Shading, Problem> {
    let malformed = || {
        Problem::bad_request(
            "window is centre,width,function; functions are linear, linear-exact and sigmoid.",
        )
    };
    let parts: Vec<&str> = value.split(',').map(str::trim).collect();
    let [centre, width, function] = *parts.as_slice() else { return Err(malformed()) };
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
    let (Some(centre), Some(width)) = (number(centre), number(width)) else { return Err(malformed()) };
    let function = match function.to_ascii_lowercase().as_str() {
        "linear" if width >= 1.0 => WindowFunction::Linear,
        "linear-exact" if width > 0.0 => WindowFunction::LinearExact,
        "sigmoid" if width > 0.0 => WindowFunction::Sigmoid,
        _ => return Err(malformed()),
    };
    Ok(Shading { window: Window { centre, width }, function })
}

/// `WIDTH,HEIGHT[,LEFT,TOP,WIDTH,HEIGHT]` (PS3.18 section 8.3.5.1.3): where the picture is to fit in, and the part of the image that is
/// shown, flipped where its width or height is negative. Parts of the region may be empty.
fn viewport(value: &str) -> Result<Viewport, Problem> {
    let malformed = || {
        Problem::bad_request(format!(
            "viewport is width,height[,left,top,width,height]; the first two are from 1 to {VIEWPORT_EDGE_MAX}, \
             the region has a place in the image and an extent that is not 0."
        ))
    };
    let parts: Vec<&str> = value.split(',').map(str::trim).collect();
    let edge = |text: &str| text.parse::<u32>().ok().filter(|edge| (1..=VIEWPORT_EDGE_MAX).contains(edge));
    let (place, region) = match *parts.as_slice() {
        [width, height] => ((width, height), None),
        [width, height, left, top, across, down] => ((width, height), Some([left, top, across, down])),
        _ => return Err(malformed()),
    };
    let (Some(width), Some(height)) = (edge(place.0), edge(place.1)) else { return Err(malformed()) };
    let number = |text: &str| match text {
        "" => Ok(None),
        text => text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Some).ok_or_else(malformed),
    };
    let region = match region {
        None => None,
        Some([left, top, across, down]) => {
            let region = Region {
                left: number(left)?.unwrap_or(0.0),
                top: number(top)?.unwrap_or(0.0),
                width: number(across)?,
                height: number(down)?,
            };
            let is_empty = region.width == Some(0.0) || region.height == Some(0.0);
            if is_empty || region.left < 0.0 || region.top < 0.0 {
                return Err(malformed());
            }
            Some(region)
        }
    };
    Ok(Viewport { width, height, enlarge: true, region })
}

/// The first frame of each instance that has pixels.
fn firsts(instances: Vec<Instance>) -> Result<Vec<Pick>, Problem> {
    let shown = instances.into_iter().filter(|instance| instance.attributes.rows.is_some());
    let picks: Vec<Pick> = shown.map(|instance| Pick { instance, number: 1 }).collect();
    if picks.is_empty() {
        return Err(Problem::unknown());
    }
    Ok(picks)
}

fn pictures(instances: &[Instance]) -> Vec<&Instance> {
    instances.iter().filter(|instance| instance.attributes.rows.is_some()).collect()
}

/// The instance in the middle of those that have pixels: of a scan it shows more than the first.
fn middle(instances: &[Instance]) -> Result<Instance, Problem> {
    let pictures = pictures(instances);
    pictures.get(pictures.len() / 2).map(|instance| (*instance).clone()).ok_or_else(Problem::unknown)
}

/// Makes a picture of one frame, as part of looking at a study.
pub(crate) async fn show(
    shared: &Shared,
    target: &Target,
    study: &StudyKey,
    pick: Pick,
    headers: &HeaderMap,
    wish: Wish,
) -> Result<Response, Problem> {
    shared.note(&target.caller, Action::ImagesRetrieved, &target.centre, Some(study)).await?;
    let validator = Validator::new(pick.instance.file_sha256.to_string(), Kept::Object);
    if let Some(response) = validator.not_modified(headers) {
        return Ok(response);
    }
    let picture = make(shared, &pick, &wish).await?;
    let response = ([(header::CONTENT_TYPE, wish.format.media_type())], picture).into_response();
    Ok(validator.put_on(warned(response, &wish)))
}

/// Makes pictures of many frames, one after another.
async fn show_all(
    shared: &State,
    target: &Target,
    picks: Vec<Pick>,
    headers: &HeaderMap,
    uri: &Uri,
) -> Result<Response, Problem> {
    let wish = Wish::packed(headers, uri, None, &[Packaging::Multipart, Packaging::Single])?;
    if picks.len() > PICTURES_MAX {
        return Err(Problem::bad_request(format!("At most {PICTURES_MAX} pictures can be had at once.")));
    }
    if picks.len() > 1 && wish.packaging == Packaging::Single {
        let offer = |format: Format| format!("multipart/related; type=\"{}\"", format.media_type());
        return Err(not_acceptable(&Format::ALL.map(offer)));
    }
    shared.note(&target.caller, Action::ImagesRetrieved, &target.centre, Some(&target.study()?)).await?;
    let mut picks = picks;
    if wish.packaging == Packaging::Single
        && let Some(pick) = picks.pop()
    {
        let picture = make(shared, &pick, &wish).await?;
        let body = Body::from(picture);
        return Ok(warned(([(header::CONTENT_TYPE, wish.format.media_type())], body).into_response(), &wish));
    }
    let (shared, base, making) = (Arc::clone(shared), target.base.clone(), wish.clone());
    let parts = stream::iter(picks).then(move |pick| {
        let (shared, wish) = (Arc::clone(&shared), making.clone());
        let address = instance_address(&base, &pick.instance);
        let location = format!("{address}/frames/{}/rendered", pick.number);
        async move {
            let picture = make(&shared, &pick, &wish).await?;
            let bytes = Some(picture.len() as u64);
            let content = stream::once(future::ready(Ok(picture))).boxed();
            Ok(Part { media_type: wish.format.media_type().to_owned(), location, bytes, content })
        }
    });
    let mut response = multipart_answer(wish.format.media_type(), parts).await?;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    Ok(warned(response, &wish))
}

fn warned(mut response: Response, wish: &Wish) -> Response {
    let warning = wish.warning.and_then(|text| HeaderValue::try_from(format!("299 telerad \"{text}\"")).ok());
    if let Some(warning) = warning {
        response.headers_mut().insert(header::WARNING, warning);
    }
    response
}

/// Names a picture: of which object, which frame, and how it is shown. Nothing else decides what it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Name {
    object: Sha256Digest,
    number: u32,
    /// In the words of [`Showing`], whose numbers have no hash.
    showing: String,
}

/// The file of a picture.
async fn make(shared: &Shared, pick: &Pick, wish: &Wish) -> Result<Bytes, Problem> {
    let name = Name {
        object: pick.instance.file_sha256,
        number: pick.number,
        showing: format!("{:?}", wish.showing),
    };
    let pictures = || shared.pictures.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(file) = pictures().get(&name) {
        return Ok(file);
    }
    let limit = Duration::from_secs(i64::try_from(shared.config.picture_seconds_max).unwrap_or(i64::MAX));
    let making = async {
        let frames = pixel::Frames::open(shared, pick.instance.clone(), &[pick.number]).await?;
        if frames.count() == 0 {
            return Err(Problem::unknown());
        }
        let source = frames.source(shared, 0).await?;
        shared.pixels.show(source, wish.showing).await.map_err(|error| not_done(&error, &pick.instance))
    };
    let shown = tokio::select! {
        shown = making => shown?,
        () = shared.clock.sleep(limit) => return Err(busy("The picture takes too long to make.")),
    };
    pictures().put(name, shown.file.clone());
    Ok(shown.file)
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;

    fn wish(query: &str, accept: &'static str) -> Result<Wish, Problem> {
        let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
        Wish::read(&headers, &format!("/rendered?{query}").parse().unwrap(), None)
    }

    #[test]
    fn windows_and_viewports() {
        let wanted = wish("window=40,400,linear&viewport=256,128", "image/png").unwrap().showing;
        assert_eq!(wanted.shading, Some(Window { centre: 40.0, width: 400.0 }.into()));
        let place = |region| Some(Viewport { width: 256, height: 128, enlarge: true, region });
        assert_eq!((wanted.format, wanted.viewport), (PictureFormat::Png, place(None)));
        let window = Window { centre: -600.0, width: 0.5 };
        for (name, function) in
            [("linear-exact", WindowFunction::LinearExact), ("SIGMOID", WindowFunction::Sigmoid)]
        {
            let asked = wish(&format!("window=-600,0.5,{name}"), "").unwrap();
            assert_eq!(asked.showing.shading, Some(Shading { window, function }));
        }
        let region = Region { left: 1.5, top: 0.0, width: Some(-20.0), height: None };
        let asked = wish("viewport=256,128,1.5,,-20,", "").unwrap();
        assert_eq!(asked.showing.viewport, place(Some(region)));
        assert_eq!(wish("quality=40", "image/jpeg").unwrap().showing.format, PictureFormat::Jpeg(40));
        for bad in [
            "window=1,2",
            "window=a,2,linear",
            "window=1,0,linear",
            "window=1,NaN,linear",
            "window=1,0,sigmoid",
            "window=1,2,cubic",
            "viewport=0,1",
            "viewport=1",
            "viewport=9000,1",
            "viewport=1,1,1,1,1",
            "viewport=1,1,1,1,0,1",
            "viewport=1,1,-1,1,1,1",
            "viewport=1,1,1,x,1,1",
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
        assert!(wish("annotation=patient", "").unwrap().warning.is_some());
    }
}
