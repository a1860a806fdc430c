//! Who asks: from a token or a certificate to the user that permissions are judged by (contract/semantics.md 7.6).
//!
//! A simple token carries the log index that made it. Whoever brings it to a member that has not come so far waits
//! there: the member does not know yet whether there is such a token.

use state::{Guarded, Rejection, Subject};
use types::Moment;

use super::{Core, outbox::ReplyTo, tokens::index_of};
use crate::{
    api::{Caller, Error, call::Request, watch::StreamId},
    config::TokenKind,
};

/// Callers that may wait for their token at once. Anybody can invent one that comes only in a thousand years.
const WAITING_MAX: usize = 4096;

/// What is known of a caller.
pub(super) enum Identity {
    /// Who it is; nobody without credentials, or while authentication is off.
    Known(Subject),
    /// Its token is made by the entry with this index, if at all.
    Later(u64),
}

/// A call or a stream whose token this member cannot know yet.
#[derive(Debug)]
pub(crate) struct TokenWait {
    index: u64,
    deadline: Moment,
    who: Waiting,
}

#[derive(Debug)]
enum Waiting {
    Call(Box<(ReplyTo, Caller, Request)>),
    /// It holds its requests itself.
    Watch(StreamId),
}

impl TokenWait {
    /// Who wants an answer, if it is a call.
    pub(super) fn reply_to(self) -> Option<ReplyTo> {
        match self.who {
            Waiting::Call(call) => Some(call.0),
            Waiting::Watch(_) => None,
        }
    }
}

impl Core {
    /// Who a caller is, by the state as it is now.
    ///
    /// # Errors
    /// `InvalidToken`.
    pub(super) fn identify(&mut self, caller: &Caller) -> Result<Identity, Error> {
        let auth = self.state.auth();
        if !auth.is_enabled() {
            return Ok(Identity::Known(Subject::default()));
        }
        let revision = auth.revision();
        let known = |user: &str| Ok(Identity::Known(Subject { user: user.to_owned(), revision }));
        if caller.internal {
            return known(auth::ROOT);
        }
        let Some(token) = &caller.token else {
            return match &caller.common_name {
                Some(name) => known(name),
                None => Ok(Identity::Known(Subject::default())),
            };
        };
        match self.config.tokens {
            TokenKind::Simple { .. } => {
                let index = index_of(token).ok_or(Error::InvalidToken)?;
                if index > self.state.applied() {
                    return Ok(Identity::Later(index));
                }
                known(self.tokens.user_of(token, self.now).ok_or(Error::InvalidToken)?)
            }
            TokenKind::Signed => match &caller.claims {
                Some(claims) if claims.are_good_at(self.clock.unix_ms()) => {
                    Ok(Identity::Known(claims.subject.clone()))
                }
                Some(_) | None => Err(Error::InvalidToken),
            },
            TokenKind::None => Err(Error::InvalidToken),
        }
    }

    /// Judges a request by the permissions as they are now.
    ///
    /// # Errors
    /// The first thing that is not granted.
    pub(super) fn judge<T: Guarded>(&self, subject: &Subject, request: &T) -> Result<(), Error> {
        match self.state.authorize(subject, request) {
            Ok(_) => Ok(()),
            Err(rejection) => Err(Rejection::Auth(rejection).into()),
        }
    }

    /// As [`Core::judge`], for a read that is executed now: credentials of a revision that this member has not
    /// come to yet do not count either (upstream: v3_server.go, doSerialize).
    pub(super) fn judge_read<T: Guarded>(&self, subject: &Subject, request: &T) -> Result<(), Error> {
        self.judge(subject, request)?;
        let auth = self.state.auth();
        if auth.is_enabled() && subject.revision != 0 && subject.revision != auth.revision() {
            return Err(Rejection::Auth(auth::Rejection::OldRevision).into());
        }
        Ok(())
    }

    /// Lets a call wait for its token.
    pub(super) fn wait_for_token(&mut self, index: u64, reply_to: ReplyTo, caller: Caller, request: Request) {
        if self.token_waits.len() >= WAITING_MAX {
            return self.outbox.reply(reply_to, Err(Error::InvalidToken));
        }
        self.push_token_wait(index, Waiting::Call(Box::new((reply_to, caller, request))));
    }

    /// Lets a watch stream wait for its token; `false` when too many wait.
    pub(super) fn watch_waits_for_token(&mut self, index: u64, stream: StreamId) -> bool {
        let room = self.token_waits.len() < WAITING_MAX;
        if room {
            self.push_token_wait(index, Waiting::Watch(stream));
        }
        room
    }

    fn push_token_wait(&mut self, index: u64, who: Waiting) {
        // A member that is further behind serves nothing else in time either.
        let deadline = self.now + self.config.request_timeout();
        self.token_waits.push(TokenWait { index, deadline, who });
    }

    /// Goes on with those whose token this member must know by now.
    pub(super) fn run_token_waits(&mut self) {
        if self.token_waits.is_empty() {
            return;
        }
        let applied = self.state.applied();
        let due: Vec<_> = self.token_waits.extract_if(.., |waiting| waiting.index <= applied).collect();
        for TokenWait { who, .. } in due {
            match who {
                Waiting::Call(call) => {
                    let (reply_to, caller, request) = *call;
                    self.call(reply_to, caller, request);
                }
                Waiting::Watch(stream) => self.resume_watch(stream, false),
            }
        }
    }

    /// Refuses those whose token does not come.
    pub(super) fn expire_token_waits(&mut self) {
        let now = self.now;
        let late: Vec<_> = self.token_waits.extract_if(.., |waiting| waiting.deadline <= now).collect();
        for TokenWait { who, .. } in late {
            match who {
                Waiting::Call(call) => self.outbox.reply(call.0, Err(Error::InvalidToken)),
                Waiting::Watch(stream) => self.resume_watch(stream, true),
            }
        }
    }
}
