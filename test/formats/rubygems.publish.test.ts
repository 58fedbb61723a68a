/** What is pushed, yanked and owned, and what the index then says of it; without a server. */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync, gzipSync, inflateSync } from 'node:zlib';
import { describe, expect, it, onTestFinished } from 'vitest';
import { readSpecTuples, writeSpecTuples } from '../../src/codecs/gem-marshal.ts';
import type { Credentials, DocumentType, Origin } from '../../src/core/format.ts';
import { Problem } from '../../src/core/problem.ts';
import { compileRoutes } from '../../src/core/route.ts';
import { format } from '../../src/formats/rubygems/index.ts';
import { compareParts, partsOf, spellingsOf } from '../../src/formats/rubygems/version.ts';
import { base } from '../conformance/format.ts';
import { temporaryFolder } from '../support/folder.ts';
import { type GemContents, gemFile, gemForm, gemSpecification } from '../support/gem-file.ts';
import { ask, type FakeView, fakeView, type HostedRequest, type ViewOptions } from '../support/hosted-view.ts';
import { acmeTool, acmeToolJava, sha256Of } from './rubygems.samples.ts';

const md5Of = (text: string): string => createHash('md5').update(text).digest('hex');

const push = (gem: GemContents): HostedRequest => ({ method: 'POST', path: '/api/v1/gems', body: gemFile(gem) });
const yank = (fields: Readonly<Record<string, string>>): HostedRequest => ({
  method: 'DELETE',
  path: '/api/v1/gems/yank',
  headers: { 'content-type': 'application/x-www-form-urlencoded' },
  body: new URLSearchParams(fields).toString(),
});
const owner = (method: 'POST' | 'DELETE', name: string, email: string): HostedRequest => ({
  method,
  path: `/api/v1/gems/${name}/owners`,
  body: new URLSearchParams({ email }).toString(),
});

async function hosting(gems: readonly GemContents[], options: ViewOptions = {}): Promise<FakeView> {
  const view = fakeView(options);
  for (const gem of gems) await ask(format, view, push(gem));
  return view;
}

async function text(view: FakeView, request: HostedRequest | string): Promise<string> {
  const { body } = await ask(format, view, typeof request === 'string' ? { path: request } : request);
  return Buffer.from(body.bytes).toString();
}

/** What the client prints. */
async function refusal(view: FakeView, request: HostedRequest): Promise<string> {
  try {
    await ask(format, view, request);
  } catch (error) {
    if (error instanceof Problem) return `${error.code}: ${error.message}`;
    throw error;
  }
  return 'nothing';
}

async function tuples(view: FakeView, list: string): Promise<string[]> {
  const { body } = await ask(format, view, { path: `/${list}.4.8.gz` });
  return [...readSpecTuples(gunzipSync(body.bytes))].map(
    ({ name, version, platform }) => `${name} ${version} ${platform}`,
  );
}

const plain = (name: string, version: string, more: Partial<GemContents> = {}): GemContents => ({
  name,
  version,
  ...more,
});

/** Every name has as its last MD5 that of its page. */
async function expectDigests(view: FakeView): Promise<void> {
  const last = new Map<string, string>();
  for (const line of (await text(view, '/versions')).split('\n').slice(1, -1)) {
    const [name = '', , md5 = ''] = line.split(' ');
    last.set(name, md5);
  }
  expect([...last.keys()].sort()).toEqual([...view.names()].sort());
  for (const [name, md5] of last) expect(md5, name).toBe(md5Of(await text(view, `/info/${name}`)));
}

const hasRuby = spawnSync('ruby', ['--version']).status === 0;

