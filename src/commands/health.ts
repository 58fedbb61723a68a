/** `larder health`: does the server of this machine answer? Health checks of containers run it, so it loads little and is quick. */
import { readFile } from 'node:fs/promises';
import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { configFile } from '../config/file.ts';
import { readSource } from '../config/source.ts';
import { type Listen, parseDuration, parseListen } from '../config/units.ts';
import { type Command, configOption, exitCodes, type Input, UsageError } from './command.ts';

/** Shorter than the time limits that container engines and the Dockerfile set. */
const patienceMs = 5_000;
/** Between two questions, while it is waited for. */
const pauseMs = 100;
const usual: Listen = { host: '127.0.0.1', port: 5273 };
/** Listening on all addresses is no address to ask. */
const loopbacks: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

export const command: Command = {
  name: 'health',
  summary: 'Asks the server on this machine whether it answers.',
  details:
    'Exits 0 if it does. Address, port and TLS are those of the configuration. Mistakes elsewhere in the file are passed over:\n' +
    'a server that is running does not become ill by an edit that it has not read.',
  options: {
    config: configOption,
    ready: { type: 'boolean', description: 'Whether it can use its storage, too.' },
    pid: { type: 'string', value: 'PID', description: 'Stop waiting when this process has ended.' },
    wait: { type: 'string', value: 'TIME', description: 'Ask until it does, for 30s or 2m at most.' },
  },
  async run(input) {
    const written = input.text('wait');
    const waitMs = written === undefined ? 0 : parseDuration(written);
    if (waitMs === undefined) throw new UsageError(`--wait ${written} is no time; write such as 30s or 2m`);
    const place = await reach(input);
    const path = input.flag('ready') ? '/readyz' : '/healthz';
    const deadline = performance.now() + waitMs;
    for (;;) {
      const trouble = await ask(place, path).catch((error: Error) => error.message);
      if (trouble === undefined) return exitCodes.done;
      if (performance.now() >= deadline || hasEnded(input.text('pid'))) throw new Error(trouble);
      await delay(pauseMs);
    }
  },
};

function hasEnded(pid: string | undefined): boolean {
  if (pid === undefined) return false;
  if (!/^[1-9]\d*$/.test(pid)) throw new UsageError(`--pid ${pid} is no process`);
  try {
    return !process.kill(Number(pid), 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}

interface Place {
  readonly listen: Listen;
  readonly isSecure: boolean;
}

async function reach(input: Input): Promise<Place> {
  const file = configFile(input.text('config'), input.environment);
  const written = await readFile(file, 'utf8').catch(() => '');
  const { value } = await readSource(written, input.environment);
  const { server } = value as { readonly server?: { readonly listen?: unknown; readonly tls?: unknown } | null };
  const said = server?.listen;
  const listen = typeof said === 'string' || typeof said === 'number' ? parseListen(said) : undefined;
  return { listen: listen ?? usual, isSecure: typeof server?.tls === 'object' && server.tls !== null };
}

/** Resolves to what is wrong. */
async function ask({ listen: { host, port }, isSecure }: Place, path: string): Promise<string | undefined> {
  const options = { host: loopbacks[host] ?? host, port, path, agent: false, signal: AbortSignal.timeout(patienceMs) };
  const answer = await new Promise<IncomingMessage>((done, fail) => {
    // The certificate is for the name that clients use, not for this address; whoever listens here is on this machine.
    const request = isSecure ? https.get({ ...options, rejectUnauthorized: false }, done) : http.get(options, done);
    request.once('error', (error: NodeJS.ErrnoException) =>
      fail(new Error(`nobody answers at ${options.host} port ${port}: ${error.code ?? error.message}`)),
    );
  });
  const body = await text(answer);
  return answer.statusCode === 200 ? undefined : `${path} answers ${answer.statusCode}: ${body.slice(0, 500)}`;
}
