import { gzipSync } from 'node:zlib';
import { zipSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { parseMetadata } from '../../src/formats/pypi/core-metadata.ts';
import { format } from '../../src/formats/pypi/index.ts';
import { sourceIn } from '../../src/formats/pypi/publish.ts';
import { compareVersions, isPrerelease, isVersion } from '../../src/formats/pypi/version-order.ts';
import { ask, type FakeView, fakeView, type HostedRequest, problemOf, stagedFile } from '../support/hosted-view.ts';
import { type BuiltFile, metadataOf, sourceOf, wheelOf } from '../support/pypi-packages.ts';
import { attestationOf, hexOf, type UploadOptions, uploadOf } from '../support/pypi-uploads.ts';
import { tarArchive } from '../support/tarball.ts';

const made = { name: 'Acme.Lib', version: '1.0', requires: ['other>=1'], requiresPython: '>=3.6' };
const wheel = wheelOf(made);
const source = sourceOf(made);
const jsonType = 'application/vnd.pypi.simple.v1+json';

type Json = Readonly<Record<string, unknown>>;

async function read(view: FakeView, path: string, accept = jsonType): Promise<Json> {
  const { body } = await ask(format, view, { path, headers: { accept } });
  return JSON.parse(Buffer.from(body.bytes).toString()) as Json;
}

const send = (view: FakeView, file: BuiltFile, options?: UploadOptions) => ask(format, view, uploadOf(file, options));

async function filesOf(view: FakeView): Promise<readonly Json[]> {
  return (await read(view, '/simple/acme-lib/')).files as readonly Json[];
}

/** What somebody is told whose upload comes to nothing. */
async function refusal(request: HostedRequest, view = fakeView()): Promise<string> {
  const before = view.changedAt;
  try {
    await ask(format, view, request);
  } catch (error) {
    expect(view.changedAt).toBe(before);
    return `${(error as { code: string }).code}: ${(error as Error).message}`;
  }
  return 'it was taken';
}

/** A wheel with this metadata, under the name of the usual one. */
function wheelSaying(text: string): BuiltFile {
  const metadata = Buffer.from(text);
  return {
    filename: wheel.filename,
    metadata,
    bytes: Buffer.from(zipSync({ 'acme_lib-1.0.dist-info/METADATA': metadata })),
  };
}

describe('an upload', () => {
  it.each(['/', '/legacy', '/legacy/', '/simple', '/simple/'])(
    'goes to %s as well, fields first or last',
    async (path) => {
      for (const fileFirst of [false, true]) {
        const view = fakeView();
        const { body, needed, change } = await send(view, wheel, { path, fileFirst });
        expect(body.status ?? 200).toBe(200);
        expect(needed).toEqual(['publish']);
        expect(change?.name).toBe('acme-lib');
        expect(await filesOf(view)).toHaveLength(1);
      }
    },
  );

  it('is told of in the index with all that clients choose by', async () => {
    const view = fakeView();
    await send(view, wheel);
    await send(view, source, { fields: { attestations: undefined }, signature: '-----BEGIN PGP SIGNATURE-----\n' });
    await send(view, wheelOf({ ...made, version: '1.1rc1' }));
    const page = await read(view, '/simple/acme-lib/');
    expect(page).toMatchObject({ meta: { 'api-version': '1.4' }, name: 'acme-lib', versions: ['1.0', '1.1rc1'] });
    expect((page.files as Json[]).slice(0, 2)).toEqual([
      {
        filename: wheel.filename,
        url: `../../files/acme-lib/${hexOf(wheel.bytes)}/${wheel.filename}`,
        hashes: { sha256: hexOf(wheel.bytes) },
        'requires-python': '>=3.6',
        size: wheel.bytes.length,
        'upload-time': '2026-03-04T05:06:07.000000Z',
        yanked: false,
        'core-metadata': { sha256: hexOf(wheel.metadata) },
      },
      {
        filename: source.filename,
        url: `../../files/acme-lib/${hexOf(source.bytes)}/${source.filename}`,
        hashes: { sha256: hexOf(source.bytes) },
        'requires-python': '>=3.6',
        size: source.bytes.length,
        'upload-time': '2026-03-04T05:06:08.000000Z',
        yanked: false,
        'core-metadata': false,
        'gpg-sig': true,
      },
    ]);
    expect(await read(view, '/simple/')).toMatchObject({ projects: [{ name: 'acme-lib' }] });
    const html = (await ask(format, view, { path: '/simple/acme-lib/' })).body;
    expect(Buffer.from(html.bytes).toString()).toContain(`data-core-metadata="sha256=${hexOf(wheel.metadata)}"`);
  });

  it('is told of as a release, the latest finished one first', async () => {
    const view = fakeView();
    const text = [
      'Metadata-Version: 2.4',
      'Name: acme-lib',
      'Version: 1.0',
      'Summary: All there is',
      'License-Expression: MIT OR Apache-2.0',
      'License-File: LICENSE',
      'License-File: NOTICE',
      'Classifier: Typing :: Typed',
      'Dynamic: Version',
      'Project-URL: Source, https://git.example.com/acme/lib',
      'Requires-Dist: other>=1',
      'Requires-Dist: more',
      'Author: Ada',
      '        and Bob',
      '',
      'Name: not a header any more',
    ].join('\n');
    await send(view, wheelOf({ ...made, version: '0.9' }));
    const { change } = await send(view, wheelSaying(text), {
      fields: { name: 'acme-lib', version: '1.0', comment: 'by hand' },
    });
    await send(view, wheelOf({ ...made, version: '1.1.dev1' }));
    const json = await read(view, '/pypi/acme-lib/json');
    expect(json.info).toMatchObject({
      name: 'acme-lib',
      version: '1.0',
      summary: 'All there is',
      license_expression: 'MIT OR Apache-2.0',
      license_files: ['LICENSE', 'NOTICE'],
      classifiers: ['Typing :: Typed'],
      dynamic: ['Version'],
      requires_dist: ['other>=1', 'more'],
      project_urls: { Source: 'https://git.example.com/acme/lib' },
      author: 'Ada\nand Bob',
    });
    expect(Object.keys(json.releases as object)).toEqual(['0.9', '1.0', '1.1.dev1']);
    expect((json.urls as Json[])[0]).toMatchObject({
      comment_text: 'by hand',
      packagetype: 'bdist_wheel',
      yanked: false,
    });
    expect(change?.records?.[0]?.source).toBe('https://git.example.com/acme/lib');
    expect(await read(view, '/pypi/acme-lib/0.9.0/json')).toMatchObject({ info: { version: '0.9' } });
    expect(await problemOf(read(view, '/pypi/acme-lib/3/json'))).toBe('not_found');
  });

  it('adds to the version that is the same one in another spelling', async () => {
    const view = fakeView();
    await send(view, wheel);
    await send(view, sourceOf({ ...made, version: '1.0.0' }));
    expect((await read(view, '/simple/acme-lib/')).versions).toEqual(['1.0']);
    expect(view.records('acme-lib')).toHaveLength(1);
    expect(await filesOf(view)).toHaveLength(2);
  });

  it('of other bytes under a name that was used is a conflict that clients can skip', async () => {
    const view = fakeView();
    await send(view, wheel);
    const told = await refusal(uploadOf(wheelOf({ ...made, requires: [] })), view);
    expect(told).toMatch(/^conflict: File already exists/);
    expect(told).not.toContain('was ever registered');
  });

  it('takes the place of the one before where the repository lets it', async () => {
    const view = fakeView({ overwrites: true });
    await send(view, wheel, { signature: '-----BEGIN PGP SIGNATURE-----\n' });
    const other = wheelOf({ ...made, requires: [] });
    const { needed } = await send(view, other);
    expect(needed).toContain('delete');
    expect((await filesOf(view)).map(({ hashes }) => hashes)).toEqual([{ sha256: hexOf(other.bytes) }]);
    expect([...view.entries('acme-lib')].filter(({ path }) => path.includes(hexOf(wheel.bytes)))).toEqual([]);
  });

  it('of a name that was deleted is taken with the same bytes only', async () => {
    const view = fakeView();
    await send(view, wheel);
    view.apply({ name: 'acme-lib', removes: ['1.0'], reply: { bytes: Buffer.alloc(0) } });
    expect(await problemOf(read(view, '/simple/acme-lib/'))).toBe('not_found');
    expect([...view.entries('acme-lib')]).toEqual([]);
    expect(await problemOf(send(view, wheelOf({ ...made, requires: [] })))).toBe('conflict');
    await send(view, wheel);
    expect(await filesOf(view)).toHaveLength(1);
  });
});

describe('a version that is yanked', () => {
  const yank = (view: FakeView, facts: Json, yanked = true): void => {
    view.apply({ name: 'acme-lib', records: [{ version: '1.0', facts, yanked }], reply: { bytes: Buffer.alloc(0) } });
  };

  it('is still there, and says so, also for what is added to it', async () => {
    const view = fakeView();
    await send(view, wheel);
    await send(view, wheelOf({ ...made, version: '0.9' }));
    const { facts } = view.record('acme-lib', '1.0') ?? {};
    yank(view, { ...facts, yankedReason: 'broken' });
    await send(view, source);
    expect((await filesOf(view)).map(({ yanked }) => yanked)).toEqual(['broken', 'broken', false]);
    expect(await read(view, '/pypi/acme-lib/json')).toMatchObject({ info: { version: '0.9' } });
    // Files that somebody else's facts do not speak of are listed all the same.
    yank(view, { ...facts }, false);
    expect((await filesOf(view)).map(({ yanked }) => yanked)).toEqual([false, false, false]);
  });

  it('may be so in one of its files only', async () => {
    const view = fakeView();
    await send(view, wheel);
    await send(view, source);
    const facts = view.record('acme-lib', '1.0')?.facts as { files: Record<string, Json> };
    yank(
      view,
      { ...facts, files: { ...facts.files, [source.filename]: { ...facts.files[source.filename], yanked: true } } },
      false,
    );
    expect((await filesOf(view)).map(({ yanked }) => yanked)).toEqual([false, true]);
  });
});

describe('attestations', () => {
  const attested = { fields: { attestations: JSON.stringify([attestationOf(wheel)]) } };
  const provenance = `/provenance/acme-lib/${hexOf(wheel.bytes)}/${wheel.filename}`;

  it.each([
    ['with the file', [attested]],
    ['after it', [{}, attested]],
  ])('that come %s are handed out', async (_name, uploads) => {
    const view = fakeView();
    for (const options of uploads) await send(view, wheel, options);
    expect((await filesOf(view))[0]?.provenance).toMatch(new RegExp(`^http.*${provenance}$`));
    expect(await read(view, provenance)).toEqual({
      version: 1,
      attestation_bundles: [{ publisher: { kind: 'Larder', claims: null }, attestations: [attestationOf(wheel)] }],
    });
  });

  it('that were there stay', async () => {
    const view = fakeView();
    await send(view, wheel, attested);
    const before = view.bytes(provenance.slice(1));
    await send(view, wheel, { fields: { attestations: JSON.stringify([attestationOf(wheel), attestationOf(wheel)]) } });
    expect(view.bytes(provenance.slice(1))).toEqual(before);
  });

  it.each([
    ['no JSON', 'x'],
    ['no list', '{}'],
    ['an empty list', '[]'],
    ['of another version', JSON.stringify([{ ...attestationOf(wheel), version: 2 }])],
    ['without an envelope', JSON.stringify([{ ...attestationOf(wheel), envelope: 1 }])],
    ['about another file', JSON.stringify([attestationOf(source)])],
    ['about the bytes by another name', JSON.stringify([attestationOf({ ...wheel, filename: source.filename })])],
    ['about other bytes', JSON.stringify([attestationOf({ ...source, filename: wheel.filename })])],
    ['too many', JSON.stringify(Array.from({ length: 30 }, () => attestationOf(wheel)))],
  ])('that are %s are refused', async (_name, attestations) => {
    expect(await refusal(uploadOf(wheel, { fields: { attestations } }))).toMatch(/^invalid_package: The attestations/);
  });
});

describe('what is published at an upstream', () => {
  it('is what was published here, with all that it says of itself', async () => {
    const view = fakeView();
    const text = [
      'Metadata-Version: 2.4',
      'Name: Acme.Lib',
      'Version: 1.0',
      'Classifier: Typing :: Typed',
      'Classifier: Topic :: Software Development',
      'Project-URL: Source, https://git.example.com/acme/lib',
      'License-File: LICENSE',
      '',
      'Described\n\nat length\n',
    ].join('\n');
    const described = wheelSaying(text);
    const fields = { name: 'Acme.Lib', version: '1.0', attestations: JSON.stringify([attestationOf(described)]) };
    await send(view, described, { fields });
    await send(view, source, { signature: '-----BEGIN PGP SIGNATURE-----\n' });
    const record = view.record('acme-lib', '1.0');
    if (!record) throw new Error('it was published a moment ago');
    const files = new Map(record.files.map(({ path }) => [path, stagedFile(view.bytes(path) ?? Buffer.alloc(0))]));

    const elsewhere = fakeView();
    const forms: string[] = [];
    for (const { method, path, headers, body, isThere } of format.release?.(record, files) ?? []) {
      const chunks: Uint8Array[] = [];
      for await (const chunk of body) chunks.push(chunk);
      forms.push(Buffer.concat(chunks).toString('latin1'));
      await ask(format, elsewhere, { method, path: `/legacy/${path}`, headers, body: Buffer.concat(chunks) });
      expect([isThere?.(409, ''), isThere?.(400, 'File already exists.'), isThere?.(400, 'Invalid')]).toEqual([
        true,
        true,
        false,
      ]);
    }
    const hashes = (of: readonly Json[]): unknown => of.map(({ filename, hashes }) => ({ filename, hashes }));
    expect(hashes(await filesOf(elsewhere))).toEqual(hashes(await filesOf(view)));
    expect((await read(elsewhere, '/pypi/acme-lib/json')).info).toEqual((await read(view, '/pypi/acme-lib/json')).info);
    const field = (name: string, value: string): string => `name="${name}"\r\n\r\n${value}\r\n`;
    for (const part of [
      field('classifiers', 'Topic :: Software Development'),
      field('project_urls', 'Source, https://git.example.com/acme/lib'),
      field('license_files', 'LICENSE'),
      field('description', 'Described\n\nat length\n'),
      field('pyversion', 'py3'),
    ]) {
      expect(forms[0]).toContain(part);
    }
  });
});

describe('what is refused', () => {
  const broken = Buffer.from(wheel.bytes);
  broken.fill(0, broken.length - 40);
  const named = (name: string, version = '1.0'): BuiltFile => wheelOf({ ...made, name, version });

  it.each<[string, string, HostedRequest]>([
    ['a claim of another digest', 'digest_mismatch', uploadOf(wheel, { fields: { sha256_digest: '0'.repeat(64) } })],
    ['a claim of another old digest', 'digest_mismatch', uploadOf(wheel, { fields: { md5_digest: '0'.repeat(32) } })],
    ['another name in the form', 'invalid_package', uploadOf(wheel, { fields: { name: 'acme' } })],
    ['another version in the form', 'invalid_package', uploadOf(wheel, { fields: { version: '1.1' } })],
    ['no name in the form', 'bad_request', uploadOf(wheel, { fields: { name: undefined } })],
    ['another kind in the form', 'invalid_package', uploadOf(wheel, { fields: { filetype: 'sdist' } })],
    ['another file name', 'invalid_package', uploadOf(wheel, { filename: 'other-1.0-py3-none-any.whl' })],
    [
      'another version in the file name',
      'invalid_package',
      uploadOf(wheel, { filename: 'acme_lib-1.1-py3-none-any.whl' }),
    ],
    [
      'a wheel by the name of a source distribution',
      'invalid_package',
      uploadOf(wheel, { filename: 'acme_lib-1.0.zip', fields: { filetype: 'sdist' } }),
    ],
    ['a kind that nobody installs', 'invalid_package', uploadOf(wheel, { filename: 'acme_lib-1.0.exe' })],
    ['a name with a blank', 'invalid_package', uploadOf(wheel, { filename: 'acme lib-1.0-py3-none-any.whl' })],
    ['metadata of another package', 'invalid_package', uploadOf({ ...named('other'), filename: wheel.filename })],
    ['no metadata', 'invalid_package', uploadOf({ ...wheel, bytes: Buffer.from(zipSync({ a: Buffer.alloc(3) })) })],
    [
      'metadata without a version',
      'invalid_package',
      uploadOf(wheelSaying('Name: acme-lib\n'), { fields: { version: '1.0' } }),
    ],
    ['a version that is none', 'invalid_package', uploadOf(named('acme-lib', 'one'))],
    ['a damaged wheel', 'invalid_package', uploadOf({ ...wheel, bytes: broken })],
    [
      'a source distribution that was cut',
      'invalid_package',
      uploadOf({ ...source, bytes: source.bytes.subarray(0, -20) }),
    ],
    ['a source distribution that is no archive', 'invalid_package', uploadOf({ ...source, bytes: gzipSync('hello') })],
    [
      'a source distribution that is not packed',
      'invalid_package',
      uploadOf({ ...source, bytes: Buffer.from('hello') }),
    ],
    [
      'a source distribution that says twice what it is',
      'invalid_package',
      uploadOf({
        ...source,
        bytes: gzipSync(tarArchive({ 'a/PKG-INFO': source.metadata, 'b/PKG-INFO': source.metadata })),
      }),
    ],
    ['a signature that is none', 'invalid_package', uploadOf(wheel, { signature: 'yes' })],
    ['another action', 'bad_request', uploadOf(wheel, { fields: { ':action': 'submit' } })],
    ['two files', 'bad_request', uploadOf(wheel, { fields: { content: 'more' } })],
    [
      'no form',
      'bad_request',
      { method: 'POST', path: '/legacy/', body: '{}', headers: { 'content-type': 'application/json' } },
    ],
  ])('%s: %s', async (_name, code, request) => {
    expect(await refusal(request)).toMatch(new RegExp(`^${code}: .{20,}`));
  });

  it('is not what is searched for', async () => {
    const request = { method: 'POST', path: '/', body: '<methodCall/>', headers: { 'content-type': 'text/xml' } };
    expect((await ask(format, fakeView(), request)).body.status).toBe(410);
  });
});

describe('metadata', () => {
  it('is read as Python reads it', () => {
    const { name, version, requiresPython, fields } = parseMetadata(
      Buffer.from(
        'Metadata-Version: 2.1\r\nName:  Acme\r\nVersion: 1\r\nversion: 2\r\nRequires-Python: >=3\r\nX-Own: a\r\n\tb\r\nPlatform: any\r\n\r\nName: b\r\n',
      ),
    );
    expect({ name, version, requiresPython }).toEqual({ name: 'Acme', version: '1', requiresPython: '>=3' });
    expect(fields).toMatchObject({ x_own: 'a\nb', platform: ['any'] });
    expect(parseMetadata(metadataOf(made)).fields).toMatchObject({ requires_dist: ['other>=1'] });
  });

  it('has no room for a book', () => {
    const text = `Name: a\nVersion: 1\nLicense: ${'x'.repeat(300_000)}\n`;
    expect(() => parseMetadata(Buffer.from(text))).toThrow('beside the description');
    expect(parseMetadata(Buffer.from(`Name: a\nVersion: 1\nDescription: ${'x'.repeat(300_000)}\n`)).name).toBe('a');
  });

  it.each([
    [
      ['Homepage, https://acme.example.com', 'Source Code, https://git.example.com/a'],
      undefined,
      'https://git.example.com/a',
    ],
    [['Repository, git+https://git.example.com/a'], undefined, 'git+https://git.example.com/a'],
    [['Docs, https://docs.example.com'], 'https://git.example.com/b', 'https://git.example.com/b'],
    [['Source, javascript:alert(1)', 'homepage, https://acme.example.com'], undefined, 'https://acme.example.com/'],
    [[], undefined, undefined],
  ])('names its sources: %j %s', (urls, home, expected) => {
    expect(sourceIn({ project_url: urls, ...(home === undefined ? {} : { home_page: home }) })).toBe(expected);
  });
});

describe('versions', () => {
  /** From PEP 440, “Summary of permitted suffixes and relative ordering”. */
  const ordered = [
    '1.0.dev456',
    '1.0a1',
    '1.0a2.dev456',
    '1.0a12.dev456',
    '1.0a12',
    '1.0b1.dev456',
    '1.0b2',
    '1.0b2.post345.dev456',
    '1.0b2.post345',
    '1.0rc1.dev456',
    '1.0rc1',
    '1.0',
    '1.0+abc.5',
    '1.0+abc.7',
    '1.0+5',
    '1.0.post456.dev34',
    '1.0.post456',
    '1.0.15',
    '1.1.dev1',
    '1.10',
    '1!0.5',
  ];

  it('are in the order of PEP 440', () => {
    const shuffled = ordered.toSorted((a, b) => (hexOf(Buffer.from(a)) < hexOf(Buffer.from(b)) ? -1 : 1));
    expect(shuffled.toSorted(compareVersions)).toEqual(ordered);
    expect(compareVersions('1.0', '1.0.0')).toBe(0);
    expect(compareVersions('nightly', '0.1')).toBeLessThan(0);
  });

  it('are finished or not', () => {
    expect(ordered.filter((version) => !isPrerelease(version))).toEqual([
      '1.0',
      '1.0+abc.5',
      '1.0+abc.7',
      '1.0+5',
      '1.0.post456',
      '1.0.15',
      '1.10',
      '1!0.5',
    ]);
    expect([isVersion('v1.0-1'), isVersion('latest'), isVersion('')]).toEqual([true, false, false]);
  });
});