describe('a gem that was pushed', () => {
  it('has a line on its page as rubygems.org writes it', async () => {
    const view = await hosting([acmeTool, plain('bare', '1.0')]);
    expect(await text(view, '/info/acme-tool')).toBe(
      `---\n1.2.0 net-http:>= 0,rack:>= 2.0.1&~> 2.0|checksum:${sha256Of(gemFile(acmeTool))},ruby:< 4&>= 2.5,rubygems:>= 3.0,created_at:2026-03-04T05:06:07Z\n`,
    );
    expect(await text(view, '/info/bare')).toBe(
      `---\n1.0 |checksum:${sha256Of(gemFile(plain('bare', '1.0')))},created_at:2026-03-04T05:06:08Z\n`,
    );
    expect(await text(view, '/names')).toBe('---\nacme-tool\nbare\n');
  });

  it('is answered for in the words that gem prints', async () => {
    const view = fakeView();
    expect(await text(view, push(acmeToolJava))).toBe('Successfully registered gem: acme-tool (1.3.0.rc1-java)\n');
    expect(await text(view, push(acmeToolJava))).toBe('Gem was already pushed: acme-tool (1.3.0.rc1-java)\n');
    expect(view.records('acme-tool')).toHaveLength(1);
  });

  it.skipIf(!hasRuby)('has the specification that RubyGems makes of the same file', async () => {
    const folder = await temporaryFolder();
    onTestFinished(() => folder.remove());
    const platforms = ['ruby', 'java', 'universal-darwin-20', 'x86-mswin32-60', 'mswin32', 'x64-mingw-ucrt'];
    const ours = await Promise.all(
      platforms.map(async (platform) => {
        const gem = { ...acmeTool, platform };
        await writeFile(join(folder.path, platform), gemFile(gem));
        const full = `acme-tool-1.2.0${platform === 'ruby' ? '' : `-${platform}`}`;
        const { body } = await ask(format, await hosting([gem]), { path: `/quick/Marshal.4.8/${full}.gemspec.rz` });
        return inflateSync(body.bytes).toString('base64');
      }),
    );
    const script = 'ARGV.each { |file| puts [Marshal.dump(Gem::Package.new(file).spec)].pack("m0") }';
    const files = platforms.map((platform) => join(folder.path, platform));
    const theirs = execFileSync('ruby', ['-rrubygems/package', '-e', script, ...files]);
    expect(ours).toEqual(theirs.toString().trim().split('\n'));
  });

  it('tells resolvers when each version came, and what it needs', async () => {
    const view = await hosting([acmeTool, acmeToolJava]);
    expect(JSON.parse(await text(view, '/api/v1/versions/acme-tool.json'))).toMatchObject([
      { number: '1.3.0.rc1', platform: 'java', prerelease: true, created_at: '2026-03-04T05:06:08.000Z' },
      {
        number: '1.2.0',
        platform: 'ruby',
        prerelease: false,
        created_at: '2026-03-04T05:06:07.000Z',
        sha: sha256Of(gemFile(acmeTool)),
        ruby_version: '< 4, >= 2.5',
        rubygems_version: '>= 3.0',
        licenses: ['MIT'],
      },
    ]);
    expect(JSON.parse(await text(view, '/api/v1/versions/acme-tool/latest.json'))).toEqual({ version: '1.2.0' });
    expect(JSON.parse(await text(view, '/api/v1/gems/acme-tool.json'))).toMatchObject({
      name: 'acme-tool',
      version: '1.2.0',
      version_created_at: '2026-03-04T05:06:07.000Z',
      gem_uri: expect.stringMatching(/\/acme\/repo\/gems\/acme-tool-1\.2\.0\.gem$/),
      authors: 'Ada, Grace',
      dependencies: {
        runtime: [
          { name: 'rack', requirements: '>= 2.0.1, ~> 2.0' },
          { name: 'net-http', requirements: '>= 0' },
        ],
        development: [{ name: 'rspec', requirements: '~> 3.0' }],
      },
    });
  });

  it('names the project that it is made in', async () => {
    const view = fakeView();
    const { change } = await ask(format, view, push(acmeTool));
    expect(change?.records).toMatchObject([{ version: '1.2.0', source: 'https://github.com/acme/tool' }]);
    const { change: other } = await ask(format, view, push(plain('bare', '1.0')));
    expect(other?.records).toMatchObject([{ source: 'https://example.com' }]);
  });

  it('keeps attestations as they came, and only if they are a list', async () => {
    const attestations = '[ {"mediaType": "x"} ]';
    const { type, body } = gemForm(gemFile(acmeTool), attestations);
    const request = { method: 'POST', path: '/api/v1/gems', headers: { 'content-type': type }, body };
    const view = fakeView();
    await ask(format, view, request);
    expect(await text(view, '/api/v1/attestations/acme-tool-1.2.0.json')).toBe(attestations);
    const other = gemForm(gemFile(acmeTool), '{}');
    expect(
      await refusal(fakeView(), { ...request, headers: { 'content-type': other.type }, body: other.body }),
    ).toMatch(/^bad_request: The attestations/);
    const empty = Buffer.from(body.toString('latin1').replace('name="gem"', 'name="gym"'), 'latin1');
    expect(await refusal(fakeView(), { ...request, body: empty })).toMatch(/^bad_request: The form has no field gem/);
  });
});

