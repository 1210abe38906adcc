//! One binary for everything that looks at the project from outside: `cargo test --test suite`.

mod architecture;
mod documented_reference;
mod reference_rows;
mod rust_paths;
mod typed_reference;
