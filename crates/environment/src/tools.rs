//! Which tools a project needs, and which of them an environment lacks.
//!
//! The needs come from the names of the manifests at the project's top level; nothing is read from
//! the project, which may be hostile. Looking a tool up never leaves the root it is looked up in.
//! This is advice for the reply of create: what it says is never a reason to refuse.

use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2};

use crate::host::HostEnvironment;

/// As many names of a project as are looked at.
const NAMES_AT_MOST: usize = 4096;

macro_rules! tools {
    ($($(#[$doc:meta])* $tool:ident $name:literal [$($program:literal)+]),+ $(,)?) => {
        /// A tool that a project may need.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Tool { $($(#[$doc])* $tool),+ }

        impl Tool {
            /// Every tool.
            pub const ALL: &'static [Tool] = &[$(Tool::$tool),+];
            /// What people call it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Tool::$tool => $name),+ }
            }
            /// The programs of which any one will do.
            #[must_use]
            pub fn programs(self) -> &'static [&'static str] {
                match self { $(Tool::$tool => &[$($program),+]),+ }
            }
        }
    };
}

tools! {
    /// Rust's build tool.
    Cargo "cargo" ["cargo"],
    /// A linker driver for C.
    CCompiler "cc" ["cc" "gcc" "clang"],
    /// A compiler for C++.
    CxxCompiler "c++" ["c++" "g++" "clang++"],
    /// make.
    Make "make" ["make" "gmake"],
    /// CMake.
    Cmake "cmake" ["cmake"],
    /// Node.js.
    Node "node" ["node" "nodejs"],
    /// npm.
    Npm "npm" ["npm"],
    /// pnpm.
    Pnpm "pnpm" ["pnpm"],
    /// Yarn.
    Yarn "yarn" ["yarn" "yarnpkg"],
    /// Bun.
    Bun "bun" ["bun"],
    /// Deno.
    Deno "deno" ["deno"],
    /// Python 3.
    Python "python3" ["python3"],
    /// uv.
    Uv "uv" ["uv"],
    /// Poetry.
    Poetry "poetry" ["poetry"],
    /// Go.
    Go "go" ["go"],
    /// A Java runtime.
    Java "java" ["java"],
    /// Maven.
    Maven "mvn" ["mvn"],
    /// Gradle.
    Gradle "gradle" ["gradle"],
    /// Ruby.
    Ruby "ruby" ["ruby"],
    /// Bundler.
    Bundler "bundle" ["bundle"],
    /// PHP.
    Php "php" ["php"],
    /// Composer.
    Composer "composer" ["composer"],
    /// Elixir's build tool.
    Mix "mix" ["mix"],
    /// .NET.
    Dotnet "dotnet" ["dotnet"],
}

/// A tool, and the manifest that says it is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeededTool {
    /// Which one.
    pub tool: Tool,
    /// The manifest's name.
    pub because: String,
}

/// A needed tool that the environment does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LackingTool {
    /// Which one.
    pub tool: Tool,
    /// The manifest's name.
    pub because: String,
    /// The environments that have it, best first; empty when none that is known does.
    pub found_in: Vec<String>,
}

/// Where tools are looked up.
#[derive(Debug, Clone, Copy)]
pub enum ToolRoot<'a> {
    /// The host's own toolchains.
    Host(&'a HostEnvironment),
    /// The unpacked root of an environment.
    Rootfs {
        /// The environment's name, which is not offered as a way out.
        name: &'a str,
        /// Its directory.
        root: &'a Path,
        /// The `PATH` of its commands.
        path: &'a str,
    },
}

/// What the curated environments have, smallest first.
const CURATED: &[(&str, &[Tool])] = &[
    ("debian:12", &[Tool::Python]),
    ("debian:12-build", &[Tool::Python, Tool::CCompiler, Tool::CxxCompiler, Tool::Make]),
];

/// The tools that a project with these names at its top level needs, in the order of [`Tool::ALL`].
#[must_use]
pub fn needed_tools(names: &[&str]) -> Vec<NeededTool> {
    let names = &names[..names.len().min(NAMES_AT_MOST)];
    let has = |name: &str| names.contains(&name);
    let mut needed: Vec<NeededTool> = Vec::new();
    for name in names {
        for tool in tools_of_manifest(name, &has) {
            if !needed.iter().any(|known| known.tool == *tool) {
                needed.push(NeededTool { tool: *tool, because: (*name).to_owned() });
            }
        }
    }
    needed.sort_by_key(|known| known.tool);
    needed
}

