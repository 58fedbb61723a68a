/** A server with a repository to publish to, people who may and people who may not. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createLarder } from '../../src/app.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { Action } from '../../src/core/repository.ts';
import type { Clock } from '../../src/http/limits-pacer.ts';
import { selfSigned } from './certificate.ts';
import { temporaryFolder } from './folder.ts';
import { eventually } from './wait.ts';

type Section = Readonly<Record<string, unknown>>;

export interface HostedOptions {
  /** Of the repository `acme/packages`. */
  readonly format: string;
  readonly options?: Section;
  /** Default: a hosted source and nothing else. */
  readonly sources?: readonly Section[];
  readonly upstreams?: Readonly<Record<string, Section>>;
  /** Further repositories of `acme`. */
  readonly repositories?: Readonly<Record<string, Section>>;
  /** Rules of `acme` in place of the usual ones. */
  readonly access?: readonly Section[];
  /** Further settings of the org `acme`. */
  readonly org?: Section;
  /** Further organisations beside `acme` and `other`. */
  readonly orgs?: Readonly<Record<string, Section>>;
  readonly server?: Section;
  /** Further top-level sections. */
  readonly more?: Section;
  /** Serves HTTPS; the certificate is in `caFile`. */
  readonly tls?: boolean;
  /** Keeps data here; default: a folder of its own that goes away with it. */
  readonly folder?: string;
  /** Default 0: any. */
  readonly port?: number;
  readonly now?: () => number;
  /** What limits of clients are measured by. */
  readonly clock?: Clock;
}

export interface TokenOptions {
  /** Default `acme`. */
  readonly org?: string;
  readonly may?: readonly Action[];
  readonly repositories?: readonly string[];
  readonly names?: readonly string[];
  /** Milliseconds since 1970. */
  readonly expiresAt?: number;
}

export interface HostedServer {
  /** Of the server: `http://localhost:PORT`. */
  readonly root: string;
  /** Of the repository: `http://localhost:PORT/acme/packages`. */
  readonly url: string;
  readonly repository: 'acme/packages';
  readonly folder: string;
  readonly configFile: string;
  /** PEM file; '' without TLS. */
  readonly caFile: string;
  readonly larder: Awaited<ReturnType<typeof createLarder>>;
  /**
   * A new token. `alice` publishes and deletes, `adam` administers, `rita` only reads, `nobody` is a member of no team whom
   * no rule mentions; `olga` is of the org `other` and publishes there.
   */
  token(user: 'alice' | 'adam' | 'rita' | 'nobody' | 'olga' | (string & {}), options?: TokenOptions): Promise<string>;
  /** One that has ended; needs a clock that goes. */
  expiredToken(user?: string): Promise<string>;
  /** Ends it and keeps the folder. */
  stop(): Promise<void>;
  close(): Promise<void>;
}

/** Not known to be of ours, and well-formed for every client. */
export const wrongToken = 'lrd_0000000000000000000000000000000000000';

const people = { alice: {}, adam: {}, rita: {}, nobody: {} };
const teams = { developers: ['alice'], readers: ['rita'], admins: ['adam'] };
const usualAccess: readonly Section[] = [
  { who: ['team:developers'], may: ['read', 'publish', 'delete'] },
  { who: ['team:readers'], may: ['read'] },
  { who: ['team:admins'], may: ['admin'] },
];

export async function startHosted(options: HostedOptions): Promise<HostedServer> {
  const own = options.folder === undefined ? await temporaryFolder() : undefined;
  const folder = options.folder ?? own?.path ?? '';
  await mkdir(folder, { recursive: true });
  const tls = options.tls ? selfSigned() : undefined;
  const caFile = tls ? join(folder, 'ca.pem') : '';
  if (tls) {
    await writeFile(caFile, tls.cert);
    await writeFile(join(folder, 'key.pem'), tls.key);
  }
  const configFile = join(folder, 'larder.yaml');
  const repository = { format: options.format, sources: options.sources ?? [{ hosted: true }] };
  const settings = {
    server: {
      listen: `127.0.0.1:${options.port ?? 0}`,
      ...(tls ? { tls: { cert: caFile, key: join(folder, 'key.pem') } } : {}),
      ...options.server,
    },
    storage: { path: join(folder, 'data') },
    upstreams: options.upstreams ?? {},
    orgs: {
      acme: {
        users: people,
        teams,
        repositories: {
          packages: { ...repository, ...(options.options ? { options: options.options } : {}) },
          ...options.repositories,
        },
        access: options.access ?? usualAccess,
        ...options.org,
      },
      other: {
        users: { olga: {} },
        repositories: { packages: { format: options.format, sources: [{ hosted: true }] } },
        access: [{ who: ['user:olga'], may: ['admin'] }],
      },
      ...options.orgs,
    },
    log: { level: 'silent' },
    ...options.more,
  };
  await writeFile(configFile, JSON.stringify(settings, undefined, 2));
  const larder = await createLarder(await loadConfig(configFile, {}), {
    ...(options.now ? { now: options.now } : {}),
    ...(options.clock ? { clock: options.clock } : {}),
  });
  const { port } = await larder.listen();
  const root = `${tls ? 'https' : 'http'}://localhost:${port}`;
  let stopped: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    stopped ??= larder.close();
    await stopped;
  };
  const now = options.now ?? Date.now;
  const token: HostedServer['token'] = async (user, { org = user === 'olga' ? 'other' : 'acme', ...limits } = {}) => {
    const made = await larder.access.administration.createToken(org, { user, ...limits }, { by: 'system' });
    return made.token;
  };
  return {
    root,
    url: `${root}/acme/packages`,
    repository: 'acme/packages',
    folder,
    configFile,
    caFile,
    larder,
    token,
    // Nobody is given a token that has ended, so it is given a moment.
    async expiredToken(user = 'alice') {
      const expiresAt = now() + 20;
      const made = await token(user, { expiresAt });
      await eventually('the token has ended', async () => (now() > expiresAt ? true : undefined));
      return made;
    },
    stop,
    async close() {
      await stop();
      await own?.remove();
    },
  };
}