describe('the lists', () => {
  it('have releases, prereleases, and the highest of each platform', async () => {
    const view = await hosting([
      plain('b', '1.9'),
      plain('b', '1.10'),
      plain('b', '1.10', { platform: 'java' }),
      plain('b', '2.0.0.rc1'),
      plain('a', '0.1.pre'),
    ]);
    expect(await tuples(view, 'specs')).toEqual(['b 1.9 ruby', 'b 1.10 ruby', 'b 1.10 java']);
    expect(await tuples(view, 'prerelease_specs')).toEqual(['b 2.0.0.rc1 ruby', 'a 0.1.pre ruby']);
    expect(await tuples(view, 'latest_specs')).toEqual(['b 1.10 ruby', 'b 1.10 java']);
  });

  it('are empty in an empty repository, and all of them are there', async () => {
    const view = fakeView();
    for (const list of ['specs', 'latest_specs', 'prerelease_specs']) expect(await tuples(view, list)).toEqual([]);
    expect(await text(view, '/versions')).toBe('---\n');
    expect(await text(view, '/names')).toBe('---\n');
  });

  it('were changed in the second after the last change, so that who asked in the same second asks again', async () => {
    const view = await hosting([acmeTool]);
    view.apply({ name: 'acme-tool', reply: { bytes: Buffer.alloc(0) } }, '2026-03-04T05:06:09.001Z');
    const { body } = await ask(format, view, { path: '/specs.4.8.gz' });
    expect(body.headers?.['last-modified']).toBe('Wed, 04 Mar 2026 05:06:10 GMT');
  });

  const typeNamed = (id: string) => format.documents.find((one) => one.id === id) as DocumentType<unknown>;

  /** As the core puts together what is hosted and what an upstream says. */
  function merged(view: FakeView, id: string, path: string, upstream: Uint8Array): Buffer {
    const type = typeNamed(id);
    const originOf = (headers: Origin['headers']): Origin => ({ url: `https://x.example/${path}`, path, headers });
    const own = type.render?.({ kind: 'document', type, path }, view);
    if (!own) throw new Error('nothing was rendered');
    const docs = [type.decode(own.bytes, originOf(own.headers ?? {})), type.decode(upstream, originOf({}))];
    return Buffer.from(type.encode(type.merge?.(docs, path), '', base)?.bytes ?? []);
  }

  it('have nothing of upstream under a name that is published here, not even what is not here', async () => {
    const view = await hosting([acmeTool, plain('gone', '1.0')]);
    await ask(format, view, yank({ gem_name: 'gone', version: '1.0' }));
    const theirs = gzipSync(
      writeSpecTuples(['acme-tool', 'gone', 'rack'].map((name) => ({ name, version: '99.0.pre', platform: 'ruby' }))),
    );
    const list = merged(view, 'spec-list', 'prerelease_specs.4.8.gz', theirs);
    expect([...readSpecTuples(gunzipSync(list))]).toEqual([{ name: 'rack', version: '99.0.pre', platform: 'ruby' }]);
    const lines = ['acme-tool', 'gone', 'rack'].map((name) => `${name} 99.0.pre ${md5Of(name)}\n`);
    const own = (await text(view, '/versions')).slice('---\n'.length);
    const versions = merged(
      view,
      'versions',
      'versions',
      Buffer.from(`created_at: x\n---\n${lines.join('')}${'\n'.repeat(500)}${lines[2]}`),
    );
    expect(versions.toString().replace(/\n+/g, '\n')).toBe(`created_at: x\n---\n${own}${lines[2]}${lines[2]}`);
  });
});

