//! Replies that could be large, as each host hands them to the model: whole, with the verdict first
//! and with what was left out said, never cut by the host or put into a file of its own.

use serde_json::json;

use crate::{
    host::{Host, Ways},
    received::Received,
    script::Script,
    stage::Stage,
};

/// opencode's other ceiling.
const OPENCODE_LINES: usize = 2_000;
/// What a model can ask for at most.
const MOST: u64 = 45_000;

/// Lines of 14 characters and 25 bytes each, 5 MB in all.
fn wide_lines() -> String {
    (0..200_000).map(|n| format!("{n:06} éß日本語🦀☃\n")).collect()
}

const WIDE: &str = "python3 -c \"for n in range(200000): print(f'{n:06} éß日本語🦀☃')\"";

fn short_lines() -> String {
    (1..=100_000).map(|n| format!("{n}\n")).collect()
}

const SHORT: &str = "seq 1 100000";

/// What the host handed on is what the server sent.
#[track_caller]
fn is_whole(got: &Received) {
    let characters = got.whole.chars().count();
    assert!(characters <= got.host.ceiling(), "{characters} characters");
    if got.host == Host::Opencode {
        let lines = got.whole.lines().count();
        assert!(got.whole.len() <= 51_200, "{} bytes", got.whole.len());
        assert!(lines <= OPENCODE_LINES, "{lines} lines");
    } else {
        assert!(got.json.is_some(), "no whole JSON: {}", got.whole);
    }
    assert!(!got.verdict().is_empty(), "{}", got.whole);
    assert!(got.find("error").is_none(), "{}", got.whole);
}

/// The reply of a command that wrote `all`: its head and its tail, and the truth about the middle.
#[track_caller]
fn is_head_and_tail_of(got: &Received, all: &str) {
    is_whole(got);
    got.says(&[("state", "exited"), ("exit_code", "0")]);
    got.says(&[("stdout_bytes", &all.len().to_string()), ("stderr_bytes", "0")]);
    assert_eq!(got.block("stderr"), "");
    let shown = got.block("stdout");
    let (head, rest) = shown.split_once("[... ").unwrap_or_else(|| panic!("{shown}"));
    let (mark, tail) = rest.split_once(" ...]\n").unwrap();
    assert!(all.starts_with(head) && all.ends_with(tail), "{shown}");
    let omitted = all.len() - head.len() - tail.len();
    assert!(head.len() > 1_000 && tail.len() > 1_000, "{} and {}", head.len(), tail.len());
    assert!(mark.starts_with(&format!("{omitted} bytes left out")), "{mark}");
    let row = format!("stream: stdout, offset: {}, bytes: {omitted}", head.len());
    assert_eq!(got.rows("omitted"), [row]);
}

fn large_replies() -> Script {
    let mut script = Script::new();
    script.call("workspace_create", json!({"name": "w", "no_seed": true}), |got| {
        got.says(&[("name", "w")]);
    });
    for most in [None, Some(MOST)] {
        let ask = move |command: &str| match most {
            None => json!({"workspace": "w", "command": command}),
            Some(most) => json!({"workspace": "w", "command": command, "max_output_chars": most}),
        };
        script
            .call("workspace_exec", ask(WIDE), |got| is_head_and_tail_of(got, &wide_lines()))
            .call("workspace_exec", ask(SHORT), |got| is_head_and_tail_of(got, &short_lines()))
            .call("workspace_exec", ask("yes '' | head -n 50000"), |got| {
                is_whole(got);
                got.says(&[("exit_code", "0"), ("stdout_bytes", "50000")]);
            })
            .call("workspace_exec", ask("head -c 5000000 /dev/zero | tr '\\0' '\"'"), |got| {
                is_whole(got);
                got.says(&[("exit_code", "0"), ("stdout_bytes", "5000000")]);
            })
            .call("workspace_exec", ask("seq 1 30000; seq 1 30000 >&2"), |got| {
                is_whole(got);
                assert_eq!(got.rows("omitted").len(), 2, "{}", got.whole);
            });
    }
    files(&mut script);
    changes(&mut script);
    script.call("workspace_delete", json!({"workspace": "w"}), is_whole);
    script
}

