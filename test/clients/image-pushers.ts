/** The programs that push container images and charts: how each gets an image, and how it pushes, pulls and logs in. */
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Image } from '../support/oci-images.ts';
import { mustRun, type Ran, runProgram, socketFolder, startDaemon } from './image-clients.ts';

/** A registry that the client finds by the first part of an image's name. */
export interface Registry {
  /** `localhost:5273` */
  readonly host: string;
  /** A folder with `ca.crt`; without it there is no TLS. */
  readonly certificates?: string;
}

/** One installation with nothing in it but the image that it is to push. */
export interface PushEngine {
  /** `name` is what stands behind the host: `acme/packages/app:1`. Without a token nothing is shown. */
  push(name: string, token: string | undefined): Promise<Ran>;
  pull(name: string, token: string | undefined): Promise<Ran>;
  /** Absent: it has no such command. */
  login?(token: string): Promise<Ran>;
  close(): Promise<void>;
}

/** What a client prints in each case; what it does not say is told by the docs. */
export interface Complaints {
  readonly nothing: RegExp;
  readonly wrong: RegExp;
  readonly expired: RegExp;
  readonly stranger: RegExp;
  readonly reader: RegExp;
  /** Of `login`, with a token that does not count. */
  readonly login?: RegExp;
}

export interface ImagePusher {
  readonly id: string;
  readonly programs: readonly string[];
  readonly withoutTls?: string;
  /**
   * Requests with bytes when it pushes the same to another repository. Four, or two with everything in one, would be
   * layer and config; most have the layer taken over from where they know it to be.
   */
  readonly resends: number;
  readonly complaints: Complaints;
  /** Below `folder`, which the caller removes after `close`. */
  start(folder: string, registry: Registry, image: Image): Promise<PushEngine>;
}

const user = 'alice';
const nowhere = async (): Promise<void> => {};

/** The first tag of a layout, for programs that name one as `oci:FOLDER:TAG`. */
const layoutOf = ({ folder, tags }: Image): string => `oci:${folder}:${Object.keys(tags)[0]}`;

/** With nothing of anybody's login. */
async function containersHome(folder: string): Promise<Record<string, string>> {
  const settings = join(folder, '.config/containers');
  await mkdir(settings, { recursive: true });
  await writeFile(join(settings, 'registries.conf'), 'unqualified-search-registries = []\n');
  await writeFile(join(folder, 'auth.json'), '{}');
  return { REGISTRY_AUTH_FILE: join(folder, 'auth.json') };
}

const tlsOptions = ({ certificates }: Registry): readonly string[] =>
  certificates === undefined ? ['--tls-verify=false'] : ['--cert-dir', certificates];

/** An image as a file that every engine can load. */
async function archiveOf(folder: string, image: Image, kind: 'docker' | 'oci'): Promise<string> {
  const file = join(folder, `${kind}.tar`);
  const to = kind === 'docker' ? `docker-archive:${file}:localhost/pushed:1` : `oci-archive:${file}:localhost/pushed:1`;
  await mustRun(runProgram('skopeo', ['--insecure-policy', 'copy', '-q', layoutOf(image), to], folder));
  return file;
}

const skopeo: ImagePusher = {
  id: 'skopeo',
  programs: ['skopeo'],
  resends: 2,
  complaints: {
    nothing: /unauthorized: authentication required/,
    wrong: /unauthorized: This token is mistyped or cut off/,
    expired: /unauthorized: This token expired on/,
    stranger: /name unknown: There is no repository acme\/packages here/,
    reader: /denied: \w+ may read \S+ in acme\/packages, but not publish it/,
    login: /invalid username\/password/,
  },
  async start(folder, registry, image) {
    const env = await containersHome(folder);
    const run = (...args: readonly string[]): Promise<Ran> => runProgram('skopeo', args, folder, env);
    const dest = tlsOptions(registry).map((option) => option.replace(/^--/, '--dest-'));
    const src = tlsOptions(registry).map((option) => option.replace(/^--/, '--src-'));
    return {
      push: (name, token) => {
        const creds = token === undefined ? [] : ['--dest-creds', `${user}:${token}`];
        const to = `docker://${registry.host}/${name}`;
        return run('--insecure-policy', 'copy', '--all', ...dest, ...creds, layoutOf(image), to);
      },
      async pull(name, token) {
        const to = await mkdtemp(join(folder, 'image-'));
        const creds = token === undefined ? [] : ['--src-creds', `${user}:${token}`];
        const from = `docker://${registry.host}/${name}`;
        return run('--insecure-policy', 'copy', '--all', ...src, ...creds, from, `dir:${to}`);
      },
      login: (token) => run('login', ...tlsOptions(registry), '-u', user, '-p', token, registry.host),
      close: nowhere,
    };
  },
};

