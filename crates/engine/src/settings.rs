//! Where this pyro keeps its files and what the user configured: flag, variable, file, built-in,
//! in that order. Every default of the product that is not a limit is here.

use std::path::{Path, PathBuf};

use pyro_operations::{Code, Failure};
use serde::Deserialize;

/// What the user may set in `config.toml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The environment of a create that names none.
    pub environment: Option<String>,
    /// The machine of a create that names none.
    pub machine: Option<String>,
    /// Cores of a workspace.
    pub cpus: Option<u32>,
    /// Memory of a workspace.
    pub memory_mib: Option<u64>,
    /// Seconds without use after which a workspace is stopped.
    pub idle_ttl_s: Option<u64>,
    /// Workspaces at once.
    pub max_workspaces: Option<u64>,
    /// Proxy for downloads.
    pub proxy: Option<String>,
    /// Hosts that need no proxy.
    pub no_proxy: Option<String>,
    /// Certificates for downloads.
    pub ca_file: Option<PathBuf>,
    /// Where Debian packages come from.
    pub debian_mirror: Option<String>,
    /// Registries of images.
    pub registries: Vec<String>,
    /// What comes along with a seed.
    pub seed: SeedConfig,
    /// The host environment.
    pub host: HostConfig,
    /// The network.
    pub network: NetworkConfig,
}

/// `[seed]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SeedConfig {
    /// Globs of ignored files that come along.
    pub include: Vec<String>,
}

/// `[host]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HostConfig {
    /// More directories that the host environment shows.
    pub extra_paths: Vec<PathBuf>,
}

/// `[network]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkConfig {
    /// Hosts that workspaces may contact.
    pub allow_hosts: Vec<String>,
}

/// Where this pyro keeps its files, and what the user configured.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// pyro's home.
    pub home: PathBuf,
    /// What the user configured.
    pub config: Config,
    /// The file that was named for that, if one was: absolute.
    pub config_file: Option<PathBuf>,
}

impl Settings {
    /// From flags, variables and files.
    ///
    /// # Errors
    /// `invalid_argument` when the configuration cannot be read or has an unknown key.
    pub fn find(home: Option<&Path>, config: Option<&Path>) -> Result<Self, Failure> {
        let variable =
            |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let user = variable("HOME");
        let below_user = |rest: &str| user.as_ref().map(|user| user.join(rest));
        let home = home
            .map(Path::to_path_buf)
            .or_else(|| variable("PYRO_HOME"))
            .or_else(|| below_user(".local/share/pyro"))
            .ok_or_else(|| {
                Failure::new(Code::InvalidArgument, "there is no home directory: HOME is not set")
                    .hint("give --home DIR")
            })?;
        let home = std::path::absolute(&home).map_err(|error| {
            Failure::new(Code::InvalidArgument, format!("home {}: {error}", home.display()))
        })?;
        let named = config.map(Path::to_path_buf).or_else(|| variable("PYRO_CONFIG"));
        let config_file = named.as_deref().map(std::path::absolute).transpose();
        let config_file = config_file.map_err(|error| {
            Failure::new(Code::InvalidArgument, format!("the configuration's path: {error}"))
        })?;
        let required = named.is_some();
        let path = named.or_else(|| below_user(".config/pyro/config.toml"));
        let config = match path {
            Some(path) => read_config(&path, required)?,
            None => Config::default(),
        };
        Ok(Self { home, config, config_file })
    }
}

fn read_config(path: &Path, required: bool) -> Result<Config, Failure> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !required => {
            return Ok(Config::default());
        }
        Err(error) => {
            return Err(Failure::new(
                Code::InvalidArgument,
                format!("configuration {}: {error}", path.display()),
            ));
        }
    };
    toml::from_str(&text).map_err(|error| {
        Failure::new(
            Code::InvalidArgument,
            format!("configuration {}: {}", path.display(), error.message()),
        )
        .hint("correct the file, or name another with --config")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, "enviroment = 'host'\n").unwrap();
        let failure = Settings::find(Some(folder.path()), Some(&path)).unwrap_err();
        assert_eq!(failure.code, Code::InvalidArgument);
        assert!(failure.message.contains("enviroment"), "{}", failure.message);
        std::fs::write(&path, "environment = 'host'\n[seed]\ninclude = ['a']\n").unwrap();
        let settings = Settings::find(Some(folder.path()), Some(&path)).unwrap();
        assert_eq!(settings.config.environment.as_deref(), Some("host"));
    }
}
