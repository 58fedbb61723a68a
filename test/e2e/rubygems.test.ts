/** Gem servers through the whole server: ranges and validators of the index, what trouble at an upstream becomes, several upstreams as one. */
import { createHash } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { readSpecTuples } from '../../src/codecs/gem-marshal.ts';
import { collect, synthetic } from '../support/bytes.ts';
import type { Answer } from '../support/http.ts';
import { type GemsScene, gemsScene } from '../support/rubygems-scene.ts';
import type { Fault, FileKind, GemFile, GemsUpstream } from '../support/rubygems-upstream.ts';
import { eventually } from '../support/wait.ts';

const md5Of = (bytes: Buffer | string): string => createHash('md5').update(bytes).digest('hex');
const sha256Of = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('base64');

let seed = 0;
function gem(name: string, version: string, more: Partial<GemFile> = {}): GemFile {
  seed += 1;
  return { name, version, bytes: collect(synthetic(20_000, seed)), ...more };
}

/** A little of everything. */
function fill(upstream: GemsUpstream): void {
  upstream.publish(gem('rack', '3.0.9', { ruby: '>= 2.4.0' }));
  upstream.publish(gem('tilt', '2.3.0'));
  upstream.publish(gem('sinatra', '4.0.0', { needs: 'rack:>= 3.0.0&< 4,tilt:~> 2.0' }));
  upstream.publish(gem('nokogiri', '1.16.0', { platform: 'x86_64-linux' }));
  upstream.publish(gem('ffi', '1.15.7', { platform: 'universal-darwin-20' }));
  upstream.publish(gem('rack', '3.0.10.rc1'));
}

async function filled(...options: Parameters<typeof gemsScene>): Promise<GemsScene> {
  const scene = await gemsScene(...options);
  fill(scene.first);
  return scene;
}

function expectPage(answer: Answer, bytes: Buffer, status = 200): void {
  expect(answer.status).toBe(status);
  expect(answer.headers).toMatchObject({
    etag: `"${md5Of(bytes)}"`,
    'repr-digest': `sha-256=:${sha256Of(bytes)}:`,
    digest: `sha-256=${sha256Of(bytes)}`,
  });
  if (status !== 304) expect(answer.headers['content-type']).toBe('text/plain; charset=utf-8');
}

function expectProblem(answer: Answer, status: number): void {
  expect({ status: answer.status, text: answer.text() }).toMatchObject({
    status,
    text: expect.stringMatching(/\w\.?\n$/),
  });
  expect(answer.headers['content-type']).toBe('text/plain; charset=utf-8');
  expect(answer.text()).not.toContain('127.0.0.1');
  if (status === 503) expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
}

