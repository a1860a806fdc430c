//! Calls of clients: what they ask, what they are told, and how that goes through a member's port.

use std::{future::Future, pin::Pin};

use node::{AuthCall, AuthReply, Caller, Claims, Error, Port, Subject};
use prost::Message;
use proto::etcdserverpb::{
    self as pb, ResponseOp, alarm_request::AlarmAction, request_op::Request as OpRequest,
    response_op::Response as OpResponse,
};

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// The operator, whom nobody refuses anything.
    Internal,
    /// A user who logged in at that revision of users and permissions; revision 0: somebody without credentials.
    User { name: String, revision: u64 },
}

impl Who {
    pub(crate) fn nobody() -> Who {
        Who::User { name: String::new(), revision: 0 }
    }

    pub(crate) fn caller(&self) -> Caller {
        match self {
            Who::Internal => Caller::internal(),
            Who::User { revision: 0, .. } => Caller::default(),
            Who::User { name, revision } => Caller {
                token: Some("signed".into()),
                claims: Some(Claims {
                    subject: Subject { user: name.clone(), revision: *revision },
                    expires_unix_ms: None,
                }),
                ..Caller::default()
            },
        }
    }
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ask {
    Put(pb::PutRequest),
    Delete(pb::DeleteRangeRequest),
    Txn(pb::TxnRequest),
    Range(pb::RangeRequest),
    Compact(pb::CompactionRequest),
    Grant(pb::LeaseGrantRequest),
    Revoke(pb::LeaseRevokeRequest),
    KeepAlive(pb::LeaseKeepAliveRequest),
    HashKv(pb::HashKvRequest),
    Alarm(pb::AlarmRequest),
    MoveLeader(pb::MoveLeaderRequest),
    Defragment(pb::DefragmentRequest),
    Members(pb::MemberListRequest),
    Add(pb::MemberAddRequest),
    Promote(pb::MemberPromoteRequest),
    Remove(pb::MemberRemoveRequest),
    Auth(AuthCall),
}

/// What it is told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    Put(pb::PutResponse),
    Delete(pb::DeleteRangeResponse),
    Txn(pb::TxnResponse),
    Range(pb::RangeResponse),
    Compact(pb::CompactionResponse),
    Grant(pb::LeaseGrantResponse),
    Revoke(pb::LeaseRevokeResponse),
    KeepAlive(pb::LeaseKeepAliveResponse),
    HashKv(pb::HashKvResponse),
    Alarm(pb::AlarmResponse),
    MoveLeader(pb::MoveLeaderResponse),
    Defragment(pb::DefragmentResponse),
    Members(pb::MemberListResponse),
    Add(pb::MemberAddResponse),
    Promote(pb::MemberPromoteResponse),
    Remove(pb::MemberRemoveResponse),
    Auth(AuthReply),
}

pub(crate) type Outcome = Result<Answer, Error>;
/// A call under way.
pub(crate) type Pending = Pin<Box<dyn Future<Output = Outcome>>>;

/// Calls a member.
pub(crate) fn call(port: Port, who: &Who, ask: Ask) -> Pending {
    let caller = who.caller();
    Box::pin(async move {
        Ok(match ask {
            Ask::Put(request) => Answer::Put(port.put(caller, request).await?),
            Ask::Delete(request) => Answer::Delete(port.delete_range(caller, request).await?),
            Ask::Txn(request) => Answer::Txn(port.txn(caller, request).await?),
            Ask::Range(request) => Answer::Range(range(&port, caller, request).await?),
            Ask::Compact(request) => Answer::Compact(port.compact(caller, request).await?),
            Ask::Grant(request) => Answer::Grant(port.lease_grant(caller, request).await?),
            Ask::Revoke(request) => Answer::Revoke(port.lease_revoke(caller, request).await?),
            Ask::KeepAlive(request) => Answer::KeepAlive(port.lease_keep_alive(caller, request).await?),
            Ask::HashKv(request) => Answer::HashKv(port.hash_kv(caller, request).await?),
            Ask::Alarm(request) => Answer::Alarm(port.alarm(caller, request).await?),
            Ask::MoveLeader(request) => Answer::MoveLeader(port.move_leader(caller, request).await?),
            Ask::Defragment(request) => Answer::Defragment(port.defragment(caller, request).await?),
            Ask::Members(request) => Answer::Members(port.member_list(caller, request).await?),
            Ask::Add(request) => Answer::Add(port.member_add(caller, request).await?),
            Ask::Promote(request) => Answer::Promote(port.member_promote(caller, request).await?),
            Ask::Remove(request) => Answer::Remove(port.member_remove(caller, request).await?),
            Ask::Auth(request) => Answer::Auth(port.auth(caller, request).await?),
        })
    })
}

/// The bytes of one piece of a large answer.
const PIECE_BYTES: usize = 64 << 10;

async fn range(port: &Port, caller: Caller, request: pb::RangeRequest) -> Result<pb::RangeResponse, Error> {
    let mut reply = port.range(caller, request).await?;
    let mut bytes = Vec::with_capacity(reply.encoded_len());
    while let Some(piece) = reply.next_piece(PIECE_BYTES).await? {
        bytes.extend_from_slice(&piece);
    }
    pb::RangeResponse::decode(&bytes[..]).map_err(|e| Error::Storage(format!("undecodable answer: {e}")))
}

