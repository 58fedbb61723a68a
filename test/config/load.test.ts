import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defaultUrl } from 'registry-url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { shown } from '../../src/config/check-file.ts';
import { ConfigError, configFile, defaultFile, loadConfig } from '../../src/config/load.ts';
import type { Config } from '../../src/config/settings.ts';
import { readSource } from '../../src/config/source.ts';
import { selfSigned } from '../support/certificate.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

let folder: TemporaryFolder;
let files = 0;

beforeAll(async () => {
  folder = await temporaryFolder('larder-config');
});

afterAll(() => folder.remove());

type Environment = Record<string, string | undefined>;

async function load(text: string, environment: Environment = {}): Promise<Config> {
  const file = join(folder.path, `${files++}.yaml`);
  await writeFile(file, text);
  return loadConfig(file, environment);
}

/** `path: message` of every mistake. */
async function mistakes(text: string, environment: Environment = {}): Promise<string[]> {
  const error = await load(text, environment).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error === undefined) return [];
  if (!(error instanceof ConfigError)) throw error;
  return error.mistakes.map(({ path, message }) => `${path}: ${message}`);
}

/** One repository with these sources, and upstream `inner`. */
function withSources(sources: string, more = ''): string {
  return `
upstreams: { inner: { url: 'https://packages.example.com/npm/' } }
orgs: { acme: { repositories: { npm: { format: npm, sources: ${sources} } }, access: [{ who: [everyone], may: [read] }] } }
${more}`;
}

describe('the default configuration', () => {
  it('listens on loopback only and mirrors npm for everyone', async () => {
    const config = await loadConfig(undefined, {});
    expect(config.file).toBe(defaultFile);
    expect(config.server.listen).toEqual({ host: '127.0.0.1', port: 5273 });
    expect(config.orgs.public?.repositories.npm?.sources).toMatchObject([{ kind: 'remote', upstream: 'npmjs' }]);
    expect(config.orgs.public?.access).toEqual([{ who: ['everyone'], may: ['read'] }]);
    expect(config.upstreams.npmjs).toMatchObject({
      url: defaultUrl.replace(/\/$/, ''),
      from: 'well known',
      format: 'npm',
    });
    expect(config.storage.path).toBe(resolve('data'));
    expect(config.notes).toEqual([]);
  });

  it('gives way to LARDER_CONFIG, and that to a file that is named', () => {
    expect(configFile(undefined, {})).toBe(join(root, 'config/default.yaml'));
    expect(configFile(undefined, { LARDER_CONFIG: '/a.yaml' })).toBe('/a.yaml');
    expect(configFile('/b.yaml', { LARDER_CONFIG: '/a.yaml' })).toBe('/b.yaml');
  });
});

it('fills in every default', async () => {
  const config = await load(withSources('[{ remote: inner }]'));
  expect(config.server).toEqual({
    listen: { host: '127.0.0.1', port: 5273 },
    trustedProxies: [],
    limits: {
      headerBytes: 16_384,
      urlBytes: 8192,
      bodyBytes: 10_000_000,
      headersTimeoutMs: 30_000,
      requestTimeoutMs: 300_000,
      keepAliveTimeoutMs: 75_000,
      readerTimeoutMs: 120_000,
      uploadBytesPerSecond: 1000,
      uploadWindowMs: 30_000,
      connections: 10_000,
      streams: 128,
      clients: 50_000,
      perAddress: { connections: 8000 },
      perIdentity: {},
    },
    drainMs: 30_000,
    hotMemoryBytes: 67_108_864,
  });
  expect(config.upstreams.inner).toEqual({
    name: 'inner',
    url: 'https://packages.example.com/npm',
    from: 'configuration',
    timeoutMs: 30_000,
    connectTimeoutMs: 5000,
    concurrency: 32,
    maxQueue: 2000,
    retries: 2,
    hosts: [],
    onlyHosts: false,
    offline: false,
    namespaces: ['packages.example.com'],
    realms: [],
    traceContext: 'traceparent',
    breaker: { failures: 10, windowMs: 30_000, openMs: 15_000, probeTimeoutMs: 10_000 },
  });
  expect(config.orgs.acme?.repositories.npm).toEqual({
    format: 'npm',
    partial: 'refuse',
    options: {},
    maxArtifactSizeBytes: 20_000_000_000,
    keepGoing: true,
    sources: [
      {
        kind: 'remote',
        upstream: 'inner',
        ttlMs: 300_000,
        staleWhileRevalidateMs: 300_000,
        staleIfErrorMs: undefined,
        negativeTtlMs: 30_000,
        patienceMs: 3000,
        offline: false,
        claims: [],
      },
    ],
  });
  expect(config.storage).toEqual({ path: resolve('data'), keepFreeBytes: 268_435_456 });
  expect(config.documents).toEqual({ threads: 1, inlineBytes: 65_536, memoryBytes: 134_217_728 });
  expect(config.log).toEqual({ level: 'info', access: true, pretty: false });
  expect(config).toMatchObject({ index: 'sqlite', hosts: {}, metrics: { enabled: true } });
});

