//! A user's home, a project and a PATH that one test owns, with a pyro that answers a hello.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use pyro_chat_hosts::{
    ChatHostError, Surroundings, connect, disconnect, doctor, print_config, repair,
};
use pyro_operations::chat_host::{
    ChatHost, HostConnect, HostConnected, HostDisconnect, HostDisconnected, HostDoctor,
    HostDoctorReport, HostPrintConfig, HostRepair, HostRepaired, HostRow,
};
use serde_json::{Value, json};

/// Answers a hello as pyro does, and ends with its input.
const PYRO: &str = "#!/bin/sh\nread hello\n\
    echo '{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"protocolVersion\":\"2025-11-25\",\"serverInfo\":{\"name\":\"pyro\",\"version\":\"9\"}}}'\n\
    read more\n";

pub(crate) struct Home {
    folder: tempfile::TempDir,
    pub(crate) here: Surroundings,
}

impl Home {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for name in ["user", "project/.git", "bin"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        let path = format!("{}:/usr/bin:/bin", root.join("bin").display());
        let mut variables = BTreeMap::new();
        variables.insert("PATH".into(), path.into());
        variables.insert("HOME".into(), root.join("user").into());
        let home = Self {
            here: Surroundings {
                user_home: root.join("user"),
                cwd: root.join("project"),
                variables,
                binary: root.join("bin/pyro"),
                pyro_home: root.join("user/.local/share/pyro"),
                pyro_config: None,
                records: root.join("user/.local/share/pyro/chat-hosts"),
            },
            folder,
        };
        home.program("pyro", PYRO);
        home
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    /// A program on the PATH.
    pub(crate) fn program(&self, name: &str, text: &str) -> PathBuf {
        let path = self.root().join("bin").join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// A file below the user's home, with its text.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        write(&self.here.user_home.join(name), text)
    }

    /// A file of the project, with its text.
    pub(crate) fn project_file(&self, name: &str, text: &str) -> PathBuf {
        write(&self.here.cwd.join(name), text)
    }

    pub(crate) fn user(&self, name: &str) -> PathBuf {
        self.here.user_home.join(name)
    }

    pub(crate) fn project(&self, name: &str) -> PathBuf {
        self.here.cwd.join(name)
    }

    pub(crate) fn connect(&self, request: Value) -> Result<HostConnected, ChatHostError> {
        connect(&self.here, &typed::<HostConnect>(request))
    }

    pub(crate) fn disconnect(&self, request: Value) -> Result<HostDisconnected, ChatHostError> {
        disconnect(&self.here, &typed::<HostDisconnect>(request))
    }

    pub(crate) fn doctor(&self, request: Value) -> HostDoctorReport {
        doctor(&self.here, &typed::<HostDoctor>(request)).unwrap()
    }

    /// The only row of a chat host.
    pub(crate) fn row(&self, chat_host: ChatHost) -> HostRow {
        let mut rows = self.doctor(json!({"chat_host": chat_host})).hosts;
        assert_eq!(rows.len(), 1, "{rows:#?}");
        rows.remove(0)
    }

    pub(crate) fn repair(&self, request: Value) -> Result<HostRepaired, ChatHostError> {
        repair(&self.here, &typed::<HostRepair>(request))
    }

    pub(crate) fn printed(&self, request: Value) -> String {
        let config = print_config(&self.here, &typed::<HostPrintConfig>(request)).unwrap();
        config.parts.iter().map(|part| part.content.as_str()).collect()
    }

    /// Every file below the user's home and the project, with its bytes; pyro's own left out.
    pub(crate) fn everything(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut all = BTreeMap::new();
        for folder in [&self.here.user_home, &self.here.cwd] {
            walk(folder, &mut all);
        }
        all.retain(|path, _| !path.starts_with(self.here.user_home.join(".local")));
        all
    }
}

fn walk(folder: &Path, all: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            all.insert(path.clone(), Vec::new());
            walk(&path, all);
        } else {
            all.insert(path.clone(), fs::read(&path).unwrap_or_default());
        }
    }
}

fn write(path: &Path, text: &str) -> PathBuf {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    path.to_path_buf()
}

fn typed<T: serde::de::DeserializeOwned>(request: Value) -> T {
    serde_json::from_value(request).unwrap()
}

pub(crate) fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

pub(crate) fn json_of(path: &Path) -> Value {
    serde_json::from_str(&text(path)).unwrap()
}
