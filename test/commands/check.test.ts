import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { defaultUrl } from 'registry-url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { command, larder, root } from './larder.ts';

let folder: TemporaryFolder;

beforeAll(async () => {
  folder = await temporaryFolder('larder-check');
});

afterAll(() => folder.remove());

async function write(text: string): Promise<string> {
  const file = join(folder.path, 'larder.yaml');
  await writeFile(file, text);
  return file;
}

it('says what the default configuration would run', async () => {
  const { code, out, err } = await larder(['check'], { cwd: folder.path });
  expect({ code, err }).toEqual({ code: 0, err: '' });
  expect(out).toContain('http://localhost:5273/public/npm/  (npm)\n    from upstream npmjs');
  expect(out).toContain(`npmjs  ${defaultUrl.replace(/\/$/, '')}\n    address: well known`);
  expect(out).toContain(`Stores in      ${folder.path}/data, at most 50 GB`);
  expect(out).toMatch(/\nNo mistakes\.\n$/);
});

it('says where the npm registry was taken from', async () => {
  const inherited = await larder(['check', '--json'], {
    env: { npm_config_registry: 'https://mirror.example.com/npm/' },
  });
  expect(JSON.parse(inherited.out).upstreams).toContainEqual({
    name: 'npmjs',
    url: 'https://mirror.example.com/npm',
    from: 'npm_config_registry, the registry that npm itself is set to use',
  });
  const own = await command(['check', '--json'], { npm_config_registry: 'http://localhost:5273/public/npm/' });
  expect(JSON.parse(own.out)).toMatchObject({
    upstreams: expect.arrayContaining([expect.objectContaining({ name: 'npmjs', from: 'well known' })]),
    notes: [expect.stringContaining('Larder itself')],
  });
});

it('reads the file that LARDER_CONFIG names', async () => {
  const file = await write('server: { listen: 127.0.0.1:1 }');
  const { out } = await command(['check', '--json'], { LARDER_CONFIG: file });
  expect(JSON.parse(out)).toMatchObject({
    file,
    listen: '127.0.0.1:1',
    notes: [expect.stringContaining('no repository')],
  });
});

it('says what clients may take', async () => {
  const file = await write(`
server: { limits: { connections: 100, perAddress: { requests: 600/m, burst: 50 }, perIdentity: { download: 20MB } } }
orgs:
  acme:
    repositories: { files: { format: generic, sources: [{ hosted: true }] } }
    limits: { perAddress: { requests: unlimited }, total: { transfers: 20, upload: 5MB } }
  other:
    repositories: { files: { format: generic, sources: [{ hosted: true }] } }
`);
  const { out } = await command(['check', '--config', file, '--json']);
  expect(JSON.parse(out).limits).toEqual({
    'an address': '10 requests/s (50 at once), 80 of 100 connections',
    'an identity': '20 MB/s down',
    'an address in acme': 'unlimited',
    'all of acme': '20 transfers at a time, 5 MB/s up',
  });
  expect((await command(['check', '--config', file])).out).toContain('\nLimits\n  an address  10 requests/s');
});

it('prints no secret', async () => {
  const file = await write(`
index: redis://:hunter2@host:6379/0
upstreams:
  a: { url: https://a.example.com, auth: { bearer: '\${SECRET}' }, proxy: 'http://me:hunter2@proxy.example.com' }
  b: { url: https://b.example.com, auth: { username: larder, password: hunter2 } }
`);
  for (const args of [['check'], ['check', '--json']]) {
    const { code, out, err } = await command([...args, '--config', file], { SECRET: 'hunter2' });
    expect(code).toBe(0);
    expect(out + err).not.toContain('hunter2');
    expect(out).toContain('bearer token');
    expect(out).toContain('user larder');
  }
});

it('names every mistake with its line on standard error, and exits with 2', async () => {
  const file = await write('server:\n  drain: soon\nstorge: {}\n');
  const { code, out, err } = await command(['check', '--config', file]);
  expect({ code, out }).toEqual({ code: 2, out: '' });
  expect(err).toBe(
    `${file}:2:3: server.drain: "soon" is not a duration; write a number and one of ms, s, m, h, d, such as 30s\n` +
      `${file}:3:1: storge: unknown key; did you mean "storage"?\n`,
  );
});