describe('offline', () => {
  const offlineOf = async (text: string, environment = {}): Promise<readonly unknown[]> => {
    const { orgs } = await load(text, environment);
    return (orgs.acme?.repositories.npm?.sources ?? []).map((source) => source.kind === 'remote' && source.offline);
  };
  const two = (more: string, upstream = ''): string => `${more}
upstreams:
  inner: { url: https://packages.example.com/npm${upstream} }
  other: { url: https://other.example.com/npm }
orgs: { acme: { repositories: { npm: { format: npm, sources: [{ remote: inner }, { remote: other, offline: false }] } } } }`;

  it('is said of a source, of an upstream, or of the whole server', async () => {
    expect(await offlineOf(two(''))).toEqual([false, false]);
    expect(await offlineOf(withSources('[{ remote: inner, offline: true }]'))).toEqual([true]);
    expect(await offlineOf(two('', ', offline: true'))).toEqual([true, false]);
    expect(await offlineOf(two('offline: true'))).toEqual([true, true]);
  });

  it('may come from the environment', async () => {
    expect(await offlineOf(two(`offline: \${CLOSED_SIDE}`), { CLOSED_SIDE: 'true' })).toEqual([true, true]);
    expect(await offlineOf(two(`offline: \${CLOSED_SIDE}`), { CLOSED_SIDE: 'false' })).toEqual([false, false]);
  });
});

it('keeps warm what it is told to, and records for members, unless told otherwise', async () => {
  const config = await load(`
orgs:
  acme:
    recording: everyone
    repositories:
      plain: { format: npm, sources: [{ remote: npmjs }], keepWarm: {} }
      told: { format: npm, sources: [{ remote: npmjs }], keepWarm: { every: 1h, usedWithin: 2d } }
  other: {}`);
  expect(config.orgs.acme?.repositories.plain?.keepWarm).toEqual({ everyMs: 21_600_000, usedWithinMs: 1_209_600_000 });
  expect(config.orgs.acme?.repositories.told?.keepWarm).toEqual({ everyMs: 3_600_000, usedWithinMs: 172_800_000 });
  expect([config.orgs.acme?.recording, config.orgs.other?.recording]).toEqual(['everyone', 'members']);
});

it('leaves hand-offs to the proxy out unless told, and has a place and a size for them', async () => {
  expect((await load('{}')).server.handOff).toBeUndefined();
  const told = await load('server: { trustedProxies: [127.0.0.1], handOff: {} }');
  expect(told.server.handOff).toEqual({ path: '/larder-blobs/', fromBytes: 1_048_576 });
});

