//! The way to the other members: transport, its TLS, what a member that joins asks first, and what the leader is asked.

use std::{
    future::Future,
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::{Context, Result};
use config::Settings;
use http::{Request, Response};
use node::{NodeHandle, Peers};
use proto::etcdserverpb as pb;
use rpc::status::Reason;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, client::WantsClientCert};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use types::MemberId;
use vfs::{Disk, RealDisk};

use crate::donor::Donation;

/// A connection may take this much longer than an election timeout (upstream: `config.PeerDialTimeout`).
const DIAL_SLACK: Duration = Duration::from_secs(1);
/// How long a new member waits for each of the others to say that there is a cluster already (upstream: 1 s, too).
const LOOK_AROUND: Duration = Duration::from_secs(1);
/// How long a member that has lost something asks the others again, before it gives up: they may be starting, too.
const REPAIR_PATIENCE: Duration = Duration::from_secs(60);

/// The way to the other members, before it is opened.
pub struct PeerPlan {
    /// How to dial `https` peer URLs.
    pub tls: Option<peer::TlsSource>,
}

/// How the settings want other members to be dialed.
pub(crate) fn plan(settings: &Settings) -> PeerPlan {
    let tls = settings.peer_tls.clone();
    let secure = tls.cert.is_some() || tls.client_cert.is_some() || tls.trusted_ca.is_some();
    // Read for each connection: certificates are replaced under a running member.
    PeerPlan {
        tls: secure.then(|| -> peer::TlsSource { Arc::new(move || client_config(&tls).map(Arc::new)) }),
    }
}

