//! `defrag`

use std::time::Instant;

use proto::etcdserverpb as pb;

use super::endpoint::{endpoints, for_one};
use crate::{
    connect::open,
    context::Context,
    fail::{Done, ERROR, Failed, text},
    output::{say, tell},
    text::took,
};

pub(crate) async fn run(mut context: Context) -> Done {
    let reach = context.reach().await?;
    let mut failed = false;
    for endpoint in endpoints(&context, &reach).await? {
        let client = open(&for_one(&context, &reach, &endpoint)).await?;
        let start = Instant::now();
        let done = client.defragment(pb::DefragmentRequest {}).await;
        let took = took(start);
        match done {
            Ok(_) => say(format!("Finished defragmenting etcd member[{endpoint}]. took {took}\n"))?,
            Err(error) => {
                failed = true;
                tell(&format!(
                    "Failed to defragment etcd member[{endpoint}]. took {took}. ({})\n",
                    text(&error)
                ));
            }
        }
    }
    if failed { Err(Failed::quietly(ERROR)) } else { Ok(()) }
}
