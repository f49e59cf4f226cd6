//! pyro killed between any two steps of a change, and the next call, whichever it is.

use crate::support::Home;
use serde_json::Value;

/// Calls that put right what they find; `{}` is the workspace that was being changed.
const REPAIRS: &[&[&str]] = &[
    &["workspace", "list"],
    &["doctor"],
    &["workspace", "status", "{}"],
    &["workspace", "delete", "{}"],
    &["workspace", "create", "--no-seed", "--name", "next"],
];

fn repair(home: &Home, call: &[&str], workspace: &str) -> Value {
    let call: Vec<&str> =
        call.iter().map(|word| if *word == "{}" { workspace } else { word }).collect();
    let reply = home.json(&call);
    if let Some(error) = reply.get("error") {
        assert_eq!(error["code"], "not_found", "{call:?}: {reply}");
    }
    reply
}

#[test]
fn create() {
    let home = Home::new();
    let points = ["locked", "recorded", "folder", "prepared", "started"];
    for point in points {
        for call in REPAIRS {
            let point = format!("create.{point}");
            home.killed_at(&point, &["workspace", "create", "--seed-path", ".", "--name", "new"]);
            repair(&home, call, "new");
            if call.contains(&"create") {
                home.assert_only(&["next"]);
                home.ok(&["workspace", "delete", "next"]);
            }
            home.assert_only(&[]);
        }
    }
    // The name was given back each time.
    home.create("new");
    assert_eq!(home.sh("new", "cat kept.txt"), "seeded\n");
}

#[test]
fn create_that_was_done_stays_done() {
    let home = Home::new();
    home.killed_at("create.live", &["workspace", "create", "--seed-path", ".", "--name", "new"]);
    home.assert_only(&["new"]);
    assert_eq!(home.sh("new", "cat kept.txt"), "seeded\n");
}

#[test]
fn run() {
    let home = Home::new();
    for point in [
        "create.recorded",
        "create.prepared",
        "run.started",
        "run.ended",
        "delete.ended",
        "delete.moved",
        "delete.removed",
        "delete.unlocked",
    ] {
        for call in [REPAIRS[0], REPAIRS[4]] {
            home.killed_at(point, &["run", "--", "sh", "-c", "echo said; touch file"]);
            repair(&home, call, "");
            if call.contains(&"create") {
                home.ok(&["workspace", "delete", "next"]);
            }
            home.assert_only(&[]);
        }
    }
}

#[test]
fn a_run_that_was_waited_for_again() {
    let home = Home::new();
    for point in ["delete.begun", "delete.ended", "delete.moved", "delete.removed"] {
        let run = home.ok(&["run", "--wait-s", "0", "--", "sh", "-c", "sleep 0.1; echo said"]);
        assert_eq!(run["state"], "running", "{run}");
        let (workspace, exec) =
            (run["workspace"].as_str().unwrap(), run["exec_id"].as_str().unwrap());
        home.killed_at(point, &["workspace", "exec-wait", workspace, exec]);
        home.assert_only(&[]);
    }
}

#[test]
fn exec() {
    let home = Home::new();
    home.create("w");
    for point in ["exec.connected", "exec.started", "exec.ended"] {
        let line = format!("echo begun {point}; sleep 0.2; seq 1 20000; echo ended >&2; exit 3");
        home.killed_at(point, &["workspace", "exec", "w", "--", "sh", "-c", &line]);
        let logs = home.ok(&["workspace", "logs", "w"]);
        let newest = logs["execs"].as_array().and_then(|rows| rows.first()).cloned();
        let of_this = newest.filter(|row| row["command"].as_str().unwrap().contains(point));
        let Some(row) = of_this else {
            assert_eq!(point, "exec.connected", "the started command is found: {logs}");
            continue;
        };
        assert_ne!(point, "exec.connected", "{logs}");
        let exec = row["exec_id"].as_str().unwrap();
        let reply = home.ok(&["workspace", "exec-wait", "w", exec]);
        assert_eq!(
            (&reply["state"], &reply["exit_code"]),
            (&"exited".into(), &3.into()),
            "{reply}"
        );
        assert_eq!(reply["stderr"], "ended\n");
        let mut output = String::new();
        loop {
            let at = output.len().to_string();
            let part = home.ok(&["workspace", "logs", "w", exec, "--offset", &at]);
            output.push_str(part["output"].as_str().unwrap());
            if part["eof"] == true {
                break;
            }
        }
        let numbers: String = (1..=20_000).map(|n| format!("{n}\n")).collect();
        assert_eq!(output, format!("begun {point}\n{numbers}"));
        assert_eq!(reply["stdout_bytes"], output.len());
    }
    home.assert_only(&["w"]);
}

