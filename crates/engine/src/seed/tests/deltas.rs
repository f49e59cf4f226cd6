//! A layer over its base shows exactly what a full layer of the same state shows.

use super::*;
use proptest::prelude::*;

/// A change that somebody makes to a project.
#[derive(Debug, Clone)]
enum Edit {
    Write(String, Vec<u8>),
    Remove(String),
    /// Removes whatever stands there and puts a file.
    Replace(String),
    Link(String),
    Executable(String),
    Stage,
    Commit,
    Branch(String),
    Stash,
    Repack,
}

fn path() -> impl Strategy<Value = String> {
    let name = prop_oneof![Just("a"), Just("b"), Just("c.log"), Just("d"), Just(".gitignore")];
    prop::collection::vec(name, 1..4).prop_map(|parts| parts.join("/"))
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        6 => (path(), prop::collection::vec(b'a'..b'e', 0..6)).prop_map(|(p, b)| Edit::Write(p, b)),
        3 => path().prop_map(Edit::Remove),
        2 => path().prop_map(Edit::Replace),
        1 => path().prop_map(Edit::Link),
        1 => path().prop_map(Edit::Executable),
        1 => Just(Edit::Stage),
        2 => Just(Edit::Commit),
        1 => "[a-c]".prop_map(Edit::Branch),
        1 => Just(Edit::Stash),
        1 => Just(Edit::Repack),
    ]
}

fn clear(place: &Place, name: &str) {
    let path = place.at(name);
    if let Ok(metadata) = path.symlink_metadata() {
        if metadata.is_dir() {
            std::fs::remove_dir_all(path).unwrap();
        } else {
            std::fs::remove_file(path).unwrap();
        }
    }
}

/// Makes room for a file: whatever is no directory on the way goes.
fn make_way(place: &Place, name: &str) {
    for (at, _) in name.match_indices('/') {
        let dir = place.at(&name[..at]);
        if !dir.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
            clear(place, &name[..at]);
            std::fs::create_dir(&dir).unwrap();
        }
    }
}

fn apply(place: &Place, edit: &Edit) {
    let loose = |args: &[&str]| drop(git_in(&place.project(), args));
    match edit {
        Edit::Write(name, text) => {
            make_way(place, name);
            if !place.at(name).is_dir() {
                clear(place, name);
                place.write(name, text);
            }
        }
        Edit::Remove(name) => clear(place, name),
        Edit::Replace(name) => {
            make_way(place, name);
            clear(place, name);
            place.write(name, "replaced");
        }
        Edit::Link(name) => {
            make_way(place, name);
            clear(place, name);
            std::os::unix::fs::symlink("../elsewhere", place.at(name)).unwrap();
        }
        Edit::Executable(name) => {
            if place.at(name).symlink_metadata().is_ok_and(|metadata| metadata.is_file()) {
                place.mode(name, 0o755);
            }
        }
        Edit::Stage => loose(&["add", "-A"]),
        Edit::Commit => {
            loose(&["add", "-A"]);
            loose(&["commit", "-qm", "more"]);
        }
        Edit::Branch(name) => loose(&["checkout", "-q", "-B", name]),
        Edit::Stash => loose(&["stash", "-q"]),
        Edit::Repack => loose(&["repack", "-adq"]),
    }
}

/// The tree as people and git see it: without times, which a file keeps from when it was last
/// found different, and with the index as a list, since a mere refresh of it is no new state.
fn comparable(layer: &SeedLayer, objects: bool) -> BTreeMap<String, String> {
    let mut seen = BTreeMap::new();
    for (path, (kind, bytes, _)) in merged(layer) {
        if !objects && path.starts_with(".git/objects") {
            continue;
        }
        let mut text = format!("{kind} {}", String::from_utf8_lossy(&bytes));
        if path == ".git/index" {
            text.clear();
            crate::seed::index::for_each(&bytes, 20, |entry| {
                let name = String::from_utf8_lossy(entry.path);
                text += &format!("{name} {:o} {:?} {}, ", entry.mode, entry.oid, entry.stage);
                Ok(())
            })
            .unwrap();
        }
        seen.insert(path, text);
    }
    seen
}

/// What only one of two trees has.
fn differences(left: &BTreeMap<String, String>, right: &BTreeMap<String, String>) -> Vec<String> {
    let paths: std::collections::BTreeSet<_> = left.keys().chain(right.keys()).collect();
    let differ = paths.into_iter().filter(|path| left.get(*path) != right.get(*path));
    differ.map(|path| format!("{path}: {:?} / {:?}", left.get(path), right.get(path))).collect()
}

#[test]
fn a_delta_shows_what_a_full_layer_shows() {
    let config = ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let rounds = prop::collection::vec(prop::collection::vec(edit(), 1..6), 1..4);
    let deltas = std::cell::Cell::new(0);
    let outcome = runner.run(&rounds, |rounds| check_rounds(&rounds, &deltas));
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(deltas.get() > 12, "only {} deltas were compared", deltas.get());
}

