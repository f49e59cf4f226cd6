//! The SDK is made from the list: every row is a method, and a failure is the one of all doors.

#![expect(clippy::unwrap_used, reason = "tests")]

use pyro::{Client, Code, Failure, Request, Settings, list::OPERATIONS};
use pyro_operations::for_each_operation;
use serde_json::json;

fn client() -> (tempfile::TempDir, Client) {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { home: folder.path().join("home"), ..Settings::default() };
    let client = Client::open(settings).unwrap();
    (folder, client)
}

/// The name in the list of the request that a method takes.
fn name<R: Request>(_method: fn(&Client, R) -> Result<R::Reply, Failure>) -> &'static str {
    R::NAME
}

macro_rules! methods {
    ($($name:ident: $request:ty,)+) => {
        vec![$((stringify!($name), name::<$request>(Client::$name))),+]
    };
}

#[test]
fn every_row_is_a_method_of_the_client() {
    let methods = for_each_operation!(methods);
    let rows: Vec<_> = OPERATIONS.iter().map(|row| (row.name, row.name)).collect();
    assert_eq!(methods, rows);
}

#[test]
fn the_same_failure_by_method_and_by_json() {
    let (_folder, client) = client();
    let by_method = client.workspace("no-such").status().unwrap_err();
    let context = client.context().unwrap();
    let by_json = client
        .call_json("workspace_status", &json!({"workspace": "no-such"}), &context)
        .unwrap_err();
    assert_eq!(by_method, by_json);
    assert_eq!(by_method.code, Code::NotFound);
}
