//! `lease`

use proto::etcdserverpb as pb;

use crate::{
    context::Context,
    fail::{BAD_CONNECTION, Done, Failed, text},
    output::say,
    print::Format,
    text::parse_int,
};

pub(crate) async fn grant(mut context: Context) -> Done {
    let ttl = context.one("lease grant command needs TTL argument")?;
    let ttl = parse_int(ttl, 10).map_err(|error| Failed::args(format!("bad TTL ({error})")))?;
    let (client, printer) = context.connect().await?;
    let granted = client.lease_grant(pb::LeaseGrantRequest { ttl, id: 0 }).await;
    printer.grant(&granted.map_err(|e| Failed::error(format!("failed to grant lease ({})", text(&e))))?)
}

pub(crate) async fn revoke(mut context: Context) -> Done {
    let id = id(context.one("lease revoke command needs 1 argument")?)?;
    let (client, printer) = context.connect().await?;
    let revoked = client.lease_revoke(pb::LeaseRevokeRequest { id }).await;
    let failed = |e| Failed::error(format!("failed to revoke lease ({})", text(&e)));
    printer.revoke(id, &revoked.map_err(failed)?)
}

pub(crate) async fn time_to_live(mut context: Context) -> Done {
    context.one("lease timetolive command needs lease ID as argument")?;
    let keys = context.flags.bool("keys");
    let (client, printer) = context.connect_patiently().await?;
    let id = id(&context.args[0])?;
    let told = client.lease_time_to_live(pb::LeaseTimeToLiveRequest { id, keys }).await;
    printer.time_to_live(&told.map_err(bad_connection)?, keys)
}

pub(crate) async fn list(mut context: Context) -> Done {
    let (client, printer) = context.connect_patiently().await?;
    printer.leases(&client.lease_leases(pb::LeaseLeasesRequest {}).await.map_err(bad_connection)?)
}

pub(crate) async fn keep_alive(mut context: Context) -> Done {
    let id = id(context.one("lease keep-alive command needs lease ID as argument")?)?;
    let (client, printer) = context.connect_patiently().await?;
    if context.flags.bool("once") {
        return printer.keep_alive(&client.keep_alive_once(id).await.map_err(bad_connection)?);
    }
    let mut alive = client.keep_alive(id);
    while let Some(reply) = alive.next().await {
        printer.keep_alive(&reply)?;
    }
    match printer.is(Format::Simple) {
        true => say(format!("lease {id:016x} expired or revoked.\n")),
        false => Ok(()),
    }
}

fn bad_connection(error: client::Error) -> Failed {
    Failed::from(error).with_code(BAD_CONNECTION)
}

fn id(text: &str) -> Result<i64, Failed> {
    parse_int(text, 16).map_err(|e| Failed::args(format!("bad lease ID arg ({e}), expecting ID in Hex")))
}
