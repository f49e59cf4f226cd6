//! Human mode shows whole things where the reply is a part: the diff, a file's bytes, a command's
//! kept output.

use pyro::{Client, Context, Failure, exec::WorkspaceLogs, file::WorkspaceFileRead};
use pyro_operations::{Code, Request, workspace::WorkspaceDiff};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{conveniences::Extra, perform::Asked};

/// The reply, whole.
pub(crate) fn whole(
    asked: &Asked<'_>,
    client: &Client,
    request: &Value,
    context: &Context,
) -> Result<Value, Failure> {
    let name = asked.operation.name;
    let part_was_asked_for = ["offset", "limit"].iter().any(|key| request.get(key).is_some());
    match name {
        WorkspaceDiff::NAME if !part_was_asked_for => {
            let typed: WorkspaceDiff = typed(request)?;
            let reply = pyro::pages::diff(client, &typed, context)?;
            serde_json::to_value(reply).map_err(|error| broken(&error))
        }
        WorkspaceFileRead::NAME if asked.with(Extra::ContentOnly) => {
            let typed: WorkspaceFileRead = typed(request)?;
            let bytes = pyro::pages::file(client, &typed.workspace, &typed.path, context)?;
            crate::terminal::out(&bytes);
            Ok(json!({}))
        }
        WorkspaceLogs::NAME if request.get("exec_id").is_some() && !part_was_asked_for => {
            logs(client, request, context)
        }
        _ => client.call_json(name, request, context),
    }
}

/// All output that is kept so far. A command that still runs is not waited for.
fn logs(client: &Client, request: &Value, context: &Context) -> Result<Value, Failure> {
    let mut request = request.clone();
    request["limit"] = json!(40_000);
    let mut whole = client.call_json(WorkspaceLogs::NAME, &request, context)?;
    let mut output = whole["output"].as_str().unwrap_or_default().to_owned();
    while let Some(offset) = whole["next_offset"].as_u64() {
        if request["offset"].as_u64().is_some_and(|before| before >= offset) {
            break;
        }
        request["offset"] = json!(offset);
        let part = client.call_json(WorkspaceLogs::NAME, &request, context)?;
        let text = part["output"].as_str().unwrap_or_default();
        if text.is_empty() {
            break;
        }
        output.push_str(text);
        whole = part;
    }
    whole["output"] = Value::String(output);
    Ok(whole)
}

fn typed<T: DeserializeOwned>(request: &Value) -> Result<T, Failure> {
    serde_json::from_value(request.clone()).map_err(|error| {
        Failure::new(Code::InvalidArgument, format!("read the arguments: {error}"))
    })
}

fn broken(error: &serde_json::Error) -> Failure {
    Failure::new(Code::Internal, format!("write the reply: {error}"))
}
