//! The `udmill` command.
fn main() {}
