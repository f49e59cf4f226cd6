//! The MCP server over HTTP for real: the binary, spoken to in HTTP by hand, so that what no client
//! library would send is sent too.

#![expect(clippy::unwrap_used, reason = "tests")]

mod home;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use home::Home;
use serde_json::{Value, json};

/// How long anything may take before the test fails by name.
const CEILING: Duration = Duration::from_secs(30);

struct Server {
    child: Child,
    at: SocketAddr,
    token: String,
}

/// What came back.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    /// The JSON-RPC message in it, alone or as the last event of a stream.
    fn message(&self) -> Value {
        let data = self.body.lines().filter_map(|line| line.strip_prefix("data:"));
        let text = data.map(str::trim).rfind(|text| !text.is_empty()).unwrap_or(&self.body);
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn header(&self, name: &str) -> Option<String> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    }
}

impl Server {
    fn start(home: &Home) -> Self {
        let mut child = home
            .pyro(&["mcp", "serve", "--http", "127.0.0.1:0"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut words = BufReader::new(child.stderr.take().unwrap());
        words.read_line(&mut said).unwrap();
        let url = said.split_whitespace().find_map(|word| word.strip_prefix("http://"));
        let url = url.unwrap_or_else(|| panic!("no address in {said}"));
        let at = url.trim_end_matches("/mcp").parse().unwrap();
        // What else it says is not waited for, and must not stop it.
        std::thread::spawn(move || std::io::copy(&mut words, &mut std::io::sink()));
        let file = home.path().join("mcp-token");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let token = std::fs::read_to_string(file).unwrap().trim().to_owned();
        Self { child, at, token }
    }

    /// Sends bytes as they are, and reads until the server closes.
    fn exchange(&self, bytes: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.at).unwrap();
        stream.set_read_timeout(Some(CEILING)).unwrap();
        // It may refuse before it has read all.
        let _ = stream.write_all(bytes);
        let mut read = Vec::new();
        let _ = stream.read_to_end(&mut read);
        let text = String::from_utf8_lossy(&read);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text.as_ref(), ""));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    fn send(&self, method: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut text = format!("{method} /mcp HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            text.push_str(&format!("Host: {}\r\n", self.at));
        }
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        self.exchange(text.as_bytes())
    }

    /// A message with the token, and more headers.
    fn post(&self, more: &[(&str, &str)], message: &Value) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let mut headers = vec![
            ("Authorization", bearer.as_str()),
            ("Content-Type", "application/json"),
            ("Accept", "application/json, text/event-stream"),
        ];
        headers.extend(more);
        self.send("POST", &headers, &message.to_string())
    }

    /// A session of the older era.
    fn session(&self) -> String {
        let answer = self.post(&[], &hello());
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.message()["result"]["serverInfo"]["name"], "pyro");
        let session = answer.header("mcp-session-id").unwrap();
        let began = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        let answer = self.post(&[("Mcp-Session-Id", &session)], &began);
        assert_eq!(answer.status, 202, "{answer:?}");
        session
    }

    fn call(&self, session: &str, id: u64, tool: &str, arguments: &Value) -> Value {
        let params = json!({"name": tool, "arguments": arguments});
        let message = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params});
        let answer = self.post(&[("Mcp-Session-Id", session)], &message);
        assert_eq!(answer.status, 200, "{answer:?}");
        let message = answer.message();
        assert_eq!(message["id"], id, "{message}");
        message["result"].clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn hello() -> Value {
    json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "0"},
    }})
}

#[test]
fn a_story_over_http_in_both_eras() {
    let home = Home::new();
    let server = Server::start(&home);
    let session = server.session();
    let made = server.call(&session, 1, "workspace_create", &json!({"name": "w", "no_seed": true}));
    if made["structuredContent"]["error"]["code"] == "host_unfit" {
        let _ = writeln!(std::io::stderr(), "SKIPPED: no machine can run here: {made}");
        return;
    }
    assert_eq!(made["isError"], false, "{made}");
    let ran =
        server.call(&session, 2, "workspace_exec", &json!({"workspace": "w", "command": "echo a"}));
    assert_eq!(ran["structuredContent"]["stdout"], "a\n", "{ran}");
    // Another session sees the same workspaces; the newer era needs none.
    let other = server.session();
    assert_ne!(other, session);
    let gone = server.call(&other, 1, "workspace_delete", &json!({"workspace": "w"}));
    assert_eq!(gone["isError"], false, "{gone}");
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "0"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let params = json!({"name": "workspace_list", "arguments": {}, "_meta": meta});
    let message = json!({"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": params});
    let headers = [
        ("MCP-Protocol-Version", "2026-07-28"),
        ("Mcp-Method", "tools/call"),
        ("Mcp-Name", "workspace_list"),
    ];
    let answer = server.post(&headers, &message);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.message()["result"]["structuredContent"]["verdict"].is_string(), "{answer:?}");
}

