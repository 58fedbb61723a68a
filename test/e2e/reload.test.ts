/** The configuration is read again while the server works: nothing that is under way is cut, and what is wrong changes nothing. */
import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { connect, type TLSSocket } from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { needingRestart } from '../../src/config/restart.ts';
import type { Config } from '../../src/config/settings.ts';
import { sha256Of, synthetic } from '../support/bytes.ts';
import { selfSigned } from '../support/certificate.ts';
import { type FakeUpstream, gate, startFakeUpstream } from '../support/fake-upstream.ts';
import { temporaryFolder } from '../support/folder.ts';
import { type Answer, ask } from '../support/http.ts';
import type { Written } from '../support/larder.ts';
import { scene, sceneWithProcess } from '../support/scene.ts';
import { eventually } from '../support/wait.ts';

async function another(): Promise<FakeUpstream> {
  const upstream = await startFakeUpstream();
  onTestFinished(() => upstream.close());
  return upstream;
}

/** An answer that is read as slowly as the test wants. */
async function slowly(url: string): Promise<{ readonly rest: () => Promise<Buffer> }> {
  const outgoing = http.get(url, { agent: false });
  const [incoming] = (await once(outgoing, 'response')) as [http.IncomingMessage];
  incoming.pause();
  return {
    async rest() {
      const pieces: Buffer[] = [];
      for await (const piece of incoming) pieces.push(piece as Buffer);
      return Buffer.concat(pieces);
    },
  };
}

const password = 'alice has a password';
const alice = { authorization: `Basic ${Buffer.from(`alice:${password}`).toString('base64')}` };

describe('transfers that are under way', () => {
  it('end with the right bytes, whatever is changed: repositories, addresses, credentials, rules, limits', async () => {
    const { upstream, larder } = await scene({
      upstream: { timeoutMs: 20_000 },
      repositories: { own: { format: 'generic', sources: [{ hosted: true }] } },
    });
    const elsewhere = await another();
    const [stored, held] = [synthetic(4_000_000, 1), synthetic(2_000_000, 2)];
    const until = gate();
    upstream.at('/stored.bin', { body: stored });
    upstream.at('/held.bin', { body: held, hold: { at: 1_000_000, until } });
    elsewhere.at('/new.bin', { body: 'from the new address' });
    const access = (who: string): object[] => [
      { who: [who], may: ['read'] },
      { who: ['user:alice'], may: ['read', 'publish'] },
    ];
    await larder.reload(({ orgs }) => {
      Object.assign(orgs.public as object, { users: { alice: { password } }, access: access('everyone') });
    });
    await larder.files('/stored.bin');

    const hit = await slowly(`${larder.url}/public/files/stored.bin`);
    const missed = larder.files('/held.bin');
    await until.reached;
    const joined = larder.files('/held.bin');
    const joinedLate = await slowly(`${larder.url}/public/files/held.bin`);
    const sent = Buffer.alloc(600_000, 'a piece of what is published ');
    const publishing = http.request(`${larder.url}/public/own/big.bin`, {
      method: 'PUT',
      agent: false,
      headers: { ...alice, 'content-length': sent.length },
    });
    const published = once(publishing, 'response') as Promise<[http.IncomingMessage]>;
    publishing.write(sent.subarray(0, 200_000));
    await larder.ask('/healthz');

    const changes: ((config: Written) => void)[] = [
      ({ orgs }) => {
        (orgs.public as Written['orgs'][string]).repositories.more = { format: 'npm', sources: [{ remote: 'inner' }] };
      },
      ({ upstreams }) => {
        upstreams.inner = { ...upstreams.inner, url: elsewhere.url };
      },
      ({ upstreams }) => {
        upstreams.inner = { ...upstreams.inner, auth: { bearer: 'another one' }, concurrency: 2 };
      },
      ({ orgs, server }) => {
        (orgs.public as Written['orgs'][string]).access = access('user:alice');
        server.limits = { urlBytes: '4KiB', bodyBytes: '1MB' };
      },
      ({ orgs }) => {
        delete (orgs.public as Written['orgs'][string]).repositories.files;
      },
      ({ orgs }) => {
        delete (orgs.public as Written['orgs'][string]).repositories.own;
      },
    ];
    for (const change of changes) await larder.reload(change);
    // What was said counts for whoever comes now.
    expect((await larder.npm('/-/ping')).status).toBe(401);
    expect((await larder.ask('/public/files/stored.bin', { headers: alice })).status).toBe(404);

    until.open();
    publishing.end(sent.subarray(200_000));
    const answers = await Promise.all([missed, joined]);
    expect(answers.map(({ status, complete, body }) => [status, complete, sha256Of(body)])).toEqual(
      answers.map(() => [200, true, sha256Of(held)]),
    );
    expect(sha256Of(await joinedLate.rest())).toBe(sha256Of(held));
    expect(sha256Of(await hit.rest())).toBe(sha256Of(stored));
    const [reply] = await published;
    expect(reply.statusCode).toBe(201);
    expect(upstream.count('/held.bin')).toBe(1);

    // Both repositories again, and everything is there.
    await larder.reload(({ orgs }) => {
      Object.assign((orgs.public as Written['orgs'][string]).repositories, {
        files: { format: 'generic', sources: [{ remote: 'inner' }] },
        own: { format: 'generic', sources: [{ hosted: true }] },
      });
    });
    expect((await larder.ask('/public/files/new.bin', { headers: alice })).text()).toBe('from the new address');
    expect(elsewhere.requests.at(-1)?.headers.authorization).toBe('Bearer another one');
    expect((await larder.ask('/public/own/big.bin', { headers: alice })).body.equals(sent)).toBe(true);
  });

  it('neither lose a connection of theirs nor leave one behind, however often it is read', async () => {
    const { upstream, larder } = await scene();
    const other = await another();
    upstream.otherwise({ body: 'here' });
    other.otherwise({ body: 'there' });
    const descriptors = async (): Promise<number> => (await readdir('/proc/self/fd')).length;
    const round = async (at: number): Promise<void> => {
      await larder.reload(({ upstreams, orgs }) => {
        upstreams.inner = {
          ...upstreams.inner,
          url: (at % 2 === 0 ? upstream : other).url,
          // Connections of other settings are others.
          timeoutMs: 5000 + at,
        };
        const { repositories } = orgs.public as Written['orgs'][string];
        if (at % 3 === 0) repositories.more = { format: 'generic', sources: [{ remote: 'inner' }] };
        else delete repositories.more;
      });
      const answer = await larder.files(`/file-${at}`);
      expect([answer.status, answer.text()]).toEqual([200, at % 2 === 0 ? 'here' : 'there']);
    };
    for (let at = 0; at < 4; at++) await round(at);
    const before = await descriptors();
    for (let at = 4; at < 54; at++) await round(at);
    // One connection to either upstream may be open, at both of its ends.
    await eventually('nothing is left open', async () => (await descriptors()) <= before + 4);
  });
});

