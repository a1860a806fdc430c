//! Compiles the .proto files with protox, so that no protoc is needed.

#[path = "build/fields.rs"]
mod fields;

use std::{env, error::Error, fs, path::PathBuf};

const FILES: [&str; 13] = [
    "auth.proto",
    "health.proto",
    "lease.proto",
    "membership.proto",
    "metadata.proto",
    "mvcc.proto",
    "raft.proto",
    "raft_internal.proto",
    "rpc.proto",
    "snap.proto",
    "v3election.proto",
    "v3lock.proto",
    "wal.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    println!("cargo::rerun-if-changed=build");
    let descriptors = protox::compile(FILES, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // The descriptors serve the test against contract/*.tsv.
    fs::write(out.join("descriptors.bin"), prost::Message::encode_to_vec(&descriptors))?;
    fs::write(out.join("fields.rs"), fields::tables(&descriptors))?;
    prost_build::Config::new()
        .bytes(["."])
        .enable_type_names()
        .extern_path(".etcdserverpb.TxnRequest", "crate::txn::TxnRequest")
        .compile_fds(descriptors)?;
    Ok(())
}
