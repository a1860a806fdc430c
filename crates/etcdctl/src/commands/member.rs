//! `member`

use cmdline::golang::quote;
use proto::etcdserverpb as pb;

use crate::{
    context::{Context, serializable},
    fail::{Done, Failed},
    output::say,
    print::Format,
    text::parse_uint,
};

pub(crate) async fn add(mut context: Context) -> Done {
    let name = match context.args.as_slice() {
        [] => return Err(Failed::args("member name not provided")),
        [name] => name.clone(),
        many => {
            let mut text = "too many arguments".to_owned();
            for url in many.iter().filter(|word| word.to_lowercase().starts_with("http")) {
                text.push_str(&format!(", did you mean --peer-urls={url}"));
            }
            return Err(Failed::args(text));
        }
    };
    let urls = peer_urls(&context)?;
    let (client, printer) = context.connect().await?;
    check_urls(&urls)?;
    let request = pb::MemberAddRequest { peer_ur_ls: urls, is_learner: context.flags.bool("learner") };
    let reply = client.member_add(request).await?;
    printer.member_add(&reply)?;
    if !printer.is(Format::Simple) {
        return Ok(());
    }
    let new = reply.member.as_ref().map(|member| member.id);
    let cluster: Vec<_> = reply
        .members
        .iter()
        .flat_map(|member| {
            let name = if Some(member.id) == new { &name } else { &member.name };
            member.peer_ur_ls.iter().map(move |url| format!("{name}={url}"))
        })
        .collect();
    say(format!(
        "\nETCD_NAME={}\nETCD_INITIAL_CLUSTER={}\nETCD_INITIAL_ADVERTISE_PEER_URLS={}\nETCD_INITIAL_CLUSTER_STATE=\"existing\"\n",
        quote(&name),
        quote(&cluster.join(",")),
        quote(context.flags.text("peer-urls"))
    ))
}

pub(crate) async fn remove(mut context: Context) -> Done {
    let id = id(&context)?;
    let (client, printer) = context.connect().await?;
    printer.member_remove(id, &client.member_remove(pb::MemberRemoveRequest { id }).await?)
}

pub(crate) async fn update(mut context: Context) -> Done {
    let id = id(&context)?;
    let peer_ur_ls = peer_urls(&context)?;
    let (client, printer) = context.connect().await?;
    check_urls(&peer_ur_ls)?;
    let request = pb::MemberUpdateRequest { id, peer_ur_ls };
    printer.member_update(id, &client.member_update(request).await?)
}

pub(crate) async fn promote(mut context: Context) -> Done {
    let id = id(&context)?;
    let (client, printer) = context.connect().await?;
    printer.member_promote(id, &client.member_promote(pb::MemberPromoteRequest { id }).await?)
}

pub(crate) async fn list(mut context: Context) -> Done {
    let linearizable = !serializable(context.flags.text("consistency"), "l")?;
    let (client, printer) = context.connect().await?;
    printer.member_list(&client.member_list(pb::MemberListRequest { linearizable }).await?)
}

fn id(context: &Context) -> Result<u64, Failed> {
    parse_uint(context.one("member ID is not provided")?, 16)
        .map_err(|error| Failed::args(format!("bad member ID arg ({error}), expecting ID in Hex")))
}

/// # Errors
/// For the first that is none, before a server is asked.
fn check_urls(urls: &[String]) -> Result<(), Failed> {
    urls.iter().try_for_each(|url| config::url::Url::parse(url).map(drop).map_err(Failed::error))
}

fn peer_urls(context: &Context) -> Result<Vec<String>, Failed> {
    match context.flags.text("peer-urls") {
        "" => Err(Failed::args("member peer urls not provided")),
        urls => Ok(urls.split(',').map(str::to_owned).collect()),
    }
}
