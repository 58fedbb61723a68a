import { zipSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { Problem } from '../../src/core/problem.ts';
import { format } from '../../src/formats/nuget/index.ts';
import { registration } from '../../src/formats/nuget/registration.ts';
import { serviceIndex } from '../../src/formats/nuget/resources.ts';
import { search } from '../../src/formats/nuget/search.ts';
import { signatures } from '../../src/formats/nuget/signatures.ts';
import { ask, type FakeView, fakeView, firstMoment, type HostedRequest, hostedBase } from '../support/hosted-view.ts';
import { formOf, nuspecOf, type PackageFacts, packageOf, sha512Of, symbolsOf } from '../support/nuget-packages.ts';
import { bytesOf, hostedThings, png, pushOf, searchJson, serviceIndexJson, signaturesJson } from './nuget.samples.ts';

type Json = Record<string, unknown>;

async function published(...packages: readonly (PackageFacts | HostedRequest)[]): Promise<FakeView> {
  const view = fakeView();
  for (const one of packages) await ask(format, view, 'path' in one ? one : pushOf(packageOf(one)));
  return view;
}

async function jsonAt(view: FakeView, path: string): Promise<Json> {
  return JSON.parse(Buffer.from((await ask(format, view, { path })).body.bytes).toString());
}

async function textAt(view: FakeView, path: string): Promise<string> {
  return Buffer.from((await ask(format, view, { path })).body.bytes).toString();
}

async function refusal(view: FakeView, request: HostedRequest): Promise<Problem> {
  const problem = await ask(format, view, request).catch((error: unknown) => error);
  if (problem instanceof Problem) return problem;
  throw new Error('it was not refused', { cause: problem });
}

function leavesIn(index: Json): Json[] {
  const pages = index.items as { items: { catalogEntry: Json }[] }[];
  return pages.flatMap(({ items }) => items.map(({ catalogEntry }) => catalogEntry));
}

const unlist = (path: string): HostedRequest => ({ method: 'DELETE', path });
const relist = (path: string): HostedRequest => ({ method: 'POST', path });
const tools: PackageFacts = { id: 'Acme.Tools', version: '1.2.0' };

describe('what is read of a published package', () => {
  it('is all that its nuspec says of it, with its time, its digest and what lies beside it', async () => {
    const view = await published(hostedThings);
    const bytes = packageOf(hostedThings);
    const [entry] = leavesIn(await jsonAt(view, '/v3/registration-semver2/acme.things/index.json'));
    const at = `${hostedBase}/v3/flat/acme.things/1.0.0`;
    expect(entry).toEqual({
      '@id': `${hostedBase}/v3/registration-semver2/acme.things/1.0.0.json`,
      '@type': 'PackageDetails',
      id: 'Acme.Things',
      version: '1.0',
      title: 'Things & more',
      authors: 'Alice',
      description: 'Acme.Things for tests',
      tags: ['one', 'two'],
      projectUrl: 'https://example.com/things',
      repository: { type: 'git', url: 'https://git.example.com/acme/things.git', commit: '0123abcd' },
      iconUrl: `${at}/icon`,
      readmeUrl: `${at}/readme`,
      licenseUrl: `${at}/license`,
      dependencyGroups: [
        {
          targetFramework: '.NETStandard2.0',
          dependencies: [{ id: 'Other.Things', range: '[1.2.0, )' }],
        },
      ],
      listed: true,
      created: firstMoment,
      published: firstMoment,
      packageContent: `${at}/acme.things.1.0.0.nupkg`,
      packageHash: sha512Of(bytes),
      packageHashAlgorithm: 'SHA512',
      packageSize: bytes.length,
    });
  });

  it('links the package to the repository that it names, else to its page', async () => {
    const { change } = await ask(format, fakeView(), pushOf(packageOf(hostedThings)));
    expect(change?.records?.[0]?.source).toBe('https://git.example.com/acme/things.git');
    const metadata = '    <projectUrl>https://example.com/tools</projectUrl>\n';
    const other = await ask(format, fakeView(), pushOf(packageOf({ ...tools, metadata })));
    expect(other.change?.records?.[0]?.source).toBe('https://example.com/tools');
  });

  it('has its versions in order, and those of SemVer 2.0.0 only for clients that know it', async () => {
    const versions = ['1.10.0', '1.2.0', '2.0.0-rc.1', '1.2.1-beta'];
    const view = await published(...versions.map((version) => ({ id: 'Acme.Tools', version })));
    expect(await jsonAt(view, '/v3/flat/acme.tools/index.json')).toEqual({
      versions: ['1.2.0', '1.2.1-beta', '1.10.0', '2.0.0-rc.1'],
    });
    const of = async (hive: string) =>
      leavesIn(await jsonAt(view, `/v3/${hive}/acme.tools/index.json`)).map(({ version }) => version);
    expect(await of('registration-semver2')).toEqual(['1.2.0', '1.2.1-beta', '1.10.0', '2.0.0-rc.1']);
    expect(await of('registration-gz')).toEqual(['1.2.0', '1.2.1-beta', '1.10.0']);
    expect(await textAt(view, "/v2/FindPackagesById()?id='Acme.Tools'")).not.toContain('2.0.0-rc.1');
  });

  it('is found in the second version of the protocol, with digest and date', async () => {
    const view = await published(tools);
    const feed = await textAt(view, "/v2/Packages(Id='acme.tools',Version='1.2')");
    expect(feed).toContain('<d:Id>Acme.Tools</d:Id>');
    expect(feed).toContain(`<d:PackageHash>${sha512Of(packageOf(tools))}</d:PackageHash>`);
    expect(feed).toContain(`<d:Published m:type="Edm.DateTime">${firstMoment.replace('Z', '')}</d:Published>`);
  });

  it('has pages once there are many versions', async () => {
    const many = Array.from({ length: 130 }, (_, at) => ({ id: 'Acme.Tools', version: `1.${at}.0` }));
    const view = await published(...many);
    const index = await jsonAt(view, '/v3/registration-semver2/acme.tools/index.json');
    const pages = index.items as Json[];
    expect(pages.map(({ count }) => count)).toEqual([64, 64, 2]);
    const page = await jsonAt(view, String(pages[2]?.['@id']).slice(hostedBase.length));
    expect((page.items as Json[]).length).toBe(2);
  });

  it('is spelled by each version as it spells itself, and is one package', async () => {
    const view = await published(tools, { id: 'acme.TOOLS', version: '1.3' });
    expect([...view.names()]).toEqual(['acme.tools']);
    const entries = leavesIn(await jsonAt(view, '/v3/registration-semver2/acme.tools/index.json'));
    expect(entries.map(({ id, version }) => `${id} ${version}`)).toEqual(['Acme.Tools 1.2.0', 'acme.TOOLS 1.3']);
  });
});

describe('a version that was published', () => {
  it.each(['1.2.0', '1.2', '1.2.0.0', '01.2.0', '1.2.0+build.7'])('is there already as %s', async (version) => {
    const view = await published(tools);
    const problem = await refusal(view, pushOf(packageOf({ id: 'acme.tools', version })));
    expect(problem.code).toBe('conflict');
    expect(problem.message).toBe(
      `acme.tools ${version} is published already. A version never changes: publish another one.`,
    );
  });

  it('is replaced where the repository says so, with all its files', async () => {
    const view = fakeView({ overwrites: true });
    await ask(format, view, pushOf(packageOf(hostedThings)));
    await ask(format, view, pushOf(symbolsOf(hostedThings), '/v3/symbolpackage/'));
    const { needed } = await ask(format, view, pushOf(packageOf({ id: 'Acme.Things', version: '1.0' })));
    expect(needed).toEqual(['publish', 'delete']);
    const left = [...view.entries('acme.things')].map(({ path }) => path.slice(path.lastIndexOf('/') + 1));
    expect(left).toEqual(['acme.things.1.0.0.nupkg', 'acme.things.nuspec']);
    const [entry] = leavesIn(await jsonAt(view, '/v3/registration/acme.things/index.json'));
    expect(entry?.packageHash).toBe(sha512Of(packageOf({ id: 'Acme.Things', version: '1.0' })));
  });

  it.each(['/v3/package', '/v2/package', '/api/v2/package', '/v2'])(
    'is withdrawn and listed again below %s',
    async (at) => {
      const view = await published(tools, { id: 'Acme.Tools', version: '1.1.0' });
      const gone = await ask(format, view, unlist(`${at}/Acme.Tools/1.2`));
      expect([gone.body.status, gone.needed]).toEqual([204, ['delete']]);
      const state = async () =>
        leavesIn(await jsonAt(view, '/v3/registration/acme.tools/index.json')).map(({ version, listed }) => [
          version,
          listed,
        ]);
      expect(await state()).toEqual([
        ['1.1.0', true],
        ['1.2.0', false],
      ]);
      expect(((await jsonAt(view, '/v3/search?q=')).data as Json[])[0]?.version).toBe('1.1.0');
      expect(await textAt(view, "/v2/FindPackagesById()?id='acme.tools'")).toContain(
        '<d:Published m:type="Edm.DateTime">1900-01-01T00:00:00</d:Published>',
      );
      expect(await jsonAt(view, '/v3/autocomplete?id=acme.tools')).toMatchObject({ data: ['1.1.0'] });
      // Whoever has named it in a project goes on having it.
      expect(await jsonAt(view, '/v3/flat/acme.tools/index.json')).toEqual({ versions: ['1.1.0', '1.2.0'] });
      expect(
        (await ask(format, view, { path: '/v3/flat/acme.tools/1.2.0/acme.tools.1.2.0.nupkg' })).body.bytes,
      ).toEqual(packageOf(tools));
      expect((await refusal(view, pushOf(packageOf(tools)))).message).toContain('published already, and not listed');
      expect((await ask(format, view, unlist(`${at}/acme.tools/1.2.0`))).body.status).toBe(204);
      expect((await ask(format, view, relist(`${at}/acme.tools/1.2.0`))).body.status).toBe(200);
      expect(await state()).toEqual([
        ['1.1.0', true],
        ['1.2.0', true],
      ]);
      expect((await refusal(view, unlist(`${at}/acme.tools/7.0.0`))).code).toBe('not_found');
    },
  );

  it('is out of search when none of its package is listed', async () => {
    const view = await published(tools, unlist('/v3/package/acme.tools/1.2.0'));
    expect(await jsonAt(view, '/v3/search?q=acme.tools')).toEqual({ totalHits: 0, data: [] });
    expect(await jsonAt(view, '/v3/autocomplete?q=acme')).toEqual({ totalHits: 0, data: [] });
  });
});

describe('symbols', () => {
  it('belong to a package that is there', async () => {
    const problem = await refusal(fakeView(), pushOf(symbolsOf(tools), '/v3/symbolpackage/'));
    expect([problem.code, problem.message]).toEqual([
      'not_found',
      'Acme.Tools 1.2.0 is not published here: its package comes first, then its symbols.',
    ]);
  });

  it.each([
    ['a package among the symbols', pushOf(packageOf(tools), '/v3/symbolpackage'), 'no package type SymbolsPackage'],
    ['symbols among the packages', pushOf(symbolsOf(tools)), 'below /v3/symbolpackage'],
  ])('are no place for %s', async (_what, request, said) => {
    const problem = await refusal(await published({ id: 'Other', version: '1.0.0' }), request);
    expect(problem.code).toBe('invalid_package');
    expect(problem.message).toContain(said);
  });
});

const dependency = '<dependency id="a" version="1" />';

describe('what is no package', () => {
  const nuspec = (text: string): Buffer => Buffer.from(zipSync({ 'a.nuspec': Buffer.from(text) }));
  const told = nuspecOf(tools);

  it.each<[string, Buffer, string]>([
    ['no archive', Buffer.from('MZ this is a library, and no archive at all'), 'no directory'],
    ['an archive without a nuspec', Buffer.from(zipSync({ 'lib/a.nuspec': Buffer.from(told) })), 'it has no nuspec'],
    [
      'one with two',
      Buffer.from(zipSync({ 'a.nuspec': Buffer.from(told), 'b.nuspec': Buffer.from(told) })),
      'has both a.nuspec and b.nuspec',
    ],
    ['one whose nuspec is none', nuspec('{}'), 'nuspec can’t be read'.replace('’', "'")],
    ['one whose nuspec has a document type', nuspec(`<!DOCTYPE package>${told.slice(39)}`), 'document type'],
    ['one without an id', nuspec(told.replace('Acme.Tools', '')), 'the id ""'],
    ['one whose id leads elsewhere', nuspec(told.replace('Acme.Tools', '../tools')), 'the id "../tools"'],
    ['one whose id ends in a dot', nuspec(told.replace('Acme.Tools', 'Acme.')), 'the id "Acme."'],
    ['one whose version is a word', nuspec(told.replace('1.2.0', 'latest')), 'the version "latest"'],
    ['one whose nuspec is too long', nuspec(told + ' '.repeat(1024 * 1024)), 'longer than 1048576 bytes'],
    [
      'one with too many dependencies',
      nuspec(told.replace('</group>', `${dependency.repeat(3000)}</group>`)),
      'more than 2000',
    ],
    [
      'one with a file that leads out of it',
      Buffer.from(zipSync({ '../../evil.dll': Buffer.from('x'), 'a.nuspec': Buffer.from(told) })),
      'leads out of it',
    ],
  ])('is %s', async (_what, bytes, said) => {
    const view = fakeView();
    const problem = await refusal(view, pushOf(bytes));
    expect([problem.code, problem.message]).toEqual(['invalid_package', expect.stringContaining(said)]);
    expect([...view.names()]).toEqual([]);
  });

  it.each<[string, HostedRequest]>([
    ['an empty body', { method: 'PUT', path: '/v3/package', body: '' }],
    ['a form without parts', { ...pushOf(Buffer.alloc(0)), body: formOf(Buffer.alloc(0)).body.subarray(-42) }],
    ['a form whose first part is empty', pushOf(Buffer.alloc(0))],
    ['a form without a boundary', { ...pushOf(packageOf(tools)), headers: { 'content-type': 'multipart/form-data' } }],
  ])('is not in %s', async (_what, request) => {
    expect((await refusal(fakeView(), request)).code).toBe('bad_request');
  });

  it.each<[string, string]>([
    ['a form that has no end', '--x\r\na: b\r\n\r\nPK'],
    ['a form that ends in the middle of its end', '--x\r\na: b\r\n\r\nPK\r\n--x-'],
    ['a form that begins with something else', 'PK--x\r\na: b\r\n\r\nPK\r\n--x--'],
    ['a form that is nothing but heads', `--x\r\n${'a: b\r\n'.repeat(4000)}`],
    ['a form with a part and no end of the next one', `--x\r\na: b\r\n\r\nPK\r\n--x\r\na: b\r\n\r\n${'z'.repeat(100)}`],
    ['a form with very much more', `--x\r\na: b\r\n\r\nPK\r\n--x\r\na: b\r\n\r\n${'z'.repeat(100_000)}\r\n--x--`],
  ])('is not in %s', async (_what, body) => {
    for (const pieces of [1000, 1]) {
      const headers = { 'content-type': 'multipart/form-data; boundary=x' };
      if (pieces === 1 && body.length > 10_000) continue;
      const problem = await refusal(fakeView(), { method: 'PUT', path: '/v3/package/', headers, body, pieces });
      expect(problem.code).toBe('bad_request');
    }
  });

  it('is taken for none because of what looks like a boundary in it', async () => {
    const bytes = packageOf({ ...tools, library: Buffer.from('\r\n--\r\n-\n--5b0ba8b6-0f3b-4f0a\r\r\n\n') });
    for (const pieces of [1, 2, 3, 64]) {
      const view = fakeView();
      await ask(format, view, { ...pushOf(bytes), pieces });
      expect(view.bytes('v3/flat/acme.tools/1.2.0/acme.tools.1.2.0.nupkg')?.equals(bytes)).toBe(true);
    }
  });

  it('is not hidden by further parts of the form', async () => {
    const bytes = packageOf(tools);
    const text = '\r\n--x\r\nContent-Disposition: form-data; name=note\r\n\r\nhello\r\n--x--\r\n';
    const body = Buffer.concat([
      Buffer.from('--x\r\nContent-Disposition: form-data\r\n\r\n'),
      bytes,
      Buffer.from(text),
    ]);
    const view = fakeView();
    await ask(format, view, {
      method: 'PUT',
      path: '/v3/package/',
      headers: { 'content-type': 'multipart/form-data; boundary=x' },
      body,
    });
    expect(view.bytes('v3/flat/acme.tools/1.2.0/acme.tools.1.2.0.nupkg')?.equals(bytes)).toBe(true);
  });

  it('is a picture that is none, and is left out', async () => {
    const files = { ...hostedThings.files, 'images/icon.png': Buffer.from('<svg onload="alert(1)"/>') };
    const view = await published({ ...hostedThings, files });
    expect((await refusal(view, { path: '/v3/flat/acme.things/1.0.0/icon' })).code).toBe('not_found');
    const [entry] = leavesIn(await jsonAt(view, '/v3/registration/acme.things/index.json'));
    expect(entry).not.toHaveProperty('iconUrl');
  });
});

describe('what is found', () => {
  const typed = (name: string) => `    <packageTypes>\n      <packageType name="${name}" />\n    </packageTypes>\n`;
  const feed: readonly PackageFacts[] = [
    { id: 'Acme.Tools.Core', version: '1.0.0' },
    { id: 'Other', version: '1.0.0', metadata: '    <tags>acme.tools sql</tags>\n' },
    { id: 'My.Acme.Tools', version: '1.0.0' },
    { id: 'Acme.Tools', version: '1.0.0' },
    { id: 'Acme.Tools', version: '2.0.0-beta' },
    { id: 'Acme.Cli', version: '1.0.0-rc.1', metadata: typed('DotnetTool') },
  ];

  it.each([
    ['q=acme.tools', ['Acme.Tools', 'Acme.Tools.Core', 'My.Acme.Tools', 'Other']],
    ['q=ACME.TOOLS&take=2', ['Acme.Tools', 'Acme.Tools.Core']],
    ['q=acme.tools&skip=2', ['My.Acme.Tools', 'Other']],
    ['q=packageid:acme.tools', ['Acme.Tools']],
    ['q=id:acme.tools', ['Acme.Tools', 'Acme.Tools.Core', 'My.Acme.Tools']],
    ['q=tags:sql', ['Other']],
    ['q=acme sql', ['Other']],
    ['q="for tests"', ['Acme.Tools', 'Acme.Tools.Core', 'My.Acme.Tools', 'Other']],
    ['q=author:alice version:1.0.0 my', ['My.Acme.Tools']],
    ['q=nothing', []],
    ['q=cli&prerelease=true', []],
    ['q=cli&prerelease=true&semVerLevel=2.0.0', ['Acme.Cli']],
    ['q=&prerelease=true&semVerLevel=2.0.0&packageType=dotnettool', ['Acme.Cli']],
    ['q=&packageType=Dependency&take=1', ['Acme.Tools']],
  ])('by %s', async (question, ids) => {
    const view = await published(...feed);
    const { data } = await jsonAt(view, `/v3/search?${question.replaceAll(' ', '%20')}`);
    expect((data as Json[]).map(({ id }) => id)).toEqual(ids);
  });

  it('is told of a package with its versions and its highest one, as far as the question goes', async () => {
    const view = await published(...feed);
    const first = async (more: string) => ((await jsonAt(view, `/v3/search?q=acme.tools${more}`)).data as Json[])[0];
    expect(await first('')).toMatchObject({ version: '1.0.0', versions: [{ version: '1.0.0' }] });
    const all = await first('&prerelease=true');
    expect(all).toMatchObject({ version: '2.0.0-beta', versions: [{ version: '1.0.0' }, { version: '2.0.0-beta' }] });
    expect(all).not.toHaveProperty('hosted');
    expect(all).not.toHaveProperty('packageHash');
    expect(await textAt(view, "/v2/Search()/$count?searchTerm='acme.tools'")).toBe('4');
  });

  it('begins with what is typed, when ids are completed', async () => {
    const view = await published(...feed);
    expect(await jsonAt(view, '/v3/autocomplete?q=acme')).toEqual({
      totalHits: 3,
      data: ['Acme.Tools', 'Acme.Tools.Core', 'My.Acme.Tools'],
    });
  });
});

describe('beside an upstream', () => {
  const origin = { url: 'https://api.upstream.example/v3/index.json', path: 'v3/index.json', headers: {} };
  const render = (type: typeof serviceIndex | typeof signatures): Uint8Array =>
    type.render?.({ kind: 'document', type, path: origin.path }, fakeView())?.bytes ?? Buffer.alloc(0);
  const typesIn = (doc: Parameters<typeof serviceIndex.encode>[0]): Map<unknown, unknown> => {
    const { resources } = JSON.parse(
      Buffer.from(serviceIndex.encode(doc, '', 'https://larder.example/acme/nuget')?.bytes ?? []).toString(),
    ) as { resources: Json[] };
    return new Map(resources.map((one) => [one['@type'], one['@id']]));
  };

  it('says where to publish, only where something can be published', () => {
    const upstream = serviceIndex.decode(bytesOf(serviceIndexJson), origin);
    expect(typesIn(upstream).has('PackagePublish/2.0.0')).toBe(false);
    const hosted = serviceIndex.decode(render(serviceIndex), origin);
    for (const doc of [
      hosted,
      serviceIndex.merge?.([upstream, hosted], origin.path),
      serviceIndex.merge?.([hosted, upstream], origin.path),
    ]) {
      const types = typesIn(doc ?? upstream);
      expect(types.get('PackagePublish/2.0.0')).toBe('https://larder.example/acme/nuget/v3/package');
      expect(types.get('SymbolPackagePublish/4.9.0')).toBe('https://larder.example/acme/nuget/v3/symbolpackage');
    }
    expect(typesIn(hosted).has('VulnerabilityInfo/6.7.0')).toBe(false);
    expect(typesIn(hosted).has('RepositorySignatures/5.0.0')).toBe(false);
  });

  it('not everything is signed, whatever upstream signs', () => {
    const upstream = signatures.decode(bytesOf(signaturesJson), origin);
    expect(upstream.all).toBe(true);
    const merged = signatures.merge?.([upstream, signatures.decode(render(signatures), origin)], origin.path);
    expect(merged?.all).toBe(false);
    expect(merged?.certificates).toEqual(upstream.certificates);
  });

  it('a package that is hosted is found as it is here, and never with upstream’s versions', async () => {
    const view = await published({ id: 'Acme.Things', version: '0.1.0' });
    const want = {
      kind: 'document',
      type: search,
      path: `v3/search/${Buffer.from('["",true,true,32,{}]').toString('base64url')}`,
    } as const;
    const hosted = search.decode(search.render?.(want, view)?.bytes ?? Buffer.alloc(0), { ...origin, path: want.path });
    const upstream = search.decode(bytesOf(searchJson), origin);
    for (const docs of [
      [hosted, upstream],
      [upstream, hosted],
    ]) {
      const found = search.merge?.(docs, want.path).found.find(({ id }) => id === 'acme.things');
      expect(found?.versions).toEqual([{ version: '0.1.0', downloads: 0 }]);
      expect(found?.json.version).toBe('0.1.0');
    }
  });

  it('a version has the date and the bytes of its publication', async () => {
    const view = await published(tools);
    const want = {
      kind: 'document',
      type: registration,
      path: 'v3/registration/acme.tools/index.json',
      name: 'acme.tools',
    } as const;
    const bytes = registration.render?.(want, view)?.bytes ?? Buffer.alloc(0);
    const links = [...(registration.links?.(registration.decode(bytes, { ...origin, path: want.path }), origin) ?? [])];
    expect(links).toEqual([
      { path: 'v3/flat/acme.tools/1.2.0/acme.tools.1.2.0.nupkg', version: '1.2.0', publishedAt: firstMoment },
    ]);
  });
});

it('keeps a picture as what it is, not as what it is called', async () => {
  const files = { ...hostedThings.files, 'images/icon.png': Buffer.from('ffd8ffe000104a464946', 'hex') };
  const { body } = await ask(format, await published({ ...hostedThings, files }), {
    path: '/v3/flat/acme.things/1.0.0/icon',
  });
  expect(body.headers?.['content-type']).toBe('image/jpeg');
  const { body: usual } = await ask(format, await published(hostedThings), { path: '/v3/flat/acme.things/1.0.0/icon' });
  expect([usual.headers?.['content-type'], usual.bytes]).toEqual(['image/png', png]);
});
