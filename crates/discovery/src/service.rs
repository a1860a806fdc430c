//! A cluster that knows who wants to form another one.

use std::time::Duration;

use client::{Client, Error, Settings};
use proto::{
    etcdserverpb::{PutRequest, RangeRequest, WatchCreateRequest},
    mvccpb::event::EventType,
};
use telemetry::{line, log};
use types::MemberId;

use crate::registry::{self, Keys, Registry};

/// The pause between two tries doubles up to two to this power, in seconds. There is no last try: a service that is
/// not there yet will come.
const BACKOFF_DOUBLINGS_MAX: u32 = 8;

/// Why discovery gave up.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// A registered member is not `name=url`.
    #[error("discovery: invalid peer URL")]
    InvalidUrl,
    /// The size is no positive number.
    #[error("discovery: size key is bad")]
    BadSize,
    /// Nobody has said how many members there will be: the token does not exist.
    #[error("discovery: size key not found")]
    SizeNotFound,
    /// As many as there may be have registered before.
    #[error("discovery: cluster is full")]
    Full,
    /// The service cannot even be asked.
    #[error(transparent)]
    Client(#[from] Error),
}

/// Registers member `id`, which is `name=url,..`, below `token`, waits until all are there, and gives them as
/// `--initial-cluster` would.
///
/// # Errors
/// See [`DiscoveryError`]. A service that does not answer is asked again for ever, at most every 256 s.
pub async fn join(
    settings: &Settings,
    token: &str,
    id: MemberId,
    own: &str,
) -> Result<String, DiscoveryError> {
    let endpoints = settings.endpoints.join(",");
    let joined = async {
        let mut service = Service { settings, client: None, keys: Keys::of(token), id };
        service.look().await?;
        service.register(own).await?;
        let mut found = service.look().await?;
        while found.registry.len() < found.size {
            service.wait(&mut found).await?;
        }
        let cluster = found.registry.initial_cluster(found.size);
        cluster::InitialCluster::parse(&cluster).map_err(|_| DiscoveryError::InvalidUrl)?;
        Ok(cluster)
    };
    match joined.await {
        Ok(cluster) => {
            line!(Info, "discovery joined cluster successfully",
                "discovery-token" => token.to_owned(), "discovery-endpoints" => endpoints, "cluster" => cluster.clone());
            Ok(cluster)
        }
        Err(error) => {
            let text = DiscoveryError::to_string(&error);
            line!(Error, "discovery failed to join cluster",
                "discovery-token" => token.to_owned(), "discovery-endpoints" => endpoints, "error" => text);
            Err(error)
        }
    }
}

struct Service<'a> {
    settings: &'a Settings,
    /// Opened when it is first used: logging in is a call that may have to be tried again.
    client: Option<Client>,
    keys: Keys,
    id: MemberId,
}

/// The state of a token.
struct Found {
    size: usize,
    registry: Registry,
    revision: i64,
}

