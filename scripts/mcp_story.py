"""The repair of a repository through `pyro mcp serve`, told by a small MCP client over stdio.

Says each call and the gist of its answer, holds every answer to what the story expects, and ends
with status 1 at the first that differs. Knows nothing of pyro but what the server says of itself.
"""

import argparse
import json
import subprocess
import sys
import time


class Server:
    """One server process and the calls to it, one at a time."""

    def __init__(self, command):
        print(f"\n$ {' '.join(command)}".replace(command[0], "pyro", 1))
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.last_id = 0

    def send(self, message):
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")

    def request(self, method, params):
        self.last_id += 1
        self.send({"id": self.last_id, "method": method, "params": params})
        for line in self.process.stdout:
            answer = json.loads(line)
            if answer.get("id") == self.last_id:
                if "error" in answer:
                    sys.exit(f"demo: {method} was refused: {answer['error']}")
                return answer["result"]
        sys.exit(f"demo: the server ended before it answered {method}")

    def tool(self, tool, /, **arguments):
        """Calls a tool as a model would, and waits on while its command still runs."""
        start = time.monotonic()
        result = self.request("tools/call", {"name": tool, "arguments": arguments})
        reply = result.get("structuredContent") or {}
        print(f"\n-> {tool} {json.dumps(arguments)[:150]}")
        print(f"<- {reply.get('verdict') or result['content'][0]['text'][:200]}")
        print(f"   ({time.monotonic() - start:.3f} s)")
        if result.get("isError"):
            sys.exit(f"demo: {tool} failed: {json.dumps(reply)}")
        if reply.get("state") == "running" and "exec_id" in reply:
            return self.tool(
                "workspace_exec_wait",
                workspace=arguments["workspace"],
                exec_id=reply["exec_id"],
            )
        return reply

    def close(self):
        self.process.stdin.close()
        status = self.process.wait(timeout=20)
        expect(status == 0, f"the server ended with status {status}")


def expect(truth, what):
    if not truth:
        sys.exit(f"demo: {what}")


def show(text, most=6):
    for line in text.splitlines()[-most:]:
        print(f"   | {line[:150]}")


def main():
    parser = argparse.ArgumentParser()
    names = "pyro project exports test env file bad good failing passing".split()
    for name in names:
        parser.add_argument(f"--{name}", required=True)
    story = parser.parse_args()
    variable, value = story.env.split("=", 1)
    env = {variable: value}

    server = Server(
        [story.pyro, "mcp", "serve", "--project-path", story.project, "--export-dir", story.exports]
    )
    hello = server.request(
        "initialize",
        {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "demo", "version": "1"},
        },
    )
    server.send({"method": "notifications/initialized"})
    print(f"<- {hello['serverInfo']['name']} {hello['serverInfo'].get('version', '')}")
    tools = [tool["name"] for tool in server.request("tools/list", {})["tools"]]
    print(f"<- {len(tools)} tools: {' '.join(tools)}")
    expect("workspace_create" in tools, "there is no tool workspace_create")

    made = server.tool("workspace_create", name="fix-by-mcp", environment="host")
    expect(made["seed"]["files"] > 0, f"nothing was seeded: {made}")
    workspace = made["workspace"]
    run = server.tool("workspace_exec", workspace=workspace, command=story.test, env=env)
    expect(run["exit_code"] != 0, f"the test did not fail: {run}")
    expect(story.failing in run["stdout"], f"the test failed for another reason: {run}")
    show(run["stdout"])
    read = server.tool("workspace_file_read", workspace=workspace, path=story.file)
    expect(story.bad in read["content"], "the wrong line is not in the file")
    server.tool(
        "workspace_file_edit",
        workspace=workspace,
        path=story.file,
        old_string=story.bad,
        new_string=story.good,
    )
    run = server.tool("workspace_exec", workspace=workspace, command=story.test, env=env)
    expect(run["exit_code"] == 0, f"the test still fails: {run}")
    expect(story.passing in run["stdout"], f"the tests did not run: {run}")
    show(run["stdout"])
    diff = server.tool("workspace_diff", workspace=workspace)
    expect(diff["modified"] == 1, f"more or less than one file changed: {diff}")
    added = [line for line in diff["patch"].splitlines() if line.startswith("+")]
    expect(any(story.good in line for line in added), f"the diff lacks the repair: {added}")
    show(diff["patch"], 9)
    export = server.tool("workspace_export", workspace=workspace, kind="patch", output="fix.patch")
    applies = ["git", "-C", story.project, "apply", "--check", export["host_path"]]
    print(f"\n$ {' '.join(applies)}")
    expect(subprocess.run(applies).returncode == 0, "the patch does not apply on the host")
    server.tool("workspace_reset", workspace=workspace)
    diff = server.tool("workspace_diff", workspace=workspace)
    expect(not diff.get("modified") and not diff.get("files"), f"not clean after reset: {diff}")
    server.tool("workspace_delete", workspace=workspace)
    left = server.tool("workspace_list")
    expect(left["workspaces"] == [], f"a workspace is left: {left}")
    server.close()


main()
