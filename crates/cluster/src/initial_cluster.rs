//! `--initial-cluster`: who is to form a cluster (contract/semantics.md 8.9).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use types::MemberId;

use crate::{Member, UrlError, parse_urls};

/// Peer URLs by member name. Invariant: no list is empty, each is sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InitialCluster {
    urls: BTreeMap<String, Vec<String>>,
}

/// Why a member cannot start with this initial cluster. Texts as upstream prints them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InitialClusterError {
    /// The member itself is not in it.
    #[error("couldn't find local name {0:?} in the initial cluster configuration")]
    LocalNameMissing(String),
    /// One peer URL twice; the text shows the whole of it.
    #[error("initial cluster {0} has duplicate url")]
    DuplicateUrl(InitialCluster),
    /// In the initial cluster, but not advertised.
    #[error(
        "--initial-cluster has {missing} but missing from --initial-advertise-peer-urls={advertised} ({reason})"
    )]
    NotAdvertised {
        /// `name=url` of those missing, with commas between.
        missing: String,
        /// What is advertised, with commas between.
        advertised: String,
        /// What the comparison of resolved addresses said.
        reason: String,
    },
    /// Advertised, but not in the initial cluster.
    #[error("--initial-advertise-peer-urls has {missing} but missing from --initial-cluster={cluster}")]
    NotListed {
        /// URLs missing, with commas between.
        missing: String,
        /// What is advertised, as `name=url`, with commas between.
        cluster: InitialCluster,
    },
    /// Two names with the same URLs and token.
    #[error("member exists with identical ID {0}")]
    IdenticalId(MemberId),
    /// The hash came out as raft's "nobody".
    #[error("cannot use 0 as member id")]
    IdZero,
    /// The running cluster has another number of members.
    #[error("member count is unequal")]
    CountUnequal,
    /// No local entry has the peer URLs of a running member.
    #[error("PeerURLs: no match found for existing member ({id}, [{urls}]), last resolver error ({reason})")]
    NoMatch {
        /// The running member.
        id: MemberId,
        /// Its peer URLs, with blanks between.
        urls: String,
        /// What the last comparison of resolved addresses said.
        reason: String,
    },
}

impl InitialCluster {
    /// Reads `name=url,name=url,..`; a name may come several times, empty parts are passed over.
    ///
    /// # Errors
    /// For a text that is no URL of a member.
    pub fn parse(text: &str) -> Result<InitialCluster, UrlError> {
        let mut texts: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (name, url) = part.split_once('=').unwrap_or((part, ""));
            texts.entry(name).or_default().push(url);
        }
        let urls = texts.into_iter().map(|(name, urls)| Ok((name.to_owned(), parse_urls(&urls)?)));
        Ok(InitialCluster { urls: urls.collect::<Result<_, UrlError>>()? })
    }

    /// Peer URLs of a member, sorted.
    pub fn urls_of(&self, name: &str) -> Option<&[String]> {
        self.urls.get(name).map(Vec::as_slice)
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        self.urls.len()
    }

    /// Whether it names nobody.
    pub fn is_empty(&self) -> bool {
        self.urls.is_empty()
    }

    /// What must hold for a member called `name` before it forms or joins this cluster.
    ///
    /// # Errors
    /// `LocalNameMissing` or `DuplicateUrl`.
    pub fn check(&self, name: &str) -> Result<(), InitialClusterError> {
        if self.urls_of(name).is_none() {
            return Err(InitialClusterError::LocalNameMissing(name.to_owned()));
        }
        let mut seen = BTreeSet::new();
        if self.urls.values().flatten().all(|url| seen.insert(url)) {
            Ok(())
        } else {
            Err(InitialClusterError::DuplicateUrl(self.clone()))
        }
    }

    /// Why `advertised` peer URLs differ from those listed for `name`, given that comparing their resolved
    /// addresses failed for `reason`. `None` when the texts are the same set.
    pub fn advertise_mismatch(
        &self,
        name: &str,
        advertised: &[String],
        reason: &str,
    ) -> Option<InitialClusterError> {
        let listed = self.urls_of(name).unwrap_or_default();
        let not_in = |urls: &[String], others: &[String], prefix: &str| {
            let missing: BTreeSet<&String> = urls.iter().filter(|url| !others.contains(url)).collect();
            let texts: Vec<String> = missing.into_iter().map(|url| format!("{prefix}{url}")).collect();
            texts.join(",")
        };
        let mut sorted = advertised.to_vec();
        sorted.sort_unstable();
        let missing = not_in(listed, advertised, &format!("{name}="));
        if !missing.is_empty() {
            let advertised = sorted.join(",");
            return Some(InitialClusterError::NotAdvertised {
                missing,
                advertised,
                reason: reason.to_owned(),
            });
        }
        let missing = not_in(advertised, listed, "");
        let cluster = InitialCluster { urls: BTreeMap::from([(name.to_owned(), sorted)]) };
        (!missing.is_empty()).then_some(InitialClusterError::NotListed { missing, cluster })
    }

    /// The members it stands for, with the ids of a bootstrap under `token`; by name.
    ///
    /// # Errors
    /// When two get the same id, or one gets 0.
    pub fn members(&self, token: &str) -> Result<Vec<Member>, InitialClusterError> {
        let mut ids = BTreeSet::new();
        let member = |(name, urls): (&String, &Vec<String>)| {
            let member = Member::new(name, urls, token, None);
            if !ids.insert(member.id) {
                return Err(InitialClusterError::IdenticalId(member.id));
            }
            if member.id == MemberId(0) { Err(InitialClusterError::IdZero) } else { Ok(member) }
        };
        self.urls.iter().map(member).collect()
    }
}

