//! Locks, damage, crashes and collecting, with sources that are closures.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::*;
use crate::error::ErrorKind;
use crate::progress::{ProgressSink, Stage};

const RELEASE: &str = "6.1.0-9-cloud-amd64";

fn gathered(release: &str) -> Gathered {
    let module = |name: &str, on: &str| (name.to_owned(), modules::made_up(on, release));
    Gathered {
        image: image::made_up(release),
        modules: [module("virtio_blk", "virtio"), module("virtio", ""), module("overlay", "")]
            .into(),
        builtin: None,
        from: KernelFrom::Debian { mirror: "http://m".into(), package: "p".into() },
    }
}

fn pull(cache: &KernelCache, release: &str) -> Result<PulledKernel> {
    cache.pull_by(&KernelOptions::default(), &mut |_| {}, &mut |_, room, _| {
        std::fs::create_dir(room.join("apt")).unwrap();
        Ok(gathered(release))
    })
}

fn entries(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).unwrap().flatten();
    let mut names: Vec<_> = entries.map(|e| e.file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

fn file_names(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|p| p.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_pulled_kernel_is_there_whole_and_in_order() {
    let room = tempfile::tempdir().unwrap();
    let cache = KernelCache::open(room.path()).unwrap();
    assert!(cache.current().unwrap().is_none());
    let pulled = pull(&cache, RELEASE).unwrap();
    assert!(!pulled.already_installed && !pulled.repaired);
    let kernel = cache.current().unwrap().unwrap();
    assert_eq!((kernel.release.as_str(), &kernel.digest), (RELEASE, &pulled.kernel.digest));
    assert_eq!(file_names(&kernel.modules), ["01-virtio.ko", "02-virtio_blk.ko", "03-overlay.ko"]);
    assert_eq!(std::fs::read(&kernel.image).unwrap(), image::made_up(RELEASE));
    assert_eq!(entries(kernel.image.parent().unwrap()), ["kernel.json", "modules", "vmlinuz"]);
    assert!(pull(&cache, "6.9.9").unwrap().already_installed, "the one that is here will do");
    let host = KernelOptions { source: Some(KernelSource::Host), ..KernelOptions::default() };
    let other = cache.pull_by(&host, &mut |_| {}, &mut |_, _, _| {
        Ok(Gathered { from: KernelFrom::Host { path: "/boot".into() }, ..gathered("6.9.9") })
    });
    assert_eq!(other.unwrap().kernel.release, "6.9.9", "asked for another source");
    assert_eq!(cache.current().unwrap().unwrap().from.to_string(), "host");
}

#[test]
fn damage_is_found_and_repaired() {
    let room = tempfile::tempdir().unwrap();
    let cache = KernelCache::open(room.path()).unwrap();
    let kernel = pull(&cache, RELEASE).unwrap().kernel;
    let place = kernel.image.parent().unwrap().to_owned();
    let same_size = || {
        let mut image = std::fs::read(&kernel.image).unwrap();
        image[0] ^= 1;
        std::fs::write(&kernel.image, image).unwrap();
    };
    let renamed = || {
        let text = std::fs::read_to_string(place.join("kernel.json")).unwrap();
        let text = text.replace("modules/01-virtio.ko", "modules/../../../x.ko");
        std::fs::write(place.join("kernel.json"), text).unwrap();
    };
    type Damage<'a> = (&'a str, bool, &'a dyn Fn());
    let damages: [Damage<'_>; 7] = [
        ("content of the same size", true, &same_size),
        ("size", false, &|| std::fs::write(&kernel.modules[0], "x").unwrap()),
        ("a missing module", false, &|| std::fs::remove_file(&kernel.modules[1]).unwrap()),
        ("a record that names other files", false, &renamed),
        ("no record", false, &|| std::fs::remove_file(place.join("kernel.json")).unwrap()),
        ("all of it", false, &|| std::fs::remove_dir_all(&place).unwrap()),
        ("the pointer", false, &|| {
            std::fs::write(room.path().join("kernel/current"), "{").unwrap();
        }),
    ];
    for (what, only_deep, damage) in damages {
        damage();
        let shallow = cache.current();
        assert_eq!(shallow.is_ok(), only_deep, "{what}: {shallow:?}");
        if let Err(error) = shallow {
            assert_eq!(error.kind(), ErrorKind::Damaged, "{what}");
            assert!(error.hint().unwrap().contains("pyro env pull"));
        }
        let pulled = pull(&cache, RELEASE).unwrap();
        assert!(pulled.repaired, "{what}");
        assert_eq!(std::fs::read(&pulled.kernel.image).unwrap(), image::made_up(RELEASE), "{what}");
        assert!(pull(&cache, RELEASE).unwrap().already_installed, "{what}");
        let kept = [".lock".to_owned(), "current".to_owned(), kept_name(&pulled.kernel)];
        assert_eq!(entries(&room.path().join("kernel")), kept, "{what}");
    }
}

fn kept_name(kernel: &InstalledKernel) -> String {
    format!("sha256-{}", kernel.digest.hex())
}

#[test]
fn two_at_once_do_the_work_once_and_the_second_waits() {
    let room = tempfile::tempdir().unwrap();
    let cache = KernelCache::open(room.path()).unwrap();
    let count = AtomicUsize::new(0);
    let (begun, has_begun) = mpsc::channel();
    let (waits, is_waiting) = mpsc::channel();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| {
            let is_waiting = is_waiting;
            cache.pull_by(&KernelOptions::default(), &mut |_| {}, &mut |_, _, _| {
                count.fetch_add(1, Ordering::SeqCst);
                begun.send(()).unwrap();
                is_waiting.recv().unwrap();
                Ok(gathered(RELEASE))
            })
        });
        has_begun.recv().unwrap();
        assert_eq!(cache.collect().unwrap(), 0, "the build in progress is left alone");
        let forced = KernelOptions { force: true, ..KernelOptions::default() };
        let mut report = |report: crate::progress::Progress| {
            if report.stage == Stage::Waiting {
                waits.send(()).unwrap();
            }
        };
        let second = cache.pull_by(&forced, &mut report, &mut |_, _, _| unreachable!());
        assert!(!first.join().unwrap().unwrap().already_installed);
        assert!(second.unwrap().already_installed);
    });
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[test]
fn the_first_source_that_works_is_used_and_the_others_are_told() {
    let room = tempfile::tempdir().unwrap();
    let cache = KernelCache::open(room.path()).unwrap();
    let mut gather = |source: &KernelSource, _: &Path, _: &mut ProgressSink<'_>| match source {
        KernelSource::Debian => Err(KernelError::ProgramMissing { program: "apt-get" }),
        _ => Ok(gathered(RELEASE)),
    };
    let pulled = cache.pull_by(&KernelOptions::default(), &mut |_| {}, &mut gather).unwrap();
    assert_eq!(pulled.passed_over.len(), 1);
    assert!(pulled.passed_over[0].contains("apt-get"));
    let forced = KernelOptions { force: true, ..KernelOptions::default() };
    let nothing = cache.pull_by(&forced, &mut |_| {}, &mut |source, _, _| match source {
        KernelSource::Debian => Err(KernelError::ProgramMissing { program: "apt-get" }),
        _ => Err(KernelError::unusable(Path::new("/boot/vmlinuz"), "only root may read it")),
    });
    let error = nothing.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HostUnfit);
    let text = error.to_string();
    assert!(text.contains("apt-get") && text.contains("only root"), "{text}");
    assert!(error.hint().unwrap().contains("--kernel PATH"));
    assert_eq!(cache.current().unwrap().unwrap().release, RELEASE, "the old one stays");
}

