//! Files in object stores: whole ones for `udmill replay`, growing ones for `udmill run`.
mod objects;

pub use objects::{Object, ObjectReader, list};
