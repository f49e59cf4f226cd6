//! Where a new workspace's files come from: what was asked for, else the project around the
//! caller, within what the user allows a model.

use std::{
    collections::HashSet,
    ffi::OsString,
    fs::File,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use pyro_environment::{InProcess, Unpacker, unpack::UnpackPlan};
use pyro_model::OriginKind;
use pyro_operations::{
    Code, Failure,
    reply::{NotSeeded, Seed, Skipped},
    workspace::WorkspaceCreate,
};

use crate::{
    Context, Engine, ProjectSource,
    ceiling::{self, Ground, NO_SOURCE},
    failure::{IntoFailure, OrFail, no_space},
    lookup::short,
    seed::{
        self, ArchiveUnpacker, SeedError, SeedLayer, SeedLimits, SeedOptions, SeedSource, Unpacked,
    },
};

/// The file of a layer whose time says when it was last used.
const FACTS: &str = "seed.json";
/// A seed that no workspace uses stays this long: the next create of the same state is instant.
const UNUSED_FOR: Duration = Duration::from_secs(3 * 86_400);
/// Rows of what was left out that a reply shows.
const SHOWN: usize = 50;

/// The files of a new workspace.
pub(super) struct Seeded {
    pub(super) key: Option<String>,
    pub(super) tree_lowers: Vec<PathBuf>,
    pub(super) reply: Seed,
    pub(super) notices: Vec<String>,
    /// The checkout that it is a copy of.
    pub(super) checkout: Option<PathBuf>,
    /// Names at the top of the tree.
    pub(super) top_level: Vec<String>,
    /// Keeps the layer from being collected.
    pub(super) held: Box<dyn std::any::Any + Send>,
}

impl Engine {
    /// Finds or makes the seed of a source.
    pub(super) fn seed(
        &self,
        request: &WorkspaceCreate,
        source: Source,
        context: &Context,
    ) -> Result<Seeded, Failure> {
        let Source { source, ground, mut notices } = source;
        if source == SeedSource::None {
            return Ok(nothing(notices));
        }
        context.say("reading the project", None);
        let user_home = std::env::var_os("HOME").map(PathBuf::from);
        let mut include = self.settings().config.seed.include.clone();
        let mut guarded_include = Vec::new();
        let of_model = context.fence().is_some();
        let named = if of_model { &mut guarded_include } else { &mut include };
        named.extend(request.include.iter().cloned());
        let options = SeedOptions {
            include,
            guarded_include,
            guarded: of_model && ground != Ground::Named,
            user_ignore_file: user_home.as_deref().and_then(seed::user_ignore_file),
            user_home,
            network_env: self.network_variables(),
            ..SeedOptions::default()
        };
        let began = SystemTime::now();
        let layer = seed::prepare(&source, &options, &self.layout().layers(), &Archives)
            .or_fail()
            .map_err(|failure| match failure.code {
                // Nobody named it: the caller hears of the ways out.
                _ if of_model && ground == Ground::Project && !names_a_source(request) => {
                    failure.hint(NO_SOURCE)
                }
                Code::TooLarge => failure.hint("seed a part of it with seed_path"),
                _ => failure,
            })?;
        self.note_use(&layer, began);
        let checkout = match &source {
            SeedSource::Checkout { path } => Some(path.clone()),
            SeedSource::Directory { path } if path.is_dir() => path.canonicalize().ok(),
            _ => None,
        };
        notices.extend(layer.facts.notices.iter().cloned());
        Ok(Seeded {
            key: Some(layer.key().to_owned()),
            tree_lowers: layer.layers.clone(),
            reply: reply(&layer)?,
            notices,
            checkout,
            top_level: top_level(&layer),
            held: Box::new(layer),
        })
    }

    /// What a download by the host's git is told of proxies and certificates.
    fn network_variables(&self) -> Vec<(OsString, OsString)> {
        let config = &self.settings().config;
        let mut variables: Vec<(OsString, OsString)> =
            ["HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "SSL_CERT_FILE"]
                .iter()
                .filter_map(|name| Some(((*name).into(), std::env::var_os(name)?)))
                .collect();
        let mut set = |name: &str, value: Option<OsString>| {
            if let Some(value) = value
                && !variables.iter().any(|(known, _)| known == name)
            {
                variables.push((name.into(), value));
            }
        };
        set("HTTPS_PROXY", config.proxy.clone().map(Into::into));
        set("NO_PROXY", config.no_proxy.clone().map(Into::into));
        set("SSL_CERT_FILE", config.ca_file.clone().map(Into::into));
        variables
    }

    /// Notes that a layer is of use. A layer that was just built makes room first: those that no
    /// workspace has used for long go, so that a user who never prunes does not collect them.
    fn note_use(&self, layer: &SeedLayer, began: SystemTime) {
        let facts = |tree: &PathBuf| tree.with_file_name(FACTS);
        let modified = |path: PathBuf| path.metadata().and_then(|facts| facts.modified()).ok();
        let fresh =
            layer.layers.first().and_then(|top| modified(facts(top))).is_some_and(|at| at >= began);
        for path in layer.layers.iter().map(facts) {
            // A layer whose time is not moved is collected too early and built again: no harm.
            if let Ok(file) = File::options().write(true).open(path) {
                let _ = file.set_modified(SystemTime::now());
            }
        }
        if fresh {
            let _ = self.collect_layers(Some(UNUSED_FOR));
        }
    }

    /// Moves seeds that no workspace uses to the trash (all of them, or only those not used for so
    /// long), and what killed builds left.
    pub(crate) fn collect_layers(&self, unused_for: Option<Duration>) -> Result<u64, Failure> {
        let (_, keys) = self.store().layers_in_use().or_fail()?;
        let (layers, trash) = (self.layout().layers(), self.layout().trash());
        let mut moved = seed::sweep(&layers, &trash).or_fail()?;
        let mut keep: HashSet<String> = keys.into_iter().collect();
        if let Some(age) = unused_for {
            keep.extend(recent(&layers, age));
        }
        moved.extend(seed::collect_unused(&layers, &keep, &trash).or_fail()?);
        Ok(moved.len() as u64)
    }
}

/// Keys of the layers that were used within `age`.
fn recent(layers: &Path, age: Duration) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(layers) else { return Vec::new() };
    entries
        .filter_map(Result::ok)
        .filter(|entry| {
            let used = entry.path().join(FACTS).metadata().and_then(|facts| facts.modified());
            used.is_ok_and(|at| at.elapsed().is_ok_and(|since| since < age))
        })
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

fn nothing(notices: Vec<String>) -> Seeded {
    Seeded {
        key: None,
        tree_lowers: Vec::new(),
        reply: Seed {
            origin_kind: OriginKind::None,
            origin_ref: None,
            commit: None,
            dirty: None,
            files: 0,
            bytes: 0,
            skipped: Vec::new(),
            not_seeded: Vec::new(),
        },
        notices,
        checkout: None,
        top_level: Vec::new(),
        held: Box::new(()),
    }
}

/// A source that the caller may use, and what to say about it.
pub(super) struct Source {
    source: SeedSource,
    ground: Ground,
    notices: Vec<String>,
}

impl Source {
    fn of(source: SeedSource) -> Self {
        Self { source, ground: Ground::Project, notices: Vec::new() }
    }

    fn nothing(notice: String) -> Self {
        Self { notices: vec![notice], ..Self::of(SeedSource::None) }
    }
}

impl Engine {
    /// The source that a request asks for, judged. Nothing is done yet: a person may be asked.
    pub(super) fn source(
        &self,
        request: &WorkspaceCreate,
        context: &Context,
    ) -> Result<Source, Failure> {
        let fence = context.fence();
        if fence.is_some() {
            ceiling::globs(&request.include)?;
        }
        if request.no_seed {
            return Ok(Source::of(SeedSource::None));
        }
        if let Some(path) = &request.seed_path {
            let given = context.cwd.join(path);
            let path = match given.canonicalize() {
                Ok(path) => path,
                Err(error) => {
                    ceiling::tellable(context, "seed_path", &given)?;
                    return Err(missing(&given, &error));
                }
            };
            let ground = ceiling::readable(self, context, "seed_path", &given, &path)?;
            let source = if path.is_dir() {
                SeedSource::Directory { path }
            } else {
                SeedSource::Archive { path }
            };
            return Ok(Source { ground, ..Source::of(source) });
        }
        if let Some(url) = &request.repo_url {
            let asked = request.repo_ref.as_deref();
            let (url, reference) = match fence {
                Some(fence) => ceiling::repository(fence, url, asked)?,
                None => (url.clone(), request.repo_ref.clone()),
            };
            return Ok(Source::of(SeedSource::Repo { url, reference }));
        }
        match fence {
            Some(fence) => of_project(&fence.project),
            None => Ok(match seed::find_checkout(&context.cwd) {
                Some(path) => Source::of(SeedSource::Checkout { path }),
                None => Source::nothing(format!(
                    "{} is in no Git checkout: /workspace is empty; name a directory with seed_path",
                    context.cwd.display()
                )),
            }),
        }
    }
}

fn names_a_source(request: &WorkspaceCreate) -> bool {
    request.seed_path.is_some() || request.repo_url.is_some()
}

/// What a model that names no source gets.
fn of_project(project: &ProjectSource) -> Result<Source, Failure> {
    let source = match project.clone() {
        ProjectSource::Checkout(path) => SeedSource::Checkout { path },
        ProjectSource::Directory(path) => SeedSource::Directory { path },
        ProjectSource::Repository { url, reference } => SeedSource::Repo { url, reference },
        ProjectSource::None { why } => {
            return Ok(Source::nothing(format!("{why}: /workspace is empty")));
        }
        ProjectSource::Unusable { why } => {
            return Err(Failure::new(Code::SourceFailed, format!("no project can be used: {why}"))
                .hint(NO_SOURCE)
                .detail("kind", "seed"));
        }
    };
    Ok(Source::of(source))
}

/// A source that a caller named and that cannot be looked at.
fn missing(path: &Path, error: &std::io::Error) -> Failure {
    use std::io::ErrorKind::{InvalidFilename, InvalidInput};
    if matches!(error.kind(), InvalidFilename | InvalidInput) {
        let shown = short(&path.to_string_lossy());
        return Failure::new(Code::InvalidArgument, format!("seed_path: {shown}: {error}"))
            .hint("give the path of a directory or of a tar file");
    }
    crate::failure::host_file("read the seed source", path, error)
        .hint("give a directory or a tar file that exists, or leave seed_path out for the project")
}

fn reply(layer: &SeedLayer) -> Result<Seed, Failure> {
    let facts = &layer.facts;
    let kind = OriginKind::parse(facts.origin_kind.as_str())
        .ok_or_else(|| Failure::new(Code::Internal, "an unknown kind of seed"))?;
    let rows =
        |path: &str, reason: &str| Skipped { path: path.to_owned(), reason: reason.to_owned() };
    let mut skipped: Vec<Skipped> =
        facts.skipped.iter().take(SHOWN).map(|one| rows(&one.path, &one.reason)).collect();
    let more = facts.skipped_more + facts.skipped.len().saturating_sub(SHOWN) as u64;
    if more > 0 {
        skipped.push(rows("…", &format!("{more} more")));
    }
    Ok(Seed {
        origin_kind: kind,
        origin_ref: facts.origin_ref.clone(),
        commit: facts.commit.clone(),
        dirty: facts.commit.is_some().then_some(facts.dirty),
        files: facts.files,
        bytes: facts.bytes,
        skipped,
        not_seeded: facts
            .not_seeded
            .iter()
            .take(SHOWN)
            .map(|one| NotSeeded {
                path: one.path.clone(),
                bytes: one.bytes,
                flag: one.flag.clone(),
            })
            .collect(),
    })
}

fn top_level(layer: &SeedLayer) -> Vec<String> {
    let names = |directory: &PathBuf| std::fs::read_dir(directory).ok();
    layer
        .layers
        .iter()
        .filter_map(names)
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .take(10_000)
        .collect()
}

/// Unpacks seeds from archives by the one set of rules for archives.
struct Archives;

impl ArchiveUnpacker for Archives {
    fn unpack(
        &self,
        archive: File,
        path: &Path,
        into: &Path,
        limits: &SeedLimits,
    ) -> Result<Unpacked, SeedError> {
        let mut plan = UnpackPlan::seed();
        plan.limits.bytes = limits.bytes;
        plan.limits.entries = limits.files;
        let what = path.display().to_string();
        let summary = InProcess::single().unpack(archive, into, plan).map_err(|error| {
            use pyro_environment::unpack::UnpackError as E;
            let why = error.to_string();
            match error {
                E::Refused { .. } | E::Mismatch { .. } => SeedError::Hostile { what, why },
                E::TooLarge { bound, .. } if bound.is_hostile() => SeedError::Hostile { what, why },
                E::TooLarge { .. } => SeedError::TooLarge { what, limit: why },
                E::NoSpace { .. } => SeedError::NoSpace { path: into.to_owned() },
                _ => SeedError::SourceFailed { what, detail: why },
            }
        })?;
        Ok(Unpacked { files: summary.files, bytes: summary.bytes, skipped: Vec::new() })
    }
}

impl IntoFailure for SeedError {
    fn into_failure(self) -> Failure {
        let message = format!("failed to {self}");
        let code = match &self {
            Self::NoSpace { .. } => return no_space(message),
            Self::InvalidArgument { .. } => Code::InvalidArgument,
            Self::NotFound { .. } => Code::NotFound,
            Self::NotPermitted { .. } => Code::NotPermitted,
            Self::Hostile { .. } => Code::HostileInput,
            Self::TooLarge { .. } => Code::TooLarge,
            Self::Unsupported { .. } => Code::Unsupported,
            Self::SourceFailed { .. } => Code::SourceFailed,
            Self::NetworkFailed { .. } => Code::NetworkFailed,
            Self::Deadline { .. } => Code::Deadline,
            Self::StoreDamaged { .. } => Code::StoreDamaged,
            Self::Io { .. } => Code::Internal,
        };
        Failure::new(code, message).detail("kind", "seed").hint(match code {
            Code::NotFound => "give a directory or a tar file that exists",
            Code::TooLarge => "seed a part of it with seed_path",
            Code::NetworkFailed => "check name, proxy and certificates, then try again",
            _ => "",
        })
    }
}
