/** Lockfiles of npm, pnpm, Yarn and Bun: the same project, locked by each of them, then what is peculiar to one. */
import { describe, expect, it } from 'vitest';
import { fixture, read, readFixture, sha512, skippedIn, sri, wantedIn } from './support.ts';

const packages = [
  '@sindresorhus/is 4.6.0',
  'anymatch 3.1.3',
  'binary-extensions 2.3.0',
  'braces 3.0.3',
  'chokidar 3.6.0',
  'fill-range 7.1.1',
  'fsevents 2.3.3 optional',
  'glob-parent 5.1.2',
  'is-binary-path 2.1.0',
  'is-extglob 2.1.1',
  'is-glob 4.0.3',
  'is-number 7.0.0',
  'left-pad 1.3.0',
  'ms 2.0.0',
  'ms 2.1.3',
  'normalize-path 3.0.0',
  'picomatch 2.3.2',
  'readdirp 3.6.0',
  'to-regex-range 5.0.1',
];

describe('a project with an alias, an optional dependency and a folder beside it', () => {
  it.each([
    ['npm 10, version 1', 'npm-10-v1/package-lock.json', 'package-lock'],
    ['npm 10, version 2', 'npm-10-v2/package-lock.json', 'package-lock'],
    ['npm 11, version 3', 'npm-11/package-lock.json', 'package-lock'],
    ['pnpm 12', 'pnpm-12/pnpm-lock.yaml', 'pnpm-lock'],
    ['Bun 1', 'bun-1/bun.lock', 'bun-lock'],
  ])('is read the same from the lockfile of %s', (_name, path, kind) => {
    const found = readFixture(path);
    expect(found.kind).toBe(kind);
    expect(wantedIn(found).toSorted()).toEqual(packages);
    expect(found.wanted.every(({ format }) => format === 'npm')).toBe(true);
    expect(
      found.wanted.every(({ digests }) => digests.length === 1 && /^sha512:[0-9a-f]{128}$/.test(digests[0] ?? '')),
    ).toBe(true);
    const leftPad = found.wanted.find(({ name }) => name === 'left-pad');
    expect(leftPad?.digests[0]).toMatch(/^sha512:5c8e4c3f354d0298c0ca1433/);
    expect(found.skipped.map(({ what }) => what.split(/[@ ]/)[0])).toEqual(['inner']);
  });

  it('has everything but the flag in the lockfile of Yarn 1, which does not know it', () => {
    const found = readFixture('yarn-1/yarn.lock');
    expect(found.kind).toBe('yarn-lock');
    expect(wantedIn(found).toSorted()).toEqual(packages.map((one) => one.replace(' optional', '')));
    expect(found.wanted.find(({ name }) => name === 'left-pad')).toEqual({
      format: 'npm',
      name: 'left-pad',
      version: '1.3.0',
      url: 'https://registry.example/left-pad/-/left-pad-1.3.0.tgz',
      digests: [expect.stringMatching(/^sha512:5c8e4c3f354d0298c0ca1433/)],
      from: 'yarn.lock: lp@npm:left-pad@1.3.0',
    });
    expect(skippedIn(found)).toEqual({ 'inner 0.1.0': 'it is a file or folder beside the project' });
  });

  it('has no digests in the lockfile of Yarn 4, whose checksums are of archives of its own', () => {
    const found = readFixture('yarn-4/yarn.lock');
    expect(found.kind).toBe('yarn-berry-lock');
    expect(wantedIn(found)).toEqual(expect.arrayContaining(packages));
    expect(found.wanted.filter(({ digests }) => digests.length > 0)).toEqual([]);
    expect(found.notes.join()).toContain('archives that Yarn makes itself');
    expect(Object.values(skippedIn(found))).toEqual([
      'it is made by a patch of the project from a package that is listed by itself',
      'it is a file or folder beside the project',
    ]);
  });

  it('says where everything stands', () => {
    const { wanted, notes } = readFixture('npm-10-v2/package-lock.json');
    expect(wanted.find(({ version }) => version === '2.0.0')).toEqual({
      format: 'npm',
      name: 'ms',
      version: '2.0.0',
      url: 'https://registry.example/ms/-/ms-2.0.0.tgz',
      digests: [expect.stringMatching(/^sha512:/)],
      from: 'package-lock.json: inner/node_modules/ms',
    });
    expect(notes).toEqual([]);
    expect(readFixture('npm-11/package-lock.json').notes.join()).toContain('no download address');
  });
});