it('reads what the contract shows', async () => {
  const { cert, key } = selfSigned();
  const [certFile, keyFile] = [join(folder.path, 'tls.crt'), join(folder.path, 'tls.key')];
  await Promise.all([writeFile(certFile, cert), writeFile(keyFile, key)]);
  const config = await load(
    `
server:
  listen: '[::1]:5273'
  publicUrl: https://larder.example.com/packages/
  trustedProxies: [127.0.0.1/32]
  tls: { cert: ${certFile}, key: ${keyFile} }
storage: { path: ./elsewhere, maxSize: 50GB }
index: redis://host:6379/0
hosts: { Mirror.acme.example.com: acme/npm, default: acme/npm }
upstreams:
  inner:
    url: https://packages.example.com/npm
    auth: { bearer: \${INNER_TOKEN} }
    timeoutMs: 30000
    concurrency: 32
    proxy: http://egress.example.com:3128
orgs:
  acme:
    teams: { web: [alice, bob], release: [ci-release] }
    repositories:
      npm:
        format: npm
        sources: [{ remote: inner, ttl: 5m, offline: false, staleIfError: 7d }]
        partial: allow
    access:
      - { who: [team:web, user:carol, 'ci:github:repo:acme/*'], may: [read, publish], repositories: [npm], names: ['@acme/*'] }
      - { who: [everyone], may: [read] }
`,
    { INNER_TOKEN: 'a-token' },
  );
  expect(config.server).toMatchObject({
    listen: { host: '::1', port: 5273 },
    publicUrl: 'https://larder.example.com/packages',
    trustedProxies: ['127.0.0.1/32'],
    tls: { cert, key },
  });
  expect(config.storage).toMatchObject({ path: resolve('elsewhere'), maxSizeBytes: 50_000_000_000 });
  expect(config.hosts).toEqual({ 'mirror.acme.example.com': 'acme/npm', default: 'acme/npm' });
  expect(config.upstreams.inner).toMatchObject({
    auth: { bearer: 'a-token' },
    proxy: 'http://egress.example.com:3128/',
  });
  expect(config.orgs.acme?.repositories.npm).toMatchObject({
    partial: 'allow',
    sources: [{ staleIfErrorMs: 604_800_000 }],
  });
  expect(config.orgs.acme?.access[0]).toEqual({
    who: ['team:web', 'user:carol', 'ci:github:repo:acme/*'],
    may: ['read', 'publish'],
    repositories: ['npm'],
    names: ['@acme/*'],
  });
});

describe('references', () => {
  it('come from the environment and from files, inside any value, in braces and quotes alike', async () => {
    const secret = join(folder.path, 'secret');
    await writeFile(secret, 'from: a #file\n');
    const config = await load(
      `
upstreams:
  a: { url: 'https://\${HOST}/x', auth: { bearer: \${TOKEN} }, timeoutMs: \${WAIT} }
  b: { url: https://b.example.com, auth: { username: "\${USER}", password: \${file:${secret}} } }
  c: { url: https://c.example.com, auth: { bearer: '$\${TOKEN}' } }
`,
      { HOST: 'a.example.com', TOKEN: '12345', WAIT: '5000', USER: 'x: {y}' },
    );
    expect(config.upstreams.a).toMatchObject({
      url: 'https://a.example.com/x',
      auth: { bearer: '12345' },
      timeoutMs: 5000,
    });
    expect(config.upstreams.b).toMatchObject({ auth: { username: 'x: {y}', password: 'from: a #file' } });
    // biome-ignore lint/suspicious/noTemplateCurlyInString: That is the text.
    expect(config.upstreams.c).toMatchObject({ auth: { bearer: '${TOKEN}' } });
  });

  it('that lead nowhere are mistakes, once each, and hide no others', async () => {
    const found = await mistakes(`
upstreams:
  a: { url: \${NOWHERE}, auth: { bearer: \${file:/no/such/file} } }
  b: { url: 'https://b.example.com/\${not a name}', concurrency: 0 }
`);
    expect(found).toEqual([
      // biome-ignore lint/suspicious/noTemplateCurlyInString: That is the text.
      'upstreams.a.url: the environment has no NOWHERE; set it, or write ${file:PATH}',
      'upstreams.a.auth.bearer: cannot read /no/such/file: no such file',
      // biome-ignore lint/suspicious/noTemplateCurlyInString: That is the text.
      'upstreams.b.url: ${not a name} is no reference; write ${NAME}, ${file:PATH}, or $${…} for the text itself',
      'upstreams.b.concurrency: "0" is not a whole number from 1 to 10000',
    ]);
  });

  it('are never told: mistakes show what stands in the file', async () => {
    const environment = { SECRET: 'hunter2', ADDRESS: 'ftp://u:hunter2@x/' };
    const error = await load(
      `
server: { listen: \${SECRET}, drain: \${SECRET}, publicUrl: \${ADDRESS} }
index: redis//:hunter2@host
upstreams:
  a: { url: 'https://u:hunter2@x/', auth: { bearer: \${SECRET}, username: hunter2 } }
  b: { url: \${ADDRESS}, auth: hunter2 }
`,
      environment,
    ).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as ConfigError).mistakes).toHaveLength(8);
    expect((error as ConfigError).message).not.toContain('hunter2');
  });
});

