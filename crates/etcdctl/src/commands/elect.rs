//! `elect`

use client::{Client, Election, Interrupt, Observer, Session};
use proto::etcdserverpb as pb;

use crate::{
    context::Context,
    fail::{Done, Failed},
    print::Printer,
};

/// Seconds that a session lives on its own.
const TTL: i64 = 60;

pub(crate) async fn run(mut context: Context) -> Done {
    if !(1..=2).contains(&context.args.len()) {
        return Err(Failed::args("elect takes one election name argument and an optional proposal argument"));
    }
    let (client, printer) = context.connect_patiently().await?;
    let listen = context.flags.bool("listen");
    match context.args.as_slice() {
        [name] if listen => observe(&client, &printer, name).await,
        [_] => Err(Failed::args("no proposal argument but -l not set")),
        [name, proposal, ..] if !listen => campaign(&client, &printer, name, proposal).await,
        _ => Err(Failed::args("proposal given but -l is set")),
    }
}

async fn observe(client: &Client, printer: &Printer, name: &str) -> Done {
    let _session = Session::open(client, TTL).await?;
    let mut interrupt = Interrupt::new().map_err(Failed::error)?;
    let mut observer = Observer::new(client, name);
    loop {
        tokio::select! {
            () = interrupt.wait() => return Ok(()),
            seen = observer.next() => match seen {
                Ok(reply) => printer.range(&reply)?,
                Err(_) => return Err(Failed::error("elect: observer lost")),
            },
        }
    }
}

async fn campaign(client: &Client, printer: &Printer, name: &str, proposal: &str) -> Done {
    let session = Session::open(client, TTL).await?;
    let mut interrupt = Interrupt::new().map_err(Failed::error)?;
    let election = Election::campaign(&session, name, proposal).await?;
    tokio::select! {
        won = election.win() => won?,
        () = interrupt.wait() => {
            // The candidate must not win when nobody is there any more.
            let _ = election.resign().await;
            return Err(Failed::error("context canceled"));
        }
    }
    let request = pb::RangeRequest { key: election.key().to_vec().into(), ..Default::default() };
    printer.range(&client.range(request).await?)?;
    tokio::select! {
        () = interrupt.wait() => Ok(election.resign().await?),
        () = session.expired() => Err(Failed::error("elect: session expired")),
    }
}
