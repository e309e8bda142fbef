//! The catalog against real databases.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "helpers of tests fail as tests do"
)]

mod databases;
mod durable;
mod processes;
mod schema;

mod sqlite {
    testkit::catalog_cases!(crate::databases::on_sqlite);
}

mod postgres {
    testkit::catalog_cases!(crate::databases::on_postgres);
}
