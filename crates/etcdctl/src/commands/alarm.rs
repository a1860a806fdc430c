//! `alarm`

use proto::etcdserverpb::{self as pb, alarm_request::AlarmAction};

use crate::{context::Context, fail::Done};

pub(crate) async fn disarm(mut context: Context) -> Done {
    context.none("alarm disarm command accepts no arguments")?;
    let (client, printer) = context.connect().await?;
    let mut all = pb::AlarmResponse::default();
    for alarm in client.alarm(request(AlarmAction::Get, pb::AlarmMember::default())).await?.alarms {
        let reply = client.alarm(request(AlarmAction::Deactivate, alarm)).await?;
        all.alarms.extend(reply.alarms);
    }
    printer.alarms(&all)
}

pub(crate) async fn list(mut context: Context) -> Done {
    context.none("alarm list command accepts no arguments")?;
    let (client, printer) = context.connect().await?;
    printer.alarms(&client.alarm(request(AlarmAction::Get, pb::AlarmMember::default())).await?)
}

fn request(action: AlarmAction, alarm: pb::AlarmMember) -> pb::AlarmRequest {
    pb::AlarmRequest { action: action.into(), member_id: alarm.member_id, alarm: alarm.alarm }
}
