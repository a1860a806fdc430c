//! `compaction`

use proto::etcdserverpb as pb;

use crate::{
    context::Context,
    fail::{Done, Failed},
    output::say,
    text::parse_int,
};

pub(crate) async fn run(mut context: Context) -> Done {
    let revision = context.one("compaction command needs 1 argument")?;
    let revision = parse_int(revision, 10).map_err(Failed::error)?;
    let (client, _) = context.connect().await?;
    let physical = context.flags.bool("physical");
    client.compact(pb::CompactionRequest { revision, physical }).await?;
    say(format!("compacted revision {revision}\n"))
}
