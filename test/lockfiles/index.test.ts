/** What holds for every kind: names, limits, and what damaged or hostile files lead to. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Findings } from '../../src/lockfiles/findings.ts';
import { kinds, LockfileError, readLockfile } from '../../src/lockfiles/index.ts';
import { fixture, otherSha256, read, sha256, sri } from './support.ts';

/** A small file of every kind, by the name that it is recognised by. */
const samples: Readonly<Record<string, readonly [fileName: string, text: string]>> = {
  missing: ['missing.txt', '# larder missing 1\nacme/npm\tleft-pad\tapplication/json\nacme/npm\ta/-/a-1.0.0.tgz\n'],
  'yarn-berry-lock': ['yarn.lock', fixture('yarn-4/yarn.lock').toString()],
  'yarn-lock': ['yarn.lock', fixture('yarn-1/yarn.lock').toString()],
  'bun-lock': ['bun.lock', fixture('bun-1/bun.lock').toString()],
  'package-lock': ['package-lock.json', fixture('npm-10-v2/package-lock.json').toString()],
  'pnpm-lock': ['pnpm-lock.yaml', fixture('pnpm-12/pnpm-lock.yaml').toString()],
  'gemfile-lock': [
    'Gemfile.lock',
    `GEM\n  remote: https://gems.example/\n  specs:\n    a (1.0-java)\n      b\n    b (2.0)\n\nDEPENDENCIES\n  a\n\nCHECKSUMS\n  a (1.0-java) sha256=${sha256}\n  b (2.0)\n\nBUNDLED WITH\n  2.6.2\n`,
  ],
  'poetry-lock': ['poetry.lock', fixture('poetry-1/poetry.lock').toString()],
  'pdm-lock': ['pdm.lock', fixture('pdm-2/pdm.lock').toString()],
  'uv-lock': [
    'uv.lock',
    `version = 1\n[[package]]\nname = "a"\nversion = "1.0"\nsource = { registry = "https://pypi.example/simple" }\nwheels = [{ url = "https://files.example/a-1.0-py3-none-any.whl", hash = "sha256:${sha256}" }]\n`,
  ],
  pylock: [
    'pylock.toml',
    `lock-version = "1.0"\n[[packages]]\nname = "a"\nversion = "1.0"\nwheels = [{ url = "https://files.example/a-1.0-py3-none-any.whl", hashes = { sha256 = "${sha256}" } }]\n`,
  ],
  'pipfile-lock': [
    'Pipfile.lock',
    `{"_meta":{"pipfile-spec":6,"sources":[{"name":"p","url":"https://pypi.example/simple"}]},"default":{"a":{"hashes":["sha256:${sha256}"],"index":"p","version":"==1.0"}},"develop":{}}`,
  ],
  'nuget-lock': [
    'packages.lock.json',
    '{"version":1,"dependencies":{"net8.0":{"A.B":{"type":"Direct","resolved":"1.0.0","contentHash":"AAAA"},"c":{"type":"Project"}}}}',
  ],
  'nuget-assets': [
    'project.assets.json',
    '{"version":3,"targets":{},"libraries":{"A/1.0.0":{"type":"package"}},"project":{"frameworks":{"net8.0":{"downloadDependencies":[{"name":"B","version":"[1.0.0, 1.0.0]"}]}}}}',
  ],
  'gradle-lockfile': [
    'gradle.lockfile',
    '# This is a Gradle generated file for dependency locking.\norg.example:lib:1.0=runtimeClasspath\nempty=a\n',
  ],
  'gradle-verification': [
    'gradle/verification-metadata.xml',
    `<?xml version="1.0"?>\n<verification-metadata><components><component group="g" name="a" version="1"><artifact name="a-1.jar"><sha256 value="${sha256}"><also-trust value="${otherSha256}"/></sha256></artifact></component></components></verification-metadata>`,
  ],
  cyclonedx: [
    'bom.json',
    `{"bomFormat":"CycloneDX","components":[{"type":"library","name":"a","purl":"pkg:npm/a@1.0.0","hashes":[{"alg":"SHA-256","content":"${sha256}"}],"components":[{"name":"b","purl":"pkg:pypi/b@1"}]}]}`,
  ],
  spdx: [
    'a.spdx.json',
    `{"spdxVersion":"SPDX-2.3","packages":[{"name":"a","SPDXID":"x","downloadLocation":"NONE","checksums":[{"algorithm":"SHA256","checksumValue":"${sha256}"}],"externalRefs":[{"referenceType":"purl","referenceLocator":"pkg:gem/a@1.0"}]}]}`,
  ],
  dockerfile: [
    'Dockerfile',
    `# syntax=docker/dockerfile:1\nARG V=3\nFROM --platform=linux/arm64 alpine:\${V:-3} AS a\nCOPY --from=redis:7 /a /b\nRUN --mount=type=bind,from=busybox:1 x <<X\ny\nX\n`,
  ],
  compose: [
    'compose.yaml',
    `x: &x { platform: linux/amd64 }\nservices:\n  a:\n    <<: *x\n    image: redis:\${V:-7}\n  b:\n    build: { dockerfile_inline: "FROM a:1" }\n`,
  ],
  kubernetes: [
    'a.yaml',
    'apiVersion: v1\nkind: Pod\nmetadata: { name: a }\nspec:\n  containers:\n    - name: a\n      image: redis:7\n---\napiVersion: v1\nkind: X\nspec: { image: b:1 }\n',
  ],
  'package-url-list': ['purls.txt', 'pkg:npm/%40acme/web@1.0.0\npkg:maven/g/a@1?type=zip # why\n'],
  requirements: [
    'requirements.txt',
    `-i https://pypi.example/simple\na[x]==1.0 ; python_version >= "3" \\\n  --hash=sha256:${sha256} \\\n  --hash=sha256:${otherSha256}\nb @ https://files.example/b-1-py3-none-any.whl#sha256=${sha256}\n-r x.txt\nc>1\n`,
  ],
  'image-list': ['images.txt', `alpine:3\n--platform=linux/arm64 ghcr.io/acme/web@sha256:${sha256}\n`],
};

