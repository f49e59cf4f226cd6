//! The same server over HTTP, on a loopback address: several clients, each with a session (or, in
//! the newer era, none).
//!
//! Promises: nothing is answered without the token; only this host's own names are taken as `Host`
//! and `Origin`, so that no web page reaches it by a name of its own; connections, sessions,
//! headers and bodies are bounded. It runs until the process is ended; commands go on.

mod token;

use std::{
    collections::VecDeque,
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use pyro_operations::{Code, Failure};
use rmcp::transport::{
    StreamableHttpServerConfig, StreamableHttpService,
    streamable_http_server::session::local::LocalSessionManager,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::AbortHandle,
};

use crate::{
    Serving,
    server::{Server, Shared},
};
use token::Token;

/// Where the protocol is spoken.
const PATH: &str = "/mcp";
/// Connections at once; more wait, or take the place of one that has not shown the token.
const CONNECTIONS: usize = 128;
/// Sessions at once.
const SESSIONS: usize = 64;
/// How long a client may take from one request to the end of the next one's head.
const HEAD_WITHIN: Duration = Duration::from_secs(60);
/// A request's head is no longer.
const HEAD_BYTES: usize = 32 << 10;
/// A request's body is no longer: the largest file that can be written, escaped.
const BODY_BYTES: usize = 16 << 20;
/// The header of a session.
const SESSION: &str = "mcp-session-id";
/// The header of the protocol's version, which the request that opens a session may lack.
const VERSION: &str = "mcp-protocol-version";
/// Versions from this on have no sessions.
const NEWER: &[u8] = b"2026";

type Answer = Response<BoxBody<Bytes, Infallible>>;

/// The address that `--http` names.
///
/// # Errors
/// `invalid_argument` for what is no address; `not_permitted` for one that others can reach.
pub fn address(text: &str) -> Result<SocketAddr, Failure> {
    let named = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    let address: SocketAddr = named.as_deref().unwrap_or(text).parse().map_err(|_| {
        Failure::new(
            Code::InvalidArgument,
            format!("--http: `{text}` is not an address and a port"),
        )
        .hint("use 127.0.0.1:PORT; port 0 takes a free one")
    })?;
    let loopback = match address.ip() {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback(),
    };
    if loopback {
        return Ok(address);
    }
    Err(Failure::new(
        Code::NotPermitted,
        format!("--http: {} can be reached from other hosts", address.ip()),
    )
    .hint("use 127.0.0.1:PORT; for another host, a tunnel such as `ssh -L`"))
}

/// Serves clients at this address until the process ends. `announce` hears where, and in which file
/// the token stands.
///
/// # Errors
/// `host_unfit` when it cannot listen; what `Token::of` fails with.
pub fn serve_http(
    serving: Serving,
    address: SocketAddr,
    announce: impl FnOnce(&str, &std::path::Path),
) -> Result<(), Failure> {
    let token = Token::of(&serving.settings.home)?;
    let unfit = |what: &str, error: std::io::Error| {
        Failure::new(Code::HostUnfit, format!("{what}: {error}"))
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| unfit("start the server's event loop", error))?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| unfit(&format!("listen at {address}"), error))
            .map_err(|failure| failure.hint("take another port; port 0 takes a free one"))?;
        let at = listener.local_addr().map_err(|error| unfit("listen", error))?;
        announce(&format!("http://{at}{PATH}"), &token.path);
        accept(listener, Gate::new(serving, token)).await
    })
}

async fn accept(listener: TcpListener, gate: Arc<Gate>) -> Result<(), Failure> {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut strangers = Strangers::default();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, most likely: somebody has to end first.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        if places.available_permits() == 0 {
            strangers.turn_one_out();
        }
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return Ok(()) };
        let known = Arc::new(AtomicBool::new(false));
        let conversation = converse(stream, Arc::clone(&gate), Arc::clone(&known));
        let task = tokio::spawn(async move {
            conversation.await;
            drop(place);
        });
        strangers.note(known, task.abort_handle());
    }
}

/// Connections on which nobody showed the token so far, oldest first. Every user of the host can
/// make them: where all places are taken the oldest goes, so that nobody is kept out by them.
#[derive(Default)]
struct Strangers(VecDeque<(Arc<AtomicBool>, AbortHandle)>);

