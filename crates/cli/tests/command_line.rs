//! The command line as a person and a script use it: output, errors, exit codes.

#![expect(clippy::unwrap_used, reason = "tests")]

mod home;

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::Stdio,
};

use home::Home;

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_failure_exits_with_its_code_and_says_what_to_do() {
    let home = Home::new();
    let output = home.run(&["workspace", "status", "nope"]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(text(&output.stdout), "");
    let said = text(&output.stderr);
    assert!(said.starts_with("error: workspace `nope` does not exist [not_found]\n hint: "));
    assert!(said.contains("pyro workspace list"), "hints are commands here: {said}");

    let output = home.run(&["workspace", "status", "nope", "--json"]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(text(&output.stderr), "");
    let reply: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(reply["error"]["code"], "not_found");
    assert!(reply["error"]["hint"].as_str().unwrap().contains("workspace_list"));
}

#[test]
fn mistakes_in_the_arguments_are_usage_errors() {
    let home = Home::new();
    let code = |arguments: &[&str]| home.run(arguments).status.code();
    assert_eq!(code(&["workspace", "status"]), Some(2));
    assert_eq!(code(&["workspace", "status", "a", "--no-such-flag"]), Some(2));
    assert_eq!(code(&["no-such-command"]), Some(2));
    assert_eq!(code(&["workspace", "list", "--limit", "0"]), Some(2));
    assert_eq!(code(&["run", "--no-such-flag", "--", "true"]), Some(125));
    let output = home.run(&["run", "cargo", "test"]);
    assert_eq!(output.status.code(), Some(125));
    assert!(text(&output.stderr).contains("put `--` before the command"));
    let output = home.run(&["run", "cargo", "--", "test"]);
    assert!(text(&output.stderr).contains("put `--` before it"), "{output:?}");
    let reply = home.json(&["workspace", "file", "read", "w"]);
    assert_eq!(reply["error"]["code"], "invalid_argument");
    assert!(reply["error"]["message"].as_str().unwrap().contains("<PATH>"), "{reply}");
}

#[test]
fn help_is_on_standard_output_and_no_failure() {
    let home = Home::new();
    for arguments in [&["--help"][..], &["run", "--help"], &["help", "workspace", "exec"]] {
        let output = home.run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(text(&output.stdout).contains("Usage: pyro"));
    }
    assert!(text(&home.run(&["completions", "bash"]).stdout).contains("workspace"));
    assert!(text(&home.run(&["man"]).stdout).contains("pyro workspace file write"));
}

#[test]
fn pyro_alone_says_five_lines() {
    let home = Home::new();
    let output = home.run(&[]);
    assert_eq!(text(&output.stdout).lines().count(), 5, "{output:?}");
}

#[test]
fn a_command_is_followed_and_exits_as_itself() {
    let home = Home::new();
    if home.workspace("w").is_none() {
        return;
    }
    let exec = |words: &[&str]| {
        let mut arguments = vec!["workspace", "exec", "w", "--"];
        arguments.extend(words);
        home.run(&arguments)
    };
    let output = exec(&["sh", "-c", "printf out; printf err >&2; exit 3"]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!((text(&output.stdout), text(&output.stderr)), ("out", "err"));
    assert_eq!(exec(&["sh", "-c", "kill -9 $$"]).status.code(), Some(137));
    assert_eq!(exec(&["no-such-program"]).status.code(), Some(127));
    assert_eq!(exec(&["printf", "%s|", "a b", "it's"]).stdout, b"a b|it's|");
    let output = home.run(&["workspace", "exec", "w", "--timeout-s", "1", "--", "sleep", "60"]);
    assert_eq!(output.status.code(), Some(124));
    assert_eq!(home.run(&["workspace", "exec", "nope", "--", "true"]).status.code(), Some(125));

    let output = home.run(&["workspace", "exec", "w", "--detach", "--", "echo", "later"]);
    let id = text(&output.stdout).trim().to_owned();
    assert!(id.starts_with("ex_"), "{output:?}");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&home.run(&["workspace", "exec-wait", "w", &id]).stdout), "later\n");
    assert_eq!(text(&home.run(&["workspace", "logs", "w", &id]).stdout), "later\n");
}

#[test]
fn output_comes_while_the_command_runs_and_ctrl_c_ends_it() {
    let home = Home::new();
    if home.workspace("w").is_none() {
        return;
    }
    let mut child = home
        .pyro(&["workspace", "exec", "w", "--", "sh", "-c", "echo begun; sleep 600"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "begun\n");
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let execs = home.json(&["workspace", "logs", "w"]);
    assert_eq!(execs["execs"][0]["state"], "cancelled", "{execs}");
}

#[test]
fn a_reader_that_goes_away_ends_the_command() {
    let home = Home::new();
    if home.workspace("w").is_none() {
        return;
    }
    let mut child =
        home.pyro(&["workspace", "exec", "w", "--", "yes"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 2];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(141));
    let execs = home.json(&["workspace", "logs", "w"]);
    assert_eq!(execs["execs"][0]["state"], "cancelled", "{execs}");
}

#[test]
fn content_goes_in_and_out_byte_by_byte() {
    let home = Home::new();
    if home.workspace("w").is_none() {
        return;
    }
    // Larger than one reply, and no UTF-8.
    let bytes: Vec<u8> = (0..200_000u32).map(|n| (n * 31 % 251) as u8).collect();
    let mut child = home
        .pyro(&["workspace", "file", "write", "w", "dir/bin", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&bytes).unwrap();
    assert!(child.wait().unwrap().success());
    let read = home.run(&["workspace", "file", "read", "w", "dir/bin", "--content-only"]);
    assert_eq!(read.stdout, bytes);

    home.run(&["workspace", "file", "write", "w", "t", "--text", "no newline"]);
    let read = home.run(&["workspace", "file", "read", "w", "t"]);
    assert_eq!(text(&read.stdout), "no newline");
    let file = home.project().join("from-file");
    std::fs::write(&file, "x\ny\n").unwrap();
    home.run(&["workspace", "file", "write", "w", "f", "--text-file", "from-file"]);
    let read = home.run(&["workspace", "file", "read", "w", "f", "--content-only"]);
    assert_eq!(text(&read.stdout), "x\ny\n");
}

#[test]
fn the_whole_diff_is_printed_and_applies() {
    let home = Home::new();
    if home.workspace("w").is_none() {
        return;
    }
    // Several replies long.
    let lines: String = (0..20_000).map(|n| format!("line {n}\n")).collect();
    std::fs::write(home.project().join("long"), &lines).unwrap();
    home.run(&["workspace", "file", "write", "w", "long", "--text-file", "long"]);
    std::fs::remove_file(home.project().join("long")).unwrap();
    let diff = home.run(&["workspace", "diff", "w"]);
    assert!(diff.status.success());
    assert!(text(&diff.stderr).contains("1 file"), "{}", text(&diff.stderr));
    let mut git = std::process::Command::new("git")
        .arg("apply")
        .current_dir(home.project())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    git.stdin.take().unwrap().write_all(&diff.stdout).unwrap();
    assert!(git.wait().unwrap().success());
    assert_eq!(std::fs::read_to_string(home.project().join("long")).unwrap(), lines);
}

#[test]
fn several_are_deleted_and_the_first_failure_is_the_exit_code() {
    let home = Home::new();
    if home.workspace("a").is_none() || home.workspace("b").is_none() {
        return;
    }
    let output = home.run(&["workspace", "delete", "a", "nope", "b"]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(home.json(&["workspace", "list"])["workspaces"].as_array().unwrap().len(), 0);
}

#[test]
fn prune_wants_yes_where_nobody_can_be_asked() {
    let home = Home::new();
    if home.workspace("w").is_none() {
        return;
    }
    // Nothing is stopped, so there is nothing to ask about.
    assert_eq!(home.run(&["workspace", "prune"]).status.code(), Some(0));
    assert_eq!(home.json(&["workspace", "list"])["workspaces"].as_array().unwrap().len(), 1);
}
