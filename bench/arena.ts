/** The upstream and the servers of one run, started when they are first needed. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Contender } from './contest.ts';
import type { Usage } from './machine.ts';
import { type Grounds, type PeerName, startPeer } from './peers.ts';
import type { Server } from './server.ts';
import type { Upstream } from './upstream.ts';

export interface Arena {
  readonly upstream: Upstream;
  readonly workFolder: string;
  readonly rounds: number;
  /** Of one turn under load. */
  readonly seconds: number;
  server(peer: PeerName): Promise<Server>;
  /** One of its own with nothing stored; once stopped, what it stored is gone. */
  another(peer: PeerName): Promise<Server>;
  /** One line on standard error while it lasts. */
  say(what: string): void;
  usages(): Promise<ReadonlyMap<PeerName, Usage>>;
  close(): Promise<void>;
}

export function openArena(
  upstream: Upstream,
  grounds: Grounds,
  options: Pick<Arena, 'rounds' | 'seconds' | 'say'>,
): Arena {
  const servers = new Map<PeerName, Promise<Server>>();
  const others: Promise<Server>[] = [];
  return {
    ...options,
    upstream,
    workFolder: grounds.workFolder,
    server(peer) {
      const known = servers.get(peer);
      if (known) return known;
      const starting = startPeer(peer, grounds);
      servers.set(peer, starting);
      return starting;
    },
    async another(peer) {
      const workFolder = join(grounds.workFolder, 'others', String(others.length));
      const starting = startPeer(peer, { ...grounds, workFolder });
      others.push(starting);
      const server = await starting;
      return {
        ...server,
        async stop() {
          await server.stop();
          await rm(workFolder, { recursive: true, force: true });
        },
      };
    },
    async usages() {
      const found = new Map<PeerName, Usage>();
      for (const [peer, server] of servers) {
        // One that ended has made its rows fail already.
        const usage = await server.then((up) => up.usage()).catch(() => undefined);
        if (usage) found.set(peer, usage);
      }
      return found;
    },
    async close() {
      await Promise.all(
        [...servers.values(), ...others].map((server) =>
          server.then(
            (up) => up.stop(),
            // It never started, which its row has said already.
            () => {},
          ),
        ),
      );
      await upstream.stop();
    },
  };
}

const notPeers: ReadonlySet<Contender> = new Set(['straight', 'nginx-file', 'larder-alone', 'larder-calm']);

export function isPeer(contender: Contender): contender is PeerName {
  return !notPeers.has(contender);
}
