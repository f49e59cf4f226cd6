//! The user's ceiling as a model meets it: the binary, spoken to in JSON lines. What the person is
//! asked, what the client's roots are good for, and where a server starts all the same.

#![expect(clippy::unwrap_used, reason = "tests")]

mod home;
mod wire;

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use home::Home;
use serde_json::{Value, json};
use wire::Wire;

struct Server(Wire);

impl std::ops::Deref for Server {
    type Target = Wire;

    fn deref(&self) -> &Wire {
        &self.0
    }
}

impl std::ops::DerefMut for Server {
    fn deref_mut(&mut self) -> &mut Wire {
        &mut self.0
    }
}

impl Server {
    fn spawn(command: Command) -> Self {
        Self(Wire::spawn(command))
    }

    /// Greeted in the older era, by a client with these capabilities.
    fn older(home: &Home, arguments: &[&str], capabilities: &Value) -> Self {
        let all = [&["mcp", "serve"], arguments].concat();
        let mut server = Self::spawn(home.pyro(&all));
        server.greet(capabilities);
        server
    }

    fn greet(&mut self, capabilities: &Value) {
        let hello = json!({
            "protocolVersion": "2025-11-25", "capabilities": capabilities,
            "clientInfo": {"name": "test", "version": "0"},
        });
        let reply = self.ask("initialize", &hello);
        assert_eq!(reply["result"]["serverInfo"]["name"], "pyro", "{reply}");
        self.tell(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    }

    /// The answer to a request; nothing is asked in between.
    fn answer(&self, id: u64) -> Value {
        let message = self.receive();
        assert_eq!(message["id"], id, "{message}");
        assert!(message.get("method").is_none(), "{message}");
        message
    }

    fn ask(&mut self, method: &str, params: &Value) -> Value {
        let id = self.send(method, params);
        self.answer(id)
    }

    /// The server's own request, which must be this one.
    fn asked(&self, method: &str) -> Value {
        let message = self.receive();
        assert_eq!(message["method"], method, "{message}");
        message
    }

    fn reply(&mut self, request: &Value, result: &Value) {
        self.tell(&json!({"jsonrpc": "2.0", "id": request["id"], "result": result}));
    }

    fn create(&mut self, arguments: &Value) -> u64 {
        self.send("tools/call", &json!({"name": "workspace_create", "arguments": arguments}))
    }

    /// What `workspace_create` says of its source.
    fn description(&mut self) -> String {
        let list = self.ask("tools/list", &json!({}));
        about_create(&list)
    }

    /// Ends the input; how long the server then lived.
    fn end(&mut self) -> Duration {
        let (lived, code) = self.0.end();
        assert_eq!(code, Some(0));
        lived
    }
}

fn about_create(list: &Value) -> String {
    let tools = list["result"]["tools"].as_array().unwrap();
    let tool = tools.iter().find(|tool| tool["name"] == "workspace_create").unwrap();
    tool["description"].as_str().unwrap().to_owned()
}

fn code(reply: &Value) -> &str {
    reply["result"]["structuredContent"]["error"]["code"].as_str().unwrap_or("none")
}

fn error(reply: &Value) -> &Value {
    &reply["result"]["structuredContent"]["error"]
}

/// Made, or as far as a host without machines goes: past every refusal.
fn is_allowed(reply: &Value) -> bool {
    let made = reply["result"]["structuredContent"]["seed"]["files"] == 1;
    made || code(reply) == "host_unfit"
}

/// A directory beside the project, with a file.
fn outside(home: &Home) -> PathBuf {
    let path = home.project().parent().unwrap().canonicalize().unwrap().join("outside");
    std::fs::create_dir_all(&path).unwrap();
    std::fs::write(path.join("file"), "text\n").unwrap();
    path
}

fn forms() -> Value {
    json!({"elicitation": {"form": {}, "url": {}}})
}

#[test]
fn the_person_s_yes_is_needed_and_holds_for_the_path_it_names() {
    let home = Home::new();
    let outside = outside(&home);
    // A link in the project: the question names where it leads.
    std::os::unix::fs::symlink(&outside, home.project().join("harmless")).unwrap();
    let mut server = Server::older(&home, &[], &forms());
    let yes = json!({"action": "accept", "content": {"allow": true}});
    let id = server.create(&json!({"seed_path": "harmless"}));
    let question = server.asked("elicitation/create");
    let params = &question["params"];
    let message = params["message"].as_str().unwrap();
    assert!(message.contains(&format!(" {} ", outside.display())), "{message}");
    assert!(message.contains("nothing on this computer is changed"), "{message}");
    let field = &params["requestedSchema"]["properties"]["allow"];
    assert_eq!((&field["type"], &field["default"]), (&json!("boolean"), &json!(false)));
    server.reply(&question, &yes);
    assert!(is_allowed(&server.answer(id)));

    // Each of these is a no.
    for no in [
        json!({"action": "cancel"}),
        json!({"action": "accept", "content": {"allow": "true"}}),
        json!({"nonsense": [1]}),
    ] {
        let id = server.create(&json!({"seed_path": outside}));
        let question = server.asked("elicitation/create");
        server.reply(&question, &no);
        let reply = server.answer(id);
        assert_eq!(code(&reply), "not_permitted", "{no}: {reply}");
        assert!(error(&reply)["hint"].as_str().unwrap().contains("--allow-path"), "{reply}");
    }
    // A person who said no three times is not asked again.
    let id = server.create(&json!({"seed_path": outside}));
    assert_eq!(code(&server.answer(id)), "not_permitted");
}

#[test]
fn nobody_is_asked_where_nobody_can_be_or_no_answer_would_do() {
    let home = Home::new();
    let outside = outside(&home);
    for capabilities in [json!({}), json!({"elicitation": {"url": {}}})] {
        let mut server = Server::older(&home, &[], &capabilities);
        let id = server.create(&json!({"seed_path": outside}));
        let reply = server.answer(id);
        assert_eq!(code(&reply), "not_permitted", "{reply}");
        assert!(error(&reply)["hint"].as_str().unwrap().contains("--allow-path"), "{reply}");
    }
    let mut server = Server::older(&home, &[], &forms());
    std::fs::create_dir_all(outside.join("repo/.git")).unwrap();
    std::fs::create_dir_all(outside.join("a\u{202e}b")).unwrap();
    for path in [
        PathBuf::from("/"),
        PathBuf::from("/nothing/here"),
        home.path(),
        home.path().parent().unwrap().to_owned(),
        outside.join("repo/.git"),
        outside.join("a\u{202e}b"),
    ] {
        let id = server.create(&json!({"seed_path": path}));
        let reply = server.answer(id);
        assert_eq!(code(&reply), "not_permitted", "{}: {reply}", path.display());
    }
    // Where a link outside leads is not told: those of processes name their files and directories.
    std::os::unix::fs::symlink(outside.join("repo"), home.path().with_file_name("alias")).unwrap();
    let alias = home.path().with_file_name("alias");
    let mut unasked = Server::older(&home, &[], &json!({}));
    let id = unasked.create(&json!({"seed_path": alias}));
    let reply = unasked.answer(id);
    let message = error(&reply)["message"].as_str().unwrap();
    assert_eq!(code(&reply), "not_permitted", "{reply}");
    assert!(message.contains(alias.to_str().unwrap()) && !message.contains("repo"), "{message}");
    for path in ["a\0b".to_owned(), "x".repeat(5_000)] {
        let id = unasked.create(&json!({"seed_path": path}));
        let reply = unasked.answer(id);
        // A path too long to be looked at lies nowhere in particular.
        assert!(["invalid_argument", "not_permitted"].contains(&code(&reply)), "{reply}");
        assert!(error(&reply)["message"].as_str().unwrap().len() < 1_000, "{reply}");
    }
    for url in [format!("file://{}", outside.display()), "ext::sh -c id".to_owned()] {
        let id = server.create(&json!({"repo_url": url}));
        assert_eq!(code(&server.answer(id)), "not_permitted", "{url}");
    }
}

#[test]
fn a_question_without_an_answer_holds_nothing_up() {
    let home = Home::new();
    let outside = outside(&home);
    let mut server = Server::older(&home, &[], &forms());
    let id = server.create(&json!({"seed_path": outside}));
    let question = server.asked("elicitation/create");
    // Other calls go on meanwhile.
    let list = server.ask("tools/call", &json!({"name": "workspace_list", "arguments": {}}));
    assert_eq!(code(&list), "none", "{list}");
    // The client gives the call up: the question is taken back, and the call has no answer.
    server.tell(&json!({
        "jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id},
    }));
    let taken_back = server.asked("notifications/cancelled");
    assert_eq!(taken_back["params"]["requestId"], question["id"], "{taken_back}");
    // The client goes away while its person is being asked.
    server.create(&json!({"seed_path": outside}));
    server.asked("elicitation/create");
    let lived = server.end();
    assert!(lived < Duration::from_millis(200), "{lived:?}");
    assert!(home.json(&["workspace", "list"])["workspaces"].as_array().unwrap().is_empty());
}

/// A call of the newer era, as a client with forms makes it.
fn newer(arguments: &Value, more: &Value) -> Value {
    let mut params = json!({
        "name": "workspace_create",
        "arguments": arguments,
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "0"},
            "io.modelcontextprotocol/clientCapabilities": forms(),
        },
    });
    for (name, value) in more.as_object().unwrap() {
        params[name] = value.clone();
    }
    params
}

