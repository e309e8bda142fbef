//! Names of people behind their ids, each asked for once per request.

use std::collections::HashMap;

use domain::{
    id::PersonId,
    port::{Catalog, CatalogError},
};

/// Names that were asked for.
pub(crate) struct Names<'a> {
    catalog: &'a dyn Catalog,
    known: HashMap<PersonId, String>,
}

impl<'a> Names<'a> {
    pub(crate) fn new(catalog: &'a dyn Catalog) -> Self {
        Self { catalog, known: HashMap::new() }
    }

    /// The name; a plain word when nobody has this id any more.
    pub(crate) async fn of(&mut self, id: PersonId) -> Result<String, CatalogError> {
        if let Some(name) = self.known.get(&id) {
            return Ok(name.clone());
        }
        let name = self.catalog.person(id).await?.map_or_else(|| "somebody".to_owned(), |person| person.name);
        self.known.insert(id, name.clone());
        Ok(name)
    }
}