function packageLock(packages: Readonly<Record<string, unknown>>, lockfileVersion = 3): string {
  return JSON.stringify({ name: 'app', lockfileVersion, packages: { '': { name: 'app' }, ...packages } });
}

describe('package-lock.json', () => {
  it('takes all digests of the strongest algorithm', () => {
    const integrity = `sha1-${Buffer.alloc(20).toString('base64')} ${sri} sha512-${Buffer.alloc(64, 255).toString('base64')}`;
    const { wanted } = read('package-lock.json', packageLock({ 'node_modules/a': { version: '1.0.0', integrity } }));
    expect(wanted[0]?.digests).toEqual([sha512, `sha512:${'ff'.repeat(64)}`]);
  });

  it('skips what no registry has, with the reason', () => {
    const found = read(
      'npm-shrinkwrap.json',
      packageLock({
        'packages/web': { version: '1.0.0' },
        'node_modules/web': { resolved: 'packages/web', link: true },
        'node_modules/a': { version: '1.0.0', resolved: 'git+ssh://git@github.com/acme/a.git#abc' },
        'node_modules/b': { version: '1.0.0', resolved: 'file:../b.tgz', integrity: sri },
        'node_modules/c/node_modules/d': { version: '2.0.0', inBundle: true },
        'node_modules/e': { optional: true },
      }),
    );
    expect(found.wanted).toEqual([]);
    expect(skippedIn(found)).toEqual({
      web: 'it is a folder of the project',
      'a 1.0.0': 'it comes from a git repository',
      'b 1.0.0': 'it is a file or folder beside the project',
      'd 2.0.0': 'it comes inside the package that needs it',
      e: 'it has no version: npm kept its place for another platform',
    });
  });

  it('wants a package once, and needs it when one of its uses does', () => {
    const found = read(
      'package-lock.json',
      packageLock({
        'node_modules/a': { version: '1.0.0', optional: true },
        'node_modules/b/node_modules/a': { version: '1.0.0' },
        'node_modules/c/node_modules/a': { version: '1.0.0', optional: true },
      }),
    );
    expect(found.wanted).toEqual([
      { format: 'npm', name: 'a', version: '1.0.0', digests: [], from: 'package-lock.json: node_modules/a' },
    ]);
  });

  it('shows no password of an address, and keeps no address that is none of the web', () => {
    const found = read(
      'package-lock.json',
      packageLock({
        'node_modules/a': { version: '1.0.0', resolved: 'https://bob:secret@registry.example/a/-/a-1.0.0.tgz#x' },
        'node_modules/b': { version: '1.0.0', resolved: 'ftp://registry.example/b/-/b-1.0.0.tgz' },
      }),
    );
    expect(found.wanted.map(({ url }) => url)).toEqual(['https://registry.example/a/-/a-1.0.0.tgz', undefined]);
  });

  it('takes an archive of a code host for a file of that site', () => {
    const resolved = 'https://codeload.github.com/acme/a/tar.gz/abc';
    const { wanted } = read('package-lock.json', packageLock({ 'node_modules/a': { version: '1.0.0', resolved } }));
    expect(wanted).toMatchObject([{ format: 'generic', name: 'acme/a/tar.gz/abc', url: resolved }]);
  });

  it('reads dependencies within dependencies of version 1', () => {
    const dependencies = {
      a: {
        version: '1.0.0',
        integrity: sri,
        dependencies: { b: { version: '2.0.0', bundled: true }, c: { version: '3.0.0' } },
      },
      d: { version: 'git+https://git.example/d.git#abc' },
      e: { version: 'https://files.example/e.tgz', integrity: sri },
    };
    const found = read('package-lock.json', JSON.stringify({ lockfileVersion: 1, dependencies }));
    expect(wantedIn(found).toSorted()).toEqual(['a 1.0.0', 'c 3.0.0', 'e.tgz']);
    expect(found.wanted.find(({ name }) => name === 'c')?.from).toBe('package-lock.json: a > c');
    expect(Object.keys(skippedIn(found)).toSorted()).toEqual(['b 2.0.0', 'd git+https://git.example/d.git#abc']);
  });

  it.each([
    ['a later version', packageLock({}, 4), 'none of 1, 2 and 3'],
    ['nothing but a version', '{"lockfileVersion":3}', 'has no "packages"'],
    ['a package that is a list', packageLock({ 'node_modules/a': [] }), '"node_modules/a" of packages is no object'],
    ['half a file', packageLock({}).slice(0, 40), 'not JSON, or was cut'],
    ['marks of a conflict', '<<<<<<< ours\n{}\n=======\n{}\n>>>>>>> theirs\n', 'merge conflict'],
  ])('says what is wrong with %s', (_name, text, message) => {
    expect(() => read('package-lock.json', text)).toThrow(message);
  });
});

