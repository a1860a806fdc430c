//! The format `fields`: a name and a value on each line.

use std::fmt::Display;

use cmdline::golang::quote_bytes;
use proto::{etcdserverpb::ResponseHeader, mvccpb::KeyValue};

/// Lines under construction.
#[derive(Debug)]
pub(crate) struct Fields {
    text: String,
    hex: bool,
}

impl Fields {
    pub(crate) fn new(hex: bool) -> Fields {
        Fields { text: String::new(), hex }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.text.into_bytes()
    }

    /// A value as it is.
    pub(crate) fn plain(&mut self, name: &str, value: impl Display) {
        self.text.push_str(&format!("\"{name}\" : {value}\n"));
    }

    /// A text in quotes.
    pub(crate) fn quoted(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.plain(name, quote_bytes(value.as_ref()));
    }

    /// The id of a member or cluster.
    pub(crate) fn id(&mut self, name: &str, id: u64) {
        if self.hex { self.plain(name, format_args!("{id:x}")) } else { self.plain(name, id) }
    }

    /// The id of a lease.
    pub(crate) fn lease(&mut self, name: &str, id: i64) {
        if self.hex { self.plain(name, format_args!("{id:016x}")) } else { self.plain(name, id) }
    }

    /// An empty line.
    pub(crate) fn gap(&mut self) {
        self.text.push('\n');
    }

    /// A line as it is.
    pub(crate) fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Every reply has one; a revision only where it means something.
    pub(crate) fn header(&mut self, header: Option<&ResponseHeader>) {
        let header = header.copied().unwrap_or_default();
        self.id("ClusterID", header.cluster_id);
        self.id("MemberID", header.member_id);
        if header.revision > 0 {
            self.plain("Revision", header.revision);
        }
        self.plain("RaftTerm", header.raft_term);
    }

    /// A key and its value, with a word before each name.
    pub(crate) fn kv(&mut self, prefix: &str, kv: &KeyValue) {
        let name = |field: &str| format!("{prefix}{field}");
        self.quoted(&name("Key"), &kv.key);
        self.plain(&name("CreateRevision"), kv.create_revision);
        self.plain(&name("ModRevision"), kv.mod_revision);
        self.plain(&name("Version"), kv.version);
        self.quoted(&name("Value"), &kv.value);
        self.lease(&name("Lease"), kv.lease);
    }
}
