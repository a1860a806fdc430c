//! The one message that may hold itself, written by hand.
//!
//! `prost` counts how deep it is and refuses more than 100 messages within each other, which are 50 transactions; etcd
//! takes as many as `--max-txn-ops` allows. Here the count begins again with each transaction. So it is no bound for
//! them any more: [`crate::decode`] is, and nothing else may decode a message that can hold a transaction (a lint test
//! sees to that). All other messages keep the bound of `prost`.

use bytes::{Buf, BufMut};
use prost::{
    DecodeError, Message, Name,
    encoding::{DecodeContext, WireType, message, skip_field},
};

use crate::etcdserverpb::{Compare, RequestOp};

const COMPARE: u32 = 1;
const SUCCESS: u32 = 2;
const FAILURE: u32 = 3;

/// Operations that depend on compares.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TxnRequest {
    /// All must hold; without any they do.
    pub compare: Vec<Compare>,
    /// Operations when they do.
    pub success: Vec<RequestOp>,
    /// Operations when they do not.
    pub failure: Vec<RequestOp>,
}

impl Message for TxnRequest {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        message::encode_repeated(COMPARE, &self.compare, buf);
        message::encode_repeated(SUCCESS, &self.success, buf);
        message::encode_repeated(FAILURE, &self.failure, buf);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        _counted: DecodeContext,
    ) -> Result<(), DecodeError> {
        let from_here = DecodeContext::default();
        match tag {
            COMPARE => message::merge_repeated(wire_type, &mut self.compare, buf, from_here),
            SUCCESS => message::merge_repeated(wire_type, &mut self.success, buf, from_here),
            FAILURE => message::merge_repeated(wire_type, &mut self.failure, buf, from_here),
            _ => skip_field(wire_type, tag, buf, from_here),
        }
    }

    fn encoded_len(&self) -> usize {
        message::encoded_len_repeated(COMPARE, &self.compare)
            + message::encoded_len_repeated(SUCCESS, &self.success)
            + message::encoded_len_repeated(FAILURE, &self.failure)
    }

    fn clear(&mut self) {
        *self = TxnRequest::default();
    }
}

impl Name for TxnRequest {
    const NAME: &'static str = "TxnRequest";
    const PACKAGE: &'static str = "etcdserverpb";
}