it("checks the formats' own settings", async () => {
  const file = await write(`
upstreams: { a: { url: 'https://a.example.com' } }
orgs:
  public:
    repositories:
      files: { format: generic, sources: [{ remote: a }], options: { imutable: ['x/**'] } }
      npm: { format: npm, sources: [{ remote: npmjs }], options: { x: 1 } }
`);
  const { code, err } = await command(['check', '--config', file]);
  expect(code).toBe(2);
  expect(err).toContain('orgs.public.repositories.files.options: imutable');
  expect(err).toContain('orgs.public.repositories.npm.options: ');
});

it('takes relative paths from the working directory', async () => {
  const cwd = join(folder.path, 'elsewhere');
  await mkdir(cwd);
  const file = await write('storage: { path: ./here }');
  const { out } = await larder(['check', '--json', '--config', file], { cwd });
  expect(JSON.parse(out).storage.path).toBe(join(cwd, 'here'));
});

describe('in a pipeline', () => {
  const text = `
server: { tls: { cert: /nowhere/tls.crt, key: '\${file:/nowhere/key.pem}' } }
storage: { path: ./data }
upstreams:
  inner:
    url: '\${INNER_URL}'
    auth: { bearer: '\${INNER_TOKEN}' }
    concurrency: '\${INNER_CONCURRENCY}'
orgs:
  acme:
    users: { alice: { password: '\${file:/nowhere/password}' } }
    repositories:
      files: { format: generic, sources: [{ remote: inner }], options: { mutable: ['\${GLOB}'] } }
`;

  it('what is not there is a mistake, unless secrets are not expected there', async () => {
    const file = await write(text);
    const strict = await command(['check', '--config', file]);
    expect(strict.code).toBe(2);
    for (const name of [
      'INNER_URL',
      'INNER_TOKEN',
      'INNER_CONCURRENCY',
      'GLOB',
      '/nowhere/tls.crt',
      '/nowhere/password',
    ]) {
      expect(strict.err).toContain(name);
    }
    const loose = await command(['check', '--without-secrets', '--json', '--config', file]);
    expect([loose.code, loose.err]).toEqual([0, '']);
    const { notes, mistakes } = JSON.parse(loose.out) as { notes: string[]; mistakes: unknown[] };
    expect(mistakes).toEqual([]);
    expect(notes).toContain('upstreams.inner.auth.bearer: not checked, because INNER_TOKEN is not here');
    expect(notes).toContain('server.tls.cert: not checked, because /nowhere/tls.crt is not here');
    expect(notes.filter((note) => note.includes('not checked'))).toHaveLength(7);
  });

  it('every other mistake is found all the same', async () => {
    const file = await write(`${text}      other: { format: generik, sources: [{ remote: outer }] }\n`);
    const { code, out, err } = await command(['check', '--without-secrets', '--json', '--config', file]);
    expect([code, err]).toEqual([2, '']);
    const told = JSON.parse(out) as { file: string; mistakes: { path: string; message: string; line: number }[] };
    expect(told.file).toBe(file);
    expect(told.mistakes.map(({ path, line }) => [path, line])).toEqual([
      ['orgs.acme.repositories.other.format', 14],
      ['orgs.acme.repositories.other.sources[0].remote', 14],
    ]);
  });

  it('a server does not start with what a check has passed over', async () => {
    const file = await write(text);
    const { code, err } = await larder(['serve', '--config', file]);
    expect([code, err]).toEqual([2, expect.stringContaining('the environment has no INNER_TOKEN')]);
  });

  it('the examples in docs/operating.md are YAML, and their command is one of ours', async () => {
    const page = await readFile(join(root, 'docs/operating.md'), 'utf8');
    const blocks = [...page.matchAll(/^```yaml\n(.*?check.*?)^```$/gms)].map(
      ([, block]) => parse(block ?? '') as unknown,
    );
    expect(blocks).toHaveLength(2);
    const file = await write(text);
    for (const block of blocks) {
      const said = /(?:larder|larder:[\d.]+) (check [^"\n]*)/.exec(JSON.stringify(block).replaceAll('\\n', '\n'))?.[1];
      const args = (said ?? '').trim().split(' ');
      expect(args).toContain('--without-secrets');
      expect((await command(args.map((arg) => (arg === 'larder.yaml' ? file : arg)))).code).toBe(0);
    }
  });
});
