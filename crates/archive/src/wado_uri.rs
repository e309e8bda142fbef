//! WADO-URI (PS3.18 section 9): one object by parameters, for viewers from before WADO-RS. Each request is answered as the one for the
//! same thing over WADO-RS is.
//!
//! Without a `contentType` a single picture is JPEG and everything else is the object. `anonymize` is refused rather than left undone.

use axum::{
    extract::State as Here,
    http::{HeaderMap, HeaderValue, Uri, header},
    response::Response,
};
use domain::{image::Instance, uid::TransferSyntaxUid};
use gate::Problem;

use crate::{
    State,
    accept::{Accepted, DICOM, Packaging, matches},
    address::Target,
    rendered::{self, Pick},
    retrieve,
};

/// Longest side of a picture of which only the other side was said.
const EDGE_MAX: u32 = 8192;
/// What can be had.
const PICTURES: [&str; 2] = ["image/jpeg", "image/png"];

/// One object, or a picture of it.
pub(crate) async fn get(
    Here(shared): Here<State>,
    target: Target,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let asked = Asked::read(&uri)?;
    let target = target.naming([
        ("study", asked.study.clone()),
        ("series", asked.series.clone()),
        ("instance", asked.object.clone()),
    ]);
    let instance = target.known_instance(&shared).await?;
    let mut headers = headers;
    match asked.form(&instance)? {
        Form::Object(accept) => {
            headers.insert(header::ACCEPT, accept);
            let mut response = retrieve::instance(Here(shared), target, headers, Uri::default()).await?;
            if asked.picture.is_asked() {
                let warning = "299 telerad \"Parameters for pictures were not used: this is the object\"";
                response.headers_mut().insert(header::WARNING, HeaderValue::from_static(warning));
            }
            Ok(response)
        }
        Form::Picture(accept) => {
            headers.insert(header::ACCEPT, accept);
            let wish = rendered::Wish::read(&headers, &asked.picture.query(&instance)?, None)?;
            let (study, number) = (target.study()?, asked.picture.frame.unwrap_or(1));
            rendered::show(&shared, &target, &study, Pick { instance, number }, &headers, wish).await
        }
    }
}

/// What is given, and the `Accept` that says so to WADO-RS.
#[derive(Debug, PartialEq, Eq)]
enum Form {
    Object(HeaderValue),
    Picture(HeaderValue),
}

/// A request that has been understood.
#[derive(Debug, Default, PartialEq)]
struct Asked {
    study: String,
    series: String,
    object: String,
    content_type: Option<String>,
    transfer_syntax: Option<TransferSyntaxUid>,
    picture: Picture,
}

/// How a picture is to be made.
#[derive(Debug, Default, PartialEq)]
struct Picture {
    frame: Option<u32>,
    rows: Option<u32>,
    columns: Option<u32>,
    /// Left, top, right, bottom, as parts of width and height.
    region: Option<[f64; 4]>,
    centre: Option<f64>,
    width: Option<f64>,
    quality: Option<u8>,
    /// `patient`, `technique` or both.
    annotation: Option<String>,
}

impl Asked {
    fn read(uri: &Uri) -> Result<Self, Problem> {
        let mut asked = Self::default();
        let mut is_wado = false;
        for (name, value) in gate::parameters(uri)? {
            let malformed = || Problem::bad_request(format!("The value of {name} cannot be read."));
            let number = |most: u32| value.parse().ok().filter(|number| (1..=most).contains(number));
            let decimal = || value.parse::<f64>().ok().filter(|number| number.is_finite());
            match name.as_str() {
                "requestType" => is_wado = value == "WADO",
                "studyUID" => asked.study = value,
                "seriesUID" => asked.series = value,
                "objectUID" => asked.object = value,
                "contentType" => asked.content_type = Some(value),
                // What is stored, which is given anyway when nothing is said.
                "transferSyntax" if value == "*" => {}
                "transferSyntax" => {
                    let syntax = TransferSyntaxUid::parse(&value).map_err(|_| malformed())?;
                    asked.transfer_syntax = Some(syntax);
                }
                "frameNumber" => asked.picture.frame = Some(number(u32::MAX).ok_or_else(malformed)?),
                "rows" => asked.picture.rows = Some(number(EDGE_MAX).ok_or_else(malformed)?),
                "columns" => asked.picture.columns = Some(number(EDGE_MAX).ok_or_else(malformed)?),
                "region" => asked.picture.region = Some(region(&value).ok_or_else(malformed)?),
                "windowCenter" => asked.picture.centre = Some(decimal().ok_or_else(malformed)?),
                "windowWidth" => asked.picture.width = Some(decimal().ok_or_else(malformed)?),
                "imageQuality" => {
                    let quality = number(100).and_then(|quality| u8::try_from(quality).ok());
                    asked.picture.quality = Some(quality.ok_or_else(malformed)?);
                }
                "annotation" if value.split(',').all(|word| matches!(word, "patient" | "technique")) => {
                    asked.picture.annotation = Some(value);
                }
                "annotation" => return Err(malformed()),
                "anonymize" => {
                    return Err(Problem::bad_request(
                        "Objects are not given out without their patient here.",
                    ));
                }
                "presentationUID" | "presentationSeriesUID" => {
                    return Err(Problem::bad_request("Presentation states are not applied here."));
                }
                // Texts are always UTF-8.
                "charset" => {}
                _ => return Err(Problem::bad_request("A parameter is none of WADO-URI's.")),
            }
        }
        if !is_wado {
            return Err(Problem::bad_request("requestType is WADO."));
        }
        for (name, uid) in
            [("studyUID", &asked.study), ("seriesUID", &asked.series), ("objectUID", &asked.object)]
        {
            if uid.is_empty() {
                return Err(Problem::bad_request(format!("{name} is missing.")));
            }
        }
        if asked.picture.centre.is_some() != asked.picture.width.is_some() {
            return Err(Problem::bad_request("windowCenter and windowWidth stand together."));
        }
        Ok(asked)
    }