describe('a configuration with mistakes', () => {
  it('changes nothing, and every mistake is in the log with its line', async () => {
    const { registry, larder } = await sceneWithProcess();
    const { path, sha256 } = registry.publish({ name: 'lib', version: '1.0.0' });
    const text = await readFile(larder.configFile, 'utf8');
    await writeFile(
      larder.configFile,
      text
        .replace('"listen":', '"drain": "soon",\n"listen":')
        .replace('"format": "generic"', '"options": { "colour": "red" }, "format": "generic"')
        .replace('"who":', '"whom":'),
    );
    await expect(larder.reload(() => {})).rejects.toThrow('not reloaded');
    const { mistakes } = JSON.parse(larder.log.find((line) => line.includes('not reloaded')) ?? '{}') as {
      mistakes: readonly string[];
    };
    expect(mistakes).toHaveLength(4);
    for (const part of ['server.drain: "soon" is not a duration', 'colour', 'unknown key; did you mean "who"?']) {
      expect(mistakes.join('\n')).toContain(part);
    }
    expect(mistakes.every((mistake) => mistake.startsWith(`${larder.configFile}:`))).toBe(true);
    expect(sha256Of((await larder.npm(path)).body)).toBe(sha256);
    const refused = await larder.metrics();
    expect(refused.sum('larder_config_reloads_total', { outcome: 'refused' })).toBe(1);
    const loadedAt = refused.sum('larder_config_loaded_timestamp_seconds');

    await writeFile(larder.configFile, text);
    await larder.reload(({ server }) => {
      Object.assign(server, { listen: '127.0.0.1:1', hotMemory: '1MB', drain: '1s' });
    });
    const told = await eventually('both are told', () => {
      const lines = larder.log.filter((line) => line.includes('takes effect after a restart'));
      return lines.length >= 2 ? lines : undefined;
    });
    expect(told.map((line) => JSON.parse(line).msg)).toEqual([
      'server.listen changed: takes effect after a restart',
      'server.hotMemory changed: takes effect after a restart',
    ]);
    const done = await larder.metrics();
    expect(done.sum('larder_config_reloads_total', { outcome: 'done' })).toBe(1);
    expect(done.sum('larder_config_loaded_timestamp_seconds')).toBeGreaterThan(loadedAt);
  });
});

