/** Clients over HTTP/2 that leave in the middle: what was held for them is let go. */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect, constants } from 'node:http2';
import { connect as connectTls } from 'node:tls';
import { expect, it, onTestFinished } from 'vitest';
import { Pieces } from '../../src/http/pieces.ts';
import { startHosted } from '../support/hosted-server.ts';
import { ask } from '../support/http.ts';
import { eventually } from '../support/wait.ts';

it.each([
  ['with an error', constants.NGHTTP2_CANCEL],
  ['without', constants.NGHTTP2_NO_ERROR],
])('A stream that is given up %s in the middle of a stored file takes nothing with it', async (_how, code) => {
  const server = await startHosted({ format: 'generic', tls: true });
  onTestFinished(() => server.close());
  const ca = await readFile(server.caFile, 'utf8');
  const authorization = `Bearer ${await server.token('alice')}`;
  const body = Buffer.alloc(20_000_000, 'larder');
  const put = await ask(`${server.url}/file`, { method: 'PUT', body, headers: { authorization }, ca });
  expect(put.status).toBe(201);
  let [opened, closed] = [0, 0];
  const { open } = Pieces.prototype;
  Pieces.prototype.open = function (...about) {
    const reading = open.apply(this, about);
    opened++;
    const close = (): void => {
      closed++;
      reading.close();
    };
    return { ...reading, close };
  };
  onTestFinished(() => {
    Pieces.prototype.open = open;
  });
  const session = connect(server.root, { ca });
  onTestFinished(() => session.destroy());
  for (let nth = 0; nth < 5; nth++) {
    const stream = session.request({ ':path': '/acme/packages/file', authorization });
    await once(stream, 'response');
    stream.close(code);
  }
  await eventually('all are let go', async () => (opened === 5 && closed === 5 ? true : undefined));
});

it('A line of text that claims to be HTTP/2 over TLS is none, and ends nobody', async () => {
  const server = await startHosted({ format: 'generic', tls: true });
  onTestFinished(() => server.close());
  const ca = await readFile(server.caFile, 'utf8');
  const { hostname, port } = new URL(server.root);
  const socket = connectTls({ host: hostname, port: Number(port), ca, ALPNProtocols: ['http/1.1'] });
  socket.on('error', () => {});
  socket.resume();
  socket.write('GET /healthz HTTP/2.0\r\nHost: x\r\nConnection: close\r\n\r\n');
  await once(socket, 'close');
  expect((await ask(`${server.root}/healthz`, { ca })).status).toBe(200);
});
