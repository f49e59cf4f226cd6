//! The configurations in `examples/mcp` are what `pyro host print-config` prints, and those over
//! HTTP reach a server whose address and token they name: nobody copies something stale.
//!
//! Writes nothing outside its own folder. `BLESS=1` writes the printed ones anew.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

const PRINTED: [(&str, &str); 4] = [
    ("claude-code", "claude-code.mcp.json"),
    ("codex", "codex.config.toml"),
    ("opencode", "opencode.json"),
    ("generic", "generic.json"),
];

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/mcp").join(name)
}

/// What `print-config` says for this chat host, in an empty home and project.
fn printed(host: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_pyro"))
        .args(["host", "print-config", host, "--scope", "project"])
        .env_clear()
        .env("HOME", folder.path())
        .env("PATH", "/usr/bin:/bin")
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{host}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_is_to_be_copied_is_what_is_printed() {
    for (host, name) in PRINTED {
        let printed = printed(host);
        if std::env::var_os("BLESS").is_some() {
            fs::write(example(name), &printed).unwrap();
        }
        assert_eq!(fs::read_to_string(example(name)).unwrap(), printed, "{name}");
    }
}

/// Every example stands in the README beside them, which names no other.
#[test]
fn the_page_names_every_example() {
    let page = fs::read_to_string(example("README.md")).unwrap();
    for entry in fs::read_dir(example("")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name == "README.md" || page.contains(&format!("({name})")), "{name} is not named");
    }
    for link in page.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        assert!(example(link).is_file(), "{link} is not there");
    }
}

/// The address and the token's name are one in the page and in all three.
#[test]
fn over_http_all_speak_of_one_server() {
    let page = fs::read_to_string(example("README.md")).unwrap();
    let address = "127.0.0.1:7788";
    assert!(page.contains(&format!("--http {address}")), "{page}");
    let url = format!("http://{address}/mcp");
    let json = |name: &str| -> Value {
        serde_json::from_str(&fs::read_to_string(example(name)).unwrap()).unwrap()
    };
    let claude = json("http.claude-code.mcp.json");
    let server = &claude["mcpServers"]["pyro"];
    assert_eq!((server["type"].as_str(), server["url"].as_str()), (Some("http"), Some(&*url)));
    assert_eq!(server["headers"]["Authorization"], "Bearer ${PYRO_MCP_TOKEN}");
    let opencode = json("http.opencode.json");
    let server = &opencode["mcp"]["pyro"];
    assert_eq!((server["type"].as_str(), server["url"].as_str()), (Some("remote"), Some(&*url)));
    assert_eq!(server["headers"]["Authorization"], "Bearer {file:~/.local/share/pyro/mcp-token}");
    let codex = fs::read_to_string(example("http.codex.config.toml")).unwrap();
    assert!(codex.contains(&format!("url = \"{url}\"")), "{codex}");
    assert!(codex.contains("bearer_token_env_var = \"PYRO_MCP_TOKEN\""), "{codex}");
}
