//! A client of etcd's v3 API.
//!
//! A [`Client`] knows several endpoints of one cluster and asks them in turn until one answers: what a server says is
//! the answer, a server that cannot be reached is none. Calls carry the token of the user that logged in, and log in
//! again when it is no longer taken. What only reads, and what may happen twice, is asked again when the connection
//! broke; a write whose outcome is unknown never is.
//!
//! [`Watches`] go on where they were when their stream breaks, [`Session`] keeps a lease alive, [`Mutex`] and
//! [`Election`] are etcd's recipes over both.

mod call;
mod client;
mod connect;
mod election;
mod endpoint;
mod error;
mod interrupt;
mod keepalive;
mod lock;
mod queue;
mod session;
mod settings;
mod stream;
mod watch;
mod watches;

pub use client::Client;
pub use connect::{Tls, fetch, trust_everybody};
pub use election::{Election, Observer};
pub use endpoint::Endpoint;
pub use error::Error;
pub use interrupt::Interrupt;
pub use keepalive::KeepAlive;
pub use lock::Mutex;
pub use session::Session;
pub use settings::Settings;
pub use stream::Replies;
pub use watch::Watch;
pub use watches::{Told, Watches};

/// The end of the range of keys that begin with `prefix`: the next key that does not; all keys behind when there is
/// none, which is a zero byte.
#[must_use]
pub fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    vec![0]
}

#[cfg(test)]
mod tests {
    #[test]
    fn prefixes_end_before_the_next_key() {
        for (prefix, end) in
            [(&b"a"[..], &b"b"[..]), (b"a\xff", b"b"), (b"\xff\xff", b"\0"), (b"", b"\0"), (b"a\0", b"a\x01")]
        {
            assert_eq!(super::prefix_end(prefix), end, "{prefix:?}");
        }
    }
}
