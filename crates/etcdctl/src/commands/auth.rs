//! `auth`

use proto::etcdserverpb as pb;

use crate::{context::Context, fail::Done, output::say};

pub(crate) async fn enable(mut context: Context) -> Done {
    context.none("auth enable command does not accept any arguments")?;
    let (client, _) = context.connect().await?;
    loop {
        match client.auth_enable(pb::AuthEnableRequest {}).await {
            Ok(_) => return say("Authentication Enabled\n"),
            Err(error) if error.is("etcdserver: root user does not have root role") => {
                client.role_add(pb::AuthRoleAddRequest { name: "root".to_owned() }).await?;
                let (user, role) = ("root".to_owned(), "root".to_owned());
                client.user_grant_role(pb::AuthUserGrantRoleRequest { user, role }).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

pub(crate) async fn disable(mut context: Context) -> Done {
    context.none("auth disable command does not accept any arguments")?;
    let (client, _) = context.connect().await?;
    client.auth_disable(pb::AuthDisableRequest {}).await?;
    say("Authentication Disabled\n")
}

pub(crate) async fn status(mut context: Context) -> Done {
    context.none("auth status command does not accept any arguments")?;
    let (client, printer) = context.connect().await?;
    printer.auth_status(&client.auth_status(pb::AuthStatusRequest {}).await?)
}
