//! The membership as a JSON v2 store: what etcd 3.7 and older expect in `.snap` files and raft snapshots
//! (contract/semantics.md 14.25). 3.6 takes the membership from it and panics when it is out of step.

use std::collections::BTreeMap;

use types::go_json::Object;

use crate::Cluster;

/// Slots of the store's event history; readers index into them, so they must be there, empty or not.
const HISTORY_SLOTS: usize = 1000;
/// Version of the v2 store's own format.
const STORE_VERSION: u64 = 2;
/// Zero time in Go: the node never expires.
const PERMANENT: &str = "0001-01-01T00:00:00Z";
/// Counters of the store, all of which start again at 0 with every snapshot.
const STATS: [&str; 16] = [
    "getsSuccess",
    "getsFail",
    "setsSuccess",
    "setsFail",
    "deleteSuccess",
    "deleteFail",
    "updateSuccess",
    "updateFail",
    "createSuccess",
    "createFail",
    "compareAndSwapSuccess",
    "compareAndSwapFail",
    "compareAndDeleteSuccess",
    "compareAndDeleteFail",
    "expireCount",
    "watchers",
];

impl Cluster {
    /// The v2 tree of this membership.
    pub fn v2_snapshot(&self) -> String {
        let mut store = Store::default();
        for member in self.members.values() {
            let path = |leaf: &str| format!("0/members/{}/{leaf}", member.id);
            store.put(&path("raftAttributes"), member.raft_attributes_json());
            if !member.client_urls.is_empty() {
                store.put(&path("attributes"), member.attributes_json());
            }
        }
        for id in &self.removed {
            store.put(&format!("0/removed_members/{id}"), String::new());
        }
        if let Some(version) = self.version {
            store.put("0/version", version.to_string());
        }
        store.to_json()
    }
}

/// A v2 store that is only ever added to.
struct Store {
    root: Node,
    /// Number of puts so far; each node carries the number of the one that made it.
    index: u64,
}

#[derive(Default)]
struct Node {
    created: u64,
    /// A file has a value, a directory children.
    kind: Kind,
}

enum Kind {
    File(String),
    Dir(BTreeMap<String, Node>),
}

impl Default for Kind {
    fn default() -> Kind {
        Kind::Dir(BTreeMap::new())
    }
}

impl Default for Store {
    /// The two directories that every store has.
    fn default() -> Store {
        let children = ["0", "1"].map(|name| (name.to_owned(), Node::default()));
        Store { root: Node { created: 0, kind: Kind::Dir(children.into()) }, index: 0 }
    }
}

impl Store {
    fn put(&mut self, path: &str, value: String) {
        self.index += 1;
        let mut node = &mut self.root;
        for name in path.split('/') {
            let Kind::Dir(children) = &mut node.kind else { unreachable!("no path leads through a file") };
            node = children
                .entry(name.to_owned())
                .or_insert_with(|| Node { created: self.index, kind: Kind::default() });
        }
        node.kind = Kind::File(value);
    }

    fn to_json(&self) -> String {
        let slots = vec!["null"; HISTORY_SLOTS].join(",");
        let queue = Object::new()
            .raw("Events", &format!("[{slots}]"))
            .number("Size", 0)
            .number("Front", 0)
            .number("Back", 0)
            .number("Capacity", HISTORY_SLOTS as u64)
            .finish();
        let history =
            Object::new().raw("Queue", &queue).number("StartIndex", 0).number("LastIndex", 0).finish();
        let stats = STATS.iter().fold(Object::new(), |object, name| object.number(name, 0)).finish();
        Object::new()
            .raw("Root", &self.root.to_json("/"))
            .raw("WatcherHub", &Object::new().raw("EventHistory", &history).finish())
            .number("CurrentIndex", self.index)
            .raw("Stats", &stats)
            .number("CurrentVersion", STORE_VERSION)
            .finish()
    }
}

impl Node {
    fn to_json(&self, path: &str) -> String {
        let (value, children) = match &self.kind {
            Kind::File(value) => (value.as_str(), "null".to_owned()),
            Kind::Dir(children) => ("", children_json(path, children)),
        };
        Object::new()
            .string("Path", path)
            .number("CreatedIndex", self.created)
            .number("ModifiedIndex", self.created)
            .string("ExpireTime", PERMANENT)
            .string("Value", value)
            .raw("Children", &children)
            .finish()
    }
}

