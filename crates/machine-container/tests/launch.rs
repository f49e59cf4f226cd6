//! Starting, finding and ending machines.

use std::{fs, path::Path};
use pyro_machine::{Limits, Machine, MachineSpec, Writable};
use pyro_machine_container::ContainerMachine;
use pyro_model::{Bind, BindMode, WorkspaceId};

#[test]
fn a_machine_starts() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let machine = ContainerMachine::new(&home.join("guest")).unwrap();
    let root = home.join("skeleton");
    fs::create_dir(&root).unwrap();
    for (name, to) in [("bin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64"), ("sbin", "usr/sbin")] {
        std::os::unix::fs::symlink(to, root.join(name)).unwrap();
    }
    let directory = home.join("ws");
    fs::create_dir(&directory).unwrap();
    machine.prepare(&directory).unwrap();
    for writable in [Writable::Disk, Writable::Memory, Writable::Disk] {
        let spec = MachineSpec {
            workspace: WorkspaceId::from_random([7; 8]),
            directory: directory.clone(), hostname: "box".into(), root_lowers: vec![root.clone()], tree_lowers: vec![],
            writable, binds: vec![Bind { source: "/usr".into(), target: "/usr".into(), mode: BindMode::ReadOnly }],
            also_at: Some("/home/me/checkout".into()),
            limits: Limits { cpus: 1, memory_mib: 512, disk_mib: None, processes: 100 }, idle_ttl_s: 60, inspect_only: false,
        };
        let started = machine.start(&spec).unwrap();
        println!("{:?}", started.enforcement);
        let t = std::time::Instant::now();
        machine.end(Path::new(&directory)).unwrap();
        println!("end {:?}", t.elapsed());
    }
}
