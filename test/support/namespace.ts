/** A network namespace with no way out: programs that run inside reach each other over its own loopback, and nobody else. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';

export interface Namespace {
  /** Programs that this package of helpers starts while `body` runs are inside; the test itself stays where it is. */
  inside<T>(body: () => Promise<T>): Promise<T>;
  /** Whoever is still inside keeps it. */
  close(): void;
}

const ip = '/sbin/ip';
const current = new AsyncLocalStorage<string>();

const runIp = (...args: readonly string[]): string => execFileSync(ip, args, { encoding: 'utf8', stdio: 'pipe' });

/** Program and arguments as they are to be started: in the namespace, if it is to be in one. It stays the same process. */
export function placed(program: string, args: readonly string[]): [string, string[]] {
  const name = current.getStore();
  return name === undefined ? [program, [...args]] : [ip, ['netns', 'exec', name, program, ...args]];
}

/** Throws where the machine does not let us: it takes root, and a kernel that has them. */
export function createNamespace(): Namespace {
  const name = `larder-${process.pid}-${randomBytes(4).toString('hex')}`;
  runIp('netns', 'add', name);
  const remove = (): void => void runIp('netns', 'delete', name);
  // A test run that is broken off leaves nothing behind.
  process.once('exit', remove);
  const close = (): void => {
    process.off('exit', remove);
    remove();
  };
  try {
    runIp('-n', name, 'link', 'set', 'lo', 'up');
  } catch (error) {
    close();
    throw error;
  }
  return { inside: (body) => current.run(name, body), close };
}

/** Why a test with one can't run here; with `CI` set that is an error instead. */
export function missingNamespaces(): string | undefined {
  try {
    createNamespace().close();
    return undefined;
  } catch (error) {
    const reason = `no network namespace can be made: ${(error as Error).message.trim().replaceAll('\n', ' ')}`;
    if (process.env.CI === 'true') throw new Error(reason, { cause: error });
    return reason;
  }
}
