//! Imports from tars and OCI layouts built by hand: layers, whiteouts, tampering, choice.
#![expect(clippy::unwrap_used, reason = "test code outside of the test functions")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pyro_environment::{
    Cache, EnvironmentName, EnvironmentState, ErrorKind, ImportSource, InProcess, Outcome,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

fn cache(room: &Path) -> Cache {
    let unpacker = Arc::new(InProcess::single());
    Cache::open(room.join("environments"), room.join("trash"), unpacker).unwrap()
}

fn name() -> EnvironmentName {
    "example.org/tools:1".parse().unwrap()
}

fn tar(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        if let Some(target) = content.strip_prefix("-> ") {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            tar.append_link(&mut header, name, target).unwrap();
        } else {
            tar.append_data(&mut header, name, content.as_bytes()).unwrap();
        }
    }
    tar.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

struct Layout(PathBuf);

impl Layout {
    fn new(room: &Path) -> Self {
        let layout = Self(room.join("layout"));
        std::fs::create_dir_all(layout.0.join("blobs/sha256")).unwrap();
        std::fs::write(layout.0.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        layout
    }
    fn blob(&self, bytes: &[u8], media_type: &str) -> Value {
        let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        std::fs::write(self.0.join("blobs/sha256").join(&hex), bytes).unwrap();
        json!({"mediaType": media_type, "digest": format!("sha256:{hex}"), "size": bytes.len()})
    }
    fn image(&self, architecture: &str, layers: &[Vec<u8>]) -> Value {
        let config = json!({"architecture": architecture, "os": "linux", "config": {
            "Env": ["PATH=/opt/bin:/usr/bin", "A=b"], "WorkingDir": "/srv", "Entrypoint": ["/evil"]}});
        let config =
            self.blob(config.to_string().as_bytes(), "application/vnd.oci.image.config.v1+json");
        let layers: Vec<_> = layers
            .iter()
            .map(|layer| self.blob(layer, "application/vnd.oci.image.layer.v1.tar"))
            .collect();
        let manifest = json!({"schemaVersion": 2, "config": config, "layers": layers});
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let mut descriptor = self.blob(manifest.to_string().as_bytes(), media_type);
        descriptor["platform"] = json!({"architecture": architecture, "os": "linux"});
        descriptor
    }
    fn index(&self, manifests: &[Value]) {
        let index = json!({"schemaVersion": 2, "manifests": manifests});
        std::fs::write(self.0.join("index.json"), index.to_string()).unwrap();
    }
    fn source(&self) -> ImportSource {
        ImportSource::OciLayout(self.0.clone())
    }
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn layers() -> Vec<Vec<u8>> {
    let first = tar(&[
        ("usr/lib/old", "old"),
        ("usr/lib/kept", "kept"),
        ("lib", "-> usr/lib"),
        ("cache/a", "1"),
        ("cache/b/c", "2"),
        ("gone/x", "3"),
        ("etc/machine-id", "built-here"),
    ]);
    let second = tar(&[
        ("lib/new", "new"),
        ("usr/lib/.wh.old", ""),
        ("cache/fresh", "4"),
        ("cache/.wh..wh..opq", ""),
        ("cache/b/d", "5"),
        (".wh.gone", ""),
        ("never/.wh.there", ""),
    ]);
    let third = tar(&[("etc/hostname", "h")]);
    vec![gzip(&first), zstd::encode_all(&second[..], 1).unwrap(), third]
}

#[test]
fn layers_stack_up_with_whiteouts() {
    let room = tempfile::tempdir().unwrap();
    let layout = Layout::new(room.path());
    let index = layout.blob(
        json!({"manifests": [layout.image("riscv64", &layers()), layout.image(architecture(), &layers())]})
            .to_string()
            .as_bytes(),
        "application/vnd.oci.image.index.v1+json",
    );
    layout.index(&[index]);
    let cache = cache(room.path());
    let pulled = cache.import(&name(), &layout.source(), &mut |_| {}).unwrap();
    assert_eq!(pulled.outcome, Outcome::Installed);
    let rootfs = &pulled.installed.rootfs;
    let text = |path: &str| std::fs::read_to_string(rootfs.join(path)).ok();
    for (path, content) in [
        ("usr/lib/kept", Some("kept")),
        ("usr/lib/new", Some("new")),
        ("usr/lib/old", None),
        ("cache/a", None),
        ("cache/b/c", None),
        ("cache/b/d", Some("5")),
        ("cache/fresh", Some("4")),
        ("gone", None),
        ("gone/x", None),
        ("etc/hostname", Some("h")),
        ("etc/machine-id", Some("")),
        ("etc/resolv.conf", Some("")),
        (".wh.gone", None),
        ("cache/.wh..wh..opq", None),
    ] {
        assert_eq!(text(path).as_deref(), content, "{path}");
    }
    assert!(std::fs::symlink_metadata(rootfs.join("gone")).is_err());
    assert!(std::fs::symlink_metadata(rootfs.join("lib")).unwrap().is_symlink());
    let image = &pulled.installed.manifest.image;
    assert_eq!(image.env, ["PATH=/opt/bin:/usr/bin", "A=b"]);
    assert_eq!(image.working_dir.as_deref(), Some("/srv"));
    assert_eq!(cache.list().unwrap().last().unwrap().name, name());
    drop(pulled);
    let again = cache.import(&name(), &layout.source(), &mut |_| {}).unwrap();
    assert_eq!(again.outcome, Outcome::AlreadyInstalled);
}

#[test]
fn tampered_blobs_are_refused_and_change_nothing() {
    let room = tempfile::tempdir().unwrap();
    let layout = Layout::new(room.path());
    layout.index(&[layout.image(architecture(), &layers())]);
    let cache = cache(room.path());
    let blobs = layout.0.join("blobs/sha256");
    for blob in std::fs::read_dir(&blobs).unwrap() {
        let path = blob.unwrap().path();
        let good = std::fs::read(&path).unwrap();
        let mut flipped = good.clone();
        *flipped.last_mut().unwrap() ^= 1;
        let mut longer = good.clone();
        longer.push(b'\n');
        for bad in [flipped, longer, good[..good.len() - 1].to_vec()] {
            std::fs::write(&path, &bad).unwrap();
            let error = cache.import(&name(), &layout.source(), &mut |_| {}).unwrap_err();
            let expected = [ErrorKind::HostileInput, ErrorKind::SourceFailed];
            assert!(expected.contains(&error.kind()), "{error:?}");
            let state = cache.inspect(&name(), false).map(|status| status.state);
            assert_eq!(state.unwrap_err().kind(), ErrorKind::NotFound);
        }
        std::fs::write(&path, good).unwrap();
    }
    let left: Vec<_> =
        std::fs::read_dir(room.path().join("environments")).unwrap().flatten().collect();
    assert_eq!(left.len(), 3, "only .lock, locks and names: {left:?}");
    cache.import(&name(), &layout.source(), &mut |_| {}).unwrap();
}

#[test]
fn wrong_layouts_are_source_failures() {
    let room = tempfile::tempdir().unwrap();
    let cache = cache(room.path());
    let layout = Layout::new(room.path());
    let failed = |what: &str| {
        let error = cache.import(&name(), &layout.source(), &mut |_| {}).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SourceFailed, "{what}: {error:?}");
    };
    failed("no index");
    layout.index(&[layout.image("s390x", &layers())]);
    failed("another architecture");
    let two = [
        layout.image(architecture(), &layers()),
        layout.image(architecture(), &[tar(&[("f", "x")])]),
    ];
    layout.index(&two);
    failed("two images");
    // A blob that is a link out of the layout.
    let digest = two[1]["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    let blob = layout.0.join("blobs/sha256").join(digest);
    let elsewhere = room.path().join("elsewhere");
    std::fs::rename(&blob, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &blob).unwrap();
    layout.index(&two[1..]);
    failed("a link");
    std::fs::write(
        layout.0.join("index.json"),
        r#"{"manifests":[{"digest":"sha256:../../x","size":1}]}"#,
    )
    .unwrap();
    failed("a digest that is a path");
}

#[test]
fn tarballs_come_in_by_content_and_hostile_ones_do_not() {
    let room = tempfile::tempdir().unwrap();
    let cache = cache(room.path());
    let path = room.path().join("root.bin");
    std::fs::write(&path, gzip(&tar(&[("bin/sh", "x"), ("etc/os-release", "y")]))).unwrap();
    let source = ImportSource::RootfsTarball(path.clone());
    let pulled = cache.import(&name(), &source, &mut |_| {}).unwrap();
    // With those that every root has.
    assert_eq!(pulled.installed.manifest.files, 5);
    let first = pulled.installed.digest().clone();
    std::fs::write(&path, tar(&[("bin/sh", "changed")])).unwrap();
    let replaced = cache.import(&name(), &source, &mut |_| {}).unwrap();
    assert_eq!(replaced.outcome, Outcome::Replaced);
    // The earlier tree is there for those who use it.
    assert!(cache.resolve_digest(&first).is_ok());
    std::fs::write(&path, b"nonsense").unwrap();
    let error = cache.import(&name(), &source, &mut |_| {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SourceFailed);
    let state = cache.inspect(&name(), true).unwrap().state;
    assert!(matches!(state, EnvironmentState::Installed { .. }));
    let curated = "debian:12".parse().unwrap();
    let error = cache.import(&curated, &source, &mut |_| {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}
