//! QIDO-RS (PS3.18 section 10.6): studies, series and instances that match, as DICOM JSON in ISO_IR 192 or as XML.
//!
//! What the catalog knows can be matched and returned; what it does not know (a key of the request that
//! stands only in the objects) is named in a `Warning`, as section 8.3.4 asks. Nothing that matches is `200`
//! with `[]`: clients take that and `204` alike, and an array is an array. In XML it is `204`.

pub(crate) mod attributes;
pub(crate) mod matching;
pub(crate) mod request;

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::State as Here,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use domain::{
    audit::Action,
    port::catalog::StudyFilter,
    study::{Series, Study},
    uid::SeriesInstanceUid,
};
use futures::stream;
use gate::Problem;
use serde_json::{Map, Value};

use self::{
    attributes::{Answered, Level, Row},
    request::Search,
};
use crate::{
    Shared, State,
    accept::{Accepted, Described},
    address::Target,
    native,
};

/// Most rows of one answer; further ones are had by `offset`.
pub const ROWS_MAX: u32 = 1000;
/// Most studies looked at for one answer, where the catalog cannot match all that was asked for.
pub const SCANNED_STUDIES_MAX: u32 = 10_000;

/// Studies that the catalog gives at a time while they are looked through.
pub(crate) const STUDIES_AT_A_TIME: u32 = 200;

/// Studies of a centre.
pub(crate) async fn studies(
    Here(shared): Here<State>,
    target: Target,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    Asked::read(&shared, target, &headers, &uri, (Level::Study, Level::Study)).await?.over_studies().await
}

/// Series of all studies of a centre.
pub(crate) async fn series(
    Here(shared): Here<State>,
    target: Target,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    Asked::read(&shared, target, &headers, &uri, (Level::Study, Level::Series)).await?.over_studies().await
}

/// Instances of all studies of a centre.
pub(crate) async fn instances(
    Here(shared): Here<State>,
    target: Target,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    Asked::read(&shared, target, &headers, &uri, (Level::Study, Level::Instance)).await?.over_studies().await
}

/// Series of a study.
pub(crate) async fn series_of_study(
    Here(shared): Here<State>,
    target: Target,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let asked = Asked::read(&shared, target, &headers, &uri, (Level::Series, Level::Series)).await?;
    let study = asked.study().await?;
    let mut page = Page::new(&asked.search);
    asked.series_of(&study, &mut page).await?;
    asked.answer(page).await
}

/// Instances of a study.
pub(crate) async fn instances_of_study(
    Here(shared): Here<State>,
    target: Target,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let asked = Asked::read(&shared, target, &headers, &uri, (Level::Series, Level::Instance)).await?;
    let study = asked.study().await?;
    let mut page = Page::new(&asked.search);
    asked.instances_of(&study, None, &mut page).await?;
    asked.answer(page).await
}

/// Instances of a series.
pub(crate) async fn instances_of_series(
    Here(shared): Here<State>,
    target: Target,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let asked = Asked::read(&shared, target, &headers, &uri, (Level::Instance, Level::Instance)).await?;
    let (study, series) = (asked.study().await?, asked.target.series()?);
    let mut page = Page::new(&asked.search);
    if asked.instances_of(&study, Some(&series), &mut page).await? == 0 {
        return Err(Problem::unknown());
    }
    asked.answer(page).await
}

/// A question that has been understood.
struct Asked<'a> {
    shared: &'a Shared,
    target: Target,
    search: Search,
    described: Described,
}

impl<'a> Asked<'a> {
    async fn read(
        shared: &'a Shared,
        target: Target,
        headers: &HeaderMap,
        uri: &Uri,
        levels: (Level, Level),
    ) -> Result<Self, Problem> {
        let described = Accepted::of(headers, uri)?.described()?;
        let search = Search::read(uri, levels)?;
        target.require_centre(shared).await?;
        Ok(Self { shared, target, search, described })
    }

    /// The study of the path.
    async fn study(&self) -> Result<Study, Problem> {
        let study = self.target.known_study(self.shared).await?;
        self.note(Some(&study)).await?;
        Ok(study)
    }

    async fn note(&self, study: Option<&Study>) -> Result<(), Problem> {
        let study = study.map(|study| &study.key);
        self.shared.note(&self.target.caller, Action::ListViewed, &self.target.centre, study).await
    }

