//! Open watches and permissions that change under them. By default a watcher goes on with what it was once let see,
//! as upstream's do; an operator can have it ended by the very entry that takes the permission away: it gets all events
//! before that entry, and none behind it.

use auth::Rejection as AuthRejection;
use proto::etcdserverpb::WatchCreateRequest;
use state::{Rejection, Subject};
use types::KeyRange;

use super::{Core, OpenStream, calls::watch_refusal};
use crate::api::{Error, watch::StreamId};

impl Core {
    /// Ends the watchers whose clients may no longer read what they watch. To be called when an entry has changed users,
    /// roles or permissions, before the next one is applied.
    pub(super) fn end_revoked_watches(&mut self) {
        if !self.config.end_revoked_watches || !self.state.auth().is_enabled() {
            return;
        }
        let revoked: Vec<(StreamId, i64)> = self
            .hub
            .watchers()
            .filter(|(stream, _, range)| !self.may_go_on(*stream, range))
            .map(|(stream, watch_id, _)| (stream, watch_id))
            .collect();
        let reason = watch_refusal(&Error::Rejected(Rejection::Auth(AuthRejection::PermissionDenied)));
        for (stream, watch_id) in revoked {
            self.hub.end_watcher(stream, watch_id, reason);
        }
    }

    /// Judges the user of the stream by the permissions as they are now. That he has to log in again before he asks for
    /// anything else does not end what he watches.
    fn may_go_on(&self, stream: StreamId, range: &KeyRange) -> bool {
        let Some(open) = self.streams.get(&stream) else { return true };
        let subject = Subject { user: open.user(), revision: self.state.auth().revision() };
        let wanted = WatchCreateRequest {
            key: range.key.clone(),
            range_end: range.end.clone(),
            ..WatchCreateRequest::default()
        };
        self.judge(&subject, &wanted).is_ok()
    }
}

impl OpenStream {
    /// Who watches: whoever the last watcher was created for, or, without authentication, whoever the connection says.
    fn user(&self) -> String {
        match (&self.user, self.caller.internal) {
            (Some(user), _) => user.clone(),
            (None, true) => auth::ROOT.to_owned(),
            (None, false) => self.caller.common_name.clone().unwrap_or_default(),
        }
    }
}
