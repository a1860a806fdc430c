//! What the headers of a request say (upstream: grpc-go internal/transport/http2_server.go, operateHeaders).

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method as HttpMethod, StatusCode, request::Parts};

use crate::{
    message::Encoding,
    status::{Code, Status},
    timeout,
};

/// The metadata of a call, as far as anything here looks at it.
#[derive(Debug, Default)]
pub(crate) struct Head {
    pub(crate) timeout: Option<Duration>,
    pub(crate) encoding: Option<Encoding>,
    /// From `token`, else `authorization`; without `Bearer `.
    pub(crate) token: Option<String>,
    /// `hasleader: true`: fail when nobody leads.
    pub(crate) needs_leader: bool,
    /// The client's API version as it came; `None` when absent.
    pub(crate) api_version: Option<HeaderValue>,
    /// The content type of replies, which names the same subtype; `None` when there is none.
    pub(crate) content_type: Option<HeaderValue>,
    /// The call was translated by the JSON gateway: no identity from certificates.
    pub(crate) from_gateway: bool,
}

/// Why a request is no gRPC call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotGrpc {
    pub(crate) http: StatusCode,
    pub(crate) status: Status,
    /// As [`Head::content_type`].
    pub(crate) content_type: Option<HeaderValue>,
}

/// A content type of gRPC.
const GRPC: &[u8] = b"application/grpc";

/// The subtype of gRPC's content type, which may be empty; `None` for other content types.
fn subtype(content_type: &[u8]) -> Option<&[u8]> {
    match content_type.strip_prefix(GRPC)? {
        [] => Some(&[]),
        [b'+' | b';', subtype @ ..] => Some(subtype),
        _ => None,
    }
}

/// The content type of replies to requests with that subtype.
fn reply_type(subtype: &[u8]) -> Option<HeaderValue> {
    match subtype {
        [] => None,
        _ => HeaderValue::from_bytes(&[GRPC, b"+", subtype].concat()).ok(),
    }
}

/// Reads the headers in one pass.
///
/// # Errors
/// What to answer instead of serving.
pub(crate) fn parse(parts: &Parts) -> Result<Head, NotGrpc> {
    let mut head = Head::default();
    let mut content_type: &[u8] = b"";
    let mut authorization = None;
    let mut malformed = None;
    let mut asked_encoding: &[u8] = b"";
    for (name, value) in &parts.headers {
        let bytes = value.as_bytes();
        match name.as_str() {
            "content-type" => content_type = bytes,
            "grpc-timeout" => match timeout::parse(&String::from_utf8_lossy(bytes)) {
                Ok(timeout) => head.timeout = Some(timeout),
                Err(text) => malformed = Some(format!("malformed grpc-timeout: {text}")),
            },
            "grpc-encoding" => asked_encoding = bytes,
            "token" if head.token.is_none() => head.token = Some(token(bytes)),
            "authorization" if authorization.is_none() => authorization = Some(bytes),
            "hasleader" => head.needs_leader |= bytes == b"true",
            "client-api-version" if head.api_version.is_none() => head.api_version = Some(value.clone()),
            "grpcgateway-accept" => head.from_gateway = true,
            _ => {}
        }
    }
    let subtype = subtype(content_type);
    let reply_type = subtype.and_then(reply_type);
    let refused = |http, code, text| {
        let content_type = reply_type.clone();
        Err(NotGrpc { http, status: Status::new(code, text), content_type })
    };
    if subtype.is_none() {
        let text = format!("invalid gRPC request content-type {:?}", String::from_utf8_lossy(content_type));
        return refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument, text);
    }
    if let Some(text) = malformed {
        return refused(StatusCode::BAD_REQUEST, Code::Internal, text);
    }
    if parts.method != HttpMethod::POST {
        let method = parts.method.as_str();
        let text = format!("Received a HEADERS frame with :method {method:?} which should be POST");
        return refused(StatusCode::METHOD_NOT_ALLOWED, Code::Internal, text);
    }
    head.encoding = match asked_encoding {
        b"" => None,
        b"identity" => Some(Encoding::Identity),
        b"gzip" => Some(Encoding::Gzip),
        other => {
            let name = String::from_utf8_lossy(other);
            let text = format!("grpc: Decompressor is not installed for grpc-encoding {name:?}");
            return refused(StatusCode::OK, Code::Unimplemented, text);
        }
    };
    if head.token.is_none() {
        head.token = authorization.map(token);
    }
    head.content_type = reply_type;
    Ok(head)
}

