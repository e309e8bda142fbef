//! The executable, as its users meet it: other people's clients, a browser, real services, and kill -9.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that goes wrong says where")]

mod certificates;
mod clients;
mod commands;
mod commitment;
mod conflicts;
mod described;
mod faults;
mod fuzz;
mod hostile;
mod journey;
mod key_images;
mod kill;
mod odd;
mod peers;
mod pixels;
mod quarantine;
mod retrieves;
mod send;
mod separate;
mod server;
mod taken_out;
mod texts;
mod tls;
mod upload;
mod viewer;