describe('the list of versions', () => {
  it('says what happened, and only ever grows', async () => {
    const view = fakeView();
    let before = await text(view, '/versions');
    const steps: HostedRequest[] = [
      push(plain('a', '1.0')),
      push(plain('b', '1.0')),
      push(plain('a', '1.1', { platform: 'java' })),
      yank({ gem_name: 'a', version: '1.0' }),
      push(plain('b', '2.0')),
      push(plain('a', '2.0')),
      yank({ gem_name: 'a', version: '1.1', platform: 'java' }),
      yank({ gem_name: 'b', version: '1.0' }),
      yank({ gem_name: 'b', version: '2.0' }),
    ];
    for (const step of steps) {
      await ask(format, view, step);
      const after = await text(view, '/versions');
      expect(after.startsWith(before)).toBe(true);
      expect(after.length).toBeGreaterThan(before.length);
      await expectDigests(view);
      before = after;
    }
    expect(before.replace(/ [0-9a-f]{32}$/gm, '')).toBe(
      '---\na 1.0\nb 1.0\na 1.1-java\na -1.0\nb 2.0\na 2.0\na -1.1-java\nb -1.0\nb -2.0\n',
    );
    expect(await text(view, '/info/b')).toBe('---\n');
    expect(await text(view, '/names')).toBe('---\na\n');
  });
});

describe('a yank', () => {
  it('takes one platform of one version out of every list, for good', async () => {
    const view = await hosting([acmeTool, { ...acmeTool, platform: 'java' }]);
    const request = yank({ gem_name: 'acme-tool', version: '1.2.0', platform: 'java' });
    const { needed, body } = await ask(format, view, request);
    expect(needed).toContain('delete');
    expect(Buffer.from(body.bytes).toString()).toBe('Successfully yanked gem: acme-tool (1.2.0-java)\n');
    expect(await text(view, request)).toBe('acme-tool (1.2.0-java) has already been yanked.\n');
    expect(await tuples(view, 'specs')).toEqual(['acme-tool 1.2.0 ruby']);
    expect(JSON.parse(await text(view, '/api/v1/versions/acme-tool.json'))).toHaveLength(1);
    expect(await text(view, '/info/acme-tool')).not.toContain('java');
    for (const summary of [undefined, 'Another one']) {
      const again = push({ ...acmeTool, platform: 'java', ...(summary === undefined ? {} : { summary }) });
      expect(await refusal(view, again)).toBe(
        "conflict: acme-tool (1.2.0-java) was yanked: push the next version, this one can't come back.",
      );
    }
  });

  it('of the last version leaves a name that nobody else answers for', async () => {
    const view = await hosting([acmeTool]);
    await ask(format, view, yank({ gem_name: 'acme-tool', version: '1.2.0' }));
    expect(await text(view, '/info/acme-tool')).toBe('---\n');
    expect(await refusal(view, { path: '/api/v1/gems/acme-tool.json' })).toMatch(/^not_found/);
    expect(await text(view, '/api/v1/search.json?query=tool')).toBe('[]');
  });

  it.each([
    [{ gem_name: 'acme-tool', version: '9' }, /^not_found: acme-tool \(9\) is not published here/],
    [{ gem_name: 'acme-tool', version: '1.2.0', platform: 'java' }, /^not_found/],
    [{ gem_name: 'other', version: '1.2.0' }, /^not_found/],
    [{ gem_name: '../x', version: '1' }, /^bad_request/],
    [{ gem_name: 'acme-tool' }, /^bad_request/],
    [{}, /^bad_request/],
  ])('of %j is none', async (fields, said) => {
    const view = await hosting([acmeTool]);
    expect(await refusal(view, yank(fields as Record<string, string>))).toMatch(said);
  });

  it('has a form of ordinary length', async () => {
    const view = await hosting([acmeTool]);
    expect(await refusal(view, yank({ gem_name: 'x'.repeat(70_000), version: '1' }))).toMatch(/^too_large/);
  });
});

