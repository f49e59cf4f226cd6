//! Starts a server the way its chat host does, says hello, and hears what it answers: within a
//! bounded time, and with nothing left running.

use std::{
    ffi::OsString,
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use pyro_operations::chat_host::{ChatHost, ServerAnswer};
use serde_json::{Value, json};

use crate::{Surroundings, program::Family, server::CommandLine};

/// Far more than a start takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a server may take to see that nobody speaks to it any more.
const END_PATIENCE: Duration = Duration::from_secs(2);
/// No answer to a hello is longer.
const MOST_BYTES: u64 = 1 << 20;
/// What Codex hands on to its servers.
const CODEX_HANDS_ON: &[&str] = &["HOME", "PATH", "TERM"];

/// What the server answers; why not, in words, if it does not.
pub(crate) fn answer(
    here: &Surroundings,
    chat_host: ChatHost,
    program: &Path,
    line: &CommandLine,
) -> Result<ServerAnswer, String> {
    let begun = Instant::now();
    let project = here.project();
    let mut command = Command::new(program);
    command
        .args(&line.arguments)
        .env_clear()
        .envs(variables(here, chat_host, &project))
        .current_dir(&project)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut family =
        Family::start(&mut command).map_err(|error| format!("it cannot be started: {error}"))?;
    let (stdin, stdout) = (family.0.stdin.take(), family.0.stdout.take());
    let (Some(mut stdin), Some(stdout)) = (stdin, stdout) else {
        return Err("it cannot be spoken to".to_owned());
    };
    let (told, heard) = mpsc::channel();
    // Ends with the pipe, which ends with the family.
    std::thread::spawn(move || {
        let mut lines = BufReader::new(stdout.take(MOST_BYTES)).lines().map_while(Result::ok);
        let _ = told.send(lines.find_map(|line| answer_in(&line)));
        lines.for_each(drop);
    });
    let mut complaint = family.0.stderr.take();
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": {"name": "pyro host doctor", "version": env!("CARGO_PKG_VERSION")},
    }});
    // One that ended already is heard of below.
    let _ = writeln!(stdin, "{hello}");
    let answered = heard.recv_timeout(PATIENCE);
    let took = begun.elapsed();
    drop(stdin);
    match answered {
        Ok(Some(answer)) => {
            // The end of its output is its own end; if it does not come, the family is ended.
            let _ = heard.recv_timeout(END_PATIENCE);
            Ok(ServerAnswer {
                answered_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                ..answer
            })
        }
        Ok(None) => {
            drop(family);
            let mut words = Vec::new();
            let _ = complaint.as_mut().map(|said| said.take(4_000).read_to_end(&mut words));
            let words = String::from_utf8_lossy(&words);
            let first: Vec<&str> = words.lines().take(2).map(str::trim).collect();
            Err(match first.as_slice() {
                [] => "it ended without an answer".to_owned(),
                lines => format!("it ended without an answer: {}", lines.join("; ")),
            })
        }
        Err(_) => Err(format!("it does not answer within {} s", PATIENCE.as_secs())),
    }
}

fn variables(
    here: &Surroundings,
    chat_host: ChatHost,
    project: &Path,
) -> Vec<(OsString, OsString)> {
    let all = here.variables.iter().map(|(name, value)| (name.clone(), value.clone()));
    if chat_host != ChatHost::Codex {
        return all.collect();
    }
    let handed_on = |name: &OsString| CODEX_HANDS_ON.iter().any(|known| *known == name);
    let pwd = (OsString::from("PWD"), project.into());
    all.filter(|(name, _)| handed_on(name)).chain([pwd]).collect()
}

fn answer_in(line: &str) -> Option<ServerAnswer> {
    let message: Value = serde_json::from_str(line).ok()?;
    if message["id"] != 1 {
        return None;
    }
    let said = |value: &Value| value.as_str().unwrap_or("?").chars().take(80).collect::<String>();
    let result = message.get("result")?;
    let server = &result["serverInfo"];
    Some(ServerAnswer {
        server: format!("{} {}", said(&server["name"]), said(&server["version"])),
        protocol: said(&result["protocolVersion"]),
        answered_ms: 0,
    })
}
