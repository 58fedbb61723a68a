/** What each client of container registries and Maven repositories is told, and what happens to the files they have. */
import { chmod, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { command, type Run } from './larder.ts';

let folder: TemporaryFolder;
let home: string;
/** Stands for `/`. */
let system: string;

beforeEach(async () => {
  folder = await temporaryFolder('larder-clients');
  home = join(folder.path, 'home');
  system = join(folder.path, 'system');
  await mkdir(home);
  await mkdir(system);
});

afterEach(() => folder.remove());

function setup(...args: readonly string[]): Promise<Run> {
  return command(['setup', ...args], { HOME: home });
}

interface Told {
  readonly files: readonly { readonly user: string; readonly text: string }[];
  readonly notes: readonly string[];
}

async function told(...args: readonly string[]): Promise<Told> {
  const { code, out, err } = await setup(...args, '--json');
  expect({ code, err }).toEqual({ code: 0, err: '' });
  return JSON.parse(out) as Told;
}

async function texts(...args: readonly string[]): Promise<string> {
  return (await told(...args)).files.map(({ text }) => text).join('\n');
}

async function put(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
}

const read = (path: string): Promise<string> => readFile(path, 'utf8');

async function filesBelow(path: string): Promise<string[]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => entry.name)
    .sort();
}

const here = ['--url', 'http://localhost:5273'];
const lan = ['--url', 'http://larder.lan:8080/acme/hub'];
const far = ['--url', 'https://larder.example.com/acme/hub'];

describe('what is printed', () => {
  it.each([
    ['docker', here, '{\n  "registry-mirrors": ["http://localhost:5273"]\n}\n'],
    [
      'docker',
      lan,
      '{\n  "registry-mirrors": ["http://larder.lan:8080"],\n  "insecure-registries": ["larder.lan:8080"]\n}\n',
    ],
    ['docker', far, '{\n  "registry-mirrors": ["https://larder.example.com"]\n}\n'],
    [
      'containerd',
      far,
      'server = "https://larder.example.com/v2/acme/hub"\noverride_path = true\n\n' +
        '[host."https://larder.example.com/v2/acme/hub"]\n  capabilities = ["pull", "resolve"]\n  override_path = true\n',
    ],
    ['podman', far, '[[registry]]\nprefix = "docker.io"\nlocation = "larder.example.com/acme/hub"\n'],
    ['podman', lan, '[[registry]]\nprefix = "docker.io"\nlocation = "larder.lan:8080/acme/hub"\ninsecure = true\n'],
    ['cri-o', far, '[[registry]]\nprefix = "docker.io"\nlocation = "larder.example.com/acme/hub"\n'],
    ['buildkit', far, '[registry."docker.io"]\nmirrors = ["larder.example.com/acme/hub"]\n'],
    [
      'buildkit',
      lan,
      '[registry."docker.io"]\nmirrors = ["larder.lan:8080/acme/hub"]\n\n[registry."larder.lan:8080"]\nhttp = true\n',
    ],
    ['helm', far, ''],
    [
      'maven',
      here,
      '<settings>\n  <mirrors>\n    <mirror>\n      <id>larder</id>\n      <name>Larder</name>\n      <mirrorOf>*</mirrorOf>\n' +
        '      <url>http://localhost:5273/public/maven/</url>\n    </mirror>\n  </mirrors>\n</settings>\n',
    ],
    ['sbt', here, '[repositories]\n  local\n  larder: http://localhost:5273/public/maven/, allowInsecureProtocol\n'],
    ['sbt', far, '[repositories]\n  local\n  larder: https://larder.example.com/acme/hub/\n'],
  ])('%s, %j', async (client, args, text) => {
    expect(await texts(client, ...args)).toBe(text);
  });

  it('a Gradle script that allows plain http only where it is', async () => {
    const plain = await texts('gradle', ...lan);
    expect(plain).toContain("new URI('http://larder.lan:8080/acme/hub/')");
    expect(plain).toContain('repository.allowInsecureProtocol = true');
    expect(plain).not.toContain('credentials');
    const encrypted = await texts('gradle', ...far, '--token-env', 'TOKEN');
    expect(encrypted).not.toContain('allowInsecureProtocol');
    expect(encrypted).toContain("System.getenv('TOKEN')");
  });

  it.each([
    ['docker', 'printenv TOKEN | docker login larder.example.com --username token --password-stdin'],
    ['podman', 'printenv TOKEN | podman login larder.example.com --username token --password-stdin'],
    ['helm', 'printenv TOKEN | helm registry login larder.example.com --username token --password-stdin'],
    ['containerd', `printf 'authorization = "Basic %s"\\n' "$(printf 'token:%s' "$TOKEN" | base64 -w0)"`],
    ['sbt', 'host=larder.example.com'],
  ])('%s: how a token gets to where no file can name a variable', async (client, line) => {
    expect((await told(client, ...far, '--token-env', 'TOKEN')).notes.join('\n')).toContain(line);
    expect((await told(client, ...far)).notes.join('\n')).not.toContain(line);
  });

  it("Maven's credentials beside the mirror, by the name of the variable", async () => {
    expect(await texts('maven', ...far, '--token-env', 'TOKEN')).toContain(
      // biome-ignore lint/suspicious/noTemplateCurlyInString: That is the text.
      '<server>\n      <id>larder</id>\n      <username>token</username>\n      <password>${env.TOKEN}</password>\n    </server>',
    );
  });

  it('what does not hold on its own', async () => {
    const docker = await setup('docker', ...far);
    expect(docker.out).toContain('# docker pull larder.example.com/acme/hub/library/alpine\n');
    expect(docker.out).toContain('hosts: { "larder.example.com": acme/hub }');
    expect((await told('maven', ...lan)).notes.join('\n')).toContain('Without TLS');
    expect((await told('maven', ...here)).notes.join('\n')).not.toContain('Without TLS');
    expect((await told('helm', ...lan)).notes[0]).toBe(
      'helm pull oci://larder.lan:8080/acme/hub/CHART --version VERSION --plain-http',
    );
  });
});