describe('owners', () => {
  it('begin with whoever pushed first, and are added and removed', async () => {
    const view = await hosting([acmeTool]);
    expect(await text(view, '/api/v1/gems/acme-tool/owners.yaml')).toBe('---\n- handle: "alice"\n');
    const { needed } = await ask(format, view, owner('POST', 'acme-tool', 'bob@example.com'));
    expect(needed).toEqual(['admin']);
    await ask(format, view, owner('POST', 'acme-tool', 'carol"\n- x'.replace('\n', ' ')));
    await ask(format, view, push({ ...acmeTool, version: '1.3.0' }));
    await ask(format, view, owner('DELETE', 'acme-tool', 'alice'));
    expect(await text(view, '/api/v1/gems/acme-tool/owners.yaml')).toBe(
      '---\n- email: "bob@example.com"\n- handle: "carol\\" - x"\n',
    );
    expect(JSON.parse(await text(view, '/api/v1/gems/acme-tool/owners.json'))).toEqual([
      { email: 'bob@example.com' },
      { handle: 'carol" - x' },
    ]);
  });

  it.each([
    [owner('DELETE', 'acme-tool', 'nobody'), /^not_found: nobody is no owner/],
    [owner('DELETE', 'acme-tool', 'alice'), /^forbidden: alice is the only owner/],
    [owner('POST', 'other', 'bob'), /^not_found/],
    [owner('POST', 'acme-tool', ''), /^bad_request/],
    [owner('POST', 'acme-tool', 'a\nb'), /^bad_request/],
  ])('are not changed by $method $path $body', async (request, said) => {
    expect(await refusal(await hosting([acmeTool]), request)).toMatch(said);
  });
});