impl fmt::Display for InitialCluster {
    /// `name=url` pairs in byte order, with commas between.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs =
            self.urls.iter().flat_map(|(name, urls)| urls.iter().map(move |url| format!("{name}={url}")));
        let mut pairs: Vec<String> = pairs.collect();
        pairs.sort_unstable();
        f.write_str(&pairs.join(","))
    }
}

/// Gives the local list of a member that joins the ids of the running cluster, by peer URLs. `same` tells
/// whether two lists of URLs lead to the same addresses, or why not.
///
/// # Errors
/// `CountUnequal` or `NoMatch`.
pub fn assign_ids(
    running: &[Member],
    local: Vec<Member>,
    mut same: impl FnMut(&[String], &[String]) -> Result<(), String>,
) -> Result<Vec<Member>, InitialClusterError> {
    if running.len() != local.len() {
        return Err(InitialClusterError::CountUnequal);
    }
    let mut assigned = local;
    for member in running {
        let mut reason = String::new();
        let found = assigned.iter_mut().find(|candidate| {
            same(&member.peer_urls, &candidate.peer_urls).map_err(|error| reason = error).is_ok()
        });
        match found {
            Some(candidate) => candidate.id = member.id,
            None => {
                let urls = member.peer_urls.join(" ");
                return Err(InitialClusterError::NoMatch { id: member.id, urls, reason });
            }
        }
    }
    assigned.sort_by_key(|member| member.id);
    Ok(assigned)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded from etcd 3.7.1's types.NewURLsMap.
    #[test]
    fn parses_and_prints_as_upstream() {
        for (text, printed) in [
            ("", ""),
            ("a=http://a:1,", "a=http://a:1"),
            (",a=http://a:1,,", "a=http://a:1"),
            ("=http://a:1", "=http://a:1"),
            ("b=http://b:2,a=http://z:1,b=http://a:1", "a=http://z:1,b=http://a:1,b=http://b:2"),
        ] {
            assert_eq!(InitialCluster::parse(text).unwrap().to_string(), printed, "{text:?}");
        }
        for text in ["a", "a=", "a=http://a:1,b"] {
            assert_eq!(InitialCluster::parse(text), Err(UrlError::Scheme(String::new())), "{text:?}");
        }
    }

    #[test]
    fn checks_name_and_duplicates() {
        let cluster = InitialCluster::parse("b=http://b:1,a=http://a:1,b=http://a:1").unwrap();
        assert_eq!(
            cluster.check("x").unwrap_err().to_string(),
            "couldn't find local name \"x\" in the initial cluster configuration"
        );
        assert_eq!(
            cluster.check("a").unwrap_err().to_string(),
            "initial cluster a=http://a:1,b=http://a:1,b=http://b:1 has duplicate url"
        );
        assert_eq!(InitialCluster::parse("a=http://a:1,b=http://b:1").unwrap().check("a"), Ok(()));
        let twins = InitialCluster::parse("a=http://a:1,b=http://a:1").unwrap();
        assert!(matches!(twins.members("t"), Err(InitialClusterError::IdenticalId(_))));
    }

    #[test]
    fn advertised_urls_must_be_listed() {
        let cluster = InitialCluster::parse("a=http://a:1,a=http://a:2").unwrap();
        let mismatch = |urls: &[&str]| {
            let urls: Vec<String> = urls.iter().map(|&url| url.to_owned()).collect();
            cluster.advertise_mismatch("a", &urls, "why").map(|error| error.to_string())
        };
        assert_eq!(mismatch(&["http://a:2", "http://a:1"]), None);
        assert_eq!(
            mismatch(&["http://b:1", "http://a:1"]).unwrap(),
            "--initial-cluster has a=http://a:2 but missing from \
             --initial-advertise-peer-urls=http://a:1,http://b:1 (why)"
        );
        assert_eq!(
            mismatch(&["http://b:1", "http://a:1", "http://a:2"]).unwrap(),
            "--initial-advertise-peer-urls has http://b:1 but missing from \
             --initial-cluster=a=http://a:1,a=http://a:2,a=http://b:1"
        );
    }

    #[test]
    fn joining_takes_over_ids_by_urls() {
        let same = |a: &[String], b: &[String]| if a == b { Ok(()) } else { Err("differ".to_owned()) };
        let local = InitialCluster::parse("a=http://a:1,b=http://b:1").unwrap().members("t").unwrap();
        let running: Vec<Member> = [(7, "http://b:1"), (8, "http://a:1")]
            .map(|(id, url)| Member {
                id: MemberId(id),
                peer_urls: vec![url.to_owned()],
                ..Member::default()
            })
            .into();
        let assigned = assign_ids(&running, local.clone(), same).unwrap();
        let pairs: Vec<_> = assigned.iter().map(|member| (member.id.0, member.name.as_str())).collect();
        assert_eq!(pairs, [(7, "b"), (8, "a")]);

        let fewer = assign_ids(&running[..1], local.clone(), same).unwrap_err();
        assert_eq!(fewer.to_string(), "member count is unequal");
        let mut other = running;
        other[1].peer_urls = vec!["http://c:1".to_owned()];
        assert_eq!(
            assign_ids(&other, local, same).unwrap_err().to_string(),
            "PeerURLs: no match found for existing member (8, [http://c:1]), last resolver error (differ)"
        );
    }
}
