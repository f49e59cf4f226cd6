//! What a server shows, in both eras of the protocol: the binary, spoken to in JSON lines. Every
//! mode's tools, words and prompts; resources and completions; what is refused, and how.

#![expect(clippy::unwrap_used, dead_code, reason = "tests, which share a home")]

mod home;
mod lines;
mod wire;

use home::Home;
use lines::{Era, Server};
use serde_json::{Value, json};

fn names(list: &Value, field: &str) -> Vec<String> {
    let items = list["result"][field].as_array().unwrap_or_else(|| panic!("{list}"));
    items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_mode_has_its_tools_its_words_and_its_prompt_in_both_eras() {
    let home = Home::new();
    for (mode, has, lacks) in [
        ("repro-fix", "workspace_file_edit", "vm_run"),
        ("inspect", "workspace_export", "workspace_diff"),
        ("cold-start", "workspace_exec", "workspace_file_write"),
        ("review-eval", "workspace_diff", "workspace_update"),
    ] {
        let mut seen = Vec::new();
        for era in Era::BOTH {
            let mut server = Server::greeted(&home, &["--mode", mode], era);
            let instructions = server.greeting["instructions"].as_str().unwrap().to_owned();
            assert!(instructions.contains("different copy"), "{instructions}");
            assert!(instructions.contains("1. workspace_create: "), "{instructions}");
            let able = server.greeting["capabilities"].clone();
            assert!(able["tools"].is_object() && able["prompts"].is_object(), "{able}");
            assert!(!able.to_string().contains("listChanged\":true"), "{able}");
            let tools = server.ask("tools/list", json!({}));
            let shown = names(&tools, "tools");
            assert!(shown.iter().any(|name| name == has), "{shown:?}");
            assert!(!shown.iter().any(|name| name == lacks), "{shown:?}");
            assert_eq!(names(&server.ask("prompts/list", json!({})), "prompts"), [mode]);
            let prompt = server.ask("prompts/get", json!({"name": mode}));
            let text = prompt["result"]["messages"][0]["content"]["text"].as_str().unwrap();
            assert!(text.contains("1. workspace_create: "), "{text}");
            let unknown = server.ask("prompts/get", json!({"name": "no-such"}));
            assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
            let absent = server.ask("tools/call", json!({"name": lacks, "arguments": {}}));
            assert_eq!(absent["error"]["code"], -32602, "{absent}");
            seen.push((instructions, tools["result"]["tools"].clone(), text.to_owned()));
        }
        assert_eq!(seen[0], seen[1], "{mode} is the same in both eras");
    }
}

#[test]
fn a_profile_has_the_prompts_whose_tools_it_shows_and_the_smallest_has_none() {
    let home = Home::new();
    let mut core = Server::greeted(&home, &[], Era::Handshake);
    let prompts = core.ask("prompts/list", json!({}));
    let shown = names(&prompts, "prompts");
    assert!(shown.iter().any(|name| name == "repro-fix"), "{shown:?}");
    for prompt in prompts["result"]["prompts"].as_array().unwrap() {
        for argument in prompt["arguments"].as_array().unwrap() {
            assert_eq!(argument["required"], false, "{prompt}");
            assert!(argument["description"].is_string(), "{prompt}");
        }
    }
    let asked = json!({"name": "repro-fix", "arguments": {"command": "cargo test parser"}});
    let prompt = core.ask("prompts/get", asked);
    assert!(prompt.to_string().contains("cargo test parser"), "{prompt}");
    let too_long = "x".repeat(100_000);
    let asked = json!({"name": "repro-fix", "arguments": {"command": too_long}});
    let refused = core.ask("prompts/get", asked);
    assert_eq!(refused["error"]["code"], -32602);
    assert!(refused.to_string().len() < 400, "{refused}");

    let small = Server::greeted(&home, &["--profile", "vm-run"], Era::Handshake);
    let able = &small.greeting["capabilities"];
    assert!(able["tools"].is_object(), "{able}");
    assert!(able.get("prompts").is_none() && able.get("resources").is_none(), "{able}");
}

#[test]
fn changes_are_a_resource_and_workspaces_complete_its_address_in_both_eras() {
    let home = Home::new();
    for (era, missing) in [(Era::Handshake, -32002), (Era::Discover, -32602)] {
        let mut server = Server::greeted(&home, &[], era);
        let empty = server.ask("resources/list", json!({}));
        assert_eq!(empty["result"]["resources"], json!([]), "{empty}");
        let templates = server.ask("resources/templates/list", json!({}));
        let template = &templates["result"]["resourceTemplates"][0]["uriTemplate"];
        assert_eq!(template, "pyro://workspace/{workspace}/diff");

        let made = server.call("workspace_create", &json!({"name": "fix", "environment": "host"}));
        let id = made["structuredContent"]["workspace"].as_str().unwrap().to_owned();
        let text = "a line that is new: é漢😀\n";
        let write = json!({"workspace": "fix", "filePath": "new.txt", "file_text": text});
        let written = server.call("workspace_file_write", &write);
        assert_eq!(written["isError"], false, "{written}");

        let listed = server.ask("resources/list", json!({}));
        let uri = listed["result"]["resources"][0]["uri"].as_str().unwrap().to_owned();
        assert_eq!(uri, format!("pyro://workspace/{id}/diff"));
        for uri in [uri.as_str(), "pyro://workspace/fix/diff"] {
            let read = server.ask("resources/read", json!({"uri": uri}));
            let content = &read["result"]["contents"][0];
            assert_eq!(content["uri"], uri, "{read}");
            let read = content["text"].as_str().unwrap();
            assert!(read.starts_with("1 file changed, +1 -0: new.txt\n"), "{read}");
            assert!(read.contains(&format!("+{text}")), "{read}");
        }
        let reference = json!({"type": "ref/resource", "uri": template});
        let typed = json!({"ref": reference, "argument": {"name": "workspace", "value": "fi"}});
        let completed = server.ask("completion/complete", typed);
        assert_eq!(completed["result"]["completion"]["values"], json!(["fix"]), "{completed}");

        for uri in ["pyro://workspace/no-such/diff", "pyro://workspace/fix/nothing", "file:///etc"]
        {
            let refused = server.ask("resources/read", json!({"uri": uri}));
            assert_eq!(refused["error"]["code"], missing, "{refused}");
            assert!(refused["error"]["message"].as_str().unwrap().len() > 20, "{refused}");
        }
        let cursor = server.ask("resources/list", json!({"cursor": "no number"}));
        assert_eq!(cursor["error"]["code"], -32602, "{cursor}");
        server.call("workspace_delete", &json!({"workspace": "fix"}));
    }
}

#[test]
fn a_mode_refuses_fields_that_its_story_has_no_use_for_and_names_the_others() {
    let home = Home::new();
    let mut server = Server::greeted(&home, &["--mode", "inspect"], Era::Handshake);
    let refused = server.call("workspace_create", &json!({"network": "egress", "name": "a"}));
    assert_eq!(refused["isError"], true, "{refused}");
    let error = &refused["structuredContent"]["error"];
    assert_eq!(error["code"], "invalid_argument");
    assert_eq!(error["message"], "workspace_create: unknown field `network`");
    let hint = error["hint"].as_str().unwrap();
    assert!(hint.contains("seed_path") && !hint.contains("no_seed"), "{hint}");
    let refused = server.call("workspace_create", &json!({"environment": "host"}));
    assert_eq!(refused["structuredContent"]["error"]["code"], "not_permitted", "{refused}");
}

#[test]
fn trained_spellings_are_taken_and_wrong_ones_are_answered_with_the_right_ones() {
    let home = Home::new();
    std::fs::write(home.project().join("a.txt"), "one two\n").unwrap();
    let project = home.project();
    let project = project.to_str().unwrap();
    let mut server = Server::greeted(&home, &["--project-path", project], Era::Discover);
    server.call("workspace_create", &json!({"name": "a", "environment": "host"}));
    for edit in [
        json!({"workspace": "a", "filePath": "a.txt", "oldString": "one", "newString": "1"}),
        json!({"workspace": "a", "file_path": "a.txt", "old_str": "two", "new_str": "2"}),
    ] {
        let edited = server.call("workspace_file_edit", &edit);
        assert_eq!(edited["structuredContent"]["replacements"], 1, "{edited}");
    }
    let ran = server
        .call("workspace_exec", &json!({"workspace": "a", "cmd": "cat a.txt", "workdir": "."}));
    assert_eq!(ran["structuredContent"]["stdout"], "1 2\n", "{ran}");
    for (arguments, named) in [
        (json!({"workspace": "a", "command": "true", "timeout": 5}), "timeout_s"),
        (json!({"workspace": "a", "command": ["true"]}), "an array"),
        (json!({"workspace": "a"}), "command"),
        (json!({"workspace": "a", "command": "true", "cmd": "false"}), "command"),
        (json!({"workspace": "a", "command": "x".repeat(1 << 20)}), "workspace_file_write"),
        (json!({"workspace": "x".repeat(1 << 20), "command": "true"}), "workspace"),
    ] {
        let refused = server.call("workspace_exec", &arguments);
        assert_eq!(refused["isError"], true, "{refused}");
        let text = refused["content"][0]["text"].as_str().unwrap();
        assert!(text.contains(named), "{text}");
        assert!(refused.to_string().len() < 4_000, "{}", refused.to_string().len());
    }
    server.call("workspace_delete", &json!({"workspace": "a"}));
}

#[test]
fn progress_and_cancel_work_in_both_eras() {
    let home = Home::new();
    std::fs::write(home.project().join("a.txt"), "one\n").unwrap();
    let project = home.project();
    let project = project.to_str().unwrap();
    for era in Era::BOTH {
        let mut server = Server::greeted(&home, &["--project-path", project], era);
        let mut call =
            json!({"name": "workspace_create", "arguments": {"name": "p", "environment": "host"}});
        call["_meta"] = json!({"progressToken": "t"});
        let id = server.send("tools/call", call);
        let (mut told, mut reply) = (0, server.receive());
        while reply["id"] != id {
            assert_eq!(reply["method"], "notifications/progress", "{reply}");
            assert_eq!(reply["params"]["progressToken"], "t", "{reply}");
            told += 1;
            reply = server.receive();
        }
        assert!(told > 0, "{reply}");
        let call = json!({"name": "workspace_exec", "arguments": {"workspace": "p", "command": "sleep 300"}});
        let id = server.send("tools/call", call);
        server.tell("notifications/cancelled", &json!({"requestId": id}));
        let listed = loop {
            let call = json!({"workspace": "p", "limit": 1});
            let logs = server.call("workspace_logs", &call)["structuredContent"].clone();
            match logs["execs"][0]["state"].as_str() {
                None | Some("running") => {}
                Some(state) => break state.to_owned(),
            }
        };
        assert_ne!(listed, "exited");
        server.call("workspace_delete", &json!({"workspace": "p"}));
    }
}

#[test]
fn a_file_that_takes_more_room_in_a_reply_is_read_in_parts_that_add_up() {
    let home = Home::new();
    let mut server = Server::greeted(&home, &["--no-project-source"], Era::Discover);
    server.call("workspace_create", &json!({"name": "q", "environment": "host"}));
    let quotes = format!("{}\n", "\"".repeat(99)).repeat(300);
    let lines = "é\n".repeat(4_000);
    for content in [quotes, lines] {
        let write = json!({"workspace": "q", "path": "f", "content": content});
        server.call("workspace_file_write", &write);
        let (mut all, mut offset, mut parts) = (String::new(), 0, 0);
        loop {
            let read = json!({"workspace": "q", "path": "f", "offset": offset});
            let read = server.call("workspace_file_read", &read);
            let part = &read["structuredContent"];
            let text = read["content"][0]["text"].as_str().unwrap();
            assert!(part.to_string().len() <= 45_000 && text.len() <= 45_000);
            assert!(text.lines().count() <= 2_000, "{}", text.lines().count());
            assert!(text.contains(part["content"].as_str().unwrap()), "both forms are the same");
            all.push_str(part["content"].as_str().unwrap());
            parts += 1;
            match part["next_offset"].as_u64() {
                Some(next) => offset = next,
                None => break,
            }
        }
        assert_eq!(all, content);
        assert!(parts > 1);
    }
    server.call("workspace_delete", &json!({"workspace": "q"}));
}