#[test]
fn in_the_newer_era_the_question_is_the_answer() {
    let home = Home::new();
    let outside = outside(&home);
    let other = outside.join("other");
    std::fs::create_dir(&other).unwrap();
    let mut server = Server::spawn(home.pyro(&["mcp", "serve"]));
    let arguments = json!({"seed_path": outside});
    let yes = json!({"allow": {"action": "accept", "content": {"allow": true}}});
    let question = |server: &mut Server| {
        let reply = server.ask("tools/call", &newer(&arguments, &json!({})));
        let result = reply["result"].clone();
        assert_eq!(result["resultType"], "input_required", "{reply}");
        let asks = &result["inputRequests"]["allow"];
        assert_eq!(asks["method"], "elicitation/create", "{reply}");
        let message = asks["params"]["message"].as_str().unwrap();
        assert!(message.contains(&format!(" {} ", outside.display())), "{message}");
        result["requestState"].clone()
    };
    let answered = |server: &mut Server, arguments: &Value, state: &Value, responses: &Value| {
        let more = json!({"requestState": state, "inputResponses": responses});
        server.ask("tools/call", &newer(arguments, &more))
    };
    // A state that the server did not give, and one for another path.
    let forged = answered(&mut server, &arguments, &json!("0".repeat(48)), &yes);
    assert_eq!(code(&forged), "not_permitted", "{forged}");
    let state = question(&mut server);
    let moved = answered(&mut server, &json!({"seed_path": other}), &state, &yes);
    assert_eq!(code(&moved), "not_permitted", "{moved}");
    let used = answered(&mut server, &arguments, &state, &yes);
    assert_eq!(code(&used), "not_permitted", "{used}");
    // The path itself changes between question and answer.
    let link = home.project().join("link");
    std::os::unix::fs::symlink(&outside, &link).unwrap();
    let arguments_of_link = json!({"seed_path": "link"});
    let asked = server.ask("tools/call", &newer(&arguments_of_link, &json!({})));
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&other, &link).unwrap();
    let state = &asked["result"]["requestState"];
    let swapped = answered(&mut server, &arguments_of_link, state, &yes);
    assert_eq!(code(&swapped), "not_permitted", "{swapped}");
    // A yes, and the same once more.
    let state = question(&mut server);
    assert!(is_allowed(&answered(&mut server, &arguments, &state, &yes)));
    assert_eq!(code(&answered(&mut server, &arguments, &state, &yes)), "not_permitted");
    // No, and no answer at all.
    for no in [json!({"allow": {"action": "cancel"}}), json!({}), json!({"allow": null})] {
        let state = question(&mut server);
        let reply = answered(&mut server, &arguments, &state, &no);
        assert_eq!(code(&reply), "not_permitted", "{no}: {reply}");
    }
    let tired = server.ask("tools/call", &newer(&arguments, &json!({})));
    assert_eq!(code(&tired), "not_permitted", "{tired}");
}

