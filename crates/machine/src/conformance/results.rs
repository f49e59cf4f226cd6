//! Commands run, and end as they ended: codes, signals and timeouts, with what they wrote.

use std::time::Duration;

use pyro_model::ExecState;

use super::{Fixture, Verdict, ensure};
use crate::Machine;

pub(super) fn check(machine: &dyn Machine, fixture: &Fixture) -> Verdict {
    fixture.workspace(machine)?.session(machine, |session| {
        let hello = session
            .run("echo out; echo err >&2; hostname 2>/dev/null || cat /etc/hostname; id -u")?;
        ensure!(hello.ok() && hello.stderr == "err\n", "a plain command ended as {hello:?}");
        ensure!(hello.stdout.starts_with("out\n"), "it wrote {:?}", hello.stdout);
        ensure!(hello.stdout.ends_with("0\n"), "commands run as user 0: {:?}", hello.stdout);
        for code in [1, 7, 255] {
            let ended = session.run(&format!("exit {code}"))?.finished;
            ensure!(
                ended.state == ExecState::Exited && ended.exit_code == Some(code),
                "exit {code} is {ended:?}"
            );
        }
        let killed = session.run("kill -9 $$")?.finished;
        ensure!(
            killed.state == ExecState::Signaled && killed.signal == Some(9),
            "a killed command is {killed:?}"
        );
        let late = session.run_within("sleep 60 & sleep 60", Duration::from_millis(300))?;
        ensure!(late.finished.state == ExecState::TimedOut, "a late command is {late:?}");
        // Threads of a kernel of its own have no words.
        let left = session.run("grep -l . /proc/[0-9]*/cmdline 2>/dev/null | wc -l")?;
        ensure!(
            left.stdout.trim().parse::<u32>().is_ok_and(|count| count <= 6),
            "after a timeout {} processes are left",
            left.stdout.trim()
        );
        let many =
            session.run("i=0; while [ $i -lt 20000 ]; do echo 123456789; i=$((i+1)); done")?;
        ensure!(many.stdout.len() == 200_000, "of 200000 bytes came {}", many.stdout.len());
        Ok(())
    })
}