describe('mistakes', () => {
  it('name the file, the line and the column', async () => {
    const error = await load('server:\n  drain: soon\nstorage:\n  keepFee: 1GB\n').catch((reason: unknown) => reason);
    expect((error as ConfigError).mistakes).toEqual([
      {
        path: 'server.drain',
        message: '"soon" is not a duration; write a number and one of ms, s, m, h, d, such as 30s',
        line: 2,
        column: 3,
      },
      { path: 'storage.keepFee', message: 'unknown key; did you mean "keepFree"?', line: 4, column: 3 },
    ]);
    expect((error as ConfigError).message.split('\n')[1]).toMatch(/\.yaml:4:3: storage\.keepFee: unknown key/);
  });

  it('in the shape and in what does not fit together are told at the same time', async () => {
    const found = await mistakes(`
server: { limits: { headerByte: 1 } }
hosts: { default: acme/nmp }
orgs:
  acme:
    repositories:
      npm: { format: nmp, sources: [{ remote: npmj }, { remote: inner, tlt: 5m }, {}] }
      b: { sources: [{ remote: npmjs }] }
    access:
      - { who: [team:web], may: [reed], repositories: [nmp] }
`);
    expect(found.map((text) => text.split(': ')[0])).toEqual([
      'server.limits.headerByte',
      'hosts.default',
      'orgs.acme.repositories.npm.format',
      'orgs.acme.repositories.npm.sources[0].remote',
      'orgs.acme.repositories.npm.sources[1].remote',
      'orgs.acme.repositories.npm.sources[1].tlt',
      'orgs.acme.repositories.npm.sources[2]',
      'orgs.acme.repositories.b.format',
      'orgs.acme.access[0].who[0]',
      'orgs.acme.access[0].may[0]',
      'orgs.acme.access[0].repositories[0]',
    ]);
  });

  it.each<[string, string, string]>([
    ['no YAML', 'a: [', ': '],
    ['a key twice', 'index: memory\nindex: sqlite', ': Map keys must be unique'],
    ['a list as the whole file', '- a', ': needs keys and values, not a list'],
    [
      'a key that belongs elsewhere',
      'server: { maxSize: 1GB }',
      'server.maxSize: unknown key here; it belongs under storage',
    ],
    [
      'another spelling',
      'server: { public_url: "https://a" }',
      'server.public_url: unknown key; did you mean "publicUrl"?',
    ],
    ['an unknown key far from any', 'zzz: 1', 'zzz: unknown key; there is "server"'],
    ['what is still to come', 'storage: { s3: {} }', 'storage.s3: object stores are not available in this release'],
    ['text for a list', 'server: { trustedProxies: 10.0.0.0/8 }', 'server.trustedProxies: needs a list, not text'],
    ['a number for text', 'storage: { path: 5 }', 'storage.path: needs text, not a number; put it in quotes'],
    ['an empty text', 'storage: { path: "" }', 'storage.path: is empty'],
    ['nothing where something must be', 'server:', 'server: needs keys and values, not nothing'],
    [
      'none of the words',
      'log: { level: inof }',
      'log.level: "inof" is none of trace, debug, info, warn, error, fatal, silent; did you mean "info"?',
    ],
    ['neither true nor false', 'log: { access: maybe }', 'log.access: "maybe" is neither true nor false'],
    [
      'a wrong publicUrl',
      'server: { publicUrl: example.com }',
      'server.publicUrl: "example.com" is no http or https URL',
    ],
    [
      'a publicUrl with a query',
      'server: { publicUrl: "https://a/?b" }',
      'server.publicUrl: has a query or a fragment',
    ],
    [
      'a hand-off to nobody',
      'server: { handOff: {} }',
      'server.handOff: needs `server.trustedProxies`: nobody else is told where files are',
    ],
    [
      'a hand-off to no folder',
      'server: { trustedProxies: [127.0.0.1], handOff: { path: /blobs } }',
      'server.handOff.path: "/blobs" is no location: write such as /larder-blobs/, with a slash at both ends',
    ],
    [
      'a wrong block',
      'server: { trustedProxies: [10.0.0.0/40] }',
      'server.trustedProxies[0]: "10.0.0.0/40" is no address block',
    ],
    ['a wrong index', 'index: postgres', 'index: "postgres" is none of sqlite, memory, redis://HOST:PORT/DB'],
    ['an upstream without URL', 'upstreams: { a: {} }', 'upstreams.a: needs a url'],
    [
      'an upstream that is no web address',
      'upstreams: { a: { url: "ftp://a" } }',
      'upstreams.a.url: "ftp://a" is no http or https URL',
    ],
    [
      'credentials in a URL',
      'upstreams: { a: { url: "https://u:p@a" } }',
      'upstreams.a.url: has credentials in it; write them under auth',
    ],
    [
      'two kinds of credentials',
      'upstreams: { npmjs: { auth: { bearer: a, username: b } } }',
      'upstreams.npmjs.auth.username: cannot stand beside',
    ],
    ['no kind of credentials', 'upstreams: { npmjs: { auth: {} } }', 'upstreams.npmjs.auth'],
    [
      'a wrong further host',
      'upstreams: { npmjs: { hosts: ["https://a"] } }',
      'upstreams.npmjs.hosts[0]: "https://a" is no host',
    ],
    [
      'a wrong proxy',
      'upstreams: { npmjs: { proxy: "socks://a" } }',
      'upstreams.npmjs.proxy: "socks://a" is no http or https URL',
    ],
    [
      'an upstream that is Larder itself',
      'upstreams: { a: { url: "http://localhost:5273/public/npm" } }',
      'upstreams.a.url: points to Larder itself',
    ],
    ['a reserved org', 'orgs: { v2: {} }', 'orgs.v2: "v2" is reserved'],
    ['a wrong name', 'orgs: { Acme: {} }', 'orgs.Acme: "Acme" is not a name'],
    ['a reserved segment', 'orgs: { .well-known: {} }', 'orgs[".well-known"]: ".well-known" is not a name'],
    [
      'a host with a port',
      withSources('[{ remote: inner }]', 'hosts: { "a:80": acme/npm }'),
      'hosts["a:80"]: "a:80" is no host name',
    ],
    [
      'a host that leads nowhere',
      withSources('[{ remote: inner }]', 'hosts: { default: acme/nmp }'),
      'hosts.default: there is no repository "acme/nmp"; did you mean "acme/npm"?',
    ],
    [
      'a repository without sources',
      withSources('[]'),
      'orgs.acme.repositories.npm.sources: needs at least one source',
    ],
    ['a source from nowhere', withSources('[{ ttl: 5m }]'), 'orgs.acme.repositories.npm.sources[0].remote: is missing'],
    [
      'a source from two places',
      withSources('[{ remote: inner, repository: b }]'),
      'orgs.acme.repositories.npm.sources[0]',
    ],
    [
      'a duration without unit',
      withSources('[{ remote: inner, ttl: 300 }]'),
      'orgs.acme.repositories.npm.sources[0].ttl: "300" is not a duration',
    ],
    [
      'the same source twice',
      withSources('[{ remote: inner }, { remote: inner }]'),
      'orgs.acme.repositories.npm.sources[1]: is the same as sources[0]',
    ],
    [
      'an upstream of another format',
      withSources('[{ remote: docker-hub }]'),
      'orgs.acme.repositories.npm.sources[0].remote: upstream "docker-hub" speaks oci',
    ],
    [
      'a nested repository that is not there',
      withSources('[{ repository: other }]'),
      'orgs.acme.repositories.npm.sources[0].repository: there is no repository "acme/other"',
    ],
    [
      'a repository inside itself',
      withSources('[{ repository: npm }]'),
      'orgs.acme.repositories.npm.sources[0].repository: goes in a circle: acme/npm > acme/npm',
    ],
  ])('%s', async (_, text, expected) => {
    const found = await mistakes(text);
    expect(
      found.some((mistake) => mistake.startsWith(expected)),
      found.join('\n'),
    ).toBe(true);
    expect(found).toHaveLength(
      expected === 'orgs.acme.repositories.npm.sources[0].remote: is missing' ? found.length : 1,
    );
  });

  it('tell of two hosted sources in one list', async () => {
    expect(await mistakes(withSources('[{ hosted: true }, { hosted: true }]'))).toContain(
      'orgs.acme.repositories.npm.sources[1]: is the same as sources[0]; a source can be named once only',
    );
  });

  it('tell of a certificate without a key', async () => {
    expect(await mistakes('server: { tls: { cert: /no/such/file } }')).toEqual([
      'server.tls.key: is missing',
      'server.tls.cert: cannot read /no/such/file: no such file',
    ]);
  });

  it('find circles through several repositories, also over orgs', async () => {
    const found = await mistakes(`
orgs:
  a: { repositories: { x: { format: npm, sources: [{ repository: b/y }] } } }
  b: { repositories: { y: { format: npm, sources: [{ remote: npmjs }, { repository: z }] }, z: { format: npm, sources: [{ repository: a/x }] } } }
`);
    expect(found).toEqual([
      'orgs.a.repositories.x.sources[0].repository: goes in a circle: a/x > b/y > b/z > a/x',
      'orgs.b.repositories.y.sources[1].repository: goes in a circle: b/y > b/z > a/x > b/y',
      'orgs.b.repositories.z.sources[0].repository: goes in a circle: b/z > a/x > b/y > b/z',
    ]);
  });

  it('say which file could not be read, and why', async () => {
    await mkdir(join(folder.path, 'a-folder'));
    await expect(loadConfig('/no/such.yaml', {})).rejects.toThrow('/no/such.yaml: cannot be read: no such file');
    await expect(loadConfig(join(folder.path, 'a-folder'), {})).rejects.toThrow('it is a folder');
  });

  it('tell of files that are there but no certificates', async () => {
    const file = join(folder.path, 'no.pem');
    await writeFile(file, 'hello');
    expect(
      await mistakes(`server: { tls: { cert: ${file}, key: ${file} } }\nupstreams: { npmjs: { ca: ${file} } }`),
    ).toEqual([
      `server.tls.cert: ${file} holds no certificate in PEM form`,
      `server.tls.key: ${file} holds no private key in PEM form`,
      `upstreams.npmjs.ca: ${file} holds no certificate in PEM form`,
    ]);
  });
});

