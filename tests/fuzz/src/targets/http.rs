//! Bodies, heads and frames of requests over HTTP.

use rpc::{Method, fuzzing};

use super::grpc::SAMPLES;
use crate::{Target, input::Input, twice};

pub(crate) const JSON: Target = Target {
    name: "json",
    what: "a body of the JSON gateway for each method, cut into values and made a message",
    run: json,
    seeds: json_seeds,
    memory: json_memory,
    len_max: 16 << 10,
};

/// The body is there twice while it is cut, and there is its message; vectors that grow are there one and a half times at
/// up to twice their length. A short array of empty objects, `[{},{}]`, makes a message of six bytes for three: lengths
/// are written with five. Besides, each level of nesting keeps which fields it has seen.
fn json_memory(input: &[u8]) -> usize {
    24 * input.len() + (64 << 10)
}

fn json(input: &[u8]) {
    let mut input = Input(input);
    let method = Method::ALL[input.choice(Method::ALL.len())];
    let step = usize::from(input.byte()).max(1);
    let path = format!("/{}/{}", method.service(), method.name());
    let (kind, _) = proto::json::method(&path).unwrap();
    let mut values = proto::json::Values::default();
    for piece in input.0.chunks(step) {
        values.push(piece);
        loop {
            match values.next_value() {
                Ok(Some(value)) => drop(kind.read(&value)),
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
    if let Ok(Some(value)) = values.last_value()
        && let Ok(message) = kind.read(&value)
    {
        // What was written must be a message, which can be written as JSON again.
        let mut writer = proto::json::Writer::new(kind, proto::json::Style::Message);
        let mut out = Vec::new();
        writer.push(&message, &mut out).and_then(|()| writer.finish(&mut out)).unwrap();
    }
}

fn json_seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> =
        SAMPLES.iter().map(|(method, json)| [&[*method as u8, 255][..], json.as_bytes()].concat()).collect();
    let odd = [
        r#"{"key":"\u00e9\ud83d\ude00\ud83d","limit":1e2,"revision":"0x1","sortOrder":2,"unknown":[{"a":[null,true]}]}"#,
        r#"{"key":null,"limit":9223372036854775808,"countOnly":"true"} {"key":"-_-_"} []"#,
        "[[[[[[[[{\"a\":{}}]]]]]]]]",
        "  ",
    ];
    seeds.extend(odd.map(|json| [&[Method::Range as u8, 3][..], json.as_bytes()].concat()));
    seeds
}

pub(crate) const HEAD: Target = Target {
    name: "head",
    what: "headers of a request as gRPC, gateway, WebSocket and pages read them; peers' questions",
    run: head,
    seeds: head_seeds,
    memory: head_memory,
    len_max: 8 << 10,
};

/// `http` takes 120 bytes for a header of four; the listener bounds the list (16 KiB) before.
fn head_memory(input: &[u8]) -> usize {
    100 * input.len() + (64 << 10)
}

fn head(input: &[u8]) {
    fuzzing::head(input);
    fuzzing::asked_revision(input);
}

fn head_seeds() -> Vec<Vec<u8>> {
    [
        "POST /etcdserverpb.KV/Range\ncontent-type: application/grpc+proto\ngrpc-timeout: 12S\ngrpc-encoding: gzip\ntoken: abc.12\nhasleader: true\nclient-api-version: 3.7.1\nauthorization: Bearer x",
        "POST /v3/kv/range\nGrpc-Metadata-Token: a\ngrpc-timeout: -3m\nauthorization: Bearer b\ngrpc-metadata-hasleader: true",
        "GET /v3/watch\nconnection: keep-alive, Upgrade\nupgrade: websocket\nsec-websocket-version: 13\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\nsec-websocket-protocol: Bearer, tok\ncookie: a=b; token=\"c\"",
        "GET /health?exclude=NOSPACE&exclude=%41%zz&serializable=true\nhost: a",
        "GET /readyz/data_corruption?verbose",
        "{\"revision\":12}",
        "{\"revision\":-9223372036854775809}",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

pub(crate) const FRAMES: Target = Target {
    name: "frames",
    what: "HTTP/2 as it passes the counter of pings and the mender of authorities",
    run: |input| {
        let mut input = Input(input);
        let step = usize::from(input.byte());
        fuzzing::frames(input.0, step);
    },
    seeds: frame_seeds,
    memory: twice,
    len_max: 4 << 10,
};

fn frame_seeds() -> Vec<Vec<u8>> {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let frame = |kind: u8, flags: u8, payload: &[u8]| {
        let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&len[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    };
    let url = b"http://127.0.0.1:2379";
    let block = [&[0x83, 0x86, 0x41, url.len() as u8][..], url].concat();
    let padded = [&[2][..], &block, &[0, 0]].concat();
    let with_priority = [&[0, 0, 0, 0, 9][..], &block].concat();
    [frame(1, 4, &block), frame(1, 0x0c, &padded), frame(1, 0x24, &with_priority), frame(6, 0, &[0; 8])]
        .map(|frame| [&[255][..], preface, &frame].concat())
        .to_vec()
}

pub(crate) const GUNZIP: Target = Target {
    name: "gunzip",
    what: "a compressed message of at most 64 KiB",
    run: |input| fuzzing::gunzip(input, GUNZIPPED_MAX),
    seeds: || vec![GZIPPED.to_vec(), [GZIPPED, GZIPPED].concat()],
    memory: |input| twice(input) + 4 * GUNZIPPED_MAX,
    len_max: 4 << 10,
};

/// A bomb is as large as the limit, whatever its bytes; the product holds the limit in its budget meanwhile.
const GUNZIPPED_MAX: usize = 64 << 10;
const GZIPPED: &[u8] = &[
    0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0x57, 0xc8, 0x40, 0x27, 0, 0x86, 0xa6,
    0x10, 0x36, 5, 0, 0, 0,
];

pub(crate) const WEBSOCKET: Target = Target {
    name: "websocket",
    what: "frames of a WebSocket",
    run: fuzzing::websocket,
    seeds: websocket_seeds,
    memory: websocket_memory,
    len_max: 64 << 10,
};

/// Read in steps of 64 KiB, so that a length alone takes that much, by twos when it grows.
fn websocket_memory(input: &[u8]) -> usize {
    3 * input.len() + 4 * (64 << 10)
}

fn websocket_seeds() -> Vec<Vec<u8>> {
    let frame =
        |flags: u8, payload: &[u8]| [&[flags, 0x80 | payload.len() as u8, 1, 2, 3, 4][..], payload].concat();
    let long = [&[0x82, 0xfe, 1, 0, 1, 2, 3, 4][..], &[7; 256]].concat();
    let longer = [&[0x82, 0xff, 0, 0, 0, 0, 0, 0, 1, 0, 1, 2, 3, 4][..], &[7; 256]].concat();
    let parts =
        [frame(0x01, b"{\"key\":"), frame(0x89, b"ping"), frame(0x80, b"1}"), frame(0x88, &[3, 0xe8])];
    let mut all = vec![long, longer, parts.concat()];
    all.push(all.concat());
    all
}
