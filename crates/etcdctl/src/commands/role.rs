//! `role`

use client::prefix_end;
use proto::{
    authpb::{Permission, permission::Type},
    etcdserverpb as pb,
};

use crate::{
    context::Context,
    fail::{Done, Failed},
};

pub(crate) async fn add(mut context: Context) -> Done {
    let name = context.one("role add command requires role name as its argument")?.to_owned();
    let (client, printer) = context.connect_patiently().await?;
    let reply = client.role_add(pb::AuthRoleAddRequest { name: name.clone() }).await?;
    printer.role_add(format!("Role {name} created\n"), &reply)
}

pub(crate) async fn delete(mut context: Context) -> Done {
    let role = context.one("role delete command requires role name as its argument")?.to_owned();
    let (client, printer) = context.connect_patiently().await?;
    let reply = client.role_delete(pb::AuthRoleDeleteRequest { role: role.clone() }).await?;
    printer.role_delete(format!("Role {role} deleted\n"), &reply)
}

pub(crate) async fn get(mut context: Context) -> Done {
    let role = context.one("role get command requires role name as its argument")?.to_owned();
    let (client, printer) = context.connect_patiently().await?;
    printer.role_get(&role, &client.role_get(pb::AuthRoleGetRequest { role: role.clone() }).await?)
}

pub(crate) async fn list(mut context: Context) -> Done {
    context.none("role list command requires no arguments")?;
    let (client, printer) = context.connect_patiently().await?;
    printer.role_list(&client.role_list(pb::AuthRoleListRequest {}).await?)
}

pub(crate) async fn grant_permission(mut context: Context) -> Done {
    let [role, kind, range @ ..] = context.args.as_slice() else { return Err(grant_usage()) };
    if range.is_empty() {
        return Err(grant_usage());
    }
    let perm_type = match kind.to_uppercase().as_str() {
        "READ" => Type::Read,
        "WRITE" => Type::Write,
        "READWRITE" => Type::Readwrite,
        _ => return Err(Failed::args(format!("invalid permission type: {kind}"))),
    };
    let (key, range_end) = key_range(&context, range)?;
    let perm = Permission { perm_type: perm_type.into(), key: key.into(), range_end: range_end.into() };
    let name = role.clone();
    let (client, printer) = context.connect_patiently().await?;
    let request = pb::AuthRoleGrantPermissionRequest { name: name.clone(), perm: Some(perm) };
    printer.role_grant(format!("Role {name} updated\n"), &client.role_grant_permission(request).await?)
}

fn grant_usage() -> Failed {
    Failed::args("role grant command requires role name, permission type, and key [endkey] as its argument")
}

pub(crate) async fn revoke_permission(mut context: Context) -> Done {
    let [role, range @ ..] = context.args.as_slice() else { return Err(revoke_usage()) };
    let Some(given) = range.first().cloned() else { return Err(revoke_usage()) };
    let (key, range_end) = key_range(&context, range)?;
    let role = role.clone();
    let end = String::from_utf8_lossy(&range_end).into_owned();
    let what = match end.as_str() {
        "" => format!("key {given}"),
        "\0" => format!("range [{given}, <open ended>"),
        end => format!("range [{given}, {end})"),
    };
    let (client, printer) = context.connect_patiently().await?;
    let request = pb::AuthRoleRevokePermissionRequest {
        role: role.clone(),
        key: key.into(),
        range_end: range_end.into(),
    };
    let text = format!("Permission of {what} is revoked from role {role}\n");
    printer.role_revoke(text, &client.role_revoke_permission(request).await?)
}

fn revoke_usage() -> Failed {
    Failed::args("role revoke-permission command requires role name and key [endkey] as its argument")
}

/// Key and range end of arguments and flags. Nothing stands for the first key.
fn key_range(context: &Context, args: &[String]) -> Result<(Vec<u8>, Vec<u8>), Failed> {
    let (prefix, from_key) = (context.flags.bool("prefix"), context.flags.bool("from-key"));
    let key = args[0].as_bytes();
    let end = match args.get(1) {
        _ if key.is_empty() => {
            if prefix && from_key {
                return Err(exclusive());
            }
            let end = if prefix || from_key { vec![0] } else { Vec::new() };
            return Ok((vec![0], end));
        }
        None if prefix && from_key => return Err(exclusive()),
        None if prefix => prefix_end(key),
        None if from_key => vec![0],
        None => Vec::new(),
        Some(_) if prefix => return Err(Failed::args("unexpected endkey argument with --prefix flag")),
        Some(_) if from_key => return Err(Failed::args("unexpected endkey argument with --from-key flag")),
        Some(end) => end.as_bytes().to_vec(),
    };
    Ok((key.to_vec(), end))
}

fn exclusive() -> Failed {
    Failed::args("--from-key and --prefix flags are mutually exclusive")
}