/// Long files, long lines and long lists.
fn files(script: &mut Script) {
    let make = "seq 1 100000 > short; \
                python3 -c \"for n in range(50000): print(f'{n:06} éß日本語🦀☃')\" > wide; \
                head -c 500000 /dev/zero | tr '\\0' x > line; \
                mkdir many; cd many; seq -f 'a-file-with-a-rather-long-name-%05g' 1 5000 | xargs touch";
    script.call("workspace_exec", json!({"workspace": "w", "command": make}), |got| {
        got.says(&[("exit_code", "0")]);
    });
    for (path, start) in [("short", "1\n2\n3\n"), ("wide", "000000 éß日本語🦀☃\n")] {
        script.call("workspace_file_read", json!({"workspace": "w", "path": path}), move |got| {
            is_whole(got);
            let content = got.block("content");
            assert!(content.starts_with(start) && content.len() > 4_000, "{content}");
            let next: u64 = got.field("next_offset").parse().unwrap();
            assert!(next > 0, "{}", got.whole);
        });
    }
    // The next part begins where the first ended.
    script.call_with(
        "workspace_file_read",
        |so_far| {
            let first = so_far.iter().rev().nth(1).unwrap();
            let offset: u64 = first.field("next_offset").parse().unwrap();
            json!({"workspace": "w", "path": "short", "offset": offset, "limit": 5000})
        },
        |got| {
            is_whole(got);
            let offset: u64 = got.field("offset").parse().unwrap();
            let content = got.block("content");
            let first: u64 = content.lines().next().unwrap().parse().unwrap();
            // Offsets count lines from 0 here, and line n of the file says n + 1.
            assert_eq!(first, offset + 1, "{}", got.verdict());
        },
    );
    script.call("workspace_file_read", json!({"workspace": "w", "path": "line"}), |got| {
        is_whole(got);
        assert!(got.block("content").len() > 20_000, "{}", got.verdict());
        got.contains("line 1 is longer than a part");
    });
    for limit in [500, 5_000] {
        let ask = json!({"workspace": "w", "path": "many", "limit": limit});
        script.call("workspace_file_list", ask, move |got| {
            is_whole(got);
            got.says(&[("truncated", "true")]);
            assert!(got.rows("entries").len() > 100, "{}", got.verdict());
        });
    }
}

/// A diff of many files and of a large one, and the records of commands.
fn changes(script: &mut Script) {
    for ask in [
        json!({"workspace": "w"}),
        json!({"workspace": "w", "max_output_chars": MOST}),
        json!({"workspace": "w", "paths": ["wide"], "max_output_chars": MOST}),
        json!({"workspace": "w", "paths": ["short"], "max_output_chars": MOST}),
    ] {
        let all = ask.get("paths").is_none();
        script.call("workspace_diff", ask, move |got| {
            is_whole(got);
            let created: usize = got.field("created").parse().unwrap();
            assert!(if all { created > 5_000 } else { created == 1 }, "{}", got.whole);
            let next: u64 = got.field("next_offset").parse().unwrap();
            assert!(next > 0, "{}", got.whole);
        });
    }
    script.call("workspace_diff", json!({"workspace": "w", "stat": true}), is_whole);
    script.call("workspace_logs", json!({"workspace": "w"}), |got| {
        is_whole(got);
        assert!(got.rows("execs").len() > 5, "{}", got.whole);
    });
    for (back, all) in [(2_usize, wide_lines as fn() -> String), (1, short_lines)] {
        script.call_with(
            "workspace_logs",
            move |so_far| {
                let run = so_far.iter().filter_map(|got| got.find("exec_id")).nth(2 - back);
                json!({"workspace": "w", "exec_id": run.unwrap(), "offset": 56, "limit": 40_000})
            },
            move |got| {
                is_whole(got);
                let output = got.block("output");
                // The text form ends its blocks with a line's end.
                assert!(all()[56..].starts_with(output.trim_end()), "{output}");
                let next: u64 = got.field("next_offset").parse().unwrap();
                assert!(next > 1_000, "{}", got.whole);
            },
        );
    }
}

fn plays(host: Host) {
    let Some(stage) = Stage::new(&[host]) else { return };
    stage.play(host, &Ways::default(), large_replies());
}

#[test]
fn claude_spills_nothing() {
    plays(Host::Claude);
}

#[test]
fn codex_cuts_nothing() {
    plays(Host::Codex);
}

#[test]
fn opencode_cuts_nothing() {
    plays(Host::Opencode);
}