impl Strangers {
    fn note(&mut self, known: Arc<AtomicBool>, task: AbortHandle) {
        self.0.retain(|(known, task)| !known.load(Ordering::Relaxed) && !task.is_finished());
        self.0.push_back((known, task));
    }

    fn turn_one_out(&mut self) {
        self.0.retain(|(known, task)| !known.load(Ordering::Relaxed) && !task.is_finished());
        if let Some((_, task)) = self.0.pop_front() {
            task.abort();
        }
    }
}

async fn converse(stream: TcpStream, gate: Arc<Gate>, known: Arc<AtomicBool>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let (gate, known) = (Arc::clone(&gate), Arc::clone(&known));
        async move { Ok::<_, Infallible>(gate.answer(request, &known).await) }
    });
    // What goes wrong with a connection is the client's to see.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// What stands between a connection and the server.
struct Gate {
    token: Token,
    sessions: Arc<LocalSessionManager>,
    service: StreamableHttpService<Server, LocalSessionManager>,
    /// Never set: such a server ends with its process.
    _leave: watch::Sender<bool>,
}

impl Gate {
    fn new(serving: Serving, token: Token) -> Arc<Self> {
        let (leave, leaving) = watch::channel(false);
        let shared = Shared::new(serving);
        let sessions = Arc::new(LocalSessionManager::default());
        let names = ["localhost", "127.0.0.1", "[::1]", "::1"];
        let origins = ["http://localhost:*", "http://127.0.0.1:*", "http://[::1]:*"];
        let config = StreamableHttpServerConfig::default()
            .with_allowed_hosts(names)
            .with_allowed_origins(origins)
            .with_max_request_body_bytes(BODY_BYTES);
        let factory = move || Ok(Server::new(Arc::clone(&shared), leaving.clone()));
        let service = StreamableHttpService::new(factory, Arc::clone(&sessions), config);
        Arc::new(Self { token, sessions, service, _leave: leave })
    }

    /// `known` becomes true once the token was shown.
    async fn answer(&self, request: Request<Incoming>, known: &AtomicBool) -> Answer {
        let headers = request.headers();
        if !self.token.is_in(headers.get(header::AUTHORIZATION).map(|value| value.as_bytes())) {
            let words = "the bearer token is missing or wrong; the server said at its start in which file it stands\n";
            let mut refused = plain(StatusCode::UNAUTHORIZED, words);
            let scheme = header::HeaderValue::from_static("Bearer");
            refused.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
            return refused;
        }
        known.store(true, Ordering::Relaxed);
        if request.uri().path() != PATH {
            return plain(StatusCode::NOT_FOUND, "MCP is spoken at /mcp\n");
        }
        // The newer era has no sessions, and names itself in each request.
        let older = headers.get(VERSION).is_none_or(|version| version.as_bytes() < NEWER);
        let opens = headers.get(SESSION).is_none() && older;
        if opens && self.sessions.sessions.read().await.len() >= SESSIONS {
            let words = "there are as many sessions as this server takes; end one with DELETE\n";
            return plain(StatusCode::SERVICE_UNAVAILABLE, words);
        }
        self.service.handle(request).await
    }
}

fn plain(status: StatusCode, words: &'static str) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from_static(words.as_bytes())).boxed());
    *answer.status_mut() = status;
    let text = header::HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, text);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_listened_at() {
        assert_eq!(address("127.0.0.1:0").unwrap().port(), 0);
        assert_eq!(address("localhost:81").unwrap().to_string(), "127.0.0.1:81");
        assert!(address("[::1]:81").is_ok() && address("127.9.9.9:81").is_ok());
        for text in ["0.0.0.0:81", "[::]:81", "192.168.0.1:81", "[::ffff:127.0.0.1]:81"] {
            assert_eq!(address(text).unwrap_err().code, Code::NotPermitted, "{text}");
        }
        for text in ["", "81", "127.0.0.1", "example.org:81", "127.0.0.1:99999", "unix:/x"] {
            assert_eq!(address(text).unwrap_err().code, Code::InvalidArgument, "{text}");
        }
    }
}
