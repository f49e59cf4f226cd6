//! Programs with runtimes of their own start and work without `/sys`, under the filter: those that
//! the host has, each with a line that leans on threads, processes, clocks and processors.

use std::path::PathBuf;

use pyro_model::{Bind, BindMode};

use crate::support::Home;

const LINES: [(&str, &str, &str); 8] = [
    (
        "python3",
        "python3 -c 'import os, threading, multiprocessing as m, subprocess as s; \
                 t = threading.Thread(target=print, args=(\"t\",)); t.start(); t.join(); \
                 print(m.get_context(\"fork\").Pool(2).map(abs, [-1]), s.run([\"true\"]).returncode)'",
        "t\n[1] 0\n",
    ),
    (
        "node",
        "node -e 'const w = require(\"worker_threads\"); \
              if (w.isMainThread) new w.Worker(\"console.log(require(`os`).cpus().length > 0)\", \
              {eval: true})'",
        "true\n",
    ),
    ("java", "java -version 2>&1 | grep -c Runtime", "1\n"),
    ("perl", "perl -e 'print fork() ? wait() > 0 : exit, \"\\n\"'", "1\n"),
    (
        "git",
        "cd /workspace && git init -q . && echo a > a && git add a && \
             git -c user.name=a -c user.email=a@a commit -qm a && git log --format=%s",
        "a\n",
    ),
    (
        "gcc",
        "cd /tmp && echo 'int main(void){return 0;}' > a.c && gcc -o a a.c && ./a && echo built",
        "built\n",
    ),
    ("bash", "bash -c 'exec {f}< <(echo sub); cat <&$f'", "sub\n"),
    (
        "tar",
        "cd /tmp && mkdir t && echo x > t/x && tar cf - t | (mkdir u; cd u; tar xf -) && cat u/t/x",
        "x\n",
    ),
];

pub(crate) fn toolchains(home: &Home) {
    home.session(|session| {
        for (program, line, expected) in LINES {
            if !session.run(&format!("command -v {program}")).unwrap().ok() {
                println!("skipped: {program} is not in /usr here");
                continue;
            }
            let output = session.run(line).unwrap();
            assert_eq!(output.stdout, expected, "{program}: {output:?}");
        }
    });
}

/// A Rust toolchain of the caller's home, under overlays of its own, builds and tests a crate.
pub(crate) fn cargo(home: &Home) {
    let Some(user) = std::env::var_os("HOME").map(PathBuf::from) else {
        println!("skipped: no home of the user");
        return;
    };
    if !user.join(".rustup/toolchains").is_dir() || !user.join(".cargo/bin/cargo").is_file() {
        println!("skipped: no Rust toolchain in {}", user.display());
        return;
    }
    let mut workspace = home.fixture.workspace(&home.machine).unwrap();
    for part in [".rustup", ".cargo/bin"] {
        workspace.spec.binds.push(Bind {
            source: user.join(part),
            target: PathBuf::from("/root").join(part),
            mode: BindMode::Overlay,
        });
    }
    workspace.spec.limits.memory_mib = 4096;
    workspace
        .session(&home.machine, |session| {
            let line = "export PATH=/root/.cargo/bin:$PATH && cd /workspace && \
                        cargo init --vcs none --lib --name probe . && cargo test --offline";
            let output = session.run_within(line, std::time::Duration::from_secs(120))?;
            assert!(output.ok() && output.stdout.contains("1 passed"), "{output:?}");
            Ok(())
        })
        .unwrap();
}
