//! One table of flags, and everything that follows from it: command line, environment, configuration file, help text,
//! documentation, and the typed [`Settings`] that a member is started with.
//!
//! [`load`] reads the command line in the style of Go's flag package, then either the environment or a configuration
//! file, checks every rule in etcd's order and words, and returns settings that nobody changes any more. Nothing can
//! be logged so early: what is to be said is collected as [`Notice`]s.
//!
//! Each flag says in the table whether it has an [`Effect`] yet. One that has none is warned about.
//!
//! Not here: what flags do, whether certificates are usable (`rpc`), logging (`telemetry`).

mod argv;
pub mod duration;
mod env;
mod file;
mod flag;
mod gates;
pub mod golang;
mod help;
mod load;
mod notice;
mod places;
mod settings;
mod table;
pub mod url;
mod values;

pub use flag::{Effect, Flag, Kind};
pub use gates::{GATES, Gate, GateFacts, Gates, Stage};
pub use help::{flags_help, flags_page, status_section, usage};
pub use load::{Command, LoadError, Sources, default_host, load, read_file};
pub use notice::{Notice, Severity};
pub use places::same_places;
pub use settings::{
    Audit, Auth, AutoCompaction, Checks, Cluster, ClusterState, Compaction, Discovery, DiscoveryService,
    Emulate, Keepalive, Limits, Listeners, Log, LogFormat, LogLevel, LogOutput, Member, Monitoring, Raft,
    Rotation, Settings, Storage, Tls, TlsPolicy, TlsVersion, Tracing,
};
pub use table::{FILE_ONLY, GONE, IGNORED, RENAMED, Renamed, Replacement, SECTIONS, Section, flags};
pub use url::{Scheme, Url, UrlError};
