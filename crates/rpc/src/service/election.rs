//! v3electionpb.Election (contract/semantics.md 12.3).

use std::pin::pin;

use bytes::Bytes;
use prost::Message;
use proto::{
    etcdserverpb::{self as pb, RangeRequest, TxnRequest, range_request::SortOrder},
    mvccpb::{Event, KeyValue, event::EventType},
    v3electionpb::{
        CampaignRequest, CampaignResponse, LeaderKey, LeaderRequest, LeaderResponse, ProclaimRequest,
        ProclaimResponse, ResignRequest, ResignResponse,
    },
};

use super::{
    claim::Claim,
    follow::{News, Watching},
    inner::{self, Inner, Prefix},
};
use crate::{call::Call, exchange::End, member::Member, status::Reason};

/// What an observer sends holds the frame it came in, and is encoded beside it.
const FRAME_COPIES: usize = 2;

/// The answer has the revision at which the candidate was put in line, however long it waits. A key that was lost
/// meanwhile is not looked for, as in etcd: who leads only while his key stands writes under the condition that it
/// was created at `rev`.
pub(super) async fn campaign<M: Member>(call: &mut Call<M>) -> Result<(), End> {
    inner::waiting(call, async |inner: Inner<M>, request: CampaignRequest| {
        let lease = inner.lease(request.lease).await?;
        let prefix = Prefix::of(&request.name);
        let key = prefix.key(lease);
        let CampaignRequest { name, value, .. } = request;
        let own = RangeRequest { key: key.clone(), ..Default::default() };
        let request = TxnRequest {
            compare: vec![inner::created_at(key.clone(), 0)],
            success: vec![inner::put(key.clone(), value.clone(), lease)],
            failure: vec![inner::get(own)],
        };
        let reply = inner.stand_in_line(request, key.clone()).await?;
        let rev = inner::claimed_at(&reply)?;
        if !reply.succeeded && inner::row_of(&reply, 0).is_some_and(|row| row.value != value) {
            renew(&inner, key.clone(), rev, lease, value).await?;
        }
        let claim = Claim::new(&inner, key.clone(), rev);
        let won = inner.wait_for_older(&prefix, rev).await;
        // Unless the caller goes away, the key stays: his session decides.
        claim.keep();
        won?;
        Ok(CampaignResponse { header: reply.header, leader: Some(LeaderKey { name, key, rev, lease }) })
    })
    .await
}

/// Proclaims in the course of a campaign; a candidate who cannot does not run.
async fn renew<M: Member>(
    inner: &Inner<M>,
    key: Bytes,
    rev: i64,
    lease: i64,
    value: Bytes,
) -> Result<(), Reason> {
    match put_if_leading(inner, key.clone(), rev, lease, value).await {
        Ok(_) => Ok(()),
        // The key is somebody else's by now, or nobody's.
        Err(Reason::ElectionNotLeader) => Err(Reason::ElectionNotLeader),
        Err(reason) => {
            Claim::new(inner, key, rev).give_up().await;
            Err(reason)
        }
    }
}

async fn put_if_leading<M: Member>(
    inner: &Inner<M>,
    key: Bytes,
    rev: i64,
    lease: i64,
    value: Bytes,
) -> Result<pb::TxnResponse, Reason> {
    let request = TxnRequest {
        compare: vec![inner::created_at(key.clone(), rev)],
        success: vec![inner::put(key, value, lease)],
        failure: vec![],
    };
    let reply = inner.txn(request).await?;
    if reply.succeeded { Ok(reply) } else { Err(Reason::ElectionNotLeader) }
}

pub(super) async fn proclaim<M: Member>(call: &mut Call<M>) -> Result<(), End> {
    inner::unary(call, async |inner: Inner<M>, request: ProclaimRequest| {
        let LeaderKey { key, rev, lease, .. } = request.leader.ok_or(Reason::MissingLeaderKey)?;
        let lease = inner.lease(lease).await?;
        let header = put_if_leading(&inner, key, rev, lease, request.value).await?.header;
        Ok(ProclaimResponse { header })
    })
    .await
}

pub(super) async fn resign<M: Member>(call: &mut Call<M>) -> Result<(), End> {
    inner::unary(call, async |inner: Inner<M>, request: ResignRequest| {
        let LeaderKey { key, rev, lease, .. } = request.leader.ok_or(Reason::MissingLeaderKey)?;
        // Of no use here, but a lease that the request does not bring is granted by every method that takes one.
        inner.lease(lease).await?;
        let header = inner.remove(key, rev).await?.header;
        Ok(ResignResponse { header })
    })
    .await
}

pub(super) async fn leader<M: Member>(call: &mut Call<M>) -> Result<(), End> {
    inner::unary(call, async |inner: Inner<M>, request: LeaderRequest| {
        let reply = inner.range(Prefix::of(&request.name).first(SortOrder::Ascend)).await?;
        let kv = reply.kvs.into_iter().next().ok_or(Reason::ElectionNoLeader)?;
        Ok(LeaderResponse { header: reply.header, kv: Some(kv) })
    })
    .await
}

