//! `telerad migrate`: brings the catalog up to this version's schema. `serve` does so too.

use std::process::ExitCode;

use crate::{command, settings::Settings, wiring};

/// Brings the catalog up to date.
pub async fn run(settings: &Settings) -> ExitCode {
    match wiring::open_catalog(settings).await {
        Ok(_) => {
            command::say("The catalog is up to date.");
            ExitCode::SUCCESS
        }
        Err(error) => command::fail(&error),
    }
}