describe('a page of the compact index', () => {
  const pages = ['/versions', '/names', '/info/rack', '/info/nokogiri'];

  it.each(pages)('%s is handed on byte for byte, under the same ETag in every coding', async (path) => {
    const scene = await filled();
    const bytes = scene.first.bytes(path);
    const plain = await scene.get(path);
    expectPage(plain, bytes);
    expect(plain.body).toEqual(bytes);
    expect(plain.headers['accept-ranges']).toBe('bytes');
    const packed = await scene.get(path, { 'accept-encoding': 'gzip;q=1.0,deflate;q=0.6,identity;q=0.3' });
    expectPage(packed, bytes);
    expect(packed.headers['content-encoding']).toBe('gzip');
    expect(gunzipSync(packed.body)).toEqual(bytes);
    const head = await scene.head(path);
    expectPage(head, bytes);
    expect(head.headers['content-length']).toBe(String(bytes.length));
    expect(scene.first.count(path)).toBe(1);
  });

  const size = 300;
  const page = Buffer.from(
    `---\n${`rack 3.0.9 ${md5Of('rack')}\n`.repeat(20)}`.slice(-size + 4).replace(/^[^\n]*\n/, '---\n'),
  );
  const whole = page.length;
  const ours = `"${md5Of(page)}"`;
  const other = `"${md5Of('other')}"`;

  it.each([
    ['nothing else', {}, 200, 0, whole],
    ['what it has', { 'if-none-match': ours }, 304, 0, 0],
    ['what it has, and the rest', { 'if-none-match': ours, range: `bytes=${whole - 1}-` }, 304, 0, 0],
    ['another version, and the rest', { 'if-none-match': other, range: 'bytes=99-' }, 206, 99, whole],
    ['its last byte', { 'if-none-match': other, range: `bytes=${whole - 1}-` }, 206, whole - 1, whole],
    ['the rest of nothing', { 'if-none-match': other, range: 'bytes=0-' }, 206, 0, whole],
    ['a part', { range: 'bytes=10-19' }, 206, 10, 20],
    ['an end', { range: 'bytes=-7' }, 206, whole - 7, whole],
    ['the rest of what it has', { 'if-range': ours, range: 'bytes=99-' }, 206, 99, whole],
    ['the rest of something else', { 'if-range': other, range: 'bytes=99-' }, 200, 0, whole],
    ['several parts', { range: 'bytes=0-1,5-6' }, 200, 0, whole],
    ['what is behind it', { 'if-none-match': other, range: `bytes=${whole}-` }, 416, 0, 0],
  ] as const)('to a client that asks for %s', async (_what, headers, status, from, to) => {
    const scene = await gemsScene();
    scene.first.put('/versions', page);
    for (const turn of ['cold', 'warm']) {
      const answer = await scene.get('/versions', headers as Record<string, string>);
      expect(answer.status, turn).toBe(status);
      if (status === 416) {
        expect(answer.headers['content-range']).toBe(`bytes */${whole}`);
        continue;
      }
      expectPage(answer, page, status);
      expect(answer.body).toEqual(page.subarray(from, to));
      expect(answer.headers['content-encoding']).toBeUndefined();
      if (status === 206) expect(answer.headers['content-range']).toBe(`bytes ${from}-${to - 1}/${whole}`);
    }
  });

  it('grows at its end, and what a client puts together is the whole', async () => {
    const scene = await filled({ source: { ttl: '0s', staleWhileRevalidate: '0s' } });
    const had = await scene.get('/versions');
    scene.first.publish(gem('rack', '3.1.0'));
    scene.first.yank('tilt-2.3.0');
    const rest = await scene.get('/versions', {
      'if-none-match': String(had.headers.etag),
      range: `bytes=${had.body.length - 1}-`,
    });
    const now = scene.first.bytes('/versions');
    expectPage(rest, now, 206);
    expect(Buffer.concat([had.body, rest.body.subarray(1)])).toEqual(now);
  });

  it('is asked about again with its validator, and is the same', async () => {
    const scene = await filled({ source: { ttl: '0s', staleWhileRevalidate: '0s' } });
    await scene.get('/versions');
    const again = await scene.get('/versions');
    expect(again.headers['x-larder-cache']).toBe('revalidated');
    expect(scene.first.upstream.requests.at(-1)?.headers['if-none-match']).toBe(again.headers.etag);
  });
});

