//! The notifier against the real catalog (SQLite), the real object store (a folder) and a clock that is turned by hand.

mod climbing;
mod letters;
mod pages;
mod pdf;
mod smtp;
mod world;