fn client_config(tls: &config::Tls) -> Result<ClientConfig, String> {
    let failed = |path: &Path, error: rustls_pki_types::pem::Error| format!("{}: {error}", path.display());
    let own =
        tls.client_cert.as_ref().zip(tls.client_key.as_ref()).or(tls.cert.as_ref().zip(tls.key.as_ref()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?;
    if tls.auto {
        // The others' certificates are of their own making, too.
        let builder = builder.dangerous().with_custom_certificate_verifier(client::trust_everybody(provider));
        return with_own(builder, own);
    }
    let Some(ca) = &tls.trusted_ca else {
        return Err("an https peer URL, and no --peer-trusted-ca-file that says whom to trust".into());
    };
    let mut roots = RootCertStore::empty();
    for cert in CertificateDer::pem_file_iter(ca).map_err(|e| failed(ca, e))? {
        let cert = cert.map_err(|e| failed(ca, e))?;
        roots.add(cert).map_err(|e| format!("{}: {e}", ca.display()))?;
    }
    with_own(builder.with_root_certificates(roots), own)
}

/// Adds the certificate that we show, if there is one.
fn with_own(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    own: Option<(&PathBuf, &PathBuf)>,
) -> Result<ClientConfig, String> {
    let failed = |path: &Path, error: rustls_pki_types::pem::Error| format!("{}: {error}", path.display());
    let Some((cert, key)) = own else { return Ok(builder.with_no_client_auth()) };
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(cert).map_err(|e| failed(cert, e))?.collect();
    let chain = chain.map_err(|e| failed(cert, e))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|e| failed(key, e))?;
    builder.with_client_auth_cert(chain, private).map_err(|e| e.to_string())
}

/// Asks the cluster that this member joins for its members, unless it has joined before. Who forms a new cluster
/// asks, too: it may have been a member of it before, and have lost its directory.
pub(crate) fn ask_cluster(config: &mut node::Config, plan: &PeerPlan) -> Result<()> {
    let own = &config.advertise_peer_urls;
    let named = config.initial_cluster.split(',').filter_map(|pair| pair.split_once('=')).map(|(_, url)| url);
    let mut urls: Vec<String> =
        named.filter(|url| !own.iter().any(|own| own == url)).map(String::from).collect();
    urls.sort_unstable();
    if urls.is_empty() && !config.join_existing || !node::is_new(config, &RealDisk)? {
        return Ok(());
    }
    if !config.join_existing {
        config.running_cluster = peer::any_running_cluster(&urls, plan.tls.clone(), LOOK_AROUND)?;
        return Ok(());
    }
    let patience = config.tick * config.election_ticks + DIAL_SLACK;
    let cluster = peer::running_cluster(&urls, plan.tls.clone(), patience)
        .context("cannot fetch cluster info from peer urls")?;
    peer::check_joinable(&cluster, own, config.release, plan.tls.clone(), config.request_timeout())?;
    config.running_cluster = Some(cluster);
    Ok(())
}

/// Starts a member with a way to the others, and gives what answers them and what asks them. What its directory has
/// lost comes from them.
pub(crate) fn start(
    mut config: node::Config,
    plan: PeerPlan,
) -> Result<(node::Member, peer::Server, peer::Questions)> {
    let ways = Arc::new(OnceLock::new());
    let slot = Arc::clone(&ways);
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let (urls, snap_dir) = (config.advertise_peer_urls.clone(), config.snap_dir());
    let dial_timeout = config.tick * config.election_ticks + DIAL_SLACK;
    let receiving = Arc::clone(&disk);
    config.donors = Some(Arc::new(peer::RepairSource {
        tls: plan.tls.clone(),
        dial_timeout,
        patience: REPAIR_PATIENCE,
        release: config.release,
        disk: Arc::clone(&disk),
    }));
    let settings = Arc::new(config.clone());
    let connect = move |handle: NodeHandle| -> io::Result<Box<dyn Peers>> {
        let summary = handle.summary();
        let removed = handle.clone();
        let checking = Arc::clone(&receiving);
        let transport = peer::Transport::start(peer::Config {
            id: summary.member_id,
            cluster: summary.cluster_id,
            release: summary.release,
            urls,
            dial_timeout,
            tls: plan.tls,
            disk: receiving,
            snap_dir,
            check: Arc::new(move |path, index| node::check_received(Arc::clone(&checking), path, index)),
            donor: Some(Arc::new(Donation { config: settings, handle: handle.clone() })),
            deliver: Arc::new(move |input| handle.peer_input(input)),
            on_removed: Arc::new(move || removed.removed()),
        })?;
        // Empty until now: a member is started once.
        let _ = slot.set((transport.server(), transport.questions()));
        Ok(Box::new(transport))
    };
    let member = node::start_among(config, disk, connect)?;
    let (server, questions) = ways.get().cloned().context("the member runs without a way to the others")?;
    Ok((member, server, questions))
}

/// Raft's pages on the peer listeners.
pub(crate) struct Between(pub(crate) peer::Server);

impl rpc::BetweenMembers for Between {
    fn serves(&self, path: &str) -> bool {
        peer::Server::serves(path)
    }

    fn answer<'a>(
        &'a self,
        remote: &'a str,
        request: Request<hyper::body::Incoming>,
    ) -> Pin<Box<dyn Future<Output = Response<rpc::StreamedBody>> + 'a>> {
        Box::pin(self.0.answer(remote, request))
    }
}

/// Passes on to the leader what only it can answer.
pub(crate) struct ToLeader(pub(crate) peer::Questions);

impl rpc::AskLeader for ToLeader {
    fn renew(&self, leader: MemberId, id: i64) -> rpc::Asked<i64> {
        let questions = self.0.clone();
        Box::pin(async move { questions.renew(leader, id).await.map(Ok) })
    }

    fn time_to_live(
        &self,
        leader: MemberId,
        request: pb::LeaseTimeToLiveRequest,
    ) -> rpc::Asked<pb::LeaseTimeToLiveResponse> {
        let questions = self.0.clone();
        Box::pin(async move { questions.time_to_live(leader, &request).await.map(Ok) })
    }

    fn promote(&self, leader: MemberId, id: u64, token: Option<String>) -> rpc::Asked<Vec<pb::Member>> {
        let questions = self.0.clone();
        Box::pin(async move {
            let answer = questions.promote(leader, id, token.as_deref()).await?;
            Some(answer.map_err(|refusal| match refusal {
                peer::PromoteRefusal::NotFound => Reason::MemberNotFound,
                peer::PromoteRefusal::NotLearner => Reason::MemberNotLearner,
                peer::PromoteRefusal::NotReady => Reason::LearnerNotReady,
            }))
        })
    }
}
