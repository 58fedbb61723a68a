/** Lockfiles and lists of Python's installers. */
import { describe, expect, it } from 'vitest';
import { readLockfile } from '../../src/lockfiles/index.ts';
import { otherSha256, read, readFixture, sha256, skippedIn, wantedIn } from './support.ts';

describe('requirements.txt', () => {
  it('says exact versions with all their hashes, over several lines', () => {
    const found = read(
      'requirements.txt',
      `# made by a program
--index-url https://pypi.example/simple
Jinja2[i18n]==3.1.6 ; python_version >= "3.8" \\
    --hash=sha256:${sha256} \\
    --hash=sha256:${otherSha256}   # via -r requirements.in
six===1.17.0 --hash=md5:${'ab'.repeat(16)} --hash=sha512:${'cd'.repeat(64)}
`,
    );
    expect(found.kind).toBe('requirements');
    expect(found.wanted).toEqual([
      {
        format: 'pypi',
        name: 'Jinja2',
        version: '3.1.6',
        registry: 'https://pypi.example/simple',
        digests: [`sha256:${sha256}`, `sha256:${otherSha256}`],
        from: 'requirements.txt: line 3',
      },
      expect.objectContaining({ name: 'six', version: '1.17.0', digests: [`sha512:${'cd'.repeat(64)}`] }),
    ]);
    expect(found.notes.join()).not.toContain('have no hash');
  });

  it('may say no hashes, and then says how to get them', () => {
    const found = read('requirements-dev.txt', 'a==1.0\nb == 2.0 , >1\nc==3.0+local.1\n');
    expect(found.wanted.map(({ name, version, digests }) => [name, version, digests])).toEqual([
      ['a', '1.0', []],
      ['b', '2.0', []],
      ['c', '3.0+local.1', []],
    ]);
    expect(found.notes.join()).toContain('3 of 3 requirements have no hash');
  });

  it('may have comments in the middle of a requirement', () => {
    const text = `a==1.0\\\n# why\nb==2.0 \\\n  # via a\nc==3.0 # --hash=sha256:${sha256}\n`;
    expect(wantedIn(read('requirements.txt', text))).toEqual(['a 1.0', 'b 2.0', 'c 3.0']);
  });

  it('may be UTF-16, as PowerShell writes it', () => {
    const found = readLockfile('requirements.txt', Buffer.from('\ufeffsix==1.17.0\r\n', 'utf16le'));
    expect(wantedIn(found)).toEqual(['six 1.17.0']);
  });

  it('skips other files, folders, repositories, ranges and files without a project', () => {
    const found = read(
      'requirements.txt',
      `-r base.txt
--constraint=limits.txt
-e ./here
-f https://files.example/
--extra-index-url https://other.example/simple
./wheels/a-1.0-py3-none-any.whl
https://files.example/b-1.0-py3-none-any.whl
c @ git+https://git.example/c.git@abc
d>=1.0
e==1.*
f
`,
    );
    expect(found.wanted).toEqual([]);
    const file = 'it is an address or a file, of a project that is not named';
    const range = 'it has no exact version; let `pip-compile` or `uv pip compile` write the file';
    expect(skippedIn(found)).toEqual({
      'base.txt': 'it is a file of its own; give it too',
      'limits.txt': 'it is a file of its own; give it too',
      './here': 'it is built from a folder or repository',
      './wheels/a-1.0-py3-none-any.whl': file,
      'https://files.example/b-1.0-py3-none-any.whl': file,
      'c @ git+https://git.example/c.git@abc': 'it comes from a repository or a folder',
      'd>=1.0': range,
      'e==1.*': range,
      f: range,
    });
  });

  it('takes a file of a named project by its address', () => {
    const url = 'https://files.example/a-1.0-py3-none-any.whl';
    const { wanted } = read('requirements.txt', `a @ ${url}#sha256=${sha256}\n`);
    expect(wanted).toMatchObject([{ name: 'a', url, file: 'a-1.0-py3-none-any.whl', digests: [`sha256:${sha256}`] }]);
  });

  it('is refused when it is none', () => {
    expect(() => read('requirements.txt', 'a==1.0\n{ "what": 1 }\n')).toThrow('line 2 is no requirement');
  });
});

