/** `dotnet nuget push` and `delete` as they appear on the wire (NuGet.Client 6.12: PackageUpdateResource, HttpSource), and what they print. */
import { request } from 'node:http';
import { request as tlsRequest } from 'node:https';
import { gunzipSync } from 'node:zlib';
import { formOf } from './nuget-packages.ts';

export interface PushOptions {
  /** `--api-key`. */
  readonly apiKey?: string;
  /** Of `<packageSourceCredentials>`; shown once it is asked for. */
  readonly password?: string;
  /** A `.snupkg` that lies beside the package. */
  readonly symbols?: Buffer;
  readonly skipDuplicate?: boolean;
  readonly ca?: string;
}

export interface Said {
  readonly ok: boolean;
  /** Lines that begin with `error:` or `warn :`. */
  readonly lines: readonly string[];
  /** Method, path and status of everything that was asked. */
  readonly asked: readonly string[];
}

interface Reply {
  readonly status: number;
  readonly reason: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

const usual = {
  'user-agent': 'NuGet Command Line/6.12.0 (Debian)',
  'x-nuget-client-version': '6.12.0',
  'accept-language': 'en-US',
  'accept-encoding': 'gzip, deflate',
  'x-nuget-session-id': 'f5c4a8d2-0000-4000-8000-000000000000',
};

class PushError extends Error {}

interface Sent {
  readonly method: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer;
}

/** Once, in chunks of unknown number, so that an early refusal need not wait for all of it. */
function send(url: string, { method, headers = {}, body }: Sent, ca: string | undefined): Promise<Reply> {
  const isTls = url.startsWith('https:');
  return new Promise((resolve, reject) => {
    const outgoing = (isTls ? tlsRequest : request)(url, {
      method,
      headers: { ...usual, ...headers, ...(body ? { 'transfer-encoding': 'chunked' } : {}) },
      agent: false,
      ...(ca === undefined ? {} : { ca }),
    });
    outgoing.on('error', reject);
    outgoing.on('response', (incoming) => {
      const chunks: Buffer[] = [];
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
      incoming.on('error', reject);
      incoming.on('end', () => {
        const { statusCode: status = 0, statusMessage: reason = '', headers } = incoming;
        resolve({ status, reason, headers, body: Buffer.concat(chunks) });
      });
    });
    for (let at = 0; body && at < body.length; at += 4096) outgoing.write(body.subarray(at, at + 4096));
    outgoing.end();
  });
}

class Client {
  readonly asked: string[] = [];
  readonly lines: string[] = [];
  readonly #options: PushOptions;

  constructor(options: PushOptions) {
    this.#options = options;
  }

  async ask(url: string, sent: Sent): Promise<Reply> {
    const { password, ca } = this.#options;
    let reply = await this.#once(url, sent, ca);
    if (reply.status === 401 && password !== undefined && /^Basic /.test(String(reply.headers['www-authenticate']))) {
      const authorization = `Basic ${Buffer.from(`token:${password}`).toString('base64')}`;
      reply = await this.#once(url, { ...sent, headers: { ...sent.headers, authorization } }, ca);
    }
    return reply;
  }

  async #once(url: string, sent: Sent, ca: string | undefined): Promise<Reply> {
    const reply = await send(url, sent, ca);
    this.asked.push(`${sent.method} ${new URL(url).pathname} ${reply.status}`);
    const warning = reply.headers['x-nuget-warning'];
    if (warning !== undefined) this.lines.push(`warn : ${warning}`);
    return reply;
  }

  /** `HttpResponseMessage.EnsureSuccessStatusCode` of .NET. */
  ensure({ status, reason }: Reply): void {
    if (status >= 200 && status < 300) return;
    throw new PushError(`Response status code does not indicate success: ${status} (${reason}).`);
  }

  async resource(source: string, type: string): Promise<string | undefined> {
    const reply = await this.ask(source, { method: 'GET' });
    try {
      this.ensure(reply);
    } catch (error) {
      this.lines.push(`error: Unable to load the service index for source ${source}.`);
      throw error;
    }
    const isPacked = reply.headers['content-encoding'] === 'gzip';
    const { resources } = JSON.parse((isPacked ? gunzipSync(reply.body) : reply.body).toString()) as {
      resources: { '@id': string; '@type': string }[];
    };
    return resources.find((one) => one['@type'] === type)?.['@id'];
  }
}

async function running(options: PushOptions, work: (client: Client) => Promise<void>): Promise<Said> {
  const client = new Client(options);
  try {
    await work(client);
    return { ok: true, lines: client.lines, asked: client.asked };
  } catch (error) {
    if (!(error instanceof PushError)) throw error;
    return { ok: false, lines: [...client.lines, `error: ${error.message}`], asked: client.asked };
  }
}

/** `source` is the service index's URL. */
export function push(source: string, nupkg: Buffer, options: PushOptions = {}): Promise<Said> {
  const { apiKey, symbols, skipDuplicate } = options;
  /** Whether it was published now. */
  const put = async (client: Client, at: string, bytes: Buffer): Promise<boolean> => {
    const { contentType, body } = formOf(bytes);
    const reply = await client.ask(at.endsWith('/') ? at : `${at}/`, {
      method: 'PUT',
      headers: {
        'content-type': contentType,
        ...(apiKey === undefined ? {} : { 'x-nuget-apikey': apiKey }),
      },
      body,
    });
    if (reply.status === 409 && skipDuplicate) return false;
    client.ensure(reply);
    return true;
  };
  return running(options, async (client) => {
    const at = await client.resource(source, 'PackagePublish/2.0.0');
    if (at === undefined) throw new PushError(`Source '${source}' does not support package push.`);
    if (!(await put(client, at, nupkg)) || !symbols) return;
    const symbolsAt = await client.resource(source, 'SymbolPackagePublish/4.9.0');
    if (symbolsAt !== undefined) await put(client, symbolsAt, symbols);
  });
}

/** `dotnet nuget delete`. */
export function remove(source: string, id: string, version: string, options: PushOptions = {}): Promise<Said> {
  const { apiKey } = options;
  return running(options, async (client) => {
    const at = await client.resource(source, 'PackagePublish/2.0.0');
    if (at === undefined) throw new PushError(`Source '${source}' does not support package delete.`);
    const headers = apiKey === undefined ? {} : { 'x-nuget-apikey': apiKey };
    client.ensure(await client.ask(`${at}/${id}/${version}`, { method: 'DELETE', headers }));
  });
}