describe('a certificate', () => {
  async function secure() {
    const folder = await temporaryFolder('larder-tls');
    onTestFinished(() => folder.remove());
    const [first, second] = [selfSigned(), selfSigned()];
    const files = { cert: join(folder.path, 'tls.crt'), key: join(folder.path, 'tls.key') };
    const write = async ({ cert, key }: { cert: string; key: string }): Promise<void> => {
      await writeFile(files.cert, cert);
      await writeFile(files.key, key);
    };
    await write(first);
    const { larder, upstream } = await scene({ server: { tls: files } });
    const shown = async (): Promise<{ readonly socket: TLSSocket; readonly fingerprint: string }> => {
      const socket = connect({ port: larder.port, host: '127.0.0.1', rejectUnauthorized: false });
      onTestFinished(() => void socket.destroy());
      await once(socket, 'secureConnect');
      return { socket, fingerprint: socket.getPeerCertificate().fingerprint256 };
    };
    return { larder, upstream, first, second, files, write, shown };
  }

  it('that was renewed is shown to new connections; old ones go on', async () => {
    const { larder, first, second, write, shown } = await secure();
    const old = await shown();
    await write(second);
    await larder.reload(() => {});
    const renewed = await shown();
    expect(renewed.fingerprint).not.toBe(old.fingerprint);
    old.socket.write('GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
    const [answer] = (await once(old.socket, 'data')) as [Buffer];
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 200/);
    const asked = (ca: string): Promise<Answer> => ask(`https://localhost:${larder.port}/healthz`, { ca });
    expect((await asked(second.cert)).status).toBe(200);
    await expect(asked(first.cert)).rejects.toThrow();
  });

  it('that was renewed cuts no transfer over HTTP/2, and new connections speak it, too', async () => {
    const { larder, upstream, first, second, write } = await secure();
    const bytes = synthetic(3_000_000, 3);
    const until = gate();
    upstream.at('/held.bin', { body: bytes, hold: { at: 1_000_000, until } });
    const opened = (ca: string) => {
      const session = connectHttp2(`https://localhost:${larder.port}`, { ca });
      onTestFinished(() => session.destroy());
      return session.request({ ':path': '/public/files/held.bin' });
    };
    const early = opened(first.cert);
    await once(early, 'response');
    await until.reached;
    await write(second);
    await larder.reload(() => {});
    const late = opened(second.cert);
    await once(late, 'response');
    until.open();
    for (const body of await Promise.all([buffer(early), buffer(late)])) expect(sha256Of(body)).toBe(sha256Of(bytes));
  });

  it("whose key is another one's is a mistake, and the one before stays", async () => {
    const { larder, first, second, files, shown } = await secure();
    const before = (await shown()).fingerprint;
    await writeFile(files.cert, second.cert);
    await expect(larder.reload(() => {})).rejects.toThrow(/server\.tls\.key: cannot be used with the certificate/);
    expect((await shown()).fingerprint).toBe(before);
    expect((await ask(`https://localhost:${larder.port}/healthz`, { ca: first.cert })).status).toBe(200);
  });
});

it('knows for every option of the process whether it takes effect at once', async () => {
  const file = join((await temporaryFolder('larder-options')).path, 'larder.yaml');
  await writeFile(file, '{}');
  const config = await loadConfig(file, {});
  expect(needingRestart(config, config)).toEqual([]);
  // Whoever adds an option here says what becomes of it: in this list, or in config/restart.ts.
  const atOnce = new Set([
    'server.drainMs',
    'server.limits',
    'file',
    'hosts',
    'upstreams',
    'orgs',
    'issuers',
    'offline',
    'webhooks',
    'notes',
  ]);
  for (const section of Object.keys(config) as (keyof Config)[]) {
    const inner = ['server', 'storage'].includes(section) ? Object.keys(config[section] as object) : [];
    for (const key of inner.length > 0 ? inner : [undefined]) {
      const name = key === undefined ? section : `${section}.${key}`;
      const part = config[section] as unknown as Record<string, unknown>;
      const changed =
        key === undefined
          ? { ...config, [section]: 'changed' }
          : { ...config, [section]: { ...part, [key]: 'changed' } };
      const told = needingRestart(config, changed as unknown as Config);
      expect([name, told.length > 0 || atOnce.has(name)]).toEqual([name, true]);
    }
  }
});