#[test]
fn the_client_s_root_is_the_project_where_there_is_none() {
    let home = Home::new();
    let root = outside(&home);
    let roots = json!({"roots": {"listChanged": true}});
    let uri = |path: &Path| json!({"uri": format!("file://{}", path.display())});
    let mut server = Server::older(&home, &[], &roots);
    let id = server.send("tools/list", &json!({}));
    let asked = server.asked("roots/list");
    let answer = json!({"roots": [{"uri": "https://h/x"}, uri(Path::new("/")), uri(&root)]});
    server.reply(&asked, &answer);
    let about = about_create(&server.answer(id));
    assert!(about.contains(&root.display().to_string()), "{about}");
    // It is asked for once, and it is what a create takes.
    let id = server.create(&json!({}));
    let reply = server.answer(id);
    assert!(is_allowed(&reply), "{reply}");

    // A client that says nothing has none, and waits for nothing.
    let mut silent = Server::older(&home, &[], &roots);
    let id = silent.send("tools/list", &json!({}));
    silent.asked("roots/list");
    let taken_back = silent.asked("notifications/cancelled");
    assert!(taken_back["params"]["requestId"].is_number(), "{taken_back}");
    let about = about_create(&silent.answer(id));
    assert!(about.contains("is in no Git checkout"), "{about}");

    // Flags and a checkout are never widened.
    let path = root.display().to_string();
    for flags in [&["--no-project-source"] as &[&str], &["--project-path", &path]] {
        let mut server = Server::older(&home, flags, &roots);
        server.description();
    }
    git(&home.project(), &["init", "-q"]);
    let about = Server::older(&home, &[], &roots).description();
    assert!(about.contains("the Git checkout"), "{about}");
}

