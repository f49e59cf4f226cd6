//! How long a machine takes from `start` to an agent that answers, and `end` after it: medians of
//! many, over a skeleton with the host's `/usr`. `launch_time HOME [disk|memory] [COUNT]`.

use std::{
    error::Error,
    fs,
    io::Write,
    os::unix::fs::symlink,
    path::PathBuf,
    time::{Duration, Instant},
};

use pyro_machine::{Guest, Limits, Machine, MachineSpec, Writable};
use pyro_machine_container::ContainerMachine;
use pyro_model::{Bind, BindMode, WorkspaceId};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let home = PathBuf::from(words.next().ok_or("name a home")?);
    let writable =
        if words.next().as_deref() == Some("memory") { Writable::Memory } else { Writable::Disk };
    let count: usize = words.next().unwrap_or_else(|| "100".to_owned()).parse()?;
    let root = home.join("skeleton");
    fs::create_dir_all(&root)?;
    for name in ["bin", "lib", "lib64", "sbin"] {
        let _ = symlink(format!("usr/{name}"), root.join(name));
    }
    for name in ["workspace", "dev", "proc", "sys", "tmp", "usr"] {
        fs::create_dir_all(root.join(name))?;
    }
    let (mut new, mut prepare, mut start, mut hello, mut end) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..count {
        let directory = home.join(format!("ws{round}"));
        fs::create_dir(&directory)?;
        let began = Instant::now();
        let machine = ContainerMachine::new(&home.join("guest"))?;
        new.push(began.elapsed());
        let began = Instant::now();
        machine.prepare(&directory)?;
        prepare.push(began.elapsed());
        let spec = MachineSpec {
            workspace: WorkspaceId::from_random([7; 8]),
            directory: directory.clone(),
            hostname: "box".to_owned(),
            root_lowers: vec![root.clone()],
            tree_lowers: vec![],
            writable,
            binds: vec![Bind {
                source: "/usr".into(),
                target: "/usr".into(),
                mode: BindMode::ReadOnly,
            }],
            also_at: None,
            limits: Limits { cpus: 1, memory_mib: 512, disk_mib: None, processes: 100 },
            idle_ttl_s: 60,
            inspect_only: false,
        };
        let began = Instant::now();
        let started = machine.start(&spec)?;
        start.push(began.elapsed());
        Guest::handshake(started.stream, Duration::from_secs(5))?;
        hello.push(began.elapsed());
        let began = Instant::now();
        machine.end(&directory)?;
        end.push(began.elapsed());
        let trash = home.join(format!("trash{round}"));
        fs::rename(&directory, &trash)?;
        machine.discard(&[&trash])?;
    }
    let mut out = std::io::stdout().lock();
    for (name, mut times) in
        [("new", new), ("prepare", prepare), ("start", start), ("start+hello", hello), ("end", end)]
    {
        times.sort_unstable();
        let at = |share: usize| times[(times.len() - 1) * share / 100];
        writeln!(out, "{name:12} median {:?}  p10 {:?}  p90 {:?}", at(50), at(10), at(90))?;
    }
    Ok(())
}
