//! The test tools, tested.

mod private_broker;
mod with_services;