impl Service<'_> {
    async fn client(&mut self) -> Result<&Client, Error> {
        if self.client.is_none() {
            self.client = Some(Client::open(self.settings).await?);
        }
        Ok(self.client.as_ref().expect("it was opened above"))
    }

    /// Reads the token, and refuses when this member has no place.
    async fn look(&mut self) -> Result<Found, DiscoveryError> {
        let mut pause = Pause::default();
        loop {
            match self.look_once().await? {
                Ok(found) if found.registry.has_place_for(&self.keys.member(self.id), found.size) => {
                    return Ok(found);
                }
                Ok(_) => return Err(DiscoveryError::Full),
                Err((what, error)) => pause.rest(what, "cluster status check", error).await?,
            }
        }
    }

    /// The inner error may pass.
    async fn look_once(&mut self) -> Result<Result<Found, (&'static str, Error)>, DiscoveryError> {
        let (size_key, prefix) = (self.keys.size(), self.keys.members());
        let client = match self.client().await {
            Ok(client) => client,
            Err(error) => return Ok(Err(("failed to get cluster size from discovery service", error))),
        };
        let request = RangeRequest { key: size_key.into(), ..RangeRequest::default() };
        let size = match client.range(request).await {
            Ok(reply) => match reply.kvs.first() {
                None => return Err(DiscoveryError::SizeNotFound),
                Some(kv) => registry::size(&kv.value)?,
            },
            Err(error) => return Ok(Err(("failed to get cluster size from discovery service", error))),
        };
        let range_end = after_prefix(&prefix).into();
        let request = RangeRequest { key: prefix.into(), range_end, ..RangeRequest::default() };
        Ok(match client.range(request).await {
            Ok(reply) => {
                let mut registry = Registry::default();
                reply.kvs.iter().for_each(|kv| registry.add(kv));
                let revision = reply.header.map_or(0, |header| header.revision);
                Ok(Found { size, registry, revision })
            }
            Err(error) => Err(("failed to get cluster members from discovery service", error)),
        })
    }

    async fn register(&mut self, own: &str) -> Result<(), DiscoveryError> {
        let key = self.keys.member(self.id);
        let mut pause = Pause::default();
        loop {
            let request =
                PutRequest { key: key.clone().into(), value: own.to_owned().into(), ..PutRequest::default() };
            let done = match self.client().await {
                Ok(client) => client.put(request).await,
                Err(error) => Err(error),
            };
            match done {
                Ok(_) => break,
                Err(error) => {
                    let what = "failed to register members itself to the discovery service";
                    pause.rest(what, "register member itself", error).await?;
                }
            }
        }
        line!(Info, "register member itself successfully", "memberKey" => key, "memberInfo" => own.to_owned());
        Ok(())
    }

    /// Waits for members to come; what was missed while a watch broke is read again.
    async fn wait(&mut self, found: &mut Found) -> Result<(), DiscoveryError> {
        line!(Info, "waiting for peers from discovery service",
            "clusterSize" => found.size as u64, "found-peers" => found.registry.len() as u64);
        let prefix = self.keys.members();
        let create = WatchCreateRequest {
            range_end: after_prefix(&prefix).into(),
            key: prefix.into(),
            start_revision: found.revision + 1,
            ..WatchCreateRequest::default()
        };
        if self.follow(create, found).await.is_err() {
            *found = self.look().await?;
        }
        if found.registry.len() >= found.size {
            line!(Info, "found all needed peers from discovery service",
                "clusterSize" => found.size as u64, "found-peers" => found.registry.len() as u64);
        }
        Ok(())
    }

    /// Takes in events until all are there, or the watch ends.
    async fn follow(&mut self, create: WatchCreateRequest, found: &mut Found) -> Result<(), Error> {
        let mut watch = self.client().await?.watch(create).await?;
        while found.registry.len() < found.size {
            let Some(reply) = watch.next().await? else { return Err(Error::TimeUp(None)) };
            for event in &reply.events {
                if let Some(kv) = event.kv.as_ref().filter(|_| event.r#type() == EventType::Put) {
                    found.registry.add(kv);
                }
            }
        }
        Ok(())
    }
}

/// Pauses between tries.
#[derive(Default)]
struct Pause {
    tries: u32,
}

impl Pause {
    /// Waits, unless trying again cannot help.
    async fn rest(
        &mut self,
        what: &'static str,
        step: &'static str,
        error: Error,
    ) -> Result<(), DiscoveryError> {
        if matches!(error, Error::Endpoint { .. } | Error::Tls(_)) {
            return Err(error.into());
        }
        line!(Warn, what, "error" => error.to_string());
        self.tries = (self.tries + 1).min(BACKOFF_DOUBLINGS_MAX);
        let backoff = Duration::from_secs(1 << self.tries);
        line!(Warn, "retry connecting to discovery service",
            "reason" => step, "backoff" => log::duration(backoff));
        tokio::time::sleep(backoff).await;
        Ok(())
    }
}

/// The end of the range of keys that begin with `prefix`, which ends in an ASCII letter.
fn after_prefix(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}