describe('pnpm-lock.yaml', () => {
  it.each([
    ['5.4', '/@acme/web/1.0.0_react@18.2.0', '/left-pad/1.3.0'],
    ['5.3', 'registry.example/@acme/web/1.0.0', '/left-pad/1.3.0_abc+def'],
    ["'6.0'", '/@acme/web@1.0.0(react@18.2.0)', '/left-pad@1.3.0'],
    ["'6.1'", 'registry.example/@acme/web@1.0.0(react@18.2.0)', '/left-pad@1.3.0'],
    ["'9.0'", "'@acme/web@1.0.0'", 'left-pad@1.3.0'],
  ])('of version %s says names and versions in its keys', (version, scoped, plain) => {
    const rows = [scoped, plain].map((key) => `  ${key}:\n    resolution: {integrity: ${sri}}\n`);
    const found = read('pnpm-lock.yaml', `lockfileVersion: ${version}\npackages:\n${rows.join('')}`);
    expect(wantedIn(found)).toEqual(['@acme/web 1.0.0', 'left-pad 1.3.0']);
    expect(found.wanted.map(({ digests }) => digests)).toEqual([[sha512], [sha512]]);
  });

  it('is read with all of its documents', () => {
    const one = (name: string): string =>
      `lockfileVersion: '9.0'\npackages:\n  ${name}@1.0.0:\n    resolution: {integrity: ${sri}}\n`;
    expect(wantedIn(read('pnpm-lock.yaml', `---\n${one('pnpm')}---\n${one('a')}`))).toEqual(['pnpm 1.0.0', 'a 1.0.0']);
  });

  it('says in version 9 with the snapshots what is optional, and only where all of them are', () => {
    const text = `lockfileVersion: '9.0'
packages:
  a@1.0.0: {resolution: {integrity: ${sri}}}
  b@1.0.0: {resolution: {integrity: ${sri}}}
snapshots:
  a@1.0.0: {optional: true}
  b@1.0.0(x@1.0.0): {optional: true}
  b@1.0.0(x@2.0.0): {}
`;
    expect(wantedIn(read('pnpm-lock.yaml', text))).toEqual(['a 1.0.0 optional', 'b 1.0.0']);
  });

  it('skips what no registry has, and takes archives of other sites by their address', () => {
    const text = `lockfileVersion: '9.0'
packages:
  a@https://codeload.github.com/acme/a/tar.gz/abc:
    resolution: {tarball: https://codeload.github.com/acme/a/tar.gz/abc}
    version: 1.0.0
  b@git+https://git.example/b.git#abc:
    resolution: {commit: abc, repo: https://git.example/b.git, type: git}
    version: 1.0.0
  node@runtime:22.0.0:
    resolution: {type: variations, variants: []}
  d@1.0.0:
    resolution: {integrity: ${sri}, tarball: https://registry.example/download/d/1.0.0/d.tgz}
`;
    const found = read('pnpm-lock.yaml', text);
    expect(found.wanted.map(({ format, name, url }) => [format, name, url])).toEqual([
      ['generic', 'acme/a/tar.gz/abc', 'https://codeload.github.com/acme/a/tar.gz/abc'],
      ['npm', 'd', 'https://registry.example/download/d/1.0.0/d.tgz'],
    ]);
    expect(Object.values(skippedIn(found))).toEqual([
      'it comes from a git repository',
      'it is a runtime, which the package manager downloads from its own site',
    ]);
  });

  it.each([
    [
      'an alias of itself',
      "lockfileVersion: '9.0'\npackages: &a\n  a@1.0.0: { resolution: { integrity: *a } }\n",
      'is no text',
    ],
    ['a tag', 'lockfileVersion: 5.4\npackages: !js/function {}\n', 'unknown tag'],
    ['a version from before', 'lockfileVersion: 4\n', 'none of 5, 6 and 9'],
    ['nothing', '', 'it is empty'],
  ])('is refused with %s', (_name, text, message) => {
    expect(() => read('pnpm-lock.yaml', text)).toThrow(message);
  });
});

