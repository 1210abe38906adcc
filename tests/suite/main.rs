//! One binary for everything that looks at the project from outside: `cargo test --test suite`.

mod architecture;
mod rust_paths;
