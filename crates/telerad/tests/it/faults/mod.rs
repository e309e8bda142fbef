//! Faults of the disk, the network, the object store and the database under the real executable: what was answered with success is kept,
//! what was not leaves nothing behind, and the product goes on by itself. `docs/faults.md` has the list.

mod crash;
mod cuts;
mod database;
mod load;
mod rig;
mod room;
mod same;
mod soak;
mod store;
