//! `pyro host` with the real pyro: what a chat host is told to start really starts and answers;
//! and with the real chat hosts, which must then say that they are connected.
//!
//! The real ones are at `PYRO_TEST_CLAUDE`, `PYRO_TEST_CODEX` and `PYRO_TEST_OPENCODE`
//! (`scripts/clients` prints them); each runs in an empty home, with no network but loopback.
//! Without them these tests say so and count as skipped; they fail instead when `PYRO_REQUIRED`
//! names `clients`.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;

/// An empty home, a project, and a PATH with pyro and one chat host on it.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new(programs: &[(&str, &Path)]) -> Self {
        let desk = Self { folder: tempfile::tempdir().unwrap() };
        for name in ["user", "project/.git", "bin"] {
            fs::create_dir_all(desk.at(name)).unwrap();
        }
        let pyro = Path::new(env!("CARGO_BIN_EXE_pyro"));
        for (name, program) in programs.iter().chain(&[("pyro", pyro)]) {
            std::os::unix::fs::symlink(program, desk.at("bin").join(name)).unwrap();
        }
        desk
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    /// A program with nothing of the caller's environment, in the project.
    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.at("user"))
            .env("PATH", format!("{}:/usr/bin:/bin", self.at("bin").display()))
            .env("TERM", "dumb")
            .env("OPENCODE_DISABLE_AUTOUPDATE", "1")
            .env("OPENCODE_DISABLE_MODELS_FETCH", "1")
            .current_dir(self.at("project"))
            .stdin(Stdio::null());
        command
    }

    fn pyro(&self, arguments: &[&str]) -> Output {
        self.command(env!("CARGO_BIN_EXE_pyro"), arguments).output().unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.pyro(&[&["--json"], arguments].concat());
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {output:?}"))
    }

    /// The only row of `host doctor`, and its exit code.
    fn row(&self, host: &str) -> (Value, Option<i32>) {
        let output = self.pyro(&["--json", "host", "doctor", host]);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let rows = report["hosts"].as_array().unwrap();
        assert_eq!(rows.len(), 1, "{report:#}");
        (rows[0].clone(), output.status.code())
    }

    /// A chat host behind nothing but loopback, and what it said on both streams.
    fn chat_host(&self, program: &Path, arguments: &str) -> String {
        let line = format!("ip link set lo up; exec {} {arguments}", program.display());
        let output = self
            .command("timeout", &["120", "unshare", "--net", "--map-root-user", "sh", "-c", &line])
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&said).into_owned()
    }

    fn files(&self, names: &[&str]) -> BTreeMap<String, Option<Vec<u8>>> {
        names.iter().map(|name| ((*name).to_owned(), fs::read(self.at(name)).ok())).collect()
    }
}

const HOSTS: [&str; 3] = ["claude-code", "codex", "opencode"];

