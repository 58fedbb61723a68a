/** nginx and Caddy in front of a server, with the configurations of docs/proxies.md. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { chmod, chown, mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { root } from '../support/larder.ts';
import { eventually } from '../support/wait.ts';

/** What the page says, as it stands there; `language` as the block calls it, `name` after `tested=`. */
export function blockOf(language: 'nginx' | 'caddy', name: string): string {
  const page = readFileSync(join(root, 'docs/proxies.md'), 'utf8');
  const found = new RegExp(`^\`\`\`${language} tested="${name}"\\n([\\s\\S]*?)^\`\`\`$`, 'm').exec(page)?.[1];
  if (found === undefined) throw new Error(`docs/proxies.md has no block of ${language} for ${name}`);
  return found;
}

/** In place of what a reader has on their machine. */
export interface Surroundings {
  /** The caller's, removed after `close`. */
  readonly folder: string;
  readonly certificate: { readonly certFile: string; readonly keyFile: string };
  /** Of Larder, or of what stands before it. */
  readonly larderPort: number;
  /** Of Larder. */
  readonly storage: string;
  /** Chosen before, where something has to know it. */
  readonly port?: number;
}

export interface ReverseProxy {
  /** `https://localhost:PORT` */
  readonly origin: string;
  readonly port: number;
  close(): Promise<void>;
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return port;
}

/** Every part of the page has to be there to be replaced. */
function replaced(text: string, parts: Readonly<Record<string, string>>): string {
  let result = text;
  for (const [there, here] of Object.entries(parts)) {
    if (!result.includes(there)) throw new Error(`The configuration says nothing about ${there}`);
    result = result.replaceAll(there, here);
  }
  return result;
}

interface Start {
  readonly program: string;
  readonly args: readonly string[];
  /** On which it will listen. */
  readonly port: number;
  readonly home: string;
  readonly as?: User | undefined;
}

/** Whom a proxy runs as, where the tests run as root. */
export interface User {
  readonly name: string;
  readonly group: string;
  readonly uid: number;
  readonly gid: number;
}

/** A user of their own, so that what they may open is what a reader's proxy may open. */
export const proxyUser: User | undefined =
  process.getuid?.() === 0 ? { name: 'nobody', group: 'nogroup', uid: 65_534, gid: 65_534 } : undefined;

/** A folder for Larder's configuration and data below another; as on the page, all data belongs to a group that the proxy's user is in. */
export async function folderFor(parent: string, name: string): Promise<string> {
  const place = join(parent, name);
  const data = join(place, 'data');
  await mkdir(data, { recursive: true });
  if (!proxyUser) return place;
  for (const path of [parent, place]) await chmod(path, 0o711);
  await chown(data, 0, proxyUser.gid);
  await chmod(data, 0o2700);
  return place;
}

async function begun({ program, args, port, home, as }: Start): Promise<ChildProcess> {
  const child = spawn(program, args, {
    stdio: 'ignore',
    env: { PATH: process.env.PATH, HOME: home, XDG_DATA_HOME: home, XDG_CONFIG_HOME: home },
    ...(as ? { uid: as.uid, gid: as.gid } : {}),
  });
  const orphaned = (): void => void child.kill('SIGKILL');
  process.once('exit', orphaned);
  child.once('exit', () => process.off('exit', orphaned));
  const failed = Promise.withResolvers<never>();
  child.once('error', failed.reject);
  child.once('exit', (code) => failed.reject(new Error(`${program} ended with ${code}`)));
  failed.promise.catch(() => {});
  const listens = eventually(`${program} listens`, () => (child.exitCode === null ? isListening(port) : undefined));
  await Promise.race([listens, failed.promise]);
  return child;
}

function isListening(port: number): Promise<true | undefined> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(undefined));
  });
}

/** At once: what is still open has no reader any more. */
async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGTERM');
  // Caddy waits for as long as a connection is in use.
  const impatient = setTimeout(() => child.kill('SIGKILL'), 2000);
  await exit;
  clearTimeout(impatient);
}

