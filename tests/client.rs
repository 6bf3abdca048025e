//! HTTP clients, and what they get.

use std::{collections::BTreeMap, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::wait::within;

/// A client that keeps cookies and sends them, as browsers do.
#[derive(Clone, Debug)]
pub struct Client {
    /// The server that it asks.
    pub address: SocketAddr,
    /// The cookies by name.
    pub cookies: BTreeMap<String, String>,
}

impl Client {
    /// A client without cookies.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, cookies: BTreeMap::new() }
    }

    /// The value of the only cookie.
    pub fn cookie(&self) -> &str {
        assert_eq!(self.cookies.len(), 1, "one cookie: {:?}", self.cookies.keys());
        self.cookies.values().next().expect("one cookie")
    }

    /// Asks the site to take these [`steps`](crate::steps).
    pub async fn act(&mut self, steps: &str) -> Response {
        self.get(&format!("/do/{steps}")).await
    }

    /// Sends a GET request and keeps the cookies of the response.
    pub async fn get(&mut self, path: &str) -> Response {
        let cookies = self.cookie_header();
        let response = get(self.address, path, cookies.as_bytes()).await;
        self.keep_cookies(&response);
        response
    }

    /// Sends a POST request without a body and keeps the cookies of the response.
    pub async fn post(&mut self, path: &str) -> Response {
        self.post_form(path, "").await
    }

    /// Sends a form and keeps the cookies of the response.
    pub async fn post_form(&mut self, path: &str, form: &str) -> Response {
        self.post_body(path, "application/x-www-form-urlencoded", form).await
    }

    /// Sends JSON and keeps the cookies of the response.
    pub async fn post_json(&mut self, path: &str, json: &str) -> Response {
        self.post_body(path, "application/json", json).await
    }

    async fn post_body(&mut self, path: &str, content_type: &str, body: &str) -> Response {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{}\
             Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}",
            self.cookie_header(),
            body.len(),
        );
        let response = only(exchange(self.address, request.as_bytes()).await);
        self.keep_cookies(&response);
        response
    }

    /// The header line with all cookies; empty if there are none.
    fn cookie_header(&self) -> String {
        let cookies: Vec<_> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        match cookies.is_empty() {
            true => String::new(),
            false => format!("Cookie: {}\r\n", cookies.join("; ")),
        }
    }

    /// Takes the cookies of a response.
    pub fn keep_cookies(&mut self, response: &Response) {
        for cookie in response.all("set-cookie") {
            let (name, rest) = cookie.split_once('=').expect("a name and a value");
            let value = rest.split(';').next().unwrap_or_default();
            if cookie.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

/// A client that keeps its id itself and sends it in a header, as programs do.
#[derive(Clone, Debug)]
pub struct ApiClient {
    /// The server that it asks.
    pub address: SocketAddr,
    /// The header's name and what stands before the id.
    pub before: &'static str,
    /// The header of a response that brings an id.
    pub answer: &'static str,
    /// The id, empty if there is none.
    pub id: String,
}

impl ApiClient {
    /// A client that sends `Authorization: Bearer`.
    pub fn bearer(address: SocketAddr) -> Self {
        let (before, answer) = ("Authorization: Bearer ", "session-token");
        Self { address, before, answer, id: String::new() }
    }

    /// A client that sends `X-Session`.
    pub fn named(address: SocketAddr) -> Self {
        Self { before: "X-Session: ", answer: "x-session", ..Self::bearer(address) }
    }

    /// Asks the site to take these [`steps`](crate::steps), and keeps the id of the response.
    pub async fn act(&mut self, steps: &str) -> Response {
        let header = format!("{}{}\r\n", self.before, self.id);
        let response = get(self.address, &format!("/do/{steps}"), header.as_bytes()).await;
        assert_eq!(response.set_cookie(), None, "{steps}: a cookie, although a header was sent");
        if let Some(id) = response.header(self.answer) {
            self.id = id.to_owned();
            assert_eq!(response.header("cache-control"), Some("no-store"), "{steps}");
        }
        response
    }
}

/// An HTTP response.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers with lower-case names.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Response {
    /// All values of a header.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(there, _)| there == name).map(|(_, value)| value.as_str())
    }

    /// The value of a header that is there at most once.
    pub fn header<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        let mut values = self.all(name);
        let value = values.next();
        assert!(values.next().is_none(), "{name} is there twice: {self:?}");
        value
    }

    /// The session cookie that the response sets or removes.
    pub fn set_cookie(&self) -> Option<&str> {
        self.header("set-cookie")
    }

    /// Whether the response removes the session cookie.
    pub fn removes_cookie(&self) -> bool {
        self.set_cookie().is_some_and(|cookie| cookie.contains("Max-Age=0"))
    }

    /// Status and body, for comparing.
    pub fn text(&self) -> String {
        format!("{} {}", self.status, self.body)
    }
}

/// Sends a request with these header lines on a new connection.
pub async fn get(address: SocketAddr, path: &str, headers: &[u8]) -> Response {
    let mut request =
        format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n").into_bytes();
    request.extend(headers);
    request.extend(b"\r\n");
    only(exchange(address, &request).await)
}

fn only(mut responses: Vec<Response>) -> Response {
    assert_eq!(responses.len(), 1, "one response");
    responses.remove(0)
}

/// Sends bytes on one connection and reads responses until the server closes it.
pub async fn exchange(address: SocketAddr, request: &[u8]) -> Vec<Response> {
    let bytes = within("a response", exchange_bytes(address, request)).await;
    let mut responses = Vec::new();
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let (response, after) = whole_response(rest).expect("a whole response");
        responses.push(response);
        rest = after;
    }
    responses
}

async fn exchange_bytes(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    // A server that refuses a request may close before all of it is sent.
    let _ = stream.write_all(request).await;
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    bytes
}

/// The response at the beginning of the bytes, and what follows it; `None` while a part of it is
/// missing.
pub fn whole_response(bytes: &[u8]) -> Option<(Response, &[u8])> {
    let end = find(bytes, b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status line");
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let mut body = &bytes[end + 4..];
    let header = |name| headers.iter().find(|(there, _)| there == name).map(|(_, value)| value);
    let mut content = Vec::new();
    if header("transfer-encoding").is_some_and(|value| value == "chunked") {
        loop {
            let line = find(body, b"\r\n")?;
            let size = std::str::from_utf8(&body[..line]).expect("a chunk's size");
            let size = usize::from_str_radix(size, 16).expect("a chunk's size");
            content.extend(body.get(line + 2..line + 2 + size)?);
            body = body.get(line + 2 + size + 2..)?;
            if size == 0 {
                break;
            }
        }
    } else {
        let length = header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        content.extend(body.get(..length)?);
        body = &body[length..];
    }
    let body_text = String::from_utf8_lossy(&content).into_owned();
    let status = status.parse().expect("a status");
    Some((Response { status, headers, body: body_text }, body))
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
