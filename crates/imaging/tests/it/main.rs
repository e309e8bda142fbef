//! What needs whole files or hostile ones.

mod dose;
mod guard;
mod json;
mod picture;
mod samples;
mod series;
mod support;
