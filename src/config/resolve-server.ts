/** From what is written about the server and its traces to what the program runs on. */
import { resolve as resolvePath } from 'node:path';
import { createSecureContext } from 'node:tls';
import { publicAddress, webAddress } from './addresses.ts';
import { clientLimitsOf, connectionsPerAddress } from './limits.ts';
import type { Complain, Path } from './mistakes.ts';
import type { ConfigFile } from './schema.ts';
import type { Config, ServerConfig, TracingConfig } from './settings.ts';
import { type Environment, Missing, readText } from './source.ts';
import { parseBlock } from './units.ts';

/** Address blocks, those without a mistake. */
export function blocks(texts: readonly string[], at: Path, complain: Complain): readonly string[] {
  return texts.flatMap((text, index) => {
    const block = parseBlock(text);
    if (block !== undefined) return [block];
    complain([...at, index], `"${text}" is no address block; write such as 10.0.0.0/8 or fd00::/8`);
    return [];
  });
}

/** How clients reach it, and what they may take. */
export async function resolveServer(server: ConfigFile['server'], complain: Complain): Promise<ServerConfig> {
  const at = (...path: (string | number)[]): Path => ['server', ...path];
  const publicUrl =
    server.publicUrl === undefined ? undefined : publicAddress(server.publicUrl, at('publicUrl'), complain);
  const trustedProxies = blocks(server.trustedProxies, at('trustedProxies'), complain);
  const { handOff } = server;
  if (handOff && server.trustedProxies.length === 0) {
    complain(at('handOff'), 'needs `server.trustedProxies`: nobody else is told where files are');
  }
  const cert = server.tls && (await pem(server.tls.cert, at('tls', 'cert'), /-----BEGIN CERTIFICATE-----/, complain));
  const key =
    server.tls && (await pem(server.tls.key, at('tls', 'key'), /-----BEGIN [A-Z ]*PRIVATE KEY-----/, complain));
  if (cert !== undefined && key !== undefined) checkPair(cert, key, at('tls', 'key'), complain);
  const { limits } = server;
  return {
    listen: server.listen,
    ...(publicUrl !== undefined && { publicUrl }),
    trustedProxies,
    ...(handOff && { handOff: { path: handOff.path, fromBytes: handOff.from } }),
    ...(cert !== undefined && key !== undefined && { tls: { cert, key } }),
    limits: {
      headerBytes: limits.headerBytes,
      urlBytes: limits.urlBytes,
      bodyBytes: limits.bodyBytes,
      headersTimeoutMs: limits.headersTimeout,
      requestTimeoutMs: limits.requestTimeout,
      keepAliveTimeoutMs: limits.keepAliveTimeout,
      readerTimeoutMs: limits.readerTimeout,
      uploadBytesPerSecond: limits.uploadRate,
      uploadWindowMs: limits.uploadWindow,
      connections: limits.connections,
      streams: limits.streams,
      clients: limits.clients,
      perAddress: { ...clientLimitsOf(limits.perAddress), connections: connectionsPerAddress(limits) },
      perIdentity: clientLimitsOf(limits.perIdentity),
    },
    drainMs: server.drain,
    hotMemoryBytes: server.hotMemory,
  };
}

/** Of two files that are renewed together one may be the old one still. */
function checkPair(cert: string, key: string, path: Path, complain: Complain): void {
  try {
    createSecureContext({ cert, key });
  } catch (error) {
    complain(path, `cannot be used with the certificate: ${(error as Error).message}`);
  }
}

const tracesPath = '/v1/traces';

/** The environment says where to, never whether: what is set for other programs would send traces unasked. */
export function resolveTracing(
  tracing: ConfigFile['tracing'],
  environment: Environment,
  complain: Complain,
): { readonly tracing?: TracingConfig } {
  if (tracing === undefined) return {};
  const settings = typeof tracing === 'string' ? { endpoint: tracing, sample: 1, headers: {} } : tracing;
  const named = environment.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT;
  const general = environment.OTEL_EXPORTER_OTLP_ENDPOINT;
  const endpoint = settings.endpoint ?? (named || general);
  const path: Path =
    typeof tracing === 'string' || tracing.endpoint === undefined ? ['tracing'] : ['tracing', 'endpoint'];
  if (!endpoint) {
    complain(path, 'needs an endpoint, such as http://collector:4318, because the environment names none either');
    return {};
  }
  const url = webAddress(endpoint, path, complain);
  if (!url) return {};
  if (url.username || url.password) {
    complain(path, 'has credentials in it; write them under headers');
    return {};
  }
  // OTLP: the general address has the path of each signal added; what is meant for traces alone is taken as it is.
  const isWhole = url.pathname.endsWith(tracesPath) || (settings.endpoint === undefined && Boolean(named));
  if (!isWhole) url.pathname = `${url.pathname.replace(/\/+$/, '')}${tracesPath}`;
  for (const [name, value] of Object.entries(settings.headers)) {
    const fine = /^[\w!#$%&'*+.^`|~-]+$/.test(name) && /^[\x20-\x7e]+$/.test(value);
    if (!fine)
      complain(
        ['tracing', 'headers', name],
        'is no header: a name of letters, digits and "-", and a value on one line',
      );
  }
  const { sample, headers } = settings;
  const serviceName = ('serviceName' in settings ? settings.serviceName : undefined) ?? environment.OTEL_SERVICE_NAME;
  return { tracing: { url: url.href, serviceName: serviceName || 'larder', sample, headers } };
}

/** The text of a file that holds such a thing. */
export async function pem(file: string, path: Path, shape: RegExp, complain: Complain): Promise<string | undefined> {
  try {
    const text = await readText(file);
    if (shape.test(text)) return text;
    complain(
      path,
      `${resolvePath(file)} holds no ${path.at(-1) === 'key' ? 'private key' : 'certificate'} in PEM form`,
    );
  } catch (error) {
    complain(path, (error as Error).message, error instanceof Missing ? error.what : undefined);
  }
  return undefined;
}

/** Where the index lies. */
export function resolveIndex(text: string, complain: Complain): Config['index'] {
  if (text === 'sqlite' || text === 'memory') return text;
  if (/^redis:\/\/[^\s/]/.test(text) && URL.canParse(text)) return text as `redis://${string}`;
  complain(['index'], 'is none of sqlite, memory, redis://HOST:PORT/DB');
  return 'sqlite';
}