describe('a push is refused', () => {
  it.each<[string, readonly GemContents[], GemContents, RegExp]>([
    [
      'with other bytes',
      [acmeTool],
      { ...acmeTool, summary: 'x' },
      /^conflict: Repushing of gem versions is not allowed/,
    ],
    [
      'of the same version in other words',
      [plain('a', '1.0')],
      plain('a', '1.0.0'),
      /^conflict: a 1\.0\.0 is the same version as 1\.0/,
    ],
    ['under a name that reads as another', [], plain('foo-1-java', '2'), /^nothing$/],
    ['under a full name with another reading', [], plain('foo-1-x86-linux', '2'), /would be read as foo 1-x86-linux-2/],
    ['without a name', [], plain('""', '1'), /^invalid_package: .*its name is ""/],
    ['with a path for a name', [], plain('../x', '1'), /^invalid_package/],
    ['with a name that begins with a dash', [], plain('-x', '1'), /^invalid_package/],
    ['with a number for a name', [], plain('1.2', '1'), /^invalid_package/],
    ['without a version', [], plain('x', ''), /^invalid_package: .*its version is ""/],
    ['with a version of words', [], plain('x', 'one'), /^invalid_package/],
    ['with a version with a blank', [], plain('x', '1 |checksum:0'), /^invalid_package/],
    ['with a platform with a slash', [], plain('x', '1', { platform: 'a/b' }), /^invalid_package: .*its platform/],
    ['with an operator of its own', [], plain('x', '1', { needs: { rack: ['~ 1'] } }), /^invalid_package: .*operator/],
    ['with a requirement in lines', [], plain('x', '1', { ruby: ['>= 1&b'] }), /^invalid_package/],
    ['with a need for nothing', [], plain('x', '1', { needs: { 'a|b': ['>= 1'] } }), /^invalid_package: .*depends on/],
    ['without a specification', [], plain('x', '1', { entries: { 'metadata.gz': undefined } }), /no metadata\.gz/],
    ['without files', [], plain('x', '1', { entries: { 'data.tar.gz': undefined } }), /no data\.tar\.gz/],
    ['with a specification that is no YAML', [], plain('x', '1', { specification: 'a: [' }), /can't be read/],
    ['with a list for a specification', [], plain('x', '1', { specification: '- a' }), /has no specification/],
    [
      'with files that were swapped',
      [],
      plain('x', '1', { entries: { 'data.tar.gz': gzipSync('other') } }),
      /not what its checksum says/,
    ],
    [
      'with a specification that was swapped',
      [],
      plain('x', '1', { entries: { 'metadata.gz': gzipSync(gemSpecification(plain('y', '1'))) } }),
      /not what its checksum says/,
    ],
    [
      'with a specification without end',
      [],
      plain('x', '1', { entries: { 'metadata.gz': gzipSync(Buffer.alloc(3e6, 'a')) } }),
      /^invalid_package/,
    ],
    [
      'with a specification that is not packed',
      [],
      plain('x', '1', { entries: { 'metadata.gz': Buffer.from('name: x') } }),
      /^invalid_package/,
    ],
    [
      'with too many entries',
      [],
      plain('x', '1', {
        entries: Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`${i}`, Buffer.alloc(0)])),
      }),
      /more than 64 entries/,
    ],
  ])('%s', async (_how, before, gem, said) => {
    const view = await hosting(before);
    const { changedAt } = view;
    expect(await refusal(view, push(gem))).toMatch(said);
    if (!said.test('nothing')) expect(view.changedAt).toBe(changedAt);
  });

  it('with a second specification behind the first', async () => {
    const gem = gemFile(acmeTool);
    const twice = Buffer.concat([gem.subarray(0, -1024), gemFile({ ...acmeTool, name: 'other' })]);
    expect(await refusal(fakeView(), { method: 'POST', path: '/api/v1/gems', body: twice })).toMatch(
      /^invalid_package: .*metadata\.gz twice/,
    );
  });

  it('but not with other bytes where versions may be replaced', async () => {
    const view = await hosting([acmeTool], { overwrites: true });
    expect(await text(view, push({ ...acmeTool, summary: 'x' }))).toMatch(/^Successfully registered/);
    expect(await text(view, '/info/acme-tool')).toContain(sha256Of(gemFile({ ...acmeTool, summary: 'x' })));
    await expectDigests(view);
  });
});

describe('publishing elsewhere', () => {
  const file = (bytes: Buffer) => ({
    size: bytes.length,
    read: async (at: number, length: number) => bytes.subarray(at, at + length),
  });

  it('is a push of the very gem', async () => {
    const view = await hosting([acmeToolJava]);
    const record = view.record('acme-tool', '1.3.0.rc1-java');
    if (!record) throw new Error('it was pushed a moment ago');
    const files = new Map(record.files.map(({ path }) => [path, file(view.bytes(path) ?? Buffer.alloc(0))]));
    const [outgoing, ...more] = [...(format.release?.(record, files) ?? [])];
    expect(more).toEqual([]);
    expect(outgoing).toMatchObject({ method: 'POST', path: 'api/v1/gems' });
    const sent: Uint8Array[] = [];
    for await (const piece of outgoing?.body ?? []) sent.push(piece);
    expect(Buffer.concat(sent).equals(gemFile(acmeToolJava))).toBe(true);
    expect(outgoing?.isThere?.(409, 'Repushing of gem versions is not allowed.\n')).toBe(true);
    expect(outgoing?.isThere?.(409, 'acme-tool was yanked')).toBe(false);
    expect(outgoing?.isThere?.(403, 'Repushing of gem versions is not allowed.')).toBe(false);
    expect(() => [...(format.release?.(record, new Map()) ?? [])]).toThrow('not among its files');
  });
});