/// The token in a header.
pub(crate) fn token(value: &[u8]) -> String {
    String::from_utf8_lossy(value.strip_prefix(b"Bearer ").unwrap_or(value)).into_owned()
}

/// Whether a request over HTTP/2 wants a gRPC method rather than a page.
pub(crate) fn wants_grpc(headers: &HeaderMap) -> bool {
    // Go's server looks for the words anywhere in the value.
    headers
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().windows(16).any(|window| window == b"application/grpc"))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn parts(headers: &[(&str, &[u8])]) -> Parts {
        let mut builder = Request::post("/etcdserverpb.KV/Put");
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    #[test]
    fn metadata() {
        let head = parse(&parts(&[
            ("content-type", b"application/grpc+proto"),
            ("grpc-timeout", b"5S"),
            ("grpc-encoding", b"gzip"),
            ("authorization", b"Bearer abc.1"),
            ("hasleader", b"true"),
            ("client-api-version", b"3.7"),
        ]))
        .unwrap();
        assert_eq!(head.timeout, Some(Duration::from_secs(5)));
        assert_eq!(head.encoding, Some(Encoding::Gzip));
        assert_eq!(head.token.as_deref(), Some("abc.1"));
        assert!(head.needs_leader && !head.from_gateway);
        assert_eq!(head.content_type.unwrap(), "application/grpc+proto");
        assert_eq!(head.api_version.unwrap(), "3.7");
    }

    #[test]
    fn replies_have_the_subtype_of_requests() {
        let reply = |kind: &'static [u8]| parse(&parts(&[("content-type", kind)])).unwrap().content_type;
        for plain in [&b"application/grpc"[..], b"application/grpc+", b"application/grpc;"] {
            assert_eq!(reply(plain), None);
        }
        assert_eq!(reply(b"application/grpc+json").unwrap(), "application/grpc+json");
        assert_eq!(reply(b"application/grpc;x=y").unwrap(), "application/grpc+x=y");
        let kind: (&str, &[u8]) = ("content-type", b"application/grpc+proto");
        let refused = parse(&parts(&[kind, ("grpc-timeout", b"soon")])).unwrap_err();
        assert_eq!(refused.content_type.unwrap(), "application/grpc+proto");
    }

    #[test]
    fn token_wins_over_authorization() {
        let grpc: (&str, &[u8]) = ("content-type", b"application/grpc");
        let head = parse(&parts(&[grpc, ("authorization", b"other"), ("token", b"one")])).unwrap();
        assert_eq!(head.token.as_deref(), Some("one"));
        assert_eq!(parse(&parts(&[grpc])).unwrap().token, None);
    }

    #[test]
    fn refusals() {
        let refused = |headers: &[(&str, &[u8])]| {
            let NotGrpc { http, status, .. } = parse(&parts(headers)).unwrap_err();
            (http.as_u16(), status.code, status.message.into_owned())
        };
        let grpc: (&str, &[u8]) = ("content-type", b"application/grpc");
        assert_eq!(
            refused(&[("content-type", b"application/grpcweb")]),
            (415, Code::InvalidArgument, "invalid gRPC request content-type \"application/grpcweb\"".into())
        );
        assert_eq!(refused(&[]).0, 415);
        assert_eq!(refused(&[("grpc-encoding", b"snappy")]).0, 415);
        assert_eq!(refused(&[grpc, ("grpc-timeout", b"soon")]).0, 400);
        assert_eq!(
            refused(&[grpc, ("grpc-encoding", b"snappy")]),
            (
                200,
                Code::Unimplemented,
                "grpc: Decompressor is not installed for grpc-encoding \"snappy\"".into()
            )
        );
    }
}
