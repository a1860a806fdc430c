//! The binary: a member of an etcd cluster.
