//! SRV records that name the members.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use hickory_resolver::{TokioResolver, proto::rr::RData};
use telemetry::line;

/// Where names lead.
#[allow(async_fn_in_trait, reason = "awaited where it is called")]
pub trait Names {
    /// Targets and ports of the SRV records of a name.
    ///
    /// # Errors
    /// When there are none, or nobody can be asked.
    async fn services(&self, name: &str) -> io::Result<Vec<(String, u16)>>;

    /// The first address of a host.
    ///
    /// # Errors
    /// As above.
    async fn address(&self, host: &str) -> io::Result<IpAddr>;
}

/// The system's resolver.
pub struct SystemNames(TokioResolver);

impl SystemNames {
    /// As the system is configured.
    ///
    /// # Errors
    /// When that cannot be read.
    pub fn new() -> io::Result<SystemNames> {
        let builder = TokioResolver::builder_tokio().map_err(io::Error::other)?;
        Ok(SystemNames(builder.build().map_err(io::Error::other)?))
    }
}

impl Names for SystemNames {
    async fn services(&self, name: &str) -> io::Result<Vec<(String, u16)>> {
        let found = self.0.srv_lookup(name).await.map_err(io::Error::other)?;
        let mut records: Vec<_> = found
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::SRV(srv) => Some((srv.priority, srv.weight, srv.target.to_utf8(), srv.port)),
                _ => None,
            })
            .collect();
        records.sort_unstable();
        Ok(records.into_iter().map(|(.., target, port)| (target, port)).collect())
    }

    async fn address(&self, host: &str) -> io::Result<IpAddr> {
        let none = || io::Error::new(io::ErrorKind::NotFound, format!("no address of {host}"));
        self.0.lookup_ip(host).await.map_err(io::Error::other)?.iter().next().ok_or_else(none)
    }
}

/// What DNS says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// `name=url`, the local member under its name, all others under numbers.
    pub members: Vec<String>,
    /// What went wrong on the way; it counts only when there are no members.
    pub problems: Vec<String>,
}

/// Asks for `_etcd-server-ssl[-SUFFIX]._tcp.DOMAIN` and `_etcd-server[-SUFFIX]._tcp.DOMAIN`. The member whose address is
/// one of `own` (its advertised peer URLs) is the local one.
pub async fn from_dns(names: &impl Names, domain: &str, suffix: &str, name: &str, own: &[String]) -> Found {
    let mut found = Found::default();
    for (scheme, service) in [("https", "etcd-server-ssl"), ("http", "etcd-server")] {
        let service = if suffix.is_empty() { service.to_owned() } else { format!("{service}-{suffix}") };
        let asked = one_service(names, scheme, &service, domain, name, own).await;
        let (members, problem) = match asked {
            Ok(members) => (members, None),
            Err(error) => {
                (Vec::new(), Some(format!("error querying DNS SRV records for _{service} {error}")))
            }
        };
        let what = match scheme {
            "https" => "get cluster for etcd-server-ssl SRV",
            _ => "get cluster for etcd-server SRV",
        };
        line!(Info, what,
            "service-scheme" => scheme, "service-name" => service, "server-name" => name.to_owned(),
            "discovery-srv" => domain.to_owned(), "advertise-peer-urls" => own.join(","),
            "found-cluster" => members.join(","), "error" => problem.clone().unwrap_or_default());
        found.members.extend(members);
        found.problems.extend(problem);
    }
    found
}

/// Numbers begin anew for each service, as upstream's do.
async fn one_service(
    names: &impl Names,
    scheme: &str,
    service: &str,
    domain: &str,
    name: &str,
    own: &[String],
) -> io::Result<Vec<String>> {
    let mut mine: Vec<(SocketAddr, &str)> = Vec::new();
    for url in own {
        let (scheme, authority) = url.split_once("://").unwrap_or(("", url));
        mine.push((resolve(names, authority).await?, scheme));
    }
    let (mut members, mut unnamed, mut problem) = (Vec::new(), 0, None);
    for (target, port) in names.services(&format!("_{service}._tcp.{domain}")).await? {
        let address = match resolve(names, &format!("{target}:{port}")).await {
            Ok(address) => address,
            Err(error) => {
                problem = Some(error);
                continue;
            }
        };
        let host = target.strip_suffix('.').unwrap_or(&target);
        match mine.iter().find(|(own, _)| *own == address) {
            Some((_, advertised)) if *advertised != scheme => {
                problem = Some(io::Error::other(format!(
                    "bootstrap at {scheme}://{host}:{port} from DNS for {service} has scheme mismatch with expected peer {advertised}://{address}"
                )));
            }
            Some(_) => members.push(format!("{name}={scheme}://{host}:{port}")),
            None => {
                members.push(format!("{unnamed}={scheme}://{host}:{port}"));
                unnamed += 1;
            }
        }
    }
    match problem {
        Some(problem) if members.is_empty() => Err(problem),
        _ => Ok(members),
    }
}