#[test]
fn file_write_and_edit() {
    let home = Home::new();
    home.create("w");
    let content = |at: &str| home.sh("w", &format!("cat {at} 2>/dev/null || echo absent"));
    for (point, wanted) in [("write.begun", "old\n"), ("write.done", "new\n")] {
        home.sh("w", "echo old > there; rm -f fresh");
        // Counted, so that a change that nobody noted would be believed to be none.
        home.ok(&["workspace", "diff", "w"]);
        home.killed_at(point, &["workspace", "file", "write", "w", "there", "--text", "new\n"]);
        assert_eq!(content("there"), wanted);
        home.ok(&["workspace", "diff", "w"]);
        home.killed_at(point, &["workspace", "file", "write", "w", "fresh", "--text", "new\n"]);
        let status = home.ok(&["workspace", "status", "w"]);
        assert!(status.get("changed_files").is_none(), "counted after a write: {status}");
        assert_eq!(content("fresh"), if wanted == "new\n" { "new\n" } else { "absent\n" });
        home.ok(&["workspace", "reset", "w"]);
        // Nothing half made under another name.
        assert_eq!(home.sh("w", "ls -A | tr '\\n' ' '"), "kept.txt ");
    }
    for (point, wanted) in [("edit.begun", "seeded\n"), ("edit.done", "edited\n")] {
        home.ok(&["workspace", "diff", "w"]);
        let edit = [
            "workspace",
            "file",
            "edit",
            "w",
            "kept.txt",
            "--old-string",
            "seeded",
            "--new-string",
            "edited",
        ];
        home.killed_at(point, &edit);
        let status = home.ok(&["workspace", "status", "w"]);
        assert!(status.get("changed_files").is_none(), "counted after an edit: {status}");
        assert_eq!(content("kept.txt"), wanted);
        home.ok(&["workspace", "reset", "w"]);
    }
    home.assert_only(&["w"]);
}

#[test]
fn a_write_that_was_never_noted_is_kept_by_delete() {
    let home = Home::new();
    home.create("w");
    home.killed_at(
        "write.done",
        &["workspace", "file", "write", "w", "made", "--text", "by hand\n"],
    );
    let reply = home.ok(&["workspace", "delete", "w"]);
    assert_eq!(reply["unexported"], true, "{reply}");
    let patch = std::fs::read_to_string(reply["kept_patch"].as_str().unwrap()).unwrap();
    assert!(patch.contains("+by hand"), "{patch}");
}

#[test]
fn reset() {
    let home = Home::new();
    home.create("w");
    for point in ["begun", "ended", "renewed", "started", "done"] {
        for call in [
            REPAIRS[0],
            REPAIRS[1],
            REPAIRS[2],
            &["workspace", "reset", "{}"],
            &["workspace", "file", "list", "{}"],
        ] {
            home.sh("w", "echo changed > kept.txt; echo new > new.txt; echo root > /root/mark");
            let detached =
                home.ok(&["workspace", "exec", "w", "--wait-s", "0", "--", "sleep", "1000"]);
            assert_eq!(detached["state"], "running");
            home.killed_at(&format!("reset.{point}"), &["workspace", "reset", "w"]);
            repair(&home, call, "w");
            home.assert_only(&["w"]);
            let found = home.sh("w", "cat kept.txt; ls -A; ls /root");
            assert_eq!(found, "seeded\nkept.txt\n", "{point} {call:?}");
            let exec = detached["exec_id"].as_str().unwrap();
            let reply = home.ok(&["workspace", "exec-wait", "w", exec]);
            assert_eq!(reply["state"], "cancelled", "{reply}");
            assert_eq!(home.ok(&["workspace", "diff", "w"])["patch_bytes"], 0);
        }
    }
}

#[test]
fn reset_between_its_renames() {
    let home = Home::new();
    home.create("w");
    for (before, moved) in [&[][..], &["root"], &["tree"]].into_iter().enumerate() {
        home.sh("w", "echo changed > kept.txt; echo root > /root/mark");
        home.killed_at("reset.ended", &["workspace", "reset", "w"]);
        // As a kill between the machine's own steps leaves it.
        let folder = std::fs::read_dir(home.home().join("workspaces")).unwrap().next().unwrap();
        let folder = folder.unwrap().path();
        let id = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let trash = home.home().join("trash").join(format!("{id}-{}", before + 1));
        std::fs::create_dir(&trash).unwrap();
        for part in moved {
            std::fs::rename(folder.join(part), trash.join(part)).unwrap();
        }
        home.ok(&["workspace", "status", "w"]);
        let found = home.sh("w", "cat kept.txt; ls /root");
        assert_eq!(found, "seeded\n", "moved before: {moved:?}");
        home.assert_only(&["w"]);
    }
}

#[test]
fn delete() {
    let home = Home::new();
    for point in ["begun", "ended", "moved", "removed", "unlocked"] {
        for call in REPAIRS {
            home.create("w");
            home.sh("w", "echo changed > kept.txt; (sleep 1000 &) ");
            home.killed_at(&format!("delete.{point}"), &["workspace", "delete", "w"]);
            repair(&home, call, "w");
            if call.contains(&"create") {
                home.assert_only(&["next"]);
                home.ok(&["workspace", "delete", "next"]);
            }
            home.assert_only(&[]);
        }
    }
}
