//! What is known around a signed version: gathered once for its mail, its PDF and its page.

use documents::signed::person_name;
use domain::{
    centre::Centre,
    order::Order,
    person::Physician,
    port::{Catalog, CatalogError},
    report::ReportVersion,
    study::{Study, StudyKey},
};

/// What is known around a signed version.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// The study.
    pub study: Study,
    /// Whose it is.
    pub centre: Centre,
    /// What was asked.
    pub order: Option<Order>,
    /// Who asked, as the directory knows them.
    pub physician: Option<Physician>,
    /// The version.
    pub version: ReportVersion,
    /// Versions before it, the first one first.
    pub earlier: Vec<ReportVersion>,
    /// Versions after it, the first one first.
    pub later: Vec<ReportVersion>,
}

impl Facts {
    /// Gathers them; `None` when there is no such version.
    pub(crate) async fn load(
        catalog: &dyn Catalog,
        key: &StudyKey,
        number: u32,
    ) -> Result<Option<Self>, CatalogError> {
        let (Some(study), Some(centre)) = (catalog.study(key).await?, catalog.centre(&key.centre).await?)
        else {
            return Ok(None);
        };
        let mut earlier = catalog.versions(key).await?;
        let Some(place) = earlier.iter().position(|version| version.number == number) else {
            return Ok(None);
        };
        let later = earlier.split_off(place + 1);
        let Some(version) = earlier.pop() else { return Ok(None) };
        let order = match study.order {
            Some((id, _)) => catalog.order(&key.centre, id).await?,
            None => None,
        };
        let physician = physician(catalog, &study, order.as_ref()).await?;
        Ok(Some(Self { study, centre, order, physician, version, earlier, later }))
    }

    /// The name of who asked, as a person reads it, from the directory, the order or the images.
    pub(crate) fn physician_name(&self) -> Option<String> {
        let known = self.physician.as_ref().map(|physician| &physician.name);
        let ordered = || self.order.as_ref().and_then(|order| order.request.physician_name.as_ref());
        let imaged = || self.study.attributes.referring_physician.as_ref();
        known.or_else(ordered).or_else(imaged).map(person_name)
    }

    /// Whether the version says what was signed.
    pub(crate) fn is_intact(&self) -> bool {
        self.version.is_intact(self.earlier.last().map(|before| before.signature.hash))
    }
}

/// Who asked: the order's physician; else the one whom the order names; else, when no order names anybody, the one whom the images
/// name. The images do not overrule an order: a result must not go to somebody whom the order does not mean.
async fn physician(
    catalog: &dyn Catalog,
    study: &Study,
    order: Option<&Order>,
) -> Result<Option<Physician>, CatalogError> {
    let centre = &study.key.centre;
    let request = order.map(|order| &order.request);
    if let Some(id) = request.and_then(|request| request.physician) {
        return catalog.physician(centre, id).await;
    }
    let ordered = request.and_then(|request| request.physician_name.as_ref());
    match ordered.or(study.attributes.referring_physician.as_ref()) {
        Some(name) => catalog.physician_named(centre, name).await,
        None => Ok(None),
    }
}
