//! Run: the one executable. Configuration, wiring, every command.

fn main() {}
