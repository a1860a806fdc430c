//! `member`.

use client::Client;
use proto::etcdserverpb as pb;
use serde_json::json;

use crate::{
    context::Context,
    fail::{Done, Failed},
    output::{self, Row},
};

const HEADS: &[&str] = &["ID", "NAME", "ROLE", "PEERS", "CLIENTS"];

pub(crate) async fn list(context: Context) -> Done {
    let client = context.connect().await?;
    let members = all(&client).await?;
    output::rows(context.format, HEADS, members.iter().map(row).collect())
}

async fn all(client: &Client) -> Done<Vec<pb::Member>> {
    Ok(client.member_list(pb::MemberListRequest { linearizable: true }).await?.members)
}

fn row(member: &pb::Member) -> Row {
    let id = format!("{:x}", member.id);
    let role = match (member.is_learner, member.name.is_empty()) {
        (_, true) => "not started",
        (true, _) => "learner",
        (false, _) => "voter",
    };
    Row::new(
        [
            ("id", json!(id)),
            ("name", json!(member.name)),
            ("learner", json!(member.is_learner)),
            ("peer_urls", json!(member.peer_ur_ls)),
            ("client_urls", json!(member.client_ur_ls)),
        ],
        vec![
            id.clone(),
            member.name.clone(),
            role.to_owned(),
            member.peer_ur_ls.join(","),
            member.client_ur_ls.join(","),
        ],
    )
}

/// A member by its id in hexadecimal digits, or by its name.
async fn find(client: &Client, word: &str) -> Done<pb::Member> {
    let members = all(client).await?;
    let id = u64::from_str_radix(word, 16).ok();
    let is = |member: &&pb::Member| Some(member.id) == id || (!word.is_empty() && member.name == word);
    let found: Vec<_> = members.iter().filter(is).collect();
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(Failed::new(format!("there is no member {word:?}")).next("mainstay member list")),
        _ => Err(Failed::new(format!("{} members are called {word:?}", found.len())).next("its id instead")),
    }
}

pub(crate) async fn add(context: Context) -> Done {
    let (name, urls) = (context.arg(0).to_owned(), &context.args[1..]);
    let client = context.connect().await?;
    let before = all(&client).await?;
    let learner = !context.flags.bool("voter");
    let voters = before.iter().filter(|member| !member.is_learner).count();
    if !learner && voters == 1 {
        let plan = "this needs both members from now on, until the new one is there no write succeeds";
        output::confirm(context.flags.bool("yes"), plan)?;
    }
    let request = pb::MemberAddRequest { peer_ur_ls: urls.to_vec(), is_learner: learner };
    let reply = client.member_add(request).await?;
    let member = reply.member.unwrap_or_default();
    let others = reply.members.iter().filter(|other| other.id != member.id);
    let named = others.flat_map(|other| other.peer_ur_ls.iter().map(|url| format!("{}={url}", other.name)));
    let new = urls.iter().map(|url| format!("{name}={url}"));
    let initial = named.chain(new).collect::<Vec<_>>().join(",");
    let mut row = row(&member);
    row.fields.insert("initial_cluster".into(), json!(initial));
    let promote = if learner {
        format!("\nand, once it has caught up:\n  mainstay member promote {:x}\n", member.id)
    } else {
        String::new()
    };
    let plain = format!(
        "added {:x}; start it with\n  mainstay server --name {name} --initial-cluster-state existing \\\n    \
         --initial-cluster {initial} --initial-advertise-peer-urls {} ...\n{promote}",
        member.id,
        urls.join(",")
    );
    output::one(context.format, row, plain)
}

pub(crate) async fn remove(context: Context) -> Done {
    let client = context.connect().await?;
    let member = find(&client, context.arg(0)).await?;
    let voters = all(&client).await?.iter().filter(|member| !member.is_learner).count();
    let left = voters - usize::from(!member.is_learner);
    let plan = format!(
        "this removes member {:x} ({}); {left} voters remain, which can lose {}",
        member.id,
        member.name,
        left.saturating_sub(1) / 2
    );
    output::confirm(context.flags.bool("yes"), &plan)?;
    client.member_remove(pb::MemberRemoveRequest { id: member.id }).await?;
    let plain = format!("removed {:x}; its data directory is of no use any more\n", member.id);
    output::one(context.format, row(&member), plain)
}

pub(crate) async fn update(context: Context) -> Done {
    let client = context.connect().await?;
    let mut member = find(&client, context.arg(0)).await?;
    member.peer_ur_ls = context.args[1..].to_vec();
    let request = pb::MemberUpdateRequest { id: member.id, peer_ur_ls: member.peer_ur_ls.clone() };
    client.member_update(request).await?;
    let plain = format!("member {:x} is reached at {}\n", member.id, member.peer_ur_ls.join(","));
    output::one(context.format, row(&member), plain)
}

pub(crate) async fn promote(context: Context) -> Done {
    let client = context.connect().await?;
    let mut member = find(&client, context.arg(0)).await?;
    client.member_promote(pb::MemberPromoteRequest { id: member.id }).await?;
    member.is_learner = false;
    output::one(context.format, row(&member), format!("member {:x} votes now\n", member.id))
}

pub(crate) async fn lead(context: Context) -> Done {
    let client = context.connect().await?;
    let member = find(&client, context.arg(0)).await?;
    // Only the leader itself hands over.
    let leader = client.status(pb::StatusRequest {}).await?.leader;
    if leader == member.id {
        return output::one(context.format, row(&member), format!("member {:x} leads already\n", member.id));
    }
    let urls =
        all(&client).await?.into_iter().find(|other| other.id == leader).map(|other| other.client_ur_ls);
    let mut settings = context.settings()?;
    settings.endpoints = urls
        .filter(|urls| !urls.is_empty())
        .ok_or_else(|| Failed::new("nobody leads at the moment").next("mainstay status"))?;
    let at_leader = Client::open(&settings).await?;
    at_leader.move_leader(pb::MoveLeaderRequest { target_id: member.id }).await?;
    output::one(context.format, row(&member), format!("member {:x} leads instead of {leader:x}\n", member.id))
}
