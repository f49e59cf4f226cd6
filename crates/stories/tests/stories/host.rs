//! The three chat hosts: where their programs are, and how each is told of pyro's server and of
//! the scripted model.

use std::path::{Path, PathBuf};

use serde_json::json;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Host {
    Claude,
    Codex,
    Opencode,
}

/// How a host is started for one story.
pub(crate) struct Start {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) variables: Vec<(&'static str, String)>,
}

/// What a host is told beside its usual ways.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ways {
    /// Flags of `pyro mcp serve`.
    pub(crate) server: Vec<&'static str>,
    /// Codex asks the person for tools that say they may destroy something, and there is none.
    pub(crate) unapproved: bool,
    /// A model that Codex does not know, whose results it cuts earlier.
    pub(crate) unknown_model: bool,
    /// It was told of the server by `pyro host connect`, and is told nothing of it here.
    pub(crate) connected: bool,
}

impl Host {
    /// The host's program, or what is missing.
    pub(crate) fn program(self) -> Result<PathBuf, String> {
        let variable = match self {
            Self::Claude => "PYRO_TEST_CLAUDE",
            Self::Codex => "PYRO_TEST_CODEX",
            Self::Opencode => "PYRO_TEST_OPENCODE",
        };
        let path = std::env::var_os(variable).map(PathBuf::from);
        path.filter(|path| path.is_file())
            .ok_or_else(|| format!("{variable} names no program: eval \"$(scripts/clients)\""))
    }

    /// The most characters of one result that the host passes on as they are.
    pub(crate) fn ceiling(self) -> usize {
        match self {
            Self::Claude => 49_000,
            Self::Codex => 48_000,
            Self::Opencode => 51_200,
        }
    }

    /// Writes what the host reads from its home, and says how it is started.
    pub(crate) fn start(self, home: &Path, pyro: &Path, port: u16, ways: &Ways) -> Start {
        let program = self.program().unwrap();
        let mut server = vec!["mcp", "serve"];
        server.extend(&ways.server);
        let pyro = pyro.to_str().unwrap();
        match self {
            Self::Claude => claude(program, pyro, &server, port, ways),
            Self::Codex => codex(program, pyro, &server, port, ways),
            Self::Opencode => opencode(program, home, pyro, &server, port, ways),
        }
    }
}

fn claude(program: PathBuf, pyro: &str, server: &[&str], port: u16, ways: &Ways) -> Start {
    let servers =
        json!({"mcpServers": {"pyro": {"type": "stdio", "command": pyro, "args": server}}});
    let servers = servers.to_string();
    let mut arguments = vec!["-p", "Play the story.", "--output-format=stream-json", "--verbose"];
    if !ways.connected {
        arguments.extend(["--strict-mcp-config", "--mcp-config", &servers]);
        arguments.extend(["--allowedTools", "mcp__pyro"]);
    }
    Start {
        program,
        arguments: arguments.into_iter().map(str::to_owned).collect(),
        variables: vec![
            ("ANTHROPIC_BASE_URL", format!("http://127.0.0.1:{port}")),
            ("ANTHROPIC_API_KEY", "none".to_owned()),
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1".to_owned()),
        ],
    }
}

fn codex(program: PathBuf, pyro: &str, server: &[&str], port: u16, ways: &Ways) -> Start {
    let approval = if ways.unapproved { "" } else { ",default_tools_approval_mode=\"approve\"" };
    let model = if ways.unknown_model { "unknown" } else { "gpt-5.5" };
    let mut settings = vec![
        format!("model={model}"),
        "model_provider=scripted".to_owned(),
        format!(
            "model_providers.scripted={{name=\"scripted\",base_url=\"http://127.0.0.1:{port}/v1\",env_key=\"KEY\",wire_api=\"responses\"}}"
        ),
    ];
    let mut arguments: Vec<String> =
        ["exec", "--json", "--skip-git-repo-check"].map(str::to_owned).to_vec();
    if !ways.connected {
        arguments.push("--sandbox=read-only".to_owned());
        let (pyro, server) = (json!(pyro), json!(server));
        // Strings and lists of strings are the same in TOML as in JSON here.
        settings.push(format!("mcp_servers.pyro={{command={pyro},args={server}{approval}}}"));
    }
    for setting in settings {
        arguments.extend(["-c".to_owned(), setting]);
    }
    arguments.push("Play the story.".to_owned());
    Start { program, arguments, variables: vec![("KEY", "none".to_owned())] }
}

fn opencode(
    program: PathBuf,
    home: &Path,
    pyro: &str,
    server: &[&str],
    port: u16,
    ways: &Ways,
) -> Start {
    let mut command = vec![pyro];
    command.extend(server);
    let mut config = json!({
        "model": "scripted/scripted",
        "small_model": "scripted/scripted",
        // Its own copy of the checkout, made anew at each turn, is not what is tested.
        "snapshot": false,
        "share": "disabled",
        "provider": {"scripted": {
            "npm": "@ai-sdk/openai-compatible",
            "name": "scripted",
            "options": {"baseURL": format!("http://127.0.0.1:{port}/v1"), "apiKey": "none"},
            "models": {"scripted": {
                "name": "scripted", "tool_call": true,
                "limit": {"context": 1_000_000, "output": 10_000},
            }},
        }},
    });
    let folder = home.join(".config/opencode");
    // What connecting wrote stays; this is read before it.
    let file = if ways.connected { "config.json" } else { "opencode.json" };
    if !ways.connected {
        config["mcp"] = json!({"pyro": {"type": "local", "command": command}});
    }
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(file), config.to_string()).unwrap();
    let arguments = ["run", "--format=json", "Play the story."];
    Start {
        program,
        arguments: arguments.map(str::to_owned).to_vec(),
        variables: vec![
            ("OPENCODE_DISABLE_AUTOUPDATE", "1".to_owned()),
            ("OPENCODE_DISABLE_MODELS_FETCH", "1".to_owned()),
        ],
    }
}
