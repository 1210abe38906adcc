//! The settings of `udmill run`: one TOML file, secrets from the environment or from files.
//!
//! [`Settings::read`] takes the file's text and answers the settings or all faults at once, each with line and column. This room never
//! connects to anything: `check` runs it without a network.
//!
//! ```
//! use udmill::config::Settings;
//!
//! let settings = Settings::read(
//!     "udmill.toml",
//!     r#"
//!     [source.kafka]
//!     bootstrap_servers = "127.0.0.1:9092"
//!     topics = ["azure-logs"]
//!
//!     [[output]]
//!     name = "siem"
//!     topic = "udm"
//!
//!     [dead_letter]
//!     topic = "udm-dead-letters"
//!     "#,
//! );
//! assert_eq!(settings.expect("no faults").run.workers(), udmill::config::Run::default().workers());
//!
//! let faults = Settings::read("udmill.toml", "[run]\nwokers = 2\n[admin]\nlisten = 7").expect_err("faults");
//! assert!(faults.iter().any(|fault| fault.line == Some(2)) && faults.iter().any(|fault| fault.line == Some(4)));
//! ```
mod archive;
mod blob;
mod connection;
#[cfg(feature = "eventhubs")]
pub mod entra;
mod eventhubs;
mod faults;
pub mod header;
mod openai;
mod place;
mod redaction;
mod routes;
mod secret;
mod settings;
mod start_files;
mod token;

pub use archive::{ArchiveSink, Compression};
pub use blob::{BlobCheckpoints, BlobSource};
pub use connection::{Connection, ConnectionKind, Mechanism, Protocol, Security};
pub use eventhubs::{Access, BlobStore, Checkpoints, Credential, EventHubsSink, EventHubsSource, Namespace};
pub use faults::Fault;
pub use openai::{OpenAiSource, OpenAiState, TenantListing};
#[cfg(feature = "objects")]
pub use place::open_store;
pub use place::{Cloud, Place, StoreAccess, store_answer};
pub use redaction::{Redaction, RedactionAction, RedactionRule};
pub use routes::{Dedupe, Filter, Take, Target, Unrouted};
pub use secret::{Secret, SecretRef};
pub use settings::{
    Admin, AdminTls, DeadLetter, DeadLetterContent, Delivery, Emit, Files, KafkaSink, KafkaSource, Log, LogFormat, Output, Run, Settings,
    Sink, Source, Start, Wrap,
};
pub use start_files::StartFile;
pub use token::{TokenCache, TokenFault};
