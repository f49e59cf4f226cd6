//! What a command costs over a live connection. Prints figures; run by hand:
//! `cargo test -p pyro-guest --test agent latency -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use pyro_protocol::exec::Follow;

use crate::support::*;

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn memory(agent: &Agent) -> String {
    let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", agent.child.id()));
    let rollup = rollup.unwrap();
    let line = rollup.lines().find(|line| line.starts_with("Private_Dirty"));
    line.unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
#[ignore = "a measurement"]
fn of_true() {
    let agent = Agent::start();
    let mut guest = agent.connect();
    println!("fresh: {}", memory(&agent));
    for (name, command) in [
        ("true, end only", words(&["/bin/true"])),
        ("echo, followed", words(&["/bin/echo", "hello"])),
        ("sh -c, followed", shell("echo hello")),
    ] {
        let times = (0..500)
            .map(|_| {
                let mut command = command.clone();
                command.exec = fresh_id();
                if name.ends_with("only") {
                    command.follow = Follow::End;
                }
                let began = Instant::now();
                run(&mut guest, command);
                began.elapsed()
            })
            .collect();
        println!("{name}: {:?}, {}", median(times), memory(&agent));
    }
    let times = (0..500)
        .map(|_| {
            let began = Instant::now();
            std::process::Command::new("/bin/true").status().unwrap();
            began.elapsed()
        })
        .collect();
    println!("std::process of the same: {:?}", median(times));
}
