/** Bills of materials, package URLs, and the list of what was missing. */
import { describe, expect, it } from 'vitest';
import { otherSha256, read, sha256, skippedIn } from './support.ts';

const digest = `sha256:${sha256}`;

describe('package URLs', () => {
  it.each([
    ['pkg:npm/%40acme/web@1.0.0', { format: 'npm', name: '@acme/web', version: '1.0.0' }],
    ['pkg:npm/left-pad', { format: 'npm', name: 'left-pad' }],
    ['pkg:pypi/Jinja2@3.1.6', { format: 'pypi', name: 'jinja2', version: '3.1.6' }],
    [
      'pkg:gem/nokogiri@1.16.2?platform=java',
      { format: 'rubygems', name: 'nokogiri', version: '1.16.2', platform: 'java', file: 'nokogiri-1.16.2-java.gem' },
    ],
    ['pkg:nuget/Newtonsoft.Json@13.0.3', { format: 'nuget', name: 'Newtonsoft.Json', version: '13.0.3' }],
    ['pkg:maven/org.example/lib@1.0', { format: 'maven', name: 'org.example:lib', version: '1.0' }],
    [
      'pkg:maven/org.example/lib@1.0?type=zip&classifier=dist&repository_url=https://maven.example/releases',
      {
        format: 'maven',
        name: 'org.example:lib',
        version: '1.0',
        file: 'lib-1.0-dist.zip',
        registry: 'https://maven.example/releases',
      },
    ],
    [
      'pkg:docker/alpine@3.20?platform=linux/arm64',
      { format: 'oci', name: 'library/alpine', version: '3.20', registry: 'docker.io', platform: 'linux/arm64' },
    ],
    [
      'pkg:docker/acme/web@1.0?repository_url=ghcr.io',
      { format: 'oci', name: 'acme/web', version: '1.0', registry: 'ghcr.io' },
    ],
    [
      `pkg:oci/web@sha256%3A${sha256}?repository_url=ghcr.io/acme/web&tag=1.0&arch=amd64`,
      {
        format: 'oci',
        name: 'acme/web',
        version: '1.0',
        registry: 'ghcr.io',
        platform: 'linux/amd64',
        digests: [digest],
      },
    ],
    [
      `pkg:generic/tool@1.0?download_url=https://files.example/x/tool.tgz&checksum=sha1:${'ab'.repeat(20)},${digest}`,
      { format: 'generic', name: 'x/tool.tgz', url: 'https://files.example/x/tool.tgz', digests: [digest] },
    ],
  ])('read %s', (text, wanted) => {
    const found = read('purls.txt', `${text}\n`);
    expect(found.skipped).toEqual([]);
    expect(found.wanted).toEqual([{ digests: [], from: 'purls.txt: line 1', ...wanted }]);
  });

  it('in a list are recognised without its name; what has no repository here is skipped', () => {
    const found = read('list', '# ours\n\npkg:npm/a@1.0.0\npkg:cargo/serde@1.0.0\npkg:generic/x\npkg:\n');
    expect(found.kind).toBe('package-url-list');
    expect(found.wanted.map(({ name }) => name)).toEqual(['a']);
    expect(skippedIn(found)).toEqual({
      'pkg:cargo/serde@1.0.0': 'there is no kind of repository here for "cargo"',
      'pkg:generic/x': 'it does not say where it lies',
      'pkg:': 'that is no package URL',
    });
  });
});

describe('CycloneDX', () => {
  const document = (components: readonly unknown[]): string =>
    JSON.stringify({ bomFormat: 'CycloneDX', specVersion: '1.6', components });

  it('has components within components, with hashes of their own or of a distribution', () => {
    const url = 'https://registry.example/a/-/a-1.0.0.tgz';
    const jar = {
      type: 'library',
      name: 'lib',
      purl: 'pkg:maven/org.example/lib@1.0?type=jar',
      hashes: [{ alg: 'SHA-256', content: otherSha256 }],
    };
    const signed = {
      type: 'library',
      name: 'c',
      scope: 'optional',
      purl: 'pkg:nuget/c@1.0.0',
      hashes: [{ alg: 'SHA-512', content: 'ab'.repeat(64) }],
    };
    const found = read(
      'bom.json',
      document([
        {
          type: 'library',
          name: 'a',
          'bom-ref': 'a@1',
          purl: 'pkg:npm/a@1.0.0',
          hashes: [{ alg: 'SHA-1', content: 'ab'.repeat(20) }],
          externalReferences: [
            { type: 'website', url: 'https://a.example' },
            { type: 'distribution', url, hashes: [{ alg: 'SHA-256', content: sha256 }] },
          ],
          components: [jar],
        },
        signed,
        { type: 'library', name: 'd' },
        { type: 'file', name: 'e' },
      ]),
    );
    expect(found.kind).toBe('cyclonedx');
    expect(found.wanted).toEqual([
      { format: 'npm', name: 'a', version: '1.0.0', url, digests: [digest], from: 'bom.json: a@1' },
      {
        format: 'maven',
        name: 'org.example:lib',
        version: '1.0',
        file: 'lib-1.0.jar',
        digests: [`sha256:${otherSha256}`],
        from: 'bom.json: lib',
      },
      { format: 'nuget', name: 'c', version: '1.0.0', digests: [], optional: true, from: 'bom.json: c' },
    ]);
    expect(skippedIn(found)).toEqual({ d: 'it has no package URL' });
  });

  it('is recognised by what is in it, and asked for as JSON', () => {
    expect(read('sbom', document([])).kind).toBe('cyclonedx');
    expect(() => read('bom.xml', '<bom xmlns="http://cyclonedx.org/schema/bom/1.6"/>')).toThrow('read as JSON');
    expect(() => read('bom.json', '{}')).toThrow('its bomFormat is not CycloneDX');
  });
});