/** What podman and buildah have in common; both print what the library of theirs and skopeo's says. */
function storageClient(id: 'podman' | 'buildah'): ImagePusher {
  return {
    ...skopeo,
    id,
    ...(id === 'buildah' ? { withoutTls: 'what podman does over TLS, it does too' } : {}),
    programs: [id, 'skopeo'],
    async start(folder, registry, image) {
      const env = await containersHome(folder);
      const at = ['--storage-driver', 'vfs', '--root', join(folder, 'images'), '--runroot', join(folder, 'run')];
      const own = id === 'podman' ? ['--cgroup-manager', 'cgroupfs', '--events-backend', 'file'] : [];
      const run = (...args: readonly string[]): Promise<Ran> => runProgram(id, [...at, ...own, ...args], folder, env);
      const tls = tlsOptions(registry);
      const creds = (token: string | undefined) => (token === undefined ? [] : ['--creds', `${user}:${token}`]);
      const archive = await archiveOf(folder, image, 'docker');
      await mustRun(run('pull', '-q', `docker-archive:${archive}`));
      return {
        push: (name, token) =>
          run('push', ...tls, ...creds(token), 'localhost/pushed:1', `docker://${registry.host}/${name}`),
        pull: (name, token) => run('pull', ...tls, ...creds(token), `${registry.host}/${name}`),
        login: (token) => run('login', ...tls, '-u', user, '-p', token, registry.host),
        close: nowhere,
      };
    },
  };
}

/** Of docker; it takes what is on this machine without TLS, and with any certificate. */
const docker: ImagePusher = {
  id: 'docker',
  resends: 2,
  programs: ['dockerd', 'docker', 'skopeo'],
  complaints: {
    nothing: /unauthorized: |no basic auth credentials|authentication required/,
    wrong: /unauthorized: This token is mistyped or cut off/,
    expired: /unauthorized: This token expired on/,
    stranger: /name unknown: There is no repository acme\/packages here/,
    reader: /denied: \w+ may read \S+ in acme\/packages, but not publish it/,
    login: /unauthorized: This token (?:is mistyped|expired)/,
  },
  async start(folder, registry, image) {
    const sockets = await socketFolder();
    const socket = `unix://${join(sockets, 'd')}`;
    const configFile = join(folder, 'daemon.json');
    await writeFile(configFile, '{}');
    const args = [
      ...['--config-file', configFile, '--data-root', join(folder, 'data'), '--exec-root', join(sockets, 'exec')],
      ...['--pidfile', join(folder, 'pid'), '-H', socket, '--storage-driver', 'vfs'],
      ...['--iptables=false', '--ip6tables=false', '--bridge=none'],
    ];
    /** What is shown is what is in the settings. */
    async function as(token: string | undefined, ...rest: readonly string[]): Promise<Ran> {
      const auth = Buffer.from(`${user}:${token}`).toString('base64');
      const auths = token === undefined ? {} : { [registry.host]: { auth } };
      const settings = await mkdtemp(join(folder, 'settings-'));
      await writeFile(join(settings, 'config.json'), JSON.stringify({ auths }));
      return runProgram('docker', ['--config', settings, '-H', socket, ...rest], folder);
    }
    const isUp = async (): Promise<boolean> => (await as(undefined, 'version')).code === 0;
    const daemon = await startDaemon('dockerd', args, folder, isUp);
    await mustRun(as(undefined, 'load', '-q', '-i', await archiveOf(folder, image, 'docker')));
    return {
      async push(name, token) {
        await mustRun(as(undefined, 'tag', 'localhost/pushed:1', `${registry.host}/${name}`));
        return as(token, 'push', `${registry.host}/${name}`);
      },
      pull: (name, token) => as(token, 'pull', `${registry.host}/${name}`),
      login: (token) => as(undefined, 'login', '-u', user, '-p', token, registry.host),
      async close() {
        await daemon.stop();
        // Namespaces that it made for containers stay mounted.
        await runProgram('umount', ['-q', join(sockets, 'exec/netns/default')], folder);
        await rm(sockets, { recursive: true, force: true });
      },
    };
  },
};