describe('where the npm registry is', () => {
  const mirror = 'https://mirror.example.com/npm/';
  const own = 'http://127.0.0.1:5273/public/npm/';
  const usual = defaultUrl.replace(/\/$/, '');

  async function npmjs(
    environment: Environment,
    more = '',
  ): Promise<{ url?: string; from?: string; notes: readonly string[] }> {
    const config = await load(`${withSources('[{ remote: npmjs }]')}\n${more}`, environment);
    return { url: config.upstreams.npmjs?.url ?? '', from: config.upstreams.npmjs?.from ?? '', notes: config.notes };
  }

  it('is the public one when nobody says otherwise', async () => {
    expect(await npmjs({})).toEqual({ url: usual, from: 'well known', notes: [] });
    expect(await npmjs({ npm_config_registry: defaultUrl })).toMatchObject({ from: 'well known', notes: [] });
  });

  it('is the one npm itself is set to, when npm starts Larder', async () => {
    expect(await npmjs({ npm_config_registry: mirror })).toMatchObject({
      url: 'https://mirror.example.com/npm',
      from: expect.stringContaining('npm_config_registry'),
    });
  });

  it('is LARDER_NPM_REGISTRY before that', async () => {
    const found = await npmjs({ npm_config_registry: 'https://other.example.com', LARDER_NPM_REGISTRY: mirror });
    expect(found).toMatchObject({
      url: 'https://mirror.example.com/npm',
      from: expect.stringContaining('LARDER_NPM_REGISTRY'),
    });
  });

  it('is what the configuration says before all', async () => {
    const text = `upstreams: { npmjs: { url: '${mirror}' } }\norgs: { a: { repositories: { npm: { format: npm, sources: [{ remote: npmjs }] } } } }`;
    const config = await load(text, { LARDER_NPM_REGISTRY: 'https://other.example.com' });
    expect(config.upstreams.npmjs).toMatchObject({
      url: 'https://mirror.example.com/npm',
      from: expect.stringContaining('configuration'),
    });
  });

  it.each([own, 'http://localhost:5273/', 'http://[::1]:5273/acme/npm'])(
    'is never Larder itself, to which npm may be set: %s',
    async (registry) => {
      const found = await npmjs({ npm_config_registry: registry });
      expect(found).toMatchObject({ url: usual, from: 'well known' });
      expect(found.notes).toEqual([expect.stringContaining('Larder itself')]);
    },
  );

  it('is never Larder under its public name', async () => {
    const publicName = 'server: { publicUrl: https://larder.example.com/p }';
    expect(await npmjs({ npm_config_registry: 'https://larder.example.com/p/public/npm/' }, publicName)).toMatchObject({
      url: usual,
    });
    expect(await npmjs({ npm_config_registry: 'https://larder.example.com/other/' }, publicName)).not.toMatchObject({
      url: usual,
    });
  });

  const address = Object.values(networkInterfaces())
    .flatMap((all) => all ?? [])
    .find(({ family, internal }) => family === 'IPv4' && !internal)?.address;

  it.skipIf(address === undefined)(
    'is never Larder under another address of this machine (which must have one)',
    async () => {
      const found = await npmjs({ npm_config_registry: `http://${address}:5273/` }, 'server: { listen: 0.0.0.0:5273 }');
      expect(found).toMatchObject({ url: usual });
    },
  );

  it('may be another Larder on the same machine', async () => {
    expect(await npmjs({ npm_config_registry: 'http://127.0.0.1:5274/public/npm/' })).toMatchObject({
      url: 'http://127.0.0.1:5274/public/npm',
    });
  });

  it.each(['not a url', 'ftp://mirror.example.com/', '', 'https://u:p@mirror.example.com/'])(
    'is not %j',
    async (registry) => {
      expect(await npmjs({ npm_config_registry: registry })).toMatchObject({ url: usual });
    },
  );

  it('that is named on purpose and is Larder itself is a mistake', async () => {
    const found = await mistakes(withSources('[{ remote: npmjs }]'), { LARDER_NPM_REGISTRY: own });
    expect(found).toEqual([expect.stringMatching(/^upstreams\.npmjs: points to Larder itself/)]);
  });

  it("is asked with the authorities that npm's own settings name", async () => {
    const { cert } = selfSigned();
    const file = join(folder.path, 'ca.pem');
    await writeFile(file, cert);
    const config = await load(withSources('[{ remote: npmjs }]'), { npm_config_cafile: file });
    expect(config.upstreams.npmjs?.ca).toBe(cert);
    expect(config.upstreams.inner?.ca).toBeUndefined();
  });
});

