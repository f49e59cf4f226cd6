//! The stories that a server can be narrowed to: each mode's tools, and its story by a real host.

use std::{collections::BTreeSet, process::Command};

use serde_json::json;

use crate::{
    host::{Host, Ways},
    model::Talk,
    repro_fix,
    script::Script,
    stage::{Stage, TEST},
    wire,
};

/// Of every mode.
const ALL: &str =
    "create list status logs exec exec_wait exec_stop file_list file_read export reset delete";

/// In the environment that needs nothing pulled, whatever the mode recommends.
fn create() -> serde_json::Value {
    json!({"name": "w", "environment": "host"})
}

fn in_mode(mode: &'static str) -> Ways {
    Ways { server: vec!["--mode", mode], ..Ways::default() }
}

/// The mode shows the tools of every mode and some of its own, and nothing else.
#[track_caller]
fn shows(host: Host, talk: &Talk, must: &str, may: &str) {
    let seen = wire::tools_told(host, &talk.turns);
    let seen: BTreeSet<String> =
        seen.iter().map(|tool| tool.name.trim_start_matches("workspace_").to_owned()).collect();
    let words =
        |text: &str| -> BTreeSet<String> { text.split_whitespace().map(str::to_owned).collect() };
    let must: BTreeSet<String> = words(ALL).union(&words(must)).cloned().collect();
    let may: BTreeSet<String> = must.union(&words(may)).cloned().collect();
    assert!(seen.is_superset(&must), "lacks {:?}", must.difference(&seen));
    assert!(seen.is_subset(&may), "has {:?} too", seen.difference(&may));
}

fn repairs(host: Host, ways: &Ways) {
    let Some(stage) = Stage::new(&[host]) else { return };
    let talk = stage.play(host, ways, repro_fix::story("fix"));
    shows(host, &talk, "update file_write file_edit diff", "summary patch_apply sync_push");
    repro_fix::the_patch_repairs(&stage, &talk);
}

#[test]
fn claude_repairs_in_the_mode_for_it() {
    repairs(Host::Claude, &in_mode("repro-fix"));
}

/// A model that Codex does not know sees the tools at once, and has its results cut earlier.
#[test]
fn codex_repairs_in_the_mode_for_it_with_an_unknown_model() {
    repairs(Host::Codex, &Ways { unknown_model: true, ..in_mode("repro-fix") });
}

#[test]
fn opencode_repairs_in_the_mode_for_it() {
    repairs(Host::Opencode, &in_mode("repro-fix"));
}

