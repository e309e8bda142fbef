//! The executable, as its users meet it: other people's clients, a browser, real services, and kill -9.

mod clients;
mod commands;
mod journey;
mod kill;
mod separate;
mod server;