describe('poetry.lock', () => {
  it('of Poetry 1 says every file with its hash', () => {
    const found = readFixture('poetry-1/poetry.lock');
    expect(found.kind).toBe('poetry-lock');
    expect(found.wanted).toEqual([
      {
        format: 'pypi',
        name: 'jinja2',
        version: '3.1.6',
        file: 'jinja2-3.1.6-py3-none-any.whl',
        registry: 'https://pypi.example/simple',
        digests: ['sha256:85ece4451f492d0c13c5dd7c13a64681a86afae63a5f347908daf103ce6d2f67'],
        from: 'poetry.lock: jinja2',
      },
      expect.objectContaining({ name: 'six', optional: true }),
    ]);
  });

  it('had them with the metadata before, and packages from elsewhere', () => {
    const found = read(
      'poetry.lock',
      `[[package]]
name = "a"
version = "1.0"
[[package]]
name = "b"
version = "2.0"
[package.source]
type = "git"
url = "https://git.example/b.git"
[[package]]
name = "c"
version = "3.0"
files = [{file = "c-3.0.tar.gz", hash = "sha256:${sha256}"}]
[package.source]
type = "url"
url = "https://files.example/c-3.0.tar.gz"
[metadata]
lock-version = "1.1"
[metadata.files]
a = [{file = "a-1.0.tar.gz", hash = "sha256:${sha256}"}, {file = "a-1.0-py3-none-any.whl", hash = "sha256:${otherSha256}"}]
`,
    );
    expect(wantedIn(found)).toEqual(['a 1.0 a-1.0.tar.gz', 'a 1.0 a-1.0-py3-none-any.whl', 'c 3.0 c-3.0.tar.gz']);
    expect(found.wanted[2]).toMatchObject({ url: 'https://files.example/c-3.0.tar.gz', digests: [`sha256:${sha256}`] });
    expect(skippedIn(found)).toEqual({ 'b 2.0': 'it comes from a git repository' });
    expect(found.notes.join()).toContain('What source distributions need to be built');
  });
});

it('pdm.lock of PDM 2 says files by address', () => {
  const found = readFixture('pdm-2/pdm.lock');
  expect(found.kind).toBe('pdm-lock');
  expect(found.wanted.map(({ name, url, file }) => [name, url, file])).toEqual([
    ['jinja2', 'https://pypi.example/files/jinja2-3.1.6-py3-none-any.whl', 'jinja2-3.1.6-py3-none-any.whl'],
    [
      'markupsafe',
      expect.stringContaining('https://pypi.example/files/markupsafe-3.0.3-'),
      expect.stringContaining('.whl'),
    ],
  ]);
});

it('pdm.lock of later ones says them with the packages, and may have repositories and folders', () => {
  const found = read(
    'pdm.lock',
    `[metadata]
lock_version = "4.5.0"
[[package]]
name = "a"
version = "1.0"
files = [{file = "a-1.0.tar.gz", hash = "sha256:${sha256}"}]
[[package]]
name = "b"
version = "1.0"
git = "https://git.example/b.git"
[[package]]
name = "c"
version = "1.0"
path = "./c"
`,
  );
  expect(wantedIn(found)).toEqual(['a 1.0 a-1.0.tar.gz']);
  expect(Object.keys(skippedIn(found))).toEqual(['b 1.0', 'c 1.0']);
});

