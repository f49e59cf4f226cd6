//! The same operations in a microVM: what a workspace is does not depend on its machine; what ends
//! a VM is told, and its disk is kept.
//!
//! All over one home, which any number of engines may use at once: kernel, environment and template
//! are made once. Needs `PYRO_TEST_KERNEL` (a kernel's image), `PYRO_TEST_MODULES` (a directory of
//! its modules) and `PYRO_TEST_ROOTFS` (a Debian root), and root for that Debian's owners.

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
};

use pyro_engine::{Config, Context, Engine, Live};
use pyro_operations::Code;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::support::{Home, is_root, settings, skip, text, wait_until};

const ENVIRONMENT: &str = "vm-debian";

/// What the environment of the test says.
fn given() -> Option<(PathBuf, PathBuf, PathBuf)> {
    let path = |name| std::env::var_os(name).map(PathBuf::from);
    let (kernel, modules) = (path("PYRO_TEST_KERNEL")?, path("PYRO_TEST_MODULES")?);
    Some((kernel, modules, path("PYRO_TEST_ROOTFS")?))
}

fn config() -> Config {
    Config {
        machine: Some("microvm".to_owned()),
        environment: Some(ENVIRONMENT.to_owned()),
        memory_mib: Some(512),
        cpus: Some(1),
        ..Config::default()
    }
}

/// A folder of the test's own, and the home that all of them share, with everything in it.
fn home() -> Option<Home> {
    let Some((kernel, modules, rootfs)) = given() else {
        skip("microvm", "PYRO_TEST_KERNEL, PYRO_TEST_MODULES and PYRO_TEST_ROOTFS are not set");
        return None;
    };
    if !is_root() {
        skip("microvm", "the Debian of the tests belongs to root");
        return None;
    }
    let shared = Path::new(env!("CARGO_TARGET_TMPDIR")).join("engine-microvms");
    fs::create_dir_all(&shared).unwrap();
    let lock = File::create(shared.join("lock")).unwrap();
    lock.lock().unwrap();
    let home = Home::shared(Engine::open(settings(&shared, config())).unwrap());
    let ready = shared.join("ready");
    let key = format!("{kernel:?} {modules:?} {rootfs:?}");
    if fs::read_to_string(&ready).ok().as_ref() != Some(&key) {
        let image = home.path("vmlinuz");
        fs::copy(&kernel, &image).unwrap();
        symlink(&modules, home.path("vmlinuz.modules")).unwrap();
        let archive = home.path("rootfs.tar");
        let packed = Command::new("tar")
            .args(["--numeric-owner", "-cf"])
            .arg(&archive)
            .arg("-C")
            .arg(&rootfs)
            .arg(".")
            .status();
        assert!(packed.unwrap().success());
        home.ok("environment_import", json!({"environment": ENVIRONMENT, "path": archive}));
        let pulled =
            home.ok("environment_pull", json!({"environment": ENVIRONMENT, "kernel": image}));
        assert!(text(&pulled["kernel"]).contains(" from "), "{pulled}");
        let prepared = home.ok("prepare", json!({}));
        assert_eq!((&prepared["state"], &prepared["machine"]), (&json!("warm"), &json!("microvm")));
        fs::write(&ready, key).unwrap();
    }
    Some(home)
}

/// A workspace of a small project, and the project.
fn project(home: &Home) -> (String, PathBuf) {
    let seed = home.path("project");
    fs::create_dir_all(seed.join("src")).unwrap();
    fs::write(seed.join("README"), "hello\n").unwrap();
    fs::write(seed.join("src/main"), "one\ntwo\n").unwrap();
    let made = home.ok("workspace_create", json!({"seed_path": seed, "labels": home.labels()}));
    assert_eq!(made["machine"], "microvm", "{made}");
    assert!(text(&made["isolation"]).starts_with("microvm-"), "{made}");
    assert!(text(&made["verdict"]).contains("microVM"), "{made}");
    (text(&made["workspace"]), seed)
}

/// A process of the workspace's machine: 0 is the monitor, 1 is QEMU.
fn process_of(home: &Home, workspace: &str, line: usize) -> Pid {
    let lock = home.home().join("workspaces").join(workspace).join("lock");
    let text = fs::read_to_string(lock).unwrap();
    let pid = text.lines().nth(line).unwrap().split(' ').next().unwrap().parse().unwrap();
    Pid::from_raw(pid).unwrap()
}

fn status(home: &Home, workspace: &str) -> Value {
    home.ok("workspace_status", json!({"workspace": workspace}))
}