    /// Looks through the studies that match, until the page is full.
    async fn over_studies(&self) -> Result<Response, Problem> {
        self.note(None).await?;
        let mut page = Page::new(&self.search);
        let mut filter = StudyFilter { centres: vec![self.target.centre.clone()], ..self.search.filter() };
        let is_by_catalog = self.search.is_matched_by_the_catalog();
        if is_by_catalog {
            // Then rows are studies, and the catalog can skip them itself.
            filter.offset = std::mem::take(&mut page.skip);
        }
        let mut scanned = 0;
        while !page.is_over && scanned < SCANNED_STUDIES_MAX {
            let wanted = if is_by_catalog { page.room.saturating_add(1) } else { STUDIES_AT_A_TIME };
            filter.limit = wanted.min(STUDIES_AT_A_TIME);
            let studies = self.shared.catalog.studies(&filter).await?;
            let found = u32::try_from(studies.len()).unwrap_or(u32::MAX);
            for study in &studies {
                if page.is_over {
                    break;
                }
                match self.search.level {
                    Level::Study => page.offer(Row::of_study(study, &self.target.base), &self.search),
                    Level::Series => self.series_of(study, &mut page).await?,
                    Level::Instance => drop(self.instances_of(study, None, &mut page).await?),
                }
            }
            if found < filter.limit {
                return self.answer(page).await;
            }
            filter.offset = filter.offset.saturating_add(found);
            scanned += found;
        }
        page.is_cut |= !page.is_over;
        self.answer(page).await
    }

    /// Offers the series of a study.
    async fn series_of(&self, study: &Study, page: &mut Page) -> Result<(), Problem> {
        let study_row = Row::of_study(study, &self.target.base);
        if !study_row.matches(&self.search, Level::Study) {
            return Ok(());
        }
        for series in self.shared.catalog.series(&study.key).await? {
            page.offer(study_row.clone().with_series(&series, &self.target.base), &self.search);
        }
        Ok(())
    }

    /// Offers the instances of a study; gives how many there are, matching or not.
    async fn instances_of(
        &self,
        study: &Study,
        series: Option<&SeriesInstanceUid>,
        page: &mut Page,
    ) -> Result<usize, Problem> {
        let study_row = Row::of_study(study, &self.target.base);
        let all = self.shared.catalog.series(&study.key).await?;
        let all: BTreeMap<&SeriesInstanceUid, &Series> =
            all.iter().map(|series| (&series.uid, series)).collect();
        let instances = self.shared.catalog.instances(&study.key, series).await?;
        if !study_row.matches(&self.search, Level::Study) {
            return Ok(instances.len());
        }
        for instance in &instances {
            if page.is_over {
                break;
            }
            let row = study_row.clone();
            let row = match all.get(&instance.series) {
                Some(series) => row.with_series(series, &self.target.base),
                None => row,
            };
            page.offer(row.with_instance(instance, &self.target.base), &self.search);
        }
        Ok(instances.len())
    }

    async fn answer(&self, page: Page) -> Result<Response, Problem> {
        let mut warnings = self.search.warnings.clone();
        if page.is_cut {
            warnings.push("There are additional results that can be requested".to_owned());
        }
        let mut response = match self.described {
            Described::Json(media_type) => {
                let mut response = Json(page.rows).into_response();
                response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
                response
            }
            // There is no such thing as no part.
            Described::Xml if page.rows.is_empty() => StatusCode::NO_CONTENT.into_response(),
            Described::Xml => {
                let rows = page.rows.iter().filter_map(|row| match serde_json::to_value(row) {
                    Ok(Value::Object(row)) => Some(Ok((location(&row), row))),
                    _ => None,
                });
                native::answer(stream::iter(rows.collect::<Vec<_>>())).await?
            }
        };
        let headers = response.headers_mut();
        for warning in warnings {
            if let Ok(warning) = HeaderValue::try_from(format!("299 telerad \"{warning}\"")) {
                headers.append(header::WARNING, warning);
            }
        }
        Ok(response)
    }
}

/// Where the thing can be had that a row is about.
fn location(row: &Map<String, Value>) -> String {
    row.get("00081190").and_then(|url| url["Value"][0].as_str()).unwrap_or_default().to_owned()
}

/// The rows of an answer while they are gathered.
struct Page {
    skip: u32,
    room: u32,
    rows: Vec<Answered>,
    /// No more rows are wanted.
    is_over: bool,
    /// The client wants more rows than it gets at once.
    is_cut: bool,
}

impl Page {
    fn new(search: &Search) -> Self {
        Self {
            skip: search.offset,
            room: search.limit.min(ROWS_MAX),
            rows: Vec::new(),
            is_over: search.limit == 0,
            is_cut: false,
        }
    }

    /// Takes a row if it matches and it is its turn.
    fn offer(&mut self, row: Row, search: &Search) {
        if self.is_over || !row.matches(search, search.level) {
            return;
        }
        if self.skip > 0 {
            self.skip -= 1;
        } else if self.room > 0 {
            self.room -= 1;
            self.rows.push(row.answer(search));
        } else {
            self.is_over = true;
            self.is_cut = search.limit > ROWS_MAX;
        }
    }
}
