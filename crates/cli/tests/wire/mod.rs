//! A process that is spoken to in JSON lines over its standard streams.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// How long anything may take before the test fails by name.
pub(crate) const CEILING: Duration = Duration::from_secs(60);

/// The process, and what it said that nobody has read yet.
pub(crate) struct Wire {
    pub(crate) child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<Value>,
    next: u64,
}

impl Wire {
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let value = serde_json::from_str(&line).unwrap_or(json!({ "garbage": line }));
                if send.send(value).is_err() {
                    return;
                }
            }
        });
        let stdin = child.stdin.take();
        Self { child, stdin, lines, next: 1 }
    }

    /// Bytes as they are.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// A message.
    pub(crate) fn tell(&mut self, message: &Value) {
        self.write(format!("{message}\n").as_bytes());
    }

    /// A request; its id.
    pub(crate) fn send(&mut self, method: &str, params: &Value) -> u64 {
        let id = self.next;
        self.next += 1;
        self.tell(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        id
    }

    /// The next message.
    pub(crate) fn receive(&self) -> Value {
        let message = self.lines.recv_timeout(CEILING).unwrap();
        assert!(message.get("garbage").is_none(), "{message}");
        message
    }

    /// The answer to a request; what comes in between is left out.
    pub(crate) fn answer(&self, id: u64) -> Value {
        loop {
            let message = self.receive();
            if message["id"] == id && message.get("method").is_none() {
                return message;
            }
        }
    }

    pub(crate) fn ask(&mut self, method: &str, params: &Value) -> Value {
        let id = self.send(method, params);
        self.answer(id)
    }

    /// Ends the input; how long the process then lived, and how it exited.
    pub(crate) fn end(&mut self) -> (Duration, Option<i32>) {
        let began = Instant::now();
        drop(self.stdin.take());
        let status = self.child.wait().unwrap();
        (began.elapsed(), status.code())
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