describe('a search', () => {
  it('finds names and words, those that begin so first', async () => {
    const view = await hosting([
      plain('my-tool', '1.0', { summary: 'A hammer' }),
      plain('tools', '1.0.pre', { summary: 'Nails' }),
      plain('tool', '1.0', { summary: 'A saw' }),
    ]);
    const found = async (query: string): Promise<string[]> =>
      JSON.parse(await text(view, `/api/v1/search.json?query=${query}`)).map(({ name }: { name: string }) => name);
    expect(await found('TOOL')).toEqual(['tool', 'tools', 'my-tool']);
    expect(await found('hammer+tool')).toEqual(['my-tool']);
    expect(await found('anvil')).toEqual([]);
    expect(await found('tool&page=2')).toEqual([]);
    expect(JSON.parse(await text(view, '/api/v1/search/autocomplete?query=to'))).toEqual(['tools', 'tool']);
    expect(await refusal(view, { path: `/api/v1/search.json?query=${'x'.repeat(300)}` })).toMatch(/^bad_request/);
  });
});

describe('versions', () => {
  it.skipIf(!hasRuby)('are in the order in which RubyGems has them', () => {
    const parts = ['0', '1', '2', '10', '00', '01', 'a', 'b', 'rc1', 'A', '9'.repeat(20)];
    let state = 7;
    const pick = (): string => {
      state = (state * 1103515245 + 12345) % 2147483648;
      return parts[state % parts.length] ?? '';
    };
    const versions = Array.from({ length: 600 }, (_, i) => ['1', ...Array.from({ length: i % 5 }, pick)].join('.'));
    const pairs = versions.flatMap((one, i) =>
      [versions[(i * 7) % 600] ?? '', `${one}.0`].map((other) => [one, other]),
    );
    const script =
      'require "json"; puts JSON.parse($stdin.read).map { |a, b| Gem::Version.new(a) <=> Gem::Version.new(b) }.to_json';
    const theirs = JSON.parse(
      execFileSync('ruby', ['-rrubygems', '-e', script], { input: JSON.stringify(pairs) }).toString(),
    );
    expect(pairs.map(([one = '', other = '']) => Math.sign(compareParts(partsOf(one), partsOf(other))))).toEqual(
      theirs,
    );
  });

  it.each([
    ['1.0', '1'],
    ['1', '1.0.0'],
    ['0.0', '0'],
    ['1.0.0.rc1', '1.rc1'],
    ['1.10', '1.10.0.0'],
  ])('%s is among the spellings of %s, and none of them is another version', (one, other) => {
    expect(spellingsOf(other)).toContain(one);
    expect(spellingsOf(one)).toContain(other);
    for (const spelling of spellingsOf(one)) expect(compareParts(partsOf(spelling), partsOf(one)), spelling).toBe(0);
  });
});

describe('signing in', () => {
  const router = compileRoutes(format.routes);
  const found = router.find('POST', '/api/v1/api_key', (route) => {
    const call = { method: 'POST', params: {}, query: new URLSearchParams(), headers: {}, base };
    return route.intent(call);
  }) as Credentials;
  const asked = (form: string, authorization?: string) =>
    found.ask(
      { method: 'POST', params: {}, query: new URLSearchParams(), headers: { authorization }, base },
      Buffer.from(form),
    );
  const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;

  it('asks for what the client was told to', () => {
    expect(asked('name=laptop&index_rubygems=true&push_rubygem=true', basic('ada:pass:word'))).toEqual({
      want: 'token',
      user: 'ada',
      password: 'pass:word',
      description: 'laptop',
      may: ['read', 'publish'],
    });
    expect(asked('yank_rubygem=true&add_owner=true&remove_owner=true&push_rubygem=false', basic('ada'))).toEqual({
      want: 'token',
      user: 'ada',
      may: ['read', 'delete', 'admin'],
    });
    expect(asked('', 'lrd_x')).toEqual({ want: 'token', may: ['read'] });
  });

  it('answers with the key and nothing else', () => {
    const call = { method: 'POST', params: {}, query: new URLSearchParams(), headers: {}, base };
    const body = found.reply({ is: 'token', token: 'lrd_x', id: '1', user: 'ada' }, call);
    expect(Buffer.from(body.bytes).toString()).toBe('lrd_x');
  });
});
