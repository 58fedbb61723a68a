/** What a connected server fetched is answered by another one that can reach nobody, after a bundle was carried there. */
import { randomBytes } from 'node:crypto';
import { copyFile, readFile, rename, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { createLarder } from '../../src/app.ts';
import { loadConfig } from '../../src/config/load.ts';
import { command, type Run } from '../commands/larder.ts';
import { abbreviatedType, type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { type Answer, ask as askAt, type Headers } from '../support/http.ts';
import { type Larder, spawnLarder, startLarder } from '../support/larder.ts';
import { blobPath, manifestPath, ociScene } from '../support/oci-scene.ts';
import { untilStored } from '../support/scene.ts';

let folder: TemporaryFolder;
let registry: FakeRegistry;
let connected: Larder;

/** Addresses in documents are this, so that both servers give the same bytes. */
const server = { publicUrl: 'http://larder.example.com' };
const nowhere = 'http://127.0.0.1:9';

beforeEach(async () => {
  folder = await temporaryFolder('larder-carried');
  onTestFinished(() => folder.remove());
  registry = await startFakeRegistry();
  onTestFinished(() => registry.close());
  connected = await startLarder({ upstreamUrl: registry.url, server, folder: join(folder.path, 'connected') });
  onTestFinished(() => connected.close());
});

const closed = { upstreamUrl: nowhere, server, source: { offline: true } };

const exporting = (...args: readonly string[]): Promise<Run> =>
  command(['export', '--config', connected.configFile, '--unsigned', ...args]);

const importing = (to: Larder, ...args: readonly string[]): Promise<Run> =>
  command(['import', '--config', to.configFile, '--unsigned', ...args]);

const bundlePath = (name = 'x.larder'): string => join(folder.path, name);

interface Wanted {
  readonly path: string;
  readonly headers?: Headers;
}

function fetchFrom({ npm, files }: Larder, { path, headers }: Wanted): Promise<Answer> {
  return path.startsWith('/files/') ? files(path, headers) : npm(path, headers);
}

/** Everything a client would ask for. */
function publish(): Wanted[] {
  const { upstream } = registry;
  upstream.at('/files/tool.bin', { body: randomBytes(2_500_000), contentType: 'application/octet-stream' });
  upstream.at('/files/list.txt', { body: 'a list', etag: '"1"' });
  const left = registry.publish({ name: 'left-pad', version: '1.0.0', files: { 'index.js': 'left' } });
  const scoped = registry.publish({ name: '@acme/web', version: '2.0.0', files: { 'index.js': 'web' } });
  return [
    { path: '/left-pad' },
    { path: '/left-pad', headers: { accept: abbreviatedType } },
    { path: '/@acme%2fweb' },
    { path: left.path },
    { path: scoped.path },
    { path: '/files/tool.bin' },
    { path: '/files/list.txt' },
  ];
}

async function stored(wanted: readonly Wanted[]): Promise<void> {
  for (const one of wanted) {
    expect((await fetchFrom(connected, one)).status).toBe(200);
    if (!one.headers) await untilStored(connected, one.path, one.path.startsWith('/files/') ? 'files' : 'npm');
  }
}

const sameHeaders = ['content-type', 'content-length', 'etag', 'last-modified'] as const;

async function expectSame(other: Larder, wanted: readonly Wanted[]): Promise<void> {
  for (const one of wanted) {
    const [here, there] = [await fetchFrom(connected, one), await fetchFrom(other, one)];
    expect(there.status, one.path).toBe(200);
    expect(there.body.equals(here.body), one.path).toBe(true);
    for (const name of sameHeaders) expect(there.headers[name], `${name} of ${one.path}`).toBe(here.headers[name]);
  }
}

test('a server without a network answers with the same bytes and headers', async () => {
  const wanted = publish();
  await stored(wanted);
  expect(await exporting('-o', bundlePath())).toMatchObject({ code: 0 });
  const other = await startLarder({ ...closed, folder: join(folder.path, 'closed') });
  onTestFinished(() => other.close());
  expect((await fetchFrom(other, { path: '/left-pad' })).status).toBe(404);
  // The server runs on while the bundle is taken in.
  expect(await importing(other, bundlePath())).toMatchObject({ code: 0 });
  await expectSame(other, wanted);
  expect((await other.npm('/unknown')).status).toBe(404);
});

test('a server that runs as another process answers with a newer document once it was taken in', async () => {
  const wanted = publish();
  await stored(wanted);
  await exporting('-o', bundlePath());
  const other = await spawnLarder({ ...closed, folder: join(folder.path, 'closed') });
  onTestFinished(() => other.close());
  await importing(other, bundlePath());
  await expectSame(other, wanted);

  const bumped = registry.publish({ name: 'left-pad', version: '1.1.0', files: { 'index.js': 'x'.repeat(100) } });
  await connected.stop();
  const later = { upstreamUrl: registry.url, server, source: { ttl: '0s', staleWhileRevalidate: '0s' } };
  connected = await startLarder({ ...later, folder: join(folder.path, 'connected') });
  onTestFinished(() => connected.close());
  const again = [{ path: '/left-pad' }, { path: '/left-pad', headers: { accept: abbreviatedType } }];
  for (const one of again) await fetchFrom(connected, one);
  await connected.npm(bumped.path);
  await untilStored(connected, bumped.path);
  const { out } = await exporting('--since', bundlePath(), '-o', bundlePath('delta.larder'), '--json');
  // A document and a package; a delta is as large as they are.
  const delta = JSON.parse(out) as { records: number; blobs: number; bytes: number };
  expect(delta).toMatchObject({ records: 2, blobs: 2 });
  expect((await stat(bundlePath('delta.larder'))).size).toBeLessThan(delta.bytes + 3000);
  expect((await importing(other, bundlePath('delta.larder'))).code).toBe(0);
  // What a server knows of an entry it remembers for a second.
  await expect.poll(async () => (await other.npm('/left-pad')).text(), { timeout: 10_000 }).toContain('1.1.0');
  await expectSame(other, [...again, { path: bumped.path }]);
});

test('an image that was pulled by its tag is pulled by it where the registry is not', async () => {
  const { one, ask, settled, larder } = await ociScene();
  const image = one.image('library/alpine', { tags: ['3'], seed: 'carried' });
  const paths = [
    manifestPath('library/alpine', '3'),
    manifestPath('library/alpine', image.digest),
    blobPath('library/alpine', image.config),
    ...image.layers.map((layer) => blobPath('library/alpine', layer)),
  ];
  for (const path of paths) await ask(path);
  for (const path of paths) await settled(path);
  const bundle = bundlePath();
  expect(await command(['export', '--config', larder.configFile, '--unsigned', '-o', bundle])).toMatchObject({
    code: 0,
  });
  const config = JSON.parse(await readFile(larder.configFile, 'utf8'));
  const configFile = join(folder.path, 'closed.yaml');
  const storage = { ...config.storage, path: join(folder.path, 'closed') };
  await writeFile(configFile, JSON.stringify({ ...config, storage, offline: true }));
  expect(await command(['import', '--config', configFile, '--unsigned', bundle])).toMatchObject({ code: 0 });
  const closed = await createLarder(await loadConfig(configFile, {}));
  onTestFinished(() => closed.close());
  const { url } = await closed.listen();
  const asked = one.log().length;
  for (const path of paths) {
    const [here, there] = [await ask(path), await askAt(`${url}/v2/acme/hub${path}`)];
    expect(there.status, path).toBe(200);
    expect(there.body.equals(here.body), path).toBe(true);
    expect(there.headers['docker-content-digest']).toBe(here.headers['docker-content-digest']);
  }
  expect(one.log()).toHaveLength(asked);
});

describe('what was broken off', () => {
  test('is taken up where it was: files that came are not written again', async () => {
    const wanted = publish();
    await stored(wanted);
    await exporting('-o', bundlePath(), '--parts', '1MB');
    const other = await startLarder({ ...closed, folder: join(folder.path, 'closed') });
    onTestFinished(() => other.close());
    await other.stop();
    const last = bundlePath('x.larder.003');
    await copyFile(last, bundlePath('whole'));
    await rename(bundlePath('x.larder.parts'), bundlePath('away'));
    await truncate(last, (await stat(last)).size - 1000);
    expect((await importing(other, bundlePath('x.larder.001'))).code).toBe(1);
    await rename(bundlePath('whole'), last);
    const { code, out } = await importing(other, bundlePath('x.larder.001'), '--json');
    expect(code).toBe(0);
    const report = JSON.parse(out) as { added: number; there: number };
    expect(report.there).toBeGreaterThan(0);
    const running = await startLarder({ ...closed, folder: join(folder.path, 'closed') });
    onTestFinished(() => running.close());
    await expectSame(running, wanted);
  });
});
