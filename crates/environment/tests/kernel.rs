//! A real kernel from a Debian mirror: skipped, and said so, unless PYRO_TEST_BOOTSTRAP=1.
#![expect(clippy::print_stderr, reason = "test code outside of the test functions")]

use std::time::Instant;

use pyro_environment::ErrorKind;
use pyro_environment::kernel::{KernelCache, KernelOptions, KernelSource};

fn wanted() -> bool {
    let wanted = std::env::var_os("PYRO_TEST_BOOTSTRAP").is_some_and(|value| value == "1");
    if !wanted {
        eprintln!("skipped: needs apt and a Debian mirror; set PYRO_TEST_BOOTSTRAP=1");
    }
    wanted
}

fn debian(mirror: Option<&str>) -> KernelOptions {
    KernelOptions {
        source: Some(KernelSource::Debian),
        debian_mirror: mirror.map(str::to_owned),
        force: false,
    }
}

#[test]
fn debians_kernel_installs_with_the_modules_of_a_microvm() {
    if !wanted() {
        return;
    }
    let room = tempfile::tempdir().unwrap();
    let cache = KernelCache::open(room.path()).unwrap();
    let began = Instant::now();
    let mut said = Vec::new();
    let pulled = cache.pull(&debian(None), &mut |step| said.push(step.detail)).unwrap();
    println!("{} in {:.1?}: {said:?}", pulled.kernel.release, began.elapsed());
    let kernel = pulled.kernel;
    assert!(kernel.release.ends_with("-cloud-amd64"), "{}", kernel.release);
    let names: Vec<_> = kernel
        .modules
        .iter()
        .map(|path| path.file_stem().unwrap().to_string_lossy()[3..].to_owned())
        .collect();
    println!("{names:?} {}", kernel.digest);
    let at = |name: &str| names.iter().position(|known| known == name);
    assert!(at("virtio_ring") < at("virtio") && at("virtio") < at("virtio_mmio"), "{names:?}");
    assert!(at("libcrc32c") < at("erofs") && at("erofs").is_some() && at("overlay").is_some());
    let began = Instant::now();
    assert!(cache.pull(&debian(None), &mut |_| {}).unwrap().already_installed);
    println!("whole in {:.1?}", began.elapsed());
}

#[test]
fn an_unreachable_mirror_is_the_networks_fault_and_leaves_nothing() {
    if !wanted() {
        return;
    }
    let room = tempfile::tempdir().unwrap();
    let cache = KernelCache::open(room.path()).unwrap();
    // Nothing listens on the discard port of this machine.
    let options = debian(Some("http://127.0.0.1:9/debian"));
    let error = cache.pull(&options, &mut |_| {}).unwrap_err();
    println!("{error}; hint: {:?}", error.hint());
    assert_eq!(error.kind(), ErrorKind::NetworkFailed, "{error}");
    assert!(cache.current().unwrap().is_none());
    let left: Vec<_> = std::fs::read_dir(room.path().join("kernel")).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "only the lock: {left:?}");
}