#[test]
fn what_is_connected_answers_and_is_gone_afterwards() {
    let desk = Desk::new(&[]);
    for host in HOSTS {
        for scope in ["user", "project"] {
            let connect =
                ["host", "connect", host, "--scope", scope, "--mode", "inspect", "--only"];
            let output = desk.pyro(&connect);
            assert!(output.status.success(), "{output:?}");
            let shown = String::from_utf8(output.stdout).unwrap();
            assert!(shown.contains("  + "), "changes are shown: {shown}");
            let (row, code) = desk.row(host);
            assert_eq!((row["state"].as_str(), code), (Some("connected"), Some(0)), "{row:#}");
            assert!(row["server"]["server"].as_str().unwrap().starts_with("pyro"), "{row:#}");
            assert_eq!(row["only"], true);
            assert!(desk.pyro(&["host", "disconnect", host]).status.success());
        }
    }
    let left: Vec<_> =
        fs::read_dir(desk.at("project")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(left, [desk.at("project/.git")]);
}

#[test]
fn what_the_server_would_refuse_at_its_start_is_refused_and_what_it_lacks_is_told() {
    let desk = Desk::new(&[]);
    for (flags, code) in [
        (["--network", "egress"], "unsupported"),
        (["--project-path", "nowhere"], "not_found"),
        (["--allow-path", "/no/such/place"], "not_found"),
        (["--max-cpus", "0"], "invalid_argument"),
    ] {
        let refused = desk.json(&[&["host", "connect", "codex"][..], &flags].concat());
        assert_eq!(refused["error"]["code"], code, "{refused:#}");
        assert!(refused["error"]["message"].as_str().unwrap().contains(flags[0]), "{refused:#}");
        assert!(!desk.at("user/.codex/config.toml").exists(), "nothing is written");
    }
    let connected = desk.json(&["host", "connect", "codex", "--mode", "inspect"]);
    let notices = connected["notices"].to_string();
    assert!(notices.contains("pyro env pull debian:12"), "{connected:#}");
    let plain = desk.json(&["host", "connect", "codex", "--as", "plain"]);
    assert!(!plain.to_string().contains("env pull"), "{plain:#}");
}

#[test]
fn several_files_are_told_apart_and_one_can_be_piped() {
    let desk = Desk::new(&[]);
    let print = |more: &[&str]| {
        let output = desk.pyro(&[&["host", "print-config", "codex"], more].concat());
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(print(&[]).starts_with("[mcp_servers.pyro]\n"), "{}", print(&[]));
    let both = print(&["--only"]);
    let marks: Vec<&str> = both.lines().filter(|line| line.starts_with("==> ")).collect();
    assert_eq!(marks.len(), 2, "{both}");
    assert!(both.lines().next() == Some(marks[0]), "{both}");
}

#[test]
fn a_home_that_is_not_the_usual_one_is_pinned() {
    let desk = Desk::new(&[]);
    let (home, config) = (desk.at("pyro-home"), desk.at("pyro.toml"));
    fs::write(&config, "").unwrap();
    let output = desk
        .command(env!("CARGO_BIN_EXE_pyro"), &["--json", "host", "connect", "codex"])
        .env("PYRO_HOME", &home)
        .env("PYRO_CONFIG", &config)
        .output()
        .unwrap();
    let reply: Value = serde_json::from_slice(&output.stdout).unwrap();
    let words: Vec<&str> =
        reply["command"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    assert_eq!(words[0], fs::canonicalize(env!("CARGO_BIN_EXE_pyro")).unwrap().to_str().unwrap());
    assert_eq!(words[3], format!("--home={}", home.display()));
    assert_eq!(words[4], format!("--config={}", config.display()));
    // Without the variables, as Codex starts it.
    let (row, _) = desk.row("codex");
    assert_eq!(row["state"], "connected", "{row:#}");
}

#[test]
fn failures_name_the_file_the_line_and_the_way_out() {
    let desk = Desk::new(&[]);
    fs::write(desk.at("user/.claude.json"), "{\n  \"a\": 1,\n  oops\n}\n").unwrap();
    let failure = &desk.json(&["host", "connect", "claude-code"])["error"];
    assert_eq!(failure["code"], "client_config");
    assert_eq!(failure["details"]["line"], 3);
    assert_eq!(failure["details"]["file"], desk.at("user/.claude.json").display().to_string());
    assert!(failure["hint"].as_str().unwrap().contains("host_repair"), "{failure}");
    let shown = String::from_utf8(desk.pyro(&["host", "connect", "claude-code"]).stderr).unwrap();
    assert!(shown.contains("pyro host repair"), "{shown}");
    assert_eq!(desk.row("claude-code").1, Some(1), "something is to be mended");
    let repaired = desk.json(&["host", "repair", "claude-code"]);
    assert_eq!(repaired["backups"].as_array().unwrap().len(), 1, "{repaired:#}");
    assert_eq!(desk.row("claude-code").1, Some(0));

    let code = |arguments: &[&str]| desk.json(arguments)["error"]["code"].clone();
    assert_eq!(code(&["host", "connect", "generic"]), "invalid_argument");
    assert_eq!(code(&["host", "connect", "codex", "--http", "127.0.0.1:1"]), "invalid_argument");
    assert_eq!(code(&["host", "connect", "codex", "--as", "a.b"]), "invalid_argument");
    let both = ["host", "connect", "codex", "--mode", "inspect", "--profile", "vm-run"];
    assert_eq!(code(&both), "invalid_argument");
    assert!(
        desk.pyro(&["host", "disconnect", "codex"]).status.success(),
        "nothing to undo is done"
    );
    fs::write(desk.at("user/.claude.json"), "{\"mcpServers\": {\"pyro\": {\"command\": \"x\"}}}")
        .unwrap();
    assert_eq!(code(&["host", "connect", "claude-code"]), "already_exists");
}

/// A real chat host, or the reason why not.
fn real(variable: &str) -> Option<PathBuf> {
    let found = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_file());
    if found.is_none() {
        let required = std::env::var("PYRO_REQUIRED").unwrap_or_default();
        let must = required.split(',').any(|name| name == "clients");
        assert!(!must, "must run, but: {variable} names no program");
        println!("skipped clients: {variable} names no program; see scripts/clients");
    }
    found
}

/// Connected, as the chat host itself says; drifted when broken; repaired; and gone to the byte.
fn story(
    host: &str,
    program: (&str, &Path),
    list: &str,
    files: &[&str],
    connected: impl Fn(&str) -> bool,
) {
    let desk = Desk::new(&[program]);
    // What the chat host makes by itself is there before.
    desk.chat_host(program.1, list);
    let before = desk.files(files);
    let made = desk.json(&["host", "connect", host, "--max-workspaces", "3"]);
    let own = if host == "opencode" { "pyro" } else { "mcp add" };
    assert!(made["made_by"].as_str().unwrap().contains(own), "{made:#}");
    let said = desk.chat_host(program.1, list);
    assert!(connected(&said), "{said}");
    let (row, code) = desk.row(host);
    assert_eq!((row["state"].as_str(), code), (Some("connected"), Some(0)), "{row:#}");
    assert!(row["version"].as_str().is_some(), "{row:#}");

    let file = made["file"].as_str().unwrap();
    let pyro = made["command"][0].as_str().unwrap();
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(pyro) && text.contains("--max-workspaces=3"), "{text}");
    fs::write(file, text.replace(pyro, "/gone/pyro")).unwrap();
    assert!(!connected(&desk.chat_host(program.1, list)) || host == "codex");
    let (row, code) = desk.row(host);
    assert_eq!((row["state"].as_str(), code), (Some("drifted"), Some(1)), "{row:#}");
    let repaired = desk.json(&["host", "repair"]);
    assert_eq!(repaired["hosts"][0]["state"], "connected", "{repaired:#}");
    let said = desk.chat_host(program.1, list);
    assert!(connected(&said), "{said}");
    assert!(fs::read_to_string(file).unwrap().contains("--max-workspaces=3"));

    desk.pyro(&["host", "disconnect", host]);
    // Claude Code writes counters of its own into its file: those are not ours to compare.
    if host != "claude-code" {
        assert_eq!(desk.files(files), before);
    }
    assert!(!connected(&desk.chat_host(program.1, list)));
}

#[test]
fn claude_code_says_that_it_is_connected() {
    let Some(program) = real("PYRO_TEST_CLAUDE") else { return };
    story("claude-code", ("claude", &program), "mcp list", &["user/.claude.json"], |said| {
        said.lines().any(|line| line.starts_with("pyro:") && line.contains("Connected"))
    });
}

#[test]
fn codex_lists_pyro() {
    let Some(program) = real("PYRO_TEST_CODEX") else { return };
    let files = ["user/.codex/config.toml"];
    story("codex", ("codex", &program), "mcp list --json", &files, |said| {
        said.contains("\"pyro\"") && said.contains("mcp")
    });
}

#[test]
fn opencode_says_that_it_is_connected() {
    let Some(program) = real("PYRO_TEST_OPENCODE") else { return };
    let files = ["user/.config/opencode/opencode.jsonc", "user/.config/opencode/opencode.json"];
    story("opencode", ("opencode", &program), "mcp list", &files, |said| {
        said.lines().any(|line| line.contains("pyro") && line.contains("connected"))
    });
}
