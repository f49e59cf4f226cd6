//! Templates: made once, told about, never used when something changed, collected when unused.

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::mpsc,
    time::{Duration, SystemTime},
};

use pyro_machine::{Machine, image_of};
use pyro_machine_microvm::{Shape, TemplateState};

use crate::support::Home;

const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

fn shape(home: &Home, memory_mib: u64) -> Shape {
    let environment = home.fixture.root_lowers[0].clone();
    Shape { environment, cpus: 2, memory_mib, disk_mib: None }
}

fn templates(home: &Home) -> Vec<PathBuf> {
    let entries = fs::read_dir(home.machine_directory().join("templates")).unwrap();
    entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_none()).collect()
}

/// The second start finds what the first made; nobody can write it.
pub(crate) fn warm(home: &Home) {
    let machine = &home.machine;
    for template in templates(home) {
        fs::remove_dir_all(template).unwrap();
    }
    let wish = shape(home, 512);
    assert_eq!(machine.template_state(&wish).unwrap(), TemplateState::Cold);
    let one = home.fixture.workspace(machine).unwrap();
    let two = home.fixture.workspace(machine).unwrap();
    let first = machine.start(&one.spec).unwrap();
    assert_eq!(first.notices.len(), 1, "{:?}", first.notices);
    assert_eq!(machine.template_state(&wish).unwrap(), TemplateState::Warm);
    let second = machine.start(&two.spec).unwrap();
    assert!(second.notices.is_empty(), "{:?}", second.notices);
    for workspace in [&one, &two] {
        machine.end(workspace.directory()).unwrap();
    }
    let [template] = templates(home).try_into().unwrap();
    assert_eq!(fs::metadata(&template).unwrap().mode() & 0o777, 0o700);
    for name in ["ram", "state", "facts.json"] {
        assert_eq!(fs::metadata(template.join(name)).unwrap().mode() & 0o777, 0o444, "{name}");
    }
}

/// An environment that is not what it was is not started from the template of before.
pub(crate) fn stale(home: &Home) {
    let other = home.fixture.home.join("other");
    fs::create_dir(&other).unwrap();
    // Its own directory, so that its image can be changed.
    std::os::unix::fs::symlink(&home.fixture.root_lowers[0], other.join("rootfs")).unwrap();
    let mut wish = shape(home, 512);
    wish.environment = other.join("rootfs");
    let mut said = Vec::new();
    home.machine.make_template(&wish, &mut |step| said.push(step.to_owned())).unwrap();
    assert_eq!(said.len(), 2, "{said:?}");
    assert_eq!(home.machine.template_state(&wish).unwrap(), TemplateState::Warm);
    fs::remove_file(image_of(&wish.environment)).unwrap();
    match home.machine.template_state(&wish).unwrap() {
        TemplateState::Stale { reason } => assert_eq!(reason, "the environment changed"),
        other => panic!("{other:?}"),
    }
    // The first is of no use any more, the fixture's is.
    let before = templates(home).len();
    assert_eq!(home.machine.collect(WEEK).unwrap().templates, 1);
    assert_eq!(templates(home).len(), before - 1);
    assert_eq!(home.machine.template_state(&shape(home, 512)).unwrap(), TemplateState::Warm);
}

/// Unused ones go, used ones stay, and what a crash left goes too.
pub(crate) fn collected(home: &Home) {
    let machine = &home.machine;
    assert_eq!(machine.collect(WEEK).unwrap().templates, 0);
    let all = templates(home);
    let long_ago = SystemTime::now() - 2 * WEEK;
    for template in &all {
        let used = File::options().write(true).open(template.join("used")).unwrap();
        used.set_modified(long_ago).unwrap();
    }
    let left = home.machine_directory().join("templates").join("0123.part");
    fs::create_dir(&left).unwrap();
    fs::write(left.join("ram"), "").unwrap();
    let unmarked = home.machine_directory().join("templates").join("0456");
    fs::create_dir(&unmarked).unwrap();
    let lock = home.machine_directory().join("templates").join("0789.lock");
    fs::write(&lock, "").unwrap();
    // A start in between counts as use.
    home.session(|session| assert_eq!(session.must("echo hi").unwrap(), "hi\n"));
    let collected = machine.collect(WEEK).unwrap();
    assert_eq!(collected.templates, all.len() as u64 - 1);
    assert_eq!(templates(home).len(), 1);
    assert!(!left.exists() && !unmarked.exists() && !lock.exists());
    assert_eq!(machine.collect(Duration::ZERO).unwrap().templates, 1);
    assert!(templates(home).is_empty());
    home.session(|session| assert_eq!(session.must("echo hi").unwrap(), "hi\n"));
}

/// A template that cannot be restored is a failure that leaves nothing running.
pub(crate) fn broken_template(home: &Home) {
    let machine = &home.machine;
    let workspace = home.fixture.workspace(machine).unwrap();
    for template in templates(home) {
        // Not through the link that other tests share.
        let state = template.join("state");
        fs::remove_file(&state).unwrap();
        fs::write(&state, "nonsense").unwrap();
        fs::set_permissions(&state, Permissions::from_mode(0o444)).unwrap();
    }
    let started = machine.start(&workspace.spec).unwrap();
    assert!(started.notices.iter().any(|notice| notice.contains("anew")), "{:?}", started.notices);
    machine.end(workspace.directory()).unwrap();
    workspace.session(machine, |session| session.must("true").map(drop)).unwrap();
}

/// Somebody who was killed while making one is in nobody's way.
pub(crate) fn killed_maker(home: &Home) {
    for template in templates(home) {
        fs::remove_dir_all(template).unwrap();
    }
    let (tell, told) = mpsc::channel();
    let wish = shape(home, 320);
    std::thread::scope(|scope| {
        let machine = home.again();
        let of = wish.clone();
        scope.spawn(move || {
            let mut said = 0;
            machine
                .make_template(&of, &mut |_| {
                    said += 1;
                    if said == 2 {
                        tell.send(()).unwrap();
                    }
                })
                .unwrap_err();
        });
        told.recv().unwrap();
        let lock = wait_for_monitor(home.machine_directory());
        let pid: i32 = lock.lines().next().unwrap().split(' ').next().unwrap().parse().unwrap();
        let process = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
    });
    home.machine.make_template(&wish, &mut |_| {}).unwrap();
    assert_eq!(home.machine.template_state(&wish).unwrap(), TemplateState::Warm);
}

/// What the monitor of the template that is being made wrote into its lock.
fn wait_for_monitor(directory: &Path) -> String {
    for _ in 0..500 {
        for entry in fs::read_dir(directory.join("templates")).unwrap().flatten() {
            let lock = entry.path().join("lock");
            if let Ok(text) = fs::read_to_string(lock)
                && text.lines().count() >= 1
            {
                return text;
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("no monitor signs");
}
