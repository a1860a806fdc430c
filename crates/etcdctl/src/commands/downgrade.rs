//! `downgrade`

use proto::etcdserverpb::{self as pb, downgrade_request::DowngradeAction};

use crate::{
    context::Context,
    fail::{Done, Failed},
};

pub(crate) async fn validate(context: Context) -> Done {
    to_version(context, DowngradeAction::Validate, "validate").await
}

pub(crate) async fn enable(context: Context) -> Done {
    to_version(context, DowngradeAction::Enable, "enable").await
}

pub(crate) async fn cancel(context: Context) -> Done {
    ask(context, DowngradeAction::Cancel, String::new(), "cancel").await
}

async fn to_version(context: Context, action: DowngradeAction, what: &str) -> Done {
    let version = match context.args.as_slice() {
        [] => return Err(Failed::args("TARGET_VERSION not provided")),
        [version] if version.is_empty() => return Err(Failed::args("target version not provided")),
        [version] => version.clone(),
        _ => return Err(Failed::args("too many arguments")),
    };
    ask(context, action, version, what).await
}

async fn ask(mut context: Context, action: DowngradeAction, version: String, what: &str) -> Done {
    let (client, printer) = context.connect().await?;
    let request = pb::DowngradeRequest { action: action.into(), version };
    printer.downgrade(what, &client.downgrade(request).await?)
}
