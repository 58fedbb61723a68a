/** Rules about the repository itself. What must not drift stands here and not in a paragraph somewhere. */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, extname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { startMetrics } from '../src/telemetry/metrics.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const run = promisify(execFile);

/**
 * Which part of `src` may import which other parts. A part is a folder, or a file directly in `src`; every format is a
 * part of its own, so `formats/*` on the left never reaches its neighbour. A part that is missing here fails the test.
 */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  core: [],
  codecs: ['core'],
  'formats/*': ['core', 'codecs'],
  'formats/load.ts': ['core', 'formats/*'],
  store: ['core'],
  upstream: ['core'],
  access: ['core'],
  config: ['core'],
  telemetry: ['core'],
  lockfiles: ['core', 'codecs'],
  bundles: ['core', 'store'],
  policy: ['core'],
  sources: ['core', 'store', 'upstream'],
  pipeline: ['core', 'store', 'access', 'policy', 'sources'],
  jobs: ['core', 'pipeline', 'store'],
  http: ['core', 'access', 'pipeline'],
  garbage: ['core'],
  app: ['*'],
  site: ['*'],
  main: ['*'],
  cli: ['*'],
  commands: ['*'],
  worker: ['*'],
};

/** Where a library from the npm registry may be imported: a part, or one file of it. */
const libraryPlaces: Readonly<Record<string, readonly string[]>> = {
  '@fastify/busboy': ['codecs'],
  '@keyv/redis': ['store/index.ts'],
  '@koa/router': ['http'],
  '@opentelemetry/api': ['telemetry'],
  '@opentelemetry/core': ['telemetry'],
  '@opentelemetry/exporter-trace-otlp-http': ['telemetry'],
  '@opentelemetry/resources': ['telemetry'],
  '@opentelemetry/sdk-trace': ['telemetry'],
  '@yarnpkg/parsers': ['lockfiles'],
  'dockerfile-ast': ['lockfiles'],
  'jsonc-parser': ['lockfiles'],
  'packageurl-js': ['lockfiles'],
  'smol-toml': ['lockfiles'],
  fflate: ['codecs'],
  jose: ['access'],
  keyv: ['store/index.ts'],
  koa: ['http'],
  'lru-cache': ['store', 'sources', 'pipeline', 'http', 'jobs'],
  negotiator: ['http', 'pipeline'],
  'openid-client': ['access'],
  'p-queue': ['store', 'jobs'],
  pino: ['telemetry'],
  'prom-client': ['telemetry'],
  'registry-url': ['config'],
  saxes: ['codecs'],
  'tar-stream': ['codecs/tar.ts'],
  tinypool: ['worker', 'app'],
  undici: ['upstream'],
  yaml: ['config', 'codecs/ruby-yaml.ts'],
  zod: ['config', 'http'],
};

