//! `telerad sweep`: one round of the sweep, now, in the foreground.

use std::process::ExitCode;

use archive::upkeep::{UpkeepError, sweep::Leave};

use crate::{
    command::{self, say},
    settings::Settings,
    wiring,
};

/// Sweeps.
pub async fn run(settings: &Settings, leave: Leave) -> ExitCode {
    let parts = match wiring::open(settings).await {
        Ok(parts) => parts,
        Err(error) => return command::fail(&error),
    };
    let swept = match parts.upkeep(settings).sweep(leave).await {
        Ok(swept) => swept,
        Err(UpkeepError::Taken) => {
            say("Another process sweeps now. Try again in two minutes.");
            return ExitCode::FAILURE;
        }
        Err(error) => return command::fail(&error),
    };
    let (found, age) = (swept.unnamed, settings.upkeep.sweep_after_seconds);
    say(format!(
        "The store has {} objects. No row names {found} that are older than {age} s, and {} that are younger or of unknown age.",
        swept.objects, swept.too_young
    ));
    if leave.dry_run {
        for object in &swept.leftovers {
            say(object);
        }
        if swept.unnamed > swept.leftovers.len() as u64 {
            say("These are the first; a round removes no more.");
        }
    }
    match swept.halted {
        Some(reason) => {
            say(format!("Nothing is removed. {reason}"));
            say(
                "Run `telerad rebuild`, which makes the catalog know what the store has. If these are leftovers indeed, and",
            );
            say("somebody has looked at them (`telerad sweep --dry-run`): `telerad sweep --even-if-many`.");
            ExitCode::FAILURE
        }
        None if leave.dry_run => ExitCode::SUCCESS,
        None => {
            say(format!("{} were removed.", swept.removed));
            ExitCode::SUCCESS
        }
    }
}