/// Runs a command that never ends, and does something once it runs.
fn while_a_command_runs(
    home: &Home,
    workspace: &str,
    then: impl Fn() + Send + Sync + 'static,
) -> Result<Value, pyro_operations::Failure> {
    let context = Context {
        live: Some(Arc::new(move |live: Live<'_>| {
            if matches!(live, Live::Output(..)) {
                then();
            }
        })),
        patient: true,
        ..home.context()
    };
    let request = json!({"workspace": workspace, "command": "echo up; sleep 600"});
    home.engine.call_json("workspace_exec", &request, &context)
}

#[test]
fn a_workspace_is_used_and_its_result_taken_out() {
    let Some(home) = home() else { return };
    let (workspace, seed) = project(&home);
    assert_eq!(home.sh(&workspace, "cat README; id -u; uname -s"), "hello\n0\nLinux\n");
    let host = rustix::system::uname().release().to_string_lossy().into_owned();
    assert_ne!(home.sh(&workspace, "uname -r").trim(), host, "a kernel of its own");
    let reply = home.exec(&workspace, "echo out; echo err >&2; exit 3");
    assert_eq!((&reply["exit_code"], &reply["machine"]), (&json!(3), &json!("microvm")), "{reply}");
    assert_eq!((&reply["stdout"], &reply["stderr"]), (&json!("out\n"), &json!("err\n")));
    let w = |more: Value| {
        let mut request = json!({"workspace": workspace});
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request
    };
    home.ok("workspace_file_write", w(json!({"path": "new/deep", "content": "text\n"})));
    let edit = json!({"path": "src/main", "old_string": "two", "new_string": "2"});
    home.ok("workspace_file_edit", w(edit));
    home.sh(&workspace, "rm README; ln -s src/main link; chmod 755 new/deep");
    let listed = home.ok("workspace_file_list", w(json!({})));
    assert!(listed["entries"].as_array().unwrap().iter().any(|row| row["path"] == "new/deep"));
    let read = home.ok("workspace_file_read", w(json!({"path": "src/main"})));
    assert_eq!(read["content"], "one\n2\n");
    let diff = home.ok("workspace_diff", w(json!({})));
    assert_eq!(
        (&diff["created"], &diff["modified"], &diff["deleted"]),
        (&json!(2), &json!(1), &json!(1))
    );
    let patch = home.path("out.patch");
    home.ok("workspace_export", w(json!({"kind": "patch", "output": patch})));
    let applied = Command::new("git")
        .args(["-c", "safe.directory=*", "apply"])
        .arg(&patch)
        .current_dir(&seed)
        .status();
    assert!(applied.unwrap().success());
    assert_eq!(fs::read_to_string(seed.join("src/main")).unwrap(), "one\n2\n");
    assert_eq!(fs::read_to_string(seed.join("new/deep")).unwrap(), "text\n");
    assert!(!seed.join("README").exists() && seed.join("link").is_symlink());
    let reset = home.ok("workspace_reset", w(json!({})));
    assert_eq!((&reset["state"], &reset["changed_files"]), (&json!("running"), &json!(0)));
    assert_eq!(home.sh(&workspace, "cat README src/main; ls"), "hello\none\ntwo\nREADME\nsrc\n");
    home.delete(&workspace);
    assert!(!home.home().join("workspaces").join(&workspace).exists());
}

#[test]
fn a_command_outlasts_its_caller_and_a_stopped_disk_can_be_looked_at() {
    let Some(home) = home() else { return };
    let (workspace, _) = project(&home);
    let line = "echo one; while [ ! -e go ]; do sleep 0.05; done; echo two; exit 4";
    let reply =
        home.ok("workspace_exec", json!({"workspace": workspace, "command": line, "wait_s": 0}));
    assert_eq!(reply["state"], "running", "{reply}");
    let exec = text(&reply["exec_id"]);
    home.sh(&workspace, "touch go");
    let request = json!({"workspace": workspace, "exec_id": exec, "wait_s": 60});
    let other = home.another();
    let reply = other.call_json("workspace_exec_wait", &request, &home.context()).unwrap();
    assert_eq!(
        (&reply["exit_code"], &reply["stdout"]),
        (&json!(4), &json!("one\ntwo\n")),
        "{reply}"
    );
    // Ended as by `stop`: what was written is on the disk.
    kill_process(process_of(&home, &workspace, 0), Signal::TERM).unwrap();
    let stopped = || status(&home, &workspace)["state"] == "stopped";
    wait_until("it stops", stopped, || status(&home, &workspace).to_string());
    let diff = home.ok("workspace_diff", json!({"workspace": workspace}));
    assert_eq!(diff["created"], 1, "{diff}");
    assert_eq!(status(&home, &workspace)["state"], "stopped", "nobody started it for that");
    let reply = home.exec(&workspace, "ls");
    assert_eq!((&reply["started"], &reply["stdout"]), (&json!(true), &json!("README\ngo\nsrc\n")));
}