/** These say what to do instead, whatever is in them. */
const instead = ['bun-lockb', 'pom'];

/** The same numbers on every run. */
function* randoms(seed: number): Generator<number, never> {
  let state = seed;
  for (;;) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    yield state / 2 ** 32;
  }
}

const pieces = [
  '',
  '\n',
  '\0',
  '"',
  "'",
  '{',
  '}',
  '[',
  ']',
  ': ',
  ',',
  '@',
  '&a ',
  '*a',
  '!!x ',
  '<',
  '>',
  '$',
  '\\',
  '%ff',
  '\u2028',
  '\u001b[2J',
  'null',
  '-1',
  '1e999',
  '../../etc/passwd',
  '__proto__',
  'constructor',
  'toString',
  '\t',
  '---\n',
  '\r',
];

/** Bytes taken out, doubled, moved, flipped, cut off, and pieces that parsers trip over put in. */
function mutate(bytes: Uint8Array, next: () => number): Uint8Array {
  const at = (): number => Math.floor(next() * bytes.byteLength);
  const [from, to] = [at(), at()].toSorted((a, b) => a - b) as [number, number];
  const [start, middle, end] = [bytes.subarray(0, from), bytes.subarray(from, to), bytes.subarray(to)];
  const piece = Buffer.from(pieces[Math.floor(next() * pieces.length)] ?? '');
  switch (Math.floor(next() * 7)) {
    case 0:
      return Buffer.concat([start, end]);
    case 1:
      return Buffer.concat([start, middle, middle, end]);
    case 2:
      return start;
    case 3: {
      const flipped = Buffer.from(bytes);
      flipped[from] = Math.floor(next() * 256);
      return flipped;
    }
    case 4:
      return Buffer.concat([start, piece, middle, end]);
    case 5:
      return Buffer.concat([
        start,
        piece,
        bytes.subarray(Math.min(from + 1 + Math.floor(next() * 12), bytes.byteLength)),
      ]);
    default:
      return Buffer.concat([end, middle, start]);
  }
}