    /// What is given. The first of the named media types that there is.
    fn form(&self, instance: &Instance) -> Result<Form, Problem> {
        let is_picture = instance.attributes.rows.is_some() && instance.attributes.frames.unwrap_or(1) == 1;
        let text = match (&self.content_type, is_picture) {
            (Some(text), _) => text.as_str(),
            (None, true) => PICTURES[0],
            (None, false) => DICOM,
        };
        let mut headers = HeaderMap::new();
        let malformed = || Problem::bad_request("The value of contentType cannot be read.");
        headers.insert(header::ACCEPT, HeaderValue::from_str(text).map_err(|_| malformed())?);
        let chosen = Accepted::of(&headers, &Uri::default())?.choose(|wanted| {
            let offers = || std::iter::once(DICOM).chain(PICTURES);
            let is_alone = wanted.packaging == Packaging::Single;
            is_alone.then(|| offers().find(|offer| matches(wanted.payload, offer))).flatten()
        });
        match chosen {
            Some(DICOM) => {
                let syntax = self.transfer_syntax.as_ref().map_or("*", TransferSyntaxUid::as_str);
                let accept = HeaderValue::try_from(format!("{DICOM}; transfer-syntax={syntax}"));
                Ok(Form::Object(accept.map_err(|_| malformed())?))
            }
            Some(picture) => Ok(Form::Picture(HeaderValue::from_static(picture))),
            None => Err(crate::accept::not_acceptable(&[DICOM, PICTURES[0], PICTURES[1]].map(str::to_owned))),
        }
    }
}

impl Picture {
    fn is_asked(&self) -> bool {
        *self != Self::default()
    }

    /// The query that asks the same of a rendered resource of WADO-RS.
    fn query(&self, instance: &Instance) -> Result<Uri, Problem> {
        let mut query = Vec::new();
        if let (Some(centre), Some(width)) = (self.centre, self.width) {
            query.push(format!("window={centre},{width},linear"));
        }
        let (rows, columns) =
            (instance.attributes.rows.unwrap_or(1), instance.attributes.columns.unwrap_or(1));
        let part = self.region.map(|[left, top, right, bottom]| {
            let place = |part: f64, of: u32| (part * f64::from(of)).round();
            let (x, y) = (place(left, columns), place(top, rows));
            [x, y, (place(right, columns) - x).max(1.0), (place(bottom, rows) - y).max(1.0)]
        });
        let most = |side: Option<u32>| side.unwrap_or(EDGE_MAX);
        match (self.rows, self.columns, part) {
            (None, None, None) => {}
            (None, None, Some([x, y, w, h])) => query.push(format!("viewport={w},{h},{x},{y},{w},{h}")),
            (rows, columns, None) => query.push(format!("viewport={},{}", most(columns), most(rows))),
            (rows, columns, Some([x, y, w, h])) => {
                query.push(format!("viewport={},{},{x},{y},{w},{h}", most(columns), most(rows)));
            }
        }
        query.extend(self.quality.map(|quality| format!("quality={quality}")));
        query.extend(self.annotation.as_ref().map(|annotation| format!("annotation={annotation}")));
        Uri::try_from(format!("/?{}", query.join("&")))
            .map_err(|_| Problem::bad_request("The parameters of the picture cannot be read."))
    }
}

/// `xmin,ymin,xmax,ymax`, each from 0 to 1.
fn region(value: &str) -> Option<[f64; 4]> {
    let numbers: Option<Vec<f64>> = value.split(',').map(|part| part.trim().parse().ok()).collect();
    let [left, top, right, bottom] = numbers?.try_into().ok()?;
    let is_inside = [left, top, right, bottom].iter().all(|part| (0.0..=1.0).contains(part));
    (is_inside && left < right && top < bottom).then_some([left, top, right, bottom])
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMED: &str = "requestType=WADO&studyUID=1.2&seriesUID=1.3&objectUID=1.4";

    fn read(more: &str) -> Result<Asked, Problem> {
        Asked::read(&format!("/wado?{NAMED}{more}").parse().unwrap())
    }

    #[test]
    fn what_is_malformed_is_refused() {
        for bad in [
            "&windowCenter=40",
            "&windowCenter=x&windowWidth=1",
            "&frameNumber=0",
            "&rows=9000",
            "&imageQuality=101",
            "&region=0,0,1",
            "&region=0.5,0,0.5,1",
            "&region=0,0,2,1",
            "&anonymize=yes",
            "&annotation=hospital",
            "&transferSyntax=jpeg",
            "&nonsense=1",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        for bad in
            ["requestType=GET&studyUID=1&seriesUID=1&objectUID=1", "requestType=WADO&studyUID=1&objectUID=2"]
        {
            assert!(Asked::read(&format!("/wado?{bad}").parse().unwrap()).is_err(), "{bad}");
        }
        assert!(!read("&contentType=image/png").unwrap().picture.is_asked());
        assert!(read("&rows=5").unwrap().picture.is_asked());
    }
}
