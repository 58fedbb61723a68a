import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { integrityOfBytes, packageOf, publishDocument } from '../formats/npm.publish.samples.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { ask } from '../support/http.ts';
import { type LarderProcess, spawnLarder } from '../support/larder.ts';
import { createToken } from '../support/tokens.ts';

const clients = 20;
const versions = 50;

/** What a client was told of one version. */
type Told = 'acknowledged' | 'refused' | 'nothing';

interface Attempt {
  readonly name: string;
  readonly version: string;
  readonly tarball: Buffer;
}

describe('servers that are killed while 20 clients publish', () => {
  let folder: TemporaryFolder;
  let token: string;
  let servers: LarderProcess[] = [];

  const settings = () => ({
    upstreamUrl: 'http://127.0.0.1:9',
    folder: folder.path,
    more: {
      orgs: {
        acme: {
          users: { alice: {} },
          repositories: { npm: { format: 'npm', sources: [{ hosted: true }] } },
          access: [{ who: ['user:alice'], may: ['read', 'publish'] }],
        },
      },
      log: { access: false },
    },
  });

  /** Two processes on one folder. */
  async function start(): Promise<void> {
    servers = [await spawnLarder(settings()), await spawnLarder(settings())];
  }

  async function publish({ name, version, tarball }: Attempt, at: number, spoil: boolean): Promise<Told> {
    const document = publishDocument({ name, version, tarball });
    const body = JSON.stringify(document);
    const text = spoil ? body.replace(/"integrity":"sha512-../, '"integrity":"sha512-00') : body;
    try {
      const server = servers[at % servers.length] as LarderProcess;
      const { status } = await ask(`${server.url}/acme/npm/${name}`, {
        method: 'PUT',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: text,
      });
      return status < 300 ? 'acknowledged' : 'refused';
    } catch {
      return 'nothing';
    }
  }

  beforeAll(async () => {
    folder = await temporaryFolder();
    await mkdir(join(folder.path, 'data'), { recursive: true });
    token = await createToken(join(folder.path, 'data'), { org: 'acme', user: 'alice' });
    await writeFile(join(folder.path, 'note'), 'Both servers use this folder.');
  });
  afterAll(async () => {
    for (const server of servers) await server.kill();
    await rm(folder.path, { recursive: true, force: true });
  });

  it.each([
    [
      'one package',
      (_client: number, _nth: number): string => 'shared',
      (client: number, nth: number): string => `${client}.${nth}.0`,
    ],
    [
      '50 packages',
      (_client: number, nth: number): string => `package-${nth}`,
      (client: number, _nth: number): string => `${client}.0.0`,
    ],
  ] as const)(
    'lose no acknowledged version of %s, and keep no refused one',
    async (_, nameOf, versionOf) => {
      await start();
      const told = new Map<string, Told>();
      const digests = new Map<string, string>();
      let done = 0;
      let killing: Promise<void> | undefined;
      const killAt = new Set([250, 600]);
      const work = Array.from({ length: clients }, async (_unused, client): Promise<void> => {
        for (let nth = 0; nth < versions; nth++) {
          const name = nameOf(client, nth);
          const version = versionOf(client, nth);
          const tarball = packageOf({ name, version, files: { 'made.txt': `${client} ${nth}` } });
          const spoil = (client + nth) % 10 === 0;
          const answer = await publish({ name, version, tarball }, client, spoil);
          told.set(`${name}@${version}`, answer);
          digests.set(`${name}@${version}`, integrityOfBytes(tarball));
          done += 1;
          if (killAt.delete(done)) {
            killing = (async () => {
              await Promise.all(servers.map((server) => server.kill()));
              await start();
            })();
          }
          if (answer === 'nothing') await killing;
        }
      });
      await Promise.all(work);
      for (const server of servers) await server.kill();
      await start();
      const acknowledged = [...told].filter(([, answer]) => answer === 'acknowledged').map(([key]) => key);
      // The kills cost a few, which each client heard nothing of; the tenth with a wrong digest is refused.
      expect(acknowledged.length).toBeGreaterThan(clients * versions * 0.8);
      const [server] = servers as [LarderProcess];
      const there = new Map<string, string>();
      for (const name of new Set([...told.keys()].map((key) => key.slice(0, key.lastIndexOf('@'))))) {
        const answer = await ask(`${server.url}/acme/npm/${name}`, { headers: { authorization: `Bearer ${token}` } });
        if (answer.status === 404) continue;
        const { versions: published, time } = answer.json() as {
          versions: Record<string, { dist: { integrity: string } }>;
          time: Record<string, string>;
        };
        for (const [version, { dist }] of Object.entries(published)) {
          expect(time[version]).toBeDefined();
          there.set(`${name}@${version}`, dist.integrity);
        }
      }
      expect(acknowledged.filter((key) => !there.has(key))).toEqual([]);
      expect([...told].filter(([key, answer]) => answer === 'refused' && there.has(key))).toEqual([]);
      expect([...there].filter(([key, integrity]) => integrity !== digests.get(key))).toEqual([]);
      for (const key of acknowledged.filter((_key, index) => index % 20 === 0)) {
        const at = key.lastIndexOf('@');
        const [name, version] = [key.slice(0, at), key.slice(at + 1)];
        const file = await ask(`${server.url}/acme/npm/${name}/-/${name}-${version}.tgz`, {
          headers: { authorization: `Bearer ${token}` },
        });
        expect([key, file.status, integrityOfBytes(file.body)]).toEqual([key, 200, digests.get(key)]);
      }
      for (const one of servers) await one.stop();
    },
    120_000,
  );
});