describe('which registry', () => {
  async function configured(server: string, hosts: string): Promise<string> {
    const file = join(folder.path, 'larder.yaml');
    await writeFile(
      file,
      `server: ${server}
hosts: ${hosts}
upstreams:
  other: { url: 'https://registry.example.org', format: oci, namespaces: [images.example.org] }
orgs:
  acme:
    repositories:
      hub: { format: oci, sources: [{ remote: docker-hub }] }
      other: { format: oci, sources: [{ remote: other }] }
      all: { format: oci, sources: [{ repository: other }, { remote: docker-hub }] }
`,
    );
    return file;
  }

  it('is the one that the repository has its images from', async () => {
    const file = await configured('{ publicUrl: https://example.com }', '{}');
    expect((await told('podman', '--config', file, '-r', 'acme/hub')).files.map(({ user }) => user)).toEqual([
      join(home, '.config/containers/registries.conf.d/larder-docker.io.conf'),
    ]);
    for (const name of ['acme/other', 'acme/all']) {
      const { files } = await told('containerd', '--config', file, '-r', name);
      expect(files.map(({ user }) => user)).toEqual([
        '/etc/containerd/certs.d/images.example.org/hosts.toml',
        '/etc/containerd/certs.d/registry.example.org/hosts.toml',
      ]);
      expect(files[0]?.text).toContain(`server = "https://example.com/v2/${name}"`);
    }
    const docker = await told('docker', '--config', file, '-r', 'acme/other');
    expect(docker.files.map(({ text }) => text)).toEqual(['']);
    expect(docker.notes).toContain('docker pull example.com/acme/other/NAME');
  });

  it('is every one, each from the first repository that has it, if none is chosen', async () => {
    const file = await configured('{ publicUrl: https://example.com }', '{}');
    const podman = await texts('podman', '--config', file);
    expect([...podman.matchAll(/prefix = "(.*)"\nlocation = "(.*)"/g)].map(([, ...pair]) => pair)).toEqual([
      ['docker.io', 'example.com/acme/hub'],
      ['images.example.org', 'example.com/acme/other'],
      ['registry.example.org', 'example.com/acme/other'],
    ]);
    expect((await told('containerd', '--config', file)).files).toHaveLength(3);
    expect(await texts('buildkit', '--config', file)).toContain(
      '[registry."images.example.org"]\nmirrors = ["example.com/acme/other"]\n',
    );
    expect(await texts('podman', '--config', file, '--url', 'https://larder.example.com')).toContain(
      'location = "larder.example.com/acme/other"',
    );
  });

  it("is Docker Hub's for Docker, whichever repository comes first", async () => {
    const file = join(folder.path, 'larder.yaml');
    const of = (remote: string): string => `{ format: oci, sources: [{ remote: ${remote} }] }`;
    await writeFile(
      file,
      `server: { publicUrl: https://example.com }\norgs: { acme: { repositories: { ghcr: ${of('ghcr')}, hub: ${of('docker-hub')} } } }\n`,
    );
    const { files, notes } = await told('docker', '--config', file);
    expect(files[0]?.text).toContain('["https://example.com"]');
    expect(notes).toContain('docker pull example.com/acme/hub/library/alpine');
    expect(notes.join('\n')).toContain('hosts: { "example.com": acme/hub }');
  });

  it('is what --registry says', async () => {
    expect(await texts('podman', ...far, '--registry', 'GHCR.io')).toContain('prefix = "ghcr.io"');
    expect(await setup('podman', ...far, '--registry', '../etc')).toMatchObject({
      code: 2,
      err: expect.stringContaining('is no name of a registry'),
    });
  });

  it('is known of an address too, if the configuration has the repository', async () => {
    const file = await configured('{}', '{}');
    const args = ['--config', file, '--url', 'https://larder.example.com'];
    const other = await texts('podman', ...args, '-r', 'acme/other');
    expect(other).toContain('prefix = "images.example.org"');
    expect(other).not.toContain('docker.io');
  });

  it('a host that leads there already needs no more', async () => {
    const needs = 'Docker asks a mirror without naming a repository';
    const notes = async (hosts: string): Promise<string> =>
      (await told('docker', '--config', await configured('{ publicUrl: https://example.com }', hosts))).notes.join(
        '\n',
      );
    expect(await notes('{}')).toContain(needs);
    expect(await notes('{ default: acme/other }')).toContain(needs);
    expect(await notes('{ default: acme/hub }')).not.toContain(needs);
    expect(await notes('{ example.com: acme/hub, default: acme/other }')).not.toContain(needs);
  });

  it('below a path, containerd can ask there and the others at the top', async () => {
    const file = await configured('{ publicUrl: https://example.com/larder }', '{}');
    expect(await texts('containerd', '--config', file)).toContain('server = "https://example.com/larder/v2/acme/hub"');
    expect(await texts('podman', '--config', file)).toContain('location = "example.com/acme/hub"');
    expect(await texts('docker', '--config', file)).toContain('["https://example.com"]');
    for (const client of ['docker', 'podman', 'cri-o', 'buildkit', 'helm']) {
      expect((await told(client, '--config', file)).notes).toContain(
        'The proxy in front has to pass https://example.com/v2/ on to Larder too, unchanged.',
      );
    }
  });
});

