//! One binary for everything that looks at the project from outside: `cargo test --test suite`.

mod architecture;
mod diagnostics;
mod documented_reference;
mod layers;
mod openai;
mod reference_rows;
mod rust_paths;
mod typed_reference;