/// What one manifest asks for, given what else is there: a lock file names the package manager, a
/// wrapper script brings the build tool along.
fn tools_of_manifest(name: &str, has: &dyn Fn(&str) -> bool) -> &'static [Tool] {
    use Tool as T;
    match name {
        "Cargo.toml" => &[T::Cargo, T::CCompiler],
        "rust-toolchain" | "rust-toolchain.toml" => &[T::Cargo],
        "package.json" if has("bun.lock") || has("bun.lockb") => &[T::Bun],
        "package.json" if has("pnpm-lock.yaml") || has("yarn.lock") => &[T::Node],
        "package.json" => &[T::Node, T::Npm],
        "pnpm-lock.yaml" => &[T::Node, T::Pnpm],
        "yarn.lock" => &[T::Node, T::Yarn],
        "bun.lock" | "bun.lockb" => &[T::Bun],
        "deno.json" | "deno.jsonc" => &[T::Deno],
        "pyproject.toml" | "requirements.txt" | "setup.py" | "Pipfile" => &[T::Python],
        "uv.lock" => &[T::Python, T::Uv],
        "poetry.lock" => &[T::Python, T::Poetry],
        "go.mod" => &[T::Go],
        "pom.xml" if has("mvnw") => &[T::Java],
        "pom.xml" => &[T::Java, T::Maven],
        "build.gradle" | "build.gradle.kts" if has("gradlew") => &[T::Java],
        "build.gradle" | "build.gradle.kts" => &[T::Java, T::Gradle],
        "Gemfile" => &[T::Ruby, T::Bundler],
        "composer.json" => &[T::Php, T::Composer],
        "mix.exs" => &[T::Mix],
        "CMakeLists.txt" => &[T::Cmake, T::CxxCompiler, T::Make],
        "Makefile" | "makefile" | "GNUmakefile" => &[T::Make],
        _ if [".csproj", ".fsproj", ".sln"].iter().any(|end| name.ends_with(end)) => &[T::Dotnet],
        _ => &[],
    }
}

/// Which of the needed tools are not there, and where else they are.
///
/// `host` is asked for ways out; none when the host may not be used (mode `inspect`).
#[must_use]
pub fn tools_lacking(
    needed: &[NeededTool],
    here: ToolRoot<'_>,
    host: Option<&HostEnvironment>,
) -> Vec<LackingTool> {
    needed
        .iter()
        .filter(|need| !here.has(need.tool))
        .map(|need| {
            let host = host.filter(|host| {
                matches!(here, ToolRoot::Rootfs { .. }) && ToolRoot::Host(host).has(need.tool)
            });
            let curated = CURATED
                .iter()
                .filter(|(name, tools)| !here.is_called(name) && tools.contains(&need.tool));
            LackingTool {
                tool: need.tool,
                because: need.because.clone(),
                found_in: host
                    .map(|_| "host".to_owned())
                    .into_iter()
                    .chain(curated.map(|(name, _)| (*name).to_owned()))
                    .collect(),
            }
        })
        .collect()
}

impl ToolRoot<'_> {
    /// Whether one of the tool's programs is on the environment's `PATH`.
    #[must_use]
    pub fn has(self, tool: Tool) -> bool {
        tool.programs().iter().any(|program| match self {
            ToolRoot::Host(host) => on_path(host.path()).any(|dir| host_has(host, dir, program)),
            ToolRoot::Rootfs { root, path, .. } => rootfs_has(root, path, program),
        })
    }

    fn is_called(self, other: &str) -> bool {
        match self {
            ToolRoot::Host(_) => other == "host",
            ToolRoot::Rootfs { name, .. } => other == name,
        }
    }
}

fn on_path(path: &str) -> impl Iterator<Item = &Path> {
    path.split(':').map(Path::new).filter(|entry| entry.is_absolute())
}

/// Links inside mostly have the same paths as on the host, so the host's own resolution is taken,
/// and believed where it ends in something that is bound.
fn host_has(host: &HostEnvironment, directory: &Path, program: &str) -> bool {
    let bind = host.binds.iter().rev().find(|bind| directory.starts_with(&bind.target));
    let on_host: PathBuf = match bind {
        Some(bind) => match directory.strip_prefix(&bind.target) {
            Ok(rest) => bind.source.join(rest).join(program),
            Err(_) => return false,
        },
        // `/bin` and its like, which are links of the skeleton.
        None => {
            match directory.strip_prefix("/").map(|rest| host.skeleton.join(rest).read_link()) {
                Ok(Ok(target)) => Path::new("/").join(target).join(program),
                Ok(Err(_)) | Err(_) => return false,
            }
        }
    };
    let Ok(real) = on_host.canonicalize() else { return false };
    let bound = host.binds.iter().any(|bind| real.starts_with(&bind.source));
    bound && rustix::fs::stat(&real).is_ok_and(|stat| runs(stat.st_mode))
}