impl Answer {
    /// The revision in its header; 0 without one.
    pub(crate) fn revision(&self) -> i64 {
        let header = match self {
            Answer::Put(answer) => &answer.header,
            Answer::Delete(answer) => &answer.header,
            Answer::Txn(answer) => &answer.header,
            Answer::Range(answer) => &answer.header,
            Answer::Compact(answer) => &answer.header,
            Answer::Grant(answer) => &answer.header,
            Answer::Revoke(answer) => &answer.header,
            Answer::KeepAlive(answer) => &answer.header,
            Answer::HashKv(answer) => &answer.header,
            Answer::Alarm(answer) => &answer.header,
            Answer::MoveLeader(answer) => &answer.header,
            Answer::Defragment(answer) => &answer.header,
            Answer::Members(answer) => &answer.header,
            Answer::Add(answer) => &answer.header,
            Answer::Promote(answer) => &answer.header,
            Answer::Remove(answer) => &answer.header,
            Answer::Auth(answer) => return answer.clone().header_mut().revision,
        };
        header.as_ref().map_or(0, |header| header.revision)
    }

    /// The same without headers, which name the member that answered.
    pub(crate) fn stripped(mut self) -> Answer {
        match &mut self {
            Answer::Put(answer) => answer.header = None,
            Answer::Delete(answer) => answer.header = None,
            Answer::Txn(answer) => strip_txn(answer),
            Answer::Range(answer) => answer.header = None,
            Answer::Compact(answer) => answer.header = None,
            Answer::Grant(answer) => answer.header = None,
            Answer::Revoke(answer) => answer.header = None,
            Answer::KeepAlive(answer) => answer.header = None,
            Answer::HashKv(answer) => answer.header = None,
            Answer::Alarm(answer) => answer.header = None,
            Answer::MoveLeader(answer) => answer.header = None,
            Answer::Defragment(answer) => answer.header = None,
            Answer::Members(answer) => answer.header = None,
            Answer::Add(answer) => answer.header = None,
            Answer::Promote(answer) => answer.header = None,
            Answer::Remove(answer) => answer.header = None,
            Answer::Auth(answer) => *answer.header_mut() = pb::ResponseHeader::default(),
        }
        self
    }

    /// Whether it changed keys.
    pub(crate) fn has_written(&self) -> bool {
        match self {
            Answer::Put(_) => true,
            Answer::Delete(answer) => answer.deleted > 0,
            Answer::Txn(answer) => txn_has_written(answer),
            _ => false,
        }
    }
}

fn strip_txn(answer: &mut pb::TxnResponse) {
    answer.header = None;
    for response in answer.responses.iter_mut().filter_map(|op| op.response.as_mut()) {
        match response {
            OpResponse::ResponseRange(inner) => inner.header = None,
            OpResponse::ResponsePut(inner) => inner.header = None,
            OpResponse::ResponseDeleteRange(inner) => inner.header = None,
            OpResponse::ResponseTxn(inner) => strip_txn(inner),
        }
    }
}

fn txn_has_written(answer: &pb::TxnResponse) -> bool {
    let wrote = |op: &ResponseOp| match &op.response {
        Some(OpResponse::ResponsePut(_)) => true,
        Some(OpResponse::ResponseDeleteRange(inner)) => inner.deleted > 0,
        Some(OpResponse::ResponseTxn(inner)) => txn_has_written(inner),
        Some(OpResponse::ResponseRange(_)) | None => false,
    };
    answer.responses.iter().any(wrote)
}

impl Ask {
    /// Whether it may be answered from what the member has, however old.
    pub(crate) fn is_serializable(&self) -> bool {
        match self {
            Ask::Range(request) => request.serializable,
            Ask::Txn(txn) => {
                let mut ops = txn.success.iter().chain(&txn.failure);
                ops.all(
                    |op| matches!(&op.request, Some(OpRequest::RequestRange(range)) if range.serializable),
                )
            }
            // Says what a lease has left, or what is in one member's file.
            Ask::HashKv(_) | Ask::KeepAlive(_) | Ask::MoveLeader(_) | Ask::Defragment(_) => true,
            // Their headers have no revision.
            Ask::Members(_) | Ask::Add(_) | Ask::Promote(_) | Ask::Remove(_) => true,
            _ => false,
        }
    }

    /// The name of its kind, for counters.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Ask::Put(_) => "put",
            Ask::Delete(_) => "delete",
            Ask::Txn(_) => "txn",
            Ask::Range(request) if request.serializable => "serializable range",
            Ask::Range(_) => "range",
            Ask::Compact(_) => "compact",
            Ask::Grant(_) => "lease grant",
            Ask::Revoke(_) => "lease revoke",
            Ask::KeepAlive(_) => "lease keepalive",
            Ask::HashKv(_) => "hash",
            Ask::Alarm(request) => match request.action() {
                AlarmAction::Get => "alarm list",
                AlarmAction::Activate => "alarm raised",
                AlarmAction::Deactivate => "alarm cleared",
            },
            Ask::MoveLeader(_) => "move leader",
            Ask::Defragment(_) => "defragment",
            Ask::Members(_) => "member list",
            Ask::Add(_) => "member add",
            Ask::Promote(_) => "member promote",
            Ask::Remove(_) => "member remove",
            Ask::Auth(AuthCall::Enable(_)) => "auth enable",
            Ask::Auth(AuthCall::Disable(_)) => "auth disable",
            Ask::Auth(_) => "change of users",
        }
    }
}