#[test]
fn nothing_is_answered_without_the_token() {
    let home = Home::new();
    let server = Server::start(&home);
    let json = ("Content-Type", "application/json");
    let accept = ("Accept", "application/json, text/event-stream");
    let half = format!("Bearer {}", &server.token[..40]);
    let basic = format!("Basic {}", server.token);
    let wrong =
        [None, Some("Bearer "), Some(half.as_str()), Some(basic.as_str()), Some("Bearer x")];
    for given in wrong {
        let mut headers = vec![json, accept];
        headers.extend(given.map(|value| ("Authorization", value)));
        for method in ["POST", "GET", "DELETE", "OPTIONS", "PUT"] {
            let answer = server.send(method, &headers, &hello().to_string());
            assert_eq!(answer.status, 401, "{method} {given:?}: {answer:?}");
            assert!(!answer.body.contains("serverInfo"), "{answer:?}");
        }
    }
    // In the address it is no token.
    let target = format!(
        "POST /mcp?token={} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        server.token
    );
    assert_eq!(server.exchange(target.as_bytes()).status, 401);
}

#[test]
fn names_and_origins_of_others_are_refused() {
    let home = Home::new();
    let server = Server::start(&home);
    for host in ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "[::2]"] {
        let answer = server.post(&[("Host", host)], &hello());
        assert!((400..500).contains(&answer.status), "{host}: {answer:?}");
    }
    for origin in ["http://evil.example", "https://127.0.0.1.evil.example", "null", "file://"] {
        let answer = server.post(&[("Origin", origin)], &hello());
        assert_eq!(answer.status, 403, "{origin}: {answer:?}");
    }
    let answer = server.post(&[("Origin", "http://localhost:6274")], &hello());
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[test]
fn floods_and_garbage_are_bounded() {
    let home = Home::new();
    let server = Server::start(&home);
    let bearer = format!("Authorization: Bearer {}", server.token);
    let garbage: [Vec<u8>; 6] = [
        b"\0\0\0\0\r\n\r\n".to_vec(),
        b"GET\r\n\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        format!("GET /mcp HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(1 << 20)).into_bytes(),
        format!("POST /mcp HTTP/1.1\r\nHost: localhost\r\n{bearer}\r\nContent-Length: 99999999999999999999\r\n\r\n").into_bytes(),
        format!("POST /elsewhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{bearer}\r\nContent-Length: 0\r\n\r\n").into_bytes(),
    ];
    for bytes in garbage {
        let answer = server.exchange(&bytes);
        assert!(answer.status == 0 || answer.status >= 400, "{answer:?}");
    }
    let long =
        json!({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"x": "x".repeat(17 << 20)}});
    let answer = server.post(&[], &long);
    assert!(answer.status == 413 || answer.status == 0, "{}", answer.status);
    // More connections than it takes at once: those that say nothing are put out.
    let silent: Vec<_> = (0..200).map(|_| TcpStream::connect(server.at).unwrap()).collect();
    drop(silent);
    let mut refused = None;
    for _ in 0..70 {
        let answer = server.post(&[], &hello());
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.unwrap();
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.body.contains("DELETE"), "{refused:?}");
}

#[test]
fn strangers_keep_nobody_out_and_a_version_opens_no_more_sessions() {
    let home = Home::new();
    let server = Server::start(&home);
    // More than there are places, each in the middle of a head.
    let strangers: Vec<_> = (0..300)
        .map(|_| {
            let mut stream = TcpStream::connect(server.at).unwrap();
            stream.write_all(b"POST /mcp HTTP/1.1\r\nHost: x\r\n").unwrap();
            stream
        })
        .collect();
    let began = Instant::now();
    let mut statuses = Vec::new();
    for _ in 0..66 {
        let answer = server.post(&[("Mcp-Protocol-Version", "2025-11-25")], &hello());
        statuses.push(answer.status);
    }
    // Heads are waited for a minute.
    assert!(began.elapsed() < CEILING, "{:?}", began.elapsed());
    assert_eq!(statuses[0], 200, "{statuses:?}");
    assert_eq!(statuses.last(), Some(&503), "{statuses:?}");
    drop(strangers);
}

#[test]
fn an_address_that_others_reach_is_refused() {
    let home = Home::new();
    for (address, code) in [("0.0.0.0:0", 5), ("example.org:80", 2), ("8080", 2)] {
        let output = home.run(&["mcp", "serve", "--http", address]);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
    }
}

#[test]
fn a_command_goes_on_when_an_http_client_goes_away() {
    let home = Home::new();
    let server = Server::start(&home);
    if home.workspace("w").is_none() {
        return;
    }
    let session = server.session();
    let params = json!({"name": "workspace_exec", "arguments": {
        "workspace": "w", "command": "touch begun; sleep 2; echo done >end",
    }});
    let message = json!({"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": params});
    let body = message.to_string();
    let mut stream = TcpStream::connect(server.at).unwrap();
    let request = format!(
        "POST /mcp HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nMcp-Session-Id: {session}\r\n\
         Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
         Content-Length: {}\r\n\r\n{body}",
        server.at,
        server.token,
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    wait_for_file(&home, "begun");
    drop(stream);
    // And its session with it.
    let bearer = format!("Bearer {}", server.token);
    let headers = [("Authorization", bearer.as_str()), ("Mcp-Session-Id", session.as_str())];
    let answer = server.send("DELETE", &headers, "");
    assert!(answer.status < 300, "{answer:?}");
    wait_for_file(&home, "end");
}

fn wait_for_file(home: &Home, name: &str) {
    let until = Instant::now() + CEILING;
    let line = format!("until [ -e {name} ]; do sleep 0.05; done");
    while Instant::now() < until {
        let output =
            home.run(&["workspace", "exec", "w", "--timeout-s", "20", "--", "sh", "-c", &line]);
        if output.status.success() {
            return;
        }
    }
    panic!("{name} never came");
}
