//! pyro killed at any moment, not only at the steps that somebody thought of.

use std::{
    fs,
    time::{Duration, Instant},
};

use crate::support::Home;

const ROUNDS: u64 = 30;

/// Moments spread over a call's whole time, and a little beyond.
fn moments(whole: Duration) -> impl Iterator<Item = Duration> {
    // Not in order, and never the same twice.
    let whole = u64::try_from(whole.as_micros()).unwrap() * 11 / 10;
    (0..ROUNDS).map(move |round| Duration::from_micros((round * 17 % ROUNDS) * whole / ROUNDS))
}

/// Runs it to its end for the time it takes, then kills it at many moments; `after` each.
fn kill(home: &Home, arguments: &[&str], before: impl Fn(), after: impl Fn()) {
    before();
    let start = Instant::now();
    home.run(arguments);
    let whole = start.elapsed();
    after();
    for moment in moments(whole) {
        before();
        let mut child = home
            .pyro(arguments)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(moment);
        let _ = child.kill();
        child.wait().unwrap();
        home.look();
        after();
    }
}

#[test]
fn create() {
    let home = Home::new();
    for n in 0..200 {
        fs::write(home.path("project").join(format!("file{n}")), format!("{n}\n")).unwrap();
    }
    // Each time another seed, so that its making is killed too.
    let touched = std::cell::Cell::new(0);
    kill(
        &home,
        &["workspace", "create", "--seed-path", ".", "--name", "new"],
        || {
            touched.set(touched.get() + 1);
            fs::write(home.path("project/kept.txt"), format!("seeded {}\n", touched.get()))
                .unwrap();
        },
        || {
            if home.json(&["workspace", "status", "new"]).get("error").is_some() {
                home.assert_only(&[]);
                home.create("new");
            }
            let wanted = format!("seeded {}\n", touched.get());
            assert_eq!(home.sh("new", "cat kept.txt; ls | wc -l"), format!("{wanted}201\n"));
            home.ok(&["workspace", "delete", "new"]);
        },
    );
    home.assert_only(&[]);
    home.ok(&["workspace", "prune"]);
    let left: Vec<_> = fs::read_dir(home.home().join("layers")).unwrap().flatten().collect();
    assert!(left.iter().all(|entry| entry.file_name() == "locks"), "{left:?}");
}

#[test]
fn run() {
    let home = Home::new();
    kill(&home, &["run", "--", "sh", "-c", "echo said; exit 3"], || {}, || home.assert_only(&[]));
}

#[test]
fn exec() {
    let home = Home::new();
    home.create("w");
    kill(
        &home,
        &["workspace", "exec", "w", "--", "sh", "-c", "echo one; sleep 0.02; echo two"],
        || {},
        || {
            let logs = home.ok(&["workspace", "logs", "w", "--limit", "1"]);
            if let Some(row) = logs["execs"].as_array().and_then(|rows| rows.first()) {
                let exec = row["exec_id"].as_str().unwrap();
                let reply = home.ok(&["workspace", "exec-wait", "w", exec]);
                assert_eq!(reply["exit_code"], 0, "{reply}");
                assert_eq!(reply["stdout"], "one\ntwo\n", "{reply}");
            }
        },
    );
    home.assert_only(&["w"]);
}

#[test]
fn write() {
    let home = Home::new();
    home.create("w");
    let (old, new) = (vec![b'o'; 4 << 20], vec![b'n'; 4 << 20]);
    let file = home.path("new");
    fs::write(&file, &new).unwrap();
    fs::write(home.path("project/old"), &old).unwrap();
    home.ok(&["workspace", "delete", "w"]);
    home.create("w");
    kill(
        &home,
        &["workspace", "file", "write", "w", "old", "--text-file", file.to_str().unwrap()],
        || {
            home.ok(&["workspace", "reset", "w"]);
        },
        || {
            let found = home.sh("w", "cat old | tr -d '\\n' | sha256sum; ls -A | wc -l");
            let whole = |bytes: &[u8]| {
                home.sh(
                    "w",
                    &format!(
                        "head -c {} /dev/zero | tr '\\0' {} | sha256sum; echo 2",
                        bytes.len(),
                        bytes[0] as char
                    ),
                )
            };
            assert!(found == whole(&old) || found == whole(&new), "{found}");
        },
    );
    home.assert_only(&["w"]);
}

#[test]
fn reset() {
    let home = Home::new();
    home.create("w");
    kill(
        &home,
        &["workspace", "reset", "w"],
        || {
            home.sh("w", "echo changed > kept.txt; mkdir -p d/e; echo new > d/e/f");
        },
        || {
            home.assert_only(&["w"]);
            let found = home.sh("w", "cat kept.txt; ls -A | tr '\\n' ' '");
            let whole = ["seeded\nkept.txt ", "changed\nd kept.txt "];
            assert!(whole.contains(&found.as_str()), "{found}");
        },
    );
}

#[test]
fn delete() {
    let home = Home::new();
    kill(
        &home,
        &["workspace", "delete", "w"],
        || {
            if home.json(&["workspace", "status", "w"]).get("error").is_some() {
                home.create("w");
            }
            home.sh("w", "echo changed > kept.txt");
        },
        || {
            let there = home.json(&["workspace", "status", "w"]).get("error").is_none();
            home.assert_only(if there { &["w"] } else { &[] });
            if there {
                assert_eq!(home.sh("w", "cat kept.txt"), "changed\n");
            }
        },
    );
}