fn check_rounds(
    rounds: &[Vec<Edit>],
    deltas: &std::cell::Cell<usize>,
) -> Result<(), TestCaseError> {
    let place = Place::repo();
    for name in ["a/a", "a/b/a", "b/a", "b/b/b", "d", "many/1", "many/2"] {
        place.write(name, name);
    }
    place.git(&["add", "-A"]);
    place.git(&["commit", "-qm", "second"]);
    let mut known = std::collections::HashSet::from([place.seed().facts.key]);
    for round in rounds {
        round.iter().for_each(|edit| apply(&place, edit));
        let layer = place.seed();
        deltas.set(deltas.get() + layer.layers.len() - 1);
        let full_store = tempfile::tempdir().unwrap();
        let source = SeedSource::Checkout { path: place.project() };
        let options = SeedOptions::default();
        let full = prepare(&source, &options, full_store.path(), &NoArchives).unwrap();
        prop_assert_eq!(full.layers.len(), 1);
        // A layer found again keeps the objects of its day; refs and key are the same.
        let fresh = known.insert(layer.facts.key.clone());
        let (left, right) = (comparable(&layer, fresh), comparable(&full, fresh));
        prop_assert_eq!(differences(&left, &right), Vec::<String>::new());
        prop_assert_eq!(&layer.facts.key, &full.facts.key, "{:?} {:?}", layer.facts, full.facts);
        let counts = |layer: &SeedLayer| (layer.facts.files, layer.facts.bytes);
        prop_assert_eq!(counts(&layer), counts(&full));
        // And it is what git and the disk have.
        let mut disk: Vec<String> = place
            .git(&["-c", "core.quotePath=false", "ls-files", "-co", "--exclude-standard"])
            .lines()
            .filter(|name| place.at(name).symlink_metadata().is_ok_and(|m| !m.is_dir()))
            .map(str::to_owned)
            .collect();
        disk.sort();
        disk.dedup();
        prop_assert_eq!(files(&layer), disk);
    }
    Ok(())
}

#[test]
fn a_few_edits_cost_a_few_files() {
    let place = Place::repo();
    for file in 0..200 {
        place.write(&format!("d{}/f{file}", file % 10), format!("{file}"));
    }
    place.git(&["add", "-A"]);
    place.git(&["commit", "-qm", "many"]);
    let full = place.seed();
    assert_eq!(full.layers.len(), 1);
    place.write("d1/f1", "edited");
    place.write("d1/new", "new");
    std::fs::remove_file(place.at("d2/f2")).unwrap();
    std::fs::remove_dir_all(place.at("d3")).unwrap();
    let delta = place.seed();
    assert_eq!(delta.layers.len(), 2);
    assert_eq!(delta.layers[1], full.layers[0]);
    assert_eq!(delta.facts.base.as_deref(), Some(full.key()));
    let top: Vec<_> = listing(&delta.layers[0])
        .into_iter()
        .filter(|(path, _)| !path.starts_with(".git"))
        .map(|(path, thing)| format!("{} {path}", thing.0))
        .collect();
    assert_eq!(
        top,
        [
            "dir 755 d1",
            "file 644 d1/f1",
            "file 644 d1/new",
            "dir 755 d2",
            "whiteout d2/f2",
            "whiteout d3"
        ]
    );
    // The next one lies over the same base, not over the delta.
    place.write("d1/f1", "edited again");
    let next = place.seed();
    assert_eq!(next.layers[1], full.layers[0]);
    // A large change is a new base.
    for file in 0..150 {
        place.write(&format!("d{}/f{file}", file % 10), "all different");
    }
    let large = place.seed();
    assert_eq!(large.layers.len(), 1);
    place.write("d1/f1", "after");
    assert_eq!(place.seed().layers[1], large.layers[0]);
}

#[test]
fn the_kernel_sees_the_same_merged_tree() {
    let place = Place::repo();
    place.seed();
    std::fs::remove_dir_all(place.at("src")).unwrap();
    place.write("src", "a file now");
    std::fs::remove_file(place.at("README.md")).unwrap();
    place.write("README.md/inside", "a directory now");
    std::fs::remove_file(place.at("run.sh")).unwrap();
    let layer = place.seed();
    assert_eq!(layer.layers.len(), 2);
    let dirs: Vec<_> = ["merged", "upper", "work"].map(|name| place.dir.path().join(name)).into();
    dirs.iter().for_each(|dir| std::fs::create_dir(dir).unwrap());
    let script = format!(
        "mount -t overlay overlay -o userxattr,lowerdir={}:{},upperdir={},workdir={} {m} && \
         cd {m} && find . -path ./.git -prune -o ! -type d -print | sort && git status --porcelain",
        layer.layers[0].display(),
        layer.layers[1].display(),
        dirs[1].display(),
        dirs[2].display(),
        m = dirs[0].display(),
    );
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-ec", &script])
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() && complaint.contains("unshare") {
        eprintln!("skipped: user namespaces are refused here: {complaint}");
        return;
    }
    assert!(output.status.success(), "{complaint}");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "./.gitignore\n./README.md/inside\n./link\n./src\n D README.md\n D run.sh\n D src/deep/er/x.rs\n \
         D src/main.rs\n?? src\n"
    );
}
