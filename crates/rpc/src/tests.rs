//! The whole crate against a member in memory: a raw HTTP/2 client sends what real and broken clients send.

mod audit;
mod bench;
mod client;
mod counts;
mod fake;
mod floods;
mod flow;
mod gateway;
mod http;
mod keepalive;
mod member;
mod noninterference;
mod peer;
mod recipes;
mod stop;
mod streams;
mod tls;
mod unary;

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use crate::{
    Bound, Config, Keepalive, Limits, Listen, Listener, MetricsPage, Pages, Server, Traffic, Versions, open,
    serve,
};
use client::Client;
use fake::{Fake, Knobs};

/// A server with a fake member behind it.
struct Harness {
    server: Server,
    knobs: Arc<Knobs>,
}

/// Everything that a server is started with; the configuration in front.
struct Setup {
    listen: Listen,
    config: Config,
}

impl Deref for Setup {
    type Target = Config;

    fn deref(&self) -> &Config {
        &self.config
    }
}

impl DerefMut for Setup {
    fn deref_mut(&mut self) -> &mut Config {
        &mut self.config
    }
}

fn config() -> Setup {
    let listeners = vec![Listener::parse("http://127.0.0.1:0", Traffic::All).unwrap()];
    let listen = Listen { listeners, ..Listen::default() };
    Setup { listen, config: defaults() }
}

fn defaults() -> Config {
    Config {
        limits: Limits::default(),
        network_threads: 1,
        keepalive: Keepalive::default(),
        election_timeout: Duration::from_millis(20),
        bcrypt_cost: 4,
        tokens: Arc::default(),
        handling_histogram: true,
        pages: Pages {
            metrics: Arc::new(|_| MetricsPage {
                content_type: "text/plain; version=0.0.4",
                body: "up 1\n".into(),
            }),
            versions: Arc::new(|| Versions {
                server: "3.7.1".into(),
                cluster: Some("3.7.0".into()),
                storage: None,
            }),
            debug_vars: Arc::new(|| vec![("a".into(), "1".into()), ("b".into(), "{}".into())]),
            cors: vec!["*".into()],
            host_whitelist: vec![],
            gateway: true,
            between_members: None,
        },
        notify: Arc::new(|_| {}),
        audit: None,
    }
}

impl Harness {
    fn start(setup: Setup) -> Harness {
        let knobs = Arc::new(Knobs::default());
        let seed = Arc::clone(&knobs);
        let sockets = open(&setup.listen).unwrap();
        let server = serve(setup.config, sockets, move || Fake::new(Arc::clone(&seed))).unwrap();
        Harness { server, knobs }
    }

    fn port(&self, listener: usize) -> u16 {
        match &self.server.addresses()[listener] {
            Bound::Tcp(address) => address.port(),
            Bound::Unix(path) => panic!("{} has no port", path.display()),
        }
    }

    async fn client(&self) -> Client {
        let mut builder = h2::client::Builder::new();
        // Tests that do not read would be told off by their own side.
        builder.data_frame_budget(1 << 30);
        Client::tcp(self.port(0), builder).await
    }
}
