//! What is remembered of a call for its line.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    sync::Arc,
    time::{Instant, SystemTime},
};

use prost::{Message, encoding::decode_varint};
use proto::{
    etcdserverpb::{ResponseHeader, WatchResponse},
    json::{Style, quote},
    outline::Outline,
};
use telemetry::log::timestamp;

use super::AuditLog;
use crate::{
    member::{Caller, Member},
    method::{Kind, Method},
    status::Code,
};

/// What is shown of requests: no value, no password, no token, and nothing that is not named here.
const FIELDS: &[&str] = &[
    "key",
    "range_end",
    "revision",
    "limit",
    "serializable",
    "count_only",
    "keys_only",
    "prev_kv",
    "lease",
    "ignore_value",
    "ignore_lease",
    "compare",
    "result",
    "target",
    "success",
    "failure",
    "request_range",
    "request_put",
    "request_delete_range",
    "request_txn",
    "physical",
    "create_request",
    "start_revision",
    "watch_id",
    "ID",
    "TTL",
    "keys",
    "peerURLs",
    "isLearner",
    "linearizable",
    "action",
    "memberID",
    "alarm",
    "targetID",
    "version",
    "name",
    "user",
    "role",
    "options",
    "no_password",
    "perm",
    "permType",
    "leader",
    "rev",
];
/// Of a request in a line; bytes.
const REQUEST_BYTES_MAX: usize = 2 << 10;
/// Of other texts in a line that somebody else chose; bytes.
const TEXT_BYTES_MAX: usize = 512;
/// Creations of watchers that may wait for their answers; the stream allows fewer.
const CREATES_MAX: usize = 1024;
/// Key of `ResponseHeader` in every reply.
const KEY_HEADER: u8 = 0x0a;
/// Keys of the members of the union in a `WatchRequest`.
const KEY_CREATE: u8 = 0x0a;

/// The trail of one call.
pub(crate) struct Trail {
    log: Arc<AuditLog>,
    method: Method,
    remote: String,
    /// It came through the JSON gateway.
    gateway: bool,
    began: Instant,
    token: Option<String>,
    /// From a signed token.
    claimed: Option<String>,
    common_name: Option<String>,
    /// The first message.
    request: RefCell<Option<String>>,
    messages: Cell<u64>,
    revision: Cell<i64>,
    /// Of a watch stream: watchers whose creation was not answered yet, oldest first.
    creates: RefCell<VecDeque<String>>,
}

impl Trail {
    /// Of a call that begins; `None` for those about nobody's data.
    pub(crate) fn new(
        log: &Arc<AuditLog>,
        method: Method,
        caller: &Caller,
        remote: &str,
        gateway: bool,
    ) -> Option<Box<Trail>> {
        if matches!(method, Method::HealthCheck | Method::HealthWatch | Method::HealthList) {
            return None;
        }
        Some(Box::new(Trail {
            log: Arc::clone(log),
            method,
            remote: remote.to_owned(),
            gateway,
            began: Instant::now(),
            token: caller.token.clone(),
            claimed: caller.claims.as_ref().map(|claims| claims.subject.user.clone()),
            common_name: caller.common_name.clone(),
            request: RefCell::default(),
            messages: Cell::default(),
            revision: Cell::default(),
            creates: RefCell::default(),
        }))
    }

    /// A message of the client, of that type.
    pub(crate) fn asked(&self, name: &str, message: &[u8]) {
        self.messages.set(self.messages.get() + 1);
        if self.method == Method::Watch {
            let mut creates = self.creates.borrow_mut();
            if message.first() == Some(&KEY_CREATE) && creates.len() < CREATES_MAX {
                creates.push_back(self.outline(name, message));
            }
            return;
        }
        let mut request = self.request.borrow_mut();
        if request.is_none() {
            *request = Some(self.outline(name, message));
        }
    }

    fn outline(&self, name: &str, message: &[u8]) -> String {
        let show = |key: &[u8], out: &mut Vec<u8>| self.log.show_key(clip(key), out);
        let outline = Outline { fields: FIELDS, bytes: &show, len_max: REQUEST_BYTES_MAX };
        let mut out = Vec::new();
        outline.write(name, message, &mut out);
        String::from_utf8(out).unwrap_or_default()
    }