fn git(at: &Path, arguments: &[&str]) {
    let done = Command::new("git").current_dir(at).args(arguments).status().unwrap();
    assert!(done.success());
}

#[test]
fn a_bare_server_starts_wherever_it_is_and_says_why_there_is_no_project() {
    let home = Home::new();
    let at = home.project();
    for name in ["broken", "bare", "nothing", "gone", "damaged"] {
        std::fs::create_dir(at.join(name)).unwrap();
    }
    std::fs::write(at.join("broken/.git"), "gitdir: /nowhere/at/all\n").unwrap();
    git(&at.join("bare"), &["init", "-q", "--bare"]);
    // Whole by its looks; what only a closer look shows, the create says.
    git(&at.join("damaged"), &["init", "-q"]);
    std::fs::write(at.join("damaged/.git/index"), "no index\n").unwrap();
    // From a directory that is gone by the time the server starts.
    let binary = env!("CARGO_BIN_EXE_pyro");
    let from = |directory: &str| {
        let mut command = home.pyro(&[]);
        command.current_dir(at.join(directory));
        command
    };
    let gone = format!("rmdir \"$PWD\" && exec {binary} mcp serve");
    let mut shell = Command::new("sh");
    shell.args(["-c", &gone]).current_dir(at.join("gone"));
    shell
        .env("PYRO_HOME", home.path())
        .env("PYRO_CONFIG", home.path().with_file_name("config.toml"));
    let starts: [(Command, &str, &str); 6] = [
        (served(from("broken")), "points to nothing", "source_failed"),
        (served(from("bare")), "bare repository", "source_failed"),
        (shell, "is gone", "source_failed"),
        (served(from("damaged")), "The project is the Git checkout", "source_failed"),
        (served(from("nothing")), "in no Git checkout", "none"),
        (served(from("/")), "", "any"),
    ];
    for (command, says, fails) in starts {
        let mut server = Server::spawn(command);
        server.greet(&json!({}));
        let about = server.description();
        assert!(about.contains(says), "{says}: {about}");
        if fails == "source_failed" {
            let is_known = !says.contains("The project is");
            assert_eq!(about.contains("--project-path"), is_known, "{about}");
            let id = server.create(&json!({}));
            let reply = server.answer(id);
            assert_eq!(code(&reply), fails, "{says}: {reply}");
            let hint = error(&reply)["hint"].as_str().unwrap();
            for way in ["--project-path", "--repo-url", "no_seed"] {
                assert!(hint.contains(way), "{hint}");
            }
        }
    }
}

fn served(mut command: Command) -> Command {
    command.args(["mcp", "serve"]);
    command
}