/** Fails unless the file is read, or refused as it should be; says whether it was read. */
function survives(fileName: string, bytes: Uint8Array): boolean {
  try {
    const found = readLockfile(fileName, bytes);
    for (const { name, version = '', url = 'https://a', file = '', platform = '', from } of found.wanted) {
      const shown = [name, version, file, platform, from].join('');
      // biome-ignore lint/suspicious/noControlCharactersInRegex: nothing that a terminal would obey.
      if (/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/.test(shown))
        throw new Error(`unprintable: ${JSON.stringify(shown)}`);
      if (/(?:^|\/)\.\.?(?:\/|$)/.test(name) || /[/\\]/.test(file))
        throw new Error(`leaves its place: ${name} ${file}`);
      if (!/^https?:/i.test(url)) throw new Error(`no web address: ${url}`);
    }
    return true;
  } catch (error) {
    if (!(error instanceof LockfileError)) throw error;
    const isMistakeOfOurs = error.cause instanceof TypeError && !/encoded data/.test(error.message);
    if (isMistakeOfOurs || error.cause instanceof ReferenceError) throw error.cause;
    expect(error.message.startsWith(`${fileName}: `) && !error.message.includes('\n')).toBe(true);
    return false;
  }
}

describe('kinds', () => {
  it('are listed by the names that they are recognised by', () => {
    expect(kinds.map(({ id }) => id).toSorted()).toEqual([...Object.keys(samples), ...instead].toSorted());
    expect(kinds.filter(({ names }) => names.length === 0)).toEqual([]);
  });

  it.each(Object.entries(samples))('%s is recognised by its name', (kind, [fileName, text]) => {
    const found = read(fileName, text);
    expect(found.kind).toBe(kind);
    expect(found.wanted.length + found.requests.length).toBeGreaterThan(0);
    expect(found.wanted.every(({ from }) => from.startsWith(`${fileName}: `))).toBe(true);
  });

  it.each(Object.entries(samples))('%s is recognised by its contents', (kind, [, text]) => {
    // uv, PDM and Poetry: what they write begins with a line that the samples of PDM and older Poetry may lack.
    if (kind === 'pdm-lock') return;
    expect(read('a-file', text).kind).toBe(kind);
    expect(read('some/folder/a-file.txt', text).kind).toBe(kind);
  });

  it('all have a section in the documentation, and it names no other', () => {
    const page = readFileSync(new URL('../../docs/lockfiles.md', import.meta.url), 'utf8');
    const documented = [...page.matchAll(/^\| `([a-z-]+)` \|/gm)].map((match) => match[1]);
    expect(documented.toSorted()).toEqual(kinds.map(({ id }) => id).toSorted());
  });
});

describe('a file that is none of these', () => {
  it.each([
    ['package.json', '{}', 'give the lockfile beside it'],
    ['pyproject.toml', '', 'a compiled requirements.txt'],
    ['Cargo.lock', '', 'there is no kind of repository here'],
    ['notes.txt', 'Hello there.\n', 'no known kind of lockfile'],
    ['empty', '', 'no known kind of lockfile'],
    ['photo.png', '\u0000', 'it is no text'],
  ])('%s is refused with what to do', (name, text, message) => {
    expect(() => read(name, text)).toThrow(message);
  });
});