it('never shows what stands under auth, whatever is wrong with it', async () => {
  const tree = await readSource('upstreams: { a: { auth: { bearer: hunter2 }, url: nowhere } }', {});
  expect(shown('is wrong', ['upstreams', 'a', 'auth', 'bearer'], tree)).toBe('is wrong');
  expect(shown('is wrong', ['upstreams', 'a', 'url'], tree)).toBe('"nowhere" is wrong');
});

describe('proxies in the environment', () => {
  it.each<[string, Environment, string | undefined]>([
    ['is used', { HTTPS_PROXY: 'http://proxy.example.com:3128' }, 'http://proxy.example.com:3128/'],
    ['may lack a scheme', { https_proxy: 'proxy.example.com:3128' }, 'http://proxy.example.com:3128/'],
    ['is for its scheme only', { HTTP_PROXY: 'http://proxy.example.com' }, undefined],
    ["may be npm's", { npm_config_https_proxy: 'http://proxy.example.com' }, 'http://proxy.example.com/'],
    ['can be excluded by domain', { HTTPS_PROXY: 'http://p', NO_PROXY: 'other, example.com' }, undefined],
    ['can be excluded by suffix', { HTTPS_PROXY: 'http://p', no_proxy: '.example.com' }, undefined],
    ['can be excluded for everything', { HTTPS_PROXY: 'http://p', NO_PROXY: '*' }, undefined],
    ['can be excluded with the port', { HTTPS_PROXY: 'http://p', NO_PROXY: 'example.com:443' }, undefined],
    ['is not excluded by another port', { HTTPS_PROXY: 'http://p', NO_PROXY: 'example.com:80' }, 'http://p/'],
    ['is not excluded by a similar name', { HTTPS_PROXY: 'http://p', NO_PROXY: 'ample.com' }, 'http://p/'],
  ])('%s', async (_, environment, proxy) => {
    const config = await load(withSources('[{ remote: inner }]'), environment);
    expect(config.upstreams.inner?.proxy).toBe(proxy);
  });

  it('give way to the configuration', async () => {
    const text = 'upstreams: { a: { url: "https://a", proxy: none }, b: { url: "https://b", proxy: "http://q" } }';
    const config = await load(text, { HTTPS_PROXY: 'http://p' });
    expect(config.upstreams.a?.proxy).toBeUndefined();
    expect(config.upstreams.b?.proxy).toBe('http://q/');
  });
});

