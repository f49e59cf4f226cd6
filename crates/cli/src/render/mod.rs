//! Replies for a person: content as it is on standard output, pyro's own words on standard error.
//!
//! Read from the reply alone, so that a terminal shows nothing that the other doors do not get.

mod chat_host;
mod command;
mod table;

use pyro_operations::{
    Request,
    chat_host::{HostConnect, HostDisconnect, HostDoctor, HostPrintConfig, HostRepair},
    environment::EnvironmentList,
    exec::{VmRun, WorkspaceExec, WorkspaceExecStop, WorkspaceExecWait, WorkspaceLogs},
    file::{WorkspaceFileList, WorkspaceFileRead},
    host::Doctor,
    workspace::{WorkspaceDiff, WorkspaceList, WorkspacePrune},
};
use serde_json::Value;

use crate::{
    conveniences::Extra,
    follow::Followed,
    idiom::spoken,
    perform::Asked,
    terminal::{content, out, remark, say},
};

/// Shows a reply.
pub(crate) fn reply(
    asked: &Asked<'_>,
    request: &Value,
    reply: &Value,
    followed: Option<&Followed>,
) {
    let extra =
        [Extra::IdOnly, Extra::Detach, Extra::ContentOnly].into_iter().find(|e| asked.with(*e));
    match extra {
        Some(Extra::IdOnly) => return only(asked, &reply["workspace"], reply),
        Some(Extra::Detach) => return only(asked, &reply["exec_id"], reply),
        Some(Extra::ContentOnly) => return,
        _ => {}
    }
    match asked.operation.name {
        VmRun::NAME | WorkspaceExec::NAME => command::ended(asked, request, reply, followed),
        WorkspaceExecWait::NAME | WorkspaceExecStop::NAME => {
            command::output(reply, followed);
            verdict(asked, reply);
        }
        WorkspaceFileRead::NAME => file(asked, reply),
        WorkspaceDiff::NAME => diff(asked, reply),
        WorkspaceLogs::NAME if reply.get("output").is_some() => {
            content(reply["output"].as_str().unwrap_or_default().as_bytes());
            verdict(asked, reply);
        }
        WorkspaceLogs::NAME => {
            let columns = ["exec_id", "state", "exit_code", "duration_ms", "started_at", "command"];
            rows(asked, reply, "execs", &columns);
        }
        WorkspaceList::NAME => {
            let columns = [
                "name",
                "workspace",
                "state",
                "environment",
                "isolation",
                "changed_files",
                "last_activity_at",
                "labels",
            ];
            rows(asked, reply, "workspaces", &columns);
        }
        WorkspaceFileList::NAME => {
            rows(asked, reply, "entries", &["type", "bytes", "path", "target"]);
        }
        EnvironmentList::NAME => {
            rows(
                asked,
                reply,
                "environments",
                &["environment", "installed", "bytes", "used_by", "about"],
            );
        }
        WorkspacePrune::NAME => {
            let columns = [
                "name",
                "workspace",
                "changed_files",
                "unexported",
                "last_activity_at",
                "kept_patch",
            ];
            rows(asked, reply, "workspaces", &columns);
        }
        Doctor::NAME => doctor(asked, reply),
        HostConnect::NAME | HostDisconnect::NAME | HostRepair::NAME => {
            chat_host::changes(reply);
            verdict(asked, reply);
        }
        HostPrintConfig::NAME => {
            chat_host::config(reply);
            verdict(asked, reply);
        }
        HostDoctor::NAME => {
            chat_host::doctor(asked, reply);
            notices(asked, reply);
        }
        _ => plain(asked, reply),
    }
}

/// One line that a script takes.
fn only(asked: &Asked<'_>, value: &Value, reply: &Value) {
    say(value.as_str().unwrap_or_default());
    notices(asked, reply);
}