describe('what is written', () => {
  const clients = ['docker', 'containerd', 'podman', 'cri-o', 'buildkit', 'maven', 'gradle', 'sbt'];

  it.each(clients)('%s: once, anew with another address, and gone again', async (client) => {
    const write = (...args: readonly string[]): Promise<Run> =>
      setup(client, '--write', '--root', system, '--token-env', 'T', ...args);
    const first = await write(...lan);
    expect(first).toMatchObject({ code: 0, err: '', out: expect.stringContaining(': written\n') });
    const files = await filesBelow(system);
    expect((await write(...lan)).out).toContain(': says so already\n');
    expect((await write(...far)).out).toContain(': written\n');
    expect(await filesBelow(system)).toEqual(files);
    expect(await setup(client, '--undo', '--root', system, ...far)).toMatchObject({
      code: 0,
      out: expect.stringMatching(client === 'buildkit' ? /stays\n$/ : /: removed\n$/),
    });
    if (client !== 'buildkit') expect(await filesBelow(system)).toEqual([]);
    expect(await readdir(home)).toEqual([]);
  });

  it.each(clients.filter((client) => client !== 'buildkit'))('%s: gone whatever the address was', async (client) => {
    await setup(client, '--write', '--root', system, ...lan);
    await setup(client, '--undo', '--root', system);
    expect(await filesBelow(system)).toEqual([]);
  });

  it('says what else there is to do, but not when taking back', async () => {
    expect((await setup('docker', '--write', '--root', system, ...far)).out).toContain('systemctl restart docker');
    expect((await setup('docker', '--undo', '--root', system, ...far)).out).not.toContain('systemctl');
  });

  it("Docker's file where a daemon without root has it", async () => {
    const env = { HOME: home, DOCKER_HOST: 'unix:///run/user/1000/docker.sock' };
    await command(['setup', 'docker', '--write', ...far], env);
    expect(await read(join(home, '.config/docker/daemon.json'))).toContain('registry-mirrors');
  });

  it("Gradle's script where the environment has it", async () => {
    await command(['setup', 'gradle', '--write', ...far], {
      HOME: home,
      GRADLE_USER_HOME: join(folder.path, 'gradle'),
    });
    expect(await read(join(folder.path, 'gradle/init.d/larder.gradle'))).toMatch(/^\/\/ set by larder setup/);
  });

  it('two registries stand side by side', async () => {
    for (const name of ['docker.io', 'ghcr.io']) await setup('podman', '--write', ...far, '--registry', name);
    const confs = join(home, '.config/containers/registries.conf.d');
    expect((await readdir(confs)).sort()).toEqual(['larder-docker.io.conf', 'larder-ghcr.io.conf']);
    await setup('podman', '--undo', ...far, '--registry', 'ghcr.io');
    expect(await readdir(confs)).toEqual(['larder-docker.io.conf']);
  });

  it('nothing where nothing is needed', async () => {
    const { out } = await setup('docker', '--write', '--root', system, ...far, '--registry', 'ghcr.io');
    expect(out).toContain('daemon.json: needs nothing\n');
    expect(await filesBelow(system)).toEqual([]);
  });

  // Nothing keeps root from writing.
  it.skipIf(process.getuid?.() === 0)('an error in words where it may not be written', async () => {
    await mkdir(join(home, '.sbt'));
    await chmod(join(home, '.sbt'), 0o500);
    expect(await setup('sbt', '--write', ...far)).toMatchObject({
      code: 1,
      err: expect.stringContaining('may not be written by this user'),
    });
  });
});

