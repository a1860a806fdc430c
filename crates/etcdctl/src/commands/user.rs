//! `user`

use std::io::Read;

use proto::{authpb, etcdserverpb as pb};

use crate::{
    context::Context,
    fail::{Done, Failed},
    output::say,
    password::ask,
};

pub(crate) async fn add(mut context: Context) -> Done {
    let given = context.one("user add command requires user name as its argument")?.to_owned();
    let (name, password, no_password) = if context.flags.bool("no-password") {
        (given, String::new(), true)
    } else {
        match (context.flags.text("new-user-password"), given.split_once(':')) {
            ("", Some(("", _))) => return Err(Failed::args("empty user name is not allowed")),
            ("", Some((name, password))) => (name.to_owned(), password.to_owned(), false),
            ("", None) => {
                let password = new_password(&context, &given)?;
                (given, password, false)
            }
            (password, _) => {
                let password = password.to_owned();
                (given, password, false)
            }
        }
    };
    let (client, printer) = context.connect_patiently().await?;
    let request = pb::AuthUserAddRequest {
        name: name.clone(),
        password,
        options: Some(authpb::UserAddOptions { no_password }),
        ..Default::default()
    };
    printer.user_add(format!("User {name} created\n"), &client.user_add(request).await?)
}

pub(crate) async fn delete(mut context: Context) -> Done {
    let name = context.one("user delete command requires user name as its argument")?.to_owned();
    let (client, printer) = context.connect_patiently().await?;
    let reply = client.user_delete(pb::AuthUserDeleteRequest { name: name.clone() }).await?;
    printer.user_delete(format!("User {name} deleted\n"), &reply)
}

pub(crate) async fn get(mut context: Context) -> Done {
    let name = context.one("user get command requires user name as its argument")?.to_owned();
    let (client, printer) = context.connect_patiently().await?;
    let reply = client.user_get(pb::AuthUserGetRequest { name: name.clone() }).await?;
    if !context.flags.bool("detail") {
        return printer.user_get(&name, &reply);
    }
    say(format!("User: {name}\n"))?;
    for role in reply.roles {
        say("\n")?;
        let reply = client.role_get(pb::AuthRoleGetRequest { role: role.clone() }).await?;
        printer.role_get(&role, &reply)?;
    }
    Ok(())
}

pub(crate) async fn list(mut context: Context) -> Done {
    context.none("user list command requires no arguments")?;
    let (client, printer) = context.connect_patiently().await?;
    printer.user_list(&client.user_list(pb::AuthUserListRequest {}).await?)
}

pub(crate) async fn change_password(mut context: Context) -> Done {
    let name = context.one("user passwd command requires user name as its argument")?.to_owned();
    let password = new_password(&context, &name)?;
    let (client, printer) = context.connect_patiently().await?;
    let request = pb::AuthUserChangePasswordRequest { name, password, ..Default::default() };
    printer.user_password("Password updated\n".to_owned(), &client.user_change_password(request).await?)
}

pub(crate) async fn grant_role(mut context: Context) -> Done {
    let [user, role] = two(&context, "user grant command requires user name and role name as its argument")?;
    let (client, printer) = context.connect_patiently().await?;
    let text = format!("Role {role} is granted to user {user}\n");
    printer.user_grant(text, &client.user_grant_role(pb::AuthUserGrantRoleRequest { user, role }).await?)
}

pub(crate) async fn revoke_role(mut context: Context) -> Done {
    let [name, role] = two(&context, "user revoke-role requires user name and role name as its argument")?;
    let (client, printer) = context.connect_patiently().await?;
    let text = format!("Role {role} is revoked from user {name}\n");
    let request = pb::AuthUserRevokeRoleRequest { name, role };
    printer.user_revoke(text, &client.user_revoke_role(request).await?)
}

fn two(context: &Context, otherwise: &str) -> Result<[String; 2], Failed> {
    <[String; 2]>::try_from(context.args.clone()).map_err(|_| Failed::args(otherwise))
}

/// A password that is typed twice, or the first word of standard input.
fn new_password(context: &Context, name: &str) -> Result<String, Failed> {
    if !context.flags.bool("interactive") {
        let mut input = String::new();
        // What cannot be read is no password, and servers refuse that.
        let _ = std::io::stdin().lock().read_to_string(&mut input);
        let line = input.lines().next().unwrap_or_default();
        return Ok(line.split_whitespace().next().unwrap_or_default().to_owned());
    }
    let asked = |prompt: String| {
        ask(&prompt).map_err(|failed| {
            Failed::args(format!("failed to ask password: {}", failed.text.unwrap_or_default()))
        })
    };
    let password = asked(format!("Password of {name}: "))?;
    if password.is_empty() {
        return Err(Failed::args("empty password"));
    }
    if asked(format!("Type password of {name} again for confirmation: "))? != password {
        return Err(Failed::args("given passwords are different"));
    }
    Ok(password)
}