describe('SPDX', () => {
  const document = (spdxVersion: string, packages: readonly unknown[]): string =>
    JSON.stringify({ spdxVersion, packages });

  it('has package URLs among the references of packages', () => {
    const found = read(
      'x.spdx.json',
      document('SPDX-2.3', [
        {
          name: 'a',
          SPDXID: 'SPDXRef-a',
          downloadLocation: 'https://registry.example/a/-/a-1.0.0.tgz',
          checksums: [{ algorithm: 'SHA256', checksumValue: sha256 }],
          externalRefs: [
            { referenceType: 'cpe23Type', referenceLocator: 'cpe:2.3:a' },
            { referenceType: 'purl', referenceLocator: 'pkg:npm/a@1.0.0' },
          ],
        },
        { name: 'b', downloadLocation: 'NOASSERTION' },
      ]),
    );
    expect(found.kind).toBe('spdx');
    expect(found.wanted).toEqual([
      {
        format: 'npm',
        name: 'a',
        version: '1.0.0',
        url: 'https://registry.example/a/-/a-1.0.0.tgz',
        digests: [digest],
        from: 'x.spdx.json: SPDXRef-a',
      },
    ]);
    expect(skippedIn(found)).toEqual({ b: 'it has no package URL' });
  });

  it('of version 3 and as tags is asked for in another form', () => {
    const linked = '{"@context":"https://spdx.org/rdf/3.0.1/spdx-context.jsonld"}';
    expect(() => read('x.json', document('SPDX-3.0', []))).toThrow('not 2.2 or 2.3');
    expect(() => read('x.json', linked)).toThrow('not 2.2 or 2.3');
    expect(() => read('x.spdx', 'SPDXVersion: SPDX-2.3\n')).toThrow('read as JSON');
  });
});

describe('what `larder missing` writes', () => {
  it('is handed back as requests, each once', () => {
    const lines = [
      '# larder missing 1',
      '# since yesterday',
      'acme/npm\t/left-pad\tapplication/json',
      'acme/npm\tleft-pad\tapplication/json',
      'acme/npm\tleft-pad/-/left-pad-1.3.0.tgz?x=%20',
    ];
    const found = read('anything.txt', `${lines.join('\n')}\n`);
    expect(found.kind).toBe('missing');
    expect(found.wanted).toEqual([]);
    expect(found.requests).toEqual([
      { repository: 'acme/npm', path: 'left-pad', accept: 'application/json', from: 'anything.txt: line 3' },
      { repository: 'acme/npm', path: 'left-pad/-/left-pad-1.3.0.tgz?x=%20', from: 'anything.txt: line 5' },
    ]);
  });

  it('loses what nobody could ask for again, and no more', () => {
    const found = read('m', '# larder missing 1\nacme/npm\ta b\nacme/npm\ta\t\u001b[2J\nacme/npm\tc\n');
    expect(found.requests.map(({ path }) => path)).toEqual(['c']);
    expect(found.skipped.map(({ what }) => what)).toEqual(['acme/npm a b', 'acme/npm a']);
  });

  it.each([
    ['a later version', '# larder missing 2\n', 'another version of Larder'],
    ['no repository', '# larder missing 1\nleft-pad\n', 'line 2 is no'],
    ['no path', '# larder missing 1\nacme/npm\t\n', 'line 2 is no'],
  ])('is refused with %s', (_name, text, message) => {
    expect(() => read('missing.txt', text)).toThrow(message);
  });
});