async fn resolve(names: &impl Names, authority: &str) -> io::Result<SocketAddr> {
    let wrong = || io::Error::new(io::ErrorKind::InvalidInput, format!("{authority}: not HOST:PORT"));
    let (host, port) = authority.rsplit_once(':').ok_or_else(wrong)?;
    let port: u16 = port.parse().map_err(|_| wrong())?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let address = match bare.parse() {
        Ok(address) => address,
        Err(_) => names.address(bare).await?,
    };
    Ok(SocketAddr::new(address, port))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Default)]
    struct Zone {
        services: BTreeMap<&'static str, Vec<(&'static str, u16)>>,
        hosts: BTreeMap<&'static str, [u8; 4]>,
    }

    impl Names for Zone {
        async fn services(&self, name: &str) -> io::Result<Vec<(String, u16)>> {
            let found = self.services.get(name).ok_or(io::ErrorKind::NotFound)?;
            Ok(found.iter().map(|(target, port)| ((*target).to_owned(), *port)).collect())
        }

        async fn address(&self, host: &str) -> io::Result<IpAddr> {
            let found = self.hosts.get(host).copied().ok_or(io::ErrorKind::NotFound)?;
            Ok(IpAddr::from(found))
        }
    }

    fn zone() -> Zone {
        Zone {
            services: BTreeMap::from([
                (
                    "_etcd-server._tcp.example.com",
                    vec![("a.example.com.", 2380), ("b.example.com.", 2380), ("gone.", 1)],
                ),
                ("_etcd-server-ssl-x._tcp.example.com", vec![("a.example.com.", 2380)]),
            ]),
            hosts: BTreeMap::from([("a.example.com.", [10, 0, 0, 1]), ("b.example.com.", [10, 0, 0, 2])]),
        }
    }

    fn ask(suffix: &str, own: &str) -> Found {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(from_dns(&zone(), "example.com", suffix, "me", &[own.to_owned()]))
    }

    #[test]
    fn the_local_member_is_found_by_its_address() {
        let found = ask("", "http://10.0.0.2:2380");
        assert_eq!(found.members, ["0=http://a.example.com:2380", "me=http://b.example.com:2380"]);
        assert_eq!(found.problems.len(), 1, "nothing is said of TLS: {:?}", found.problems);
    }

    /// A name server that knows `_etcd-server._tcp.example.com` and that every host is 127.0.0.1; it answers `queries`
    /// times.
    fn serve(socket: std::net::UdpSocket, queries: usize) {
        for _ in 0..queries {
            let mut query = [0; 512];
            let Ok((len, from)) = socket.recv_from(&mut query) else { return };
            // The question follows the header of 12 bytes: labels, a zero, type and class.
            let end = 12 + query[12..len].iter().position(|byte| *byte == 0).expect("a name ends") + 5;
            let kind = u16::from_be_bytes([query[end - 4], query[end - 3]]);
            let records: Vec<Vec<u8>> = match kind {
                1 => vec![vec![127, 0, 0, 1]],
                33 => vec![srv(20, 2381, b"b"), srv(10, 2380, b"a")],
                _ => Vec::new(),
            };
            let mut reply = query[..2].to_vec();
            reply.extend([0x81, 0x80, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
            reply.extend(&query[12..end]);
            for data in records {
                reply.extend([0xc0, 12]);
                reply.extend(kind.to_be_bytes());
                reply.extend([0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
                reply.extend(data);
            }
            socket.send_to(&reply, from).expect("a reply");
        }
    }

    fn srv(priority: u16, port: u16, host: &[u8; 1]) -> Vec<u8> {
        let mut data = [priority.to_be_bytes(), 0_u16.to_be_bytes(), port.to_be_bytes()].concat();
        data.extend([1, host[0], 4]);
        data.extend(b"test");
        data.push(0);
        data
    }

    #[test]
    fn real_queries_are_asked_and_answers_understood() {
        use hickory_resolver::{
            config::{ConnectionConfig, NameServerConfig, ResolverConfig},
            net::runtime::TokioRuntimeProvider,
        };
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_read_timeout(Some(std::time::Duration::from_secs(20))).expect("a socket has a timeout");
        let at = socket.local_addr().expect("an address");
        let server = std::thread::spawn(move || serve(socket, 1));
        let mut connection = ConnectionConfig::udp();
        connection.port = at.port();
        let name_server = NameServerConfig::new(at.ip(), true, vec![connection]);
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![name_server]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let found = runtime.block_on(async {
            let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
            let names = SystemNames(builder.build().expect("a resolver"));
            names.services("_etcd-server._tcp.example.com").await
        });
        server.join().expect("the server ends");
        assert_eq!(found.expect("an answer"), [("a.test.".to_owned(), 2380), ("b.test.".to_owned(), 2381)]);
    }

    #[test]
    fn the_suffix_and_the_scheme_count() {
        let found = ask("x", "http://10.0.0.1:2380");
        assert_eq!(found.members, Vec::<String>::new());
        assert!(found.problems[0].contains("scheme mismatch"), "{:?}", found.problems);
        assert_eq!(ask("x", "https://10.0.0.1:2380").members, ["me=https://a.example.com:2380"]);
        assert_eq!(ask("y", "https://10.0.0.1:2380").members, Vec::<String>::new());
    }
}
