//! `host_doctor`: how pyro stands in each chat host.

use pyro_operations::chat_host::{
    ChatHost, ConnectionState, HostDoctor, HostDoctorReport, HostRow, SERVER_NAME, Scope,
};

use crate::{
    Result, Surroundings,
    apply::read,
    connect::written,
    document,
    examine::{Examined, Which, examine, names},
    hosts::Host,
    record::{Book, Record},
    trial,
};

/// Looks at every server.
///
/// # Errors
/// When what was recorded cannot be read.
pub fn doctor(here: &Surroundings, request: &HostDoctor) -> Result<HostDoctorReport> {
    let records = Book::open(&here.records)?.records()?;
    let asked: &[ChatHost] = match &request.chat_host {
        Some(one) => std::slice::from_ref(one),
        None => ChatHost::WRITTEN,
    };
    let (mut rows, mut notices) = (Vec::new(), Vec::new());
    for chat_host in asked {
        let host = written(*chat_host)?;
        let program = here.program(host.program());
        let version = program.as_ref().and_then(|program| trial::version(here, program));
        let row = HostRow {
            chat_host: *chat_host,
            state: ConnectionState::Unavailable,
            problem: None,
            installed: program.is_some(),
            program: program.map(|program| program.display().to_string()),
            version,
            name: None,
            scope: None,
            file: None,
            command: Vec::new(),
            only: false,
            allow: false,
            differences: Vec::new(),
            server: None,
            mend: None,
        };
        let found = of_host(here, host, request, &records)?;
        if found.is_empty() {
            rows.push(without(here, row.clone(), request));
        }
        for (scope, name, examined) in found {
            notices.extend(examined.notice.clone());
            rows.push(with(here, host, row.clone(), scope, &name, examined));
        }
    }
    let healthy = rows.iter().all(|row| row.mend.is_none());
    Ok(HostDoctorReport {
        verdict: verdict(&rows),
        healthy,
        binary: here.binary.display().to_string(),
        hosts: rows,
        notices,
    })
}

fn verdict(rows: &[HostRow]) -> String {
    let count = |state| rows.iter().filter(|row| row.state == state).count();
    let mut parts = Vec::new();
    for state in [
        ConnectionState::Connected,
        ConnectionState::Drifted,
        ConnectionState::Missing,
        ConnectionState::Unavailable,
    ] {
        if count(state) > 0 {
            parts.push(format!("{} {}", count(state), state.as_str()));
        }
    }
    parts.join(", ")
}

/// Every server of pyro in a chat host: those that are there, and those that were set up.
pub(crate) fn of_host(
    here: &Surroundings,
    host: &dyn Host,
    request: &HostDoctor,
    records: &[Record],
) -> Result<Vec<(Scope, String, Examined)>> {
    let mut found = Vec::new();
    for scope in Scope::ALL.iter().filter(|scope| request.scope.is_none_or(|s| s == **scope)) {
        let place = host.place(here, *scope);
        let document = read(&place);
        let of_file = |record: &&Record| {
            record.chat_host == host.chat_host()
                && record.scope == *scope
                && record.file == place.file
        };
        let mut all: Vec<String> =
            records.iter().filter(of_file).map(|record| record.name.clone()).collect();
        match &document {
            Ok(document) => {
                all.extend(names(host, document));
                // Somebody else's server of that name is in the way.
                let name = request.name.as_deref().unwrap_or(SERVER_NAME).to_owned();
                let key = [host.servers(document, None), vec![name.clone()]].concat();
                all.extend(document::at(document, &key).map(|_| name));
            }
            // Whatever stands in there, it is no server that a chat host can start.
            Err(_) => all.push(request.name.clone().unwrap_or_else(|| SERVER_NAME.to_owned())),
        }
        all.sort();
        all.dedup();
        for name in all.into_iter().filter(|n| request.name.as_ref().is_none_or(|asked| asked == n))
        {
            let record = records.iter().filter(of_file).find(|record| record.name == name);
            let given = &request.server;
            let which = Which { host, scope: *scope, name: &name, record, given };
            let examined = examine(here, &which, &document)?;
            found.push((*scope, name, examined));
        }
    }
    Ok(found)
}

fn without(here: &Surroundings, row: HostRow, request: &HostDoctor) -> HostRow {
    if !row.installed {
        return row;
    }
    let scope = request.scope.unwrap_or(Scope::User);
    let name = request.name.as_deref().unwrap_or(SERVER_NAME);
    HostRow {
        state: ConnectionState::Missing,
        mend: Some(here.command("connect", row.chat_host, scope, name)),
        ..row
    }
}

fn with(
    here: &Surroundings,
    host: &dyn Host,
    row: HostRow,
    scope: Scope,
    name: &str,
    examined: Examined,
) -> HostRow {
    let mend = match examined.state {
        ConnectionState::Connected | ConnectionState::Unavailable => None,
        _ if examined.repairable => Some(here.command("repair", row.chat_host, scope, name)),
        ConnectionState::Missing => Some(format!("pyro host connect {} --as NAME", row.chat_host)),
        // What the server says by itself tells more than pyro can.
        ConnectionState::Drifted => Some(match &examined.found {
            Some(line) => format!("run `{}` to see what it says", line.words().join(" ")),
            None => "see the problem".to_owned(),
        }),
    };
    HostRow {
        state: examined.state,
        problem: examined.problem,
        name: Some(name.to_owned()),
        scope: Some(scope),
        file: Some(host.place(here, scope).file.display().to_string()),
        command: examined.found.map(|line| line.words()).unwrap_or_default(),
        only: examined.only,
        allow: examined.allow,
        differences: examined.differences,
        server: examined.answer,
        mend,
        ..row
    }
}