/// The verdict and what follows from it, on standard error.
fn verdict(asked: &Asked<'_>, reply: &Value) {
    if let Some(verdict) = reply["verdict"].as_str() {
        remark(&spoken(verdict, &asked.fields));
    }
    notices(asked, reply);
}

/// Warnings, and the next thing to do.
fn notices(asked: &Asked<'_>, reply: &Value) {
    for notice in reply["notices"].as_array().into_iter().flatten() {
        remark(&format!("notice: {}", spoken(notice.as_str().unwrap_or_default(), &asked.fields)));
    }
    if let (Some(tool), Some(why)) = (reply["next"]["tool"].as_str(), reply["next"]["why"].as_str())
    {
        remark(&format!("next: {}: {}", spoken(tool, &[]), spoken(why, &asked.fields)));
    }
}

/// Facts that are the answer: on standard output, as the other doors have them as text.
fn plain(asked: &Asked<'_>, reply: &Value) {
    let mut facts = reply.clone();
    if let Value::Object(fields) = &mut facts {
        fields.retain(|key, _| !matches!(key.as_str(), "notices" | "next"));
        if let Some(verdict) = fields.get_mut("verdict") {
            *verdict = Value::String(spoken(verdict.as_str().unwrap_or_default(), &asked.fields));
        }
    }
    say(&pyro_mcp::text::reply(&facts));
    notices(asked, reply);
}

/// A list as a table on standard output.
fn rows(asked: &Asked<'_>, reply: &Value, key: &str, columns: &[&str]) {
    let rows = reply[key].as_array().map_or(&[][..], Vec::as_slice);
    if !rows.is_empty() {
        out(table::draw(rows, columns).as_bytes());
    }
    verdict(asked, reply);
    if let Some(cursor) = reply["next_cursor"].as_str() {
        remark(&format!("more: --cursor {cursor}"));
    }
}

fn file(asked: &Asked<'_>, reply: &Value) {
    content(reply["content"].as_str().unwrap_or_default().as_bytes());
    verdict(asked, reply);
    if let Some(next) = reply["next_offset"].as_u64() {
        remark(&format!("more: --offset {next}, or the whole file with --content-only"));
    }
}

fn diff(asked: &Asked<'_>, reply: &Value) {
    match reply["patch"].as_str() {
        Some(patch) => out(patch.as_bytes()),
        None => {
            let rows = reply["files"].as_array().map_or(&[][..], Vec::as_slice);
            if !rows.is_empty() {
                let columns = ["change", "insertions", "deletions", "path", "from"];
                out(table::draw(rows, &columns).as_bytes());
            }
        }
    }
    verdict(asked, reply);
}

fn doctor(asked: &Asked<'_>, reply: &Value) {
    say(&spoken(reply["verdict"].as_str().unwrap_or_default(), &asked.fields));
    for check in reply["checks"].as_array().into_iter().flatten() {
        let mark = match (&check["ok"], &check["required"]) {
            (Value::Bool(true), _) => "ok  ",
            (_, Value::Bool(true)) => "FAIL",
            _ => "lack",
        };
        let text = |key: &str| check[key].as_str().unwrap_or_default();
        say(&format!("{mark}  {}: {}", text("check"), text("found")));
        if check["ok"] != true {
            say(&format!("      needed for: {}", text("needed_for")));
            if let Some(mend) = check["mend"].as_str() {
                say(&format!("      mend: {mend}"));
            }
        }
    }
    say(&format!(
        "machine: {}, isolation: {}, home: {}",
        reply["machine"].as_str().unwrap_or("none"),
        reply["isolation"].as_str().unwrap_or("none"),
        reply["home"].as_str().unwrap_or_default()
    ));
    for (key, columns) in [
        ("home_use", &["path", "entries", "holds"][..]),
        ("processes", &["pid", "workspace", "purpose"]),
    ] {
        let rows = reply[key].as_array().map_or(&[][..], Vec::as_slice);
        if !rows.is_empty() {
            out(table::draw(rows, columns).as_bytes());
        }
    }
    notices(asked, reply);
}
