//! Before a member without data starts: who the others are, when no flag names them.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use cluster::InitialCluster;
use config::{Discovery, DiscoveryService, Settings};
use discovery::SystemNames;
use telemetry::line;
use vfs::RealDisk;

/// Fills in the members of a new cluster. With a discovery service this takes until all of them have come.
///
/// # Errors
/// When the members cannot be found, or this one is not among them.
pub(crate) fn find_members(config: &mut node::Config, settings: &Settings) -> Result<()> {
    let discovery = &settings.cluster.discovery;
    if matches!(discovery, Discovery::None) {
        return Ok(());
    }
    if !node::is_new(config, &RealDisk)? {
        line!(Warn, "discovery token is ignored since cluster already initialized; valid logs are found",
            "data-dir" => config.data_dir.display().to_string());
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot prepare for discovery")?;
    match discovery {
        Discovery::None => Ok(()),
        Discovery::Service(service) => runtime.block_on(ask_service(config, service)),
        Discovery::Dns { domain, suffix } => runtime.block_on(ask_dns(config, domain, suffix)),
    }
}

async fn ask_service(config: &mut node::Config, service: &DiscoveryService) -> Result<()> {
    if config.join_existing {
        bail!("discovery URL should not be set when joining existing initial cluster");
    }
    line!(Info, "Bootstrapping cluster using v3 discovery.");
    let named: Vec<String> =
        config.advertise_peer_urls.iter().map(|url| format!("{}={url}", config.name)).collect();
    let own = named.join(",");
    let members = InitialCluster::parse(&own)?.members(&service.token)?;
    let id = members.first().context("this member has no peer URL to be found at")?.id;
    let settings = client_settings(service);
    match discovery::join(&settings, &service.token, id, &own).await {
        Ok(found) => {
            config.initial_cluster = found;
            config.initial_cluster_token = service.token.clone();
            Ok(())
        }
        Err(error) => {
            let error = anyhow::anyhow!("failed to join discovery cluster ({error})");
            line!(Warn, "failed to bootstrap; discovery token was already used",
                "discovery-token" => service.token.clone(),
                "discovery-endpoints" => service.endpoints.join(","), "error" => error.to_string());
            line!(Warn, "do not reuse discovery token; generate a new one to bootstrap a cluster");
            Err(error)
        }
    }
}

fn client_settings(service: &DiscoveryService) -> client::Settings {
    // Zero stands for no ping at all; a timer that never runs does that.
    let keepalive =
        |given: Duration| if given.is_zero() { Duration::from_secs(u64::from(u32::MAX)) } else { given };
    client::Settings {
        endpoints: service.endpoints.clone(),
        secure: !service.insecure || service.cert.is_some() || service.ca.is_some(),
        tls: client::Tls {
            ca: service.ca.clone(),
            cert: service.cert.clone(),
            key: service.key.clone(),
            skip_verify: service.skip_verify,
            server_name: None,
        },
        login: service.login.clone(),
        dial_timeout: service.dial_timeout,
        request_timeout: Some(service.request_timeout),
        keepalive_time: keepalive(service.keepalive_time),
        keepalive_timeout: service.keepalive_timeout,
        ..client::Settings::default()
    }
}

async fn ask_dns(config: &mut node::Config, domain: &str, suffix: &str) -> Result<()> {
    let names = SystemNames::new().context("error setting up initial cluster: the system's resolver")?;
    let found = discovery::from_dns(&names, domain, suffix, &config.name, &config.advertise_peer_urls).await;
    let problems = found.problems.join("\n");
    if !problems.is_empty() {
        line!(Warn, "failed to resolve during SRV discovery", "error" => problems.clone());
    }
    if found.members.is_empty() {
        bail!("error setting up initial cluster: {problems}");
    }
    for member in &found.members {
        line!(Info, "got bootstrap from DNS for etcd-server", "node" => member.clone());
    }
    let cluster = found.members.join(",");
    if InitialCluster::parse(&cluster)
        .context("error setting up initial cluster")?
        .urls_of(&config.name)
        .is_none()
    {
        bail!(
            "error setting up initial cluster: cannot find local etcd member {:?} in SRV records",
            config.name
        );
    }
    config.initial_cluster = cluster;
    Ok(())
}
