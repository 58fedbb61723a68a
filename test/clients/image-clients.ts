/** The programs that pull container images: how each is told its mirror, and what it has when it is done. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { placed } from '../support/namespace.ts';
import { digestOf } from '../support/oci-images.ts';
import { eventually } from '../support/wait.ts';
import { findProgram } from './package-managers.ts';

/** Where a client finds what it calls docker.io. */
export interface Mirror {
  /** `http://127.0.0.1:5273`, no trailing slash. */
  readonly origin: string;
  /** `acme/hub`; empty: images lie right below `/v2/`. */
  readonly path: string;
  /** The authority that signed its certificate, in PEM form; with `https`. */
  readonly ca?: string;
}

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  /** Both. */
  readonly output: string;
}

/** One installation with nothing in it. */
export interface Engine {
  /** By its name below docker.io, `library/tiny:1`. Fails with what the client printed. `options` go to the command. */
  pull(image: string, options?: readonly string[]): Promise<Pulled>;
  /** The same without a word about success. */
  tryToPull(image: string): Promise<Ran>;
  close(): Promise<void>;
}

/** Everything the client can tell about an image, in an order of its own; two pulls of the same image tell the same. */
export type Pulled = readonly string[];

export interface ImageClient {
  readonly id: string;
  readonly programs: readonly string[];
  /** Whether it takes manifests of anything, not only of images. */
  readonly takesArtifacts?: boolean;
  /** Why it can't be tested over TLS here. */
  readonly withoutTls?: string;
  /** It takes nothing but these. */
  readonly only?: readonly string[];
  /** Images it cannot take, and why. */
  readonly without?: Readonly<Record<string, string>>;
  /** Options of its command with somebody's name and password for whatever registry it gets to. */
  readonly asSomebody?: readonly string[];
  /** What it prints when the mirror answers 502 or 503. */
  readonly complains: RegExp;
  /** What stands between host and image, if the client does not choose that itself. */
  readonly mirrorPath: string;
  /** Below `folder`, which the caller removes after `close`. */
  start(folder: string, mirror: Mirror): Promise<Engine>;
}

/** Nothing leaves this machine: whoever turns from the mirror to Docker Hub hits a closed port. Loopback addresses need no proxy. */
const nowhereElse = { HTTP_PROXY: 'http://127.0.0.1:9', HTTPS_PROXY: 'http://127.0.0.1:9' };

const programPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

function isInstalled(program: string): boolean {
  return programPath.split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** They mount, or give files to other users. */
const rootOnly = ['podman', 'buildah', 'containerd', 'ctr', 'dockerd'];

/** Why a test with these programs can't run here; with `CI` set that is an error instead. */
export function missingPrograms(...programs: readonly string[]): string | undefined {
  const absent = programs.filter((program) => !isInstalled(program) && !findProgram(program));
  const unfit = process.getuid?.() === 0 ? [] : programs.filter((program) => rootOnly.includes(program));
  if (absent.length === 0 && unfit.length === 0) return undefined;
  const reason =
    absent.length > 0
      ? `${absent.join(', ')} not installed: see the packages in .ci/run, and test/clients/install.sh`
      : `${unfit.join(', ')} would have to run as root`;
  if (process.env.CI === 'true') throw new Error(reason);
  return reason;
}

/** Runs it with nothing of the user's own settings. */
export function runProgram(
  program: string,
  args: readonly string[],
  home: string,
  env: Readonly<Record<string, string>> = {},
): Promise<Ran> {
  return new Promise((resolve) => {
    execFile(
      ...placed(isInstalled(program) ? program : (findProgram(program) ?? program), args),
      {
        cwd: home,
        env: { PATH: programPath, HOME: home, TMPDIR: home, ...nowhereElse, ...env },
        timeout: 240_000,
        killSignal: 'SIGKILL',
        maxBuffer: 64 * 1024 * 1024,
      },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
        resolve({ code, stdout, output: `${program} ${args.join(' ')}\n${stdout}\n${stderr}` });
      },
    );
  });
}

export async function mustRun(ran: Promise<Ran>): Promise<string> {
  const { code, stdout, output } = await ran;
  if (code !== 0) throw new Error(`It ended with ${code}: ${output}`);
  return stdout;
}

