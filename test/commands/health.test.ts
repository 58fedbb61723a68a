import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { selfSigned } from '../support/certificate.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { command } from './larder.ts';

let folder: TemporaryFolder;
const open: Server[] = [];

beforeEach(async () => {
  folder = await temporaryFolder('larder-health');
});

afterEach(async () => {
  for (const server of open.splice(0)) await new Promise((done) => server.close(done));
  await folder.remove();
});

/** Alive, and not ready. */
function answer(request: http.IncomingMessage, response: http.ServerResponse): void {
  response.writeHead(request.url === '/healthz' ? 200 : 503).end('{"ready":false,"reason":"no disk"}');
}

async function listening(server: Server, host: string): Promise<number> {
  open.push(server);
  await new Promise<void>((done) => server.listen(0, host, done));
  return (server.address() as AddressInfo).port;
}

async function health(text: string, ...options: string[]): Promise<{ code: number | null; out: string; err: string }> {
  const file = join(folder.path, 'larder.yaml');
  await writeFile(file, text);
  return command(['health', '--config', file, ...options]);
}

const well = { code: 0, out: '', err: '' };

const hasIpv6 = networkInterfaces().lo?.some(({ family }) => family === 'IPv6') === true;

it.each([
  ['one address', '127.0.0.2', '127.0.0.2'],
  ['every address', '0.0.0.0', '127.0.0.1'],
  ...(hasIpv6 ? [['every address of either kind', '[::]', '::1'] as const] : []),
] as const)('asks a server that listens on %s', async (_name, written, bound) => {
  const port = await listening(http.createServer(answer), bound);
  expect(await health(`server: { listen: "${written}:${port}" }`)).toEqual(well);
});

it('speaks TLS where the server does, whatever name its certificate is for', async () => {
  const port = await listening(https.createServer(selfSigned(), answer), '127.0.0.3');
  expect(await health(`server: { listen: 127.0.0.3:${port}, tls: { cert: c.pem, key: k.pem } }`)).toEqual(well);
});

it('is not concerned with mistakes in other places', async () => {
  const port = await listening(http.createServer(answer), '127.0.0.1');
  const text = `server: { listen: ${port}, nonsense: 1 }\nupstreams: { a: { auth: { bearer: \${NOWHERE} } } }`;
  expect(await health(text)).toEqual(well);
});

it('asks whether the server is ready when it is told to', async () => {
  const port = await listening(http.createServer(answer), '127.0.0.1');
  const { code, err } = await health(`server: { listen: ${port} }`, '--ready');
  expect(code).toBe(1);
  expect(err).toContain('/readyz answers 503: {"ready":false,"reason":"no disk"}');
});

it('fails where nobody listens', async () => {
  const server = http.createServer(answer);
  const port = await listening(server, '127.0.0.1');
  await new Promise((done) => server.close(done));
  open.length = 0;
  expect(await health(`server: { listen: ${port} }`)).toEqual({
    code: 1,
    out: '',
    err: `larder: nobody answers at 127.0.0.1 port ${port}: ECONNREFUSED\n`,
  });
});

it('waits for a server that is about to come, as long as it is told to', async () => {
  const reserved = http.createServer(answer);
  const port = await listening(reserved, '127.0.0.1');
  await new Promise((done) => reserved.close(done));
  open.length = 0;
  const config = `server: { listen: ${port} }`;
  expect((await health(config, '--wait', '1ms')).code).toBe(1);
  const waiting = health(config, '--wait', '1m');
  const server = http.createServer(answer);
  open.push(server);
  await new Promise<void>((done) => server.listen(port, '127.0.0.1', done));
  expect(await waiting).toEqual(well);
  expect(await health(config, '--wait', '5')).toMatchObject({ code: 2, err: expect.stringContaining('30s or 2m') });
});

it('does not wait for a process that has ended', async () => {
  const ended = spawnSync('true').pid;
  const config = 'server: { listen: 127.0.0.1:1 }';
  expect(await health(config, '--wait', '1h', '--pid', String(ended))).toMatchObject({ code: 1 });
  expect(await health(config, '--wait', '1ms', '--pid', String(process.pid))).toMatchObject({ code: 1 });
  expect(await health(config, '--wait', '1h', '--pid', '-1')).toMatchObject({ code: 2 });
});