#[test]
fn a_kernel_of_the_callers_is_checked() {
    let room = tempfile::tempdir().unwrap();
    let cache = KernelCache::open(&room.path().join("microvm")).unwrap();
    let path = room.path().join("vmlinuz");
    let from_file = |force| KernelOptions {
        source: Some(KernelSource::parse("vmlinuz", room.path())),
        force,
        ..KernelOptions::default()
    };
    let pull = || cache.pull(&from_file(false), &mut |_| {});
    assert_eq!(pull().unwrap_err().kind(), ErrorKind::SourceFailed, "there is none");
    std::fs::write(&path, "no kernel").unwrap();
    assert_eq!(pull().unwrap_err().kind(), ErrorKind::HostileInput);
    std::fs::write(&path, image::made_up("6.5.0")).unwrap();
    assert_eq!(pull().unwrap().kernel.modules.len(), 0, "all of it is built in");
    let folder = room.path().join("vmlinuz.modules");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("README"), "not a module").unwrap();
    std::fs::write(folder.join("overlay.ko"), modules::made_up("", "6.4.0")).unwrap();
    let error = pull().unwrap_err().to_string();
    assert!(error.contains("made for \"6.4.0\""), "{error}");
    std::fs::write(folder.join("overlay.ko"), modules::made_up("", "6.5.0")).unwrap();
    let pulled = pull().unwrap();
    assert_eq!(file_names(&pulled.kernel.modules), ["01-overlay.ko"]);
    assert!(!pulled.already_installed, "its files are read again each time");
    drop(pulled);
    assert_eq!(cache.collect().unwrap(), 1, "the one without modules");
}