/** Settings that skopeo, podman and buildah share. `location` enforces the mirror: none of them goes anywhere else. */
async function containersSettings(home: string, mirror: Mirror): Promise<Record<string, string>> {
  const { host } = new URL(mirror.origin);
  const location = mirror.path === '' ? host : `${host}/${mirror.path}`;
  const settings = join(home, '.config/containers');
  const lines = [
    'unqualified-search-registries = ["docker.io"]',
    '[[registry]]',
    'prefix = "docker.io"',
    `location = "${location}"`,
    `insecure = ${mirror.ca === undefined}`,
    '',
  ];
  await mkdir(settings, { recursive: true });
  await writeFile(join(settings, 'registries.conf'), lines.join('\n'));
  await writeFile(join(home, 'auth.json'), '{}');
  if (mirror.ca !== undefined) {
    const folder = join(settings, 'certs.d', host);
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'ca.crt'), mirror.ca);
  }
  return { REGISTRY_AUTH_FILE: join(home, 'auth.json') };
}

const nowhere = async (): Promise<void> => {};

const somebody = 'somebody:secret';

const skopeo: ImageClient = {
  id: 'skopeo',
  programs: ['skopeo'],
  asSomebody: ['--src-creds', somebody],
  takesArtifacts: true,
  mirrorPath: 'acme/hub',
  complains: /HTTP status: 50[23]/,
  async start(folder, mirror) {
    const env = await containersSettings(folder, mirror);
    async function copy(image: string, options: readonly string[] = []): Promise<{ ran: Ran; to: string }> {
      const to = await mkdtemp(join(folder, 'image-'));
      const args = ['--insecure-policy', 'copy', '--all', ...options, `docker://docker.io/${image}`, `dir:${to}`];
      return { ran: await runProgram('skopeo', args, folder, env), to };
    }
    return {
      async pull(image, options) {
        const { ran, to } = await copy(image, options);
        await mustRun(Promise.resolve(ran));
        const files = (await readdir(to)).sort();
        const told: string[] = [];
        for (const file of files) told.push(`${file} ${digestOf(await readFile(join(to, file)))}`);
        return told;
      },
      tryToPull: async (image) => (await copy(image)).ran,
      close: nowhere,
    };
  },
};

/** `inspect` prints one JSON array or object; what holds the time or a place of the client's own is left out. */
function storageClient(
  id: 'podman' | 'buildah',
  inspect: (image: string) => readonly string[],
  told: (facts: Record<string, unknown>) => unknown,
): ImageClient {
  return {
    id,
    programs: [id],
    asSomebody: ['--creds', somebody],
    mirrorPath: 'acme/hub',
    complains: /HTTP status: 50[23]/,
    async start(folder, mirror) {
      const env = await containersSettings(folder, mirror);
      const at = ['--storage-driver', 'vfs', '--root', join(folder, 'images'), '--runroot', join(folder, 'run')];
      const own = id === 'podman' ? ['--cgroup-manager', 'cgroupfs', '--events-backend', 'file'] : [];
      const start = (...args: string[]): Promise<Ran> => runProgram(id, [...at, ...own, ...args], folder, env);
      return {
        async pull(image, options = []) {
          await mustRun(start('pull', '-q', ...options, `docker.io/${image}`));
          const found = JSON.parse(await mustRun(start(...inspect(`docker.io/${image}`)))) as unknown;
          const facts = (Array.isArray(found) ? found[0] : found) as Record<string, unknown>;
          return [JSON.stringify(told(facts))];
        },
        tryToPull: (image) => start('pull', '-q', `docker.io/${image}`),
        close: nowhere,
      };
    },
  };
}

const podman = storageClient(
  'podman',
  (image) => ['image', 'inspect', image],
  ({ Id, Digest, RepoDigests, RootFS, ManifestType }) => ({ Id, Digest, RepoDigests, RootFS, ManifestType }),
);

const buildah = storageClient(
  'buildah',
  (image) => ['inspect', '--type', 'image', image],
  ({ FromImageID, FromImageDigest, Manifest, OCIv1 }) => ({ FromImageID, FromImageDigest, Manifest, OCIv1 }),
);

