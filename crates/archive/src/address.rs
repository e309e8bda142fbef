//! What a request names: the centre, and the study, series, instance and frames of its path. Not what it
//! wants of them.

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::{HeaderMap, StatusCode, Uri, header, request::Parts},
};
use domain::{
    id::CentreId,
    image::Instance,
    person::Scope,
    study::{Study, StudyKey},
    uid::{SeriesInstanceUid, SopInstanceUid, StudyInstanceUid},
};
use gate::{Caller, Problem};

use crate::{Shared, State};

/// Longest host name with port that is put in an address.
const HOST_CHARS_MAX: usize = 255;

/// Who asks, and for what.
pub(crate) struct Target {
    /// Who asks; they may see the centre.
    pub(crate) caller: Caller,
    /// Whose images.
    pub(crate) centre: CentreId,
    /// The address below which the centre's studies are: `http://host/dicomweb` or
    /// `http://host/dicomweb/centres/CENTRE`.
    pub(crate) base: String,
    parts: Vec<(String, String)>,
}

impl Target {
    /// The same with parts that do not stand in the path.
    pub(crate) fn naming<const N: usize>(mut self, parts: [(&str, String); N]) -> Self {
        self.parts.extend(parts.map(|(name, value)| (name.to_owned(), value)));
        self
    }

    /// The study of the path.
    pub(crate) fn study(&self) -> Result<StudyKey, Problem> {
        let uid = StudyInstanceUid::parse(self.part("study")?).map_err(|_| Problem::unknown())?;
        Ok(StudyKey { centre: self.centre.clone(), uid })
    }

    /// The series of the path.
    pub(crate) fn series(&self) -> Result<SeriesInstanceUid, Problem> {
        SeriesInstanceUid::parse(self.part("series")?).map_err(|_| Problem::unknown())
    }

    /// A part of the path by its name in the route.
    pub(crate) fn part(&self, name: &str) -> Result<&str, Problem> {
        let part = self.parts.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        part.ok_or_else(Problem::unknown)
    }

    /// The study of the path, as it is known.
    pub(crate) async fn known_study(&self, shared: &Shared) -> Result<Study, Problem> {
        shared.catalog.study(&self.study()?).await?.ok_or_else(Problem::unknown)
    }

    /// The instance of the path, when it is in the study and series of the path.
    pub(crate) async fn known_instance(&self, shared: &Shared) -> Result<Instance, Problem> {
        let (study, series) = (self.study()?, self.series()?);
        let uid = SopInstanceUid::parse(self.part("instance")?).map_err(|_| Problem::unknown())?;
        let instance = shared.catalog.instance(&self.centre, &uid).await?;
        let instance = instance.filter(|instance| instance.study == study.uid && instance.series == series);
        instance.ok_or_else(Problem::unknown)
    }

    /// The instances of the path's study, or of its series; never none.
    pub(crate) async fn known_instances(
        &self,
        shared: &Shared,
        series: Option<&SeriesInstanceUid>,
    ) -> Result<Vec<Instance>, Problem> {
        let instances = shared.catalog.instances(&self.study()?, series).await?;
        if instances.is_empty() { Err(Problem::unknown()) } else { Ok(instances) }
    }

    /// Makes sure that there is such a centre, for those who see all of them and so may name any.
    pub(crate) async fn require_centre(&self, shared: &Shared) -> Result<(), Problem> {
        match self.caller.scope() {
            Scope::Centres(_) => Ok(()),
            Scope::AllCentres => {
                let centre = shared.catalog.centre(&self.centre).await?;
                centre.map(drop).ok_or_else(Problem::unknown)
            }
        }
    }
}

/// The address of an instance.
pub(crate) fn instance_address(base: &str, instance: &Instance) -> String {
    let Instance { study, series, sop_instance, .. } = instance;
    format!("{base}/studies/{study}/series/{series}/instances/{sop_instance}")
}

impl FromRequestParts<State> for Target {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &State) -> Result<Self, Problem> {
        let caller = <Caller as FromRequestParts<State>>::from_request_parts(parts, shared).await?;
        let names = RawPathParams::from_request_parts(parts, shared).await.map_err(|_| Problem::unknown())?;
        let names: Vec<_> = names.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let named = names.iter().find(|(name, _)| name == "centre").map(|(_, value)| value);
        let mut base = root(shared, &parts.headers, &parts.uri) + "/dicomweb";
        let centre = match named {
            Some(centre) => {
                let centre = CentreId::parse(centre).map_err(|_| Problem::unknown())?;
                caller.require_centre(&centre)?;
                base = format!("{base}/centres/{centre}");
                centre
            }
            None => only_centre(shared, &caller).await?,
        };
        Ok(Self { caller, centre, base, parts: names })
    }
}

/// The one centre that a caller sees.
async fn only_centre(shared: &Shared, caller: &Caller) -> Result<CentreId, Problem> {
    if let Some(centre) = caller.centre() {
        return Ok(centre.clone());
    }
    let mut visible = match caller.scope() {
        Scope::Centres(centres) => centres.clone(),
        Scope::AllCentres => shared.catalog.centres().await?.into_iter().map(|centre| centre.id).collect(),
    };
    match (visible.pop(), visible.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(_), false) | (None, _) => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "centre_missing",
            "The address does not say which centre is meant.",
        )
        .next_step("Use /dicomweb/centres/CENTRE/… instead of /dicomweb/…")),
    }
}

/// How the service is reached: scheme and host.
fn root(shared: &Shared, headers: &HeaderMap, uri: &Uri) -> String {
    if let Some(url) = &shared.config.public_url {
        return url.trim_end_matches('/').to_owned();
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or(uri.authority().map(|authority| authority.as_str())).filter(|host| is_host(host));
    // Whoever lies about the scheme lies to themselves: it changes the addresses in their own answer only.
    let forwarded = headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
    let scheme = if forwarded { "https" } else { "http" };
    format!("{scheme}://{}", host.unwrap_or("localhost"))
}

fn is_host(host: &str) -> bool {
    (1..=HOST_CHARS_MAX).contains(&host.len())
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hosts_get_into_addresses() {
        for (host, good) in [
            ("localhost:8080", true),
            ("[::1]:8080", true),
            ("images.example", true),
            ("a\"b", false),
            ("a/b", false),
            ("user@host", false),
            ("", false),
        ] {
            assert_eq!(is_host(host), good, "{host}");
        }
    }
}