describe('limits', () => {
  it('hold for the size of a file', () => {
    expect(() => readLockfile('package-lock.json', new Uint8Array(20_000_001))).toThrow('longer than 20000000 bytes');
  });

  it('hold for the number of entries', () => {
    const findings = new Findings('a');
    for (let i = 0; i < 200_000; i++) findings.skip('a', 'b', 'c');
    expect(() => findings.want({ format: 'npm', name: 'a', at: 'x' })).toThrow('more than 200000 entries');
    expect(() => findings.request({ repository: 'a/b', path: 'c' }, 'x')).toThrow('more than 200000 entries');
  });

  it('hold for the number of lines', () => {
    expect(() => read('requirements.txt', '\n'.repeat(2_000_001))).toThrow('more than 2000000 lines');
  });

  it.each([
    ['yarn.lock', '# yarn lockfile v1\n', 'a '],
    ['poetry.lock', '', 'a.'],
  ])('hold for the length of lines of %s', (name, start, piece) => {
    expect(() => read(name, `${start}${piece.repeat(33_000)}`)).toThrow('longer than 65536 characters');
  });

  it('hold for variables that are made of variables', () => {
    const lines = Array.from({ length: 60 }, (_, i) => `ARG A${i + 1}=$A${i}$A${i}\n`);
    const found = read('Dockerfile', `ARG A0=xxxx\n${lines.join('')}FROM $A60\nFROM a:$A1\n`);
    expect(found.wanted.map(({ version }) => version)).toEqual(['xxxxxxxx']);
    expect(found.skipped.map(({ what }) => what)).toEqual(['$A60']);
  });

  it.each([
    ['package-lock.json', (n: number) => `{"lockfileVersion":3,"packages":${'{"a":'.repeat(n)}1${'}'.repeat(n)}}`],
    ['bun.lock', (n: number) => `{"lockfileVersion":1,"packages":${'{"a":'.repeat(n)}1${'}'.repeat(n)}}`],
    ['poetry.lock', (n: number) => `a = ${'['.repeat(n)}${']'.repeat(n)}\n[metadata]\n`],
    ['a.yaml', (n: number) => `apiVersion: v1\nkind: X\na: ${'['.repeat(n)}${']'.repeat(n)}\n`],
    [
      'bom.json',
      (n: number) => `{"bomFormat":"CycloneDX","components":${'[{"components":'.repeat(n)}[]${'}]'.repeat(n)}}`,
    ],
    [
      'verification-metadata.xml',
      (n: number) => `${'<verification-metadata>'.repeat(n)}${'</verification-metadata>'.repeat(n)}`,
    ],
  ])('hold for the depth of %s', (name, nested) => {
    expect(() => read(name, nested(150))).toThrow(/nest/);
    expect(() => read(name, nested(20_000))).toThrow(LockfileError);
  });
});

describe('hostile files', () => {
  it('reach nothing that every object has', () => {
    const packages = `{"__proto__":{"version":"1"},"node_modules/__proto__":{"version":"1.0.0","integrity":"${sri}"},"node_modules/constructor":{"version":"1.0.0"}}`;
    const found = read('package-lock.json', `{"lockfileVersion":3,"packages":${packages}}`);
    expect(found.wanted.map(({ name }) => name)).toEqual(['__proto__', 'constructor']);
    expect(({} as Record<string, unknown>).version).toBeUndefined();
    expect(
      read('yarn.lock', '__metadata:\n  version: 8\n"__proto__":\n  resolution: "a@npm:1.0.0"\n').wanted.length,
    ).toBe(1);
    expect(() =>
      read('pylock.toml', 'lock-version = "1.0"\n[[packages]]\nname = "a"\n[__proto__]\nx = 1\n'),
    ).not.toThrow();
    expect(({} as Record<string, unknown>).x).toBeUndefined();
  });

  it('give no names that leave their place, and nothing that a terminal would obey', () => {
    const names = ['../../x', 'a/../b', 'a//b', 'a b', 'a\\b', 'a\u001b[2J', '.', 'c\u202eb', 'x'.repeat(600)];
    const packages = Object.fromEntries(names.map((name) => [`node_modules/${name}`, { version: '1.0.0' }]));
    const found = read('package-lock.json', JSON.stringify({ lockfileVersion: 3, packages }));
    expect(found.wanted).toEqual([]);
    expect(found.skipped.map(({ why }) => why)).toEqual(names.map(() => 'that is no name of a package'));
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the point of it.
    expect(JSON.stringify(found.skipped)).not.toMatch(/\\u001b|[\u001b\u202e]/);
  });

  it.each(Object.entries(samples))('a mutated %s is read or refused, and nothing else', (kind, [fileName, text]) => {
    const random = randoms(kind.length * 7919 + text.length);
    const next = (): number => random.next().value;
    const bytes = Buffer.from(text.slice(0, 1800));
    let read = 0;
    const rounds = 100;
    for (let i = 0; i < rounds; i++) {
      let mutated = mutate(bytes, next);
      if (next() < 0.3 && mutated.byteLength > 0) mutated = mutate(mutated, next);
      if (survives(i % 5 === 0 ? 'a-file' : fileName, mutated)) read++;
    }
    // Some damage can be seen in no file; were all of it or none refused, the mutations would be worth nothing.
    expect(read).toBeLessThan(rounds);
  });
});