/// Ends with OK when it cannot go on, as in etcd: a client that gets no message may not read the election.
pub(super) async fn observe<M: Member>(call: &mut Call<M>) -> Result<(), End> {
    call.begin_stream()?;
    let request: LeaderRequest = call.stream_request().await?;
    let mut observer = Observer {
        prefix: Prefix::of(&request.name),
        inner: Inner::of(call),
        follows: Follows::Nobody,
        last: None,
    };
    loop {
        let Ok(leaders) = call.exchange.wait(pin!(observer.next())).await? else { return Ok(()) };
        call.hold_bytes(leaders.iter().map(|leader| FRAME_COPIES * leader.encoded_len()).sum())?;
        for leader in &leaders {
            call.send(leader).await?;
        }
    }
}

/// Whom an observer follows.
enum Follows<M: Member> {
    /// It has to look who leads.
    Nobody,
    /// Nobody leads: it waits for the first put.
    Vacancy(Watching<M>),
    /// The watch on the leader's key.
    Leader(Watching<M>),
}

/// Gives each leader, and each value of a leader, once and in order. Some that are gone already may be left out.
struct Observer<M: Member> {
    inner: Inner<M>,
    prefix: Prefix,
    follows: Follows<M>,
    /// Key and modification revision of what was given last.
    last: Option<(Bytes, i64)>,
}

impl<M: Member> Observer<M> {
    /// What is new; holds no more than one frame of a watch.
    async fn next(&mut self) -> Result<Vec<LeaderResponse>, Reason> {
        loop {
            let leaders = match &mut self.follows {
                Follows::Nobody => self.look().await?,
                Follows::Vacancy(watching) => match watching.next().await? {
                    News::Compacted => self.leave(),
                    News::Events(response) => self.accede(*response),
                },
                Follows::Leader(watching) => match watching.next().await? {
                    News::Compacted => self.leave(),
                    News::Events(response) => self.hear(*response),
                },
            };
            if !leaders.is_empty() {
                return Ok(leaders);
            }
        }
    }

    fn leave(&mut self) -> Vec<LeaderResponse> {
        self.follows = Follows::Nobody;
        Vec::new()
    }

    /// Looks who leads.
    async fn look(&mut self) -> Result<Vec<LeaderResponse>, Reason> {
        let reply = self.inner.range(self.prefix.first(SortOrder::Ascend)).await?;
        let revision = reply.header.as_ref().map_or(0, |header| header.revision);
        Ok(match reply.kvs.into_iter().next() {
            Some(kv) => self.follow(reply.header, kv, revision + 1),
            None => {
                let request = self.prefix.puts_from(revision + 1);
                self.follows = Follows::Vacancy(self.inner.watch(request));
                Vec::new()
            }
        })
    }

    /// Follows the first who was put.
    fn accede(&mut self, response: pb::WatchResponse) -> Vec<LeaderResponse> {
        let Some(kv) = response.events.into_iter().find_map(put_pair) else { return Vec::new() };
        // Later puts may have come with it.
        let revision = kv.mod_revision;
        let header = response.header.map(|header| pb::ResponseHeader { revision, ..header });
        self.follow(header, kv, revision + 1)
    }

    fn follow(&mut self, header: Option<pb::ResponseHeader>, kv: KeyValue, from: i64) -> Vec<LeaderResponse> {
        let request = pb::WatchCreateRequest {
            key: owned(&kv.key),
            start_revision: from,
            fragment: true,
            ..Default::default()
        };
        self.follows = Follows::Leader(self.inner.watch(request));
        self.given(header, kv).into_iter().collect()
    }

    /// What the leader has put, up to the end of his time.
    fn hear(&mut self, response: pb::WatchResponse) -> Vec<LeaderResponse> {
        let mut leaders = Vec::new();
        for event in response.events {
            let Some(kv) = put_pair(event) else {
                self.follows = Follows::Nobody;
                break;
            };
            leaders.extend(self.given(response.header, kv));
        }
        leaders
    }

    /// A leader that was not given before.
    fn given(&mut self, header: Option<pb::ResponseHeader>, kv: KeyValue) -> Option<LeaderResponse> {
        let again = self.last.as_ref().is_some_and(|(key, seen)| *key == kv.key && kv.mod_revision <= *seen);
        if again {
            return None;
        }
        self.last = Some((owned(&kv.key), kv.mod_revision));
        Some(LeaderResponse { header, kv: Some(kv) })
    }
}

/// A key that is kept for long should not keep the reply it came with.
fn owned(key: &Bytes) -> Bytes {
    Bytes::copy_from_slice(key)
}

/// The pair of a put, `None` for a deletion.
fn put_pair(event: Event) -> Option<KeyValue> {
    if event.r#type() == EventType::Put { event.kv } else { None }
}
