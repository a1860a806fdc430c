//! Whether another member can be reached.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use telemetry::{line, metrics};

/// Since when messages to a member go through.
#[derive(Debug)]
pub(crate) struct Status {
    local: String,
    remote: String,
    since: Mutex<Option<Instant>>,
    /// Of its server, as it last said.
    version: Mutex<Option<String>>,
}

impl Status {
    pub(crate) fn new(local: impl fmt::Display, remote: impl fmt::Display) -> Status {
        Status {
            local: local.to_string(),
            remote: remote.to_string(),
            since: Mutex::new(None),
            version: Mutex::default(),
        }
    }

    fn since(&self) -> MutexGuard<'_, Option<Instant>> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn active_since(&self) -> Option<Instant> {
        *self.since()
    }

    /// The version of its server; `None` while it does not answer.
    pub(crate) fn version(&self) -> Option<String> {
        self.version.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_version(&self, version: Option<String>) {
        *self.version.lock().unwrap_or_else(PoisonError::into_inner) = version;
    }

    /// Something got through.
    pub(crate) fn activate(&self) {
        let mut since = self.since();
        if since.is_none() {
            line!(Info, "peer became active", "peer-id" => self.remote.clone());
            *since = Some(Instant::now());
            metrics().network_active_peers.with(&[&self.local, &self.remote]).add(1);
        }
    }

    /// `action` on `what` failed.
    pub(crate) fn deactivate(&self, action: &str, what: &str, reason: &dyn fmt::Display) {
        let error = || format!("failed to {action} {} on {what} ({reason})", self.remote);
        let mut since = self.since();
        if since.take().is_none() {
            return line!(Debug, "peer deactivated again", "peer-id" => self.remote.clone(), "error" => error());
        }
        line!(Warn, "peer became inactive (message send to peer failed)",
            "peer-id" => self.remote.clone(), "error" => error());
        self.count_lost();
        metrics().network_disconnected_peers_total.with(&[&self.local, &self.remote]).inc();
    }

    fn count_lost(&self) {
        metrics().network_active_peers.with(&[&self.local, &self.remote]).add(-1);
    }
}

impl Drop for Status {
    fn drop(&mut self) {
        if self.since().is_some() {
            self.count_lost();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_counts_once() {
        let status = Status::new("a1", "b2");
        let gauge = metrics().network_active_peers.with(&["a1", "b2"]);
        let lost = metrics().network_disconnected_peers_total.with(&["a1", "b2"]);
        status.activate();
        let since = status.active_since().unwrap();
        status.activate();
        assert_eq!((status.active_since(), gauge.value()), (Some(since), 1));
        status.deactivate("dial", "stream Message", &"no");
        status.deactivate("dial", "stream Message", &"no");
        assert_eq!((status.active_since(), gauge.value(), lost.value()), (None, 0, 1));
        status.activate();
        drop(status);
        assert_eq!((gauge.value(), lost.value()), (0, 1));
    }
}
