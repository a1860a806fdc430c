//! gRPC over h2, HTTP/1.1 endpoints, TLS: speaks to clients.