/// An environment of a few programs of this host: the mode refuses the host itself, and what it
/// recommends would have to be pulled.
fn tiny_environment(stage: &Stage) {
    let tar = stage.path("tiny.tar");
    let script = "set -e; programs='bash sh ls cat wc grep'; \
                  for program in $programs; do echo /bin/$program /usr/bin/$program; \
                  ldd /usr/bin/$program | grep -o '/[^ ]*' || true; done \
                  | tr ' ' '\\n' | sort -u | sed s,^/,, \
                  | tar --create --file \"$0\" --directory / --dereference --files-from -";
    let status = Command::new("bash").args(["-c", script]).arg(&tar).status().unwrap();
    assert!(status.success(), "{status}");
    let output = stage.cli(&["env", "import", "tiny", tar.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
}

/// A suspicious tree is looked at; only a report leaves.
#[test]
fn codex_inspects() {
    let Some(stage) = Stage::new(&[Host::Codex]) else { return };
    tiny_environment(&stage);
    let mut script = Script::new();
    script
        .call("workspace_create", json!({"name": "w"}), |got| {
            got.says(&[("network.policy", "off"), ("seed.files", "3")]);
        })
        .call("workspace_file_list", json!({"workspace": "w"}), |got| {
            assert!(got.rows("entries").len() >= 3, "{}", got.whole);
        })
        .call("workspace_file_read", json!({"workspace": "w", "path": "README.md"}), |got| {
            got.contains("Adds, or should.");
        })
        .call(
            "workspace_exec",
            json!({"workspace": "w", "command": "wc -l *.py > report.txt; grep : /proc/net/dev | grep -v lo: || echo no network"}),
            |got| {
                got.says(&[("exit_code", "0")]);
                assert_eq!(got.block("stdout"), "no network\n");
            },
        )
        .call(
            "workspace_export",
            json!({"workspace": "w", "path": "report.txt", "output": "report.txt"}),
            |got| {
                let report = std::fs::read_to_string(got.field("host_path")).unwrap();
                assert!(report.contains("calc.py"), "{report}");
            },
        )
        .call("workspace_delete", json!({"workspace": "w"}), |got| {
            got.says(&[]);
        });
    let ways = Ways { server: vec!["--mode=inspect", "--environment=tiny"], ..Ways::default() };
    let talk = stage.play(Host::Codex, &ways, script);
    shows(Host::Codex, &talk, "", "summary");
    stage.checkout_is_untouched();
}

/// From a fresh checkout to a report of its validation.
#[test]
fn opencode_starts_cold() {
    let Some(stage) = Stage::new(&[Host::Opencode]) else { return };
    let mut script = Script::new();
    script
        .call("workspace_create", create(), |got| {
            got.says(&[("state", "running"), ("seed.dirty", "false")]);
        })
        .call("workspace_file_list", json!({"workspace": "w"}), |got| {
            got.contains("test_calc.py");
        })
        .call(
            "workspace_exec",
            json!({"workspace": "w", "command": format!("{TEST} 2> report.txt; test $? = 1 && tail -n 1 report.txt")}),
            |got| {
                got.says(&[("exit_code", "0")]);
                assert_eq!(got.block("stdout"), "FAILED (failures=1)\n");
            },
        )
        .call("workspace_export", json!({"workspace": "w", "path": "report.txt"}), |got| {
            let report = std::fs::read_to_string(got.field("host_path")).unwrap();
            assert!(report.contains("test_add"), "{report}");
        })
        .call("workspace_delete", json!({"workspace": "w"}), |got| {
            got.says(&[]);
        });
    let talk = stage.play(Host::Opencode, &in_mode("cold-start"), script);
    let services = "service_start service_list service_status service_logs service_stop";
    shows(Host::Opencode, &talk, "", &format!("summary {services}"));
    stage.checkout_is_untouched();
}

/// A checklist is run, and the workspace goes back to where it began.
#[test]
fn claude_reviews() {
    let Some(stage) = Stage::new(&[Host::Claude]) else { return };
    let mut script = Script::new();
    script
        .call("workspace_create", create(), |got| {
            got.says(&[("state", "running")]);
        })
        .call("workspace_exec", json!({"workspace": "w", "command": TEST}), |got| {
            got.says(&[("exit_code", "1")]);
        })
        .call(
            "workspace_exec",
            json!({"workspace": "w", "command": "echo 1 of 2 > score"}),
            |got| {
                got.says(&[("exit_code", "0")]);
            },
        )
        .call("workspace_diff", json!({"workspace": "w"}), |got| {
            got.says(&[("created", "1"), ("modified", "0")]);
        })
        .call("workspace_export", json!({"workspace": "w", "path": "score"}), |got| {
            assert_eq!(std::fs::read_to_string(got.field("host_path")).unwrap(), "1 of 2\n");
        })
        .call("workspace_reset", json!({"workspace": "w"}), |got| {
            got.says(&[("changed_files", "0")]);
        })
        .call("workspace_delete", json!({"workspace": "w"}), |got| {
            got.says(&[]);
        });
    let talk = stage.play(Host::Claude, &in_mode("review-eval"), script);
    let later = "shell_open shell_read shell_write shell_signal shell_close \
                 snapshot_create snapshot_list snapshot_delete";
    shows(Host::Claude, &talk, "diff", &format!("summary {later}"));
    stage.checkout_is_untouched();
}
