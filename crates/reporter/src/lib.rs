//! Do: a draft is written. [`RuleDrafter`] follows rules over image headers, order and earlier reports; [`worker`] takes studies
//! from the queue and keeps their drafts. It never says what is seen: findings and impression are the radiologist's.

mod drafter;
mod key_images;
mod quality;
mod region;
mod sections;
mod survey;
mod technique;
mod words;

pub mod worker;

pub use drafter::RuleDrafter;
