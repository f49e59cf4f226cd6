//! A room for one test: namespaces with no network but loopback, and a process table of their own.
//! Whatever runs in it ends when the room is dropped.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    net::TcpListener,
    os::fd::AsFd,
    path::Path,
    process::{Child, Command, Stdio},
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

pub(crate) struct Room {
    holder: Child,
    /// The room's first process, as the world outside sees it.
    first: u32,
}

impl Room {
    /// A new room, or why there can be none.
    pub(crate) fn new() -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("only root can look into a network namespace from outside".to_owned());
        }
        // bash as process 1 takes in orphans. It ends with its input, which is this test's.
        let mut holder = Command::new("unshare")
            .args(["--net", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc"])
            .args(["bash", "-c", "ip link set lo up && echo ready && read -r _"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("unshare: {error}"))?;
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if line != "ready\n" {
            let status = holder.wait().unwrap();
            return Err(format!("no namespaces with a loopback can be made: {status}"));
        }
        let first = only_child(holder.id()).unwrap();
        Ok(Self { holder, first })
    }

    /// A socket that listens inside, held outside.
    pub(crate) fn listener(&self) -> TcpListener {
        let inside = File::open(format!("/proc/{}/ns/net", self.first)).unwrap();
        let thread = std::thread::spawn(move || {
            move_into_link_name_space(inside.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            TcpListener::bind("127.0.0.1:0").unwrap()
        });
        thread.join().unwrap()
    }

    /// A program inside, in the folder `at` and with nothing but the given variables.
    pub(crate) fn command(&self, program: &Path, at: &Path, variables: &[(&str, &str)]) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={}", self.first))
            .args(["--net", "--pid", "--mount", "--", "env", "-i"])
            .arg(format!("--chdir={}", at.display()))
            .args(variables.iter().map(|(name, value)| format!("{name}={value}")))
            .arg(program)
            .stdin(Stdio::null());
        command
    }

    /// What runs in the room: host pid and command line.
    pub(crate) fn processes(&self) -> Vec<(u32, String)> {
        let namespace = |pid: u32| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let ours = namespace(self.first);
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid| namespace(*pid) == ours)
            .filter_map(|pid| {
                let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
                // A zombie has none.
                let line = String::from_utf8_lossy(&line).replace('\0', " ");
                (!line.is_empty()).then_some((pid, line))
            })
            .collect()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// The one child of a process that forked once.
pub(crate) fn only_child(pid: u32) -> Option<u32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}