describe('yarn.lock', () => {
  const first = '# THIS IS AN AUTOGENERATED FILE. DO NOT EDIT THIS FILE DIRECTLY.\n# yarn lockfile v1\n\n\n';

  it('has a sha1 behind the address where Yarn was older than its integrity', () => {
    const url = 'https://registry.example/a/-/a-1.0.0.tgz';
    const sha1 = 'ab'.repeat(20);
    const { wanted } = read('yarn.lock', `${first}a@^1.0.0:\n  version "1.0.0"\n  resolved "${url}#${sha1}"\n`);
    expect(wanted).toMatchObject([{ name: 'a', url, digests: [`sha1:${sha1}`] }]);
  });

  it('takes an archive of another site by its address, and skips repositories', () => {
    const found = read(
      'yarn.lock',
      `${first}"a@https://files.example/a.tgz":\n  version "1.0.0"\n  resolved "https://files.example/a.tgz#${'ab'.repeat(20)}"\n\n"b@git+ssh://git@git.example/b.git":\n  version "1.0.0"\n  resolved "git+ssh://git@git.example/b.git#abc"\n`,
    );
    expect(found.wanted).toMatchObject([{ format: 'generic', name: 'a.tgz', url: 'https://files.example/a.tgz' }]);
    expect(Object.values(skippedIn(found))).toEqual(['it comes from a git repository']);
  });

  it('of later Yarns may have the address of an odd registry, and what comes from elsewhere', () => {
    const text = `__metadata:
  version: 8

"a@npm:^1.0.0":
  version: 1.0.0
  resolution: "a@npm:1.0.0::__archiveUrl=https%3A%2F%2Fregistry.example%2Fdownload%2Fa%2F1.0.0%2Fabc"

"app@workspace:.":
  version: 0.0.0-use.local
  resolution: "app@workspace:."

"web@workspace:packages/web":
  version: 0.0.0-use.local
  resolution: "web@workspace:packages/web"
`;
    const found = read('yarn.lock', text);
    expect(found.wanted).toMatchObject([
      { name: 'a', version: '1.0.0', url: 'https://registry.example/download/a/1.0.0/abc' },
    ]);
    expect(skippedIn(found)).toEqual({ 'web@workspace:packages/web': 'it is a folder of the project' });
  });

  it('of neither Yarn is refused', () => {
    expect(() => read('yarn.lock', 'a@^1:\n  version "1.0.0"\n')).toThrow('neither the first lines of Yarn 1 nor');
  });
});

describe('bun.lock', () => {
  it('may have commas at the ends, addresses and packages from elsewhere', () => {
    const found = read(
      'bun.lock',
      `{ "lockfileVersion": 1, "workspaces": { "": {} }, "packages": {
        "a": ["a@1.0.0", "https://registry.example/a/-/a-1.0.0.tgz", {}, "${sri}"],
        "b": ["b@github:acme/b#abc", {}, "acme-b-abc"],
        "c": ["c@https://files.example/c.tgz", {}],
        "web": ["web@workspace:packages/web"],
        "d": ["d@1.0.0", "", { "bundled": true }, "${sri}"],
      }, }`,
    );
    expect(found.wanted.map(({ format, name, url, digests }) => [format, name, url, digests.length])).toEqual([
      ['npm', 'a', 'https://registry.example/a/-/a-1.0.0.tgz', 1],
      ['generic', 'c.tgz', 'https://files.example/c.tgz', 0],
    ]);
    expect(Object.keys(skippedIn(found))).toEqual(['b@github:acme/b#abc', 'web@workspace:packages/web', 'd@1.0.0']);
  });

  it('is asked for where the binary one is given', () => {
    expect(() => read('bun.lockb', '\u0000')).toThrow('run `bun install --save-text-lockfile`');
  });
});

it('every lockfile of a real program is recognised without its name', () => {
  for (const [path, kind] of [
    ['npm-11/package-lock.json', 'package-lock'],
    ['pnpm-12/pnpm-lock.yaml', 'pnpm-lock'],
    ['yarn-1/yarn.lock', 'yarn-lock'],
    ['yarn-4/yarn.lock', 'yarn-berry-lock'],
    ['bun-1/bun.lock', 'bun-lock'],
  ] as const) {
    expect(read('some-file', fixture(path).toString()).kind).toBe(kind);
  }
});
