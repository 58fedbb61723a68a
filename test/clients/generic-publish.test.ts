/** curl and wget put, fetch and delete files, and say what is the matter. docs/formats/generic.md has what they show. */
import { createHash } from 'node:crypto';
import { accessSync, constants } from 'node:fs';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { type HostedServer, startHosted, wrongToken } from '../support/hosted-server.ts';
import { type Ran, run } from './package-managers.ts';

function missing(program: string): string | undefined {
  try {
    accessSync(`/usr/bin/${program}`, constants.X_OK);
    return undefined;
  } catch {
    const reason = `${program} is not installed: the packages that .ci/run lists have it`;
    if (process.env.CI === 'true') throw new Error(reason);
    return reason;
  }
}

const bytes = Buffer.from('a tool\n'.repeat(20_000));
const hex = (algorithm: string): string => createHash(algorithm).update(bytes).digest('hex');

let folder: TemporaryFolder;
let home: string;
let servers: readonly HostedServer[];
const closing: (() => Promise<void>)[] = [];

beforeAll(async () => {
  folder = await temporaryFolder('larder-generic-publish');
  closing.push(() => folder.remove());
  home = await mkdtemp(join(folder.path, 'home-'));
  await writeFile(join(folder.path, 'tool.bin'), bytes);
  servers = await Promise.all([false, true].map((tls) => startHosted({ format: 'generic', tls })));
  for (const server of servers) closing.push(() => server.close());
});

afterAll(async () => {
  for (const close of closing.reverse()) await close();
});

function client(program: string, ...args: readonly string[]): Promise<Ran> {
  return run(`/usr/bin/${program}`, args, {
    folder: folder.path,
    home,
    env: { PATH: '/usr/bin:/bin', LC_ALL: 'C.UTF-8' },
  });
}

interface Client {
  readonly name: 'curl' | 'wget';
  put(server: HostedServer, token: string, path: string, ...headers: readonly string[]): Promise<Ran>;
  get(server: HostedServer, token: string, path: string, to: string): Promise<Ran>;
  remove(server: HostedServer, token: string, path: string): Promise<Ran>;
  /** All that it says of an answer with status 401. */
  readonly unauthorized?: RegExp;
}

const bearer = (token: string): string => `Authorization: Bearer ${token}`;

const clients: readonly Client[] = [
  {
    name: 'curl',
    put: ({ url, caFile }, token, path, ...headers) =>
      client(
        'curl',
        ...['--fail-with-body', '-sS', ...(caFile === '' ? [] : ['--cacert', caFile]), '-u', `__token__:${token}`],
        ...headers.flatMap((header) => ['-H', header]),
        ...['-T', 'tool.bin', `${url}${path}`],
      ),
    get: ({ url, caFile }, token, path, to) =>
      client(
        'curl',
        '-fsS',
        ...(caFile === '' ? [] : ['--cacert', caFile]),
        '-H',
        bearer(token),
        '-o',
        to,
        `${url}${path}`,
      ),
    remove: ({ url, caFile }, token, path) =>
      client(
        'curl',
        '-fsS',
        ...(caFile === '' ? [] : ['--cacert', caFile]),
        '-H',
        bearer(token),
        '-X',
        'DELETE',
        `${url}${path}`,
      ),
  },
  {
    name: 'wget',
    put: ({ url, caFile }, token, path, ...headers) =>
      client(
        'wget',
        ...['-nv', '-O-', ...(caFile === '' ? [] : [`--ca-certificate=${caFile}`])],
        ...[bearer(token), ...headers].map((header) => `--header=${header}`),
        ...['--method=PUT', '--body-file=tool.bin', `${url}${path}`],
      ),
    get: ({ url, caFile }, token, path, to) =>
      client(
        'wget',
        ...['-nv', ...(caFile === '' ? [] : [`--ca-certificate=${caFile}`])],
        ...['--auth-no-challenge', '--user=__token__', `--password=${token}`, '-O', to, `${url}${path}`],
      ),
    remove: ({ url, caFile }, token, path) =>
      client(
        'wget',
        ...['-nv', '-O-', ...(caFile === '' ? [] : [`--ca-certificate=${caFile}`])],
        ...[`--header=${bearer(token)}`, '--method=DELETE', `${url}${path}`],
      ),
    unauthorized: /Username\/Password Authentication Failed/,
  },
];

describe.each(clients)('$name', ({ name, put, get, remove, unauthorized }) => {
  const reason = missing(name);

  test.skipIf(reason)(reason ?? 'puts, fetches and deletes, over HTTP and TLS', async () => {
    for (const server of servers) {
      const token = await server.token('alice');
      const path = `/${name}/1.0/tool.bin`;
      const sent = await put(server, token, path, `X-Checksum-Sha256: ${hex('sha256')}`, 'If-None-Match: *');
      expect(sent, sent.output).toMatchObject({ code: 0 });
      const to = join(folder.path, `${name}-${server.caFile === '' ? 'plain' : 'tls'}`);
      const fetched = await get(server, await server.token('rita'), path, to);
      expect(fetched, fetched.output).toMatchObject({ code: 0 });
      expect((await readFile(to)).equals(bytes)).toBe(true);
      const removed = await remove(server, token, path);
      expect(removed, removed.output).toMatchObject({ code: 0 });
      expect((await get(server, token, path, to)).output).toContain('404');
    }
  });

  test.skipIf(reason)(reason ?? 'says what is the matter', async () => {
    const [server] = servers;
    if (!server) throw new Error('there is no server');
    const alice = await server.token('alice');
    const path = `/${name}/taken.bin`;
    const there = await fetch(`${server.url}${path}`, {
      method: 'PUT',
      body: 'other',
      headers: { authorization: `Bearer ${alice}` },
    });
    expect(there.status).toBe(201);
    const cases: readonly [string, Promise<Ran>, RegExp][] = [
      ['a wrong token', put(server, wrongToken, '/a'), unauthorized ?? /401.*mistyped|mistyped.*401/],
      [
        'an expired token',
        put(server, await server.expiredToken(), '/a'),
        unauthorized ?? /401.*expired on|expired on.*401/,
      ],
      [
        'a token of another org',
        put(server, await server.token('olga'), '/a'),
        /404.*no repository|no repository.*404/,
      ],
      ['no rule', put(server, await server.token('nobody'), '/a'), /404.*no repository|no repository.*404/],
      ['a rule to read', put(server, await server.token('rita'), '/a'), /403.*publish|publish.*403/],
      ['a path that is taken', put(server, alice, path), /409.*published already|published already.*409/],
      [
        'a digest of other bytes',
        put(server, alice, '/a', `X-Checksum-Sha1: ${'0'.repeat(40)}`),
        /400.*digest|digest.*400/,
      ],
      ['a condition', put(server, alice, path, 'If-None-Match: *'), /412.*such a file|such a file.*412/],
    ];
    for (const [title, asked, says] of cases) {
      const ran = await asked;
      expect(ran.code, title).not.toBe(0);
      expect(ran.output.replaceAll(/\s+/g, ' '), title).toMatch(says);
    }
  });
});
