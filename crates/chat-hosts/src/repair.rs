//! `host_repair`: servers made what they should be, with every flag that they were given.

use std::path::PathBuf;

use pyro_operations::chat_host::{
    ChatHost, ConnectionState, HostDoctor, HostRepair, HostRepaired, RepairedRow, SERVER_NAME,
    Scope,
};

use crate::{
    Result, Surroundings,
    connect::{line, written},
    doctor::of_host,
    examine::Examined,
    hosts::Host,
    reach::{Reached, Target, reach},
    record::{Book, Record},
};

/// Repairs.
///
/// # Errors
/// What cannot be changed.
pub fn repair(here: &Surroundings, request: &HostRepair) -> Result<HostRepaired> {
    let book = Book::open(&here.records)?;
    let records = book.records()?;
    let asked: &[ChatHost] = match &request.chat_host {
        Some(one) => std::slice::from_ref(one),
        None => ChatHost::WRITTEN,
    };
    let question = HostDoctor {
        chat_host: request.chat_host,
        server: request.server.clone(),
        scope: request.scope,
        name: request.name.clone(),
    };
    let mut reply = HostRepaired {
        verdict: String::new(),
        hosts: Vec::new(),
        changes: Vec::new(),
        backups: Vec::new(),
        notices: Vec::new(),
    };
    for chat_host in asked {
        let host = written(*chat_host)?;
        let found = of_host(here, host, &question, &records)?;
        if found.is_empty() && request.chat_host.is_some() {
            // Named, and not there: to make it right is to connect it.
            let scope = request.scope.unwrap_or(Scope::User);
            let name = request.name.as_deref().unwrap_or(SERVER_NAME);
            let line = line(here, scope, &request.server)?;
            let (only, allow, afresh) = (false, false, true);
            let target = Target { host, scope, name, line, only, allow, afresh };
            take(&mut reply, reach(here, &book, &target)?);
            let now = of_host(here, host, &question, &book.records()?)?;
            rows(&mut reply, host, &[], now);
            continue;
        }
        let mut before = Vec::new();
        for (scope, name, examined) in found {
            let named = request.chat_host.is_some();
            let record = records.iter().find(|record| {
                (record.chat_host, record.scope, &record.name) == (*chat_host, scope, &name)
                    && record.file == host.place(here, scope).file
            });
            // What was never connected is not connected in passing.
            let ours = named || record.is_some() || examined.found.is_some();
            if examined.repairable && ours && examined.state != ConnectionState::Connected {
                one(here, &book, &mut reply, host, (scope, &name), &examined, record)?;
            }
            before.push((scope, name, examined.state));
        }
        let now = of_host(here, host, &question, &book.records()?)?;
        rows(&mut reply, host, &before, now);
    }
    let left = reply.hosts.iter().filter(|row| row.state != ConnectionState::Connected).count();
    let mended = reply.hosts.iter().filter(|row| row.was != row.state).count();
    reply.verdict = match (mended, left) {
        (0, 0) if reply.hosts.is_empty() => "pyro is connected nowhere".to_owned(),
        (0, 0) if reply.changes.is_empty() => "nothing was to be repaired".to_owned(),
        (n, 0) => format!("{n} repaired"),
        (n, left) => format!("{n} repaired, {left} left"),
    };
    Ok(reply)
}

fn one(
    here: &Surroundings,
    book: &Book,
    reply: &mut HostRepaired,
    host: &dyn Host,
    (scope, name): (Scope, &str),
    examined: &Examined,
    record: Option<&Record>,
) -> Result<()> {
    let mut only: Vec<PathBuf> = record.map(|record| record.only.clone()).unwrap_or_default();
    if record.is_none() && examined.only {
        only.push(here.project());
    }
    let mut projects: Vec<PathBuf> = only.iter().filter(|path| path.is_dir()).cloned().collect();
    // This one last: what the chat host is set to elsewhere stays.
    projects.retain(|project| *project != here.project());
    projects.push(here.project());
    for project in projects {
        let target = Target {
            host,
            scope,
            name,
            line: examined.wanted.clone(),
            only: only.contains(&project),
            allow: examined.allow,
            afresh: true,
        };
        let there = if scope == Scope::User {
            Surroundings { cwd: project, ..here.clone() }
        } else {
            here.clone()
        };
        take(reply, reach(&there, book, &target)?);
    }
    Ok(())
}

fn take(reply: &mut HostRepaired, reached: Reached) {
    reply.changes.extend(reached.changes);
    reply.backups.extend(reached.backups);
}

fn rows(
    reply: &mut HostRepaired,
    host: &dyn Host,
    before: &[(Scope, String, ConnectionState)],
    now: Vec<(Scope, String, Examined)>,
) {
    for (scope, name, examined) in now {
        let was = before.iter().find(|(s, n, _)| (*s, n) == (scope, &name));
        reply.notices.extend(examined.notice.clone());
        reply.hosts.push(RepairedRow {
            chat_host: host.chat_host(),
            name: Some(name.clone()),
            scope: Some(scope),
            was: was.map_or(ConnectionState::Missing, |(_, _, state)| *state),
            state: examined.state,
            problem: examined.problem,
        });
    }
}