#[test]
fn a_vm_that_dies_says_why_and_its_disk_is_kept() {
    let Some(home) = home() else { return };
    let (workspace, _) = project(&home);
    home.sh(&workspace, "echo kept > kept; sync");
    let qemu = process_of(&home, &workspace, 1);
    let died = while_a_command_runs(&home, &workspace, move || {
        kill_process(qemu, Signal::KILL).unwrap();
    });
    let failure = died.unwrap_err();
    assert_eq!(failure.code, Code::MachineFailed, "{failure:?}");
    assert!(failure.message.contains("QEMU") && failure.hint.contains("kept"), "{failure:?}");
    let exec = text(&failure.details["exec_id"]);
    let after = status(&home, &workspace);
    assert_eq!(after["state"], "stopped");
    assert!(text(&after["state_reason"]).contains("QEMU"), "{after}");
    let reply = home.ok("workspace_exec_wait", json!({"workspace": workspace, "exec_id": exec}));
    assert_eq!(reply["state"], "lost", "{reply}");
    assert_eq!(home.sh(&workspace, "cat kept"), "kept\n");
    assert!(status(&home, &workspace).get("state_reason").is_none());
    // The monitor cannot say anything any more.
    let monitor = process_of(&home, &workspace, 0);
    let died = while_a_command_runs(&home, &workspace, move || {
        kill_process(monitor, Signal::KILL).unwrap();
    });
    assert_eq!(died.unwrap()["state"], "lost");
    assert_eq!(home.sh(&workspace, "cat kept"), "kept\n");
}

#[test]
fn runs_leave_nothing_and_what_cannot_be_is_refused() {
    let Some(home) = home() else { return };
    let ran = home.ok("vm_run", json!({"command": "cat", "stdin": "in"}));
    assert_eq!((&ran["stdout"], &ran["machine"]), (&json!("in"), &json!("microvm")), "{ran}");
    let gone = text(&ran["workspace"]);
    home.refused("workspace_status", json!({"workspace": gone}), Code::NotFound);
    let host = json!({"no_seed": true, "environment": "host"});
    home.refused("workspace_create", host, Code::Unsupported);
    let container = json!({"command": "true", "environment": "host", "machine": "container"});
    assert_eq!(home.ok("vm_run", container)["isolation"], "container");
}

#[test]
fn the_disk_has_the_size_that_was_asked_for() {
    let Some(home) = home() else { return };
    let request = json!({"no_seed": true, "disk_mib": 64, "labels": home.labels()});
    let made = home.ok("workspace_create", request);
    assert_eq!(made["resources"]["disk_mib"], 64);
    let workspace = text(&made["workspace"]);
    let reply = home.exec(&workspace, "head -c 100000000 /dev/zero > big");
    assert_ne!(reply["exit_code"], 0, "{reply}");
    assert!(text(&reply["stderr"]).contains("No space left"), "{reply}");
    assert_eq!(home.sh(&workspace, "rm big; echo room > small; cat small"), "room\n");
}

#[test]
fn prepare_and_the_doctor_say_how_things_stand() {
    let Some(home) = home() else { return };
    let said = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&said);
    let context = Context {
        progress: Some(Arc::new(move |step| heard.lock().unwrap().push(step.message.clone()))),
        ..home.context()
    };
    let reply = home.engine.call_json("prepare", &json!({}), &context).unwrap();
    assert_eq!((&reply["state"], &reply["was"]), (&json!("warm"), &json!("warm")), "{reply}");
    assert!(reply["template_bytes"].as_u64().unwrap() > 0);
    assert!(!said.lock().unwrap().is_empty());
    let report = home.ok("doctor", json!({"quick": true}));
    let row = |report: &Value, name: &str| {
        let rows = report["checks"].as_array().unwrap().clone();
        rows.into_iter().find(|row| row["check"] == name)
    };
    let kernel = row(&report, "microvm_kernel").unwrap();
    assert!(kernel["ok"] == true && text(&kernel["found"]).contains(" from "), "{kernel}");
    assert!(row(&report, "microvm").is_none(), "quick boots nothing");
    let (workspace, _) = project(&home);
    let report = home.ok("doctor", json!({}));
    assert_eq!(row(&report, "microvm").unwrap()["ok"], true, "{report}");
    assert!(text(&row(&report, "template").unwrap()["found"]).ends_with("warm"), "{report}");
    let mine = |process: &&Value| process["workspace"] == workspace.as_str();
    let processes = report["processes"].as_array().unwrap().iter().filter(mine).count();
    assert_eq!(processes, 2, "monitor and QEMU: {report}");
    let strange: Vec<_> = report["home_use"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| text(&row["holds"]).contains("nothing that this pyro made"))
        .collect();
    assert_eq!(strange, Vec::<&Value>::new());
}
