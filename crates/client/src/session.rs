//! A lease that lives as long as its owner.

use proto::etcdserverpb as pb;
use tokio::{sync::watch, task::JoinHandle};

use crate::{Client, Error};

/// A lease and the task that keeps it alive. Dropping it leaves the lease to end by itself.
#[derive(Debug)]
pub struct Session {
    client: Client,
    lease: i64,
    over: watch::Receiver<bool>,
    task: JoinHandle<()>,
}

impl Session {
    /// A new lease of so many seconds.
    ///
    /// # Errors
    /// As for a call.
    pub async fn open(client: &Client, ttl: i64) -> Result<Session, Error> {
        let granted = client.lease_grant(pb::LeaseGrantRequest { ttl, id: 0 }).await?;
        let (tell, over) = watch::channel(false);
        let mut alive = client.keep_alive(granted.id);
        let task = tokio::spawn(async move {
            while alive.next().await.is_some() {}
            // Nobody may be listening.
            let _ = tell.send(true);
        });
        Ok(Session { client: client.clone(), lease: granted.id, over, task })
    }

    /// Whose it is.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The lease.
    pub fn lease(&self) -> i64 {
        self.lease
    }

    /// Waits until the lease is over.
    pub async fn expired(&self) {
        let mut over = self.over.clone();
        // An error says that the task is gone, which then renews nothing.
        let _ = over.wait_for(|over| *over).await;
    }

    /// Ends the lease now, and all its keys with it.
    ///
    /// # Errors
    /// As for a call.
    pub async fn close(self) -> Result<(), Error> {
        self.client.lease_revoke(pb::LeaseRevokeRequest { id: self.lease }).await?;
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}
