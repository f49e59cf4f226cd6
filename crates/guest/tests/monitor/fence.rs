//! What QEMU has and has not: descriptors, files, ids, ways out.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
    process::{Command, Stdio},
};

use sha2::{Digest, Sha256};

use crate::{
    real::{NOBODY, Vm, ground},
    vms::{run, shell},
};

/// The numbers of a process's descriptors, and the flags that each was opened with.
fn descriptors(pid: i32) -> Vec<(String, i32)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
        let number = entry.unwrap().file_name().display().to_string();
        // It may have been closed since.
        let path = format!("/proc/{pid}/fdinfo/{number}");
        let Ok(text) = fs::read_to_string(path) else { continue };
        let flags = text.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
        all.push((number, i32::from_str_radix(flags.trim(), 8).unwrap()));
    }
    all
}

fn digest(path: &Path) -> Vec<u8> {
    Sha256::digest(fs::read(path).unwrap()).to_vec()
}

/// Runs a shell line in Q's namespaces, with Q's id and its lack of capabilities.
fn inside(qemu: i32, words: &[&str]) -> (bool, String) {
    let output = Command::new("nsenter")
        .args(["-t", &qemu.to_string(), "--user", "--mount", "--pid", "--net", "--root"])
        .args(["--setuid", "0", "--setgid", "0"])
        .args(words)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_clone_can_write_its_own_disk_and_nothing_else() {
    let Some(ground) = ground() else { return };
    let before = [digest(&ground.ram), digest(&ground.state)];
    let vm = Vm::restored(ground);
    let (_, finished) =
        run(&mut vm.connect(), shell(1, "dd if=/dev/zero of=/tmp/x bs=1M count=64"));
    assert_eq!(finished.exit_code, Some(0));
    let (monitor, qemu) = vm.processes();
    let ram = fs::metadata(&ground.ram).unwrap();
    let mut has_ram = false;
    for (number, flags) in descriptors(qemu) {
        let path = format!("/proc/{qemu}/fd/{number}");
        let Ok(file) = fs::metadata(&path) else { continue };
        has_ram |= (file.dev(), file.ino()) == (ram.dev(), ram.ino());
        if file.is_file() && flags & libc::O_ACCMODE != libc::O_RDONLY {
            let target = fs::read_link(&path).unwrap();
            assert_eq!(target, vm.folder.path().join("disk"), "{flags:o}");
        }
    }
    assert!(has_ram, "its RAM is the template's");
    let maps = fs::read_to_string(format!("/proc/{qemu}/maps")).unwrap();
    let ram_maps: Vec<&str> = maps
        .lines()
        .filter(|line| line.split_whitespace().nth(4) == Some(&ram.ino().to_string()))
        .collect();
    assert!(!ram_maps.is_empty() && ram_maps.iter().all(|line| line.contains(" rw-p ")), "{maps}");
    for (number, _) in descriptors(monitor) {
        let target = fs::read_link(format!("/proc/{monitor}/fd/{number}")).unwrap();
        assert!(target != ground.ram && target != ground.state, "{target:?}");
        assert!(!target.display().to_string().contains("seccomp"), "{target:?}");
    }
    drop(vm);
    assert_eq!(before, [digest(&ground.ram), digest(&ground.state)]);
}

#[test]
fn its_process_owns_nothing_and_may_nothing() {
    let Some(ground) = ground() else { return };
    let vm = Vm::restored(ground);
    let (monitor, qemu) = vm.processes();
    let status = fs::read_to_string(format!("/proc/{qemu}/status")).unwrap();
    let line = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        value.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(line("Uid:"), vec![NOBODY.to_string(); 4]);
    assert_eq!(line("Gid:"), vec![NOBODY.to_string(); 4]);
    assert!(line("Groups:").is_empty(), "{status}");
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(line(set), ["0000000000000000"], "{set}");
    }
    assert_eq!(line("NoNewPrivs:"), ["1"]);
    assert_eq!(line("Seccomp:"), ["2"]);
    assert_eq!(line("Seccomp_filters:"), ["2"], "ours, and QEMU's own");
    for name in ["user", "mnt", "pid", "net", "ipc", "uts"] {
        let link = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap();
        assert_ne!(link(monitor), link(qemu), "{name}");
    }
    let limits = fs::read_to_string(format!("/proc/{qemu}/limits")).unwrap();
    assert!(limits.contains("Max core file size        1 "), "{limits}");
    // The blank disk has 1 GiB.
    let most = (1_u64 << 30) + (1 << 24) + (64 << 20);
    let most = format!("Max file size             {most} ");
    assert!(limits.contains(&most), "{limits}");
    // M hides: its files belong to root whoever runs it, and nobody can trace it.
    assert_eq!(fs::metadata(format!("/proc/{monitor}/mem")).unwrap().uid(), 0);
}

#[test]
fn its_root_has_programs_and_firmware_and_nothing_that_can_be_written() {
    let Some(ground) = ground() else { return };
    let vm = Vm::restored(ground);
    let (_, qemu) = vm.processes();
    let root = format!("/proc/{qemu}/root");
    let mut names: Vec<String> = fs::read_dir(&root)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().display().to_string())
        .collect();
    names.sort();
    assert_eq!(names, ["etc", "lib", "lib64", "usr"]);
    let mounts = fs::read_to_string(format!("/proc/{qemu}/mounts")).unwrap();
    for line in mounts.lines() {
        let options: Vec<&str> = line.split(' ').nth(3).unwrap().split(',').collect();
        for wanted in ["ro", "nosuid", "nodev"] {
            assert!(options.contains(&wanted), "{line}");
        }
    }
    let program = format!("{root}/usr/bin/qemu-system-x86_64");
    assert!(fs::metadata(program).is_ok());
    // The loader is a program that is there; with it, whatever would be there could be run.
    let (ok, said) = inside(qemu, &["/lib64/ld-linux-x86-64.so.2", "--version"]);
    assert!(ok, "{said}");
    for (path, why) in [("/ram", "No such file"), ("/bin/sh", "No such file")] {
        let (ok, said) = inside(qemu, &[path]);
        assert!(!ok && said.contains(why), "{path}: {said}");
    }
}
