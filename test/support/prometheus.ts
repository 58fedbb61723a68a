/** Debian's Prometheus on 127.0.0.1, which reads one target often and forgets everything afterwards. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { eventually } from './wait.ts';

export interface Series {
  readonly labels: Readonly<Record<string, string>>;
  /** Seconds since 1970, and the value. */
  readonly values: readonly (readonly [at: number, value: number])[];
}

export interface Prometheus {
  readonly url: string;
  /** Now, or at a time in seconds since 1970. */
  query(expr: string, at?: number): Promise<readonly Series[]>;
  queryRange(expr: string, from: number, to: number, stepSeconds: number): Promise<readonly Series[]>;
  /** Values of a label among the series that match. */
  labelValues(label: string, match: string): Promise<readonly string[]>;
  /** Names of the alerts that it watches, by what it says of their health. */
  alerts(): Promise<Readonly<Record<string, string>>>;
  close(): Promise<void>;
}

export interface PrometheusOptions {
  /** Host and port. */
  readonly target: string;
  readonly folder: string;
  readonly rules: readonly string[];
  readonly everyMs: number;
}

export const run = promisify(execFile);

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address ? address.port : 0;
}

interface Result {
  readonly resultType: string;
  readonly result: unknown;
}

function seriesIn({ resultType, result }: Result): readonly Series[] {
  const number = ([at, value]: readonly [number, string]) => [at, Number(value)] as const;
  if (resultType === 'scalar') return [{ labels: {}, values: [number(result as [number, string])] }];
  return (
    result as readonly {
      readonly metric: Record<string, string>;
      readonly value?: [number, string];
      readonly values?: [number, string][];
    }[]
  ).map(({ metric, value, values }) => ({ labels: metric, values: (values ?? (value ? [value] : [])).map(number) }));
}

export async function startPrometheus({ target, folder, rules, everyMs }: PrometheusOptions): Promise<Prometheus> {
  const port = await freePort();
  const configFile = join(folder, 'prometheus.json');
  const every = `${everyMs}ms`;
  await writeFile(
    configFile,
    JSON.stringify({
      global: { scrape_interval: every, scrape_timeout: every, evaluation_interval: every },
      rule_files: rules,
      scrape_configs: [{ job_name: 'larder', static_configs: [{ targets: [target] }] }],
    }),
  );
  const child = spawn(
    'prometheus',
    [
      `--config.file=${configFile}`,
      `--storage.tsdb.path=${join(folder, 'prometheus')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const orphaned = (): void => void child.kill('SIGKILL');
  process.once('exit', orphaned);
  let said = '';
  child.stderr.on('data', (chunk) => {
    said = `${said}${chunk}`.slice(-4000);
  });
  const url = `http://127.0.0.1:${port}`;

  async function ask(path: string, parameters: Readonly<Record<string, string>> = {}): Promise<unknown> {
    const response = await fetch(`${url}/api/v1/${path}`, {
      method: 'POST',
      body: new URLSearchParams(parameters),
    });
    const answer = (await response.json()) as {
      readonly status: string;
      readonly data: unknown;
      readonly error?: string;
    };
    if (answer.status !== 'success') throw new Error(`${answer.error}: ${parameters.query ?? path}`);
    return answer.data;
  }

  await eventually(
    'Prometheus is ready',
    async () => {
      if (child.exitCode !== null) throw new Error(`Prometheus ended:\n${said}`);
      return (await fetch(`${url}/-/ready`).catch(() => undefined))?.ok;
    },
    20_000,
  );

  return {
    url,
    query: async (expr, at) =>
      seriesIn((await ask('query', { query: expr, ...(at === undefined ? {} : { time: String(at) }) })) as Result),
    queryRange: async (expr, from, to, stepSeconds) =>
      seriesIn(
        (await ask('query_range', { query: expr, start: `${from}`, end: `${to}`, step: `${stepSeconds}` })) as Result,
      ),
    async labelValues(label, match) {
      const response = await fetch(`${url}/api/v1/label/${label}/values?${new URLSearchParams({ 'match[]': match })}`);
      return ((await response.json()) as { readonly data: readonly string[] }).data;
    },
    async alerts() {
      const response = await fetch(`${url}/api/v1/rules?type=alert`);
      const { data } = (await response.json()) as {
        readonly data: {
          readonly groups: readonly { readonly rules: readonly { readonly name: string; readonly health: string }[] }[];
        };
      };
      return Object.fromEntries(data.groups.flatMap(({ rules }) => rules.map(({ name, health }) => [name, health])));
    },
    async close() {
      process.off('exit', orphaned);
      if (child.exitCode === null) {
        child.kill('SIGTERM');
        await once(child, 'exit');
      }
    },
  };
}
