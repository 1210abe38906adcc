//! Files in object stores: whole ones for `udmill replay`, growing ones for `udmill run`.
#[cfg(feature = "kafka")]
mod dates;
#[cfg(feature = "kafka")]
mod growing;
mod growth;
#[cfg(feature = "kafka")]
mod kept;
#[cfg(feature = "kafka")]
mod listing;
mod objects;

#[cfg(feature = "kafka")]
pub use growing::BlobSource;
pub use growth::{End, Growth, Mark, Piece};
pub use objects::{Object, ObjectReader, list};
