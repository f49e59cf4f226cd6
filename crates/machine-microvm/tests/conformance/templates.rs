//! Templates: made once, told about, never used when something changed, collected when unused.

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc,
    time::{Duration, SystemTime},
};

use pyro_machine::{Cancel, GuestError, Machine, MachineError, image_of};
use pyro_machine_microvm::{Shape, TemplateState};
use pyro_protocol::vm::TEMPLATE_DISK_BYTES;

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
    for name in ["ram", "state", "disk", "facts.json"] {
        assert_eq!(fs::metadata(template.join(name)).unwrap().mode() & 0o777, 0o444, "{name}");
    }
}

/// What a template has written to its disk is whole, small, and what its clones begin with; a disk
/// of an earlier start is used by the next, and neither start changes the template's.
pub(crate) fn mounted(home: &Home) {
    let machine = &home.machine;
    // One of its own: the names in the headers of others' are of other homes.
    let others = templates(home);
    machine.make_template(&shape(home, 384), &mut |_| {}, None).unwrap();
    let disks: Vec<PathBuf> = templates(home).iter().map(|it| it.join("disk")).collect();
    let before: Vec<Vec<u8>> = disks.iter().filter_map(|disk| fs::read(disk).ok()).collect();
    let made = templates(home).into_iter().find(|it| !others.contains(it)).unwrap().join("disk");
    assert!(fs::metadata(&made).unwrap().len() <= TEMPLATE_DISK_BYTES);
    let checked = Command::new("qemu-img").args(["check", "-q"]).arg(&made).output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
    let workspace = home.fixture.workspace(machine).unwrap();
    for (write, expected) in
        [("one", "one\n"), ("two", "one\ntwo\n"), ("three", "one\ntwo\nthree\n")]
    {
        let line = format!("echo {write} >> said; cat said");
        let said = workspace.session(machine, |session| {
            assert_eq!(session.must(&line)?, expected);
            Ok(())
        });
        said.unwrap();
    }
    let after: Vec<Vec<u8>> = disks.iter().filter_map(|disk| fs::read(disk).ok()).collect();
    assert!(before == after && !before.is_empty());
}

/// Whoever cancels has nothing left of a boot, and only the template that is named is dropped.
pub(crate) fn cancelled(home: &Home) {
    let (wish, cancel) = (shape(home, 352), Cancel::new().unwrap());
    let mut end_the_boot = |step: &str| {
        if step.starts_with("booting") {
            let (cancel, directory) = (cancel.clone(), home.machine_directory().to_owned());
            std::thread::spawn(move || {
                wait_for_monitor(&directory);
                cancel.cancel();
            });
        }
    };
    let made = home.machine.make_template(&wish, &mut end_the_boot, Some(&cancel));
    assert!(matches!(made, Err(MachineError::Guest(GuestError::Cancelled))), "{made:?}");
    let left: Vec<PathBuf> = fs::read_dir(home.machine_directory().join("templates"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some())
        .collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(home.machine.template_state(&wish).unwrap(), TemplateState::Cold);
    home.machine.drop_template(&wish).unwrap();
    assert_eq!(home.machine.template_state(&shape(home, 512)).unwrap(), TemplateState::Warm);
    home.machine.drop_template(&shape(home, 512)).unwrap();
    assert_eq!(home.machine.template_state(&shape(home, 512)).unwrap(), TemplateState::Cold);
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
    home.machine.make_template(&wish, &mut |step| said.push(step.to_owned()), None).unwrap();
    assert!(said[0].contains("image") && said[1].starts_with("booting"), "{said:?}");
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
            let mut tell_of_the_boot = |step: &str| {
                if step.starts_with("booting") {
                    tell.send(()).unwrap();
                }
            };
            machine.make_template(&of, &mut tell_of_the_boot, None).unwrap_err();
        });
        told.recv().unwrap();
        let lock = wait_for_monitor(home.machine_directory());
        let pid: i32 = lock.lines().next().unwrap().split(' ').next().unwrap().parse().unwrap();
        let process = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
    });
    home.machine.make_template(&wish, &mut |_| {}, None).unwrap();
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