describe('a gem', () => {
  it('is held against the page of its name, which is read once', async () => {
    const scene = await filled();
    await scene.get('/info/rack');
    const answer = await scene.get('/gems/rack-3.0.9.gem');
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual(scene.first.bytes('/gems/rack-3.0.9.gem'));
    expect(answer.headers).toMatchObject({
      'content-type': 'application/octet-stream',
      'cache-control': 'public, max-age=31536000, immutable',
    });
    await scene.settled('/gems/rack-3.0.9.gem');
    expect(scene.requests()).toEqual(['first GET /info/rack', 'first GET /gems/rack-3.0.9.gem']);
  });

  it.each(['nokogiri-1.16.0-x86_64-linux', 'ffi-1.15.7-universal-darwin-20', 'rack-3.0.10.rc1'])(
    '%s is found',
    async (full) => {
      const scene = await filled();
      const answer = await scene.get(`/gems/${full}.gem`);
      expect(answer.body).toEqual(scene.first.bytes(`/gems/${full}.gem`));
    },
  );

  it('with two readings is looked for under both names', async () => {
    const scene = await gemsScene();
    const full = scene.first.publish(gem('foo', '2', { platform: 'linux-1.0' }));
    const answer = await scene.get(`/gems/${full}.gem`);
    expect(answer.body).toEqual(scene.first.bytes(`/gems/${full}.gem`));
    expect(scene.first.log()).toEqual(['GET /info/foo-2-linux', 'GET /info/foo', `GET /gems/${full}.gem`]);
    scene.first.misbehave('gem', 'wrong bytes');
    const other = scene.first.publish(gem('bar', '2', { platform: 'linux-1.0' }));
    expectProblem(await scene.get(`/gems/${other}.gem`), 502);
  });

  it.each(['rack-9.9.9', 'unheard-of-1.0.0', 'rack-3.0.9-java', 'rack'])('%s is not there', async (full) => {
    const scene = await filled();
    expectProblem(await scene.get(`/gems/${full}.gem`), 404);
    expect(scene.first.count(`/gems/${full}.gem`)).toBe(0);
  });

  it('published a moment ago is found although its page is stored', async () => {
    const scene = await filled({ source: { ttl: '1h' } });
    await scene.get('/info/rack');
    scene.first.publish(gem('rack', '3.2.0'));
    expect((await scene.get('/gems/rack-3.2.0.gem')).status).toBe(200);
  });

  it('of a server without compact index is found where the configuration says so', async () => {
    const scene = await filled({ upstreams: [{ compact: false }], repository: { options: { compactIndex: false } } });
    expect((await scene.get('/versions')).status).toBe(404);
    expect((await scene.get('/gems/rack-3.0.9.gem')).body).toEqual(scene.first.bytes('/gems/rack-3.0.9.gem'));
  });

  it('is answered to HEAD and in parts', async () => {
    const scene = await filled();
    const head = await scene.head('/gems/tilt-2.3.0.gem');
    expect(head).toMatchObject({ status: 200, headers: { 'content-length': '20000' } });
    const bytes = scene.first.bytes('/gems/tilt-2.3.0.gem');
    await scene.get('/gems/tilt-2.3.0.gem');
    await scene.settled('/gems/tilt-2.3.0.gem');
    const part = await scene.get('/gems/tilt-2.3.0.gem', { range: 'bytes=100-' });
    expect(part.status).toBe(206);
    expect(part.body).toEqual(bytes.subarray(100));
  });
});

describe('the lists', () => {
  const namesIn = (body: Buffer): string[] => [...readSpecTuples(gunzipSync(body))].map(({ name }) => name);

  it.each(['/specs.4.8.gz', '/latest_specs.4.8.gz', '/prerelease_specs.4.8.gz'])(
    '%s is handed on as it is',
    async (path) => {
      const scene = await filled();
      const answer = await scene.get(path, { 'accept-encoding': 'gzip;q=1.0,deflate;q=0.6,identity;q=0.3' });
      const body = answer.headers['content-encoding'] === 'gzip' ? gunzipSync(answer.body) : answer.body;
      expect(body).toEqual(scene.first.bytes(path));
      expect(answer.headers['content-type']).toBe('application/octet-stream');
      expect(Date.parse(String(answer.headers['last-modified']))).toBeGreaterThan(Date.UTC(2025, 0));
    },
  );

  it('of two sources are one, in which a name is the first source’s', async () => {
    const scene = await filled({ upstreams: [{}, {}] });
    scene.second.publish(gem('rack', '99.0.0'));
    scene.second.publish(gem('acme', '1.0.0'));
    const tuples = [...readSpecTuples(gunzipSync((await scene.get('/specs.4.8.gz')).body))];
    expect(tuples.filter(({ name }) => name === 'rack').map(({ version }) => version)).toEqual(['3.0.9']);
    expect(namesIn((await scene.get('/latest_specs.4.8.gz')).body)).toContain('acme');
  });
});

describe('a specification', () => {
  it('is passed on and kept', async () => {
    const scene = await filled();
    const path = '/quick/Marshal.4.8/nokogiri-1.16.0-x86_64-linux.gemspec.rz';
    expect((await scene.get(path)).body).toEqual(scene.first.bytes(path));
    expect((await scene.settled(path)).headers['x-larder-cache']).toBe('hit');
    expect(scene.requests()).toEqual([`first GET ${path}`]);
  });

  it('of something else is refused', async () => {
    const scene = await filled();
    const path = '/quick/Marshal.4.8/rack-3.0.9.gemspec.rz';
    scene.first.put(path, scene.first.bytes('/quick/Marshal.4.8/tilt-2.3.0.gemspec.rz'));
    expectProblem(await scene.get(path), 502);
  });
});