it('uv.lock says every file with its address', () => {
  const found = read(
    'uv.lock',
    `version = 1
requires-python = ">=3.12"
[[package]]
name = "app"
version = "0.1.0"
source = { virtual = "." }
[[package]]
name = "a"
version = "1.0"
source = { registry = "https://pypi.example/simple" }
sdist = { url = "https://files.example/x/a-1.0.tar.gz", hash = "sha256:${sha256}", size = 3 }
wheels = [
    { url = "https://files.example/y/a-1.0-py3-none-any.whl", hash = "sha256:${otherSha256}", size = 3 },
]
[[package]]
name = "b"
version = "1.0"
source = { url = "https://files.example/b-1.0.tar.gz" }
sdist = { hash = "sha256:${sha256}" }
[[package]]
name = "c"
version = "1.0"
source = { git = "https://git.example/c.git#abc" }
`,
  );
  expect(found.kind).toBe('uv-lock');
  expect(found.wanted).toEqual([
    {
      format: 'pypi',
      name: 'a',
      version: '1.0',
      url: 'https://files.example/x/a-1.0.tar.gz',
      file: 'a-1.0.tar.gz',
      registry: 'https://pypi.example/simple',
      digests: [`sha256:${sha256}`],
      from: 'uv.lock: a',
    },
    expect.objectContaining({ file: 'a-1.0-py3-none-any.whl', digests: [`sha256:${otherSha256}`] }),
    expect.objectContaining({ name: 'b', url: 'https://files.example/b-1.0.tar.gz', file: 'b-1.0.tar.gz' }),
  ]);
  expect(skippedIn(found)).toEqual({
    'app 0.1.0': 'it is a folder of the project',
    'c 1.0': 'it comes from a git repository',
  });
});

it('pylock.toml says files by name or address, with hashes of several algorithms', () => {
  const found = read(
    'pylock.dev.toml',
    `lock-version = "1.0"
created-by = "somebody"
[[packages]]
name = "a"
version = "1.0"
index = "https://pypi.example/simple"
wheels = [{ name = "a-1.0-py3-none-any.whl", url = "https://files.example/x/abc", hashes = { md5 = "${'ab'.repeat(16)}", sha256 = "${sha256}" } }]
sdist = { url = "https://files.example/a-1.0.tar.gz", hashes = { sha256 = "${otherSha256}" } }
[[packages]]
name = "b"
archive = { path = "./b-1.0.zip", hashes = { sha256 = "${sha256}" } }
[[packages]]
name = "c"
vcs = { type = "git", url = "https://git.example/c.git", commit-id = "abc" }
[[packages]]
name = "d"
directory = { path = "." }
`,
  );
  expect(found.kind).toBe('pylock');
  expect(found.wanted.map(({ file, digests }) => [file, digests])).toEqual([
    ['a-1.0.tar.gz', [`sha256:${otherSha256}`]],
    ['a-1.0-py3-none-any.whl', [`sha256:${sha256}`]],
  ]);
  expect(Object.keys(skippedIn(found))).toEqual(['b (./b-1.0.zip)', 'c', 'd']);
});

it('Pipfile.lock says versions with the hashes of all their files', () => {
  const found = read(
    'Pipfile.lock',
    JSON.stringify({
      _meta: {
        hash: {},
        'pipfile-spec': 6,
        sources: [{ name: 'pypi', url: 'https://pypi.example/simple', verify_ssl: true }],
      },
      default: {
        a: { hashes: [`sha256:${sha256}`, `sha256:${otherSha256}`], index: 'pypi', version: '==1.0' },
        b: { git: 'https://git.example/b.git', ref: 'abc' },
        c: { path: '.', editable: true },
        d: { version: '*' },
      },
      develop: { e: { hashes: [], version: '==2.0' } },
    }),
  );
  expect(found.kind).toBe('pipfile-lock');
  expect(found.wanted).toEqual([
    {
      format: 'pypi',
      name: 'a',
      version: '1.0',
      registry: 'https://pypi.example/simple',
      digests: [`sha256:${sha256}`, `sha256:${otherSha256}`],
      from: 'Pipfile.lock: default > a',
    },
    { format: 'pypi', name: 'e', version: '2.0', digests: [], from: 'Pipfile.lock: develop > e' },
  ]);
  expect(Object.keys(skippedIn(found))).toEqual(['b', 'c', 'd']);
});