    /// A reply, or the beginning of one: each begins with its header.
    pub(crate) fn answered(&self, reply: &[u8]) {
        if self.revision.get() == 0
            && let Some(revision) = revision_of(reply)
        {
            self.revision.set(revision);
        }
    }

    /// An answer to a request on a watch stream. The creations are answered in their order.
    pub(crate) fn watch_answered<M: Member>(&self, member: &M, answer: &[u8]) {
        let Ok(answer) = WatchResponse::decode(answer) else { return };
        if !answer.created {
            return;
        }
        let Some(request) = self.creates.borrow_mut().pop_front() else { return };
        let code = match &answer.cancel_reason {
            _ if !answer.canceled => Code::Ok.name(),
            reason if reason.contains(Code::PermissionDenied.name()) => Code::PermissionDenied.name(),
            reason if reason.contains(Code::Unauthenticated.name()) => Code::Unauthenticated.name(),
            _ => Code::Canceled.name(),
        };
        let revision = answer.header.map_or(0, |header| header.revision);
        let more = format!(",\"watch_id\":{}", answer.watch_id);
        self.line(member, &request, code, Some(&answer.cancel_reason), revision, &more);
    }

    /// The call has ended.
    pub(crate) fn ended<M: Member>(&self, member: &M, code: Code, error: Option<&str>) {
        let request = self.request.borrow_mut().take().unwrap_or_else(|| "{}".into());
        let more = match self.method.kind() {
            Kind::Unary => String::new(),
            Kind::ServerStream | Kind::BidiStream => {
                format!(",\"messages\":{},\"end\":true", self.messages.get())
            }
        };
        self.line(member, &request, code.name(), error, self.revision.get(), &more);
    }

    /// Whom permissions are judged for, as far as this member knows; nobody while authentication is off.
    fn user<M: Member>(&self, member: &M) -> Option<String> {
        if !member.auth_enabled() {
            return None;
        }
        match (&self.claimed, &self.token) {
            (Some(user), _) => Some(user.clone()),
            (None, Some(token)) => member.user_of_token(token),
            (None, None) => self.common_name.clone(),
        }
    }

    fn line<M: Member>(
        &self,
        member: &M,
        request: &str,
        code: &str,
        error: Option<&str>,
        revision: i64,
        more: &str,
    ) {
        let mut out = format!("{{\"ts\":\"{}\",\"user\":", timestamp(SystemTime::now())).into_bytes();
        let text = |text: &str, out: &mut Vec<u8>| {
            quote(&String::from_utf8_lossy(clip(text.as_bytes())), Style::Within, out);
        };
        text(&self.user(member).unwrap_or_default(), &mut out);
        if let Some(name) = &self.common_name {
            out.extend_from_slice(b",\"common_name\":");
            text(name, &mut out);
        }
        out.extend_from_slice(b",\"remote\":");
        text(&self.remote, &mut out);
        if self.gateway {
            out.extend_from_slice(b",\"gateway\":true");
        }
        let (service, method) = (self.method.service(), self.method.name());
        let head = format!(",\"method\":\"{service}/{method}\",\"request\":{request},\"code\":\"{code}\"");
        out.extend_from_slice(head.as_bytes());
        if let Some(error) = error.filter(|error| !error.is_empty()) {
            out.extend_from_slice(b",\"error\":");
            text(error, &mut out);
        }
        if revision != 0 {
            out.extend_from_slice(format!(",\"revision\":{revision}").as_bytes());
        }
        let millis = self.began.elapsed().as_secs_f64() * 1000.0;
        out.extend_from_slice(format!("{more},\"ms\":{millis:.3}}}\n").as_bytes());
        self.log.write(String::from_utf8(out).unwrap_or_default());
    }
}

fn clip(text: &[u8]) -> &[u8] {
    &text[..text.len().min(TEXT_BYTES_MAX)]
}

/// The revision in the header of a reply.
fn revision_of(reply: &[u8]) -> Option<i64> {
    let mut rest = reply.strip_prefix(&[KEY_HEADER])?;
    let len = usize::try_from(decode_varint(&mut rest).ok()?).ok()?;
    ResponseHeader::decode(rest.get(..len)?).ok().map(|header| header.revision)
}