/// The root is an unpacked image and may be hostile: nothing is followed out of it.
fn rootfs_has(root: &Path, path: &str, program: &str) -> bool {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let Ok(root) = open(root, flags | OFlags::DIRECTORY, Mode::empty()) else { return false };
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    on_path(path).any(|directory| {
        openat2(&root, directory.join(program), flags, Mode::empty(), resolve)
            .and_then(fstat)
            .is_ok_and(|stat| runs(stat.st_mode))
    })
}

fn runs(mode: u32) -> bool {
    FileType::from_raw_mode(mode) == FileType::RegularFile && mode & 0o111 != 0
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn names_of(needed: &[NeededTool]) -> Vec<&'static str> {
        needed.iter().map(|need| need.tool.name()).collect()
    }

    fn program(path: &Path, mode: u32) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn manifests_name_tools_once_and_lock_files_pick_the_manager() {
        let cases: &[(&[&str], &[&str])] = &[
            (&["README.md", "src"], &[]),
            (&["Cargo.toml", "rust-toolchain.toml", "Makefile"], &["cargo", "cc", "make"]),
            (&["package.json"], &["node", "npm"]),
            (&["package.json", "pnpm-lock.yaml"], &["node", "pnpm"]),
            (&["package.json", "yarn.lock"], &["node", "yarn"]),
            (&["package.json", "bun.lock"], &["bun"]),
            (&["pyproject.toml", "uv.lock"], &["python3", "uv"]),
            (&["requirements.txt", "poetry.lock"], &["python3", "poetry"]),
            (&["pom.xml"], &["java", "mvn"]),
            (&["pom.xml", "mvnw"], &["java"]),
            (&["build.gradle.kts", "gradlew"], &["java"]),
            (&["App.csproj", "go.mod", "deno.json"], &["deno", "go", "dotnet"]),
            (
                &["Gemfile", "composer.json", "mix.exs"],
                &["ruby", "bundle", "php", "composer", "mix"],
            ),
            (&["CMakeLists.txt"], &["c++", "make", "cmake"]),
        ];
        for (names, tools) in cases {
            assert_eq!(names_of(&needed_tools(names)), *tools, "{names:?}");
        }
        assert_eq!(needed_tools(&["uv.lock"])[0].because, "uv.lock");
    }

    #[test]
    fn a_rootfs_has_what_is_executable_within_it() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("root");
        program(&root.join("usr/bin/node"), 0o755);
        program(&root.join("usr/bin/npm"), 0o644);
        program(&root.join("opt/real/make"), 0o755);
        program(&temp.path().join("outside/go"), 0o755);
        symlink("usr/bin", root.join("bin")).unwrap();
        symlink("/opt/real/make", root.join("usr/bin/make")).unwrap();
        symlink(temp.path().join("outside/go"), root.join("usr/bin/go")).unwrap();
        symlink("../../../../outside/go", root.join("usr/bin/cargo")).unwrap();
        fs::create_dir_all(root.join("usr/bin/java")).unwrap();

        let path = "/usr/local/bin:/bin";
        let here = ToolRoot::Rootfs { name: "debian:12", root: &root, path };
        assert!(here.has(Tool::Node));
        assert!(here.has(Tool::Make), "an absolute link is resolved within the root");
        for tool in [Tool::Npm, Tool::Go, Tool::Cargo, Tool::Java] {
            assert!(!here.has(tool), "{tool:?}");
        }
    }

    #[test]
    fn what_is_lacking_names_other_environments_that_have_it() {
        let temp = tempfile::tempdir().unwrap();
        let here = ToolRoot::Rootfs { name: "debian:12", root: temp.path(), path: "/usr/bin" };
        let needed = needed_tools(&["Makefile", "pyproject.toml", "mix.exs"]);
        let lacking = tools_lacking(&needed, here, None);
        let found: Vec<_> = lacking.iter().map(|l| (l.tool.name(), l.found_in.join(" "))).collect();
        assert_eq!(
            found,
            [
                ("make", "debian:12-build".to_owned()),
                ("python3", "debian:12-build".to_owned()),
                ("mix", String::new()),
            ]
        );
    }
}