describe('two sources', () => {
  it('make one list of versions whose digests are those of our pages', async () => {
    const scene = await filled({ upstreams: [{}, {}] });
    scene.second.publish(gem('rack', '99.0.0'));
    scene.second.publish(gem('acme', '1.0.0'));
    scene.second.publish(gem('acme', '1.1.0'));
    const answer = await scene.get('/versions');
    expectPage(answer, answer.body);
    expect(answer.text()).toMatch(/^created_at: .*\n---\n/);
    const last = new Map(
      answer
        .text()
        .split('\n')
        .slice(2, -1)
        .map((line) => [line.split(' ')[0] ?? '', line.split(' ')[2]]),
    );
    expect([...last.keys()].sort()).toEqual(['acme', 'ffi', 'nokogiri', 'rack', 'sinatra', 'tilt']);
    for (const [name, digest] of last) expect(md5Of((await scene.get(`/info/${name}`)).body), name).toBe(digest);
    expect(answer.text()).not.toContain('99.0.0');
    expect((await scene.get('/info/rack')).text()).not.toContain('99.0.0');
    expect((await scene.get('/names')).text()).toBe('---\nacme\nffi\nnokogiri\nrack\nsinatra\ntilt\n');
  });

  it('never tell the one the names that the other claims', async () => {
    const scene = await filled({ upstreams: [{}, {}], sources: [{}, { claims: ['acme', 'acme-*'] }] });
    for (const name of ['acme', 'acme-tool', 'acme-2-linux']) scene.second.publish(gem(name, '1.0.0'));
    const paths = ['acme', 'acme-tool', 'acme-2-linux'].flatMap((name) => [
      `/info/${name}`,
      `/gems/${name}-1.0.0.gem`,
      `/quick/Marshal.4.8/${name}-1.0.0.gemspec.rz`,
    ]);
    for (const path of paths) expect((await scene.get(path)).status, path).toBe(200);
    for (const path of ['/info/acme-none', '/gems/acme-none-1.0.0.gem', '/api/v1/gems/acme-none.json'])
      expect((await scene.get(path)).status, path).toBe(404);
    expect(scene.first.log()).toEqual([]);
  });

  it('are refused as a whole while one of them is silent, unless the rest may answer', async () => {
    for (const partial of ['refuse', 'allow']) {
      const scene = await filled({ upstreams: [{}, {}], repository: { partial } });
      scene.second.misbehave('versions', '500');
      const answer = await scene.get('/versions');
      if (partial === 'refuse') expectProblem(answer, 503);
      else expect(answer.body).toEqual(scene.first.bytes('/versions'));
    }
  });
});

interface Row {
  readonly what: string;
  readonly faulty: FileKind;
  readonly path: string;
  /** Only these: the rest is the same as in another row, and some take their time. */
  readonly only?: readonly Fault[];
}

const faults: readonly (readonly [Fault, number])[] = [
  ['401', 502],
  ['403', 502],
  ['404', 404],
  ['429', 503],
  ['500', 503],
  ['503', 503],
  ['stall', 503],
  ['sign-in page', 502],
  ['wrong bytes', 502],
  ['truncated', 502],
  ['cut', 503],
];

const rows: readonly Row[] = [
  { what: 'the versions', faulty: 'versions', path: '/versions' },
  { what: 'the names', faulty: 'names', path: '/names', only: ['sign-in page', 'wrong bytes', 'truncated'] },
  {
    what: 'a page',
    faulty: 'info',
    path: '/info/rack',
    only: ['404', '500', 'sign-in page', 'wrong bytes', 'truncated'],
  },
  {
    what: 'the page that a gem is held against',
    faulty: 'info',
    path: '/gems/rack-3.0.9.gem',
    only: ['401', '404', '500', 'stall', 'wrong bytes'],
  },
  { what: 'a gem', faulty: 'gem', path: '/gems/rack-3.0.9.gem' },
  {
    what: 'a specification',
    faulty: 'gemspec',
    path: '/quick/Marshal.4.8/rack-3.0.9.gemspec.rz',
    only: ['403', '404', '500', 'sign-in page', 'wrong bytes', 'truncated'],
  },
  {
    what: 'a list',
    faulty: 'list',
    path: '/specs.4.8.gz',
    // Other versions are no less a list.
    only: ['403', '404', '500', 'sign-in page', 'truncated'],
  },
];