#[test]
fn what_is_in_use_or_held_is_not_collected() {
    let room = tempfile::tempdir().unwrap();
    let cache = KernelCache::open(room.path()).unwrap();
    assert_eq!(cache.collect().unwrap(), 0);
    let held = pull(&cache, RELEASE).unwrap().kernel;
    let newer = KernelOptions { force: true, ..KernelOptions::default() };
    cache.pull_by(&newer, &mut |_| {}, &mut |_, _, _| Ok(gathered("6.9.9"))).unwrap();
    assert_eq!(cache.collect().unwrap(), 0);
    drop(held);
    assert_eq!(cache.collect().unwrap(), 1);
    assert_eq!(cache.current().unwrap().unwrap().release, "6.9.9");
}

#[test]
fn a_failed_pull_leaves_nothing() {
    let room = tempfile::tempdir().unwrap();
    let cache = KernelCache::open(room.path()).unwrap();
    let bad = |gathered: Gathered| {
        let mut gathered = Some(gathered);
        let options =
            KernelOptions { source: Some(KernelSource::Debian), ..KernelOptions::default() };
        let pulled =
            cache.pull_by(&options, &mut |_| {}, &mut |_, _, _| Ok(gathered.take().unwrap()));
        pulled.unwrap_err().kind()
    };
    let no_image = Gathered { image: b"MZ".to_vec(), ..gathered(RELEASE) };
    assert_eq!(bad(no_image), ErrorKind::HostileInput);
    let lacking = Gathered { builtin: Some(["ext4".to_owned()].into()), ..gathered(RELEASE) };
    assert_eq!(bad(lacking), ErrorKind::HostileInput);
    assert_eq!(entries(&room.path().join("kernel")), [".lock"]);
}

const ROOM: &str = "PYRO_TEST_CRASH_ROOM";

/// Runs in a process of its own, started by the test below, and dies in it.
#[test]
#[ignore = "the crashing half of another test"]
fn crashing_process() {
    let Some(room) = std::env::var_os(ROOM) else { return };
    let cache = KernelCache::open(Path::new(&room)).unwrap();
    drop(pull(&cache, RELEASE));
}

#[test]
fn the_next_call_repairs_a_crash_at_any_step() {
    for at in ["kernel gathered", "kernel written", "kernel placed", "kernel named"] {
        let room = tempfile::tempdir().unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kernel::tests::crashing_process", "--ignored", "--test-threads=1"])
            .env(ROOM, room.path())
            .env("PYRO_TEST_CRASH_AT", at)
            .output()
            .unwrap();
        assert!(!child.status.success(), "{at} was not reached");
        let cache = KernelCache::open(room.path()).unwrap();
        let kernel = pull(&cache, RELEASE).unwrap().kernel;
        let kept = [".lock".to_owned(), "current".to_owned(), kept_name(&kernel)];
        assert_eq!(entries(&room.path().join("kernel")), kept, "{at}");
    }
}
