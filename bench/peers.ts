/** The servers that are compared, each as somebody who knows it well would configure it, each with its access log on. */
import { execFile } from 'node:child_process';
import { access, mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { stringify } from 'yaml';
import { freePort, type Server, startServer } from './server.ts';

const run = promisify(execFile);

/** Who are known to Larder. */
export const reader = { name: 'reader', password: 'of the bench' } as const;
export const writer = { name: 'writer', password: 'of the bench' } as const;

export type PeerName = 'larder' | 'nginx' | 'nginx-open' | 'verdaccio' | 'docker-registry' | 'registry-own';

export interface Grounds {
  /** Of the fake upstream. */
  readonly upstreamUrl: string;
  readonly workFolder: string;
  /** Larder's entry point. */
  readonly program: string;
  /** Node's own options for Larder, e.g. `--cpu-prof`. */
  readonly nodeOptions: readonly string[];
}

/** Throws with what to install when the program is not there. */
export async function versionOf(peer: PeerName | 'wrk' | 'npm' | 'skopeo'): Promise<string> {
  switch (peer) {
    case 'larder':
      return `Node ${process.versions.node}`;
    case 'nginx':
    case 'nginx-open':
      return said('nginx', ['-v'], /nginx\/(\S+)/, 'apt-get install nginx-light');
    case 'wrk':
      return said('wrk', ['-v'], /wrk (?:debian\/)?(\S+)/, 'apt-get install wrk');
    case 'docker-registry':
    case 'registry-own':
      return said('docker-registry', ['--version'], /docker-registry \S+ (\S+)/, 'apt-get install docker-registry');
    case 'skopeo':
      return said('skopeo', ['--version'], /version (\S+)/, 'apt-get install skopeo');
    case 'npm':
      return said('npm', ['--version'], /^(\d\S*)/m, 'apt-get install npm');
    case 'verdaccio':
      return said(process.execPath, [await verdaccioProgram(), '--version'], /v?(\d\S*)/, verdaccioHint());
  }
}

async function said(command: string, args: readonly string[], version: RegExp, install: string): Promise<string> {
  // wrk ends with 1 after telling its version, nginx tells it on standard error.
  const { stdout, stderr } = await run(command, args).catch((error: { stdout?: string; stderr?: string }) => ({
    stdout: error.stdout ?? '',
    stderr: error.stderr ?? '',
  }));
  const found = version.exec(stdout + stderr)?.[1];
  if (found === undefined) throw new Error(`${command} is missing. Install it: ${install}`);
  return found;
}

function clientsFolder(): string {
  return resolve(process.env.CLIENTS_DIR ?? join(import.meta.dirname, '../.clients'));
}

async function verdaccioProgram(): Promise<string> {
  const folder = clientsFolder();
  const places = ['npm/verdaccio', 'verdaccio', '.'].map((place) =>
    join(folder, place, 'node_modules/verdaccio/bin/verdaccio'),
  );
  for (const place of places) {
    const there = await access(place).then(
      () => true,
      () => false,
    );
    if (there) return place;
  }
  throw new Error(`Verdaccio is missing. Install it: ${verdaccioHint()}`);
}

function verdaccioHint(): string {
  const folder = join(clientsFolder(), 'verdaccio');
  // Without the override npm cannot resolve Verdaccio's tree where the registry has no `cjs` tag of node-fetch.
  const manifest = JSON.stringify({ private: true, overrides: { 'node-fetch': '2.7.0' } });
  return `mkdir -p ${folder} && cd ${folder} && echo '${manifest}' > package.json && npm install verdaccio@6.10.4 (or set CLIENTS_DIR)`;
}

export function startPeer(peer: PeerName, grounds: Grounds): Promise<Server> {
  switch (peer) {
    case 'larder':
      return startLarder(grounds);
    case 'nginx':
      return startNginx(grounds, 'nginx', '');
    case 'nginx-open':
      return startNginx(grounds, 'nginx-open', 'open_file_cache max=10000 inactive=1h; open_file_cache_valid 1m;');
    case 'verdaccio':
      return startVerdaccio(grounds);
    case 'docker-registry':
      return startDockerRegistry(grounds, 'docker-registry');
    case 'registry-own':
      return startDockerRegistry(grounds, 'registry-own');
  }
}

async function startLarder(grounds: Grounds): Promise<Server> {
  const folder = join(grounds.workFolder, 'larder');
  const port = await freePort();
  const configPath = join(folder, 'larder.yaml');
  await mkdir(folder, { recursive: true });
  const config = {
    server: { listen: `127.0.0.1:${port}` },
    storage: { path: join(folder, 'data') },
    upstreams: {
      'bench-registry': { url: `${grounds.upstreamUrl}/registry` },
      'bench-files': { url: `${grounds.upstreamUrl}/files` },
      'bench-maven': { url: `${grounds.upstreamUrl}/maven`, format: 'maven' },
      'bench-images': { url: grounds.upstreamUrl, format: 'oci' },
      'bench-rubygems': { url: `${grounds.upstreamUrl}/rubygems`, format: 'rubygems' },
      'bench-pypi': { url: `${grounds.upstreamUrl}/pypi/simple`, format: 'pypi' },
      'bench-p2': { url: `${grounds.upstreamUrl}/p2`, format: 'p2' },
      'bench-nuget': { url: `${grounds.upstreamUrl}/nuget/v3/index.json`, format: 'nuget' },
    },
    orgs: {
      bench: {
        repositories: {
          npm: { format: 'npm', sources: [{ remote: 'bench-registry', ttl: '1d' }] },
          files: { format: 'generic', sources: [{ remote: 'bench-files', ttl: '1d' }] },
          maven: { format: 'maven', sources: [{ remote: 'bench-maven', ttl: '1d' }] },
          images: { format: 'oci', sources: [{ remote: 'bench-images', ttl: '1d' }] },
          rubygems: { format: 'rubygems', sources: [{ remote: 'bench-rubygems', ttl: '1d' }] },
          pypi: { format: 'pypi', sources: [{ remote: 'bench-pypi', ttl: '1d' }] },
          nuget: { format: 'nuget', sources: [{ remote: 'bench-nuget', ttl: '1d' }] },
          'own-packages': { format: 'npm', sources: [{ hosted: true }] },
          'own-images': { format: 'oci', sources: [{ hosted: true }] },
          p2: { format: 'p2', sources: [{ remote: 'bench-p2', ttl: '1d' }] },
        },
        users: Object.fromEntries([reader, writer].map(({ name, password }) => [name, { password }])),
        access: [
          { who: ['everyone'], may: ['read'] },
          { who: [`user:${writer.name}`], may: ['publish'], repositories: ['own-packages', 'own-images'] },
        ],
      },
    },
    hosts: { default: 'bench/images' },
  };
  await writeFile(configPath, stringify(config));
  return startServer({
    name: 'larder',
    command: resolve(grounds.program),
    args: ['serve', '--config', configPath],
    env: { NODE_OPTIONS: grounds.nodeOptions.join(' ') },
    folder,
    port,
    readyPath: '/readyz',
    places: {
      registry: '/bench/npm',
      files: '/bench/files',
      maven: '/bench/maven',
      images: '/v2',
      rubygems: '/bench/rubygems',
      pypi: '/bench/pypi',
      nuget: '/bench/nuget',
      p2: '/bench/p2',
      'own-packages': '/bench/own-packages',
      'own-images': '/v2/bench/own-images',
    },
  });
}

async function startNginx(grounds: Grounds, name: string, extra: string): Promise<Server> {
  const folder = join(grounds.workFolder, name);
  const port = await freePort();
  const configPath = join(folder, 'nginx.conf');
  await mkdir(folder, { recursive: true });
  const { host } = new URL(grounds.upstreamUrl);
  // The worker would give up root for a user who may not enter the work folder.
  const user = process.getuid?.() === 0 ? 'user root;' : '';
  const config = `${user}
worker_processes 1; daemon off; pid ${folder}/pid; error_log ${folder}/error.log;
events { worker_connections 4096; }
http {
  access_log ${folder}/access.log combined buffer=64k flush=1s;
  sendfile on; tcp_nopush on; keepalive_requests 1000000000; ${extra}
  client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy; fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi; scgi_temp_path ${folder}/scgi;
  proxy_cache_path ${folder}/cache levels=1:2 keys_zone=bench:50m max_size=20g inactive=1d use_temp_path=off;
  upstream bench { server ${host}; keepalive 32; }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location = /ready { access_log off; return 200; }
    location / {
      proxy_pass http://bench; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_cache bench; proxy_cache_valid 200 1d; proxy_cache_lock on; proxy_cache_revalidate on;
      proxy_cache_use_stale error timeout updating;
    }
  }
}
`;
  await writeFile(configPath, config);
  return startServer({
    name,
    command: 'nginx',
    args: ['-c', configPath, '-p', folder],
    folder,
    port,
    readyPath: '/ready',
    places: {
      registry: '/registry',
      files: '/files',
      maven: '/maven',
      rubygems: '/rubygems',
      pypi: '/pypi',
      nuget: '/nuget',
      p2: '/p2',
    },
  });
}

async function startVerdaccio(grounds: Grounds): Promise<Server> {
  const folder = join(grounds.workFolder, 'verdaccio');
  const port = await freePort();
  const configPath = join(folder, 'config.yaml');
  await mkdir(folder, { recursive: true });
  const rule = { access: '$all', proxy: 'bench' };
  const config = {
    storage: join(folder, 'storage'),
    auth: { htpasswd: { file: join(folder, 'htpasswd') } },
    uplinks: {
      bench: {
        url: `${grounds.upstreamUrl}/registry/`,
        maxage: '1d',
        agent_options: { keepAlive: true, maxSockets: 40, maxFreeSockets: 10 },
      },
    },
    packages: { 'own-*': { access: '$all', publish: '$all' }, '@*/*': rule, '**': rule },
    middlewares: { audit: { enabled: false } },
    web: { enable: false },
    server: { keepAliveTimeout: 60 },
    log: { type: 'file', path: join(folder, 'access.log'), format: 'json', level: 'http' },
  };
  await writeFile(configPath, stringify(config));
  return startServer({
    name: 'verdaccio',
    command: process.execPath,
    args: [await verdaccioProgram(), '--config', configPath, '--listen', `127.0.0.1:${port}`],
    folder,
    port,
    readyPath: '/-/ping',
    places: { registry: '', 'own-packages': '' },
  });
}

/** Of every request it writes one line, as the others do: below `warn` it would write a second one. */
/** A cache of the upstream, or one that is pushed to: the program is one or the other. */
async function startDockerRegistry(grounds: Grounds, name: 'docker-registry' | 'registry-own'): Promise<Server> {
  const folder = join(grounds.workFolder, name);
  const port = await freePort();
  const configPath = join(folder, 'config.yml');
  await mkdir(folder, { recursive: true });
  const config = {
    version: 0.1,
    log: { level: 'warn', accesslog: { disabled: false } },
    storage: {
      filesystem: { rootdirectory: join(folder, 'storage') },
      cache: { blobdescriptor: 'inmemory' },
      maintenance: { uploadpurging: { enabled: false } },
    },
    http: { addr: `127.0.0.1:${port}` },
    ...(name === 'docker-registry' ? { proxy: { remoteurl: grounds.upstreamUrl } } : {}),
  };
  await writeFile(configPath, stringify(config));
  return startServer({
    name,
    command: 'docker-registry',
    args: ['serve', configPath],
    env: { OTEL_TRACES_EXPORTER: 'none' },
    folder,
    port,
    readyPath: '/v2/',
    places: name === 'docker-registry' ? { images: '/v2' } : { 'own-images': '/v2' },
  });
}
