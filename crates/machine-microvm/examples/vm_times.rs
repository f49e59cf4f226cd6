//! How long a VM takes from `start` to an agent that answers, and `end` after it: medians of many.
//! `vm_times HOME ROOTFS KERNEL MODULE... [--count N]`; the modules in the order to load them.

use std::{
    error::Error,
    fs,
    io::Write,
    path::PathBuf,
    time::{Duration, Instant},
};

use pyro_machine::{Guest, Limits, Machine, MachineSpec, Writable};
use pyro_machine_microvm::{Kernel, MicrovmHome, MicrovmMachine};
use pyro_model::WorkspaceId;

fn main() -> Result<(), Box<dyn Error>> {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let mut count = 20;
    if let Some(at) = words.iter().position(|word| word == "--count") {
        count = words.remove(at + 1).parse()?;
        words.remove(at);
    }
    let mut words = words.into_iter().map(PathBuf::from);
    let mut next = |what: &str| words.next().ok_or(format!("name {what}"));
    let (home, root, image) = (next("a home")?, next("a root")?, next("a kernel")?);
    let kernel = Kernel {
        digest: format!("{}", fs::metadata(&image)?.len()),
        image,
        modules: words.collect(),
        release: "given".to_owned(),
    };
    fs::create_dir_all(&home)?;
    let places =
        || MicrovmHome { directory: home.join("microvm"), agent_directory: home.join("guest") };
    let (mut new, mut prepare, mut start, mut hello, mut end) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut out = std::io::stdout().lock();
    for round in 0..count {
        let directory = home.join(format!("ws{round}"));
        fs::create_dir(&directory)?;
        let began = Instant::now();
        let machine = MicrovmMachine::new(places(), Some(kernel.clone()))?;
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
            writable: Writable::Disk,
            binds: vec![],
            also_at: None,
            limits: Limits { cpus: 2, memory_mib: 512, disk_mib: None, processes: 100 },
            idle_ttl_s: 60,
            inspect_only: false,
        };
        let began = Instant::now();
        let started = machine.start(&spec)?;
        let took = began.elapsed();
        for notice in &started.notices {
            writeln!(out, "{took:?}: {notice}")?;
        }
        if started.notices.is_empty() {
            start.push(took);
        }
        Guest::handshake(started.stream, Duration::from_secs(5))?;
        hello.push(began.elapsed());
        let began = Instant::now();
        machine.end(&directory)?;
        end.push(began.elapsed());
        fs::remove_dir_all(&directory)?;
    }
    for (name, mut times) in
        [("new", new), ("prepare", prepare), ("start", start), ("start+hello", hello), ("end", end)]
    {
        times.sort_unstable();
        let at = |share: usize| times[(times.len() - 1) * share / 100];
        writeln!(out, "{name:12} median {:?}  p10 {:?}  p90 {:?}", at(50), at(10), at(90))?;
    }
    Ok(())
}
