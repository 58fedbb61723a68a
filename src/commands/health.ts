/** `larder health`: does the server of this machine answer? Health checks of containers run it, so it loads little and is quick. */
import { readFile } from 'node:fs/promises';
import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';
import { text } from 'node:stream/consumers';
import { configFile } from '../config/file.ts';
import { readSource } from '../config/source.ts';
import { type Listen, parseListen } from '../config/units.ts';
import { type Command, configOption, exitCodes, type Input } from './command.ts';

/** Shorter than the time limits that container engines and the Dockerfile set. */
const patienceMs = 3_000;
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
  },
  async run(input) {
    const { listen, isSecure } = await reach(input);
    const path = input.flag('ready') ? '/readyz' : '/healthz';
    const { status, body } = await ask(listen, isSecure, path);
    if (status === 200) return exitCodes.done;
    input.warn(`larder: ${path} answers ${status}: ${body.slice(0, 500)}`);
    return exitCodes.failed;
  },
};

async function reach(input: Input): Promise<{ readonly listen: Listen; readonly isSecure: boolean }> {
  const file = configFile(input.text('config'), input.environment);
  const written = await readFile(file, 'utf8').catch(() => '');
  const { value } = await readSource(written, input.environment);
  const { server } = value as { readonly server?: { readonly listen?: unknown; readonly tls?: unknown } | null };
  const said = server?.listen;
  const listen = typeof said === 'string' || typeof said === 'number' ? parseListen(said) : undefined;
  return { listen: listen ?? usual, isSecure: typeof server?.tls === 'object' && server.tls !== null };
}

async function ask({ host, port }: Listen, isSecure: boolean, path: string) {
  const options = { host: loopbacks[host] ?? host, port, path, agent: false, signal: AbortSignal.timeout(patienceMs) };
  const answer = await new Promise<IncomingMessage>((done, fail) => {
    // The certificate is for the name that clients use, not for this address; whoever listens here is on this machine.
    const request = isSecure ? https.get({ ...options, rejectUnauthorized: false }, done) : http.get(options, done);
    request.once('error', (error: NodeJS.ErrnoException) =>
      fail(new Error(`nobody answers at ${options.host} port ${port}: ${error.code ?? error.message}`)),
    );
  });
  return { status: answer.statusCode ?? 0, body: await text(answer) };
}
