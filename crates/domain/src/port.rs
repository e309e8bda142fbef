//! The ports: what roles ask of the world. Adapters in `storage`, `broker`, `catalog` and `pixels` answer; fakes in `testkit` do too.

pub mod broker;
pub mod catalog;
pub mod clock;
pub mod drafter;
pub mod pixels;
pub mod storage;

pub use broker::{Broker, BrokerError, DeadWork, Handed};
pub use catalog::{Catalog, CatalogError, ChangeError};
pub use clock::Clock;
pub use drafter::{DraftError, DraftInput, DraftSeries, Drafter, PriorStudy};
pub use pixels::{Pixels, PixelsError};
pub use storage::{Condition, Incoming, Listed, ObjectReader, Storage, StorageError};

/// The cause below a port's error, whatever the adapter.
pub type Cause = Box<dyn std::error::Error + Send + Sync + 'static>;