/** Parts that compute and nothing else: given the same bytes they give the same answer. */
const pureParts = ['core', 'codecs', 'formats/*'];
const pureBuiltins = [
  'buffer',
  'crypto',
  'diagnostics_channel',
  'path',
  'path/posix',
  'string_decoder',
  'url',
  'util',
  'zlib',
].map((name) => `node:${name}`);
/** The same reached through globals. */
const impure =
  /\b(?:Date\.now|new Date\(\)|performance\.|set(?:Timeout|Interval|Immediate)|fetch\(|process\.|Math\.random)/;

interface Import {
  readonly file: string;
  readonly specifier: string;
}

/** Every way in which one module names another. Relies on the formatter for statements standing at the start of a line. */
const importForms = [
  /^\s*(?:import|export)\b[^'"`;]*?\bfrom\s*['"]([^'"]+)['"]/gm,
  /^\s*import\s*['"]([^'"]+)['"]/gm,
  /\b(?:import|require)\s*\(\s*['"`]([^'"`]+)['"`]/g,
  /\bimport\.meta\.resolve\s*\(\s*['"`]([^'"`]+)['"`]/g,
  /\bnew URL\(\s*['"`]([^'"`]+\.ts)['"`]\s*,\s*import\.meta\.url/g,
];

function importsIn(text: string): string[] {
  return importForms.flatMap((form) => [...text.matchAll(form)].map((match) => match[1] ?? ''));
}

function filesBelow(folder: string): string[] {
  if (!existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => posix.join(entry.parentPath.slice(root.length), entry.name))
    .sort();
}

function read(file: string): string {
  return readFileSync(join(root, file), 'utf8');
}

/** `path` is relative to `src`. */
function partOf(path: string): string {
  const [first = '', second] = path.split('/');
  if (first !== 'formats') return first.replace(/\.ts$/, '');
  return second === undefined ? first : `formats/${second}`;
}

/** The row of the table that speaks about a part. */
function rowOf(part: string): string {
  return part.startsWith('formats/') && !part.endsWith('.ts') ? 'formats/*' : part;
}

function libraryOf(specifier: string): string {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
}

/** What is wrong with one import, in words, or `undefined`. */
function complaint({ file, specifier }: Import): string | undefined {
  const from = partOf(file);
  const row = rowOf(from);
  if (specifier.startsWith('node:')) {
    if (pureParts.includes(row) && !pureBuiltins.includes(specifier)) return `${row} does no I/O`;
    return undefined;
  }
  if (!specifier.startsWith('.')) {
    const places = libraryPlaces[libraryOf(specifier)];
    if (!places) return 'the table of libraries does not know it';
    return places.includes(from) || places.includes(file) ? undefined : `it belongs in ${places.join(', ')}`;
  }
  const target = posix.join(posix.dirname(file), specifier);
  if (target.startsWith('..')) return 'it leaves src';
  const to = partOf(target);
  const allowed = mayImport[row];
  if (!allowed) return `the import table has no row for ${row}`;
  if (to === from || allowed.includes('*') || allowed.includes(rowOf(to))) return undefined;
  return `${row} may import ${allowed.join(', ') || 'nothing of ours'}`;
}

const sources = filesBelow('src').filter((file) => file.endsWith('.ts'));
const programText = ['src', 'test', 'bench']
  .flatMap(filesBelow)
  .filter((file) => ['.ts', '.js', '.mjs', '.sh', ''].includes(extname(file)));
const formats = readdirSync(join(root, 'src/formats'), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name);

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
  readonly allowScripts: Readonly<Record<string, boolean>>;
}
interface Lockfile {
  readonly packages: Readonly<
    Record<string, { readonly resolved?: string; readonly integrity?: string; readonly hasInstallScript?: boolean }>
  >;
}
const manifest = JSON.parse(read('package.json')) as Manifest;
const lockfile = JSON.parse(read('package-lock.json')) as Lockfile;

/** Names and lines on which a pattern matches, so that a failure says where to go. */
function linesMatching(files: readonly string[], pattern: RegExp): string[] {
  return files.flatMap((file) =>
    read(file)
      .split('\n')
      .flatMap((line, index) => (pattern.test(line) ? [`${file}:${index + 1}: ${line.trim()}`] : [])),
  );
}

describe('the import scanner', () => {
  it.each([
    ['a static import', "import { a } from './a.ts';"],
    ['a type-only import', "import type { A } from './a.ts';"],
    ['an import over several lines', "import {\n  a,\n  type B,\n} from './a.ts';"],
    ['a side effect', "import './a.ts';"],
    ['a re-export', "export { a } from './a.ts';"],
    ['a re-export of everything', "export * from './a.ts';"],
    ['a type-only re-export', "export type { A } from './a.ts';"],
    ['a dynamic import', "const a = await import('./a.ts');"],
    ['a type that imports', "let a: import('./a.ts').A | undefined;"],
    ['a module started by its address', "new Worker(new URL('./a.ts', import.meta.url));"],
    ['a resolved module', "import.meta.resolve('./a.ts');"],
    ['a required module', "require('./a.ts');"],
  ])('sees %s', (_name, text) => {
    expect(importsIn(text)).toEqual(['./a.ts']);
  });

  it('keeps the variable part of a computed import', () => {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the text of a program, not a template.
    expect(importsIn('await import(`./${id}/index.ts`)')).toEqual(['./${id}/index.ts']);
  });
});

describe('the import table', () => {
  it.each([
    ['a format that imports its neighbour', 'formats/npm/index.ts', '../generic/index.ts'],
    ['a format that imports the store', 'formats/npm/index.ts', '../../store/store.ts'],
    ['a format that reads files', 'formats/npm/index.ts', 'node:fs/promises'],
    ['the core importing a format', 'core/route.ts', '../formats/npm/index.ts'],
    ['Koa outside http', 'pipeline/handle.ts', 'koa'],
    ['keyv in a second file of the store', 'store/entries.ts', 'keyv'],
    ['undici outside upstream', 'sources/remote.ts', 'undici'],
    ['a library nobody listed', 'http/server.ts', 'left-pad'],
    ['a part nobody listed', 'shared/x.ts', '../core/digest.ts'],
    ['a way out of src', 'core/x.ts', '../../test/support/x.ts'],
  ])('refuses %s', (_name, file, specifier) => {
    expect(complaint({ file, specifier })).toBeTypeOf('string');
  });

  it.each([
    ['a format importing the core', 'formats/npm/index.ts', '../../core/format.ts'],
    ['a format importing its own folder', 'formats/npm/index.ts', './packument.ts'],
    ['the loader importing any format', 'formats/load.ts', './$' + '{id}/index.ts'],
    ['keyv in its one file', 'store/index.ts', 'keyv'],
  ])('allows %s', (_name, file, specifier) => {
    expect(complaint({ file, specifier })).toBeUndefined();
  });

  it('holds for every import in src', () => {
    const imports = sources.flatMap((path) =>
      importsIn(read(path)).map((specifier): Import => ({ file: path.slice('src/'.length), specifier })),
    );
    expect(imports.length).toBeGreaterThan(sources.length);
    const broken = imports.flatMap((one) => {
      const why = complaint(one);
      return why ? [`src/${one.file} imports ${one.specifier}: ${why}`] : [];
    });
    expect(broken).toEqual([]);
  });

  it('names every production dependency, and no other', () => {
    expect(Object.keys(libraryPlaces).sort()).toEqual(Object.keys(manifest.dependencies).sort());
  });
});

describe('src', () => {
  it('keeps the clock, the network and the process out of formats and codecs', () => {
    const pure = sources.filter((file) => /^src\/(?:codecs\/|formats\/[^/]+\/)/.test(file));
    expect(linesMatching(pure, impure)).toEqual([]);
  });

  it('writes to the console only where a person started it', () => {
    const silent = sources.filter((file) => !['main', 'cli', 'commands'].includes(partOf(file.slice('src/'.length))));
    expect(linesMatching(silent, /\bconsole\.\w+\(/)).toEqual([]);
  });

  it('has no default exports', () => {
    expect(linesMatching(sources, /\bexport default\b|\bas default\b/)).toEqual([]);
  });
});

describe('formats', () => {
  it.each(formats)('%s has an index, a test and a docs page', (id) => {
    const wanted = [`src/formats/${id}/index.ts`, `test/formats/${id}.test.ts`, `docs/formats/${id}.md`];
    expect(wanted.filter((file) => !existsSync(join(root, file)))).toEqual([]);
  });

  it('have no docs page or test without a folder', () => {
    const orphans = [...filesBelow('docs/formats'), ...filesBelow('test/formats')].filter(
      (file) => !formats.includes(basename(file).split(/[.-]/)[0] ?? ''),
    );
    expect(orphans).toEqual([]);
  });
});

describe('file names', () => {
  it('are in kebab case', () => {
    const odd = programText.filter((file) => !/^[a-z0-9]+(?:[-.][a-z0-9]+)*$/.test(basename(file)));
    expect(odd).toEqual([]);
  });

  it('say what is inside', () => {
    const vague = /^(?:utils?|helpers?|managers?|services?|common|misc)$/;
    // A package manager is a thing that exists.
    const words = (file: string): string[] => file.replaceAll('package-manager', '').split(/[/.-]/);
    const odd = programText.filter((file) => words(file).some((word) => vague.test(word)));
    expect(odd).toEqual([]);
  });
});

describe('nothing is left over', () => {
  it('no marker for work that was put off', () => {
    const marker = new RegExp(
      `\\b(?:${['TO-DO', 'FIX-ME', 'X-XX', 'HA-CK'].map((m) => m.replace('-', '')).join('|')})\\b`,
    );
    expect(linesMatching([...programText, ...filesBelow('docs'), ...filesBelow('config')], marker)).toEqual([]);
  });

  it('no test that keeps the others from running', () => {
    const alone = /\b(?:it|test|describe|suite|bench)(?:\.\w+)*\.only\b/;
    expect(
      linesMatching(
        programText.filter((file) => file.endsWith('.ts')),
        alone,
      ),
    ).toEqual([]);
  });
});

describe('dependencies', () => {
  it('for production are pinned exactly', () => {
    const loose = Object.entries(manifest.dependencies).filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version));
    expect(loose).toEqual([]);
  });

  it('are locked by digest and by no address', () => {
    const rows = Object.entries(lockfile.packages).filter(([path]) => path !== '');
    expect(rows.length).toBeGreaterThan(Object.keys(manifest.dependencies).length);
    expect(rows.filter(([, row]) => row.resolved !== undefined).map(([path]) => path)).toEqual([]);
    expect(rows.filter(([, row]) => row.integrity === undefined).map(([path]) => path)).toEqual([]);
  });

  it('with an install script are the ones that were allowed one', () => {
    const scripted = Object.entries(lockfile.packages)
      .filter(([, row]) => row.hasInstallScript)
      .map(([path]) => path.replace(/^.*node_modules\//, ''));
    expect(scripted.filter((name) => manifest.allowScripts[name] === undefined)).toEqual([]);
  });
});

describe('metrics', () => {
  let families: Map<string, string>;

  beforeAll(async () => {
    const metrics = startMetrics({ version: '0.0.0', maxSizeBytes: 1, tokens: () => [] });
    const { text } = await metrics.text();
    metrics.stop();
    families = new Map([...text.matchAll(/^# TYPE (\w+) (\w+)$/gm)].map(([, name = '', type = '']) => [name, type]));
  });

  function exists(name: string): boolean {
    const part = /^(.+)_(?:bucket|sum|count)$/.exec(name);
    return families.has(name) || (part?.[1] !== undefined && families.get(part[1]) === 'histogram');
  }

  it.each(filesBelow('grafana'))('that %s names exist', (file) => {
    const named = [...new Set(read(file).match(/\b(?:larder|process|nodejs)_[a-z_]+/g))];
    expect(named.filter((name) => !exists(name))).toEqual([]);
  });

  it('are in dashboards and alerts by their own names', () => {
    expect(read('grafana/dashboards/overview.json')).toContain('larder_requests_total');
    expect(read('grafana/alerts.yaml')).toContain('larder_store_full');
  });

  it('are listed for operators, every one and no other', () => {
    const listed = [...read('docs/operating.md').matchAll(/^\| `(larder_\w+)` \|/gm)].map((match) => match[1]);
    expect(listed.toSorted()).toEqual([...families.keys()].filter((name) => name.startsWith('larder_')).toSorted());
  });
});

describe('decision records', () => {
  const records = filesBelow('docs/decisions').filter((file) => file.endsWith('.md'));

  it('are numbered without a gap', () => {
    expect(records.length).toBeGreaterThan(0);
    expect(records.map((file) => basename(file).slice(0, 4))).toEqual(
      records.map((_, index) => String(index + 1).padStart(4, '0')),
    );
  });

  it.each(records)('%s says context, decision, price and when to revisit', (file) => {
    expect(basename(file)).toMatch(/^\d{4}-[a-z0-9]+(?:-[a-z0-9]+)*\.md$/);
    const headings = [...read(file).matchAll(/^## (.+)$/gm)].map((match) => match[1]);
    expect(headings).toEqual(['Context', 'Decision', 'Price', 'When to revisit']);
  });
});

describe('links between pages', () => {
  const pages = [...filesBelow('docs'), 'README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md'].filter((file) =>
    file.endsWith('.md'),
  );

  it.each(pages)('of %s lead somewhere', (page) => {
    const prose = read(page).replace(/^```[\s\S]*?^```$/gm, '');
    const targets = [...prose.matchAll(/\]\((?![a-z]+:)([^)#\s]+)(?:#[^)]*)?\)/g)].map((match) => match[1] ?? '');
    expect(targets.filter((target) => !existsSync(join(root, posix.dirname(page), target)))).toEqual([]);
  });
});

/** The registries that this machine is set up to use; a loopback address is nobody's. */
async function registryHosts(): Promise<string[]> {
  const urls: string[] = [];
  await run('npm', ['config', 'get', 'registry'], { cwd: root }).then(
    ({ stdout }) => urls.push(stdout),
    () => undefined,
  );
  for (const folder of ['/etc/apt', '/etc/apt/sources.list.d']) {
    if (!existsSync(folder)) continue;
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (entry.isFile() && /\.(?:list|sources)$/.test(entry.name))
        urls.push(readFileSync(join(folder, entry.name), 'utf8'));
    }
  }
  const hosts = [...urls.join('\n').matchAll(/https?:\/\/(?:[^@\s/]*@)?([^\s/:]+)/g)].map((match) => match[1] ?? '');
  return [...new Set(hosts)].filter((host) => !/^(?:localhost|127\.|\[)/.test(host));
}

describe('what is in the repository', () => {
  it('names no registry of the machine it was written on', async (context) => {
    const listed = await run('git', ['ls-files', '-z'], { cwd: root, maxBuffer: 1e8 }).catch(() => undefined);
    if (!listed) return context.skip('not a git checkout');
    const hosts = await registryHosts();
    expect(hosts.length).toBeGreaterThan(0);
    const files = listed.stdout
      .split('\0')
      .filter((file) => statSync(join(root, file), { throwIfNoEntry: false })?.isFile());
    const named = files.flatMap((file) => {
      const text = readFileSync(join(root, file), 'latin1');
      return hosts.filter((host) => text.includes(host)).map((host) => `${file} names ${host}`);
    });
    expect(named).toEqual([]);
  });
});
