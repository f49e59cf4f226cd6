// A loopback proxy that adds the bearer token to each request: the conformance suite cannot send
// one. `node mcp_with_token.mjs URL TOKEN_FILE` prints the address it listens at, and runs
// until it is ended.

import { readFileSync } from 'node:fs';
import { createServer, request } from 'node:http';

const [url, tokenFile] = process.argv.slice(2);
const token = readFileSync(tokenFile, 'utf8').trim();
const target = new URL(url);
const server = createServer((from, to) => {
  const headers = { ...from.headers, authorization: `Bearer ${token}` };
  const options = { host: target.hostname, port: target.port, path: from.url, method: from.method, headers, setHost: false };
  const onward = request(options, (answer) => {
    to.writeHead(answer.statusCode, answer.headers);
    answer.pipe(to);
  });
  onward.on('error', () => to.destroy());
  to.on('close', () => onward.destroy());
  from.pipe(onward);
});
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}${target.pathname}`));