fn children_json(path: &str, children: &BTreeMap<String, Node>) -> String {
    let prefix = path.trim_end_matches('/');
    let add = |object: Object, (name, node): (&String, &Node)| {
        object.raw(name, &node.to_json(&format!("{prefix}/{name}")))
    };
    children.iter().fold(Object::new(), add).finish()
}

#[cfg(test)]
mod tests {
    use types::MemberId;

    use super::*;
    use crate::{Member, Version};

    /// Recorded from etcd 3.7.1, but for event history and counters, which we leave empty.
    #[test]
    fn tree_is_upstreams() {
        let mut cluster = Cluster::new(1);
        let member = Member {
            id: MemberId(0x10),
            peer_urls: vec!["http://a:1".into()],
            name: "n1".into(),
            client_urls: vec!["http://c:1".into()],
            is_learner: false,
        };
        cluster.members.insert(member.id, member);
        let dir = |path: &str, index: u64, children: &str| {
            format!(
                r#"{{"Path":"{path}","CreatedIndex":{index},"ModifiedIndex":{index},"ExpireTime":"0001-01-01T00:00:00Z","Value":"","Children":{{{children}}}}}"#
            )
        };
        let attributes = concat!(
            r#""attributes":{"Path":"/0/members/10/attributes","CreatedIndex":2,"ModifiedIndex":2,"#,
            r#""ExpireTime":"0001-01-01T00:00:00Z","#,
            r#""Value":"{\"name\":\"n1\",\"clientURLs\":[\"http://c:1\"]}","Children":null},"#,
            r#""raftAttributes":{"Path":"/0/members/10/raftAttributes","CreatedIndex":1,"ModifiedIndex":1,"#,
            r#""ExpireTime":"0001-01-01T00:00:00Z","Value":"{\"peerURLs\":[\"http://a:1\"]}","Children":null}"#
        );
        let member = dir("/0/members/10", 1, attributes);
        let members = dir("/0/members", 1, &format!("\"10\":{member}"));
        let zero = dir("/0", 0, &format!("\"members\":{members}"));
        let one = dir("/1", 0, "");
        let root = dir("/", 0, &format!("\"0\":{zero},\"1\":{one}"));
        let json = cluster.v2_snapshot();
        assert!(json.starts_with(&format!("{{\"Root\":{root},\"WatcherHub\":")), "{json}");
        assert!(json.ends_with(r#""expireCount":0,"watchers":0},"CurrentVersion":2}"#));
    }

    #[test]
    fn parses_and_has_every_part() {
        let mut cluster = Cluster::new(1);
        for (id, is_learner) in [(1, false), (0xfeed, true)] {
            let member = Member {
                id: MemberId(id),
                peer_urls: vec![format!("http://{id}:1")],
                is_learner,
                ..Member::default()
            };
            cluster.members.insert(member.id, member);
        }
        cluster.removed.insert(MemberId(0xdead));
        cluster.version = Some(Version::new(3, 7, 0));
        let json: serde_json::Value = serde_json::from_str(&cluster.v2_snapshot()).unwrap();
        let tree = &json["Root"]["Children"]["0"]["Children"];
        let learner = &tree["members"]["Children"]["feed"]["Children"];
        assert_eq!(learner["raftAttributes"]["Value"], r#"{"peerURLs":["http://65261:1"],"isLearner":true}"#);
        assert!(learner.get("attributes").is_none());
        assert_eq!(tree["removed_members"]["Children"]["dead"]["Value"], "");
        assert_eq!(tree["removed_members"]["Children"]["dead"]["Path"], "/0/removed_members/dead");
        assert_eq!(tree["version"]["Value"], "3.7.0");
        assert_eq!(json["CurrentIndex"], 4);
        let queue = &json["WatcherHub"]["EventHistory"]["Queue"];
        assert_eq!(queue["Events"].as_array().unwrap().len(), 1000);
        assert_eq!(queue["Capacity"], 1000);
        assert_eq!(json["Stats"].as_object().unwrap().len(), 16);
    }
}
