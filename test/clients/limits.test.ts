/** What clients make of a server that says 429: who asks again, how, and what those print who do not. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type FakeRegistry, startFakeRegistry } from '../support/fake-registry.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { type LarderProcess, spawnLarder } from '../support/larder.ts';
import { impatient } from '../support/pypi-scene.ts';
import { type PyPiUpstream, startPyPiUpstream } from '../support/pypi-upstream.ts';
import { createProject, managers, missing, type Project } from './package-managers.ts';
import { findPips, missingPython, pythonPlace } from './python-clients.ts';

const names = Array.from({ length: 12 }, (_, nth) => `part-${nth}`);
const [pip] = findPips();
if (!pip && process.env.CI === 'true') throw new Error('There is no pip: .ci/run installs python3-pip');

let registry: FakeRegistry;
let index: PyPiUpstream;
let folder: TemporaryFolder;
const closing: (() => Promise<void>)[] = [];

beforeAll(async () => {
  registry = await startFakeRegistry();
  closing.push(() => registry.close());
  folder = await temporaryFolder('larder-limits');
  closing.push(() => folder.remove());
  for (const name of names) registry.publish({ name, version: '1.0.0' });
  index = await startPyPiUpstream();
  closing.push(() => index.close());
  for (const [nth, name] of names.entries()) {
    const next = names[nth + 1];
    index.publish({ name, version: '1.0', ...(next === undefined ? {} : { requires: [next] }) });
  }
});

afterAll(async () => {
  for (const close of closing.reverse()) await close();
});

async function limited(perAddress: Record<string, unknown>): Promise<LarderProcess> {
  const larder = await spawnLarder({
    upstreamUrl: registry.url,
    upstreams: { one: { url: index.url, hosts: [new URL(index.files.url).host], ...impatient } },
    repositories: { pypi: { format: 'pypi', sources: [{ remote: 'one' }] } },
    server: { limits: { perAddress } },
  });
  closing.push(() => larder.close());
  return larder;
}

const refusals = async (larder: LarderProcess): Promise<number> =>
  (await larder.metrics()).sum('larder_limited_total', { org: 'public', kind: 'requests' });

const dependencies = Object.fromEntries(names.map((name) => [name, '1.0.0']));

/** What npm waits between its tries is 10 seconds and then 60 unless it is told otherwise. */
const tries = (count: number): string[] => [
  `--fetch-retries=${count}`,
  '--fetch-retry-mintimeout=500',
  '--fetch-retry-factor=2',
];

async function npmProject({ url }: LarderProcess): Promise<Project> {
  const npm = managers.find(({ id }) => id === 'npm');
  if (!npm) throw new Error('npm is not in the table');
  return createProject(folder.path, npm, `${url}/public/npm`, { dependencies });
}

test('npm asks again later, and installs all of it', { skip: missing('npm') !== undefined }, async () => {
  const larder = await limited({ requests: '10/s', burst: 5 });
  const project = await npmProject(larder);
  const ran = await project.run('install', ...tries(5));
  expect(ran, ran.output).toMatchObject({ code: 0 });
  expect(ran.stdout).toMatch(new RegExp(`added ${names.length} packages`));
  expect(await refusals(larder)).toBeGreaterThan(0);
});

test('npm that may not ask again says why', { skip: missing('npm') !== undefined }, async () => {
  const larder = await limited({ requests: '1/m', burst: 1 });
  const ran = await (await npmProject(larder)).run('install', ...tries(0));
  expect(ran.code).not.toBe(0);
  expect(ran.stderr).toContain('E429');
  expect(ran.stderr).toMatch(/Too many requests: this address has sent more requests than/);
});

test('pip waits as long as it is told to, and installs all of it', {
  skip: !pip || missingPython('wheels') !== undefined,
}, async () => {
  const larder = await limited({ requests: '2/s', burst: 4 });
  const place = await pythonPlace(folder.path, {}, { PIP_RETRIES: '5' });
  const index = ['--index-url', `${larder.url}/public/pypi/simple/`];
  const ran = await place.run(pip?.python ?? '', '-m', 'pip', 'install', '--target', 'here', ...index, names[0] ?? '');
  expect(ran, ran.output).toMatchObject({ code: 0 });
  expect(ran.stdout).toContain('Successfully installed');
  for (const name of names) expect(ran.stdout).toContain(`${name}-1.0`);
  expect(await refusals(larder)).toBeGreaterThan(0);
});

test('npm whose bandwidth is limited installs all of it, only later', {
  skip: missing('npm') !== undefined,
}, async () => {
  const larder = await limited({ download: '2KB' });
  const ran = await (await npmProject(larder)).run('install', ...tries(0));
  expect(ran, ran.output).toMatchObject({ code: 0 });
  const metrics = await larder.metrics();
  expect(metrics.sum('larder_limited_total', { org: 'public', kind: 'bandwidth' })).toBeGreaterThan(0);
  expect(metrics.sum('larder_throttled_seconds_total', { org: 'public', by: 'address' })).toBeGreaterThan(0);
});