it('notes what is allowed but surprising', async () => {
  const config = await load(`
upstreams: { a: { url: 'http://a.example.com', auth: { bearer: x } }, b: { url: 'http://127.0.0.1:1', auth: { bearer: x } } }
orgs: { acme: { repositories: { npm: { format: npm, sources: [{ remote: npmjs }] } } } }
`);
  expect(config.notes).toEqual([
    expect.stringMatching(/^upstream a: its credentials travel unencrypted/),
    expect.stringMatching(/^acme\/npm: no access rule is about it/),
  ]);
});

it('understands anchors and merge keys', async () => {
  const config = await load(`
orgs:
  acme:
    repositories:
      a: &base { format: npm, sources: [{ remote: npmjs }] }
      b: { <<: *base, partial: allow }
`);
  expect(config.orgs.acme?.repositories.b).toMatchObject({ format: 'npm', partial: 'allow' });
});

describe('every example is right', async () => {
  const names = [
    'container.yaml',
    'larder.example.yaml',
    ...(await readdir(join(root, 'config/examples'))).map((name) => `examples/${name}`),
  ];
  it.each(names)('%s', async (name) => {
    const pem = join(folder.path, 'example.pem');
    await writeFile(pem, selfSigned().cert);
    const text = await readFile(join(root, 'config', name), 'utf8');
    const config = await load(text.replaceAll(/\/etc\/\S+\.pem/g, pem), {
      INNER_TOKEN: 'x',
      INNER_PASSWORD: 'x',
      HUB_PASSWORD: 'x',
      REPO_PASSWORD: 'x',
    });
    expect(Object.keys(config.orgs)).not.toEqual([]);
    expect(config.notes).toEqual([]);
  });
});
