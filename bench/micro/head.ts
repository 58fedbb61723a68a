/** Parsing the head of a request on the front of the plain port; heads seen before are looked up and not parsed. */
import { parseHead } from '../../src/http/wire.ts';
import { measure } from './measure.ts';

const heads = {
  wrk: ['GET /public/npm/lodash HTTP/1.1', 'Host: 127.0.0.1:5273'],
  npm: [
    'GET /public/npm/lodash HTTP/1.1',
    'host: localhost:5273',
    'connection: keep-alive',
    'user-agent: npm/11.19.1 node/v24.21.0 linux x64 workspaces/false',
    'npm-command: ci',
    'pacote-version: 21.0.0',
    'pacote-req-type: packument',
    'pacote-pkg-id: registry:lodash',
    'accept: application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*',
    'accept-encoding: gzip',
  ],
};
for (const [client, lines] of Object.entries(heads)) {
  const text = `${lines.join('\r\n')}\r\n\r\n`;
  measure(`head as ${client} sends it (${text.length} B)`, () => parseHead(text, 8192));
}
