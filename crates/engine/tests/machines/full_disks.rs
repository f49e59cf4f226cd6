//! Disks that are full: the workspace's own and the host's. A clear failure, nothing half made, and
//! all works again once there is room.

use std::{fs, path::Path, process::Command};

use pyro_engine::{Config, Context, Door, Engine};
use pyro_operations::Code;
use serde_json::{Value, json};

use super::support::{Home, is_root, settings, skip, text, wait_until};

/// A small file system in memory, for as long as a test has it.
struct Small {
    folder: tempfile::TempDir,
}

impl Small {
    fn new(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size},mode=0700"), "pyro-test"])
            .arg(folder.path())
            .status();
        mounted.is_ok_and(|status| status.success()).then_some(Self { folder })
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.folder.path()).status();
    }
}

fn fill(path: &Path, leave: u64) -> fs::File {
    use std::io::Write;
    let mut file = fs::File::create(path).unwrap();
    let block = vec![1; 64 << 10];
    while file.write_all(&block).is_ok() {}
    let length = file.metadata().unwrap().len();
    file.set_len(length.saturating_sub(leave)).unwrap();
    file
}

#[test]
fn the_memory_of_a_run_is_full() {
    let home = Home::new();
    let reply = home.ok(
        "vm_run",
        json!({
            "command": "head -c 200000000 /dev/zero > big || echo full; rm -f big; echo x > small && echo works",
            "memory_mib": 256,
        }),
    );
    assert!(reply["stderr"].as_str().unwrap().contains("No space left"), "{reply}");
    assert!(reply["stdout"].as_str().unwrap().ends_with("works\n"), "{reply}");
    home.assert_nothing_is_left();
}

#[test]
fn the_disk_of_the_home_is_full() {
    if !is_root() {
        return skip("full_disk", "only root mounts a small file system");
    }
    let Some(small) = Small::new("48m") else {
        return skip("full_disk", "no file system in memory can be mounted");
    };
    let project = tempfile::tempdir_in("/var/tmp").unwrap();
    fs::write(project.path().join("large"), vec![7; 8 << 20]).unwrap();
    fs::write(project.path().join("kept.txt"), "seeded\n").unwrap();
    let context = || Context::new(Door::Sdk, project.path().to_owned()).unwrap();
    let engine = Engine::open(settings(small.folder.path(), Config::default())).unwrap();
    let call = |name: &str, request: Value| engine.call_json(name, &request, &context());
    let home = small.folder.path().join("home");
    let left = |folder: &str| fs::read_dir(home.join(folder)).unwrap().count();

    let workspace = text(&call("workspace_create", json!({"no_seed": true})).unwrap()["workspace"]);
    // No room for a seed.
    let filler = small.folder.path().join("filler");
    fill(&filler, 2 << 20);
    let failure = call("workspace_create", json!({"seed_path": project.path()})).unwrap_err();
    assert_eq!(failure.code, Code::NoSpace, "{failure:?}");
    assert!(!failure.hint.is_empty());
    assert_eq!(
        call("workspace_list", json!({})).unwrap()["workspaces"].as_array().unwrap().len(),
        1
    );
    assert_eq!(left("workspaces"), 1);
    // Inside it is an error of the command, and the workspace goes on.
    let reply = call(
        "workspace_exec",
        json!({"workspace": workspace, "command": "head -c 9000000 /dev/zero > big || { rm -f big; echo full; }"}),
    )
    .unwrap();
    assert_eq!(reply["stdout"], "full\n", "{reply}");
    let large = json!({"workspace": workspace, "path": "f", "content": "x".repeat(4 << 20)});
    let failure = call("workspace_file_write", large.clone()).unwrap_err();
    assert_eq!(failure.code, Code::NoSpace, "{failure:?}");
    assert!(!failure.hint.is_empty());

    // No room for anything at all.
    fill(&filler, 0);
    for _ in 0..3 {
        for request in [json!({"seed_path": project.path()}), json!({"no_seed": true})] {
            let failure = call("workspace_create", request.clone()).unwrap_err();
            assert_eq!(failure.code, Code::NoSpace, "{request}: {failure:?}");
            assert!(!failure.hint.is_empty(), "{failure:?}");
        }
    }
    let listed = call("workspace_list", json!({})).unwrap();
    let rows = listed["workspaces"].as_array().unwrap();
    assert!(
        rows.iter().all(|row| row["workspace"] == workspace || row["state"] == "creating"),
        "{listed}"
    );
    // Deleting works without room, since it is what makes some.
    fs::remove_file(&filler).unwrap();
    let made =
        text(&call("workspace_create", json!({"seed_path": project.path()})).unwrap()["workspace"]);
    let request = json!({"workspace": made, "command": "cat kept.txt; wc -c < large"});
    assert_eq!(call("workspace_exec", request).unwrap()["stdout"], "seeded\n8388608\n");
    call("workspace_file_write", large).unwrap();
    for workspace in [made, workspace] {
        call("workspace_delete", json!({"workspace": workspace})).unwrap();
    }
    assert_eq!(call("workspace_list", json!({})).unwrap()["workspaces"], json!([]));
    for folder in ["workspaces", "trash", "tmp"] {
        wait_until("nothing is left", || left(folder) == 0, || folder.to_owned());
    }
}

#[test]
fn a_full_disk_can_be_emptied_by_deleting() {
    if !is_root() {
        return skip("full_disk", "only root mounts a small file system");
    }
    let Some(small) = Small::new("32m") else {
        return skip("full_disk", "no file system in memory can be mounted");
    };
    let engine = Engine::open(settings(small.folder.path(), Config::default())).unwrap();
    let context = || Context::new(Door::Sdk, "/".into()).unwrap();
    let call = |name: &str, request: Value| engine.call_json(name, &request, &context());
    let workspace = text(&call("workspace_create", json!({"no_seed": true})).unwrap()["workspace"]);
    let request = json!({"workspace": workspace, "command": "cat /dev/zero > big"});
    // There may be no room to write down how it ended.
    match call("workspace_exec", request) {
        Ok(reply) => assert_eq!(reply["exit_code"], 1, "{reply}"),
        Err(failure) => assert_eq!(failure.code, Code::NoSpace, "{failure:?}"),
    }
    let reply = call("workspace_delete", json!({"workspace": workspace}));
    assert!(reply.is_ok(), "{reply:?}");
    let home = small.folder.path().join("home");
    let left = |folder: &str| fs::read_dir(home.join(folder)).unwrap().count();
    wait_until("there is room again", || left("trash") + left("workspaces") == 0, String::new);
    let workspace = text(&call("workspace_create", json!({"no_seed": true})).unwrap()["workspace"]);
    call("workspace_delete", json!({"workspace": workspace})).unwrap();
}