#[test]
fn flags_that_are_wrong_are_told_before_anything_is_served() {
    let home = Home::new();
    for (flags, exit, says) in [
        (&["--machine", "microvm", "--environment", "host"] as &[&str], 2, "do not go together"),
        (&["--mode", "inspect", "--environment", "host"], 2, "do not go together"),
        (&["--network", "egress"], 6, "not built yet"),
        (&["--allow-host", "example.org"], 6, "not built yet"),
        (&["--project-path", "gone"], 3, "--project-path"),
        (&["--allow-path", "gone"], 3, "--allow-path"),
        (&["--export-dir", "gone/below"], 3, "--export-dir"),
        (&["--max-workspaces", "0"], 2, "--max-workspaces"),
        (&["--repo-url", "ext::sh -c id"], 2, "--repo-url"),
    ] {
        let done = home.run(&[&["mcp", "serve"], flags].concat());
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(exit), "{flags:?}: {said}");
        assert!(said.contains(says) && !said.contains("panic"), "{flags:?}: {said}");
    }
    let mut server = Server::older(&home, &["--network", "off"], &json!({}));
    assert!(server.description().contains("is in no Git checkout"));
}

#[test]
fn what_the_user_pinned_is_never_widened() {
    let home = Home::new();
    let flags = [
        "--profile",
        "workspace-full",
        "--no-project-source",
        "--environment",
        "host",
        "--machine",
        "container",
        "--max-cpus",
        "1",
        "--max-memory-mib",
        "256",
    ];
    let mut server = Server::older(&home, &flags, &json!({}));
    for arguments in [
        json!({"environment": "debian:12"}),
        json!({"machine": "microvm"}),
        json!({"machine": "auto"}),
        json!({"cpus": 2}),
        json!({"memory_mib": 512}),
        json!({"include": [".env"]}),
        json!({"seed_path": home.project()}),
        json!({"repo_url": "https://example.invalid/x"}),
    ] {
        let id = server.create(&arguments);
        let reply = server.answer(id);
        assert_eq!(code(&reply), "not_permitted", "{arguments}: {reply}");
        assert!(!error(&reply)["hint"].as_str().unwrap().is_empty(), "{reply}");
    }
    let rows = server.ask("tools/call", &json!({"name": "environment_list", "arguments": {}}));
    let rows = rows["result"]["structuredContent"]["environments"].clone();
    assert!(rows.as_array().unwrap().iter().all(|row| row["environment"] == "host"), "{rows}");
    let id = server.create(&json!({"memory_mib": 128, "environment": "host"}));
    let reply = server.answer(id);
    let made = &reply["result"]["structuredContent"];
    if code(&reply) != "host_unfit" {
        assert_eq!(made["resources"]["memory_mib"], 128, "{reply}");
        assert_eq!(made["resources"]["cpus"], 1, "{reply}");
    }
}

#[test]
fn nothing_is_run_in_a_workspace_that_the_pinned_machine_or_environment_would_not_be() {
    let home = Home::new();
    if home.workspace("theirs").is_none() {
        return;
    }
    for flags in [&["--machine", "microvm"] as &[&str], &["--environment", "debian:12"]] {
        let mut server = Server::older(&home, flags, &json!({}));
        let mut call = |tool: &str, more: &Value| {
            let mut arguments = more.clone();
            arguments["workspace"] = json!("theirs");
            server.ask("tools/call", &json!({"name": tool, "arguments": arguments}))
        };
        for (tool, more) in
            [("workspace_exec", json!({"command": "true"})), ("workspace_reset", json!({}))]
        {
            let reply = call(tool, &more);
            assert_eq!(code(&reply), "not_permitted", "{flags:?} {tool}: {reply}");
        }
        for tool in ["workspace_status", "workspace_diff"] {
            let reply = call(tool, &json!({}));
            assert_eq!(code(&reply), "none", "{flags:?} {tool}: {reply}");
        }
    }
}

#[test]
fn doctor_says_what_the_project_would_be() {
    let home = Home::new();
    let row = |home: &Home| {
        let report = home.json(&["doctor", "--quick"]);
        let checks = report["checks"].as_array().cloned().unwrap_or_default();
        checks.into_iter().find(|check| check["check"] == "project")
    };
    let Some(none) = row(&home) else { return };
    assert!(none["found"].as_str().unwrap().contains("in no Git checkout"), "{none}");
    assert_eq!(none["ok"], true);
    std::fs::write(home.project().join(".git"), "gitdir: gone\n").unwrap();
    let broken = row(&home).unwrap();
    assert_eq!((&broken["ok"], &broken["required"]), (&json!(false), &json!(false)), "{broken}");
    assert!(broken["mend"].as_str().unwrap().contains("--project-path"), "{broken}");
}