export async function startNginx(name: string, around: Surroundings, as = proxyUser): Promise<ReverseProxy> {
  const folder = await mkdtemp(join(around.folder, 'nginx-'));
  const port = around.port ?? (await freePort());
  const block = blockOf('nginx', name);
  const site = replaced(block, {
    'listen 443 ': `listen 127.0.0.1:${port} `,
    '127.0.0.1:5273': `127.0.0.1:${around.larderPort}`,
    '/etc/nginx/larder.crt': around.certificate.certFile,
    '/etc/nginx/larder.key': around.certificate.keyFile,
    ...(block.includes('/var/lib/larder/') ? { '/var/lib/larder/': `${around.storage}/` } : {}),
  });
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (kind) => `${kind}_temp_path ${folder}/temporary/${kind};`,
  );
  await mkdir(join(folder, 'temporary'));
  await writeFile(join(folder, 'larder.conf'), site);
  // What Debian has in its nginx.conf, with compression for everything.
  await writeFile(
    join(folder, 'nginx.conf'),
    `${as ? `user ${as.name} ${as.group};` : ''}
daemon off;
worker_processes 1;
pid ${folder}/pid;
error_log ${folder}/error.log;
events { worker_connections 256; }
http {
  sendfile on;
  tcp_nopush on;
  types { application/java-archive jar; text/plain txt; }
  default_type application/octet-stream;
  charset utf-8;
  gzip on;
  gzip_types *;
  access_log ${folder}/access.log;
  ${temporary.join('\n  ')}
  include ${folder}/larder.conf;
}
`,
  );
  const errorFile = join(folder, 'error.log');
  const errors = (): Promise<string> => readFile(errorFile, 'utf8').catch(() => '');
  const args = ['-c', join(folder, 'nginx.conf'), '-p', folder, '-e', errorFile];
  const child = await begun({ program: '/usr/sbin/nginx', args, port, home: folder }).catch(async (error) => {
    throw new Error(await errors(), { cause: error });
  });
  return { origin: `https://localhost:${port}`, port, close: () => ended(child) };
}

export async function startCaddy(name: string, around: Surroundings, as = proxyUser): Promise<ReverseProxy> {
  const folder = await mkdtemp(join(around.folder, 'caddy-'));
  const port = around.port ?? (await freePort());
  const block = blockOf('caddy', name);
  const host = /^(\S+) \{$/m.exec(block)?.[1] ?? '';
  const { certFile, keyFile } = around.certificate;
  const site = replaced(block, {
    [`${host} {\n`]: `https://localhost:${port} {\n\tbind 127.0.0.1\n\ttls ${certFile} ${keyFile}\n`,
    '127.0.0.1:5273': `127.0.0.1:${around.larderPort}`,
    ...(block.includes('/var/lib/larder/') ? { '/var/lib/larder/': `${around.storage}/` } : {}),
  });
  const logFile = join(folder, 'caddy.log');
  const settings = `{\n\tadmin off\n\tauto_https disable_redirects\n\tlog {\n\t\toutput file ${logFile}\n\t}\n}\n`;
  await writeFile(join(folder, 'Caddyfile'), `${settings}${site}`);
  if (as) await chown(folder, as.uid, as.gid);
  const errors = (): Promise<string> => readFile(logFile, 'utf8').catch(() => '');
  const args = ['run', '--config', join(folder, 'Caddyfile'), '--adapter', 'caddyfile'];
  const child = await begun({ program: 'caddy', args, port, home: folder, as }).catch(async (error) => {
    throw new Error(await errors(), { cause: error });
  });
  return { origin: `https://localhost:${port}`, port, close: () => ended(child) };
}

export interface Relay {
  readonly port: number;
  /** Connections so far. */
  readonly connections: number;
  /** Everything that went to Larder, in the order of the connections. */
  asked(): string;
  /** Bytes that came from Larder. */
  readonly answeredBytes: number;
  /** Runs before the next piece of an answer that contains `text` is passed on. */
  before(text: string, work: () => Promise<void>): void;
  close(): Promise<void>;
}

/** Between proxy and Larder: sees what they say to each other, and can do something in between. */
export async function startRelay(target: number): Promise<Relay> {
  let connections = 0;
  let answeredBytes = 0;
  const asked: Buffer[] = [];
  const open = new Set<Socket>();
  let due: { readonly text: string; readonly work: () => Promise<void> } | undefined;
  const server = createServer({ noDelay: true }, (near) => {
    connections += 1;
    const far = connect({ port: target, host: '127.0.0.1', noDelay: true });
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(from);
      from.on('error', () => to.destroy());
      from.on('close', () => {
        open.delete(from);
        to.destroy();
      });
      from.on('end', () => to.end());
      to.on('drain', () => from.resume());
    }
    near.on('data', (piece) => {
      if (piece.length < 65_536) asked.push(piece);
      if (!far.write(piece)) near.pause();
    });
    let passing = Promise.resolve();
    far.on('data', (piece) => {
      answeredBytes += piece.length;
      const first = due && piece.includes(due.text) ? due.work : undefined;
      if (first) due = undefined;
      passing = passing.then(async () => {
        await first?.();
        if (!near.write(piece)) far.pause();
      });
    });
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    port: (server.address() as AddressInfo).port,
    get connections() {
      return connections;
    },
    get answeredBytes() {
      return answeredBytes;
    },
    asked: () => Buffer.concat(asked).toString('latin1'),
    before(text, work) {
      due = { text, work };
    },
    async close() {
      for (const socket of open) socket.destroy();
      await new Promise((done) => server.close(done));
    },
  };
}
