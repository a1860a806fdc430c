//! Errors in JSON, and the codes that HTTP has for them (upstream: grpc-gateway runtime/errors.go).

use http::{
    HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, WWW_AUTHENTICATE},
};
use proto::json::{Style, quote};

use super::Streamed;
use crate::{
    pages,
    status::{Code, Status},
};

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");

pub(super) fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        // No standard has it, but nginx.
        Code::Canceled => StatusCode::from_u16(499).expect("three digits"),
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// `google.rpc.Status` in JSON.
fn json(status: &Status, style: Style) -> Vec<u8> {
    let mut out = b"{".to_vec();
    if status.code != Code::Ok {
        out.extend_from_slice(format!(r#""code":{}"#, status.code.digits()).as_bytes());
    }
    if !status.message.is_empty() {
        out.extend_from_slice(if out.len() > 1 { br#","message":"# } else { br#""message":"# });
        quote(&status.message, style, &mut out);
    }
    out.push(b'}');
    out
}

/// The answer to a request that failed before anything was said.
pub(super) fn page(http: StatusCode, status: &Status) -> Response<Streamed> {
    let mut response = Response::new(whole(json(status, Style::Message)));
    *response.status_mut() = http;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    if status.code == Code::Unauthenticated
        && let Ok(text) = HeaderValue::from_str(&status.message)
    {
        response.headers_mut().insert(WWW_AUTHENTICATE, text);
    }
    response
}

/// The last line of a stream that failed.
pub(super) fn line(status: &Status) -> Vec<u8> {
    [br#"{"error":"#.as_slice(), &json(status, Style::Within), b"}\n"].concat()
}

/// A body that is there.
pub(super) fn whole(bytes: Vec<u8>) -> Streamed {
    pages::whole(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_the_contract() {
        let table = [200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401];
        for (code, http) in Code::ALL.into_iter().zip(table) {
            assert_eq!(http_status(code).as_u16(), http, "{code:?}");
        }
    }

    #[test]
    fn texts_are_quoted() {
        let status = Status::new(Code::Unknown, "a \"<b>\"\n");
        assert_eq!(json(&status, Style::Message), br#"{"code":2,"message":"a \"<b>\"\n"}"#);
        assert_eq!(line(&status), b"{\"error\":{\"code\":2,\"message\":\"a \\\"\\u003cb\\u003e\\\"\\n\"}}\n");
        assert_eq!(json(&Status::new(Code::Internal, ""), Style::Message), br#"{"code":13}"#);
    }
}