const table = rows.flatMap((row) =>
  faults
    .filter(([fault]) => row.only?.includes(fault) ?? true)
    .map(([fault, status]) => ({ ...row, fault, status, name: `${row.what}: ${fault} is ${status}` })),
);

/** Side by side: giving up on a connection that is cut again and again takes seconds. */
describe.concurrent('an upstream in trouble', () => {
  it.for(table)('$name, and good again afterwards', async (row, { onTestFinished, expect }) => {
    const { faulty, path, fault, status } = row;
    const patience = fault === 'stall' ? { timeoutMs: 500 } : {};
    const scene = await filled({ upstream: patience, source: { negativeTtl: '0s' } }, onTestFinished);
    scene.first.misbehave(faulty, fault);
    expectProblem(await scene.get(path), status);
    scene.first.heal();
    const healed = await eventually('it heals', async () => {
      const answer = await scene.get(path);
      return answer.status === 200 ? answer : undefined;
    });
    expect(healed.body).toEqual(scene.first.bytes(path));
  });

  it.for(rows.filter(({ path }) => !path.startsWith('/gems')))(
    '$what: a stored copy stands in',
    async ({ path, faulty }, { onTestFinished, expect }) => {
      const patience = { upstream: { timeoutMs: 500 }, source: { ttl: '0s', staleWhileRevalidate: '0s' } };
      const scene = await filled(patience, onTestFinished);
      await scene.settled(path);
      for (const fault of ['500', 'sign-in page', 'stall'] as const) {
        scene.first.misbehave(faulty, fault);
        expect((await scene.get(path)).body, fault).toEqual(scene.first.bytes(path));
      }
    },
  );

  it('that is gone altogether leaves all that was asked for', async ({ onTestFinished, expect }) => {
    const scene = await filled({}, onTestFinished);
    const paths = [...new Set(rows.map(({ path }) => path))];
    for (const path of paths) await scene.settled(path);
    await scene.first.upstream.stop();
    for (const path of paths) expect((await scene.get(path)).status, path).toBe(200);
    expectProblem(await scene.get('/info/tilt'), 503);
    expectProblem(await scene.get('/gems/tilt-2.3.0.gem'), 503);
    await scene.first.upstream.start();
  });
});

describe('the API', () => {
  it('answers what there is', async () => {
    const scene = await filled();
    const facts = {
      name: 'rack',
      version: '3.0.9',
      platform: 'ruby',
      gem_uri: `${scene.first.url}/gems/rack-3.0.9.gem`,
    };
    scene.first.put('/api/v1/gems/rack.json', JSON.stringify(facts));
    scene.first.put('/api/v1/versions/rack.json', JSON.stringify([{ number: '3.0.9', platform: 'ruby' }]));
    expect((await scene.get('/api/v1/gems/rack.json')).json()).toEqual({
      ...facts,
      gem_uri: `${scene.url}/gems/rack-3.0.9.gem`,
    });
    expect((await scene.get('/api/v1/versions/rack.json')).json()).toEqual([{ number: '3.0.9', platform: 'ruby' }]);
    expect((await scene.get('/api/v1/versions/rack/latest.json')).json()).toEqual({ version: '3.0.9' });
    expect((await scene.get('/api/v1/search.json?query=x')).json()).toEqual([]);
    expectProblem(await scene.get('/api/v1/gems/none.json'), 404);
  });

  it('has no dependencies, and asks nobody about them', async () => {
    const scene = await filled();
    expectProblem(await scene.get('/api/v1/dependencies?gems=rack'), 404);
    expect(scene.requests()).toEqual([]);
  });

  it('is at the address itself, which RubyGems looks at first', async () => {
    const scene = await filled();
    for (const path of ['', '/']) expect((await scene.head(path)).status).toBe(200);
  });

  it('takes nothing where nothing is hosted, and says so', async () => {
    const scene = await filled();
    const answer = await scene.ask('/api/v1/gems', { method: 'POST', body: 'x' });
    expect(answer.status).toBe(405);
    expect(answer.headers['content-type']).toBe('text/plain; charset=utf-8');
    expect(scene.requests()).toEqual([]);
  });
});
