import type { WhoAmI } from '../access/access.ts';
import { loadConfig } from '../config/load.ts';
import { type Command, configOption, exitCodes, json, jsonOption, UsageError } from './command.ts';
import { serverUrl } from './server-url.ts';

const patienceMs = 15_000;

export const command: Command = {
  name: 'whoami',
  summary: 'Asks a server whose a token is and what it is limited to.',
  details:
    'The token comes from --token, else from the environment variable LARDER_TOKEN. Exits with 1 if it does not count.',
  options: {
    config: configOption,
    url: { type: 'string', value: 'URL', description: 'Of the server; else the one that the configuration describes.' },
    token: { type: 'string', value: 'TOKEN', description: 'What to show; better in LARDER_TOKEN.' },
    json: jsonOption,
  },
  async run(input) {
    const { environment, say } = input;
    const url = input.text('url') ?? serverUrl((await loadConfig(input.text('config'), environment)).server);
    if (!URL.canParse(url) || !/^https?:/.test(url)) throw new UsageError(`--url ${url} is no http or https address`);
    const token = input.text('token') ?? environment.LARDER_TOKEN;
    const who = await ask(`${url.replace(/\/+$/, '')}/api/v1/whoami`, token);
    if (input.flag('json')) say(json(who));
    else for (const line of told(who)) say(line);
    return exitCodes.done;
  },
};

async function ask(url: string, token: string | undefined): Promise<WhoAmI> {
  let response: Response;
  try {
    response = await fetch(url, {
      headers: { accept: 'application/json', ...(token ? { authorization: `Bearer ${token}` } : {}) },
      redirect: 'error',
      signal: AbortSignal.timeout(patienceMs),
    });
  } catch (error) {
    const cause = (error as { cause?: { code?: string; message?: string } }).cause;
    throw new Error(
      `${new URL(url).origin} can't be asked: ${cause?.code ?? cause?.message ?? (error as Error).message}`,
    );
  }
  const text = await response.text();
  let body: { readonly error?: string };
  try {
    body = JSON.parse(text) as { readonly error?: string };
  } catch {
    throw new Error(`${new URL(url).origin} answers ${response.status} and is no Larder`);
  }
  if (!response.ok) throw new Error(body.error ?? `${new URL(url).origin} answers ${response.status}`);
  return body as unknown as WhoAmI;
}

function told({ kind, name, org, teams, token, limits, expiresAt, claims }: WhoAmI): string[] {
  if (kind === 'anonymous') return ['Nobody: no token was shown.'];
  const limited = token ?? limits;
  const words = { user: 'user', service: 'service account', ci: 'CI job' }[kind];
  return [
    `${name} (${words}${org === undefined ? '' : ` of ${org}`})`,
    ...(teams && teams.length > 0 ? [`Teams         ${teams.join(', ')}`] : []),
    ...(token ? [`Token         ${token.id}${token.description === undefined ? '' : ` (${token.description})`}`] : []),
    ...(limited
      ? [
          `May           ${limited.may.join(', ')}`,
          `Repositories  ${limited.repositories?.join(', ') ?? 'all'}`,
          `Names         ${limited.names?.join(', ') ?? 'all'}`,
        ]
      : []),
    `Expires       ${expiresAt ?? 'never'}`,
    ...Object.entries(claims ?? {}).map(([claim, value]) => `${claim.padEnd(13)} ${value}`),
  ];
}
