//! Metrics with etcd's names and zap-shaped JSON logs.
