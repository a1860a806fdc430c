//! `move-leader`

use proto::etcdserverpb as pb;

use super::endpoint::for_one;
use crate::{
    connect::open,
    context::Context,
    fail::{Done, Failed},
    text::parse_uint,
};

pub(crate) async fn run(mut context: Context) -> Done {
    let target = context.one("move-leader command needs 1 argument")?;
    let target = parse_uint(target, 16).map_err(Failed::args)?;
    let reach = context.reach().await?;
    for endpoint in &reach.settings.endpoints {
        let client = open(&for_one(&context, &reach, endpoint)).await?;
        let status = client.status(pb::StatusRequest {}).await?;
        if status.header.is_some_and(|header| header.member_id == status.leader) {
            let reply = client.move_leader(pb::MoveLeaderRequest { target_id: target }).await?;
            return reach.printer.move_leader(status.leader, target, &reply);
        }
    }
    let given = reach.settings.endpoints.join(" ");
    Err(Failed::args(format!("no leader endpoint given at [{given}]")))
}