const containerd: ImagePusher = {
  id: 'containerd',
  programs: ['containerd', 'ctr', 'skopeo'],
  resends: 0,
  complaints: {
    nothing: /unauthorized|authorization failed/,
    wrong: /unauthorized|401/,
    expired: /unauthorized|401/,
    stranger: /404 Not Found|not found/,
    reader: /403 Forbidden|denied/,
  },
  async start(folder, registry, image) {
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
    const ctr = (...args: readonly string[]): Promise<Ran> => runProgram('ctr', ['-a', socket, ...args], folder);
    const daemon = await startDaemon(
      'containerd',
      ['--config', configFile],
      folder,
      async () => (await ctr('version')).code === 0,
    );
    const archive = await archiveOf(folder, image, 'oci');
    await mustRun(ctr('images', 'import', '--snapshotter', 'native', '--index-name', 'pushed', archive));
    const { certificates, host } = registry;
    const hosts = join(folder, 'hosts', host);
    const url = `${certificates === undefined ? 'http' : 'https'}://${host}`;
    await mkdir(hosts, { recursive: true });
    const lines = [
      `server = "${url}"`,
      `[host."${url}"]`,
      '  capabilities = ["pull", "resolve", "push"]',
      ...(certificates === undefined ? [] : [`  ca = "${join(certificates, 'ca.crt')}"`]),
      '',
    ];
    await writeFile(join(hosts, 'hosts.toml'), lines.join('\n'));
    // Of localhost it would ask without TLS, were it not told.
    const at = ['--hosts-dir', join(folder, 'hosts')];
    const creds = (token: string | undefined) => (token === undefined ? [] : ['--user', `${user}:${token}`]);
    return {
      push: (name, token) => ctr('images', 'push', ...at, ...creds(token), `${host}/${name}`, 'pushed'),
      pull: (name, token) =>
        ctr('images', 'pull', ...at, ...creds(token), '--snapshotter', 'native', `${host}/${name}`),
      async close() {
        await daemon.stop();
        await rm(sockets, { recursive: true, force: true });
      },
    };
  },
};

/** Pushes a chart of its own instead of the image. */
const helm: ImagePusher = {
  id: 'helm',
  programs: ['helm'],
  resends: 2,
  withoutTls: 'version 3.10 asks localhost without TLS, whatever answers there',
  complaints: {
    nothing: /unauthorized|401|authorization failed/,
    wrong: /unauthorized|401/,
    expired: /unauthorized|401/,
    stranger: /404|not found/,
    reader: /403|denied/,
    login: /unauthorized|401/,
  },
  async start(folder, registry) {
    await mkdir(join(folder, 'app/templates'), { recursive: true });
    await writeFile(join(folder, 'app/Chart.yaml'), 'apiVersion: v2\nname: app\nversion: 1.2.3+b1\n');
    await writeFile(join(folder, 'app/templates/none.yaml'), '{}\n');
    await mustRun(runProgram('helm', ['package', 'app'], folder));
    const [chart = ''] = (await readdir(folder)).filter((name) => name.endsWith('.tgz'));
    async function as(token: string | undefined, ...args: readonly string[]): Promise<Ran> {
      const file = join(await mkdtemp(join(folder, 'settings-')), 'config.json');
      const auth = Buffer.from(`${user}:${token}`).toString('base64');
      await writeFile(file, JSON.stringify({ auths: token === undefined ? {} : { [registry.host]: { auth } } }));
      return runProgram('helm', [...args, '--registry-config', file], folder);
    }
    return {
      push(name, token) {
        const parent = name.replace(/\/[^/]+$/, '');
        return as(token, 'push', chart, `oci://${registry.host}/${parent}`);
      },
      async pull(name, token) {
        const to = await mkdtemp(join(folder, 'chart-'));
        const image = name.replace(/:[^:/]+$/, '');
        return as(token, 'pull', `oci://${registry.host}/${image}`, '--version', '1.2.3+b1', '-d', to);
      },
      login: (token) => as(undefined, 'registry', 'login', registry.host, '-u', user, '-p', token, '--insecure'),
      close: nowhere,
    };
  },
};

export const imagePushers: readonly ImagePusher[] = [
  skopeo,
  storageClient('podman'),
  storageClient('buildah'),
  docker,
  containerd,
  helm,
];
