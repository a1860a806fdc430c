//! HTTP/1.1, as little of it as a test needs: one request per connection.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use crate::PATIENCE;

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Names in lower case, in their order.
    pub headers: Vec<(String, String)>,
    /// The body, without chunk marks.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first value of a header; `""` when absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// The body as text.
    ///
    /// # Panics
    /// When it is none.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }
}

/// `GET path`.
///
/// # Errors
/// When no answer comes.
pub fn get(address: SocketAddr, path: &str) -> std::io::Result<Answer> {
    request(address, "GET", path, &[], b"")
}

/// Any request. `Host` and `Connection: close` are added unless given.
///
/// # Errors
/// When no answer comes, or none that is HTTP/1.1.
pub fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<Answer> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head += &format!("Host: {address}\r\n");
    }
    if !body.is_empty() {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    let answer = raw(address, &[head.as_bytes(), b"\r\n", body].concat())?;
    parse(&answer, method == "HEAD")
}

/// Sends bytes, whatever they are, and reads until the server closes.
///
/// # Errors
/// When the connection fails, or stays open without a word.
pub fn raw(address: SocketAddr, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut socket = TcpStream::connect_timeout(&address, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.write_all(bytes)?;
    let mut answer = Vec::new();
    match socket.read_to_end(&mut answer) {
        // A server that refuses may reset what it did not read.
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(answer),
        read => read.map(|_| answer),
    }
}

fn parse(bytes: &[u8], headless: bool) -> std::io::Result<Answer> {
    let wrong = |what: &str| std::io::Error::other(format!("{what}: {:?}", String::from_utf8_lossy(bytes)));
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").ok_or_else(|| wrong("no end of the head"))?;
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| wrong("the head is no text"))?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 ").or_else(|| line.strip_prefix("HTTP/1.0 ")))
        .and_then(|rest| rest.get(..3)?.parse().ok())
        .ok_or_else(|| wrong("no status line"))?;
    let headers = lines
        .map(|line| line.split_once(':').map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())))
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| wrong("a header without a colon"))?;
    let rest = &bytes[end + 4..];
    let mut answer = Answer { status, headers, body: rest.to_vec() };
    if answer.header("transfer-encoding") == "chunked" {
        answer.body = unchunk(rest).ok_or_else(|| wrong("bad chunks"))?;
    } else if !headless && !answer.header("content-length").is_empty() {
        let complete = answer.header("content-length") == rest.len().to_string();
        complete.then_some(()).ok_or_else(|| wrong("a body of another length"))?;
    }
    Ok(answer)
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|w| w == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?, 16).ok()?;
        let chunk = rest.get(end + 2..end + 2 + size)?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(chunk);
        rest = rest.get(end + 4 + size..)?;
    }
}