interface Daemon {
  stop(): Promise<void>;
}

/** Waits until it answers; a test run that is broken off leaves nothing running. */
export async function startDaemon(
  program: string,
  args: readonly string[],
  home: string,
  isUp: () => Promise<boolean>,
): Promise<Daemon> {
  const log: string[] = [];
  const child: ChildProcess = spawn(program, [...args], {
    cwd: home,
    env: { PATH: programPath, HOME: home, TMPDIR: home, ...nowhereElse },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (piece: Buffer) => log.push(piece.toString()));
  const orphaned = (): void => void child.kill('SIGKILL');
  process.once('exit', orphaned);
  const exited = once(child, 'exit');
  exited.catch(() => {});
  async function stop(): Promise<void> {
    process.off('exit', orphaned);
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGTERM');
    await exited;
  }
  try {
    await eventually(
      `${program} is up`,
      () => {
        if (child.exitCode !== null) throw new Error(`${program} ended with ${child.exitCode}:\n${log.join('')}`);
        return isUp();
      },
      30_000,
    );
  } catch (error) {
    await stop();
    throw new Error(`${program} did not start:\n${log.join('')}`, { cause: error });
  }
  return { stop };
}

/** The path of a socket may have 107 bytes, so it lies in a folder of its own. */
export async function socketFolder(): Promise<string> {
  return await mkdtemp('/tmp/larder-socket-');
}

function hostsToml(url: string, overridesPath: boolean, caFile: string | undefined): string {
  const lines = [
    `server = "${url}"`,
    ...(overridesPath ? ['override_path = true'] : []),
    `[host."${url}"]`,
    '  capabilities = ["pull", "resolve"]',
    ...(overridesPath ? ['  override_path = true'] : []),
    ...(caFile === undefined ? [] : [`  ca = "${caFile}"`]),
  ];
  return `${lines.join('\n')}\n`;
}

/** `form`: whether the mirror's path stands before `/v2`, or after it with `override_path`. */
function containerd(form: 'path' | 'override_path'): ImageClient {
  return {
    id: `containerd with ${form === 'path' ? 'a path before /v2' : form}`,
    programs: ['containerd', 'ctr'],
    asSomebody: ['--user', somebody],
    mirrorPath: 'acme/hub',
    complains: /: 50[23] (?:Bad Gateway|Service Unavailable)/,
    async start(folder, mirror) {
      const overridesPath = form === 'override_path';
      const below = mirror.path === '' ? '' : `/${mirror.path}`;
      const url = overridesPath ? `${mirror.origin}/v2${below}` : `${mirror.origin}${below}`;
      const hosts = join(folder, 'hosts/docker.io');
      const caFile = mirror.ca === undefined ? undefined : join(folder, 'ca.crt');
      await mkdir(hosts, { recursive: true });
      if (caFile !== undefined) await writeFile(caFile, mirror.ca ?? '');
      await writeFile(join(hosts, 'hosts.toml'), hostsToml(url, overridesPath, caFile));
      const sockets = await socketFolder();
      const socket = join(sockets, 'c');
      const configFile = join(folder, 'config.toml');
      await writeFile(
        configFile,
        [
          'version = 2',
          `root = "${join(folder, 'root')}"`,
          `state = "${join(folder, 'state')}"`,
          'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]',
          '[grpc]',
          `  address = "${socket}"`,
          '[ttrpc]',
          `  address = "${socket}.ttrpc"`,
          '',
        ].join('\n'),
      );
      const ctr = (...args: string[]): Promise<Ran> => runProgram('ctr', ['-a', socket, ...args], folder);
      const isUp = async (): Promise<boolean> => (await ctr('version')).code === 0;
      const daemon = await startDaemon('containerd', ['--config', configFile], folder, isUp);
      const hostsFolder = join(folder, 'hosts');
      const pull = (image: string, options: readonly string[] = []): Promise<Ran> => {
        const settings = ['--hosts-dir', hostsFolder, '--snapshotter', 'native', ...options];
        return ctr('images', 'pull', ...settings, `docker.io/${image}`);
      };
      return {
        async pull(image, options) {
          await mustRun(pull(image, options));
          const listed = await mustRun(ctr('images', 'ls', `name==docker.io/${image}`));
          const [, type, digest] = /^docker\.io\S+\s+(\S+)\s+(\S+)/m.exec(listed) ?? [];
          // Of images pulled before as well: two engines that pulled the same ones have the same.
          const content = (await mustRun(ctr('content', 'ls', '-q'))).trim().split('\n');
          return [`${type} ${digest}`, ...content.sort()];
        },
        tryToPull: (image) => pull(image),
        async close() {
          await daemon.stop();
          await rm(sockets, { recursive: true, force: true });
        },
      };
    },
  };
}

/** Docker Engine 20.10: a mirror's URL with a path is refused at start, so it asks at the root. */
const docker: ImageClient = {
  id: 'dockerd with registry-mirrors',
  programs: ['dockerd', 'docker'],
  without: { 'acme/zstd:1': 'it knows zstd from version 23 on' },
  mirrorPath: '',
  // After any trouble with a mirror it goes to Docker Hub, and tells only of that.
  complains: /proxyconnect/,
  async start(folder, mirror) {
    const sockets = await socketFolder();
    const socket = `unix://${join(sockets, 'd')}`;
    const configFile = join(folder, 'daemon.json');
    await writeFile(configFile, JSON.stringify({ 'registry-mirrors': [mirror.origin] }));
    const args = [
      ...['--config-file', configFile, '--data-root', join(folder, 'data'), '--exec-root', join(sockets, 'exec')],
      ...['--pidfile', join(folder, 'pid'), '-H', socket, '--storage-driver', 'vfs'],
      ...['--iptables=false', '--ip6tables=false', '--bridge=none'],
    ];
    const cli = (...rest: string[]): Promise<Ran> => runProgram('docker', ['-H', socket, ...rest], folder);
    const daemon = await startDaemon('dockerd', args, folder, async () => (await cli('version')).code === 0);
    return {
      async pull(image) {
        await mustRun(cli('pull', '-q', image));
        const [found] = JSON.parse(await mustRun(cli('image', 'inspect', image))) as Record<string, unknown>[];
        const { Id, RepoDigests, RootFS } = found ?? {};
        return [JSON.stringify({ Id, RepoDigests, RootFS })];
      },
      tryToPull: (image) => cli('pull', '-q', image),
      async close() {
        await daemon.stop();
        // Namespaces that it made for containers stay mounted.
        await runProgram('umount', ['-q', join(sockets, 'exec/netns/default')], folder);
        await rm(sockets, { recursive: true, force: true });
      },
    };
  },
};

/** Helm (3.10) has no setting for a mirror: the address is in the name. */
const helm: ImageClient = {
  id: 'helm',
  programs: ['helm'],
  only: ['acme/web:1.2.3'],
  withoutTls: 'it asks 127.0.0.1 without TLS, whatever answers there',
  mirrorPath: 'acme/hub',
  complains: /50[23] (?:Bad Gateway|Service Unavailable)/,
  async start(folder, mirror) {
    const { host } = new URL(mirror.origin);
    async function pullChart(image: string): Promise<{ ran: Ran; to: string }> {
      const to = await mkdtemp(join(folder, 'chart-'));
      const [name = '', version = ''] = image.split(':');
      const reference = `oci://${[host, mirror.path, name].filter((part) => part !== '').join('/')}`;
      return { ran: await runProgram('helm', ['pull', reference, '--version', version, '-d', to], folder), to };
    }
    return {
      async pull(image) {
        const { ran, to } = await pullChart(image);
        await mustRun(Promise.resolve(ran));
        const told: string[] = [...(ran.output.match(/^Digest: .*$/m) ?? [])];
        for (const file of await readdir(to)) told.push(`${file} ${digestOf(await readFile(join(to, file)))}`);
        return told;
      },
      tryToPull: async (image) => (await pullChart(image)).ran,
      close: nowhere,
    };
  },
};

export const imageClients: readonly ImageClient[] = [
  skopeo,
  podman,
  buildah,
  containerd('path'),
  containerd('override_path'),
  docker,
  helm,
];
