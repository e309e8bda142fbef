//! `telerad order`: orders from the command line of the server.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use clap::{Args, Subcommand};
use domain::{
    audit::Actor,
    port::{Catalog, Clock},
};
use orders::{NewOrder, NewPhysician};

use crate::{
    clock::MachineClock,
    command::{self, directory::known_centre, say},
    settings::Settings,
    wiring,
};

/// Orders.
#[derive(Debug, Subcommand)]
pub enum OrderCommand {
    /// Add an order, or change the one with the same accession number.
    Add(Box<OrderAdd>),
    /// Take orders from a CSV file with a header row; `telerad order import --help` names the columns.
    Import {
        /// Whose.
        #[arg(long)]
        centre: String,
        /// The file. Columns: accession_number, patient_id, patient_name, examination, reason, priority, physician_name,
        /// physician_email, physician_phone, scheduled.
        file: PathBuf,
    },
}

/// What an order says.
#[derive(Debug, Args)]
pub struct OrderAdd {
    /// Whose.
    #[arg(long)]
    centre: String,
    /// The accession number: the order's identity within the centre.
    #[arg(long)]
    accession_number: String,
    /// The patient's id.
    #[arg(long)]
    patient_id: String,
    /// The patient's name.
    #[arg(long)]
    patient_name: Option<String>,
    /// What is to be examined.
    #[arg(long)]
    examination: Option<String>,
    /// Why.
    #[arg(long)]
    reason: Option<String>,
    /// `stat`, `urgent` or `routine`.
    #[arg(long)]
    priority: Option<String>,
    /// Who asks.
    #[arg(long)]
    physician: Option<String>,
    /// Where the result goes.
    #[arg(long, requires = "physician")]
    physician_email: Option<String>,
    /// The physician's telephone.
    #[arg(long, requires = "physician")]
    physician_phone: Option<String>,
    /// The day of the examination, as 2026-03-02.
    #[arg(long)]
    scheduled: Option<String>,
}

/// `telerad order`.
pub async fn run(settings: &Settings, command: OrderCommand) -> ExitCode {
    match act(settings, command).await {
        Ok(code) => code,
        Err(error) => command::fail(error.as_ref()),
    }
}

async fn act(settings: &Settings, command: OrderCommand) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let catalog: Arc<dyn Catalog> = wiring::open_catalog(settings).await?;
    match command {
        OrderCommand::Add(add) => {
            let add = *add;
            let centre = known_centre(catalog.as_ref(), &add.centre).await?;
            let physician = add.physician.map(|name| NewPhysician {
                name,
                email: add.physician_email,
                phone: add.physician_phone,
            });
            let order = NewOrder {
                centre: None,
                accession_number: add.accession_number,
                patient_id: add.patient_id,
                patient_name: add.patient_name,
                examination: add.examination,
                reason: add.reason,
                priority: add.priority,
                physician,
                scheduled: add.scheduled,
            };
            let outcome =
                orders::place(catalog.as_ref(), &centre.id, &order, &Actor::Operator, MachineClock.now())
                    .await?;
            let linked = if outcome.order().study.is_some() {
                "and belongs to a study that is here"
            } else {
                "and waits for its study"
            };
            say(format!("The order is kept {linked}. Its id is {}.", outcome.order().id));
            Ok(ExitCode::SUCCESS)
        }
        OrderCommand::Import { centre, file } => {
            let centre = known_centre(catalog.as_ref(), &centre).await?;
            let bytes = std::fs::read(&file)?;
            let report =
                orders::import_csv(catalog.as_ref(), &MachineClock, &centre.id, &bytes, &Actor::Operator)
                    .await?;
            for row in &report.rows {
                if let Some(error) = &row.error {
                    say(format!("line {}: {error}", row.line));
                }
            }
            let kept = report.created + report.changed + report.unchanged;
            say(format!(
                "{kept} orders kept ({} new, {} changed), {} lines refused.",
                report.created, report.changed, report.refused
            ));
            Ok(if report.refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}
