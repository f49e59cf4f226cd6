//! The scripted model: an HTTP server on loopback that answers each turn of a chat host with the
//! next call of the script, and keeps every request. Whatever the script does not expect ends the
//! talk and is shown by the test.

use std::{
    any::Any,
    collections::VecDeque,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;

use crate::{
    host::Host,
    received::Received,
    script::{Script, Step},
    wire,
};

/// What the model says, in any dialect.
pub(crate) enum Says<'a> {
    Call {
        id: &'a str,
        tool: &'a str,
        arguments: &'a Value,
    },
    /// Codex keeps tools back until a model that can search asks for them.
    Search {
        id: &'a str,
    },
    Text(&'a str),
}

pub(crate) struct Model {
    pub(crate) port: u16,
    told: Arc<Mutex<Told>>,
}

/// How far the talk is.
struct Told {
    host: Host,
    steps: VecDeque<Step>,
    /// The call that was made last, until its result comes.
    open: Option<(String, Open)>,
    calls: usize,
    searched: bool,
    received: Vec<Received>,
    turns: Vec<Value>,
    wrong: Option<String>,
    over: bool,
}

/// What remains of a step once its arguments are made.
struct Open {
    tool: &'static str,
    arguments: Value,
    check: Box<dyn FnOnce(&Received) + Send>,
}

/// What a talk left behind.
pub(crate) struct Talk {
    pub(crate) received: Vec<Received>,
    /// The bodies of the requests that were turns of the talk.
    pub(crate) turns: Vec<Value>,
    pub(crate) wrong: Option<String>,
    pub(crate) over: bool,
}

impl Model {
    pub(crate) fn start(listener: TcpListener, host: Host, script: Script) -> Self {
        let port = listener.local_addr().unwrap().port();
        let told = Arc::new(Mutex::new(Told {
            host,
            steps: script.steps,
            open: None,
            calls: 0,
            searched: false,
            received: Vec::new(),
            turns: Vec::new(),
            wrong: None,
            over: false,
        }));
        let shared = Arc::clone(&told);
        // Ends with the test's process; a connection that breaks off is the host's affair.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let told = Arc::clone(&shared);
                std::thread::spawn(move || serve(&stream, &told));
            }
        });
        Self { port, told }
    }

    pub(crate) fn talk(&self) -> Talk {
        let mut told = lock(&self.told);
        Talk {
            received: std::mem::take(&mut told.received),
            turns: std::mem::take(&mut told.turns),
            wrong: told.wrong.clone(),
            over: told.over,
        }
    }
}

fn lock(told: &Mutex<Told>) -> MutexGuard<'_, Told> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: &TcpStream, told: &Mutex<Told>) {
    let Some((method, path, body)) = request(stream) else { return };
    let (status, kind, answer) = answer(&method, &path, &body, told);
    let mut stream = stream;
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{answer}",
        answer.len()
    );
}

/// Reads one request: method, path without its query, body.
fn request(stream: &TcpStream) -> Option<(String, String, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let method = words.next()?.to_owned();
    let path = words.next()?.split('?').next()?.to_owned();
    let (mut length, mut chunked) = (0, false);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim_end().to_ascii_lowercase();
        match line.split_once(':') {
            Some(("content-length", value)) => length = value.trim().parse().ok()?,
            Some(("transfer-encoding", value)) => chunked = value.contains("chunked"),
            Some(("expect", _)) => write!(&*stream, "HTTP/1.1 100 Continue\r\n\r\n").ok()?,
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    while chunked {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let size = usize::from_str_radix(line.trim().split(';').next()?, 16).ok()?;
        let mut chunk = vec![0; size + 2];
        reader.read_exact(&mut chunk).ok()?;
        body.extend_from_slice(&chunk[..size]);
        chunked = size > 0;
    }
    Some((method, path, body))
}

type Answer = (&'static str, &'static str, String);

fn answer(method: &str, path: &str, body: &[u8], told: &Mutex<Told>) -> Answer {
    let mut told = lock(told);
    let host = told.host;
    if method != "POST" || !wire::is_turn(host, path) {
        return aside(method, path, body, &mut told);
    }
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        told.wrong = Some(format!("{method} {path}: no JSON: {}", String::from_utf8_lossy(body)));
        return ("400 Bad Request", "text/plain", String::new());
    };
    if let Some(folder) = std::env::var_os("PYRO_TEST_TALK") {
        let name = format!("{host:?}-{}-{}.json", told.turns.len(), std::process::id());
        let _ = std::fs::write(std::path::Path::new(&folder).join(name), body.to_string());
    }
    if !wire::has_tools(&body) {
        return wire::say(host, &body, &Says::Text("{\"title\": \"A story\"}"));
    }
    told.turns.push(body.clone());
    if !told.searched && wire::hides_tools(host, &body) {
        told.searched = true;
        return wire::say(host, &body, &Says::Search { id: "search_1" });
    }
    let said = told.turn(&body);
    match said {
        Ok(Some((id, tool, arguments))) => {
            wire::say(host, &body, &Says::Call { id: &id, tool, arguments: &arguments })
        }
        Ok(None) => wire::say(host, &body, &Says::Text("The end.")),
        Err(wrong) => {
            told.wrong.get_or_insert(wrong);
            wire::say(host, &body, &Says::Text("Something went wrong."))
        }
    }
}

impl Told {
    /// One turn: takes in the result of the last call, and says the next.
    fn turn(&mut self, body: &Value) -> Result<Option<(String, &'static str, Value)>, String> {
        if self.wrong.is_some() {
            return Err(String::new());
        }
        if let Some((id, step)) = self.open.take() {
            let Some(whole) = wire::result(self.host, body, &id) else {
                return Err(format!("no result of {} {}: {body:#}", step.tool, step.arguments));
            };
            let received = Received::new(self.host, whole);
            self.received.push(received.clone());
            let checked = catch_unwind(AssertUnwindSafe(|| (step.check)(&received)));
            checked.map_err(|panic| {
                format!("{} {}: {}", step.tool, brief(&step.arguments), message(&*panic))
            })?;
        } else if self.calls > 0 {
            return Err(format!("a turn after the end: {body:#}"));
        }
        let Some(Step { tool, arguments, check }) = self.steps.pop_front() else {
            self.over = true;
            return Ok(None);
        };
        let received = &self.received;
        let arguments = catch_unwind(AssertUnwindSafe(|| arguments(received)))
            .map_err(|panic| format!("arguments of {tool}: {}", message(&*panic)))?;
        self.calls += 1;
        let id = wire::call_id(self.host, self.calls);
        self.open = Some((id.clone(), Open { tool, arguments: arguments.clone(), check }));
        Ok(Some((id, tool, arguments)))
    }
}

/// What hosts ask beside their turns; anything else is unexpected.
fn aside(method: &str, path: &str, body: &[u8], told: &mut Told) -> Answer {
    if !wire::is_known(method, path) {
        let body = String::from_utf8_lossy(body);
        told.wrong.get_or_insert(format!("unexpected request: {method} {path}: {body}"));
    }
    ("404 Not Found", "application/json", "{\"error\": {\"message\": \"not here\"}}".to_owned())
}

fn brief(arguments: &Value) -> String {
    arguments.to_string().chars().take(300).collect()
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("panicked").to_owned()
}