describe('files that are there', () => {
  it("Docker's stays as it is but for our entries, and comes back exactly", async () => {
    const file = join(system, 'etc/docker/daemon.json');
    const before = '{\n\t"log-driver": "journald",\n\t"registry-mirrors": [\n\t\t"https://other.example.com"\n\t]\n}\n';
    await put(file, before);
    await setup('docker', '--write', '--root', system, ...lan);
    expect(await read(file)).toBe(
      '{\n\t"log-driver": "journald",\n\t"registry-mirrors": ["http://larder.lan:8080", "https://other.example.com"],\n\t' +
        '"insecure-registries": ["larder.lan:8080"]\n}\n',
    );
    await setup('docker', '--write', '--root', system, ...far);
    expect(JSON.parse(await read(file))).toEqual({
      'log-driver': 'journald',
      'registry-mirrors': ['https://larder.example.com', 'https://other.example.com'],
    });
    expect(await read(`${file}.before-larder`)).toBe(before);
    expect((await setup('docker', '--undo', '--root', system)).out).toBe(`${file}: as it was before\n`);
    expect(await read(file)).toBe(before);
    expect(await filesBelow(system)).toEqual(['daemon.json']);
  });

  it("Docker's with comments is left alone", async () => {
    const file = join(system, 'etc/docker/daemon.json');
    const text = '{ // mine\n  "debug": true }\n';
    await put(file, text);
    expect(await setup('docker', '--write', '--root', system, ...far)).toMatchObject({
      code: 1,
      err: expect.stringMatching(/daemon\.json: it is no JSON, or has comments in it; change it by hand/),
    });
    expect(await read(file)).toBe(text);
    expect(await filesBelow(system)).toEqual(['daemon.json']);
  });

  it("Maven's keeps its other mirrors and servers, ours in front", async () => {
    const file = join(home, '.m2/settings.xml');
    const before =
      '<?xml version="1.0"?>\n<settings xmlns="http://maven.apache.org/SETTINGS/1.0.0">\n  <!-- <mirrors> -->\n  <servers>\n' +
      '    <server><id>own</id></server>\n  </servers>\n  <mirrors>\n    <mirror>\n      <id>own</id>\n    </mirror>\n  </mirrors>\n</settings>\n';
    await put(file, before);
    await setup('maven', '--write', ...far, '--token-env', 'T');
    const after = await read(file);
    expect(after).toMatch(/<mirrors>\n {4}<!-- set by larder setup.* -->\n {4}<mirror>\n {6}<id>larder<\/id>/);
    expect(after).toMatch(/<servers>\n {4}<!-- set by larder setup.* -->\n {4}<server>\n {6}<id>larder<\/id>/);
    expect(after.replace(/ {4}<!-- set by.*\n {4}<(\w+)>\n {6}<id>larder[\s\S]*?<\/\1>\n/g, '')).toBe(before);
    await setup('maven', '--undo');
    expect(await read(file)).toBe(before);
    expect(await filesBelow(home)).toEqual(['settings.xml']);
  });

  it.each([
    ['podman', '.config/containers/registries.conf.d/larder-docker.io.conf'],
    ['gradle', '.gradle/init.d/larder.gradle'],
    ['sbt', '.sbt/repositories'],
  ])("%s: somebody else's file of that name is left alone", async (client, path) => {
    const file = join(home, path);
    await put(file, 'mine\n');
    expect(await setup(client, '--write', ...far)).toMatchObject({
      code: 1,
      err: expect.stringContaining('there is one already that larder setup has not written; change it by hand'),
    });
    expect(await setup(client, '--undo')).toMatchObject({ code: 0, out: expect.stringContaining('nothing of this') });
    expect(await read(file)).toBe('mine\n');
    await rm(file);
    expect(await setup(client, '--write', ...far)).toMatchObject({ code: 0 });
    await writeFile(file, `${await read(file)}mine\n`);
    expect(await setup(client, '--write', ...lan)).toMatchObject({
      code: 1,
      err: expect.stringContaining('it was changed since larder setup wrote it'),
    });
    expect((await setup(client, '--undo')).out).toContain('it was changed since and stays\n');
    expect(await read(file)).toMatch(/mine\n$/);
  });

  it.each([
    ['docker', 'etc/docker/daemon.json', '{}\n'],
    ['sbt', 'home/.sbt/repositories', ''],
  ])('%s: an empty one is none', async (client, path, before) => {
    const root = client === 'docker' ? ['--root', system] : [];
    const file = join(client === 'docker' ? system : folder.path, path);
    await put(file, before);
    await setup(client, '--write', ...root, ...far);
    expect(await read(file)).toContain('larder');
    await setup(client, '--undo', ...root);
    expect(await read(file)).toBe(before);
  });
});

it.each([
  [['docker', '--root', '.'], '--root goes with --write or --undo'],
  [['docker', '--write', '--root', '/no/such'], '--root /no/such: there is no such folder'],
  [['npm', '--write', '--root', '.', '--project', '.'], 'either --root or --project'],
])('wrong use: %j', async (args, message) => {
  expect(await setup(...args)).toMatchObject({ code: 2, err: `larder: ${message}\n` });
});
